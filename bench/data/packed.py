"""Packed files: how much they may unpack to, and what broken ones raise."""

from __future__ import annotations

import lzma
import struct
import tarfile
import tokenize
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import psutil
from isal import igzip, isal_zlib

from bench.errors import DataError

ROOM, RATIO, TEXT_RATIO = 64_000_000, 100, 20
"""Bytes that any file may unpack to, twice what `imdb.npz` does, and how many times its own size: zeros that pad arrays
pack well; of the documented texts, those of aclImdb do best, to a quarter."""
BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, LookupError),
    *(ValueError, TypeError, ArithmeticError, SyntaxError, tokenize.TokenError, struct.error),
    cast(type[Exception], isal_zlib.error),  # isal's stub takes the class for an instance
)
"""What the readers of zip, tar, gzip and NumPy raise when somebody made up the file, by fuzzing (`nox -s fuzz`)."""


def _room(path: Path, ratio: int) -> int:
    return max(ROOM, ratio * path.stat().st_size)


def require_room(path: Path, size: int, ratio: int = RATIO) -> None:
    """Raise `DataError` where a file unpacks to more than it may, `ratio` times its size."""
    if size > (room := _room(path, ratio)):
        more = f"more than {room / 1e6:,.0f} MB, over {ratio} times its size"
        raise DataError(f"{path} unpacks to {more}; unpack it yourself, and name what comes out")


def require_memory(path: Path, wanted: int) -> None:
    """Raise `DataError` where what a file holds, so many bytes, does not fit into the memory that is free."""
    free = psutil.virtual_memory().available
    if wanted > free:
        raise DataError(
            f"{path} takes {wanted / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are free; give fewer rows"
        )


class Gunzipped:
    """A `.gz` of texts to read from, a context manager; `piece`: the most bytes that can be asked for at once.

    Raises `DataError` where it unpacks to more than it may, `ValueError` for too large a piece.
    """

    def __init__(self, path: Path, piece: int | None = None) -> None:
        self._path, self._piece, self._most = path, piece, _room(path, TEXT_RATIO)
        self._stream = cast(IO[bytes], igzip.open(path))  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stream.close()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, all that is left by default."""
        if self._piece is not None and size > self._piece:
            raise ValueError(f"{size:,} bytes in one piece, and {self._piece:,} are allowed")
        content = self._stream.read(self._most + 1 if size < 0 else size)
        if self._stream.tell() > self._most:
            require_room(self._path, self._stream.tell(), TEXT_RATIO)
        return content

    def readline(self, size: int) -> bytes:
        """Return the next line, or the first bytes of a longer one."""
        return self._stream.readline(size)

    def seek(self, place: int) -> int:
        """Go on at a place; what lies before it is unpacked, too."""
        return self._stream.seek(min(place, self._most + 1))

    def tell(self) -> int:
        """Return the place."""
        return self._stream.tell()
