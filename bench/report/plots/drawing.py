"""What plots draw alike: legends, markers, factors by case, logarithmic axes, names beside points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox

from bench.report.frames import columns_of, grouped
from bench.report.sentences import count
from bench.report.speedups import SpeedUp
from bench.report.style import WIDTH, Theme, colour, ink, marker


def panels(number: int, across: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of `number` panels, `across` of them beside each other, each `height` inches high."""
    rows = math.ceil(number / across)
    figure = Figure(figsize=(WIDTH, 0.5 + height * rows), layout="constrained")
    axes = list(figure.subplots(rows, across, squeeze=False).flat)
    for axis in axes[number:]:
        axis.set_visible(False)
    return figure, axes[:number]


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend above the panels, in as many rows as the width asks for."""
    widths = [0.55 + 0.075 * len(str(handle.get_label())) for handle in handles]
    fitting = (count for count in range(len(handles), 1, -1) if _width(widths, count) <= WIDTH)
    figure.legend(handles=handles, loc="outside upper left", ncols=next(fitting, 1))


def _width(widths: Sequence[float], columns: int) -> float:
    """Return the width of a legend in which entries of these widths fill `columns` columns one after the other."""
    rows = math.ceil(len(widths) / columns)
    return sum(max(widths[start : start + rows]) for start in range(0, len(widths), rows))


def handles_of(columns: Iterable[str], theme: Theme) -> list[Line2D]:
    """Return what a legend shows of columns or backends."""
    shades = {column: colour(column, theme) for column in columns}
    return [
        Line2D([], [], ls="", marker=marker(column), mfc=shade, mec=shade, label=printable(column))
        for column, shade in shades.items()
    ]


def offset(column: str, columns: Sequence[str], width: float) -> float:
    """Return where a column's marker stands beside the middle of a line that all columns share."""
    return width * (columns.index(column) - (len(columns) - 1) / 2) / max(len(columns) - 1, 1)


def printable(text: str) -> str:
    """Return `text` without control characters, which no SVG may hold; a backend's name may come from any file."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)


def seeds(counts: Iterable[int], noun: str = "seed") -> str:
    """Return `3–5 seeds`, the least and the most of how many there are, one number where they are the same."""
    found = sorted(counts)
    least, most = found[0], found[-1]
    return count(most, noun) if least == most else f"{least}–{count(most, noun)}"


def logarithmic(ruler: Axis, least: float, most: float) -> None:
    """Label a logarithmic axis in plain numbers: 1, 2 and 5 where it spans little, else powers of ten."""
    ruler.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 200 * least else (1,)))
    ruler.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ruler.set_minor_locator(NullLocator())


def factors(rows: Sequence[SpeedUp], theme: Theme, label: str) -> Figure:
    """Draw a factor with its spread for every case, grouped by kind of layer, the largest first."""
    columns = columns_of(rows)
    kinds = grouped(sorted(rows, key=lambda row: (row.layers.startswith("no "), row.layers)), lambda row: row.layers)
    cases = len({(row.layers, row.name) for row in rows})
    figure = Figure(figsize=(WIDTH, 1.1 + 0.2 * (cases + len(kinds))), layout="constrained")
    axis = figure.subplots()
    names: dict[str, float] = {}
    place = 0.0
    for kind, members in kinds.items():
        beside = axis.get_yaxis_transform()
        axis.text(0.0, place + 0.3, kind, transform=beside, fontsize=8.5, fontweight="bold", va="center")
        place += 1.3
        by_case = grouped(members, lambda row: row.name)
        for name in sorted(by_case, key=lambda name: -max(row.factor for row in by_case[name])):
            names[name] = place
            for row in by_case[name]:
                y, shade = place + offset(row.column, columns, 0.28), colour(row.column, theme)
                axis.plot([row.low, row.high], [y, y], color=shade, lw=2.2, alpha=0.45, solid_capstyle="butt")
                axis.plot(row.factor, y, marker(row.column), color=shade)
            place += 1
    axis.axvline(1, color=ink(theme), lw=1)
    axis.set_xscale("log", base=2)
    narrow = max(row.high for row in rows) < 4 * min(row.low for row in rows)
    axis.xaxis.set_major_locator(LogLocator(base=2, subs=(1, 1.25, 1.5, 1.75) if narrow else (1,)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_yticks(list(names.values()), list(names))
    axis.set_ylim(place, -0.4)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(label)
    spread = " or ".join(sorted({row.spread for row in rows}))
    bar = Line2D([], [], color=ink(theme), lw=2.2, alpha=0.45, label=spread)
    legend(figure, [*handles_of(columns, theme), bar])
    return figure


def label(axis: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names beside points, each where it covers least of what is drawn and of other names, and stays inside."""
    figure = axis.get_figure(root=True)
    assert isinstance(figure, Figure)
    FigureCanvasAgg(figure)
    frame, taken = axis.get_window_extent(), _drawn_at(axis)
    boxes: list[Bbox] = []
    for x, y, name in points:
        here = axis.transData.transform((x, y))
        others = [point for weight, point in taken if weight == _MARKER and math.dist(point, here) > 1]
        tried: dict[Annotation, tuple[float, Bbox]] = {}
        for dx, dy, across, upward in _PLACES:
            text = axis.annotate(
                name, (x, y), (dx, dy), textcoords="offset points", ha=across, va=upward, fontsize=7.5, zorder=4,
                bbox={"facecolor": axis.get_facecolor(), "edgecolor": "none", "alpha": 0.7, "pad": 0.4},
            )  # fmt: skip
            box = text.get_window_extent()
            text.remove()
            covered = 60.0 * sum(box.overlaps(other) for other in boxes)
            covered += sum(weight for weight, point in taken if box.contains(*point))
            covered += sum(_NEAR for other in others if box.padded(8).contains(*other))
            outside = max(0.0, frame.x0 - box.x0, box.x1 - frame.x1, frame.y0 - box.y0, box.y1 - frame.y1)
            tried[text] = covered + 30 * outside + math.hypot(dx, dy), box
        best = min(tried, key=lambda text: tried[text][0])
        axis.add_artist(best)
        boxes.append(tried[best][1])


_PLACES = [
    (dx, dy, "left" if dx > 0 else "right", "bottom" if dy > 0 else "top")
    for dx, dy in itertools.product((6, -6), (4, -4, 10, -10, 16, -16))
] + [(0, dy, "center", "bottom" if dy > 0 else "top") for dy in (8, -8, 16, -16)]
"""Where a name may stand beside its point: offset in points, alignment."""
_MARKER, _BAR, _LINE, _NEAR = 20.0, 1.0, 0.2, 8.0
"""How bad it is to write over a marker, a pixel of an error bar, of a line, or beside somebody else's marker."""


def _drawn_at(axis: Axes) -> list[tuple[float, tuple[float, float]]]:
    """Return pixels that markers, error bars and lines cover, and how bad it would be to write over each."""
    found: list[tuple[float, tuple[float, float]]] = []
    for line in axis.get_lines():
        corners = line.get_transform().transform(line.get_path().vertices)
        if line.get_marker() not in ("None", "none", "", None):
            found += [(_MARKER, (x, y)) for x, y in corners]
        else:
            found += [(_LINE, point) for point in _along(corners)]
    for lines in axis.collections:
        if isinstance(lines, LineCollection):
            for path in lines.get_paths():
                found += [(_BAR, point) for point in _along(lines.get_transform().transform(path.vertices))]
    return found


def _along(corners: Any) -> Iterator[tuple[float, float]]:
    """Yield points of a line, four pixels apart."""
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        steps = max(1, int(math.hypot(x1 - x0, y1 - y0) / 4))
        yield from ((x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) for i in range(steps + 1))
