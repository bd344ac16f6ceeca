"""A history as a drawing: a panel per series, a line where its level changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from matplotlib.figure import Figure

from bench.cases.cell import Cell
from bench.compare.history import Series
from bench.errors import UsageError
from bench.records.metrics import Metric
from bench.report.style import THEMES, WIDTH, Format, Theme, colour, ink, marker, save, style
from bench.report.topics import history
from bench.shown import printable

MOST_DRAWN = 40
"""Panels of one drawing."""


def draw(found: Sequence[Series], quantity: Metric, path: Path) -> list[Path]:
    """Draw a panel per series, once on a light and once on a dark ground, and return the files.

    For `h.svg` they are `h-light.svg` and `h-dark.svg`. Raises `UsageError` for an ending that is not .svg, .png or
    .pdf, and for more panels than one drawing holds.
    """
    formats = [known for known in get_args(Format) if path.suffix == f".{known}"]
    if not formats:
        raise UsageError(f"--out {path}: the ending says how to draw; use .svg, .png or .pdf")
    if len(found) > MOST_DRAWN:
        raise UsageError(f"{len(found)} series are too many for one drawing, at most {MOST_DRAWN}; narrow the PATTERN")
    drawn = []
    for theme in THEMES:
        with style(theme):
            drawn += save(_figure(found, quantity, theme), path.parent, path.stem, theme, formats)
    return drawn


def _figure(found: Sequence[Series], quantity: Metric, theme: Theme) -> Figure:
    """Return the panels, one below the other."""
    figure = Figure(figsize=(WIDTH, 2.6 * len(found)), layout="constrained")
    panels = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    for axes, series in zip(panels, found, strict=True):
        values = [point.value for point in series.points]
        backend = Cell.parse(f"{series.cell}#0").backend
        look = {"ls": "-", "lw": 0.8, "color": colour(backend, theme), "markersize": 4}
        axes.plot(range(len(values)), values, marker(backend), **look)
        for change in series.changes:
            axes.axvline(change.at - 0.5, color=ink(theme), linewidth=1, linestyle="--")
            axes.annotate(
                f"{series.points[change.at].commit}{history.percent(change)}",
                (change.at - 0.5, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, -10),
                textcoords="offset points",
                fontsize=7.5,
                color=ink(theme),
            )
        axes.set_title(f"{printable(series.cell)} ({series.profile}) on {printable(series.machine)}", fontsize=8)
        axes.set_ylabel(f"{quantity.title}{f', {quantity.unit}' if quantity.unit else ''}", fontsize=8)
        axes.set_xticks(
            range(len(values)),
            [printable(f"{point.run}\n{point.commit}") for point in series.points],
            fontsize=6.5,
            rotation=90 if len(values) > 8 else 0,
        )
        axes.margins(y=0.2)
    return figure
