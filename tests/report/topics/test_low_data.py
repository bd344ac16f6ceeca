"""Low data: pairs by declaration, their differences by seed, and where the learned embedding stays ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.report.results import Column, Variant
from bench.report.topics import accuracy as accuracy_topic
from bench.report.topics import low_data
from bench.spec import (
    KERAS_2_3,
    Case,
    Dense,
    Embedding,
    Flatten,
    Glove,
    RandomRows,
    Suite,
    Training,
    Word2Vec,
)
from tests.making import LAYERS, Gather, Maker, case, name, suite
from tests.report.demo import DATA
from tests.report.reading import parsed


def test_low_data_pairs_are_found_by_declaration_and_differences_are_paired(record: Maker, results: Gather) -> None:
    def pair(rows: int) -> tuple[Case, Case]:
        training = Training("rmsprop", epochs=2, validation=RandomRows(train=rows))
        vectors = (Embedding(50, 50, vectors=Glove(50), trainable=False), *LAYERS[1:])
        return case(f"p{rows}", layers=vectors, training=training), case(f"q{rows}", training=training)

    declared = suite(*pair(20), *pair(40), case("alone"))
    ours, theirs = [0.70, 0.72, 0.71], [0.60, 0.66, 0.63]
    records = [record(name("p20", seed=s), test=value) for s, value in enumerate(ours)]
    records += [record(name("q20", seed=s), test=value) for s, value in enumerate(theirs)]
    records += [record(name("p40", seed=7), test=0.7), record(name("q40", seed=8), test=0.8)]
    (row,) = low_data.frame(results([declared], records))
    assert (row.rows, row.case, row.learned, row.n) == (20, "p20", "q20", 3)
    difference = np.subtract(ours, theirs)
    assert row.difference == pytest.approx(difference.mean())
    # t(.975, 2) = 4.303 (any table of Student's distribution)
    assert row.ci_half_width == pytest.approx(4.303 * difference.std(ddof=1) / np.sqrt(3), rel=1e-3)


def test_low_data_pairs_get_their_table_and_the_crossover(record: Maker, results: Gather) -> None:
    def pair(rows: int) -> tuple[Case, Case]:
        training = Training("rmsprop", epochs=1, validation=RandomRows(train=rows))
        vectors = Embedding(50, 300, vectors=Word2Vec(), trainable=False)
        rest = (Flatten(), Dense(1, "sigmoid"))
        return (
            Case(f"ready-{rows}", data=DATA, layers=(vectors, *rest), training=training),
            Case(f"own-{rows}", data=DATA, layers=(Embedding(50, 300), *rest), training=training),
        )

    suite = Suite("demo", document="9", title="t", era=KERAS_2_3, cases=(*pair(20), *pair(400), *pair(1400)))
    values = {"ready-20": 0.7, "own-20": 0.6, "ready-400": 0.72, "own-400": 0.75, "ready-1400": 0.74, "own-1400": 0.8}
    records = [record(name(case), test=value) for case, value in values.items()]
    gathered = results([suite], records)
    text = accuracy_topic.table(gathered)
    rows = parsed(text)[-1]
    assert [(row["rows"], row["pre-trained %"], row["learned %"], row["difference, points"]) for row in rows] == [
        ("20", "70.00", "60.00", "+10.00"),
        ("400", "72.00", "75.00", "-3.00"),
        ("1,400", "74.00", "80.00", "-6.00"),
    ]
    answer = low_data.answer(gathered)
    assert answer is not None
    assert answer.conclusion == "Not ranked: one seed."
    assert "Test accuracy:" not in text, "pairs without a documented figure stand in their own table alone"


@pytest.mark.parametrize(
    ("differences", "conclusion", "crossed"),
    [
        ([3, 3, -3, -3], "Pre-trained vectors win up to 2 rows; from 3 rows, a learned embedding wins.", 2),
        ([3, 1, -3, -3], "Pre-trained vectors win up to 1 rows; from 3 rows, a learned embedding wins.", 2),
        ([-3, 3, 1, -3], "From 4 rows, a learned embedding wins.", 3),
        ([3, 3, 3, 3], "Pre-trained vectors win up to 4 rows.", None),
        ([1, -1, 1, -1], "Neither embedding wins significantly.", None),
    ],
)
def test_an_embedding_wins_where_the_interval_leaves_out_no_difference(
    differences: list[float], conclusion: str, crossed: int | None
) -> None:
    variant = Variant("torch", "none", "cpu", "documented")
    pairs = [
        low_data.PairRow("demo", "a", variant, Column("torch"), "b", rows, 0.5, 0.5, value / 100, 0.02, 5, None)
        for rows, value in enumerate(differences, 1)
    ]
    assert low_data.conclusion(pairs) == conclusion
    assert low_data.crossing(pairs) == crossed
    assert low_data.conclusion([replace(pair, ci_half_width=None, n=1) for pair in pairs]) == "Not ranked: one seed."


def test_what_wins_under_one_backend_alone_does_not_win() -> None:
    found = [
        low_data.PairRow("demo", "a", Variant(backend, "none", "cpu", "documented"), Column(backend), "b",
                         rows, 0.5, 0.5, difference, 0.02, 5, None)
        for backend, differences in (("torch", (-0.03, -0.05)), ("keras-tensorflow", (-0.01, -0.05)))
        for rows, difference in zip((20, 400), differences, strict=True)
    ]  # fmt: skip
    assert low_data.conclusion(found) == "From 400 rows, a learned embedding wins."
