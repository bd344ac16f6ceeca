from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.data import sources, vectors
from bench.errors import DataError

LINES = [b"the 0.418 -1e-3 3", b"caf\xc3\xa9 1 2 3", b"unwanted 4 5 6", b"of .5 -.25 7.000000001", b"the 9 8 7"]
WANTED = {"the": 1, "of": 3, "café": 4, "absent": 2}


def document_003_matrix(path: Path, wanted: dict[str, int], rows: int, dimension: int) -> NDArray[np.float64]:
    """Document 003's two loops: all vectors into a dictionary, then those of the wanted words into a matrix."""
    embeddings = {}
    with zipfile.ZipFile(path) as myzip, myzip.open(f"glove.6B.{dimension}d.txt") as f:
        for line in f:
            values = line.split()
            word = values[0].decode("UTF-8")
            embeddings[word] = np.asarray(values[1:], dtype="float32")
    matrix = np.zeros((rows, dimension))
    for word, i in wanted.items():
        vector = embeddings.get(word)
        if vector is not None:
            matrix[i] = vector
    return matrix


def zipped(path: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("glove.6B.50d.txt", b"another member")
        archive.writestr("glove.6B.3d.txt", content)
    return path


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "_CHUNK", 8)


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.usefixtures("small_chunks")
def test_glove_matrix_is_that_of_the_documents_loops(tmp_path: Path, end: bytes) -> None:
    content = b"\n".join(LINES) + end
    archive = zipped(tmp_path / "glove.6B.zip", content)
    text = tmp_path / "glove.6B.3d.txt"
    text.write_bytes(content)

    expected = document_003_matrix(archive, WANTED, 6, 3).astype(np.float32)

    for path in (archive, text):
        matrix = vectors.load_glove(path, WANTED, rows=6, dimension=3)
        np.testing.assert_array_equal(matrix, expected)
        assert matrix.dtype == np.float32


@pytest.mark.realdata
def test_real_glove_is_read_as_published() -> None:
    path, _ = sources.obtain("glove.6B.50d")

    matrix = vectors.load_glove(path, {"the": 1, "sandberger": 2, "no such word": 3}, rows=4, dimension=50)

    # The first numbers of the file's first and last line.
    np.testing.assert_array_equal(matrix[1, :4], np.float32([0.418, 0.24968, -0.41242, 0.1217]))
    np.testing.assert_array_equal(matrix[2, :3], np.float32([0.072617, -0.51393, 0.4728]))
    assert not matrix[[0, 3]].any()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"bad 1 2", "line 2: 2 numbers after the word, expected 3"),
        (b"bad 1 2 3 4", "line 2: 4 numbers after the word, expected 3"),
        (b"", "line 2: 0 numbers after the word, expected 3"),
        (b"of 1 two 3", "line 2: could not convert string to float"),
        (b"of 1 nan 3", "line 2: a component is not a finite number"),
        (b"of 1 2\nbad 1 2 3 4", "line 2: 2 numbers after the word, expected 3"),
    ],
)
def test_a_bad_glove_line_is_refused_by_file_and_line(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "glove.6B.3d.txt"
    path.write_bytes(b"the 1 2 3\n" + line + b"\nto 1 2 3\n")

    with pytest.raises(DataError) as error:
        vectors.load_glove(path, WANTED, rows=6, dimension=3)

    assert f"{path}, {message}" in str(error.value)


def test_finite_components_whose_sum_is_not_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "glove.6B.3d.txt"
    path.write_bytes(b"the 1 2 3\nof 3e38 -3e38 1\n")
    with pytest.raises(DataError, match="line 2: a component is not a finite number"):
        vectors.load_glove(path, WANTED, rows=6, dimension=3)


def test_an_empty_glove_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "glove.6B.3d.txt"
    path.touch()

    with pytest.raises(DataError, match="no vectors"):
        vectors.load_glove(path, WANTED, rows=6, dimension=3)


def test_a_zip_without_the_member_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "glove.6B.zip", b"the 1 2 3")

    with pytest.raises(DataError, match=r"does not hold glove\.6B\.4d\.txt; it holds glove\.6B\.50d\.txt"):
        vectors.load_glove(path, WANTED, rows=6, dimension=4)


def test_a_zip_of_another_method_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "glove.6B.zip", b"the 1 2 3", zipfile.ZIP_BZIP2)

    with pytest.raises(DataError, match="not deflated"):
        vectors.load_glove(path, WANTED, rows=6, dimension=3)


def test_a_zip_with_an_altered_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "glove.6B.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=0) as archive:  # the text itself, in blocks
        archive.writestr("glove.6B.3d.txt", "the 1 2 3")
    path.write_bytes(path.read_bytes().replace(b"the 1 2 3", b"the 1 2 4"))

    with pytest.raises(DataError, match=r"glove\.6B\.3d\.txt is damaged"):
        vectors.load_glove(path, WANTED, rows=6, dimension=3)


@pytest.mark.parametrize("where", ["end", "middle"])
def test_a_cut_zip_is_refused(tmp_path: Path, where: str) -> None:
    numbers = np.random.RandomState(0).random_sample((500, 3)).tolist()
    content = "\n".join(f"word{i} {a} {b} {c}" for i, (a, b, c) in enumerate(numbers)).encode()
    path = zipped(tmp_path / "glove.6B.zip", content)
    whole = path.read_bytes()
    if where == "end":
        path.write_bytes(whole[:-30])
    else:
        path.write_bytes(whole[:4000] + whole[4100:])

    with pytest.raises(DataError, match=r"glove\.6B\.zip"):
        vectors.load_glove(path, {"word499": 1}, rows=2, dimension=3)


WORDS = st.text(st.characters(codec="utf-8", exclude_characters=" \n"), min_size=1, max_size=5)


def word2vec_bytes(entries: list[tuple[str, list[float]]], dimension: int, newline: bool) -> bytes:
    """Return a file as word2vec.c writes it (`newline`), or as the GoogleNews one is."""
    content = f"{len(entries)} {dimension}\n".encode()
    for word, vector in entries:
        content += word.encode() + b" " + struct.pack(f"<{dimension}f", *vector) + (b"\n" if newline else b"")
    return content


@given(
    entries=st.lists(
        st.tuples(WORDS, st.lists(st.floats(-(2.0**126), 2.0**126, width=32), min_size=2, max_size=2)), min_size=1
    ),
    newline=st.booleans(),
    zipped_too=st.booleans(),
    chunk=st.integers(1, 40),
)
def test_word2vec_vectors_come_back_as_written(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[tuple[str, list[float]]],
    newline: bool,
    zipped_too: bool,
    chunk: int,
) -> None:
    content = word2vec_bytes(entries, 2, newline)
    path = tmp_path_factory.mktemp("w2v") / ("vectors.bin.gz" if zipped_too else "vectors.bin")
    path.write_bytes(gzip.compress(content) if zipped_too else content)
    first = {word: vector for word, vector in reversed(entries)}
    wanted = {word: row for row, word in enumerate(first, start=1)} | {"not there": 0}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "_CHUNK", chunk)
        matrix = vectors.load_word2vec(path, wanted, rows=len(wanted), dimension=2)

    np.testing.assert_array_equal(matrix, np.float32([[0, 0], *first.values()]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (word2vec_bytes([("a", [1, 2])], 2, True), "line 1: its vectors have 2 dimensions, the Embedding has 3"),
        (b"GoogleNews\n", "line 1: expected the number of words and the dimension"),
        (b"", "line 1: expected the number of words and the dimension"),
        (word2vec_bytes([("a", [1, 2, 3]), ("b", [1, 2, 3])], 3, False)[:-1], "the file ends in entry 2 of 2"),
        (word2vec_bytes([("the", [1, float("nan"), 3])], 3, True), "entry 1 of 1: a component is not a finite number"),
        (word2vec_bytes([("the", [3e38, 3e38, 3])], 3, True), "entry 1 of 1: a component is not a finite number, or"),
        (b"0 3\n", "line 1: it announces 0 words"),
        (b"-1 3\n" + word2vec_bytes([("the", [1, 2, 3])], 3, True)[4:], "line 1: it announces -1 words"),
        (word2vec_bytes([("a", [1, 2, 3])], 3, True) + b"the 0123", "there is more behind the 1 words"),
    ],
)
def test_a_bad_word2vec_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "vectors.bin"
    path.write_bytes(content)

    with pytest.raises(DataError) as error:
        vectors.load_word2vec(path, WANTED, rows=6, dimension=3)

    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_a_cut_word2vec_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.bin.gz"
    path.write_bytes(gzip.compress(word2vec_bytes([("a", [1, 2, 3])] * 100, 3, True))[:-20])

    with pytest.raises(DataError, match="cannot be read"):
        vectors.load_word2vec(path, WANTED, rows=6, dimension=3)
