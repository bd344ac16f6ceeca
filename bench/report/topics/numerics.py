"""Numerics: what other formulas make of the accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from bench.explain.effects import effects
from bench.report.figures import Figure, figures
from bench.report.frames import MAIN, MATCHED, VariantRow, grouped, once
from bench.report.markdown import markdown_table, plain
from bench.report.numbers import as_change, as_percent, known, percent, points
from bench.report.results import Results, Variant
from bench.report.sentences import MOST_NAMED, Finding, count, shared, upper
from bench.report.topic import Topic
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


def answer(results: Results) -> list[Finding]:
    """Return which formulas changed, and what those of today's Keras do to accuracies."""
    found = _changed_formulas(results) if results.documented else []
    cases = sorted(matched(results).values(), key=lambda rows: -max(abs(row.difference) for row in rows))
    if cases and results.documented:
        found += [with_keras_3(rows, results) for rows in cases[:MOST_NAMED]]
    elif found:
        found.append(Finding("What that does to accuracies: not run", "`bench run --numerics matched` measures it."))
    return found


def matched(results: Results) -> dict[str, list[NumericsRow]]:
    """Return by case what the formulas of today's Keras change, a row per backend."""
    return grouped((row for row in frame(results) if row.variant.numerics == MATCHED), lambda row: row.name)


def with_keras_3(rows: Sequence[NumericsRow], results: Results) -> Finding:
    """Return what the formulas of today's Keras make of one case under every backend."""
    first = rows[0]
    said = [
        (
            row.variant.backend,
            f"{percent(row.mean)} where the documents' formulas give {percent(row.base)} "
            f"({points(row.difference, row.ci_half_width)}, {count(row.n, 'paired seed')})",
        )
        for row in rows
    ]
    measured = "; ".join(shared(said, (backend for backend, _ in said)))
    printed = first.figure.score.accuracy if results.documented else None
    text = f"{measured}." + ("" if printed is None else f" Documented: {percent(printed)}.")
    see = results.explanation(first.suite, first.case) or (("accuracy", "accuracy.md"),)
    return Finding(f"{first.name} with Keras 3's formulas", text, see)


def _changed_formulas(results: Results) -> list[Finding]:
    """Return which formulas of the reported documents today's Keras no longer has, with the number of cases."""
    cases = [(suite, case) for suite, case in results.cases() if suite.era != KERAS_3]
    optimizer = sum(
        suite.era.rmsprop_epsilon != KERAS_3.rmsprop_epsilon and case.training.optimizer == "rmsprop"
        for suite, case in cases
    )
    gates = sum(suite.era.gates != KERAS_3.gates and _has_gates(case) for suite, case in cases)
    parts = []
    if optimizer:
        parts.append(f"RMSprop adds epsilon inside the square root, not after it ({count(optimizer, 'case')})")
    if gates:
        parts.append(f"the gates of LSTM and GRU are true sigmoids, not piecewise-linear ones ({count(gates, 'case')})")
    if not parts:
        return []
    text = (
        f"{upper('; '.join(parts))}; on TensorFlow only: duplicate rows of an embedding gradient are squared before "
        "they are summed. The tables use the documents' formulas on every backend, so none of this is in their figures."
    )
    return [Finding("Formulas that Keras 3 changed", text, (results.documentation_on("findings"),))]


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
        "Other numerics: the same cells with other formulas, means over the seeds that both have; the difference (in "
        "points, ± 95 % interval) is paired by seed."
    )
    headers = ["case", "set", "source", "numerics", "documented numerics %", "these %", "difference", "seeds"]
    return [lead, markdown_table(headers, lines, left=(0, 1, 2, 3))] if lines else []


TOPIC = Topic("numerics", frame=frame, question="What did Keras 3 change?", answer=answer)
