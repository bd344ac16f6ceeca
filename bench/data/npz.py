"""Arrays of an `.npz` file that a user brings: nothing in it is executed, and nothing larger than announced is read."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from bench.errors import DataError, unknown

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def load(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the named arrays.

    Raises `DataError` for a file that is no archive of arrays, a name that it does not hold, Python objects, and arrays
    that exceed the free memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            for name in names:
                if name not in members:
                    raise DataError(f"{path}: {unknown('array', name, members)}")
            require_memory(path, sum(members[name].file_size for name in names))
            return {name: _read(archive, members[name], f"{path}, {name}") for name in names}
    except (
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError, RuntimeError),
        *(ValueError, TypeError, OverflowError, SyntaxError, tokenize.TokenError),
    ) as error:
        raise DataError(f"{path} is not an archive as np.savez writes it: {error}") from error


def require_memory(path: Path, wanted: int) -> None:
    """Raise `DataError` where arrays of so many bytes do not fit into the memory that is free."""
    free = psutil.virtual_memory().available
    if wanted > free:
        raise DataError(
            f"{path} unpacks to {wanted / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are free; give fewer rows"
        )


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str) -> NDArray[Any]:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"{member.filename} has the array format {version}")
        shape, by_column, dtype = _HEADERS[version](stream)
        if dtype.hasobject:
            raise DataError(
                f"{place}: holds Python objects, which are not read; save numbers, as in "
                "np.asarray(rows, np.float32), and rows of different lengths padded or in a Parquet file"
            )
        announced = prod(shape) * dtype.itemsize
        if announced != member.file_size - stream.tell():
            raise ValueError(f"{member.filename} announces {announced:,} bytes and holds others")
        content = stream.read()
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")
