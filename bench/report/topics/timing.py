"""Timing: steps, epochs, what comes once, memory, and how near to the machine's limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np

from bench.backends.registry import backends
from bench.machine.noise import on_spread
from bench.records.metrics import has_timed_steps, is_comparable, step_seconds, value
from bench.records.record import Record, at
from bench.report.frames import NATIVE, Row, grouped, once
from bench.report.markdown import (
    as_link,
    document,
    filled_table,
    how_twins,
    markdown_table,
    plain,
    suite_heading,
)
from bench.report.notes import Notes
from bench.report.numbers import NOTHING, as_integer, as_range, as_seconds
from bench.report.results import NOT_RUN, Results, status_of
from bench.report.sentences import machine
from bench.report.speedups import NOISY, ORDER, SpeedUp, is_own_loop, median_step, rank
from bench.report.topic import Topic
from bench.report.topics import low_data, speed
from bench.spec import Documented, Suite

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Passes:
    """What the passes of a timed variant measured, alone in its process: seconds, bytes, and shares (0 to 1).

    A figure is the median over processes. `quartiles` are those of the `samples` step times, all processes together;
    `latency` the 50th, 95th and 99th percentile of all latencies, as far as `LEAST_FOR` allows; `throughput` rows/s of
    inference; `input` its share of a step; `cpu_step` its CPU time; `host_memory`, `device_memory` peaks; `noise` the
    highest spread of a busy loop before a run; `flops` and `bytes` per step, counted; the rates those over the step's
    seconds; the shares of what the machine gives at most.
    """

    samples: int = 0
    quartiles: Bounds | None = None
    first_step: float | None = None
    compile: float | None = None
    input: float | None = None
    cpu_step: float | None = None
    latency: Mapping[int, float] = field(default_factory=dict)
    throughput: float | None = None
    host_memory: float | None = None
    device_memory: float | None = None
    noise: float | None = None
    flops: float | None = None
    bytes: float | None = None
    flops_rate: float | None = None
    flops_share: float | None = None
    bytes_rate: float | None = None
    bytes_share: float | None = None


@dataclass(frozen=True)
class TimingRow(Row):
    """The times of a variant of a case, in seconds, beside those that its document prints (least and most).

    A process's epoch time is the median of its steady epochs (all but the first), `epoch` the median over the `n` that
    ended ok of `planned` processes; `epochs` counts the steady ones, `bounds` are the fastest and the slowest. `step`
    is from windows of steps, where there are none from epochs; None where it was too noisy to time. `gain` is what
    `bench.report.topics.speed` says of the variant. Epochs may be of other processes, if those timed steps alone.
    """

    status: str
    comparable: bool | None
    epochs_comparable: bool | None
    documented_epoch: Bounds | None
    documented_step: Bounds | None
    n: int = 0
    planned: int = 0
    epoch: float | None = None
    bounds: Bounds | None = None
    epochs: int = 0
    step: float | None = None
    first_epoch: float | None = None
    total: float | None = None
    gain: SpeedUp | None = None
    passes: Passes = Passes()


@once
def frame(results: Results) -> tuple[TimingRow, ...]:
    """Return a row per case and variant, and one per case that has not run."""
    gains = {(row.suite, row.case, row.variant): row for row in speed.frame(results)}
    rows: list[TimingRow] = []
    for suite, case in results.cases():
        key = (suite.name, case.name)
        printed = _documented_times(case.documented if results.documented else Documented())
        timed, rest = results.timing_groups.get(key, {}), results.accuracy_groups.get(key, {})
        found = [
            _timed(
                TimingRow(
                    *key,
                    variant,
                    results.columns[*key, variant],
                    "ok",
                    None,
                    None,
                    *printed,
                    gain=gains.get((*key, variant)),
                ),
                timed.get(variant) or rest[variant],
                rest.get(variant, ()),
            )
            for variant in sorted({*timed, *rest})
        ]
        rows += found or [TimingRow(*key, None, None, NOT_RUN, None, None, *printed)]
    return tuple(rows)


def _documented_times(documented: Documented) -> tuple[Bounds | None, Bounds | None]:
    """Return least and most seconds of an epoch and of a step as a document prints them."""
    seconds = [line.seconds for line in documented.epochs if line.seconds is not None]
    steps = [line.step_ms for line in documented.epochs if line.step_ms is not None]
    step = documented.step_ms or ((min(steps), max(steps)) if steps else None)
    return (
        (min(seconds), max(seconds)) if seconds else None,
        (step[0] / 1000, step[1] / 1000) if step else None,
    )


def _timed(row: TimingRow, records: Sequence[Record], accuracy: Sequence[Record]) -> TimingRow:
    """Return a row with the times of its records, and the epochs of accuracy runs where those timed steps alone."""
    ok = [record for record in records if record.status == "ok" and record.timing]
    trained = _trained(ok) or _trained(accuracy)
    timings = [record.timing for record in trained if record.timing]
    steady = [timing for timing in timings if timing.epochs]
    every = [seconds for timing in steady for seconds in timing.epochs]
    steps = [value(record, "step") for record in ok if has_timed_steps(record) or value(record, "epoch") is not None]
    return replace(
        row,
        status=status_of(records),
        comparable=all(map(is_comparable, ok)) if ok else None,
        epochs_comparable=all(map(is_comparable, trained)) if trained else None,
        n=len(ok),
        planned=len(records),
        epoch=_median(median(timing.epochs) for timing in steady),
        bounds=(min(every), max(every)) if every else None,
        epochs=len(every),
        step=median_step(steps),
        first_epoch=_median(timing.first_epoch for timing in timings),
        total=_median(timing.total for timing in timings),
        passes=_passes([record for record in ok if is_comparable(record)]),
    )


def _trained(records: Iterable[Record]) -> list[Record]:
    """Return the records whose epochs were timed with no other cell beside them."""
    return [record for record in records if at(record, "timing.first_epoch") is not None and not record.neighbours]


DIFFERENT = 0.05
"""Times of two numerics that differ by more than this share stand side by side."""
LEAST_FOR = {95: 20, 99: 100}
"""Samples from which a percentile of latencies says more than their maximum."""


def _passes(records: Sequence[Record]) -> Passes:
    timings = [record.timing for record in records if record.timing]
    slopes = [seconds for timing in timings for seconds in step_seconds(timing.windows)]
    latencies = np.concatenate([np.empty(0), *(np.asarray(timing.latency, dtype=float) for timing in timings)])
    told = [percent for percent in (50, 95, 99) if len(latencies) >= LEAST_FOR.get(percent, 1)]
    steps = [(record, value(record, "step") if has_timed_steps(record) else None) for record in records]
    costs = [(record.cost, step) for record, step in steps if record.cost]
    timed = [(cost, step) for cost, step in costs if step]
    low, high = np.quantile(slopes, [0.25, 0.75]) if slopes else (0.0, 0.0)
    return Passes(
        samples=len(slopes),
        quartiles=(low, high) if slopes else None,
        first_step=_median(timing.first_step for timing in timings),
        compile=_median(timing.compile for timing in timings),
        input=_median(
            record.timing.input / step for record, step in steps if record.timing and record.timing.input and step
        ),
        cpu_step=_median(value(record, "cpu_step") for record in records),
        latency=dict(zip(told, np.percentile(latencies, told), strict=True)) if told else {},
        throughput=_median(timing.throughput for timing in timings),
        host_memory=_median((record.memory or {}).get("host_peak_bytes") for record in records),
        device_memory=_median((record.memory or {}).get("device_peak_bytes") for record in records),
        noise=max((timing.noise for timing in timings if timing.noise is not None), default=None),
        flops=_median(cost.flops for cost, _ in costs),
        bytes=_median(cost.bytes for cost, _ in costs),
        flops_rate=_median(cost.flops / step for cost, step in timed),
        flops_share=_median(cost.flops / step / cost.peak_flops for cost, step in timed if cost.peak_flops),
        bytes_rate=_median(cost.bytes / step for cost, step in timed),
        bytes_share=_median(cost.bytes / step / cost.bandwidth for cost, step in timed if cost.bandwidth),
    )


def _median(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return median(found) if found else None


def representatives(rows: Iterable[TimingRow]) -> list[TimingRow]:
    """Return those rows of one case that are to be shown; each of the others one of them stands for.

    Of the numerics of one backend, kernel and device the first of `ORDER` that was timed is shown, and of the others
    those whose step takes more than `DIFFERENT` longer or shorter. Times from accuracy runs are shown only where there
    are no others; what did not end ok is shown.
    """
    shown: list[TimingRow] = []
    for members in grouped(rows, lambda row: row.variant and replace(row.variant, numerics="")).values():
        ranked = sorted(
            members, key=lambda row: (not row.comparable, rank(row.variant.numerics if row.variant else ""))
        )
        first = next((row for row in ranked if row.step is not None), None)
        shown += [row for row in ranked if first is None or row is first or not _says_the_same(row, first)]
    return shown


def _says_the_same(row: TimingRow, first: TimingRow) -> bool:
    if row.step is None or first.step is None:
        return False
    return row.comparable != first.comparable or abs(row.step / first.step - 1) <= DIFFERENT


_HOW_TIMING = (
    "`ms/step` is a steady training step on a full batch, synchronised: the slope between windows of w and 2w steps, "
    "so fixed per-call overhead is excluded. It is the median over a process's pairs of windows, then over processes, "
    "with the `quartiles` of all `samples`; without windows it is an epoch over its steps. `s/epoch` is the training "
    "part of a steady epoch (all but the first), `range` the fastest and the slowest. `k of n` counts processes."
)
_HOW_GAIN = " A column `x NAME` is the speed relative to NAME: the ratio of step times with its 95 % CI."
_HOW_START = (
    "`compile` is what the first calls on both shapes of batch took beyond steady ones, `first step` the first "
    "training step of the process, `cell` building, training and evaluation together; all in seconds. Latency is that "
    "of single rows in turn (95 % from 20 samples, 99 % from 100); `rows/s` is inference on batches of the training's "
    "size."
)
_HOW_COST = (
    "`host` and `device` are the whole-process peak memory of training, measured separately. `input` is making batches "
    "alone, as a share of a step. FLOPs (of matrix products and convolutions) and bytes (the least memory traffic) of "
    "a step are counted, not measured. `% of peak` is their rate over that of a large matrix product, `% of copy` over "
    "that of a large copy, both measured on this machine before the run."
)
_HOW_CPU = (
    "`CPU ms/step` is the CPU time that all threads of the process spent in the same windows. Other programs are not "
    "in it. Threads that wait in a loop are, so it is no measure of speed."
)
_BESIDE = (
    "From accuracy runs: other work may have run at the same time, or the process ran several cells. Such times are "
    "not compared."
)


def table(results: Results) -> str:
    """Return `timing.md`: for every suite the documented times and, below each, those of every variant."""
    data = frame(results)
    notes = Notes(results)
    parts = [f"# Timing: {results.profile} profile" + ("" if results.documented else " (generated text)")]
    how_gain = _HOW_GAIN if any(row.gain for row in data) else ""
    parts += [_machine(results, data), _HOW_TIMING + how_gain, _HOW_START]
    if any(row.passes.samples for row in data):
        parts.append(_HOW_COST)
    if any(row.passes.cpu_step for row in data):
        parts.append(_HOW_CPU)
    parts += [*_how_numerics(data), *how_twins(results)]
    native = {row.variant.backend for row in data if row.variant and row.variant.numerics == NATIVE and row.epoch}
    findings = as_link(results.documentation_on("findings"))
    parts += [
        info.epochs_note.format(findings=findings)
        for info in backends().values()
        if info.name in native and info.epochs_note
    ]
    parts += speed.by_layers(results)
    for suite in results.reported_suites():
        rows = [row for row in data if row.suite == suite.name]
        parts.append(suite_heading(suite))
        if results.documented and any(row.documented_epoch for row in rows):
            hardware = plain(suite.hardware or "hardware that the document does not name")
            parts.append(f"Documented times were measured on {hardware}.")
        standing = _standing_for(suite, rows)
        parts += [
            f"{plain(first)} stands for {plain(', '.join(others))}: a step takes the same on samples of other sizes."
            for first, others in standing.items()
        ]
        others = {case for cases in standing.values() for case in cases}
        parts += _timing_tables(results, [row for row in rows if row.case not in others], notes)
    return document(parts + notes.section())


def _standing_for(suite: Suite, rows: Sequence[TimingRow]) -> dict[str, list[str]]:
    """Return by the first case that was timed those that train the same network on samples of other sizes."""
    sampled = low_data.samples(suite.cases)
    found = {}
    for members in grouped((case for case in suite.cases if case.name in sampled), lambda case: case.layers).values():
        names = [case.name for case in members]
        timed = [row for row in rows if row.case in names and row.step is not None]
        first = max(timed, key=lambda row: bool(row.comparable)).case if timed else names[0]
        found[first] = [name for name in names if name != first]
    return found


def _machine(results: Results, data: Iterable[TimingRow]) -> str:
    noise = max((row.passes.noise for row in data if row.passes.noise is not None), default=None)
    quiet = "" if noise is None else f" {on_spread(noise)}"
    return f"Machine: {plain(machine(results.timing_environment))}.{quiet}"


def _how_numerics(data: Iterable[TimingRow]) -> list[str]:
    """Return what is said of numerics: which ones ran, and which rows stand for others."""
    ran = list(dict.fromkeys(row.variant.numerics for row in data if row.variant))
    if len(ran) < 2:
        return [f"Numerics: {plain(name)}." for name in ran]
    return [
        "A source without numerics ran the documented ones. Of several, the first of "
        f"{', '.join(ORDER)} is shown, and each other whose step takes over {100 * DIFFERENT:.0f} % more or less."
    ]


def _timing_tables(results: Results, data: Sequence[TimingRow], notes: Notes) -> list[str]:
    rows: list[dict[str, str]] = []
    start: list[dict[str, str]] = []
    cost: list[dict[str, str]] = []
    for case, group in grouped(data, lambda row: row.case).items():
        named = {"case": plain(case)}
        epoch, step = group[0].documented_epoch, group[0].documented_step
        if epoch or step:
            times = {"ms/step": as_range(step, 1000), "s/epoch": as_range(epoch)}
            rows.append(named | {"source": "documented"} | times)
        for row in representatives(group):
            rows.append(named | _timing_row(row, notes) | {"twins": NOTHING})
            if row.status == "ok" and row.variant:
                rows[-1]["twins"] = results.twin_mark(row.suite, row.case, [row.variant]) or NOTHING
                source = named | {"source": plain(_source(row))}
                start.append(source | _start_row(row))
                cost.append(source | _cost_row(row.passes))
    gains = dict.fromkeys(_against(row.gain) for row in data if row.gain)
    headers = ["case", "source", "ms/step", "quartiles", "samples", "s/epoch", "range", "k of n", *gains]
    filled = {name for row in rows for name, text in row.items() if text not in ("", NOTHING)}
    headers = [name for name in headers if name in filled or name == "ms/step"]
    left = (0, 1, len(headers))
    headers += ["twins"] if results.twins else []
    texts = [
        markdown_table(
            headers, [[row.get(name, NOTHING if name in gains else "") for name in headers] for row in rows], left=left
        )
    ]
    texts += filled_table("What comes once, and inference:", start)
    texts += filled_table("Memory, and how near to the machine's limits:", cost)
    return texts


def _source(row: TimingRow) -> str:
    return row.source + (" (our own loop)" if row.variant and is_own_loop(row.variant) else "")


def _against(gain: SpeedUp) -> str:
    return f"x {plain(gain.reference.column)}"


def _timing_row(row: TimingRow, notes: Notes) -> dict[str, str]:
    dashes = dict.fromkeys(("quartiles", "samples", "s/epoch", "range", "k of n"), NOTHING)
    if row.status == NOT_RUN:
        return dashes | {"ms/step": NOT_RUN}
    texts = [
        *notes.on_cells(row, ("timing", "all", "accuracy")),
        *([_BESIDE] if False in (row.comparable, row.epochs_comparable) else []),
        *notes.on_data(row.suite, row.case),
    ]
    shown = dashes | {"source": plain(_source(row)) + notes.mark(texts), "k of n": f"{row.n} of {row.planned}"}
    if row.status != "ok":
        return shown | {"ms/step": row.status}
    shown |= {"ms/step": _scaled(row.step, 1000) or NOISY, "s/epoch": as_seconds(row.epoch)}
    if row.bounds:
        shown["range"] = "–".join(map(as_seconds, row.bounds))
    if row.gain:
        shown[_against(row.gain)] = row.gain.text
    if row.passes.quartiles:
        shown["quartiles"] = "–".join(as_seconds(1000 * bound) for bound in row.passes.quartiles)
        shown["samples"] = as_integer(row.passes.samples)
    return shown


def _start_row(row: TimingRow) -> dict[str, str]:
    return {
        "compile": _scaled(row.passes.compile),
        "first step": _scaled(row.passes.first_step),
        "first epoch": _scaled(row.first_epoch),
        "cell": _scaled(row.total),
        "latency ms": _scaled(row.passes.latency.get(50), 1000),
        "95 %": _scaled(row.passes.latency.get(95), 1000),
        "99 %": _scaled(row.passes.latency.get(99), 1000),
        "rows/s": as_integer(row.passes.throughput),
    }


def _cost_row(passes: Passes) -> dict[str, str]:
    return {
        "host MB": _millions(passes.host_memory),
        "device MB": _millions(passes.device_memory),
        "CPU ms/step": _scaled(passes.cpu_step, 1000),
        "input": "" if passes.input is None else f"{as_seconds(100 * passes.input)} %",
        "MFLOP/step": _millions(passes.flops),
        "GFLOP/s": _scaled(passes.flops_rate, 1e-9),
        "% of peak": _scaled(passes.flops_share, 100),
        "MB/step": _millions(passes.bytes),
        "GB/s": _scaled(passes.bytes_rate, 1e-9),
        "% of copy": _scaled(passes.bytes_share, 100),
    }


def _scaled(value: float | None, factor: float = 1.0) -> str:
    return "" if value is None else as_seconds(factor * value)


def _millions(value: float | None) -> str:
    return "" if value is None else f"{value / 1e6:,.0f}"


TOPIC = Topic("timing", frame=frame, table=table)
