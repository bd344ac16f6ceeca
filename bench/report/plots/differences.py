"""What each difference between the frameworks costs."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from bench.records.record import CASE
from bench.report.frames import as_frame, rows_of
from bench.report.plots.base import Plot
from bench.report.plots.drawing import handle, legend
from bench.report.results import Results
from bench.report.style import WIDTH, Theme, colour, ink, marker
from bench.report.topics import explain
from bench.report.topics.numerics import NumericsRow


def _explained(results: Results) -> pd.DataFrame:
    return as_frame(explain.frame(results), NumericsRow).assign(
        figure=lambda found: [each.name for each in found["figure"]]
    )


def _differences(frame: pd.DataFrame, theme: Theme) -> Figure:
    """Draw a panel for each explained case: what every numerics changes against matched ones, in points."""
    groups = list(frame.groupby(CASE, sort=False))
    columns = sorted(frame["backend"].unique())
    heights = [len(own["numerics"].unique()) for _, own in groups]
    figure = Figure(figsize=(WIDTH, 0.9 + sum(0.42 + 0.24 * height for height in heights)), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=[height + 0.6 for height in heights])
    for axis, (key, own) in zip(axes.flat, groups, strict=True):
        suite, case = key
        names = sorted(own["numerics"].unique(), key=explain.numerics_order)
        for row in rows_of(own):
            offset = 0.36 * (columns.index(row["backend"]) - (len(columns) - 1) / 2) / max(len(columns) - 1, 1)
            axis.errorbar(
                100 * row["difference"],
                names.index(row["numerics"]) + offset,
                xerr=None if row["ci_half_width"] is None else 100 * row["ci_half_width"],
                fmt=marker(row["backend"]),
                color=colour(row["backend"], theme),
                elinewidth=1.4,
                capsize=2,
            )
        axis.axvline(0, color=ink(theme), lw=1)
        axis.set_yticks(range(len(names)), [explain.called(name) for name in names])
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.grid(axis="y", visible=False)
        seeds = sorted({int(n) for n in own["n"]})
        said = "–".join(map(str, sorted({seeds[0], seeds[-1]})))
        axis.set_title(
            f"{suite}/{case}: {own['figure'].iloc[0]} accuracy, {said} paired seed{'' if said == '1' else 's'}"
        )
    figure.supxlabel("points against matched numerics, 95 % interval", fontsize=9)
    legend(figure, [handle(column, theme) for column in columns])
    return figure


PLOT = Plot(
    "differences",
    "What each difference between the frameworks costs",
    "for every explained case, the change of accuracy against matched numerics by backend",
    _explained,
    _differences,
)
