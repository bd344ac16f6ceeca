"""Why the port hands another value on than Keras does, where the layers before were made to give Keras's own.

Keras's way from one layer with weights to the next is a list of steps (an activation, a pooling, the last state). The
first of them whose result appears nowhere in the port is where it differs; what the port does there instead is told by
the functions that it called, and by trying what people do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.port import layout
from bench.port.causes import Told
from bench.port.formulas import ACTIVATIONS
from bench.port.trace import Array, Call, Layer, Trace

IGNORED = ("__getitem__", "flatten", "reshape", "view", "permute", "transpose", "squeeze", "unsqueeze", "contiguous")


@dataclass(frozen=True)
class Step:
    """A step of Keras's: `kind` of a layer without weights, `activation` of one with them, or `last state`."""

    kind: str
    layer: str
    before: Array
    after: Array
    config: Mapping[str, Any] = field(default_factory=dict)
    mask: Array | None = None
    states: Mapping[str, Array] = field(default_factory=dict)
    inputs: Sequence[Array] = ()

    @property
    def function(self) -> str | None:
        """Return the activation that a step applies, None where it is another kind."""
        if self.kind == "LeakyReLU":
            return f"leaky_relu({self.config.get('negative_slope', 0.3):g})"
        if self.kind in ("ReLU", "ELU", "Softmax"):
            return self.kind.lower()
        name = self.config.get("activation") if self.kind in ("activation", "Activation") else None
        return None if name is None or name == "linear" else str(name)


def steps(trace: Trace, number: int, layers: Mapping[str, Layer]) -> list[Step]:
    """Return Keras's steps to a value, from the layer with weights before it on."""
    found: list[Step] = []
    call = trace.producer(number)
    while call is not None:
        layer = layers[call.layer]
        after = next(value for own, value in call.outputs if own == number)
        if layer.weights:
            if "before" in call.extra:
                found.insert(0, Step("activation", layer.name, call.extra["before"], after, layer.config))
            if "sequence" in call.extra and call.extra["sequence"].shape != after.shape:
                sequence = call.extra["sequence"]
                found.insert(0, Step("last state", layer.name, sequence, after, layer.config, call.mask, call.extra))
            break
        if not call.inputs:
            break
        values = [value for _, value in call.inputs]
        found.insert(0, Step(layer.kind, layer.name, values[0], after, layer.config, call.mask, inputs=values))
        number = call.inputs[0][0]
        call = trace.producer(number)
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


def cause(gap: Gap) -> Told | None:
    """Return what explains a gap, None where nothing known does."""
    values = [value for call in gap.calls for _, value in (*call.inputs, *call.outputs)] + [gap.found]

    def equal(found: Array, wanted: Array) -> bool:
        return layout.error(layout.aligned(found, wanted), wanted) <= gap.tolerance

    def there(value: Array) -> bool:
        return any(equal(own, value) for own in values)

    for step in gap.steps:
        if step.before.shape == step.after.shape and equal(step.before, step.after):
            continue  # dropout, or a function that changes nothing here
        if not there(step.after):
            taking = [call for call in gap.calls if any(equal(own, step.before) for _, own in call.inputs)]
            making = [call for call in taking if not any(equal(own, step.before) for _, own in call.outputs)]
            return _missing(gap, step, making[0] if making else None, equal)
    return _extra(gap, equal)


def _missing(gap: Gap, step: Step, call: Call | None, equal: Any) -> Told | None:
    """Return why a step's result is nowhere in the port; `call` is what takes the step's input there."""
    made = [value for _, value in call.outputs] if call else []
    found = [*made, gap.found]
    line = call.line if call and call.line else gap.line

    def is_found(value: Array) -> bool:
        return any(equal(own, value) for own in found)

    if step.kind == "last state":
        return _state(gap, step, line)
    if any(is_found(value) for value in gap.unmasked):
        return Told("mask", "skips masked steps", "takes every step", line=line)
    if step.kind == "Flatten" and any(is_found(_flat(step.before, axes)) for axes in _axes(step.before.ndim)):
        return Told("flatten-order", "flattens (time, channels)", "flattens (channels, time)", line=line)
    if "Pooling" in step.kind:
        return _pooling(step, call, is_found, line)
    if step.function:
        return _activation(gap, step, call, is_found, line)
    if step.kind == "Add":
        return _added(gap, step, is_found, line)
    if equal(gap.found, step.before):
        what = f"{step.kind} {step.layer}"
        return Told("missing-layer", what, "nothing", f"add {what}", line)
    return None


def _activation(gap: Gap, step: Step, call: Call | None, is_found: Any, line: str | None) -> Told | None:
    wanted = str(step.function)
    others = [name for name, function in ACTIVATIONS.items() if is_found(function(step.before))]
    other = others[0] if others else None
    if other is None and call is not None and not _is_step(call):
        other = call.layer
    if wanted.startswith("gelu") and other and other.startswith("gelu"):
        approximate = {"gelu": "F.gelu(x)", "gelu(approximate)": "F.gelu(x, approximate='tanh')"}
        right = "gelu" if other == "gelu(approximate)" else "gelu(approximate)"
        return Told("gelu-approximation", right, other, approximate[right], line)
    if gap.last and wanted in ("softmax", "sigmoid") and other in (None, "log_softmax", "log_sigmoid"):
        has = "logits" if other is None else f"{other} of the logits"
        return Told(
            "probabilities-logits", f"probabilities: {wanted}", has,
            f"torch.{wanted}(x) at the end, or a loss that takes {has}", line,
        )  # fmt: skip
    return Told("activation", wanted, other or "no activation", f"{wanted}", line)


def _added(gap: Gap, step: Step, is_found: Any, line: str | None) -> Told | None:
    """Return an activation that the port applies to one of the values that are added, and Keras to their sum."""
    later = [each.function for each in gap.steps if each.function]
    for at, value in enumerate(step.inputs):
        rest = sum(each for place, each in enumerate(step.inputs) if place != at)
        for name, function in ACTIVATIONS.items():
            if is_found(rest + function(value)):
                if name in later:
                    words = f"{name} of the sum", f"{name} of one part, before the sum"
                    return Told("nonlinearity-order", *words, f"{name} behind the sum", line)
                return Told("activation", "no activation", name, f"no {name}", line)
    return None


def _is_step(call: Call) -> bool:
    return "pool" in call.layer or call.layer in (
        *IGNORED,
        "mean",
        "cat",
        "add",
        "__add__",
        "mul",
        "max",
        "amax",
        "sum",
    )


def _state(gap: Gap, step: Step, line: str | None) -> Told | None:
    """Return which other state, or other part of the sequence, the port takes."""

    def among(value: Array) -> bool:
        own = [v for call in gap.calls for _, v in call.outputs] + [gap.found]
        return any(layout.error(v, value) <= gap.tolerance for v in own)

    if any(among(value) for value in gap.unmasked):
        return Told(
            "mask", "the state at the last step that is not masked", "the state after padding", layer=step.layer
        )
    sequence, h = step.before, step.states["h"]
    tried = {
        "output[:, -1]": sequence[:, -1],
        "output[:, 0]": sequence[:, 0],
        "h_n[-1]": h[-1],
        "h_n[0]": h[0],
        "h_n[-1] before h_n[-2]": np.concatenate(h[::-1], axis=-1),
        "the sum of the directions": h.sum(0),
        "the mean over time": sequence.mean(1),
        "the maximum over time": sequence.max(1),
    }
    if "c" in step.states:
        tried |= {"c_n, the cell": np.concatenate(step.states["c"], axis=-1), "c_n[-1], the cell": step.states["c"][-1]}
    tried |= {f"h_n[{at}], of layer {at + 1}": value for at, value in enumerate(gap.lower)}
    for name, value in tried.items():
        if among(value):
            what = "both final states" if len(h) == 2 else "the final state"
            return Told("last-state", what, name, line=line)
    return None


def _flat(value: Array, axes: Sequence[int]) -> Array:
    return value.transpose(axes).reshape(len(value) if axes[0] == 0 else value.shape[axes[0]], -1)


def _axes(ndim: int) -> Iterator[tuple[int, ...]]:
    if ndim == 3:
        yield (0, 2, 1)
    if ndim == 4:
        yield from ((0, 3, 1, 2), (0, 3, 2, 1), (0, 2, 1, 3))


def _pooling(step: Step, call: Call | None, is_found: Any, line: str | None) -> Told | None:
    wide = tuple(range(1, step.before.ndim - 1))
    if step.kind.startswith("Global"):
        other = {"a mean": step.before.mean(wide), "a maximum": step.before.max(wide), "a sum": step.before.sum(wide)}
        found = next((name for name, value in other.items() if is_found(value)), None)
        if found == "a mean" and step.mask is not None:
            return Told("mask", "a mean over the steps that are not masked", "a mean over all steps", line=line)
        return Told("pooling-size", step.kind, found, f"use {step.kind}", line) if found else None
    if call is None or "pool" not in call.layer:
        return Told("missing-layer", f"{step.kind} {step.layer}", "nothing", f"add {step.kind}", line)
    size, strides = _tuple(step.config["pool_size"]), _tuple(step.config["strides"])
    has = _pool_settings(call)
    words = f"pool_size {size}, strides {strides}, padding {step.config['padding']!r}"
    theirs = ", ".join(f"{key} {value}" for key, value in has.items())
    same = _tuple(has.get("kernel_size")) == size and _tuple(has.get("stride") or has.get("kernel_size")) == strides
    remedy = f"kernel_size={size}, stride={strides}, padding as Keras's {step.config['padding']!r}"
    return Told("pooling-padding" if same else "pooling-size", words, theirs, remedy, line)


def _tuple(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _pool_settings(call: Call) -> dict[str, Any]:
    names = [
        "kernel_size",
        "stride",
        "padding",
        *(["ceil_mode", "count_include_pad"] if "avg" in call.layer else ["dilation", "ceil_mode"]),
    ]
    given = {name: value for name, value in zip(names, call.settings.get("args", []), strict=False)}
    given |= {key: value for key, value in call.settings.items() if key != "args"}
    return {key: value for key, value in given.items() if key in names}


def _extra(gap: Gap, equal: Any) -> Told | None:
    """Return what the port does to a value that Keras hands on as it is."""
    call = next((each for each in gap.calls if any(equal(own, gap.wanted) for _, own in each.inputs)), None)
    line = call.line if call and call.line else gap.line
    if gap.wanted.ndim > 1 and layout.error(gap.found, gap.wanted[:, ::-1]) <= gap.tolerance:
        return Told("reversed-input", "time as it is", "time reversed", "x.flip(1), or none", line)
    if any(equal(gap.found, value) for value in gap.unmasked):
        return Told("mask", "skips masked steps", "takes every step", line=line)
    for name, function in ACTIVATIONS.items():
        if equal(gap.found, function(gap.wanted)):
            twice = gap.steps and gap.steps[-1].function
            if gap.last and name.replace("log_", "") in ("softmax", "sigmoid"):
                has = f"{name} of {'probabilities' if twice else 'logits'}"
                return Told("probabilities-logits", twice or "logits", has, f"leave {name} out", line)
            return Told("activation", "no activation", name, f"no {name}", line)
    return None
