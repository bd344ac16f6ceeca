"""Architectures: what each reaches, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bench.report.frames import grouped, main_rows, once
from bench.report.notes import NOT_YET, lacking, on_stand_in
from bench.report.numbers import percent, seconds
from bench.report.results import Results
from bench.report.sentences import Finding, count, joined, under, with_kernels
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
    return ArchitectureRow(**vars(row), seconds=seconds, comparable=timed.comparable)


def _is_on_frontier(row: ArchitectureRow, others: Iterable[ArchitectureRow]) -> bool:
    return row.seconds is not None and not any(
        other.cost <= row.cost and other.mean >= row.mean and (other.cost, other.mean) != (row.cost, row.mean)
        for other in others
    )


NEAR, CHEAPER = 0.01, 0.8
"""An architecture within a point of the best one is an alternative when it costs at most this share of its time."""


def answer(results: Results) -> list[Finding]:
    """Return the best architecture of every suite, with its cost, and the next best or a cheaper one near it."""
    found = []
    for suite, rows in grouped(frame(results), lambda row: row.suite).items():
        cases = grouped(rows, lambda row: row.case)
        best = max(cases, key=lambda case: _best(cases[case]).mean)
        # The same network under another protocol is no other architecture.
        network = results.case(suite, best).layers
        others = {case: members for case, members in cases.items() if results.case(suite, case).layers != network}
        if not others:
            continue
        winner = cases[best]
        first, backends = winner[0], dict.fromkeys(row.variant.backend for row in rows)
        seeds = {row.n for row in rows}
        text = ""
        if seeds == {1}:
            text = "1 seed: no interval, ranking provisional. "
        elif 1 in seeds:
            text = "Ranking provisional: 1 seed has no interval. "
        kind = "test" if first.figure.name == "test" else "validation"
        text += f"{_reached(winner, backends)}; {count(first.rows or 0, f'{kind} row')}."
        text += f"{_absent(results, winner, backends)} {_runner_up(winner, others)}."
        text += f" {on_stand_in(first.stand_in)}" if first.stand_in else ""
        found.append(Finding(f"{suite}: {best}", text, (("accuracy", "accuracy.md"),)))
    return found


def _best(rows: Iterable[ArchitectureRow]) -> ArchitectureRow:
    return max(rows, key=lambda row: row.mean)


def _cheapest(rows: Iterable[ArchitectureRow]) -> ArchitectureRow:
    return min(rows, key=lambda row: row.cost)


def _runner_up(best: Sequence[ArchitectureRow], others: dict[str, list[ArchitectureRow]]) -> str:
    """Return the cheapest other architecture within a point of the best, else the next best one."""
    top, affordable = _best(best), CHEAPER * _cheapest(best).cost
    near = [
        rows for rows in others.values() if _best(rows).mean >= top.mean - NEAR and _cheapest(rows).cost <= affordable
    ]
    if near:
        other, said = min(near, key=lambda rows: _cheapest(rows).cost), "Within a point of it and cheaper"
    else:
        other, said = max(others.values(), key=lambda rows: _best(rows).mean), "Next"
    second = _best(other)
    if top.ci_half_width is not None and second.ci_half_width is not None:
        overlap = second.mean + second.ci_half_width >= top.mean - top.ci_half_width
        said += ", not clearly worse" if overlap else ""
    return f"{said}: {second.case}, {_accuracy_and_cost(_cheapest(other))}"


def _reached(rows: Sequence[ArchitectureRow], backends: Iterable[str]) -> str:
    """Return accuracy and training time of a case under its fastest backend, then under the others."""
    first, *others = ordered = sorted(rows, key=lambda row: row.cost)
    names = [row.variant.backend for row in ordered]
    if others and len(set(names)) == len(names) and len(set(map(_accuracy, ordered))) == 1:
        return f"{_accuracy(first)} {under(names, backends)}{_joined_costs(ordered)}"
    text = _accuracy_and_cost(first)
    if len(others) == 1:
        text += f"; {_accuracy_and_cost(others[0])}"
    elif others:
        low, high = (pick(row.mean for row in others) for pick in (min, max))
        span = f"{100 * low:.2f} to " if f"{low:.4f}" != f"{high:.4f}" else ""
        text += f"; the other {len(others)} variants {span}{percent(high)}"
        costs = [row.seconds for row in others if row.seconds is not None]
        text += f" in {seconds(min(costs))} to {seconds(max(costs))}" if costs else ""
    return text


def _joined_costs(rows: Sequence[ArchitectureRow]) -> str:
    """Return ` in 4 epochs: 1.5 s with torch and 5.24 s with keras-tensorflow` for rows of the same accuracy."""
    lengths = {_epochs(row) for row in rows}
    same = len(lengths) == 1
    told = [f"{_cost(row, with_epochs=not same)} with {_source(row)}" for row in rows if row.seconds is not None]
    length = f" in {_epochs(rows[0])}" if same and rows[0].epochs is not None else ""
    return length + (f": {joined(told)}" if told else "")


def _accuracy(row: ArchitectureRow) -> str:
    return f"{percent(row.mean, row.ci_half_width)} ({count(row.n, 'seed')})"


def _accuracy_and_cost(row: ArchitectureRow) -> str:
    """Return `80.43 ± 1.38 % (5 seeds) in 6.76 s (4 epochs) with torch (fused)`."""
    return f"{_accuracy(row)}{f' in {_cost(row)}' if row.seconds is not None else ''} with {_source(row)}"


def _epochs(row: ArchitectureRow) -> str:
    """Return the epochs that were run, a mean over seeds."""
    return f"{row.epochs:.3g} epoch{'' if row.epochs == 1 else 's'}" if row.epochs is not None else ""


def _cost(row: ArchitectureRow, *, with_epochs: bool = True) -> str:
    said = seconds(row.cost) + ("" if row.comparable else " beside other work")
    return f"{said} ({_epochs(row)})" if with_epochs else said


def _source(row: ArchitectureRow) -> str:
    return with_kernels(row.column, [row.variant.kernel])


def _absent(results: Results, rows: Sequence[ArchitectureRow], backends: Iterable[str]) -> str:
    """Return why backends that other cases of the suite ran under have no figure for this one."""
    here = {row.variant.backend for row in rows}
    gaps = {row.variant.backend: row.gap for row in reversed(lacking(results)) if row.name == rows[0].name}
    said = [f"{backend}: {gaps.get(backend, NOT_YET)}" for backend in backends if backend not in here]
    return f" No figure under {'; '.join(said)}." if said else ""


TOPIC = Topic("architectures", frame=frame, question="Which architecture is best, and at what cost?", answer=answer)
