"""Records as a flat frame: one row per cell, its end figures and the medians of its times."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

import pandas as pd

from bench.records.record import VARIANT, Cost, Record


def cells(records: Iterable[Record]) -> pd.DataFrame:
    """Return one flat row per record: the cell, what became of it, its end figures, medians of its times; no curves."""
    return pd.DataFrame([_flat(record) for record in records])


_TIMES = (
    "first_epoch", "build", "total", "steps", "alone", "step", "first_step", "compile", "input", "throughput", "noise",
)  # fmt: skip


def _flat(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: getattr(record, name) for name in ("suite", "case", *VARIANT, "seed", "repeat", "profile", "measure")
    }
    row |= {"status": record.status, "reason": record.reason, "started": record.started, "seconds": record.seconds}
    parameters = record.parameters
    for name in ("total", "trainable", "frozen", "stored"):
        row[f"parameters_{name}"] = getattr(parameters, name) if parameters else None
    metrics = record.metrics
    row["epochs_run"] = len(metrics.epochs) if metrics else None
    for which in ("last", "best"):
        weights = getattr(metrics, which) if metrics else None
        row[f"{which}_epoch"] = weights.epoch if weights else None
        for part in ("train", "validation", "test"):
            score = getattr(weights, part) if weights else None
            for figure in ("loss", "accuracy", "rows"):
                row[f"{which}_{part}_{figure}"] = getattr(score, figure) if score else None
    timing = record.timing
    row["epoch_seconds"] = median(timing.epochs) if timing and timing.epochs else None
    for name in _TIMES:
        row[f"timing_{name}"] = getattr(timing, name) if timing else None
    row["timing_latency"] = median(timing.latency) if timing and timing.latency else None
    row |= {f"cost_{name}": getattr(record.cost, name) if record.cost else None for name in Cost.__struct_fields__}
    row |= {f"memory_{name}": value for name, value in (record.memory or {}).items()}
    data = record.data
    row["data"], row["data_sha256"] = (data.name, data.sha256) if data else (None, None)
    row["stand_in"] = data.stand_in if data else None
    row["error"] = record.failure.error if record.failure else None
    return row
