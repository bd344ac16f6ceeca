"""Roofline: how far training steps are from what the machine gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

import pandas as pd

from bench.cases.describe import recurrence
from bench.records.metrics import is_headline, value
from bench.records.record import CASE, VARIANT
from bench.report.frames import frame_of, main_rows, once, rows_of
from bench.report.results import Results, by_case
from bench.report.sentences import Finding, count, device, joined, name, with_kernels
from bench.report.topic import Topic
from bench.report.topics import speed


@once
def frame(results: Results) -> pd.DataFrame:
    """Return how far training is from what the machine gives: one row per case and variant with a cost and a step time.

    Columns: suite, case, layers, column, backend, kernel, device, numerics, intensity (FLOPs per byte of traffic), rate
    (FLOP/s of the training step: medians over cells alone in their process), peak and bandwidth (measured FLOP/s and
    bytes/s), roof (FLOP/s that the two allow at this intensity, the smaller of peak and intensity times bandwidth),
    share (rate over roof), n (cells). Source: Williams, Waterman, Patterson, "Roofline" (2009).
    """
    groups = by_case(filter(is_headline, results.timing_records))
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
    return frame_of(rows, _COLUMNS)


_COLUMNS = [
    *CASE, "layers", "column", *VARIANT, "intensity", "rate", "peak", "bandwidth", "roof", "share", "n",
]  # fmt: skip


def answer(results: Results) -> list[Finding]:
    """Return for every device which share of the machine's limits the training steps of each backend reach."""
    found = []
    data = main_rows(frame(results))
    for place, every in data.groupby("device", sort=True):
        columns = {str(column): rows_of(own) for column, own in every.groupby("column", sort=True)}
        middle = {column: median(float(row["share"]) for row in rows) for column, rows in columns.items()}
        items = []
        for column in sorted(columns, key=lambda one: -middle[one]):
            most = max(columns[column], key=lambda row: row["share"])
            item = f"{with_kernels(column, columns[column])} {_share(middle[column])}"
            items.append(f"{item}, most {_share(most['share'])} ({name(most)})")
        least, most_of_all = min(middle.values()), max(middle.values())
        lead = _share(least) if _share(least) == _share(most_of_all) else f"{100 * least:.0f} to {_share(most_of_all)}"
        text = f"The limit is {_which_limit(rows_of(every))}, measured on the machine. Medians over cases."
        lead = f"On a {device(str(place))} the backends reach {lead} of the machine's limit"
        found.append(Finding(lead, text, (speed.TIMING,), tuple(items)))
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


TOPIC = Topic("roofline", frame=frame, question="How much of the machine is used?", answer=answer)
