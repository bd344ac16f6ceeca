"""Runs cells on this machine, each in a process of its own unless said; no cell can take the run down, none is lost.

The parent sleeps while cells measure: it wakes for their messages and twice a second to look at time and memory. It is
one thread, however many cells work side by side, so signals and exceptions end all of them as they end one.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import chain, groupby
from typing import Any, Protocol

import psutil
from msgspec.structs import replace

from bench.backends.registry import backends
from bench.cases.cell import Cell, Measure, Profile, Status
from bench.errors import CodeChanged
from bench.machine import processes
from bench.machine.processes import Child, Code, command
from bench.records.record import Failure, Record, now
from bench.runner.estimates import shares_processes
from bench.runner.plan import PlannedCell, TimeLeft
from bench.runner.protocol import (
    LINE_BYTES,
    PROTOCOL,
    SINCE,
    InvalidAnswer,
    Process,
    Request,
    read_answer,
)
from bench.training.loop import Progress

WORKER = command("bench.runner.worker")
_TICK = 0.5
_FAMILY_TICKS = 10
TIMES_ESTIMATE, LEAST_SECONDS = 20, 900.0
"""What a cell may take where no timeout is given: far more than an estimate is ever wrong by."""


@dataclass(frozen=True)
class Settings:
    """What all cells of a run share; `threads` is the thread count of every framework, `brief` as in a `Request`.

    `slots` has the cores of each process that works beside others (`bench.machine.slots`). `forks`: cells that are not
    timed may be children of a process that has imported their framework.
    """

    profile: Profile
    measure: Measure
    threads: int
    suites: tuple[str, ...] = ()
    stand_ins: dict[str, str] = field(default_factory=dict)
    brief: bool = False
    slots: tuple[frozenset[int], ...] = (frozenset(),)
    forks: bool = True

    def process(self, cell: Cell) -> Process:
        """Return where a cell runs that is not the only one of its kind."""
        if shares_processes(self.profile, self.measure):
            return "shared"
        known = backends().get(cell.backend)  # another installation may have others
        safe = known and known.forks and cell.device == "cpu" and sys.platform == "linux"
        return "forked" if safe and self.forks and self.measure == "accuracy" else "own"


@dataclass(frozen=True)
class Limits:
    """Bytes (`memory`) and seconds (`timeout`) of a cell; `budget`: no cell starts that would end later."""

    memory: float
    timeout: float | None = None
    budget: float | None = None

    def seconds(self, planned: PlannedCell) -> float:
        """Return what a cell may take."""
        return self.timeout or max(LEAST_SECONDS, TIMES_ESTIMATE * planned.estimate)

    @property
    def how(self) -> str:
        """Where the limit of seconds comes from, in words."""
        if self.timeout:
            return "--timeout"
        return f"{TIMES_ESTIMATE} times the estimate, at least {LEAST_SECONDS / 60:g} min; --timeout sets another limit"


class Observer(Protocol):
    """Is told what a run is doing; called while a cell runs, so it must be quick."""

    def started(self, planned: PlannedCell) -> None:
        """Note that `planned` runs now."""

    def epoch(self, planned: PlannedCell, progress: dict[str, Any]) -> None:
        """Note an epoch of `planned`: the fields of `bench.training.loop.Progress`."""


class Silent:
    """An observer that tells nobody."""

    def started(self, planned: PlannedCell) -> None:
        """Say nothing."""

    def epoch(self, planned: PlannedCell, progress: dict[str, Any]) -> None:
        """Say nothing."""


def run(
    cells: Sequence[PlannedCell],
    settings: Settings,
    limits: Limits,
    observer: Observer,
    interrupted: threading.Event,
    worker: Sequence[str] | None = None,
    protocol: int = PROTOCOL,
    code: Code | None = None,
) -> Iterator[Record]:
    """Run `cells` in the slots of `settings`, and yield the record of each as it ends.

    Cells with an obstacle end `unavailable` without a process. Once `interrupted` is set, the running cells end
    `interrupted` and nothing more starts; so it is with the budget, but for the running cells. `worker` is the command
    of another installation's `bench.runner.worker`, which speaks `protocol` and has told its `code`.

    Raises `CodeChanged`, instead of yielding a record that was measured by other code than the first.
    """
    code = code if worker else processes.code()
    end = None if limits.budget is None else time.monotonic() + limits.budget
    time_left = TimeLeft(cells)
    over = False
    # The running cells of all slots; of each the most others that it ever worked beside.
    beside: dict[tuple[Cell, int], int] = {}

    def may_start(planned: PlannedCell) -> bool:
        nonlocal over
        seconds = time_left.expected(planned.cell.configuration, planned.estimate)
        over = over or interrupted.is_set() or (end is not None and time.monotonic() + seconds > end)
        return not over

    def kind(group: Sequence[PlannedCell]) -> Process:
        """Return where the next cells of a group run; the last of it has nobody to share a process with."""
        several = len(group) > 1 and protocol >= SINCE["process"]
        return settings.process(group[0].cell) if several else "own"

    for planned in cells:
        if planned.obstacle:
            found = {"reason": planned.obstacle.reason, "details": {"obstacle": planned.obstacle.part}}
            yield unmeasured(planned, settings, "unavailable", started=now(), seconds=0.0, **found)
    waiting = _groups([planned for planned in cells if not planned.obstacle], settings)

    # The groups that a slot works at, by identity.
    taken: list[int] = []

    def next_group() -> deque[PlannedCell] | None:
        """Return a group that no slot works at, whose process serves all of it, else the longest that is left."""
        left = [group for group in waiting if group]
        free = (group for group in left if id(group) not in taken)
        return next(free, None) or max(left, key=lambda group: sum(cell.estimate for cell in group), default=None)

    def work(cores: frozenset[int]) -> Generator[Record | Child, None, None]:
        """Run cell after cell on these cores: yield each record, and the process wherever it must be waited for."""
        while group := next_group():
            if not may_start(group[0]):
                return
            with (
                _holding(taken, id(group)),
                _Worker(worker or WORKER, protocol, kind(group), settings, code, cores) as process,
            ):
                while group and may_start(group[0]):
                    planned = group.popleft()
                    observer.started(planned)
                    beside[planned.cell, planned.repeat] = 0
                    for running in beside:
                        beside[running] = max(beside[running], len(beside) - 1)
                    record = yield from process.record(planned, limits, observer, interrupted)
                    neighbours = beside.pop((planned.cell, planned.repeat))
                    time_left.ended(record)
                    yield replace(record, neighbours=neighbours) if neighbours else record
                    # A process whose allocator gave up may still hold what it had.
                    if not process.takes_more or record.status == "out-of-memory":
                        break

    with ExitStack() as stack:
        working = [stack.enter_context(closing(work(cores))) for cores in settings.slots]
        while working:
            waited_for = {}
            for slot in working:
                for ended_or_waiting in slot:
                    if isinstance(ended_or_waiting, Child):
                        waited_for[slot] = ended_or_waiting
                        break
                    yield ended_or_waiting
            working = list(waited_for)
            if working:
                processes.wait(waited_for.values(), _TICK)


@contextmanager
def _holding(held: list[int], number: int) -> Iterator[None]:
    held.append(number)
    try:
        yield
    finally:
        held.remove(number)


def _groups(cells: list[PlannedCell], settings: Settings) -> list[deque[PlannedCell]]:
    """Return the cells in groups: those of one may share a process.

    These are of one backend. Quick cells for accuracy make one group of each; else the backends take turns, suite by
    suite and in the order A B B A, so that a drift of the machine falls on all of them alike; who had the last turn
    goes on in the same process.
    """
    if all(settings.process(planned.cell) == "own" for planned in cells):
        return [deque(cells)]
    quick = (settings.profile, settings.measure) == ("quick", "accuracy")

    def turn(planned: PlannedCell) -> object:
        return quick or (planned.cell.seed, planned.repeat, planned.cell.suite)

    def by(planned: PlannedCell) -> tuple[str, str]:
        return planned.cell.backend, planned.cell.device

    turns = [sorted(members, key=by, reverse=place % 2 == 1) for place, (_, members) in enumerate(groupby(cells, turn))]
    return [deque(group) for _, group in groupby(chain.from_iterable(turns), by)]


class _Worker:
    """One worker process, and the limits that its cells are held to."""

    def __init__(
        self,
        command: Sequence[str],
        protocol: int,
        process: Process,
        settings: Settings,
        code: Code | None,
        cores: frozenset[int],
    ) -> None:
        self._settings, self._code = settings, code
        self._protocol, self._process = protocol, process
        self.ended = False
        self._unread = bytearray()
        self._lines: deque[bytearray] = deque()
        # What its backend wants in its environment the worker sets: another installation's may want something else.
        self._child = Child(command, settings.threads, cores=cores)
        try:
            self._memory = _Memory(self._child.process.pid, forks=process == "forked")
        except BaseException:
            self._child.__exit__()
            raise

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.__exit__()

    @property
    def takes_more(self) -> bool:
        """Whether it may be asked for another cell: it is not for one alone, lives, and said nothing unasked."""
        self._read()
        return self._process != "own" and not (self.ended or self._lines or self._unread)

    def record(
        self, planned: PlannedCell, limits: Limits, observer: Observer, interrupted: threading.Event
    ) -> Generator[Child, None, Record]:
        """Return the record of `planned`, yielding the process wherever there is nothing to do but to wait for it.

        Whatever keeps the record from coming becomes its status.
        """
        clock, started = time.monotonic(), now()
        self._ask(planned)
        verdict: tuple[Status, str] | None = None
        while not verdict:
            try:
                self._read()
                for answer in self._answers(planned):
                    if isinstance(answer, Progress):
                        observer.epoch(planned, asdict(answer))
                        continue
                    seconds, failure = time.monotonic() - clock, self._with_log(answer.failure)
                    return replace(answer, seconds=seconds, failure=failure)
                verdict = self._verdict(planned, limits, clock, interrupted)
            except InvalidAnswer as error:
                verdict = "failed", f"the process gave an invalid answer: {error}"
            if not verdict:
                yield self._child
        self.ended = True
        self._child.kill()
        status, reason = verdict
        failure = None if status == "interrupted" else self._with_log(Failure(error=status, traceback=""))
        found = {"reason": reason, "failure": failure}
        seconds = time.monotonic() - clock
        return unmeasured(planned, self._settings, status, started=started, seconds=seconds, **found)

    def _ask(self, planned: PlannedCell) -> None:
        settings = self._settings
        request = Request(
            protocol=self._protocol,
            cell=str(planned.cell),
            repeat=planned.repeat,
            profile=settings.profile,
            measure=settings.measure,
            suites=list(settings.suites),
            stand_ins=settings.stand_ins,
            brief=settings.brief,
            process=self._process,
        )
        self._child.send(request.worded().encode() + b"\n")

    def _answers(self, planned: PlannedCell) -> Iterator[Progress | Record]:
        """Yield what has been said of `planned`; raise `InvalidAnswer` for anything else, other cells included.

        Raises `CodeChanged` for a record of other code.
        """
        asked = (planned.cell, planned.repeat, self._settings.profile, self._settings.measure)
        while self._lines:
            answer = read_answer(self._lines.popleft())
            if isinstance(answer, Progress):
                yield answer
                continue
            record, code = answer
            recorded = (record.cell, record.repeat, record.profile, record.measure)
            if recorded != asked:
                raise InvalidAnswer(f"a record of {', '.join(map(str, recorded))}")
            if self._code and code and code != self._code:
                raise _changed(self._code, code, planned)
            yield record

    def _verdict(
        self, planned: PlannedCell, limits: Limits, clock: float, interrupted: threading.Event
    ) -> tuple[Status, str] | None:
        """Return why there will be no record of a cell that began at `clock`; None while there may be."""
        if self.ended:
            return "failed", self._child.ending()
        if interrupted.is_set():
            return "interrupted", "stopped by the user"
        seconds = limits.seconds(planned)
        if time.monotonic() > clock + seconds:
            return "timeout", f"no result within {seconds:g} s ({limits.how})"
        used = self._memory.used()
        if used > limits.memory:
            allowed = f"more than the {limits.memory / 1e9:.1f} GB allowed (--memory)"
            return "out-of-memory", f"used {used / 1e9:.1f} GB, {allowed}"
        return None

    def _read(self) -> None:
        """Take in what the worker has said, or its end."""
        dead = self._child.ended  # asked first: all that it said before is there by then
        if self._child.ready(0):
            chunk = os.read(self._child.channel, 1 << 16)
            self.ended = not chunk
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                self._lines.append(self._unread + line)
                self._unread = bytearray()
            self._unread += rest
            if len(self._unread) > LINE_BYTES:
                self._lines.append(self._unread)  # refused for its length
                self._unread = bytearray()
        elif dead:
            self.ended = True

    def _with_log(self, failure: Failure | None) -> Failure | None:
        log = self._child.last_output()
        if failure is None or not log:
            return failure
        text = f"{failure.traceback}\n--- last output of the process ---\n{log}"
        return replace(failure, traceback=text.lstrip())


class _Memory:
    """Resident bytes of a process and its descendants, looked at twice a second, and at who they are less often.

    A process that forks waits for its child. What both hold counts once: memory that the child has as a copy, and files
    (`bench.measure.memory.process_peak`).
    """

    def __init__(self, pid: int, *, forks: bool) -> None:
        self._process, self._forks = psutil.Process(pid), forks
        self._family: list[psutil.Process] = []
        self._looks = 0
        self._used = 0
        # What has just started is small.
        self._next_look = time.monotonic() + _TICK

    def used(self) -> int:
        """Return what was found at the last look, which is now where the last one was half a second ago."""
        if time.monotonic() < self._next_look:
            return self._used
        self._next_look = time.monotonic() + _TICK
        with suppress(psutil.Error):
            if len(self._family) < (2 if self._forks else 1) or self._looks % _FAMILY_TICKS == 0:
                self._family = processes.descendants(self._process)
            self._looks += 1
        found = {}
        for process in (*self._family, self._process):
            with suppress(psutil.Error):
                found[process] = process.memory_info()
        self._family = [process for process in self._family if process in found]
        self._used = sum(memory.rss for memory in found.values())
        if self._forks and found:
            forking, *others = found.values()
            files = forking.shared - sum(memory.shared for memory in others)
            self._used = max(forking.rss, self._used - forking.rss + max(0, files))
        return self._used


def _changed(before: Code, after: Code, planned: PlannedCell) -> CodeChanged:
    if before.package == after.package:
        what = f"the modules in {before.package} have changed since this began"
    else:
        what = f"{after.package} was run in place of {before.package}"
    kept = "its result is not kept, those before it are; run the rest from a copy that nobody edits"
    return CodeChanged(f"{planned.cell}: {what}; {kept}")


def unmeasured(planned: PlannedCell, settings: Settings, status: Status, **known: Any) -> Record:
    """Return the record of a cell that gave none."""
    return Record(
        **asdict(planned.cell),
        repeat=planned.repeat,
        profile=settings.profile,
        measure=settings.measure,
        status=status,
        **known,
    )
