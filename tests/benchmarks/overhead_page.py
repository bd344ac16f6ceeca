"""The page of what the harness costs, reports/overhead/README.md, from what `tests.benchmarks.__main__` has found."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from tabulate import tabulate

WORKERS, WAITS = (1, 2, 8, 64), ("1 s", "10 s")
BEYOND, LENGTHS = (64, 1000, 10_000), (10, 60, 600)
SIZES = (10, 1000, 100_000)


def write(folder: Path, measurements: Sequence[Any], found: Mapping[str, Any]) -> None:
    """Write the page and its plot."""
    machine = found["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if name != "twinbench")
    parts = [
        "# What the harness costs",
        f"`nox -s overhead` measured these on {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, "
        f"{packages}, one after the other; `nox -s overhead -- NAME` repeats one. "
        "How each is measured and what it means: [performance](../../docs/performance.md).",
        bounds(measurements, found),
        *notes(measurements, found),
        *cost(found),
        *start(found),
        *growth(found),
        *workers(folder, found),
        *beyond(found),
        "## Commands",
        commands(measurements, found),
    ]
    (folder / "README.md").write_text("\n\n".join(filter(None, parts)) + "\n")


def figures_of(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what a measurement found, nothing where there is none."""
    figures: dict[str, Any] = found.get(name, {}).get("figures", {})
    return figures


def number(value: float | Sequence[float] | None, unit: str = "") -> str:
    """Return a figure, with its ends where it has any, and its unit."""
    if value is None:
        return "–"
    if not isinstance(value, int | float):
        middle, low, high = (f"{each:.2f}" for each in value)
        return f"{middle} ({low} to {high})"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{min(digits, 3 if abs(value) < 0.1 else 2)}f}{f' {unit}' if unit else ''}"


def middle(value: float | Sequence[float]) -> float:
    """Return the estimate of a figure."""
    return value if isinstance(value, int | float) else value[0]


def table(rows: Iterable[Sequence[Any]], headers: Sequence[str], words: Sequence[int] = (0,)) -> str:
    """Return Markdown; all columns but `words` have numbers."""
    align = ["left" if place in words else "right" for place in range(len(headers))]
    return tabulate(list(rows), headers, tablefmt="pipe", colalign=align, disable_numparse=True)


def bounds(measurements: Sequence[Any], found: Mapping[str, Any]) -> str:
    """Return the table of all that has a bound."""
    rows = []
    for each in measurements:
        for row in each.rows:
            value = figures_of(found, each.name).get(row.figure)
            is_met = "not measured" if value is None else "met" if middle(value) <= row.at_most else "not met"
            rows.append(
                (
                    row.what,
                    row.against,
                    number(value, row.unit),
                    number(row.at_most, row.unit),
                    is_met,
                    f"`{each.name}`",
                )
            )
    return table(rows, ("what", "against", "measured", "at most", "", "command"), (0, 1, 4, 5))


def notes(measurements: Sequence[Any], found: Mapping[str, Any]) -> list[str]:
    """Return why bounds are not met: what was written by hand beside the figure it is about, until that is new.

    Why there is none stands under "unmeasured", by measurement.
    """
    lines = [
        f"- **{row.what}**: {found[each.name].get('notes', {}).get(row.figure, 'not looked into yet')}"
        for each in measurements
        for row in each.rows
        if middle(figures_of(found, each.name).get(row.figure, 0.0)) > row.at_most
    ]
    lines += [
        f"- **{row.what}**, not measured: {found.get('unmeasured', {}).get(each.name, 'not begun yet')}"
        for each in measurements
        for row in each.rows
        if row.figure not in figures_of(found, each.name)
    ]
    return ["## Not met, and why", "\n".join(lines)] if lines else []


def cost(found: Mapping[str, Any]) -> list[str]:
    """Return what a cell costs, by process."""
    figures = figures_of(found, "cost")
    names = ("parent", "scheduler", "workers", "harness", "processes", "beyond")
    rows = [
        (
            f"{'this machine' if where == 'local' else 'Dask, one worker'}, cell of {wait}",
            *(number(figures.get(f"{where} {wait}, {name}")) for name in names),
        )
        for where in ("local", "dask")
        for wait in ("0 s", "0.05 s", "1 s")
    ]
    headers = ("ms a cell", "parent", "scheduler", "worker", "together", "the cell's processes", "wall beyond the cell")
    text = (
        "A stub waits in place of training. CPU of each process of the harness; that of the two processes which every "
        "cell has (its guardian, and an interpreter that only waits), and the wall time between cells, stand apart."
    )
    return ["## A cell", text, table(rows, headers)] if figures else []


def start(found: Mapping[str, Any]) -> list[str]:
    """Return what a short cell takes, in a process of its own and forked."""
    rows = []
    for each in found:
        figures, name = figures_of(found, each), each.removeprefix("start-")
        if name != each:
            sides = (f"{name} {side}, {clock}" for side in ("a process each", "forked") for clock in ("s", "CPU s"))
            equal = "yes" if figures[f"{name} equal"] else "no"
            rows.append((name, *(number(figures[side], "s") for side in sides), number(figures[f"{name} wall"]), equal))
    headers = ("", "a process each", "its CPU", "forked", "its CPU", "wall, forked / a process each", "equal scores")
    text = (
        "Seeds of one of the shortest documented cells, `word-embeddings/glove-200`, a cell. Accuracy cells of the "
        "documented profile are forked from a process that has imported the framework; timed cells never are."
    )
    return ["## The start of a short cell", text, table(rows, headers)] if rows else []


def growth(found: Mapping[str, Any]) -> list[str]:
    """Return what numbers of cells take."""
    figures = figures_of(found, "growth")
    rows = [
        (
            f"{size:,}",
            *(
                f"{number(figures[f'{what}_seconds {size}'], 's')}, {figures[f'{what}_MB {size}']:,.0f} MB"
                for what in ("plan", "resume", "report")
            ),
            number(figures[f"store_MB {size}"], "MB"),
        )
        for size in SIZES
        if f"plan_seconds {size}" in figures
    ]
    headers = ("cells", "`--dry-run`", "`--resume`, nothing left", "`bench report`", "store")
    text = "Whole commands, interpreter included, with the most memory that each held."
    return ["## More cells", text, table(rows, headers)] if rows else []


def workers(folder: Path, found: Mapping[str, Any]) -> list[str]:
    """Return what more workers bring, as a table and a plot."""
    figures = figures_of(found, "workers")
    if not figures:
        return []
    rows = [
        (f"{count}", *(f"{figures[f'{count} x {wait}']:.3f}" for wait in WAITS), *(
            f"{figures[f'{count} x {wait}, {name}']:.2f}"
            for name in ("cores", "harness", "processes") for wait in WAITS
        ))
        for count in WORKERS if f"{count} x {WAITS[0]}" in figures
    ]  # fmt: skip
    headers = ("workers", *(f"efficiency, {wait}" for wait in WAITS), *(
        f"{what}, {wait}" for what in ("cores busy", "harness ms a cell", "processes ms a cell") for wait in WAITS
    ))  # fmt: skip
    plot(folder / "workers.svg", figures)
    text = (
        "Workers are processes of one machine, their cells stubs that wait 1 s or 10 s. Efficiency is the time that "
        "stubs waited over the time that workers were there. It bends where the cores of this one machine, which start "
        "two processes a cell, are busy; on a cluster every worker has cores of its own."
    )
    return ["## More workers", text, table(rows, headers), "![Efficiency by number of workers](workers.svg)"]


def plot(path: Path, figures: Mapping[str, float]) -> None:
    """Draw efficiency by the number of workers."""
    with rc_context({"svg.hashsalt": "overhead", "font.size": 9}):
        figure = Figure(figsize=(6, 2.8), layout="constrained")
        axes = figure.subplots()
        for wait, line in zip(WAITS, ("o-", "s--"), strict=True):
            counts = [count for count in WORKERS if f"{count} x {wait}" in figures]
            axes.plot(counts, [figures[f"{count} x {wait}"] for count in counts], line, label=f"cells of {wait}")
        axes.set_xscale("log", base=2)
        axes.set_xticks(WORKERS, list(map(str, WORKERS)))
        axes.set(xlabel="workers on one machine", ylabel="efficiency", ylim=(0, 1.05))
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(path, metadata={"Date": None})


def beyond(found: Mapping[str, Any]) -> list[str]:
    """Return a model of more workers than one machine can have."""
    costs, places = figures_of(found, "workers"), figures_of(found, "placing")
    if not (costs and places):
        return []
    parent, scheduler = (costs[f"8 x 1 s, {name}"] for name in ("parent", "scheduler"))
    between = figures_of(found, "cost")["dask 1 s, beyond"]

    def efficiency(count: int, seconds: int) -> float:
        busiest = max(parent + places[f"placing, {count}"] + places["keeping"], scheduler) / 1000
        return min(seconds / (seconds + between / 1000), seconds / (count * busiest))

    rows = [
        (f"{count:,}", number(places[f"placing, {count}"]), *(f"{efficiency(count, length):.2f}" for length in LENGTHS))
        for count in BEYOND
    ]
    headers = ("workers", "ms to place a cell", *(f"efficiency, cells of {length} s" for length in LENGTHS))
    text = (
        f"A model, not a measurement. The process that was started takes {number(parent)} ms of CPU a cell (8 workers, "
        f"cells of 1 s), {number(places['keeping'])} ms to write a record to this disk, and the time to place it, "
        f"measured without any process; the scheduler takes {number(scheduler)} ms. Each is one thread: the busier one "
        f"bounds the cells a second. Between two cells a worker waits {number(between)} ms, process start included. "
        "Assumed besides: workers have cores of their own, the network adds nothing, and heartbeats cost the "
        "scheduler no more than 200 a second do (`heartbeat_interval` in distributed's `scheduler.py`)."
    )
    return ["## Beyond one machine", text, table(rows, headers)]


def commands(measurements: Sequence[Any], found: Mapping[str, Any]) -> str:
    """Return the command of each measurement, when it ran, and how quiet the machine was."""
    rows = []
    for each in measurements:
        if known := found.get(each.name):
            when = f"{known['began'][:16].replace('T', ' ')} UTC"
            how = f"{known['noise']:.1%}, {known['load']:.1f}"
            seconds = number(known["figures"]["seconds"] / 60, "min")
            rows.append((f"`{each.name}`", f"`{known['command']}`", when, f"`{known['commit'][:9]}`", seconds, how))
    return table(rows, ("", "command", "begun", "commit", "took", "noise, load before"), (0, 1, 2, 3))
