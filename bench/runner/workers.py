"""Runs cells on this machine, one process each; no cell can take the run down and none is lost.

The parent sleeps while a cell measures: it wakes for the cell's messages and twice a second to look at time and memory.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

import psutil
from msgspec.structs import replace

from bench.cases.cell import Measure, Profile, Status
from bench.machine.processes import GPU_ORDER, LOG_BYTES, command, thread_environment
from bench.records.record import Failure, Record, now, read, upgrade
from bench.runner.plan import PlannedCell, shares_processes
from bench.runner.worker import PROTOCOL, Request, RequestedCell

WORKER = command("bench.runner.worker")
_TICK = 0.5
_FAMILY_TICKS = 10


@dataclass(frozen=True)
class Settings:
    """What all cells of a run share; `threads` is the thread count of every framework, `brief` as in a `Request`."""

    profile: Profile
    measure: Measure
    threads: int
    suites: tuple[str, ...] = ()
    stand_ins: dict[str, str] = field(default_factory=dict)
    brief: bool = False


@dataclass(frozen=True)
class Limits:
    """Bytes (`memory`) and seconds (`timeout`) of a cell; `budget`: no cell starts that would end later."""

    memory: float
    timeout: float | None = None
    budget: float | None = None


class Observer(Protocol):
    """Is told what a run is doing; called while a cell runs, so it must be quick."""

    def started(self, planned: PlannedCell) -> None:
        """Note that `planned` runs now."""

    def epoch(self, planned: PlannedCell, progress: dict[str, Any]) -> None:
        """Note an epoch of `planned`: the fields of `bench.training.loop.Progress`."""


def run(
    cells: Sequence[PlannedCell],
    settings: Settings,
    limits: Limits,
    observer: Observer,
    interrupted: threading.Event,
    worker: Sequence[str] | None = None,
    protocol: int = PROTOCOL,
) -> Iterator[Record]:
    """Run `cells` and yield the record of each as it ends.

    Cells with an obstacle end `unavailable` without a process. Once `interrupted` is set, the running cell ends
    `interrupted` and nothing more starts; so it is with the budget, but for the running cell. `worker` is the command
    of another installation's `bench.runner.worker`, which speaks `protocol`.
    """
    budget = _Budget(limits.budget)
    for planned in cells:
        if planned.obstacle:
            yield _record(
                planned,
                settings,
                "unavailable",
                planned.obstacle.reason,
                seconds=0.0,
                details={"obstacle": planned.obstacle.part},
            )
    for group in _groups([planned for planned in cells if not planned.obstacle], settings):
        pending = deque(group)
        while pending:
            if interrupted.is_set() or not budget.allows(pending[0]):
                return
            with _Worker(worker or WORKER, protocol, list(pending), settings) as process:
                while pending and not interrupted.is_set() and budget.allows(pending[0]):
                    observer.started(pending[0])
                    record = process.record(pending[0], limits, observer, interrupted)
                    budget.note(pending.popleft(), record.seconds)
                    yield record
                    # A process whose allocator gave up may still hold what it had.
                    if process.ended or record.status == "out-of-memory":
                        break


def _groups(cells: list[PlannedCell], settings: Settings) -> Iterator[list[PlannedCell]]:
    """Return the cells of each process: one, or all of one backend where processes may be shared."""
    if not shares_processes(settings.profile, settings.measure):
        yield from ([planned] for planned in cells)
        return
    by_backend = sorted(cells, key=lambda planned: planned.cell.backend)
    for _, group in groupby(by_backend, key=lambda planned: planned.cell.backend):
        yield list(group)


class _Budget:
    """Seconds left; estimates are corrected by what the cells so far took against theirs."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self._estimated = self._taken = 0.0

    def allows(self, planned: PlannedCell) -> bool:
        if self._end is None:
            return True
        ratio = self._taken / self._estimated if self._estimated else 1.0
        return time.monotonic() + planned.estimate * ratio <= self._end

    def note(self, planned: PlannedCell, seconds: float) -> None:
        self._estimated += planned.estimate
        self._taken += seconds


class _Worker:
    """One worker process in a process group of its own, and the limits that its cells are held to."""

    def __init__(self, command: Sequence[str], protocol: int, cells: list[PlannedCell], settings: Settings) -> None:
        request = Request(
            protocol=protocol,
            cells=[RequestedCell(cell=str(planned.cell), repeat=planned.repeat) for planned in cells],
            profile=settings.profile,
            measure=settings.measure,
            suites=list(settings.suites),
            stand_ins=settings.stand_ins,
            brief=settings.brief,
        )
        self._settings = settings
        self._clock, self._started = time.monotonic(), now()
        self.ended = False
        self._log = b""
        self._answers = b""
        self._messages: deque[dict[str, Any]] = deque()
        read_end, write_end = os.pipe()
        self._process = subprocess.Popen(
            [*command, str(write_end)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(write_end,),
            start_new_session=True,
            env={**os.environ, **GPU_ORDER, **thread_environment(settings.threads)},
        )
        os.close(write_end)
        self._answers_fd = read_end
        self._memory = _Memory(self._process.pid)
        assert self._process.stdin and self._process.stdout
        self._log_fd = self._process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        for descriptor in (self._answers_fd, self._log_fd):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ)
        with suppress(BrokenPipeError):
            self._process.stdin.write(request.worded().encode() + b"\n")
            self._process.stdin.flush()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        assert self._process.stdin and self._process.stdout
        self._selector.close()
        os.close(self._answers_fd)
        self._process.stdout.close()
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def record(self, planned: PlannedCell, limits: Limits, observer: Observer, interrupted: threading.Event) -> Record:
        """Wait for the record of `planned`; whatever keeps it from coming becomes the status of the record."""
        clock, started = self._clock, self._started
        end = None if limits.timeout is None else clock + limits.timeout
        next_look = 0.0
        while True:
            while self._messages:
                message = self._messages.popleft()
                if message.pop("event") == "epoch":
                    observer.epoch(planned, message)
                    continue
                record = read(upgrade(message["record"], message["schema_version"]))
                self._clock, self._started = time.monotonic(), now()
                return replace(record, seconds=self._clock - clock, failure=self._with_log(record.failure))
            verdict: tuple[Status, str] | None = None
            if self.ended:
                verdict = "failed", _ending(self._process.wait())
            elif interrupted.is_set():
                verdict = "interrupted", "stopped by the user"
            elif end is not None and time.monotonic() > end:
                verdict = "timeout", f"no result within {limits.timeout:g} s (--timeout)"
            elif time.monotonic() >= next_look:
                next_look = time.monotonic() + _TICK
                used = self._memory.used()
                if used > limits.memory:
                    verdict = (
                        "out-of-memory",
                        f"used {used / 1e9:.1f} GB, more than the {limits.memory / 1e9:.1f} GB allowed (--memory)",
                    )
            if verdict:
                self._kill()
                self._read()
                failure = None
                if verdict[0] != "interrupted":
                    failure = self._with_log(Failure(error=verdict[0], traceback=""))
                return _record(
                    planned,
                    self._settings,
                    *verdict,
                    started=started,
                    seconds=time.monotonic() - clock,
                    failure=failure,
                )
            self._read(_TICK)

    def _read(self, wait: float = 0.0) -> None:
        for key, _ in self._selector.select(wait):
            with suppress(BlockingIOError):
                chunk = os.read(key.fd, 1 << 16)
                if key.fd == self._log_fd:
                    self._log = (self._log + chunk)[-LOG_BYTES:]
                    if not chunk:
                        self._selector.unregister(self._log_fd)
                elif chunk:
                    *lines, self._answers = (self._answers + chunk).split(b"\n")
                    self._messages.extend(json.loads(line) for line in lines)
                else:
                    self.ended = True

    def _with_log(self, failure: Failure | None) -> Failure | None:
        log = self._log.decode(errors="replace").strip()
        if failure is None or not log:
            return failure
        text = f"{failure.traceback}\n--- last output of the process ---\n{log}"
        return replace(failure, traceback=text.lstrip())

    def _kill(self) -> None:
        """End the process and all that it started."""
        self.ended = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class _Memory:
    """Resident bytes of a process and its descendants, which are looked up at every tenth call only (it is dear)."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._family: list[psutil.Process] = []
        self._calls = 0

    def used(self) -> int:
        total = 0
        with suppress(psutil.Error):
            if self._calls % _FAMILY_TICKS == 0:
                self._family = self._process.children(recursive=True)
            self._calls += 1
        for process in (self._process, *self._family):
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total


def _ending(code: int) -> str:
    if code >= 0:
        return f"the process ended with exit code {code} before it had a result"
    name = signal.Signals(-code).name
    hint = "; the system may have run out of memory" if -code == signal.SIGKILL else ""
    return f"the process was killed by signal {-code} ({name}){hint}"


def _record(
    planned: PlannedCell,
    settings: Settings,
    status: Status,
    reason: str,
    *,
    seconds: float,
    started: str | None = None,
    failure: Failure | None = None,
    details: dict[str, Any] | None = None,
) -> Record:
    cell = planned.cell
    return Record(
        suite=cell.suite,
        case=cell.case,
        backend=cell.backend,
        kernel=cell.kernel,
        device=cell.device,
        numerics=cell.numerics,
        seed=cell.seed,
        repeat=planned.repeat,
        profile=settings.profile,
        measure=settings.measure,
        status=status,
        reason=reason,
        failure=failure,
        started=started or now(),
        seconds=seconds,
        details=details or {},
    )
