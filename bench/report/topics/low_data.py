"""Low data: a pre-trained, frozen against a learned embedding, by the number of training rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from statistics import fmean
from typing import Literal

from bench.cases.profiles import apply
from bench.compare.statistics import mean_interval
from bench.records.record import Metrics, Score
from bench.report.figures import by_seed
from bench.report.frames import VariantRow, grouped, main_rows, once
from bench.report.markdown import markdown_table, plain
from bench.report.notes import Notes, on_stand_in, stand_in_of
from bench.report.numbers import as_change, as_percent, known
from bench.report.results import Results
from bench.report.sentences import joined
from bench.report.topic import Answer, Table, Topic
from bench.spec import Case, Embedding, RandomRows, Suite

Verdict = Literal["pre-trained wins", "learned wins", "no significant effect", "not ranked: one seed"]


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

    @property
    def verdict(self) -> Verdict:
        """Return which embedding wins: the one that the difference's interval leaves no doubt of."""
        if self.ci_half_width is None:
            return "not ranked: one seed"
        if abs(self.difference) <= self.ci_half_width:
            return "no significant effect"
        return "pre-trained wins" if self.difference > 0 else "learned wins"


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


def samples(cases: Iterable[Case]) -> dict[str, int]:
    """Return those of `cases` that train one architecture on samples of several sizes, with their rows, by name."""
    sampled = [
        (case, case.training.validation.train) for case in cases if isinstance(case.training.validation, RandomRows)
    ]
    return {case.name: rows for case, rows in sampled if sum(other.layers == case.layers for other, _ in sampled) > 1}


def paired(results: Results, suite: Suite) -> set[str]:
    """Return the cases of a suite that stand in its table of pairs."""
    return {case for row in main_rows(frame(results)) if row.suite == suite.name for case in (row.case, row.learned)}


def crossing(pairs: Sequence[PairRow]) -> int | None:
    """Return the place from which on the learned embedding wins under one backend; None where there is none."""
    won = [pair.verdict == "learned wins" for pair in pairs]
    return next((place for place in range(len(won)) if all(won[place:])), None)


def conclusion(pairs: Iterable[PairRow]) -> str:
    """Return up to how many training rows pre-trained vectors win, and from how many on a learned embedding does.

    Only what holds under every backend counts.
    """
    by_rows = grouped(sorted(pairs, key=lambda pair: pair.rows), lambda pair: pair.rows)
    found = {rows: {pair.verdict for pair in members} for rows, members in by_rows.items()}
    ahead = list(takewhile(lambda rows: found[rows] == {"pre-trained wins"}, found))
    behind = list(takewhile(lambda rows: found[rows] == {"learned wins"}, reversed(found)))
    if ahead and behind:
        return f"Pre-trained vectors win up to {ahead[-1]:,} rows; from {behind[-1]:,} rows, a learned embedding wins."
    if behind:
        return f"From {behind[-1]:,} rows, a learned embedding wins."
    if ahead:
        return f"Pre-trained vectors win up to {ahead[-1]:,} rows."
    one_seed = all(verdicts == {"not ranked: one seed"} for verdicts in found.values())
    return "Not ranked: one seed." if one_seed else "Neither embedding wins significantly."


def answer(results: Results) -> Answer | None:
    """Return from how many training rows on which embedding wins; of the suite with the most pairs, where several."""
    pairs = main_rows(frame(results))
    if not pairs or not results.documented:
        return None
    longest = max(grouped(pairs, lambda pair: pair.suite).values(), key=len)
    how = "Test accuracy; difference: pre-trained minus learned, paired by seed, ± 95 % CI."
    stand_ins = dict.fromkeys(on_stand_in(pair.stand_in) for pair in longest if pair.stand_in)
    return Answer(conclusion(longest), _table(longest), (("accuracy", "accuracy.md"),), (how, *stand_ins))


def _table(pairs: Iterable[PairRow]) -> Table:
    """Return a row for each number of training rows, the fewest first; backends of the same figures share one."""
    lines = grouped(sorted(pairs, key=lambda pair: pair.rows), _figures)
    return Table(
        ("rows", "pair", "pre-trained %", "learned %", "difference, points", "seeds", "verdict", "backend"),
        tuple((*line, joined([pair.column for pair in members])) for line, members in lines.items()),
        left=(1, 6, 7),
    )


def _figures(pair: PairRow) -> tuple[str, ...]:
    means = (as_percent(pair.pretrained_mean), as_percent(pair.learned_mean))
    change = as_change(pair.difference, pair.ci_half_width)
    return (f"{pair.rows:,}", f"{pair.case} / {pair.learned}", *means, change, str(pair.n), pair.verdict)


def section(suite: Suite, results: Results, notes: Notes) -> list[str]:
    """Return the table of a suite's pairs below the sentences on them, nothing where there are none."""
    pairs = [pair for pair in main_rows(frame(results)) if pair.suite == suite.name]
    if not pairs:
        return []
    marks = notes.mark(note for case in paired(results, suite) for note in notes.on_data(suite.name, case))
    lead = (
        f"Low data: {conclusion(pairs)} Test accuracy with a pre-trained, frozen and with a learned embedding, by the "
        "number of training rows. Difference: pre-trained minus learned, in points, paired by seed, ± 95 % CI."
    )
    table = _table(pairs)
    rows = [list(map(plain, row)) for row in table.rows]
    return [lead + marks, markdown_table(table.headers, rows, table.left)]


TOPIC = Topic("low-data", frame=frame, question="What does a pre-trained embedding buy?", answer=answer)
