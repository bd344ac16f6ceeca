"""Records into frames: which record counts, which figure is compared with which, what may stand beside a document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.errors import UsageError
from bench.records.record import Record
from bench.report.results import Column, Results, Source
from bench.report.topics import accuracy as accuracy_topic
from bench.report.topics import timing as timing_topic
from bench.spec import (
    LSTM,
    Dense,
    Embedding,
)
from tests.making import Gather, Maker, case, name, suite


def means_of_test(results: Results) -> list[float]:
    """Return the means of all test accuracies."""
    measured = [row for row in accuracy_topic.frame(results) if isinstance(row, accuracy_topic.MeasuredRow)]
    return [row.mean for row in measured if row.figure.name == "test"]


# --- which record counts -----------------------------------------------------------------------------------------


def test_a_later_record_of_a_cell_replaces_an_earlier_one_whatever_the_order_of_the_runs(
    record: Maker, results: Gather
) -> None:
    old = record(name("a"), test=0.5, started="2026-01-01T00:00:00+00:00")
    new = record(name("a"), test=0.7, started="2026-01-02T00:00:00+00:00")
    for runs in ([old], [new]), ([new], [old]):
        assert means_of_test(results([suite(case("a"))], *runs)) == [0.7]


def test_a_timing_record_does_not_replace_the_accuracy_of_its_cell(record: Maker, results: Gather) -> None:
    accurate = record(name("a"), test=0.7, measure="accuracy", epoch_seconds=[9, 8, 8])
    timed = record(name("a"), measure="timing", epoch_seconds=[5, 2, 4], started="2026-01-02T00:00:00+00:00")
    both = results([suite(case("a"))], [accurate], [timed])
    assert means_of_test(both) == [0.7]
    (row,) = timing_topic.frame(both)
    assert (row.epoch, row.comparable) == (3.0, True)


def test_runs_of_two_profiles_or_two_environments_are_refused_but_two_commits_are_not(
    record: Maker, results: Gather
) -> None:
    one = record(name("a"), test=0.7)
    with pytest.raises(UsageError, match="different profiles"):
        results([suite(case("a"))], [one], [record(name("a"), test=0.7, profile="quick")])
    base = results([suite(case("a"))], [one])
    first = base.sources[0]

    def other(**environment: Any) -> Source:
        changed = {**first.environment, **environment}
        return Source("other", "documented", "bench run", "2026", changed, (one,))

    Results((first, other(git={"commit": "f" * 40, "dirty": True})), base.suites)
    with pytest.raises(UsageError, match=r"different environments \(cpu\)"):
        Results((first, other(cpu="Another")), base.suites)


def test_only_what_both_environments_know_can_differ(record: Maker, results: Gather) -> None:
    one = record(name("a"), test=0.7)
    base = results([suite(case("a"))], [one])
    first = base.sources[0]
    packages = first.environment["packages"]

    def other(**environment: Any) -> Source:
        return Source("other", "documented", "bench run", "2026", {**first.environment, **environment}, (one,))

    Results((first, other(governor="performance", packages={**packages, "jax": "0.10.2"})), base.suites)
    with pytest.raises(UsageError, match=r"different environments \(packages\)"):
        Results((first, other(packages={**packages, "torch": "2.12.0"})), base.suites)


@pytest.mark.parametrize(("part", "value"), [("threads", 1), ("os", "Linux-6.18.43"), ("memory_bytes", 16 * 2**30)])
def test_an_accuracy_run_may_have_other_threads_memory_and_system_than_a_timed_one_but_two_timed_runs_may_not(
    record: Maker, results: Gather, part: str, value: Any
) -> None:
    base = results([suite(case("a"))], [record(name("a"), measure="timing", epoch_seconds=[5, 2, 4])])
    (bare,) = base.sources
    timed = replace(bare, environment={"os": "Linux-6.18.44", "memory_bytes": 24 * 2**30, **bare.environment})
    accurate = record(name("a"), test=0.7, measure="accuracy")
    changed = {**timed.environment, part: value}
    merged = Results((Source("other", "documented", "bench run", "2026", changed, (accurate,)), timed), base.suites)
    assert merged.timing_environment[part] == timed.environment[part] != value
    with pytest.raises(UsageError, match=rf"different environments \({part}\)"):
        Results((timed, Source("other", "documented", "bench run", "2026", changed, timed.records)), base.suites)


def test_no_record_is_nothing_to_report(results: Gather) -> None:
    with pytest.raises(UsageError, match="no record yet"):
        results([suite(case("a"))], [])


def test_a_case_that_no_suite_declares_names_the_remedy(record: Maker, results: Gather) -> None:
    with pytest.raises(UsageError, match=r"demo/a.*--suites"):
        accuracy_topic.frame(results([], [record(name("a"), test=0.7)]))


# --- columns -----------------------------------------------------------------------------------------------------


def test_kernels_devices_and_numerics_get_columns_only_where_they_tell_cells_apart(
    record: Maker, results: Gather
) -> None:
    recurrent = (Embedding(50, 8), LSTM(4), Dense(1, "sigmoid"))
    declared = suite(case("a", layers=recurrent), case("b"))

    def columns_of(records: list[Record]) -> Any:
        return results([declared], records).columns.items()

    records = [
        record(name("a", kernel="fused"), test=0.7),
        record(name("a", kernel="generic"), test=0.6),
        record(name("b"), test=0.5),
        record(name("a", kernel="fused", device="cuda"), status="unavailable", reason="no GPU"),
    ]
    found = {(case, variant.kernel, variant.device): column for (_, case, variant), column in columns_of(records)}
    assert found["a", "fused", "cpu"] == found["b", "none", "cpu"] == Column("torch")
    assert found["a", "generic", "cpu"] == Column("torch", "generic") == "torch generic"
    assert (found["a", "fused", "cpu"].kernel, found["a", "generic", "cpu"].kernel) == (None, "generic")
    with_gpu = [*records[:3], record(name("a", kernel="fused", device="cuda"), test=0.7)]
    assert {column for _, column in columns_of(with_gpu)} == {"torch cpu", "torch cpu generic", "torch cuda"}


def test_numerics_are_told_where_they_stand_beside_the_documented_ones(record: Maker, results: Gather) -> None:
    cells = [name("a"), name("a").replace("documented", "matched")]
    gathered = results([suite(case("a"))], [record(cell, test=0.7) for cell in cells])
    assert set(gathered.columns.values()) == {"torch", "torch matched"}
