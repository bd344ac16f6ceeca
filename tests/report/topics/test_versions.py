"""What each version of Keras changed: stages as rows, the conclusion, and the section of a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from scipy.stats import ttest_rel

from bench.records.record import Record
from bench.report.results import Results
from bench.report.topic import Answer
from bench.report.topics import versions
from bench.spec import LSTM
from tests.making import Gather, Maker, name
from tests.report import asking

DECLARED = asking.suite(asking.case("flat"), asking.case("lstm", asking.net(LSTM(4))))
KERAS_2 = [0.80, 0.82, 0.81, 0.79]
EPSILON = [0.77, 0.80, 0.78, 0.77]
PYTORCH = [0.60, 0.62, 0.64, 0.59]


@pytest.fixture
def told(record: Maker, results: Gather) -> Callable[..., Results]:
    """Return results on the LSTM: accuracies by (backend, numerics)."""

    def made(**stages: Sequence[float]) -> Results:
        named: list[Record] = []
        for stage, values in stages.items():
            backend, numerics = stage.split("__")
            cells = [name("lstm", backend.replace("_", "-"), "generic", s, "cpu", numerics) for s in range(len(values))]
            named += [record(cell, test=value) for cell, value in zip(cells, values, strict=True)]
        return results([DECLARED], named)

    return made


def answered(results: Results) -> Answer:
    found = versions.answer(results)
    assert found is not None
    assert len(found.conclusion.split()) <= 20
    return found


def test_the_table_holds_every_stage_with_the_change_of_pairs(told: Callable[..., Results]) -> None:
    found = answered(told(tf_keras__documented=KERAS_2, tf_keras__matched=EPSILON, torch__native=PYTORCH))
    _, epsilon, pytorch = found.table.rows
    half = ttest_rel(EPSILON, KERAS_2).confidence_interval(0.95)
    change = (half.low + half.high) / 2, (half.high - half.low) / 2
    assert epsilon[3:] == ("78.00", f"{100 * change[0]:+.1f} ±{100 * change[1]:.1f} (4)", "costs")
    assert pytorch[1] == "PyTorch as its users write it"


def test_the_conclusion_is_on_versions_of_keras_alone(told: Callable[..., Results]) -> None:
    found = answered(told(tf_keras__documented=KERAS_2, tf_keras__matched=EPSILON, torch__native=PYTORCH))
    assert "lstm loses 2.5 points to Keras 2.11" in found.conclusion
    found = answered(told(tf_keras__documented=KERAS_2, tf_keras__matched=KERAS_2, torch__native=PYTORCH))
    assert "No version of Keras" in found.conclusion


def test_without_keras_2_there_is_no_history(told: Callable[..., Results]) -> None:
    assert versions.answer(told(keras_tensorflow__matched=KERAS_2, torch__native=PYTORCH)) is None
    assert versions.answer(told(tf_keras__documented=KERAS_2)) is None
