"""Pretrained word vectors: GloVe text and word2vec binary files, of which only the wanted words are read.

isal inflates zip and gzip content: with zlib, inflating alone takes longer than everything else together.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from bench.data.packed import BROKEN, TEXT_RATIO, Gunzipped, require_room
from bench.errors import DataError

_CHUNK = 1 << 17  # stays in a core's cache between inflating, counting and splitting: a fifth faster than 4 MiB
_LONGEST = 1 << 16
"""Bytes of a line or a word, of which the longest line of GloVe, 300 numbers, has 4 kB."""
_TOO_LARGE = "a component is not a finite number, or the components add up to none"


def load_glove(path: Path, wanted: Mapping[str, int], rows: int, dimension: int) -> NDArray[np.float32]:
    """Return a (rows, dimension) matrix whose row `wanted[word]` is the word's vector; words without one stay zero.

    `path` is the text, a zip of it, or the official `glove.6B.zip`. Of a word that occurs twice the last vector counts,
    as in the documents' loops. Raises `DataError` with file and line for a malformed line or another dimension.
    """
    row_of = {word.encode(errors="replace"): row for word, row in wanted.items()}
    matrix = np.zeros((rows, dimension), np.float32)
    done = 0
    try:
        for lines, spaces in _lines(_chunks(path, dimension)):
            if spaces != dimension * len(lines):
                raise _other_dimension(path, done, lines, dimension)
            for number, line in enumerate(lines, start=done + 1):
                row = row_of.get(line[: line.find(b" ")])
                if row is not None:
                    matrix[row] = _numbers(path, number, line, dimension)
            done += len(lines)
    except BROKEN as error:
        raise DataError(f"{path}, after line {done}: cannot be read: {error}") from error
    if not done:
        raise DataError(f"{path}: there are no vectors in it")
    return matrix


def _numbers(path: Path, number: int, line: bytes, dimension: int) -> NDArray[np.float32]:
    fields = line.split(b" ")[1:]
    try:
        values = np.fromiter(map(float, fields), np.float32, len(fields))
    except ValueError as error:
        raise DataError(f"{path}, line {number}: {error}") from error
    if len(values) != dimension:
        raise _other_dimension(path, number - 1, [line], dimension)
    if not _is_finite(values):
        raise DataError(f"{path}, line {number}: {_TOO_LARGE}")
    return values


def _is_finite(vector: NDArray[np.float32]) -> bool:
    """Return whether a vector can be computed with: its components may be finite and their sum not."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.abs(vector).sum(dtype=np.float32)))


def _other_dimension(path: Path, done: int, lines: list[bytes], dimension: int) -> DataError:
    """Return the error for the first of `lines` that has not `dimension` numbers; `done` lines came before them."""
    number, line = next((n, line) for n, line in enumerate(lines, start=done + 1) if line.count(b" ") != dimension)
    return DataError(
        f"{path}, line {number}: {line.count(b' ')} numbers after the word, expected {dimension}; "
        "the file is damaged, or its vectors have another dimension than the Embedding"
    )


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[list[bytes], int]]:
    """Yield blocks of lines without their ends, and the number of spaces in each block.

    The spaces are counted for the block: counting in each of the 400,000 lines takes as long as finding the words.
    """
    rest = b""
    for chunk in chunks:
        text = rest + chunk
        *lines, rest = text.split(b"\n")
        if len(rest) > _LONGEST:
            raise ValueError(f"a line of more than {_LONGEST:,} bytes")
        yield lines, int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(" "))) - rest.count(b" ")
    if rest:
        yield [rest], rest.count(b" ")


def _chunks(path: Path, dimension: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        if path.suffix == ".zip":
            yield from _inflated(stream, path, f"glove.6B.{dimension}d.txt")
        else:
            while chunk := stream.read(_CHUNK):
                yield chunk


def _inflated(stream: IO[bytes], path: Path, member: str) -> Iterator[bytes]:
    """Yield the content of a zip's member; raise `BadZipFile` when it is not what was put in (size, CRC-32)."""
    with zipfile.ZipFile(stream) as archive:
        if member not in archive.namelist():
            raise DataError(f"{path} does not hold {member}; it holds {', '.join(archive.namelist())}")
        info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_DEFLATED:
        raise DataError(f"{path}: {member} is not deflated; unzip it: the plain text is accepted")
    stream.seek(info.header_offset)
    name, extra = struct.unpack("<26x2H", stream.read(30))  # the local header, which repeats the name (APPNOTE 4.3.7)
    stream.seek(name + extra, 1)
    left, size, crc = info.compress_size, 0, 0
    inflater = isal_zlib.decompressobj(-15)
    while left and (compressed := stream.read(min(left, _CHUNK // 4))):
        left -= len(compressed)
        while compressed:
            chunk = inflater.decompress(compressed, _CHUNK)
            compressed = inflater.unconsumed_tail
            size, crc = size + len(chunk), isal_zlib.crc32(chunk, crc)
            require_room(path, size, TEXT_RATIO)
            if chunk:
                yield chunk
    if (size, crc) != (info.file_size, info.CRC):
        raise zipfile.BadZipFile(f"{member} is damaged or cut short")


def load_word2vec(path: Path, wanted: Mapping[str, int], rows: int, dimension: int) -> NDArray[np.float32]:
    """Return a (rows, dimension) matrix whose row `wanted[word]` is the word's vector; words without one stay zero.

    `path` is a binary word2vec file or a `.gz` of it: a line "words dimension", then for each word its bytes, a space
    and little-endian float32 numbers. Of a word that occurs twice the first vector counts, as in gensim's
    `load_word2vec_format`. Raises `DataError` with file and entry for another dimension or a file that ends early.
    """
    row_of = {word.encode(errors="replace"): row for word, row in wanted.items()}
    matrix = np.zeros((rows, dimension), np.float32)
    size = 4 * dimension
    entry = 0
    try:
        with _open_word2vec(path) as stream:
            count = _word2vec_header(path, stream, dimension)
            buffer, at = b"", 0
            for entry in range(1, count + 1):
                space = buffer.find(b" ", at)
                while space < 0 or space + 1 + size > len(buffer):
                    chunk = stream.read(_CHUNK)
                    if space < 0 and len(buffer) - at > _LONGEST:
                        raise ValueError(f"a word of more than {_LONGEST:,} bytes")
                    if not chunk:
                        raise EOFError(f"the file ends in entry {entry} of {count}")
                    buffer, at = buffer[at:] + chunk, 0
                    space = buffer.find(b" ")
                row = row_of.pop(buffer[at:space].lstrip(b"\n"), None)  # some writers end entries with a newline
                if row is not None:
                    matrix[row] = np.frombuffer(buffer, "<f4", dimension, space + 1)
                    if not _is_finite(matrix[row]):
                        raise DataError(f"{path}, entry {entry} of {count}: {_TOO_LARGE}")
                at = space + 1 + size
            if (buffer[at:] + stream.read(_CHUNK)).strip(b"\n"):
                raise DataError(f"{path}: there is more behind the {count} words that its first line announces")
    except BROKEN as error:
        raise DataError(f"{path}, entry {entry}: cannot be read: {error}") from error
    return matrix


def _open_word2vec(path: Path) -> IO[bytes] | Gunzipped:
    return Gunzipped(path) if path.suffix == ".gz" else path.open("rb")


def _word2vec_header(path: Path, stream: IO[bytes] | Gunzipped, dimension: int) -> int:
    header = stream.readline(100)
    try:
        count, found = map(int, header.split())
    except ValueError:
        raise DataError(f"{path}, line 1: expected the number of words and the dimension, found {header!r}") from None
    if count < 1:
        raise DataError(f"{path}, line 1: it announces {count} words; the file is damaged, download it again")
    if found != dimension:
        raise DataError(
            f"{path}, line 1: its vectors have {found} dimensions, the Embedding has {dimension}; "
            "replace the file (`bench data list` says how)"
        )
    return count
