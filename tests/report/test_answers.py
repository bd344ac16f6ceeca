"""The sentences: their figures are those of the records, and they say as much as the records allow, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from bench.records.record import Cost
from bench.report.answers import answers
from bench.report.results import Results
from bench.spec import (
    LSTM,
    SimpleRNN,
)
from tests.making import Gather, Maker, name
from tests.report.asking import FLAT, case, found, net, suite

# --- architectures -----------------------------------------------------------------------------------------------


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


# --- speed -------------------------------------------------------------------------------------------------------


def speed(results: Gather, record: Maker, seconds: dict[str, list[float]], layers: Any = FLAT) -> list[str]:
    """Return what is said of one case with steady epochs `seconds` by backend."""
    kernel = "none" if layers is FLAT else "generic"
    records = [
        record(name("a", backend, kernel), measure="timing", epoch_seconds=[99, *epochs])
        for backend, epochs in seconds.items()
    ]
    return found(results([suite(case("a", layers))], records), "Which backend")


def test_the_faster_backend_is_named_by_kind_of_layer_with_factor_and_spread(record: Maker, results: Gather) -> None:
    (text,) = speed(results, record, {"keras-tensorflow": [4, 4, 5], "torch": [2, 2, 2.5]}, net(LSTM(4)))
    assert text.startswith("LSTM on a CPU: torch, 2.0 times as fast as keras-tensorflow: ")
    assert "an epoch takes 2 s against 4 s: 2.0 times as fast (range of epochs 1.6 to 2.5, 1 process each" in text
    assert "generic against generic kernel" in text
    (text,) = speed(results, record, {"keras-tensorflow": [2, 2], "torch": [4, 4]}, net(SimpleRNN(4)))
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
    (text,) = speed(results, record, {"keras-tensorflow": keras, "torch": torch})
    assert text.partition(": ")[2].startswith(winner)


def test_of_more_than_two_backends_the_fastest_is_named_and_each_is_compared(record: Maker, results: Gather) -> None:
    (text,) = speed(results, record, {"keras-tensorflow": [4, 4], "torch": [2, 2], "keras-jax": [1, 1]})
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


def test_kernels_are_compared_where_both_ran(record: Maker, results: Gather) -> None:
    records = [
        record(name("a", kernel=kernel), measure="timing", epoch_seconds=[99, seconds, seconds])
        for kernel, seconds in (("fused", 2), ("generic", 5))
    ]
    (text,) = found(results([suite(case("a", net(LSTM(4))))], records), "Do fused kernels")
    assert text == (
        "torch on a CPU: yes for 1 of 1 case: Times as fast as the generic kernel (range of epochs): "
        "yes for demo/a 2.5 (2.5 to 2.5)."
    )


def test_kernels_are_ordered_by_verdict(record: Maker, results: Gather) -> None:
    fused = {"slow": [8, 8], "fast": [2, 2], "open": [3, 5]}
    records = [
        record(name(one, kernel=kernel), measure="timing", epoch_seconds=[99, *seconds])
        for one, own in fused.items()
        for kernel, seconds in (("fused", own), ("generic", [4, 4.1]))
    ]
    declared = suite(*(case(one, net(LSTM(units))) for units, one in enumerate(fused, 4)))
    (text,) = found(results([declared], records), "Do fused kernels")
    assert text.startswith("torch on a CPU: yes for 1, no for 1, unclear for 1 of 3 cases: ")
    yes, no, unclear = (text.index(f"{one} for demo/") for one in ("yes", "no", "unclear"))
    assert yes < no < unclear
    assert text.endswith("unclear for demo/open 1.01 (0.80 to 1.4) (the range includes 1).")


# --- Keras 3 -----------------------------------------------------------------------------------------------------


def test_the_share_of_the_machine_is_that_of_the_roof(record: Maker, results: Gather) -> None:
    cost = Cost(flops=4e9, bytes=1e9, peak_flops=1e11, bandwidth=1e10)
    timed = record(name("a"), measure="timing", epoch_seconds=[9, 20, 20], steps=100, cost=cost)
    (text,) = found(results([suite(case("a"))], [timed]), "How much of the machine")
    # 4 FLOPs a byte at 10 GB/s allow 40 GFLOP/s; 4 GFLOP in a step of 0.2 s are 20.
    assert text == (
        "On a CPU the backends reach 50 % of the machine's limit: The limit is the copy bandwidth, measured on the "
        "machine. Medians over cases. torch 50 %, most 50 % (demo/a)."
    )
