"""Both backends against every layer written in NumPy, and against the frameworks' own layers on shared weights."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from bench.backends.registry import backend
from bench.data.dataset import Examples
from bench.spec import (
    GRU,
    LSTM,
    ActivationLayer,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Case,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Layer,
    LayerNormalization,
    MaxPooling1D,
    SimpleRNN,
    SpatialDropout1D,
)
from bench.training.experiment import mask_source
from tests.conftest import ROOT
from tests.networks import LENGTH, WORDS, case, case_of_features, feature_rows, model_of, rows, weights_of
from tests.oracle import LayerOracle, Oracle, RecurrentOracle

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
    "strides": (
        PLAIN,
        Conv1D(4, 4, "gelu", strides=2, padding="same"),
        Conv1D(4, 2, "softmax", strides=2),
        GlobalMaxPooling1D(),
    ),
    "pooling": (PLAIN, MaxPooling1D(3, 2), AveragePooling1D(2, 1), MaxPooling1D(), Flatten()),
    "pooling-same": (
        PLAIN,
        MaxPooling1D(4, 2, "same"),
        Conv1D(4, 2, "tanh", padding="same"),
        AveragePooling1D(4, 2, "same"),
        AveragePooling1D(2, padding="same"),
        Flatten(),
    ),
    "normalized": (
        PLAIN,
        SpatialDropout1D(0.3),
        BatchNormalization(),
        ActivationLayer("softmax"),
        LayerNormalization(),
        Flatten(),
        BatchNormalization(momentum=0.5, epsilon=0.01),
        Dense(4, "gelu"),
    ),
    "masked-normalized": (
        MASKED,
        SpatialDropout1D(0.3),
        LayerNormalization(0.01),
        BatchNormalization(),
        LSTM(4, return_sequences=True),
        BatchNormalization(),
        MaxPooling1D(),
        BatchNormalization(),
        GlobalMaxPooling1D(),
    ),
}
SHAPES = {"features": (5,), "features-lstm": (LENGTH, 5), "features-convolution": (LENGTH, 5)}
"""The shapes of rows of the stacks that take numbers."""
STACKS |= {
    "features": (Dense(6, "relu"), Dropout(0.3), Dense(5, "tanh", use_bias=False)),
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
    "strides",
    "pooling-same",
    "normalized",
    "masked-normalized",
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
    evaluated, _ = Oracle(model).run(weights, x, None, training=False)
    np.testing.assert_allclose(network.logits(x), evaluated, rtol=0, atol=1e-12)
    masks = source(0, len(x)) if source else None
    _, layers = Oracle(model).run(weights, x, masks, training=True)
    network.train_step(x, y, masks)
    pairs = zip(model.weights, network.get_weights(), strict=True)
    moving = [found for spec, found in pairs if spec.momentum is not None]
    expected = [moved for layer in layers for moved in getattr(layer, "moved", ())]
    for wanted, found in zip(expected, moving, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keras-jax", "keras-torch", "tf-keras"])
def test_kerass_other_engines_and_lines_equal_the_oracle(name: str) -> None:
    """In a process of its own: mean of padded windows, gelu, moments of masked steps and their moving averages."""
    info = backend(name)
    if info.missing():
        pytest.skip(str(info.missing()))
    program = """
import bench.backends.keras.network as backend
from tests.backends.test_oracle import STACKS, compare
from tests.networks import case, model_of
for name in ("strides", "pooling-same", "masked-normalized"):
    model = model_of(case(*STACKS[name]))
    compare(backend.build(model, "generic" if model.recurrent else "none", "cpu", "float64"), name)
"""
    environment = {**os.environ, **dict(info.environment)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr


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


# --- of windows and normalizations --------------------------------------------------------------------------------

WINDOWS: list[Layer] = [
    *(kind(*options) for kind in (MaxPooling1D, AveragePooling1D) for options in ((), (3, 1), (2, 3, "same"))),
    *(
        kind(size, strides, "same")
        for kind in (MaxPooling1D, AveragePooling1D)
        for size in (3, 4)
        for strides in (1, 2)
    ),
    *(Conv1D(3, 4, "linear", strides, padding) for strides in (1, 2, 3) for padding in ("valid", "same")),  # type: ignore[arg-type]
]
NORMALIZED: list[Layer] = [LayerNormalization(0.01), BatchNormalization(0.8, 0.01)]
X = np.random.RandomState(1).randn(3, LENGTH, 5)


def weights_for(layer: Layer) -> list[Any]:
    model = model_of(case(Embedding(WORDS, 5), layer, Flatten()))
    return [np.asarray(w, np.float64) for w in weights_of(model)[1:-2]]


def oracle_of(layer: Layer, weights: list[Any]) -> LayerOracle:
    return LayerOracle(model_of(case(Embedding(WORDS, 5), layer, Flatten())).layers[1], weights, [])


@pytest.mark.parametrize("steps", [LENGTH, 8])
@pytest.mark.parametrize("layer", [*WINDOWS, *NORMALIZED], ids=str)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_oracle_equals_kerass_own_windows_and_normalizations(keras_backend: Any, layer: Any, steps: int) -> None:
    import keras

    options = {name: value for name, value in vars(layer).items() if value is not None}
    theirs = getattr(keras.layers, type(layer).__name__)(**options, dtype="float64")
    weights, x = weights_for(layer), X[:, :steps]
    theirs.build(x.shape)
    theirs.set_weights(weights)
    oracle = oracle_of(layer, weights)
    expected, _ = oracle.forward(x, None)
    np.testing.assert_allclose(np.array(theirs(x, training=True)), expected, rtol=0, atol=1e-12)
    for moved, found in zip(getattr(oracle, "moved", ()), theirs.get_weights()[2:], strict=True):
        np.testing.assert_allclose(found, moved, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_oracle_equals_kerass_own_moments_of_masked_steps(keras_backend: Any) -> None:
    import keras

    layer, valid = BatchNormalization(0.8, 0.01), np.arange(LENGTH) % np.array([[2], [3], [20]]) > 0
    theirs = keras.layers.BatchNormalization(momentum=0.8, epsilon=0.01, dtype="float64")
    weights = weights_for(layer)
    theirs.build(X.shape)
    theirs.set_weights(weights)
    oracle = oracle_of(layer, weights)
    expected, _ = oracle.forward(X, valid)
    np.testing.assert_allclose(np.array(theirs(X, training=True, mask=valid)), expected, rtol=0, atol=1e-12)
    for moved, found in zip(oracle.moved, theirs.get_weights()[2:], strict=True):
        np.testing.assert_allclose(found, moved, rtol=0, atol=1e-12)
    assert np.abs(expected - oracle.forward(X, None)[0]).max() > 0.1


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("strides", [1, 2])
def test_the_oracle_equals_torchs_own_windows_where_torch_has_them(strides: int, padding: int) -> None:
    """Padded alike at both ends: at 9 steps a window of 3 is, whether it moves by 1 or 2."""
    torch = pytest.importorskip("torch")
    x, ends = torch.from_numpy(X).transpose(1, 2), "same" if padding else "valid"
    options = {"stride": strides, "padding": padding}
    theirs = {
        MaxPooling1D(3, strides, ends): torch.nn.MaxPool1d(3, **options),  # type: ignore[arg-type]
        AveragePooling1D(3, strides, ends): torch.nn.AvgPool1d(3, **options, count_include_pad=False),  # type: ignore[arg-type]
    }
    for layer, module in theirs.items():
        expected, _ = oracle_of(layer, []).forward(X, None)
        np.testing.assert_allclose(module(x).transpose(1, 2).numpy(), expected, rtol=0, atol=1e-12)


def test_the_oracle_equals_torchs_own_normalizations_but_for_the_moving_variance() -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X)
    batch, layer = torch.nn.BatchNorm1d(5, 0.01, 0.2).double(), torch.nn.LayerNorm(5, 0.01).double()
    for declared, module, given in ((NORMALIZED[1], batch, x.transpose(1, 2)), (NORMALIZED[0], layer, x)):
        weights = weights_for(declared)
        with torch.no_grad():
            for tensor, value in zip([*module.parameters(), *list(module.buffers())[:2]], weights, strict=True):
                tensor.copy_(torch.from_numpy(value))
        oracle = oracle_of(declared, weights)
        expected, _ = oracle.forward(X, None)
        found = module(given).detach()
        np.testing.assert_allclose((found.transpose(1, 2) if module is batch else found).numpy(), expected, atol=1e-12)
        if module is batch:
            mean, variance = oracle.moved
            np.testing.assert_allclose(batch.running_mean.numpy(), mean, atol=1e-12)
            number = X.shape[0] * X.shape[1]
            unbiased = variance + 0.2 * oracle.normal.variance.ravel() / (number - 1)
            np.testing.assert_allclose(batch.running_var.numpy(), unbiased, atol=1e-12)
