"""The gate keeps its promises: the simulation of reports/gate in short, on the same seeds."""

from __future__ import annotations

import math

import pytest

from bench import stats
from tests.benchmarks.ab_demo import asv_fails, pytest_benchmark_fails
from tests.benchmarks.gate import MARGIN, Noise, gate, other, processes, same_code, scores, tally

SLOWER = MARGIN + 0.03


@pytest.mark.parametrize("deviation", [0.01, 0.05])
def test_the_same_code_raises_no_alarm(deviation: float) -> None:
    assert tally(gate(), Noise(deviation), 25).alarms == 0


@pytest.mark.parametrize("deviation", [0.005, 0.02])
def test_a_slowdown_of_the_margin_and_3_percent_is_found(deviation: float) -> None:
    found = tally(gate(), Noise(deviation), 20, SLOWER)
    assert found.alarms == 0
    assert found.changed["regressed"] >= 0.95 * found.changed.total()


def test_where_the_noise_is_too_large_the_verdict_is_open_rather_than_wrong() -> None:
    found = tally(gate(), Noise(0.10), 12, SLOWER)
    assert found.changed["inconclusive"] >= 0.8 * found.changed.total()
    assert not found.changed["same"] + found.changed["improved"]


def test_other_tools_raise_alarms_on_the_same_samples() -> None:
    single = [tally(other(rule, runs), Noise(0.02), 10) for rule, runs in ((pytest_benchmark_fails, 1), (asv_fails, 2))]
    assert all(found.alarms >= 2 for found in single)


def test_without_the_biweight_spikes_hide_slowdowns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "CUTOFF", 1e9)
    found = tally(gate(), Noise(0.02), 15, SLOWER)
    assert found.changed["regressed"] < 0.95 * found.changed.total()


def test_the_noise_is_what_it_says_it_is() -> None:
    import numpy as np

    random = np.random.default_rng(0)
    logs = np.log(processes(Noise(0.02, drift=0, spikes=0), np.zeros(2000), 2, random)).ravel()
    assert logs.std() == pytest.approx(0.02, rel=0.1)
    slow = processes(Noise(0.001, drift=0.0), np.full(40, math.log(1.1)), 24, random)
    assert np.median(slow[1] / slow[0]) == pytest.approx(1.1, rel=0.001)
    spiky = processes(Noise(0.001, drift=0.0), np.zeros(2000), 2, random) / 0.05
    assert np.mean(spiky > 1.02) == pytest.approx(0.02, abs=0.006)


def test_the_sections_of_the_report_are_written() -> None:
    assert same_code(1).count("\n| ") == 9
    assert scores(2).count("\n| ") == 6
