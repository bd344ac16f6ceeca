"""Records as a flat frame: one row per cell, its end figures and the medians of its times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any, get_origin, get_type_hints

import msgspec
import pandas as pd

from bench.cases.parameters import Parameters
from bench.records.record import CASE, VARIANT, Cost, Record, Score, Timing, at


def cells(records: Iterable[Record]) -> pd.DataFrame:
    """Return one flat row per record: the cell, what became of it, its end figures, medians of its times; no curves."""
    return pd.DataFrame([_flat(record) for record in records])


def _flat(record: Record) -> dict[str, Any]:
    row = {column: at(record, path) for column, path in _COLUMNS.items()}
    for column, summary in _SUMMARIES.items():
        row[column] = None if row[column] is None else summary(row[column])
    return row | {f"memory_{name}": value for name, value in (record.memory or {}).items()}


def _columns() -> dict[str, str]:
    """Return where in a record each column comes from: those of its parts are their single values."""
    known = (*CASE, *VARIANT, "seed", "repeat", "profile", "measure", "status", "reason", "started", "seconds")
    columns = {name: name for name in (*known, "neighbours")} | _below("parameters", Parameters)
    columns["epochs_run"] = "metrics.epochs"
    for which in ("last", "best"):
        columns[f"{which}_epoch"] = f"metrics.{which}.epoch"
        for rows in ("train", "validation", "test"):
            columns |= _below(f"metrics.{which}.{rows}", Score)
    columns["epoch_seconds"] = "timing.epochs"
    columns |= _below("timing", Timing) | {"timing_latency": "timing.latency"} | _below("cost", Cost)
    return columns | {
        "data": "data.name", "data_sha256": "data.sha256", "stand_in": "data.stand_in", "error": "failure.error",
    }  # fmt: skip


def _below(path: str, part: type[msgspec.Struct]) -> dict[str, str]:
    single = [name for name, kind in get_type_hints(part).items() if get_origin(kind) is not list]
    prefix = path.removeprefix("metrics.").replace(".", "_")
    return {f"{prefix}_{name}": f"{path}.{name}" for name in single}


def _median(figures: list[float]) -> float | None:
    return median(figures) if figures else None


_COLUMNS = _columns()
_SUMMARIES: dict[str, Callable[[Any], Any]] = {"epochs_run": len, "epoch_seconds": _median, "timing_latency": _median}
"""What a column says of a list."""
