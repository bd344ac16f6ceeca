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
    return factors(rows, theme, f"training speed relative to {references}")


PLOT = Plot(
    "speed",
    "Training speed by backend",
    "training speed of each backend relative to Keras on TensorFlow, by case, with 95 % CI",
    speed.frame,
    _draw,
)
