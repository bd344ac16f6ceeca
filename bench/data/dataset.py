"""What data preparation hands to training: features, labels, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


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
        ids, offsets = gather(self.ids, self.offsets, rows)
        out[np.repeat(np.arange(len(rows)), np.diff(offsets)), ids] = 1.0
        return out


def gather(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], rows: Rows
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return ids and offsets of the sequences `rows` of ragged ones: sequence i is `ids[offsets[i]:offsets[i+1]]`."""
    starts, lengths = offsets[rows], offsets[rows + 1] - offsets[rows]
    taken = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    positions = np.repeat(starts - taken[:-1], lengths) + np.arange(taken[-1])
    return ids[positions], taken


def take(x: Features, rows: Rows) -> Features:
    """Return some rows of `x` as what `x` is: a `MultiHot` stays ragged, its rows are not made."""
    return MultiHot(*gather(x.ids, x.offsets, rows), x.width) if isinstance(x, MultiHot) else x[rows]


@dataclass(frozen=True)
class Part:
    """Rows and their labels: `x` is (n, maxlen) int32 ids or a `MultiHot`, `y` is (n,) float32 of zeros and ones."""

    x: Features
    y: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """Prepared data of a case.

    `sha256` covers everything that shaped it; `stand_in` names what replaced the real thing.
    `vectors` is the (input_dim, output_dim) float32 table of a pretrained Embedding, None where the case has none.
    """

    name: str
    sha256: str
    train: Part
    validation: Part | None = None
    test: Part | None = None
    vectors: NDArray[np.float32] | None = None
    stand_in: str | None = None
