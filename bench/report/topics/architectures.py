"""Architectures: what each reaches, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal, NamedTuple

from bench.records.metrics import is_comparable, value
from bench.report.figures import SETS
from bench.report.frames import grouped, main_rows, once
from bench.report.notes import on_stand_in
from bench.report.numbers import NOTHING, as_percent, as_seconds
from bench.report.results import KERNELS, Results
from bench.report.sentences import count, joined
from bench.report.speedups import ORDER
from bench.report.topic import Answer, Table, Topic
from bench.report.topics import accuracy, timing
from bench.report.topics.accuracy import MeasuredRow
from bench.report.topics.timing import TimingRow
from bench.spec import RandomRows

Rank = Literal["clear winner", "no clear winner", "not ranked: one seed"]


@dataclass(frozen=True, kw_only=True)
class ArchitectureRow(MeasuredRow):
    """What an architecture reaches and costs under a variant: the figure is of one kind for all rows of a suite.

    `seconds` of training are those of an epoch times the epochs, None where it was not timed: timed alone under the
    numerics `timed`, else in the accuracy run itself (`comparable` False). `on_frontier` says that no row of the suite
    is both cheaper and better.
    """

    seconds: float | None
    comparable: bool | None
    timed: str | None
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
            _architecture(results, row, times[row.suite, row.case, row.variant])
            for row in reached
            if row.figure.name == ("test" if "test" in names else "val")
        ]
        rows += [replace(row, on_frontier=_is_on_frontier(row, found)) for row in found]
    return tuple(rows)


def _architecture(results: Results, row: MeasuredRow, beside: TimingRow) -> ArchitectureRow:
    alone = timed_alone(results, row)
    epoch = alone.seconds if alone else beside.epoch
    seconds = epoch * row.epochs if epoch and row.epochs else None
    return ArchitectureRow(
        **vars(row),
        seconds=seconds,
        comparable=alone is not None if seconds else None,
        timed=alone.numerics if alone else None,
    )


class TimedEpoch(NamedTuple):
    """The seconds of all steps of an epoch, timed alone under these numerics."""

    seconds: float
    numerics: str


def timed_alone(results: Results, row: MeasuredRow) -> TimedEpoch | None:
    """Return what an epoch's steps take under a row's backend, a median over processes; None without such times.

    Those under the row's own numerics come first, then in the order of `speedups.ORDER`.
    """
    found: dict[tuple[bool, int, int], TimedEpoch] = {}
    for variant, records in results.timing_groups.get((row.suite, row.case), {}).items():
        timings = [(value(record, "step"), record.timing) for record in records if is_comparable(record)]
        epochs = [step * timing.steps for step, timing in timings if step and timing]
        here = (variant.backend, variant.device) == (row.variant.backend, row.variant.device)
        if here and epochs and variant.numerics in ORDER:
            is_other = variant.numerics != row.variant.numerics
            place = is_other, ORDER.index(variant.numerics), KERNELS.index(variant.kernel)
            found[place] = TimedEpoch(median(epochs), variant.numerics)
    return found[min(found)] if found else None


def _is_on_frontier(row: ArchitectureRow, others: Iterable[ArchitectureRow]) -> bool:
    return row.seconds is not None and not any(
        other.cost <= row.cost and other.mean >= row.mean and (other.cost, other.mean) != (row.cost, row.mean)
        for other in others
    )


@dataclass(frozen=True)
class Ranking:
    """The two architectures of a suite with the highest means under a backend, and what may be said of them."""

    rank: Rank
    first: ArchitectureRow
    second: ArchitectureRow


def rankings(results: Results) -> dict[str, list[Ranking]]:
    """Return by suite the ranking under each backend; a suite of one network has none."""
    found = {}
    for suite, rows in grouped(frame(results), lambda row: row.suite).items():
        by_column = grouped(rows, lambda row: row.column).values()
        ranked = [ranking for members in by_column if (ranking := _ranking(results, members))]
        if ranked:
            found[suite] = ranked
    return found


def _ranking(results: Results, rows: Sequence[ArchitectureRow]) -> Ranking | None:
    first = max(rows, key=lambda row: row.mean)
    # The same network under another protocol is no other architecture.
    network = results.case(first.suite, first.case).layers
    others = [row for row in rows if results.case(row.suite, row.case).layers != network]
    if not others:
        return None
    second = max(others, key=lambda row: row.mean)
    if first.ci_half_width is None or second.ci_half_width is None:
        return Ranking("not ranked: one seed", first, second)
    highest = max(row.mean + (row.ci_half_width or 0.0) for row in others)
    return Ranking("clear winner" if first.mean - first.ci_half_width > highest else "no clear winner", first, second)


def rank(ranked: Sequence[Ranking]) -> Rank:
    """Return what may be said of a suite: a clear winner is one under every backend."""
    ranks = {one.rank for one in ranked}
    if "not ranked: one seed" in ranks:
        return "not ranked: one seed"
    same = len({one.first.case for one in ranked}) == 1
    return "clear winner" if same and ranks == {"clear winner"} else "no clear winner"


def answer(results: Results) -> Answer | None:
    """Return how many suites have a clear winner; then the leading architectures of every suite with their cost."""
    suites = rankings(results)
    if not suites:
        return None
    ranks = {suite: rank(ranked) for suite, ranked in suites.items()}
    clear = sum(one == "clear winner" for one in ranks.values())
    conclusion = f"{clear} of {count(len(suites), 'suite')} {'has' if clear == 1 else 'have'} a clear winner."
    if set(ranks.values()) == {"not ranked: one seed"}:
        conclusion = "Not ranked: one seed."
    lines = [line for suite, ranked in suites.items() for line in _lines(suite, ranks[suite], ranked)]
    shown = [one.first for suite, ranked in suites.items() if "one seed" not in ranks[suite] for one in ranked]
    notes = ["Accuracy: mean ± 95 % CI over seeds. The CI of a clear winner overlaps no other under any backend."]
    numerics = dict.fromkeys(row.timed for row in shown if row.timed)
    if numerics:
        notes.append(f"Seconds: all epochs of a training, timed alone ({joined(list(numerics))} numerics).")
    notes += dict.fromkeys(on_stand_in(row.stand_in) for row in shown if row.stand_in)
    if "not ranked: one seed" in ranks.values():
        notes.append("A ranking requires several seeds: `bench run --seeds 5`.")
    return Answer(conclusion, Table(_HEADERS, tuple(lines), left=(0, 1, 2, 3, 7, 8)), _SEE, tuple(notes))


_SEE = (("accuracy", "accuracy.md"),)
_HEADERS = (
    "suite", "ranking", "accuracy of", "highest", "accuracy %", "seconds", "epochs", "backend", "runner-up",
    "its accuracy %",
)  # fmt: skip


def _lines(suite: str, said: Rank, ranked: Sequence[Ranking]) -> list[tuple[str, ...]]:
    """Return the lines of a suite: one for each backend, one in all where nothing may be ranked."""
    kind = SETS[ranked[0].first.figure.kind]
    if said == "not ranked: one seed":
        return [(suite, said, kind, *[NOTHING] * 7)]
    return [
        (
            *(suite, said, kind, one.first.case, as_percent(one.first.mean, one.first.ci_half_width)),
            as_seconds(one.first.seconds) if one.first.comparable else NOTHING,
            NOTHING if one.first.epochs is None else f"{one.first.epochs:.3g}",
            *(one.first.column, one.second.case, as_percent(one.second.mean, one.second.ci_half_width)),
        )
        for one in ranked
    ]


TOPIC = Topic("architectures", frame=frame, question="Which architecture is best, and at what cost?", answer=answer)
