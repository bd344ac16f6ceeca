"""Architectures: what each reaches, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.records.record import CASE, VARIANT
from bench.report.frames import frame_of, key_of, main_rows, once, rows_of
from bench.report.notes import NOT_YET, lacking, on_stand_in
from bench.report.numbers import percent, seconds
from bench.report.results import Results
from bench.report.sentences import Finding, count, joined, under, with_kernels
from bench.report.topic import Topic
from bench.report.topics import accuracy as accuracy_topic
from bench.report.topics import timing
from bench.spec import RandomRows


@once
def frame(results: Results) -> pd.DataFrame:
    """Return what each architecture reaches and costs: one row per case and variant that measured an accuracy.

    Within a suite all accuracies are of one kind, `figure`: test, or validation where nothing was tested. Cases that
    train on a sample of the rows are left out: fewer rows are no architecture. Columns: suite, case, figure, column,
    backend, kernel, device, numerics, mean, half, n, rows, stand_in, epochs (mean of those run), epoch, headline,
    seconds (of training: epoch time by epochs), frontier (no row of the suite is both cheaper and better), best
    (highest mean).
    """
    accuracy = [row for row in main_rows(accuracy_topic.frame(results)) if isinstance(row, accuracy_topic.MeasuredRow)]
    times = main_rows(timing.frame(results))
    epochs = {key_of(row): row for row in rows_of(times)}
    rows: list[dict[str, Any]] = []
    for suite in results.reported_suites():
        sampled = {case.name for case in suite.cases if isinstance(case.training.validation, RandomRows)}
        reached = [row for row in accuracy if row.suite == suite.name and row.case not in sampled]
        kind = next((kind for kind in ("test", "val") if any(row.figure.name == kind for row in reached)), None)
        found = []
        for row in (row for row in reached if row.figure.name == kind):
            timed = epochs.get((row.suite, row.case, *vars(row.variant).values()), {})
            epoch = timed.get("epoch")
            found.append(
                {"suite": row.suite, "case": row.case, "figure": row.figure.name, "column": row.column}
                | {**vars(row.variant), "mean": row.mean, "half": row.ci_half_width, "n": row.n, "rows": row.rows}
                | {"stand_in": row.stand_in, "epochs": row.epochs}
                | {"epoch": epoch, "headline": timed.get("headline")}
                | {"seconds": epoch * row.epochs if epoch and row.epochs else None}
            )
        best = max((made["mean"] for made in found), default=None)
        for made in found:
            made |= {"best": made["mean"] == best, "frontier": _on_frontier(made, found)}
        rows += found
    return frame_of(rows, _COLUMNS)


_COLUMNS = [
    *CASE, "figure", "column", *VARIANT, "mean", "half", "n", "rows", "stand_in", "epochs", "epoch", "headline",
    "seconds", "frontier", "best",
]  # fmt: skip


def _on_frontier(row: Mapping[Any, Any], others: Iterable[Mapping[Any, Any]]) -> bool:
    return row["seconds"] is not None and not any(
        other["seconds"] is not None
        and other["seconds"] <= row["seconds"]
        and other["mean"] >= row["mean"]
        and (other["seconds"], other["mean"]) != (row["seconds"], row["mean"])
        for other in others
    )


NEAR, CHEAPER = 0.01, 0.8
"""An architecture within a point of the best one is an alternative when it costs at most this share of its time."""


def answer(results: Results) -> list[Finding]:
    data = frame(results)
    found = []
    for suite, rows in data.groupby("suite", sort=False):
        cases = {str(case): rows_of(own) for case, own in rows.groupby("case", sort=False)}
        best = max(cases, key=lambda case: _best(cases[case])["mean"])
        own = cases.pop(best)
        # The same network under another protocol is no other architecture.
        network = results.case(str(suite), best).layers
        others = {case: members for case, members in cases.items() if results.case(str(suite), case).layers != network}
        if not others:
            continue
        kind = "test" if own[0]["figure"] == "test" else "validation"
        provisional = {int(row["n"]) for row in rows_of(rows)}
        text = ""
        if 1 in provisional:
            text = (
                "1 seed: no interval, ranking provisional. "
                if provisional == {1}
                else "Ranking provisional: 1 seed has no interval. "
            )
        every = dict.fromkeys(map(str, rows["backend"]))
        text += f"{_reached(own, every)}; {count(int(own[0]['rows']), f'{kind} row')}.{_absent(results, own, every)}"
        text += f" {_runner_up(own, others)}."
        if own[0]["stand_in"]:
            text += f" {on_stand_in(own[0]['stand_in'])}"
        found.append(Finding(f"{suite}: {best}", text, (("accuracy", "accuracy.md"),)))
    return found


def _best(rows: Sequence[Mapping[Any, Any]]) -> Mapping[Any, Any]:
    return max(rows, key=lambda row: float(row["mean"]))


def _cost(row: Mapping[Any, Any]) -> float:
    return math.inf if row["seconds"] is None else float(row["seconds"])


def _cheapest(rows: Sequence[Mapping[Any, Any]]) -> Mapping[Any, Any]:
    return min(rows, key=_cost)


def _runner_up(best: Sequence[Mapping[Any, Any]], others: Mapping[str, Sequence[Mapping[Any, Any]]]) -> str:
    """Return the cheapest other architecture within a point of the best, else the next best one."""
    top, cost = _best(best), _cost(_cheapest(best))
    near = [
        case
        for case, rows in others.items()
        if _best(rows)["mean"] >= top["mean"] - NEAR and _cost(_cheapest(rows)) <= CHEAPER * cost
    ]
    if near:
        other, said = min(near, key=lambda case: _cost(_cheapest(others[case]))), "Within a point of it and cheaper"
    else:
        other, said = max(others, key=lambda case: _best(others[case])["mean"]), "Next"
    second = _best(others[other])
    if None not in (top["half"], second["half"]) and second["mean"] + second["half"] >= top["mean"] - top["half"]:
        said += ", not clearly worse"
    return f"{said}: {other}, {_accuracy_and_cost(_cheapest(others[other]))}"


def _reached(rows: Sequence[Mapping[Any, Any]], every: Mapping[str, None]) -> str:
    """Return accuracy and training time of a case under its fastest backend, then under the others."""
    ordered = sorted(rows, key=_cost)
    columns = [str(row["backend"]) for row in ordered]
    if len(ordered) > 1 and len(set(columns)) == len(columns) and len(set(map(_accuracy, ordered))) == 1:
        return f"{_accuracy(ordered[0])} {under(columns, every)}{_joined_costs(ordered)}"
    first, *others = ordered
    text = _accuracy_and_cost(first)
    if len(others) == 1:
        text += f"; {_accuracy_and_cost(others[0])}"
    elif others:
        low, high = (pick(row["mean"] for row in others) for pick in (min, max))
        span = f"{100 * low:.2f} to " if f"{low:.4f}" != f"{high:.4f}" else ""
        text += f"; the other {len(others)} variants {span}{percent(high)}"
        costs = [row["seconds"] for row in others if row["seconds"] is not None]
        text += f" in {seconds(min(costs))} to {seconds(max(costs))}" if costs else ""
    return text


def _joined_costs(rows: Sequence[Mapping[Any, Any]]) -> str:
    """Return ` in 4 epochs: 1.5 s with torch and 5.24 s with keras-tensorflow` for rows of the same accuracy."""
    epochs = {_epochs(row) for row in rows}
    told = [f"{_seconds(row)} with {_source(row)}" for row in rows if row["seconds"] is not None]
    if len(epochs) > 1:
        told = [f"{_seconds(row)} ({_epochs(row)}) with {_source(row)}" for row in rows if row["seconds"] is not None]
    length = f" in {next(iter(epochs))}" if len(epochs) == 1 and None not in epochs else ""
    return length + (f": {joined(told)}" if told else "")


def _accuracy(row: Mapping[Any, Any]) -> str:
    return f"{percent(row['mean'], row['half'])} ({count(int(row['n']), 'seed')})"


def _accuracy_and_cost(row: Mapping[Any, Any]) -> str:
    """Return `80.43 ± 1.38 % (5 seeds) in 6.76 s (4 epochs) with torch (fused)`."""
    cost = f" in {_seconds(row)} ({_epochs(row)})" if row["seconds"] is not None else ""
    return f"{_accuracy(row)}{cost} with {_source(row)}"


def _epochs(row: Mapping[Any, Any]) -> str | None:
    """Return the epochs that were run, a mean over seeds."""
    if row["epochs"] is None:
        return None
    return f"{row['epochs']:.3g} epoch{'' if row['epochs'] == 1 else 's'}"


def _seconds(row: Mapping[Any, Any]) -> str:
    return seconds(row["seconds"]) + ("" if row["headline"] else " beside other work")


def _source(row: Mapping[Any, Any]) -> str:
    return with_kernels(str(row["column"]), [row])


def _absent(results: Results, rows: Sequence[Mapping[Any, Any]], every: Mapping[str, None]) -> str:
    """Return why backends that other cases of the suite ran under have no figure for this one."""
    first = rows[0]
    here = {str(row["backend"]) for row in rows}
    problems = lacking(results)
    said = []
    for backend in every:
        if backend not in here:
            own = [row for row in problems if (row.suite, row.case) == (first["suite"], first["case"])]
            why = next((row.gap for row in own if row.variant.backend == backend), NOT_YET)
            said.append(f"{backend}: {why}")
    return f" No figure under {'; '.join(said)}." if said else ""


TOPIC = Topic("architectures", frame=frame, question="Which architecture is best, and at what cost?", answer=answer)
