"""What twins are compared on: the same weights, batches, rows and order for both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.backends.base import Arrays, MaskSource
from bench.cases.model import Model
from bench.data.dataset import Features, Labels, MultiHot, Rows, take
from bench.data.randomness import stream
from bench.spec import GlobalAveragePooling1D
from bench.training.experiment import Batch, Experiment

BATCH = 16
PARTIAL = 5
STEPS, SHORT_STEPS = 100, 5
EVALUATION_ROWS, FEW_ROWS = 1056, 64
"""More rows than the 1,024 that backends evaluate at once, so that the last evaluation batch is partial; fewer where
rows are long or wide.
"""
WIDE = 5000
"""Numbers of a row above which few rows are evaluated: multi-hot rows have as many."""
LARGE_BIAS = 4.0
"""Beyond 2.5 and 3, where the hard sigmoids of Keras 2 and 3 are clipped: initial weights never take a gate there."""
LARGE = 10.0
"""What numbers are multiplied by, 1 added, to saturate what training rows do not."""


@dataclass(frozen=True)
class Probe:
    """The inputs of a proof.

    Initial weights, and the same with large biases; a full and a partial batch for gradients, the training steps, an
    epoch's rows and order, rows to evaluate.
    """

    weights: Arrays
    biased: Arrays
    gradients: tuple[Batch, ...]
    steps: tuple[Batch, ...]
    epoch_x: Features
    epoch_y: Labels
    epoch_order: Rows
    masks: MaskSource | None
    evaluation: Features


def small(model: Model) -> Model:
    """Return the model with the batch size of a proof."""
    return replace(model, batch_size=BATCH)


def probe(experiment: Experiment, *, short: bool) -> Probe:
    """Return the inputs of a proof of a model (from `small`): training rows in the order of the first epoch.

    Whatever the data, both batches for gradients, the first step's batch and what is evaluated start with the rows of
    `_probed`. A mean over no valid step is 0/0 in every backend, so a masked model with average pooling gets no
    all-padding row.
    """
    model, train = experiment.model, experiment.dataset.train
    steps = SHORT_STEPS if short else STEPS
    long = model.input == "multi-hot" or (bool(model.recurrent) and model.input_shape[0] > 100)
    long = long or (model.input == "features" and prod(model.input_shape) > WIDE)
    evaluated = FEW_ROWS if short or long else EVALUATION_ROWS
    rows = np.resize(experiment.order(1), max(steps * BATCH, evaluated, 3 * BATCH))
    averages = any(isinstance(built.layer, GlobalAveragePooling1D) for built in model.layers)
    empty = not (model.masked and averages)
    masks = experiment.masks(1)

    def batch(step: int, size: int) -> Batch:
        chosen = rows[step * BATCH : step * BATCH + size]
        x = take(train.x, chosen)
        x = (_probed(x, empty) if step == 0 or size == PARTIAL else x)[np.arange(size, dtype=np.intp)]
        return Batch(x, np.asarray(train.y[chosen]), masks(step, size) if masks else None)

    weights = experiment.weights
    random = stream("parity", experiment.name, "biases")
    epoch_rows = rows[: 2 * BATCH + PARTIAL]
    return Probe(
        weights=weights,
        biased=[
            (value + random.uniform(-LARGE_BIAS, LARGE_BIAS, value.shape)).astype(np.float32)
            if weight.name.endswith("bias")
            else value
            for value, weight in zip(weights, model.weights, strict=True)
        ],
        gradients=(batch(0, BATCH), batch(1, PARTIAL)),
        steps=tuple(batch(step, BATCH) for step in range(steps)),
        epoch_x=take(train.x, epoch_rows),
        epoch_y=np.asarray(train.y[epoch_rows]),
        epoch_order=stream("parity", experiment.name).permutation(len(epoch_rows)).astype(np.intp),
        masks=masks,
        evaluation=_probed(take(train.x, rows[:evaluated]), empty),
    )


def _probed(x: Features, empty: bool) -> Features:
    """Return `x` with its first rows in the places of what data may hold, and training rows rarely do."""
    if isinstance(x, MultiHot):  # has no padding: the first row becomes all zeros
        first = x.offsets[1]
        return MultiHot(x.ids[first:], np.concatenate(([0], x.offsets[1:] - first)), x.width)
    values = np.array(x)
    return _padded(values, empty) if np.issubdtype(values.dtype, np.integer) else _extreme(values)


def _padded(values: NDArray[Any], empty: bool) -> NDArray[Any]:
    """Return ids with their first rows padded in front, behind, on both sides, in the middle, nowhere and everywhere.

    The last only where `empty` asks for it.
    """
    length = values.shape[1]
    step, edge = np.arange(length), max(1, length // 3)
    front, behind = step >= edge, step < length - edge  # the ids that such padding leaves
    kept = [front, behind, front & behind, ~(front & behind), np.full(length, True)]
    kept = [keep for keep in kept if keep.any()]  # rows of one or two ids have no room for all of them
    if empty:
        kept.append(np.full(length, False))
    filled = np.resize(values[values != 0], (len(kept), length))
    values[: len(kept)] = (filled * kept)[: len(values)]
    return values


def _extreme(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers with their first rows zero, below zero, large, and large with signs that take turns."""
    size, signs = np.abs(values[:4]), np.resize([1.0, -1.0], values.shape[1:])
    large = LARGE * (1 + size)
    values[:4] = np.stack([0 * size[0], -size[1], large[2], large[3] * signs])
    return values
