from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data import imdb, sources
from bench.errors import DataError

DOCUMENT_000_X_TRAIN_1 = """
1, 194, 1153, 194, 2, 78, 228, 5, 6, 1463, 4369, 2, 134, 26, 4, 715, 8, 118, 1634, 14, 394, 20, 13, 119, 954, 189, 102,
5, 207, 110, 3103, 21, 14, 69, 188, 8, 30, 23, 7, 4, 249, 126, 93, 4, 114, 9, 2300, 1523, 5, 647, 4, 116, 9, 35, 2, 4,
229, 9, 340, 1322, 4, 118, 9, 4, 130, 4901, 19, 4, 1002, 5, 89, 29, 952, 46, 37, 4, 455, 9, 45, 43, 38, 1543, 1905, 398,
4, 1649, 26, 2, 5, 163, 11, 3215, 2, 4, 1153, 9, 194, 775, 7, 2, 2, 349, 2637, 148, 605, 2, 2, 15, 123, 125, 68, 2, 2,
15, 349, 165, 4362, 98, 5, 4, 228, 9, 43, 2, 1157, 15, 299, 120, 5, 120, 174, 11, 220, 175, 136, 50, 9, 4373, 228, 2, 5,
2, 656, 245, 2350, 5, 4, 2, 131, 152, 491, 18, 2, 32, 2, 1212, 14, 9, 6, 371, 78, 22, 625, 64, 1382, 9, 8, 168, 145, 23,
4, 1690, 15, 16, 4, 1355, 5, 28, 6, 52, 154, 462, 33, 89, 78, 285, 16, 145, 95
"""
DOCUMENT_002_TRAIN_0_BEGINS = [1, 14, 22, 16, 43, 530, 973, 1622, 1385, 65]
# sha256 over little-endian x_train flat int32, offsets int64, y_train int64, then the same for test
CONTENT_SHA256 = "e9a0d206953c9fddd2da6a17c9f769db87678fe68015088a1cafc105161a1b0c"


def object_array(reviews: list[list[int]]) -> np.ndarray[Any, Any]:
    array = np.empty(len(reviews), dtype=object)
    array[:] = reviews
    return array


def write_archive(path: Path, **changed: bytes) -> Path:
    """Write an archive of three reviews a half, as Keras's file is laid out; `changed` replaces members."""
    np.savez(
        path,
        x_train=object_array([[1, 2, 3], [4], [5, 96]]),
        y_train=np.array([1, 0, 1]),
        x_test=object_array([[7], [8, 9], [10]]),
        y_test=np.array([0, 1, 0]),
    )
    if changed:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, changed.get(name.removesuffix(".npy"), content))
    return path


def pickled(value: object) -> bytes:
    """Return `value` as the .npy member of an object array of three elements."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": (3,)})
    return stream.getvalue() + pickle.dumps(value)


@pytest.mark.realdata
def test_reviews_are_those_that_documents_000_and_002_print() -> None:
    path, _ = sources.obtain("imdb.npz")

    (at_5000, _), _ = imdb.load(path, 5000)
    (train, _), (test, _) = imdb.load(path, 10_000)

    assert at_5000[1].tolist() == [int(word) for word in DOCUMENT_000_X_TRAIN_1.split(",")]
    assert len(at_5000[1]) == 189
    assert (len(train[0]), len(test[0])) == (218, 68)
    assert train[0][:10].tolist() == DOCUMENT_002_TRAIN_0_BEGINS


@pytest.mark.realdata
def test_first_ids_and_mean_lengths_are_the_published_ones() -> None:
    path, _ = sources.obtain("imdb.npz")

    (train, train_labels), (test, test_labels) = imdb.load(path, 100_000)

    assert train[0][:19].tolist() == [
        *(1, 14, 22, 16, 43, 530, 973, 1622, 1385, 65, 458, 4468, 66, 3941, 4, 173, 36, 256, 5)
    ]
    assert train[1][:12].tolist() == [1, 194, 1153, 194, 8255, 78, 228, 5, 6, 1463, 4369, 5012]
    assert test[0][:9].tolist() == [1, 591, 202, 14, 31, 6, 717, 10, 10]
    assert [round(float(np.diff(half.offsets).mean()), 2) for half in (train, test)] == [238.71, 230.80]
    assert train_labels.sum() == test_labels.sum() == 12_500


@pytest.mark.realdata
def test_stored_arrays_have_the_published_content_hash() -> None:
    arrays = imdb.read_arrays(sources.obtain("imdb.npz")[0])

    digest = hashlib.sha256()
    for half in ("train", "test"):
        reviews = arrays[f"x_{half}"]
        digest.update(reviews.ids.astype("<i4").tobytes())
        digest.update(reviews.offsets.astype("<i8").tobytes())
        digest.update(arrays[f"y_{half}"].astype("<i8").tobytes())

    assert digest.hexdigest() == CONTENT_SHA256


@pytest.mark.realdata
def test_word_index_is_the_official_one() -> None:
    ranks = imdb.word_ranks(sources.obtain("imdb_word_index.json")[0])

    assert (len(ranks), ranks["the"]) == (88_584, 1)


def test_archives_of_this_numpy_are_read(tmp_path: Path) -> None:
    (train, labels), _ = imdb.load(write_archive(tmp_path / "imdb.npz"), num_words=50)

    reviews = {tuple(train[i].tolist()): int(labels[i]) for i in range(3)}
    assert reviews == {(1, 4, 5, 6): 1, (1, 7): 0, (1, 8, 2): 1}  # start, rank + 3, out of vocabulary


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


def test_a_pickle_that_calls_something_is_refused_and_not_run(tmp_path: Path) -> None:
    target = tmp_path / "exploded"
    path = write_archive(tmp_path / "imdb.npz", x_train=pickled([Bomb(target)]))

    with pytest.raises(DataError, match=r"imdb\.npz.*pickle"):
        imdb.load(path, 50)

    assert not target.exists()


@pytest.mark.parametrize(
    "content", [b"not an array", pickled([1, 2, 3]), pickled(object_array([[1]])), pickled(object_array([1, 2, 3]))]
)
def test_other_content_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"imdb\.npz"):
        imdb.load(write_archive(tmp_path / "imdb.npz", x_train=content), 50)


def test_reviews_that_are_not_ranks_are_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "imdb.npz", x_train=pickled(object_array([["a"], [2], [3]])))

    with pytest.raises(DataError, match="lists of word ranks"):
        imdb.load(path, 50)


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "imdb.npz")
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(DataError, match=r"imdb\.npz is not an archive"):
        imdb.load(path, 50)


@pytest.mark.parametrize("content", ["{", "[1]", json.dumps({"the": "1"})])
def test_a_word_index_of_another_form_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "imdb_word_index.json"
    path.write_text(content)

    with pytest.raises(DataError, match=r"imdb_word_index\.json"):
        imdb.word_ranks(path)
