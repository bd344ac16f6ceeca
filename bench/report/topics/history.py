"""A history as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from bench.compare.history import SEGMENT, Change, Series
from bench.records.metrics import Metric


def text(found: Sequence[Series], metric: Metric) -> str:
    """Return a table per series, oldest run first, with a line for every change of level."""
    blocks = []
    for one in found:
        starts = {change.at: change for change in one.changes}
        rows = []
        for place, point in enumerate(one.points):
            value = metric.text(point.value) + (f"  ← new level{percent(starts[place])}" if place in starts else "")
            rows.append([point.started, point.run, point.commit, point.n, value])
        table = tabulate(rows, ["started", "run", "commit", "n", metric.title], disable_numparse=True)
        lines = [f"{one.cell}  ({one.profile}, data {one.data[:8]})", one.machine, "", table]
        for change in one.changes:
            at = one.points[change.at]
            lines.append(
                f"A new level begins with run {at.run}, commit {at.commit}: {metric.text(change.before)} → "
                f"{metric.text(change.after)}{percent(change)}; {_what(change)}"
            )
        if len(one.points) < 2 * SEGMENT and not one.changes:
            lines.append(f"A change of level is looked for from {2 * SEGMENT} runs on.")
        elif not one.changes:
            lines.append(f"No change of level in {len(one.points)} runs.")
        blocks.append("\n".join(lines))
    return printable("\n\n".join(blocks))


def as_json(found: Sequence[Series], metric: Metric) -> dict[str, Any]:
    """Return the series as plain JSON values, in the metric's unit."""
    return {"metric": metric.name, "unit": metric.unit, "series": [asdict(one) for one in found]}


def percent(change: Change) -> str:
    """Return by how much the level changed, in brackets."""
    return f" ({change.after / change.before - 1:+.1%})" if change.before else ""


def _what(change: Change) -> str:
    return f"changed there: {', '.join(change.what)}" if change.what else "nothing in the environment changed there"


def printable(text: str) -> str:
    """Return `text` without control characters: names in stores and imported files may steer no terminal."""
    return "".join(mark if mark.isprintable() or mark == "\n" else "?" for mark in text)
