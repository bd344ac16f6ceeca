"""Pre-trained against learned embeddings."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from bench.report.frames import columns_of, grouped, main_rows
from bench.report.plots.base import Plot
from bench.report.plots.drawing import handles_of, legend, seeds
from bench.report.results import Results
from bench.report.style import GREEN, VERMILLION, WIDTH, Theme, colour, ink, marker
from bench.report.topics import low_data
from bench.report.topics.low_data import PairRow


def _pairs(results: Results) -> list[PairRow]:
    return main_rows(low_data.frame(results))


def _draw(rows: Sequence[PairRow], theme: Theme) -> Figure:
    """Draw both accuracies over the number of rows, and below them their paired difference with the crossover."""
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    columns = columns_of(rows)
    by_column = grouped(sorted(rows, key=lambda row: row.rows), lambda row: row.column)
    for place, column in enumerate(columns):
        pairs = by_column[column]
        sizes = [row.rows for row in pairs]
        for name, shade, means in (
            ("pre-trained, frozen", GREEN, [100 * row.pretrained_mean for row in pairs]),
            ("learned", VERMILLION, [100 * row.learned_mean for row in pairs]),
        ):
            above.plot(sizes, means, "o-", color=colour(shade, theme), label=None if place else name)
        below.errorbar(
            [size * (1 + 0.04 * place) for size in sizes],
            [100 * row.difference for row in pairs],
            [100 * (row.ci_half_width or 0.0) for row in pairs],
            fmt=marker(column),
            color=colour(column, theme),
            capsize=3,
            elinewidth=1.2,
            label=column,
        )
    crossed = low_data.crossing(by_column[columns[0]])
    if crossed is not None:
        size = by_column[columns[0]][crossed].rows
        for axis in (above, below):
            axis.axvline(size, color=ink(theme), lw=0.9, ls=":")
        text = f" learned at least as good from {size:,} rows on"
        above.text(size, 0.03, text, transform=above.get_xaxis_transform(), fontsize=8)
    below.axhline(0, color=ink(theme), lw=1)
    below.set_xscale("log")
    ticks = sorted({row.rows for row in rows})
    below.set_xticks(ticks, [f"{size:,}" for size in ticks])
    below.xaxis.set_minor_locator(NullLocator())
    below.set_xlabel("training rows")
    above.set_ylabel("test accuracy, %")
    above.set_title("mean over seeds, a line for each backend", fontsize=8.5)
    below.set_ylabel("difference, points")
    said = seeds(row.n for row in rows)
    below.set_title(f"pre-trained minus learned, paired by seed, 95 % interval ({said})", fontsize=8.5)
    legend(figure, handles_of(columns, theme))
    above.legend(loc="upper left")
    return figure


PLOT = Plot(
    "pre-trained",
    "Pre-trained against learned embeddings",
    "test accuracy over the number of training rows, and the paired difference",
    _pairs,
    _draw,
)
