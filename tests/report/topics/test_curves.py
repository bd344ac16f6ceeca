"""Learning curves: the document's, and the spread over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from bench.report.topics import curves
from bench.spec import (
    Documented,
    Epoch,
    LastFraction,
    Training,
)
from tests.making import Gather, Maker, case, name, suite


def test_curves_hold_the_document_and_the_spread_over_seeds_that_trained_that_long(
    record: Maker, results: Gather
) -> None:
    printed = Documented(epochs=(Epoch(0.6, 0.7, 0.5, 0.71), Epoch(0.5, 0.8, 0.4, 0.72)))
    training = Training("adam", epochs=3, validation=LastFraction(0.25))
    declared = suite(case("a", documented=printed, training=training), case("silent"))
    records = [record(name("a", seed=s), val=val) for s, val in enumerate([[0.6, 0.7, 0.74], [0.5, 0.8]])]
    records.append(record(name("silent"), test=0.7))
    rows = curves.frame(results([declared], records))
    assert {row.case for row in rows} == {"a"}, "no printed epochs, nothing to compare"
    assert [(row.epoch, row.mean) for row in rows if row.column is None] == [(1, 0.71), (2, 0.72)]
    measured = np.array([(row.epoch, row.mean, row.low, row.high, row.n) for row in rows if row.column == "torch"])
    assert measured == pytest.approx(
        np.array([[1, 0.55, 0.5, 0.6, 2], [2, 0.75, 0.7, 0.8, 2], [3, 0.74, 0.74, 0.74, 1]])
    )


def test_a_case_without_validation_is_compared_by_what_fit_prints(record: Maker, results: Gather) -> None:
    both, only = Epoch(0.6, 0.7, 0.5, 0.71), Epoch(val_loss=0.5, val_accuracy=0.71)
    declared = suite(*(case(who, documented=Documented(epochs=(line,))) for who, line in (("a", both), ("b", only))))
    records = [record(name(who), test=0.7) for who in "ab"]
    rows = curves.frame(results([declared], records))
    assert [(row.case, row.curve, row.column, row.mean) for row in rows] == [
        ("a", "fit", None, 0.7), ("a", "fit", "torch", 0.8),
    ]  # fmt: skip
