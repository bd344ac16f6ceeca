"""Pre-trained against learned embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from bench.report.frames import columns_of, grouped, main_rows
from bench.report.plots.base import Plot
from bench.report.plots.drawing import handles_of, legend, seeds
from bench.report.results import Results
from bench.report.style import WIDTH, Theme, colour, ink, marker
from bench.report.topics import low_data
from bench.report.topics.low_data import PairRow

_LEARNED = (0, (4, 1.5))
"""Dashes of the line of a learned embedding."""


def _pairs(results: Results) -> list[PairRow]:
    return main_rows(low_data.frame(results))


def _draw(rows: Sequence[PairRow], theme: Theme) -> Figure:
    """Draw both accuracies over the number of rows, and below them their paired difference with the crossover."""
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    columns = columns_of(rows)
    by_column = grouped(sorted(rows, key=lambda row: row.rows), lambda row: row.column)
    for column in columns:
        pairs, shade = by_column[column], colour(column, theme)
        # Twins lie on one another: the later one is drawn thinner.
        size = 1 - columns.index(column) / len(columns)
        look: dict[str, Any] = {"color": shade, "marker": marker(column), "ms": 3 + 5 * size, "lw": 0.8 + 2.4 * size}
        rows_trained = [row.rows for row in pairs]
        above.plot(rows_trained, [100 * row.pretrained_mean for row in pairs], ls="-", **look)
        above.plot(rows_trained, [100 * row.learned_mean for row in pairs], ls=_LEARNED, **look)
        below.errorbar(
            [number * 1.06 ** (columns.index(column) - (len(columns) - 1) / 2) for number in rows_trained],
            [100 * row.difference for row in pairs],
            [100 * (row.ci_half_width or 0.0) for row in pairs],
            fmt=marker(column),
            color=shade,
            capsize=3,
            elinewidth=1.2,
        )
    handles = handles_of(columns, theme)
    handles += [Line2D([], [], color=ink(theme), label="pre-trained")]
    handles += [Line2D([], [], color=ink(theme), ls=_LEARNED, label="learned")]
    crossed = low_data.crossing(by_column[columns[0]])
    if crossed is not None:
        number = by_column[columns[0]][crossed].rows
        for axis in (above, below):
            axis.axvline(number, color=ink(theme), lw=0.9, ls=":")
        handles.append(Line2D([], [], color=ink(theme), lw=0.9, ls=":", label=f"learned wins from {number:,} rows"))
    below.axhline(0, color=ink(theme), lw=1)
    below.set_xscale("log")
    ticks = sorted({row.rows for row in rows})
    below.set_xticks(ticks, [f"{size:,}" for size in ticks])
    below.xaxis.set_minor_locator(NullLocator())
    below.set_xlim(ticks[0] / 1.25, ticks[-1] * 1.25)
    below.set_xlabel("training rows")
    above.set_ylabel("test accuracy, %")
    above.set_title("mean over seeds", fontsize=8.5)
    below.set_ylabel("difference, points")
    said = seeds(row.n for row in rows)
    below.set_title(f"pre-trained minus learned, paired by seed, 95 % CI ({said})", fontsize=8.5)
    legend(figure, handles)
    return figure


PLOT = Plot(
    "pre-trained",
    "Pre-trained against learned embeddings",
    "test accuracy over the number of training rows, and the paired difference",
    _pairs,
    _draw,
)
