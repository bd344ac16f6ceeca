"""Accuracy against training time."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.frames import columns_of, grouped
from bench.report.plots.base import Plot
from bench.report.plots.drawing import handles_of, label, legend, logarithmic, panels
from bench.report.results import Results
from bench.report.style import Theme, colour, faint, ink, marker
from bench.report.topics import architectures
from bench.report.topics.architectures import ArchitectureRow


def _timed(results: Results) -> list[ArchitectureRow]:
    return [row for row in architectures.frame(results) if row.seconds is not None]


def _draw(rows: Sequence[ArchitectureRow], theme: Theme) -> Figure:
    suites = grouped(rows, lambda row: row.suite)
    figure, axes = panels(len(suites), 2, 3.1, "seconds of training", "accuracy, %")
    for axis, (suite, members) in zip(axes, suites.items(), strict=True):
        _panel(axis, suite, members, theme)
    handles = handles_of(columns_of(rows), theme)
    if not all(row.comparable for row in rows):
        handles.append(Line2D([], [], ls="", marker="o", mfc="none", mec=ink(theme), label="timed beside other work"))
    handles.append(Line2D([], [], color=ink(theme), lw=0.8, ls=":", label="Pareto front"))
    legend(figure, handles)
    figure.draw_without_rendering()
    for axis, members in zip(axes, suites.values(), strict=True):
        by_case = grouped(members, lambda row: row.case)
        label(axis, {case: [(row.cost, 100 * row.mean) for row in rows] for case, rows in by_case.items()})
    return figure


def _panel(axis: Axes, suite: str, rows: Sequence[ArchitectureRow], theme: Theme) -> None:
    axis.set_xscale("log")
    ordered = sorted(rows, key=lambda row: row.cost)
    for members in grouped(ordered, lambda row: row.case).values():
        axis.plot(*_points(members), color=faint(theme), lw=1, zorder=1)
    frontier = [row for row in ordered if row.on_frontier]
    axis.plot(*_points(frontier), color=ink(theme), lw=0.8, ls=":", drawstyle="steps-post", zorder=1)
    for row in rows:
        shade = colour(row.column, theme)
        axis.errorbar(
            row.cost,
            100 * row.mean,
            yerr=None if row.ci_half_width is None else 100 * row.ci_half_width,
            fmt=marker(row.column),
            color=shade,
            mfc=shade if row.comparable else "none",
            elinewidth=1,
            capsize=2,
            zorder=3,
        )
    kind = "test" if rows[0].figure.name == "test" else "validation"
    axis.set_title(f"{suite} ({kind}, {rows[0].rows:,} rows)")
    axis.margins(x=0.36)  # room for names beside the outermost points
    low, high = _reach([(100 * row.mean, 100 * (row.ci_half_width or 0.0)) for row in rows])
    axis.set_ylim(low, high)
    for row in rows:  # an arrow where a bar goes on beyond the panel
        half, shade = 100 * (row.ci_half_width or 0.0), colour(row.column, theme)
        for edge, arrow, beyond in ((low, 11, 100 * row.mean - half < low), (high, 10, 100 * row.mean + half > high)):
            if beyond:
                axis.plot(row.cost, edge, marker=arrow, color=shade, clip_on=False)
    logarithmic(axis.xaxis, ordered[0].cost, ordered[-1].cost)


def _points(rows: Sequence[ArchitectureRow]) -> tuple[list[float], list[float]]:
    return [row.cost for row in rows], [100 * row.mean for row in rows]


def _reach(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return limits that hold all points and their bars, but for bars that would press the points together.

    Two seeds can leave an interval open that is wider than accuracies can be; such a bar leaves the panel.
    """
    spread = max(mean for mean, _ in points) - min(mean for mean, _ in points)
    held = [(mean, bar if bar <= spread or not spread else 0.0) for mean, bar in points]
    low, high = min(mean - bar for mean, bar in held), max(mean + bar for mean, bar in held)
    room = 0.18 * ((high - low) or 1.0)
    return low - room, high + room


PLOT = Plot(
    "accuracy-against-time",
    "Accuracy against training time",
    "every architecture under every backend, a panel for each document",
    _timed,
    _draw,
)
