"""Low data: a pre-trained, frozen against a learned embedding, by the number of training rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bench.cases.profiles import apply
from bench.compare.statistics import mean_interval
from bench.records.record import Metrics, Score
from bench.report.figures import by_seed
from bench.report.frames import VariantRow, columns_of, grouped, main_rows, once
from bench.report.markdown import markdown_table, plain
from bench.report.notes import Notes, stand_in_of
from bench.report.numbers import NOTHING, as_change, as_percent, known
from bench.report.results import Column, Results
from bench.report.topic import Topic
from bench.spec import Case, Embedding, RandomRows, Suite


@dataclass(frozen=True)
class PairRow(VariantRow):
    """Two cases that differ in their embedding: `case` takes vectors and keeps them, `learned` learns its own.

    `rows`: how many were trained on. `difference`: mean over `n` paired seeds of pre-trained minus learned accuracy,
    with its 95 % interval. `stand_in`: for the vectors.
    """

    learned: str
    rows: int
    pretrained_mean: float
    learned_mean: float
    difference: float
    ci_half_width: float | None
    n: int
    stand_in: str | None


@once
def frame(results: Results) -> tuple[PairRow, ...]:
    """Return the pairs of cases that differ only in a pre-trained, frozen against a learned embedding, by variant.

    Pairs are found in the declarations (`RandomRows`), not in the names.
    """
    rows: list[PairRow] = []
    for suite in results.reported_suites():
        cases = [apply(case, results.profile) for case in suite.cases]
        for pretrained in cases:
            learned = learned_twin(cases, pretrained)
            if learned is None or not isinstance(pretrained.training.validation, RandomRows):
                continue
            size, groups = pretrained.training.validation.train, results.accuracy_groups
            without = groups.get((suite.name, learned.name), {})
            for variant, column, records in results.placed(groups, suite.name, pretrained.name):
                first, second = by_seed(_test, records), by_seed(_test, without.get(variant, ()))
                seeds = sorted(first.keys() & second.keys())
                if seeds:
                    place = (suite.name, pretrained.name, variant, column, learned.name, size)
                    means = (fmean(first[seed] for seed in seeds), fmean(second[seed] for seed in seeds))
                    change = mean_interval([first[seed] - second[seed] for seed in seeds])
                    half, stand_in = known(change.ci_half_width), stand_in_of(records)
                    rows.append(PairRow(*place, *means, change.mean, half, change.n, stand_in))
    return tuple(rows)


def _test(metrics: Metrics) -> Score | None:
    return metrics.last.test if metrics.last else None


def learned_twin(cases: Iterable[Case], pretrained: Case) -> Case | None:
    """Return the one of `cases` that differs from `pretrained` only in learning its embedding.

    None where there is none, or where `pretrained` takes no vectors.
    """
    first = pretrained.layers[0]
    if not isinstance(first, Embedding) or first.vectors is None:
        return None
    layers = (replace(first, vectors=None, trainable=True), *pretrained.layers[1:])
    wanted = (layers, pretrained.data, pretrained.training)
    return next((case for case in cases if (case.layers, case.data, case.training) == wanted), None)


def _by_column(pairs: Iterable[PairRow]) -> dict[Column, list[PairRow]]:
    """Return the pairs of each column, the one with the fewest rows first."""
    return grouped(sorted(pairs, key=lambda pair: (pair.column, pair.rows)), lambda pair: pair.column)


def crossover(pairs: Sequence[PairRow]) -> str:
    """Return from how many training rows on the learned embedding is at least as good; `pairs` are in their order."""
    place = crossing(pairs)
    if place is None:
        return f"pre-trained ahead at the largest measured size, {pairs[-1].rows:,} rows"
    return f"learned at least as good from {pairs[place].rows:,} rows on"


def crossing(pairs: Sequence[PairRow]) -> int | None:
    """Return the first pair from which on the learned embedding stays at least as good; None where there is none."""
    behind = [pair.difference <= 0 for pair in pairs]
    return next((place for place in range(len(behind)) if all(behind[place:])), None)


def section(suite: Suite, results: Results, notes: Notes) -> list[str]:
    """Return the table of a suite's pairs below the sentences on them, nothing where there are none."""
    pairs = [pair for pair in main_rows(frame(results)) if pair.suite == suite.name]
    if not pairs:
        return []
    columns = columns_of(pairs)
    headers = ["rows", "pair"]
    for column in columns:
        headers += [f"{plain(column)} pre-trained %", "learned %", "difference", "seeds"]
    lines = []
    by_cases = grouped(pairs, lambda pair: (pair.rows, pair.case, pair.learned))
    for (rows, *cases), members in sorted(by_cases.items()):
        marks = notes.mark(note for case in cases for note in notes.on_data(suite.name, case))
        line = [f"{rows:,}", plain(" / ".join(cases)) + marks]
        by_column = {pair.column: pair for pair in members}
        for column in columns:
            line += _cells(by_column[column]) if column in by_column else [NOTHING] * 4
        lines.append(line)
    sentences = [f"{plain(column)}: {crossover(members)}." for column, members in _by_column(pairs).items()]
    lead = (
        "Low data: test accuracy with a pre-trained, frozen and with a learned embedding, by the number of training "
        "rows; the difference (in points, ± 95 % interval) is paired by seed. "
    )
    return [lead + " ".join(sentences), markdown_table(headers, lines, left=(1,))]


def _cells(pair: PairRow) -> list[str]:
    means = [as_percent(pair.pretrained_mean), as_percent(pair.learned_mean)]
    return [*means, as_change(pair.difference, pair.ci_half_width), str(pair.n)]


TOPIC = Topic("low-data", frame=frame, question="What does a pre-trained embedding buy?")
