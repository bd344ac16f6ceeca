"""Numerics: what other formulas make of the accuracies."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from bench.compare.statistics import Estimate
from bench.explain.effects import EffectVerdict, effects, verdict
from bench.report.figures import Figure, figures
from bench.report.frames import MAIN, MATCHED, VariantRow, once
from bench.report.markdown import markdown_table, plain
from bench.report.numbers import as_change, as_percent, known
from bench.report.results import Results, Variant
from bench.report.sentences import count
from bench.report.topic import Answer, Table, Topic
from bench.spec import GRU, KERAS_3, LSTM, Bidirectional, Case, Suite


@dataclass(frozen=True)
class NumericsRow(VariantRow):
    """What numerics make of a figure: accuracies under the `base` ones and under these, means over `n` paired seeds.

    `difference` is the mean of the pairs' differences, these minus base, with its 95 % interval.
    """

    figure: Figure
    base: float
    mean: float
    difference: float
    ci_half_width: float | None
    n: int

    @property
    def verdict(self) -> EffectVerdict:
        """Return what can be said of the difference."""
        half = math.nan if self.ci_half_width is None else self.ci_half_width
        return verdict(Estimate(self.difference, half, self.n))

    @property
    def points(self) -> str:
        """Return the difference in points with its interval, and the number of pairs."""
        return f"{as_change(self.difference, self.ci_half_width, 1)} ({self.n})"


@once
def frame(results: Results) -> tuple[NumericsRow, ...]:
    """Return what other formulas change: one row per case and variant whose numerics are not the documented ones."""
    return against(results, MAIN)


def against(results: Results, base: str) -> tuple[NumericsRow, ...]:
    """Return accuracies under every other numerics beside those under `base`, paired by seed."""
    rows: list[NumericsRow] = []
    for suite, case in results.cases():
        figure = next(figure for figure in figures(case, case.documented) if figure.main)
        groups = results.accuracy_groups.get((suite.name, case.name), {})
        found = {
            Variant(effect.backend, effect.kernel, effect.device, effect.numerics): effect.accuracy
            for effect in effects(chain.from_iterable(groups.values()), figure.measured, base)
            if effect.numerics != base
        }
        for variant, score in sorted(found.items()):
            place = (suite.name, case.name, variant, results.columns[suite.name, case.name, variant], figure)
            means = (score.base.mean / 100, (score.base.mean + score.change.mean) / 100)
            half = known(score.change.ci_half_width / 100)
            rows.append(NumericsRow(*place, *means, score.change.mean / 100, half, score.change.n))
    return tuple(rows)


def answer(results: Results) -> Answer | None:
    """Return what the formulas of today's Keras change, the largest cost first, and which formulas these are."""
    rows = sorted((row for row in frame(results) if row.variant.numerics == MATCHED), key=lambda row: row.difference)
    formulas = tuple(_changed_formulas(results)) if results.documented else ()
    if not rows:
        return Answer("Not run: `bench run --numerics matched` measures it.", notes=formulas) if formulas else None
    lines = [
        (
            row.name,
            row.variant.source,
            as_percent(row.base),
            as_percent(row.mean),
            row.points,
            row.verdict,
        )
        for row in rows
    ]
    headers = ("case", "source", "documents' formulas %", "today's %", "change, points (pairs)", "verdict")
    worst = rows[0]
    see = results.explanation(worst.suite, worst.case) or (("accuracy", "accuracy.md"),)
    table = Table(headers, tuple(lines), left=(0, 1, 5))
    return Answer(_conclusion(rows), table, (*see, results.documentation_on("findings")), formulas)


def _conclusion(rows: list[NumericsRow]) -> str:
    """Return in how many cases formulas cost or gain accuracy; `rows` come with the largest cost first."""
    names = {outcome: {row.name for row in rows if row.verdict == outcome} for outcome in ("costs", "gains")}
    among = f"of {count(len({row.name for row in rows}), 'case')}"
    if names["costs"]:
        gained = f"; they gain some in {len(names['gains'])}" if names["gains"] else ""
        most = -100 * next(row.difference for row in rows if row.verdict == "costs")
        return f"Today's formulas cost accuracy in {len(names['costs'])} {among}, at most {most:.1f} points{gained}."
    if names["gains"]:
        return f"Today's formulas gain accuracy in {len(names['gains'])} {among} and cost none."
    if all(row.verdict == "one seed" for row in rows):
        return "One seed each: nothing can be said of the change."
    return "Today's formulas have no significant effect on accuracy."


def _changed_formulas(results: Results) -> Iterator[str]:
    """Yield which formulas of the reported documents today's Keras no longer has, with the number of cases."""
    cases = [(suite, case) for suite, case in results.cases() if suite.era != KERAS_3]
    optimizer = sum(
        suite.era.rmsprop_epsilon != KERAS_3.rmsprop_epsilon and case.training.optimizer == "rmsprop"
        for suite, case in cases
    )
    gates = sum(suite.era.gates != KERAS_3.gates and _has_gates(case) for suite, case in cases)
    if optimizer:
        yield f"Since Keras 2.11, RMSprop adds epsilon inside the square root ({count(optimizer, 'case')})."
    if gates:
        yield f"Since Keras 2.3, LSTM and GRU gates default to sigmoids, not piecewise linear ({count(gates, 'case')})."
    if optimizer or gates:
        yield (
            "Keras 3 on TensorFlow no longer sums duplicate embedding gradients before squaring them. "
            "The figures here and in the main tables do sum them."
        )


def _has_gates(case: Case) -> bool:
    """Return whether a recurrent layer takes its gate function from the era."""
    inner = [layer.layer if isinstance(layer, Bidirectional) else layer for layer in case.layers]
    return any(isinstance(layer, LSTM | GRU) and layer.recurrent_activation is None for layer in inner)


def section(suite: Suite, results: Results) -> list[str]:
    """Return the table of what figures under other numerics are beside the documented ones, nothing for none."""
    lines = []
    for row in frame(results):
        if row.suite == suite.name:
            what = [plain(text) for text in (row.case, row.figure.name, row.variant.source, row.variant.numerics)]
            change = as_change(row.difference, row.ci_half_width)
            lines.append([*what, as_percent(row.base), as_percent(row.mean), change, str(row.n)])
    lead = (
        "Other numerics: the same cells with other formulas, means over the seeds that both have. The difference is "
        "these minus documented numerics, in points, paired by seed, ± its 95 % CI."
    )
    headers = ["case", "set", "source", "numerics", "documented numerics %", "these %", "difference", "seeds"]
    return [lead, markdown_table(headers, lines, left=(0, 1, 2, 3))] if lines else []


TOPIC = Topic("numerics", frame=frame, question="What do today's Keras formulas change?", answer=answer)
