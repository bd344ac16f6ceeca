"""Proves cases on this machine: which backends and kernels can run each, their processes, and one `Proof` for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from msgspec.structs import replace

from bench.backends.registry import DEFAULT_BACKENDS, BackendInfo, backend, check_kernel
from bench.cases.cell import Profile
from bench.cases.model import Model, embedding_of, resolve
from bench.cases.profiles import apply
from bench.data import files_for, stand_ins_for
from bench.data.sources import locate
from bench.errors import BenchError, DataError, Unavailable, install
from bench.machine.fingerprint import cores
from bench.parity.inputs import probe, small
from bench.parity.proof import Proof
from bench.parity.prove import KERAS_2_ADAM, Twin, prove
from bench.runner.client import Server
from bench.spec import Case, Kernel, Suite
from bench.training.experiment import Experiment, dataset_of

NUMERICS = "documented"
USUAL = ("tf-keras", *DEFAULT_BACKENDS)
"""The backends that are proven where none is named. Keras 2 comes first: a reference that was not written here."""
LANES = 2
"""Cases proven at a time: tracing a Keras graph keeps one core busy while its twin waits."""

Candidates = Sequence[tuple[BackendInfo, Kernel]]


@dataclass(frozen=True)
class _Target:
    """A case as it is proven: on its documented data where that is here, else on the embedded corpus."""

    suite: Suite
    case: Case
    profile: Profile
    model: Model

    @property
    def name(self) -> str:
        return f"{self.suite.name}/{self.case.name}"


def proofs(
    cases: Sequence[tuple[Suite, Case]], backends: Sequence[str], kernels: Sequence[Kernel], *, short: bool
) -> Iterator[Proof]:
    """Yield a proof for every case, backend and kernel, case by case; what cannot run gets one that says why.

    Without `backends` those that are installed of `USUAL` are taken, without `kernels` every one that can run.
    The first backend named that can run a case is its reference. Cases that share model and data share one proof.
    Raises `Unavailable` when no framework is installed.
    """
    infos = [backend(name) for name in backends or USUAL]
    usable = [info for info in infos if info.missing() is None]
    if not backends:
        infos = usable
    if not infos:
        raise Unavailable(f"no framework is installed; parity compares two: {install('torch,tensorflow')}")
    with _Lanes(usable, short=short) as lanes:
        begun = [_begin(_target(suite, case, short=short), infos, kernels, lanes) for suite, case in cases]
        for rows, proven in begun:
            yield from rows
            yield from proven()


def _begin(
    target: _Target, infos: Sequence[BackendInfo], kernels: Sequence[Kernel], lanes: _Lanes
) -> tuple[list[Proof], Callable[[], list[Proof]]]:
    """Return a row for everything that cannot run, and what waits for the proofs of the rest."""
    candidates, rows = _candidates(target, infos, kernels)
    if not candidates:
        return rows, list
    try:
        dataset = dataset_of(target.case, {})
    except (DataError, Unavailable) as error:
        return [*rows, *(_row(target, info, kernel, reason=str(error)) for info, kernel in candidates)], list
    experiment = Experiment(target.case, target.model, dataset, target.name, seed=0)
    return rows, lanes.begin(target, experiment, candidates)


class _Lanes:
    """`LANES` lanes that take one case after another, and a model on the same data once; a context manager."""

    def __init__(self, infos: Sequence[BackendInfo], *, short: bool) -> None:
        self._infos, self._short = infos, short
        self._begun: dict[tuple[Model, str], tuple[_Target, Future[list[Proof]]]] = {}
        self._free: SimpleQueue[_Lane] = SimpleQueue()

    def __enter__(self) -> _Lanes:
        with ExitStack() as opened:
            calls = opened.enter_context(ThreadPoolExecutor(4 * LANES * max(1, len(self._infos))))
            self._work = ThreadPoolExecutor(LANES)
            opened.callback(self._work.shutdown, cancel_futures=True)
            # Left last-in first-out: interrupted, processes end first, and with them all that waits for them.
            for _ in range(LANES):
                self._free.put(opened.enter_context(_Lane(self._infos, calls)))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def begin(self, target: _Target, experiment: Experiment, candidates: Candidates) -> Callable[[], list[Proof]]:
        """Begin to prove a case, unless one of the same model and data has been begun; return what waits for it."""
        key = target.model, experiment.dataset.sha256
        if key not in self._begun:
            self._begun[key] = target, self._work.submit(self._prove, target, experiment, candidates)
        first, found = self._begun[key]
        if first is target:
            return found.result
        names = {"suite": target.suite.name, "case": target.case.name, "same_as": first.name, "seconds": 0.0}
        return lambda: [replace(proof, **names) for proof in found.result()]

    def _prove(self, target: _Target, experiment: Experiment, candidates: Candidates) -> list[Proof]:
        """Prove one case; what breaks in a backend is a case not proven, and the processes are started anew."""
        lane = self._free.get()
        try:
            return list(lane.proofs(target, experiment, candidates, short=self._short))
        except BenchError as error:
            lane.stop()
            lane.start()
            return [_row(target, info, kernel, verdict="not proven", reason=str(error)) for info, kernel in candidates]
        finally:
            self._free.put(lane)


class _Lane:
    """The processes that one case at a time is proven in, one for each backend; a context manager."""

    def __init__(self, infos: Sequence[BackendInfo], calls: ThreadPoolExecutor) -> None:
        self._infos, self._calls = infos, calls
        self.servers: dict[str, Server] = {}

    def __enter__(self) -> _Lane:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.servers = {}
        try:
            for info in self._infos:
                self.servers[info.name] = Server(info, max(1, cores() // LANES))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for server in self.servers.values():
            server.__exit__()

    def proofs(
        self, target: _Target, experiment: Experiment, candidates: Candidates, *, short: bool
    ) -> Iterator[Proof]:
        """Yield the proofs of a case, the reference first."""
        started = time.perf_counter()
        twins: list[tuple[BackendInfo, Kernel, Twin]] = []
        for info, kernel in candidates:
            try:
                twins.append((info, kernel, _twin(self.servers[info.name], target.model, kernel)))
            except Unavailable as error:
                yield _row(target, info, kernel, reason=str(error))
        if not twins:
            return
        inputs = probe(experiment, short=short)
        (info, kernel, reference), *others = twins
        found = prove(experiment.model, inputs, reference, [twin for _, _, twin in others], run=self._calls.map)
        for server in self.servers.values():
            server.forget()
        measured = {"data": experiment.data_used, "steps": len(inputs.steps), "seconds": time.perf_counter() - started}
        proven = any(findings.verdict == "proven" for findings in found.values())
        reason = "the reference" if found else "there is no other backend or kernel to compare it with"
        verdict = ("proven" if proven else "not proven") if found else "not applicable"
        yield _row(target, info, kernel, verdict=verdict, reason=reason, **measured)
        for info, kernel, twin in others:
            findings = found[twin.name]
            judged = {"verdict": findings.verdict, "reference": reference.name, **vars(findings)}
            yield _row(target, info, kernel, **judged, **measured)


def _target(suite: Suite, case: Case, *, short: bool) -> _Target:
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
    return _Target(suite, case, profile, small(resolve(suite, case, NUMERICS)))


def _candidates(
    target: _Target, infos: Sequence[BackendInfo], kernels: Sequence[Kernel]
) -> tuple[list[tuple[BackendInfo, Kernel]], list[Proof]]:
    """Return what can run a case, and a row for everything that cannot."""
    possible: tuple[Kernel, ...] = ("generic", "fused") if target.model.recurrent else ("none",)
    candidates, rows = [], []
    for info in infos:
        for kernel in (kernel for kernel in possible if not kernels or kernel in kernels):
            try:
                missing = info.missing()
                if missing:
                    raise Unavailable(missing)
                required = target.case.requires
                if required and required.device != "cpu":
                    raise Unavailable(f"the case is for {required.device} only, parity is proven on the CPU")
                check_kernel(info, target.model, kernel, "cpu")
                candidates.append((info, kernel))
            except Unavailable as error:
                rows.append(_row(target, info, kernel, reason=str(error)))
    return candidates, rows


def _row(target: _Target, info: BackendInfo, kernel: Kernel, **known: Any) -> Proof:
    return Proof(
        suite=target.suite.name,
        case=target.case.name,
        backend=info.name,
        kernel=kernel,
        numerics=NUMERICS,
        profile=target.profile,
        **{"verdict": "unavailable", **known},
    )


def _twin(server: Server, model: Model, kernel: Kernel) -> Twin:
    single = server.network(model, kernel, "cpu")
    try:
        double = server.network(model, kernel, "cpu", "float64")
    except Unavailable:
        double = None
    in_float32 = server.info.name == "tf-keras" and model.optimizer == "adam"
    return Twin(f"{server.info.name},{kernel}", single, double, KERAS_2_ADAM if in_float32 else 0.0)
