"""Arrays of an `.npz` file that a user brings: nothing in it is executed, and nothing larger than announced is read."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.packed import BROKEN, require_memory, require_room
from bench.errors import DataError, unknown

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
Unpickle = Callable[[bytes, int], Any]
"""What makes an array of so many Python objects of its pickle; raises `ValueError`."""


def load(path: Path, names: Sequence[str] | None = None, unpickle: Unpickle | None = None) -> dict[str, Any]:
    """Return the named arrays, all by default; those of Python objects as `unpickle` makes them.

    Raises `DataError` for a file that is no archive of arrays, a name that it does not hold, Python objects without
    `unpickle`, and arrays that exceed the free memory or what such a file may unpack to.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            for name in names or ():
                if name not in members:
                    raise DataError(f"{path}: {unknown('array', name, members)}")
            wanted = {name: members[name] for name in (members if names is None else names)}
            size = sum(member.file_size for member in wanted.values())
            require_room(path, size)
            require_memory(path, size)
            return {name: _read(archive, member, f"{path}, {name}", unpickle) for name, member in wanted.items()}
    except BROKEN as error:
        raise DataError(f"{path} is not an archive as np.savez writes it: {error}") from error


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str, unpickle: Unpickle | None) -> Any:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"{member.filename} has the array format {version}")
        try:
            shape, by_column, dtype = _HEADERS[version](stream)
        except MemoryError:  # how Python refuses deep expressions
            raise ValueError(f"{member.filename} has no header") from None
        if dtype.hasobject and unpickle and len(shape) == 1:
            return unpickle(stream.read(), shape[0])
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
