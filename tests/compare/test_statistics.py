"""Intervals against scipy, against published factors, and against what they promise (coverage)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats as reference

from bench.compare import statistics
from bench.compare.statistics import (
    binomial_half_width,
    deviation_behind,
    fewest_pairs,
    flip_p_values,
    hodges_lehmann,
    judge,
    mean_interval,
    noise_floor,
    paired,
    pairs_to_detect,
    prediction_interval,
    ratio_interval,
    seeds_for_equivalence,
    welch,
)

VALUES = [0.7475, 0.7612, 0.7390, 0.7551, 0.7433, 0.7698]


def test_the_mean_interval_is_that_of_scipys_one_sample_t_test() -> None:
    expected = reference.ttest_1samp(VALUES, 0).confidence_interval(0.95)
    found = mean_interval(VALUES)
    assert found.n == 6
    assert found.mean - found.ci_half_width == pytest.approx(expected.low, rel=1e-12)
    assert found.mean + found.ci_half_width == pytest.approx(expected.high, rel=1e-12)


@pytest.mark.parametrize(("n", "factor"), [(3, 4.97), (5, 3.04), (10, 2.37)])
def test_the_prediction_interval_has_the_published_factors(n: int, factor: float) -> None:
    values = np.linspace(0.7, 0.8, n)
    low, high = prediction_interval(values)
    assert (high - low) / 2 / values.std(ddof=1) == pytest.approx(factor, abs=0.005)
    assert (high + low) / 2 == pytest.approx(0.75)


@pytest.mark.parametrize("n", [5, 10])
def test_one_further_run_falls_into_the_prediction_interval_95_times_in_100(n: int) -> None:
    runs = np.random.default_rng(n).normal(0.8, 0.001, size=(8000, n + 1))
    inside = [judge(row[-1], row[:-1]).verdict == "inside" for row in runs]
    # Three standard errors of a proportion of .95 over 8,000 trials.
    assert np.mean(inside) == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 8000))


def test_the_mean_falls_into_its_interval_95_times_in_100() -> None:
    runs = np.random.default_rng(1).normal(0.8, 0.01, size=(8000, 5))
    found = [mean_interval(row) for row in runs]
    assert np.mean([abs(one.mean - 0.8) <= one.ci_half_width for one in found]) == pytest.approx(0.95, abs=0.008)


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
    assert math.isnan(found.ci_half_width)
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


@pytest.mark.parametrize("n", [5, 10])
def test_a_figure_is_judged_by_the_t_prediction_interval_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(0.8, 0.005, size=n)
    # One further run minus the mean of n has the variance s^2 (1 + 1/n), and n - 1 degrees of freedom.
    spread = values.std(ddof=1) * np.sqrt(1 + 1 / n)
    low, high = reference.t.interval(0.95, n - 1, values.mean(), spread)
    found = judge(0.8, values)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    for bound, step in (low, 1e-9), (high, -1e-9):
        assert judge(bound + step, values).verdict == "inside"
        assert judge(bound - step, values).verdict == "outside"


def test_an_interval_wider_than_ten_points_judges_nothing() -> None:
    shape = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    width = 2 * reference.t.ppf(0.975, 4) * shape.std(ddof=1) * np.sqrt(1 + 1 / 5)
    narrow, wide = (0.7 + shape * points / width for points in (0.0999, 0.1001))
    assert judge(0.7, narrow).verdict == "inside"
    assert judge(0.9, narrow).verdict == "outside"
    assert judge(0.7, wide).verdict == judge(0.9, wide).verdict == "too variable to judge"
    assert judge(0.7, wide[:4]).verdict == "n too small", "which is said first: more seeds may help"


def test_the_interval_of_a_ratio_is_that_of_scipys_welch_test_on_logarithms() -> None:
    slow, fast = [4.1, 4.4, 3.9, 4.6], [2.0, 2.1, 2.05]
    expected = reference.ttest_ind(np.log(slow), np.log(fast), equal_var=False).confidence_interval(0.95)
    found = ratio_interval(slow, fast)
    assert found.value == pytest.approx(reference.gmean(slow) / reference.gmean(fast), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)), rel=1e-12)


def test_times_that_do_not_vary_give_an_interval_of_no_width() -> None:
    found = ratio_interval([4.0, 4.0], [2.0, 2.0])
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))


# --- pairs -------------------------------------------------------------------------------------------------------

# Hollander, Wolfe & Chicken (2014), table 3.1: Hamilton depression scale factor IV of nine patients, before and after.
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])


def test_hodges_lehmann_gives_the_published_example() -> None:
    shift = hodges_lehmann(AFTER - BEFORE)  # examples 3.3 and 3.4 of the book
    assert shift.estimate == pytest.approx(-0.46)
    assert (shift.low, shift.high) == (pytest.approx(-0.786), pytest.approx(-0.010))


@pytest.mark.parametrize("n", [6, 9, 12])
def test_the_signed_rank_distribution_is_that_of_scipy(n: int) -> None:
    ranks = np.arange(1.0, n + 1)
    for negatives in range(n + 1):
        sample = np.where(np.arange(n) < negatives, -ranks, ranks)
        found = statistics._signed_rank_cdf(n)[int(ranks[negatives:].sum())]
        assert found == pytest.approx(reference.wilcoxon(sample, alternative="less", method="exact").pvalue)


def test_the_signed_rank_interval_covers_the_centre_as_often_as_it_says() -> None:
    shift = hodges_lehmann(np.random.default_rng(3).standard_t(3, size=(8000, 12)) + 1)
    # Of 12 pairs the level just above 95 % is 1 - 2 P(T+ <= 13) = 95.8 %.
    assert np.mean((shift.low <= 1) & (shift.high >= 1)) == pytest.approx(0.958, abs=0.007)


def test_too_few_pairs_have_an_endless_interval() -> None:
    assert hodges_lehmann([1.0, 2.0, 3.0, 4.0, 5.0]).low == -math.inf
    assert hodges_lehmann([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).low == 1.0


def test_the_deviation_behind_an_interval_is_that_of_the_differences() -> None:
    differences = np.random.default_rng(4).normal(0.1, 0.05, 400)
    assert deviation_behind(hodges_lehmann(differences), 400) == pytest.approx(0.05, rel=0.1)


def test_of_one_cell_the_flip_test_is_scipys_permutation_test(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(5).normal(0.02, 0.03, 10)

    def studentised(sample, axis):  # type: ignore[no-untyped-def]
        return reference.ttest_1samp(sample, 0, axis=axis).statistic

    expected = reference.permutation_test(
        (differences,), studentised, permutation_type="samples", vectorized=True, alternative="greater"
    )
    monkeypatch.setattr(statistics, "CUTOFF", 1e9)  # the plain mean, as scipy's
    greater, less = flip_p_values(differences)
    assert greater[0] == pytest.approx(expected.pvalue)
    assert less[0] == pytest.approx(1 - expected.pvalue + 2**-10)


def test_copies_of_a_cell_cost_nothing_and_independent_cells_what_sidak_says() -> None:
    random = np.random.default_rng(6)
    one = random.normal(0.02, 0.03, 13)
    alone = flip_p_values(one)[0][0]
    assert flip_p_values(np.tile(one, (40, 1)))[0] == pytest.approx(np.full(40, alone))
    others = random.normal(0, 0.03, (19, 13))
    # Westfall & Young (1993), ch. 2.3.3: for independent tests max-T is Sidak's 1 - (1 - p)^m.
    assert flip_p_values(np.vstack([one, others]))[0][0] == pytest.approx(1 - (1 - alone) ** 20, abs=0.02)


def test_over_all_flips_of_any_data_the_test_is_exact() -> None:
    # Whatever the sizes are, each sign is as likely as the other: a share of p of all flips, at most, has p or less.
    random = np.random.default_rng(7)
    flips = np.array(list(itertools.product([-1.0, 1.0], repeat=8)))
    for sizes in (random.standard_cauchy((5, 8)), random.normal(0.02, 0.005, (5, 8)), np.ones((5, 8))):
        smallest = np.sort([flip_p_values(flip * sizes)[0].min() for flip in flips])
        at_most = np.searchsorted(smallest, smallest + 1e-9, side="right") / len(flips)
        assert (at_most <= smallest + 1e-9).all()
        assert smallest[0] <= 8 / len(flips)


@pytest.mark.parametrize("pairs", [9, 16])
def test_equal_sides_are_called_different_no_more_often_than_the_level_says(pairs: int) -> None:
    random = np.random.default_rng(pairs)
    # Cells that depend on each other, heavy tails, unequal spreads.
    tables = random.standard_t(2, (600, 8, pairs)) + random.normal(0, 1, (600, 1, pairs))
    smallest = [flip_p_values(table * np.arange(1, 9)[:, None])[0].min() for table in tables]
    assert np.mean(np.array(smallest) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)


def test_one_spike_does_not_hide_a_slowdown(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(8).normal(0, 0.014, (40, 12))
    table[0] += math.log(1.08)
    table[0, 4] -= 0.5
    assert flip_p_values(table)[0][0] <= 0.005
    monkeypatch.setattr(statistics, "CUTOFF", 1e9)
    assert flip_p_values(table)[0][0] > 0.1


def test_a_missing_pair_is_left_out() -> None:
    random = np.random.default_rng(9)
    table = np.full((2, 12), np.nan)
    table[0], table[1, :10] = random.normal(0.03, 0.02, 12), random.normal(0.03, 0.02, 10)
    greater, _ = flip_p_values(table)
    assert greater[1] == pytest.approx(flip_p_values(table[:, :10])[0][1], abs=0.003)
    assert flip_p_values(np.full((1, 12), 0.0))[0][0] == 1


def test_as_many_pairs_are_asked_for_as_are_needed() -> None:
    assert fewest_pairs(0.005) == 8
    # One cell and a mild level leave the margin alone to decide: (1.68 sqrt(2) .05 / ln(1.08/1.05))^2 = 17.8.
    assert pairs_to_detect(math.sqrt(2) * 0.05, 0.05, 1, 0.1) == 18
    # The test over 40 cells asks for more than the margin does.
    assert [pairs_to_detect(math.sqrt(2) * sd, 0.05, 40, 0.005) for sd in (0.01, 0.02, 0.05)] == [8, 10, 31]
    assert pairs_to_detect(3.0, 0.05, 40, 0.005) == statistics.MOST_PAIRS
    assert [seeds_for_equivalence(deviation, 0.5) for deviation in (0.5, 1, 1.5)] == [11, 44, 98]


def test_pairs_to_detect_keep_their_promise() -> None:
    pairs = pairs_to_detect(0.06, 0.05, 10, 0.005)
    tables = np.random.default_rng(10).normal(0, 0.06, (300, 10, pairs))
    tables[:, 0] += math.log(1.08)
    found = [flip_p_values(table)[0][0] <= 0.005 for table in tables]
    over = hodges_lehmann(tables[:, 0]).estimate >= math.log(1.05)
    # The biweight, which the formula leaves out, costs a few in 100 where there is no spike.
    assert np.mean(np.array(found) & over) == pytest.approx(0.93, abs=0.05)


def test_the_noise_floor_is_the_95th_percentile_of_forty_effects() -> None:
    assert noise_floor(np.log1p(np.linspace(-0.1, 0.1, 201))) == pytest.approx(0.1, abs=0.01)
    with pytest.raises(ValueError, match="needs 40 comparisons, got 39"):
        noise_floor(np.zeros(39))


# --- means -------------------------------------------------------------------------------------------------------


def test_paired_means_are_judged_as_by_scipy() -> None:
    differences = np.array([[0.1, -0.2, 0.3, 0.15], [1.0, 1.1, 0.9, 1.3]])
    student = paired([4, 4], differences.mean(axis=1), differences.std(axis=1, ddof=1))
    expected = reference.ttest_1samp(differences, 0, axis=1)
    interval = expected.confidence_interval(0.9)
    assert student.difference + student.half_width(0.9) == pytest.approx(interval.high)
    assert student.p_values()[1] == pytest.approx(
        reference.ttest_1samp(differences, 0, axis=1, alternative="less").pvalue
    )


def test_independent_means_are_judged_as_by_scipy() -> None:
    base, candidate = np.array([1.0, 1.2, 0.9, 1.1]), np.array([1.3, 1.6, 1.1, 1.2, 1.9])
    student = welch((4, 5), (base.mean(), candidate.mean()), (base.std(ddof=1), candidate.std(ddof=1)))
    expected = reference.ttest_ind(candidate, base, equal_var=False, alternative="greater")
    assert student.freedom == pytest.approx(expected.df)
    assert student.p_values()[0] == pytest.approx(expected.pvalue)
    two_sided = reference.ttest_ind(candidate, base, equal_var=False).confidence_interval(0.95)
    assert student.difference - student.half_width(0.95) == pytest.approx(two_sided.low)


def test_without_any_spread_a_difference_is_certain_and_none_is_none() -> None:
    greater, less = welch(([2, 2], [2, 2]), ([1.0, 1.0], [1.0, 2.0]), (np.zeros(2), np.zeros(2))).p_values()
    assert greater == pytest.approx([0.5, 0])
    assert less == pytest.approx([0.5, 1])
