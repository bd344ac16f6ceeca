"""Texts and labels of a user's own tables (`bench.spec.TextCsv`), by the names of their columns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.data import csvfile, parquet, split
from bench.data.reviews import Texts
from bench.errors import DataError
from bench.spec import TextCsv


class _Table(NamedTuple):
    """Texts and labels, and what says where a row stands."""

    texts: list[str]
    labels: list[str]
    place: Callable[[int], str]


def load(data: TextCsv, files: Mapping[str, Path]) -> tuple[dict[str, Texts], list[str]]:
    """Return texts and labels, numbers from 0 on, of every part, and what the labels are called.

    `files` are the paths of the files that `data` names. Raises `DataError` with the file, the row or line, and the
    remedy.
    """
    tables = {"train": _table(data, files[data.file])}
    drawn: dict[str, float] = {}
    for part, said in (("test", data.test), ("validation", data.validation)):
        if isinstance(said, float):
            drawn[part] = said
        elif said is not None:
            tables[part] = _table(data, files[said])
    names = [str(label) for label in data.classes] or in_order(tables["train"].labels)
    parts = {part: (table.texts, _numbered(names, table)) for part, table in tables.items()}
    if drawn:
        texts, labels = parts.pop("train")
        rows = split.shares(files[data.file], labels, drawn, data.split_seed)
        taken = {
            part: ([texts[row] for row in chosen], [labels[row] for row in chosen]) for part, chosen in rows.items()
        }
        parts = taken | parts
    return parts, names


def _numbered(names: Sequence[str], table: _Table) -> list[int]:
    numbers = {name: number for number, name in enumerate(names)}
    for row, label in enumerate(table.labels):
        if label not in numbers:
            raise DataError(f"{table.place(row)}: the label {label!r}; labels are {', '.join(names)}")
    return [numbers[label] for label in table.labels]


def in_order(labels: Iterable[str]) -> list[str]:
    """Return the labels that occur, by value where all are whole numbers, else by their letters."""
    found = set(labels)
    try:
        return sorted(found, key=int)
    except ValueError:
        return sorted(found)


def _table(data: TextCsv, path: Path) -> _Table:
    if path.name.endswith(".parquet"):
        held = parquet.columns(path, [data.text, data.label])
        texts = parquet.texts(path, data.text, held[data.text])
        labels = _spelt(path, data.label, held[data.label])

        def place(row: int) -> str:
            return f"{path}, row {row}"
    else:
        (texts, labels), lines = csvfile.columns(path, [data.text, data.label])
        labels = [sys.intern(label.strip()) for label in labels]

        def place(row: int) -> str:
            return f"{path}, line {lines[row]}"

    for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
        if not text.strip():
            raise DataError(f"{place(row)}: the text is empty; leave the row out")
        if not label.strip():
            raise DataError(f"{place(row)}: the label is empty; leave the row out")
    if not texts:
        raise DataError(f"{path}: no rows")
    return _Table(texts, labels, place)


def _spelt(path: Path, name: str, column: Any) -> list[str]:
    """Return a column of labels as a CSV file would spell them."""
    values = column.to_pylist()
    for row, value in enumerate(values):
        if not isinstance(value, str | int) and not (isinstance(value, float) and value.is_integer()):
            raise DataError(f"{path}, column {name}, row {row}: the label {value!r}; labels are words or whole numbers")
    return [str(int(value)) if isinstance(value, float) else str(value) for value in values]
