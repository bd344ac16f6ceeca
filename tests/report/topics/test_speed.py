"""How fast backends are, from processes whose step times are known beforehand."""

from __future__ import annotations

import re
from statistics import median
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.records.record import Record
from bench.report.results import Results
from bench.report.speedups import step_times
from bench.report.topic import Answer
from bench.report.topics import speed
from bench.spec import LSTM, SimpleRNN
from tests.making import Gather, Maker, name
from tests.report.asking import case, net, suite
from tests.report.stepping import stepped

KERAS, TORCH, FLUSHED = "keras-tensorflow", "torch", "native:-denormals"
Rows = dict[str, dict[str, str]]


def shown(answer: Answer) -> Rows:
    """Return the table of an answer by line and column."""
    assert answer.table
    return {row[0]: dict(zip(answer.table.headers, row, strict=True)) for row in answer.table.rows}


def of_backends(record: Maker, results: Gather, **seconds: list[float]) -> Results:
    """Return results of one case `a`, its step times by backend (`keras_tensorflow`)."""
    records = [
        one
        for backend, steps in seconds.items()
        for one in stepped(record, name("a", backend.replace("_", "-"), numerics="native"), steps)
    ]
    return results([suite(case("a"))], records)


def test_the_interval_is_students_over_processes(record: Maker, results: Gather) -> None:
    steps = [0.041, 0.044, 0.039, 0.042]
    (timed,) = step_times(of_backends(record, results, torch=steps))
    assert timed.estimate
    assert timed.estimate.mean == pytest.approx(np.mean(steps))
    assert timed.interval == pytest.approx(stats.t.interval(0.95, 3, np.mean(steps), stats.sem(steps)))


def test_the_factor_is_that_of_welch_over_logarithms(record: Maker, results: Gather) -> None:
    keras, torch = [4.1, 4.4, 3.9], [2.0, 2.1, 2.2]
    (row,) = speed.frame(of_backends(record, results, keras_tensorflow=keras, torch=torch))
    welch = stats.ttest_ind(np.log(keras), np.log(torch), equal_var=False).confidence_interval(0.95)
    assert (row.low, row.high) == pytest.approx((np.exp(welch.low), np.exp(welch.high)))
    assert (row.variant.backend, row.reference.variant.backend) == (TORCH, KERAS)
    assert row.factor == pytest.approx(stats.gmean(keras) / stats.gmean(torch))


@pytest.mark.parametrize(
    ("keras", "fastest"),
    [([1.50, 1.51, 1.52], "torch"), ([1.00, 1.10, 1.20], "unclear"), ([0.50, 0.51, 0.52], "keras-tensorflow")],
)
def test_the_fastest_is_named_where_its_interval_lies_below_all_others(
    record: Maker, results: Gather, keras: list[float], fastest: str
) -> None:
    found = speed.answer(of_backends(record, results, keras_tensorflow=keras, torch=[1.0, 1.01, 1.02]))
    assert shown(found)["demo/a"]["fastest"] == fastest
    assert (fastest in found.conclusion) is (fastest != "unclear")


def test_the_fastest_has_its_speed_relative_to_the_reference(record: Maker, results: Gather) -> None:
    keras, torch = [4.1, 4.4, 3.9], [2.0, 2.1, 2.2]
    row = shown(speed.answer(of_backends(record, results, keras_tensorflow=keras, torch=torch)))["demo/a"]
    welch = np.exp(stats.ttest_ind(np.log(keras), np.log(torch), equal_var=False).confidence_interval(0.95))
    factors = [stats.gmean(keras) / stats.gmean(torch), *welch]
    assert re.findall(r"[\d.]+", row["x keras-tensorflow"]) == [f"{factor:.1f}" for factor in factors]
    alone = shown(speed.answer(of_backends(record, results, keras_tensorflow=torch, torch=keras)))["demo/a"]
    assert (alone["fastest"], alone["x keras-tensorflow"]) == (KERAS, "–"), "nothing is set against itself"


def test_every_case_is_set_against_the_same_reference(record: Maker, results: Gather) -> None:
    noisy = stepped(record, name("c", KERAS, numerics="native"), [0.4, 0.4, 0.4], [-1.0])
    records = noisy + [
        each
        for case_name, backends in (
            ("a", (KERAS, "keras-jax", TORCH)),
            ("b", (KERAS, TORCH)),
            ("c", ("keras-jax", TORCH)),
        )
        for backend in backends
        for each in stepped(record, name(case_name, backend, numerics="native"), [0.4, 0.41, 0.42])
    ]
    rows = speed.frame(results([suite(case("a"), case("b"), case("c"))], records))
    assert {(row.case, row.reference.variant.backend) for row in rows} == {("a", KERAS), ("b", KERAS)}


def test_one_backend_that_overlaps_with_the_fastest_leaves_it_open(record: Maker, results: Gather) -> None:
    close = {"torch": [1.0, 1.01, 1.02], "torch_compile": [1.0, 1.02, 1.03], "keras_tensorflow": [9.0, 9.1, 9.2]}
    found = speed.answer(of_backends(record, results, **close))
    assert shown(found)["demo/a"]["fastest"] == "unclear"


@pytest.mark.parametrize("processes", [1, 2])
def test_fewer_than_three_processes_give_figures_without_interval_winner_and_factor(
    record: Maker, results: Gather, processes: int
) -> None:
    gathered = of_backends(record, results, keras_tensorflow=[0.9] * processes, torch=[0.1] * processes)
    found = speed.answer(gathered)
    assert shown(found)["demo/a"] == {"ms per step": "demo/a", KERAS: "900", TORCH: "100"}
    assert not any(backend in found.conclusion for backend in (KERAS, TORCH))
    assert speed.frame(gathered) == ()


@pytest.mark.parametrize("slopes", [[-0.003], [2.3, -0.4], [1.0, -1.0, 1.0, -1.0]])
def test_a_time_that_is_not_positive_is_none_and_no_mean_takes_it_in(
    record: Maker, results: Gather, slopes: list[float]
) -> None:
    cell = name("a", numerics="native")
    step = median(slopes)
    noisy = stepped(record, cell, [step], slopes) + stepped(record, cell, [0, abs(step) + 0.001, abs(step) + 0.002])[1:]
    keras = stepped(record, name("a", KERAS, numerics="native"), [0.9, 0.9, 0.91])
    gathered = results([suite(case("a"))], noisy + keras)
    line = shown(speed.answer(gathered))["demo/a"]
    assert line[TORCH] == "too noisy"
    assert line.get("fastest", "–") == "–", "one backend is no comparison"
    assert speed.frame(gathered) == ()


def test_a_spike_in_one_pair_of_many_leaves_the_median_standing(record: Maker, results: Gather) -> None:
    records = stepped(record, name("a", numerics="native"), [0.1, 0.1, 0.1], [0.1, -3.0, 0.1])
    assert shown(speed.answer(results([suite(case("a"))], records)))["demo/a"][TORCH].startswith("100")


def test_a_rival_without_a_time_leaves_the_fastest_open(record: Maker, results: Gather) -> None:
    records = stepped(record, name("a", "keras-torch", numerics="native"), [0.1, 0.1, 0.1], [-1.0])
    for backend, seconds in ((KERAS, 0.9), (TORCH, 0.1)):
        records += stepped(record, name("a", backend, numerics="native"), [seconds, 1.01 * seconds, seconds])
    assert shown(speed.answer(results([suite(case("a"))], records)))["demo/a"]["fastest"] == "unclear"


def lstm(record: Maker, results: Gather, flushed: float) -> Results:
    """Return an LSTM's times, torch's fused one being slower than Keras's, `flushed` its time without denormals."""
    times = {(KERAS, "generic", "native"): 0.13, (TORCH, "fused", "native"): 0.6, (TORCH, "fused", FLUSHED): flushed}
    records: list[Record] = []
    for (backend, kernel, numerics), seconds in times.items():
        cell = name("a", backend, kernel, numerics=numerics)
        records += stepped(record, cell, [seconds, 1.01 * seconds, 1.02 * seconds])
    return results([suite(case("a", net(LSTM(4))))], records)


def test_flushed_denormals_are_a_column_and_a_winner_of_their_own(record: Maker, results: Gather) -> None:
    found = speed.answer(lstm(record, results, flushed=0.06))
    line = shown(found)["demo/a"]
    assert (line[TORCH][:3], line["torch (denormals flushed)"][:4]) == ("606", "60.6")
    assert line["fastest"] == "torch (denormals flushed)"
    assert "denormals" in found.conclusion
    assert any("10x" in note and "demo/a" in note for note in found.notes)


def test_flushed_denormals_do_not_compete_with_the_same_backend(record: Maker, results: Gather) -> None:
    slow = lstm(record, results, flushed=0.6)
    assert shown(speed.answer(slow))["demo/a"]["fastest"] == KERAS
    records = [one for one in slow.records if one.backend == TORCH]
    keras = stepped(record, name("a", KERAS, "generic", numerics="native"), [9.0, 9.1, 9.2])
    found = speed.answer(results([suite(case("a", net(LSTM(4))))], records + keras))
    assert shown(found)["demo/a"]["fastest"] == TORCH, "both lie below Keras: the plain one is named"
    assert "denormals" not in found.conclusion


def test_our_own_loop_has_a_line_of_its_own_and_no_rank(record: Maker, results: Gather) -> None:
    loops = [
        one
        for backend, seconds in ((TORCH, 0.01), ("torch-compile", 0.02))
        for one in stepped(record, name("a", backend, "generic", numerics="matched"), [seconds, seconds, 1.1 * seconds])
    ]
    native = lstm(record, results, flushed=0.06)
    found = speed.answer(results([suite(case("a", net(LSTM(4))))], [*native.records, *loops]))
    rows = shown(found)
    assert list(rows) == ["demo/a", "demo/a, our own loop"]
    assert (rows["demo/a"]["torch-compile"], rows["demo/a, our own loop"][KERAS]) == ("–", "–")
    assert rows["demo/a, our own loop"]["fastest"] == "–"
    assert "1 case" in found.conclusion


def test_our_own_loop_stands_beside_keras_where_both_compute_the_same(record: Maker, results: Gather) -> None:
    records = [
        one
        for backend, seconds in ((KERAS, 0.2), (TORCH, 0.1))
        for one in stepped(
            record, name("a", backend, "generic", numerics="matched"), [seconds, seconds, 1.01 * seconds]
        )
    ]
    rows = shown(speed.answer(results([suite(case("a", net(LSTM(4))))], records)))
    assert {line: row["fastest"] for line, row in rows.items()} == {"demo/a, our own loop": TORCH}


def test_native_times_stand_for_a_case_from_three_processes_on(record: Maker, results: Gather) -> None:
    documented = stepped(record, name("a"), [0.2, 0.2, 0.2])
    for processes, expected in ((2, "200"), (3, "100")):
        native = stepped(record, name("a", numerics="native"), [0.1] * processes)
        found = speed.answer(results([suite(case("a"))], documented + native))
        assert shown(found)["demo/a"][TORCH].startswith(expected)


def test_the_best_kernel_stands_for_a_backend(record: Maker, results: Gather) -> None:
    records = [
        one
        for kernel, seconds in (("generic", 0.1), ("fused", 0.3))
        for one in stepped(record, name("a", "keras-jax", kernel, numerics="native"), [seconds] * 3)
    ]
    found = speed.answer(results([suite(case("a", net(LSTM(4))))], records))
    assert shown(found)["demo/a"]["keras-jax"].startswith("300")


def test_times_beside_other_work_are_no_answer(record: Maker, results: Gather) -> None:
    records = [
        record(name("a", backend), measure="accuracy", test=0.8, epoch_seconds=[9, seconds])
        for backend, seconds in ((TORCH, 1), (KERAS, 2))
    ]
    gathered = results([suite(case("a"))], records)
    found = speed.answer(gathered)
    assert (found.table, speed.frame(gathered)) == (None, ())
    assert "--measure steps --repeats 3" in found.conclusion


def test_what_has_no_interval_is_left_out_of_a_table_that_ranks_and_named_below(record: Maker, results: Gather) -> None:
    records = [
        one
        for backend, seconds in ((KERAS, 0.2), (TORCH, 0.1))
        for case_name, processes in (("a", 3), ("b", 1))
        for one in stepped(record, name(case_name, backend, numerics="native"), [seconds] * processes)
    ]
    found = speed.answer(results([suite(case("a"), case("b"))], records))
    assert list(shown(found)) == ["demo/a"]
    assert any("demo/b" in note and "--repeats 3" in note for note in found.notes)


def test_the_conclusion_names_denormals_also_where_a_noisy_rival_leaves_the_fastest_open(
    record: Maker, results: Gather
) -> None:
    records = [*lstm(record, results, flushed=0.06).records]
    records += stepped(record, name("a", "keras-torch", "generic", numerics="native"), [0.1, 0.1, 0.1], [-1.0])
    found = speed.answer(results([suite(case("a", net(LSTM(4))))], records))
    assert shown(found)["demo/a"]["fastest"] == "unclear"
    assert "denormals" in found.conclusion


@pytest.mark.parametrize("wins", [(3, 0, 0, 0), (3, 2, 1, 1), (1, 1, 1, 1), (0, 0, 0, 0)])
def test_the_conclusion_counts_cases_in_twenty_words(record: Maker, results: Gather, wins: tuple[int, ...]) -> None:
    cells = [(KERAS, "native"), ("keras-jax", "native"), (TORCH, FLUSHED), ("torch-compile", "native")]
    winners = [*np.repeat(range(len(cells)), wins), None, None]
    records = [
        one
        for number, winner in enumerate(winners)
        for place, (backend, numerics) in enumerate(cells)
        for seconds in [0.1 if place == winner else 1.0]
        for one in stepped(record, name(f"c{number}", backend, numerics=numerics), [seconds] * 3)
    ]
    found = speed.answer(results([suite(*(case(f"c{number}") for number in range(len(winners))))], records))
    assert len(found.conclusion.split()) <= 20
    named = [row["fastest"] for row in shown(found).values()]
    assert [named.count(f"{name}{' (denormals flushed)' * (numerics == FLUSHED)}") for name, numerics in cells] == list(
        wins
    )
    assert named.count("unclear") == 2


def test_speed_by_kind_of_layer_is_the_median_over_cases(record: Maker, results: Gather) -> None:
    declared = suite(
        case("a", net(LSTM(4))), case("b", net(LSTM(5))), case("c", net(LSTM(6))), case("d", net(SimpleRNN(4)))
    )
    factors = {"a": 2.0, "b": 4.0, "c": 0.5, "d": 3.0}
    records: list[Record] = []
    for case_name, factor in factors.items():
        for backend, kernel, seconds in ((KERAS, "generic", factor), (TORCH, "fused", 1.0)):
            cell = name(case_name, backend, kernel, numerics="native")
            records += stepped(record, cell, [seconds, seconds * 1.001, seconds])
    heading, _, table = speed.by_layers(results([declared], records))
    assert heading.startswith("## ")
    rows: dict[str, Any] = {line.split("|")[1].strip(): line for line in table.splitlines()}
    assert "2.0 (2 faster, 1 slower)" in rows["LSTM"]
    assert "3.0 (1 faster)" in rows["SimpleRNN"]
