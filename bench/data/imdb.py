"""Keras's IMDB, read from `imdb.npz` exactly as `keras.datasets.imdb.load_data` reads it, without Keras.

The archive holds pickled object arrays. They are read only after the file's sha256 matched a known one
(`bench.data.sources`), and then without `pickle` (`bench.data.pickled`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data import npz, pickled
from bench.data.dataset import Labelled, Ragged, offsets_of
from bench.errors import DataError
from bench.records.record import from_json

START, OUT_OF_VOCABULARY, INDEX_FROM = 1, 2, 3
"""Keras's ids: 0 pads, 1 starts a review, 2 stands for a rare word, a word of rank r has the id r + 3."""

_SHUFFLE_SEED = 113
_INDEX_BYTES = 16_000_000
"""The largest word index that is read: ten times the official one."""


def load(path: Path, num_words: int) -> tuple[Labelled, Labelled]:
    """Return the train and the test half, shuffled as Keras does; ids of `num_words` and above become 2.

    Raises `DataError` when the file is not an archive of such arrays.
    """
    arrays = read_arrays(path)
    random = np.random.RandomState(_SHUFFLE_SEED)
    halves = []
    for half in ("train", "test"):
        order = np.arange(len(arrays[f"x_{half}"]))
        random.shuffle(order)
        stored = arrays[f"x_{half}"]
        reviews = with_start(stored.ids + np.int64(INDEX_FROM), np.diff(stored.offsets)).take(order)
        ids = np.where(reviews.ids < num_words, reviews.ids, np.int32(OUT_OF_VOCABULARY))
        halves.append(Labelled(Ragged(ids, reviews.offsets), arrays[f"y_{half}"][order]))
    return halves[0], halves[1]


def with_start(ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> Ragged:
    """Return the reviews of these `lengths`, which `ids` holds one after the other, each behind a start id."""
    begun = np.insert(ids, offsets_of(lengths)[:-1], START)
    return Ragged(begun.astype(np.int32), offsets_of(lengths + 1))


def word_ranks(path: Path) -> dict[str, int]:
    """Return the official word index (`imdb_word_index.json`): word to rank, 1 for the most frequent."""
    if path.stat().st_size > _INDEX_BYTES:
        raise DataError(f"{path} has more than {_INDEX_BYTES:,} bytes; replace it (`bench data list` says where from)")
    try:
        ranks = from_json(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(ranks, dict) or not all(isinstance(rank, int) and 0 < rank < 2**31 for rank in ranks.values()):
        raise DataError(f"{path} must hold an object of word: rank, ranks from 1 on")
    return ranks


def read_arrays(path: Path) -> dict[str, Any]:
    """Return x_train, y_train, x_test, y_test as stored, the reviews as `Ragged`; raise `DataError` for others."""
    arrays = npz.load(path, [f"{kind}_{half}" for half in ("train", "test") for kind in "xy"], pickled.lists)
    for half in ("train", "test"):
        reviews, labels = arrays[f"x_{half}"], arrays[f"y_{half}"]
        numbers = isinstance(labels, np.ndarray) and labels.shape == (len(reviews),) and labels.dtype.kind in "biuf"
        if not isinstance(reviews, Ragged) or not numbers:
            raise DataError(f"{path}: x_{half} must hold lists of word ranks, y_{half} a number for each; replace it")
    return arrays
