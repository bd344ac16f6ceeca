"""What is measured of a network whose times are known: it sleeps."""

from __future__ import annotations

import gc
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest

from bench.backends.base import EpochResult
from bench.data.dataset import Dataset, Part
from bench.measure import steps
from bench.measure.passes import timing_passes
from bench.spec import Dense, Embedding, Flatten
from tests.networks import WORDS, case, model_of, rows

STEP, CALL, FIRST, SINGLE, BATCH = 0.02, 0.02, 0.1, 0.004, 0.01
CASE = case(Embedding(WORDS, 3), Flatten(), Dense(2))
MODEL = model_of(CASE)
BATCH_SIZE = MODEL.batch_size


class Sleeper:
    """Sleeps as long as a network would work: more the first time that it sees a number of rows."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []
        self.collecting: set[bool] = set()

    def train_epoch(self, x: Any, y: Any, order: Any, masks: Any) -> EpochResult:
        self.collecting.add(gc.isenabled())
        full, rest = divmod(len(order), BATCH_SIZE)
        shapes = {BATCH_SIZE: full, rest: 1 if rest else 0}
        seen = {shape for call in self.calls for shape in call}
        self.calls.append(tuple(shape for shape, count in shapes.items() if count))
        time.sleep(CALL + STEP * sum(shapes.values()) + FIRST * len({*self.calls[-1]} - seen))
        return EpochResult(0.5, 0.5)

    def logits(self, x: Any) -> Any:
        time.sleep(SINGLE if len(x) == 1 else BATCH)
        return np.zeros(len(x), np.float32)

    def synchronize(self) -> None:
        pass

    def device_peak_bytes(self) -> int:
        return 1234


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure less than a cell would."""
    few = steps.Effort(most=3, least=3, seconds=0.1)
    monkeypatch.setattr(steps, "STEADY", few)
    monkeypatch.setattr(steps, "FULL", steps.Efforts(few, few, few))
    monkeypatch.setattr(steps, "WINDOW_SECONDS", 0.03)


@pytest.mark.usefixtures("quickly")
def test_every_pass_finds_what_the_network_sleeps() -> None:
    x, y = rows(120)
    network = Sleeper()
    data = Dataset("made", "none", Part(x, y))
    found = timing_passes(network, CASE, MODEL, data, "suite/case", 0, steps.FULL)  # type: ignore[arg-type]
    timing = found.timing
    # Sleeps are never shorter than asked for; a machine that works may make them longer.
    assert FIRST + CALL + STEP <= timing["first_step"] < 10 * FIRST
    # 90 of the 120 rows are trained on, and 90 is no multiple of a batch: both shapes of batch are warmed.
    assert set(network.calls) == {(BATCH_SIZE,), (90 % BATCH_SIZE,)}
    assert 1.5 * FIRST < timing["compile"] < 10 * FIRST
    assert 0.5 * STEP < timing["step"] < 10 * STEP
    assert all(value >= SINGLE for value in timing["latency"])
    assert len(timing["latency"]) == 3
    assert 0.1 * BATCH_SIZE / BATCH < timing["throughput"] <= BATCH_SIZE / BATCH
    assert 0 < timing["input"] < STEP
    counted = Counter(steps for steps, _ in timing["windows"])
    assert len(counted) == 2
    assert len(set(counted.values())) == 1
    assert found.memory["device_peak_bytes"] == 1234
    assert found.memory["process_peak_bytes"] >= found.memory["host_peak_bytes"] > 1e7
    # Memory has a pass of its own, in which no time is taken and garbage may be collected.
    assert network.collecting == {False, True}
    assert gc.isenabled()
