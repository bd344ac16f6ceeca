"""Which kernel every timed variant claims, which one ran, its share of the time, and what a fused one gains."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import pandas as pd

from bench.records.metrics import is_headline, value
from bench.records.record import Record
from bench.report import comparisons, tables
from bench.report.tables import CASE, VARIANT, Results

VERDICTS = {True: "holds", False: "not met", None: "not proven"}
"""What a verdict is called; `not met` is a claim that does not hold, `not proven` one of which nothing was seen."""

_COLUMNS = [*CASE, *VARIANT, "verdict", "reason", "how", "seen", "share", "step", "speedup", "low", "high", "spread"]


@tables.once
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
    return tables.frame(rows, _COLUMNS)


def _gains(results: Results) -> list[dict[str, Any]]:
    return [row for row in tables.rows_of(comparisons.kernels(results)) if row["headline"]]


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
