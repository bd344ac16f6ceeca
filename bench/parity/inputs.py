"""What twins are compared on: the same weights, batches, rows and order for both."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.backends.base import Arrays, Floats, MaskSource
from bench.cases.model import Model
from bench.data.dataset import Features, MultiHot, Rows, take
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


@dataclass(frozen=True)
class Probe:
    """The inputs of a proof.

    Weights, a full and a partial batch for gradients, the training steps, an epoch's rows and order, rows to evaluate.
    """

    weights: Arrays
    gradients: tuple[Batch, ...]
    steps: tuple[Batch, ...]
    epoch_x: Features
    epoch_y: Floats
    epoch_order: Rows
    masks: MaskSource | None
    evaluation: Features


def small(model: Model) -> Model:
    """Return the model with the batch size of a proof."""
    return replace(model, batch_size=BATCH)


def probe(experiment: Experiment, *, short: bool) -> Probe:
    """Return the inputs of a proof of a model (from `small`): training rows in the order of the first epoch.

    The first batch, and what is evaluated, starts with a row of padding alone (a row of zeros, for multi-hot data)
    and a row without padding. A mean over no valid step is 0/0 in every backend, so a masked model with average
    pooling gets no all-padding row.
    """
    model, train = experiment.model, experiment.dataset.train
    steps = SHORT_STEPS if short else STEPS
    long = model.width is not None or (bool(model.recurrent) and (model.length or 0) > 100)
    evaluated = FEW_ROWS if short or long else EVALUATION_ROWS
    rows = np.resize(experiment.order(1), max(steps * BATCH, evaluated, 3 * BATCH))
    averages = any(isinstance(built.layer, GlobalAveragePooling1D) for built in model.layers)
    padding = not (model.masked and averages)
    masks = experiment.masks(1)

    def batch(step: int, size: int) -> Batch:
        chosen = rows[step * BATCH : step * BATCH + size]
        x = take(train.x, chosen)
        x = (_special(x, padding) if step == 0 else x)[np.arange(size, dtype=np.intp)]
        return Batch(x, np.asarray(train.y[chosen]), masks(step, size) if masks else None)

    epoch_rows = rows[: 2 * BATCH + PARTIAL]
    return Probe(
        weights=experiment.weights,
        gradients=(batch(0, BATCH), batch(1, PARTIAL)),
        steps=tuple(batch(step, BATCH) for step in range(steps)),
        epoch_x=take(train.x, epoch_rows),
        epoch_y=np.asarray(train.y[epoch_rows]),
        epoch_order=stream("parity", experiment.name).permutation(len(epoch_rows)).astype(np.intp),
        masks=masks,
        evaluation=_special(take(train.x, rows[:evaluated]), padding),
    )


def _special(x: Features, padding: bool) -> Features:
    """Return `x` with an empty first row, if asked for, and a full last row."""
    if isinstance(x, MultiHot):
        first = x.offsets[1]
        return MultiHot(x.ids[first:], np.concatenate(([0], x.offsets[1:] - first)), x.width)
    values = np.array(x)
    fullest = values[np.argmax((values != 0).sum(1))]
    values[-1] = np.resize(fullest[fullest != 0], len(fullest))
    if padding:
        values[0] = 0
    return values
