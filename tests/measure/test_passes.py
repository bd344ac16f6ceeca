"""What is measured of a network whose times are known: it moves the clock that it is measured by."""

from __future__ import annotations

import gc
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest

from bench.backends.base import EpochResult
from bench.data.dataset import Examples
from bench.measure import passes, steps
from bench.measure.clock import Clock
from bench.spec import Dense, Embedding, Flatten
from tests.networks import WORDS, case, experiment_of, model_of, rows

STEP, CALL, FIRST, SINGLE, BATCH, GATHER = 0.02, 0.02, 0.1, 0.004, 0.01, 0.001
CASE = case(Embedding(WORDS, 3), Flatten(), Dense(2))
MODEL = model_of(CASE)
BATCH_SIZE = MODEL.batch_size


class Slow:
    """Takes as long as a network would work: more the first time that it sees a number of rows."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[int, ...]] = []
        self.collecting: set[bool] = set()

    def train_epoch(self, x: Any, y: Any, order: Any, masks: Any) -> EpochResult:
        self.collecting.add(gc.isenabled())
        full, rest = divmod(len(order), BATCH_SIZE)
        shapes = {BATCH_SIZE: full, rest: 1 if rest else 0}
        seen = {shape for call in self.calls for shape in call}
        self.calls.append(tuple(shape for shape, count in shapes.items() if count))
        self.now += CALL + STEP * sum(shapes.values()) + FIRST * len({*self.calls[-1]} - seen)
        return EpochResult(0.5, 0.5)

    def logits(self, x: Any) -> Any:
        self.now += SINGLE if len(x) == 1 else BATCH
        return np.zeros(len(x), np.float32)

    def synchronize(self) -> None:
        pass

    def device_peak_bytes(self) -> int:
        return 1234


class SlowRows(np.ndarray):  # type: ignore[type-arg]
    """Rows that take their time to be gathered."""

    network: Slow

    def __getitem__(self, chosen: Any) -> Any:
        self.network.now += GATHER
        return self.view(np.ndarray)[chosen]


def test_every_pass_finds_what_the_network_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Slow()
    monkeypatch.setattr(passes, "Clock", partial(Clock, timer=lambda: network.now, cpu_timer=lambda: 3 * network.now))
    x, y = rows(120)
    gathered = x.view(SlowRows)
    gathered.network = network
    experiment = experiment_of(CASE, MODEL, Examples(gathered, y))
    found = passes.timing_passes(network, experiment, steps.FULL, "cpu")  # type: ignore[arg-type]
    timing = found.timing
    assert timing["first_step"] == pytest.approx(FIRST + CALL + STEP)
    # 90 of the 120 rows are trained on, and 90 is no multiple of a batch: both shapes of batch are warmed.
    assert set(network.calls) == {(BATCH_SIZE,), (90 % BATCH_SIZE,)}
    assert timing["compile"] == pytest.approx(2 * FIRST)
    assert timing["step"] == pytest.approx(STEP)
    assert timing["cpu_step"] == pytest.approx(3 * STEP)
    beside_a_gpu = passes.step_windows(network, experiment, steps.BRIEF.steps, "cuda")  # type: ignore[arg-type]
    assert timing.keys() - beside_a_gpu.keys() == {"cpu_windows", "cpu_step", "input", "latency", "throughput"}
    assert timing["latency"] == pytest.approx([SINGLE] * len(timing["latency"]))
    assert len(timing["latency"]) == steps.LATENCY.most
    assert timing["throughput"] == pytest.approx(BATCH_SIZE / BATCH)
    assert timing["input"] == pytest.approx(GATHER)
    counted = Counter(steps for steps, _ in timing["windows"])
    assert len(counted) == 2
    assert len(set(counted.values())) == 1
    assert found.memory["device_peak_bytes"] == 1234
    assert found.memory["process_peak_bytes"] >= found.memory["host_peak_bytes"] > 1e7
    # Memory is measured separately: no time is taken, and garbage may be collected.
    assert network.collecting == {False, True}
    assert gc.isenabled()
