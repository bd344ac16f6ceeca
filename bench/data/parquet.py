"""Columns of a Parquet file, as NumPy arrays and texts. pyarrow reads it, an extra."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.packed import BROKEN, require_memory, require_room
from bench.errors import DataError, Unavailable, install, unknown

_ROWS = 1024
"""Rows that are read before their size is looked at."""


def columns(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return the named columns, pyarrow arrays without nulls, dictionaries resolved.

    Raises `Unavailable` without pyarrow; `DataError` for a file that is not Parquet, a name that it does not hold, a
    null, and columns that exceed the free memory or what such a file may unpack to.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise Unavailable(f"{path.name} needs pyarrow; {install('parquet')}") from None
    try:
        held = {field.name: field.type for field in pq.read_schema(path)}
        for name in names:
            if name not in held:
                raise DataError(f"{path}: {unknown('column', name, held)}")
        repeating = [name for name in names if pa.types.is_string(held[name])]
        with pq.ParquetFile(path, read_dictionary=repeating) as file:
            groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
            require_memory(path, sum(group.total_byte_size for group in groups))
            batches = list(_batches(path, file, list(names)))
            table = pa.Table.from_batches(batches) if batches else file.read(columns=list(names))
        found = {}
        for name in names:
            column = table.column(name).combine_chunks()
            if pa.types.is_dictionary(column.type):
                column = column.dictionary_decode()
            column.validate(full=True)  # texts are UTF-8, lists end within their items
            _require_no_null(path, name, column)
            found[name] = column
    except (pa.ArrowException, *BROKEN) as error:
        raise DataError(f"{path} is not a Parquet file: {error}") from error
    return found


def _batches(path: Path, file: Any, names: list[str]) -> Iterator[Any]:
    """Yield the rows of a file until they hold more than it may unpack to; texts that repeat are held once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    size = 0
    for batch in file.iter_batches(_ROWS, columns=names):
        size += batch.nbytes
        for column in batch.columns:
            if pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type):
                size += pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0
        require_room(path, size)
        yield batch


def _require_no_null(path: Path, name: str, column: Any) -> None:
    if column.null_count:
        row = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0]
        raise DataError(f"{path}, column {name}, row {row}: null; fill it or leave the row out")


def is_list(column: Any) -> bool:
    """Return whether a column holds a list in every row."""
    import pyarrow as pa

    return bool(
        pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type)
    )


def numbers(path: Path, name: str, column: Any) -> NDArray[Any]:
    """Return a column of numbers; raise `DataError` for any other."""
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"{path}, column {name}: holds {kind}, not numbers; convert it to numbers")
    return np.asarray(column.to_numpy(zero_copy_only=False))


def ragged(path: Path, name: str, column: Any) -> tuple[Any, NDArray[np.int64]]:
    """Return the items of all lists, one list after the other, and the length of each; raise `DataError` for a null."""
    import pyarrow.compute as pc

    lengths = np.asarray(pc.list_value_length(column).to_numpy(zero_copy_only=False), np.int64)
    items = pc.list_flatten(column)
    if items.null_count:
        place = np.flatnonzero(items.is_null().to_numpy(zero_copy_only=False))[0]
        row = np.searchsorted(np.cumsum(lengths), place, side="right")
        raise DataError(f"{path}, column {name}, row {row}: a null in the list; fill it or leave the row out")
    return items, lengths


def texts(path: Path, name: str, column: Any) -> list[str]:
    """Return a column of texts; raise `DataError` for any other."""
    import pyarrow as pa

    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(f"{path}, column {name}: holds {column.type}, not texts; name the column of the texts")
    return list(column.to_pylist())
