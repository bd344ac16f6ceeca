"""What the timing passes of cells measured beside epochs, and which numerics stand for a variant's times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from bench.measure.steps import step_seconds
from bench.records.metrics import is_headline
from bench.records.record import Record
from bench.report import tables
from bench.report.tables import CASE, VARIANT, Results

DIFFERENT = 0.05
"""Times of two numerics that differ by more than this share stand side by side."""
ORDER = ("native", "matched", "documented")
"""Which numerics stand for a variant's times: what users run comes first."""
LEAST_FOR = {95: 20, 99: 100}
"""Samples from which a percentile of latencies says more than their maximum."""

_COLUMNS = [
    *CASE, "column", *VARIANT, "step", "step_low", "step_high", "samples", "first_step", "compile", "input", "p50",
    "p95", "p99", "throughput", "host_memory", "device_memory", "noise", "flops", "bytes", "flops_rate",
    "flops_share", "bytes_rate", "bytes_share",
]  # fmt: skip


@tables.once
def passes(results: Results) -> pd.DataFrame:
    """Return one row per case and variant that was timed, alone in its process; seconds, bytes, and shares (0 to 1).

    A figure is the median over processes. step_low, step_high: quartiles of the `samples` step times, all processes
    together; p50, p95, p99: of all latencies (None below `LEAST_FOR` samples); throughput: rows/s of inference; input:
    its share of a step; host_memory, device_memory: peaks; noise: the highest spread of a busy loop before a run; flops
    and bytes: per step, counted; flops_rate and bytes_rate: those over the step's seconds; flops_share and bytes_share:
    of what the machine gives at most.
    """
    rows: list[dict[str, Any]] = []
    timed = results.timing_groups
    for suite, case in results.cases():
        for variant, records in sorted(timed.get((suite.name, case.name), {}).items()):
            ok = [record for record in records if record.status == "ok" and is_headline(record)]
            place = {"suite": suite.name, "case": case.name, "column": results.columns[suite.name, case.name, variant]}
            rows.append({**place, **vars(variant), **_timed(ok), **_costs(ok)})
    return tables.frame(rows, _COLUMNS)


def _timed(records: Sequence[Record]) -> dict[str, Any]:
    timings = [record.timing for record in records if record.timing]
    row: dict[str, Any] = {
        name: _median(getattr(timing, name) for timing in timings)
        for name in ("step", "first_step", "compile", "throughput")
    }
    row["input"] = _median(timing.input / timing.step for timing in timings if timing.input and timing.step)
    slopes = [seconds for timing in timings for seconds in step_seconds(timing.windows)]
    if slopes:
        low, high = np.quantile(slopes, [0.25, 0.75])
        row |= {"samples": len(slopes), "step_low": low, "step_high": high}
    latencies = np.concatenate([np.empty(0), *(np.asarray(timing.latency, dtype=float) for timing in timings)])
    told = [percent for percent in (50, 95, 99) if len(latencies) >= LEAST_FOR.get(percent, 1)]
    if told:
        row |= zip([f"p{percent}" for percent in told], np.percentile(latencies, told), strict=True)
    row["noise"] = max((timing.noise for timing in timings if timing.noise is not None), default=None)
    for name in ("host", "device"):
        row[f"{name}_memory"] = _median((record.memory or {}).get(f"{name}_peak_bytes") for record in records)
    return row


def _costs(records: Sequence[Record]) -> dict[str, Any]:
    costs = [(record.cost, record.timing.step) for record in records if record.cost and record.timing]
    timed = [(cost, step) for cost, step in costs if step]
    return {
        "flops": _median(cost.flops for cost, _ in costs),
        "bytes": _median(cost.bytes for cost, _ in costs),
        "flops_rate": _median(cost.flops / step for cost, step in timed),
        "flops_share": _median(cost.flops / step / cost.peak_flops for cost, step in timed if cost.peak_flops),
        "bytes_rate": _median(cost.bytes / step for cost, step in timed),
        "bytes_share": _median(cost.bytes / step / cost.bandwidth for cost, step in timed if cost.bandwidth),
    }


def _median(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return median(found) if found else None


def headlines(rows: Iterable[Mapping[Any, Any]]) -> tuple[list[Mapping[Any, Any]], list[Mapping[Any, Any]]]:
    """Divide the rows of one case into those to be shown and those that another one stands for.

    Of the numerics of one backend, kernel and device the first of `ORDER` that was timed is shown, and of the others
    those whose step takes more than `DIFFERENT` longer or shorter. Times from accuracy runs are shown only where there
    are no others; what did not end ok is shown.
    """
    groups: dict[tuple[Any, ...], list[Mapping[Any, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in ("backend", "kernel", "device")), []).append(row)
    shown: list[Mapping[Any, Any]] = []
    left_out: list[Mapping[Any, Any]] = []
    for members in groups.values():
        ranked = sorted(members, key=lambda row: (not row["headline"], _rank(str(row["numerics"]))))
        first = next((row for row in ranked if row["step"] is not None), None)
        for row in ranked:
            stands = first is not None and row is not first and row["step"] is not None and _says_the_same(row, first)
            (left_out if stands else shown).append(row)
    return shown, left_out


def _says_the_same(row: Mapping[Any, Any], first: Mapping[Any, Any]) -> bool:
    return bool(row["headline"] != first["headline"] or abs(row["step"] / first["step"] - 1) <= DIFFERENT)


def _rank(numerics: str) -> tuple[int, str]:
    return (ORDER.index(numerics) if numerics in ORDER else len(ORDER), numerics)
