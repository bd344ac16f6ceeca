"""Pre-trained against learned embeddings."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from bench.report.frames import as_frame, main_rows
from bench.report.plots.base import Plot
from bench.report.plots.drawing import handle, legend
from bench.report.results import Results
from bench.report.style import GREEN, VERMILLION, WIDTH, Theme, colour, ink, marker
from bench.report.topics import low_data


def _low_data(results: Results) -> pd.DataFrame:
    return as_frame(main_rows(low_data.frame(results)), low_data.PairRow)


def _pretrained(frame: pd.DataFrame, theme: Theme) -> Figure:
    """Draw both accuracies over the number of rows, and below them their paired difference with the crossover."""
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    columns = sorted(frame["column"].unique())
    sides = {"pretrained_mean": ("pre-trained, frozen", GREEN), "learned_mean": ("learned", VERMILLION)}
    for place, column in enumerate(columns):
        own = frame[frame["column"] == column].sort_values("rows")
        for mean, (name, shade) in sides.items():
            label = name if place == 0 else None
            above.plot(own["rows"], 100 * own[mean].astype(float), "o-", color=colour(shade, theme), label=label)
        below.errorbar(
            own["rows"].astype(float) * (1 + 0.04 * place),
            100 * own["difference"].astype(float),
            100 * own["ci_half_width"].astype(float).fillna(0),
            fmt=marker(column),
            color=colour(column, theme),
            capsize=3,
            elinewidth=1.2,
            label=column,
        )
    crossed = low_data.crossing(
        [pair for _, pair in frame[frame["column"] == columns[0]].sort_values("rows").iterrows()]
    )
    if crossed is not None:
        rows = sorted(frame["rows"].unique())[crossed]
        for axis in (above, below):
            axis.axvline(rows, color=ink(theme), lw=0.9, ls=":")
        text = f" learned at least as good from {rows:,} rows on"
        above.text(rows, 0.03, text, transform=above.get_xaxis_transform(), fontsize=8)
    below.axhline(0, color=ink(theme), lw=1)
    below.set_xscale("log")
    sizes = sorted(frame["rows"].unique())
    below.set_xticks(sizes, [f"{size:,}" for size in sizes])
    below.xaxis.set_minor_locator(NullLocator())
    below.set_xlabel("training rows")
    above.set_ylabel("test accuracy, %")
    above.set_title("mean over seeds, a line for each backend", fontsize=8.5)
    below.set_ylabel("difference, points")
    seeds = "–".join(map(str, sorted({int(frame["n"].min()), int(frame["n"].max())})))
    below.set_title(f"pre-trained minus learned, paired by seed, 95 % interval ({seeds} seeds)", fontsize=8.5)
    legend(figure, [handle(column, theme) for column in columns])
    above.legend(loc="upper left")
    return figure


PLOT = Plot(
    "pre-trained",
    "Pre-trained against learned embeddings",
    "test accuracy over the number of training rows, and the paired difference",
    _low_data,
    _pretrained,
)
