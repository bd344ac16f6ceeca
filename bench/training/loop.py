"""The protocol that every backend is driven through: rows, order, dropout masks, epochs, stopping, best weights.

It is Keras's `fit` (keras/src/trainers, keras/src/callbacks/early_stopping.py) taken out of Keras: `validation_split`
takes the last rows before any shuffling, the training rows are reshuffled each epoch, the last partial batch is kept,
`EarlyStopping` leaves the last weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.backends.base import Arrays, MaskSource, Network
from bench.cases.cell import Measure
from bench.cases.model import Model
from bench.data.dataset import Dataset, Examples, Rows, take
from bench.data.randomness import stream
from bench.errors import TrainingDiverged, UsageError
from bench.records.record import EpochScore, Metrics, Score, Weights
from bench.spec import Case, EarlyStopping, FirstRows, LastFraction, Monitor, RandomRows

TIMED_EPOCHS = 3
TIMED_SECONDS = 2.0
MOST_TIMED_EPOCHS = 30
"""A timing-only cell trains one warm-up epoch, then at least 3 epochs and 2 seconds, at most 30 epochs; a brief one
trains one epoch after it.
"""


@dataclass(frozen=True)
class Progress:
    """What is known after an epoch (counted from 1)."""

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class Trained:
    """Scores of a training, the seconds of each epoch's training part, and the number of batches of an epoch."""

    metrics: Metrics
    epoch_seconds: list[float]
    steps: int


@dataclass(frozen=True)
class Split:
    """Which rows of the train half are trained on, and the validation set (None: none).

    `fitted` are the rows given to `fit`: with a `validation_split` they contain the validation rows, as documents
    evaluate on them.
    """

    rows: Rows
    fitted: Rows
    validation: tuple[Examples, Rows] | None


def split(case: Case, dataset: Dataset, seed: int) -> Split:
    """Return the rows to train and to validate on.

    The choice of random rows depends on the seed alone, so that smaller sets are parts of larger ones.
    """
    available = len(dataset.train)
    everything = np.arange(available, dtype=np.intp)
    match case.training.validation:
        case None:
            part = dataset.validation
            return Split(everything, everything, None if part is None else (part, np.arange(len(part), dtype=np.intp)))
        case LastFraction(fraction=fraction):
            # keras/src/trainers/data_adapters/array_slicing.py: split_at = floor(n * (1 - fraction))
            at = int(np.floor(available * (1.0 - fraction)))
            return Split(everything[:at], everything, (dataset.train, everything[at:]))
        case FirstRows(rows=rows):
            _enough(case, rows + 1, available)
            return Split(everything[rows:], everything[rows:], (dataset.train, everything[:rows]))
        case RandomRows(train=train, validation=validation):
            _enough(case, train + validation, available)
            shuffled = stream("rows", available, seed).permutation(available).astype(np.intp)
            chosen, rest = shuffled[:train], shuffled[train : train + validation]
            return Split(chosen, chosen, (dataset.train, rest) if validation else None)


def _enough(case: Case, wanted: int, available: int) -> None:
    if wanted > available:
        raise UsageError(f"case {case.name!r} needs {wanted} training rows, its data has {available}")


def order(name: str, seed: int, epoch: int, rows: Rows) -> Rows:
    """Return `rows` in the order of one epoch (from 1): the same on every backend."""
    return rows[stream("order", name, seed, epoch).permutation(len(rows))]


def mask_source(model: Model, name: str, seed: int, epoch: int) -> MaskSource | None:
    """Return the dropout masks of one epoch, the same for every backend; None when the model has no dropout."""
    specs = model.masks
    if not specs:
        return None

    def draw(step: int, rows: int) -> Arrays:
        random = stream("dropout", name, seed, epoch, step)
        masks: Arrays = []
        for spec in specs:
            keep = random.randint(0, 2**32, size=(rows, *spec.shape), dtype=np.uint32) >= np.uint32(spec.rate * 2**32)
            masks.append(keep * np.float32(1.0 / (1.0 - spec.rate)))
        return masks

    return draw


def scores(logits: NDArray[np.float32], y: NDArray[np.float32]) -> Score:
    """Return mean binary cross-entropy and accuracy of logits (n,) against labels (n,); a logit above 0 predicts 1."""
    z = logits.astype(np.float64)
    loss = np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))))
    return Score(loss=float(loss), accuracy=float(np.mean((z > 0) == (y > 0.5))), rows=len(y))


class _Stopper:
    """Keras's EarlyStopping with min_delta 0 and restore_best_weights False."""

    def __init__(self, rule: EarlyStopping) -> None:
        self._rule = rule
        self._best: float | None = None
        self._waited = 0

    def stops(self, epoch: EpochScore) -> bool:
        value = _monitored(epoch, self._rule.monitor)
        self._waited += 1
        if self._best is None or _better(value, self._best, self._rule.monitor):
            self._best, self._waited = value, 0
        return self._waited > 0 and self._waited >= self._rule.patience


def _monitored(epoch: EpochScore, monitor: Monitor) -> float:
    value = epoch.val_loss if monitor == "val_loss" else epoch.val_accuracy
    if value is None:
        raise UsageError(f"{monitor} is monitored but there is no validation set; give the case one")
    return value


def _better(value: float, best: float, monitor: Monitor) -> bool:
    return value < best if monitor == "val_loss" else value > best


@dataclass
class _Checkpoint:
    """Keras's ModelCheckpoint(save_best_only=True), kept in memory."""

    monitor: Monitor
    epoch: int = 0
    value: float | None = None
    weights: Arrays = field(default_factory=list)

    def offer(self, number: int, epoch: EpochScore, network: Network) -> None:
        value = _monitored(epoch, self.monitor)
        if self.value is None or _better(value, self.value, self.monitor):
            self.epoch, self.value, self.weights = number, value, network.get_weights()


def train(
    network: Network,
    case: Case,
    model: Model,
    dataset: Dataset,
    name: str,
    seed: int,
    *,
    measure: Measure,
    on_epoch: Callable[[Progress], None],
    brief: bool = False,
) -> Trained:
    """Train `network` (weights already loaded) as the case documents it, and score it.

    With `measure="timing"` only epochs are timed and nothing is evaluated. Raise `TrainingDiverged` at the first loss
    that is not finite.
    """
    rows = split(case, dataset, seed)
    x, y = dataset.train.x, dataset.train.y
    only_timing = measure == "timing"
    stopper = _Stopper(case.training.early_stopping) if case.training.early_stopping and not only_timing else None
    checkpoint = _Checkpoint(case.training.checkpoint) if case.training.checkpoint and not only_timing else None
    epochs: list[EpochScore] = []
    steps = -(-len(rows.rows) // model.batch_size)
    limit = (2 if brief else MOST_TIMED_EPOCHS) if only_timing else case.training.epochs
    for number in range(1, limit + 1):
        # Under native `order` the framework shuffles by itself.
        indices = rows.rows if "order" in model.differences else order(name, seed, number, rows.rows)
        masks = mask_source(model, name, seed, number)
        network.synchronize()
        start = time.perf_counter()
        result = network.train_epoch(x, y, indices, masks)
        network.synchronize()
        seconds = time.perf_counter() - start
        if result.first_bad_step is not None or not np.isfinite(result.loss):
            raise TrainingDiverged(
                f"{name}: the loss is not finite in epoch {number}, step {result.first_bad_step or steps}"
            )
        validation = None if rows.validation is None or only_timing else _score(network, *rows.validation)
        epoch = EpochScore(
            loss=result.loss,
            accuracy=result.accuracy,
            val_loss=validation.loss if validation else None,
            val_accuracy=validation.accuracy if validation else None,
            seconds=seconds,
            steps=steps,
        )
        epochs.append(epoch)
        on_epoch(Progress(number, limit, epoch.loss, epoch.accuracy, epoch.val_loss, epoch.val_accuracy, seconds))
        if checkpoint:
            checkpoint.offer(number, epoch, network)
        if stopper and stopper.stops(epoch):
            break
        if only_timing and _timed_enough([epoch.seconds for epoch in epochs[1:]]):
            break
    last = None if only_timing else _scores_of(network, dataset, rows, len(epochs))
    best = None
    if checkpoint:
        network.set_weights(checkpoint.weights)
        best = _scores_of(network, dataset, rows, checkpoint.epoch)
    return Trained(Metrics(epochs=epochs, last=last, best=best), [epoch.seconds for epoch in epochs], steps)


def _timed_enough(steady: list[float]) -> bool:
    return len(steady) >= TIMED_EPOCHS and sum(steady) >= TIMED_SECONDS


def _score(network: Network, part: Examples, rows: Rows) -> Score:
    if len(rows) == len(part):
        return scores(network.logits(part.x), part.y)
    return scores(network.logits(take(part.x, rows)), part.y[rows])


def _scores_of(network: Network, dataset: Dataset, rows: Split, epoch: int) -> Weights:
    test = dataset.test
    return Weights(
        epoch=epoch,
        train=_score(network, dataset.train, rows.fitted),
        validation=None if rows.validation is None else _score(network, *rows.validation),
        test=None if test is None else _score(network, test, np.arange(len(test), dtype=np.intp)),
    )
