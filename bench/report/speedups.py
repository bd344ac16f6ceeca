"""Seconds of a training step with their interval, and the training speed of one variant relative to another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeVar

from bench.backends.registry import backends
from bench.cases.describe import recurrence
from bench.compare.statistics import Estimate, mean_interval, ratio_interval
from bench.records.metrics import has_timed_steps, is_comparable, value
from bench.records.record import Record
from bench.report.frames import MAIN, MATCHED, NATIVE, VariantRow, once
from bench.report.results import KERNELS, Column, Link, Results, Variant, by_case

SAME_SPEED = 1.05
"""Step times closer than this factor are not called different: 5 % is the margin of a quiet CPU."""
LEAST = 3
"""Processes from which a step time has an interval: that of two, 12.7 standard deviations wide, says nothing."""
NOISY = "too noisy"
ORDER = (NATIVE, MATCHED, MAIN)
"""Which numerics stand for a case's times: what users run comes first."""
FLUSHED = f"{NATIVE}:-denormals"
"""Native numerics with denormal numbers taken for zero, which a user of torch asks for in one call."""
COMMAND = f"--measure steps --repeats {LEAST}"
"""The options of `bench run` that give step times with intervals."""
TIMING: Link = ("timing", "timing.md")
Outcome = Literal["faster", "slower", "unclear"]
Timed = TypeVar("Timed", bound="StepTime")


@dataclass(frozen=True)
class StepTime(VariantRow):
    """The seconds of a steady training step in each process that timed a variant and nothing else.

    `column` names the backend, and whether it runs loops of ours or takes denormal numbers for zero.
    `layers` are the kinds of recurrent layer ("LSTM", ..., "no recurrent layer"). `met` says whether the claimed kernel
    ran (None: not proven). `noise` is the highest spread of a busy loop before the runs, which `runs` names. `noisy`
    counts the processes besides that were too noisy to time (`bench.records.metrics.step_time`).
    """

    layers: str
    processes: tuple[float, ...]
    noisy: int
    met: bool | None
    noise: float | None
    runs: tuple[str, ...]

    @property
    def own_loop(self) -> bool:
        """Return whether the recurrent layers are loops of ours, which the framework's users do not write."""
        return is_own_loop(self.variant)

    @property
    def n(self) -> int:
        """Return how many processes there are."""
        return len(self.processes) + self.noisy

    @property
    def estimate(self) -> Estimate | None:
        """Return the mean over processes with its 95 % interval, by Student's t; None where it is too noisy to time.

        That is where a process was, or where the interval of `LEAST` or more is not positive.
        """
        found = mean_interval(self.processes)
        noisy = self.noisy or (self.n >= LEAST and found.mean <= found.ci_half_width)
        return None if noisy else found

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval where the time may be set against others: from `LEAST` processes on."""
        found = self.estimate
        if found is None or found.n < LEAST:
            return None
        return found.mean - found.ci_half_width, found.mean + found.ci_half_width


@dataclass(frozen=True)
class Faster:
    """How many times as fast one is as another, from `low` to `high`, and whether that is faster.

    A factor within the `margin` is no difference.
    """

    factor: float
    low: float
    high: float
    margin: float

    @property
    def outcome(self) -> Outcome:
        """Return `faster` or `slower` where the range leaves nothing else open and the factor is beyond the margin."""
        if self.low > 1 and self.factor > self.margin:
            return "faster"
        return "slower" if self.high < 1 and self.factor < 1 / self.margin else "unclear"


@dataclass(frozen=True)
class SpeedUp(Faster, StepTime):
    """Training speed relative to a reference: `factor`, of step times, with its 95 % interval."""

    reference: StepTime

    @classmethod
    def of(cls, base: StepTime, timed: StepTime) -> SpeedUp:
        """Set the times of a variant against those of a reference, `base`, of the same case; both are ranked."""
        ratio = ratio_interval(base.processes, timed.processes)
        found = {"factor": ratio.value, "low": ratio.low, "high": ratio.high}
        return cls(**vars(timed) | found, margin=SAME_SPEED, reference=base)

    @property
    def text(self) -> str:
        """Return `1.23 (1.12–1.34)`."""
        return f"{self.factor:.2f} ({self.low:.2f}–{self.high:.2f})"


@once
def step_times(results: Results) -> tuple[StepTime, ...]:
    """Return the step times of every case and variant that was timed alone in its process and ended ok."""
    groups = by_case(
        record
        for record in results.timing_records
        if record.status == "ok" and is_comparable(record) and has_timed_steps(record)
    )
    return tuple(
        StepTime(suite.name, case.name, variant, _column(variant), recurrence(case), *_measured(results, records))
        for suite, case in results.cases()
        for variant, _, records in results.placed(groups, suite.name, case.name)
    )


def _column(variant: Variant) -> Column:
    """Return the backend, and what sets its times apart from those that users of the framework get."""
    loop, flushed = is_own_loop(variant), variant.numerics == FLUSHED
    return Column(f"{variant.backend}{' (our own loop)' * loop}{' (denormals flushed)' * flushed}")


def _measured(
    results: Results, records: Sequence[Record]
) -> tuple[tuple[float, ...], int, bool | None, float | None, tuple[str, ...]]:
    steps = tuple(step for record in records if (step := value(record, "step")) is not None)
    verdicts = {record.kernel_proof.met for record in records if record.kernel_proof}
    noise = [record.timing.noise for record in records if record.timing and record.timing.noise is not None]
    runs = dict.fromkeys(results.run_of[id(record)] for record in records)
    return steps, len(records) - len(steps), verdicts == {True} or None, max(noise, default=None), tuple(runs)


def median_step(steps: Sequence[float | None]) -> float | None:
    """Return the median over processes; None where there is none, or any is too noisy."""
    known = [step for step in steps if step is not None]
    return median(known) if known and len(known) == len(steps) else None


def best_kernels(found: Iterable[Timed]) -> list[Timed]:
    """Return for every backend, device and numerics the times of the best kernel that ran."""
    best: dict[tuple[str, str, str], Timed] = {}
    for timed in sorted(found, key=lambda timed: KERNELS.index(timed.variant.kernel)):
        best.setdefault((timed.variant.backend, timed.variant.device, timed.variant.numerics), timed)
    return list(best.values())


def rank(numerics: str) -> tuple[int, str]:
    """Return a key that puts numerics in the order of `ORDER`, then the others."""
    return (ORDER.index(numerics) if numerics in ORDER else len(ORDER), numerics)


def is_own_loop(variant: Variant) -> bool:
    """Return whether a variant's recurrent layers are loops of ours, which its framework's users do not write."""
    info = backends().get(variant.backend)
    return variant.kernel == "generic" and info is not None and info.own_loop
