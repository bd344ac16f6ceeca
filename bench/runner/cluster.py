"""Cells on the workers of a Dask cluster; this process places them, collects their records, and alone writes the store.

Every task names its worker: which cell goes where, how often it is tried and when it is given up is decided here
(`bench.runner.placement`), whatever the scheduler is configured to do about failures, stealing and queues. Of one queue
come answers and the workers that join and leave: `as_completed` would wake for answers alone.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import queue
import sys
import threading
import time
import uuid
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import distributed
import msgspec
from distributed.client import ClosedClientError
from distributed.comm.core import connect
from msgspec import structs

from bench.cases.catalog import load, suite_files
from bench.errors import CodeChanged, UsageError
from bench.machine import gpu
from bench.machine.fingerprint import differences, own_cores
from bench.machine.processes import Child, code
from bench.machine.slots import slots
from bench.records.record import SCHEMA_VERSION, Record, now, read, upgrade
from bench.runner import node, run
from bench.runner.capabilities import Examined
from bench.runner.node import Answer, Asked, Greeting, Task, installed, other_data, suite_hashes
from bench.runner.options import RunOptions
from bench.runner.placement import LABELS, Errand, Node, Placement, errands, labelled
from bench.runner.plan import CellPart, Obstacle, PlannedCell, TimeLeft
from bench.runner.workers import Observer, Settings, unmeasured
from bench.spec import Device

CONNECT_SECONDS = 5.0
GREET_SECONDS = 300.0
"""The longest wait for a handshake: importing from a slow network disk takes minutes."""
EXAMINE_SECONDS = 900.0
"""The longest wait until a worker has tried its backends, each of which imports a framework."""
NO_WORKERS_SECONDS = 300.0
"""How long a run waits for a worker when none is left that could take one of its cells."""
RERUNS = 2
"""How often the cells of a lost worker are run again."""
_TICK = 0.5
log = logging.getLogger("bench")
Environment = dict[str, Any]
Measured = tuple[Record, Environment]
"""A record, and the environment that it was measured in."""
_PLACE: tuple[CellPart, ...] = ("case", "backend", "device")
"""What a cell may lack on one worker and have on another: its data, its framework, its GPU."""


# --- a cluster ---------------------------------------------------------------------------------------------------


@contextmanager
def connected(address: str) -> Iterator[distributed.Client]:
    """Give a client of the scheduler at `address`; raise `UsageError` where there is none that this one can speak to.

    TLS is as Dask's own configuration says.
    """
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what it has to say of a connection is said here
    try:
        _probe(address)
    except Exception as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"--scheduler {address}: no Dask scheduler answers there ({what}); start one by `dask scheduler` and "
            "give the address that it prints, with tls:// where it uses TLS"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions that differ: they are looked at below
        client: Any = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    try:
        _check_versions(address, client.sync(client.scheduler.versions))
        yield client
    finally:
        client.close(timeout=2)
        logger.setLevel(level)


def _probe(address: str) -> None:
    """Raise whatever keeps a connection from coming about; `TimeoutError` where something else than Dask listens.

    In a thread that may be left behind: `connect` waits for a server of another protocol beyond any timeout.
    """
    outcome = queue.SimpleQueue[Exception | None]()

    async def ask() -> None:
        arguments = distributed.Security().get_connection_args("client")
        comm = await connect(address, timeout=CONNECT_SECONDS, **arguments)
        await comm.close()

    def look() -> None:
        try:
            asyncio.run(ask())
        except Exception as error:
            outcome.put(error)
        else:
            outcome.put(None)

    threading.Thread(target=look, daemon=True).start()
    try:
        problem = outcome.get(timeout=2 * CONNECT_SECONDS)
    except queue.Empty:
        problem = TimeoutError(
            f"what listens there speaks another protocol: no answer within {2 * CONNECT_SECONDS:g} s"
        )
    if problem:
        raise problem


def _check_versions(address: str, theirs: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a scheduler of another Dask, or another Python than unpickles what is sent there."""
    packages = theirs["packages"]
    runs_on = f"distributed {packages['distributed']} on Python {'.'.join(packages['python'].split('.')[:2])}"
    if runs_on != node.RUNS_ON:
        raise UsageError(
            f"the scheduler at {address} is {runs_on}, this is {node.RUNS_ON}; start it from an environment like this"
        )


@contextmanager
def local(count: int, device: Device) -> Iterator[str]:
    """Start a scheduler and `count` workers on this machine, which end with this; give the scheduler's address.

    Each worker has cores of its own where there are enough, and under `cuda` a GPU.
    """
    seen = gpu.visible(gpu.look().gpus) if device == "cuda" else []
    if device == "cuda" and len(seen) < count:
        raise UsageError(f"--cluster local:{count}: a worker takes one GPU, and this machine has {len(seen)}")
    with ExitStack() as children:
        scheduler = children.enter_context(Child((*run.NODE, "scheduler"), 1))
        address = _line(scheduler)
        for place, part in enumerate(core_sets(count)):
            words = (*run.NODE, "worker", address, device, ",".join(map(str, part)))
            environment = {gpu.VARIABLE: str(seen[place].index)} if seen else {}
            children.enter_context(Child(words, len(part), environment))
        yield address


def core_sets(count: int) -> list[list[int]]:
    """Return the cores of each of `count` workers: their own, shared where there are more workers than cores."""
    here = own_cores()
    return [sorted(part) for part in slots(min(count, len(here)), here) * math.ceil(count / len(here))][:count]


def _line(child: Child) -> str:
    found = b""
    while not found.endswith(b"\n"):
        if not child.ready(node.DEATH_SECONDS) or not (read := os.read(child.channel, 4096)):
            raise UsageError(f"--cluster: its scheduler did not start: {child.last_output()}")
        found += read
    return found.decode().strip()


@dataclass(frozen=True)
class Looked:
    """A worker as `bench doctor --scheduler` shows it; `reason` says why it takes no cells, None where it does."""

    address: str
    host: str | None
    labels: list[str]
    environment: dict[str, Any]
    reason: str | None
    examined: list[Examined]


def looked_at(address: str) -> list[Looked]:
    """Return what the workers of a cluster can run; raise `UsageError` where no scheduler answers, or it has none."""
    with connected(address) as client:
        asker = Pool(client, address, RunOptions(), ())
        try:
            asker.greeted()
            answers = asker.examined()
        finally:
            asker.__exit__()
        found = [Looked(worker, None, [], {}, reason, []) for worker, reason in asker.refused.items()]
        for each, answer in zip(asker.nodes.values(), answers, strict=True):
            examined = msgspec.msgpack.decode(answer, type=list[Examined]) if isinstance(answer, bytes) else []
            reason = None if isinstance(answer, bytes) else f"{type(answer).__name__}: {answer}"
            labels = [LABELS[device] for device in sorted(each.devices)]
            found.append(Looked(each.address, each.host, labels, each.environment, reason, examined))
    if not found:
        raise UsageError(f"the scheduler at {address} has no worker; {_start(address)}")
    return found


def _start(address: str) -> str:
    return f"start one on each machine: bench worker {address}"


# --- its workers -------------------------------------------------------------------------------------------------


class _Ended(NamedTuple):
    key: str
    result: Any


class _Joined(NamedTuple):
    address: str


class _Left(NamedTuple):
    address: str


class _Greeted(NamedTuple):
    address: str
    answer: Any


@dataclass(eq=False)
class _Flight:
    """An errand on its way: where, its future, when it began, and the most others that ran on its machine meanwhile."""

    there: Node
    errand: Errand
    future: Any
    started: str
    clock: float
    beside: int = 0

    def cancel(self) -> None:
        """Let its worker end it; where the client is closed, the worker is told by that."""
        with suppress(ClosedClientError):
            self.future.cancel()


@contextmanager
def pool(options: RunOptions, cells: Sequence[PlannedCell]) -> Iterator[Pool]:
    """Give the workers that `options` name, or have started here, for a run of `cells`."""
    with ExitStack() as held:
        address = options.scheduler or held.enter_context(local(options.workers, options.device or "cpu"))
        client = held.enter_context(connected(address))
        yield held.enter_context(Pool(client, address, options, cells))


class _SchedulerGone(Exception):
    """The connection to the scheduler is lost, and with it what ran."""


class Pool:
    """The workers of a cluster that take cells of a run, and those that were refused, by address with the reason."""

    def __init__(
        self, client: distributed.Client, address: str, options: RunOptions, cells: Sequence[PlannedCell]
    ) -> None:
        self.address, self.options = address, options
        self.nodes: dict[str, Node] = {}
        self.refused: dict[str, str] = {}
        self._greeting: set[str] = set()
        self._client: Any = client
        self._events = queue.SimpleQueue[_Ended | _Joined | _Left | _Greeted]()
        self._token = f"twinbench-{uuid.uuid4().hex[:12]}"
        self._configurations = list(dict.fromkeys(planned.cell.configuration for planned in cells))
        files = [file for path in options.suites for file in suite_files(Path(path))]
        contents = {f"{place}-{file.name}": file.read_bytes() for place, file in enumerate(files)}
        self._code = code()
        self._asked = msgspec.msgpack.encode(
            Asked(
                self._token,
                options.kept(),
                contents,
                suite_hashes(load(files)),
                self._configurations,
            )
        )
        client.subscribe_topic("all", self._heard)

    def __enter__(self) -> Pool:
        """Greet the workers; raise `UsageError` where none is, or none takes cells."""
        if self.options.workers:
            try:
                self._client.wait_for_workers(self.options.workers, timeout=node.DEATH_SECONDS)
            except TimeoutError as error:
                raise UsageError(f"--cluster: its workers have not started within {node.DEATH_SECONDS} s") from error
        self.greeted()
        if not self.nodes:
            reasons = "; ".join(["", *self.refused.values()])
            where = f"the scheduler at {self.address}"
            raise UsageError(f"{where} has no worker that takes cells{reasons}; {_start(self.address)}")
        return self

    def greeted(self) -> None:
        """Greet the workers that are there; return when all have answered."""
        there = list(self._client.nthreads())
        for address in there:
            self.greet(address)
        while any(address not in self.nodes and address not in self.refused for address in there):
            event = self._events.get()  # every greeting ends, by its own time limit at the latest
            if isinstance(event, _Greeted):
                self.welcome(event)
            elif isinstance(event, _Joined) and event.address not in there:
                there.append(event.address)
                self.greet(event.address)
            elif isinstance(event, _Left) and event.address in there:
                there.remove(event.address)
                self.gone(event.address)

    def examined(self) -> list[Any]:
        """Return what each worker answers to `node.examined`, or what went wrong; all are asked at the same time."""

        async def ask() -> list[Any]:
            return await asyncio.gather(
                *(self._answer(address, EXAMINE_SECONDS, node.examined) for address in self.nodes)
            )

        answers: list[Any] = self._client.sync(ask)
        return answers

    def __exit__(self, *_: object) -> None:
        """Let the workers forget the run (one that hangs is not waited for), and the scheduler this listener."""

        async def leave() -> None:
            left = self._client.run(node.leave, self._token, workers=list(self.nodes), on_error="ignore")
            await asyncio.wait_for(left, CONNECT_SECONDS)

        if self._client.status == "running":
            with suppress(Exception):
                self._client.unsubscribe_topic("all")  # or it is critical of a client that went without a word
                self._client.sync(leave)

    def environment(self, like: Mapping[str, Any] | None = None) -> Environment:
        """Return the environment of the worker that is most `like` another one, by default of the first."""
        known = [each.environment for each in self.nodes.values()]
        return min(known, key=lambda environment: len(differences(dict(like), environment)) if like else 0)

    def planned(self, cells: Sequence[PlannedCell]) -> list[PlannedCell]:
        """Return cells with what keeps all workers from them, in place of what keeps this machine from them."""

        @cache
        def found(configuration: str, device: Device) -> tuple[Obstacle | None, float]:
            able = [each for each in self.nodes.values() if device in each.devices]
            if not able:
                how = f"start one: bench worker {self.address} --device {device}"
                return Obstacle(f"no worker has the label {LABELS[device]}=1; {how}", "device"), 0.0
            outlooks = [each.outlook[configuration] for each in able]
            return min(outlooks, key=lambda outlook: outlook[0] is not None)

        outlooks = [found(planned.cell.configuration, planned.cell.device) for planned in cells]
        return [
            replace(planned, obstacle=obstacle, estimate=0.0 if obstacle else planned.estimate or seconds)
            for planned, (obstacle, seconds) in zip(cells, outlooks, strict=True)
        ]

    def greet(self, address: str) -> None:
        """Ask a worker to take cells; its answer comes as an event."""
        self._greeting.add(address)
        self._client.loop.add_callback(self._greet, address)

    # In the thread of the client's event loop.

    def _heard(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        if message["action"] == "add-worker":
            self._events.put(_Joined(message["worker"]))
        elif message["action"] == "remove-worker":
            self._events.put(_Left(message["worker"]))

    async def _greet(self, address: str) -> None:
        answer = await self._answer(address, GREET_SECONDS, node.greet, self._code.sha256, self._asked)
        self._events.put(_Greeted(address, answer))

    async def _answer(self, address: str, seconds: float, question: Any, *words: Any) -> Any:
        """Return what a worker answers, or the exception in place of it: `TimeoutError` after `seconds`."""
        try:
            asked = self._client.run(question, *words, workers=[address], on_error="return")
            return (await asyncio.wait_for(asked, seconds))[address]
        except TimeoutError:
            return TimeoutError(f"no answer within {seconds:g} s")
        except Exception as error:
            return error

    async def _collect(self, key: str, future: Any) -> None:
        result: Any
        try:
            result = await future
        except BaseException as error:
            result = error
        self._events.put(_Ended(key, result))

    # In this one.

    def welcome(self, event: _Greeted) -> Node | None:
        """Take in a worker, or note why not; one that has left since it was greeted is passed over."""
        if event.address not in self._greeting:
            return None
        self._greeting.remove(event.address)
        reason, greeting = _refusal(event.answer, self._code.sha256)
        if greeting and not reason:
            devices = frozenset(labelled(greeting.labels))
            outlook = {
                name: (Obstacle(why, part) if why else None, seconds)  # type: ignore[arg-type]
                for name, (why, part, seconds) in zip(self._configurations, greeting.outlook, strict=True)
            }
            found = Node(event.address, greeting.name, greeting.host, devices, greeting.environment, outlook)
            self.nodes[event.address] = found
            return found
        where = f"worker {event.address}" + (f" on {greeting.host}" if greeting else "")
        self.refused[event.address] = f"{where} takes no cells: {reason}"
        log.warning("%s", self.refused[event.address])
        return None

    def gone(self, address: str) -> None:
        """Forget a worker that has left; another one may come at its address."""
        self._greeting.discard(address)
        self.nodes.pop(address, None)
        self.refused.pop(address, None)

    # --- a run ---------------------------------------------------------------------------------------------------

    def run(
        self,
        cells: Sequence[PlannedCell],
        budget: float | None,
        observer: Observer,
        interrupted: threading.Event,
        hashes: Mapping[str, str],
    ) -> Iterator[Measured]:
        """Run `cells` and yield the record of each, with the environment it was measured in, as it ends.

        `hashes` are those of the data that cases (`suite/case`) of the run were measured on before: other data are
        refused. A worker that is gone costs its cells nothing but time, `RERUNS` times. When the scheduler is gone,
        `interrupted` is set. Otherwise as `bench.runner.workers.run`.
        """
        yield from _Running(self, cells, budget, observer, interrupted, dict(hashes)).records()

    def submit(self, number: int, there: Node, errand: Errand, hashes: Mapping[str, str]) -> tuple[str, _Flight]:
        """Send an errand to a worker; return its key and the flight; raise `_SchedulerGone`."""
        first = errand.cells[0]
        key = f"{self._token}/{number}/{first.cell}/{first.repeat}"
        names = {planned.cell.case_name for planned in errand.cells}
        neighbours = sum(other.host == there.host for other in self.nodes.values())
        task = Task(
            self._token,
            key,
            [(str(planned.cell), planned.repeat, planned.estimate) for planned in errand.cells],
            {name: sha256 for name, sha256 in hashes.items() if name in names},
            neighbours,
        )
        try:
            future = self._client.submit(
                _on_worker(),
                msgspec.msgpack.encode(task),
                key=key,
                pure=False,
                retries=0,
                workers=[there.address],
                allow_other_workers=False,
                resources={LABELS[errand.device]: 1},
            )
        except ClosedClientError as error:
            raise _SchedulerGone from error
        self._client.loop.add_callback(self._collect, key, future)
        return key, _Flight(there, errand, future, now(), time.monotonic())

    def event(self) -> _Ended | _Joined | _Left | _Greeted | None:
        """Return what has happened, None where nothing did for a while; raise `_SchedulerGone`."""
        if self._client.status != "running":
            raise _SchedulerGone
        try:
            event = self._events.get(timeout=_TICK)
        except queue.Empty:
            return None
        if isinstance(event, _Ended) and getattr(event.result, "reason", "") == "scheduler-connection-lost":
            raise _SchedulerGone
        return event

    def arrived(self) -> Iterator[_Ended]:
        """Yield the answers of workers that have arrived and were not taken yet."""
        with suppress(queue.Empty):
            while True:
                event = self._events.get_nowait()
                if isinstance(event, _Ended) and isinstance(event.result, bytes):
                    yield event


def _on_worker() -> Any:
    """Return what calls `node.cells`: it is pickled by value, so that a scheduler needs no twinbench to pass it on."""

    def cells(asked: bytes) -> bytes:
        import importlib

        answer: bytes = importlib.import_module("bench.runner.node").cells(asked)
        return answer

    return cells


def _refusal(answer: Any, sha256: str) -> tuple[str | None, Greeting | None]:
    """Return why a worker takes no cells, None where it does, and its greeting where it is one."""
    if isinstance(answer, ModuleNotFoundError | AttributeError):
        return f"it has no twinbench of this version ({answer}); install {installed()} there", None
    try:
        if isinstance(answer, BaseException):
            raise answer
        greeting = msgspec.msgpack.decode(answer, type=Greeting)
    except Exception as error:
        return f"it gave no answer ({type(error).__name__}: {error})", None
    if greeting.sha256 != sha256:
        return (
            f"it has twinbench {greeting.version} (code {greeting.sha256[:8]}), the run is of {installed()} (code "
            f"{sha256[:8]}); install the same there"
        ), greeting
    if greeting.runs_on != node.RUNS_ON:
        return f"it is {greeting.runs_on}, the run is {node.RUNS_ON}; install the same there", greeting
    return greeting.error, greeting


class _Running:
    """The state of a run on a cluster."""

    def __init__(
        self,
        pool: Pool,
        cells: Sequence[PlannedCell],
        budget: float | None,
        observer: Observer,
        interrupted: threading.Event,
        hashes: dict[str, str],
    ) -> None:
        self._pool, self._cells, self._observer, self._interrupted = pool, cells, observer, interrupted
        self._end = None if budget is None else time.monotonic() + budget
        self._hashes, self._time_left = hashes, TimeLeft(cells)
        options = pool.options
        possible = [planned for planned in cells if not planned.obstacle]
        waiting = errands(possible, options.profile, options.measure, pool.nodes.values())
        self._place, self._settings = Placement(waiting, pool.nodes), Settings(options.profile, options.measure, 0)
        self._flights: dict[str, _Flight] = {}
        self._on: dict[str, set[_Flight]] = defaultdict(set)
        self._numbers = iter(range(sys.maxsize))
        self._spent = False

    def records(self) -> Iterator[Measured]:
        """Yield every record with its environment."""
        environment, at_once = self._pool.environment(), {"started": now(), "seconds": 0.0}
        for planned in self._cells:
            if planned.obstacle:
                found = {"reason": planned.obstacle.reason, "details": {"obstacle": planned.obstacle.part}}
                yield (
                    unmeasured(planned, self._settings, "unavailable", **at_once, **found),
                    environment,
                )
        try:
            yield from self._to_the_end()
        except _SchedulerGone:
            reason = f"the scheduler at {self._pool.address} is gone"
            log.warning("%s: finished cells are saved; --resume takes another --scheduler, or none", reason)
            self._interrupted.set()
            yield from self._stopped(reason)

    def _to_the_end(self) -> Iterator[Measured]:
        """Yield the records of what workers run; raise `_SchedulerGone`."""
        idle = time.monotonic()
        while (self._place and not self._spent) or self._flights:
            if self._interrupted.is_set():
                yield from self._stopped("stopped by the user")
                return
            self._start()
            if self._flights or not self._place.stranded():
                idle = time.monotonic()
            elif time.monotonic() > idle + NO_WORKERS_SECONDS:
                log.warning("no worker that could run what is left has come within %g s", NO_WORKERS_SECONDS)
                self._interrupted.set()
                return
            event = self._pool.event()
            if isinstance(event, _Ended) and event.key in self._flights:
                yield from self._ended(event)
            elif isinstance(event, _Left):
                yield from self._left(event.address)
            elif isinstance(event, _Joined) and event.address not in {*self._pool.nodes, *self._pool.refused}:
                self._pool.greet(event.address)
            elif isinstance(event, _Greeted) and (joined := self._pool.welcome(event)):
                log.info("worker %s joined", joined)

    def _start(self) -> None:
        while not self._spent and (started := self._place.start()):
            there, errand = started
            if not self._may_start(errand):
                self._place.wait(self._place.ended(there.address))
                self._spent = True
                return
            key, flight = self._pool.submit(next(self._numbers), there, errand, self._hashes)
            self._flights[key] = flight
            here = self._on[there.host]
            here.add(flight)
            for other in here:
                other.beside = max(other.beside, len(here) - 1)
            self._observer.started(errand.cells[0])

    def _may_start(self, errand: Errand) -> bool:
        seconds = sum(
            self._time_left.expected(planned.cell.configuration, planned.estimate) for planned in errand.cells
        )
        return self._end is None or time.monotonic() + seconds <= self._end

    def _landed(self, key: str) -> _Flight:
        flight = self._flights.pop(key)
        self._on[flight.there.host].discard(flight)
        return flight

    def _ended(self, event: _Ended) -> Iterator[Measured]:
        flight = self._landed(event.key)
        there, errand = flight.there, self._place.ended(flight.there.address)
        records, problem = self._answered(event.result, errand)
        if problem:
            yield from self._again(flight, f"{there}: {problem}")
            return
        records = [self._checked(record) for record in records]
        lacking = [r for r in records if r.status == "unavailable" and r.details.get("obstacle") in _PLACE]
        if lacking:

            def part(one: PlannedCell | Record) -> tuple[Any, ...]:  # a case stays whole where its times are compared
                return (one.cell.case_name,) if errand.comparison else (one.cell, one.repeat)

            parts = set(map(part, lacking))
            cells = [planned for planned in errand.cells if part(planned) in parts]
            rest = replace(errand, cells=cells, tried={*errand.tried, there.address})
            if self._place.fits(rest):
                log.info("%s: %s; another worker takes it", there, lacking[0].reason)
                self._place.wait(rest)
                records = [record for record in records if part(record) not in parts]
        for record in records:
            self._time_left.ended(record)
            yield structs.replace(record, neighbours=flight.beside or None), there.environment

    def _answered(self, result: Any, errand: Errand) -> tuple[list[Record], str | None]:
        """Return the records of a worker's answer, or what is wrong with it; raise `CodeChanged`."""
        if not isinstance(result, bytes):
            return [], f"{type(result).__name__}: {result}"
        try:
            answer = msgspec.msgpack.decode(result, type=Answer)
            records = [read(upgrade(content, answer.schema_version)) for content in answer.records]
        except (ValueError, TypeError) as error:
            return [], f"an invalid answer ({error})"
        if answer.changed:
            raise CodeChanged(answer.changed)
        asked = [(planned.cell, planned.repeat) for planned in errand.cells]
        given = [(record.cell, record.repeat) for record in records]
        if answer.error or answer.schema_version > SCHEMA_VERSION or Counter(given) != Counter(asked):
            return [], (answer.error or "records of other cells than it was asked for").strip()
        return records, None

    def _checked(self, record: Record) -> Record:
        """Return a record; where it rests on other data than those before it, that it does."""
        if record.status != "ok" or record.data is None:
            return record
        expected = self._hashes.setdefault(record.cell.case_name, record.data.sha256)
        if record.data.sha256 == expected:
            return record
        planned = PlannedCell(record.cell, record.repeat, frozenset(), None, 0.0)
        known: dict[str, Any] = {"reason": other_data(record.data.sha256, expected), "details": {"obstacle": "case"}}
        known |= {"started": record.started, "seconds": record.seconds}
        return unmeasured(planned, self._settings, "unavailable", **known)

    def _left(self, address: str) -> Iterator[Measured]:
        """Let the cells of a worker that is gone wait for another one."""
        gone = self._place.nodes.get(address)
        errand = self._place.lost(address)
        self._pool.gone(address)
        if gone:
            log.warning("worker %s is gone%s", gone, "; what it ran starts again elsewhere" if errand else "")
        for key, flight in list(self._flights.items()):
            if flight.errand is errand:
                self._landed(key)  # whatever it still answers is passed over
                flight.cancel()
                yield from self._again(flight, f"{gone} is gone")

    def _again(self, flight: _Flight, why: str) -> Iterator[Measured]:
        """Run again what a worker did not bring to an end, elsewhere if that can be, unless that was tried enough."""
        errand = flight.errand
        errand.lost += 1
        if errand.lost <= RERUNS:
            errand.tried.add(flight.there.address)
            self._place.wait(errand)
            return
        reason, seconds = f"lost {errand.lost} times, the last time: {why}", time.monotonic() - flight.clock
        for planned in errand.cells:
            record = unmeasured(
                planned, self._settings, "failed", reason=reason, started=flight.started, seconds=seconds
            )
            self._time_left.ended(record)
            yield record, flight.there.environment

    def _stopped(self, reason: str) -> Iterator[Measured]:
        """Take what has arrived, and end what runs; its workers are told."""
        for event in self._pool.arrived():
            if event.key in self._flights:
                yield from self._ended(event)
        for flight in list(self._flights.values()):
            flight.cancel()
            known = {"reason": reason, "started": flight.started, "seconds": time.monotonic() - flight.clock}
            for planned in flight.errand.cells:
                yield unmeasured(planned, self._settings, "interrupted", **known), flight.there.environment
