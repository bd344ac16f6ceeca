"""Keras's weights in torch's layout, and back: arrays in, arrays out, no framework.

Layouts were read from Keras 3.15 (`keras/src/layers/`) and torch 2.13 (`torch/nn/modules/`): gates are i f c o in both
of an LSTM; z r h in Keras's GRU, r z n in torch's. A torch RNN has two biases, whose sum Keras's single one is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.port.layout import CONVOLUTIONS
from bench.port.trace import Array, Layer

GATES = {"LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2), "SimpleRNN": (0,)}
"""Where torch's gates stand among Keras's."""
DEPTHWISE = {"DepthwiseConv1D": "Conv1D", "DepthwiseConv2D": "Conv2D"}
NAMES = {
    "BatchNormalization": {
        "gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var",
    },
    "LayerNormalization": {"gamma": "weight", "beta": "bias"},
    "GroupNormalization": {"gamma": "weight", "beta": "bias"},
    "Embedding": {"embeddings": "weight"},
}  # fmt: skip
"""Weights that have another name alone."""
Weights = Mapping[str, Array]


def to_torch(keras: Sequence[Layer], weights: Sequence[Weights], torch: Layer) -> dict[str, Array]:
    """Return what a torch layer gets from the Keras layers that it stands for, by name.

    Raises `KeyError` where a layer has weights that its kind does not have.
    """
    kind = keras[0].kind
    if kind in GATES:
        found: dict[str, Array] = {}
        for at, (layer, own) in enumerate(zip(keras, weights, strict=True)):
            both = layer.cls == "Bidirectional"
            for direction, suffix in (("forward/", ""), ("backward/", "_reverse")) if both else (("", ""),):
                part = {key.removeprefix(direction): value for key, value in own.items() if key.startswith(direction)}
                found |= _recurrent(kind, part, f"_l{at}{suffix}")
        return found
    (own,) = weights
    if kind in NAMES:
        return {NAMES[kind][key]: value for key, value in own.items()}
    if kind == "MultiHeadAttention":
        return _attention(own, torch)
    kernel = own["kernel"]
    rest = {key: value for key, value in own.items() if key != "kernel"}
    steps = range(kernel.ndim - 2)
    if kind == "Dense":
        kernel = kernel.T
    elif kind in CONVOLUTIONS:
        kernel = kernel.transpose(-1, -2, *steps)
    elif kind in DEPTHWISE:
        kernel = kernel.transpose(-2, -1, *steps).reshape(-1, 1, *kernel.shape[:-2])
    else:
        raise KeyError(kind)
    return {"weight": kernel, **rest}


def _recurrent(kind: str, own: Weights, suffix: str) -> dict[str, Array]:
    def ordered(value: Array) -> Array:
        """Return rows of gates in torch's order."""
        parts = np.split(value, len(GATES[kind]))
        return np.concatenate([parts[gate] for gate in GATES[kind]])

    kernels = {"weight_ih": "kernel", "weight_hh": "recurrent_kernel"}
    found = {f"{name}{suffix}": ordered(own[key].T) for name, key in kernels.items()}
    if "bias" in own:
        two = own["bias"] if own["bias"].ndim == 2 else (own["bias"], 0 * own["bias"])
        found |= {f"bias_ih{suffix}": ordered(two[0]), f"bias_hh{suffix}": ordered(two[1])}
    return found


def _attention(own: Weights, torch: Layer) -> dict[str, Array]:
    names, out = ("query", "key", "value"), own["attention_output/kernel"]
    flat = [own[f"{name}/kernel"].reshape(len(own[f"{name}/kernel"]), -1).T for name in names]
    found = {"out_proj.weight": out.reshape(-1, out.shape[-1]).T}
    if "in_proj_weight" in torch.weights:
        found["in_proj_weight"] = np.concatenate(flat)
    else:
        found |= {f"{name[0]}_proj_weight": value for name, value in zip(names, flat, strict=True)}
    if "query/bias" in own:
        found["in_proj_bias"] = np.concatenate([own[f"{name}/bias"].ravel() for name in names])
        found["out_proj.bias"] = own["attention_output/bias"]
    return found


def shapes(keras: Sequence[Layer], torch: Layer) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes that a torch layer would get its weights in, None where its kind cannot."""
    empty = [{key: np.broadcast_to(0.0, shape) for key, shape in layer.weights.items()} for layer in keras]
    try:
        return {key: value.shape for key, value in to_torch(keras, empty, torch).items()}
    except (KeyError, ValueError):
        return None


def filled(torch: Layer, carried: Weights) -> dict[str, Array]:
    """Return carried weights, and what does nothing in place of a weight that Keras's layer has not."""
    ones = ("weight", "running_var")
    lacking = {key: shape for key, shape in torch.weights.items() if key not in carried}
    neutral = {key: np.ones(shape) if key in ones else np.zeros(shape) for key, shape in lacking.items()}
    return {key: value for key, value in {**carried, **neutral}.items() if key in torch.weights}


def to_keras(keras: Sequence[Layer], torch: Layer, found: Weights, *, summed: bool) -> list[dict[str, Array]]:
    """Return a torch layer's arrays (weights or gradients) in the layout of each of its Keras layers.

    `summed`: a bias that Keras holds once is the sum of torch's two, as values are; else it is the first of them, as
    the gradient of each is that of their sum. A weight that is missing in `found` is missing in the answer.
    """
    # Where each value of Keras's goes is told by carrying numbers of places, so the way back is not written again.
    places, start = [], 1
    for layer in keras:
        own = {}
        for key, shape in layer.weights.items():
            size = int(np.prod(shape))
            own[key] = np.arange(start, start + size).reshape(shape)
            start += size
        places.append(own)
    flat = np.full(start, np.nan)
    carried = to_torch(keras, places, torch)
    for key, at in carried.items():
        value = found.get(key)
        if value is None or not at.any():
            continue
        second = key.replace("bias_ih", "bias_hh")
        if summed and key.startswith("bias_ih") and second in found and not carried[second].any():
            value = value + found[second]
        flat[at] = value
    answer = [{key: flat[at] for key, at in own.items()} for own in places]
    return [{key: value for key, value in own.items() if not np.isnan(value).all()} for own in answer]
