"""Roofline: how far training steps are from what the machine gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from bench.cases.describe import recurrence
from bench.records.metrics import is_comparable, value
from bench.report.frames import VariantRow, grouped, main_rows, once
from bench.report.results import Results, by_case
from bench.report.sentences import Finding, count, device, joined, with_kernels
from bench.report.speedups import TIMING
from bench.report.topic import Topic


@dataclass(frozen=True)
class RooflineRow(VariantRow):
    """The rate of a training step, in FLOP/s, at an `intensity` (FLOPs per byte of traffic), and the machine's limits.

    `peak` (FLOP/s) and `bandwidth` (bytes/s) were measured; all are medians over `n` cells alone in their process.
    Source: Williams, Waterman, Patterson, "Roofline" (2009).
    """

    layers: str
    intensity: float
    rate: float
    peak: float
    bandwidth: float
    n: int

    @property
    def roof(self) -> float:
        """Return the FLOP/s that the machine allows at this intensity."""
        return min(self.peak, self.intensity * self.bandwidth)

    @property
    def share(self) -> float:
        """Return the rate as a share of the roof."""
        return self.rate / self.roof


@once
def frame(results: Results) -> tuple[RooflineRow, ...]:
    """Return how far training is from what the machine gives: a row per case and variant with a cost and step time."""
    groups = by_case(filter(is_comparable, results.timing_records))
    rows = []
    for suite, case in results.cases():
        for variant, column, members in results.placed(groups, suite.name, case.name):
            measured = [
                (record.cost, record.cost.peak_flops, record.cost.bandwidth, step)
                for record in members
                if record.cost and record.cost.peak_flops and record.cost.bandwidth and (step := value(record, "step"))
            ]
            if not measured:
                continue
            costs, peaks, bandwidths, _ = zip(*measured, strict=True)
            row = RooflineRow(
                suite.name,
                case.name,
                variant,
                column,
                recurrence(case),
                intensity=costs[0].flops / costs[0].bytes,
                rate=median(cost.flops / step for cost, _, _, step in measured),
                peak=median(peaks),
                bandwidth=median(bandwidths),
                n=len(measured),
            )
            rows.append(row)
    return tuple(rows)


def answer(results: Results) -> list[Finding]:
    """Return for every device which share of the machine's limits the training steps of each backend reach."""
    found = []
    devices = grouped(main_rows(frame(results)), lambda row: row.variant.device)
    for place, every in sorted(devices.items()):
        columns = grouped(sorted(every, key=lambda row: row.column), lambda row: row.column)
        middle = {column: median(row.share for row in rows) for column, rows in columns.items()}
        items = []
        for column in sorted(columns, key=lambda column: -middle[column]):
            most = max(columns[column], key=lambda row: row.share)
            who = with_kernels(column, (row.variant.kernel for row in columns[column]))
            items.append(f"{who} {_percent(middle[column])}, most {_percent(most.share)} ({most.name})")
        least, most_of_all = _percent(min(middle.values())), _percent(max(middle.values()))
        share = least if least == most_of_all else f"{least.removesuffix(' %')} to {most_of_all}"
        lead = f"On a {device(place)} the backends reach {share} of the machine's limit"
        text = f"The limit is {_which_limit(every)}, measured on the machine. Medians over cases."
        found.append(Finding(lead, text, (TIMING,), tuple(items)))
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _which_limit(rows: Iterable[RooflineRow]) -> str:
    """Return which limit binds: the matrix-product peak, or memory, where too few operations are done on a byte."""
    binding = grouped(rows, lambda row: "matrix-product peak" if row.roof == row.peak else "copy bandwidth")
    if len(binding) == 1:
        return f"the {next(iter(binding))}"
    cases = {limit: count(len({row.name for row in members}), "case") for limit, members in sorted(binding.items())}
    return joined([f"the {limit} ({number})" for limit, number in cases.items()], "or")


TOPIC = Topic("roofline", frame=frame, question="How much of the machine is used?", answer=answer)
