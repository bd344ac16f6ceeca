"""What the workers of the two sides tell their parent: layers, calls and the values that went through them.

Arrays of Keras's side are in Keras's layout, those of torch's side in torch's (`bench.port.layout`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
ByLayer = dict[str, dict[str, Array]]
"""By layer, then by name within it."""


def plain(settings: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the settings that are made of plain values, without what a framework tracks them by: those cross."""
    found = {}
    for key, value in settings.items():
        with suppress(TypeError):
            found[str(key)] = _copied(value)
    return found


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        copied = [_copied(each) for each in value]
        return tuple(copied) if isinstance(value, tuple) else copied
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(type(value))


@dataclass(frozen=True)
class Layer:
    """A layer as it was declared.

    `kind` is Keras's word for it (`LSTM`, also of torch's), `cls` its class, `weights` are the shapes by name within
    the layer, `trainable` says which are trained, `line` is the user's line that made it, `frozen` that called its
    `requires_grad_`.
    """

    name: str
    kind: str
    cls: str
    config: dict[str, Any]
    weights: dict[str, tuple[int, ...]]
    trainable: dict[str, bool]
    line: str | None
    frozen: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.cls})" if self.name else self.cls

    @property
    def is_trained(self) -> bool:
        """Return whether any weight is trained."""
        return any(trained for name, trained in self.trainable.items() if not name.startswith("running_"))


def shapes(weights: Mapping[str, tuple[int, ...]]) -> str:
    """Return names and shapes of weights in words."""
    return ", ".join(f"{name} {shape}" for name, shape in weights.items())


@dataclass
class Call:
    """A call of a layer, or on torch's side of a function (`layer` is then its name and `is_op` true).

    `inputs` and `outputs` are arrays with a number each, by which a value is known again. `extra`: of a layer of
    Keras the value before its own activation, of a recurrent one the whole sequence and the last states.
    """

    layer: str
    inputs: list[tuple[int, Array]]
    outputs: list[tuple[int, Array]]
    line: str | None = None
    is_op: bool = False
    mask: Array | None = None
    index: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Array] = field(default_factory=dict)


@dataclass
class Trace:
    """One pass of a model: its calls in order, and its outputs (with their numbers).

    `masks`: of Keras's outputs. `dropouts`: rate, line, kind and whether it was active, of each that torch's met.
    """

    calls: list[Call]
    outputs: list[tuple[int, Array]]
    masks: list[Array | None] = field(default_factory=list)
    dropouts: list[dict[str, Any]] = field(default_factory=list)

    def of(self, layer: str) -> list[Call]:
        """Return the calls of a layer, in order."""
        return [call for call in self.calls if call.layer == layer and not call.is_op]

    def places(self) -> dict[str, int]:
        """Return where among the calls each layer is called first."""
        return {call.layer: at for at, call in reversed([*enumerate(self.calls)]) if not call.is_op}

    def producer(self, number: int) -> Call | None:
        """Return the call that made a value, None where no call did."""
        made = (call for call in self.calls if any(number == own for own, _ in call.outputs))
        return next(made, None)


@dataclass(frozen=True)
class Forced:
    """What a layer of torch is given and made to return in a forced pass, in Keras's layout.

    `layout` is that of its first input and output; None leaves what is there. `states`: h_n and, of an LSTM, c_n.
    """

    inputs: list[Array]
    output: Array | None
    layout: str | None
    states: list[Array] = field(default_factory=list)


@dataclass
class Steps:
    """What training steps did: learning rate and loss of each, the optimizer, weights after the first and the last.

    Weights by layer, then by name; gradients are those of the first step, before any clipping.
    """

    losses: list[float]
    rates: list[float]
    optimizer: str
    settings: dict[str, Any]
    line: str | None
    first: ByLayer
    last: ByLayer
    gradients: ByLayer = field(default_factory=dict)
    observed: dict[str, Any] = field(default_factory=dict)
