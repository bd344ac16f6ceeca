"""What the rows of every topic begin with, how they are made once, and which stand for the main tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TypeVar

from bench.backends.registry import backends
from bench.report.results import Column, Results, Variant

Made = TypeVar("Made")
Key = TypeVar("Key")
Item = TypeVar("Item")


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
        if make not in results.made:
            results.made[make] = make(results)
        found: Made = results.made[make]
        return found

    return made


def grouped(rows: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Return rows by their key, groups and rows in the order in which they come."""
    groups: dict[Key, list[Item]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def columns_of(rows: Iterable[Row]) -> list[Column]:
    """Return the columns in which rows stand, in the order in which tables show them."""
    return sorted({row.column for row in rows if row.column is not None})


def reference_order(backend: str) -> int | None:
    """Return a backend's place among those that others are set against, the documents' own first; None without one."""
    info = backends().get(backend)
    return info.reference if info else None


MAIN, MATCHED, NATIVE = "documented", "matched", "native"
"""The numerics of the reports' main tables, against which those of today's Keras and of each framework are set."""


def main_rows(rows: Sequence[SomeRow]) -> list[SomeRow]:
    """Return the rows under documented numerics, and those of what has not run; where nothing is, all rows."""
    main = [row for row in rows if row.variant is None or row.variant.numerics == MAIN]
    return main if any(row.variant for row in main) else list(rows)
