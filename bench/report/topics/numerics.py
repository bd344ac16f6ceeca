"""Numerics: what other formulas make of the accuracies."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import chain
from typing import Any

import pandas as pd

from bench.explain.effects import effects
from bench.records.record import CASE, VARIANT
from bench.report.figures import figures
from bench.report.frames import MAIN, MATCHED, frame_of, once, rows_of
from bench.report.markdown import as_percent, given, markdown_table, plain, source_of
from bench.report.results import Results, Variant
from bench.report.sentences import MOST_NAMED, Finding, count, name, percent, points, shared, upper
from bench.spec import GRU, KERAS_3, LSTM, Bidirectional, Case


@once
def frame(results: Results) -> pd.DataFrame:
    """Return what other formulas change: one row per case and variant whose numerics are not the documented ones.

    Columns: suite, case, figure, documented (printed accuracy or None), column, backend, kernel, device, numerics,
    base and mean (accuracies under documented and under these numerics, means over the paired seeds), difference and
    half (95 % interval of the paired differences, other minus documented), n.
    """
    return against(results, MAIN)


def against(results: Results, base: str) -> pd.DataFrame:
    """Return accuracies under every other numerics beside those under `base`, paired by seed."""
    rows: list[dict[str, Any]] = []
    for suite, case in results.cases():
        figure = next(one for one in figures(case, case.documented) if one.main)
        groups = results.accuracy_groups.get((suite.name, case.name), {})
        found = {
            Variant(effect.backend, effect.kernel, effect.device, effect.numerics): effect.accuracy
            for effect in effects(chain.from_iterable(groups.values()), figure.measured, base)
            if effect.numerics != base
        }
        for variant, score in sorted(found.items()):
            rows.append(
                {"suite": suite.name, "case": case.name, "figure": figure.name}
                | {"documented": figure.score.accuracy if results.documented else None}
                | {"column": results.columns[suite.name, case.name, variant], **vars(variant)}
                | {"base": score.base.mean / 100, "mean": (score.base.mean + score.change.mean) / 100}
                | {"difference": score.change.mean / 100, "half": score.change.ci_half_width / 100, "n": score.change.n}
            )
    return frame_of(rows, COLUMNS)


COLUMNS = [
    *CASE, "figure", "documented", "column", *VARIANT, "base", "mean", "difference", "half", "n",
]  # fmt: skip


def answer(results: Results) -> list[Finding]:
    """Return which formulas changed, and what those of today's Keras do to accuracies."""
    found = _changed_formulas(results) if results.documented else []
    cases = sorted(matched(results).values(), key=lambda rows: -max(abs(row["difference"]) for row in rows))
    if cases and results.documented:
        found += [with_keras_3(rows, results) for rows in cases[:MOST_NAMED]]
    elif found:
        found.append(Finding("What that does to accuracies: not run", "`bench run --numerics matched` measures it."))
    return found


def matched(results: Results) -> dict[Hashable, list[dict[Any, Any]]]:
    """Return by case what the formulas of today's Keras change, a row per backend."""
    data = frame(results)
    matched = data[data["numerics"] == MATCHED]
    return {case: rows_of(own) for case, own in matched.groupby(CASE, sort=False)}


def with_keras_3(rows: Sequence[Mapping[Any, Any]], results: Results) -> Finding:
    """Return what the formulas of today's Keras make of one case under every backend."""
    first = rows[0]
    measured = shared(
        (
            (
                str(row["backend"]),
                f"{percent(row['mean'])} where the documents' formulas give {percent(row['base'])} ({points(row)}, "
                f"{count(int(row['n']), 'paired seed')})",
            )
            for row in rows
        ),
        (str(row["backend"]) for row in rows),
    )
    printed = f" Documented: {percent(first['documented'])}." if first["documented"] is not None else ""
    text = f"{'; '.join(measured)}.{printed}"
    see = results.explanation(first["suite"], first["case"]) or (("accuracy", "accuracy.md"),)
    return Finding(f"{name(first)} with Keras 3's formulas", text, see)


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


def section(data: pd.DataFrame) -> list[str]:
    """Return the table of what figures under other numerics are beside the documented ones, nothing for none."""
    if data.empty:
        return []
    rows = []
    for row in rows_of(data):
        half = f" ±{100 * row['half']:.2f}" if given(row["half"]) else ""
        source = source_of(str(row["backend"]), row["kernel"])
        what = [plain(text) for text in (row["case"], row["figure"], source, row["numerics"])]
        difference = f"{100 * row['difference']:+.2f}{half}"
        rows.append([*what, as_percent(row["base"]), as_percent(row["mean"]), difference, str(row["n"])])
    lead = (
        "Other numerics: the same cells with other formulas, means over the seeds that both have; the difference (in "
        "points, ± 95 % interval) is paired by seed."
    )
    headers = ["case", "set", "source", "numerics", "documented numerics %", "these %", "difference", "seeds"]
    return [lead, markdown_table(headers, rows, left=(0, 1, 2, 3))]
