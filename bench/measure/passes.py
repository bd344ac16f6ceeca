"""Everything timed of a cell beside its epochs: each measured separately, on a network of its own.

The network is a fresh one, so that its first step is a first step, and nothing of these passes reaches the training
whose accuracy is recorded. docs/method-timing.md says what every figure means.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from bench.backends.base import MaskSource, Network, TrainsSteps
from bench.data.dataset import Examples, Rows
from bench.measure import memory, steps
from bench.measure.clock import Clock, no_garbage_collection
from bench.records.metrics import step_time
from bench.spec import Device
from bench.training.experiment import Experiment

INPUT_STEPS = 64
GLANCE_SECONDS = 0.05
"""What the longer window of a pair takes longer than the shorter one, where steps are only glanced at."""


class Passes(NamedTuple):
    """Fields of `bench.records.record.Timing` and of a record's memory."""

    timing: dict[str, Any]
    memory: dict[str, float]


def timing_passes(network: Network, experiment: Experiment, efforts: steps.Efforts, device: Device) -> Passes:
    """Time a network that has never been called, on the rows that its experiment trains on.

    Both shapes of batch are warmed: the full one and, where the rows do not come out even, the partial last one.
    """
    part = experiment.dataset.train
    rows, masks, full = experiment.order(0), experiment.masks(0), experiment.batch_size
    clock = Clock(network.synchronize)
    timing = step_windows(network, experiment, efforts.steps, device)
    with no_garbage_collection():
        timing["input"] = _input(part, rows, masks, full)
        timing["latency"] = _latency(network, part, clock, efforts.latency)
        timing["throughput"] = full / _batch_seconds(network, part, rows[:full], clock, efforts.throughput)
    train_steps, shapes = _training(network, experiment)
    peaks = _peaks(network, [partial(train_steps, 2), *shapes[1:]])
    return Passes(timing, peaks)


def step_windows(network: Network, experiment: Experiment, effort: steps.Effort, device: Device) -> dict[str, Any]:
    """Time the steps of a network that has never been called, and nothing else; return their fields of `Timing`."""
    clock = Clock(network.synchronize)
    train_steps, shapes = _training(network, experiment)
    with no_garbage_collection():
        cold = steps.cold(shapes, clock)
        timed = steps.windows(train_steps, clock, effort)
    return {"first_step": cold.first_step, "compile": cold.compile} | _step(timed, device)


def glance(network: Network, experiment: Experiment, device: Device) -> dict[str, Any]:
    """Time a few steps of a trained network; return their fields of `Timing`."""
    train_steps, _ = _training(network, experiment)
    with no_garbage_collection():
        timed = steps.windows(train_steps, Clock(network.synchronize), steps.GLANCE, GLANCE_SECONDS)
    return _step(timed, device)


def _step(timed: steps.Timed, device: Device) -> dict[str, Any]:
    """Return the fields of `Timing` that windows make; beside a GPU a CPU mostly waits, so its time is left out."""
    found = {"windows": timed.wall, "step": step_time(timed.wall)}
    return found | ({"cpu_windows": timed.cpu, "cpu_step": step_time(timed.cpu)} if device == "cpu" else {})


def _training(network: Network, experiment: Experiment) -> tuple[Callable[[int], None], list[Callable[[], None]]]:
    """Return what trains a number of steps on full batches, and what does one step on each shape of batch."""
    part = experiment.dataset.train
    rows, masks, full = experiment.order(0), experiment.masks(0), experiment.batch_size
    left_over = rows[len(rows) - len(rows) % full :]
    train_rows = network.train_steps if isinstance(network, TrainsSteps) else network.train_epoch

    def train(chosen: Rows) -> None:
        train_rows(part.x, part.y, chosen, masks)

    def train_steps(number: int) -> None:
        train(np.resize(rows, number * full))

    return train_steps, [partial(train, chosen) for chosen in (rows[:full], left_over) if len(chosen)]


def _input(part: Examples, rows: Rows, masks: MaskSource | None, size: int) -> float:
    """Return the seconds per step of making batches alone: rows gathered, multi-hot rows and dropout masks made."""
    rows = np.resize(rows, INPUT_STEPS * size)

    def make() -> None:
        for step in range(INPUT_STEPS):
            chosen = rows[step * size : (step + 1) * size]
            part.x[chosen], part.y[chosen]
            if masks:
                masks(step, size)

    return median(steps.samples(make, Clock(lambda: None), steps.INPUT)) / INPUT_STEPS


def _latency(network: Network, part: Examples, clock: Clock, effort: steps.Effort) -> list[float]:
    """Return raw seconds of inferences of one row, one after another, once that shape is warmed up."""
    rows = itertools.cycle([part.x[np.array([row])] for row in range(min(len(part), effort.most))])

    def infer() -> None:
        network.logits(next(rows))

    steps.samples(infer, clock, steps.STEADY)
    return steps.samples(infer, clock, effort)


def _batch_seconds(network: Network, part: Examples, rows: Rows, clock: Clock, effort: steps.Effort) -> float:
    """Return the median seconds of the inference of a batch."""
    infer = partial(network.logits, part.x[rows])
    steps.samples(infer, clock, steps.STEADY)
    return median(steps.samples(infer, clock, effort))


def _peaks(network: Network, actions: Sequence[Callable[[], object]]) -> dict[str, float]:
    """Return the peaks of memory while `actions` run."""

    def run() -> None:
        for action in actions:
            action()
        network.synchronize()

    network.device_peak_bytes()
    host = memory.host_peak(run)
    device = network.device_peak_bytes()
    peaks = {"host_peak_bytes": host, "process_peak_bytes": memory.process_peak()}
    return peaks if device is None else peaks | {"device_peak_bytes": float(device)}
