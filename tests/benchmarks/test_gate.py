"""The gate keeps its promises: the simulation of reports/gate in short, on the same seeds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bench.compare import statistics
from tests.benchmarks.ab_demo import asv_fails, pytest_benchmark_fails, real_samples
from tests.benchmarks.gate import MARGIN, Gate, Noise, flips_alone, gate, other, processes, same_code, scores, tally

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
    monkeypatch.setattr(statistics, "CUTOFF", 1e9)
    found = tally(gate(), Noise(0.02), 15, SLOWER)
    assert found.changed["regressed"] < 0.95 * found.changed.total()


@pytest.mark.parametrize(("rule", "pairs", "suites"), [(flips_alone(0.05), 12, 60), (gate(1e-9, 0.05), 12, 25)])
def test_without_a_margin_the_test_keeps_its_level_at_one_look_and_at_two(rule: Gate, pairs: int, suites: int) -> None:
    most = 0.05 * suites + 3 * math.sqrt(0.05 * 0.95 * suites)
    assert tally(rule, Noise(0.02, spikes=0.2), suites, pairs=pairs).alarms <= most


def test_the_noise_is_what_it_says_it_is() -> None:
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


def test_the_page_leads_to_the_real_samples_where_there_are_any(tmp_path: Path) -> None:
    assert "Not run" in real_samples(tmp_path)
    (tmp_path / "real.md").touch()
    assert "](real.md)" in real_samples(tmp_path)
