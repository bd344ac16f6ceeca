"""How long cells take: a rough guess of one that never ran, and the time left of a run."""

from __future__ import annotations

import math

from bench.backends.registry import BackendInfo
from bench.cases.cell import Measure, Profile
from bench.cases.model import Model
from bench.spec import (
    Arrays,
    Bidirectional,
    Case,
    Embedded,
    EmbeddedFeatures,
    Imdb,
    LabelledCsv,
    RandomRows,
    ReviewTexts,
    SimpleRNN,
    TextCsv,
)

PASSES_SECONDS = 12.0
"""What the timing passes of a cell take: they stop by the clock (`bench.measure.steps`)."""
GLANCE_SECONDS = 1.0


def rough_seconds(info: BackendInfo, case: Case, model: Model, *, shared: bool) -> float:
    """Return a guess of a cell's seconds on two CPU cores, good to a factor of about three.

    Process start, tracing and compiling are in `BackendInfo.start`. A recurrent layer costs 1.6 (SimpleRNN) or 4.5
    microseconds (LSTM, GRU) per row and time step at 100 units and 32 features, seen on two cores at batch 32,
    times `BackendInfo.slow_loop`; a training step also touches every trainable weight (5 ns each).
    Where the document prints its epochs, as many are assumed, else at most 20. Evaluation costs a third of training.
    """
    alone, after_others = info.start
    start = after_others if shared else alone
    rows, evaluated = _rows(case)
    per_row = 2e-6
    for built in model.layers:
        inner = built.layer.layer if isinstance(built.layer, Bidirectional) else built.layer
        if inner in model.recurrent:
            steps, features = built.input_shape
            one_way = steps * (1.6e-6 if isinstance(inner, SimpleRNN) else 4.5e-6)
            share = max(0.2, inner.units * (inner.units + features) / (100 * 132))
            per_row += info.slow_loop * one_way * share * (2 if isinstance(built.layer, Bidirectional) else 1)
    trainable = sum(weight.size for weight in model.weights if weight.trainable)
    per_step = 1e-3 + 5e-9 * trainable
    epochs = len(case.documented.epochs) or min(case.training.epochs, 20)
    steps_per_epoch = math.ceil(rows / case.training.batch_size)
    return start + epochs * (rows * per_row + steps_per_epoch * per_step + evaluated * per_row / 3)


def shares_processes(profile: Profile, measure: Measure) -> bool:
    """Return whether one process takes several cells: quick cells cost less than a process each.

    Never where times are to be compared: such a cell is timed in a process of its own.
    """
    return profile == "quick" and measure in ("accuracy", "glance")


def _rows(case: Case) -> tuple[int, int]:
    """Return roughly how many rows are trained on and evaluated in an epoch."""
    data = case.data
    if isinstance(case.training.validation, RandomRows):
        return case.training.validation.train, case.training.validation.validation
    match data:
        case Imdb():
            train = data.train or 25_000
        case ReviewTexts():
            train = 25_000
        case LabelledCsv():
            train = 45_000
        case TextCsv() | Arrays():
            train = 10_000  # what a file holds is not read before it is trained on
        case Embedded() | EmbeddedFeatures():
            train = data.train
    return train, train // 5
