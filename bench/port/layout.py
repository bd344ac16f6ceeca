"""Where torch's arrays have their axes, and where Keras's do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bench.port.trace import Array

CHANNELS = frozenset({"Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "GroupNormalization"})
"""Kinds whose features are axis 1 in torch, and last in Keras."""

_TO_KERAS: dict[str, Callable[[Array], Array]] = {
    "same": lambda value: value,
    "channels": lambda value: np.moveaxis(value, 1, -1),
    "time": lambda value: np.swapaxes(value, 0, 1),
}
_TO_TORCH: dict[str, Callable[[Array], Array]] = {
    "same": lambda value: value,
    "channels": lambda value: np.moveaxis(value, -1, 1),
    "time": lambda value: np.swapaxes(value, 0, 1),
}


def to_keras(value: Array, layout: str) -> Array:
    """Return an array of torch's in Keras's layout."""
    return _TO_KERAS[layout](value) if value.ndim >= _least(layout) else value


def to_torch(value: Array, layout: str) -> Array:
    """Return an array of Keras's in torch's layout."""
    return _TO_TORCH[layout](value) if value.ndim >= _least(layout) else value


def _least(layout: str) -> int:
    return {"same": 0, "time": 2, "channels": 3}[layout]


def of_kind(kind: str, config: dict[str, object], keras: dict[str, object]) -> str | None:
    """Return the layout that a torch layer of this kind insists on, None where any will do."""
    if kind in CHANNELS or kind == "BatchNormalization":
        first = keras.get("data_format") == "channels_first" or keras.get("axis") in (1, [1])
        return "same" if first else "channels"
    if "batch_first" in config:
        return "same" if config["batch_first"] else "time"
    return None


def error(found: Array, wanted: Array, at: Array | None = None) -> float:
    """Return the largest difference over the largest wanted value; infinite for other shapes or not a number.

    `at`: a mask over the first axes, of what is compared.
    """
    if found.shape != wanted.shape:
        return np.inf
    if at is not None and at.shape == wanted.shape[: at.ndim]:
        found, wanted = found[at], wanted[at]
    if not wanted.size:
        return 0.0
    gap = float(np.max(np.abs(np.subtract(found, wanted, dtype=np.float64))))
    scale = float(np.max(np.abs(wanted)))
    if np.isnan(gap) or np.isnan(scale):
        return np.inf
    return gap / scale if scale else (0.0 if gap == 0 else np.inf)


def aligned(
    found: Array, wanted: Array, layouts: Sequence[str] = ("same", "channels", "time"), at: Array | None = None
) -> Array:
    """Return torch's array in the layout that is nearest to Keras's; as it is where none has its shape."""
    ways = [to_keras(found, layout) for layout in layouts]
    if found.ndim < wanted.ndim and found.size == wanted.size:  # (batch * time, features), or a last axis of 1
        ways.append(found.reshape(wanted.shape))
    fitting = [way for way in ways if way.shape == wanted.shape]
    return min(fitting, key=lambda way: error(way, wanted, at)) if fitting else ways[0]
