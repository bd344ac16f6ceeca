"""What a plot is."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.report.style import Theme

FOLDER = "plots"
"""The folder beside a report in which its plots lie."""


@dataclass(frozen=True)
class Plot:
    """A picture: what it shows in words, the rows that it shows, how it is drawn from them (inside `style(theme)`)."""

    name: str
    title: str
    shows: str
    frame: Callable[[Results], Sequence[Any]]
    draw: Callable[[Sequence[Any], Theme], Figure]

    def drawn(self, results: Results) -> str:
        """Return what is kept in the picture, by which it is known whether it would be drawn the same now."""
        from bench.report.style import colour, marker  # loads matplotlib, which tables alone need not

        looks = {name: (colour(name, "light"), marker(name)) for name in {key[-1].backend for key in results.columns}}
        rows = [asdict(row) for row in self.frame(results)]
        return f"data sha256 {digest([rows, looks])}, drawn by {_drawing(self.draw.__module__)}"


@cache
def _drawing(module: str) -> str:
    """Return a digest of the code that draws a plot, its module's and what all share: pictures of another are stale."""
    names = (module, "bench.report.plots.drawing", "bench.report.style")
    sources = [Path(sys.modules[name].__file__ or "").read_bytes() for name in names]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:16]


def digest(content: Any) -> str:
    """Return the sha256 of what is drawn: JSON values, floats to eight digits, as later bits depend on the machine."""
    return hashlib.sha256(json.dumps(_rounded(content), sort_keys=True).encode()).hexdigest()


def _rounded(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(key): _rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_rounded(value) for value in content]
    if callable(content):  # how a figure is found in a record is nothing that is drawn
        return None
    if isinstance(content, float):
        return f"{content:.8g}" if math.isfinite(content) else str(content)
    return content


def picture(plot: Plot, folder: str = "") -> str:
    """Return HTML that shows a plot as the reader's theme wants it; `folder` is that of the report, with a slash."""
    place = f"{folder}{FOLDER}/{plot.name}"
    return f"""<picture>
  <source media="(prefers-color-scheme: dark)" srcset="{place}-dark.svg">
  <img alt="{plot.title}: {plot.shows}" src="{place}-light.svg" width="830">
</picture>"""
