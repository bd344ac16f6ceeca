"""The quick profile keeps every architecture and makes everything else small."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.cases.catalog import load
from bench.cases.model import embedding_of, resolve
from bench.cases.profiles import QUICK_EPOCHS, QUICK_TEST, QUICK_TRAIN, QUICK_VALIDATION, apply
from bench.data import prepare
from bench.errors import UsageError
from bench.spec import (
    KERAS_3,
    LSTM,
    SGD,
    Arrays,
    Case,
    Conv1D,
    CosineDecay,
    Dense,
    Embedded,
    EmbeddedFeatures,
    Embedding,
    FirstRows,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Imdb,
    LabelledCsv,
    Layer,
    MaxPooling1D,
    RandomRows,
    Suite,
    TestSet,
    TextCsv,
    Training,
)
from bench.training.experiment import Experiment

CASES = [pytest.param(suite, case, id=f"{suite.name}/{case.name}") for suite, case in load().cases()]


@pytest.mark.parametrize(("suite", "case"), CASES)
def test_documented_changes_nothing(suite: Suite, case: Case) -> None:
    assert apply(case, "documented") is case


@pytest.mark.parametrize(("suite", "case"), CASES)
def test_quick_builds_the_same_weights(suite: Suite, case: Case) -> None:
    quick = apply(case, "quick")
    assert resolve(suite, quick, "documented").weights == resolve(suite, case, "documented").weights
    assert quick.documented == case.documented


@pytest.mark.parametrize(("suite", "case"), CASES)
def test_quick_keeps_the_shape_of_the_protocol(suite: Suite, case: Case) -> None:
    quick = apply(case, "quick")
    assert isinstance(quick.data, Embedded | EmbeddedFeatures)
    assert type(quick.training.validation) is type(case.training.validation)
    assert quick.training.early_stopping == case.training.early_stopping
    assert quick.training.checkpoint == case.training.checkpoint
    assert quick.training.optimizer == case.training.optimizer
    assert (quick.data.test == 0) == isinstance(case.data, LabelledCsv)
    assert (quick.data.validation > 0) == isinstance(case.data, LabelledCsv)
    match quick.training.validation:
        case RandomRows(train=train, validation=validation):
            assert train + validation <= QUICK_TRAIN
        case FirstRows(rows=rows):
            assert rows == QUICK_VALIDATION


def own(data: Arrays | TextCsv, *layers: Layer) -> Case:
    return Case("own", data, (*layers, Dense(1, "sigmoid")), Training("adam", epochs=9))


@pytest.mark.parametrize(
    ("case", "data"),
    [
        (
            own(Arrays("own.npz", shape=(128, 9), test=0.2), LSTM(3)),
            EmbeddedFeatures((40, 9), QUICK_TRAIN, 0, QUICK_TEST),
        ),
        (
            own(Arrays("own.npz", shape=(128, 9), validation=0.2), Conv1D(4, 3), Flatten()),
            EmbeddedFeatures((128, 9), QUICK_TRAIN, QUICK_VALIDATION, 0),
        ),
        (
            own(Arrays("own.npz", shape=(128, 9), test=0.2), Conv1D(4, 50), LSTM(3)),  # fits into no 40 steps
            EmbeddedFeatures((80, 9), QUICK_TRAIN, 0, QUICK_TEST),
        ),
        (
            own(Arrays("own.npz", shape=(90,), validation=0.2, test=("x", "y")), Dense(2)),
            EmbeddedFeatures((90,), QUICK_TRAIN, QUICK_VALIDATION, QUICK_TEST),
        ),
        (
            own(Arrays("own.npz", num_words=50, maxlen=80, test=0.2, padding="post"), Embedding(60, 2), LSTM(3)),
            Embedded(50, 40, "post", "pre", QUICK_TRAIN, 0, QUICK_TEST),
        ),
        (
            own(TextCsv("own.csv", 50, 30, validation="held.csv"), Embedding(60, 2), LSTM(3)),
            Embedded(50, 30, "pre", "pre", QUICK_TRAIN, QUICK_VALIDATION, 0),
        ),
        (
            own(TextCsv("own.csv", 50, test=0.2, encoding="multi-hot")),
            Embedded(50, None, "pre", "pre", QUICK_TRAIN, 0, QUICK_TEST, "multi-hot"),
        ),
    ],
)
def test_own_data_becomes_generated_data_of_its_kind_and_parts(case: Case, data: object) -> None:
    assert apply(case, "quick").data == data
    assert apply(case, "documented") is case


def test_quick_rows_are_as_long_as_windows_need() -> None:
    layers = (Embedding(50, 4), Conv1D(4, 7), MaxPooling1D(5), Conv1D(4, 7), GlobalMaxPooling1D(), Dense(1, "sigmoid"))
    case = Case("case", Imdb(50, maxlen=500), layers, Training("adam", epochs=1))
    # 40 ids leave 34 steps, then 6, fewer than the 7 of a window; 80 leave 74, 14, 8.
    assert apply(case, "quick").data.maxlen == 80
    assert apply(replace(case, layers=layers[:2] + layers[4:]), "quick").data.maxlen == 40
    short = replace(case, data=Imdb(50, maxlen=44))
    assert apply(short, "quick").data.maxlen == 44
    suite = Suite("suite", "0", "title", KERAS_3, (short,))
    with pytest.raises(UsageError, match="layer conv1d_2: kernel_size 7 exceeds the 6 steps"):
        resolve(suite, apply(replace(short, data=Imdb(50, maxlen=40)), "quick"), "documented")


def test_quick_data_of_classes_has_as_many_and_what_decides_the_training_stays() -> None:
    training = Training(SGD(0.9), 9, 64, CosineDecay(0.1, 500), TestSet(), clipnorm=1.0)
    layers = (Embedding(9000, 8), GlobalAveragePooling1D(), Dense(5, "softmax"))
    case = Case("classes", Imdb(9000, maxlen=200), layers, training)
    quick = apply(case, "quick")
    assert quick.training == replace(training, epochs=QUICK_EPOCHS)
    dataset = prepare(quick.data, embedding_of(quick), {}, quick.classes)
    assert dataset.test is not None
    assert set(dataset.train.y.tolist()) == set(dataset.test.y.tolist()) == set(range(5))


def test_low_data_sizes_stay_different_and_in_order() -> None:
    sizes = [
        apply(case, "quick").training.validation.train  # type: ignore[union-attr]
        for suite, case in load().cases()
        if suite.name == "word-embeddings" and case.name.startswith("glove-")
    ]
    assert sizes[0] == 200
    assert sizes == sorted(set(sizes))
    assert len(sizes) == 6


def test_quick_data_has_the_rows_that_training_asks_for() -> None:
    for suite, case in load().cases():
        quick = apply(case, "quick")
        dataset = prepare(quick.data, embedding_of(quick), {}, quick.classes)
        experiment = Experiment(quick, resolve(suite, quick, "documented"), dataset, "suite/case", seed=0)
        assert len(experiment.split.rows) >= 200
