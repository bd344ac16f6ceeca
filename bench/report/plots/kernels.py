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
    return factors(rows, theme, "times as fast with the fused as with the generic kernel (training steps)")


PLOT = Plot(
    "kernels",
    "Fused against generic kernels",
    "for every case, how many times as fast the fused kernel trains, with its 95 % interval",
    kernels.frame,
    _draw,
)
