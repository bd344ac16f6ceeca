"""Kernels: which one ran, whether it is the one claimed, and what a fused one gains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from bench.records.metrics import is_comparable, value
from bench.records.record import Record, SeenKernel
from bench.report.frames import VariantRow, grouped, once
from bench.report.markdown import document, markdown_table, plain, suite_heading
from bench.report.numbers import NOTHING, as_seconds
from bench.report.results import Results
from bench.report.speedups import TIMING, SpeedUp, median_step, rank, step_times
from bench.report.topic import Answer, Table, Topic
from bench.spec import KernelSteps

VERDICTS = {True: "holds", False: "not met", None: "not proven"}
"""What a verdict is called; `not met` is a claim that does not hold, `not proven` one of which nothing was seen."""


@once
def frame(results: Results) -> tuple[SpeedUp, ...]:
    """Return how much faster a training step is with a fused kernel than with the generic one of its backend.

    A row per case, backend and device; of several numerics the first of `bench.report.speedups.ORDER` that both ran.
    """
    ranked = {(timed.suite, timed.case, timed.variant): timed for timed in step_times(results) if timed.interval}
    rows: dict[tuple[str, ...], SpeedUp] = {}
    for (suite, case, variant), timed in sorted(ranked.items(), key=lambda item: rank(item[0][2].numerics)):
        generic = ranked.get((suite, case, replace(variant, kernel="generic")))
        if variant.kernel == "fused" and generic:
            rows.setdefault((suite, case, variant.backend, variant.device), SpeedUp.of(generic, timed))
    order = {f"{suite.name}/{case.name}": place for place, (suite, case) in enumerate(results.cases())}
    return tuple(sorted(rows.values(), key=lambda row: (order[row.name], row.variant)))


def fused(results: Results) -> Answer | None:
    """Return in how many cases a fused kernel is faster, and by how much in each."""
    rows = frame(results)
    if not rows:
        return None
    outcomes = Counter(row.outcome for row in rows)
    columns = sorted({(row.variant.backend, row.variant.device) for row in rows})
    what = "cases" if len(columns) == 1 else f"comparisons under {len(columns)} backends"
    by_case = grouped(rows, lambda row: row.name)
    printed = {f"{suite.name}/{case.name}": case.documented.kernels for suite, case in results.cases()}
    hardware = {suite.hardware for suite, case in results.cases() if case.documented.kernels and suite.hardware}
    shows_printed = any(printed[name] for name in by_case)
    found = [
        (
            name,
            *(row.text if (row := at.get(column)) else NOTHING for column in columns),
            *([_printed(printed[name])] if shows_printed else []),
        )
        for name, members in by_case.items()
        for at in [{(row.variant.backend, row.variant.device): row for row in members}]
    ]
    several = len({device for _, device in columns}) > 1
    headers = ["fused, x as fast", *(f"{backend} {device}" if several else backend for backend, device in columns)]
    headers += ["documented"] if shows_printed else []
    numerics = ", ".join(sorted({row.variant.numerics for row in rows}, key=rank))
    processes = min(side.n for row in rows for side in (row, row.reference))
    return Answer(
        f"Faster in {outcomes['faster']} of {len(rows)} {what}, slower in {outcomes['slower']}, "
        f"unclear in {outcomes['unclear']}.",
        Table(tuple(headers), tuple(found)),
        (TIMING,),
        (
            f"Time of a training step with the generic kernel over that with the fused one (95 % CI, Welch); at least "
            f"{processes} processes each. Numerics: {numerics}.",
            *(f"`documented`: printed milliseconds, generic over fused, on {name}." for name in sorted(hardware)),
        ),
    )


def _printed(steps: KernelSteps | None) -> str:
    return f"{steps.generic / steps.fused:.2f} ({steps.framework})" if steps else NOTHING


@dataclass(frozen=True)
class Proof(VariantRow):
    """Whether the kernel that a timed variant claims is the one that ran.

    `verdict` is one of `VERDICTS`, the worst of its records, or where none was traced their status (`not traced` for
    `ok`), with its `reason`; `how` says by which means, `seen` what one proof saw. `share` (that of recurrences in the
    time) and `step` (seconds, None where it is too noisy to time) are medians. `gain` is that of a fused kernel over
    the generic one.
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
    gains = {(row.suite, row.case, row.variant): row for row in frame(results)}
    rows = []
    for suite, case in results.cases():
        for variant, column, records in results.placed(results.timing_groups, suite.name, case.name):
            key = (suite.name, case.name, variant)
            rows.append(_proof(VariantRow(*key, column), records, gains.get(key)))
    return tuple(rows)


def _proof(row: VariantRow, records: Sequence[Record], gain: SpeedUp | None) -> Proof:
    steps = [value(record, "step") for record in records if is_comparable(record) and record.status == "ok"]
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
        step=median_step(steps),
        gain=gain,
    )


def counts(results: Results) -> dict[str, int]:
    """Return how many timed variants have each verdict, of those that were traced."""
    found = Counter(row.verdict for row in proofs(results))
    return {verdict: found[verdict] for verdict in VERDICTS.values() if found[verdict]}


def claims(results: Results) -> Answer | None:
    """Return in how many timed variants the claimed kernel is the one that ran."""
    found = counts(results)
    if not found:
        return None
    total = sum(found.values())
    traced = [row for row in proofs(results) if row.verdict in found]
    groups = grouped(sorted(traced, key=lambda row: row.variant), lambda row: row.variant.backend)
    rows = [
        (name, *(str(sum(row.verdict == verdict for row in members)) for verdict in VERDICTS.values()))
        for name, members in groups.items()
    ]
    conclusion = f"The claimed kernel ran in {found.get(VERDICTS[True], 0)} of {total} timed variants."
    note = "A profiler traces a few more training steps, after everything is timed."
    return Answer(
        conclusion, Table(("backend", *VERDICTS.values()), tuple(rows)), (("kernels", "kernels.md"),), (note,)
    )


NAMED_KERNELS = 3
"""Names of a trace that stand in the table; records keep more."""
_HOW_KERNELS = (
    "A timed cell trains a few more steps under its framework's profiler, after everything is timed. `ran` lists the "
    "kernels that were seen, what took longest inside them (after `>`), and calls per training step. `share` is that "
    "of all recurrences, backward passes included, in the device's time. A claim holds if every recurrent layer and "
    "direction ran as claimed; otherwise the cell ends `failed`, and its times are not used. `speed-up` is the step "
    "time of the generic kernel over that of the fused one, with its 95 % CI."
)


def table(results: Results) -> str:
    """Return `kernels.md`: for every timed variant the kernel that it claims, and the one that ran."""
    found = counts(results)
    title = f"# Kernels: {results.profile} profile"
    if not found:
        return document([title, "Kernel proofs: not run. `bench run --measure steps` makes them."])
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
        faster = gain.text if gain else NOTHING
        ran = "; ".join(f"{plain(kernel.name)} ×{kernel.calls}" for kernel in row.seen[:NAMED_KERNELS])
        lines.append([*what, share, step, faster, ran or NOTHING])
    headers = [*left, "share", "ms/step", "speed-up", "ran"]
    return markdown_table(headers, lines, (*range(len(left)), len(headers) - 1))


FUSED = Topic("fused", frame=frame, question="Do fused kernels pay?", answer=fused)
TOPIC = Topic("kernels", frame=proofs, question="Did the kernels run that were claimed?", answer=claims, table=table)
