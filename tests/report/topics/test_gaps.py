"""Gaps: what was planned and has no record, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

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


def test_a_documented_figure_that_was_not_run_says_why_and_what_ran_instead(record: Maker, results: Gather) -> None:
    declared = asking.suite(
        asking.case("frozen", asking.FROZEN, 0.78),
        asking.case("learned", asking.FLAT, 0.80),
        asking.case("idle", asking.net(LSTM(4)), 0.9),
    )
    missing = "vectors.bin is missing: no vectors.bin in /somewhere; it has no stand-in"
    records = [record(name("frozen"), status="unavailable", reason=missing, data=None)]
    records += [record(name("learned", seed=seed), test=value) for seed, value in enumerate(asking.MEASURED)]
    frozen, idle = asking.found(results([declared], records, seeds=5), "Which documented figures could not")
    assert frozen.startswith(
        "demo/frozen, document 7: unavailable: Whether 78.00 % (test) holds is not known: vectors.bin is missing."
    )
    assert (
        f"Run instead: learned, the same net learning its embedding, {100 * np.mean(asking.MEASURED):.2f} ±" in frozen
    )
    assert frozen.endswith("over 5 seeds under torch (documented 80.00 %).")
    assert "/somewhere" not in frozen
    assert idle == "demo/idle, document 7: not run yet: Whether 90.00 % (test) holds is not known."
    cases, cells = asking.found(results([declared], records, seeds=5), "What is missing")
    assert cases == "2 of 3 cases have no result: Unavailable: demo/frozen; not run yet: demo/idle."
    assert cells == "1 of 6 cells has no result: 1 unavailable, vectors.bin is missing."


def test_a_case_that_only_lacks_a_fused_kernel_is_not_run_yet(record: Maker, results: Gather) -> None:
    fused = record(name("a", kernel="fused"), status="unavailable", reason="no fused kernel: torch has none on the CPU")
    interrupted = record(name("b"), status="interrupted", reason="stopped by the user")
    gathered = results([asking.suite(asking.case("a", asking.net(LSTM(4))), asking.case("b"))], [fused, interrupted])
    cases, cells = asking.found(gathered, "What is missing")
    assert cases == "2 of 2 cases have no result: Not run yet: demo/a; interrupted: demo/b."
    assert cells == "2 of 2 cells have no result: 1 unavailable, no fused kernel; 1 interrupted, stopped by the user."
