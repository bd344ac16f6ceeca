"""Speed: every backend beside its reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import pandas as pd

from bench.cases.describe import recurrence
from bench.compare.statistics import ratio_interval
from bench.records.metrics import is_headline
from bench.records.record import CASE, VARIANT, Record
from bench.report.frames import frame_of, main_rows, once, reference_order, rows_of
from bench.report.markdown import markdown_table, plain
from bench.report.numbers import seconds, span, times
from bench.report.results import KERNELS, Groups, Link, Results, Variant
from bench.report.sentences import Finding, count, device, joined, name, upper, with_kernels
from bench.report.topic import Topic
from bench.spec import Case, Suite


@dataclass(frozen=True)
class Times:
    """The steady epochs of each process that measured a variant of a case; `headline` when each had it for itself."""

    variant: Variant
    headline: bool
    processes: tuple[tuple[float, ...], ...]

    @property
    def medians(self) -> list[float]:
        return [median(epochs) for epochs in self.processes]

    @property
    def epoch(self) -> float:
        return median(self.medians)


def times_of_cases(results: Results) -> Iterator[tuple[Suite, Case, list[Times]]]:
    """Yield the times of every case, from timing records where a variant has any that ended ok."""
    timed, rest = results.timing_groups, results.accuracy_groups
    for suite, case in results.cases():
        found = []
        for variant in sorted({*timed.get((suite.name, case.name), {}), *rest.get((suite.name, case.name), {})}):
            members = _steady(timed, suite, case, variant) or _steady(rest, suite, case, variant)
            if members:
                processes = tuple(tuple(record.timing.epochs) for record in members if record.timing)
                found.append(Times(variant, all(map(is_headline, members)), processes))
        yield suite, case, found


def _steady(groups: Groups, suite: Suite, case: Case, variant: Variant) -> list[Record]:
    members = groups.get((suite.name, case.name), {}).get(variant, [])
    return [record for record in members if record.status == "ok" and record.timing and record.timing.epochs]


def set_against(base: Times, other: Times) -> dict[str, Any]:
    """Return how many times as fast as `base` the other is, and what is known of the spread.

    With two processes or more on both sides, `low` and `high` are the 95 % interval of the ratio; else the ratio of the
    fastest and slowest steady epochs, which is a range and no interval.
    """
    shared = {"base_epoch": base.epoch, "epoch": other.epoch, "base_n": len(base.processes), "n": len(other.processes)}
    if min(len(base.processes), len(other.processes)) > 1:
        ratio = ratio_interval(base.medians, other.medians)
        return shared | {"speedup": ratio.value, "low": ratio.low, "high": ratio.high, "spread": "95 % interval"}
    ours, theirs = ([seconds for epochs in one.processes for seconds in epochs] for one in (other, base))
    return shared | {
        "speedup": base.epoch / other.epoch,
        "low": min(theirs) / max(ours),
        "high": max(theirs) / min(ours),
        "spread": "range of epochs",
    }


@once
def frame(results: Results) -> pd.DataFrame:
    """Return how fast every backend is beside its reference, each with its best kernel: one row per case and variant.

    The reference is that of the timing table, with its best kernel, of the same case, device, numerics and kind of
    record. Columns: suite, case, layers ("LSTM", ..., "no recurrent layer"), column, backend,
    kernel, device, numerics, reference (the column), reference_kernel, headline, base_epoch and epoch (seconds), base_n
    and n (processes), speedup, low, high, spread (what low and high are).
    """
    places = results.columns
    rows: list[dict[str, Any]] = []
    for suite, case, found in times_of_cases(results):
        best = _best_kernels(found)
        for one in best:
            peers = [
                other
                for other in best
                if reference_order(other.variant.backend) is not None
                and (other.variant.device, other.variant.numerics, other.headline)
                == (one.variant.device, one.variant.numerics, one.headline)
            ]
            if not peers:
                continue
            base = min(peers, key=_reference_order)
            if base is not one:
                shared: dict[str, Any] = {"suite": suite.name, "case": case.name, "layers": recurrence(case)}
                shared |= {"column": places[suite.name, case.name, one.variant], **vars(one.variant)}
                shared |= {"reference": places[suite.name, case.name, base.variant]}
                shared |= {"reference_kernel": base.variant.kernel, "headline": one.headline}
                rows.append(shared | set_against(base, one))
    return frame_of(rows, _COLUMNS)


def _best_kernels(found: Iterable[Times]) -> list[Times]:
    """Return for every backend, device, numerics and kind of record the times of the best kernel that ran."""
    best: dict[tuple[Any, ...], Times] = {}
    for one in sorted(found, key=lambda one: KERNELS.index(one.variant.kernel)):
        best.setdefault((one.variant.backend, one.variant.device, one.variant.numerics, one.headline), one)
    return list(best.values())


def _reference_order(times: Times) -> tuple[Any, ...]:
    return (reference_order(times.variant.backend), KERNELS.index(times.variant.kernel))


_COLUMNS = [
    *CASE, "layers", "column", *VARIANT, "reference", "reference_kernel", "headline", "base_epoch", "epoch", "base_n",
    "n", "speedup", "low", "high", "spread",
]  # fmt: skip
SAME_SPEED = 1.05
"""Epoch times closer than this factor are not called different: 5 % is the margin of a quiet CPU."""
TIMING: Link = ("timing", "timing.md")
UNTIMED = "timed only in accuracy runs, beside which other work may have run"
Rows = Sequence[Mapping[Any, Any]]


def answer(results: Results, elsewhere: Mapping[str, Results]) -> list[Finding]:
    """Compare every column with its reference by kind of layer, on times of cells that were alone in their process.

    `elsewhere` are the results of other folders, by name: the answer says where they have timed further backends.
    """
    data = main_rows(frame(results))
    found = []
    for (layers, place), rows in sorted(data.groupby(["layers", "device"], sort=True), key=_by_importance):
        asked = f"{upper(str(layers))} on a {device(str(place))}"
        alone = rows[rows["headline"].astype(bool)]
        see = (TIMING, *_further(rows, elsewhere))
        if alone.empty:
            found.append(Finding(f"{asked}: not known", f"{upper(UNTIMED)}.", see))
            continue
        columns = {str(column): rows_of(own) for column, own in alone.groupby("column", sort=True)}
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
        data = main_rows(frame(results))
        same = (data["layers"] == first["layers"]) & (data["device"] == first["device"])
        more = sorted({*data[same & data["headline"].astype(bool)]["backend"]} - here)
        if more:
            links.append((f"against {joined(more)}: {folder}", f"../{folder}/timing.md"))
    return links


def _one_against(asked: str, rows: pd.DataFrame, see: tuple[Link, ...]) -> Finding:
    """Return how the only other backend fares against its reference, and the longest case by name."""
    own = rows_of(rows)
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
    outcomes = Counter(outcome(row) for row in rows)
    won = {str(first["column"]): outcomes["faster"], str(first["reference"]): outcomes["slower"]}
    best = max(won, key=lambda one: won[one])
    if not won[best]:
        return "not clear from these times"
    if won[best] == len(rows):
        return best
    return f"mostly {best}" if won[best] > len(rows) / 2 else "it depends on the case"


def _outcomes(rows: Rows) -> str:
    outcomes = Counter(outcome(row) for row in rows)
    text = f"{outcomes['faster']} of {count(len(rows), 'case')}"
    if outcomes["slower"]:
        text += f", slower in {outcomes['slower']}"
    if outcomes["same"]:
        text += f", unclear in {outcomes['same']}"
    return text


def outcome(row: Mapping[Any, Any]) -> Literal["faster", "slower", "same"]:
    """Return `faster` or `slower` where the spread leaves no other reading and the factor is above 5 %, else `same`."""
    if row["low"] > 1 and row["speedup"] > SAME_SPEED:
        return "faster"
    return "slower" if row["high"] < 1 and row["speedup"] < 1 / SAME_SPEED else "same"


def spread_of(row: Mapping[Any, Any]) -> str:
    return f"{times(row['low'])} to {times(row['high'])}"


def _case_speed(row: Mapping[Any, Any]) -> str:
    kernel = "" if row["kernel"] == "none" else f", {row['kernel']} against {row['reference_kernel']} kernel"
    processes = "1 process each" if row["base_n"] == row["n"] == 1 else f"{row['n']} against {row['base_n']} processes"
    return (
        f"on {name(row)} an epoch takes {seconds(row['epoch'])} against "
        f"{seconds(row['base_epoch'])}: {times(row['speedup'])} times as fast ({row['spread']} {spread_of(row)}, "
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
    outcomes = Counter({"same": "unclear"}.get(one := outcome(row), one) for row in rows)
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
    if all(outcome(row) == "same" for row in rows):
        return "not clear from these times"
    leaders = [_leaders(own, reference) for own in by_case.values()]
    ahead = [
        column
        for column in order
        if all(any(row["column"] == column and outcome(row) == "faster" for row in own) for own in by_case.values())
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
    if outcome(fastest) == "slower":
        return {reference}
    found = {str(row["column"]) for row in rows if row["speedup"] * SAME_SPEED >= fastest["speedup"]}
    return found if outcome(fastest) == "faster" else found | {reference}


def block(results: Results) -> str:
    """Return how many times as fast as its reference every backend is, by kind of layer."""
    data = main_rows(frame(results))
    data = data[data["headline"].astype(bool)]
    rows = []
    for (layers, place, column, reference), group in data.groupby(["layers", "device", "column", "reference"]):
        members = rows_of(group)
        longest = max(members, key=lambda row: row["base_epoch"])
        of_all = [
            len(members),
            f"{group['speedup'].median():.2f}",
            _span(group["speedup"].min(), group["speedup"].max()),
        ]
        of_longest = [f"{longest['suite']}/{longest['case']}", f"{longest['speedup']:.2f}"]
        spread = _span(longest["low"], longest["high"])
        rows.append([f"{layers}, {place}", f"{column} over {reference}", *map(str, of_all), *of_longest, spread])
    headers = ["layers", "backends", "cases", "times as fast", "least–most", "longest case", "times as fast", "spread"]
    if not rows:
        return "Not run: no cell was timed alone."
    return markdown_table(headers, [[plain(text) for text in row] for row in rows], left=(0, 1, 5))


def _span(low: float, high: float) -> str:
    return f"{low:.2f}–{high:.2f}"


TOPIC = Topic(
    "speed",
    frame=frame,
    question="Which backend is faster, and by how much?",
    answer_beside=answer,
    block=block,
)
