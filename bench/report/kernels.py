"""`kernels.md`: the kernel that each timed cell claims, the one that ran, its share of time, what fused ones gain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import pandas as pd

from bench.quantities import is_headline, value
from bench.record import Record
from bench.report.markdown import NOTHING, plain, prose, table
from bench.report.tables import CASE, VARIANT, Results

NAMED = 3
"""Names of a trace that stand in the table; records keep more."""

COLUMNS = [*CASE, *VARIANT, "verdict", "reason", "how", "seen", "share", "step", "speedup", "low", "high", "pairs"]

_HOW = (
    "After its timing, in a pass of its own, each cell trains a few more steps under its framework's profiler. `seen` "
    "are the names that tell the kernel, and what ran inside them (after `>`). `share` is that of all recurrences, "
    "backward passes included, in the device's time. A claim holds where every recurrent layer, and both directions of "
    "it, ran as claimed; a cell whose claim does not hold ends `failed`, and its times are not used. `speed-up` is the "
    "time per step of the generic kernel over that of the fused one, of the same case, backend, device, numerics, seed "
    "and repeat: the median of the pairs, and their range."
)


def frame(results: Results) -> pd.DataFrame:
    """Return one row per case and variant that was timed, in the order of the catalog.

    verdict is `holds`, `not met`, `not proven` (nothing was seen) or the status of a cell that was not traced; seen are
    (name, calls per training step, share) of its first proof; share and step (seconds) are medians over its records;
    speedup, low, high and pairs compare a fused kernel with the generic one.
    """
    by_variant: dict[tuple[Any, ...], list[Record]] = {}
    for record in results.timing_records:
        key = record.suite, record.case, record.backend, record.kernel, record.device, record.numerics
        by_variant.setdefault(key, []).append(record)
    order = {(suite.name, case.name): place for place, (suite, case) in enumerate(_cases(results))}
    rows = []
    for key in sorted(by_variant, key=lambda one: (order.get(one[:2], len(order)), *map(str, one[2:]))):
        suite, case, backend, kernel, *setting = key
        row: dict[str, Any] = dict(zip([*CASE, *VARIANT], key, strict=True)) | _found(by_variant[key])
        if kernel == "fused":
            row |= _speedup(by_variant[key], by_variant.get((suite, case, backend, "generic", *setting), []))
        rows.append(row)
    return pd.DataFrame([{name: row.get(name) for name in COLUMNS} for row in rows], columns=COLUMNS, dtype=object)


def _cases(results: Results) -> Iterable[tuple[Any, Any]]:
    return ((suite, case) for suite in results.suites.values() for case in suite.cases)


def _found(records: Sequence[Record]) -> dict[str, Any]:
    """Return what is known of one variant: the worst verdict of its records, and medians."""
    proofs = [record.kernel_proof for record in records if record.kernel_proof]
    steps = [step for step in map(_step, records) if step is not None]
    known: dict[str, Any] = {"step": median(steps) if steps else None}
    if not proofs:
        first = records[0]
        return known | {"verdict": "not traced" if first.status == "ok" else first.status, "reason": first.reason}
    worst = min(proofs, key=lambda proof: (proof.met is not False, proof.met is not None))
    shares = [proof.share for proof in proofs if proof.share is not None]
    return known | {
        "verdict": {True: "holds", False: "not met", None: "not proven"}[worst.met],
        "reason": worst.reason,
        "how": worst.how,
        "seen": [(kernel.name, kernel.calls, kernel.share) for kernel in worst.seen],
        "share": median(shares) if shares else None,
    }


def _step(record: Record) -> float | None:
    return value(record, "step") if is_headline(record) else None


def _speedup(fused: Sequence[Record], generic: Sequence[Record]) -> dict[str, Any]:
    of = {(record.seed, record.repeat): _step(record) for record in generic}
    pairs = [(_step(record), of.get((record.seed, record.repeat))) for record in fused]
    ratios = [slow / fast for fast, slow in pairs if fast and slow]
    if not ratios:
        return {}
    return {"speedup": median(ratios), "low": min(ratios), "high": max(ratios), "pairs": len(ratios)}


# --- kernels.md --------------------------------------------------------------------------------------------------


def page(results: Results) -> str:
    """Return `kernels.md`."""
    rows = frame(results)
    parts = [f"# Kernels: {results.profile} profile", *(prose(sentence) for sentence in answers(rows)), prose(_HOW)]
    for suite in results.reported_suites():
        own = rows[rows["suite"] == suite.name]
        if len(own):
            parts += [f"## {plain(suite.title)}", _table(own)]
    reasons = list(dict.fromkeys(f"{_name(row)}: {row['reason']}" for row in _rows(rows) if row["reason"]))
    if reasons:
        parts += ["## Why not", "\n".join(f"- {prose(reason)}" for reason in reasons)]
    hows = sorted({str(how) for how in rows["how"] if how})
    if hows:
        parts += ["## Seen by", "\n".join(f"- {prose(how)}" for how in hows)]
    return "\n\n".join(parts) + "\n"


def answers(rows: pd.DataFrame) -> list[str]:
    """Return what the table says, in sentences with their figures."""
    verdicts = rows["verdict"].value_counts().to_dict()
    traced = {name: verdicts.get(name, 0) for name in ("holds", "not met", "not proven")}
    if not sum(traced.values()):
        return ["No kernel has been proven here: not run."]
    sentences = [
        f"The kernel claimed is the one that ran in {traced['holds']} of {sum(traced.values())} timed variants"
        + "".join(f", {traced[name]} {name}" for name in ("not met", "not proven") if traced[name])
        + "."
    ]
    gains = rows[rows["speedup"].notna()]
    for (backend, device), own in gains.groupby(["backend", "device"], sort=True):
        factors = sorted(float(factor) for factor in own["speedup"])
        spread = f", {factors[0]:.2f} to {factors[-1]:.2f}" if len(factors) > 1 else ""
        cases = f"{len(factors)} case{'s' if len(factors) > 1 else ''}"
        sentences.append(
            f"{backend} on {device}: the fused kernel makes {median(factors):.2f} times as many training steps a "
            f"second as the generic one (median of {cases}{spread})."
        )
    return sentences


def _rows(rows: pd.DataFrame) -> list[Mapping[Any, Any]]:
    return rows.to_dict("records")  # type: ignore[return-value]


def _name(row: Mapping[Any, Any]) -> str:
    return f"{row['suite']}/{row['case']}@{row['backend']},{row['kernel']},{row['device']},{row['numerics']}"


def _table(rows: pd.DataFrame) -> str:
    settings = [name for name in ("device", "numerics") if rows[name].nunique() > 1]
    headers = ["case", "backend", *settings, "claimed", "verdict", "share", "ms/step", "speed-up", "range", "seen"]
    lines = []
    for row in _rows(rows):
        share = NOTHING if row["share"] is None else f"{100 * row['share']:.0f} %"
        step = NOTHING if row["step"] is None else f"{1000 * row['step']:.3g}"
        ratio, spread = (
            (f"{row['speedup']:.2f}", f"{row['low']:.2f}–{row['high']:.2f} (n {row['pairs']})")
            if row["speedup"]
            else (NOTHING, NOTHING)
        )
        seen = "; ".join(f"{plain(name)} ×{calls}" for name, calls, _ in (row["seen"] or [])[:NAMED])
        what = [plain(row[name]) for name in ("case", "backend", *settings, "kernel", "verdict")]
        lines.append([*what, share, step, ratio, spread, seen or NOTHING])
    left = [*range(4 + len(settings)), len(headers) - 1]
    return table(headers, lines, left)
