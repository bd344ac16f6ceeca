"""Weights that are carried over make torch's own layer compute what Keras's does, and come back as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.port import carry
from bench.port.trace import Array, Layer

keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")


pytestmark = pytest.mark.usefixtures("double")


def last(x: Any) -> Any:
    return x.movedim(1, -1)


def first(x: Any) -> Any:
    return x.movedim(-1, 1)


L = keras.layers
KINDS: dict[str, tuple[Callable[[], Any], Callable[[], Any], Callable[[Any, Any], Any], tuple[int, ...]]] = {
    "Dense": (lambda: L.Dense(3), lambda: torch.nn.Linear(5, 3), lambda m, x: m(x), (2, 5)),
    "Conv1D": (lambda: L.Conv1D(3, 4), lambda: torch.nn.Conv1d(5, 3, 4), lambda m, x: last(m(first(x))), (2, 9, 5)),
    "Conv2D": (
        lambda: L.Conv2D(6, (2, 3), groups=2),
        lambda: torch.nn.Conv2d(4, 6, (2, 3), groups=2),
        lambda m, x: last(m(first(x))),
        (2, 7, 8, 4),
    ),
    "DepthwiseConv2D": (
        lambda: L.DepthwiseConv2D(3, depth_multiplier=2),
        lambda: torch.nn.Conv2d(4, 8, 3, groups=4),
        lambda m, x: last(m(first(x))),
        (2, 7, 8, 4),
    ),
    "Conv1DTranspose": (
        lambda: L.Conv1DTranspose(3, 4),
        lambda: torch.nn.ConvTranspose1d(5, 3, 4),
        lambda m, x: last(m(first(x))),
        (2, 9, 5),
    ),
    "LSTM": (
        lambda: L.LSTM(3), lambda: torch.nn.LSTM(5, 3, batch_first=True), lambda m, x: m(x)[0][:, -1], (2, 7, 5)
    ),
    "GRU": (
        lambda: L.GRU(3), lambda: torch.nn.GRU(5, 3, batch_first=True), lambda m, x: m(x)[0][:, -1], (2, 7, 5)
    ),
    "SimpleRNN": (
        lambda: L.SimpleRNN(3), lambda: torch.nn.RNN(5, 3, batch_first=True), lambda m, x: m(x)[0][:, -1], (2, 7, 5)
    ),
    "Bidirectional": (
        lambda: L.Bidirectional(L.LSTM(3)),
        lambda: torch.nn.LSTM(5, 3, batch_first=True, bidirectional=True),
        lambda m, x: torch.cat(tuple(m(x)[1][0]), 1),
        (2, 7, 5),
    ),
    "BatchNormalization": (
        lambda: L.BatchNormalization(),
        lambda: torch.nn.BatchNorm1d(5, eps=1e-3).eval(),
        lambda m, x: m(x),
        (6, 5),
    ),
    "LayerNormalization": (
        lambda: L.LayerNormalization(), lambda: torch.nn.LayerNorm(5, eps=1e-3), lambda m, x: m(x), (6, 5)
    ),
    "MultiHeadAttention": (
        lambda: L.MultiHeadAttention(2, 3),
        lambda: torch.nn.MultiheadAttention(6, 2, batch_first=True),
        lambda m, x: m(x, x, x)[0],
        (2, 7, 6),
    ),
}  # fmt: skip


def described(kind: str, layer: Any, module: Any) -> tuple[Layer, Layer, dict[str, Array]]:
    """Return both sides as their workers do, and Keras's weights by name."""
    both = kind == "Bidirectional"
    variables = {}
    for v in layer.weights:
        parts = v.path.split("/")
        side = next((side for side in ("forward", "backward") if both and f"/{side}_" in v.path), "")
        name = f"{parts[-2]}/{v.name}" if kind == "MultiHeadAttention" else f"{side}/{v.name}".lstrip("/")
        variables[name] = v
    shapes = {name: tuple(v.shape) for name, v in variables.items()}
    own = {**dict(module.named_parameters()), **{k: v for k, v in module.named_buffers() if v.is_floating_point()}}
    ours = Layer("ours", "LSTM" if both else kind, kind, {}, shapes, dict.fromkeys(shapes, True), None)
    theirs = Layer("theirs", kind, type(module).__name__, {}, {k: tuple(v.shape) for k, v in own.items()}, {}, None)
    return ours, theirs, {name: v.numpy() for name, v in variables.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_torchs_layer_computes_what_kerass_does(kind: str) -> None:
    make, makes, run, shape = KINDS[kind]
    layer, module = make(), makes()
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    layer(*([x, x] if kind == "MultiHeadAttention" else [x]))
    for v in layer.weights:
        v.assign(abs(rng.normal(size=v.shape)) + 0.1 if "variance" in v.name else rng.normal(size=v.shape))
    expected = layer(*([x, x] if kind == "MultiHeadAttention" else [x])).numpy()
    ours, theirs, weights = described(kind, layer, module)
    carried = carry.to_torch([ours], [weights], theirs)
    assert {name: value.shape for name, value in carried.items()} == theirs.weights
    assert carry.shapes([ours], theirs) == theirs.weights
    module.load_state_dict({name: torch.as_tensor(np.array(value)) for name, value in carried.items()}, strict=False)
    with torch.no_grad():
        gap = np.abs(run(module, torch.as_tensor(x)).numpy() - expected).max() / np.abs(expected).max()
    # Keras holds the root of the key's size in float32.
    assert gap < (1e-6 if kind == "MultiHeadAttention" else 1e-12)
    (back,) = carry.to_keras([ours], theirs, carried, summed=True)
    assert back.keys() == weights.keys()
    for name, value in weights.items():
        assert np.array_equal(back[name], value), name


def test_the_two_biases_of_torch_are_summed_as_values_and_not_as_gradients() -> None:
    layer, module = L.LSTM(3), torch.nn.LSTM(5, 3, batch_first=True)
    layer(np.zeros((2, 7, 5)))
    ours, theirs, weights = described("LSTM", layer, module)
    carried = carry.to_torch([ours], [weights], theirs)
    carried["bias_hh_l0"] = np.ones(12)
    assert np.array_equal(carry.to_keras([ours], theirs, carried, summed=True)[0]["bias"], weights["bias"] + 1)
    assert np.array_equal(carry.to_keras([ours], theirs, carried, summed=False)[0]["bias"], weights["bias"])


def test_a_weight_that_keras_lacks_does_nothing() -> None:
    ours = Layer("a", "Dense", "Dense", {}, {"kernel": (2, 3)}, {}, None)
    theirs = Layer("b", "Dense", "Linear", {}, {"weight": (3, 2), "bias": (3,)}, {}, None)
    carried = carry.filled(theirs, carry.to_torch([ours], [{"kernel": np.ones((2, 3))}], theirs))
    assert np.array_equal(carried["bias"], np.zeros(3))
