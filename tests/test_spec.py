"""Declarations refuse what cannot be meant, and say what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from bench.spec import (
    GRU,
    KERAS_3,
    LSTM,
    SGD,
    ActivationLayer,
    AdamW,
    Arrays,
    Bidirectional,
    Case,
    CosineDecay,
    Data,
    Dense,
    Dropout,
    EarlyStopping,
    Embedded,
    Embedding,
    ExponentialDecay,
    Flatten,
    Glove,
    Imdb,
    LastFraction,
    Layer,
    PiecewiseConstantDecay,
    RandomRows,
    Score,
    Suite,
    TestSet,
    TextCsv,
    Training,
    Word2Vec,
    parts,
)

IDS, FLOATS = Arrays("own.npz", num_words=10, maxlen=5, test=0.2), Arrays("own.npz", shape=(5, 3), test=0.2)


def case(*layers: Layer, name: str = "lstm", data: Data | None = None) -> Case:
    return Case(name, data=data or Imdb(num_words=10, maxlen=5), layers=layers, training=Training("adam", epochs=1))


def valid() -> Case:
    return case(Embedding(10, 4), LSTM(3), Dense(1, "sigmoid"))


@pytest.mark.parametrize(
    ("declare", "field", "message"),
    [
        (lambda: LSTM(units=-3), "units", "greater than 0"),
        (lambda: LSTM(units=0), "units", "greater than 0"),
        (lambda: GRU(units=3, dropout=1.0), "dropout", "less than 1"),
        (lambda: Dropout(rate=-0.1), "rate", "greater than or equal to 0"),
        (lambda: Dense(units=1, activation="selu"), "activation", "'relu'"),  # type: ignore[arg-type]
        (lambda: LSTM(3, unit=4), "unit", "Unexpected keyword"),  # type: ignore[call-arg]
        (lambda: Glove(dimension=51), "dimension", "50, 100, 200 or 300"),  # type: ignore[arg-type]
        (lambda: LastFraction(fraction=1.0), "fraction", "less than 1"),
        (lambda: Score(accuracy=75.6), "accuracy", "less than or equal to 1"),
        (lambda: Training("adam", epochs=0), "epochs", "greater than 0"),
        (lambda: Training("adam", 1, clipnorm=0), "clipnorm", "greater than 0"),
        (lambda: SGD(momentum=1.0), "momentum", "less than 1"),
        (lambda: AdamW(weight_decay=-0.1), "weight_decay", "greater than or equal to 0"),
        (lambda: ExponentialDecay(0.1, decay_steps=0, decay_rate=0.9), "decay_steps", "greater than 0"),
        (lambda: CosineDecay(0.1, 10, alpha=1.1), "alpha", "less than or equal to 1"),
        (lambda: case(Dense(1, "sigmoid"), name="LSTM_1"), "0", "pattern"),
    ],
)
def test_values_out_of_range_are_refused_with_their_field(declare: Callable[[], Any], field: str, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        declare()
    errors = {str(error["loc"][0]): error["msg"] for error in refused.value.errors()}
    assert message in errors[field]


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: Embedding(10, 4, vectors=Glove(50)), "output_dim is 4 but the vectors have 50 dimensions"),
        (lambda: Embedding(10, 100, vectors=Word2Vec()), "the vectors have 300 dimensions"),
        (lambda: case(), "layers must not be empty"),
        (lambda: SGD(nesterov=True), "nesterov=True needs a momentum"),
        (lambda: PiecewiseConstantDecay((5,), (0.1,)), "1 boundaries separate 2 values, got 1"),
        (lambda: PiecewiseConstantDecay((), (0.1,)), "give at least one boundary"),
        (lambda: PiecewiseConstantDecay((5, 5), (0.1, 0.2, 0.3)), "boundaries must increase"),
        (lambda: Training("adam", 1, clipnorm=1, global_clipnorm=1), "one of clipnorm, clipvalue and global_clipnorm"),
        (lambda: case(Embedding(10, 4), Flatten(), Dense(1, "softmax")), r"Dense\(n, 'softmax'\) for n >= 2"),
        (
            lambda: case(Embedding(10, 4), Flatten(), Dense(3, "relu"), ActivationLayer("softmax")),
            "an ActivationLayer behind a Dense without one",
        ),
        (
            lambda: replace(
                valid(), data=Embedded(10, maxlen=5, test=0), training=Training("adam", 1, validation=TestSet())
            ),
            "Embedded data has no test rows",
        ),
        (lambda: case(Embedding(10, 4), LSTM(3)), "layers must end with"),
        (lambda: case(Embedding(10, 4), Flatten(), Dense(2, "sigmoid")), "layers must end with"),
        (
            lambda: case(Embedding(10, 4), Flatten(), Dense(1, "relu"), ActivationLayer("sigmoid")),
            "layers must end with",
        ),
        (lambda: case(Dense(1, "sigmoid")), "layers must start with an Embedding"),
        (lambda: case(Embedding(9, 4), LSTM(3), Dense(1, "sigmoid")), "ids go up to 9; use at least 10"),
        (
            lambda: case(Embedding(10, 4), Flatten(), Dense(1, "sigmoid"), data=Imdb(num_words=10)),
            "data.maxlen is needed",
        ),
        (
            lambda: case(Embedding(10, 4), LSTM(3), Dense(1, "sigmoid"), data=Imdb(num_words=10, encoding="multi-hot")),
            "the data is multi-hot",
        ),
        (lambda: case(Dense(1, "sigmoid"), data=IDS), "layers must start with an Embedding"),
        (lambda: case(Embedding(9, 4), Flatten(), Dense(1, "sigmoid"), data=IDS), "ids go up to 9; use at least 10"),
        (
            lambda: case(Embedding(10, 4), Flatten(), Dense(1, "sigmoid"), data=FLOATS),
            "the data is numbers, not ids; .* num_words and maxlen instead of shape",
        ),
        (
            lambda: case(Bidirectional(LSTM(3)), Dense(1, "sigmoid"), data=replace(FLOATS, shape=(3,))),
            r"layers start with Bidirectional, which needs rows of \(time, features\), but the data's are \(3,\)",
        ),
        (
            lambda: case(LSTM(3), Dense(1, "sigmoid"), data=replace(FLOATS, test=None)),
            "neither validation nor test, so nothing is scored; give it a share, test=0.2",
        ),
        (lambda: Arrays("own.npy", shape=(3,)), r"file is 'own.npy'; it must end in .npz or .parquet"),
        (lambda: Arrays("own.npz"), "give num_words and maxlen where rows are ids, or else shape"),
        (lambda: Arrays("own.npz", num_words=10), "give num_words and maxlen where rows are ids, or else shape"),
        (lambda: Arrays("own.npz", shape=(3,), num_words=10, maxlen=3), "or else shape"),
        (lambda: Arrays("own.npz", shape=(2, 3, 4)), r"a row is \(features,\) or \(time, features\)"),
        (lambda: Arrays("own.npz", shape=()), r"a row is \(features,\) or \(time, features\)"),
        (lambda: Arrays("own.npz", ("a", "b"), shape=(2,)), "an .npz file holds arrays; name one"),
        (lambda: Arrays("own.parquet", ("a", "b"), shape=(3,)), r"x names 2 columns, .*; give shape=\(2,\)"),
        (lambda: Arrays("own.npz", shape=(3,), test="test.npz"), "name its two arrays, or give a share"),
        (lambda: Arrays("own.parquet", shape=(3,), test=("x", "y")), "name another file, or give a share"),
        (lambda: Arrays("own.parquet", shape=(3,), test="test.npz"), "it must end in .parquet"),
        (lambda: Arrays("own.npz", shape=(3,), validation=0.5, test=0.5), "validation and test are 0.5 and 0.5"),
        (lambda: TextCsv("own.txt", 10, 5), "it must end in .csv or .csv.gz or .parquet"),
        (lambda: TextCsv("own.csv", 10, 5, test="own.npz"), "it must end in .csv or .csv.gz or .parquet"),
        (lambda: TextCsv("own.csv", 10, 5, classes=("a", "b", "a")), "classes names a twice; name every label once"),
        (lambda: TextCsv("own.csv", 10, 5, classes=("a",)), "classes names one label"),
        (lambda: TextCsv("own.csv", 10, 5, validation=0.6, test=0.4), "leave some to train"),
        (
            lambda: case(Embedding(10, 4), Flatten(), Dense(1, "sigmoid"), data=TextCsv("own.csv", 10, test=0.1)),
            "data.maxlen is needed",
        ),
        (
            lambda: case(Embedding(10, 4), Flatten(), Dense(1, "sigmoid"), data=TextCsv("own.csv", 10, 5)),
            "neither validation nor test",
        ),
        (lambda: case(Embedding(10, 4), Embedding(10, 4), Dense(1, "sigmoid")), "can only be the first layer"),
        (lambda: replace(valid(), training=Training("adam", 1, early_stopping=EarlyStopping(1))), "no validation set"),
        (
            lambda: replace(valid(), training=Training("adam", 1, validation=RandomRows(9), checkpoint="val_loss")),
            "no validation set",
        ),
        (
            lambda: Suite("x", document="0", title="x", era=KERAS_3, cases=(valid(), valid())),
            "these occur twice: lstm",
        ),
    ],
)
def test_contradictions_are_refused_with_the_remedy(declare: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        declare()


def test_data_that_can_be_meant_is_taken() -> None:
    rows = case(LSTM(3), Dense(1, "sigmoid"), data=FLOATS)
    assert rows.data == FLOATS
    assert parts(rows.data) == ("train", "test")
    held = replace(FLOATS, validation=("x_val", "y_val"), test=("x_test", "y_test"))
    assert parts(held) == ("train", "validation", "test")
    stopping = Training("adam", 1, early_stopping=EarlyStopping(1))
    assert replace(rows, data=held, training=stopping).data == held
    validated = replace(rows, training=Training("adam", 1, validation=LastFraction(0.2)))
    assert replace(validated, data=replace(FLOATS, test=None)).data != FLOATS
    assert case(Flatten(), Dense(1, "sigmoid"), data=FLOATS).layers[0] == Flatten()
    assert TextCsv("own.csv.gz", 10, classes=(1, 2), test="held.parquet").classes == (1, 2)


@pytest.mark.parametrize(
    ("ending", "classes"),
    [
        ((Dense(1, "sigmoid"),), None),
        ((Dense(1), ActivationLayer("sigmoid")), None),
        ((Dense(2, "softmax"),), 2),
        ((Dense(46), ActivationLayer("softmax")), 46),
    ],
)
def test_a_case_ends_in_a_sigmoid_or_in_a_softmax_over_classes(ending: tuple[Layer, ...], classes: int | None) -> None:
    assert case(Embedding(10, 4), Flatten(), *ending).classes == classes


def test_the_rate_of_an_optimizer_is_kerass_default() -> None:
    assert Training(SGD(), 1).learning_rate == Training(optimizer=SGD(0.9), epochs=1).learning_rate == 0.01
    assert Training(SGD(), 1, 32, 0.5).learning_rate == Training(SGD(), 1, learning_rate=0.5).learning_rate == 0.5
    assert {Training(optimizer, 1).learning_rate for optimizer in ("adam", "rmsprop", AdamW())} == {0.001}
    assert replace(Training(SGD(), 1, learning_rate=0.5), epochs=2).learning_rate == 0.5


def test_only_recurrent_layers_run_both_ways() -> None:
    with pytest.raises(ValidationError, match="LSTM"):
        Bidirectional(Dense(3))  # type: ignore[arg-type]


def test_declarations_cannot_be_changed_afterwards() -> None:
    with pytest.raises(AttributeError):
        valid().name = "other"  # type: ignore[misc]


def test_layers_of_the_same_shape_stay_what_they_were_declared_as() -> None:
    # Flatten and pooling have no fields: a union must keep the declared class.
    assert [type(layer) for layer in valid().layers] == [Embedding, LSTM, Dense]
    assert type(case(Embedding(10, 4), Flatten(), Dense(1, "sigmoid")).layers[1]) is Flatten
