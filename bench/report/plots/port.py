"""A port beside what it is a port of: as their users write them, and matched."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.frames import MATCHED, NATIVE, grouped
from bench.report.plots.base import Plot
from bench.report.plots.drawing import legend, printable, seeds
from bench.report.style import WIDTH, Theme, colour, ink
from bench.report.topics import explain
from bench.report.topics.explain import LearningRow, framework

_STYLES = {NATIVE: "-", MATCHED: (0, (2, 1.2))}
_WORDS = {NATIVE: "as its users write it", MATCHED: "same weights, same formulas"}
_LINE_POINTS = 11.0
"""From one label to the next below it."""


def _draw(rows: Sequence[LearningRow], theme: Theme) -> Figure:
    """Draw a line for both twins under each numerics, which ends in a label with the figure of the trained weights."""
    backends = list(dict.fromkeys(row.backend for row in rows))
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axis = figure.subplots()
    last = max(row.epoch for row in rows if row.epoch is not None) + 1
    ends = []
    for (backend, numerics), curve in grouped(rows, lambda row: (row.backend, row.numerics)).items():
        shade = colour(backend, theme)
        at = [last if row.epoch is None else row.epoch for row in curve]
        low, high = [100 * row.low for row in curve], [100 * row.high for row in curve]
        axis.fill_between(at, low, high, color=shade, alpha=0.15, lw=0)
        width = 3.0 if backend == backends[0] else 1.4  # twins lie on one another
        axis.plot(at, [100 * row.mean for row in curve], color=shade, lw=width, ls=_STYLES[numerics])
        mean = 100 * next(row.mean for row in curve if row.epoch is None)
        ends.append((mean, f"{mean:.1f} %  {framework(backend)}, {_WORDS[numerics]}"))
    axis.set_xlim(1, last)
    axis.set_xticks(range(1, last + 1), [*map(str, range(1, last)), rows[0].figure])
    axis.set_xlabel("epoch")
    axis.set_ylabel("accuracy, %")
    kind = "validation accuracy" if rows[0].curve == "val" else "accuracy while training"
    said = seeds(row.n for row in rows if row.epoch is None)
    axis.set_title(f"{rows[0].name}: {kind}, then {rows[0].figure} accuracy of the trained weights, {said}")
    handles: list[Artist] = [Line2D([], [], color=colour(name, theme), label=printable(name)) for name in backends]
    handles += [Line2D([], [], color=ink(theme), ls=dashes, label=_WORDS[name]) for name, dashes in _STYLES.items()]
    legend(figure, [*handles, Patch(color=ink(theme), alpha=0.15, lw=0, label="range of seeds")])
    _label(figure, axis, ends)
    return figure


def _label(figure: Figure, axis: Axes, ends: Sequence[tuple[float, str]]) -> None:
    """Write what lines are right of the panel, from the top down, each at its end or as near as others allow."""
    figure.draw_without_rendering()
    beside = axis.get_yaxis_transform()
    free = float("inf")
    for value, text in sorted(ends, reverse=True):
        _, here = axis.transData.transform((0, value)) * 72 / figure.dpi
        lowered = min(0.0, free - _LINE_POINTS - here)
        free = here + lowered
        axis.annotate(
            text, (1, value), (6, lowered), xycoords=beside, textcoords="offset points", va="center", fontsize=8
        )


PLOT = Plot(
    "port",
    "What a port loses",
    "learning curves of the case whose port lost most, as the users of each framework write it, and matched",
    explain.port,
    _draw,
)
