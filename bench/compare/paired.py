"""How two sides are judged: pairs measured together decide, stored runs advise (docs/method-judging.md)."""

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
    deviation_behind,
    fewest_pairs,
    flip_p_values,
    hodges_lehmann,
    paired,
    pairs_to_detect,
    seeds_for_equivalence,
)
from bench.records.metrics import Metric, metric

Outcome = Literal["failed", "regressed", "inconclusive", "not judged", "improved", "not worse", "same"]
"""Worst first. `failed`: the candidate has no figure where the base has one. `not worse`: a score that may have risen,
and has not fallen by its margin. `not judged`: no verdict may be given, and the reason says why.
"""

DEFAULT_PAIRS = 12
"""Pairs of a cell before its first verdict; an inconclusive one gets as many again. Error rates: reports/gate."""
LOOKS = 2
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

    def too_noisy(self, judged: Metric) -> str | None:
        """Return why this machine's noise forbids a verdict on a quantity; None where it does not."""
        noise = self.noise.get(judged.name, 0.0)
        if 2 * noise <= TOO_NOISY:
            return None
        return f"machine too noisy: its noise floor is {noise:.1%}, over {TOO_NOISY / 2:.1%} there is no verdict"


def too_small(largest: float, judged: Metric) -> str:
    """Return why figures of at most `largest` on both sides are the same."""
    return f"at most {largest:.2g} s on both sides; a change of {judged.floor:g} s would count"


@dataclass(frozen=True)
class PairSet:
    """One quantity of one cell on both sides: arrays (n,), entries i measured as a pair, nan where one is missing.

    Entry i of a time or memory is repeat i, and entries i of all cells were measured in the same block. Entries of a
    score (accuracy, loss) are seeds, one each. `of` pairs of this cell were measured, or begun, on either side: fewer
    than there are entries where only other cells got more.
    """

    cell: str
    quantity: str
    base: Floats
    candidate: Floats
    of: int

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Return which pairs have a figure on both sides, (n,); one that is compared by its ratio must be positive."""
        least = 0.0 if metric(self.quantity).kind in ("time", "memory") else -math.inf
        return np.isfinite(self.base) & np.isfinite(self.candidate) & (np.minimum(self.base, self.candidate) > least)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one quantity of one cell.

    `effect` and its 95 % interval `low` to `high` are ln(candidate / base) of times and memory, candidate - base of
    scores; nan where there is none. `base` and `candidate` are medians, of scores means. `n` of `of` pairs had a figure
    on both sides; with `needed` pairs it would be settled. `margin` is in the unit of `effect`.
    """

    cell: str
    quantity: str
    verdict: Outcome
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    of: int = 0
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
        order = {outcome: place for place, outcome in enumerate(get_args(Outcome))}

        def size(one: Verdict) -> float:
            # An effect that could not be worked out is NaN, which no order has a place for.
            return 0.0 if one.effect is None or math.isnan(one.effect) else abs(one.effect)

        return sorted(self.verdicts, key=lambda one: (order[one.verdict], -size(one), one.cell))

    def counts(self) -> dict[Outcome, int]:
        """Return how many verdicts there are of each outcome that occurs, worst first."""
        found = Counter(one.verdict for one in self.verdicts)
        return {outcome: found[outcome] for outcome in get_args(Outcome) if found[outcome]}

    def exit_code(self, strict: bool) -> int:
        """Return 3 where nothing was judged, 1 where something failed or regressed (`strict`: or is open), else 0."""
        found = self.counts()
        if not found.keys() - {"not judged"}:
            return 3
        bad = {"failed", "regressed"} | ({"inconclusive", "not judged"} if strict else set())
        return 1 if found.keys() & bad else 0


def judge_pairs(pairs: Sequence[PairSet], policy: Policy, look: int) -> list[Verdict]:
    """Return a verdict for each of `pairs`, in their order, at look 1 or 2 at the data.

    Hand over all cells at both looks, also those that got no further pairs: they are one family, whose error rate
    `policy.level` is split evenly between the looks.
    """
    if look not in range(1, LOOKS + 1):
        raise ValueError(f"look must be 1 to {LOOKS}, got {look}")
    level = policy.level / LOOKS
    families: dict[str, list[int]] = {}
    for place, one in enumerate(pairs):
        families.setdefault(metric(one.quantity).kind, []).append(place)
    ratios = sorted(families.get("time", []) + families.get("memory", []))
    scores, counts = families.get("score", []), families.get("count", [])
    judged = [
        *zip(ratios, _judge_ratios([pairs[place] for place in ratios], policy, level), strict=True),
        *zip(scores, _judge_scores([pairs[place] for place in scores], level), strict=True),
        *(
            (place, judge_count(_described(pairs[place]), pairs[place].base, pairs[place].candidate))
            for place in counts
        ),
    ]
    return [verdict for _, verdict in sorted(judged, key=lambda one: one[0])]


def outcomes(
    effect: ArrayLike, low: ArrayLike, high: ArrayLike, worse: ArrayLike, better: ArrayLike, margin: ArrayLike
) -> NDArray[np.str_]:
    """Return regressed, improved, same or inconclusive, in this order, for arrays of one shape.

    `effect` and its interval are positive where the candidate is worse, and in the unit of `margin`; `worse` and
    `better` say whether a test found an effect of that sign.
    """
    effect, low, high, margin = (np.asarray(one) for one in (effect, low, high, margin))
    conditions = [
        np.asarray(worse) & (effect >= margin),
        np.asarray(better) & (effect <= -margin),
        (low >= -margin) & (high <= margin),
    ]
    return np.select(conditions, ["regressed", "improved", "same"], "inconclusive")


def as_outcome(name: NDArray[np.str_] | np.str_) -> Outcome:
    """Return one of the names that `outcomes` gives."""
    return cast(Outcome, str(name))


def _described(pair: PairSet) -> Verdict:
    """Return the figures of a pair without a verdict."""
    complete = pair.complete
    middle = np.mean if metric(pair.quantity).kind == "score" else np.median
    figures = [float(middle(side[complete])) if complete.any() else math.nan for side in (pair.base, pair.candidate)]
    return Verdict(
        pair.cell,
        pair.quantity,
        "not judged",
        n=int(complete.sum()),
        of=pair.of,
        base=figures[0],
        candidate=figures[1],
    )


# --- times and memory --------------------------------------------------------------------------------------------


def _judge_ratios(pairs: Sequence[PairSet], policy: Policy, level: float) -> list[Verdict]:
    verdicts, judged = [], []
    fewest = fewest_pairs(level)
    for place, pair in enumerate(pairs):
        measured, verdict = metric(pair.quantity), _described(pair)
        margin = policy.margin_of(pair.cell, measured, verdict.base)
        few = f"{verdict.n} of {verdict.of} pairs: a verdict takes {fewest} at least, {DEFAULT_PAIRS} as a rule"
        noisy = policy.too_noisy(measured)
        known = np.isfinite(pair.base + pair.candidate)
        largest = np.maximum(pair.base, pair.candidate)[known].max(initial=0.0)
        if known.sum() >= fewest and largest <= measured.floor:
            verdict = replace(verdict, verdict="same", n=int(known.sum()), reason=too_small(largest, measured))
        elif noisy or verdict.n < fewest:
            verdict = replace(verdict, needed=None if noisy else DEFAULT_PAIRS, reason=noisy or few)
        else:
            judged.append(place)
        verdicts.append(replace(verdict, margin=margin))
    if judged:
        table = _logarithms([pairs[place] for place in judged])
        larger, smaller = (p <= level for p in flip_p_values(table))
        for row, place in enumerate(judged):
            differences = table[row, ~np.isnan(table[row])]
            verdicts[place] = _judge_ratio(verdicts[place], differences, bool(larger[row]), bool(smaller[row]))
            if verdicts[place].verdict == "inconclusive":
                deviation = deviation_behind(hodges_lehmann(differences), len(differences))
                verdicts[place] = unsettled(verdicts[place], deviation, len(judged), level, "pairs")
    return verdicts


def _logarithms(pairs: Sequence[PairSet]) -> Floats:
    """Return ln(candidate/base), a row for each cell and a column for each block; nan where a pair is not complete."""
    table = np.full((len(pairs), max(len(pair.base) for pair in pairs)), np.nan)
    for row, pair in zip(table, pairs, strict=True):
        complete = pair.complete
        row[: len(complete)][complete] = np.log(pair.candidate[complete] / pair.base[complete])
    return table


def _judge_ratio(verdict: Verdict, differences: Floats, larger: bool, smaller: bool) -> Verdict:
    """Judge one cell; a test found the candidate's figures `larger`, or `smaller`."""
    shift = hodges_lehmann(differences)
    effect, low, high = float(shift.estimate), float(shift.low), float(shift.high)
    verdict = replace(verdict, effect=effect, low=low, high=high)
    if metric(verdict.quantity).better == "higher":
        effect, low, high, larger, smaller = -effect, -high, -low, smaller, larger
    return replace(verdict, verdict=as_outcome(outcomes(effect, low, high, larger, smaller, verdict.margin)))


def unsettled(verdict: Verdict, deviation: float, cells: int, level: float, what: str) -> Verdict:
    """Return an inconclusive verdict on a ratio with the number of pairs that would do; `what` is what they are called.

    `deviation` is that of one pair's difference; `cells` and `level` belong to the family that was tested.
    """
    margin = math.expm1(verdict.margin)
    # Rounded, as thousands of cells that differ in the fourth digit need not be planned for one by one.
    needed = pairs_to_detect(float(f"{deviation:.1e}"), float(f"{margin:.3g}"), cells, level)
    slower = f"{margin + EXCESS:.0%}"
    if needed >= MOST_PAIRS:
        return replace(verdict, reason=f"too noisy: to tell {slower} from no change takes over {MOST_PAIRS} {what}")
    if needed <= verdict.n:
        return replace(verdict, reason=f"enough {what} to tell {slower} from no change: the effect lies between")
    return replace(verdict, needed=needed, reason=f"{needed} {what} would tell {slower} from no change")


# --- scores ------------------------------------------------------------------------------------------------------


def _judge_scores(pairs: Sequence[PairSet], level: float) -> list[Verdict]:
    differences = [(pair.candidate - pair.base)[pair.complete] for pair in pairs]
    means = np.array([one.mean() if len(one) else np.nan for one in differences])
    deviations = np.array([one.std(ddof=1) if len(one) > 1 else np.nan for one in differences])
    return judge_scores([_described(pair) for pair in pairs], means, deviations, level)


def judge_scores(verdicts: Sequence[Verdict], means: Floats, deviations: Floats, level: float) -> list[Verdict]:
    """Return the verdicts on scores whose `n` paired differences (candidate - base) have these means and deviations.

    Regressed: the mean is worse by the margin, and Student's test finds it worse at `level` over all cells together
    (Bonferroni). Same: two one-sided tests, each at 5 %, find it within the margin. Not worse: the one against the
    margin's bad end does. Those are not corrected: of the cells that lost as much as the margin, 5 % pass. A score
    that has no margin is not judged.
    """
    n = np.array([verdict.n for verdict in verdicts])
    margins = np.array([metric(verdict.quantity).margin for verdict in verdicts], dtype=float)  # None: nan
    worse_way = np.array([-1.0 if metric(verdict.quantity).better == "higher" else 1.0 for verdict in verdicts])
    student = paired(n, worse_way * means, deviations)
    effects, bounds, intervals = student.difference, student.half(2 * LEVEL - 1), student.half(LEVEL)
    tested = int(np.count_nonzero((n > 1) & ~np.isnan(margins)))
    worse, better = (p <= level / max(1, tested) for p in student.p_values())
    names = outcomes(effects, effects - bounds, effects + bounds, worse, better, margins)
    names = np.where((names == "inconclusive") & (effects + bounds <= margins), "not worse", names)
    found = []
    for place, verdict in enumerate(verdicts):
        effect, half = float(means[place]), float(intervals[place])
        verdict = replace(verdict, margin=float(margins[place]), effect=effect)
        if math.isnan(verdict.margin):
            verdict = replace(verdict, reason=f"no margin is set for {verdict.quantity} (bench/records/metrics.py)")
        elif verdict.n < 2:
            verdict = replace(
                verdict, needed=2, reason=f"{verdict.n} of {verdict.of} seeds: a verdict takes 2 at least"
            )
        else:
            verdict = replace(verdict, verdict=as_outcome(names[place]), low=effect - half, high=effect + half)
        if verdict.verdict == "inconclusive":
            needed = seeds_for_equivalence(float(deviations[place]), verdict.margin)
            more = needed > verdict.n
            reason = f"{needed} seeds would show equal sides to be equal" if more else "the effect lies at its margin"
            verdict = replace(verdict, needed=needed if more else None, reason=reason)
        found.append(verdict)
    return found


# --- counts ------------------------------------------------------------------------------------------------------


def judge_count(verdict: Verdict, base: ArrayLike, candidate: ArrayLike) -> Verdict:
    """Return the verdict on a figure that must not change at all; every value of a side counts."""
    sides = [
        sorted({float(value) for value in np.asarray(side).tolist() if math.isfinite(value)})
        for side in (base, candidate)
    ]
    if not all(sides):
        return replace(verdict, reason="no figure on one side")
    if sides[0] == sides[1]:
        return replace(verdict, verdict="same", effect=0.0)
    before, after = (" or ".join(f"{value:,.0f}" for value in side) for side in sides)
    return replace(
        verdict, verdict="regressed", effect=verdict.candidate - verdict.base, reason=f"{before} became {after}"
    )
