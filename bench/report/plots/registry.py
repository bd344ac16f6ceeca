"""The plots: each is rows, what it shows of them, and a picture in two themes; drawn only where there are rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.report.plots import (
    accuracy_against_time,
    differences,
    kernels,
    learning_curves,
    port,
    pre_trained,
    roofline,
    speed,
    versions,
)
from bench.report.plots.base import FOLDER, Plot
from bench.report.results import Results
from bench.report.style import FORMATS, THEMES, Format, drawn_in, save, style

PLOTS: tuple[Plot, ...] = (
    port.PLOT,
    accuracy_against_time.PLOT,
    speed.PLOT,
    kernels.PLOT,
    learning_curves.PLOT,
    pre_trained.PLOT,
    differences.PLOT,
    versions.PLOT,
    roofline.PLOT,
)
"""In the order in which they are shown."""


def pictures(results: Results) -> list[Plot]:
    """Return the plots that have anything to show."""
    return [plot for plot in PLOTS if len(plot.frame(results))]


def write(results: Results, folder: Path, formats: Sequence[Format] = FORMATS) -> list[Path]:
    """Draw every plot that has anything to show into `folder/plots`, light and dark, and return the paths."""
    return [path for plot in pictures(results) for path in draw(plot, results, folder, formats)]


def draw(plot: Plot, results: Results, folder: Path, formats: Sequence[Format] = FORMATS) -> list[Path]:
    """Draw one plot into `folder/plots`, light and dark, and return the paths."""
    paths = []
    for theme in THEMES:
        with style(theme):
            figure = plot.draw(plot.frame(results), theme)
            paths += save(figure, folder / FOLDER, plot.name, theme, formats, plot.drawn(results))
    return paths


def files(plot: Plot, folder: Path) -> list[Path]:
    """Return the paths of a plot's SVGs in a report's folder."""
    return [folder / FOLDER / f"{plot.name}-{theme}.svg" for theme in THEMES]


def is_fresh(plot: Plot, results: Results, folder: Path) -> bool:
    """Return whether a plot lies in `folder/plots`, light and dark, and shows these results."""
    drawn = plot.drawn(results)
    return all(drawn_in(path) == drawn for path in files(plot, folder))
