"""The embedded corpus: generated reviews that need no network, and whose label needs word order.

The reviews are ids exactly as Keras's IMDB has them (0 padding, which never occurs here, 1 start of a review, 2 out of
vocabulary, the word of rank r has id r + 3), with IMDB's lengths and word frequencies. They follow this grammar::

    review      ::=  START clause clause clause ...      cut to the review's length
    clause      ::=  filler{3,8} opinion
    opinion     ::=  verdict                             "dull"
                  |  concession BUT verdict              "funny but dull"
                  |  verdict NOT concession              "dull, not funny"
    verdict     ::=  word{2,4}      words of the polarity that is the review's label
    concession  ::=  word{2,4}      words of the opposite polarity, as many as the verdict beside it has

Each word of the vocabulary has one role, fixed by its rank: positive, negative, BUT, NOT or filler. Two reviewers in
five are *plain*: all their opinions are bare verdicts. The others are *balanced*: all their opinions are contrasts, of
either kind equally often.

So counting words settles the label of a plain review and says nothing about a balanced one, which holds as many
positive as negative words whatever its label. A bag of words is right on 2/5 + 3/5 * 1/2 = 70 % of the reviews, however
many and however long they are (a little more only where a row's end cuts an opinion in two). Whoever knows what stands
before and behind BUT and NOT gets every review right. A clause has 11 words on average and 17 at most, so this holds
for any stretch of a review: rows may be cut to some tens of words at either end.

Of more than two classes, every two share a topic: label c is of topic c // 2 and has the polarity c % 2. The opinion
words are shared out among the topics, and a review takes those of its own.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Labelled
from bench.data.imdb import INDEX_FROM, OUT_OF_VOCABULARY, with_start
from bench.data.randomness import stream
from bench.spec import Embedded

VERSION = 1
"""Raised whenever the generator changes what it writes."""

_FIRST_ID = INDEX_FROM + 1

VOCABULARY = 88_584
"""The number of words in Keras's `imdb_word_index.json`."""

# Measured on the 25,000 training reviews of imdb.npz (`tests/data/test_embedded.py` compares again). Lengths count the
# start id; shares are those of the running words, the start id not among them.
_QUANTILES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
_LENGTHS = (11, 26, 44, 66, 93, 123, 137, 155, 178, 210, 257, 331, 467, 610, 926, 1084, 2494)
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


class Role(IntEnum):
    """What a word does in the grammar."""

    FILLER = 0
    POSITIVE = 1
    NEGATIVE = 2
    BUT = 3
    NOT = 4


# Laid out so that the words of a role make up about the share of IMDB's running words that the grammar gives the role.
_BUT_RANK, _NOT_RANK, _FIRST_OPINION_RANK = 2, 3, 11
_ROLE_PATTERN = np.array(
    [Role.POSITIVE, Role.NEGATIVE, Role.FILLER, Role.NEGATIVE, Role.POSITIVE, Role.FILLER, Role.FILLER], np.int8
)

_PLAIN_SHARE = 0.4
_FILLERS = (3, 8)
_RUN = (2, 4)

# The noise is about as large as the components of GloVe 6B 50d are (0.71 over its 10,000 first words).
_NOISE = 0.6
_DIRECTION_LENGTH = 2.0


def corpus(spec: Embedded) -> dict[str, Labelled]:
    """Return the parts that `spec` asks for, always the same: train, validation and test, those that have rows.

    A part has as many rows of each label, and no part depends on the size of another. Padding is the caller's.
    """
    sizes = {"train": spec.train, "validation": spec.validation, "test": spec.test}
    return {part: _write(part, rows, spec.num_words, spec.classes) for part, rows in sizes.items() if rows}


def vectors(num_words: int, dimension: int, offset: int = INDEX_FROM) -> NDArray[np.float32]:
    """Return "pretrained" vectors, shape (num_words, dimension): what much text would teach about these words.

    Words of one role share a direction, the two polarities opposite ones, fillers have none; every word adds noise. The
    word of rank r fills row r + `offset`, as in a table filled from a word index: its own row by default, another
    word's with any other offset. The rows before that of rank 1 are zero.
    """
    random = stream("embedded", VERSION, "vectors", dimension)
    polarity, but, negation = (
        _DIRECTION_LENGTH * v / np.linalg.norm(v) for v in random.standard_normal((3, dimension))
    )
    directions = np.stack([np.zeros(dimension), polarity, -polarity, but, negation])
    words = max(num_words - offset - 1, 0)
    role = roles(_FIRST_ID + words)
    by_id = directions[role] + random.normal(0.0, _NOISE, (len(role), dimension))
    table = np.zeros((num_words, dimension), np.float32)
    table[num_words - words :] = by_id[_FIRST_ID:]
    return table


def roles(num_words: int) -> NDArray[np.int8]:
    """Return the role of every id below `num_words`, shape (num_words,); ids that are no words are fillers."""
    rank = np.arange(num_words) - INDEX_FROM
    role = _ROLE_PATTERN[(rank - _FIRST_OPINION_RANK) % len(_ROLE_PATTERN)]
    role[rank < _FIRST_OPINION_RANK] = Role.FILLER
    role[rank == _BUT_RANK] = Role.BUT
    role[rank == _NOT_RANK] = Role.NOT
    return role


def _write(part: str, rows: int, num_words: int, classes: int) -> Labelled:
    random = stream("embedded", VERSION, part)
    labels = random.permutation(np.arange(rows) % classes)
    words = np.rint(np.interp(random.random_sample(rows), _QUANTILES, _LENGTHS)).astype(np.int64) - 1
    topics = np.repeat(labels // 2, words)
    ids = _ranks(random, _role_sequence(random, labels % 2, words), topics, -(-classes // 2)) + INDEX_FROM
    ids[ids >= num_words] = OUT_OF_VOCABULARY
    return Labelled(with_start(ids, words), labels.astype(np.float32))


def _role_sequence(
    random: np.random.RandomState, labels: NDArray[np.int_], lengths: NDArray[np.int64]
) -> NDArray[np.int8]:
    """Return the roles of the words of all reviews, one review after the other; `lengths` leaves the start out."""
    plain = random.random_sample(len(labels)) < _PLAIN_SHARE
    clauses = lengths // (_FILLERS[0] + _RUN[0]) + 1  # enough to fill a review of the shortest clauses
    review = np.repeat(np.arange(len(labels)), clauses)

    fillers = random.randint(_FILLERS[0], _FILLERS[1] + 1, len(review))
    run = random.randint(_RUN[0], _RUN[1] + 1, len(review))
    negated = random.random_sample(len(review)) < 0.5
    contrast = ~plain[review]
    verdict = np.where(labels[review] == 1, Role.POSITIVE, Role.NEGATIVE)
    concession = np.where(labels[review] == 1, Role.NEGATIVE, Role.POSITIVE)

    segments = [
        np.full(len(review), Role.FILLER),
        np.where(contrast & ~negated, concession, verdict),
        np.where(negated, Role.NOT, Role.BUT),
        np.where(negated, concession, verdict),
    ]
    counts = np.stack([fillers, run, contrast, run * contrast], axis=1)
    sequence = np.repeat(np.stack(segments, axis=1).astype(np.int8).ravel(), counts.ravel())

    written = np.bincount(review, weights=counts.sum(axis=1)).astype(np.int64)
    position = np.arange(len(sequence)) - np.repeat(np.cumsum(written) - written, written)
    return sequence[position < np.repeat(lengths, written)]


def _ranks(
    random: np.random.RandomState, sequence: NDArray[np.int8], topics: NDArray[np.int_], number: int
) -> NDArray[np.int64]:
    """Return a rank for every role, drawn among the ranks of that role as often as IMDB uses them.

    Opinion words are shared out among the topics, by turns; `topics` is that of each word's review.
    """
    shares, role_of = _shares(), roles(_FIRST_ID + VOCABULARY)[_FIRST_ID:]
    ranks = np.empty(len(sequence), np.int64)
    for role in Role:
        opinion = role in (Role.POSITIVE, Role.NEGATIVE)
        for topic in range(number if opinion else 1):
            places = np.flatnonzero((sequence == role) & (topics == topic) if opinion else sequence == role)
            of_role = np.flatnonzero(role_of == role)[topic :: number if opinion else 1]
            cumulative = np.cumsum(shares[of_role])
            drawn = np.searchsorted(cumulative / cumulative[-1], random.random_sample(len(places)), side="right")
            ranks[places] = of_role[drawn] + 1
    return ranks


def _shares() -> NDArray[np.float64]:
    """Return each rank's share of the running words: IMDB's, linear in the logarithms between the known ranks."""
    known = np.log(list(_SHARE_OF_RANK))
    shares = np.exp(np.interp(np.log(np.arange(1, VOCABULARY + 1)), known, np.log(list(_SHARE_OF_RANK.values()))))
    return np.asarray(shares / shares.sum())
