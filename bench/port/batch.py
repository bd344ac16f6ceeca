"""The batch that both sides are run on: the user's file, or random values of a shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import npz
from bench.errors import UsageError
from bench.port.trace import Array

ROWS, LENGTH, CLASSES = 8, 16, 2
Input = tuple[str, tuple[int | None, ...], bool]
"""Name, shape and whether whole numbers are wanted, as `KerasSide.needs` says."""


@dataclass(frozen=True)
class Batch:
    """Keras's inputs in order, what `forward` of the module takes beside them by name, and labels where given."""

    x: list[Array]
    others: dict[str, Array]
    y: Array | None


def read(path: Path, needs: Sequence[Input], takes: Sequence[str]) -> Batch:
    """Return the batch of an `.npz`: `x` (or inputs by their names, or x0, x1), `y`, and arguments of `forward`.

    Raises `DataError` for object arrays and what is no archive, `UsageError` for missing arrays and other shapes.
    """
    arrays = npz.load(path)
    wrong = [name for name, value in arrays.items() if value.dtype.kind not in "biuf"]
    if wrong:
        raise UsageError(f"{path}: {wrong[0]} is of type {arrays[wrong[0]].dtype}; save numbers")
    names = [name for name, *_ in needs] or ["x"]
    places = [f"x{at}" for at in range(len(names))]
    if not needs and "x0" in arrays:
        places = sorted(name for name in arrays if name[:1] == "x" and name[1:].isdigit())
    found = next(
        (each for each in ((["x"] if len(names) == 1 else names), places, names) if {*each} <= {*arrays}), None
    )
    if found is None:
        wanted = "x" if len(names) == 1 else f"{', '.join(names)} (or x0, x1, ...)"
        raise UsageError(f"{path} holds {', '.join(arrays) or 'nothing'}; the Keras model wants {wanted}")
    x, y = [arrays.pop(name) for name in found], arrays.pop("y", None)
    for value in x:
        if value.ndim == 0 or not len(value):
            raise UsageError(f"{path}: an input has no rows; save at least one")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UsageError(f"{path}: an input holds NaN or infinity")
    return Batch(_fitting(x, needs), {name: value for name, value in arrays.items() if name in takes}, y)


def drawn(shape: Sequence[int] | None, dtype: str | None, needs: Sequence[Input], ids: int) -> Batch:
    """Return random rows: of `shape` and `dtype`, or of what the model says it needs; ids end in some zeros.

    Raises `UsageError` where neither says enough.
    """
    random = np.random.RandomState(0)
    if shape is None and not needs:
        raise UsageError(
            "the Keras model does not say what it takes; give --shape 32,128 --dtype int64, or --batch FILE.npz"
        )
    if shape is not None and len(needs) > 1:
        names = ", ".join(name for name, *_ in needs)
        raise UsageError(f"the Keras model has {len(needs)} inputs ({names}): give them by --batch FILE.npz")
    x = []
    for _, wanted, whole in needs or [("x", (), False)]:
        size = tuple(shape) if shape else (ROWS, *(axis or LENGTH for axis in wanted[1:]))
        if np.dtype(dtype or ("int64" if whole else "float32")).kind in "iu":
            value: Array = random.randint(1, max(ids, 2), size)
            if len(size) == 2:
                value[np.arange(size[1]) >= random.randint(1, size[1] + 1, (size[0], 1))] = 0
        else:
            value = random.standard_normal(size)
        x.append(value)
    return Batch(_fitting(x, needs), {}, None)


def _fitting(x: Sequence[Array], needs: Sequence[Input]) -> list[Array]:
    """Return inputs that fit, floats as float64 that float32 can hold: a side that has to round them loses nothing."""
    for value, (name, wanted, _) in zip(x, needs, strict=False):
        if value.ndim != len(wanted) or any(
            want not in (None, have) for have, want in zip(value.shape[1:], wanted[1:], strict=True)
        ):
            shape = ", ".join("any" if axis is None else str(axis) for axis in wanted)
            raise UsageError(f"the Keras model's input {name} wants shape ({shape}), got {value.shape}")
    if len({len(value) for value in x}) > 1:
        raise UsageError(f"inputs have {', '.join(str(len(value)) for value in x)} rows; give each the same number")
    return [
        value.astype(np.float32).astype(np.float64) if value.dtype.kind == "f" else value.astype(np.int64)
        for value in x
    ]


def labels(loss: dict[str, Any], output: Array) -> Array:
    """Return labels that a compiled loss takes, for an output of this shape."""
    random = np.random.RandomState(1)
    name = str(loss.get("name", ""))
    if "sparse" in name:
        return random.randint(0, output.shape[-1], output.shape[:-1])
    if "categorical" in name:
        return np.eye(output.shape[-1])[random.randint(0, output.shape[-1], output.shape[:-1])]
    if "binary" in name:
        return random.randint(0, CLASSES, output.shape).astype(np.float64)
    if "hinge" in name:
        return random.choice([-1.0, 1.0], output.shape)
    return np.asarray(random.standard_normal(output.shape).astype(np.float32), np.float64)
