"""Which architecture is best at what cost, from records whose frontier is known beforehand."""

from __future__ import annotations

import pytest

from bench.report.topics import architectures
from bench.spec import LSTM, RandomRows, SimpleRNN, Training
from tests import making
from tests.making import Gather, Maker, name
from tests.report.asking import case, found, net, suite


def test_the_frontier_holds_what_is_neither_dearer_nor_worse_than_another(record: Maker, results: Gather) -> None:
    measured = {"cheap": (0.70, 1.0), "dominated": (0.69, 2.0), "middle": (0.75, 3.0), "best": (0.80, 9.0)}
    sampled = making.case("sampled", training=Training("adam", epochs=4, validation=RandomRows(train=20)))
    declared = suite(*map(case, measured), sampled)
    records = [
        record(name(one), test=accuracy, val=[0.5] * 3, epoch_seconds=[9, seconds, seconds])
        for one, (accuracy, seconds) in measured.items()
    ]
    records.append(record(name("sampled"), test=0.99, epoch_seconds=[1, 0.1]))
    rows = {row.case: row for row in architectures.frame(results([declared], records))}
    assert list(rows) == list(measured), "a sample of the rows is no architecture"
    assert [case for case, row in rows.items() if row.on_frontier] == ["cheap", "middle", "best"]
    assert rows["middle"].seconds == pytest.approx(3 * 3.0), "three epochs of three seconds"


def test_the_best_architecture_is_named_with_its_cost_under_every_backend(record: Maker, results: Gather) -> None:
    declared = suite(case("flat"), case("lstm", net(LSTM(4))))
    times = {"flat": (0.70, 1.0), "lstm": (0.80, 6.0)}
    records = [
        record(
            name(one, backend, "none" if one == "flat" else "generic"),
            test=accuracy,
            val=[0.5] * 2,
            epoch_seconds=[9, seconds * factor],
        )
        for one, (accuracy, seconds) in times.items()
        for backend, factor in (("torch", 1), ("keras-tensorflow", 2))
    ]
    (text,) = found(results([declared], records), "Which architecture")
    assert text.startswith(
        "demo: lstm: 1 seed: no interval, ranking provisional. 80.00 % (1 seed) under both backends in 2 epochs: "
        "12 s with torch (generic) and 24 s with keras-tensorflow (generic); 2,000 test rows."
    )
    assert text.endswith("Next: flat, 70.00 % (1 seed) in 2 s (2 epochs) with torch.")
    records = [one for one in records if one.case == "flat" or one.backend == "torch"]
    (text,) = found(results([declared], records), "Which architecture")
    assert "80.00 % (1 seed) in 12 s (2 epochs) with torch (generic)" in text
    assert "No figure under keras-tensorflow: not run yet." in text
    missing = record(
        name("lstm", "keras-tensorflow", "generic"), status="unavailable", reason="demo/lstm is for cuda only"
    )
    (text,) = found(results([declared], [*records, missing]), "Which architecture")
    assert "No figure under keras-tensorflow: unavailable, for cuda only." in text


def test_a_case_of_the_same_network_is_no_runner_up_and_an_overlapping_one_is_not_clearly_worse(
    record: Maker, results: Gather
) -> None:
    spread = {
        "flat": (0.79, 0.81, 0.80),
        "again": (0.78, 0.80, 0.79),
        "lstm": (0.77, 0.79, 0.78),
        "rnn": (0.5, 0.5, 0.5),
    }
    records = [
        record(name(one, kernel="none" if one in ("flat", "again") else "generic", seed=seed), test=value)
        for one, values in spread.items()
        for seed, value in enumerate(values)
    ]
    cases = [case("flat"), case("again"), case("lstm", net(LSTM(4))), case("rnn", net(SimpleRNN(4)))]
    (text,) = found(results([suite(*cases)], records), "Which architecture")
    assert "provisional" not in text
    assert "Next, not clearly worse: lstm, 78.00 ±" in text
    (text,) = found(results([suite(*cases)], [one for one in records if one.case != "lstm"]), "Which architecture")
    assert "Next: rnn, 50.00 ±" in text
    assert not found(results([suite(*cases[:2])], [one for one in records if one.case != "lstm"][:6]), "Which arch")


def test_a_cheaper_architecture_within_a_point_is_an_alternative_and_a_slightly_cheaper_one_is_not(
    record: Maker, results: Gather
) -> None:
    def said(seconds: float) -> str:
        records = [
            record(name("dear"), test=0.800, val=[0.5] * 2, epoch_seconds=[9, 10]),
            record(name("near"), test=0.791, val=[0.5] * 2, epoch_seconds=[9, seconds]),
        ]
        return found(results([suite(case("dear"), case("near", net(LSTM(4))))], records), "Which architecture")[0]

    assert "Within a point of it and cheaper: near" in said(7.9)
    assert "Next: near" in said(8.1)
