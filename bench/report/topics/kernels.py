"""Kernels: which one ran, whether it is the one claimed, and what a fused one gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import pandas as pd

from bench.cases.describe import recurrence
from bench.records.metrics import is_headline, value
from bench.records.record import CASE, VARIANT, Record
from bench.report.frames import frame_of, main_rows, once, rows_of
from bench.report.markdown import document, given, markdown_table, plain, suite_heading
from bench.report.numbers import NOTHING, as_seconds, times
from bench.report.results import Results
from bench.report.sentences import Finding, count, device, joined, listed, name, upper
from bench.report.topic import Topic
from bench.report.topics import speed

VERDICTS = {True: "holds", False: "not met", None: "not proven"}
"""What a verdict is called; `not met` is a claim that does not hold, `not proven` one of which nothing was seen."""
_COLUMNS = [*CASE, *VARIANT, "verdict", "reason", "how", "seen", "share", "step", "speedup", "low", "high", "spread"]


@once
def proofs(results: Results) -> pd.DataFrame:
    """Return one row per case and variant that was timed.

    verdict is one of `VERDICTS`, the worst of its records, or where none was traced their status (`not traced` for
    `ok`), with its reason; how says by which means; seen are (name, calls per training step, share) of one proof; share
    (that of recurrences in the time) and step (seconds) are medians. speedup, low, high, spread: a fused kernel's over
    the generic one, from `comparisons.kernels`.
    """
    gains = {tuple(row[name] for name in [*CASE, *VARIANT[:1], *VARIANT[2:]]): row for row in _gains(results)}
    timed = results.timing_groups
    rows = []
    for suite, case in results.cases():
        for variant, records in sorted(timed.get((suite.name, case.name), {}).items()):
            row: dict[str, Any] = {"suite": suite.name, "case": case.name, **vars(variant)} | _found(records)
            if variant.kernel == "fused":
                row |= _gain(gains.get((suite.name, case.name, variant.backend, variant.device, variant.numerics)))
            rows.append(row)
    return frame_of(rows, _COLUMNS)


def _gains(results: Results) -> list[dict[str, Any]]:
    return [row for row in rows_of(frame(results)) if row["headline"]]


def _gain(row: dict[str, Any] | None) -> dict[str, Any]:
    return {name: row[name] for name in ("speedup", "low", "high", "spread")} if row else {}


def _found(records: Sequence[Record]) -> dict[str, Any]:
    steps = [step for record in records if is_headline(record) and (step := value(record, "step")) is not None]
    known: dict[str, Any] = {"step": median(steps) if steps else None}
    seen = [record.kernel_proof for record in records if record.kernel_proof]
    if not seen:
        first = records[0]
        return known | {"verdict": "not traced" if first.status == "ok" else first.status, "reason": first.reason}
    worst = min(seen, key=lambda proof: (proof.met is not False, proof.met is not None))
    shares = [proof.share for proof in seen if proof.share is not None]
    return known | {
        "verdict": VERDICTS[worst.met],
        "reason": worst.reason,
        "how": worst.how,
        "seen": [(kernel.name, kernel.calls, kernel.share) for kernel in worst.seen],
        "share": median(shares) if shares else None,
    }


def counts(results: Results) -> dict[str, int]:
    """Return how many timed variants have each verdict, of those that were traced."""
    found = list(proofs(results)["verdict"])
    return {verdict: found.count(verdict) for verdict in VERDICTS.values() if verdict in found}


@once
def frame(results: Results) -> pd.DataFrame:
    """Return how much faster a fused kernel is than the generic one: one row per case and backend that ran both.

    Columns: suite, case, layers, backend, device, numerics, headline, base_epoch (generic), epoch (fused), base_n, n,
    speedup, low, high, spread.
    """
    rows: list[dict[str, Any]] = []
    for suite, case, found in speed.times_of_cases(results):
        by_variant = {(one.variant, one.headline): one for one in found}
        for (variant, headline), one in by_variant.items():
            generic = by_variant.get((replace(variant, kernel="generic"), headline))
            if variant.kernel == "fused" and generic:
                shared: dict[str, Any] = {"suite": suite.name, "case": case.name, "layers": recurrence(case)}
                shared |= vars(variant)
                rows.append({**shared, "headline": headline, **speed.set_against(generic, one)})
    return frame_of(rows, _GAIN_COLUMNS)


_GAIN_COLUMNS = [
    *CASE, "layers", "backend", "device", "numerics", "headline", "base_epoch", "epoch", "base_n", "n", "speedup",
    "low", "high", "spread",
]  # fmt: skip


def answer(results: Results) -> list[Finding]:
    """Return by backend and device for which cases the fused kernel is faster than the generic one, and by how much."""
    data = main_rows(frame(results))
    found = []
    for (backend, place), every in data.groupby(["backend", "device"], sort=True):
        asked = f"{backend} on a {device(str(place))}"
        rows = sorted(rows_of(every[every["headline"].astype(bool)]), key=lambda row: -row["speedup"])
        if not rows:
            found.append(Finding(f"{asked}: not known", f"{upper(speed.UNTIMED)}.", (speed.TIMING,)))
            continue
        by_outcome = {one: own for one in _PAYS if (own := [row for row in rows if speed.outcome(row) == one])}
        parts = []
        for outcome, own in by_outcome.items():
            factors = [f"{name(row)} {times(row['speedup'])} ({speed.spread_of(row)})" for row in own]
            parts.append(
                f"{_PAYS[outcome]} for {listed(factors, ', ')}{_why_unclear(own) if outcome == 'same' else ''}"
            )
        spreads = joined(sorted({str(row["spread"]) for row in rows}), "or")
        text = f"Times as fast as the generic kernel ({spreads}): {'; '.join(parts)}."
        verdicts = ", ".join(f"{_PAYS[outcome]} for {len(own)}" for outcome, own in by_outcome.items())
        found.append(Finding(f"{asked}: {verdicts} of {count(len(rows), 'case')}", text, (speed.TIMING,)))
    return found


_PAYS = {"faster": "yes", "slower": "no", "same": "unclear"}


def _why_unclear(rows: speed.Rows) -> str:
    holds_one = all(row["low"] <= 1 <= row["high"] for row in rows)
    return " (the range includes 1)" if holds_one else " (the range includes 1, or the factor is within 5 % of it)"


def claims(results: Results) -> list[Finding]:
    found = counts(results)
    if not found:
        return []
    held, every = found.get(VERDICTS[True], 0), sum(found.values())
    lead = f"The kernel claimed is the one that ran in {held} of {every} timed variants"
    return [Finding(lead, "A profiler says so, in a pass of its own.", (("kernels", "kernels.md"),))]


NAMED_KERNELS = 3
"""Names of a trace that stand in the table; records keep more."""
_HOW_KERNELS = (
    "A cell that is timed trains a few more steps under its framework's profiler, in a pass of its own. `ran` are the "
    "names that tell the kernel, with what took longest inside them (after `>`) and calls per training step. `share` "
    "is that of all recurrences, backward passes included, in the device's time. A claim holds where every recurrent "
    "layer, in both its directions, ran as claimed; a cell whose claim does not hold ends `failed`, and its times are "
    "not used. `speed-up` is the epoch time of the generic kernel over that of the fused one."
)


def table(results: Results) -> str:
    """Return `kernels.md`: for every timed variant the kernel that it claims, and the one that ran."""
    found = counts(results)
    title = f"# Kernels: {results.profile} profile"
    if not found:
        return document([title, "Kernel proofs: not run. `bench run --measure timing` makes them."])
    data = proofs(results)
    verdicts = "; ".join(f"{verdict} {number} of {sum(found.values())}" for verdict, number in found.items())
    parts = [title, f"Claims: {verdicts}.", _HOW_KERNELS]
    for suite in results.reported_suites():
        own = rows_of(data[data["suite"] == suite.name])
        if own:
            parts += [suite_heading(suite), _kernel_table(own)]
    reasons: dict[str, list[str]] = {}
    for row in rows_of(data[data["reason"].notna()]):
        what = f"{row['suite']}/{row['case']}@{row['backend']},{row['kernel']},{row['device']},{row['numerics']}"
        reasons.setdefault(str(row["reason"]), []).append(what)
    if reasons:
        lines = [f"- {plain(reason)}: {plain(', '.join(cells))}" for reason, cells in reasons.items()]
        parts += ["## Why not", "\n".join(lines)]
    hows = sorted({str(how) for how in data["how"] if given(how)})
    if hows:
        parts += ["## Seen by", "\n".join(f"- {plain(how)}" for how in hows)]
    return document(parts)


def _kernel_table(rows: Sequence[Mapping[Any, Any]]) -> str:
    settings = [name for name in ("device", "numerics") if len({row[name] for row in rows}) > 1]
    left = ["case", "backend", *settings, "claimed", "verdict"]
    lines = []
    for row in rows:
        what = [plain(row[name]) for name in ("case", "backend", *settings, "kernel", "verdict")]
        share = f"{100 * row['share']:.0f} %" if given(row["share"]) else NOTHING
        step = as_seconds(1000 * row["step"]) if given(row["step"]) else NOTHING
        gain = NOTHING
        if given(row["speedup"]):
            gain = f"{row['speedup']:.2f} ({row['low']:.2f}–{row['high']:.2f}, {plain(row['spread'])})"
        seen = (row["seen"] if given(row["seen"]) else [])[:NAMED_KERNELS]
        ran = "; ".join(f"{plain(name)} ×{calls}" for name, calls, _ in seen)
        lines.append([*what, share, step, gain, ran or NOTHING])
    headers = [*left, "share", "ms/step", "speed-up", "ran"]
    return markdown_table(headers, lines, (*range(len(left)), len(headers) - 1))


FUSED = Topic("fused", frame=frame, question="Do fused kernels pay?", answer=answer)
TOPIC = Topic("kernels", frame=proofs, question="Did the kernels run that were claimed?", answer=claims, table=table)
