"""Small models, their inputs and networks for the tests of backends and parity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bench.cases.model import Model, resolve
from bench.data.dataset import Dataset, Examples
from bench.parity.inputs import Probe, probe, small
from bench.spec import (
    KERAS_2_0,
    Case,
    Dense,
    EmbeddedFeatures,
    Embedding,
    Flatten,
    Imdb,
    KerasEra,
    LastFraction,
    Layer,
    Optimizer,
    Suite,
    Training,
)
from bench.training import weights
from bench.training.experiment import Experiment

WORDS, LENGTH = 40, 9
SIGMOID = Dense(1, "sigmoid")


def case(
    *layers: Layer, optimizer: Optimizer = "adam", multi_hot: bool = False, classes: int = 0, **training: Any
) -> Case:
    return Case(
        "case",
        data=Imdb(num_words=WORDS, maxlen=None if multi_hot else LENGTH, encoding="multi-hot" if multi_hot else "ids"),
        layers=(*layers, Dense(classes, "softmax") if classes else Dense(1, "sigmoid")),
        training=Training(optimizer, epochs=1, validation=LastFraction(0.25), **training),
    )


def case_of_features(shape: tuple[int, ...], *layers: Layer) -> Case:
    """Return a case whose rows are numbers."""
    return replace(case(Embedding(WORDS, 1), Flatten()), data=EmbeddedFeatures(shape), layers=(*layers, SIGMOID))


def feature_rows(*shape: int, number: int = 120) -> Examples:
    """Return rows of numbers, and labels."""
    random = np.random.RandomState(0)
    return Examples(
        random.standard_normal((number, *shape)).astype(np.float32), (random.rand(number) > 0.5).astype(np.float32)
    )


def model_of(declared: Case, era: KerasEra = KERAS_2_0, numerics: str = "documented") -> Model:
    return small(resolve(Suite("suite", "0", "title", era, (declared,)), declared, numerics))


def rows(number: int = 120, seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return front-padded reviews of every length, and labels."""
    random = np.random.RandomState(seed)
    x = random.randint(1, WORDS, (number, LENGTH)).astype(np.int32)
    for row in x:
        row[: random.randint(0, LENGTH)] = 0
    return x, (random.rand(number) > 0.5).astype(np.float32)


def inputs_of(declared: Case, model: Model, given: Examples | None = None) -> Probe:
    return probe(experiment_of(declared, model, given or Examples(*rows())), short=True)


def experiment_of(declared: Case, model: Model, train: Examples) -> Experiment:
    return Experiment(declared, model, Dataset("made", "none", train), "suite/case", seed=0)


def weights_of(model: Model, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """Return initial weights with biases that are not zero, so that their order counts."""
    random = np.random.RandomState(seed)
    return [
        (w + random.uniform(-0.2, 0.2, w.shape)).astype(np.float32) for w in weights.initial(model, "suite/case", seed)
    ]
