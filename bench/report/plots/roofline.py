"""Training steps and the machine's limits."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.frames import main_rows, rows_of
from bench.report.plots.base import Plot
from bench.report.plots.drawing import handle, label, legend, logarithmic
from bench.report.results import Results
from bench.report.style import WIDTH, Theme, colour, ink, marker
from bench.report.topics import roofline


def _best_roofline(results: Results) -> pd.DataFrame:
    """Return the rows of every backend's best kernel; another one's column ends with the kernel's name."""
    frame = main_rows(roofline.frame(results))
    return frame[[not row["column"].endswith(f" {row['kernel']}") for row in rows_of(frame)]] if len(frame) else frame


def _roofline(frame: pd.DataFrame, theme: Theme) -> Figure:
    """Draw a panel for each document and device: the roof of peak and bandwidth, and the training steps below it."""
    groups = list(frame.groupby(["device", "suite"], sort=True))
    columns = sorted(frame["column"].unique())
    figure = Figure(figsize=(WIDTH, 0.6 + 2.7 * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False)
    for axis, ((device, suite), own) in zip(axes.flat, groups, strict=True):
        peak, bandwidth = float(own["peak"].median()), float(own["bandwidth"].median())
        least, most = float(own["intensity"].min()) / 3, max(float(own["intensity"].max()), peak / bandwidth) * 3
        corners = [least, peak / bandwidth, most]
        axis.plot(corners, [min(peak, bandwidth * x) / 1e9 for x in corners], color=ink(theme), lw=1.2)
        for row in rows_of(own):
            axis.plot(row["intensity"], row["rate"] / 1e9, marker(row["column"]), color=colour(row["column"], theme))
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlim(least, most)
        logarithmic(axis.xaxis, least, most)
        logarithmic(axis.yaxis, *axis.get_ylim())
        limits = f"{peak / 1e9:,.0f} GFLOP/s, {bandwidth / 1e9:,.0f} GB/s, both measured"
        axis.set_title(f"{suite}, {device}: {limits}")
        axis.set_ylabel("GFLOP/s of a training step")
    axes.flat[-1].set_xlabel("FLOPs per byte of traffic, counted")
    handles = [handle(column, theme) for column in columns]
    handles.append(Line2D([], [], color=ink(theme), lw=1.2, label="what the machine allows"))
    legend(figure, handles)
    figure.draw_without_rendering()
    for axis, (_, own) in zip(axes.flat, groups, strict=True):
        fastest = {row["case"]: row for row in sorted(rows_of(own), key=lambda row: row["rate"])}
        label(axis, [(row["intensity"], row["rate"] / 1e9, str(row["case"])) for row in fastest.values()])
    return figure


PLOT = Plot(
    "roofline",
    "Training steps and the machine's limits",
    "FLOP/s of training steps over their FLOPs per byte, below the machine's roof, a panel for each document",
    _best_roofline,
    _roofline,
)
