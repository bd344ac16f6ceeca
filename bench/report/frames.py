"""How topics make frames of results: once each, and which rows stand for the main tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import pandas as pd

from bench.backends.registry import backends
from bench.records.record import CASE, VARIANT
from bench.report.results import Results, Variant


def once(make: Callable[[Results], pd.DataFrame]) -> Callable[[Results], pd.DataFrame]:
    """Decorate a function so that its frame is made once for each `Results`; nobody may change it."""

    @wraps(make)
    def made(results: Results) -> pd.DataFrame:
        return results.once(f"{make.__module__}.{make.__name__}", make)

    return made


def frame_of(rows: Sequence[Mapping[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Return rows as a frame of Python objects in which None, and nothing else, stands for a missing value."""
    values = [[None if row.get(name) != row.get(name) else row.get(name) for name in columns] for row in rows]  # nan
    return pd.DataFrame(values, columns=columns, dtype=object)


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


def main_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows under documented numerics, and those of what has not run; where nothing is, all rows."""
    main = frame["numerics"] == MAIN
    return frame[main | frame["numerics"].isna()] if main.any() else frame


def key_of(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in (*CASE, *VARIANT))


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
    column: str | None
