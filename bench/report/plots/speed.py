"""Training speed by backend, and what fused kernels gain."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bench.records.record import CASE
from bench.report.frames import rows_of
from bench.report.plots.base import Plot
from bench.report.plots.drawing import handle, legend, printable_label
from bench.report.results import Results
from bench.report.style import WIDTH, Theme, colour, ink, marker
from bench.report.topics import kernels, speed


def _headline_speed(results: Results) -> pd.DataFrame:
    frame = speed.frame(results)
    return frame[frame["headline"].astype(bool)]


def _headline_kernels(results: Results) -> pd.DataFrame:
    frame = kernels.frame(results)
    return frame[frame["headline"].astype(bool)].assign(column=lambda found: found["backend"])


def _speed(frame: pd.DataFrame, theme: Theme) -> Figure:
    references = printable_label(" or ".join(sorted(frame["reference"].unique())))
    return _factors(frame, theme, f"times as fast as {references} (seconds per epoch)")


def _kernels(frame: pd.DataFrame, theme: Theme) -> Figure:
    return _factors(frame, theme, "times as fast with the fused as with the generic kernel (seconds per epoch)")


def _factors(frame: pd.DataFrame, theme: Theme, label: str) -> Figure:
    """Draw a factor with its spread for every case, grouped by kind of layer, the largest first."""
    columns = sorted(frame["column"].unique())
    kinds = sorted(frame["layers"].unique(), key=lambda kind: (kind.startswith("no "), kind))
    ordered = [
        (kind, suite, case, rows_of(own))
        for kind in kinds
        for (suite, case), own in sorted(
            frame[frame["layers"] == kind].groupby(CASE, sort=False), key=lambda group: -group[1]["speedup"].max()
        )
    ]
    figure = Figure(figsize=(WIDTH, 1.1 + 0.2 * (len(ordered) + len(kinds))), layout="constrained")
    axis = figure.subplots()
    names: list[tuple[float, str]] = []
    place, before = 0.0, ""
    for kind, suite, case, rows in ordered:
        if kind != before:
            place, before = place + 0.3, kind
            axis.text(
                0.0, place, kind, transform=axis.get_yaxis_transform(), fontsize=8.5, fontweight="bold", va="center"
            )
            place += 1
        names.append((place, f"{suite}/{case}"))
        for row in rows:
            offset = 0.28 * (columns.index(row["column"]) - (len(columns) - 1) / 2) / max(len(columns) - 1, 1)
            shade = colour(row["column"], theme)
            axis.plot(
                [row["low"], row["high"]], [place + offset] * 2, color=shade, lw=2.2, alpha=0.45, solid_capstyle="butt"
            )
            axis.plot(row["speedup"], place + offset, marker(row["column"]), color=shade)
        place += 1
    axis.axvline(1, color=ink(theme), lw=1)
    axis.set_xscale("log", base=2)
    narrow = frame["high"].max() < 4 * frame["low"].min()
    axis.xaxis.set_major_locator(LogLocator(base=2, subs=(1, 1.25, 1.5, 1.75) if narrow else (1,)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_yticks([where for where, _ in names], [name for _, name in names])
    axis.set_ylim(place, -0.4)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(label)
    spread = " or ".join(sorted(frame["spread"].unique()))
    handles = [handle(column, theme) for column in columns]
    legend(figure, [*handles, Line2D([], [], color=ink(theme), lw=2.2, alpha=0.45, label=spread)])
    return figure


SPEED = Plot(
    "speed",
    "Training speed by backend",
    "for every case, how many times as fast a backend trains as Keras on TensorFlow, with its spread",
    _headline_speed,
    _speed,
)


KERNELS = Plot(
    "kernels",
    "Fused against generic kernels",
    "for every case, how many times as fast the fused kernel trains, with its spread",
    _headline_kernels,
    _kernels,
)
