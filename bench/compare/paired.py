"""Two sides that were measured in pairs, judged: verdicts that are proof."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.compare.pairs import PairSet
from bench.compare.statistics import Floats, deviation_behind, fewest_pairs, flip_p_values, hodges_lehmann
from bench.compare.verdicts import LOOKS, Policy, Tested, Verdict, judge_count, judge_ratios, judge_scores, screened
from bench.records.metrics import Kind, metric


def judge_pairs(pairs: Sequence[PairSet], policy: Policy, look: int) -> list[Verdict]:
    """Return a verdict for each of `pairs`, in their order, at look 1 or 2 at the data.

    Hand over all cells at both looks, also those that got no further pairs: they are one family, whose error rate
    `policy.level` is split evenly between the looks.
    """
    if look not in range(1, LOOKS + 1):
        raise ValueError(f"look must be 1 to {LOOKS}, got {look}")
    level = policy.level / LOOKS

    def of(*kinds: Kind) -> list[int]:
        return [place for place, pair in enumerate(pairs) if metric(pair.quantity).kind in kinds]

    ratios, scores, counts = of("time", "memory"), of("score"), of("count")
    judged = dict(zip(ratios, _judge_ratios([pairs[place] for place in ratios], policy, level), strict=True))
    judged |= zip(scores, _judge_scores([pairs[place] for place in scores], level), strict=True)
    judged |= {
        place: judge_count(_described(pairs[place]), pairs[place].base, pairs[place].candidate) for place in counts
    }
    return [judged[place] for place in range(len(pairs))]


def _described(pair: PairSet) -> Verdict:
    """Return the figures of a pair without a verdict."""
    complete = pair.complete
    middle = np.mean if metric(pair.quantity).kind == "score" else np.median
    base, candidate = (
        float(middle(side[complete])) if complete.any() else math.nan for side in (pair.base, pair.candidate)
    )
    n = int(complete.sum())
    return Verdict(pair.cell, pair.quantity, "not judged", n=n, planned=pair.planned, base=base, candidate=candidate)


def _judge_ratios(pairs: Sequence[PairSet], policy: Policy, level: float) -> list[Verdict]:
    fewest = fewest_pairs(level)
    verdicts = []
    for pair in pairs:
        verdict = _described(pair)
        verdict = replace(verdict, margin=policy.margin_of(pair.cell, metric(pair.quantity), verdict.base))
        known = np.isfinite(pair.base + pair.candidate)
        largest = np.maximum(pair.base, pair.candidate)[known].max(initial=0.0)
        few = f"{verdict.n} of {verdict.planned} pairs: a verdict takes {fewest}"
        verdicts.append(screened(verdict, policy, int(known.sum()), largest, fewest, few))
    places = [place for place, verdict in enumerate(verdicts) if not verdict.reason]
    if places:
        judged = judge_ratios([verdicts[place] for place in places], _tested([pairs[place] for place in places], level))
        for place, verdict in zip(places, judged, strict=True):
            verdicts[place] = verdict
    return verdicts


def _tested(pairs: Sequence[PairSet], level: float) -> Tested:
    """Test ln(candidate/base), a row for each cell and a column for each block; nan where a pair is not complete."""
    table = np.full((len(pairs), max(len(pair.base) for pair in pairs)), np.nan)
    for row, pair in zip(table, pairs, strict=True):
        row[: len(pair.base)][pair.complete] = pair.logarithms
    shifts = [hodges_lehmann(pair.logarithms) for pair in pairs]
    effect, low, high = np.array([(shift.estimate, shift.low, shift.high) for shift in shifts]).T
    larger, smaller = flip_p_values(table)
    deviations = [deviation_behind(shift, int(n)) for shift, n in zip(shifts, (~np.isnan(table)).sum(1), strict=True)]
    return Tested(level, len(pairs), "pairs", effect, low, high, larger, smaller, np.array(deviations))


def _judge_scores(pairs: Sequence[PairSet], level: float) -> list[Verdict]:
    differences: list[Floats] = [(pair.candidate - pair.base)[pair.complete] for pair in pairs]
    means = np.array([each.mean() if len(each) else np.nan for each in differences])
    deviations = np.array([each.std(ddof=1) if len(each) > 1 else np.nan for each in differences])
    return judge_scores([_described(pair) for pair in pairs], means, deviations, level)
