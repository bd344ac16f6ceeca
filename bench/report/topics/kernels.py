"""Kernels: which one ran, whether it is the one claimed, and what a fused one gains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from bench.records.metrics import is_comparable, value
from bench.records.record import Record, SeenKernel
from bench.report.frames import VariantRow, once
from bench.report.markdown import document, markdown_table, plain, suite_heading
from bench.report.numbers import NOTHING, as_seconds
from bench.report.results import Results
from bench.report.speedups import SpeedUp, times_of_cases
from bench.report.topic import Topic

VERDICTS = {True: "holds", False: "not met", None: "not proven"}
"""What a verdict is called; `not met` is a claim that does not hold, `not proven` one of which nothing was seen."""


@once
def frame(results: Results) -> tuple[SpeedUp, ...]:
    """Return how much faster a fused kernel is than the generic one: a row per case and backend that ran both."""
    rows = []
    for found in times_of_cases(results):
        by_variant = {(timed.variant, timed.comparable): timed for timed in found}
        for (variant, comparable), timed in by_variant.items():
            generic = by_variant.get((replace(variant, kernel="generic"), comparable))
            if variant.kernel == "fused" and generic:
                rows.append(SpeedUp.of(generic, timed))
    return tuple(rows)


@dataclass(frozen=True)
class Proof(VariantRow):
    """Whether the kernel that a timed variant claims is the one that ran.

    `verdict` is one of `VERDICTS`, the worst of its records, or where none was traced their status (`not traced` for
    `ok`), with its `reason`; `how` says by which means, `seen` what one proof saw. `share` (that of recurrences in the
    time) and `step` (seconds) are medians. `gain` is a fused kernel's over the generic one, on comparable times.
    """

    verdict: str
    reason: str | None
    how: str | None
    seen: Sequence[SeenKernel]
    share: float | None
    step: float | None
    gain: SpeedUp | None


@once
def proofs(results: Results) -> tuple[Proof, ...]:
    """Return a row per case and variant that was timed."""
    gains = {(row.suite, row.case, row.variant): row for row in frame(results) if row.comparable}
    rows = []
    for suite, case in results.cases():
        for variant, column, records in results.placed(results.timing_groups, suite.name, case.name):
            key = (suite.name, case.name, variant)
            rows.append(_proof(VariantRow(*key, column), records, gains.get(key)))
    return tuple(rows)


def _proof(row: VariantRow, records: Sequence[Record], gain: SpeedUp | None) -> Proof:
    steps = [step for record in records if is_comparable(record) and (step := value(record, "step")) is not None]
    traced = [record.kernel_proof for record in records if record.kernel_proof]
    shares = [proof.share for proof in traced if proof.share is not None]
    worst = min(traced, key=lambda proof: (proof.met is not False, proof.met is not None), default=None)
    untraced = "not traced" if records[0].status == "ok" else records[0].status
    return Proof(
        **vars(row),
        verdict=VERDICTS[worst.met] if worst else untraced,
        reason=worst.reason if worst else records[0].reason,
        how=worst.how if worst else None,
        seen=worst.seen if worst else (),
        share=median(shares) if shares else None,
        step=median(steps) if steps else None,
        gain=gain,
    )


def counts(results: Results) -> dict[str, int]:
    """Return how many timed variants have each verdict, of those that were traced."""
    found = Counter(row.verdict for row in proofs(results))
    return {verdict: found[verdict] for verdict in VERDICTS.values() if found[verdict]}


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
        rows = [row for row in data if row.suite == suite.name]
        parts += [suite_heading(suite), _kernel_table(rows)] if rows else []
    reasons: dict[str, list[str]] = {}
    for row in data:
        if row.reason is not None:
            reasons.setdefault(row.reason, []).append(f"{row.name}@{','.join(vars(row.variant).values())}")
    if reasons:
        lines = [f"- {plain(reason)}: {plain(', '.join(cells))}" for reason, cells in reasons.items()]
        parts += ["## Why not", "\n".join(lines)]
    hows = sorted({row.how for row in data if row.how is not None})
    if hows:
        parts += ["## Seen by", "\n".join(f"- {plain(how)}" for how in hows)]
    return document(parts)


def _kernel_table(rows: Sequence[Proof]) -> str:
    settings = [name for name in ("device", "numerics") if len({getattr(row.variant, name) for row in rows}) > 1]
    left = ["case", "backend", *settings, "claimed", "verdict"]
    lines = []
    for row in rows:
        variant, gain = row.variant, row.gain
        shown = (getattr(variant, name) for name in settings)
        what = map(plain, (row.case, variant.backend, *shown, variant.kernel, row.verdict))
        share = NOTHING if row.share is None else f"{100 * row.share:.0f} %"
        step = NOTHING if row.step is None else as_seconds(1000 * row.step)
        faster = f"{gain.factor:.2f} ({gain.low:.2f}–{gain.high:.2f}, {plain(gain.spread)})" if gain else NOTHING
        ran = "; ".join(f"{plain(kernel.name)} ×{kernel.calls}" for kernel in row.seen[:NAMED_KERNELS])
        lines.append([*what, share, step, faster, ran or NOTHING])
    headers = [*left, "share", "ms/step", "speed-up", "ran"]
    return markdown_table(headers, lines, (*range(len(left)), len(headers) - 1))


FUSED = Topic("fused", frame=frame, question="Do fused kernels pay?")
TOPIC = Topic("kernels", frame=proofs, question="Did the kernels run that were claimed?", table=table)
