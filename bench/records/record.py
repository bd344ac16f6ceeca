"""The record of one cell: everything that is known of it, as it is stored, exported and reported."""

from __future__ import annotations

import datetime
import json
import math
from statistics import median
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from bench.cases.cell import Cell, Measure, Profile, Status
from bench.cases.parameters import Parameters
from bench.spec import Device, Kernel

CASE = ["suite", "case"]
VARIANT = ["backend", "kernel", "device", "numerics"]
SCHEMA_VERSION = 3
RECORD_BYTES = 16_000_000
"""The longest record that is read from elsewhere: that of about 50,000 epochs."""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A part of a record: plain values, which nothing changes; `read` checks them, making them does not."""


class Score(Part, frozen=True, kw_only=True):
    """One set of rows evaluated without dropout. `accuracy`: 0 to 1. `rows`: how many there are."""

    loss: float
    accuracy: float
    rows: int


class Scored(Protocol):
    """What holds a loss and an accuracy of some rows: a `Score`, or a line of a log."""

    @property
    def loss(self) -> float:
        """Return the mean loss."""

    @property
    def accuracy(self) -> float:
        """Return the accuracy, 0 to 1."""

    @property
    def rows(self) -> int:
        """Return how many rows were evaluated."""


class EpochScore(Part, frozen=True, kw_only=True):
    """One epoch.

    `loss`: mean over its batches, taken while training, as Keras's `fit` prints it. `accuracy`: the same, 0 to 1.
    `val_loss`: of the validation set after the epoch. `val_accuracy`: the same. `seconds`: of the training part.
    `steps`: batches.
    """

    loss: float
    accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    seconds: float
    steps: int


class Weights(Part, frozen=True, kw_only=True):
    """Scores of one set of weights. `epoch`: the one after which they were taken, from 1.

    `sha256`: of all weights in order, as float32 in Keras's layout; None of earlier versions.
    """

    epoch: int
    train: Score | None = None
    validation: Score | None = None
    test: Score | None = None
    sha256: str | None = None


class Metrics(Part, frozen=True, kw_only=True):
    """Accuracy of a trained cell.

    `epochs`: every epoch in order. `last`: scores of the weights after the last epoch. `best`: of those that a
    checkpoint kept, where the case has one.
    """

    epochs: list[EpochScore]
    last: Weights | None = None
    best: Weights | None = None


class Timing(Part, frozen=True, kw_only=True):
    """Seconds, each from `time.perf_counter` with the device synchronised at both ends.

    What follows `alone` is there where timing was asked for.

    `build`: the model made and its weights loaded. `first_epoch`: includes tracing, compilation and warm-up; None where
    steps alone were measured.
    `epochs`: steady epochs (all but the first), training part only. `steps`: of an epoch. `total`: all of training and
    evaluation. `alone`: whether the process was started for this cell alone. `first_step`: the first training step
    on a full batch. `compile`: what comes once, first calls minus steady calls over both batch shapes. `windows`: raw
    [steps, seconds] of training. `step`: one steady training step, from the windows. `cpu_windows`: of the same windows
    [steps, CPU seconds] of all threads of the process, those that wait in a loop included; only on a CPU. `cpu_step`:
    that of one step, from those. `input`: the input pipeline alone, per step. `latency`: raw seconds of inferences of
    one row. `throughput`: rows per second of inference at the case's batch size. `noise`: spread of a busy loop on this
    machine before the run, as a share of its median.
    """

    build: float
    first_epoch: float | None = None
    epochs: list[float] = []
    steps: int
    total: float
    alone: bool
    first_step: float | None = None
    compile: float | None = None
    windows: list[tuple[int, float]] = []
    step: float | None = None
    cpu_windows: list[tuple[int, float]] = []
    cpu_step: float | None = None
    input: float | None = None
    latency: list[float] = []
    throughput: float | None = None
    noise: float | None = None


class Cost(Part, frozen=True, kw_only=True):
    """What one training step on a full batch needs at least (counted), and what the machine gives at most (measured).

    `flops`: those of its matrix products and convolutions; `bytes`: its traffic with memory. `peak_flops`: FLOP/s of a
    large matrix product; `bandwidth`: bytes/s read and written by a large copy.
    """

    flops: float
    bytes: float
    peak_flops: float | None = None
    bandwidth: float | None = None


class SeenKernel(Part, frozen=True, kw_only=True):
    """A kernel or operation that ran, how often, and its share (0 to 1) of the time, where that is known."""

    name: str
    calls: int
    share: float | None = None


class KernelProof(Part, frozen=True, kw_only=True):
    """Whether the kernel that a cell claims is the one that ran.

    `how`: by which means it was seen. `share`: that of the recurrences in the time, backward passes included. `met`:
    whether it is; None where that could not be told. `reason`: why it could not, or what is missing from the claim.
    """

    claimed: Kernel
    how: str
    seen: list[SeenKernel]
    share: float | None = None
    met: bool | None
    reason: str | None = None


class DataUsed(Part, frozen=True, kw_only=True):
    """Which data a cell really ran on.

    `sha256`: of everything that shaped the prepared arrays. `rows`: how many of each part. `stand_in`: what replaced
    the documented data or vectors.
    """

    name: str
    sha256: str
    rows: dict[str, int]
    stand_in: str | None = None


class Failure(Part, frozen=True, kw_only=True):
    """What broke. `error`: the exception's class."""

    error: str
    traceback: str


class Record(Part, frozen=True, kw_only=True):
    """One cell's result; parts that were not reached are None.

    `kernel`: `fused`, `generic` (step by step), or `none` where there is no recurrent layer. `numerics`: whose
    formulas were run (docs/numerics.md). `seed`: fixes initial weights, row order, sample choice and dropout masks.
    `repeat`: which measurement of the same cell, from 0. `profile`: how much of the case was run. `measure`: what
    was asked for. `status`: what became of it (docs/design.md). `reason`: why it did not end `ok`. `parameters`:
    counts of what was really built. `memory`: peaks: `host_peak_bytes` and, on a GPU, `device_peak_bytes` of
    training, measured separately, and `process_peak_bytes` of the whole process where it ran this cell alone.
    `kernels_seen`: names of what a profiler saw. `kernel_proof`: whether the claimed kernel is the one that ran.
    `failure`: the traceback of what broke. `started`: UTC, ISO 8601. `seconds`: of the whole cell, process start
    included where it had one of its own. `neighbours`: how many other cells of its run worked beside it, at most; None
    where none did. `sequence`: its place among all results, whatever the clock said; a store gives it, None of earlier
    versions. `details`: what else a status needs, and `case`, the declaration that was run.
    """

    suite: str
    case: str
    backend: str
    kernel: Kernel
    device: Device
    numerics: str
    seed: int
    repeat: int = 0
    profile: Profile
    measure: Measure
    status: Status
    reason: str | None = None
    parameters: Parameters | None = None
    metrics: Metrics | None = None
    timing: Timing | None = None
    memory: dict[str, float] | None = None
    cost: Cost | None = None
    kernels_seen: list[str] | None = None
    kernel_proof: KernelProof | None = None
    data: DataUsed | None = None
    failure: Failure | None = None
    started: str
    seconds: float
    sequence: int | None = None
    neighbours: int | None = None
    details: dict[str, Any] = {}

    @property
    def cell(self) -> Cell:
        """Return the cell this is the record of."""
        return Cell(self.suite, self.case, self.backend, self.kernel, self.device, self.numerics, self.seed)


def read(content: Any) -> Record:
    """Return the record that JSON values make; "NaN", "Infinity" and "-Infinity" are numbers in it.

    Raises `msgspec.ValidationError`, which names the field, for values that make none.
    """
    return msgspec.convert(content, Record, strict=False)


_NONE: list[Any] = []


def essential(record: Record) -> Record:
    """Return what the summary of a run is made of, in a third of the memory: of the epochs' seconds their median.

    Without learning curves, latencies, memory, cost, kernels and details; tracebacks only where there is no reason.
    """
    changes: dict[str, Any] = dict.fromkeys(("memory", "cost", "kernels_seen", "kernel_proof"))
    if record.metrics:
        last = record.metrics.last
        if last:
            last = replace(last, train=None, validation=None if last.test else last.validation)
        changes["metrics"] = Metrics(epochs=_NONE, last=last)
    if record.timing:
        epochs = [median(record.timing.epochs)] if record.timing.epochs else _NONE
        changes["timing"] = replace(record.timing, epochs=epochs, latency=_NONE)
    if record.reason:
        changes["failure"] = None
    return replace(record, details={}, **changes)


def plain(value: msgspec.Struct) -> dict[str, Any]:
    """Return a record, or a part of one, as JSON values; a number that is not finite stays one."""
    # A backend may count in NumPy's numbers.
    content: dict[str, Any] = msgspec.to_builtins(value, enc_hook=lambda number: number.item())
    return content


def json_text(content: Any, indent: int | None = None) -> str:
    """Return JSON values as text; what it has no number for becomes "NaN", "Infinity" or "-Infinity".

    `read` takes these strings for numbers again. Python's `json` writes them bare, which other readers refuse.
    """
    try:
        return json.dumps(content, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_named(content), indent=indent, allow_nan=False)


def from_json(text: str | bytes) -> Any:
    """Return JSON values of a text, also where a number that is not finite stands bare in it, as in older stores.

    Half a character, which no text may hold, becomes a question mark. Raises `ValueError` and `RecursionError`.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return encodable(json.loads(text))


def encodable(content: Any) -> Any:
    """Return JSON values with a question mark for every half of a character, which neither files nor SQLite take."""
    text = json.dumps(content, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.loads(text.encode(errors="replace"))
    return content


def _named(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _named(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_named(value) for value in content]
    return json.dumps(content) if isinstance(content, float) and not math.isfinite(content) else content


def at(value: Any, path: str) -> Any:
    """Return what stands at a dotted path of a record or a part; None where something on the way is not there."""
    for name in path.split("."):
        if value is None:
            break
        value = value.get(name) if isinstance(value, dict) else getattr(value, name)
    return value


def upgrade(content: dict[str, Any], version: int) -> dict[str, Any]:
    """Return the JSON content of a record of an earlier schema version as this version has it.

    Version 1 called the peak of a whole process `host_peak_bytes`, which is now that of training alone. Version 2 had
    no CPU time.
    """
    memory = content.get("memory")
    if version == 1 and memory and "host_peak_bytes" in memory:
        renamed = {("process_peak_bytes" if name == "host_peak_bytes" else name): v for name, v in memory.items()}
        return content | {"memory": renamed}
    return content


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
