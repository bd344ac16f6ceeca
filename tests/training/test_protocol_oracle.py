"""The protocol against Keras 2 itself: rows, epochs and scores of tf_keras's own `fit` with its own callbacks.

Twins share the harness's loop, so parity cannot see a fault in it. Here the other side is not ours: keras2_fit.py
trains with tf_keras, in a process of its own, and the printed trainings of the documents say where Keras stopped them.
Initial weights, the order of every epoch and the shuffling of `RandomRows` are given to both sides.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

import numpy as np
import pytest

from bench.backends.base import Arrays, Network
from bench.cases import catalog
from bench.cases.model import resolve
from bench.data.dataset import Dataset, Examples
from bench.data.randomness import stream
from bench.records.record import EpochScore, Metrics, Weights
from bench.spec import (
    KERAS_2_3,
    SGD,
    Case,
    Dense,
    EarlyStopping,
    Embedded,
    Embedding,
    FirstRows,
    Flatten,
    LastFraction,
    RandomRows,
    Suite,
    TestSet,
    Training,
    Validation,
)
from bench.training.experiment import Experiment
from bench.training.loop import Trainer

Outcome = Mapping[str, Any]

WORDS, LENGTH = 10, 6
TRAIN, VALIDATION, TEST = 61, 17, 19
CLASSES = 3
BODY = (Embedding(WORDS, 4), Flatten())
EXPERIMENT, LOOP, TORCH = "bench.training.experiment", "bench.training.loop", "bench.backends.torch.network"


def examples(classes: int | None) -> Iterator[Examples]:
    """Yield train, validation and test rows that a small network learns and soon overfits."""
    random = np.random.RandomState(1)
    worth = random.standard_normal(WORDS)
    for rows in (TRAIN, VALIDATION, TEST):
        x = random.randint(0, WORDS, (rows, LENGTH)).astype(np.int32)
        noise = random.standard_normal(rows)
        value = worth[x].sum(1) + noise
        yield Examples(x, np.digitize(value, (-1, 1)).astype(np.int32) if classes else (value > 0).astype(np.float32))


DATA = {classes: Dataset("made", "none", *examples(classes)) for classes in (None, CLASSES)}


@dataclass(frozen=True)
class Scenario:
    """A training protocol: which rows are validated on, and what ends the training."""

    validation: Validation | None
    training: Training
    brought: bool = True
    """Whether the data brings validation rows of its own."""
    classes: int | None = None

    @property
    def data(self) -> Dataset:
        """Return the rows of the scenario."""
        data = DATA[self.classes]
        return data if self.brought else replace(data, validation=None)

    def experiment(self, kind: type[Experiment] = Experiment) -> Experiment:
        """Return the harness's experiment of `kind`."""
        declared = Embedded(WORDS, maxlen=LENGTH, validation=VALIDATION if self.brought else 0)
        layers = (*BODY, Dense(self.classes, "softmax") if self.classes else Dense(1, "sigmoid"))
        made = Case("case", declared, layers, replace(self.training, validation=self.validation))
        model = resolve(Suite("suite", "none", "A suite", KERAS_2_3, (made,)), made, "documented")
        return kind(made, model, self.data, "suite/case", seed=0)

    def told(self) -> dict[str, Any]:
        """Return what keras2_fit.py needs to train the same."""
        experiment, training = self.experiment(), self.training
        match self.validation:
            case LastFraction(fraction=fraction):
                validation: list[Any] | None = ["LastFraction", fraction]
            case FirstRows(rows=rows):
                validation = ["FirstRows", rows]
            case RandomRows(train=train, validation=held):
                validation = ["RandomRows", stream("rows", TRAIN, 0).permutation(TRAIN).tolist(), train, held]
            case TestSet():
                validation = ["TestSet"]
            case None:
                validation = None
        # Places among the training rows, not rows: which rows those are is for Keras to find.
        place = {row: number for number, row in enumerate(experiment.split.rows)}
        stopping = training.early_stopping
        parts = [part for part in (self.data.train, self.data.validation, self.data.test) if part]
        return {
            "x": np.concatenate([np.asarray(part.x) for part in parts]).tolist(),
            "y": np.concatenate([part.y for part in parts]).tolist(),
            "classes": self.classes,
            "parts": [TRAIN, VALIDATION if self.brought else 0, TEST],
            "weights": [weight.tolist() for weight in experiment.weights],
            "validation": validation,
            "orders": [[place[row] for row in experiment.order(n)] for n in range(1, training.epochs + 1)],
            "epochs": training.epochs,
            "batch_size": training.batch_size,
            "optimizer": experiment.model.optimizer_name,
            "learning_rate": training.learning_rate,
            "early_stopping": stopping and {"patience": stopping.patience, "monitor": stopping.monitor},
            "checkpoint": training.checkpoint,
        }


ADAM = functools.partial(Training, "adam", epochs=12, batch_size=8, learning_rate=0.1)
RMSPROP = functools.partial(Training, "rmsprop", epochs=12, batch_size=8, learning_rate=0.1)
# 61 rows: 0.3 of them are no whole number, and 8 divides none of the parts that are trained on.
LAST, FIRST, DRAWN = LastFraction(0.3), FirstRows(18), RandomRows(train=33, validation=21)
STOP_LOSS = RMSPROP(early_stopping=EarlyStopping(2), checkpoint="val_loss")
STOP_ACCURACY = ADAM(early_stopping=EarlyStopping(3, "val_accuracy"), checkpoint="val_accuracy")
STOP_ACCURACY_KEEP_LOSS = ADAM(early_stopping=EarlyStopping(1, "val_accuracy"), checkpoint="val_loss")
SCENARIOS = {
    "last fraction: stopped by the loss": Scenario(LAST, STOP_LOSS),
    "last fraction: not stopped, checkpoint by accuracy": Scenario(LAST, ADAM(checkpoint="val_accuracy")),
    "first rows: stopped at once": Scenario(FIRST, ADAM(early_stopping=EarlyStopping(0))),
    "first rows: stopped by the accuracy": Scenario(FIRST, STOP_ACCURACY),
    "random rows: stopped by the loss": Scenario(DRAWN, STOP_LOSS),
    "random rows: stopped by the accuracy, checkpoint by loss": Scenario(DRAWN, STOP_ACCURACY_KEEP_LOSS),
    "rows of the data: stopped by the accuracy": Scenario(None, STOP_ACCURACY),
    "rows of the data: stopped by the accuracy, checkpoint by loss": Scenario(None, STOP_ACCURACY_KEEP_LOSS),
    "random rows: none validated on": Scenario(RandomRows(train=20), ADAM(epochs=3)),
    "none validated on": Scenario(None, RMSPROP(epochs=3), brought=False),
    "test rows: stopped by the loss": Scenario(TestSet(), STOP_LOSS),
    "test rows: stopped by the accuracy": Scenario(TestSet(), STOP_ACCURACY, brought=False),
    "classes, last fraction: stopped by the loss": Scenario(LAST, STOP_LOSS, classes=CLASSES),
    "classes, test rows: stopped by the accuracy, checkpoint by loss": Scenario(
        TestSet(), STOP_ACCURACY_KEEP_LOSS, classes=CLASSES
    ),
    "classes, none validated on: plain SGD": Scenario(
        None, Training(SGD(), epochs=3, batch_size=8, learning_rate=0.5), brought=False, classes=CLASSES
    ),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread: several cost more than they save on 8 rows."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def keras() -> dict[str, Outcome]:
    """Return what tf_keras made of every scenario, all in one process of its own."""
    for needed in ("tensorflow", "tf_keras"):  # found, not imported: the Keras of this process may be the other one
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is missing")
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("keras2_fit.py"))],
        input=json.dumps({name: scenario.told() for name, scenario in SCENARIOS.items()}),
        env=os.environ | {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Outcome] = json.loads(ended.stdout)
    return found


def ours(scenario: Scenario, modules: Mapping[str, ModuleType]) -> Outcome:
    """Return what the harness makes of a scenario with torch."""
    experiment = scenario.experiment(modules[EXPERIMENT].Experiment)
    network: Network = modules[TORCH].build(experiment.model, "none", "cpu")
    experiment.start(network)
    metrics: Metrics = modules[LOOP].Trainer(network, experiment).train()
    split, validated = experiment.split, []
    if split.validation:
        part, rows = split.validation
        before = {id(scenario.data.train): 0, id(scenario.data.test): TRAIN + VALIDATION * scenario.brought}
        validated = (rows + before.get(id(part), TRAIN)).tolist()
    found: dict[str, Any] = {"rows trained on": sorted(split.rows.tolist()), "rows validated on": validated}
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        values = [getattr(epoch, name) for epoch in metrics.epochs]
        found |= {} if None in values else {name: values}
    for weights, scored in (("last", metrics.last), ("best", metrics.best)):
        parts = {"train": scored.train, "validation": scored.validation, "test": scored.test} if scored else {}
        found |= {f"{weights} {part}": [score.loss, score.accuracy] for part, score in parts.items() if score}
    return found | ({"best epoch": metrics.best.epoch} if metrics.best else {})


def gaps(theirs: Outcome, mine: Outcome) -> list[str]:
    """Return the names of the rows, epochs and scores that differ by more than the rounding of float32."""

    def close(name: str) -> bool:
        if name not in theirs or name not in mine:
            return False
        first, second = np.asarray(theirs[name], float), np.asarray(mine[name], float)
        return first.shape == second.shape and np.allclose(first, second, rtol=1e-4, atol=1e-6)

    return [name for name in {**theirs, **mine} if not close(name)]


# --- the harness beside tf_keras -----------------------------------------------------------------------------------


class Fault(NamedTuple):
    """A fault to plant: what it is, and the code of a module that it replaces."""

    what: str
    module: str
    code: str
    instead: str


def load(fault: Fault | None = None) -> dict[str, ModuleType]:
    """Return the modules of the protocol by name, one of them with the fault in it."""
    modules = {name: importlib.import_module(name) for name in (EXPERIMENT, LOOP, TORCH)}
    if fault:
        source = inspect.getsource(modules[fault.module])
        assert source.count(fault.code) == 1, f"{fault.module} has no such line, or several: {fault.code}"
        broken = ModuleType(fault.module)
        exec(compile(source.replace(fault.code, fault.instead), f"<{fault.what}>", "exec"), broken.__dict__)
        modules[fault.module] = broken
    return modules


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_fit_of_keras_2_ends_after_the_same_epochs_on_the_same_rows_with_the_same_scores(
    name: str, keras: dict[str, Outcome]
) -> None:
    assert gaps(keras[name], ours(SCENARIOS[name], load())) == []


SPLIT = "return Split(everything[:at], everything, (part, everything[at:]))"
HELD_FIRST = "return Split(everything[rows:], everything[rows:], (part, everything[:rows]))"
RANDOM = "chosen, rest = shuffled[:train], shuffled[train : train + validation_rows]"
BROUGHT = "validation = None if held is None else (held, np.arange(len(held), dtype=np.intp))"
TESTED = "return Split(everything, everything, (test, np.arange(len(test), dtype=np.intp)))"
BETTER = 'value < self._value if self._monitor == "val_loss" else value > self._value'
VALUE = 'value = epoch.val_loss if self._monitor == "val_loss" else epoch.val_accuracy'
WAITED = "waited = 0 if stopper.improved(number, epoch) else number - stopper.epoch"
ENOUGH = "if waited > 0 and waited >= stopping.patience:"
RESTORED = "self._network.set_weights(best)"
LAST_SCORES = "last = None if self._only_timing else self._scores(len(self._epochs), sha256)"
WAITS_LONGER = Fault("training waits one epoch more, as Keras 2.0.8", LOOP, ENOUGH, "if waited > stopping.patience:")
FAULTS = (
    Fault(
        "validation_split takes the first rows",
        EXPERIMENT,
        SPLIT,
        "return Split(everything[-at:], everything, (part, everything[:-at]))",
    ),
    Fault("validation_split rounds", EXPERIMENT, "int(np.floor(available", "int(np.round(available"),
    Fault(
        "validation_split comes after shuffling",
        EXPERIMENT,
        SPLIT,
        f"everything = np.random.RandomState(0).permutation(available); {SPLIT}",
    ),
    Fault(
        "validation rows are trained on too",
        EXPERIMENT,
        SPLIT,
        "return Split(everything, everything, (part, everything[at:]))",
    ),
    Fault(
        "train scores leave the validation rows out",
        EXPERIMENT,
        SPLIT,
        "return Split(everything[:at], everything[:at], (part, everything[at:]))",
    ),
    Fault(
        "the last rows are validated on instead of the first",
        EXPERIMENT,
        HELD_FIRST,
        "return Split(everything[:-rows], everything[:-rows], (part, everything[-rows:]))",
    ),
    Fault(
        "the first rows are validated on and trained on",
        EXPERIMENT,
        HELD_FIRST,
        "return Split(everything, everything, (part, everything[:rows]))",
    ),
    Fault(
        "random validation rows are taken before shuffling",
        EXPERIMENT,
        RANDOM,
        "chosen, rest = shuffled[:train], everything[train : train + validation_rows]",
    ),
    Fault(
        "random validation rows are trained on",
        EXPERIMENT,
        RANDOM,
        "chosen, rest = shuffled[:train], shuffled[:validation_rows]",
    ),
    Fault(
        "training rows are validated on in place of the data's own",
        EXPERIMENT,
        BROUGHT,
        "validation = None if held is None else (part, np.arange(len(held), dtype=np.intp))",
    ),
    WAITS_LONGER,
    Fault("training waits one epoch less", LOOP, ENOUGH, "if waited > 0 and waited >= stopping.patience - 1:"),
    Fault(
        "epochs without improvement count that are not in a row",
        LOOP,
        WAITED,
        "waited = self._waited = getattr(self, '_waited', 0) + (not stopper.improved(number, epoch))",
    ),
    Fault(
        "every epoch is compared with the one before",
        LOOP,
        "if better:",
        "self._value = value\n        if better:",
    ),
    Fault("a higher loss is better", LOOP, BETTER, "value > self._value"),
    Fault("a lower accuracy is better", LOOP, BETTER, "value < self._value"),
    Fault(
        "an equal accuracy is better",
        LOOP,
        BETTER,
        BETTER.replace("else value > self._value", "else value >= self._value"),
    ),
    Fault("the loss of training decides", LOOP, VALUE, VALUE.replace("epoch.val_loss if", "epoch.loss if")),
    Fault("the accuracy of training decides", LOOP, VALUE, VALUE.replace("epoch.val_accuracy", "epoch.accuracy")),
    Fault("early stopping always watches the loss", LOOP, "_Best(stopping.monitor)", "_Best('val_loss')"),
    Fault("a checkpoint always watches the loss", LOOP, "_Best(rules.checkpoint)", "_Best('val_loss')"),
    Fault("the best weights are not restored", LOOP, RESTORED, "pass"),
    Fault(
        "early stopping restores the best weights",
        LOOP,
        LAST_SCORES,
        f"self._network.set_weights(best or self._network.get_weights())\n        {LAST_SCORES}",
    ),
    Fault("the best epoch counts from 0", LOOP, "self._scores(checkpoint.epoch,", "self._scores(checkpoint.epoch - 1,"),
    Fault("one epoch is missing", LOOP, "range(1, self._most + 1)", "range(1, self._most)"),
    Fault("logits are compared with 0.5", LOOP, "hits(z, y)", "hits(z - 0.5, y)"),
    Fault("the least likely class is predicted", LOOP, "hits(z, y)", "hits(z if z.ndim == 1 else -z, y)"),
    Fault("the loss of classes is that of the likeliest", LOOP, "z[np.arange(len(y)), y.astype(np.intp)]", "z.max(1)"),
    Fault(
        "training rows are validated on in place of the test set's",
        EXPERIMENT,
        TESTED,
        TESTED.replace("(test,", "(part,"),
    ),
    Fault("the last test row is not validated on", EXPERIMENT, "arange(len(test)", "arange(len(test) - 1"),
    Fault(
        "the training accuracy of classes is that of the least likely",
        TORCH,
        "logits.argmax(1) ==",
        "logits.argmin(1) ==",
    ),
    Fault(
        "the best weights are not a copy",
        TORCH,
        'return np.array(value.detach().cpu().numpy(), order="C")',
        "return value.detach().numpy()",
    ),
    Fault(
        "the loss of an epoch is the mean of its batches", TORCH, "np.average(values, weights=sizes)", "np.mean(values)"
    ),
    Fault(
        "the loss of a batch is that after its step",
        TORCH,
        "return loss.detach(), logits.detach()",
        "return self._loss(self._forward(x, masks), y).detach(), logits.detach()",
    ),
    Fault(
        "the last partial batch is left out",
        TORCH,
        "for start in range(0, len(order), self._model.batch_size):",
        "for start in range(0, len(order) - self._model.batch_size + 1, self._model.batch_size):",
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_fault_in_the_protocol_shows_beside_keras_2(fault: Fault, keras: dict[str, Outcome]) -> None:
    broken = load(fault)
    assert any(gaps(keras[name], ours(scenario, broken)) for name, scenario in SCENARIOS.items())


# --- the harness beside the documents' printed trainings -----------------------------------------------------------

PRINTED = {
    f"{suite.name}/{made.name}": (suite, made)
    for suite, made in catalog.load().cases()
    if made.training.early_stopping and made.documented.epochs
}


class Weightless:
    """A network that is never trained."""

    def get_weights(self) -> Arrays:
        return []


def epochs(name: str, kind: type[Trainer]) -> int:
    """Return after how many epochs a trainer of `kind` ends, given the printed scores, the last line again and again.

    Whether its validation loss is the best is known from the lines before: no further epoch is.
    """
    suite, made = PRINTED[name]
    lines = made.documented.epochs

    class Printed(kind):  # type: ignore[misc,valid-type]
        def _epoch(self, number: int) -> EpochScore:
            line = lines[min(number, len(lines)) - 1]
            scores = {key: getattr(line, key) for key in ("loss", "accuracy", "val_loss", "val_accuracy")}
            return EpochScore(**scores, seconds=0.0, steps=1)

        def _scores(self, epoch: int, sha256: str) -> Weights:
            return Weights(epoch=epoch)

    experiment = Experiment(made, resolve(suite, made, "documented"), DATA[None], name, seed=0)
    metrics: Metrics = Printed(cast(Network, Weightless()), experiment).train()
    return len(metrics.epochs)


@pytest.mark.parametrize("name", PRINTED)
def test_printed_trainings_end_where_the_harness_ends_them(name: str) -> None:
    printed = len(PRINTED[name][1].documented.epochs)
    assert epochs(name, Trainer) == printed
    # The documents ran Keras 2.0.9 or later: 2.0.8 would have printed another epoch (keras-team/keras#8100).
    assert epochs(name, load(WAITS_LONGER)[LOOP].Trainer) == printed + 1
