"""Where torch's arrays have their axes, and where Keras's do."""

from __future__ import annotations

import numpy as np

from bench.port.trace import Array

LAYOUTS = ("same", "channels", "time")
"""Keras's own, features in axis 1 (of three axes and more), and time before rows."""
CONVOLUTIONS = frozenset({"Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose"})
CHANNELS = CONVOLUTIONS | {"GroupNormalization", "BatchNormalization"}
"""Kinds whose features are axis 1 in torch, and last in Keras."""


def to_keras(value: Array, layout: str | None) -> Array:
    """Return an array of torch's in Keras's layout."""
    return _moved(value, layout, 1, -1)


def to_torch(value: Array, layout: str | None) -> Array:
    """Return an array of Keras's in torch's layout."""
    return _moved(value, layout, -1, 1)


def _moved(value: Array, layout: str | None, features: int, place: int) -> Array:
    if layout == "channels" and value.ndim >= 3:
        return np.moveaxis(value, features, place)
    return np.swapaxes(value, 0, 1) if layout == "time" and value.ndim >= 2 else value


def arranged(value: Array, own: Array, layout: str | None = None) -> tuple[Array, str]:
    """Return Keras's array in this layout, else in that of torch's own, and the layout's name.

    It is `flat` where torch has steps and rows in one axis.
    """
    ways = [(to_torch(value, each), each) for each in ([layout] if layout else LAYOUTS)]
    fitting = [(way, each) for way, each in ways if layout or way.shape == own.shape]
    if fitting:
        return min(fitting, key=lambda way: error(own, way[0]))
    return (value.reshape(own.shape), "flat") if value.size == own.size else (value, "same")


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


def aligned(found: Array, wanted: Array, layout: str | None = None) -> Array:
    """Return torch's array in this layout, else the one nearest to Keras's; the first where none has its shape."""
    ways = [to_keras(found, each) for each in ((layout,) if layout else LAYOUTS)]
    if found.ndim < wanted.ndim and found.size == wanted.size:  # (batch * time, features), or a last axis of 1
        ways.append(found.reshape(wanted.shape))
    return min((way for way in ways if way.shape == wanted.shape), key=lambda way: error(way, wanted), default=ways[0])
