"""Speed-ups: how many times as fast a variant of a case trains as another one, and what the spread leaves open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Literal

from bench.cases.describe import recurrence
from bench.compare.statistics import ratio_interval
from bench.records.metrics import is_comparable
from bench.records.record import Record
from bench.report.frames import VariantRow, reference_order
from bench.report.numbers import times
from bench.report.results import KERNELS, Link, Results, Variant

SAME_SPEED = 1.05
"""Epoch times closer than this factor are not called different: 5 % is the margin of a quiet CPU."""
TIMING: Link = ("timing", "timing.md")
UNTIMED = "Timed only in accuracy runs, beside which other work may have run."
Outcome = Literal["faster", "slower", "unclear"]


@dataclass(frozen=True)
class Times(VariantRow):
    """The steady epochs, in seconds, of each process that measured a variant; `comparable` where each ran alone.

    `layers` are the kinds of recurrent layer ("LSTM", ..., "no recurrent layer").
    """

    comparable: bool
    layers: str
    processes: tuple[tuple[float, ...], ...]

    @property
    def n(self) -> int:
        """Return how many processes there are."""
        return len(self.processes)

    @property
    def medians(self) -> list[float]:
        """Return the epoch time of each process."""
        return [median(epochs) for epochs in self.processes]

    @property
    def epoch(self) -> float:
        """Return the median epoch time of the processes."""
        return median(self.medians)


@dataclass(frozen=True)
class SpeedUp(Times):
    """How many times as fast as its reference a variant trains: `factor`, from epoch times.

    `low` and `high` are what `spread` says: the 95 % interval of the ratio for two processes or more on both sides,
    else the ratio of the fastest and slowest steady epochs, a range only.
    """

    reference: Times
    factor: float
    low: float
    high: float
    spread: str

    @classmethod
    def of(cls, base: Times, timed: Times) -> SpeedUp:
        """Set the times of a variant against those of a reference, `base`, of the same case."""
        if min(base.n, timed.n) > 1:
            ratio = ratio_interval(base.medians, timed.medians)
            factor, low, high, spread = ratio.value, ratio.low, ratio.high, "95 % interval"
        else:
            epochs, base_epochs = ([epoch for each in side.processes for epoch in each] for side in (timed, base))
            low, high = min(base_epochs) / max(epochs), max(base_epochs) / min(epochs)
            factor, spread = base.epoch / timed.epoch, "range of epochs"
        return cls(**vars(timed), reference=base, factor=factor, low=low, high=high, spread=spread)

    @property
    def outcome(self) -> Outcome:
        """Return `faster` or `slower` where the spread leaves nothing else open and the factor is above 5 %."""
        if self.low > 1 and self.factor > SAME_SPEED:
            return "faster"
        return "slower" if self.high < 1 and self.factor < 1 / SAME_SPEED else "unclear"

    @property
    def bounds(self) -> str:
        """Return the spread as sentences put it, `1.6 to 2.5`."""
        return f"{times(self.low)} to {times(self.high)}"


def times_of_cases(results: Results) -> Iterator[list[Times]]:
    """Yield the times of every case, from timing records where a variant has any that ended ok."""
    for suite, case in results.cases():
        key = (suite.name, case.name)
        timed, rest = results.timing_groups.get(key, {}), results.accuracy_groups.get(key, {})
        found = []
        for variant in sorted({*timed, *rest}):
            records = _steady(timed.get(variant, ())) or _steady(rest.get(variant, ()))
            if records:
                column, comparable = results.columns[*key, variant], all(map(is_comparable, records))
                processes = tuple(tuple(record.timing.epochs) for record in records if record.timing)
                found.append(Times(*key, variant, column, comparable, recurrence(case), processes))
        yield found


def _steady(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.status == "ok" and record.timing and record.timing.epochs]


def reference_of(variant: Variant, candidates: Iterable[Variant]) -> Variant | None:
    """Return which of the variants of a case a variant is set against, itself perhaps; None where there is none.

    That is the backend that `reference_order` puts first, with its best kernel, of the same device and numerics.
    """
    found = {}
    for other in candidates:
        order = reference_order(other.backend)
        if order is not None and (other.device, other.numerics) == (variant.device, variant.numerics):
            found[order, KERNELS.index(other.kernel)] = other
    return found[min(found)] if found else None
