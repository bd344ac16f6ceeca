"""The protocol that a backend fulfils; no framework is imported here.

A backend is one module with a function `build(model, kernel, device, dtype) -> Network`, and an entry in
`bench.backends.registry`. `bench.training.conformance` proves it.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.cases.model import Model
from bench.cases.parameters import LayerParameters, Parameters
from bench.data.dataset import Features, Labels, Rows
from bench.errors import NoGpu
from bench.spec import Device, Kernel

TF32 = "BENCH_TF32"
"""The environment variable that tells workers to allow TF32."""
Arrays = list[NDArray[Any]]
Floats = NDArray[np.float32]
Dtype = Literal["float32", "float64"]
"""The precision of weights and arithmetic; cells run in float32, parity is proven in both."""
MaskSource = Callable[[int, int], Arrays]
"""(step, rows) to the dropout masks of that step, in the order of `Model.masks`, each (rows, *shape) float32."""
Value = TypeVar("Value")


@dataclass(frozen=True)
class EpochResult:
    """Means over an epoch's batches, weighted by batch size, taken before each update (Keras's `fit`)."""

    loss: float
    accuracy: float
    first_bad_step: int | None = None
    """The first step (from 1) whose loss was not finite."""


@dataclass(frozen=True)
class Gradients:
    """Logits, mean loss, and every trainable weight's gradient, in the layout and order of `Model.weights`.

    Logits are (rows,) of a binary model, (rows, classes) of one with classes. The loss is the cross-entropy of both.
    """

    logits: NDArray[Any]
    loss: float
    gradients: Arrays


@dataclass(frozen=True)
class Executed:
    """An operation, a loop or a device kernel that ran: how often, and its seconds on the device.

    `within` names the entry whose seconds contain these; the entries without one are disjoint.
    """

    name: str
    calls: int
    seconds: float
    within: str | None = None


@dataclass(frozen=True)
class Trace:
    """What a profiler saw of some training steps. `how` says by which means; `seconds` is all their device time."""

    how: str
    steps: int
    seconds: float
    ran: tuple[Executed, ...]


class Tally:
    """Calls and seconds of the entries of a trace, by (entry, detail within it, or None for the entry itself)."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, str | None]] = Counter()
        self._seconds: dict[tuple[str, str | None], float] = defaultdict(float)

    def add(self, entry: str, detail: str | None, calls: int, seconds: float) -> None:
        """Count calls and seconds."""
        self._calls[entry, detail] += calls
        self._seconds[entry, detail] += seconds

    def entries(self) -> Iterator[Executed]:
        """Return everything counted, the longest first."""
        for (entry, detail), seconds in sorted(self._seconds.items(), key=lambda item: -item[1]):
            calls = self._calls[entry, detail]
            yield Executed(entry, calls, seconds) if detail is None else Executed(detail, calls, seconds, entry)


class Network(Protocol):
    """A built model with its optimizer, on its device. Weights and gradients travel in Keras's layout."""

    def parameters(self) -> Parameters:
        """Return the parameter counts of what was really built."""

    def get_weights(self) -> Arrays:
        """Return all weights, in the order and shapes of `Model.weights`."""

    def set_weights(self, weights: Arrays) -> None:
        """Load all weights, in the order and shapes of `Model.weights`."""

    def initialize(self, seed: int) -> None:
        """Seed the framework; under native `init` draw all weights but pretrained vectors by its own initialisers.

        Called only where `Model.differences` names something.
        """

    def get_optimizer_state(self) -> Arrays:
        """Return [step count] and the slots of every trainable weight (`Model.slots`), in Keras's layout."""

    def set_optimizer_state(self, state: Arrays) -> None:
        """Load what `get_optimizer_state` of any backend returned."""

    def train_epoch(self, x: Features, y: Labels, order: Rows, masks: MaskSource | None) -> EpochResult:
        """Train one pass over the rows of `order`, in that order, the last batch of `Model.batch_size` partial.

        Under native `order` the framework shuffles the rows of `order`. What was made of the arrays may be
        kept for the next epoch: they must not change.
        """

    def train_step(self, x: NDArray[Any], y: Labels, masks: Arrays | None) -> float:
        """Make one optimizer step on one batch; return its loss before the step."""

    def gradients(self, x: NDArray[Any], y: Labels, masks: Arrays | None) -> Gradients:
        """Return what a training step on one batch computes first: logits, loss, gradients; change nothing.

        Without masks nothing is dropped.
        """

    def logits(self, x: Features) -> NDArray[Any]:
        """Return the logits of all rows of `x` as in `Gradients`, without dropout, in the network's own precision."""

    def synchronize(self) -> None:
        """Wait until the device has finished everything asked of it."""

    def trace(self, x: NDArray[Any], y: Labels, masks: Arrays | None, steps: int) -> Trace:
        """Make `steps` optimizer steps on one batch under the framework's profiler; say what ran in them.

        A recurrence appears under a name that `bench.measure.kernels` knows: that of its fused operation, or of its
        loop, or else as operations that ran once for every time step.
        """

    def device_peak_bytes(self) -> int | None:
        """Return the most bytes of a GPU in use since the last call; None on a CPU, whose memory the process counts."""


@runtime_checkable
class TrainsSteps(Protocol):
    """A network whose epochs cost something that is no part of any step: its steps are timed without that."""

    def train_steps(self, x: Features, y: Labels, order: Rows, masks: MaskSource | None) -> object:
        """Train as `Network.train_epoch` does, without what an epoch costs beside its steps."""


class Build(Protocol):
    """What a backend's module calls `build`."""

    def __call__(self, model: Model, kernel: Kernel, device: Device, dtype: Dtype = "float32", /) -> Network:
        """Return a network; raise `Unavailable`, naming layer or option, for what the backend cannot run."""


def counted(layers: Sequence[LayerParameters]) -> Parameters:
    """Return the parameter counts of a network with these layers."""
    total, trainable, stored = (
        sum(counts) for counts in zip(*((layer.total, layer.trainable, layer.stored) for layer in layers), strict=True)
    )
    return Parameters(total=total, trainable=trainable, frozen=total - trainable, stored=stored, layers=list(layers))


def hits(logits: NDArray[Any], y: Labels) -> NDArray[np.bool_]:
    """Return which rows are classified rightly, (rows,): a logit above 0 predicts 1, of classes the first largest."""
    found: NDArray[np.bool_] = (logits > 0) == (y > 0.5) if logits.ndim == 1 else logits.argmax(axis=1) == y
    return found


def portions(values: Iterable[Value], sizes: Iterable[int]) -> Iterator[list[Value]]:
    """Return the first values, the next ones, and so on: as many as each size says, or as there are."""
    rest = iter(values)
    return (list(islice(rest, size)) for size in sizes)


def tf32() -> bool:
    """Return whether products may round their factors to TF32 on a GPU: off unless `bench run --tf32` asks for it."""
    return os.environ.get(TF32) == "1"


def no_gpu(framework: str, version: str, cuda: str | None, said: object = "") -> NoGpu:
    """Return the reason why a framework has no GPU to work on.

    `cuda` is the version of its build, None without; `said` is what it gave as a reason itself.
    """
    build = f"built for CUDA {cuda}" if cuda else "not built for CUDA, or without its CUDA libraries"
    first_line = next(iter(str(said).splitlines()), "").rstrip(". ")
    return NoGpu(f"{framework} {version} sees no GPU: it is {build}" + (f" ({first_line})" if first_line else ""), cuda)
