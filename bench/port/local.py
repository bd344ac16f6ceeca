"""Why a layer, given Keras's own input, does not give Keras's output: experiments, each of which changes one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.cases.model import edges
from bench.errors import UsageError
from bench.port.carry import GATES
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

    def mends(self, changes: dict[str, Any], **how: Any) -> bool:
        """Return whether the port's layer, called so, gives Keras's output."""
        with suppress(UsageError):  # the layer refuses what the experiment gives it
            return self.equal(self.torch(changes, **how), self.wanted)
        return False

    def spoils(self, changes: dict[str, Any], **how: Any) -> bool:
        """Return whether Keras's layer, called so, gives the port's output."""
        with suppress(UsageError):
            return self.equal(self.keras(changes, **how), self.found)
        return False


def causes(lab: Lab) -> list[Told]:
    """Return the causes that explain a layer's difference: one, or all that do so together; nothing if none does."""
    told = next((told for told, holds in _experiments(lab) if holds), None)
    return [told] if told else _together(lab)


def _experiments(lab: Lab) -> Iterator[tuple[Told, bool]]:
    """Yield hypotheses and whether they hold, those first that a setting suggests."""
    keras, torch, layer = lab.pair.first.config, lab.pair.torch.config, lab.pair.first
    kind = layer.kind
    for slug, changed, words in _settings(lab):
        yield Told(slug, *words), lab.mends(changed) if slug in NORMALISATIONS.values() else lab.spoils(changed)
    if "bias" in layer.weights and not any("bias" in name for name in lab.pair.torch.weights):
        gap = lab.wanted - lab.found if lab.wanted.shape == lab.found.shape else None
        # A bias is one number a feature, the same at every place; of a recurrent layer nobody knows.
        same = gap is not None and np.allclose(gap, gap.reshape(-1, gap.shape[-1])[0], rtol=1e-6, atol=1e-12)
        told = Told("bias-missing", "a bias", "no bias", f"{lab.pair.torch.cls}(..., bias=True)")
        yield told, bool(same) or kind in GATES
    if kind == "BatchNormalization" and not lab.training:
        told = Told("mode-eval-forgotten", "moving statistics in evaluation", "statistics of the batch")
        yield told, lab.spoils({}, training=True)
    if kind == "BatchNormalization" and lab.training:
        has = "moving statistics: the module is in evaluation mode"
        told = Told("mode-train-forgotten", "statistics of the batch", has, line=lab.settings["mode"])
        yield told, not lab.settings["training"]
    if lab.mask is not None or kind == "MultiHeadAttention":
        steps = "" if lab.mask is None else f" {int((~lab.mask).sum())} steps"
        yield Told("mask", f"skips{steps} that are masked", "takes every step"), lab.spoils({}, masked=False)
    if kind == "MultiHeadAttention":
        yield Told("mask", "no mask", "a mask"), lab.mends({}, masks="none")
        yield Told("mask", "True attends", "True is left out: the mask is inverted"), lab.mends({}, masks="inverted")
    yield Told("gru-reset-after", "reset_after=False", "reset_after=True"), keras.get("reset_after") is False
    if "padding" in keras and "kernel_size" in torch and "stride" in torch:
        yield from _convolution(lab)


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
    if kind in GATES:
        has = str(torch.get("mode", "")).lower().removeprefix("rnn_") if kind == "SimpleRNN" else "tanh"
        wanted = str(keras.get("activation"))
        if wanted != has:
            yield "rnn-activation", {"activation": has}, (f"state by {wanted}", f"state by {has}", wanted)


def _together(lab: Lab) -> list[Told]:
    """Return all settings that differ, where they explain the difference only together."""
    found = [each for each in _settings(lab) if each[0] not in NORMALISATIONS.values()]
    changes = {key: value for _, changed, _ in found for key, value in changed.items()}
    for masked in {True, lab.mask is None}:
        if (found or not masked) and lab.spoils(changes, masked=masked):
            told = [Told(slug, *words) for slug, _, words in found]
            return told + ([] if masked else [Told("mask", "skips masked steps", "takes every step")])
    return []


def _convolution(lab: Lab) -> Iterator[tuple[Told, bool]]:
    """Yield other strides, dilations and paddings of a convolution."""
    keras, torch = lab.pair.first.config, lab.pair.torch.config
    stride, dilation = tuple(keras["strides"]), tuple(keras["dilation_rate"])
    own = tuple(torch["stride"]), tuple(torch["dilation"])
    if (stride, dilation) != own:
        words = f"strides {stride}, dilation {dilation}", f"stride {own[0]}, dilation {own[1]}"
        told = Told("convolution", *words, f"stride={stride}, dilation={dilation}")
        yield told, lab.mends({"stride": stride, "dilation": dilation})
    pads = _pads(lab.pair, lab.given)
    if pads:
        widths = ", ".join(f"{before} before and {after} after" for before, after in pads.values())
        flat = tuple(width for axis in reversed(pads) for width in pads[axis])
        told = Told(
            "same-padding", f"padding {keras['padding']!r}: {widths}", f"padding {torch['padding']!r}", f"{flat}"
        )
        changed = {"padding": (0,) * len(pads), "stride": stride, "dilation": dilation}
        yield told, lab.mends(changed, inputs=[padded(lab.pair, lab.given)])


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
