"""Keras's `Tokenizer` and `pad_sequences`, on flat arrays.

Semantics: keras_preprocessing 1.1.2, `text.Tokenizer` and `sequence.pad_sequences`.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import count
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Ragged, offsets_of
from bench.spec import End

KERAS_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
"""The default `filters` of Keras's `Tokenizer`: everything but letters, digits, spaces and the apostrophe."""


class Tokenizer:
    """Words of texts to ranks: 1 for the most frequent word, ties in order of first occurrence; 0 is no word.

    A text is lower-cased, characters of `filters` become spaces, spaces separate words. Only ranks below `num_words`
    come out.
    """

    def __init__(self, num_words: int, filters: str = KERAS_FILTERS) -> None:
        self.num_words = num_words
        self.word_index: dict[str, int] = {}
        self._ranks: dict[bytes, int] = {}
        self._wide = str.maketrans({char: " " for char in filters if not char.isascii()})
        narrow = "".join(char for char in filters if char.isascii()).encode()
        # `bytes.split` separates at these too, for Keras they are letters: they travel as bytes that UTF-8 never uses.
        letters = bytes(char for char in b"\t\n\r\x0b\x0c" if char not in narrow)
        disguises = bytes(range(0xF8, 0xF8 + len(letters)))
        self._table = bytes.maketrans(letters + narrow, disguises + b" " * len(narrow))
        self._restore = bytes.maketrans(disguises, letters)

    def fit(self, texts: Iterable[str]) -> Ragged:
        """Learn the ranks of the words of `texts` and return the texts as sequences of ranks."""
        codes: defaultdict[bytes, int] = defaultdict(count().__next__)
        codes[b""]  # code 0 is no word
        tokens = self._codes(texts, codes)
        frequencies = np.bincount(tokens.ids, minlength=len(codes))[1:]
        by_frequency = 1 + np.argsort(-frequencies, kind="stable")
        spelt = list(codes)
        words = [spelt[code] for code in by_frequency.tolist()]
        self.word_index = {self._decoded(word): rank for rank, word in enumerate(words, start=1)}
        self._ranks = {word: rank for rank, word in enumerate(words[: self.num_words - 1], start=1)}
        ranks = np.zeros(len(codes), np.int32)
        ranks[by_frequency[: len(self._ranks)]] = np.arange(1, len(self._ranks) + 1)
        return _without_zeros(Ragged(ranks[tokens.ids], tokens.offsets))

    def sequences(self, texts: Iterable[str]) -> Ragged:
        """Return `texts` as sequences of the learnt ranks; unknown words are left out."""
        return _without_zeros(self._codes(texts, defaultdict(int, self._ranks)))

    def words(self) -> list[str]:
        """Return the words whose ranks come out, rank 1 first."""
        return list(self.word_index)[: self.num_words - 1]

    def _codes(self, texts: Iterable[str], codes: Mapping[bytes, int]) -> Ragged:
        """Return what `codes` says of the words of each text, and of b"" at its end."""
        pieces, lengths = [], []
        for text in texts:
            words = self._split(text)
            # An itemgetter looks many words up without a call for each; it gives a tuple when it has at least two keys.
            pieces.append(array("i", itemgetter(*words, b"", b"")(codes)).tobytes())
            lengths.append(len(words) + 2)
        return Ragged(np.frombuffer(b"".join(pieces), np.int32), offsets_of(lengths))

    def _split(self, text: str) -> list[bytes]:
        # As bytes: replacing is eight times as fast as `str.translate`, and splitting leaves no empty words to drop.
        text = text.lower()
        if self._wide:
            text = text.translate(self._wide)
        return text.encode("utf-8", "surrogatepass").translate(self._table).split()

    def _decoded(self, word: bytes) -> str:
        return word.translate(self._restore).decode("utf-8", "surrogatepass")


def _without_zeros(sequences: Ragged) -> Ragged:
    """Return the sequences, none of which is empty, without their zeros."""
    keep = sequences.ids != 0
    return Ragged(sequences.ids[keep], offsets_of(np.add.reduceat(keep, sequences.offsets[:-1], dtype=np.int64)))


def pad_sequences(sequences: Ragged, maxlen: int, padding: End = "pre", truncating: End = "pre") -> NDArray[np.int32]:
    """Return a (len(sequences), maxlen) matrix: too long rows cut, too short ones filled with 0, on the named sides."""
    lengths = np.diff(sequences.offsets)
    kept = np.minimum(lengths, maxlen)
    skipped = lengths - kept if truncating == "pre" else np.zeros_like(lengths)
    first = maxlen - kept if padding == "pre" else np.zeros_like(kept)
    out = np.zeros((len(sequences), maxlen), np.int32)
    within = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    rows = np.repeat(np.arange(len(sequences)), kept)
    out[rows, within + first[rows]] = sequences.ids[within + (sequences.offsets[:-1] + skipped)[rows]]
    return out
