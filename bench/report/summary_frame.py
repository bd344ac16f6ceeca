"""Figures that the summary of a run sets side by side: a case by backend, and the speed of one relative to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from statistics import fmean, median

from bench.backends.registry import DEFAULT_BACKENDS, backends
from bench.compare.statistics import ratio_interval
from bench.records.metrics import has_timed_steps, is_comparable, step_seconds, value
from bench.records.record import Record
from bench.report.frames import MAIN, NATIVE, CaseRow, once, reference_order
from bench.report.results import Results
from bench.report.speedups import LEAST, SAME_SPEED, Faster


@dataclass(frozen=True)
class Figures:
    """What a case has under a backend: accuracies (0 to 1) by seed, seconds of an epoch, of steps by process.

    `noise` is the spread of equal pieces of work on the machine before the run.
    """

    accuracies: Mapping[int, float]
    epoch: float | None
    steps: tuple[tuple[float, ...], ...]
    noise: float

    @property
    def accuracy(self) -> float | None:
        """Return the mean over seeds."""
        return fmean(self.accuracies.values()) if self.accuracies else None

    @property
    def processes(self) -> list[float]:
        """Return the seconds of a step in each process."""
        return [median(seconds) for seconds in self.steps]

    @property
    def step(self) -> float | None:
        """Return the median seconds of a step over the processes."""
        return median(self.processes) if self.steps else None


@dataclass(frozen=True)
class SummaryRow(CaseRow):
    """A case with its parameters and its figures by backend, all of one device and numerics."""

    parameters: int | None
    figures: Mapping[str, Figures] = field(default_factory=dict)

    def gap(self, base: str, other: str) -> float | None:
        """Return the mean difference of accuracies over the seeds of both, 0 to 1."""
        first, second = (self.figures[name].accuracies if name in self.figures else {} for name in (base, other))
        seeds = first.keys() & second.keys()
        return abs(fmean(second[seed] - first[seed] for seed in seeds)) if seeds else None

    def ratio(self, base: str, other: str) -> Faster | None:
        """Return the speed of a step of the other backend relative to `base`; None where either was not timed.

        From `LEAST` processes on it has the 95 % interval, from fewer the range of their pairs of windows. The margin
        is what the machine's probes were spread by, at least that of a quiet CPU.
        """
        found = [self.figures[name] for name in (base, other) if name in self.figures and self.figures[name].steps]
        if len(found) < 2 or min(seconds for each in found for seconds in each.processes) <= 0:
            return None
        first, second = found
        margin = max(SAME_SPEED, 1 + max(first.noise, second.noise))
        if min(len(first.steps), len(second.steps)) >= LEAST:
            ratio = ratio_interval(first.processes, second.processes)
            return Faster(ratio.value, ratio.low, ratio.high, margin)
        slow, fast = ([seconds for process in each.steps for seconds in process] for each in found)
        # On a busy machine the longer window may be the quicker one: then nothing bounds the ratio.
        bounds = (min(slow) / max(fast), max(slow) / min(fast)) if min(*slow, *fast) > 0 else (0.0, inf)
        return Faster(median(first.processes) / median(second.processes), *bounds, margin)


@once
def frame(results: Results) -> tuple[SummaryRow, ...]:
    """Return a row for every case with an `ok` record in the setting that stands for the results.

    Of several kernels the best one counts. Times are those that may be compared, where there are any.
    """
    rows = []
    for suite, case in results.cases():
        figures, counts = {}, set()
        for variant, column, records in results.placed(results.groups, suite.name, case.name):
            done = [record for record in records if record.status == "ok"]
            if done and column.kernel is None and (variant.device, variant.numerics) == setting_of(results):
                figures[variant.backend] = _figures(done)
                counts |= {record.parameters.total for record in done if record.parameters}
        if figures:
            rows.append(SummaryRow(suite.name, case.name, max(counts, default=None), figures))
    return tuple(rows)


def _figures(records: Sequence[Record]) -> Figures:
    scored = {record.seed: accuracy for record in records if (accuracy := value(record, "accuracy")) is not None}
    timed = [record for record in records if is_comparable(record)] or records
    epochs = [epoch for record in timed if (epoch := value(record, "epoch")) is not None]
    steps = tuple(
        tuple(step_seconds(record.timing.windows)) or (record.timing.step or 0.0,)
        for record in timed
        if record.timing and has_timed_steps(record)
    )
    noise = max((record.timing.noise or 0.0 for record in timed if record.timing), default=0.0)
    return Figures(scored, median(epochs) if epochs else None, steps, noise)


@once
def setting_of(results: Results) -> tuple[str, str]:
    """Return device and numerics that stand for the results: documented, else native, else what most records have."""
    known = Counter((record.device, record.numerics) for record in results.records if record.status == "ok")
    return max(known, key=lambda setting: (setting[1] == MAIN, setting[1] == NATIVE, known[setting]), default=("", ""))


def in_order(names: Collection[str]) -> list[str]:
    """Return backends in order: the one that others are set against, those that run by default, the rest."""

    def place(name: str) -> int:
        order = reference_order(name)
        return len(backends()) if order is None else order

    base = min(sorted(names), key=place, default="")
    return sorted(names, key=lambda name: (name != base, name not in DEFAULT_BACKENDS, place(name), name))
