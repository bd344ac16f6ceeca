"""`bench run`: plan cells, run them, store their records, and say what became of them."""

from __future__ import annotations

import datetime
import itertools
import os
import shlex
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, get_args

import click
from click.core import ParameterSource
from msgspec import structs

from bench.backends.base import TF32
from bench.backends.registry import DEFAULT_BACKENDS, backend
from bench.cases.catalog import Catalog
from bench.cases.catalog import load as load_catalog
from bench.cases.cell import Measure, Profile, Status
from bench.cases.describe import definition
from bench.cases.model import embedding_of
from bench.cases.profiles import apply
from bench.data import prepare, stand_ins_for
from bench.errors import BenchError, SuiteError, UsageError
from bench.machine import gpu
from bench.machine.fingerprint import available_memory, cores, fingerprint
from bench.machine.noise import noise
from bench.machine.peaks import measure_peaks
from bench.records.record import SCHEMA_VERSION, Record, json_text, plain
from bench.records.store import DEFAULT_PATH, Run, Store
from bench.runner.capabilities import examine
from bench.runner.plan import Matrix, Obstacle, PlannedCell, plan
from bench.runner.progress import Display, duration, first_line
from bench.runner.workers import Limits, Settings, run
from bench.spec import Device, Kernel

SAFE_SHARE_OF_MEMORY = 0.8
NAMED_CELLS = 3
"""Cells of one fate that the summary names before it says how many more there are."""


@click.command()
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option(
    "--profile",
    type=click.Choice(get_args(Profile)),
    default="quick",
    help="Embedded data in minutes, or the real thing.",
)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    metavar="B",
    help=f"Default: {' and '.join(DEFAULT_BACKENDS)}, as installed.",
)
@click.option(
    "--kernel", "kernels", multiple=True, type=click.Choice(get_args(Kernel)), help="Default: the best available."
)
@click.option("--device", type=click.Choice(get_args(Device)), help="Default: cpu.")
@click.option(
    "--numerics", default="documented", metavar="N", help="documented, matched, native or native:DIFFERENCE,..."
)
@click.option("--seeds", type=click.IntRange(1), default=1, metavar="N", help="Seeds 0 to N-1.")
@click.option("--repeats", type=click.IntRange(1), default=1, metavar="N", help="Measure each cell N times.")
@click.option(
    "--measure",
    type=click.Choice(get_args(Measure)),
    help="Default: accuracy (quick; cells share processes), all (documented).",
)
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="S", help="Seconds that a cell may take.")
@click.option(
    "--memory",
    type=click.FloatRange(0, min_open=True),
    metavar="GB",
    help="What a cell may use. Default: 80 % of what is free.",
)
@click.option(
    "--budget", type=click.FloatRange(0, min_open=True), metavar="S", help="Start no cell that would end later."
)
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads of each framework. Default: every core.")
@click.option("--tf32", is_flag=True, help="Let products on a GPU round their factors to TF32; recorded.")
@click.option("--suites", multiple=True, metavar="PATH", help="More suite files or folders.")
@click.option("--stand-in", "stand_ins", multiple=True, metavar="NAME=OTHER", help="Use OTHER where a case needs NAME.")
@click.option(
    "--store", "store_path", type=click.Path(path_type=Path), default=DEFAULT_PATH, metavar="PATH", show_default=True
)
@click.option("--name", metavar="RUN", help="Name of the new run. Default: the time.")
@click.option("--resume", metavar="RUN", help="Go on with a run: what ended ok is not run again.")
@click.option("--dry-run", is_flag=True, help="Print the cells and the estimated time, run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@click.pass_context
def command(context: click.Context, /, **_: Any) -> int:
    """Run cells and store their results.

    A PATTERN is a shell glob over case or cell names: 'imdb-rnn/*', '*/lstm*@torch,*'. Without one, every case runs.
    """
    params = context.params
    with ExitStack() as opened:
        store, stored = open_store(context, opened)
        matrix, catalog = matrix_of(params), catalog_of(params)
        cells, already = cells_left(store, stored, catalog, matrix)
        if params["dry_run"]:
            return dry_run(cells, as_json=params["as_json"])
        store = store or opened.enter_context(Store(params["store_path"], create=True))
        ended = execute(["bench", *context.obj], params, store, stored, matrix, cells)
        if params["as_json"]:
            content = [plain(record) for record in ended.records]
            click.echo(json_text({"schema_version": SCHEMA_VERSION, "records": content}))
        for line in ended.summary(already):
            click.echo(line, err=params["as_json"])
        return ended.exit_code(already)


# --- before ------------------------------------------------------------------------------------------------------


def open_store(context: click.Context, opened: ExitStack) -> tuple[Store | None, Run | None]:
    """Return the store, where there is one yet, and the run that `--resume` names, its options taken over."""
    path: Path = context.params["store_path"]
    resumed: str | None = context.params["resume"]
    if resumed and context.params["name"]:
        raise UsageError("--name is for a new run, --resume for one that exists; give one of them")
    store = opened.enter_context(Store(path)) if resumed or path.exists() else None
    stored = store.run(resumed) if store and resumed else None
    if stored:
        _take_over(context, stored)
    return store, stored


def cells_left(
    store: Store | None, stored: Run | None, catalog: Catalog, matrix: Matrix
) -> tuple[list[PlannedCell], int]:
    """Return the cells to run, and the number of those that the run has already."""
    measured = partial(store.seconds, profile=matrix.profile, measure=matrix.measure) if store else None
    cells = plan(catalog, matrix, measured)
    if not (store and stored):
        return cells, 0
    finished = [record for record in store.finished(stored.name) if _still_holds(record, catalog, matrix)]
    done = {(record.cell, record.repeat) for record in finished}
    left = [planned for planned in cells if (planned.cell, planned.repeat) not in done]
    return left, len(cells) - len(left)


_KEPT = (
    "patterns",
    "profile",
    "backends",
    "kernels",
    "device",
    "numerics",
    "seeds",
    "repeats",
    "measure",
    "timeout",
    "memory",
    "threads",
    "tf32",
    "suites",
    "stand_ins",
)
"""Options that `--resume` takes from the run where the command line does not give them."""


def _take_over(context: click.Context, stored: Run) -> None:
    given = {name for name in _KEPT if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    if "patterns" in given and not context.params.get("patterns"):
        given.remove("patterns")
    if "profile" in given and context.params["profile"] != stored.profile:
        raise UsageError(
            f"run {stored.name!r} has profile {stored.profile}; start another run for {context.params['profile']}"
        )
    # A run of an earlier version does not know every option.
    known = [name for name in _KEPT if name in stored.options]
    context.params.update({name: stored.options[name] for name in known if name not in given})


def matrix_of(params: dict[str, Any]) -> Matrix:
    """Return the matrix that the options ask for; raise `UsageError` for an unknown name."""
    stand_ins = {}
    for text in params["stand_ins"]:
        wanted, equals, other = text.partition("=")
        if not (wanted and equals and other):
            raise UsageError(f"--stand-in {text!r}: expected NAME=OTHER")
        stand_ins[wanted] = other
    for name in params["backends"]:
        backend(name)
    return Matrix(
        patterns=tuple(params["patterns"]),
        profile=params["profile"],
        measure=params["measure"] or ("accuracy" if params["profile"] == "quick" else "all"),
        backends=tuple(params["backends"]) or None,
        kernels=tuple(params["kernels"]) or None,
        device=params["device"],
        numerics=params["numerics"],
        seeds=params["seeds"],
        repeats=params["repeats"],
        suites=tuple(params["suites"]),
        stand_ins=stand_ins,
    )


def catalog_of(params: dict[str, Any]) -> Catalog:
    """Return all suites; raise `SuiteError` when one of them is broken."""
    catalog = load_catalog([Path(path) for path in params["suites"]])
    if catalog.errors:
        raise SuiteError("\n".join(str(error) for error in catalog.errors))
    return catalog


def _still_holds(record: Record, catalog: Catalog, matrix: Matrix) -> bool:
    """Return whether a stored `ok` record is what would be measured now: at least as much, of the same case and data.

    Records of earlier versions do not say what the case was.
    """
    if record.measure not in (matrix.measure, "all"):
        return False
    try:
        suite, case = catalog.case(record.cell.case_name)
        case = apply(case, matrix.profile)
        embedding = embedding_of(case)
        dataset = prepare(case.data, embedding, stand_ins_for(case.data, embedding, matrix.stand_ins))
    except BenchError:
        return False
    now = definition(suite, case)
    on_same_data = record.data is not None and record.data.sha256 == dataset.sha256
    return on_same_data and record.details.get("case", now) == now


def dry_run(cells: list[PlannedCell], *, as_json: bool) -> int:
    """Print the cells and the estimated time; return the exit code."""
    total = sum(planned.estimate for planned in cells)
    if as_json:
        listed = [
            {
                "cell": str(planned.cell),
                "repeat": planned.repeat,
                "estimated_seconds": planned.estimate,
                "unavailable": planned.obstacle.reason if planned.obstacle else None,
            }
            for planned in cells
        ]
        click.echo(json_text({"schema_version": SCHEMA_VERSION, "cells": listed, "estimated_seconds": total}, indent=2))
        return 0
    for planned in cells:
        what = f"unavailable: {planned.obstacle.reason}" if planned.obstacle else f"about {duration(planned.estimate)}"
        click.echo(f"{planned.cell}{f' repeat {planned.repeat}' if planned.repeat else ''}  {what}")
    click.echo(
        f"{_cells(len(cells))}, about {duration(total)} (an estimate: from stored runs where there are any, else rough)"
    )
    return 0


# --- during ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """What became of the cells of a run: `records` of those that were begun, in `seconds`."""

    run: str
    store: Path
    matrix: Matrix
    cells: list[PlannedCell]
    records: list[Record]
    seconds: float
    interrupted: bool

    def exit_code(self, already: int) -> int:
        """Return the command's exit code; `already` cells were done before."""
        if self.interrupted:
            return 130
        by_name = {(planned.cell, planned.repeat): planned for planned in self.cells}
        counts = any(_counts(record, by_name[record.cell, record.repeat]) for record in self.records)
        named = self.matrix.patterns or self.matrix.backends or self.matrix.suites
        states = [record.status for record in self.records]
        nothing = not already and bool(states) and states == ["unavailable"] * len(self.cells)
        return 3 if counts or (named and nothing) else 0

    def summary(self, already: int) -> Iterator[str]:
        """Yield lines on what did not end ok, how to go on, and where the results are."""
        records = self.records
        store = "" if self.store == DEFAULT_PATH else f" --store {shlex.quote(str(self.store))}"
        again = f"bench run --resume {shlex.quote(self.run)}{store}"
        for (status, reason), cells in self._not_ok().items():
            counted = "" if len(cells) == 1 else f" ({_cells(len(cells))})"
            yield f"{status}{counted}: {_listed(cells)}: {reason}"
            which = "it" if len(cells) == 1 else "them"
            named = cells if len(cells) <= NAMED_CELLS else ()
            yield f"    run {which} again: {' '.join([again, *map(shlex.quote, named)])}"
        states = Counter(record.status for record in records)
        counted = ", ".join(f"{number} {status}" for status, number in states.most_common()) or "nothing to run"
        done = f"; {already} done before" if already else ""
        yield f"{_cells(len(records))} in {duration(self.seconds)}: {counted}{done}"
        missing = len(self.cells) - len(records)
        if missing:
            yield f"{_cells(missing)} {'has' if missing == 1 else 'have'} not been started; go on with: {again}"
        yield f"Results: run {self.run} in {self.store}"
        suites = "".join(f" --suites {shlex.quote(path)}" for path in self.matrix.suites)
        yield f"Next: bench report {shlex.quote(self.run)}{store}{suites}"
        yield "      writes reports/local/README.md, answers first; --format md,plots,html adds pictures and a page"

    def _not_ok(self) -> dict[tuple[Status, str], list[str]]:
        """Return the cells that did not end ok, by what became of them and why."""
        found: dict[tuple[Status, str], list[str]] = {}
        for record in self.records:
            if record.status != "ok":
                found.setdefault((record.status, first_line(record.reason)), []).append(str(record.cell))
        return found


def _cells(number: int) -> str:
    return f"{number} cell{'' if number == 1 else 's'}"


def _listed(cells: Sequence[str]) -> str:
    more = len(cells) - NAMED_CELLS
    return ", ".join(cells[:NAMED_CELLS]) + (f" and {more} more" if more > 0 else "")


def execute(
    words: list[str],
    params: dict[str, Any],
    store: Store,
    stored: Run | None,
    matrix: Matrix,
    cells: list[PlannedCell],
) -> Ended:
    """Run cells and store their records: in the run `stored`, else in a new one that keeps the command's `words`."""
    threads = params["threads"] or cores()
    os.environ.update({TF32: "1"} if params.get("tf32") else {})
    environment = fingerprint(threads)
    cells = _on_gpu(cells, threads)
    if stored is None:
        options = {name: params.get(name) for name in _KEPT} | {"measure": matrix.measure, "threads": threads}
        name = params["name"] or free_name(run.name for run in store.runs())
        stored = store.create_run(name, matrix.profile, environment, words, options)
    else:
        changed = [key for key in environment if environment[key] != stored.environment.get(key)]
        if changed:
            click.echo(f"bench: since run {stored.name!r} began these changed: {', '.join(changed)}", err=True)
    survey = _survey({planned.cell.device for planned in cells if not planned.obstacle}, matrix.measure, threads)
    settings = Settings(matrix.profile, matrix.measure, threads, matrix.suites, matrix.stand_ins)
    limit = params["memory"] * 1e9 if params["memory"] else SAFE_SHARE_OF_MEMORY * available_memory()
    limits = Limits(limit, params["timeout"], params["budget"])
    records: list[Record] = []
    started = time.monotonic()
    with interruptible() as interrupted, Display(cells) as display:
        for record in map(survey, run(cells, settings, limits, display, interrupted)):
            store.add(stored.name, record, environment)
            records.append(record)
            display.ended(record)
    return Ended(stored.name, store.path, matrix, cells, records, time.monotonic() - started, interrupted.is_set())


def _on_gpu(cells: list[PlannedCell], threads: int) -> list[PlannedCell]:
    """Say how each backend stands with the GPU, and return the cells with what keeps them off it, if anything does.

    Raises `UsageError` when `CUDA_VISIBLE_DEVICES` names a GPU that does not exist.
    """
    wanted = {planned for planned in cells if planned.cell.device == "cuda" and not planned.obstacle}
    if not wanted:
        return cells
    found = gpu.look()
    gpu.check_visible(found.gpus)
    for text in itertools.chain.from_iterable(gpu.warnings(one) for one in gpu.visible(found.gpus)[:1]):
        click.echo(f"bench: {text}", err=True)
    reasons: dict[str, str | None] = {}
    for name in dict.fromkeys(planned.cell.backend for planned in cells if planned in wanted):
        reasons[name] = examine(backend(name), threads, ("cuda",)).devices["cuda"]
        click.echo(f"bench: {name}: {reasons[name] or 'trains on the GPU'}", err=True)
    return [
        replace(planned, obstacle=Obstacle(reason, "device"), estimate=0.0)
        if planned in wanted and (reason := reasons[planned.cell.backend])
        else planned
        for planned in cells
    ]


def _survey(devices: set[Device], measure: Measure, threads: int) -> Callable[[Record], Record]:
    """Look at the machine before anything is timed; return what adds the findings to the record of a timed cell."""
    if measure == "accuracy" or not devices:
        return lambda record: record
    found = noise(threads)
    if found.high:
        click.echo(f"bench: {found.sentence}", err=True)
    most = {device: measure_peaks(device, threads) for device in devices}

    def add(record: Record) -> Record:
        changes: dict[str, Any] = {}
        if record.timing:
            changes["timing"] = structs.replace(record.timing, noise=found.spread)
        limit = most.get(record.device)
        if record.cost and limit:
            changes["cost"] = structs.replace(record.cost, peak_flops=limit.flops, bandwidth=limit.bandwidth)
        return structs.replace(record, **changes)

    return add


def free_name(names: Iterable[str]) -> str:
    """Name a run by the second it begins in, with a number behind it where that is among the `names` in use."""
    name = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    taken = set(names)
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(free for free in itertools.chain([name], numbered) if free not in taken)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C (or SIGTERM) sets, so that no write is cut short; a second stops at once.

    Only the main thread may set handlers of signals: in another one nothing sets the event.
    """
    event = threading.Event()

    def note(number: int, _: FrameType | None) -> None:
        event.set()
        signal.signal(number, before[number])

    before: dict[int, Any] = {}
    in_main_thread = threading.current_thread() is threading.main_thread()
    for number in (signal.SIGINT, signal.SIGTERM) if in_main_thread else ():
        before[number] = signal.signal(number, note)
    try:
        yield event
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)


# --- after -------------------------------------------------------------------------------------------------------


def _counts(record: Record, planned: PlannedCell) -> bool:
    """Return whether a record makes the command end with exit code 3."""
    if record.status == "unavailable":
        return planned.asked_for(record.details["obstacle"])
    return record.status != "ok"
