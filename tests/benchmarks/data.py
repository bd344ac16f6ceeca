"""What preparing data costs beside the documents' own way, in alternation, as ratios.

    python tests/benchmarks/data.py

Needs the real data (`BENCH_DATA_DIR`) and keras_preprocessing. Prints: tokenising and padding the 25,000 train reviews
against Keras's `Tokenizer`; GloVe 50d from the zip into a matrix against document 003's loop; opening prepared data.
"""

from __future__ import annotations

import statistics
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from keras.utils import pad_sequences as keras_pad_sequences
from keras_preprocessing.text import Tokenizer as KerasTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.cases.catalog import load
from bench.cases.model import embedding_of
from bench.data import prepare, reviews, stand_ins_for
from bench.data.sources import obtain
from bench.data.text import Tokenizer, pad_sequences
from bench.data.vectors import load_glove
from tests.benchmarks.figures import say

ROUNDS = 3
NUM_WORDS, MAXLEN, DIMENSION = 10_000, 100, 50


def compare(name: str, what: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Print the seconds of both in alternation and the median ratio."""
    ratios, last = [], (0.0, 0.0)
    for number in range(ROUNDS):
        seconds = [0.0, 0.0]
        for side in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            (ours, theirs)[side]()
            seconds[side] = time.perf_counter() - start
        last = seconds[0], seconds[1]
        ratios.append(seconds[0] / seconds[1])
    print(f"{what}: {last[0]:.2f} s against {last[1]:.2f} s, median ratio {statistics.median(ratios):.3f} of {ROUNDS}")
    say(**{name: statistics.median(ratios)})


def main() -> None:
    """Print the three comparisons."""
    (texts, _), _ = reviews.load(obtain("aclImdb")[0])

    def our_tokenizer() -> dict[str, int]:
        tokenizer = Tokenizer(NUM_WORDS)
        pad_sequences(tokenizer.fit(texts), MAXLEN)
        return tokenizer.word_index

    def keras_tokenizer() -> None:
        tokenizer = KerasTokenizer(num_words=NUM_WORDS)
        tokenizer.fit_on_texts(texts)
        keras_pad_sequences(tokenizer.texts_to_sequences(texts), maxlen=MAXLEN)

    compare("tokenise", "tokenise and pad 25,000 reviews", our_tokenizer, keras_tokenizer)
    rows = {word: row for word, row in our_tokenizer().items() if row < NUM_WORDS}
    archive, _ = obtain("glove.6B.50d")

    def document_loop() -> None:
        vectors = {}
        with zipfile.ZipFile(archive) as opened, opened.open("glove.6B.50d.txt") as lines:
            for line in lines:
                values = line.split()
                vectors[values[0].decode("UTF-8")] = np.asarray(values[1:], dtype="float32")
        matrix = np.zeros((NUM_WORDS, DIMENSION))
        for word, row in rows.items():
            if word in vectors:
                matrix[row] = vectors[word]

    compare(
        "vectors", "GloVe 50d into a matrix", lambda: load_glove(archive, rows, NUM_WORDS, DIMENSION), document_loop
    )
    _, case = load().case("movie-reviews/lstm")
    embedding = embedding_of(case)
    seconds = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        prepare(case.data, embedding, stand_ins_for(case.data, embedding, {}))
        seconds.append(time.perf_counter() - start)
    print(f"opening the prepared data of movie-reviews: {1000 * statistics.median(seconds[1:]):.1f} ms")
    say(opening=1000 * statistics.median(seconds[1:]))


if __name__ == "__main__":
    main()
