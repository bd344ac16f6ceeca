"""Generated numbers in place of a user's own arrays: labels that any layer can learn, and none perfectly.

Every row has a centre, that of its class plus noise, and every time step the centre plus more noise. Centres of two
classes lie 2.56 standard deviations of a row's noise apart: the best rule is right on 90 % of the rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.randomness import stream
from bench.spec import EmbeddedFeatures

VERSION = 1
"""Raised whenever the generator changes what it writes."""
_APART = 1.28
"""Standard deviations that a class lies from the mean of all, on average."""


def arrays(spec: EmbeddedFeatures) -> dict[str, NDArray[Any]]:
    """Return `train.x`, `train.y` and so on of the parts that have rows, always the same.

    Classes are equally frequent, and no part depends on the size of another.
    """
    random = stream("embedded features", VERSION, "centres", *spec.shape)
    centres = random.standard_normal((spec.classes, spec.shape[-1])) + np.linspace(-1, 1, spec.classes)[:, None]
    centres -= centres.mean(0)
    centres *= _APART / np.sqrt(np.mean(np.sum(centres**2, axis=1)))
    sizes = {"train": spec.train, "validation": spec.validation, "test": spec.test}
    written: dict[str, NDArray[Any]] = {}
    for part, rows in sizes.items():
        if rows:
            random = stream("embedded features", VERSION, part)
            labels = random.permutation(np.arange(rows) % spec.classes)
            x = centres[labels] + random.standard_normal((rows, spec.shape[-1]))
            if len(spec.shape) == 2:
                x = x[:, None] + random.standard_normal((rows, *spec.shape))
            written |= {f"{part}.x": x.astype(np.float32), f"{part}.y": labels.astype(np.int32)}
    return written
