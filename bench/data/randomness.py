"""Random streams: one independent, reproducible stream for every purpose of every (case, seed).

NumPy's legacy `RandomState` is used because its streams are frozen: the same numbers under every NumPy version.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(*parts: str | int) -> np.random.RandomState:
    """Return the stream named by `parts`, e.g. `stream("order", "imdb-rnn/lstm", seed, epoch)`."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return np.random.RandomState(np.frombuffer(digest, dtype="<u4"))
