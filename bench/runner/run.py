"""A run: the cells that are left of it, their records in the store, and what became of them.

The logger `bench` is told what its user should know of the machine and of the backends.
"""

from __future__ import annotations

import datetime
import importlib
import itertools
import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, get_args

from msgspec import structs

from bench.backends.base import TF32
from bench.backends.registry import backend
from bench.cases.catalog import Catalog
from bench.cases.cell import Cell, Measure, Status
from bench.cases.describe import definition
from bench.cases.profiles import apply
from bench.errors import BenchError, UsageError, install
from bench.machine import gpu
from bench.machine.fingerprint import available_memory, differences, fingerprint
from bench.machine.noise import noise
from bench.machine.peaks import measure_peaks
from bench.machine.processes import command
from bench.machine.slots import slots
from bench.records.keeper import Keeper
from bench.records.owner import owned, timing_alone
from bench.records.record import Record
from bench.records.store import Finished, Run, Store, resuming
from bench.runner import jobs, workers
from bench.runner.capabilities import examine
from bench.runner.client import Preparer
from bench.runner.options import RunOptions
from bench.runner.plan import CellPart, Obstacle, PlannedCell, plan
from bench.runner.progress import Display
from bench.spec import Device

if TYPE_CHECKING:
    from bench.runner import cluster

SAFE_SHARE_OF_MEMORY = 0.8
NODE = command("bench.runner.node")
"""What a cluster on this machine is made of."""
log = logging.getLogger("bench")


# --- before ------------------------------------------------------------------------------------------------------


def cells_left(path: Path, stored: Run | None, catalog: Catalog, options: RunOptions) -> tuple[list[PlannedCell], int]:
    """Return the cells to run, and the number of those that the run `stored` has already.

    Estimates come from the store at `path`, where there is one yet.
    """
    with Store(path) if path.exists() else nullcontext() as store:
        measured = partial(store.seconds, profile=options.profile, measure=options.measure) if store else None
        cells = plan(catalog, options, measured)
        jobs.check(options, cells)
        finished = _still_hold(store.finished(stored.name), catalog, options) if store and stored else {}
    with Preparer() as preparer:  # not within --timeout: what a busy machine prepares late would be run again

        @cache
        def data_now(name: str) -> str | None:
            _, case = catalog.case(name)
            return preparer.sha256(apply(case, options.profile), options.replaced, most_memory(options))

        def done(planned: PlannedCell) -> bool:
            data = finished.get((planned.cell, planned.repeat))
            # Other machines look at theirs, and refuse what differs.
            return data is not None and (bool(options.scheduler) or data == data_now(planned.cell.case_name))

        left = [planned for planned in cells if not done(planned)]
    return left, len(cells) - len(left)


def _still_hold(
    finished: Iterable[Finished], catalog: Catalog, options: RunOptions
) -> dict[tuple[Cell, int], str | None]:
    """Return the data of the cells whose result is what would be measured now: at least as much, of the same case.

    Records of earlier versions do not say what the case was. Its data is looked at last, in another process.
    """

    @cache
    def case_now(name: str) -> str | None:
        try:
            suite, case = catalog.case(name)
            return definition(suite, apply(case, options.profile))
        except BenchError:
            return None

    enough = {options.measure, "all", *(["glance"] if options.measure == "accuracy" else [])}
    return {
        (each.cell, each.repeat): each.data
        for each in finished
        if each.measure in enough and (now := case_now(each.cell.case_name)) and each.case in (now, None)
    }


def most_memory(options: RunOptions, count: int = 1) -> float:
    """Return how many bytes each of `count` cells side by side may hold: what `--memory` says, or an equal share."""
    return options.memory * 1e9 if options.memory else SAFE_SHARE_OF_MEMORY * available_memory() / count


def limits_of(options: RunOptions, count: int) -> workers.Limits:
    """Return what each of `count` cells side by side may take."""
    return workers.Limits(most_memory(options, count), options.timeout, options.budget)


# --- during ------------------------------------------------------------------------------------------------------


def run_cells(
    cells: list[PlannedCell],
    options: RunOptions,
    path: Path,
    command: list[str],
    *,
    name: str | None = None,
    stored: Run | None = None,
    already: int = 0,
    on_record: Callable[[Record], None] | None = None,
    forks: bool = True,
) -> Ended:
    """Run cells and store their records at `path`: in the run `stored`, else in a new one that keeps `command`.

    `already` cells of the run were done before. A new run is this process's until it ends; `stored` the caller owns.
    A run that takes times waits for another that does. Progress is shown on stderr; `on_record` is given every record,
    none of which is kept here. Without `forks` the epochs of all can be compared: no cell is forked, unless others run
    beside it. Raises `UsageError` for a `name` that is taken, and when `CUDA_VISIBLE_DEVICES` names a
    GPU that does not exist.
    """
    times = options.measure != "accuracy" and any(not planned.obstacle for planned in cells)
    with interruptible() as interrupted:
        chosen = jobs.chosen(cells, options, partial(limits_of, options), interrupted)
    threads, limits = chosen.threads, limits_of(options, chosen.count)
    with ExitStack() as held:
        pool = held.enter_context(_pool(options, cells))
        if times and not pool:
            with interruptible() as interrupted:
                held.enter_context(timing_alone(interrupted))
            if interrupted.is_set():
                raise KeyboardInterrupt
        store = held.enter_context(Store(path, create=True))
        held.enter_context(with_tf32(options))
        environment = pool.environment(stored.environment if stored else None) if pool else fingerprint(threads)
        cells = pool.planned(cells) if pool else on_gpu(cells, threads)
        if stored is None:
            kept = (options if pool else replace(options, threads=threads)).kept()
            name = name or free_name(run.name for run in store.runs())
            held.enter_context(owned(path, name))
            stored = store.create_run(name, options.profile, environment, command, kept)
        else:
            changed = differences(stored.environment, environment)
            if changed:
                log.warning("since run %r began, these changed: %s", stored.name, ", ".join(changed))
        if not pool:
            devices = {planned.cell.device for planned in cells if not planned.obstacle}
            add = survey(devices, options.measure, threads)
        settings = workers.Settings(
            options.profile,
            options.measure,
            threads,
            options.suites,
            options.replaced,
            slots=slots(chosen.count),
            forks=forks or chosen.count > 1,
        )
        if chosen.count > 1:
            tell(chosen, options)
        if any(not planned.obstacle for planned in cells):
            log.info("time limit of a cell: %s", f"{limits.timeout:g} s" if limits.timeout else limits.how)
        planned_as = cache(lambda: {planned.cell: planned for planned in cells})
        statuses, fails = Counter[Status](), False
        with interruptible() as interrupted, Display(cells, len(pool.nodes) if pool else chosen.count) as display:
            keeper = Keeper(store, stored, interrupted)
            if pool:
                hashes = store.data_hashes(stored.name) if options.scheduler else {}
                ran = pool.run(cells, options.budget, display, interrupted, hashes)
            else:
                here = map(add, workers.run(cells, settings, limits, display, interrupted))
                ran = ((record, environment) for record in here)
            for record, measured_in in ran:
                keeper.add(record, measured_in)
                statuses[record.status] += 1
                fails |= record.status != "ok" and (
                    record.status != "unavailable" or _asked_for(record, planned_as()[record.cell])
                )
                display.ended(record)
                if on_record:
                    on_record(record)
        keeper.close()
    return Ended(stored.name, path, options, len(cells), statuses, fails, interrupted.is_set(), already)


def tell(chosen: jobs.Jobs, options: RunOptions) -> None:
    """Say how many cells work side by side, unless a probe has said it, and whether their memory may not suffice."""
    if options.jobs == chosen.count:
        log.info(chosen.words)
    needed, free = chosen.count * most_memory(options, chosen.count) / 1e9, available_memory() / 1e9
    if needed > free:
        lets = f"--memory lets {chosen.count} cells hold {needed:.1f} GB together"
        log.warning("%s, and %.1f GB are free: give less, or fewer --jobs", lets, free)


@contextmanager
def _pool(options: RunOptions, cells: list[PlannedCell]) -> Iterator[cluster.Pool | None]:
    """Give the workers of a cluster where `options` ask for one; raise `UsageError` where Dask is not installed."""
    if not (options.scheduler or options.cluster):
        yield None
        return
    if options.scheduler and options.cluster:
        raise UsageError("--cluster starts workers here, --scheduler names a cluster that runs; give one of them")
    with clustered().pool(options, cells) as pool:
        yield pool


def on_cluster(cells: list[PlannedCell], options: RunOptions) -> list[PlannedCell]:
    """Return cells with what keeps the workers of `options.scheduler` from them, where one is given."""
    if not options.scheduler:
        return cells
    with _pool(options, cells) as pool:
        assert pool
        return pool.planned(cells)


def clustered() -> Any:
    """Return `bench.runner.cluster`; raise `UsageError` where Dask is not installed."""
    try:
        return importlib.import_module("bench.runner.cluster")
    except ModuleNotFoundError as error:
        raise UsageError(f"a cluster needs dask.distributed ({error}); {install('dask')}") from error


@contextmanager
def with_tf32(options: RunOptions) -> Iterator[None]:
    """Let the processes that are started inside use TF32 where the options say so."""
    before = os.environ.get(TF32)
    os.environ.update({TF32: "1"} if options.tf32 else {})
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(TF32, None)
        else:
            os.environ[TF32] = before


def on_gpu(cells: list[PlannedCell], threads: int) -> list[PlannedCell]:
    """Say how each backend stands with the GPU, and return the cells with what keeps them off it, if anything does.

    Raises `UsageError` when `CUDA_VISIBLE_DEVICES` names a GPU that does not exist.
    """
    wanted = {planned for planned in cells if planned.cell.device == "cuda" and not planned.obstacle}
    if not wanted:
        return cells
    found = gpu.look()
    gpu.check_visible(found.gpus)
    for text in itertools.chain.from_iterable(map(gpu.warnings, gpu.visible(found.gpus)[:1])):
        log.warning(text)
    reasons: dict[str, str | None] = {}
    for name in dict.fromkeys(planned.cell.backend for planned in cells if planned in wanted):
        reasons[name] = examine(backend(name), threads, ("cuda",)).devices["cuda"]
        log.info("%s: %s", name, reasons[name] or "trains on the GPU")
    return [
        replace(planned, obstacle=Obstacle(reason, "device"), estimate=0.0)
        if planned in wanted and (reason := reasons[planned.cell.backend])
        else planned
        for planned in cells
    ]


def survey(devices: set[Device], measure: Measure, threads: int) -> Callable[[Record], Record]:
    """Look at the machine before anything is timed; return what adds the findings to the record of a timed cell."""
    if measure == "accuracy" or not devices:
        return lambda record: record
    found, brief = noise(threads), measure == "glance"
    if found.high and not brief:
        log.warning(found.sentence)
    most = {} if brief else {device: measure_peaks(device, threads) for device in devices}

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


@dataclass(frozen=True)
class Ended:
    """What became of the cells of a run: `statuses` of those that were begun, of `planned`; `already` were done.

    `fails`: one of them makes the command end with exit code 3.
    """

    run: str
    store: Path
    options: RunOptions
    planned: int
    statuses: Counter[Status]
    fails: bool
    interrupted: bool
    already: int

    @property
    def begun(self) -> int:
        """How many cells were begun."""
        return self.statuses.total()

    @property
    def exit_code(self) -> int:
        """The command's exit code."""
        if self.interrupted:
            return 130
        named = self.options.patterns or self.options.backends or self.options.suites
        nothing = not self.already and self.statuses["unavailable"] == self.planned > 0
        return 3 if self.fails or (named and nothing) else 0

    @property
    def again(self) -> str:
        """The command that continues the run."""
        return resuming(self.run, self.store)


def _asked_for(record: Record, planned: PlannedCell) -> bool:
    """Return whether what was unavailable was asked for by name."""
    part: Any = record.details.get("obstacle")
    return planned.asked_for(part if part in get_args(CellPart) else "case")
