"""The process in which cells run: one JSON request on stdin, JSON lines back on a descriptor of its own.

Started by `bench.runner.workers` as `python -m bench.runner.worker DESCRIPTOR`, with thread counts already in its
environment. stdout and stderr belong to the frameworks. Answers are `{"event": "epoch", ...}` while a cell trains and
`{"event": "record", "schema_version": 2, "record": {...}}` when it is done. stdin stays open as long as the parent
lives; its end ends this process at once.

Asked `introduce` in place of a descriptor, it says who it is and which cells it knows (`bench.runner.handshake`):
`bench ab` drives the workers of two installations.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel, ConfigDict

from bench.backends.base import Network
from bench.backends.registry import backend, backends
from bench.cases.catalog import Catalog
from bench.cases.catalog import load as load_catalog
from bench.cases.cell import Cell, Measure, Profile, Status
from bench.cases.describe import definition
from bench.data.dataset import Dataset
from bench.errors import BenchError, Unavailable
from bench.machine import gpu
from bench.measure import kernels
from bench.measure.cost import step_cost
from bench.measure.kernels import KernelClaim
from bench.measure.memory import process_peak
from bench.measure.passes import Passes, timing_passes
from bench.measure.steps import BRIEF, FULL
from bench.records.record import SCHEMA_VERSION, DataUsed, Failure, Record, Timing, now, plain, read
from bench.runner.handshake import Question, introduce
from bench.runner.plan import Part
from bench.training.experiment import loaded, start, subject
from bench.training.loop import Progress, split, train

PROTOCOL = 3
"""Rises with every change of `Request`, `Question`, `Introduction` or the answers.

Since 2 workers introduce themselves.
"""
SINCE = {"brief": 3}
"""The protocol that brought a field of `Request`, of those that were not always there."""


class RequestedCell(BaseModel):
    """A cell by name, and which repeat of it this is."""

    model_config = ConfigDict(extra="forbid")

    cell: str
    repeat: int


class Request(BaseModel):
    """What a worker is asked to do: run `cells` in turn, all of one backend.

    `brief`: many processes measure the same, so each takes fewer windows, one steady epoch, and proves no kernel.
    """

    model_config = ConfigDict(extra="forbid")

    protocol: int
    cells: list[RequestedCell]
    profile: Profile
    measure: Measure
    suites: list[str]
    stand_ins: dict[str, str]
    brief: bool

    def worded(self) -> str:
        """Return the request as JSON for a worker of its protocol: without what such a worker does not know.

        Raises `ValueError` where that would ask for something else.
        """
        unknown = {name for name, protocol in SINCE.items() if protocol > self.protocol}
        asked = sorted(name for name in unknown if getattr(self, name))
        if asked:
            raise ValueError(f"a worker of protocol {self.protocol} cannot be asked for: {', '.join(asked)}")
        return self.model_dump_json(exclude=unknown)


def main() -> None:
    """Read the request, run its cells, answer, and leave without waiting for the frameworks' own teardown."""
    if sys.argv[1] == "introduce":
        _introduce()
        return
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    request = Request.model_validate_json(sys.stdin.readline())
    if request.protocol != PROTOCOL:
        sys.exit(
            f"this worker speaks protocol {PROTOCOL}, asked for {request.protocol}; use the same version of twinbench"
        )
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # A backend reads its environment when its framework is imported, so it is set before anything else happens.
    os.environ.update(dict(backend(Cell.parse(request.cells[0].cell).backend).environment))
    catalog = load_catalog([Path(path) for path in request.suites])
    for requested in request.cells:
        record = run_cell(
            catalog,
            Cell.parse(requested.cell),
            requested.repeat,
            request,
            alone=len(request.cells) == 1,
            on_epoch=lambda progress: _answer(answers, {"event": "epoch", **asdict(progress)}),
        )
        content = plain(record)
        read(content)  # what a backend counted wrongly costs this process, not the one that waits for it
        _answer(answers, {"event": "record", "schema_version": SCHEMA_VERSION, "record": content})
        gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _introduce() -> None:
    question = Question.model_validate_json(sys.stdin.readline())
    try:
        print(introduce(question, PROTOCOL).model_dump_json())
    except BenchError as error:
        sys.exit(str(error))


def run_cell(
    catalog: Catalog, cell: Cell, repeat: int, request: Request, *, alone: bool, on_epoch: Callable[[Progress], None]
) -> Record:
    """Prepare, build, train and evaluate one cell; whatever goes wrong becomes the status of its record."""
    started, clock = now(), time.perf_counter()
    known: dict[str, Any] = {}
    status: Status = "ok"
    reason: str | None = None
    networks: list[Network] = []
    try:
        _measure(catalog, cell, request, known, networks, alone=alone, on_epoch=on_epoch)
    except BaseException as error:
        status, reason = classify(error)
        if status == "out-of-memory":
            known["memory"] = known.get("memory", {}) | _peaks_so_far(networks)
            reason += f"; peak so far: {_in_words(known['memory'])}"
        if status == "unavailable":
            known["details"] = known.get("details", {}) | {"obstacle": _obstacle(cell, known)}
        else:
            known["failure"] = Failure(error=type(error).__name__, traceback=traceback.format_exc())
    return Record(
        **asdict(cell),
        repeat=repeat,
        profile=request.profile,
        measure=request.measure,
        status=status,
        reason=reason,
        started=started,
        seconds=time.perf_counter() - clock,
        **known,
    )


def _measure(
    catalog: Catalog,
    cell: Cell,
    request: Request,
    known: dict[str, Any],
    networks: list[Network],
    *,
    alone: bool,
    on_epoch: Callable[[Progress], None],
) -> None:
    """Fill `known` with the parts of the record as they become known, so that a failure keeps those before it.

    `networks` gets every network that is made.
    """
    prepared = subject(catalog, cell, request.profile, request.stand_ins)
    known["details"] = {"case": definition(catalog.case(cell.case_name)[0], prepared.case)}
    known["data"] = data_used(prepared.dataset)
    prepared, build = loaded(prepared)
    case, model, dataset = prepared.case, prepared.model, prepared.dataset

    def make() -> Network:
        network = build(model, cell.kernel, cell.device)
        networks[:] = [network]
        start(network, prepared)
        return network

    timed = Passes({}, {})
    if request.measure != "accuracy":
        efforts = BRIEF if request.brief else FULL
        timed = timing_passes(make(), case, model, dataset, cell.case_name, cell.seed, efforts)
        known["cost"] = step_cost(model, min(model.batch_size, len(split(case, dataset, cell.seed).rows)))
        known["memory"] = timed.memory
        networks.clear()
        gc.collect()

    clock = time.perf_counter()
    network = make()
    build_seconds = time.perf_counter() - clock
    known["parameters"] = network.parameters()

    trained = train(
        network,
        case,
        model,
        dataset,
        cell.case_name,
        cell.seed,
        measure=request.measure,
        on_epoch=on_epoch,
        brief=request.brief,
    )
    known["metrics"] = trained.metrics
    known["timing"] = Timing(
        build=build_seconds,
        first_epoch=trained.epoch_seconds[0],
        epochs=trained.epoch_seconds[1:],
        steps=trained.steps,
        total=time.perf_counter() - clock,
        alone=alone,
        **timed.timing,
    )
    if alone:
        peak = max(process_peak(), timed.memory.get("process_peak_bytes", 0.0))
        known["memory"] = timed.memory | {"process_peak_bytes": peak}
    if request.measure != "accuracy" and not request.brief:
        # Last, as it trains on: whatever it finds, the rest has been measured.
        proof = kernels.observe(
            network, case, model, dataset, cell.case_name, cell.seed, kernel=cell.kernel, device=cell.device
        )
        known["kernel_proof"], known["kernels_seen"] = proof, [kernel.name for kernel in proof.seen]
        if proof.met is False:
            raise KernelClaim(proof.reason)


def _obstacle(cell: Cell, known: dict[str, Any]) -> Part:
    """Return the part of a cell that kept it from running: once there is data, the device, or the backend on a CPU."""
    if "data" not in known:
        return "case"
    return "backend" if cell.device == "cpu" else "device"


def _peaks_so_far(networks: list[Network]) -> dict[str, float]:
    peaks = {"process_peak_bytes": process_peak()}
    for network in networks:
        # The allocator that just gave up is asked: whatever it says must not cost the record.
        with suppress(Exception):
            device = network.device_peak_bytes()
            peaks |= {} if device is None else {"device_peak_bytes": float(device)}
    return peaks


def _in_words(peaks: dict[str, float]) -> str:
    own = f"{peaks['process_peak_bytes'] / 1e9:.1f} GB of the process"
    return f"{peaks['device_peak_bytes'] / 1e9:.1f} GB on the GPU, {own}" if "device_peak_bytes" in peaks else own


OUT_OF_MEMORY = (
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
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


def data_used(dataset: Dataset) -> DataUsed:
    """Return what a record says of the data it ran on."""
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    rows = {name: len(part) for name, part in parts.items() if part is not None}
    return DataUsed(name=dataset.name, sha256=dataset.sha256, rows=rows, stand_in=dataset.stand_in)


def _answer(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _exit_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
