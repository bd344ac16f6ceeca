"""Training steps and the machine's limits."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.frames import columns_of, grouped, main_rows
from bench.report.plots.base import Plot
from bench.report.plots.drawing import handles_of, label, legend, logarithmic
from bench.report.results import Results
from bench.report.style import WIDTH, Theme, colour, fill, ink, marker
from bench.report.topics import roofline
from bench.report.topics.roofline import RooflineRow


def _best_kernels(results: Results) -> list[RooflineRow]:
    """Return the rows of every backend's best kernel; another one's column ends with the kernel's name."""
    return [row for row in main_rows(roofline.frame(results)) if not row.column.kernel]


def _draw(rows: Sequence[RooflineRow], theme: Theme) -> Figure:
    """Draw a panel for each document and device: the roof of peak and bandwidth, and the training steps below it."""
    groups = sorted(grouped(rows, lambda row: (row.variant.device, row.suite)).items())
    figure = Figure(figsize=(WIDTH, 0.6 + 2.7 * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False).flat
    for axis, ((device, suite), members) in zip(axes, groups, strict=True):
        peak, bandwidth = median(row.peak for row in members), median(row.bandwidth for row in members)
        intensities = [row.intensity for row in members]
        least, most = min(intensities) / 3, max(*intensities, peak / bandwidth) * 3
        corners = [least, peak / bandwidth, most]
        axis.plot(corners, [min(peak, bandwidth * x) / 1e9 for x in corners], color=ink(theme), lw=1.2)
        for row in members:
            shade = colour(row.column, theme)
            axis.plot(row.intensity, row.rate / 1e9, marker(row.column), fillstyle=fill(row.column), color=shade)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlim(least, most)
        logarithmic(axis.xaxis, least, most)
        logarithmic(axis.yaxis, *axis.get_ylim())
        limits = f"{peak / 1e9:,.0f} GFLOP/s, {bandwidth / 1e9:,.0f} GB/s, both measured"
        axis.set_title(f"{suite}, {device}: {limits}")
        axis.set_ylabel("GFLOP/s of a training step")
    axes[-1].set_xlabel("FLOPs per byte of traffic, counted")
    roof = Line2D([], [], color=ink(theme), lw=1.2, label="what the machine allows")
    legend(figure, [*handles_of(columns_of(rows), theme), roof])
    figure.draw_without_rendering()
    for axis, (_, members) in zip(axes, groups, strict=True):
        by_case = grouped(members, lambda row: row.case)
        label(axis, {case: [(row.intensity, row.rate / 1e9) for row in rows] for case, rows in by_case.items()})
    return figure


PLOT = Plot(
    "roofline",
    "Training steps and the machine's limits",
    "FLOP/s of training steps over their FLOPs per byte, below the machine's roof, a panel for each document",
    _best_kernels,
    _draw,
)
