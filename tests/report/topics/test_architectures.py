"""Which architecture is best at what cost, from records whose frontier is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from bench.records.record import Record, Timing
from bench.report.results import Results
from bench.report.topics import architectures
from bench.spec import LSTM, RandomRows, SimpleRNN, Training
from tests import making
from tests.making import Gather, Maker, name
from tests.report.asking import case, net, suite


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


def answered(results: Results) -> tuple[str, list[dict[str, str]]]:
    """Return the conclusion, and the rows of the table."""
    answer = architectures.answer(results)
    assert answer is not None
    assert answer.table is not None
    assert len(answer.conclusion.split()) <= 20
    return answer.conclusion, [dict(zip(answer.table.headers, row, strict=True)) for row in answer.table.rows]


NETS = {"flat": case("flat"), "again": case("again"), "lstm": case("lstm", net(LSTM(4))),
        "rnn": case("rnn", net(SimpleRNN(4)))}  # fmt: skip


def trained(record: Maker, case: str, values: Sequence[float], backend: str = "torch", **fields: Any) -> list[Record]:
    kernel = "none" if case in ("flat", "again") else "generic"
    return [record(name(case, backend, kernel, seed), test=value, **fields) for seed, value in enumerate(values)]


def test_the_winner_stands_apart_from_every_other_network_with_its_cost(record: Maker, results: Gather) -> None:
    def gathered(lstm: Sequence[float]) -> Results:
        fields = {"val": [0.5] * 2, "epoch_seconds": [9, 6]}
        records = trained(record, "flat", (0.79, 0.81, 0.80), **fields) + trained(record, "again", (0.79, 0.8, 0.8))
        return results(
            [suite(*map(NETS.__getitem__, ("flat", "again", "lstm")))], records + trained(record, "lstm", lstm)
        )

    conclusion, (row,) = answered(gathered((0.71, 0.72, 0.70)))
    assert conclusion == "1 of 1 suite has a clear winner."
    assert (row["ranking"], row["highest"], row["runner-up"]) == ("clear winner", "flat", "lstm"), (
        "not the same network"
    )
    assert (row["seconds"], row["epochs"], row["accuracy of"]) == ("12.0", "2", "test"), "two epochs of six seconds"
    # t(.975, 2) = 4.303: the intervals of three values with a deviation of .01 reach 2.48 points to either side.
    conclusion, (row,) = answered(gathered((0.77, 0.78, 0.76)))
    assert (conclusion, row["ranking"]) == ("0 of 1 suite have a clear winner.", "no clear winner")


def test_one_seed_is_never_ranked(record: Maker, results: Gather) -> None:
    records = trained(record, "flat", [0.7], epoch_seconds=[2, 1]) + trained(record, "lstm", [0.9])
    conclusion, (row,) = answered(results([suite(NETS["flat"], NETS["lstm"])], records))
    assert conclusion == "Not ranked: one seed."
    assert row["ranking"] == "not ranked: one seed"
    assert not {"flat", "lstm"} & {*row.values()}
    for single in 0.9, 0.5:
        more = trained(record, "flat", (0.70, 0.71, 0.70)) + trained(record, "lstm", [single])
        assert answered(results([suite(NETS["flat"], NETS["lstm"])], more))[0] == "Not ranked: one seed."


def test_a_winner_under_one_backend_alone_is_none(record: Maker, results: Gather) -> None:
    good, bad = (0.80, 0.81, 0.80), (0.60, 0.61, 0.60)
    records = [
        one
        for backend, flat, rnn in (("torch", good, bad), ("keras-tensorflow", bad, good))
        for one in trained(record, "flat", flat, backend) + trained(record, "rnn", rnn, backend)
    ]
    _, rows = answered(results([suite(NETS["flat"], NETS["rnn"])], records))
    assert [(row["backend"], row["highest"], row["ranking"]) for row in rows] == [
        ("keras-tensorflow", "rnn", "no clear winner"), ("torch", "flat", "no clear winner"),
    ]  # fmt: skip


def test_seconds_are_those_timed_alone_under_the_defaults_of_users_where_there_are_any(
    record: Maker, results: Gather
) -> None:
    beside = trained(record, "flat", [0.8], val=[0.5] * 3, epoch_seconds=[9, 7, 7], measure="accuracy")
    timing = Timing(build=0.1, steps=100, total=1.0, alone=True, step=0.02, windows=[(1, 0.02), (2, 0.04)])
    native, matched = (
        record(name("flat", numerics=kind), timing=structs.replace(timing, step=step), measure="steps")
        for kind, step in (("native", 0.02), ("matched", 0.5))
    )

    def seconds(records: list[Record]) -> tuple[float | None, bool | None, str | None]:
        (row,) = architectures.frame(results([suite(NETS["flat"])], records))
        return row.seconds, row.comparable, row.timed

    assert seconds(beside) == (21.0, False, None)
    assert seconds([*beside, native, matched]) == (pytest.approx(3 * 100 * 0.02), True, "native")
