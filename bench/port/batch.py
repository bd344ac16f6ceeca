"""The batch that both sides are run on: the user's file, or random values of a shape."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return len(self.x[0])


def read(path: Path, needs: Sequence[Input], takes: Sequence[str]) -> Batch:
    """Return the batch of an `.npz`: `x` (or inputs by their names, or x0, x1), `y`, and arguments of `forward`.

    Raises `UsageError` for object arrays, missing arrays and shapes that do not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except ValueError as error:
        raise UsageError(f"{path} holds arrays of Python objects, which are never loaded; save numbers") from error
    except (OSError, zipfile.BadZipFile, AttributeError, EOFError) as error:
        raise UsageError(
            f"{path} cannot be read as .npz: {error}; write it by numpy.savez(path, x=..., y=...)"
        ) from error
    wrong = [name for name, value in arrays.items() if value.dtype.kind not in "biuf"]
    if wrong:
        raise UsageError(f"{path}: {wrong[0]} is of type {arrays[wrong[0]].dtype}; save numbers")
    count = max(len(needs), 1)
    for names in (["x"], [f"x{at}" for at in range(count)], [name for name, *_ in needs]):
        if len(names) == count and all(name in arrays for name in names):
            x = [arrays.pop(name) for name in names]
            break
    else:
        if not needs and "x0" in arrays:
            x = [arrays.pop(name) for name in sorted(arrays) if name[:1] == "x" and name[1:].isdigit()]
        else:
            wanted = "x" if count == 1 else ", ".join(name for name, *_ in needs) + " (or x0, x1, ...)"
            raise UsageError(f"{path} holds {', '.join(arrays) or 'nothing'}; the Keras model wants {wanted}")
    y = arrays.pop("y", None)
    for value in x:
        if value.ndim == 0 or not len(value):
            raise UsageError(f"{path}: an input has no rows; save at least one")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UsageError(f"{path}: an input holds NaN or infinity")
    _check(x, needs)
    return Batch([_whole(value) for value in x], {name: v for name, v in arrays.items() if name in takes}, y)


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
    for _, wanted, whole in needs or [("x", tuple(shape or ()), False)]:
        size = tuple(shape) if shape else (ROWS, *(axis or LENGTH for axis in wanted[1:]))
        if np.dtype(dtype or ("int64" if whole else "float32")).kind in "iu":
            value = random.randint(1, max(ids, 2), size)
            if len(size) == 2:
                for row, length in zip(value, random.randint(1, size[1] + 1, size[0]), strict=True):
                    row[length:] = 0
            x.append(value.astype(dtype or "int64"))
        else:
            x.append(random.standard_normal(size).astype("float32"))
    _check(x, needs)
    return Batch([_whole(value) for value in x], {}, None)


def _check(x: Sequence[Array], needs: Sequence[Input]) -> None:
    for value, (name, wanted, _) in zip(x, needs, strict=False):
        fits = len(value.shape) == len(wanted) and all(
            want in (None, have) for have, want in zip(value.shape[1:], wanted[1:], strict=False)
        )
        if not fits:
            shape = ", ".join("any" if axis is None else str(axis) for axis in wanted)
            raise UsageError(f"the Keras model's input {name} wants shape ({shape}), got {value.shape}")
    if len({len(value) for value in x}) > 1:
        raise UsageError(f"inputs have {', '.join(str(len(value)) for value in x)} rows; give each the same number")


def _whole(value: Array) -> Array:
    """Return floats as float64 that float32 can hold, so that a side that has to round them loses nothing."""
    return value.astype(np.float32).astype(np.float64) if value.dtype.kind == "f" else value.astype(np.int64)


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
