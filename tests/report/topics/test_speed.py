"""How fast backends are beside their reference, from records whose ratios are known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.records.record import Record
from bench.report.answers import answers
from bench.report.results import Results
from bench.report.topics import kernels, speed
from bench.spec import LSTM, SimpleRNN
from tests.making import Gather, Maker, name
from tests.report.asking import FLAT, case, found, net, suite


def timed(record: Maker, cell: str, seconds: list[float], repeat: int = 0, **changes: Any) -> Record:
    return record(cell, measure="timing", repeat=repeat, epoch_seconds=[99, *seconds], **changes)


def test_processes_give_an_interval_and_a_single_one_the_range_of_its_epochs(record: Maker, results: Gather) -> None:
    keras, torch = [4.1, 4.4, 3.9], [2.0, 2.1, 2.2]
    records = [timed(record, name("many", "keras-tensorflow"), [t, t], r) for r, t in enumerate(keras)]
    records += [timed(record, name("many"), [t, t], r) for r, t in enumerate(torch)]
    records += [timed(record, name("one", "keras-tensorflow"), [3, 4, 5]), timed(record, name("one"), [1, 2, 3])]
    rows = speed.frame(results([suite(case("many"), case("one"))], records))
    welch = stats.ttest_ind(np.log(keras), np.log(torch), equal_var=False).confidence_interval(0.95)
    many, single = rows
    assert (many.low, many.high) == pytest.approx((np.exp(welch.low), np.exp(welch.high)))
    assert (many.reference.n, many.n, many.spread) == (3, 3, "95 % interval")
    assert (single.factor, single.low, single.high) == pytest.approx((4 / 2, 3 / 3, 5 / 1))
    assert (single.reference.n, single.n, single.spread) == (1, 1, "range of epochs")
    assert [row.column for row in rows] == ["torch", "torch"], "the reference is not set against itself"


def test_the_reference_has_the_same_numerics_and_no_reference_means_no_row(record: Maker, results: Gather) -> None:
    records = [
        timed(record, name("a", "keras-tensorflow"), [4]),
        timed(record, name("a", numerics="native"), [1]),
        timed(record, name("b"), [1]),
    ]
    assert speed.frame(results([suite(case("a"), case("b"))], records)) == ()


def test_a_fused_kernel_is_set_against_the_generic_one_of_its_backend(record: Maker, results: Gather) -> None:
    declared = suite(case("lstm", net(LSTM(4))))
    records = [
        timed(record, name("lstm", kernel="fused"), [1, 1]),
        timed(record, name("lstm", kernel="generic"), [3, 3]),
        timed(record, name("lstm", "keras-tensorflow", "generic"), [9, 9]),
    ]
    gathered = results([declared], records)
    (row,) = kernels.frame(gathered)
    assert (row.variant.backend, row.layers, row.factor) == ("torch", "LSTM", 3)
    assert [(row.variant.kernel, row.factor) for row in speed.frame(gathered)] == [("fused", 9)], "the best kernel"


def said(results: Gather, record: Maker, seconds: dict[str, list[float]], layers: Any = FLAT) -> list[str]:
    """Return what is said of one case with steady epochs `seconds` by backend."""
    kernel = "none" if layers is FLAT else "generic"
    records = [
        record(name("a", backend, kernel), measure="timing", epoch_seconds=[99, *epochs])
        for backend, epochs in seconds.items()
    ]
    return found(results([suite(case("a", layers))], records), "Which backend")


def test_the_faster_backend_is_named_by_kind_of_layer_with_factor_and_spread(record: Maker, results: Gather) -> None:
    (text,) = said(results, record, {"keras-tensorflow": [4, 4, 5], "torch": [2, 2, 2.5]}, net(LSTM(4)))
    assert text.startswith("LSTM on a CPU: torch, 2.0 times as fast as keras-tensorflow: ")
    assert "an epoch takes 2 s against 4 s: 2.0 times as fast (range of epochs 1.6 to 2.5, 1 process each" in text
    assert "generic against generic kernel" in text
    (text,) = said(results, record, {"keras-tensorflow": [2, 2], "torch": [4, 4]}, net(SimpleRNN(4)))
    assert text.startswith("SimpleRNN on a CPU: keras-tensorflow: ")


@pytest.mark.parametrize(
    ("keras", "torch", "winner"),
    [
        ([1.04], [1.0], "not clear from these times"),
        ([1.06], [1.0], "torch"),
        ([0.94], [1.0], "keras-tensorflow"),
        ([3.0, 3.0, 0.9], [1.0, 1.0, 1.0], "not clear from these times"),
    ],
)
def test_nobody_wins_by_less_than_five_per_cent_or_where_the_spread_holds_both(
    keras: list[float], torch: list[float], winner: str, record: Maker, results: Gather
) -> None:
    (text,) = said(results, record, {"keras-tensorflow": keras, "torch": torch})
    assert text.partition(": ")[2].startswith(winner)


def test_of_more_than_two_backends_the_fastest_is_named_and_each_is_compared(record: Maker, results: Gather) -> None:
    (text,) = said(results, record, {"keras-tensorflow": [4, 4], "torch": [2, 2], "keras-jax": [1, 1]})
    assert text.startswith("No recurrent layer on a CPU: keras-jax; ")
    assert "keras-jax; keras-jax and torch are faster than keras-tensorflow in the one case: " in text
    assert (
        "An epoch of demo/a takes keras-tensorflow 4 s. keras-jax 4.0, faster in the one case; that epoch 1 s" in text
    )
    assert "torch 2.0, faster in the one case; that epoch 2 s." in text


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"torch": 1, "keras-jax": 2}, "keras-jax or torch by case, both faster than keras-tensorflow in both cases"),
        (
            {"torch": 1, "keras-jax": 4},
            "torch or keras-jax by case; torch is faster than keras-tensorflow in both cases",
        ),
        (
            {"torch": 1.02, "keras-jax": 1},
            "keras-jax; keras-jax and torch are faster than keras-tensorflow in both cases",
        ),
        (
            {"torch": 9, "keras-jax": 9},
            "keras-jax or keras-tensorflow by case; none is faster than keras-tensorflow in",
        ),
    ],
)
def test_of_more_than_two_backends_the_headline_says_what_holds_in_all_cases(
    second: dict[str, float], expected: str, record: Maker, results: Gather
) -> None:
    declared = suite(case("a", net(LSTM(4))), case("b", net(LSTM(5))))
    times = {"a": {"keras-tensorflow": 4, "torch": 2, "keras-jax": 1}, "b": {"keras-tensorflow": 4, **second}}
    records = [
        record(name(one, backend, "generic"), measure="timing", epoch_seconds=[99, seconds, seconds])
        for one, own in times.items()
        for backend, seconds in own.items()
    ]
    (text,) = found(results([declared], records), "Which backend")
    assert text.startswith(f"LSTM on a CPU: {expected}")
    assert "Times as fast as keras-tensorflow (generic)" in text


def test_times_beside_other_work_give_no_factor(record: Maker, results: Gather) -> None:
    records = [
        record(name("a", backend), measure="accuracy", test=0.8, epoch_seconds=[9, seconds])
        for backend, seconds in (("torch", 1), ("keras-tensorflow", 2))
    ]
    (text,) = found(results([suite(case("a"))], records), "Which backend")
    assert text == (
        "No recurrent layer on a CPU: not known: Timed only in accuracy runs, beside which other work may have run."
    )


def test_two_backends_point_to_the_folder_that_timed_more(record: Maker, results: Gather) -> None:
    def timed(*backends: str) -> Results:
        records = [
            record(name("a", backend), measure="timing", epoch_seconds=[9, seconds, seconds])
            for seconds, backend in enumerate(backends, 1)
        ]
        return results([suite(case("a"))], records)

    few, many = timed("torch", "keras-tensorflow"), timed("torch", "keras-jax", "torch-compile", "keras-tensorflow")
    for here, elsewhere, links in (
        (few, {"more": many}, [("against keras-jax and torch-compile: more", "../more/timing.md")]),
        (many, {"less": few}, []),
    ):
        (finding,) = (
            finding
            for answer in answers(here, elsewhere)
            for finding in answer.findings
            if answer.question.startswith("Which backend")
        )
        assert list(finding.see[1:]) == links
