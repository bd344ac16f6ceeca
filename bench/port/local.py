"""Why a layer, given Keras's own input, does not give Keras's output: experiments, each of which changes one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.cases.model import edges
from bench.errors import UsageError
from bench.port.causes import Told
from bench.port.match import Pair
from bench.port.trace import Array

NORMALISATIONS = {
    "BatchNormalization": "batchnorm-epsilon",
    "LayerNormalization": "layernorm-epsilon",
    "GroupNormalization": "layernorm-epsilon",
}


@dataclass(frozen=True)
class Lab:
    """A call of a matched layer on Keras's input `given` with its `mask`, and how it is made again.

    `settings` are those of the port's call. `keras(changes, masked, training)` and `torch(changes, inputs, masks)`
    return outputs in Keras's layout, `wanted` is Keras's, `found` the port's, `equal` compares two.
    """

    pair: Pair
    given: Array
    mask: Array | None
    settings: dict[str, Any]
    wanted: Array
    found: Array
    keras: Callable[..., Array]
    torch: Callable[..., Array]
    equal: Callable[[Array, Array], bool]
    training: bool


def causes(lab: Lab) -> list[Told]:
    """Return the causes that explain a layer's difference: one, or all that do so together; nothing if none does."""
    for told, experiment in _experiments(lab):
        try:
            if experiment is None or experiment():
                return [told]
        except UsageError:  # the layer refuses what the experiment gives it
            continue
    return _together(lab)


def _experiments(lab: Lab) -> Iterator[tuple[Told, Callable[[], bool] | None]]:
    """Yield hypotheses, those first that a setting suggests; None for one that its setting proves."""
    keras, torch, kind = lab.pair.first.config, lab.pair.torch.config, lab.pair.first.kind

    def theirs(changes: dict[str, Any], **how: Any) -> Callable[[], bool]:
        return lambda: lab.equal(lab.torch(changes, **how), lab.wanted)

    def keras_as(changes: dict[str, Any], **how: Any) -> Callable[[], bool]:
        return lambda: lab.equal(lab.keras(changes, **how), lab.found)

    for slug, changed, words in _settings(lab):
        yield Told(slug, *words), theirs(changed) if slug in NORMALISATIONS.values() else keras_as(changed)
    yield from _biases(lab)
    if kind == "BatchNormalization" and not lab.training:
        told = Told("mode-eval-forgotten", "moving statistics in evaluation", "statistics of the batch")
        yield told, keras_as({}, training=True)
    if kind == "BatchNormalization" and lab.training and not lab.settings["training"]:
        has = "moving statistics: the module is in evaluation mode"
        yield Told("mode-train-forgotten", "statistics of the batch", has, line=lab.settings["mode"]), None
    if lab.mask is not None or kind == "MultiHeadAttention":
        steps = "" if lab.mask is None else f" {int((~lab.mask).sum())} steps"
        yield Told("mask", f"skips{steps} that are masked", "takes every step"), keras_as({}, masked=False)
    if kind == "MultiHeadAttention":
        yield Told("mask", "no mask", "a mask"), theirs({}, masks="none")
        yield Told("mask", "True attends", "True is left out: the mask is inverted"), theirs({}, masks="inverted")
    if kind == "GRU" and keras.get("reset_after") is False:
        yield Told("gru-reset-after", "reset_after=False", "reset_after=True"), None
    if "padding" in keras and "kernel_size" in torch and "stride" in torch:
        yield from _convolution(lab, theirs)


def _settings(lab: Lab) -> Iterator[tuple[str, dict[str, Any], tuple[str, str, str]]]:
    """Yield settings that differ: cause, the change that makes both sides alike, what each has, the remedy's value.

    Of a normalisation torch's is changed, of a recurrent layer Keras's, whose functions can be.
    """
    keras, torch, kind = lab.pair.first.config, lab.pair.torch.config, lab.pair.first.kind
    if kind in NORMALISATIONS and keras.get("epsilon") != torch.get("eps"):
        epsilon = keras["epsilon"]
        yield NORMALISATIONS[kind], {"eps": epsilon}, (f"epsilon={epsilon:g}", f"eps={torch['eps']:g}", f"{epsilon:g}")
    if kind in ("LSTM", "GRU") and keras.get("recurrent_activation") != "sigmoid":
        gates = str(keras.get("recurrent_activation"))
        yield "gate-function", {"recurrent_activation": "sigmoid"}, (f"{gates} gates", "sigmoid gates", gates)
    if kind in ("LSTM", "GRU", "SimpleRNN"):
        has = str(torch.get("mode", "")).lower().removeprefix("rnn_") if kind == "SimpleRNN" else "tanh"
        wanted = str(keras.get("activation"))
        if wanted != has:
            yield "rnn-activation", {"activation": has}, (f"state by {wanted}", f"state by {has}", wanted)


def _together(lab: Lab) -> list[Told]:
    """Return all settings that differ, where they explain the difference only together."""
    found = [each for each in _settings(lab) if each[0] not in NORMALISATIONS.values()]
    changes = {key: value for _, changed, _ in found for key, value in changed.items()}
    for masked in {True, lab.mask is None}:
        if (found or not masked) and lab.equal(lab.keras(changes, masked=masked), lab.found):
            told = [Told(slug, *words) for slug, _, words in found]
            return told + ([] if masked else [Told("mask", "skips masked steps", "takes every step")])
    return []


def _biases(lab: Lab) -> Iterator[tuple[Told, Callable[[], bool] | None]]:
    """Yield the bias that torch's layer has not: with it, its output is Keras's."""
    layer = lab.pair.first
    if "bias" in layer.weights and not any("bias" in name for name in lab.pair.torch.weights):
        told = Told("bias-missing", "a bias", "no bias", f"{lab.pair.torch.cls}(..., bias=True)")
        gap = lab.wanted - lab.found if lab.wanted.shape == lab.found.shape else None
        # A bias is one number a feature, the same at every place.
        same = gap is not None and np.allclose(gap, gap.reshape(-1, gap.shape[-1])[0], rtol=1e-6, atol=1e-12)
        yield told, (lambda: bool(same)) if layer.kind not in ("LSTM", "GRU", "SimpleRNN") else None


def _convolution(lab: Lab, theirs: Callable[..., Callable[[], bool]]) -> Iterator[tuple[Told, Callable[[], bool]]]:
    """Yield other strides, dilations and paddings of a convolution."""
    keras, torch = lab.pair.first.config, lab.pair.torch.config
    stride, dilation = tuple(keras["strides"]), tuple(keras["dilation_rate"])
    own = tuple(torch["stride"]), tuple(torch["dilation"])
    if (stride, dilation) != own:
        words = f"strides {stride}, dilation {dilation}", f"stride {own[0]}, dilation {own[1]}"
        told = Told("convolution", *words, f"stride={stride}, dilation={dilation}")
        yield told, theirs({"stride": stride, "dilation": dilation})
    pads = _pads(lab.pair, lab.given)
    if pads:
        widths = ", ".join(f"{before} before and {after} after" for before, after in pads.values())
        flat = tuple(width for axis in reversed(pads) for width in pads[axis])
        told = Told(
            "same-padding", f"padding {keras['padding']!r}: {widths}", f"padding {torch['padding']!r}", f"{flat}"
        )
        changed = {"padding": (0,) * len(pads), "stride": stride, "dilation": dilation}
        yield told, theirs(changed, inputs=[padded(lab.pair, lab.given)])


def _pads(pair: Pair, value: Array) -> dict[int, tuple[int, int]]:
    """Return how Keras pads the axes that a convolution goes along; nothing for another layer, and without padding."""
    keras = pair.first.config
    if "kernel_size" not in keras or keras["padding"] not in ("same", "causal"):
        return {}
    pads = {}
    start = 2 if keras.get("data_format") == "channels_first" else 1
    sizes = zip(keras["kernel_size"], keras["strides"], keras["dilation_rate"], strict=True)
    for axis, (size, stride, dilation) in enumerate(sizes, start):
        wide = (size - 1) * dilation
        same = keras["padding"] == "same"
        pads[axis] = edges(value.shape[axis], wide + 1, stride, "same") if same else (wide, 0)
    return pads


def padded(pair: Pair, value: Array) -> Array | None:
    """Return a convolution's input padded as Keras pads it; None for another layer, and without padding."""
    pads = _pads(pair, value)
    return np.pad(value, [pads.get(axis, (0, 0)) for axis in range(value.ndim)]) if pads else None
