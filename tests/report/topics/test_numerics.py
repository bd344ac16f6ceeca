"""Numerics: pairs by seed, and what is said of the formulas that changed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.records.record import Record
from bench.report.results import Results
from bench.report.topic import Answer
from bench.report.topics import accuracy as accuracy_topic
from bench.report.topics import numerics
from bench.spec import (
    LSTM,
    Documented,
    Score,
)
from tests.making import Gather, Maker, case, name, suite
from tests.report import asking, demo
from tests.report.reading import only, parsed


def test_other_numerics_are_paired_with_the_documented_ones_by_seed(record: Maker, results: Gather) -> None:
    documented, matched = [0.80, 0.82, 0.81], [0.76, 0.79, 0.77]
    records = [record(name("a", seed=s), test=value) for s, value in enumerate(documented)]
    records += [record(name("a", seed=s, numerics="matched"), test=value) for s, value in enumerate(matched)]
    records.append(record(name("a", seed=9, numerics="matched"), test=0.1))
    declared = suite(case("a", documented=Documented(test=Score(accuracy=0.8044))))
    (row,) = numerics.frame(results([declared], records))
    differences = np.subtract(matched, documented)
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (row.variant.numerics, row.n, row.figure.score.accuracy) == ("matched", 3, 0.8044)
    assert (row.base, row.mean) == pytest.approx((np.mean(documented), np.mean(matched)))
    assert row.difference - (row.ci_half_width or 0) == pytest.approx(interval.low)


def test_numerics_without_a_kernel_in_common_are_paired_all_the_same(record: Maker, results: Gather) -> None:
    records = [record(name("a", kernel="generic", seed=s), test=0.80) for s in range(3)]
    records += [record(name("a", kernel="fused", seed=s, numerics="matched"), test=0.77) for s in range(3)]
    (row,) = numerics.frame(results([suite(case("a"))], records))
    assert (row.variant.kernel, row.n, round(row.difference, 4)) == ("fused", 3, -0.03)
    records += [record(name("a", kernel="generic", numerics="matched"), test=0.70)]
    (row,) = numerics.frame(results([suite(case("a"))], records))
    assert (row.variant.kernel, row.n, round(row.difference, 4)) == ("generic", 1, -0.1)


def answered(results: Results) -> Answer:
    found = numerics.answer(results)
    assert found is not None
    assert len(found.conclusion.split()) <= 20
    return found


DECLARED = asking.suite(asking.case("flat"), asking.case("lstm", asking.net(LSTM(4)), 0.80))


def lstm(record: Maker, kind: str, values: list[float]) -> list[Record]:
    return [record(name("lstm", kernel="generic", seed=s, numerics=kind), test=value) for s, value in enumerate(values)]


def test_changed_formulas_are_counted_and_their_effect_asked_for_where_it_was_not_run(
    record: Maker, results: Gather
) -> None:
    found = answered(results([DECLARED], lstm(record, "documented", [0.80, 0.82])))
    assert "bench run --numerics matched" in found.conclusion
    assert found.table is None
    epsilon, gates, _ = found.notes
    assert "epsilon" in epsilon
    assert "(2 cases)" in epsilon
    assert "Keras 3" not in epsilon, "Keras 2.11 moved it"
    assert "(1 case)" in gates


def test_what_changed_formulas_do_to_accuracies_is_in_the_table(record: Maker, results: Gather) -> None:
    base = [0.80, 0.82, 0.81]
    for change, outcome in (([-0.04, -0.03, -0.04], "costs"), ([0.02, -0.02, 0.01], "no significant effect")):
        values = [before + moved for before, moved in zip(base, change, strict=True)]
        held = [*lstm(record, "documented", base), *lstm(record, "matched", values)]
        found = answered(results([DECLARED], held))
        assert ("cost accuracy in 1 of 1 case, at most 3.7 points" in found.conclusion) == (outcome == "costs")
        assert found.table is not None
        (row,) = found.table.rows
        assert row[:4] == ("demo/lstm", "torch generic", "81.00", f"{100 * np.mean(values):.2f}")
        assert row[4].startswith(f"{100 * np.mean(change):+.1f} ±")
        assert row[4].endswith(" (3)")
        assert row[5] == outcome


def test_one_seed_has_no_verdict(record: Maker, results: Gather) -> None:
    held = [*lstm(record, "documented", [0.8]), *lstm(record, "matched", [0.7])]
    found = answered(results([DECLARED], held))
    assert found.table is not None
    assert found.table.rows[0][4:] == ("-10.0 (1)", "one seed")
    assert "cost" not in found.conclusion


def test_other_numerics_get_a_table_of_their_own_and_no_column(record: Maker, results: Gather) -> None:
    values = {"documented": [0.80, 0.82], "matched": [0.77, 0.78]}
    records = [
        record(demo.name("flat", "torch", seed).replace("documented", numerics), test=value)
        for numerics, own in values.items()
        for seed, value in enumerate(own)
    ]
    tables = parsed(accuracy_topic.table(results([demo.SUITE], records)))
    judged = only(tables[0], case="flat")
    assert judged["torch %"].startswith("81.00")
    assert not any("matched" in header for header in judged)
    assert only(tables[0], case="idle")["judged"] == "not run", "what has not run stays in the table"
    other = only(tables[1], case="flat")
    assert (other["numerics"], other["documented numerics %"], other["these %"]) == ("matched", "81.00", "77.50")
    assert other["difference"].startswith("-3.50 ±")
