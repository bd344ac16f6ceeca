"""Rows and labels of a user's own arrays (`bench.spec.Arrays`), checked against what their declaration says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.data import npz, parquet, split
from bench.data.dataset import Ragged, offsets_of
from bench.data.text import pad_sequences
from bench.errors import DataError
from bench.spec import Arrays


class Part(NamedTuple):
    """Rows, (n, maxlen) int32 ids or (n, *shape) float32, and labels, (n,) int32."""

    x: NDArray[Any]
    y: NDArray[np.int32]


def load(data: Arrays, files: Mapping[str, Path]) -> dict[str, Part]:
    """Return the parts of `data`; `files` are the paths of the files that it names.

    Raises `DataError` with the file, the array or column, the row and the remedy.
    """
    wanted: dict[str, tuple[Path, str | tuple[str, ...], str]] = {"train": (files[data.file], data.x, data.y)}
    drawn: dict[str, float] = {}
    for part, said in (("test", data.test), ("validation", data.validation)):
        if isinstance(said, float):
            drawn[part] = said
        elif isinstance(said, str):
            wanted[part] = files[said], data.x, data.y
        elif said is not None:
            wanted[part] = files[data.file], *said
    if data.file.endswith(".npz"):
        names = [name for _, x, y in wanted.values() for name in (x, y) if isinstance(name, str)]
        held = npz.load(files[data.file], names)
        parts = {part: _of_npz(data, path, held, str(x), y) for part, (path, x, y) in wanted.items()}
    else:
        parts = {part: _of_parquet(data, path) for part, (path, _, _) in wanted.items()}
    if drawn:
        whole = parts.pop("train")
        rows = split.shares(files[data.file], whole.y, drawn, data.split_seed)
        parts = {part: Part(whole.x[chosen], whole.y[chosen]) for part, chosen in rows.items()} | parts
    return parts


def _of_npz(data: Arrays, path: Path, held: Mapping[str, NDArray[Any]], x: str, y: str) -> Part:
    place = f"{path}, {x}"
    rows = _ids(data, place, held[x]) if data.shape is None else _floats(data, place, held[x])
    return _part(rows, place, labels(f"{path}, {y}", held[y]), y)


def _of_parquet(data: Arrays, path: Path) -> Part:
    names = (data.x,) if isinstance(data.x, str) else data.x
    held = parquet.columns(path, [*names, data.y])
    place = f"{path}, column {names[0]}"
    if len(names) > 1 or not parquet.is_list(held[names[0]]):
        columns = [parquet.numbers(path, name, held[name]) for name in names]
        if data.shape is None:
            raise DataError(f"{place}: holds a number in a row, and num_words declares ids; ids are a column of lists")
        for name, column in zip(names, columns, strict=True):
            _require_finite(f"{path}, column {name}", column, column)
        rows: NDArray[Any] = _floats(data, place, np.stack(columns, axis=1))
    elif data.shape is None:
        items, lengths = parquet.ragged(path, names[0], held[names[0]])
        ids = parquet.numbers(path, names[0], items)
        _require_ids(data, place, ids, lambda at: int(np.searchsorted(np.cumsum(lengths), at, side="right")))
        sequences = Ragged(ids.astype(np.int32), offsets_of(lengths))
        assert data.maxlen is not None
        rows = pad_sequences(sequences, data.maxlen, data.padding, data.truncating)
    else:
        rows = _floats(data, place, _stacked(data, path, names[0], held[names[0]]))
    return _part(rows, place, labels(f"{path}, column {data.y}", parquet.numbers(path, data.y, held[data.y])), data.y)


def _stacked(data: Arrays, path: Path, name: str, column: Any) -> NDArray[Any]:
    """Return lists, or lists of lists, as an array of the declared shape."""
    assert data.shape is not None
    items, rows_each = column, 1
    for size in data.shape:
        if not parquet.is_list(items):
            raise DataError(f"{path}, column {name}: has no list for each of shape {data.shape}; declare its shape")
        items, lengths = parquet.ragged(path, name, items)
        wrong = np.flatnonzero(lengths != size)
        if len(wrong):
            raise DataError(
                f"{path}, column {name}, row {wrong[0] // rows_each}: {lengths[wrong[0]]} items, and shape "
                f"{data.shape} declares {size}; pad or cut the row, or declare its shape"
            )
        rows_each *= size
    return parquet.numbers(path, name, items).reshape(len(column), *data.shape)


def _part(rows: NDArray[Any], place: str, y: NDArray[np.int32], name: str) -> Part:
    if len(rows) != len(y):
        raise DataError(f"{place}: {len(rows):,} rows, and {name} has {len(y):,}; give every row a label")
    if not len(rows):
        raise DataError(f"{place}: no rows")
    return Part(rows, y)


def _ids(data: Arrays, place: str, x: NDArray[Any]) -> NDArray[np.int32]:
    if x.ndim != 2 or x.shape[1] != data.maxlen:
        raise DataError(f"{place}: has shape {x.shape}, and ids are (rows, {data.maxlen}), as maxlen declares")
    _require_ids(data, place, x.reshape(-1), lambda at: at // x.shape[1])
    return x.astype(np.int32)


def _require_ids(data: Arrays, place: str, ids: NDArray[Any], row_of: Callable[[int], int]) -> None:
    if ids.dtype.kind not in "iu":
        raise DataError(
            f"{place}: holds {ids.dtype}, and num_words declares ids; save integers, or declare shape for numbers"
        )
    assert data.num_words is not None
    strange = (ids < 0) | (ids >= data.num_words)
    if strange.any():
        first = int(strange.argmax())  # the places of all would take eight times the memory
        raise DataError(
            f"{place}, row {row_of(first)}: the id {ids[first]}; ids are 0 to {data.num_words - 1}, "
            "as num_words declares: raise it, or replace the id"
        )


def _floats(data: Arrays, place: str, x: NDArray[Any]) -> NDArray[np.float32]:
    if x.dtype.kind not in "biuf":
        raise DataError(f"{place}: holds {x.dtype}, not numbers; convert it, as in np.asarray(x, np.float32)")
    if x.shape[1:] != data.shape:
        expected = ", ".join(map(str, data.shape or ()))
        raise DataError(f"{place}: has shape {x.shape}, and (rows, {expected}) is declared; reshape it, or declare it")
    with np.errstate(over="ignore"):
        floats = x.astype(np.float32)
    _require_finite(place, x, floats)
    return floats


def _require_finite(place: str, x: NDArray[Any], floats: NDArray[Any]) -> None:
    """Raise `DataError` for the first number that is not finite as a float32."""
    strange = ~np.isfinite(floats)
    if strange.any():
        row, *within = map(int, np.unravel_index(strange.argmax(), strange.shape))
        where = f", at {tuple(within)}" if within else ""
        value = x[row, *within]
        what = f"{value} exceeds a float32" if np.isfinite(value) else str(value)
        raise DataError(f"{place}, row {row}{where}: {what}; fill it, or leave the row out")


def labels(place: str, y: NDArray[Any]) -> NDArray[np.int32]:
    """Return labels (n,) of whole numbers from 0 on; raise `DataError` for any others."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DataError(f"{place}: has shape {y.shape}, and labels are (rows,); of one-hot rows save y.argmax(1)")
    if y.dtype.kind not in "biuf":
        raise DataError(
            f"{place}: holds {y.dtype}, and labels are numbers from 0 on; save np.unique(y, return_inverse=True)[1]"
        )
    strange = np.flatnonzero(~((y >= 0) & (y < 2**31) & (y == np.floor(y))))
    if len(strange):
        raise DataError(f"{place}, row {strange[0]}: the label {y[strange[0]]}; labels are whole numbers from 0 on")
    return y.astype(np.int32)
