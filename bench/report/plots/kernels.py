"""What fused kernels gain."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.report.plots.base import Plot
from bench.report.plots.drawing import factors
from bench.report.speedups import SpeedUp
from bench.report.style import Theme
from bench.report.topics import kernels


def _draw(rows: Sequence[SpeedUp], theme: Theme) -> Figure:
    return factors(rows, theme, "training speed of the fused kernel relative to the generic one")


PLOT = Plot(
    "kernels",
    "Fused against generic kernels",
    "training speed of the fused kernel relative to the generic one, by case, with 95 % CI",
    kernels.frame,
    _draw,
)
