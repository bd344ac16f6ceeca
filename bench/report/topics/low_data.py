"""Low data: a pre-trained, frozen against a learned embedding, by the number of training rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import pandas as pd

from bench.cases.describe import documented_accuracy
from bench.cases.profiles import apply
from bench.compare.statistics import mean_interval
from bench.records.record import VARIANT, Metrics, Score
from bench.report.figures import by_seed
from bench.report.frames import frame_of, main_rows, once, rows_of
from bench.report.markdown import NOTHING, as_percent, given, markdown_table, plain
from bench.report.notes import Notes, on_stand_in
from bench.report.results import Results
from bench.report.sentences import Finding, count, percent, points, shared, under
from bench.spec import Case, Embedding, RandomRows, Suite


@once
def frame(results: Results) -> pd.DataFrame:
    """Return the pairs of cases that differ only in a pre-trained, frozen against a learned embedding.

    One row per pair and variant: suite, rows (trained on), pretrained and learned (case names), column, backend,
    kernel, device, numerics, pretrained_mean, learned_mean, difference and half (mean over paired seeds of pretrained -
    learned, 95 % interval), n, stand_in (for the vectors). Pairs are found in the declarations (`RandomRows`), not in
    the names.
    """
    groups = results.accuracy_groups
    places = results.columns
    rows: list[dict[str, Any]] = []
    for suite in results.reported_suites():
        cases = [apply(case, results.profile) for case in suite.cases]
        for pretrained in cases:
            learned = learned_twin(cases, pretrained)
            if learned is None or not isinstance(pretrained.training.validation, RandomRows):
                continue
            ours, theirs = (groups.get((suite.name, case.name), {}) for case in (pretrained, learned))
            for variant in sorted(ours.keys() & theirs.keys()):
                with_vectors, without = (by_seed(_test, side[variant]) for side in (ours, theirs))
                seeds = sorted(with_vectors.keys() & without.keys())
                if not seeds:
                    continue
                difference = mean_interval([with_vectors[seed] - without[seed] for seed in seeds])
                stand_ins = {record.data.stand_in for record in ours[variant] if record.data and record.data.stand_in}
                rows.append(
                    {"suite": suite.name, "rows": pretrained.training.validation.train}
                    | {"pretrained": pretrained.name, "learned": learned.name}
                    | {"column": places[suite.name, pretrained.name, variant], **vars(variant)}
                    | {"pretrained_mean": fmean(with_vectors[seed] for seed in seeds)}
                    | {"learned_mean": fmean(without[seed] for seed in seeds)}
                    | {"difference": difference.mean, "half": difference.ci_half_width, "n": difference.n}
                    | {"stand_in": "; ".join(sorted(stand_ins)) or None}
                )
    return frame_of(rows, _COLUMNS)


_COLUMNS = [
    "suite", "rows", "pretrained", "learned", "column", *VARIANT, "pretrained_mean", "learned_mean", "difference",
    "half", "n", "stand_in",
]  # fmt: skip


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


def answer(results: Results) -> list[Finding]:
    """Return what the smallest sample gains by pre-trained vectors, and from which on it gains nothing."""
    if not results.documented:
        return []
    data = main_rows(frame(results))
    found = []
    for suite, every in data.groupby("suite", sort=False):
        columns = {str(column): rows_of(own.sort_values("rows")) for column, own in every.groupby("column")}
        said: dict[tuple[str, str, int | None], list[str]] = {}
        for column, ordered in columns.items():
            said.setdefault((*_smallest(results, str(suite), ordered[0]), crossing(ordered)), []).append(column)
        for (lead, text, place), who in said.items():
            text += f" {under(who, columns)}; {crossover(columns[who[0]])}"
            if place is not None:
                at = shared(((column, points(columns[column][place])) for column in who), columns)
                text += f" ({', '.join(at)})"
            found.append(Finding(lead, f"{text}.", (("accuracy", "accuracy.md"),)))
    return found


def _smallest(results: Results, suite: str, pair: Mapping[Any, Any]) -> tuple[str, str]:
    """Return what vectors buy at the least number of rows: a phrase, and sentences that begin with a stand-in."""
    text = ""
    if pair["stand_in"] is not None:
        text = on_stand_in(pair["stand_in"]).rstrip(".") + ". "
        printed = documented_accuracy(results.case(suite, pair["pretrained"]))
        text += f"The document's {percent(printed[1])} ({printed[0]}) used the real vectors. " if printed else ""
    text += (
        f"Test accuracy: {pair['pretrained']} {percent(pair['pretrained_mean'])}, {pair['learned']} "
        f"{percent(pair['learned_mean'])} ({count(int(pair['n']), 'paired seed')})"
    )
    return f"At {pair['rows']:,} training rows {points(pair)}", text


def crossover(ordered: Sequence[Mapping[Any, Any]]) -> str:
    """Return from how many training rows on the learned embedding is at least as good; `ordered` are pairs by rows."""
    place = crossing(ordered)
    if place is None:
        return f"pre-trained ahead at the largest measured size, {ordered[-1]['rows']:,} rows"
    return f"learned at least as good from {ordered[place]['rows']:,} rows on"


def crossing(ordered: Sequence[Mapping[Any, Any]]) -> int | None:
    """Return the first pair from which on the learned embedding stays at least as good; None where there is none."""
    behind = [pair["difference"] <= 0 for pair in ordered]
    return next((place for place in range(len(behind)) if all(behind[place:])), None)


def section(suite: Suite, pairs: pd.DataFrame, notes: Notes) -> list[str]:
    if pairs.empty:
        return []
    columns = sorted(pairs["column"].unique())
    headers = ["rows", "pair"]
    for column in columns:
        headers += [f"{plain(column)} pre-trained %", "learned %", "difference", "seeds"]
    rows = []
    for (size, pretrained, learned), group in pairs.groupby(["rows", "pretrained", "learned"], sort=True):
        marks = notes.mark(note for case in (pretrained, learned) for note in notes.on_data(suite.name, str(case)))
        row = [f"{size:,}", plain(f"{pretrained} / {learned}") + marks]
        members = {str(member["column"]): member for member in rows_of(group)}
        for column in columns:
            member = members.get(column)
            if member is None:
                row += [NOTHING] * 4
            else:
                half = f" ±{100 * member['half']:.2f}" if given(member["half"]) else ""
                row += [as_percent(member["pretrained_mean"]), as_percent(member["learned_mean"])]
                row += [f"{100 * member['difference']:+.2f}{half}", str(member["n"])]
        rows.append(row)
    sentences = [
        f"{plain(column)}: {crossover(own.sort_values('rows').to_dict('records'))}."
        for column, own in pairs.groupby("column", sort=True)
    ]
    lead = (
        "Low data: test accuracy with a pre-trained, frozen and with a learned embedding, by the number of training "
        "rows; the difference (in points, ± 95 % interval) is paired by seed. "
    )
    return [lead + " ".join(sentences), markdown_table(headers, rows, left=(1,))]
