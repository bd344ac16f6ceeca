"""Layers in one line, and which documented accuracy stands for a case."""

from __future__ import annotations

import pytest

from bench import describe
from bench.spec import GRU, LSTM, Bidirectional, Documented, Embedding, Epoch, Flatten, Glove, Layer, Score, Word2Vec


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Embedding(5000, 32), "Embedding(5000,32)"),
        (
            Embedding(10, 50, vectors=Glove(50), trainable=False, mask_zero=True),
            "Embedding(10,50,GloVe,frozen,mask_zero)",
        ),
        (Embedding(10, 300, vectors=Word2Vec(offset=3)), "Embedding(10,300,word2vec+3)"),
        (Flatten(), "Flatten"),
        (GRU(100, reset_after=False), "GRU(100,reset_after=False)"),
        (
            Bidirectional(LSTM(100, return_sequences=True, dropout=0.1)),
            "Bidirectional(LSTM(100,sequences,dropout=0.1))",
        ),
    ],
)
def test_a_layer_says_what_differs_from_the_defaults(layer: Layer, text: str) -> None:
    assert describe.layer(layer) == text


@pytest.mark.parametrize(
    ("figures", "shown"),
    [
        (Documented(), None),
        (Documented(test=Score(loss=0.5)), None),
        (Documented(epochs=(Epoch(0.5, 0.6), Epoch(0.4, 0.7, 0.5, 0.65))), ("val", 0.65)),
        (Documented(epochs=(Epoch(0.4, 0.7, 0.5, 0.65), Epoch(0.5, 0.6))), ("val, epoch 1", 0.65)),
        (Documented(validation=Score(accuracy=0.8), train=Score(accuracy=0.9)), ("val", 0.8)),
        (Documented(validation=Score(accuracy=0.8), test=Score(accuracy=0.7)), ("test", 0.7)),
    ],
)
def test_the_test_accuracy_comes_before_that_of_the_validation(
    figures: Documented, shown: tuple[str, float] | None
) -> None:
    assert describe.documented_accuracy(figures) == shown
