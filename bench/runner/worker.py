"""The process in which cells run, as `bench.runner.protocol` says.

Started by `bench.runner.workers` with thread counts already in its environment. stdout and stderr belong to the
frameworks. stdin, which requests come from, stays open as long as the parent lives; its end ends this process at once.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from mmap import mmap
from pathlib import Path
from queue import SimpleQueue
from signal import SIGKILL
from typing import Any, NoReturn, TextIO

from bench.backends.base import Network
from bench.backends.registry import backend, backends
from bench.cases.catalog import Catalog
from bench.cases.catalog import load as load_catalog
from bench.cases.cell import Cell, Status
from bench.cases.describe import definition
from bench.errors import BenchError, Unavailable
from bench.machine import gpu
from bench.machine.processes import code
from bench.measure import kernels
from bench.measure.cost import step_cost
from bench.measure.memory import about_to_fork, process_peak
from bench.measure.passes import glance, step_windows, timing_passes
from bench.measure.steps import BRIEF, FULL
from bench.records.record import SCHEMA_VERSION, Failure, Record, Timing, now, plain, read
from bench.runner.handshake import introduce
from bench.runner.plan import CellPart
from bench.runner.protocol import PROTOCOL, Question, Request
from bench.spec import RandomRows
from bench.training.experiment import Experiment, loaded, prepared
from bench.training.loop import Progress, Trainer

TEXT = 20_000
"""So many characters are kept of what an exception says."""


def main() -> None:
    """Run the cells that requests ask for, until the parent ends this process."""
    if sys.argv[1] == "introduce":
        try:
            print(introduce(Question.model_validate_json(sys.stdin.readline())).model_dump_json())
        except BenchError as error:
            sys.exit(str(error))
        return
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    with open(os.devnull) as nothing:  # which cells, and what they start, may read and close
        os.dup2(nothing.fileno(), 0)
    request = _request(requests.readline())
    lines = SimpleQueue[str]()
    if request.process != "forked":
        threading.Thread(target=_hand_on, args=(requests, lines), daemon=True).start()
    # A backend reads its environment when its framework is imported, so it is set before anything else happens.
    info = backend(Cell.parse(request.cell).backend)
    os.environ.update(dict(info.environment))
    catalog = load_catalog([Path(path) for path in request.suites])
    if request.process == "forked":
        with suppress(Exception):  # the cell will say what is missing
            info.load()
        _fork(catalog, request, requests, answers)
    while True:
        _run(catalog, request, answers)
        gc.collect()
        request = _request(lines.get())


def _request(line: str) -> Request:
    """Return what a line asks for; end this process where that is nothing, or nothing that it can answer."""
    if not line:
        os._exit(1)
    request = Request.model_validate_json(line)
    if request.protocol != PROTOCOL:
        sys.exit(
            f"this worker speaks protocol {PROTOCOL}, asked for {request.protocol}; use the same version of twinbench"
        )
    return request


def _hand_on(requests: TextIO, lines: SimpleQueue[str]) -> None:
    """Hand on what is asked; the end of the parent ends this process, whatever it does."""
    for line in requests:
        lines.put(line)
    os._exit(1)


def _run(catalog: Catalog, request: Request, answers: TextIO) -> None:
    """Run a cell and answer."""
    measurement = Measurement(catalog, Cell.parse(request.cell), request)
    record = measurement.record(lambda progress: _answer(answers, {"event": "epoch", **asdict(progress)}))
    content = plain(record)
    read(content)  # what a backend counted wrongly costs this process, not the one that waits for it
    _answer(answers, {"event": "record", "schema_version": SCHEMA_VERSION, "record": content, "code": code()})


def _fork(catalog: Catalog, request: Request, requests: TextIO, answers: TextIO) -> NoReturn:
    """Run each cell in a child of this process, and end as a child that gave no record.

    There is no thread here, which a child would lack: on Linux the guardian ends this process with the parent. No
    descendant of a cell outlives it.
    """
    from bench.machine import guardian  # of Linux alone

    guardian.prctl(guardian.PR_SET_CHILD_SUBREAPER, 1)
    code()  # hashed once for all
    gc.collect()
    gc.freeze()  # else the first collection in a child would copy every page
    about_to_fork()
    sys.stdout.flush()
    sys.stderr.flush()
    answered = mmap(-1, 1)
    while True:
        answered[0] = 0
        with warnings.catch_warnings(action="ignore"):  # JAX and Python 3.12 warn of any thread
            child = os.fork()
        if not child:
            guardian.prctl(guardian.PR_SET_PDEATHSIG, SIGKILL)
            _run(catalog, request, answers)
            answered[0] = 1
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not answered[0]:
            guardian.end_as(status)
        guardian.end_children()
        request = _request(requests.readline())


def _answer(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


class Measurement:
    """A cell being measured; `known` are the parts of its record so far: a failure keeps those before it."""

    def __init__(self, catalog: Catalog, cell: Cell, request: Request) -> None:
        self.known: dict[str, Any] = {}
        self._catalog, self._cell, self._request = catalog, cell, request
        self._timed = request.measure in ("timing", "all")
        self._network: Network | None = None

    def record(self, on_epoch: Callable[[Progress], None]) -> Record:
        """Prepare, build, train and evaluate the cell; whatever goes wrong becomes the status of its record."""
        known = self.known
        started, clock = now(), time.perf_counter()
        status: Status = "ok"
        reason: str | None = None
        try:
            self._measure(on_epoch)
        except BaseException as error:
            status, reason = classify(error)
            reason = reason[:TEXT]
            if status == "out-of-memory":
                reason += f"; peak so far: {self._peak_so_far()}"
            if status == "unavailable":
                known["details"] = known.get("details", {}) | {"obstacle": self._obstacle()}
            else:
                known["failure"] = Failure(error=type(error).__name__, traceback=traceback.format_exc()[-TEXT:])
        return Record(
            **asdict(self._cell),
            repeat=self._request.repeat,
            profile=self._request.profile,
            measure=self._request.measure,
            status=status,
            reason=reason,
            started=started,
            seconds=time.perf_counter() - clock,
            **known,
        )

    @property
    def _proves(self) -> bool:
        """Return whether the kernel is to be proven; of steps alone the first repeat proves it for all."""
        return not self._request.repeat if self._request.measure == "steps" else self._timed and not self._request.brief

    def _measure(self, on_epoch: Callable[[Progress], None]) -> None:
        cell, request = self._cell, self._request
        experiment = prepared(self._catalog, cell, request.profile, request.stand_ins)
        suite, _ = self._catalog.case(cell.case_name)
        self.known["details"] = {"case": definition(suite, experiment.case)}
        if experiment.dataset.found is not None:
            self.known["details"]["vectors_found"] = experiment.dataset.found
        self.known["data"] = experiment.data_used
        experiment, build = loaded(experiment, cell)
        if request.measure == "steps":
            self._time_steps(experiment, build)
        else:
            passes = self._pass(experiment, build) if self._timed else {}
            self._train(experiment, build, passes, on_epoch)
        if self._proves:
            # Last, as it trains on: whatever it finds, the rest has been measured.
            self._prove(experiment)

    def _started(self, experiment: Experiment, build: Callable[[], Network]) -> Network:
        """Return a fresh network, which is the one that is asked about memory when that runs out."""
        self._network = network = build()
        experiment.start(network)
        return network

    def _pass(self, experiment: Experiment, build: Callable[[], Network]) -> dict[str, Any]:
        """Make the timing passes; return their fields of `Timing`."""
        passes = timing_passes(
            self._started(experiment, build), experiment, BRIEF if self._request.brief else FULL, self._cell.device
        )
        self.known["cost"] = step_cost(experiment.model, experiment.batch_size)
        self.known["memory"] = passes.memory
        self._network = None
        gc.collect()
        return passes.timing

    def _time_steps(self, experiment: Experiment, build: Callable[[], Network]) -> None:
        """Time the steps of a network of its own, which trains no epoch."""
        clock = time.perf_counter()
        network = self._started(experiment, build)
        build_seconds = time.perf_counter() - clock
        self.known["parameters"] = network.parameters()
        self.known["cost"] = step_cost(experiment.model, experiment.batch_size)
        measured = step_windows(network, experiment, BRIEF.steps, self._cell.device)
        total = time.perf_counter() - clock
        self.known["timing"] = Timing(
            build=build_seconds, steps=experiment.steps, total=total, alone=self._request.process == "own", **measured
        )

    def _train(
        self,
        experiment: Experiment,
        build: Callable[[], Network],
        passes: dict[str, Any],
        on_epoch: Callable[[Progress], None],
    ) -> None:
        """Train and score a network of its own."""
        request = self._request
        clock = time.perf_counter()
        network = self._started(experiment, build)
        build_seconds = time.perf_counter() - clock
        self.known["parameters"] = network.parameters()
        metrics = Trainer(network, experiment, request.measure, brief=request.brief).train(on_epoch)
        self.known["metrics"] = metrics
        first_epoch, *epochs = [epoch.seconds for epoch in metrics.epochs]
        total = time.perf_counter() - clock
        if request.measure == "glance" and is_glanced_at(self._catalog, self._cell):
            passes = glance(network, experiment, self._cell.device)
        self.known["timing"] = Timing(
            build=build_seconds,
            first_epoch=first_epoch,
            epochs=epochs,
            steps=experiment.steps,
            total=total,
            alone=request.process == "own",
            **passes,
        )
        if request.process != "shared":
            self.known["memory"] = self.known.get("memory", {}) | {"process_peak_bytes": process_peak()}

    def _prove(self, experiment: Experiment) -> None:
        assert self._network
        proof = kernels.observe(self._network, experiment, self._cell.kernel, self._cell.device)
        self.known["kernel_proof"], self.known["kernels_seen"] = proof, [kernel.name for kernel in proof.seen]
        if proof.met is False:
            raise kernels.KernelClaim(proof.reason)

    def _obstacle(self) -> CellPart:
        """Return the part of the cell that kept it from running: with its data there, device, or backend on a CPU."""
        if "data" not in self.known:
            return "case"
        return "backend" if self._cell.device == "cpu" else "device"

    def _peak_so_far(self) -> str:
        """Note the largest peaks of memory up to now, and return them in words."""
        peaks = self.known["memory"] = {**self.known.get("memory", {}), "process_peak_bytes": process_peak()}
        words = f"{peaks['process_peak_bytes'] / 1e9:.1f} GB of the process"
        # The allocator that just gave up is asked: whatever it says must not cost the record.
        with suppress(Exception):
            device = self._network.device_peak_bytes() if self._network else None
            if device is not None:
                # What a network says begins anew with every question; the passes have asked before.
                peaks["device_peak_bytes"] = max(peaks.get("device_peak_bytes", 0.0), float(device))
        if "device_peak_bytes" in peaks:
            return f"{peaks['device_peak_bytes'] / 1e9:.1f} GB on the GPU, {words}"
        return words


def is_glanced_at(catalog: Catalog, cell: Cell) -> bool:
    """Return whether a glance times the steps of a cell: on samples of rows, those of the first sample alone.

    An architecture takes as long for a step whichever rows it is trained on.
    """
    suite, case = catalog.case(cell.case_name)
    first = next(other for other in suite.cases if other.layers == case.layers)
    return first is case or not isinstance(case.training.validation, RandomRows)


OUT_OF_MEMORY = ("CUDA_ERROR_OUT_OF_MEMORY", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
"""Words by which CUDA and its libraries say that memory has run out, whichever framework asked."""


def classify(error: BaseException) -> tuple[Status, str]:
    """Return the status and the reason that an exception means for the cell it ended."""
    text = str(error)
    first_line = text.splitlines()[0] if text else ""
    if isinstance(error, Unavailable):
        return "unavailable", gpu.reason(error)
    # Frameworks' errors are told by their names and words, since no framework may be imported for it.
    known = [*OUT_OF_MEMORY, *(words for info in backends().values() for words in info.out_of_memory)]
    told = f"{type(error).__name__}: {text}"
    if isinstance(error, MemoryError) or any(words in told for words in known):
        return "out-of-memory", f"{type(error).__name__}: {first_line}"
    if isinstance(error, BenchError):
        return "failed", text
    return "failed", f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


if __name__ == "__main__":
    main()
