"""An exported suite declares the Keras model: the same layers with as many weights, and what cannot be is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.cases.catalog import sound
from bench.cases.model import resolve
from bench.cases.parameters import parameters
from bench.errors import UsageError
from bench.port.export import suite_text
from tests.port.conftest import Sides

KERAS = """
import keras
from keras import layers as L

def sequential(shape, *layers, dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])

def windows():
    return sequential(
        (40, 6), L.Conv1D(8, 5, strides=2, padding="same"), L.BatchNormalization(momentum=0.9), L.ReLU(),
        L.MaxPooling1D(2), L.SpatialDropout1D(0.1), L.LSTM(7), L.LayerNormalization(), L.Dense(5, "softmax"),
    )

def both_ways():
    return sequential(
        (12,), L.Embedding(30, 4, mask_zero=True), L.Bidirectional(L.GRU(3, return_sequences=True)),
        L.SimpleRNN(3, dropout=0.2), L.Dense(4, "gelu"), L.Dense(1, "sigmoid"), dtype="int64",
    )

def flat():
    return sequential((9,), L.Dense(8), L.Activation("relu"), L.Dropout(0.5), L.Dense(3), L.Activation("softmax"))

def pictures():
    return sequential((8, 8, 3), L.Conv2D(4, 3), L.Flatten(), L.Dense(2, "softmax"))

def images():
    return sequential((8, 8, 3), L.Flatten(), L.Dense(2, "softmax"))

def unbiased():
    return sequential((9, 2), L.Conv1D(8, 3, use_bias=False), L.Flatten(), L.Dense(1, "sigmoid"))

def leaky():
    return sequential((9,), L.Dense(8), L.LeakyReLU(), L.Dense(1, "sigmoid"))

def penalty():
    return sequential((9,), L.Dense(8, kernel_regularizer="l2"), L.Dense(1, "sigmoid"))
"""


def exported(name: str, shape: tuple[int, ...], sides: Sides, folder: Path) -> tuple[str, int]:
    """Return the suite of a Keras model, and how many weights Keras's has."""
    (folder / "k.py").write_text(KERAS)
    side = sides("keras", 1, 300)
    side.load(f"{folder / 'k.py'}:{name}", False)
    whole = name == "both_ways"
    side.prepare([np.zeros(shape, np.int64 if whole else np.float64)])
    layers = side.layers()
    weights = sum(int(np.prod(shape)) for layer in layers for shape in layer.weights.values())
    return suite_text(layers, name, shape, whole), weights


@pytest.mark.parametrize(("name", "shape"), [("windows", (2, 40, 6)), ("both_ways", (2, 12)), ("flat", (2, 9))])
def test_the_exported_case_has_as_many_weights(
    name: str, shape: tuple[int, ...], kept_sides: Sides, tmp_path: Path
) -> None:
    text, weights = exported(name, shape, kept_sides, tmp_path)
    (tmp_path / "suite.py").write_text(text)
    ((suite, case),) = [
        found for found in sound([tmp_path / "suite.py"]).cases() if found[0].name == name.replace("_", "-")
    ]
    assert parameters(resolve(suite, case, "documented")).total == weights


@pytest.mark.parametrize(
    ("name", "shape", "told"),
    [
        ("pictures", (2, 8, 8, 3), "conv2d"),
        ("images", (2, 8, 8, 3), "flatten"),
        ("unbiased", (2, 9, 2), "use_bias"),
        ("leaky", (2, 9), "leaky"),
        ("penalty", (2, 9), "kernel_regularizer"),
    ],
)
def test_what_cannot_be_declared_is_refused_by_name(
    name: str, shape: tuple[int, ...], told: str, kept_sides: Sides, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"--export.*{told}"):
        exported(name, shape, kept_sides, tmp_path)
