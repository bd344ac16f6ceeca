"""What plots draw alike: legends, markers, factors by case, logarithmic axes, names beside points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox

from bench.report.frames import columns_of, grouped
from bench.report.sentences import count
from bench.report.speedups import SpeedUp
from bench.report.style import WIDTH, Theme, colour, fill, ink, marker


def panels(number: int, across: int, height: float, rightwards: str, upwards: str) -> tuple[Figure, list[Axes]]:
    """Return a figure of `number` panels, `across` beside each other, each `height` inches high, named at its edges."""
    rows = math.ceil(number / across)
    figure = Figure(figsize=(WIDTH, 0.5 + height * rows), layout="constrained")
    axes = list(figure.subplots(rows, across, squeeze=False).flat)
    for place, axis in enumerate(axes):
        axis.set_visible(place < number)
        axis.set_ylabel("" if place % across else upwards)
        axis.set_xlabel(rightwards if place + across >= number else "")
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
        Line2D([], [], ls="", marker=marker(column), fillstyle=fill(column), color=shade, label=printable(column))
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
    heads: list[float] = []
    place = 0.0
    for members in kinds.values():
        heads.append(place + 0.2)
        place += 1.2
        by_case = grouped(members, lambda row: row.name)
        for name in sorted(by_case, key=lambda name: -max(row.factor for row in by_case[name])):
            names[name] = place
            for row in by_case[name]:
                y, shade = place + offset(row.column, columns, 0.28), colour(row.column, theme)
                axis.plot([row.low, row.high], [y, y], color=shade, lw=2.2, alpha=0.45, solid_capstyle="butt")
                axis.plot(row.factor, y, marker(row.column), fillstyle=fill(row.column), color=shade)
            place += 1
    axis.axvline(1, color=ink(theme), lw=1)
    axis.set_xscale("log", base=2)
    narrow = max(row.high for row in rows) < 4 * min(row.low for row in rows)
    axis.xaxis.set_major_locator(LogLocator(base=2, subs=(1, 1.25, 1.5, 1.75) if narrow else (1,)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_yticks([*names.values(), *heads], [*names, *kinds])
    for text in axis.get_yticklabels()[len(names) :]:
        text.set_fontweight("bold")
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(place, -0.4)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(label)
    bar = Line2D([], [], color=ink(theme), lw=2.2, alpha=0.45, label="95 % CI")
    legend(figure, [*handles_of(columns, theme), bar])
    return figure


def label(axis: Axes, names: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Write each name beside one of its points, where it covers least of what is drawn and no other name."""
    figure = axis.get_figure(root=True)
    assert isinstance(figure, Figure)
    FigureCanvasAgg(figure)
    frame, (weights, drawn, are_markers) = axis.get_window_extent(), _drawn_at(axis)
    tried: dict[str, list[tuple[float, Bbox, dict[str, Any]]]] = {}
    for name, points in names.items():
        own = axis.transData.transform(points)
        foreign = drawn[are_markers & (np.hypot(*(drawn[:, None] - own).T).min(axis=0) > 1)]
        tried[name] = []
        for point, (dx, dy) in itertools.product(points, _PLACES):
            place: dict[str, Any] = {
                "xy": point,
                "xytext": (dx, dy),
                "ha": ("center", "left", "right")[(dx > 0) - (dx < 0)],
                "va": ("center", "bottom", "top")[(dy > 0) - (dy < 0)],
            }
            text = axis.annotate(name, **_NAMED, **place)
            box = text.get_window_extent()
            text.remove()
            outside = max(0.0, frame.x0 - box.x0, box.x1 - frame.x1, frame.y0 - box.y0, box.y1 - frame.y1)
            cost = weights[_inside(box.padded(1), drawn)].sum() + _NEAR * _inside(box.padded(8), foreign).sum()
            tried[name].append((cost + 50 * outside + math.hypot(dx, dy), box, place))
    chosen = {name: min(found, key=itemgetter(0)) for name, found in tried.items()}
    for name in [*tried] * 3:  # again, now that it is known where the others stand
        others = [box.padded(1) for other, (_, box, _) in chosen.items() if other != name]
        chosen[name] = min(tried[name], key=lambda one: one[0] + _NAME * sum(map(one[1].overlaps, others)))
    for name, (_, _, place) in chosen.items():
        far = math.hypot(*place["xytext"]) > _FAR
        line = {"arrowstyle": "-", "lw": 0.5, "color": axis.title.get_color(), "shrinkA": 0, "shrinkB": 3}
        axis.annotate(name, **_NAMED, **place, arrowprops=line if far else None)


_NAMED: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7.5, "zorder": 4}
_PLACES = [
    (dx, dy) for far in (6, 10, 15, 22, 30) for dx, dy in itertools.product((far, -far, 0), (0, far, -far)) if dx or dy
]
"""Where a name may stand beside its point: offset in points."""
_FAR = 15.0
"""Points of distance from which on a thin line leads from a name to its point."""
_NAME, _MARKER, _BAR, _LINE, _NEAR = 400.0, 60.0, 30.0, 2.0, 10.0
"""How bad it is to write over a name, a marker, four pixels of a bar, of a line, or beside somebody else's marker."""


def _inside(box: Bbox, points: Any) -> Any:
    return ((points > box.min) & (points < box.max)).all(axis=1)


def _drawn_at(axis: Axes) -> tuple[Any, Any, Any]:
    """Return how bad it is to write over what markers, error bars and lines cover, at which pixels, which are markers.

    Error bars are all that is drawn as a collection of lines.
    """
    found: list[tuple[float, Any]] = []
    for line in axis.get_lines():
        corners = line.get_transform().transform(line.get_path().vertices)
        if line.get_marker() not in ("None", "none", "", None):
            found.append((_MARKER, corners))
        else:
            found.append((_LINE, _along(corners)))
    for lines in axis.collections:
        if isinstance(lines, LineCollection):
            for path in lines.get_paths():
                found.append((_BAR, _along(lines.get_transform().transform(path.vertices))))
    weights = np.repeat([weight for weight, _ in found], [len(points) for _, points in found])
    return weights, np.concatenate([points for _, points in found]), weights == _MARKER


def _along(corners: Any) -> Any:
    """Return points of a line, at most four pixels apart."""
    points = [corners[:1]]
    for start, end in itertools.pairwise(corners):
        points.append(np.linspace(start, end, 2 + int(math.dist(start, end) / 4)))
    return np.concatenate(points)
