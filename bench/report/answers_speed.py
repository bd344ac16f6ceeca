"""Answers about speed: which backend is faster, whether fused kernels pay, how much of the machine is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Literal

import pandas as pd

from bench.report import comparisons, tables
from bench.report.sentences import (
    Finding,
    count,
    device,
    joined,
    listed,
    name,
    seconds,
    span,
    times,
    upper,
    with_kernels,
)
from bench.report.tables import Link, Results

SAME_SPEED = 1.05
"""Epoch times closer than this factor are not called different: 5 % is the margin of a quiet CPU."""

_TIMING: Link = ("timing", "timing.md")
_UNTIMED = "timed only in accuracy runs, beside which other work may have run"

Rows = Sequence[Mapping[Any, Any]]


# --- backends ----------------------------------------------------------------------------------------------------


def speed(results: Results, elsewhere: Mapping[str, Results]) -> list[Finding]:
    """Compare every column with its reference by kind of layer, on times of cells that were alone in their process.

    `elsewhere` are the results of other folders, by name: the answer says where they have timed further backends.
    """
    frame = comparisons.main_rows(comparisons.speed(results))
    found = []
    for (layers, place), rows in sorted(frame.groupby(["layers", "device"], sort=True), key=_by_importance):
        asked = f"{upper(str(layers))} on a {device(str(place))}"
        alone = rows[rows["headline"].astype(bool)]
        see = (_TIMING, *_further(rows, elsewhere))
        if alone.empty:
            found.append(Finding(f"{asked}: not known", f"{upper(_UNTIMED)}.", see))
            continue
        columns = {str(column): tables.rows_of(own) for column, own in alone.groupby("column", sort=True)}
        found.append(_one_against(asked, alone, see) if len(columns) == 1 else _many_against(asked, columns, see))
    return found


def _by_importance(group: tuple[Any, pd.DataFrame]) -> tuple[int, str, str]:
    layers, place = group[0]
    order = ["LSTM", "GRU", "SimpleRNN"]
    return (order.index(layers) if layers in order else len(order)), str(layers), str(place)


def _further(rows: pd.DataFrame, elsewhere: Mapping[str, Results]) -> list[Link]:
    """Return where backends that are not among `rows` were timed on the same kind of layer."""
    first = rows.iloc[0]
    here = {*rows["backend"], *rows["reference"]}
    links = []
    for folder, results in elsewhere.items():
        frame = comparisons.main_rows(comparisons.speed(results))
        same = (frame["layers"] == first["layers"]) & (frame["device"] == first["device"])
        more = sorted({*frame[same & frame["headline"].astype(bool)]["backend"]} - here)
        if more:
            links.append((f"against {joined(more)}: {folder}", f"../{folder}/timing.md"))
    return links


def _one_against(asked: str, rows: pd.DataFrame, see: tuple[Link, ...]) -> Finding:
    """Return how the only other backend fares against its reference, and the longest case by name."""
    own = tables.rows_of(rows)
    column, reference = str(own[0]["column"]), str(own[0]["reference"])
    winner = _winner(own)
    lead = f"{asked}: {winner}"
    factors = [float(row["speedup"]) for row in own]
    if winner.endswith(column):
        lead += f", {span(min(factors), max(factors))} times as fast as {reference}"
    text = f"Faster in {_outcomes(own)}"
    if len(own) > 1:
        text += f", median {times(median(factors))} times"
    return Finding(lead, f"{text}; {_case_speed(max(own, key=lambda row: row['base_epoch']))}.", see)


def _winner(rows: Rows) -> str:
    """Return which of two backends is clearly faster in every case, or in most, or that it depends on the case."""
    first = rows[0]
    outcomes = Counter(_outcome(row) for row in rows)
    won = {str(first["column"]): outcomes["faster"], str(first["reference"]): outcomes["slower"]}
    best = max(won, key=lambda one: won[one])
    if not won[best]:
        return "not clear from these times"
    if won[best] == len(rows):
        return best
    return f"mostly {best}" if won[best] > len(rows) / 2 else "it depends on the case"


def _outcomes(rows: Rows) -> str:
    outcomes = Counter(_outcome(row) for row in rows)
    text = f"{outcomes['faster']} of {count(len(rows), 'case')}"
    if outcomes["slower"]:
        text += f", slower in {outcomes['slower']}"
    if outcomes["same"]:
        text += f", unclear in {outcomes['same']}"
    return text


def _outcome(row: Mapping[Any, Any]) -> Literal["faster", "slower", "same"]:
    """Return `faster` or `slower` where the spread leaves no other reading and the factor is above 5 %, else `same`."""
    if row["low"] > 1 and row["speedup"] > SAME_SPEED:
        return "faster"
    return "slower" if row["high"] < 1 and row["speedup"] < 1 / SAME_SPEED else "same"


def _spread(row: Mapping[Any, Any]) -> str:
    return f"{times(row['low'])} to {times(row['high'])}"


def _case_speed(row: Mapping[Any, Any]) -> str:
    kernel = "" if row["kernel"] == "none" else f", {row['kernel']} against {row['reference_kernel']} kernel"
    processes = "1 process each" if row["base_n"] == row["n"] == 1 else f"{row['n']} against {row['base_n']} processes"
    return (
        f"on {name(row)} an epoch takes {seconds(row['epoch'])} against "
        f"{seconds(row['base_epoch'])}: {times(row['speedup'])} times as fast ({row['spread']} {_spread(row)}, "
        f"{processes}{kernel})"
    )


def _many_against(asked: str, columns: Mapping[str, Rows], see: tuple[Link, ...]) -> Finding:
    """Return what holds of several backends in all cases, and in a list how each fares, the fastest first."""
    middle = {column: median(float(row["speedup"]) for row in rows) for column, rows in columns.items()}
    order = sorted(columns, key=lambda column: -middle[column])
    everything = [row for column in order for row in columns[column]]
    longest = max(everything, key=lambda row: row["base_epoch"])
    reference = str(longest["reference"])
    kernels = [{"kernel": row["reference_kernel"]} for row in everything]
    text = (
        f"Times as fast as {with_kernels(reference, kernels)}, median over cases (least to most). An epoch of "
        f"{name(longest)} takes {reference} {seconds(longest['base_epoch'])}."
    )
    items = []
    for column in order:
        rows = columns[column]
        factors = [float(row["speedup"]) for row in rows]
        item = f"{with_kernels(column, rows)} {times(middle[column])}"
        item += f" ({span(min(factors), max(factors))})" if len(rows) > 1 else ""
        same = [f"; that epoch {seconds(row['epoch'])}" for row in rows if name(row) == name(longest)]
        items.append(f"{item}, {_verdicts(rows)}{''.join(same)}")
    return Finding(f"{asked}: {_summary(everything, order)}", text, see, tuple(items))


def _verdicts(rows: Rows) -> str:
    outcomes = Counter({"same": "unclear"}.get(one := _outcome(row), one) for row in rows)
    if len(outcomes) == 1:
        return f"{next(iter(outcomes))} in {_all(len(rows))}"
    return ", ".join(f"{word} in {outcomes[word]}" for word in ("faster", "slower", "unclear") if outcomes[word])


def _all(cases: int) -> str:
    return {1: "the one case", 2: "both cases"}.get(cases, f"all {cases} cases")


def _summary(rows: Rows, order: Sequence[str]) -> str:
    """Return which backends are fastest, in all cases or by case, and which beat the reference in every case."""
    by_case: dict[str, list[Mapping[Any, Any]]] = {}
    for row in rows:
        by_case.setdefault(name(row), []).append(row)
    reference = str(rows[0]["reference"])
    if all(_outcome(row) == "same" for row in rows):
        return "not clear from these times"
    leaders = [_leaders(own, reference) for own in by_case.values()]
    ahead = [
        column
        for column in order
        if all(any(row["column"] == column and _outcome(row) == "faster" for row in own) for own in by_case.values())
    ]
    always = set.intersection(*leaders)
    first = [column for column in (*order, reference) if column in (always or set.union(*leaders))]
    text = joined(first, "or") + ("" if len(first) == 1 else " (not told apart)" if always else " by case")
    if not ahead:
        return text if first == [reference] else f"{text}; none is faster than {reference} in {_all(len(by_case))}"
    every = f"faster than {reference} in {_all(len(by_case))}"
    if ahead == first:
        return f"{text}, {'both ' if len(first) == 2 else 'all ' if len(first) > 2 else ''}{every}"
    return f"{text}; {joined(ahead)} {'is' if len(ahead) == 1 else 'are'} {every}"


def _leaders(rows: Rows, reference: str) -> set[str]:
    """Return the backends of one case that are as fast as the fastest, the reference where none is clearly faster."""
    fastest = max(rows, key=lambda row: row["speedup"])
    if _outcome(fastest) == "slower":
        return {reference}
    found = {str(row["column"]) for row in rows if row["speedup"] * SAME_SPEED >= fastest["speedup"]}
    return found if _outcome(fastest) == "faster" else found | {reference}


# --- kernels -----------------------------------------------------------------------------------------------------


def kernels(results: Results) -> list[Finding]:
    """Return by backend and device for which cases the fused kernel is faster than the generic one, and by how much."""
    frame = comparisons.main_rows(comparisons.kernels(results))
    found = []
    for (backend, place), every in frame.groupby(["backend", "device"], sort=True):
        asked = f"{backend} on a {device(str(place))}"
        rows = sorted(tables.rows_of(every[every["headline"].astype(bool)]), key=lambda row: -row["speedup"])
        if not rows:
            found.append(Finding(f"{asked}: not known", f"{upper(_UNTIMED)}.", (_TIMING,)))
            continue
        by_outcome = {one: own for one in _PAYS if (own := [row for row in rows if _outcome(row) == one])}
        parts = []
        for outcome, own in by_outcome.items():
            factors = [f"{name(row)} {times(row['speedup'])} ({_spread(row)})" for row in own]
            parts.append(
                f"{_PAYS[outcome]} for {listed(factors, ', ')}{_why_unclear(own) if outcome == 'same' else ''}"
            )
        spreads = joined(sorted({str(row["spread"]) for row in rows}), "or")
        text = f"Times as fast as the generic kernel ({spreads}): {'; '.join(parts)}."
        verdicts = ", ".join(f"{_PAYS[outcome]} for {len(own)}" for outcome, own in by_outcome.items())
        found.append(Finding(f"{asked}: {verdicts} of {count(len(rows), 'case')}", text, (_TIMING,)))
    return found


_PAYS = {"faster": "yes", "slower": "no", "same": "unclear"}


def _why_unclear(rows: Rows) -> str:
    holds_one = all(row["low"] <= 1 <= row["high"] for row in rows)
    return " (the range includes 1)" if holds_one else " (the range includes 1, or the factor is within 5 % of it)"


# --- the machine's limits ----------------------------------------------------------------------------------------


def limits(results: Results) -> list[Finding]:
    """Return for every device which share of the machine's limits the training steps of each backend reach."""
    found = []
    frame = comparisons.main_rows(comparisons.roofline(results))
    for place, every in frame.groupby("device", sort=True):
        columns = {str(column): tables.rows_of(own) for column, own in every.groupby("column", sort=True)}
        middle = {column: median(float(row["share"]) for row in rows) for column, rows in columns.items()}
        items = []
        for column in sorted(columns, key=lambda one: -middle[one]):
            most = max(columns[column], key=lambda row: row["share"])
            item = f"{with_kernels(column, columns[column])} {_share(middle[column])}"
            items.append(f"{item}, most {_share(most['share'])} ({name(most)})")
        least, most_of_all = min(middle.values()), max(middle.values())
        lead = _share(least) if _share(least) == _share(most_of_all) else f"{100 * least:.0f} to {_share(most_of_all)}"
        text = f"The limit is {_which_limit(tables.rows_of(every))}, measured on the machine. Medians over cases."
        lead = f"On a {device(str(place))} the backends reach {lead} of the machine's limit"
        found.append(Finding(lead, text, (_TIMING,), tuple(items)))
    return found


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _which_limit(rows: Iterable[Mapping[Any, Any]]) -> str:
    """Return which limit binds: the matrix-product peak, or memory, where too few operations are done on a byte."""
    cases: dict[str, set[str]] = {}
    for row in rows:
        bound = "matrix-product peak" if row["peak"] <= row["intensity"] * row["bandwidth"] else "copy bandwidth"
        cases.setdefault(bound, set()).add(name(row))
    if len(cases) == 1:
        return f"the {next(iter(cases))}"
    return joined([f"the {bound} ({count(len(names), 'case')})" for bound, names in sorted(cases.items())], "or")
