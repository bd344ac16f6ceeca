"""Roofline: how far training steps are from what the machine gives."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from bench.cases.describe import recurrence
from bench.records.metrics import is_comparable, value
from bench.report.frames import VariantRow, grouped, once
from bench.report.results import Results, by_case
from bench.report.sentences import count
from bench.report.speedups import TIMING
from bench.report.topic import Answer, Table, Topic
from bench.report.topics.speed import lines


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


def answer(results: Results) -> Answer | None:
    """Return which share of the machine's limit the training steps reach that the table of speed shows, by backend."""
    shown = {
        (timed.suite, timed.case, timed.variant): timed.column
        for line in lines(results)
        for timed in line.times.values()
    }
    rows = [row for row in frame(results) if (row.suite, row.case, row.variant) in shown]
    if not rows:
        return None
    groups = grouped(rows, lambda row: shown[row.suite, row.case, row.variant])
    shares = {source: median(row.share for row in members) for source, members in groups.items()}
    least, most = min(shares.values()), max(shares.values())
    figures = []
    for source in sorted(groups, key=lambda source: -shares[source]):
        best = max(groups[source], key=lambda row: row.share)
        figures.append((source, str(len(groups[source])), _percent(shares[source]), _percent(best.share), best.name))
    spread = _percent(most) if _percent(least) == _percent(most) else f"{100 * least:.0f} to {_percent(most)}"
    bound = sum(row.intensity * row.bandwidth < row.peak for row in rows)
    limits = {"copy bandwidth": bound, "rate of a matrix product": len(rows) - bound}
    named = " or ".join(f"{limit} ({count(number, 'variant')})" for limit, number in limits.items() if number)
    return Answer(
        f"Training steps reach {spread} of the machine's limit (medians by backend).",
        Table(("backend", "cases", "median", "most", "in case"), tuple(figures), (0, 4)),
        (TIMING,),
        (
            f"The limit is the {named}, measured on this machine.",
            "Model: Williams, Waterman and Patterson, Roofline, 2009, https://doi.org/10.1145/1498765.1498785.",
        ),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


TOPIC = Topic("roofline", frame=frame, question="How much of the machine is used?", answer=answer)
