"""Timing: steps, epochs, what comes once, memory, and how near to the machine's limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from bench.backends.registry import backends
from bench.machine.noise import QUIET
from bench.records.metrics import is_headline, step_seconds
from bench.records.record import CASE, VARIANT, Record, Timing
from bench.report.frames import NATIVE, Row, frame_of, once, reference_order, rows_of
from bench.report.markdown import (
    as_link,
    as_text,
    document,
    filled_table,
    given,
    how_twins,
    markdown_table,
    n_of,
    plain,
    source_of,
    suite_heading,
)
from bench.report.notes import Notes
from bench.report.numbers import NOTHING, as_integer, as_range, as_seconds
from bench.report.results import _TIMING, KERNELS, NOT_RUN, Results, Variant, status_of
from bench.report.topic import Topic
from bench.spec import Documented


@once
def frame(results: Results) -> pd.DataFrame:
    """Return one row per case and variant; times in seconds.

    A process's epoch time is the median of its steady epochs (all but the first), the row's is the median over its
    processes; `low` and `high` are the fastest and the slowest steady epoch of all. Columns: suite, case, column,
    backend, kernel, device, numerics, status, headline (from records that measured timing, each alone in its process),
    epoch, low, high, n of `of` processes, epochs (steady ones), step (from windows of steps, where there are none from
    epochs), first_epoch, total, documented_epoch and
    documented_step (each least and most, documented profile only), reference (the backend) and ratio (this epoch time
    over the reference's), both of headlines alone. The reference is the backend of the same case, device and
    numerics that `reference_order` puts first, with its best kernel.
    """
    timed = results.timing_groups
    everything = results.accuracy_groups
    places = results.columns
    rows: list[dict[str, Any]] = []
    for suite, case in results.cases():
        key = (suite.name, case.name)
        documented = case.documented if results.documented else Documented()
        shared = {"suite": suite.name, "case": case.name} | _documented_times(documented)
        variants = sorted({*timed.get(key, {}), *everything.get(key, {})})
        own: list[dict[str, Any]] = []
        for variant in variants:
            members = timed.get(key, {}).get(variant) or everything[key][variant]
            own.append(
                shared
                | {"column": places[*key, variant], "backend": variant.backend, "kernel": variant.kernel}
                | {"device": variant.device, "numerics": variant.numerics, "status": status_of(members)}
                | _times(members)
            )
        _add_ratios(own)
        rows += own or [shared | {"status": NOT_RUN}]
    return frame_of(rows, _COLUMNS)


_COLUMNS = [
    *CASE, "column", *VARIANT, "status", "headline", "epoch", "low", "high", "n", "of", "epochs", "step",
    "first_epoch", "total", "documented_epoch", "documented_step", "reference", "ratio",
]  # fmt: skip


def _documented_times(documented: Documented) -> dict[str, Any]:
    seconds = [line.seconds for line in documented.epochs if line.seconds is not None]
    steps = [line.step_ms for line in documented.epochs if line.step_ms is not None]
    step = documented.step_ms or ((min(steps), max(steps)) if steps else None)
    return {
        "documented_epoch": (min(seconds), max(seconds)) if seconds else None,
        "documented_step": (step[0] / 1000, step[1] / 1000) if step else None,
    }


def _times(records: Sequence[Record]) -> dict[str, Any]:
    ok = [(record, record.timing) for record in records if record.status == "ok" and record.timing]
    row: dict[str, Any] = {"n": len(ok), "of": len(records), "headline": None}
    if not ok:
        return row
    row["headline"] = all(record.measure in _TIMING and timing.alone for record, timing in ok)
    row["first_epoch"] = median(timing.first_epoch for _, timing in ok)
    row["total"] = median(timing.total for _, timing in ok)
    steady = [timing for _, timing in ok if timing.epochs]
    if steady:
        every = [seconds for timing in steady for seconds in timing.epochs]
        row |= {
            "epoch": median(median(timing.epochs) for timing in steady),
            "low": min(every),
            "high": max(every),
            "epochs": len(every),
            "step": median(_step(timing) for timing in steady),
        }
    return row


def _step(timing: Timing) -> float:
    return timing.step or median(timing.epochs) / timing.steps


def _add_ratios(rows: list[dict[str, Any]]) -> None:
    comparable = [row for row in rows if row["headline"] and row.get("epoch")]
    for row in comparable:
        peers = [
            other
            for other in comparable
            if reference_order(other["backend"]) is not None
            and all(other[name] == row[name] for name in ("device", "numerics"))
        ]
        if peers:
            reference = min(
                peers, key=lambda other: (reference_order(other["backend"]), KERNELS.index(other["kernel"]))
            )
            row |= {"reference": reference["backend"], "ratio": row["epoch"] / reference["epoch"]}


DIFFERENT = 0.05
"""Times of two numerics that differ by more than this share stand side by side."""
ORDER = ("native", "matched", "documented")
"""Which numerics stand for a variant's times: what users run comes first."""
LEAST_FOR = {95: 20, 99: 100}
"""Samples from which a percentile of latencies says more than their maximum."""
_PASS_COLUMNS = [
    *CASE, "column", *VARIANT, "step", "step_low", "step_high", "samples", "first_step", "compile", "input", "p50",
    "p95", "p99", "throughput", "host_memory", "device_memory", "noise", "flops", "bytes", "flops_rate",
    "flops_share", "bytes_rate", "bytes_share",
]  # fmt: skip


@once
def passes(results: Results) -> pd.DataFrame:
    """Return one row per case and variant that was timed, alone in its process; seconds, bytes, and shares (0 to 1).

    A figure is the median over processes. step_low, step_high: quartiles of the `samples` step times, all processes
    together; p50, p95, p99: of all latencies (None below `LEAST_FOR` samples); throughput: rows/s of inference; input:
    its share of a step; host_memory, device_memory: peaks; noise: the highest spread of a busy loop before a run; flops
    and bytes: per step, counted; flops_rate and bytes_rate: those over the step's seconds; flops_share and bytes_share:
    of what the machine gives at most.
    """
    rows: list[dict[str, Any]] = []
    timed = results.timing_groups
    for suite, case in results.cases():
        for variant, records in sorted(timed.get((suite.name, case.name), {}).items()):
            ok = [record for record in records if record.status == "ok" and is_headline(record)]
            place = {"suite": suite.name, "case": case.name, "column": results.columns[suite.name, case.name, variant]}
            rows.append({**place, **vars(variant), **_timed(ok), **_costs(ok)})
    return frame_of(rows, _PASS_COLUMNS)


def _timed(records: Sequence[Record]) -> dict[str, Any]:
    timings = [record.timing for record in records if record.timing]
    row: dict[str, Any] = {
        name: _median(getattr(timing, name) for timing in timings)
        for name in ("step", "first_step", "compile", "throughput")
    }
    row["input"] = _median(timing.input / timing.step for timing in timings if timing.input and timing.step)
    slopes = [seconds for timing in timings for seconds in step_seconds(timing.windows)]
    if slopes:
        low, high = np.quantile(slopes, [0.25, 0.75])
        row |= {"samples": len(slopes), "step_low": low, "step_high": high}
    latencies = np.concatenate([np.empty(0), *(np.asarray(timing.latency, dtype=float) for timing in timings)])
    told = [percent for percent in (50, 95, 99) if len(latencies) >= LEAST_FOR.get(percent, 1)]
    if told:
        row |= zip([f"p{percent}" for percent in told], np.percentile(latencies, told), strict=True)
    row["noise"] = max((timing.noise for timing in timings if timing.noise is not None), default=None)
    for name in ("host", "device"):
        row[f"{name}_memory"] = _median((record.memory or {}).get(f"{name}_peak_bytes") for record in records)
    return row


def _costs(records: Sequence[Record]) -> dict[str, Any]:
    costs = [(record.cost, record.timing.step) for record in records if record.cost and record.timing]
    timed = [(cost, step) for cost, step in costs if step]
    return {
        "flops": _median(cost.flops for cost, _ in costs),
        "bytes": _median(cost.bytes for cost, _ in costs),
        "flops_rate": _median(cost.flops / step for cost, step in timed),
        "flops_share": _median(cost.flops / step / cost.peak_flops for cost, step in timed if cost.peak_flops),
        "bytes_rate": _median(cost.bytes / step for cost, step in timed),
        "bytes_share": _median(cost.bytes / step / cost.bandwidth for cost, step in timed if cost.bandwidth),
    }


def _median(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return median(found) if found else None


def headlines(rows: Iterable[Mapping[Any, Any]]) -> tuple[list[Mapping[Any, Any]], list[Mapping[Any, Any]]]:
    """Divide the rows of one case into those to be shown and those that another one stands for.

    Of the numerics of one backend, kernel and device the first of `ORDER` that was timed is shown, and of the others
    those whose step takes more than `DIFFERENT` longer or shorter. Times from accuracy runs are shown only where there
    are no others; what did not end ok is shown.
    """
    groups: dict[tuple[Any, ...], list[Mapping[Any, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in ("backend", "kernel", "device")), []).append(row)
    shown: list[Mapping[Any, Any]] = []
    left_out: list[Mapping[Any, Any]] = []
    for members in groups.values():
        ranked = sorted(members, key=lambda row: (not row["headline"], _rank(str(row["numerics"]))))
        first = next((row for row in ranked if row["step"] is not None), None)
        for row in ranked:
            stands = first is not None and row is not first and row["step"] is not None and _says_the_same(row, first)
            (left_out if stands else shown).append(row)
    return shown, left_out


def _says_the_same(row: Mapping[Any, Any], first: Mapping[Any, Any]) -> bool:
    return bool(row["headline"] != first["headline"] or abs(row["step"] / first["step"] - 1) <= DIFFERENT)


def _rank(numerics: str) -> tuple[int, str]:
    return (ORDER.index(numerics) if numerics in ORDER else len(ORDER), numerics)


_HOW_TIMING = (
    "`ms/step` is a steady training step on a full batch, the device waited for: the slope between windows of w and 2w "
    "steps, so that what a call costs apart does not count; the median over a process's pairs of windows, then over "
    "processes, with the `quartiles` of all `samples`. Where no windows were measured it is `s/epoch` over its steps. "
    "`s/epoch` is the training part of a steady epoch (all but the first), `range` the fastest to the slowest; "
    "`k of n` counts processes. "
    "The last column is `s/epoch` over that of the Keras backend, on the same device and under the same numerics."
)
_HOW_START = (
    "`compile` is what the first calls on both shapes of batch took beyond steady ones, tracing and warm-up included; "
    "`first step` the first training step of the process; `cell` is building, training and evaluation together; all in "
    "seconds. Latency is that of one row, one after another (95 % from 20 samples on, 99 % from 100 on); `rows/s` is "
    "inference on batches of the training's size."
)
_HOW_COST = (
    "`host` and `device` are peaks of training in a pass of its own, all that the process holds included. `input` is "
    "making batches alone, as a share of a step. FLOPs (of matrix products and convolutions) and bytes (the least "
    "traffic with memory) of a step are counted, not measured; `% of peak` is their rate over that of a large matrix "
    "product, `% of copy` over that of a large copy, both measured on this machine before the run."
)
_BESIDE = (
    "From accuracy runs: other work may have run on the machine at the same time, "
    "or the process ran several cells in turn; no ratio is taken of such times."
)


def table(results: Results) -> str:
    """Return `timing.md`: for every suite the documented times and, below each, those of every variant."""
    data = frame(results)
    timed_passes = passes(results)
    notes = Notes(results)
    parts = [f"# Timing: {results.profile} profile" + ("" if results.documented else " (embedded corpus)")]
    parts += [_machine(results, timed_passes), _HOW_TIMING, _HOW_START]
    if timed_passes["samples"].notna().any():
        parts.append(_HOW_COST)
    parts += [*_how_numerics(data), *how_twins(results)]
    fitted = set(data.loc[(data["numerics"] == NATIVE) & data["epoch"].notna(), "backend"])
    findings = as_link(results.documentation_on("findings"))
    parts += [
        info.epochs_note.format(findings=findings)
        for info in backends().values()
        if info.name in fitted and info.epochs_note
    ]
    for suite in results.reported_suites():
        own = data[data["suite"] == suite.name]
        parts.append(suite_heading(suite))
        if results.documented and own["documented_epoch"].notna().any():
            parts.append(
                "Documented times were measured on "
                f"{plain(suite.hardware or 'hardware that the document does not name')}."
            )
        parts += _timing_tables(results, own, timed_passes[timed_passes["suite"] == suite.name], notes)
    return document(parts + notes.section())


def _machine(results: Results, timed_passes: pd.DataFrame) -> str:
    environment = results.timing_environment
    machine = ", ".join(
        f"{name} {as_text(environment[name])}" for name in ("cpu", "cores", "threads", "gpus") if environment.get(name)
    )
    noise = timed_passes["noise"].dropna()
    quiet = ""
    if len(noise):
        judged = "noisy: times are worth less" if noise.max() > QUIET else "quiet"
        quiet = (
            f" Before the runs one in twenty equal pieces of work took up to {100 * noise.max():.1f} % longer than "
            f"usual ({judged})."
        )
    return f"Machine: {plain(machine or 'not recorded')}.{quiet}"


def _how_numerics(data: pd.DataFrame) -> list[str]:
    """Return what is said of numerics: which ones ran, and which rows stand for others."""
    ran = [str(name) for name in data["numerics"].dropna().unique()]
    if len(ran) < 2:
        return [f"Numerics: {plain(name)}." for name in ran]
    return [
        "A source that names no numerics ran the documented ones. Where a variant was timed under several, the first "
        f"of {', '.join(ORDER)} stands for it, and another stands beside it where its step takes over "
        f"{100 * DIFFERENT:.0f} % more or less."
    ]


def _timing_tables(results: Results, data: pd.DataFrame, timed_passes: pd.DataFrame, notes: Notes) -> list[str]:
    references = sorted(data["reference"].dropna().unique())
    measured = {_key(row): row for row in rows_of(timed_passes)}
    headers = ["case", "source", "ms/step", "quartiles", "samples", "s/epoch", "range", "k of n"]
    headers += [f"/ {plain(reference)}" for reference in references]
    rows: list[dict[str, str]] = []
    start: list[dict[str, str]] = []
    cost: list[dict[str, str]] = []
    for case, group in data.groupby("case", sort=False):
        first = group.iloc[0]
        if given(first["documented_epoch"]) or given(first["documented_step"]):
            times = {
                "ms/step": as_range(first["documented_step"], 1000),
                "s/epoch": as_range(first["documented_epoch"]),
            }
            rows.append({"case": plain(case), "source": "documented"} | times)
        for row in headlines(rows_of(group))[0]:
            found = measured.get(_key(row), {})
            one = _timing_row(row, found, references, notes)
            rows.append(one | {"twins": (_twins(results, row) if row["status"] == "ok" else None) or NOTHING})
            if row["status"] == "ok":
                named = {"case": plain(case), "source": plain(source_of(str(row["column"]), row["kernel"]))}
                start.append(named | _start_row(row, found))
                cost.append(named | _cost_row(found))
    shown = [*headers, "twins"] if results.twins else headers
    texts = [markdown_table(shown, [[row.get(name, "") for name in shown] for row in rows], left=(0, 1, len(headers)))]
    texts += filled_table("What comes once, and inference:", start)
    texts += filled_table("Memory, and how near to the machine's limits:", cost)
    return texts


def _typed(row: Mapping[Any, Any]) -> Row:
    return Row(row["suite"], row["case"], Variant(*(row[name] for name in VARIANT)), row["column"])


def _twins(results: Results, row: Mapping[Any, Any]) -> str | None:
    return results.twin_mark(row["suite"], row["case"], [Variant(*(row[name] for name in VARIANT))])


def _key(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in (*CASE, *VARIANT))


def _timing_row(
    row: Mapping[Any, Any], timed_passes: Mapping[Any, Any], references: Sequence[str], notes: Notes
) -> dict[str, str]:
    one = {"case": plain(row["case"])}
    dashes = dict.fromkeys(("quartiles", "samples", "s/epoch", "range", "k of n"), NOTHING)
    dashes |= {f"/ {plain(reference)}": NOTHING for reference in references}
    if row["status"] == NOT_RUN:
        return one | dashes | {"ms/step": NOT_RUN}
    texts = notes.on_cells(_typed(row), ("timing", "all", "accuracy"))
    if row["headline"] is False:
        texts.append(_BESIDE)
    texts += notes.on_data(str(row["suite"]), str(row["case"]))
    one |= {"source": plain(source_of(str(row["column"]), row["kernel"])) + notes.mark(texts)}
    if row["status"] != "ok":
        return one | dashes | {"ms/step": row["status"], "k of n": n_of(row)}
    one |= dashes | {
        "ms/step": as_seconds(1000 * row["step"]) if given(row["step"]) else NOTHING,
        "s/epoch": as_seconds(row["epoch"]),
        "range": f"{as_seconds(row['low'])}–{as_seconds(row['high'])}" if given(row["low"]) else NOTHING,
        "k of n": n_of(row),
    }
    if given(row["reference"]):
        one[f"/ {plain(row['reference'])}"] = f"{row['ratio']:.2f}"
    if given(timed_passes.get("samples")):
        low, high = (as_seconds(1000 * timed_passes[f"step_{side}"]) for side in ("low", "high"))
        one |= {"quartiles": f"{low}–{high}", "samples": as_integer(timed_passes["samples"])}
    return one


def _start_row(row: Mapping[Any, Any], timed_passes: Mapping[Any, Any]) -> dict[str, str]:
    def of(value: Any, factor: float = 1.0) -> str:
        return as_seconds(factor * value) if given(value) else ""

    return {
        "compile": of(timed_passes.get("compile")),
        "first step": of(timed_passes.get("first_step")),
        "first epoch": of(row["first_epoch"]),
        "cell": of(row["total"]),
        "latency ms": of(timed_passes.get("p50"), 1000),
        "95 %": of(timed_passes.get("p95"), 1000),
        "99 %": of(timed_passes.get("p99"), 1000),
        "rows/s": as_integer(timed_passes.get("throughput")),
    }


def _cost_row(timed_passes: Mapping[Any, Any]) -> dict[str, str]:
    def of(name: str, factor: float, unit: str = "") -> str:
        return f"{as_seconds(factor * timed_passes[name])}{unit}" if given(timed_passes.get(name)) else ""

    def size(name: str) -> str:
        return f"{timed_passes[name] / 1e6:,.0f}" if given(timed_passes.get(name)) else ""

    return {
        "host MB": size("host_memory"),
        "device MB": size("device_memory"),
        "input": of("input", 100, " %"),
        "MFLOP/step": f"{timed_passes['flops'] / 1e6:,.0f}" if given(timed_passes.get("flops")) else "",
        "GFLOP/s": of("flops_rate", 1e-9),
        "% of peak": of("flops_share", 100),
        "MB/step": size("bytes"),
        "GB/s": of("bytes_rate", 1e-9),
        "% of copy": of("bytes_share", 100),
    }


TOPIC = Topic("timing", frame=frame, table=table)
