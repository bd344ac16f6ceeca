"""Keras's IMDB, read from `imdb.npz` exactly as `keras.datasets.imdb.load_data` reads it, without Keras.

The archive holds pickled object arrays. They are read only after the file's sha256 matched a known one
(`bench.data.sources`), and then by an unpickler that admits NumPy's reconstructors alone.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Labelled, Ragged, offsets_of
from bench.errors import DataError

START, OUT_OF_VOCABULARY, INDEX_FROM = 1, 2, 3
"""Keras's ids: 0 pads, 1 starts a review, 2 stands for a rare word, a word of rank r has the id r + 3."""

_SHUFFLE_SEED = 113
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,  # written by NumPy 1
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,  # written by NumPy 2
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


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
        reviews = _encoded(path, arrays[f"x_{half}"]).take(order)
        ids = np.where(reviews.ids < num_words, reviews.ids, np.int32(OUT_OF_VOCABULARY))
        halves.append(Labelled(Ragged(ids, reviews.offsets), arrays[f"y_{half}"][order]))
    return halves[0], halves[1]


def _encoded(path: Path, reviews: NDArray[Any]) -> Ragged:
    try:
        lengths = np.fromiter(map(len, reviews), np.int64, len(reviews))
        ranks = np.fromiter(chain.from_iterable(reviews), np.int64, lengths.sum())
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: reviews must be lists of word ranks: {error}") from error
    return with_start(ranks + INDEX_FROM, lengths)


def with_start(ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> Ragged:
    """Return the reviews of these `lengths`, which `ids` holds one after the other, each behind a start id."""
    begun = np.insert(ids, offsets_of(lengths)[:-1], START)
    return Ragged(begun.astype(np.int32), offsets_of(lengths + 1))


def word_ranks(path: Path) -> dict[str, int]:
    """Return the official word index (`imdb_word_index.json`): word to rank, 1 for the most frequent."""
    try:
        ranks = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(ranks, dict) or not all(isinstance(rank, int) for rank in ranks.values()):
        raise DataError(f"{path} must hold an object of word: rank")
    return ranks


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays x_train, y_train, x_test, y_test as stored; raise `DataError` for any other content."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _read(archive.read(f"{name}.npy")) for name in ("x_train", "y_train", "x_test", "y_test")}
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{path} is not an IMDB archive as Keras writes it: {error}") from error


def _read(content: bytes) -> NDArray[Any]:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"array format {version}, expected (1, 0)")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if not dtype.hasobject:
        return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)
    array = _Unpickler(stream).load()
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise ValueError(f"the pickle is not an array of shape {shape}")
    return array


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}, which is not admitted") from None
