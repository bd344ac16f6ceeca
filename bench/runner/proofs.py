"""Proves cases on this machine: which backends and kernels can run each, their processes, and one `Proof` for each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from bench.backends.registry import DEFAULT_BACKENDS, BackendInfo, backend, check_kernel
from bench.cell import Profile
from bench.data import files_for, prepare, stand_ins_for
from bench.data.dataset import Dataset
from bench.data.sources import locate
from bench.errors import BenchError, DataError, Unavailable
from bench.measure.machine import cores
from bench.model import Model, resolve
from bench.parity import Findings, Proof, Twin, probe, prove, small
from bench.profiles import apply
from bench.runner.plan import embedding_of
from bench.runner.remote import RemoteNetwork, Server
from bench.runner.worker import data_used
from bench.spec import Case, Kernel, Suite

NUMERICS = "documented"


LANES = 2
"""Cases proven at a time: tracing a Keras graph keeps one core busy while its twin waits."""


@dataclass(frozen=True)
class _Subject:
    """A case as it is proven: on its documented data where that is here, else on the embedded corpus."""

    suite: Suite
    case: Case
    profile: Profile
    model: Model

    @property
    def name(self) -> str:
        return f"{self.suite.name}/{self.case.name}"


class _Lane:
    """The processes that one case at a time is proven in, one for each backend; a context manager."""

    def __init__(self, infos: Sequence[BackendInfo], pool: ThreadPoolExecutor) -> None:
        self._infos, self.pool = infos, pool
        self.servers: dict[str, Server] = {}

    def __enter__(self) -> _Lane:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.servers = {info.name: Server(info, max(1, cores() // LANES)) for info in self._infos}

    def stop(self) -> None:
        for server in self.servers.values():
            server.__exit__()


def proofs(
    cases: Sequence[tuple[Suite, Case]], backends: Sequence[str], kernels: Sequence[Kernel], *, short: bool
) -> Iterator[Proof]:
    """Yield a proof for every case, backend and kernel, case by case; what cannot run gets one that says why.

    Without `backends` those that are installed of the usual two are taken, without `kernels` every one that can run.
    The first backend named that can run a case is its reference. Cases that share model and data share one proof.
    Raises `Unavailable` when no framework is installed.
    """
    infos = [backend(name) for name in backends or DEFAULT_BACKENDS]
    usable = [info for info in infos if info.missing() is None]
    if not backends:
        infos = usable
    if not infos:
        raise Unavailable(
            "no framework is installed; pip install 'twinbench[torch,tensorflow]' gives the two that parity compares"
        )
    with ExitStack() as opened:
        calls = opened.enter_context(ThreadPoolExecutor(4 * LANES * len(infos)))
        work = ThreadPoolExecutor(LANES)
        opened.callback(work.shutdown, cancel_futures=True)
        # Left last-in first-out: when this is interrupted, processes end first, and with them all that waits for them.
        lanes: SimpleQueue[_Lane] = SimpleQueue()
        for _ in range(LANES):
            lanes.put(opened.enter_context(_Lane(usable, calls)))
        started: dict[tuple[Model, str], tuple[str, Future[list[Proof]]]] = {}
        waiting: list[tuple[_Subject, list[Proof], tuple[str, Future[list[Proof]]] | None]] = []
        for suite, case in cases:
            subject = _subject(suite, case, short=short)
            candidates, rows = _candidates(subject, infos, kernels)
            shared = None
            if candidates:
                try:
                    embedding = embedding_of(subject.case)
                    stand_ins = stand_ins_for(subject.case.data, embedding, {})
                    dataset = prepare(subject.case.data, embedding, stand_ins)
                except (DataError, Unavailable) as error:
                    rows += [_row(subject, info, kernel, reason=str(error)) for info, kernel in candidates]
                else:
                    key = subject.model, dataset.sha256
                    if key not in started:
                        found = work.submit(_in_a_lane, lanes, subject, dataset, candidates, short)
                        started[key] = subject.name, found
                    shared = started[key]
            waiting.append((subject, rows, shared))
        for subject, rows, shared in waiting:
            yield from rows
            if shared:
                name, found = shared
                same = {} if name == subject.name else {"same_as": name, "seconds": 0.0}
                names = {"suite": subject.suite.name, "case": subject.case.name}
                yield from (proof.model_copy(update=names | same) for proof in found.result())


def _in_a_lane(
    lanes: SimpleQueue[_Lane],
    subject: _Subject,
    dataset: Dataset,
    candidates: Sequence[tuple[BackendInfo, Kernel]],
    short: bool,
) -> list[Proof]:
    """Prove one case; what breaks in a backend is a case not proven, and the processes are started anew."""
    lane = lanes.get()
    try:
        return list(_prove(subject, dataset, candidates, lane, short=short))
    except BenchError as error:
        lane.stop()
        lane.start()
        return [_row(subject, info, kernel, verdict="not proven", reason=str(error)) for info, kernel in candidates]
    finally:
        lanes.put(lane)


def _subject(suite: Suite, case: Case, *, short: bool) -> _Subject:
    embedding = embedding_of(case)
    files = files_for(case.data, embedding)
    here = not short
    try:
        applied = stand_ins_for(case.data, embedding, {})
        here = here and all(locate(applied.get(file, file)) is not None for file in files)
    except Unavailable:
        here = False
    profile: Profile = "documented" if here else "quick"
    case = apply(case, profile)
    return _Subject(suite, case, profile, small(resolve(suite, case, NUMERICS)))


def _candidates(
    subject: _Subject, infos: Sequence[BackendInfo], kernels: Sequence[Kernel]
) -> tuple[list[tuple[BackendInfo, Kernel]], list[Proof]]:
    """Return what can run a case, and a row for everything that cannot."""
    possible: tuple[Kernel, ...] = ("generic", "fused") if subject.model.recurrent else ("none",)
    candidates, rows = [], []
    for info in infos:
        for kernel in (kernel for kernel in possible if not kernels or kernel in kernels):
            try:
                missing = info.missing()
                if missing:
                    raise Unavailable(missing)
                required = subject.case.requires
                if required and required.device != "cpu":
                    raise Unavailable(f"the case is for {required.device} only, parity is proven on the CPU")
                check_kernel(info, subject.model, kernel, "cpu")
                candidates.append((info, kernel))
            except Unavailable as error:
                rows.append(_row(subject, info, kernel, reason=str(error)))
    return candidates, rows


def _row(subject: _Subject, info: BackendInfo, kernel: Kernel, **known: Any) -> Proof:
    return Proof(
        suite=subject.suite.name,
        case=subject.case.name,
        backend=info.name,
        kernel=kernel,
        numerics=NUMERICS,
        profile=subject.profile,
        **{"verdict": "unavailable", **known},
    )


def _prove(
    subject: _Subject,
    dataset: Dataset,
    candidates: Sequence[tuple[BackendInfo, Kernel]],
    lane: _Lane,
    *,
    short: bool,
) -> Iterator[Proof]:
    started = time.perf_counter()
    twins: list[tuple[BackendInfo, Kernel, Twin]] = []
    for info, kernel in candidates:
        try:
            twins.append((info, kernel, _twin(lane.servers[info.name], subject.model, kernel)))
        except Unavailable as error:
            yield _row(subject, info, kernel, reason=str(error))
    if not twins:
        return
    inputs = probe(subject.model, subject.case, subject.name, dataset, short=short)
    (info, kernel, reference), others = twins[0], twins[1:]
    found: dict[str, Findings] = prove(
        subject.model, inputs, reference, [twin for _, _, twin in others], run=lane.pool.map
    )
    for server in lane.servers.values():
        server.call("", "forget")
    common = {
        "data": data_used(dataset),
        "steps": len(inputs.steps),
        "seconds": time.perf_counter() - started,
    }
    proven = any(findings.verdict == "proven" for findings in found.values())
    reason = "the reference" if found else "there is no other backend or kernel to compare it with"
    verdict = ("proven" if proven else "not proven") if found else "not applicable"
    yield _row(subject, info, kernel, verdict=verdict, reason=reason, **common)
    for info, kernel, twin in others:
        findings = found[twin.name]
        yield _row(
            subject,
            info,
            kernel,
            verdict=findings.verdict,
            reference=reference.name,
            errors=findings.errors,
            own=findings.own,
            free_running=findings.free_running,
            failures=findings.failures,
            **common,
        )


def _twin(server: Server, model: Model, kernel: Kernel) -> Twin:
    single = RemoteNetwork(server, model, kernel, "cpu", "float32")
    try:
        double = RemoteNetwork(server, model, kernel, "cpu", "float64")
    except Unavailable:
        double = None
    return Twin(f"{server.info.name},{kernel}", single, double)
