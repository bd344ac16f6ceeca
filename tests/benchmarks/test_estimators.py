"""The estimators that are compared are what they are called, and nothing that is not positive is an estimate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.measure import steps
from bench.records.metrics import Windows
from tests.benchmarks.estimators import CALL, ESTIMATORS, TODAY, errors, simulated

MEANS = ("median of window means", "least window mean")


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name not in MEANS])
def test_a_slope_is_exact_where_nothing_disturbs_whatever_a_call_costs(name: str) -> None:
    for windows in simulated([np.full(900, 0.002)], steps.FULL.steps, CALL, np.random.default_rng(0), 3):
        assert ESTIMATORS[name](windows) == pytest.approx(0.002)


def test_lines_are_those_of_scipy_and_means_hold_the_cost_of_a_call() -> None:
    random = np.random.default_rng(1)
    for windows in simulated([random.lognormal(-6, 0.5, 5000)], steps.FULL.steps, CALL, random, 3):
        numbers, seconds = np.array(windows).T
        assert ESTIMATORS["Theil-Sen over windows"](windows) == pytest.approx(stats.theilslopes(seconds, numbers).slope)
        assert ESTIMATORS["least squares over windows"](windows) == pytest.approx(
            stats.linregress(numbers, seconds).slope
        )
        per_step = sorted(seconds / numbers)
        assert [ESTIMATORS[name](windows) for name in MEANS] == pytest.approx([np.median(per_step), per_step[0]])


def test_what_is_not_positive_is_no_estimate_and_counts_in_no_error() -> None:
    turned: Windows = [(1, 0.3), (2, 0.2)]
    found = errors(ESTIMATORS[TODAY], [turned, [(1, 0.1), (2, 0.3)]], 0.1)
    assert (found.none, list(found.found)) == (0.5, pytest.approx([1.0]))
    assert [ESTIMATORS[name](turned) is None for name in ESTIMATORS] == [name not in MEANS for name in ESTIMATORS]
