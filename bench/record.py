"""The record of one cell: everything that is known of it, as it is stored, exported and reported."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.cell import Cell, Measure, Profile, Status
from bench.spec import Device, Kernel

SCHEMA_VERSION = 1


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
    and nothing else.
    """

    build: float
    first_epoch: float
    epochs: list[float]
    steps: int
    total: float
    alone: bool


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
    """One cell's result. `reason` is set for every status but `ok`; parts that were not reached are None."""

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
    kernels_seen: list[str] | None = None
    data: DataUsed | None = None
    failure: Failure | None = None
    started: str
    seconds: float
    details: dict[str, Any] = {}

    @property
    def cell(self) -> Cell:
        """Return the cell this is the record of."""
        return Cell(self.suite, self.case, self.backend, self.kernel, self.device, self.numerics, self.seed)
