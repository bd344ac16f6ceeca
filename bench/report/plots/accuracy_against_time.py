"""Accuracy against training time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.frames import rows_of
from bench.report.plots.base import Plot
from bench.report.plots.drawing import handle, label, legend, logarithmic
from bench.report.results import Results
from bench.report.style import WIDTH, Theme, colour, faint, ink, marker
from bench.report.topics import architectures


def _timed_architectures(results: Results) -> pd.DataFrame:
    frame = architectures.frame(results)
    return frame[frame["seconds"].notna()]


def _accuracy_against_time(frame: pd.DataFrame, theme: Theme) -> Figure:
    groups = list(frame.groupby("suite", sort=False))
    rows = math.ceil(len(groups) / 2)
    figure = Figure(figsize=(WIDTH, 0.5 + 3.1 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False)
    columns = sorted(frame["column"].unique())
    for axis, (suite, own) in zip(axes.flat, groups, strict=False):
        _architectures_of(axis, str(suite), rows_of(own), theme)
    for axis in list(axes.flat)[len(groups) :]:
        axis.set_visible(False)
    handles = [handle(column, theme) for column in columns]
    if not frame["headline"].astype(bool).all():
        handles.append(Line2D([], [], ls="", marker="o", mfc="none", mec=ink(theme), label="timed beside other work"))
    handles.append(Line2D([], [], color=ink(theme), lw=0.8, ls=":", label="nothing cheaper is better"))
    legend(figure, handles)
    figure.supxlabel("seconds of training", fontsize=9)
    figure.supylabel("accuracy, %", fontsize=9)
    figure.draw_without_rendering()
    for axis, (_, own) in zip(axes.flat, groups, strict=False):
        label(axis, [(row["seconds"], 100 * row["mean"], str(row["case"])) for row in _cheapest(rows_of(own))])
    return figure


def _architectures_of(axis: Axes, suite: str, rows: Sequence[dict[str, Any]], theme: Theme) -> None:
    axis.set_xscale("log")
    for case in dict.fromkeys(row["case"] for row in rows):
        own = sorted((row for row in rows if row["case"] == case), key=lambda row: row["seconds"])
        axis.plot(
            [row["seconds"] for row in own], [100 * row["mean"] for row in own], color=faint(theme), lw=1, zorder=1
        )
    frontier = sorted((row for row in rows if row["frontier"]), key=lambda row: row["seconds"])
    steps = ([row["seconds"] for row in frontier], [100 * row["mean"] for row in frontier])
    axis.plot(*steps, color=ink(theme), lw=0.8, ls=":", drawstyle="steps-post", zorder=1)
    for row in rows:
        shade = colour(row["column"], theme)
        axis.errorbar(
            row["seconds"],
            100 * row["mean"],
            yerr=None if row["half"] is None else 100 * row["half"],
            fmt=marker(row["column"]),
            color=shade,
            mfc=shade if row["headline"] else "none",
            elinewidth=1,
            capsize=2,
            zorder=3,
        )
    kind = "test" if rows[0]["figure"] == "test" else "validation"
    axis.set_title(f"{suite} ({kind}, {int(rows[0]['rows']):,} rows)")
    axis.margins(x=0.3)  # room for names beside the outermost points
    axis.set_ylim(*_reach([(100 * row["mean"], 100 * (row["half"] or 0.0)) for row in rows]))
    seconds = [row["seconds"] for row in rows]
    logarithmic(axis.xaxis, min(seconds), max(seconds))


def _reach(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return limits that hold all points and their bars, but for bars that would press the points together.

    Two seeds can leave an interval open that is wider than accuracies can be; such a bar leaves the panel.
    """
    spread = max(mean for mean, _ in points) - min(mean for mean, _ in points)
    held = [(mean, bar if bar <= spread or not spread else 0.0) for mean, bar in points]
    low, high = min(mean - bar for mean, bar in held), max(mean + bar for mean, bar in held)
    room = 0.18 * ((high - low) or 1.0)
    return low - room, high + room


def _cheapest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each case the row of its fastest variant: the one that carries the name."""
    ordered = sorted(rows, key=lambda row: -row["seconds"])
    return list({row["case"]: row for row in ordered}.values())


PLOT = Plot(
    "accuracy-against-time",
    "Accuracy against training time",
    "every architecture under every backend, a panel for each document",
    _timed_architectures,
    _accuracy_against_time,
)
