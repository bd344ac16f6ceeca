"""What data preparation hands to training: features, labels, and where they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]
Labels = NDArray[Any]
"""(n,): zeros and ones, float32, where there are two; classes 0, 1, ..., int32, where a softmax tells them apart."""


@dataclass(frozen=True)
class Ragged:
    """Sequences of different lengths: sequence i is `ids[offsets[i]:offsets[i+1]]`."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> NDArray[np.int32]:
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def take(self, rows: Rows) -> Ragged:
        """Return the sequences of `rows`, in that order."""
        starts, lengths = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        taken = offsets_of(lengths)
        positions = np.repeat(starts - taken[:-1], lengths) + np.arange(taken[-1])
        return Ragged(self.ids[positions], taken)


def offsets_of(lengths: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    """Return where sequences of these lengths begin, and the end of the last one."""
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


class Labelled(NamedTuple):
    """Unpadded sequences and their labels, whole numbers from 0 on."""

    sequences: Ragged
    labels: NDArray[Any]


class Features(Protocol):
    """Rows of model input; a NumPy array (memory-mapped or not) is one, and so is `MultiHot`."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Rows, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class MultiHot:
    """Rows of zeros and ones made when asked for: `ids[offsets[i]:offsets[i+1]]` are the columns set in row i."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    width: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: Rows, /) -> NDArray[np.float32]:
        out = np.zeros((len(rows), self.width), dtype=np.float32)
        taken = self.take(rows)
        out[np.repeat(np.arange(len(rows)), np.diff(taken.offsets)), taken.ids] = 1.0
        return out

    def take(self, rows: Rows) -> MultiHot:
        """Return some rows without making them."""
        taken = Ragged(self.ids, self.offsets).take(rows)
        return MultiHot(taken.ids, taken.offsets, self.width)


def take(x: Features, rows: Rows) -> Features:
    """Return some rows of `x` as what `x` is: a `MultiHot` stays one, its rows are not made."""
    return x.take(rows) if isinstance(x, MultiHot) else x[rows]


@dataclass(frozen=True)
class Examples:
    """Rows and their labels: `x` is (n, maxlen) int32 ids, a `MultiHot`, or numbers (n, ...) as float32."""

    x: Features
    y: Labels

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """Prepared data of a case.

    `sha256` covers everything that shaped it; `stand_in` names what replaced the real thing.
    `vectors` is the (input_dim, output_dim) float32 table of a pretrained Embedding, None where the case has none;
    `found` is the share of the data's words that have one in the file, None where it was generated.
    """

    name: str
    sha256: str
    train: Examples
    validation: Examples | None = None
    test: Examples | None = None
    vectors: NDArray[np.float32] | None = None
    found: float | None = None
    stand_in: str | None = None
