"""Numerics: what other formulas make of the accuracies."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from bench.explain.effects import effects
from bench.report.figures import Figure, figures
from bench.report.frames import MAIN, MATCHED, VariantRow, grouped, once
from bench.report.markdown import markdown_table, plain
from bench.report.numbers import as_change, as_percent, known
from bench.report.results import Results, Variant
from bench.report.topic import Topic
from bench.spec import GRU, LSTM, Bidirectional, Case, Suite


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


def matched(results: Results) -> dict[str, list[NumericsRow]]:
    """Return by case what the formulas of today's Keras change, a row per backend."""
    return grouped((row for row in frame(results) if row.variant.numerics == MATCHED), lambda row: row.name)


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


TOPIC = Topic("numerics", frame=frame, question="What did Keras 3 change?")
