"""Which rows are trained, validated and tested on, where data declares shares of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError


def shares(path: Path, labels: Sequence[Any] | NDArray[Any], parts: dict[str, float], seed: int) -> dict[str, Any]:
    """Return the rows of `train` and of each part, in the random order of scikit-learn's stratified split.

    `parts` are shares of all rows; the rows of the first part are drawn first. Raises `DataError` for too few rows.
    """
    from sklearn.model_selection import train_test_split

    labels = np.asarray(labels)
    rows, found = np.arange(len(labels)), {}
    for part, share in parts.items():
        try:
            # As many rows as `test_size=share` takes of all of them.
            wanted = math.ceil(share * len(labels))
            rows, found[part] = train_test_split(rows, test_size=wanted, random_state=seed, stratify=labels[rows])
        except ValueError as error:
            raise DataError(
                f"{path}: cannot be split: {error}; give more rows of each label or other shares"
            ) from error
    return {"train": rows, **found}
