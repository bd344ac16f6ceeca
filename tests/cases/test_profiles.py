"""The quick profile keeps every architecture and makes everything else small."""

from __future__ import annotations

import pytest

from bench.cases.catalog import load
from bench.cases.model import embedding_of, resolve
from bench.cases.profiles import QUICK_TEST, QUICK_TRAIN, QUICK_VALIDATION, apply
from bench.data import prepare
from bench.spec import (
    LSTM,
    Arrays,
    Case,
    Conv1D,
    Dense,
    Embedded,
    EmbeddedFeatures,
    Embedding,
    FirstRows,
    Flatten,
    LabelledCsv,
    Layer,
    RandomRows,
    Suite,
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
    assert isinstance(quick.data, Embedded)
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
        dataset = prepare(quick.data, embedding_of(quick), {})
        experiment = Experiment(quick, resolve(suite, quick, "documented"), dataset, "suite/case", seed=0)
        assert len(experiment.split.rows) >= 200
