"""Documented and measured learning curves."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bench.records.record import CASE
from bench.report.frames import as_frame
from bench.report.plots.base import Plot
from bench.report.plots.drawing import PANELS, legend, printable_label
from bench.report.results import Results
from bench.report.style import WIDTH, Theme, colour, ink
from bench.report.topics import curves


def _curves(results: Results) -> pd.DataFrame:
    return as_frame(curves.frame(results), curves.CurveRow)


def _learning_curves(frame: pd.DataFrame, theme: Theme) -> Figure:
    groups = list(frame.groupby(CASE, sort=False))
    rows = math.ceil(len(groups) / PANELS)
    figure = Figure(figsize=(WIDTH, 0.5 + 1.75 * rows), layout="constrained")
    axes = figure.subplots(rows, PANELS, squeeze=False)
    columns = sorted(frame["column"].dropna().unique())
    for axis, (key, own) in zip(axes.flat, groups, strict=False):
        suite, case = key
        for place, column in enumerate(columns):
            curve = own[own["column"] == column].astype({"epoch": float, "mean": float, "low": float, "high": float})
            if len(curve):
                _band(
                    axis, curve, column, theme, width=1.4 + 1.6 * (len(columns) - 1 - place) / max(len(columns) - 1, 1)
                )
        printed = own[own["column"].isna()]
        axis.plot(printed["epoch"], 100 * printed["mean"].astype(float), color=ink(theme), ls=(0, (4, 1.5)), lw=1.3)
        axis.plot(printed["epoch"], 100 * printed["mean"].astype(float), ".", color=ink(theme), ms=4)
        seeds = sorted({int(n) for n in own[own["column"].notna() & (own["epoch"] == 1)]["n"]})
        said = "–".join(map(str, sorted({seeds[0], seeds[-1]})))
        kind = "validation" if own["curve"].iloc[0] == "val" else "while training"
        axis.set_title(f"{suite}, {kind}, {said} seed{'' if said == '1' else 's'}\n{case}", fontsize=8)
        axis.margins(y=0.08)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axis.yaxis.set_major_locator(MaxNLocator(nbins=4))
    for axis in list(axes.flat)[len(groups) :]:
        axis.set_visible(False)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("accuracy, %", fontsize=9)
    handles: list[Artist] = [Line2D([], [], color=ink(theme), ls=(0, (4, 1.5)), marker=".", label="document")]
    handles += [Line2D([], [], color=colour(column, theme), label=printable_label(column)) for column in columns]
    handles.append(Patch(color=ink(theme), alpha=0.2, lw=0, label="range of seeds"))
    legend(figure, handles)
    return figure


def _band(axis: Axes, curve: pd.DataFrame, column: str, theme: Theme, width: float) -> None:
    """Draw a mean and the range of its seeds; earlier columns are wider, as twins lie on one another."""
    shade = colour(column, theme)
    axis.fill_between(curve["epoch"], 100 * curve["low"], 100 * curve["high"], color=shade, alpha=0.2, lw=0)
    axis.plot(curve["epoch"], 100 * curve["mean"], color=shade, lw=width)


PLOT = Plot(
    "learning-curves",
    "Documented and measured learning curves",
    "a panel for each case whose document prints its epochs",
    _curves,
    _learning_curves,
)
