"""Both backends against every layer written in NumPy, and against the frameworks' own layers on shared weights."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from bench.data.dataset import Examples
from bench.spec import (
    GRU,
    LSTM,
    Bidirectional,
    Case,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    SimpleRNN,
)
from bench.training.experiment import mask_source
from tests.networks import LENGTH, WORDS, case, case_of_features, feature_rows, model_of, rows, weights_of
from tests.oracle import Oracle, RecurrentOracle

PLAIN, MASKED = Embedding(WORDS, 5), Embedding(WORDS, 5, mask_zero=True)

STACKS = {
    "flatten": (PLAIN, Flatten(), Dense(6, "relu")),
    "frozen": (Embedding(WORDS, 5, trainable=False), Flatten(), Dense(6, "sigmoid")),
    "average": (PLAIN, GlobalAveragePooling1D()),
    "masked-average": (MASKED, GlobalAveragePooling1D()),
    "convolution": (PLAIN, Conv1D(4, 3, "relu"), GlobalMaxPooling1D()),
    "rnn": (PLAIN, SimpleRNN(6, return_sequences=True), SimpleRNN(4), Dense(3, "tanh")),
    "rnn-dropout": (MASKED, SimpleRNN(6, dropout=0.3, recurrent_dropout=0.2)),
    "lstm": (PLAIN, LSTM(6, recurrent_activation="sigmoid")),
    "lstm-keras2": (PLAIN, LSTM(6)),
    "lstm-keras3-hard": (PLAIN, LSTM(6, recurrent_activation="hard_sigmoid")),
    "lstm-inputs": (PLAIN, LSTM(6, dropout=0.4)),
    "gru-before": (PLAIN, GRU(6, reset_after=False)),
    "gru-after": (
        PLAIN,
        GRU(6, recurrent_activation="sigmoid", return_sequences=True),
        GRU(4, recurrent_activation="sigmoid"),
    ),
    "gru-dropout": (MASKED, GRU(6, dropout=0.3, recurrent_dropout=0.2, reset_after=False)),
    "gru-after-dropout": (MASKED, GRU(6, dropout=0.3, recurrent_dropout=0.2)),
    "bidirectional": (PLAIN, Bidirectional(SimpleRNN(6, return_sequences=True)), SimpleRNN(4)),
    "masked-stack": (
        MASKED,
        Dropout(0.2),
        Bidirectional(LSTM(6, return_sequences=True, dropout=0.1, recurrent_dropout=0.2)),
        Bidirectional(GRU(4, dropout=0.2)),
        Dropout(0.2),
    ),
    "masked-sequences": (
        MASKED,
        Bidirectional(LSTM(4, recurrent_activation="sigmoid", return_sequences=True, dropout=0.1)),
        GRU(3, recurrent_activation="sigmoid", return_sequences=True),
        GlobalMaxPooling1D(),
    ),
    "masked-states": (
        MASKED,
        Bidirectional(SimpleRNN(4, return_sequences=True)),
        GlobalMaxPooling1D(),
    ),
    "masked-last": (
        MASKED,
        SimpleRNN(5, return_sequences=True),
        Bidirectional(GRU(4, recurrent_activation="sigmoid", dropout=0.2)),
    ),
    "masked-lstm": (MASKED, LSTM(6, recurrent_activation="sigmoid")),
}
SHAPES = {"features": (5,), "features-lstm": (LENGTH, 5), "features-convolution": (LENGTH, 5)}
"""The shapes of rows of the stacks that take numbers."""
STACKS |= {
    "features": (Dense(6, "relu"), Dropout(0.3)),
    "features-lstm": (Bidirectional(LSTM(4, recurrent_activation="sigmoid", dropout=0.2)),),
    "features-convolution": (Conv1D(4, 3, "relu"), GRU(3, recurrent_activation="sigmoid")),
}
FUSED = (
    "rnn",
    "lstm",
    "gru-after",
    "bidirectional",
    "masked-sequences",
    "masked-states",
    "masked-last",
    "masked-lstm",
    "features-lstm",
    "features-convolution",
)
KERAS_STACKS = (
    *SHAPES,
    "masked-stack",
    "gru-dropout",
    "convolution",
    "lstm-inputs",
    "masked-average",
    "masked-sequences",
)
"""Every layer, both GRUs, every kind of mask, in few graphs: tracing one takes seconds."""


def declared(name: str) -> Case:
    return case_of_features(SHAPES[name], *STACKS[name]) if name in SHAPES else case(*STACKS[name])


def compare(network: Any, name: str) -> None:
    model = model_of(declared(name))
    weights = weights_of(model)
    made = feature_rows(*SHAPES[name], number=12) if name in SHAPES else Examples(*rows(12))
    x, y = np.asarray(made.x), made.y
    if name != "masked-average":  # the mean over no step is 0/0
        x[3] = 0
    source = mask_source(model, "suite/case", 0, 1)
    network.set_weights(weights)
    for masks in (source(0, len(x)), None) if source else (None,):
        logits, loss, gradients = Oracle(model).gradients(weights, x, y, masks)
        found = network.gradients(x, y, masks)
        np.testing.assert_allclose(found.logits, logits, rtol=0, atol=1e-12)
        assert found.loss == pytest.approx(loss, rel=1e-12)
        for expected, got in zip(gradients, found.gradients, strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(network.logits(x), logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "kernel"), [*((name, "generic") for name in STACKS), *((name, "fused") for name in FUSED)]
)
def test_torch_equals_the_oracle(name: str, kernel: str) -> None:
    torch = pytest.importorskip("bench.backends.torch.network", exc_type=ImportError)
    model = model_of(declared(name))
    compare(torch.build(model, kernel if model.recurrent else "none", "cpu", "float64"), name)


@pytest.fixture(scope="module")
def keras_backend() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    pytest.importorskip("tensorflow")
    import bench.backends.keras.network as backend

    return backend


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*does not support masking:UserWarning")
@pytest.mark.parametrize("name", KERAS_STACKS)
def test_keras_equals_the_oracle(keras_backend: Any, name: str) -> None:
    model = model_of(declared(name))
    compare(keras_backend.build(model, "generic" if model.recurrent else "none", "cpu", "float64"), name)


# --- the frameworks' own layers ----------------------------------------------------------------------------------

OWN = [
    SimpleRNN(4, return_sequences=True),
    LSTM(4, return_sequences=True, recurrent_activation="sigmoid"),
    GRU(4, return_sequences=True, recurrent_activation="sigmoid"),
]
IDS = ["rnn", "lstm", "gru"]


def recurrent_weights(layer: Any, features: int = 5) -> list[Any]:
    model = model_of(case(Embedding(WORDS, features), layer, GlobalAveragePooling1D()))
    return [np.asarray(w, np.float64) for w in weights_of(model)[1:4]]


@pytest.mark.parametrize("layer", OWN, ids=IDS)
def test_the_oracle_equals_torchs_own_layer(layer: Any) -> None:
    torch = pytest.importorskip("torch")
    kernel, recurrent, bias = recurrent_weights(layer)
    order = {"LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2), "SimpleRNN": (0,)}[type(layer).__name__]

    def rows_of(array: Any) -> Any:
        parts = np.split(array, len(order), axis=-1)
        return torch.from_numpy(np.concatenate([parts[i] for i in order], -1).T.copy())

    frameworks_layer = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "SimpleRNN": torch.nn.RNN}[type(layer).__name__](
        5, 4, batch_first=True, dtype=torch.float64
    )
    biases = bias if bias.ndim == 2 else np.stack((bias, 0 * bias))
    with torch.no_grad():
        for parameter, value in zip(frameworks_layer.parameters(), (kernel, recurrent, *biases), strict=True):
            parameter.copy_(rows_of(value))
    x = np.random.RandomState(1).randn(3, LENGTH, 5)
    expected, _ = RecurrentOracle(layer, [kernel, recurrent, bias], []).forward(x, None)
    np.testing.assert_allclose(frameworks_layer(torch.from_numpy(x))[0].detach().numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("layer", [*OWN, GRU(4, return_sequences=True, reset_after=False)], ids=[*IDS, "gru-before"])
def test_the_oracle_equals_kerass_own_layer(keras_backend: Any, layer: Any) -> None:
    import keras

    more = {"reset_after": layer.reset_after} if isinstance(layer, GRU) else {}
    kind = getattr(keras.layers, type(layer).__name__)
    frameworks_layer = kind(4, return_sequences=True, dtype="float64", **more)
    x = np.random.RandomState(1).randn(3, 4, 5)
    valid = np.array([[True] * 4, [False, True, False, True], [False] * 4])
    frameworks_layer.build(x.shape)
    found = recurrent_weights(layer)
    frameworks_layer.set_weights(found)
    declared = layer if isinstance(layer, SimpleRNN) else type(layer)(4, True, 0.0, 0.0, "sigmoid", **more)
    expected, _ = RecurrentOracle(declared, found, []).forward(x, valid)
    np.testing.assert_allclose(np.array(frameworks_layer(x, mask=valid)), expected, rtol=0, atol=1e-12)
