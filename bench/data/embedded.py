"""The embedded corpus: generated reviews that need no network, and whose label needs word order.

The reviews are ids exactly as Keras's IMDB has them (0 padding, which never occurs here, 1 start of a review, 2 out of vocabulary, the word of
rank r has id r + 3), with IMDB's lengths and word frequencies. They are written by this grammar::

    review      ::=  START clause clause clause ...         cut to the review's length
    clause      ::=  filler{3,8} opinion
    opinion     ::=  verdict                                "dull"
                  |  concession BUT verdict                 "funny but dull"
                  |  verdict NOT concession                 "dull, not funny"
    verdict     ::=  word{2,4}    words of the polarity that is the review's label
    concession  ::=  word{2,4}    as many words of the opposite polarity

Each word of the vocabulary has one role, fixed by its rank: positive, negative, BUT, NOT or filler. Two reviewers in five are *plain*: every
opinion of theirs is a bare verdict. The others are *balanced*: every opinion of theirs is one of the two contrasts, either as often.

So counting words settles the label of a plain review and says nothing at all about a balanced one, which holds as many positive as
negative words whatever its label: a bag of words cannot do better than 2/5 + 3/5 * 1/2 = 70 %, however long the reviews are and however many
there are (an opinion cut in two at the end of a row gives it a little more). Whoever knows what stands before and behind BUT and NOT gets
every review right. Any window of twenty words or more holds a whole opinion, so cutting rows at either end does not change this.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.data.text import Ragged
from bench.spec import Embedded
from bench.streams import stream

VERSION = 1
"""Raised whenever the generator changes what it writes."""

START, OUT_OF_VOCABULARY, INDEX_FROM = 1, 2, 3
"""Keras's `imdb.load_data`: `start_char`, `oov_char`, `index_from`."""

VOCABULARY = 88_584
"""The number of words in Keras's `imdb_word_index.json`."""

# Measured on the 25,000 training reviews of imdb.npz. Lengths count the start id; shares are those of the running words (start not counted).
_LENGTH_QUANTILES = {
    0.0: 11,
    0.01: 44,
    0.05: 66,
    0.1: 93,
    0.2: 123,
    0.3: 137,
    0.4: 155,
    0.5: 178,
    0.6: 210,
    0.7: 257,
    0.8: 331,
    0.9: 467,
    0.95: 610,
    0.99: 926,
    0.999: 1084,
    1.0: 2494,
}
_SHARE_OF_RANK = {
    1: 5.656e-2,
    2: 2.761e-2,
    3: 2.743e-2,
    4: 2.454e-2,
    5: 2.284e-2,
    6: 1.806e-2,
    7: 1.714e-2,
    8: 1.581e-2,
    9: 1.330e-2,
    10: 1.298e-2,
    20: 5.753e-3,
    50: 2.397e-3,
    100: 1.285e-3,
    200: 5.661e-4,
    500: 2.115e-4,
    1_000: 1.010e-4,
    2_000: 4.392e-5,
    5_000: 1.380e-5,
    10_000: 5.216e-6,
    20_000: 1.683e-6,
    50_000: 3.365e-7,
    88_584: 1.683e-7,
}

_FILLER, _POSITIVE, _NEGATIVE, _BUT, _NOT = range(5)
# Roles by rank are laid out so that each role's share of the running words in IMDB is the share that the grammar gives it.
_BUT_RANK, _NOT_RANK, _FIRST_OPINION_RANK = 2, 3, 11
_ROLE_PATTERN = (_POSITIVE, _NEGATIVE, _FILLER, _NEGATIVE, _POSITIVE, _FILLER, _FILLER)

_PLAIN_SHARE = 0.4
_FILLERS = (3, 8)
_RUN = (2, 4)

_DIRECTION_LENGTH = 4.0
_NOISE = 0.4


class Reviews(NamedTuple):
    """Unpadded reviews and their labels: `ids` are int32, `labels` (n,) float32 zeros and ones."""

    ids: Ragged
    labels: NDArray[np.float32]


class Corpus(NamedTuple):
    """The three parts of the embedded corpus; a part of no rows is None."""

    train: Reviews
    validation: Reviews | None
    test: Reviews | None


def corpus(spec: Embedded) -> Corpus:
    """Return the reviews that `spec` asks for, always the same; half of the labels of each part are 1.

    Only `num_words` and the numbers of rows matter here, and one part's rows do not depend on another's number: padding is the caller's.
    """
    return Corpus(
        _write("train", spec.train, spec.num_words),
        _write("validation", spec.validation, spec.num_words) if spec.validation else None,
        _write("test", spec.test, spec.num_words) if spec.test else None,
    )


def vectors(num_words: int, dimension: int) -> NDArray[np.float32]:
    """Return "pretrained" vectors for the corpus, shape (num_words, dimension): what a large corpus would teach about its words.

    Words of one role share a direction, the two polarities an opposite one, fillers none; to each component noise is added that is the word's own.
    The rows of padding, start, out-of-vocabulary and the unused id 3 are zero, as a table filled from a word index has them.
    """
    random = stream("embedded", VERSION, "vectors", dimension)
    polarity, but, negation = random.standard_normal((3, dimension))
    directions = np.stack([np.zeros(dimension), polarity, -polarity, but, negation])
    directions[1:] *= _DIRECTION_LENGTH / np.linalg.norm(directions[1:], axis=1, keepdims=True)
    words = min(max(num_words - INDEX_FROM - 1, 0), VOCABULARY)
    table = np.zeros((num_words, dimension), np.float32)
    table[INDEX_FROM + 1 : INDEX_FROM + 1 + words] = directions[_roles()[:words]] + random.normal(0.0, _NOISE, (words, dimension))
    return table


def sha256(made: Corpus) -> str:
    """Return the hash of all ids (little-endian int32), offsets (int64) and labels (float32), part by part."""
    digest = hashlib.sha256()
    for part in made:
        if part is not None:
            digest.update(part.ids.ids.astype("<i4").tobytes())
            digest.update(part.ids.offsets.astype("<i8").tobytes())
            digest.update(part.labels.astype("<f4").tobytes())
    return digest.hexdigest()


def _write(part: str, rows: int, num_words: int) -> Reviews:
    random = stream("embedded", VERSION, part)
    labels = random.permutation(np.arange(rows) % 2)
    lengths = np.rint(np.interp(random.random_sample(rows), list(_LENGTH_QUANTILES), list(_LENGTH_QUANTILES.values()))).astype(np.int64)
    roles = _role_sequence(random, labels, lengths)
    ids = _words(random, roles) + INDEX_FROM
    ids[ids >= num_words] = OUT_OF_VOCABULARY
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    ids[offsets[:-1]] = START
    return Reviews(Ragged(ids.astype(np.int32), offsets), labels.astype(np.float32))


def _role_sequence(random: np.random.RandomState, labels: NDArray[np.int_], lengths: NDArray[np.int64]) -> NDArray[np.int8]:
    """Return the role of every word of every review, one review after the other (a filler where the start id will stand)."""
    plain = random.random_sample(len(labels)) < _PLAIN_SHARE
    clauses = lengths // (_FILLERS[0] + _RUN[0]) + 1  # enough to fill a review of the shortest clauses
    review = np.repeat(np.arange(len(labels)), clauses)

    fillers = random.randint(_FILLERS[0], _FILLERS[1] + 1, len(review))
    run = random.randint(_RUN[0], _RUN[1] + 1, len(review))
    negated = random.random_sample(len(review)) < 0.5
    contrast = ~plain[review]
    verdict = np.where(labels[review] == 1, _POSITIVE, _NEGATIVE)
    concession = np.where(labels[review] == 1, _NEGATIVE, _POSITIVE)

    roles = [
        np.full(len(review), _FILLER),
        np.where(contrast & ~negated, concession, verdict),
        np.where(negated, _NOT, _BUT),
        np.where(negated, concession, verdict),
    ]
    counts = np.stack([fillers, run, contrast, run * contrast], axis=1)
    sequence = np.repeat(np.stack(roles, axis=1).astype(np.int8).ravel(), counts.ravel())

    written = np.bincount(review, weights=counts.sum(axis=1)).astype(np.int64)
    position = np.arange(len(sequence)) - np.repeat(np.cumsum(written) - written, written)
    return _with_start(sequence[position < np.repeat(lengths - 1, written)], lengths)


def _with_start(words: NDArray[np.int8], lengths: NDArray[np.int64]) -> NDArray[np.int8]:
    return np.insert(words, np.cumsum(lengths - 1) - (lengths - 1), _FILLER)


def _words(random: np.random.RandomState, roles: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return a rank for every role, drawn among the ranks of that role as often as IMDB uses them."""
    shares, role_of = _shares(), _roles()
    ranks = np.empty(len(roles), np.int64)
    for role in range(_NOT + 1):
        places = np.flatnonzero(roles == role)
        of_role = np.flatnonzero(role_of == role)
        cumulative = np.cumsum(shares[of_role])
        drawn = np.searchsorted(cumulative / cumulative[-1], random.random_sample(len(places)), side="right")
        ranks[places] = of_role[drawn] + 1
    return ranks


def _roles() -> NDArray[np.int8]:
    """Return the role of each word by rank: element r - 1 is that of rank r."""
    rank = np.arange(1, VOCABULARY + 1)
    pattern = np.array(_ROLE_PATTERN, np.int8)
    roles = np.where(rank < _FIRST_OPINION_RANK, np.int8(_FILLER), pattern[(rank - _FIRST_OPINION_RANK) % len(pattern)])
    roles[_BUT_RANK - 1] = _BUT
    roles[_NOT_RANK - 1] = _NOT
    return roles


def _shares() -> NDArray[np.float64]:
    """Return each rank's share of the running words: IMDB's, straight lines between the known ranks on double logarithmic paper."""
    known = np.log(list(_SHARE_OF_RANK))
    shares = np.exp(np.interp(np.log(np.arange(1, VOCABULARY + 1)), known, np.log(list(_SHARE_OF_RANK.values()))))
    return shares / shares.sum()
