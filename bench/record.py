"""The record of one cell: everything that is known of it, as it is stored, exported and reported."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.cell import Cell, Measure, Profile, Status
from bench.spec import Device, Kernel

SCHEMA_VERSION = 2


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LayerParameters(_Part):
    """Parameters of one layer: those of the model, and those the framework really stores."""

    name: str
    total: int
    trainable: int
    stored: int


class Parameters(_Part):
    """Parameter counts of the model as the backend built it.

    `stored` counts what the framework keeps in memory: a torch LSTM stores a second, frozen bias that is no parameter
    of the model.
    """

    total: int
    trainable: int
    frozen: int
    stored: int
    layers: list[LayerParameters]


class Score(_Part):
    """Loss and accuracy (0 to 1) of one set of rows, evaluated without dropout."""

    loss: float
    accuracy: float
    rows: int


class EpochScore(_Part):
    """One epoch: means over its batches taken while training, then the validation set; seconds of the training part."""

    loss: float
    accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    seconds: float
    steps: int


class Weights(_Part):
    """Scores of one set of weights: those after the last epoch, or those a checkpoint kept."""

    epoch: int
    train: Score | None = None
    validation: Score | None = None
    test: Score | None = None


class Metrics(_Part):
    """Accuracy of a trained cell; `best` only where the case keeps a checkpoint. Epochs count from 1."""

    epochs: list[EpochScore]
    last: Weights | None = None
    best: Weights | None = None


class Timing(_Part):
    """Seconds, each from `time.perf_counter` with the device synchronised at both ends.

    `build`: the model made and its weights loaded. `first_epoch`: includes tracing, compilation and warm-up.
    `epochs`: steady epochs (all but the first), training part only. `alone`: whether the process measured this cell
    and nothing else. The rest is there where timing was asked for: `first_step`: the first training step on a full
    batch. `compile`: what comes once, first calls minus steady calls over both batch shapes. `windows`: raw
    [steps, seconds] of training. `step`: one steady training step, from the windows. `input`: the input pipeline
    alone, per step. `latency`: raw seconds of inferences of one row. `throughput`: rows per second of inference at the
    case's batch size. `noise`: spread of a busy loop on this machine before the run, as a share of its median.
    """

    build: float
    first_epoch: float
    epochs: list[float]
    steps: int
    total: float
    alone: bool
    first_step: float | None = None
    compile: float | None = None
    windows: list[tuple[int, float]] = []
    step: float | None = None
    input: float | None = None
    latency: list[float] = []
    throughput: float | None = None
    noise: float | None = None


class Cost(_Part):
    """What one training step on a full batch needs at least (counted), and what the machine gives at most (measured).

    `flops`: those of its matrix products and convolutions; `bytes`: its traffic with memory. `peak_flops`: FLOP/s of a
    large matrix product; `bandwidth`: bytes/s read and written by a large copy.
    """

    flops: float
    bytes: float
    peak_flops: float | None = None
    bandwidth: float | None = None


class SeenKernel(_Part):
    """A kernel or operation that ran, how often, and its share (0 to 1) of the time, where that is known."""

    name: str
    calls: int
    share: float | None = None


class KernelProof(_Part):
    """Whether the kernel that a cell claims is the one that ran.

    `how`: by which means it was seen. `share`: that of the recurrences in the time, backward passes included. `met` is
    None where that could not be told; `reason` says why, or what is missing from the claim.
    """

    claimed: Kernel
    how: str
    seen: list[SeenKernel]
    share: float | None = None
    met: bool | None
    reason: str | None = None


class DataUsed(_Part):
    """Which data a cell really ran on; `stand_in` names what replaced the documented data or vectors."""

    name: str
    sha256: str
    rows: dict[str, int]
    stand_in: str | None = None


class Failure(_Part):
    """What broke: exception class and traceback."""

    error: str
    traceback: str


class Record(_Part):
    """One cell's result. `reason` is set for every status but `ok`; parts that were not reached are None.

    `memory` holds peaks: `host_peak_bytes` and, on a GPU, `device_peak_bytes` of training in a pass of its own, and
    `process_peak_bytes` of the whole process where it ran this cell alone.
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
    details: dict[str, Any] = {}

    @property
    def cell(self) -> Cell:
        """Return the cell this is the record of."""
        return Cell(self.suite, self.case, self.backend, self.kernel, self.device, self.numerics, self.seed)


def upgrade(content: dict[str, Any], version: int) -> dict[str, Any]:
    """Return the JSON content of a record of an earlier schema version as this version has it.

    Version 1 called the peak of a whole process `host_peak_bytes`, which is now that of training alone.
    """
    memory = content.get("memory")
    if version == 1 and memory and "host_peak_bytes" in memory:
        renamed = {("process_peak_bytes" if name == "host_peak_bytes" else name): v for name, v in memory.items()}
        return content | {"memory": renamed}
    return content
