"""Gaps: what was planned and has no record, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

from bench.report.results import Results
from bench.report.topics import gaps
from bench.spec import (
    KERAS_2_3,
    LSTM,
    Suite,
)
from tests.making import Gather, Maker, case, name, suite
from tests.report import asking


def test_what_was_planned_and_has_no_record_is_listed(record: Maker, results: Gather) -> None:
    other = Suite("other", document="8", title="t", era=KERAS_2_3, cases=(case("x"),))
    declared = suite(case("a"), case("b"), case("c"))
    records = [
        record(name("a", backend, seed=s), test=0.7) for backend in ("torch", "keras-tensorflow") for s in range(3)
    ]
    records += [record(name("b", seed=s), test=0.7) for s in range(2)]
    rows = gaps.frame(results([declared, other], records, seeds=3))
    found = {(row.suite, row.case, row.column): (row.missing, row.planned) for row in rows}
    assert found["demo", "b", "torch"] == (1, 3)
    assert found["demo", "b", "keras-tensorflow"] == (3, 3)
    assert {key[:2] for key in found} == {("demo", "b"), ("demo", "c"), ("other", "x")}


def test_a_case_that_was_asked_for_under_one_backend_lacks_no_other(record: Maker, results: Gather) -> None:
    records = [record(name("a", "keras-jax", seed=0), test=0.7), record(name("b", seed=0), test=0.7)]
    found = results([suite(case("a"), case("b"))], records, seeds=2)
    named = replace(found, sources=(replace(found.sources[0], patterns=("demo/*@torch", "*/a@keras-jax#0")),))
    assert {(row.case, row.column): row.missing for row in gaps.frame(named)} == {
        ("a", "keras-jax"): 1, ("a", "torch"): 2, ("b", "torch"): 1,
    }  # fmt: skip


def test_what_a_case_lacks_is_listed_in_the_order_of_columns(record: Maker, results: Gather) -> None:
    columns = ["keras-jax", "keras-tensorflow", "keras-torch", "torch", "torch-compile"]
    records = [record(name("a", column), test=0.7) for column in columns] + [record(name("b"), test=0.7)]
    found = gaps.frame(results([suite(case("a"), case("b"))], records, seeds=2))
    assert [row.column for row in found if row.case == "b"] == columns


def rows_of(results: Results) -> tuple[str, list[dict[str, str]]]:
    """Return the conclusion, and the rows of the table."""
    answer = gaps.answer(results)
    assert len(answer.conclusion.split()) <= 20
    table = answer.table
    return answer.conclusion, [dict(zip(table.headers, row, strict=True)) for row in table.rows] if table else []


def test_what_there_is_comes_first_then_what_is_missing_with_what_mends_it(record: Maker, results: Gather) -> None:
    declared = asking.suite(*map(asking.case, ("frozen", "learned", "cut", "idle")))
    missing = "vectors.bin is missing: no vectors.bin in /somewhere; put it in the folder"
    records = [record(name("frozen"), status="unavailable", reason=missing, data=None)]
    records += [record(name("learned", seed=seed), test=0.7) for seed in range(2)]
    records += [record(name("cut", seed=0), test=0.7), record(name("cut", seed=1), status="timeout", reason="slow")]
    conclusion, rows = rows_of(results([declared], records, seeds=2))
    assert conclusion == "2 of 4 cases have results."
    found = {row["missing"]: (row["cells"], row["why"], row["what to do"]) for row in rows}
    assert found["demo/frozen"] == ("1", "unavailable: vectors.bin is missing", "put it in the folder")
    assert found["demo/cut"] == ("1", "timeout: slow", "`bench run --resume run0`")
    why, what = found["demo/idle"][1:]
    assert why == "not run yet"
    assert what.startswith("`bench run --profile=documented --threads=2 demo/idle")
    done = [one for one in records if one.case == "learned"]
    assert rows_of(results([asking.suite(asking.case("learned"))], done, seeds=2)) == ("All 1 case has results.", [])


def test_a_case_that_only_lacks_a_fused_kernel_is_not_run_yet(record: Maker, results: Gather) -> None:
    fused = record(name("a", kernel="fused"), status="unavailable", reason="no fused kernel: torch has none on the CPU")
    interrupted = record(name("b"), status="interrupted", reason="stopped by the user")
    gathered = results([asking.suite(asking.case("a", asking.net(LSTM(4))), asking.case("b"))], [fused, interrupted])
    conclusion, rows = rows_of(gathered)
    assert conclusion == "0 of 2 cases have results."
    assert [(row["missing"], row["why"]) for row in rows] == [("demo/b", "interrupted: stopped by the user")]


def test_steps_that_were_timed_under_other_numerics_are_no_gap_of_these(record: Maker, results: Gather) -> None:
    trained = [record(name("a", seed=seed), test=0.7, measure="accuracy") for seed in range(2)]
    timed = [
        record(name(one, numerics="native"), epoch_seconds=[2, 1], measure="steps", metrics=None, repeat=repeat)
        for one in "ab"
        for repeat in range(3)
    ]
    gathered = results([suite(case("a"), case("b"))], trained, timed, seeds=2)
    assert gaps.frame(gathered) == ()
    assert rows_of(gathered) == ("All 2 cases have results.", [])
    lacking = results([suite(case("a"), case("b"))], trained[:1], timed, seeds=2)
    assert [(row.case, row.column, row.missing, row.planned) for row in gaps.frame(lacking)] == [("a", "torch", 1, 2)]
