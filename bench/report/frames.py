"""What the rows of every topic begin with, how they are made once, and which stand for the main tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any, TypeVar, overload

import pandas as pd

from bench.backends.registry import backends
from bench.records.record import CASE, VARIANT
from bench.report.results import Column, Results, Variant

Made = TypeVar("Made")
Key = TypeVar("Key")
AnyRow = TypeVar("AnyRow")


@dataclass(frozen=True)
class CaseRow:
    """A row about a case: what every topic's rows begin with."""

    suite: str
    case: str

    @property
    def name(self) -> str:
        """Return `suite/case`."""
        return f"{self.suite}/{self.case}"


@dataclass(frozen=True)
class Row(CaseRow):
    """A row about a case under a variant, in the column where that stands; both None where the case has not run."""

    variant: Variant | None
    column: Column | None

    @property
    def source(self) -> str:
        """Return the column with the kernel, as tables name it; the empty string where the case has not run."""
        if self.variant is None or self.column is None:
            return ""
        kernel = self.variant.kernel
        return self.column if kernel == "none" else f"{self.column.setting} {kernel}"


@dataclass(frozen=True)
class VariantRow(Row):
    """A row about a case under a variant that has run."""

    variant: Variant
    column: Column


SomeRow = TypeVar("SomeRow", bound=Row)


def once(make: Callable[[Results], Made]) -> Callable[[Results], Made]:
    """Decorate a function so that what it makes of a `Results` is made once; nobody may change it."""

    @wraps(make)
    def made(results: Results) -> Made:
        return results.once(make)

    return made


def grouped(rows: Iterable[AnyRow], key: Callable[[AnyRow], Key]) -> dict[Key, list[AnyRow]]:
    """Return rows by their key, groups and rows in the order in which they come."""
    groups: dict[Key, list[AnyRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def columns_of(rows: Iterable[Row]) -> list[Column]:
    """Return the columns in which rows stand, in the order in which tables show them."""
    return sorted({row.column for row in rows if row.column is not None})


def frame_of(rows: Sequence[Mapping[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Return rows as a frame of Python objects in which None, and nothing else, stands for a missing value."""
    values = [[None if row.get(name) != row.get(name) else row.get(name) for name in columns] for row in rows]  # nan
    return pd.DataFrame(values, columns=columns, dtype=object)


def as_frame(rows: Sequence[CaseRow], kind: type[CaseRow]) -> pd.DataFrame:
    """Return rows of a kind as a flat frame, the parts of the variant as columns of their own."""
    names = [part for field in fields(kind) for part in (VARIANT if field.name == "variant" else [field.name])]
    return frame_of([vars(row) | (vars(row.variant) if isinstance(row, VariantRow) else {}) for row in rows], names)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame by column name: `to_dict("records")`, many times as fast on frames of objects."""
    names = list(frame.columns)
    return [dict(zip(names, row, strict=True)) for row in frame.to_numpy().tolist()]


def reference_order(backend: str) -> int | None:
    """Return a backend's place among those that others are set against, the documents' own first; None without one."""
    info = backends().get(backend)
    return info.reference if info else None


MAIN, MATCHED, NATIVE = "documented", "matched", "native"
"""The numerics of the reports' main tables, against which those of today's Keras and of each framework are set."""


@overload
def main_rows(rows: pd.DataFrame) -> pd.DataFrame: ...


@overload
def main_rows(rows: Sequence[SomeRow]) -> list[SomeRow]: ...


def main_rows(rows: pd.DataFrame | Sequence[SomeRow]) -> pd.DataFrame | list[SomeRow]:
    """Return the rows under documented numerics, and those of what has not run; where nothing is, all rows."""
    if isinstance(rows, pd.DataFrame):
        main = rows["numerics"] == MAIN
        return rows[main | rows["numerics"].isna()] if main.any() else rows
    if not any(row.variant and row.variant.numerics == MAIN for row in rows):
        return list(rows)
    return [row for row in rows if row.variant is None or row.variant.numerics == MAIN]


def key_of(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    """Return what tells the rows of a frame apart: suite, case and the parts of the variant."""
    return tuple(row[name] for name in (*CASE, *VARIANT))
