"""Plots: each is a frame, what it shows of it, and a picture in two themes; drawn only where the frame has rows."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from bench.report import comparisons, tables
from bench.report import style as style_module
from bench.report.answers import crossing
from bench.report.markdown import PLOTS as FOLDER
from bench.report.style import (
    FORMATS,
    GREEN,
    THEMES,
    VERMILLION,
    WIDTH,
    Format,
    Theme,
    colour,
    digest,
    drawn_in,
    faint,
    ink,
    marker,
    save,
    style,
)
from bench.report.tables import CASE, Results

PANELS = 3
"""Panels beside each other in a figure of small ones."""


@dataclass(frozen=True)
class Plot:
    """A picture: what it shows in words, the frame that it shows, how it is drawn from it (inside `style(theme)`)."""

    name: str
    title: str
    shows: str
    frame: Callable[[Results], pd.DataFrame]
    draw: Callable[[pd.DataFrame, Theme], Figure]

    def drawn(self, results: Results) -> str:
        """Return what is kept in the picture, by which it is known whether it would be drawn the same now."""
        looks = {name: (colour(name, "light"), marker(name)) for name in {key[-1].backend for key in results.columns}}
        return f"data sha256 {digest([tables.rows_of(self.frame(results)), looks])}, drawn by {_drawing()}"


@cache
def _drawing() -> str:
    """Return a digest of the code that draws: pictures of an earlier one are drawn again."""
    sources = (Path(__file__), Path(style_module.__file__))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


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


# --- learning curves ---------------------------------------------------------------------------------------------


def _learning_curves(frame: pd.DataFrame, theme: Theme) -> Figure:
    groups = list(frame.groupby(CASE, sort=False))
    rows = math.ceil(len(groups) / PANELS)
    figure = Figure(figsize=(WIDTH, 0.5 + 1.75 * rows), layout="constrained")
    axes = figure.subplots(rows, PANELS, squeeze=False)
    columns = sorted(frame["column"].dropna().unique())
    for axis, (key, own) in zip(axes.flat, groups, strict=False):
        suite, case = key
        for place, column in enumerate(columns):
            curve = own[own["column"] == column].astype({"epoch": float, "mean": float, "low": float, "high": float})
            if len(curve):
                _band(
                    axis, curve, column, theme, width=1.4 + 1.6 * (len(columns) - 1 - place) / max(len(columns) - 1, 1)
                )
        printed = own[own["column"].isna()]
        axis.plot(printed["epoch"], 100 * printed["mean"].astype(float), color=ink(theme), ls=(0, (4, 1.5)), lw=1.3)
        axis.plot(printed["epoch"], 100 * printed["mean"].astype(float), ".", color=ink(theme), ms=4)
        seeds = sorted({int(n) for n in own[own["column"].notna() & (own["epoch"] == 1)]["n"]})
        said = "–".join(map(str, sorted({seeds[0], seeds[-1]})))
        kind = "validation" if own["curve"].iloc[0] == "val" else "while training"
        axis.set_title(f"{suite}, {kind}, {said} seed{'' if said == '1' else 's'}\n{case}", fontsize=8)
        axis.margins(y=0.08)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axis.yaxis.set_major_locator(MaxNLocator(nbins=4))
    for axis in list(axes.flat)[len(groups) :]:
        axis.set_visible(False)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("accuracy, %", fontsize=9)
    handles: list[Artist] = [Line2D([], [], color=ink(theme), ls=(0, (4, 1.5)), marker=".", label="document")]
    handles += [Line2D([], [], color=colour(column, theme), label=_printable(column)) for column in columns]
    handles.append(Patch(color=ink(theme), alpha=0.2, lw=0, label="range of seeds"))
    _legend(figure, handles)
    return figure


def _legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend above the panels, in as many rows as the width asks for."""
    widths = [0.55 + 0.075 * len(str(handle.get_label())) for handle in handles]
    fitting = (count for count in range(len(handles), 1, -1) if _width(widths, count) <= WIDTH)
    figure.legend(handles=handles, loc="outside upper left", ncols=next(fitting, 1))


def _width(widths: Sequence[float], columns: int) -> float:
    """Return the width of a legend in which entries of these widths fill `columns` columns one after the other."""
    rows = math.ceil(len(widths) / columns)
    return sum(max(widths[start : start + rows]) for start in range(0, len(widths), rows))


def _band(axis: Axes, curve: pd.DataFrame, column: str, theme: Theme, width: float) -> None:
    """Draw a mean and the range of its seeds; earlier columns are wider, as twins lie on one another."""
    shade = colour(column, theme)
    axis.fill_between(curve["epoch"], 100 * curve["low"], 100 * curve["high"], color=shade, alpha=0.2, lw=0)
    axis.plot(curve["epoch"], 100 * curve["mean"], color=shade, lw=width)


# --- accuracy against time ---------------------------------------------------------------------------------------


def _timed_architectures(results: Results) -> pd.DataFrame:
    frame = comparisons.architectures(results)
    return frame[frame["seconds"].notna()]


def _accuracy_against_time(frame: pd.DataFrame, theme: Theme) -> Figure:
    groups = list(frame.groupby("suite", sort=False))
    rows = math.ceil(len(groups) / 2)
    figure = Figure(figsize=(WIDTH, 0.5 + 3.1 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False)
    columns = sorted(frame["column"].unique())
    for axis, (suite, own) in zip(axes.flat, groups, strict=False):
        _architectures_of(axis, str(suite), tables.rows_of(own), theme)
    for axis in list(axes.flat)[len(groups) :]:
        axis.set_visible(False)
    handles = [_handle(column, theme) for column in columns]
    if not frame["headline"].astype(bool).all():
        handles.append(Line2D([], [], ls="", marker="o", mfc="none", mec=ink(theme), label="timed beside other work"))
    handles.append(Line2D([], [], color=ink(theme), lw=0.8, ls=":", label="nothing cheaper is better"))
    _legend(figure, handles)
    figure.supxlabel("seconds of training", fontsize=9)
    figure.supylabel("accuracy, %", fontsize=9)
    figure.draw_without_rendering()
    for axis, (_, own) in zip(axes.flat, groups, strict=False):
        _label(axis, [(row["seconds"], 100 * row["mean"], str(row["case"])) for row in _cheapest(tables.rows_of(own))])
    return figure


def _handle(column: str, theme: Theme) -> Line2D:
    shade = colour(column, theme)
    return Line2D([], [], ls="", marker=marker(column), mfc=shade, mec=shade, label=_printable(column))


def _printable(text: str) -> str:
    """Return `text` without control characters, which no SVG may hold; a backend's name may come from any file."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)


def _architectures_of(axis: Axes, suite: str, rows: Sequence[dict[str, Any]], theme: Theme) -> None:
    axis.set_xscale("log")
    for case in dict.fromkeys(row["case"] for row in rows):
        own = sorted((row for row in rows if row["case"] == case), key=lambda row: row["seconds"])
        axis.plot(
            [row["seconds"] for row in own], [100 * row["mean"] for row in own], color=faint(theme), lw=1, zorder=1
        )
    frontier = sorted((row for row in rows if row["frontier"]), key=lambda row: row["seconds"])
    steps = ([row["seconds"] for row in frontier], [100 * row["mean"] for row in frontier])
    axis.plot(*steps, color=ink(theme), lw=0.8, ls=":", drawstyle="steps-post", zorder=1)
    for row in rows:
        shade = colour(row["column"], theme)
        axis.errorbar(
            row["seconds"],
            100 * row["mean"],
            yerr=None if row["half"] is None else 100 * row["half"],
            fmt=marker(row["column"]),
            color=shade,
            mfc=shade if row["headline"] else "none",
            elinewidth=1,
            capsize=2,
            zorder=3,
        )
    kind = "test" if rows[0]["figure"] == "test" else "validation"
    axis.set_title(f"{suite} ({kind}, {int(rows[0]['rows']):,} rows)")
    axis.margins(x=0.3)  # room for names beside the outermost points
    axis.set_ylim(*_reach([(100 * row["mean"], 100 * (row["half"] or 0.0)) for row in rows]))
    seconds = [row["seconds"] for row in rows]
    _logarithmic(axis.xaxis, min(seconds), max(seconds))


def _reach(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return limits that hold all points and their bars, but for bars that would press the points together.

    Two seeds can leave an interval open that is wider than accuracies can be; such a bar leaves the panel.
    """
    spread = max(mean for mean, _ in points) - min(mean for mean, _ in points)
    held = [(mean, bar if bar <= spread or not spread else 0.0) for mean, bar in points]
    low, high = min(mean - bar for mean, bar in held), max(mean + bar for mean, bar in held)
    room = 0.18 * ((high - low) or 1.0)
    return low - room, high + room


def _logarithmic(ruler: Axis, least: float, most: float) -> None:
    """Label a logarithmic axis in plain numbers: 1, 2 and 5 where it spans little, else powers of ten."""
    ruler.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 200 * least else (1,)))
    ruler.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ruler.set_minor_locator(NullLocator())


def _cheapest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each case the row of its fastest variant: the one that carries the name."""
    ordered = sorted(rows, key=lambda row: -row["seconds"])
    return list({row["case"]: row for row in ordered}.values())


def _label(axis: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names beside points, each where it covers least of what is drawn and of other names, and stays inside."""
    figure = axis.get_figure(root=True)
    assert isinstance(figure, Figure)
    FigureCanvasAgg(figure)
    frame, taken = axis.get_window_extent(), _drawn_at(axis)
    boxes: list[Bbox] = []
    for x, y, name in points:
        own = axis.transData.transform((x, y))
        others = [point for weight, point in taken if weight == _MARKER and math.dist(point, own) > 1]
        tried: list[tuple[float, int, Annotation, Bbox]] = []
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
            tried.append((covered + 30 * outside + math.hypot(dx, dy), len(tried), text, box))
        _, _, text, box = min(tried, key=lambda one: one[:2])
        axis.add_artist(text)
        boxes.append(box)


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


# --- factors -----------------------------------------------------------------------------------------------------


def _headline_speed(results: Results) -> pd.DataFrame:
    frame = comparisons.speed(results)
    return frame[frame["headline"].astype(bool)]


def _headline_kernels(results: Results) -> pd.DataFrame:
    frame = comparisons.kernels(results)
    return frame[frame["headline"].astype(bool)].assign(column=lambda found: found["backend"])


def _speed(frame: pd.DataFrame, theme: Theme) -> Figure:
    references = _printable(" or ".join(sorted(frame["reference"].unique())))
    return _factors(frame, theme, f"times as fast as {references} (seconds per epoch)")


def _kernels(frame: pd.DataFrame, theme: Theme) -> Figure:
    return _factors(frame, theme, "times as fast with the fused as with the generic kernel (seconds per epoch)")


def _factors(frame: pd.DataFrame, theme: Theme, label: str) -> Figure:
    """Draw a factor with its spread for every case, grouped by kind of layer, the largest first."""
    columns = sorted(frame["column"].unique())
    kinds = sorted(frame["layers"].unique(), key=lambda kind: (kind.startswith("no "), kind))
    ordered = [
        (kind, suite, case, tables.rows_of(own))
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
    handles = [_handle(column, theme) for column in columns]
    _legend(figure, [*handles, Line2D([], [], color=ink(theme), lw=2.2, alpha=0.45, label=spread)])
    return figure


# --- pre-trained against learned ---------------------------------------------------------------------------------


def _low_data(results: Results) -> pd.DataFrame:
    return comparisons.main_rows(comparisons.low_data(results))


def _pretrained(frame: pd.DataFrame, theme: Theme) -> Figure:
    """Draw both accuracies over the number of rows, and below them their paired difference with the crossover."""
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    columns = sorted(frame["column"].unique())
    sides = {"pretrained_mean": ("pre-trained, frozen", GREEN), "learned_mean": ("learned", VERMILLION)}
    for place, column in enumerate(columns):
        own = frame[frame["column"] == column].sort_values("rows")
        for mean, (name, shade) in sides.items():
            label = name if place == 0 else None
            above.plot(own["rows"], 100 * own[mean].astype(float), "o-", color=colour(shade, theme), label=label)
        below.errorbar(
            own["rows"].astype(float) * (1 + 0.04 * place),
            100 * own["difference"].astype(float),
            100 * own["half"].astype(float).fillna(0),
            fmt=marker(column),
            color=colour(column, theme),
            capsize=3,
            elinewidth=1.2,
            label=column,
        )
    crossed = crossing(tables.rows_of(frame[frame["column"] == columns[0]].sort_values("rows")))
    if crossed is not None:
        rows = sorted(frame["rows"].unique())[crossed]
        for axis in (above, below):
            axis.axvline(rows, color=ink(theme), lw=0.9, ls=":")
        text = f" learned at least as good from {rows:,} rows on"
        above.text(rows, 0.03, text, transform=above.get_xaxis_transform(), fontsize=8)
    below.axhline(0, color=ink(theme), lw=1)
    below.set_xscale("log")
    sizes = sorted(frame["rows"].unique())
    below.set_xticks(sizes, [f"{size:,}" for size in sizes])
    below.xaxis.set_minor_locator(NullLocator())
    below.set_xlabel("training rows")
    above.set_ylabel("test accuracy, %")
    above.set_title("mean over seeds, a line for each backend", fontsize=8.5)
    below.set_ylabel("difference, points")
    seeds = "–".join(map(str, sorted({int(frame["n"].min()), int(frame["n"].max())})))
    below.set_title(f"pre-trained minus learned, paired by seed, 95 % interval ({seeds} seeds)", fontsize=8.5)
    _legend(figure, [_handle(column, theme) for column in columns])
    above.legend(loc="upper left")
    return figure


# --- the cost of native differences ------------------------------------------------------------------------------


def _differences(frame: pd.DataFrame, theme: Theme) -> Figure:
    """Draw a panel for each explained case: what every numerics changes against matched ones, in points."""
    groups = list(frame.groupby(CASE, sort=False))
    columns = sorted(frame["backend"].unique())
    heights = [len(own["numerics"].unique()) for _, own in groups]
    figure = Figure(figsize=(WIDTH, 0.9 + sum(0.42 + 0.24 * height for height in heights)), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=[height + 0.6 for height in heights])
    for axis, (key, own) in zip(axes.flat, groups, strict=True):
        suite, case = key
        names = sorted(own["numerics"].unique(), key=comparisons.numerics_order)
        for row in tables.rows_of(own):
            offset = 0.36 * (columns.index(row["backend"]) - (len(columns) - 1) / 2) / max(len(columns) - 1, 1)
            axis.errorbar(
                100 * row["difference"],
                names.index(row["numerics"]) + offset,
                xerr=None if row["half"] is None else 100 * row["half"],
                fmt=marker(row["backend"]),
                color=colour(row["backend"], theme),
                elinewidth=1.4,
                capsize=2,
            )
        axis.axvline(0, color=ink(theme), lw=1)
        axis.set_yticks(range(len(names)), [comparisons.called(name) for name in names])
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.grid(axis="y", visible=False)
        seeds = sorted({int(n) for n in own["n"]})
        said = "–".join(map(str, sorted({seeds[0], seeds[-1]})))
        axis.set_title(
            f"{suite}/{case}: {own['figure'].iloc[0]} accuracy, {said} paired seed{'' if said == '1' else 's'}"
        )
    figure.supxlabel("points against matched numerics, 95 % interval", fontsize=9)
    _legend(figure, [_handle(column, theme) for column in columns])
    return figure


# --- roofline ----------------------------------------------------------------------------------------------------


def _best_roofline(results: Results) -> pd.DataFrame:
    """Return the rows of every backend's best kernel; another one's column ends with the kernel's name."""
    frame = comparisons.main_rows(comparisons.roofline(results))
    return (
        frame[[not row["column"].endswith(f" {row['kernel']}") for row in tables.rows_of(frame)]]
        if len(frame)
        else frame
    )


def _roofline(frame: pd.DataFrame, theme: Theme) -> Figure:
    """Draw a panel for each document and device: the roof of peak and bandwidth, and the training steps below it."""
    groups = list(frame.groupby(["device", "suite"], sort=True))
    columns = sorted(frame["column"].unique())
    figure = Figure(figsize=(WIDTH, 0.6 + 2.7 * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False)
    for axis, ((device, suite), own) in zip(axes.flat, groups, strict=True):
        peak, bandwidth = float(own["peak"].median()), float(own["bandwidth"].median())
        least, most = float(own["intensity"].min()) / 3, max(float(own["intensity"].max()), peak / bandwidth) * 3
        corners = [least, peak / bandwidth, most]
        axis.plot(corners, [min(peak, bandwidth * x) / 1e9 for x in corners], color=ink(theme), lw=1.2)
        for row in tables.rows_of(own):
            axis.plot(row["intensity"], row["rate"] / 1e9, marker(row["column"]), color=colour(row["column"], theme))
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlim(least, most)
        _logarithmic(axis.xaxis, least, most)
        _logarithmic(axis.yaxis, *axis.get_ylim())
        limits = f"{peak / 1e9:,.0f} GFLOP/s, {bandwidth / 1e9:,.0f} GB/s, both measured"
        axis.set_title(f"{suite}, {device}: {limits}")
        axis.set_ylabel("GFLOP/s of a training step")
    axes.flat[-1].set_xlabel("FLOPs per byte of traffic, counted")
    handles = [_handle(column, theme) for column in columns]
    handles.append(Line2D([], [], color=ink(theme), lw=1.2, label="what the machine allows"))
    _legend(figure, handles)
    figure.draw_without_rendering()
    for axis, (_, own) in zip(axes.flat, groups, strict=True):
        fastest = {row["case"]: row for row in sorted(tables.rows_of(own), key=lambda row: row["rate"])}
        _label(axis, [(row["intensity"], row["rate"] / 1e9, str(row["case"])) for row in fastest.values()])
    return figure


PLOTS = (
    Plot(
        "accuracy-against-time",
        "Accuracy against training time",
        "every architecture under every backend, a panel for each document",
        _timed_architectures,
        _accuracy_against_time,
    ),
    Plot(
        "speed",
        "Training speed by backend",
        "for every case, how many times as fast a backend trains as Keras on TensorFlow, with its spread",
        _headline_speed,
        _speed,
    ),
    Plot(
        "kernels",
        "Fused against generic kernels",
        "for every case, how many times as fast the fused kernel trains, with its spread",
        _headline_kernels,
        _kernels,
    ),
    Plot(
        "learning-curves",
        "Documented and measured learning curves",
        "a panel for each case whose document prints its epochs",
        comparisons.curves,
        _learning_curves,
    ),
    Plot(
        "pre-trained",
        "Pre-trained against learned embeddings",
        "test accuracy over the number of training rows, and the paired difference",
        _low_data,
        _pretrained,
    ),
    Plot(
        "differences",
        "What each difference between the frameworks costs",
        "for every explained case, the change of accuracy against matched numerics by backend",
        comparisons.differences,
        _differences,
    ),
    Plot(
        "roofline",
        "Training steps and the machine's limits",
        "FLOP/s of training steps over their FLOPs per byte, below the machine's roof, a panel for each document",
        _best_roofline,
        _roofline,
    ),
)
"""In the order in which they are shown."""
