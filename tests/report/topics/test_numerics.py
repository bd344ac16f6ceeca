"""Numerics: pairs by seed, and what is said of the formulas that changed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

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


def test_changed_formulas_are_counted_and_their_effect_is_measured_or_not_run(record: Maker, results: Gather) -> None:
    declared = asking.suite(asking.case("flat"), asking.case("lstm", asking.net(LSTM(4)), 0.80))
    documented = [record(name("lstm", kernel="generic", seed=s), test=value) for s, value in enumerate([0.80, 0.82])]
    formulas, effect = asking.found(results([declared], documented), "What did Keras 3")
    assert "RMSprop adds epsilon inside the square root, not after it (2 cases)" in formulas
    assert "true sigmoids, not piecewise-linear ones (1 case)" in formulas
    assert effect.startswith("What that does to accuracies: not run")
    matched = [
        record(name("lstm", kernel="generic", seed=s, numerics="matched"), test=value)
        for s, value in enumerate([0.76, 0.79])
    ]
    gathered = results([declared], [*documented, *matched])
    _, effect = asking.found(gathered, "What did Keras 3")
    assert effect.startswith(
        "demo/lstm with Keras 3's formulas: 77.50 % where the documents' formulas give 81.00 % (-3.50 ±"
    )
    assert " points, not told from 0, 2 paired seeds)" in effect
    assert effect.endswith("2 paired seeds) under torch. Documented: 80.00 %.")
    assert not any("matched" in text or "77.50" in text for text in asking.found(gathered, "Which architecture"))


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
