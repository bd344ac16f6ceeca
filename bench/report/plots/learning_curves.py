"""Documented and measured learning curves."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bench.report.frames import grouped
from bench.report.plots.base import Plot
from bench.report.plots.drawing import legend, panels, printable, seeds
from bench.report.results import Column
from bench.report.style import Theme, colour, ink
from bench.report.topics import curves as topic
from bench.report.topics.curves import CurveRow

_DASHED = (0, (4, 1.5))
_THIN = 0.7
"""Points of the line where it averages fewer seeds than at first, as the others had stopped."""


def _draw(rows: Sequence[CurveRow], theme: Theme) -> Figure:
    cases = grouped(rows, lambda row: row.name)
    columns = sorted({row.column for row in rows if row.column is not None})
    figure, axes = panels(len(cases), 3, 1.75, "epoch", "accuracy, %")
    for axis, members in zip(axes, cases.values(), strict=True):
        _panel(axis, members, columns, theme)
    handles: list[Artist] = [Line2D([], [], color=ink(theme), ls=_DASHED, marker=".", label="document")]
    handles += [Line2D([], [], color=colour(column, theme), label=printable(column)) for column in columns]
    handles.append(Patch(color=ink(theme), alpha=0.2, lw=0, label="range of seeds"))
    curves = grouped(rows, lambda row: (row.name, row.column)).values()
    if any(curve[-1].n < curve[0].n for curve in curves):
        handles.append(Line2D([], [], color=ink(theme), lw=_THIN, label="fewer seeds: others had stopped"))
    legend(figure, handles)
    return figure


def _panel(axis: Axes, rows: Sequence[CurveRow], columns: Sequence[Column], theme: Theme) -> None:
    """Draw means and ranges of seeds; earlier columns are wider, as twins lie on one another."""
    by_column = grouped(rows, lambda row: row.column)
    for place, column in enumerate(columns):
        curve, shade = by_column.get(column, []), colour(column, theme)
        epochs = [row.epoch for row in curve]
        low, high = [100 * row.low for row in curve], [100 * row.high for row in curve]
        if curve:
            axis.fill_between(epochs, low, high, color=shade, alpha=0.2, lw=0)
            width = 1.4 + 1.6 * (len(columns) - 1 - place) / max(len(columns) - 1, 1)
            full = sum(row.n == curve[0].n for row in curve)
            means = [100 * row.mean for row in curve]
            axis.plot(epochs[:full], means[:full], color=shade, lw=width)
            axis.plot(epochs[full - 1 :], means[full - 1 :], color=shade, lw=_THIN)
    printed = by_column[None]
    values = [row.epoch for row in printed], [100 * row.mean for row in printed]
    axis.plot(*values, color=ink(theme), ls=_DASHED, lw=1.3)
    axis.plot(*values, ".", color=ink(theme), ms=4)
    kind = "validation" if rows[0].curve == "val" else "while training"
    said = seeds(row.n for row in rows if row.column is not None and row.epoch == 1)
    axis.set_title(f"{rows[0].case}\n{rows[0].suite}, {kind}, {said}", fontsize=8)
    axis.margins(y=0.08)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axis.yaxis.set_major_locator(MaxNLocator(nbins=4))


PLOT = Plot(
    "learning-curves",
    "Documented and measured learning curves",
    "a panel for each case whose document prints its epochs",
    topic.frame,
    _draw,
)
