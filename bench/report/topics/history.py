"""A history as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from bench.compare.history import SEGMENT, Change, Series
from bench.records.metrics import Metric
from bench.shown import printable


def text(found: Sequence[Series], metric: Metric) -> str:
    """Return a table per series, oldest run first, with a line for every change of level."""
    return printable("\n\n".join(_block(series, metric) for series in found))


def _block(series: Series, metric: Metric) -> str:
    starts = {change.at: f"  ← new level{percent(change)}" for change in series.changes}
    rows = [
        (
            point.started[:16].replace("T", " "),
            point.run,
            point.commit,
            point.n,
            metric.text(point.value) + starts.get(place, ""),
        )
        for place, point in enumerate(series.points)
    ]
    table = tabulate(rows, ["started", "run", "commit", "n", metric.title], disable_numparse=True)
    lines = [f"{series.cell}  ({series.profile}, data {series.data[:8]})", series.machine, "", table]
    for change in series.changes:
        at, what = series.points[change.at], f"Changed there: {', '.join(change.what)}."
        lines.append(
            f"New level from run {at.run}, commit {at.commit}: {metric.text(change.before)} → "
            f"{metric.text(change.after)}{percent(change)}. {what if change.what else 'Same environment.'}"
        )
    if not series.changes:
        few = f"Too few runs for a change of level: {len(series.points)} of {2 * SEGMENT}."
        none = f"No change of level in {len(series.points)} runs."
        lines.append(few if len(series.points) < 2 * SEGMENT else none)
    return "\n".join(lines)


def as_json(found: Sequence[Series], metric: Metric) -> dict[str, Any]:
    """Return the series as plain JSON values, in the metric's unit."""
    return {"metric": metric.name, "unit": metric.unit, "series": [asdict(series) for series in found]}


def percent(change: Change) -> str:
    """Return by how much the level changed, after minus before, in brackets."""
    return f" ({change.after / change.before - 1:+.1%})" if change.before else ""
