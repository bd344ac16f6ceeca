"""The protocol that every backend is driven through: epochs, stopping, best weights, scores.

It is Keras's `fit` (keras/src/trainers, keras/src/callbacks/early_stopping.py) taken out of Keras: `validation_split`
takes the last rows before any shuffling, the training rows are reshuffled each epoch, the last partial batch is kept,
`EarlyStopping` leaves the last weights.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.backends.base import Arrays, Network, hits
from bench.cases.cell import Measure
from bench.data.dataset import Examples, Labels, Rows, take
from bench.errors import TrainingDiverged, UsageError
from bench.records.record import EpochScore, Metrics, Score, Weights
from bench.spec import Monitor
from bench.training.experiment import Experiment

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


def scores(logits: NDArray[np.float32], y: Labels) -> Score:
    """Return mean cross-entropy and accuracy of logits, (n,) or (n, classes), against labels (n,)."""
    z = logits.astype(np.float64)
    if z.ndim == 1:
        losses = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
    else:
        losses = np.logaddexp.reduce(z, axis=1) - z[np.arange(len(y)), y.astype(np.intp)]
    return Score(loss=float(np.mean(losses)), accuracy=float(np.mean(hits(z, y))), rows=len(y))


class _Best:
    """The best epoch so far (from 1, 0: none yet), as Keras's callbacks judge it: the first of equal ones."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._value: float | None = None
        self.epoch = 0

    def improved(self, number: int, epoch: EpochScore) -> bool:
        """Return whether an epoch is better than all before it."""
        value = epoch.val_loss if self._monitor == "val_loss" else epoch.val_accuracy
        if value is None:
            raise UsageError(f"{self._monitor} is monitored but there is no validation set; give the case one")
        better = self._value is None or (value < self._value if self._monitor == "val_loss" else value > self._value)
        if better:
            self._value, self.epoch = value, number
        return better


class Trainer:
    """Trains a network (weights already loaded) as its case documents it, and scores it.

    With `measure="timing"` only epochs are timed, few of them where `brief`, and nothing is evaluated.
    """

    def __init__(
        self, network: Network, experiment: Experiment, measure: Measure = "accuracy", *, brief: bool = False
    ) -> None:
        self._network, self._experiment = network, experiment
        self._only_timing = measure == "timing"
        self._most = experiment.case.training.epochs
        if self._only_timing:
            self._most = 2 if brief else MOST_TIMED_EPOCHS
        self._epochs: list[EpochScore] = []
        self._number = 0

    def train(self, on_epoch: Callable[[Progress], None] = lambda progress: None) -> Metrics:
        """Train and return the scores; raise `TrainingDiverged` at the first loss or weight that is not finite."""
        rules = self._experiment.case.training
        stopping = None if self._only_timing else rules.early_stopping
        stopper = stopping and _Best(stopping.monitor)
        checkpoint = _Best(rules.checkpoint) if rules.checkpoint and not self._only_timing else None
        best: Arrays = []
        for number in range(1, self._most + 1):
            epoch = self._epoch(number)
            self._epochs.append(epoch)
            told = (epoch.loss, epoch.accuracy, epoch.val_loss, epoch.val_accuracy, epoch.seconds)
            on_epoch(Progress(number, self._most, *told))
            if checkpoint and checkpoint.improved(number, epoch):
                best = self._network.get_weights()
            # Keras's EarlyStopping with min_delta 0 and restore_best_weights False.
            if stopping and stopper:
                waited = 0 if stopper.improved(number, epoch) else number - stopper.epoch
                if waited > 0 and waited >= stopping.patience:
                    break
            if self._only_timing and self._timed_enough():
                break
        sha256 = self._sha256()
        last = None if self._only_timing else self._scores(len(self._epochs), sha256)
        if not checkpoint:
            return Metrics(epochs=self._epochs, last=last)
        # Keras's ModelCheckpoint(save_best_only=True), kept in memory.
        self._network.set_weights(best)
        return Metrics(epochs=self._epochs, last=last, best=self._scores(checkpoint.epoch, self._sha256()))

    def _epoch(self, number: int) -> EpochScore:
        """Train an epoch (from 1), time it, and score the validation set."""
        self._number = number
        network, experiment = self._network, self._experiment
        train = experiment.dataset.train
        # Under native `order` the framework does the shuffling.
        shuffles = "order" in experiment.model.differences
        order = experiment.split.rows if shuffles else experiment.order(number)
        masks = experiment.masks(number)
        network.synchronize()
        start = time.perf_counter()
        result = network.train_epoch(train.x, train.y, order, masks)
        network.synchronize()
        seconds = time.perf_counter() - start
        if result.first_bad_step is not None or not np.isfinite(result.loss):
            raise self._diverged("the loss", result.first_bad_step)
        validation = None if self._only_timing else self._validation()
        return EpochScore(
            loss=result.loss,
            accuracy=result.accuracy,
            val_loss=validation.loss if validation else None,
            val_accuracy=validation.accuracy if validation else None,
            seconds=seconds,
            steps=experiment.steps,
        )

    def _diverged(self, what: str, step: int | None = None) -> TrainingDiverged:
        """Return the error for what is not finite in this epoch: after its last step, where none is given."""
        name, step = self._experiment.name, step or self._experiment.steps
        return TrainingDiverged(f"{name}: {what} is not finite in epoch {self._number}, step {step}")

    def _timed_enough(self) -> bool:
        steady = [epoch.seconds for epoch in self._epochs[1:]]
        return len(steady) >= TIMED_EPOCHS and sum(steady) >= TIMED_SECONDS

    def _sha256(self) -> str:
        """Return the sha256 of all weights; raise `TrainingDiverged` where one is not finite.

        A step's loss is that of the weights before it: only the weights show what the last step did.
        """
        found = hashlib.sha256()
        for weights in self._network.get_weights():
            if not np.isfinite(weights).all():
                raise self._diverged("a weight")
            found.update(np.ascontiguousarray(weights, dtype="<f4").data)
        return found.hexdigest()

    def _scores(self, epoch: int, sha256: str) -> Weights:
        """Return the scores of the network as it is, with the weights after `epoch`."""
        experiment, test = self._experiment, self._experiment.dataset.test
        return Weights(
            epoch=epoch,
            train=self._score(experiment.dataset.train, experiment.split.fitted),
            validation=self._validation(),
            test=None if test is None else self._score(test, np.arange(len(test), dtype=np.intp)),
            sha256=sha256,
        )

    def _validation(self) -> Score | None:
        held = self._experiment.split.validation
        return None if held is None else self._score(*held)

    def _score(self, part: Examples, rows: Rows) -> Score:
        whole = len(rows) == len(part)
        logits = self._network.logits(part.x if whole else take(part.x, rows))
        if not np.isfinite(logits).all():
            raise self._diverged("a logit")
        return scores(logits, part.y if whole else part.y[rows])
