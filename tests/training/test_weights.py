"""Initial weights have the distributions that Keras's initialisers document, and depend on the case and the seed
alone.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from bench.cases.model import resolve
from bench.spec import (
    GRU,
    KERAS_3,
    LSTM,
    BatchNormalization,
    Bidirectional,
    Case,
    Conv1D,
    Dense,
    Embedding,
    GlobalMaxPooling1D,
    Glove,
    Imdb,
    LayerNormalization,
    Suite,
    Training,
)
from bench.training.weights import initial


def model_of(*layers, num_words=1000):
    case = Case("case", Imdb(num_words, maxlen=20), layers, Training("adam", epochs=1))
    return resolve(Suite("suite", "none", "A suite", KERAS_3, (case,)), case, "documented")


RECURRENT = model_of(Embedding(1000, 50), Bidirectional(LSTM(40, return_sequences=True)), GRU(30), Dense(1, "sigmoid"))


def by_name(model, seed=0, name="suite/case", vectors=None):
    names = [f"{layer.name}/{spec.name}" for layer in model.layers for spec in layer.weights]
    return dict(zip(names, initial(model, name, seed, vectors), strict=True))


def test_normalizations_begin_with_ones_and_zeros():
    model = model_of(
        Embedding(1000, 5), BatchNormalization(), GlobalMaxPooling1D(), LayerNormalization(), Dense(1, "sigmoid")
    )
    weights = {name: set(values.tolist()) for name, values in by_name(model).items() if "normalization" in name}
    assert weights == {
        "batch_normalization/gamma": {1}, "batch_normalization/beta": {0},
        "batch_normalization/moving_mean": {0}, "batch_normalization/moving_variance": {1},
        "layer_normalization/gamma": {1}, "layer_normalization/beta": {0},
    }  # fmt: skip


def test_shapes_and_type_are_those_of_the_model():
    for weight, spec in zip(initial(RECURRENT, "suite/case", 0), RECURRENT.weights, strict=True):
        assert weight.shape == spec.shape
        assert weight.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("embedding/embeddings", 0.05),
        ("bidirectional/forward_kernel", sqrt(6 / (50 + 160))),
        ("bidirectional/backward_kernel", sqrt(6 / (50 + 160))),
        ("gru/kernel", sqrt(6 / (80 + 90))),
    ],
)
def test_kernels_are_uniform_up_to_the_limit_of_their_initialiser(name, limit):
    values = by_name(RECURRENT)[name]
    assert np.abs(values).max() <= limit
    assert np.abs(values).max() > 0.99 * limit
    # A uniform distribution has standard deviation limit / sqrt(3); its sample mean one of that / sqrt(n).
    assert values.std() == pytest.approx(limit / sqrt(3), rel=0.05)
    assert abs(values.mean()) < 4 * limit / sqrt(3 * values.size)


def test_a_convolution_counts_its_width_in_both_fans():
    model = model_of(Embedding(1000, 16), Conv1D(32, 7), GlobalMaxPooling1D(), Dense(1, "sigmoid"))
    values = by_name(model)["conv1d/kernel"]
    assert np.abs(values).max() == pytest.approx(sqrt(6 / (7 * 16 + 7 * 32)), rel=0.01)


@pytest.mark.parametrize("name", ["bidirectional/forward_recurrent_kernel", "gru/recurrent_kernel"])
def test_recurrent_kernels_are_orthogonal_as_one_matrix(name):
    values = by_name(RECURRENT)[name].astype(np.float64)
    np.testing.assert_allclose(values @ values.T, np.eye(len(values)), atol=1e-6)
    # Orthogonal gate by gate would be another distribution: a gate's own square is not orthogonal here.
    gate = values[:, : len(values)]
    assert np.abs(gate @ gate.T - np.eye(len(values))).max() > 0.1


def test_biases_are_zero_but_for_the_forget_gate():
    weights = by_name(RECURRENT)
    np.testing.assert_array_equal(weights["gru/bias"], np.zeros((2, 90)))
    np.testing.assert_array_equal(weights["bidirectional/forward_bias"], np.repeat([0, 1, 0, 0], 40))


def test_every_weight_has_a_stream_of_its_own_that_case_and_seed_name():
    weights = by_name(RECURRENT)
    assert not np.array_equal(weights["bidirectional/forward_kernel"], weights["bidirectional/backward_kernel"])
    again, seed, case = by_name(RECURRENT), by_name(RECURRENT, seed=1), by_name(RECURRENT, name="suite/other")
    for name, value in weights.items():
        np.testing.assert_array_equal(value, again[name])
        if "kernel" in name or "embeddings" in name:
            assert not np.array_equal(value, seed[name])
            assert not np.array_equal(value, case[name])


def test_vectors_fill_the_embedding_and_must_fit():
    model = model_of(Embedding(1000, 50, Glove(50), trainable=False), LSTM(4), Dense(1, "sigmoid"))
    vectors = np.random.RandomState(0).standard_normal((1000, 50)).astype(np.float32)
    np.testing.assert_array_equal(by_name(model, vectors=vectors)["embedding/embeddings"], vectors)
    with pytest.raises(ValueError, match=r"vectors of shape \(1000, 50\) are needed, got \(999, 50\)"):
        initial(model, "suite/case", 0, vectors[1:])
