"""A record's quantities are what was measured, and nothing where it was not."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec import structs

from bench.cases.cell import Status
from bench.cases.parameters import LayerParameters, Parameters
from bench.errors import UsageError
from bench.records.metrics import METRICS, is_comparable, metric, value
from bench.records.record import Metrics, Record, Score, Timing, Weights
from tests.making import make_record


def record(status: Status = "ok", **parts: Any) -> Record:
    return make_record("s/c@torch,none,cpu,documented#0", **{"status": status, "profile": "quick", **parts})


TIMING = Timing(build=0.1, first_epoch=9.0, epochs=[3.0, 1.0, 2.0], steps=4, total=15.0, alone=True)
LAST = Weights(
    epoch=4,
    validation=Score(loss=0.6, accuracy=0.7, rows=8),
    test=Score(loss=0.5, accuracy=0.75, rows=16),
)
PARAMETERS = Parameters(
    total=10,
    trainable=8,
    frozen=2,
    stored=12,
    layers=[LayerParameters(name="dense", total=10, trainable=8, stored=12)],
)


def test_every_quantity_has_its_figure() -> None:
    full = record(
        timing=structs.replace(TIMING, cpu_windows=[(1, 0.5), (2, 0.8)]),
        metrics=Metrics(epochs=[], last=LAST),
        parameters=PARAMETERS,
        memory={"host_peak_bytes": 2e9, "device_peak_bytes": 1e9},
    )
    found = {name: value(full, name) for name in METRICS}
    expected = {
        "epoch": 2.0,
        "step": 0.5,
        "cpu_step": pytest.approx(0.3),
        "accuracy": 0.75,
        "loss": 0.5,
        "parameters": 10,
        "host_memory": 2e9,
        "device_memory": 1e9,
    }
    assert {name: figure for name, figure in found.items() if figure is not None} == expected


def test_without_a_test_set_the_validation_set_counts() -> None:
    last = structs.replace(LAST, test=None)
    validated = record(metrics=Metrics(epochs=[], last=last))
    assert (value(validated, "accuracy"), value(validated, "loss")) == (0.7, 0.6)


def test_what_was_not_measured_or_did_not_end_ok_has_no_figure() -> None:
    assert all(value(record(), name) is None for name in METRICS)
    one_epoch = record(timing=structs.replace(TIMING, epochs=[]))
    assert value(one_epoch, "epoch") is None
    assert value(one_epoch, "step") is None
    assert value(record("failed", parameters=PARAMETERS), "parameters") is None


def test_only_times_of_a_process_that_measured_nothing_else_are_compared() -> None:
    assert is_comparable(record(timing=TIMING))
    assert not is_comparable(record(timing=TIMING, measure="accuracy"))
    assert not is_comparable(record(timing=structs.replace(TIMING, alone=False)))
    assert not is_comparable(record(timing=TIMING, neighbours=1))
    assert not is_comparable(record())


def test_a_time_that_was_taken_beside_other_cells_is_no_figure() -> None:
    last = Weights(epoch=1, test=Score(loss=0.6, accuracy=0.7, rows=10))
    parts = {"timing": TIMING, "parameters": PARAMETERS, "metrics": Metrics(epochs=[], last=last)}
    alone, beside = ({name: value(record(**parts, neighbours=n), name) for name in METRICS} for n in (None, 1))
    times = {name for name, figure in alone.items() if figure is not None and METRICS[name].kind == "time"}
    assert {"step", "epoch"} <= times
    assert {name for name in METRICS if alone[name] != beside[name]} == times
    assert {beside[name] for name in times} == {None}


@pytest.mark.parametrize("seconds", [(0.3, 0.2, 0.5, 0.1), (0.3, 0.3), (0.3, 0.18), (0.3, 0.2, 0.1, 0.3)])
def test_a_step_time_is_positive_or_there_is_none(seconds: tuple[float, ...]) -> None:
    windows = [(1 + at % 2, each) for at, each in enumerate(seconds)]
    timing = Timing(
        build=0, epochs=[3.0], steps=2, total=1, alone=True, windows=windows, step=-0.118, cpu_windows=windows
    )
    assert value(record(measure="all", timing=timing), "step") is None
    assert value(record(measure="all", timing=timing), "cpu_step") is None


def test_an_unknown_metric_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown metric 'acuracy'; nearest: accuracy"):
        value(record(), "acuracy")


@pytest.mark.parametrize(
    ("name", "value", "half_width", "text", "figure"),
    [
        ("step", 0.0123, None, "12.3 ms", "0.012"),
        ("epoch", 7.873, None, "7.87 s", "7.87"),
        ("epoch", 1234.5, 0.5, "1234 ± 0 s", "1234 ±0"),
        ("throughput", 5123.4, None, "5123 rows/s", "5,123"),
        ("host_memory", 1_234_567_890.0, None, "1,234.6 MB", "1,234.6"),
        ("accuracy", 0.80432, 0.01379, "80.43 ± 1.38 %", "80.43 ±1.38"),
        ("loss", 0.3, None, "0.3", "0.3000"),
        ("parameters", 160_033, None, "160,033", "160,033"),
    ],
)
def test_a_metric_says_how_its_figures_are_read(
    name: str, value: float, half_width: float | None, text: str, figure: str
) -> None:
    assert (metric(name).text(value, half_width), metric(name).figure(value, half_width)) == (text, figure)


def test_effects_are_per_cent_of_times_and_points_of_accuracy() -> None:
    assert metric("step").change(math.log(1.1)) == "+10.0%"
    assert metric("host_memory").change(math.log(1.05), "±") == "±5.0%"
    assert metric("accuracy").change(-0.0063) == "-0.63 points"
    assert metric("loss").change(-0.02) == "-0.02"
    assert metric("loss").change(0.02, "±") == "±0.02"
