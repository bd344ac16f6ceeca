"""What can be judged or drawn of a record: each metric with its title, unit, which way is better, and how it reads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Literal

from bench.errors import unknown
from bench.records.record import Record, at

Better = Literal["lower", "higher", "exact"]
Kind = Literal["time", "memory", "score", "count"]
"""By which rule a metric is judged (docs/method-judging.md); throughput, being an inverse time, is a `time`."""
Format = Literal["seconds", "bytes", "percent", "count", "number"]
"""How a figure is read: a percentage is stored as a share, 0 to 1."""


@dataclass(frozen=True)
class Metric:
    """A named figure of a record: `of` gives it in `unit`, or None where the record does not hold it.

    The store has a column of its name. `margin` is the change that it may have: of memory relative, of a score in its
    unit (without one it is not judged); a time's is the comparison's. `floor`: a change below it, in `unit`, says
    nothing.
    """

    name: str
    title: str
    unit: str
    better: Better
    kind: Kind
    of: Callable[[Record], float | None]
    format: Format = "number"
    margin: float | None = None
    floor: float = 0.0

    def text(self, value: float, half_width: float | None = None) -> str:
        """Return a value as a sentence has it, with half its interval: `12.3 ms`, `80.43 ± 1.38 %`, `1,234`."""
        if self.format == "seconds":
            factor, digits, unit = (1e3, ".3g", "ms") if value < 1 else (1.0, ".0f" if value >= 100 else ".3g", "s")
        else:
            factor, digits, unit = _READ.get(self.format, (1.0, ".4g", self.unit))
        interval = "" if half_width is None else f" ± {factor * half_width:{digits}}"
        return f"{factor * value:{digits}}{interval} {unit}".rstrip()

    def figure(self, value: float, half_width: float | None = None) -> str:
        """Return a value as a table has it below a head that names the unit: s, MB, %; `80.43 ±1.38`, `0.4210`."""
        factor, digits, _ = _READ.get(self.format, (1.0, ".4f" if self.kind == "score" else ",.4g", ""))
        if self.format == "seconds":  # three significant digits, never in scientific notation
            digits = f".{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f"
        return f"{factor * value:{digits}}" + ("" if half_width is None else f" ±{factor * half_width:{digits}}")

    def change(self, effect: float, sign: str = "+") -> str:
        """Return the effect of a comparison: per cent of what was a logarithm, points, else the plain difference.

        With `sign` "±" it is a margin.
        """
        signed = sign.replace("±", "")
        lead = sign.replace("+", "")
        if self.kind in ("time", "memory"):
            return f"{lead}{math.expm1(effect):{signed}.1%}"
        if self.format == "percent":
            return f"{lead}{100 * effect:{signed}.2f} points"
        return f"{lead}{effect:{signed},.4g}"


_READ: dict[Format, tuple[float, str, str]] = {
    "bytes": (1e-6, ",.1f", "MB"),
    "percent": (100.0, ".2f", "%"),
    "count": (1.0, ",.0f", ""),
}
"""Factor, digits and unit of the figures that read the same wherever they stand."""


def metric(name: str) -> Metric:
    """Return the metric of that name; raise `UsageError` with the nearest names otherwise."""
    if name == CALL.name:
        return CALL
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]


def value(record: Record, name: str) -> float | None:
    """Return a metric of a record that ended ok; None where it did not, or where the figure was not measured.

    A time that was taken beside other cells is none.
    """
    known = metric(name)
    none = record.status != "ok" or (known.kind == "time" and record.neighbours)
    return None if none else known.of(record)


def is_comparable(record: Record) -> bool:
    """Return whether the times of a record may be compared: timing was measured, with no other cell in or beside it."""
    timed = record.measure in ("steps", "timing", "all") and record.timing is not None and record.timing.alone
    return timed and not record.neighbours


def has_timed_steps(record: Record) -> bool:
    """Return whether steps were timed for themselves: else a record's step is its share of an epoch."""
    return record.timing is not None and (record.timing.step is not None or bool(record.timing.windows))


def _at(path: str) -> Callable[[Record], float | None]:
    return partial(at, path=path)


def _median(path: str) -> Callable[[Record], float | None]:
    return lambda record: median(figures) if (figures := at(record, path)) else None


_epoch = _median("timing.epochs")


def _step(record: Record) -> float | None:
    """Return what the windows say, else the share of an epoch; None where the windows were too noisy."""
    if has_timed_steps(record):
        windows = at(record, "timing.windows")
        return None if windows and step_time(windows) is None else at(record, "timing.step")
    epoch = _epoch(record)
    return None if epoch is None else epoch / at(record, "timing.steps")


def _cpu_step(record: Record) -> float | None:
    """Return the CPU time of a step; None where its windows were too noisy, or there are none."""
    return step_time(at(record, "timing.cpu_windows") or [])


def _score(name: str) -> Callable[[Record], float | None]:
    """Return what takes a figure of the score of the last weights, on the test set, else on the validation set."""
    return lambda record: at(at(record, "metrics.last.test") or at(record, "metrics.last.validation"), name)


_HOST, _DEVICE = _at("memory.host_peak_bytes"), _at("memory.device_peak_bytes")
_FLOOR = 1e-4
METRICS: dict[str, Metric] = {
    known.name: known
    for known in (
        Metric("step", "training step", "s", "lower", "time", _step, "seconds", floor=_FLOOR),
        Metric("cpu_step", "CPU time of a step", "s", "lower", "time", _cpu_step, "seconds", floor=_FLOOR),
        Metric("epoch", "epoch", "s", "lower", "time", _epoch, "seconds", floor=_FLOOR),
        Metric(
            "latency", "latency of one row", "s", "lower", "time", _median("timing.latency"), "seconds", floor=_FLOOR
        ),
        Metric("throughput", "inference throughput", "rows/s", "higher", "time", _at("timing.throughput")),
        Metric("compile", "compilation", "s", "lower", "time", _at("timing.compile"), "seconds", floor=0.1),
        Metric("host_memory", "peak host memory", "bytes", "lower", "memory", _HOST, "bytes", margin=0.05),
        Metric("device_memory", "peak device memory", "bytes", "lower", "memory", _DEVICE, "bytes", margin=0.05),
        Metric("accuracy", "accuracy", "", "higher", "score", _score("accuracy"), "percent", margin=0.005),
        Metric("loss", "loss", "", "lower", "score", _score("loss"), margin=0.02),
        Metric("parameters", "parameters", "", "exact", "count", _at("parameters.total"), "count"),
    )
}
"""In the order in which they are shown; accuracies are 0 to 1.

The margins of scores: half a point of accuracy, and about as much of a loss: over the seeds of the committed cases a
loss varies 3.3 times as much as an accuracy (median). The floor of compilation: it is the difference of first and later
calls, which is a few milliseconds either way where nothing is compiled.
"""

CALL = Metric("call", "benchmarked call", "s", "lower", "time", lambda _: None, "seconds", floor=_FLOOR)
"""What pytest-benchmark timed, in a file of its own; no record holds it."""


Windows = list[tuple[int, float]]
"""(steps, seconds) in the order of measurement; each two that follow one another are a pair of w and 2w steps."""


def step_seconds(measured: Windows) -> list[float]:
    """Return the seconds of a step by each pair of windows: the slope between its two, without any cost per call."""
    each = iter(measured)
    pairs = zip(each, each, strict=True)
    return [(two - one) / (steps_two - steps_one) for (steps_one, one), (steps_two, two) in pairs]


def step_time(measured: Windows) -> float | None:
    """Return the median over pairs of windows of the seconds of a step; None where that was too noisy to time.

    That is where half of the pairs, or more, found no positive time: their median says nothing then.
    """
    slopes = step_seconds(measured)
    return None if 2 * sum(slope <= 0 for slope in slopes) >= len(slopes) else median(slopes)
