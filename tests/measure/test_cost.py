"""Parameter counts on the declaration."""

from __future__ import annotations

from bench.measure.cost import parameters
from bench.model import resolve
from bench.spec import KERAS_2_0, LSTM, Case, Dense, Embedding, Glove, Imdb, Suite, Training

CASE = Case(
    "lstm",
    data=Imdb(num_words=10000, maxlen=40),
    layers=(Embedding(10000, 50, vectors=Glove(50), trainable=False), LSTM(100), Dense(1, "sigmoid")),
    training=Training("adam", epochs=1),
)
SUITE = Suite("movies", document="003", title="workshop", era=KERAS_2_0, cases=(CASE,))


def test_counts_equal_the_summary_that_keras_printed() -> None:
    # Document 003, cell 41: total 560,501, trainable 60,501, non-trainable 500,000.
    counts = parameters(resolve(SUITE, CASE, "documented"))
    assert (counts.total, counts.trainable, counts.frozen) == (560_501, 60_501, 500_000)
    assert [(layer.name, layer.total, layer.trainable) for layer in counts.layers] == [
        ("embedding", 500_000, 0),
        ("lstm", 60_400, 60_400),
        ("dense", 101, 101),
    ]


def test_the_declaration_stores_what_the_model_has() -> None:
    counts = parameters(resolve(SUITE, CASE, "documented"))
    assert counts.stored == counts.total
    assert [layer.stored for layer in counts.layers] == [layer.total for layer in counts.layers]
