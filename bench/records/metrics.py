"""What can be judged or drawn of a record: each quantity with its title, unit, and which way is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Literal

from bench.errors import unknown
from bench.records.record import Record, Score, Timing

Better = Literal["lower", "higher", "exact"]
Kind = Literal["time", "memory", "score", "count"]
"""By which rule a quantity is judged (docs/method-judging.md); throughput, being an inverse time, is a `time`."""


@dataclass(frozen=True)
class Quantity:
    """A named figure of a record: `of` gives it in `unit`, or None where the record does not hold it.

    `margin` is the change that a score may have, in its unit; a score without one is not judged.
    """

    name: str
    title: str
    unit: str
    better: Better
    kind: Kind
    of: Callable[[Record], float | None]
    margin: float | None = None


def quantity(name: str) -> Quantity:
    """Return the quantity of that name; raise `UsageError` with the nearest names otherwise."""
    if name == CALL.name:
        return CALL
    if name not in QUANTITIES:
        raise unknown("metric", name, QUANTITIES)
    return QUANTITIES[name]


def value(record: Record, name: str) -> float | None:
    """Return a quantity of a record that ended ok; None where it did not, or where the figure was not measured."""
    return quantity(name).of(record) if record.status == "ok" else None


def is_headline(record: Record) -> bool:
    """Return whether the times of a record may be compared: timing was measured, alone in its process."""
    return record.measure != "accuracy" and record.timing is not None and record.timing.alone


def has_timed_steps(record: Record) -> bool:
    """Return whether steps were timed for themselves: else a record's step is its share of an epoch."""
    return record.timing is not None and record.timing.step is not None


def _timing(get: Callable[[Timing], float | None]) -> Callable[[Record], float | None]:
    return lambda record: None if record.timing is None else get(record.timing)


def _epoch(timing: Timing) -> float | None:
    return median(timing.epochs) if timing.epochs else None


def _step(timing: Timing) -> float | None:
    epoch = _epoch(timing)
    return timing.step if timing.step is not None or epoch is None else epoch / timing.steps


def _latency(timing: Timing) -> float | None:
    return median(timing.latency) if timing.latency else None


def _memory(name: str) -> Callable[[Record], float | None]:
    return lambda record: (record.memory or {}).get(name)


def _score(record: Record) -> Score | None:
    """Return the score that stands for a cell: of the last weights, on the test set, else on the validation set."""
    last = record.metrics.last if record.metrics else None
    return (last.test or last.validation) if last else None


def _accuracy(record: Record) -> float | None:
    score = _score(record)
    return score.accuracy if score else None


def _loss(record: Record) -> float | None:
    score = _score(record)
    return score.loss if score else None


def _parameters(record: Record) -> float | None:
    return record.parameters.total if record.parameters else None


QUANTITIES: dict[str, Quantity] = {
    one.name: one
    for one in (
        Quantity("step", "training step", "s", "lower", "time", _timing(_step)),
        Quantity("epoch", "epoch", "s", "lower", "time", _timing(_epoch)),
        Quantity("latency", "latency of one row", "s", "lower", "time", _timing(_latency)),
        Quantity(
            "throughput", "inference throughput", "rows/s", "higher", "time", _timing(lambda timing: timing.throughput)
        ),
        Quantity("compile", "compilation", "s", "lower", "time", _timing(lambda timing: timing.compile)),
        Quantity("host_memory", "peak host memory", "bytes", "lower", "memory", _memory("host_peak_bytes")),
        Quantity("device_memory", "peak device memory", "bytes", "lower", "memory", _memory("device_peak_bytes")),
        Quantity("accuracy", "accuracy", "", "higher", "score", _accuracy, margin=0.005),
        Quantity("loss", "loss", "", "lower", "score", _loss, margin=0.02),
        Quantity("parameters", "parameters", "", "exact", "count", _parameters),
    )
}
"""In the order in which they are shown; accuracies are 0 to 1.

The margins: half a point of accuracy, and about as much of a loss: over the seeds of the committed cases a loss varies
3.3 times as much as an accuracy (median).
"""

CALL = Quantity("call", "benchmarked call", "s", "lower", "time", lambda _: None)
"""What pytest-benchmark timed, in a file of its own; no record holds it."""


Windows = list[tuple[int, float]]
"""(steps, seconds) in the order of measurement; each two that follow one another are a pair of w and 2w steps."""


def step_seconds(measured: Windows) -> list[float]:
    """Return the seconds of a step by each pair of windows: the slope between its two, without any cost per call."""
    each = iter(measured)
    pairs = zip(each, each, strict=True)
    return [(two - one) / (steps_two - steps_one) for (steps_one, one), (steps_two, two) in pairs]
