"""Training speed by backend."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.report.plots.base import Plot
from bench.report.plots.drawing import factors, printable
from bench.report.speedups import SpeedUp
from bench.report.style import Theme
from bench.report.topics import speed


def _draw(rows: Sequence[SpeedUp], theme: Theme) -> Figure:
    references = printable(" or ".join(sorted({row.reference.column for row in rows})))
    return factors(rows, theme, f"times as fast as {references} (training steps)")


PLOT = Plot(
    "speed",
    "Training speed by backend",
    "for every case, how many times as fast a backend trains as Keras on TensorFlow, with its 95 % interval",
    speed.frame,
    _draw,
)
