"""What runs inside a Dask worker: the handshake of a run, and its cells, each in a process that this one guards.

`bench.runner.cluster` calls `greet`, `examined` and `cells` there. They take and return bytes of msgpack and never
raise, so that a worker of another version is refused in words. `work` makes this process a worker;
`python -m bench.runner.node` is a scheduler or a worker of `--cluster local:N`.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import dask
import distributed
import msgspec
from distributed.threadpoolexecutor import ThreadPoolExecutor

from bench.backends.registry import backends
from bench.cases.catalog import Catalog, sound
from bench.cases.cell import Cell
from bench.cases.profiles import apply
from bench.errors import BenchError, CodeChanged, UsageError
from bench.files import write_file
from bench.machine import gpu
from bench.machine.fingerprint import cores, fingerprint
from bench.machine.processes import Code, code
from bench.records.owner import timing_alone
from bench.records.record import SCHEMA_VERSION, Record, plain
from bench.runner import workers
from bench.runner.capabilities import examine
from bench.runner.client import Preparer
from bench.runner.options import RunOptions
from bench.runner.placement import LABELS, labelled
from bench.runner.plan import Obstacle, PlannedCell, outlook
from bench.runner.protocol import PROTOCOL
from bench.runner.run import most_memory, survey, with_tf32
from bench.spec import Device

RUNS_ON = f"distributed {version('distributed')} on Python {'.'.join(platform.python_version_tuple()[:2])}"
"""What two ends of a cluster must have in common to understand what they send each other."""
DEATH_SECONDS = 60
"""How long a worker looks for its scheduler before it ends."""
QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
}
"""Dask's defaults wake a worker or a scheduler 50 times a second, some per cent of a core beside what is measured."""
_THREADS = ThreadPoolExecutor(max_workers=2)


class Asked(msgspec.Struct):
    """A run, as its workers are told of it: `token` tells it from others, `suites` are its suite files.

    `hashes` are those of every suite that it knows; about `configurations` (`Cell.configuration`) it wants to know.
    """

    token: str
    options: dict[str, Any]
    suites: dict[str, bytes]
    hashes: dict[str, str]
    configurations: list[str]


class Greeting(msgspec.Struct):
    """A worker's answer; `error` says why it takes no cells. `outlook`: (reason, part, seconds) of each configuration.

    `version`, `protocol` and `sha256` (of the code) are the first that are looked at: those of another version may
    come with fields of other names.
    """

    version: str
    protocol: int
    sha256: str
    host: str
    runs_on: str = ""
    name: str = ""
    labels: list[str] = []
    environment: dict[str, Any] = {}
    outlook: list[tuple[str | None, str | None, float]] = []
    error: str | None = None


class Task(msgspec.Struct):
    """Cells to run, under a Dask key: (cell, repeat, estimate) of each.

    `hashes` are those of the data that cases (`suite/case`) of this run were measured on so far; `neighbours` counts
    the workers that share this machine's memory.
    """

    token: str
    key: str
    cells: list[tuple[str, int, float]]
    hashes: dict[str, str]
    neighbours: int = 1


class Answer(msgspec.Struct):
    """The records of a task, as plain values; `changed`: the code has; `error`: what broke on the worker itself."""

    schema_version: int = SCHEMA_VERSION
    records: list[dict[str, Any]] = []
    changed: str | None = None
    error: str | None = None


def installed() -> str:
    """Return this version of twinbench."""
    with suppress(PackageNotFoundError):
        return version("twinbench")
    return "from its source"


def suite_hashes(catalog: Catalog) -> dict[str, str]:
    """Return the sha256 of the file of every suite."""
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in catalog.files.items()}


# --- the handshake -----------------------------------------------------------------------------------------------


async def greet(sha256: str, asked: bytes, dask_worker: distributed.Worker) -> bytes:
    """Prepare this worker for a run, whose code has that hash; return a `Greeting`."""
    ours = code()
    greeting = Greeting(installed(), PROTOCOL, ours.sha256, platform.node(), RUNS_ON)
    if sha256 != ours.sha256:
        return msgspec.msgpack.encode(greeting)
    greeting.labels, greeting.name = list(dask_worker.state.total_resources), str(dask_worker.name)
    if not set(greeting.labels) & set(LABELS.values()):
        greeting.error = "it has no label cpu or gpu; start it by `bench worker`, or with --resources cpu=1"
        return msgspec.msgpack.encode(greeting)
    try:
        folder = Path(dask_worker.local_directory)
        question = msgspec.msgpack.decode(asked, type=Asked)
        run = await _aside(lambda: _Run(question, ours, folder, greeting))
        await dask_worker.plugin_add(run.guard, run.token)
    except Exception as error:
        greeting.error = _told(error)
    return msgspec.msgpack.encode(greeting)


class _Run:
    """A run on this worker: its options and suites as they are here, and what was found out once for all cells."""

    def __init__(self, asked: Asked, ours: Code, folder: Path, greeting: Greeting) -> None:
        self.token, self.code = asked.token, ours
        self.folder = Path(tempfile.mkdtemp(prefix="suites-", dir=folder))
        self.guard = _Guard(self)
        self._survey: dict[Device, Callable[[Record], Record]] = {}
        self._held: dict[str, str | None] = {}
        self._preparer = Preparer()
        try:
            for name, content in asked.suites.items():
                write_file(self.folder / name, content)
            files = tuple(str(self.folder / name) for name in asked.suites)
            self.options = RunOptions.of({**asked.options, "suites": files})
            self.threads = self.options.threads or cores()
            self.catalog = sound(files)
            self._check(asked.hashes)
            with with_tf32(self.options):
                greeting.environment = fingerprint(self.threads)
            for name in asked.configurations:
                obstacle, seconds = outlook(self.catalog, self.options, Cell.parse(f"{name}#0"))
                reason, part = (obstacle.reason, obstacle.part) if obstacle else (None, None)
                greeting.outlook.append((reason, part, seconds))
        except BaseException:
            self.end()
            raise

    def _check(self, hashes: Mapping[str, str]) -> None:
        found = suite_hashes(self.catalog)
        differing = sorted(name for name in {*found, *hashes} if found.get(name) != hashes.get(name))
        if differing:
            raise UsageError(
                f"its suites differ: {', '.join(differing)}; bring it to the same checkout, or name files by --suites"
            )

    def end(self) -> None:
        """Forget the run."""
        _RUNS.pop(self.token, None)
        self._preparer.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, task: Task, stop: threading.Event) -> Iterable[Record]:
        """Yield the records of a task's cells, the machine surveyed before the first that is timed."""
        planned = [self._planned(*cell, task) for cell in task.cells]
        device = planned[0].cell.device
        memory = most_memory(self.options) / (1 if self.options.memory else task.neighbours)
        replaced = self.options.replaced
        settings = workers.Settings(
            self.options.profile, self.options.measure, self.threads, self.options.suites, replaced
        )
        limits = workers.Limits(memory, self.options.timeout)
        # As on one machine, though its neighbours may belong to other runs.
        alone = nullcontext() if self.options.measure == "accuracy" else timing_alone(stop)
        with alone, with_tf32(self.options):
            if device not in self._survey:
                self._survey[device] = survey({device}, self.options.measure, self.threads)
            ran = workers.run(planned, settings, limits, workers.Silent(), stop, workers.WORKER, PROTOCOL, self.code)
            for record in map(self._survey[device], ran):
                if record.data:  # what was measured need not be looked at
                    self._held.setdefault(record.cell.case_name, record.data.sha256)
                yield record

    def _planned(self, name: str, repeat: int, estimate: float, task: Task) -> PlannedCell:
        cell = Cell.parse(name)
        planned = PlannedCell(cell, repeat, frozenset(), None, estimate)
        expected = task.hashes.get(cell.case_name)
        if expected and self._data(cell.case_name) != expected:
            return replace(planned, obstacle=Obstacle(other_data(self._data(cell.case_name), expected), "case"))
        return planned

    def _data(self, case_name: str) -> str | None:
        """Return what identifies a case's data here; None where it cannot be had."""
        if case_name not in self._held:
            _, case = self.catalog.case(case_name)
            self._held[case_name] = self._preparer.sha256(
                apply(case, self.options.profile), self.options.replaced, most_memory(self.options)
            )
        return self._held[case_name]


def other_data(found: str | None, expected: str) -> str:
    """Return why a worker's data are none for a run whose data have that hash."""
    here = f"this worker has other data ({found[:8]})" if found else "this worker cannot prepare its data"
    return f"{here}; the run was measured on {expected[:8]}; `bench data verify` there says which file differs"


_RUNS: dict[str, _Run] = {}


class _Guard(distributed.WorkerPlugin):
    """Ends the process of a cell whose task is cancelled, whose client is gone, or whose worker is closed."""

    def __init__(self, run: _Run) -> None:
        self._run, self.stops = run, dict[str, threading.Event]()

    def setup(self, worker: distributed.Worker) -> None:
        """Let nothing sample this process while it waits for a cell, and no nanny choose the cell's allocator."""
        _RUNS[self._run.token] = self._run
        os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)
        for name in ("profile", "profile-cycle"):
            if name in worker.periodic_callbacks:
                worker.periodic_callbacks[name].stop()

    def teardown(self, worker: distributed.Worker) -> None:
        """End what runs."""
        for stop in list(self.stops.values()):
            stop.set()
        self._run.end()

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """End the cell of a task that nobody waits for any more."""
        if finish == "executing" and str(key).startswith(f"{self._run.token}/"):
            self.stops[key] = threading.Event()  # before its thread begins: nothing comes too early for it
        elif finish in ("cancelled", "released", "forgotten") and key in self.stops:
            self.stops[key].set()


def cells(asked: bytes) -> bytes:
    """Run the cells of a `Task`; return an `Answer`."""
    answer = Answer()
    try:
        task = msgspec.msgpack.decode(asked, type=Task)
        run = _RUNS[task.token]
        try:
            answer.records = [plain(record) for record in run.run(task, run.guard.stops[task.key])]
        finally:
            run.guard.stops.pop(task.key, None)
    except CodeChanged as error:
        answer.changed = str(error)
    except BaseException as error:
        answer.error = _told(error)
    return msgspec.msgpack.encode(answer)


async def _aside(work: Callable[[], Any]) -> Any:
    """Return what takes seconds, while the worker answers its scheduler; in a thread that its end does not wait for."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)


def _told(error: BaseException) -> str:
    """Return what broke on this worker, in words where it is no fault of twinbench."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error}; make room there, or give it another folder by --local-directory and TMPDIR"
    return str(error) if isinstance(error, BenchError | OSError) else traceback.format_exc()


async def leave(token: str, dask_worker: distributed.Worker) -> None:
    """Forget a run that has ended."""
    await dask_worker.plugin_remove(token)


async def examined(dask_worker: distributed.Worker) -> bytes:
    """Return what each backend can do on this worker's devices: `bench.runner.capabilities.Examined`, as msgpack."""
    threads, devices = cores(), labelled(dask_worker.state.total_resources)
    found = await _aside(lambda: [examine(info, threads, tuple(devices)) for info in backends().values()])
    return msgspec.msgpack.encode([asdict(each) for each in found])


# --- a worker of its own -----------------------------------------------------------------------------------------


def work(address: str, device: Device, cores_of_it: Iterable[int] = (), more: Sequence[str] = ()) -> int:
    """Be a worker of the scheduler at `address` until that is gone; `more` are options of `dask worker`.

    Without a nanny: one would set OMP_NUM_THREADS and MALLOC_TRIM_THRESHOLD_ for the cells, too, and what Dask itself
    holds here neither grows nor fails with a cell, which is a process of its own.
    """
    from distributed.cli.dask_worker import main as dask_worker

    if wanted := set(cores_of_it):
        os.sched_setaffinity(0, wanted)
    dask.config.set(QUIET)
    fixed = ["--nthreads", "1", "--memory-limit", "0", "--no-nanny", "--no-dashboard"]
    fixed += ["--resources", f"{LABELS[device]}=1", "--death-timeout", str(DEATH_SECONDS)]
    try:
        dask_worker([address, *fixed, *more], "dask worker", standalone_mode=False)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


def check_gpu() -> None:
    """Raise `UsageError` unless this process sees one GPU."""
    found = gpu.look()
    seen = len(gpu.visible(found.gpus))
    if seen != 1:
        what = f"sees {seen} GPUs" if seen else f"sees no GPU ({found.problem or 'the driver finds none'})"
        raise UsageError(f"a worker takes one GPU, and this one {what}; name it: {gpu.VARIABLE}=0 bench worker ...")


async def _schedule(descriptor: int) -> None:
    """Be the scheduler of a cluster on this machine; its address goes to the parent, whose end is this one's."""
    dask.config.set(QUIET)
    async with distributed.Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        os.write(descriptor, f"{scheduler.address}\n".encode())
        await scheduler.finished()


def main() -> None:
    """`scheduler DESCRIPTOR`, or `worker ADDRESS DEVICE CORE,... DESCRIPTOR`."""
    role, *words, descriptor = sys.argv[1:]
    if role == "scheduler":
        asyncio.run(_schedule(int(descriptor)))
    else:
        address, device, of_it = words
        sys.exit(work(address, "cuda" if device == "cuda" else "cpu", map(int, of_it.split(","))))


if __name__ == "__main__":
    main()
