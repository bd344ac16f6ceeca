"""Intervals against scipy, against published factors, and against what they promise (coverage)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as reference

from bench.stats import binomial_half_width, judge, mean_interval, prediction_interval, ratio_interval

VALUES = [0.7475, 0.7612, 0.7390, 0.7551, 0.7433, 0.7698]


def test_the_mean_interval_is_that_of_scipys_one_sample_t_test() -> None:
    expected = reference.ttest_1samp(VALUES, 0).confidence_interval(0.95)
    found = mean_interval(VALUES)
    assert found.n == 6
    assert found.mean - found.half == pytest.approx(expected.low, rel=1e-12)
    assert found.mean + found.half == pytest.approx(expected.high, rel=1e-12)


@pytest.mark.parametrize(("n", "factor"), [(3, 4.97), (5, 3.04), (10, 2.37)])
def test_the_prediction_interval_has_the_published_factors(n: int, factor: float) -> None:
    values = np.linspace(0.7, 0.8, n)
    low, high = prediction_interval(values)
    assert (high - low) / 2 / values.std(ddof=1) == pytest.approx(factor, abs=0.005)
    assert (high + low) / 2 == pytest.approx(0.75)


@pytest.mark.parametrize("n", [5, 10])
def test_one_further_run_falls_into_the_prediction_interval_95_times_in_100(n: int) -> None:
    runs = np.random.default_rng(n).normal(0.8, 0.01, size=(8000, n + 1))
    inside = [judge(row[-1], row[:-1]).verdict == "inside" for row in runs]
    # Three standard errors of a proportion of .95 over 8,000 trials.
    assert np.mean(inside) == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 8000))


def test_the_mean_falls_into_its_interval_95_times_in_100() -> None:
    runs = np.random.default_rng(1).normal(0.8, 0.01, size=(8000, 5))
    found = [mean_interval(row) for row in runs]
    assert np.mean([abs(one.mean - 0.8) <= one.half for one in found]) == pytest.approx(0.95, abs=0.008)


@pytest.mark.parametrize(("accuracy", "rows", "points"), [(0.88, 25_000, 0.40), (0.75, 2_000, 1.9)])
def test_a_test_set_alone_gives_the_published_uncertainty(accuracy: float, rows: int, points: float) -> None:
    assert 100 * binomial_half_width(accuracy, rows) == pytest.approx(points, abs=0.005 if rows > 2000 else 0.05)


def test_the_test_set_uncertainty_covers_the_true_accuracy_95_times_in_100() -> None:
    hits = np.random.default_rng(2).binomial(2000, 0.75, size=8000)
    covered = [abs(hit / 2000 - 0.75) <= binomial_half_width(hit / 2000, 2000) for hit in hits]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.012)


def test_a_single_value_has_a_mean_and_no_interval() -> None:
    found = mean_interval([0.5])
    assert (found.mean, found.n) == (0.5, 1)
    assert math.isnan(found.half)
    assert all(map(math.isnan, prediction_interval([0.5])))
    assert math.isnan(mean_interval([]).mean)


def test_a_judgement_needs_five_values_and_a_documented_protocol() -> None:
    assert judge(0.75, VALUES).verdict == "inside"
    assert judge(0.90, VALUES).verdict == "outside"
    few = judge(0.75, VALUES[:4])
    assert (few.verdict, few.reason) == ("n too small", "4 of at least 5 seeds")
    assert judge(0.75, VALUES[:5]).verdict == "inside"
    never = judge(0.75, VALUES, "epochs not printed")
    assert (never.verdict, never.reason) == ("not judged", "epochs not printed")


def test_the_verdict_turns_exactly_at_the_bounds() -> None:
    low, high = prediction_interval(VALUES)
    assert judge(low, VALUES).verdict == judge(high, VALUES).verdict == "inside"
    assert judge(np.nextafter(low, 0), VALUES).verdict == judge(np.nextafter(high, 1), VALUES).verdict == "outside"


def test_the_interval_of_a_ratio_is_that_of_scipys_welch_test_on_logarithms() -> None:
    slow, fast = [4.1, 4.4, 3.9, 4.6], [2.0, 2.1, 2.05]
    expected = reference.ttest_ind(np.log(slow), np.log(fast), equal_var=False).confidence_interval(0.95)
    found = ratio_interval(slow, fast)
    assert found.value == pytest.approx(reference.gmean(slow) / reference.gmean(fast), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)), rel=1e-12)


def test_times_that_do_not_vary_give_an_interval_of_no_width() -> None:
    found = ratio_interval([4.0, 4.0], [2.0, 2.0])
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))
