"""Layers in one line, and which documented accuracy stands for a case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.cases import describe
from bench.report.figures import figures
from bench.spec import (
    GRU,
    KERAS_2_3,
    KERAS_3,
    LSTM,
    SGD,
    ActivationLayer,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Case,
    Conv1D,
    Dense,
    Documented,
    Embedding,
    Epoch,
    Flatten,
    Glove,
    Imdb,
    Layer,
    MaxPooling1D,
    RandomRows,
    Score,
    SpatialDropout1D,
    Suite,
    Training,
    Word2Vec,
)


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
        (Conv1D(32, 7, "relu"), "Conv1D(32,7,relu)"),
        (Conv1D(32, 7, strides=2, padding="same"), "Conv1D(32,7,strides=2,same)"),
        (MaxPooling1D(), "MaxPooling1D"),
        (AveragePooling1D(5, 2, "same"), "AveragePooling1D(5,strides=2,same)"),
        (BatchNormalization(0.9, 1e-5), "BatchNormalization(momentum=0.9,epsilon=1e-05)"),
        (SpatialDropout1D(0.2), "SpatialDropout1D(0.2)"),
        (
            Bidirectional(LSTM(100, return_sequences=True, dropout=0.1)),
            "Bidirectional(LSTM(100,sequences,dropout=0.1))",
        ),
    ],
)
def test_a_layer_says_what_differs_from_the_defaults(layer: Layer, text: str) -> None:
    assert describe.layer(layer) == text


def test_a_definition_is_what_decides_a_result_and_no_more() -> None:
    training = Training("rmsprop", epochs=4, validation=RandomRows(200, 100))
    case = Case(
        "a",
        data=Imdb(num_words=50, maxlen=9),
        layers=(Embedding(50, 8), LSTM(4), Dense(1, "sigmoid")),
        training=training,
    )
    suite = Suite("s", document="d", title="t", era=KERAS_2_3, cases=(case,))
    text = describe.definition(suite, case)
    assert text == (
        "Embedding(50,8) · LSTM(4) · Dense(1,sigmoid); "
        "optimizer rmsprop, epochs 4, validation RandomRows(train=200, validation=100); Keras 2.3-2.10"
    )
    assert describe.definition(suite, replace(case, documented=Documented(test=Score(loss=0.5)))) == text
    assert describe.definition(suite, replace(case, training=replace(training, batch_size=64))) != text
    assert describe.definition(replace(suite, era=KERAS_3), case) != text
    assert describe.definition(suite, replace(case, training=replace(training, clipnorm=1.0))) != text


def test_the_layers_of_a_case_say_how_many_logits_it_has() -> None:
    def shown(*ending: Layer) -> str:
        layers = (Embedding(50, 8), LSTM(4), *ending)
        return describe.layers(Case("a", Imdb(num_words=50, maxlen=9), layers, Training(SGD(), epochs=1)))

    assert shown(Dense(1), ActivationLayer("sigmoid")) == "Embedding(50,8) · LSTM(4) · Dense(1)"
    assert shown(Dense(46, "softmax")) == shown(Dense(46), ActivationLayer("softmax"))
    assert shown(Dense(46, "softmax")) == "Embedding(50,8) · LSTM(4) · Dense(46)"


@pytest.mark.parametrize(
    ("documented", "shown"),
    [
        (Documented(), None),
        (Documented(test=Score(loss=0.5)), None),
        (Documented(epochs=(Epoch(0.5, 0.6), Epoch(0.4, 0.7, 0.5, 0.65))), ("val", 0.65)),
        (Documented(epochs=(Epoch(0.4, 0.7, 0.5, 0.65),)), ("val, epoch 1", 0.65)),
        (Documented(epochs=(Epoch(0.4, 0.7, 0.5, 0.65), Epoch(0.5, 0.6))), ("val, epoch 1", 0.65)),
        (Documented(validation=Score(0.5), epochs=(Epoch(0.4, 0.7, 0.5, 0.65),)), ("val, epoch 1", 0.65)),
        (Documented(validation=Score(accuracy=0.8), train=Score(accuracy=0.9)), ("val", 0.8)),
        (Documented(validation=Score(accuracy=0.8), test=Score(accuracy=0.7)), ("test", 0.7)),
    ],
)
def test_the_printed_accuracy_is_the_figure_that_tables_judge(
    documented: Documented, shown: tuple[str, float] | None
) -> None:
    layers = (Embedding(50, 8), LSTM(4), Dense(1, "sigmoid"))
    case = Case("c", Imdb(num_words=50, maxlen=9), layers, Training("adam", epochs=2), documented)
    assert describe.documented_accuracy(case) == shown
    (judged,) = (figure for figure in figures(case, documented) if figure.main and figure.sampled)
    assert shown in (None, (judged.name, judged.score.accuracy))
