"""Roofline: how far training steps are from what the machine gives."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from bench.cases.describe import recurrence
from bench.records.metrics import is_comparable, value
from bench.report.frames import VariantRow, once
from bench.report.results import Results, by_case
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


TOPIC = Topic("roofline", frame=frame, question="How much of the machine is used?")
