"""Architectures: what each reaches, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.report.frames import main_rows, once
from bench.report.results import Results
from bench.report.topic import Topic
from bench.report.topics import accuracy, timing
from bench.report.topics.accuracy import MeasuredRow
from bench.report.topics.timing import TimingRow
from bench.spec import RandomRows


@dataclass(frozen=True, kw_only=True)
class ArchitectureRow(MeasuredRow):
    """What an architecture reaches and costs under a variant: the figure is of one kind for all rows of a suite.

    `seconds` of training are those of an epoch times the epochs, None where it was not timed; `on_frontier` says that
    no row of the suite is both cheaper and better.
    """

    seconds: float | None
    comparable: bool | None
    on_frontier: bool = False

    @property
    def cost(self) -> float:
        """Return the seconds of training, infinite where they are not known."""
        return math.inf if self.seconds is None else self.seconds


@once
def frame(results: Results) -> tuple[ArchitectureRow, ...]:
    """Return what each architecture reaches and costs: a row per case and variant that measured an accuracy.

    Cases that train on a sample of the rows are left out: fewer rows are no architecture.
    """
    measured = [row for row in main_rows(accuracy.frame(results)) if isinstance(row, MeasuredRow)]
    times = {(row.suite, row.case, row.variant): row for row in timing.frame(results)}
    rows: list[ArchitectureRow] = []
    for suite in results.reported_suites():
        sampled = {case.name for case in suite.cases if isinstance(case.training.validation, RandomRows)}
        reached = [row for row in measured if row.suite == suite.name and row.case not in sampled]
        names = {row.figure.name for row in reached}
        found = [
            _architecture(row, times[row.suite, row.case, row.variant])
            for row in reached
            if row.figure.name == ("test" if "test" in names else "val")
        ]
        rows += [replace(row, on_frontier=_is_on_frontier(row, found)) for row in found]
    return tuple(rows)


def _architecture(row: MeasuredRow, timed: TimingRow) -> ArchitectureRow:
    seconds = timed.epoch * row.epochs if timed.epoch and row.epochs else None
    return ArchitectureRow(**vars(row), seconds=seconds, comparable=timed.epochs_comparable)


def _is_on_frontier(row: ArchitectureRow, others: Iterable[ArchitectureRow]) -> bool:
    return row.seconds is not None and not any(
        other.cost <= row.cost and other.mean >= row.mean and (other.cost, other.mean) != (row.cost, row.mean)
        for other in others
    )


TOPIC = Topic("architectures", frame=frame, question="Which architecture is best, and at what cost?")
