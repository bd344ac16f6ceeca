from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from keras_preprocessing.text import text_to_word_sequence

from bench.data import sources, vectors, word2vec
from bench.errors import DataError, Unavailable, UsageError
from tests.data.conftest import write_archive

NAME = "word2vec-imdb"
TRAIN = ["It's a dull film.<br />A DULL film!", "not a dull film, it's a film", "rare café"] * 4
TEST = ["tested tested tested tested tested tested"]


def write_reviews(folder: Path, monkeypatch: pytest.MonkeyPatch, train: list[str]) -> Path:
    """Write an aclImdb archive of these train texts, as a file whose content may be any."""
    source = sources.SOURCES["aclImdb"]
    monkeypatch.setitem(
        sources.SOURCES, "aclImdb", dataclasses.replace(source, files=(sources.File("aclImdb_v1.tar.gz"),))
    )
    halves = {"train": train, "test": TEST}
    members = {f"aclImdb/{half}/neg/{i}_1.txt": text for half, texts in halves.items() for i, text in enumerate(texts)}
    return write_archive(folder / "aclImdb_v1.tar.gz", {name: text.encode() for name, text in members.items()})


def gensim_is(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    """Let gensim be a module with this model, or none."""
    monkeypatch.setitem(sys.modules, "gensim.models", model and SimpleNamespace(Word2Vec=model))


def made() -> list[str]:
    folder = sources.cache_dir() / "files"
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_every_frequent_word_of_the_train_texts_gets_a_vector(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gensim = pytest.importorskip("gensim.models")
    write_reviews(data_folder, monkeypatch, TRAIN)

    path, sha256 = word2vec.make(NAME)

    counts = Counter(word for text in TRAIN for word in text_to_word_sequence(text))
    keyed = gensim.KeyedVectors.load_word2vec_format(str(path), binary=True)
    assert set(keyed.key_to_index) == {word for word, times in counts.items() if times >= 5}
    assert "it's" in keyed
    assert keyed.vector_size == 300
    matrix = vectors.load_word2vec(path, {"film": 1}, 2, 300)
    np.testing.assert_array_equal(matrix[1], keyed["film"])
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert made() == [path.name]


def test_vectors_are_the_same_when_trained_again(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gensim.models")
    write_reviews(data_folder, monkeypatch, TRAIN)
    path, first = word2vec.make(NAME)
    path.unlink()

    assert word2vec.make(NAME) == (path, first)


def test_vectors_that_are_present_are_not_trained_again(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gensim_is(monkeypatch, None)
    file = data_folder / "word2vec-imdb.bin"
    file.write_bytes(b"1 300\nfilm " + bytes(1200))

    assert word2vec.make(NAME) == (file, hashlib.sha256(file.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("content", "message"), [(b"1 100\nfilm " + bytes(400), "have 100 dimensions"), (b"1 300\nfilm ", "cannot be read")]
)
def test_vectors_of_another_dimension_or_cut_short_are_refused(data_folder: Path, content: bytes, message: str) -> None:
    (data_folder / "word2vec-imdb.bin").write_bytes(content)

    with pytest.raises(DataError, match=message):
        word2vec.make(NAME)


class Interrupted:
    """A model whose vectors are half written when the user stops."""

    def __init__(self, *_: object, **__: object) -> None:
        self.wv = self

    def save_word2vec_format(self, path: str, binary: bool) -> None:
        Path(path).write_bytes(b"2 300\nfilm ")
        raise KeyboardInterrupt


def test_an_interrupted_making_leaves_nothing(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gensim_is(monkeypatch, Interrupted)
    write_reviews(data_folder, monkeypatch, TRAIN)

    with pytest.raises(KeyboardInterrupt):
        word2vec.make(NAME)

    assert made() == []
    assert sources.locate(NAME) is None


def test_a_corpus_without_a_frequent_word_is_refused(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gensim_is(monkeypatch, Interrupted)
    archive = write_reviews(data_folder, monkeypatch, TRAIN[:3])

    with pytest.raises(DataError, match=f"{archive}: no word occurs 5 times in its 3 train texts"):
        word2vec.make(NAME)

    assert made() == []


def test_what_is_missing_is_named(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gensim_is(monkeypatch, Interrupted)
    with pytest.raises(Unavailable, match="aclImdb is missing"):
        word2vec.make(NAME)

    gensim_is(monkeypatch, None)
    with pytest.raises(Unavailable, match=r"gensim.*\[vectors\]"):
        word2vec.make(NAME)


def test_a_source_that_is_not_made_is_refused() -> None:
    with pytest.raises(UsageError, match=NAME):
        word2vec.make("imdb.npz")
