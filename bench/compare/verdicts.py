"""What a verdict is, and by which rule it is given: pairs decide, stored runs advise (docs/method-judging.md)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.compare.statistics import (
    EXCESS,
    LEVEL,
    MOST_PAIRS,
    Floats,
    paired,
    pairs_to_detect,
    seeds_for_equivalence,
)
from bench.records.metrics import Metric, metric

Outcome = Literal["failed", "regressed", "inconclusive", "not judged", "improved", "not worse", "same"]
"""Worst first. `failed`: the candidate has no figure where the base has one. `not worse`: a score that may have risen,
and has not fallen by its margin. `not judged`: no verdict may be given, and the reason says why.
"""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

DEFAULT_PAIRS = 12
"""Pairs of a cell before its first verdict; an inconclusive one gets as many again. Error rates: reports/gate."""
LOOKS = 2
FEWEST = 3
"""Seeds, or stored processes of a side, below which there is no verdict, no effect and no interval."""
TOO_NOISY = 0.15


@dataclass(frozen=True)
class Policy:
    """What counts as a change. Margins are relative (0.05 is 5 %), `level` is the family-wise error rate.

    `margin` is that of times: 3 % on a dedicated GPU, 5 % on a quiet CPU, 10 % on a shared one. `margins` replaces it
    by cell name pattern, the first that fits; that of memory is 5 %. `noise` holds this machine's noise floors.
    """

    margin: float = 0.05
    margins: Mapping[str, float] = field(default_factory=dict)
    noise: Mapping[str, float] = field(default_factory=dict)
    level: float = 0.01

    def margin_of(self, cell: str, judged: Metric, base: float) -> float:
        """Return the margin of a time or memory whose base figure is `base`, as a logarithm.

        It is the configured one, twice the machine's noise floor, or what its floor is of the base: whichever is
        largest.
        """
        fitting = (margin for pattern, margin in self.margins.items() if fnmatchcase(cell, pattern))
        configured = next(fitting, self.margin) if judged.margin is None else judged.margin
        floor = judged.floor / base if base > 0 else 0.0
        return math.log1p(max(configured, 2 * self.noise.get(judged.name, 0.0), floor))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one quantity of one cell.

    `effect` and its 95 % interval `low` to `high` are ln(candidate / base) of times and memory, candidate - base of
    scores; nan where there is none. `base` and `candidate` are medians, of scores means, of stored times and memory
    geometric means, whose ratio the effect is. `n` of `planned` pairs had a figure on both sides; with `needed` pairs
    it would be settled. `margin` is in the unit of `effect`.
    """

    cell: str
    quantity: str
    verdict: Outcome
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    planned: int = 0
    base: float = math.nan
    candidate: float = math.nan
    margin: float = math.nan
    needed: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two sides by name, and what became of them.

    `paired` says whether they were measured in turn, which alone is proof. `changed` is what differs between the
    environments, `caveats` what must be said beside the verdicts. A verdict whose quantity is "" is on a whole cell.
    """

    base: str
    candidate: str
    paired: bool
    policy: Policy
    verdicts: tuple[Verdict, ...]
    changed: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()

    def worst_first(self) -> list[Verdict]:
        """Return the verdicts by outcome, the larger effects first."""

        def place(verdict: Verdict) -> tuple[int, float, str]:
            # An effect that could not be worked out is NaN, which no order has a place for.
            size = 0.0 if math.isnan(verdict.effect) else abs(verdict.effect)
            return OUTCOMES.index(verdict.verdict), -size, verdict.cell

        return sorted(self.verdicts, key=place)

    def counts(self) -> dict[Outcome, int]:
        """Return how many verdicts there are of each outcome that occurs, worst first."""
        found = Counter(verdict.verdict for verdict in self.verdicts)
        return {outcome: found[outcome] for outcome in OUTCOMES if found[outcome]}

    def exit_code(self, strict: bool) -> int:
        """Return 3 where nothing was judged, 1 where something failed or regressed (`strict`: or is open), else 0."""
        found = self.counts()
        if not found.keys() - {"not judged"}:
            return 3
        bad = {"failed", "regressed"} | ({"inconclusive", "not judged"} if strict else set())
        return 1 if found.keys() & bad else 0


def outcomes(
    effect: ArrayLike, low: ArrayLike, high: ArrayLike, worse: ArrayLike, better: ArrayLike, margin: ArrayLike
) -> NDArray[np.str_]:
    """Return regressed, improved, same or inconclusive, in this order, for arrays of one shape.

    `effect` and its interval are positive where the candidate is worse, and in the unit of `margin`; `worse` and
    `better` say whether a test found an effect of that sign.
    """
    effect, low, high, margin = map(np.asarray, (effect, low, high, margin))
    conditions = [
        np.asarray(worse) & (effect >= margin),
        np.asarray(better) & (effect <= -margin),
        (low >= -margin) & (high <= margin),
    ]
    return np.select(conditions, ["regressed", "improved", "same"], "inconclusive")


def _worse_way(verdicts: Sequence[Verdict]) -> Floats:
    """Return the sign of an effect that is worse, 1 or -1, for each verdict."""
    return np.array([-1.0 if metric(verdict.quantity).better == "higher" else 1.0 for verdict in verdicts])


# --- times and memory --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tested:
    """What a test says of m ratios together, ln(candidate / base): arrays (m,).

    `low` to `high` is the 95 % interval, `deviation` the standard deviation of one pair's difference. `larger` and
    `smaller` are one-sided p-values, adjusted for all `cells` of the family, which are held against `level`. `pairs`
    is what pairs are called.
    """

    level: float
    cells: int
    pairs: str
    effect: Floats
    low: Floats
    high: Floats
    larger: Floats
    smaller: Floats
    deviation: Floats


def screened(verdict: Verdict, policy: Policy, known: int, largest: float, fewest: int, few: str) -> Verdict:
    """Return the verdict on a ratio that needs no test, with its reason; `verdict` itself where one is to be made.

    `known` pairs have figures, of at most `largest`. A test takes `fewest` usable ones, of which `few` speaks.
    """
    judged = metric(verdict.quantity)
    if known >= fewest and largest <= judged.floor:
        reason = f"at most {largest:.2g} s on both sides; a change of {judged.floor:g} s would count"
        return replace(verdict, verdict="same", n=known, reason=reason)
    noise = policy.noise.get(judged.name, 0.0)
    if 2 * noise > TOO_NOISY:
        reason = f"machine too noisy: its noise floor is {noise:.1%}, over {TOO_NOISY / 2:.1%} there is no verdict"
        return replace(verdict, reason=reason)
    if verdict.n < fewest:
        return replace(verdict, needed=DEFAULT_PAIRS, reason=f"{few} at least, {DEFAULT_PAIRS} as a rule")
    return verdict


def judge_ratios(verdicts: Sequence[Verdict], tested: Tested) -> list[Verdict]:
    """Return the verdicts on times and memory that were tested."""
    way, margins = _worse_way(verdicts), np.array([verdict.margin for verdict in verdicts])
    low, high = np.sort([way * tested.low, way * tested.high], axis=0)
    larger, smaller = tested.larger <= tested.level, tested.smaller <= tested.level
    worse, better = np.where(way > 0, [larger, smaller], [smaller, larger])
    names = outcomes(way * tested.effect, low, high, worse, better, margins)
    found = []
    for place, verdict in enumerate(verdicts):
        needed, reason = None, ""
        if names[place] == "inconclusive":
            needed, reason = _unsettled(verdict, float(tested.deviation[place]), tested)
        found.append(
            replace(
                verdict,
                verdict=cast(Outcome, str(names[place])),
                effect=float(tested.effect[place]),
                low=float(tested.low[place]),
                high=float(tested.high[place]),
                needed=needed,
                reason=reason,
            )
        )
    return found


def _unsettled(verdict: Verdict, deviation: float, tested: Tested) -> tuple[int | None, str]:
    """Return the number of pairs that would do where a ratio is inconclusive, if any does, and the reason in words."""
    margin = math.expm1(verdict.margin)
    # Rounded, as thousands of cells that differ in the fourth digit need not be planned for one by one.
    needed = pairs_to_detect(float(f"{deviation:.1e}"), float(f"{margin:.3g}"), tested.cells, tested.level)
    told = f"tell {margin + EXCESS:.0%} from no change"
    if needed >= MOST_PAIRS:
        return None, f"too noisy: to {told} takes over {MOST_PAIRS} {tested.pairs}"
    if needed <= verdict.n:
        return None, f"enough {tested.pairs} to {told}: the effect lies between"
    return needed, f"{needed} {tested.pairs} would {told}"


# --- scores and counts -------------------------------------------------------------------------------------------


def judge_scores(verdicts: Sequence[Verdict], means: Floats, deviations: Floats, level: float) -> list[Verdict]:
    """Return the verdicts on scores whose `n` paired differences (candidate - base) have these means and deviations.

    Regressed: the mean is worse by the margin, and Student's test finds it worse at `level` over all cells together
    (Bonferroni). Same: two one-sided tests, each at 5 %, find it within the margin. Not worse: the one against the
    margin's bad end does. Those are not corrected: of the cells that lost as much as the margin, 5 % pass. A score
    that has no margin is not judged.
    """
    n = np.array([verdict.n for verdict in verdicts])
    margins = np.array([metric(verdict.quantity).margin for verdict in verdicts], dtype=float)  # None: nan
    student = paired(n, _worse_way(verdicts) * means, deviations)
    effects, bounds = student.difference, student.half_width(2 * LEVEL - 1)
    tested = int(np.count_nonzero((n >= FEWEST) & ~np.isnan(margins)))
    worse, better = (p <= level / max(1, tested) for p in student.p_values())
    names = outcomes(effects, effects - bounds, effects + bounds, worse, better, margins)
    names = np.where((names == "inconclusive") & (effects + bounds <= margins), "not worse", names)
    columns = zip(verdicts, names, margins, means, deviations, student.half_width(LEVEL), strict=True)
    return [_score(verdict, str(name), *map(float, figures)) for verdict, name, *figures in columns]


def _score(verdict: Verdict, name: str, margin: float, mean: float, deviation: float, half_width: float) -> Verdict:
    if verdict.n < FEWEST:
        reason = f"too few to compare: {verdict.n} of {verdict.planned} seeds, a verdict takes {FEWEST}"
        return replace(verdict, margin=margin, effect=math.nan, needed=FEWEST, reason=reason)
    verdict = replace(verdict, margin=margin, effect=mean)
    if math.isnan(margin):
        return replace(verdict, reason=f"no margin is set for {verdict.quantity} (bench/records/metrics.py)")
    verdict = replace(verdict, verdict=cast(Outcome, name), low=mean - half_width, high=mean + half_width)
    if name != "inconclusive":
        return verdict
    needed = seeds_for_equivalence(deviation, margin)
    if needed <= verdict.n:
        return replace(verdict, reason="the effect lies at its margin")
    return replace(verdict, needed=needed, reason=f"{needed} seeds would show equal sides to be equal")


def judge_count(verdict: Verdict, base: ArrayLike, candidate: ArrayLike) -> Verdict:
    """Return the verdict on a figure that must not change at all; every value of a side counts."""
    before, after = (np.unique(values[np.isfinite(values)]) for values in map(np.asarray, (base, candidate)))
    if not (before.size and after.size):
        return replace(verdict, reason="no figure on one side")
    if np.array_equal(before, after):
        return replace(verdict, verdict="same", effect=0.0)
    told = " became ".join(" or ".join(f"{value:,.0f}" for value in side) for side in (before, after))
    return replace(verdict, verdict="regressed", effect=verdict.candidate - verdict.base, reason=told)
