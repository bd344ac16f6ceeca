from __future__ import annotations

from pathlib import Path

import pytest

from bench.data import reviews, sources
from bench.errors import DataError
from tests.data.conftest import write_archive

MEMBERS = {
    "aclImdb/train/pos/10_9.txt": b"third",
    "aclImdb/train/neg/9_1.txt": b"second",
    "aclImdb/train/neg/10_2.txt": b"first, \xc3\xa9",
    "aclImdb/test/pos/0_10.txt": b"test",
    "aclImdb/train/unsup/0_0.txt": b"unlabelled",
    "aclImdb/README": b"readme",
    "../aclImdb/train/pos/1_9.txt": b"outside",
    "aclImdb/train/pos/../../1_9.txt": b"outside",
}


def test_texts_come_negative_first_and_by_file_name(tmp_path: Path) -> None:
    train, test = reviews.load(write_archive(tmp_path / "a.tar.gz", MEMBERS))

    assert train == (["first, é", "second", "third"], [0, 0, 1])
    assert test == (["test"], [1])


@pytest.mark.parametrize(("content", "message"), [(b"caf\xe9", "not UTF-8 at byte 3"), (b" \n", "the text is empty")])
def test_a_bad_text_is_refused_by_its_member(tmp_path: Path, content: bytes, message: str) -> None:
    path = write_archive(tmp_path / "a.tar.gz", {**MEMBERS, "aclImdb/test/neg/7_1.txt": content})

    with pytest.raises(DataError, match=rf"a\.tar\.gz, aclImdb/test/neg/7_1\.txt: {message}"):
        reviews.load(path)


def test_an_archive_without_a_half_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.tar.gz", {"aclImdb/train/pos/1_9.txt": b"text"})

    with pytest.raises(DataError, match="no review under aclImdb/test"):
        reviews.load(path)


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.tar.gz", MEMBERS)
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(DataError, match="not a readable archive"):
        reviews.load(path)


@pytest.mark.realdata
def test_real_archive_has_the_published_numbers_of_texts() -> None:
    train, test = reviews.load(sources.obtain("aclImdb")[0])

    assert [len(set(texts)) for texts, _ in (train, test)] == [24_904, 24_801]
    assert len(set(train[0]) & set(test[0])) == 123
    assert [sum(labels) for _, labels in (train, test)] == [12_500, 12_500]
