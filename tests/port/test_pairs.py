"""The pairs are what they say, by weights carried here by hand: clean ones agree, planted ones differ in a number."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.port.pairs.table import CLEAN, KERAS, PLANTED, TORCH, Pair, batch

keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")

pytestmark = [
    # Faults that torch itself warns of, and goes on.
    pytest.mark.filterwarnings("ignore:Using a target size:UserWarning"),
    pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning"),
]
GATES = {"LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2], "SimpleRNN": [0]}
"""Keras's gates in torch's order: i f c o is that of both, z r h becomes r z n."""
STEPS = 6


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"pairs_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module", autouse=True)
def sides(double: None) -> tuple[ModuleType, ModuleType]:
    """Return both files, everything in float64."""
    return module(KERAS), module(TORCH)


# --- weights carried by hand -------------------------------------------------------------------------------------


def keras_layers(model: Any) -> Iterator[Any]:
    """Yield the layers that hold weights themselves, both directions of a bidirectional one."""
    for layer in model.layers:
        match type(layer).__name__:
            case "Sequential" | "Functional":
                yield from keras_layers(layer)
            case "Bidirectional":
                yield from (layer.forward_layer, layer.backward_layer)
            case "TimeDistributed":
                yield layer.layer
            case _ if layer.weights:
                yield layer


def torch_layers(net: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield kind, module and the suffix of its weights for each layer; a recurrent one holds several."""
    for part in net.modules():
        kind = type(part).__name__
        if isinstance(part, torch.nn.RNNBase):
            for depth in range(part.num_layers):
                for direction in ("", "_reverse")[: 1 + part.bidirectional]:
                    yield "recurrent", part, f"_l{depth}{direction}"
        elif kind == "MultiheadAttention":
            yield "attention", part, ""
        elif kind == "NonDynamicallyQuantizableLinear":
            continue
        elif next(part.parameters(recurse=False), None) is not None:
            yield {"Linear": "dense", "Embedding": "embedding", "LayerNorm": "layernorm"}.get(kind, kind[:-2]), part, ""


KINDS = {
    "Dense": "dense", "Embedding": "embedding", "LayerNormalization": "layernorm", "BatchNormalization": "BatchNorm",
    "Conv1D": "Conv", "Conv2D": "Conv", "LSTM": "recurrent", "GRU": "recurrent", "SimpleRNN": "recurrent",
    "MultiHeadAttention": "attention",
}  # fmt: skip


def regated(weight: np.ndarray, kind: str) -> np.ndarray:
    parts = np.split(weight, len(GATES[kind]), axis=-1)
    return np.concatenate([parts[gate] for gate in GATES[kind]], axis=-1)


def weights_of(layer: Any, part: Any, suffix: str) -> Iterator[tuple[str, Any, np.ndarray]]:
    """Yield the name, the torch tensor and Keras's weights in its layout."""
    kind, weights = type(layer).__name__, [np.array(weight) for weight in layer.get_weights()]
    match KINDS[kind]:
        case "dense":
            named = {"weight": weights[0].T, "bias": weights[1] if len(weights) > 1 else None}
        case "Conv":
            moved = np.moveaxis(weights[0], (-1, -2), (0, 1))
            named = {"weight": moved, "bias": weights[1] if len(weights) > 1 else None}
        case "embedding":
            named = {"weight": weights[0]}
        case "layernorm":
            named = dict(zip(("weight", "bias"), weights, strict=True))
        case "BatchNorm":
            named = dict(zip(("weight", "bias", "running_mean", "running_var"), weights, strict=True))
        case "recurrent":
            kernel, recurrent, bias = weights
            biases = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
            named = {"weight_ih": regated(kernel, kind).T, "weight_hh": regated(recurrent, kind).T}
            named |= {"bias_ih": regated(biases[0], kind), "bias_hh": regated(biases[1], kind)}
        case _:
            features = weights[0].shape[0]
            named = {
                "in_proj_weight": np.concatenate([weights[i].reshape(features, -1).T for i in (0, 2, 4)]),
                "in_proj_bias": np.concatenate([weights[i].ravel() for i in (1, 3, 5)]),
                "out_proj.weight": weights[6].reshape(-1, features).T,
                "out_proj.bias": weights[7],
            }
    for name, weight in named.items():
        found = part
        for word in f"{name}{suffix}".split("."):
            found = getattr(found, word)
        if found is not None:
            yield name, found, weight


def matched(model: Any, net: Any) -> Iterator[tuple[str, Any, np.ndarray]]:
    """Yield the weights of layers of one kind in their order on both sides."""
    ours = [(KINDS[type(layer).__name__], layer) for layer in keras_layers(model)]
    for kind in sorted({kind for kind, _ in ours}):
        layers = [layer for found, layer in ours if found == kind]
        parts = [(part, suffix) for found, part, suffix in torch_layers(net) if found == kind]
        for layer, (part, suffix) in zip(layers, parts, strict=True):
            yield from weights_of(layer, part, suffix)


def twins(pair: Pair, sides: tuple[ModuleType, ModuleType]) -> tuple[Any, Any]:
    """Return the Keras model with weights far from 0 and 1, and the port with the same."""
    model, net = getattr(sides[0], pair.keras)(), getattr(sides[1], pair.torch)()
    rng = np.random.default_rng(3)
    drawn = [rng.normal(size=weight.shape) * 0.5 for weight in model.get_weights()]
    model.set_weights(
        [np.abs(new) + 0.5 if "variance" in one.path else new for one, new in zip(model.weights, drawn, strict=True)]
    )
    with torch.no_grad():
        for _, mine, theirs in matched(model, net):
            mine.copy_(torch.as_tensor(theirs))
    return model, net


def inputs(pair: Pair) -> tuple[Any, Any]:
    """Return the batch, floats in float64."""
    return tuple(part.astype("float64") if part.dtype.kind == "f" else part for part in batch(pair))


# --- what each pair shows ----------------------------------------------------------------------------------------


def outputs(pair: Pair, model: Any, net: Any) -> float:
    """Return by how much the outputs of evaluation differ, logits by their probabilities where Keras has those."""
    x, _ = inputs(pair)
    net.eval()
    with torch.no_grad():
        found = net(torch.as_tensor(x)).numpy()
    expected = np.array(model(x, training=False))
    if pair.torch == "MLPLogits":
        found = 1 / (1 + np.exp(-found))
    if pair.torch == "Classifier" and pair.keras == "classifier":
        found = torch.as_tensor(found).softmax(-1).numpy()
    return float(np.abs(found - expected).max())


def training(pair: Pair, model: Any, net: Any, sides: tuple[ModuleType, ModuleType]) -> float:
    """Return by how much losses and weights differ after some steps on the batch, moving variances left out."""
    x, y = inputs(pair)
    getattr(sides[0], pair.compiled)(model)
    model.run_eagerly = True  # a graph of each would take most of the time
    if "embedding-gradient" in pair.later:
        tensorflow, apply = pytest.importorskip("tensorflow"), model.optimizer.apply
        model.optimizer.apply = lambda grads, weights=None: apply(
            list(map(tensorflow.convert_to_tensor, grads)), weights
        )
    step = getattr(sides[1], pair.step)(net)
    step = step[0] if isinstance(step, tuple) else step
    worst = 0.0
    for _ in range(STEPS):
        theirs = model.train_on_batch(x, y)
        mine = torch.as_tensor(step(torch.as_tensor(x), torch.as_tensor(y))).detach()
        worst = max(worst, abs(float(mine) - float(np.ravel(theirs)[0])))
    pairs = [(mine, theirs) for name, mine, theirs in matched(model, net) if name not in ("running_var", "bias_hh")]
    return max(worst, *(float(np.abs(mine.detach().numpy() - theirs).max()) for mine, theirs in pairs))


def spread(pair: Pair, model: Any, net: Any, sides: tuple[ModuleType, ModuleType]) -> float:
    """Return by how much the ratio of both sides' scatter under dropout differs from 1: 4000 draws have 3 %."""
    row = np.tile(inputs(pair)[0][:1], (4000, 1))
    net.train()
    if pair.step:
        getattr(sides[1], pair.step)(net)
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    with torch.no_grad():
        mine = torch.logit(net(torch.as_tensor(row)).clip(1e-12, 1 - 1e-12)).numpy().std()
    theirs = np.array(model(row, training=True)).clip(1e-12, 1 - 1e-12)
    return float(abs(mine / np.log(theirs / (1 - theirs)).std() - 1))


def reading(pair: Pair, sides: tuple[ModuleType, ModuleType]) -> set[str]:
    """Return in what the loader differs from `fit`: the order of its rows, the last batch."""
    _, net = twins(pair, sides)
    arguments = getattr(sides[0], pair.compiled)(twins(pair, sides)[0])
    _, loader = getattr(sides[1], pair.step)(net)
    rows = loader.dataset.tensors[0]
    read = torch.cat([x for x, _ in loader])
    in_order = torch.equal(read, rows[: len(read)])
    found = {"data-order"} if in_order == arguments.get("shuffle", True) else set()
    return found | ({"last-partial-batch"} if len(read) < len(rows) else set())


def difference(pair: Pair, sides: tuple[ModuleType, ModuleType]) -> float:
    """Return the largest difference that the pair has to show, of one kind for all."""
    if pair.step.startswith("loader"):
        return float(len(reading(pair, sides)))
    model, net = twins(pair, sides)
    if pair.keras == "dropout_mlp":
        return max(outputs(pair, model, net), spread(pair, model, net, sides))
    return max(outputs(pair, model, net), training(pair, model, net, sides) if pair.recipes else 0.0)


LIMIT = {"dropout_mlp": 0.1}
"""Above rounding in float64; `clip_grad_norm_` adds 1e-6 to a norm. Scatter of dropout is known to a few percent."""


@pytest.mark.parametrize("pair", CLEAN, ids=lambda pair: pair.name)
def test_a_clean_pair_agrees(pair: Pair, sides: tuple[ModuleType, ModuleType]) -> None:
    assert difference(pair, sides) < LIMIT.get(pair.keras, 1e-6)
    assert not pair.planted_lines()


STATIC = ("frozen-weights", "padding-idx")


@pytest.mark.parametrize("pair", PLANTED, ids=lambda pair: f"{pair.cause}-{pair.name}")
def test_a_planted_pair_differs(pair: Pair, sides: tuple[ModuleType, ModuleType]) -> None:
    assert pair.planted_lines()
    if pair.cause in STATIC:  # which gradients there are
        model, net = twins(pair, sides)
        assert outputs(pair, model, net) < 1e-9
        net(torch.as_tensor(inputs(pair)[0])).sum().backward()
        part = net.fc1 if pair.torch == "MLPFrozen" else net.embedding
        assert part.weight.grad is None or not part.weight.grad[0].any()
        assert len(model.trainable_weights) == len(model.weights)
    else:
        assert difference(pair, sides) > LIMIT.get(pair.keras, 1e-6)


def test_names_of_pairs_are_unique() -> None:
    names = [(pair.keras, pair.name) for pair in (*CLEAN, *PLANTED)]
    assert len(names) == len(set(names))
