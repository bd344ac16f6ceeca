"""Frames that set measured things against each other: architectures, backends, kernels, numerics, documented curves.

`bench.report.tables` has one row per thing measured; the frames here answer questions and are what the plots draw.
Units: accuracies are 0 to 1, times are seconds, a speed-up is the other's time over one's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from math import isnan
from statistics import fmean, median
from typing import Any

import pandas as pd

from bench.cases.describe import recurrence
from bench.cases.profiles import apply
from bench.compare.statistics import mean_interval, ratio_interval
from bench.explain.effects import effects
from bench.records.metrics import is_headline, value
from bench.records.record import EpochScore, Metrics, Record, Score
from bench.report import tables
from bench.report.tables import CASE, KERNELS, VARIANT, Groups, Results, Variant
from bench.spec import Case, Embedding, Epoch, RandomRows, Suite

MAIN, MATCHED, NATIVE = "documented", "matched", "native"
"""The numerics of the reports' main tables, against which those of today's Keras and of each framework are set."""


def main_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows under documented numerics, and those of what has not run; where nothing is, all rows."""
    main = frame["numerics"] == MAIN
    return frame[main | frame["numerics"].isna()] if main.any() else frame


# --- architectures -----------------------------------------------------------------------------------------------


@tables.once
def architectures(results: Results) -> pd.DataFrame:
    """Return what each architecture reaches and costs: one row per case and variant that measured an accuracy.

    Within a suite all accuracies are of one kind, `figure`: test, or validation where nothing was tested. Cases that
    train on a sample of the rows are left out: fewer rows are no architecture. Columns: suite, case, figure, column,
    backend, kernel, device, numerics, mean, half, n, rows, stand_in, epochs (mean of those run), epoch, headline,
    seconds (of training: epoch time by epochs), frontier (no row of the suite is both cheaper and better), best
    (highest mean).
    """
    accuracy = main_rows(tables.accuracy(results))
    times = main_rows(tables.timing(results))
    epochs = {_key(row): row for row in tables.rows_of(times)}
    rows: list[dict[str, Any]] = []
    for suite in results.reported_suites():
        sampled = {case.name for case in suite.cases if isinstance(case.training.validation, RandomRows)}
        own = accuracy[(accuracy["suite"] == suite.name) & accuracy["mean"].notna() & ~accuracy["case"].isin(sampled)]
        kind = next((kind for kind in ("test", "val") if (own["figure"] == kind).any()), None)
        found = []
        for row in tables.rows_of(own[own["figure"] == kind]):
            timed = epochs.get(_key(row), {})
            epoch = timed.get("epoch")
            found.append(
                {name: row[name] for name in (*CASE, "figure", "column", *VARIANT, "mean", "half", "n", "rows")}
                | {"stand_in": row["stand_in"], "epochs": row["epochs"]}
                | {"epoch": epoch, "headline": timed.get("headline")}
                | {"seconds": epoch * row["epochs"] if epoch and row["epochs"] else None}
            )
        best = max((row["mean"] for row in found), default=None)
        for row in found:
            row |= {"best": row["mean"] == best, "frontier": _on_frontier(row, found)}
        rows += found
    return tables.frame(rows, _ARCHITECTURE_COLUMNS)


_ARCHITECTURE_COLUMNS = [
    *CASE, "figure", "column", *VARIANT, "mean", "half", "n", "rows", "stand_in", "epochs", "epoch", "headline",
    "seconds", "frontier", "best",
]  # fmt: skip


def _key(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in (*CASE, *VARIANT))


def _on_frontier(row: Mapping[Any, Any], others: Iterable[Mapping[Any, Any]]) -> bool:
    return row["seconds"] is not None and not any(
        other["seconds"] is not None
        and other["seconds"] <= row["seconds"]
        and other["mean"] >= row["mean"]
        and (other["seconds"], other["mean"]) != (row["seconds"], row["mean"])
        for other in others
    )


# --- speed -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Times:
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


def _times(results: Results) -> Iterator[tuple[Suite, Case, list[_Times]]]:
    """Yield the times of every case, from timing records where a variant has any that ended ok."""
    timed, rest = results.timing_groups, results.accuracy_groups
    for suite, case in results.cases():
        found = []
        for variant in sorted({*timed.get((suite.name, case.name), {}), *rest.get((suite.name, case.name), {})}):
            members = _steady(timed, suite, case, variant) or _steady(rest, suite, case, variant)
            if members:
                processes = tuple(tuple(record.timing.epochs) for record in members if record.timing)
                found.append(_Times(variant, all(map(is_headline, members)), processes))
        yield suite, case, found


def _steady(groups: Groups, suite: Suite, case: Case, variant: Variant) -> list[Record]:
    members = groups.get((suite.name, case.name), {}).get(variant, [])
    return [record for record in members if record.status == "ok" and record.timing and record.timing.epochs]


def _set_against(base: _Times, other: _Times) -> dict[str, Any]:
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


@tables.once
def speed(results: Results) -> pd.DataFrame:
    """Return how fast every backend is beside its reference, each with its best kernel: one row per case and variant.

    The reference is that of the timing table, with its best kernel, of the same case, device, numerics and kind of
    record. Columns: suite, case, layers ("LSTM", ..., "no recurrent layer"), column, backend,
    kernel, device, numerics, reference (the column), reference_kernel, headline, base_epoch and epoch (seconds), base_n
    and n (processes), speedup, low, high, spread (what low and high are).
    """
    places = results.columns
    rows: list[dict[str, Any]] = []
    for suite, case, found in _times(results):
        best = _best_kernels(found)
        for one in best:
            peers = [
                other
                for other in best
                if tables.reference_order(other.variant.backend) is not None
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
                rows.append(shared | _set_against(base, one))
    return tables.frame(rows, _SPEED_COLUMNS)


def _best_kernels(found: Iterable[_Times]) -> list[_Times]:
    """Return for every backend, device, numerics and kind of record the times of the best kernel that ran."""
    best: dict[tuple[Any, ...], _Times] = {}
    for one in sorted(found, key=lambda one: KERNELS.index(one.variant.kernel)):
        best.setdefault((one.variant.backend, one.variant.device, one.variant.numerics, one.headline), one)
    return list(best.values())


def _reference_order(times: _Times) -> tuple[Any, ...]:
    return (tables.reference_order(times.variant.backend), KERNELS.index(times.variant.kernel))


_SPEED_COLUMNS = [
    *CASE, "layers", "column", *VARIANT, "reference", "reference_kernel", "headline", "base_epoch", "epoch", "base_n",
    "n", "speedup", "low", "high", "spread",
]  # fmt: skip


@tables.once
def kernels(results: Results) -> pd.DataFrame:
    """Return how much faster a fused kernel is than the generic one: one row per case and backend that ran both.

    Columns: suite, case, layers, backend, device, numerics, headline, base_epoch (generic), epoch (fused), base_n, n,
    speedup, low, high, spread.
    """
    rows: list[dict[str, Any]] = []
    for suite, case, found in _times(results):
        by_variant = {(one.variant, one.headline): one for one in found}
        for (variant, headline), one in by_variant.items():
            generic = by_variant.get((replace(variant, kernel="generic"), headline))
            if variant.kernel == "fused" and generic:
                shared: dict[str, Any] = {"suite": suite.name, "case": case.name, "layers": recurrence(case)}
                shared |= vars(variant)
                rows.append({**shared, "headline": headline, **_set_against(generic, one)})
    return tables.frame(rows, _KERNEL_COLUMNS)


_KERNEL_COLUMNS = [
    *CASE, "layers", "backend", "device", "numerics", "headline", "base_epoch", "epoch", "base_n", "n", "speedup",
    "low", "high", "spread",
]  # fmt: skip


# --- accuracy under other formulas ---------------------------------------------------------------------------------


@tables.once
def numerics(results: Results) -> pd.DataFrame:
    """Return what other formulas change: one row per case and variant whose numerics are not the documented ones.

    Columns: suite, case, figure, documented (printed accuracy or None), column, backend, kernel, device, numerics,
    base and mean (accuracies under documented and under these numerics, means over the paired seeds), difference and
    half (95 % interval of the paired differences, other minus documented), n.
    """
    return _against(results, MAIN)


@tables.once
def differences(results: Results) -> pd.DataFrame:
    """Return what the frameworks' own ways change, all together and one by one, against `matched` numerics.

    Only cases that ran any native numerics; the columns are those of `numerics`, with `base` under matched ones.
    """
    frame = _against(results, MATCHED)
    native = frame[frame["numerics"].astype(str).str.startswith(NATIVE)]
    explained = set(zip(native["suite"], native["case"], strict=True))
    kept = [key in explained for key in zip(frame["suite"], frame["case"], strict=True)]
    return frame[pd.Series(kept, index=frame.index, dtype=bool)]


def numerics_order(name: str) -> tuple[int, str]:
    """Return a sort key of numerics set against matched ones: documented first, then native, then its parts."""
    return (MAIN, NATIVE).index(name) if name in (MAIN, NATIVE) else 2, name


def called(numerics: str) -> str:
    """Return how a picture or table of differences calls numerics: a single difference by its own name."""
    return {MAIN: "documents' formulas", NATIVE: "all together"}.get(numerics, numerics.partition(":")[2])


def _against(results: Results, base: str) -> pd.DataFrame:
    """Return accuracies under every other numerics beside those under `base`, paired by seed."""
    rows: list[dict[str, Any]] = []
    for suite, case in results.cases():
        figure = next(one for one in tables.figures(case, case.documented) if one.main)
        groups = results.accuracy_groups.get((suite.name, case.name), {})
        found = {
            Variant(effect.backend, effect.kernel, effect.device, effect.numerics): effect.accuracy
            for effect in effects(chain.from_iterable(groups.values()), figure.measured, base)
            if effect.numerics != base
        }
        for variant, points in sorted(found.items()):
            rows.append(
                {"suite": suite.name, "case": case.name, "figure": figure.name}
                | {"documented": figure.score.accuracy if results.documented else None}
                | {"column": results.columns[suite.name, case.name, variant], **vars(variant)}
                | {"base": points.base.mean / 100, "mean": (points.base.mean + points.change.mean) / 100}
                | {"difference": points.change.mean / 100, "half": points.change.half / 100, "n": points.change.n}
            )
    return tables.frame(rows, _NUMERICS_COLUMNS)


_NUMERICS_COLUMNS = [
    *CASE, "figure", "documented", "column", *VARIANT, "base", "mean", "difference", "half", "n",
]  # fmt: skip


# --- pre-trained embeddings --------------------------------------------------------------------------------------


@tables.once
def low_data(results: Results) -> pd.DataFrame:
    """Return the pairs of cases that differ only in a pre-trained, frozen against a learned embedding.

    One row per pair and variant: suite, rows (trained on), pretrained and learned (case names), column, backend,
    kernel, device, numerics, pretrained_mean, learned_mean, difference and half (mean over paired seeds of pretrained -
    learned, 95 % interval), n, stand_in (for the vectors). Pairs are found in the declarations (`RandomRows`), not in
    the names.
    """
    groups = results.accuracy_groups
    places = results.columns
    rows: list[dict[str, Any]] = []
    for suite in results.reported_suites():
        cases = [apply(case, results.profile) for case in suite.cases]
        for pretrained in cases:
            learned = learned_twin(cases, pretrained)
            if learned is None or not isinstance(pretrained.training.validation, RandomRows):
                continue
            ours, theirs = (groups.get((suite.name, case.name), {}) for case in (pretrained, learned))
            for variant in sorted(ours.keys() & theirs.keys()):
                with_vectors, without = (tables.by_seed(_test, side[variant]) for side in (ours, theirs))
                seeds = sorted(with_vectors.keys() & without.keys())
                if not seeds:
                    continue
                difference = mean_interval([with_vectors[seed] - without[seed] for seed in seeds])
                stand_ins = {record.data.stand_in for record in ours[variant] if record.data and record.data.stand_in}
                rows.append(
                    {"suite": suite.name, "rows": pretrained.training.validation.train}
                    | {"pretrained": pretrained.name, "learned": learned.name}
                    | {"column": places[suite.name, pretrained.name, variant], **vars(variant)}
                    | {"pretrained_mean": fmean(with_vectors[seed] for seed in seeds)}
                    | {"learned_mean": fmean(without[seed] for seed in seeds)}
                    | {"difference": difference.mean, "half": difference.half, "n": difference.n}
                    | {"stand_in": "; ".join(sorted(stand_ins)) or None}
                )
    return tables.frame(rows, _LOW_DATA_COLUMNS)


_LOW_DATA_COLUMNS = [
    "suite", "rows", "pretrained", "learned", "column", *VARIANT, "pretrained_mean", "learned_mean", "difference",
    "half", "n", "stand_in",
]  # fmt: skip


def _test(metrics: Metrics) -> Score | None:
    return metrics.last.test if metrics.last else None


def learned_twin(cases: Iterable[Case], pretrained: Case) -> Case | None:
    """Return the one of `cases` that differs from `pretrained` only in learning its embedding.

    None where there is none, or where `pretrained` takes no vectors.
    """
    first = pretrained.layers[0]
    if not isinstance(first, Embedding) or first.vectors is None:
        return None
    layers = (replace(first, vectors=None, trainable=True), *pretrained.layers[1:])
    wanted = (layers, pretrained.data, pretrained.training)
    return next((case for case in cases if (case.layers, case.data, case.training) == wanted), None)


# --- learning curves ---------------------------------------------------------------------------------------------


@tables.once
def curves(results: Results) -> pd.DataFrame:
    """Return the documented learning curves and the measured ones: one row per case, column and epoch.

    Only cases whose document prints epochs and that were measured. The curve is validation accuracy where both have it,
    else the accuracy that `fit` prints while it trains. Columns: suite, case, curve ("val" or "fit"), column
    (None: the document), epoch, mean, low, high (least and most over seeds), n (seeds that trained that long).
    """
    groups = results.accuracy_groups
    places = results.columns
    rows: list[dict[str, Any]] = []
    for suite, case in results.cases():
        printed = case.documented.epochs if results.documented else ()
        variants = {
            variant: [record.metrics.epochs for record in records if record.status == "ok" and record.metrics]
            for variant, records in groups.get((suite.name, case.name), {}).items()
            if variant.numerics == MAIN
        }
        measured = [run for runs in variants.values() for run in runs]
        curve = next(
            (name for name in _CURVES if _accuracies(printed, name) and _accuracies(chain(*measured), name)), None
        )
        if curve is None:
            continue
        shared = {"suite": suite.name, "case": case.name, "curve": curve}
        for epoch, line in enumerate(printed, 1):
            for figure in _accuracies([line], curve):
                rows.append(shared | {"epoch": epoch, "mean": figure, "low": figure, "high": figure, "n": 1})
        for variant, runs in sorted(variants.items()):
            column = places[suite.name, case.name, variant]
            for epoch in range(1, max(map(len, runs), default=0) + 1):
                values = _accuracies((run[epoch - 1] for run in runs if len(run) >= epoch), curve)
                if values:
                    spread = {"mean": fmean(values), "low": min(values), "high": max(values), "n": len(values)}
                    rows.append(shared | {"column": column, "epoch": epoch} | spread)
    return tables.frame(rows, [*CASE, "curve", "column", "epoch", "mean", "low", "high", "n"])


_CURVES = ("val", "fit")


def _accuracies(lines: Iterable[Epoch | EpochScore], curve: str) -> list[float]:
    values = [line.val_accuracy if curve == "val" else line.accuracy for line in lines]
    return [value for value in values if value is not None and not isnan(value)]


# --- the machine's limits ----------------------------------------------------------------------------------------


@tables.once
def roofline(results: Results) -> pd.DataFrame:
    """Return how far training is from what the machine gives: one row per case and variant with a cost and a step time.

    Columns: suite, case, layers, column, backend, kernel, device, numerics, intensity (FLOPs per byte of traffic), rate
    (FLOP/s of the training step: medians over cells alone in their process), peak and bandwidth (measured FLOP/s and
    bytes/s), roof (FLOP/s that the two allow at this intensity, the smaller of peak and intensity times bandwidth),
    share (rate over roof), n (cells). Source: Williams, Waterman, Patterson, "Roofline" (2009).
    """
    groups = tables.by_case(filter(is_headline, results.timing_records))
    rows: list[dict[str, Any]] = []
    for suite, case in results.cases():
        for variant, members in sorted(groups.get((suite.name, case.name), {}).items()):
            measured = [
                (record.cost, record.cost.peak_flops, record.cost.bandwidth, step)
                for record in members
                if record.cost and record.cost.peak_flops and record.cost.bandwidth and (step := value(record, "step"))
            ]
            if not measured:
                continue
            cost = measured[0][0]
            peak, bandwidth = median(one[1] for one in measured), median(one[2] for one in measured)
            intensity, rate = cost.flops / cost.bytes, median(one.flops / step for one, _, _, step in measured)
            roof = min(peak, intensity * bandwidth)
            rows.append(
                {"suite": suite.name, "case": case.name, "layers": recurrence(case)}
                | {"column": results.columns[suite.name, case.name, variant], **vars(variant)}
                | {"intensity": intensity, "rate": rate, "peak": peak, "bandwidth": bandwidth}
                | {"roof": roof, "share": rate / roof, "n": len(measured)}
            )
    return tables.frame(rows, _ROOFLINE_COLUMNS)


_ROOFLINE_COLUMNS = [
    *CASE, "layers", "column", *VARIANT, "intensity", "rate", "peak", "bandwidth", "roof", "share", "n",
]  # fmt: skip
