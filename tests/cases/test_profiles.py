"""The quick profile keeps every architecture and makes everything else small."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.cases.catalog import load
from bench.cases.model import embedding_of, resolve
from bench.cases.profiles import QUICK_EPOCHS, QUICK_TRAIN, QUICK_VALIDATION, apply
from bench.data import prepare
from bench.spec import (
    SGD,
    Case,
    CosineDecay,
    Dense,
    Embedded,
    Embedding,
    FirstRows,
    GlobalAveragePooling1D,
    Imdb,
    LabelledCsv,
    RandomRows,
    Suite,
    TestSet,
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
        dataset = prepare(quick.data, embedding_of(quick), {})
        experiment = Experiment(quick, resolve(suite, quick, "documented"), dataset, "suite/case", seed=0)
        assert len(experiment.split.rows) >= 200
