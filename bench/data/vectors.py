"""Pretrained word vectors: GloVe text and word2vec binary files, of which only the wanted words are read."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError

_CHUNK = 1 << 22
_BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile)


def load_glove(path: Path, wanted: Mapping[str, int], rows: int, dimension: int) -> NDArray[np.float32]:
    """Return a (rows, dimension) matrix whose row `wanted[word]` is the word's vector; words without one stay zero.

    `path` is the text, a zip of it, or the official `glove.6B.zip`. Of a word that occurs twice the last vector counts, as in
    the documents' loops. Raises `DataError` with file and line for a malformed line or another dimension.
    """
    row_of = {word.encode(): row for word, row in wanted.items()}
    matrix = np.zeros((rows, dimension), np.float32)
    done = 0
    try:
        for lines in _line_blocks(_glove_chunks(path, dimension)):
            _check_dimension(path, done, lines, dimension)
            for at, line in enumerate(lines, start=done + 1):
                row = row_of.get(line[: line.find(b" ")])
                if row is not None:
                    matrix[row] = _numbers(path, at, line, dimension)
            done += len(lines)
    except _BROKEN as error:
        raise DataError(f"{path}, after line {done}: cannot be read: {error}") from error
    if not done:
        raise DataError(f"{path}: no vectors in it")
    return matrix


def _check_dimension(path: Path, done: int, lines: list[bytes], dimension: int) -> None:
    """Raise `DataError` for a line that has not `dimension` numbers; `done` lines came before."""
    spaces = np.count_nonzero(np.frombuffer(b"".join(lines), np.uint8) == ord(" "))
def _numbers(path: Path, number: int, line: bytes, dimension: int) -> NDArray[np.float32]:
    try:
        values = np.fromiter(map(float, line.split(b" ")[1:]), np.float32, dimension)
    except ValueError as error:
        raise DataError(f"{path}, line {number}: {error}") from error
    if not np.isfinite(values).all():
        raise DataError(f"{path}, line {number}: a component is not a finite number")
    return values


def _glove_error(path: Path, number: int, line: bytes, dimension: int) -> DataError:
    found = line.count(b" ")
    return DataError(
        f"{path}, line {number}: {found} numbers after the word, expected {dimension}; "
        "the file is damaged, or its vectors have another dimension than the Embedding"
    )


def _line_blocks(stream: IO[bytes]) -> Iterator[list[bytes]]:
    """Yield blocks of lines without their ends."""
    rest = b""
    while chunk := stream.read(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        yield lines
    if rest:
        yield [rest]


def _open_glove(path: Path, dimension: int) -> AbstractContextManager[IO[bytes]]:
    if path.suffix != ".zip":
        return path.open("rb")
    with zipfile.ZipFile(path) as archive:
        member = f"glove.6B.{dimension}d.txt"
        if member not in archive.namelist():
            raise DataError(f"{path} does not hold {member}; it holds {', '.join(archive.namelist())}")
        return archive.open(member)


def load_word2vec(path: Path, wanted: Mapping[str, int], rows: int, dimension: int) -> NDArray[np.float32]:
    """Return a (rows, dimension) matrix whose row `wanted[word]` is the word's vector; words without one stay zero.

    `path` is a binary word2vec file or a `.gz` of it: a line "words dimension", then for each word its bytes, a space and
    little-endian float32 numbers. Of a word that occurs twice the first vector counts (gensim's `load_word2vec_format`).
    Raises `DataError` with file and entry for another dimension or a file that ends early.
    """
    row_of = {word.encode(): row for word, row in wanted.items()}
    matrix = np.zeros((rows, dimension), np.float32)
    size = 4 * dimension
    entry = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            count = _word2vec_header(path, stream, dimension)
            buffer, at = b"", 0
            for entry in range(1, count + 1):
                space = buffer.find(b" ", at)
                while space < 0 or space + 1 + size > len(buffer):
                    chunk = stream.read(_CHUNK)
                    if not chunk:
                        raise EOFError("the file ends early")
                    buffer, at = buffer[at:] + chunk, 0
                    space = buffer.find(b" ")
                row = row_of.pop(buffer[at:space].lstrip(b"\n"), None)  # some writers end entries with a newline
                at = space + 1 + size
                if row is not None:
                    matrix[row] = np.frombuffer(buffer, "<f4", dimension, space + 1)
                    if not np.isfinite(matrix[row]).all():
                        raise DataError(f"{path}, entry {entry} of {count}: a component is not a finite number")
    except _BROKEN as error:
        raise DataError(f"{path}, entry {entry}: cannot be read: {error}") from error
    return matrix


def _word2vec_header(path: Path, stream: IO[bytes], dimension: int) -> int:
    header = stream.readline(100)
    try:
        count, found = map(int, header.split())
    except ValueError:
        raise DataError(f"{path}, line 1: expected the number of words and the dimension, found {header!r}") from None
    if found != dimension:
        raise DataError(f"{path}, line 1: its vectors have {found} dimensions, the Embedding has {dimension}")
    return count
