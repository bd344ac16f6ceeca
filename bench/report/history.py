"""A history as text, as JSON and as a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from bench.cell import Cell
from bench.errors import UsageError
from bench.history import SEGMENT, Change, Series
from bench.quantities import Quantity

MOST_DRAWN = 40
"""Panels of one drawing."""


def text(found: Sequence[Series], quantity: Quantity) -> str:
    """Return a table per series, oldest run first, with a line for every change of level."""
    blocks = []
    for one in found:
        starts = {change.at: change for change in one.changes}
        rows = []
        for place, point in enumerate(one.points):
            value = shown(point.value, quantity) + (
                f"  ← new level{_percent(starts[place])}" if place in starts else ""
            )
            rows.append([point.started, point.run, point.commit, point.n, value])
        table = tabulate(rows, ["started", "run", "commit", "n", quantity.title], disable_numparse=True)
        lines = [f"{one.cell}  ({one.profile}, data {one.data[:8]})", one.machine, "", table]
        for change in one.changes:
            at = one.points[change.at]
            lines.append(
                f"A new level begins with run {at.run}, commit {at.commit}: {shown(change.before, quantity)} → "
                f"{shown(change.after, quantity)}{_percent(change)}; {_what(change)}"
            )
        if len(one.points) < 2 * SEGMENT and not one.changes:
            lines.append(f"A change of level is looked for from {2 * SEGMENT} runs on.")
        elif not one.changes:
            lines.append(f"No change of level in {len(one.points)} runs.")
        blocks.append("\n".join(lines))
    return printable("\n\n".join(blocks))


def as_json(found: Sequence[Series], quantity: Quantity) -> dict[str, Any]:
    """Return the series as plain JSON values, in the quantity's unit."""
    return {"metric": quantity.name, "unit": quantity.unit, "series": [asdict(one) for one in found]}


def draw(found: Sequence[Series], quantity: Quantity, path: Path) -> None:
    """Draw a panel per series into an SVG, PNG or PDF file; raise `UsageError` for another ending or too many."""
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise UsageError(f"--out {path}: the ending says how to draw; use .svg, .png or .pdf")
    if len(found) > MOST_DRAWN:
        raise UsageError(f"{len(found)} series are too many for one drawing, at most {MOST_DRAWN}; narrow the PATTERN")
    from matplotlib.figure import Figure

    from bench.report.style import DPI, VERMILLION, WIDTH, colour, ink, marker, metadata, style

    with style("light"):
        figure = Figure(figsize=(WIDTH, 2.6 * len(found)), layout="constrained")
        panels = figure.subplots(len(found), 1, squeeze=False)[:, 0]
        for axes, one in zip(panels, found, strict=True):
            values = [point.value for point in one.points]
            backend = Cell.parse(f"{one.cell}#0").backend
            axes.plot(
                range(len(values)),
                values,
                marker(backend),
                ls="-",
                lw=0.8,
                color=colour(backend, "light"),
                markersize=4,
            )
            for change in one.changes:
                axes.axvline(change.at - 0.5, color=VERMILLION, linewidth=1, linestyle="--")
                axes.annotate(
                    f"{one.points[change.at].commit}{_percent(change)}",
                    (change.at - 0.5, 1.0),
                    xycoords=("data", "axes fraction"),
                    xytext=(3, -10),
                    textcoords="offset points",
                    fontsize=7.5,
                    color=ink("light"),
                )
            axes.set_title(f"{printable(one.cell)} ({one.profile}) on {printable(one.machine)}", fontsize=8)
            axes.set_ylabel(f"{quantity.title}{f', {quantity.unit}' if quantity.unit else ''}", fontsize=8)
            axes.set_xticks(
                range(len(values)),
                [printable(f"{point.run}\n{point.commit}") for point in one.points],
                fontsize=6.5,
                rotation=90 if len(values) > 8 else 0,
            )
            axes.margins(y=0.2)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata=metadata(path.suffix), dpi=DPI)


def shown(value: float, quantity: Quantity) -> str:
    """Return a value as people read it: milliseconds below a second, megabytes, points of accuracy in percent."""
    if quantity.unit == "s":
        return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
    if quantity.unit == "bytes":
        return f"{value / 1e6:,.1f} MB"
    if quantity.kind == "count":
        return f"{value:,.0f}"
    if quantity.name == "accuracy":
        return f"{value:.2%}"
    return f"{value:.4g}{f' {quantity.unit}' if quantity.unit else ''}"


def _percent(change: Change) -> str:
    return f" ({change.after / change.before - 1:+.1%})" if change.before else ""


def _what(change: Change) -> str:
    return f"changed there: {', '.join(change.what)}" if change.what else "nothing in the environment changed there"


def printable(text: str) -> str:
    """Return `text` without control characters: names in stores and imported files may steer no terminal."""
    return "".join(mark if mark.isprintable() or mark == "\n" else "?" for mark in text)
