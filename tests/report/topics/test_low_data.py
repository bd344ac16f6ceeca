"""Low data: pairs by declaration, their differences by seed, and where the learned embedding stays ahead."""

from __future__ import annotations

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
from tests.report.reading import parsed, said


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
    assert "torch: learned at least as good from 400 rows on." in text
    rows = parsed(text)[-1]
    assert [(row["rows"], row["torch pre-trained %"], row["learned %"], row["difference"]) for row in rows] == [
        ("20", "70.00", "60.00", "+10.00"),
        ("400", "72.00", "75.00", "-3.00"),
        ("1,400", "74.00", "80.00", "-6.00"),
    ]
    assert (
        "At 20 training rows +10.00 points: Test accuracy: ready-20 70.00 %, own-20 60.00 % (1 paired seed) under "
        "torch; learned at least as good from 400 rows on (-3.00 points under torch)."
    ) in said(gathered)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([0.1, -0.1, 0.1, -0.1], "learned at least as good from 4 rows on"),
        ([0.1, -0.1, -0.1, -0.1], "learned at least as good from 2 rows on"),
        ([-0.1, -0.1, -0.1, 0.1], "pre-trained ahead at the largest measured size, 4 rows"),
    ],
)
def test_the_crossover_is_where_the_learned_embedding_stays_ahead(differences: list[float], expected: str) -> None:
    variant = Variant("torch", "none", "cpu", "documented")
    pairs = [
        low_data.PairRow("demo", "a", variant, Column("torch"), "b", rows, 0.5, 0.5, value, None, 1, None)
        for rows, value in enumerate(differences, 1)
    ]
    assert low_data.crossover(pairs) == expected
