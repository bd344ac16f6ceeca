"""Series keep machines, data and profiles apart; change points are where a level really changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec import structs

from bench.compare.history import change_points, machine, series
from bench.machine.fingerprint import commit, differences
from bench.records.metrics import Kind, metric
from bench.records.record import DataUsed, Record
from tests.making import make_record

ENVIRONMENT: dict[str, Any] = {
    "cpu": "Example CPU",
    "cores": 2,
    "threads": 2,
    "gpus": [],
    "packages": {"torch": "2.12.0"},
    "git": {"commit": "a" * 40, "dirty": False},
}


def record(seconds: float, day: int, **changes: Any) -> Record:
    return make_record(
        "imdb-rnn/lstm@torch,fused,cpu,documented#0",
        epoch_seconds=(1, seconds, seconds, 9 * seconds),
        started=f"2026-01-{day:02}T00:00:00+00:00",
        **{"profile": "quick", "measure": "timing", **changes},
    )


def test_a_run_is_one_point_the_median_of_its_records_and_runs_are_in_the_order_of_time() -> None:
    entries = [
        ("later", ENVIRONMENT, record(3.0, 2)),
        *(("first", ENVIRONMENT, record(value, 1, repeat=n, seed=n)) for n, value in enumerate([5.0, 1.0, 2.0])),
    ]
    (one,) = series(entries, metric("epoch"))
    assert one.cell == "imdb-rnn/lstm@torch,fused,cpu,documented"
    assert [(point.run, point.value, point.n) for point in one.points] == [("first", 2.0, 3), ("later", 3.0, 1)]
    assert one.points[0].commit == "a" * 10
    assert one.changes == ()


@pytest.mark.parametrize(
    "change",
    [
        ({"threads": 1}, {}),
        ({"cpu": "Another CPU"}, {}),
        ({"gpus": [{"name": "H200", "driver": "570"}]}, {}),
        ({}, {"profile": "documented"}),
        ({}, {"data": DataUsed(name="embedded", sha256="e" * 64, rows={})}),
        ({}, {"backend": "keras-tensorflow"}),
    ],
    ids=["threads", "cpu", "gpu", "profile", "data", "backend"],
)
def test_what_must_not_be_mixed_is_a_series_of_its_own(change: tuple[dict[str, Any], dict[str, Any]]) -> None:
    environment, fields = change
    entries = [("a", ENVIRONMENT, record(1.0, 1)), ("b", ENVIRONMENT | environment, record(2.0, 2, **fields))]
    assert [len(one.points) for one in series(entries, metric("epoch"))] == [1, 1]
    assert [len(one.points) for one in series(entries[:1] * 2, metric("epoch"))] == [1]


def test_code_and_versions_are_what_a_series_is_about() -> None:
    newer = ENVIRONMENT | {"packages": {"torch": "2.13.0"}, "git": {"commit": "b" * 40, "dirty": True}}
    days = range(1, 13)
    entries = [(f"r{day}", ENVIRONMENT if day <= 6 else newer, record(1.0 if day <= 6 else 1.2, day)) for day in days]
    (one,) = series(entries, metric("epoch"))
    (change,) = one.changes
    assert (change.at, change.before, change.after) == (6, 1.0, 1.2)
    assert one.points[change.at].commit == "b" * 10 + "+"
    assert change.what == ("torch 2.12.0 → 2.13.0", f"code {'a' * 10} → {'b' * 10}+")


def test_two_machines_with_a_run_of_one_name_stay_two_runs() -> None:
    other = ENVIRONMENT | {"git": {"commit": "c" * 40, "dirty": False}}
    entries = [("nightly", ENVIRONMENT, record(1.0, 1)), ("nightly", other, record(2.0, 2))]
    (one,) = series(entries, metric("epoch"))
    assert [point.n for point in one.points] == [1, 1]


def test_what_is_no_measurement_of_time_is_passed_over() -> None:
    timing = record(1.0, 1).timing
    assert timing is not None
    entries = [
        ("a", ENVIRONMENT, record(1.0, 1, status="failed")),
        ("b", ENVIRONMENT, record(1.0, 1, timing=structs.replace(timing, alone=False))),
        ("c", ENVIRONMENT, record(1.0, 1, timing=None)),
        ("d", ENVIRONMENT, record(float("nan"), 1)),
    ]
    assert series(entries, metric("epoch")) == []


@pytest.mark.parametrize(("kind", "size"), [("time", 0.08), ("memory", -0.08), ("score", 0.08)])
def test_a_step_of_four_spreads_is_found_where_it_is(kind: Kind, size: float) -> None:
    found = []
    for seed in range(20):
        values = np.random.RandomState(seed).normal(0.5, 0.02, 24)
        values[10:] += size
        found.append(change_points(values if kind == "score" else np.exp(values), kind))
    exact = [places for places in found if len(places) == 1 and abs(places[0] - 10) <= 1]
    assert len(exact) >= 18


def test_noise_and_single_odd_runs_are_no_change() -> None:
    alarms = 0
    for seed in range(40):
        values = np.random.RandomState(seed).normal(0, 0.02, 24)
        if seed % 2:
            values[seed % 24] += 0.3
        alarms += bool(change_points(np.exp(values), "time"))
    assert alarms <= 3


def test_a_series_without_any_noise_changes_where_it_changes() -> None:
    assert change_points([2.0] * 9, "memory") == []
    assert change_points([2.0] * 5 + [2.1] * 5, "memory") == [5]
    assert change_points([2.0] * 2 + [4.0] * 3, "memory") == []  # too short to tell
    assert change_points([213301] * 2 + [213302], "count") == [2]


def test_times_of_which_one_is_0_are_a_series_too() -> None:
    assert change_points([0.0, 0.004, 0.0, 0.002, 0.003, 0.0, 0.0, 0.001], "time") == []
    assert change_points([0.0, 0.004, 0.0, 0.002, 0.9, 0.91, 0.9, 0.89], "time") == [4]
    assert change_points([0.0] * 8, "time") == []


def test_differences_of_fingerprints_are_named() -> None:
    assert differences(ENVIRONMENT, ENVIRONMENT) == []
    other = ENVIRONMENT | {"threads": 1, "packages": {"torch": "2.12.0", "jax": "0.10"}, "git": None}
    assert differences(ENVIRONMENT, other) == ["threads 2 → 1", "jax absent → 0.10", f"code {'a' * 10} → unknown"]
    assert commit({}) == "unknown"


def test_a_machine_has_a_line_that_tells_it_apart() -> None:
    assert machine(ENVIRONMENT) == "Example CPU, 2 cores, 2 threads"
    with_gpu = ENVIRONMENT | {"gpus": [{"name": "H200", "driver": "570.1", "memory_bytes": 1}]}
    assert machine(with_gpu) == "Example CPU, 2 cores, 2 threads, H200 (driver 570.1)"
