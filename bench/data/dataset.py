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
        starts, ends = self.offsets[rows], self.offsets[rows + 1]
        lengths = ends - starts
        positions = np.repeat(starts - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths) + np.arange(
            lengths.sum()
        )
        out[np.repeat(np.arange(len(rows)), lengths), self.ids[positions]] = 1.0
        return out


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
