"""Why the port hands another value on than Keras does, where the layers before were made to give Keras's own.

Keras's way from one layer with weights to the next is a list of steps (an activation, a pooling, the last state). The
first of them whose result appears nowhere in the port is where it differs; what the port does there instead is told by
the functions that it called, and by trying what people do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.port import layout
from bench.port.causes import Told
from bench.port.formulas import ACTIVATIONS
from bench.port.trace import Array, Call, Layer, Trace

NO_ACTIVATION = "no activation"
IGNORED = (
    "__getitem__", "flatten", "reshape", "view", "permute", "transpose", "squeeze", "unsqueeze", "contiguous",
    "mean", "cat", "add", "__add__", "mul", "max", "amax", "sum",
)  # fmt: skip
"""Functions of the port that are no activations."""


@dataclass(frozen=True)
class Step:
    """A step of Keras's: `kind` of a layer without weights, `activation` of one with them, or `last state`."""

    kind: str
    layer: Layer
    call: Call
    before: Array
    after: Array

    @property
    def function(self) -> str | None:
        """Return the activation that a step applies, None where it is another kind."""
        if self.kind == "LeakyReLU":
            return f"leaky_relu({self.layer.config.get('negative_slope', 0.3):g})"
        if self.kind in ("ReLU", "ELU", "Softmax"):
            return self.kind.lower()
        name = self.layer.config.get("activation") if self.kind in ("activation", "Activation") else None
        return None if name is None or name == "linear" else str(name)


def steps(trace: Trace, number: int, layers: Mapping[str, Layer]) -> list[Step]:
    """Return Keras's steps to a value, from the layer with weights before it on."""
    found: list[Step] = []
    call = trace.producer(number)
    while call is not None:
        layer = layers[call.layer]
        after = next(value for own, value in call.outputs if own == number)
        if layer.weights:
            sequence = call.extra.get("sequence")
            if "before" in call.extra:
                found.append(Step("activation", layer, call, call.extra["before"], after))
            if sequence is not None and sequence.shape != after.shape:
                found.append(Step("last state", layer, call, sequence, after))
            break
        if not call.inputs:
            break
        found.append(Step(layer.kind, layer, call, call.inputs[0][1], after))
        number = call.inputs[0][0]
        call = trace.producer(number)
    found.reverse()
    return found


def ancestors(trace: Trace, number: int) -> list[Call]:
    """Return the functions of the port that led to a value, in order, up to the layers before."""
    wanted = {number}
    found: list[Call] = []
    for call in reversed(trace.calls):
        if wanted & {own for own, _ in call.outputs} and call.is_op:
            found.insert(0, call)
            wanted |= {own for own, _ in call.inputs}
    return found


@dataclass(frozen=True)
class Gap:
    """A value that the port hands on otherwise: what leads to it on both sides.

    `last`: whether it is the model's output. `unmasked`: what Keras's recurrent layer hands on without its mask.
    `lower`: last states of the layers that are stacked below it.
    """

    steps: Sequence[Step]
    calls: Sequence[Call]
    wanted: Array
    found: Array
    tolerance: float
    last: bool
    line: str | None
    unmasked: Sequence[Array] = ()
    lower: Sequence[Array] = ()

    def equal(self, found: Array, wanted: Array) -> bool:
        """Return whether a value of the port's is Keras's, whatever its layout."""
        return layout.error(layout.aligned(found, wanted), wanted) <= self.tolerance

    def among(self, value: Array, numbered: Sequence[tuple[int, Array]]) -> bool:
        """Return whether a value of Keras's is one of the port's."""
        return any(self.equal(own, value) for _, own in numbered)


def cause(gap: Gap) -> Told | None:
    """Return what explains a gap, None where nothing known does."""
    values = [value for call in gap.calls for value in (*call.inputs, *call.outputs)] + [(0, gap.found)]
    for step in gap.steps:
        if step.before.shape == step.after.shape and gap.equal(step.before, step.after):
            continue  # dropout, or a function that changes nothing here
        if not gap.among(step.after, values):
            taking = [call for call in gap.calls if gap.among(step.before, call.inputs)]
            making = [call for call in taking if not gap.among(step.before, call.outputs)]
            return _Missing(gap, step, making[0] if making else None).cause()
    return _extra(gap)


@dataclass(frozen=True)
class _Missing:
    """A step whose result is nowhere in the port; `call` is what takes the step's input there."""

    gap: Gap
    step: Step
    call: Call | None

    def told(self, slug: str, keras: str, torch: str, remedy: str = "") -> Told:
        return Told(slug, keras, torch, remedy, self.call.line if self.call and self.call.line else self.gap.line)

    def is_found(self, value: Array) -> bool:
        return self.gap.among(value, [*(self.call.outputs if self.call else ()), (0, self.gap.found)])

    def cause(self) -> Told | None:
        step = self.step
        if step.kind == "last state":
            return self.state()
        if any(map(self.is_found, self.gap.unmasked)):
            return self.told("mask", "skips masked steps", "takes every step")
        if step.kind == "Flatten" and any(self.is_found(flat) for flat in _flattened(step.before)):
            return self.told("flatten-order", "flattens (time, channels)", "flattens (channels, time)")
        if "Pooling" in step.kind:
            return self.pooling()
        if step.function:
            return self.activation(step.function)
        if step.kind == "Add":
            return self.added()
        if self.gap.equal(self.gap.found, step.before):
            what = f"{step.kind} {step.layer.name}"
            return self.told("missing-layer", what, "nothing", f"add {what}")
        return None

    def activation(self, wanted: str) -> Told:
        other = next((name for name, function in ACTIVATIONS.items() if self.is_found(function(self.step.before))), "")
        if not other and self.call and not ("pool" in self.call.layer or self.call.layer in IGNORED):
            other = self.call.layer
        if wanted.startswith("gelu") and other.startswith("gelu"):
            right, approximate = ("gelu", "") if other != "gelu" else ("gelu(approximate)", ", approximate='tanh'")
            return self.told("gelu-approximation", right, other, f"F.gelu(x{approximate})")
        if self.gap.last and wanted in ("softmax", "sigmoid") and other in ("", "log_softmax", "log_sigmoid"):
            has = f"{other} of the logits" if other else "logits"
            remedy = f"torch.{wanted}(x) at the end, or a loss that takes {has}"
            return self.told("probabilities-logits", f"probabilities: {wanted}", has, remedy)
        return self.told("activation", wanted, other or NO_ACTIVATION)

    def added(self) -> Told | None:
        """Return an activation that the port applies to one of the values that are added, and Keras to their sum."""
        later = [each.function for each in self.gap.steps if each.function]
        parts = [value for _, value in self.step.call.inputs]
        for at, value in enumerate(parts):
            rest = sum(parts[:at] + parts[at + 1 :])
            for name, function in ACTIVATIONS.items():
                if self.is_found(rest + function(value)):
                    if name not in later:
                        return self.told("activation", NO_ACTIVATION, name, f"no {name}")
                    words = f"{name} of the sum", f"{name} of one part, before the sum"
                    return self.told("nonlinearity-order", *words, f"{name} behind the sum")
        return None

    def state(self) -> Told | None:
        """Return which other state, or other part of the sequence, the port takes."""
        made = [value for call in self.gap.calls for _, value in call.outputs] + [self.gap.found]

        def among(value: Array) -> bool:
            return any(layout.error(own, value) <= self.gap.tolerance for own in made)

        if any(map(among, self.gap.unmasked)):
            words = "the state at the last step that is not masked", "the state after padding"
            return Told("mask", *words, layer=self.step.layer.name)
        sequence, h = self.step.before, self.step.call.extra["h"]
        tried = {
            "output[:, -1]": sequence[:, -1],
            "output[:, 0]": sequence[:, 0],
            "h_n[-1]": h[-1],
            "h_n[0]": h[0],
            "h_n[-1] before h_n[-2]": np.concatenate(h[::-1], axis=-1),
            "the sum of the directions": h.sum(0),
            "the mean over time": sequence.mean(1),
            "the maximum over time": sequence.max(1),
            **{f"h_n[{at}], of layer {at + 1}": value for at, value in enumerate(self.gap.lower)},
        }
        if "c" in self.step.call.extra:
            c = self.step.call.extra["c"]
            tried |= {"c_n, the cell": np.concatenate(c, axis=-1), "c_n[-1], the cell": c[-1]}
        what = "both final states" if len(h) == 2 else "the final state"
        found = next((name for name, value in tried.items() if among(value)), None)
        return self.told("last-state", what, found) if found else None

    def pooling(self) -> Told | None:
        kind, before, config = self.step.kind, self.step.before, self.step.layer.config
        if kind.startswith("Global"):
            wide = tuple(range(1, before.ndim - 1))
            other = {"a mean": before.mean(wide), "a maximum": before.max(wide), "a sum": before.sum(wide)}
            found = next((name for name, value in other.items() if self.is_found(value)), None)
            if found == "a mean" and self.step.call.mask is not None:
                return self.told("mask", "a mean over the steps that are not masked", "a mean over all steps")
            return self.told("pooling-size", kind, found, f"use {kind}") if found else None
        if self.call is None or "pool" not in self.call.layer:
            return self.told("missing-layer", f"{kind} {self.step.layer.name}", "nothing", f"add {kind}")
        size, strides, padding = _tuple(config["pool_size"]), _tuple(config["strides"]), config["padding"]
        names = ["kernel_size", "stride", "padding", *([] if "avg" in self.call.layer else ["dilation"]), "ceil_mode"]
        has = dict(zip(names, self.call.settings["args"], strict=False))
        has |= {key: self.call.settings[key] for key in (*names, "count_include_pad") if key in self.call.settings}
        kernel = has.get("kernel_size")
        same = _tuple(kernel) == size and _tuple(has.get("stride") or kernel) == strides
        return self.told(
            "pooling-padding" if same else "pooling-size",
            f"pool_size {size}, strides {strides}, padding {padding!r}",
            ", ".join(f"{key} {value}" for key, value in has.items()),
            f"kernel_size={size}, stride={strides}, padding as Keras's {padding!r}",
        )


def _flattened(value: Array) -> Iterator[Array]:
    """Yield what a flattening gives that takes the axes in another order."""
    for axes in [(0, 2, 1), (0, 3, 1, 2), (0, 3, 2, 1), (0, 2, 1, 3)]:
        if len(axes) == value.ndim:
            yield value.transpose(axes).reshape(len(value), -1)


def _tuple(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _extra(gap: Gap) -> Told | None:
    """Return what the port does to a value that Keras hands on as it is."""
    call = next((each for each in gap.calls if gap.among(gap.wanted, each.inputs)), None)
    line = call.line if call and call.line else gap.line
    if gap.wanted.ndim > 1 and layout.error(gap.found, gap.wanted[:, ::-1]) <= gap.tolerance:
        return Told("reversed-input", "time as it is", "time reversed", "x.flip(1), or none", line)
    if any(gap.equal(gap.found, value) for value in gap.unmasked):
        return Told("mask", "skips masked steps", "takes every step", line=line)
    for name, function in ACTIVATIONS.items():
        if gap.equal(gap.found, function(gap.wanted)):
            twice = gap.steps and gap.steps[-1].function
            if gap.last and name.replace("log_", "") in ("softmax", "sigmoid"):
                has = f"{name} of {'probabilities' if twice else 'logits'}"
                return Told("probabilities-logits", twice or "logits", has, f"leave {name} out", line)
            return Told("activation", NO_ACTIVATION, name, f"no {name}", line)
    return None
