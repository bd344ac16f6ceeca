"""How distributions are summarised, documented figures judged, and two sides compared: pure functions on arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import numpy as np
import scipy  # loads scipy.special when it is used: 15 MB
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Sides = tuple[ArrayLike, ArrayLike]
Agreement = Literal["outside", "inside", "too variable to judge", "n too small", "not judged"]
"""What became of a documented figure; of several backends the first that any of them gives stands for all."""

LEVEL = 0.95
SMALLEST_SAMPLE = 5
"""A prediction interval of fewer runs is too wide to mean anything: t(.975, S-1) sqrt(1+1/S) is 4.97 at S = 3, 3.04 at
S = 5.
"""
WIDEST = 0.1
"""A prediction interval wider than 10 points of accuracy says nothing about a documented figure."""


@dataclass(frozen=True)
class Estimate:
    """The mean of `n` values and the half width of its interval (nan where `n` is too small for one)."""

    mean: float
    ci_half_width: float
    n: int


@dataclass(frozen=True)
class Ratio:
    """A ratio and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Judgement:
    """What became of a documented figure: the prediction interval of further runs, or why it was not judged by it."""

    verdict: Agreement
    low: float = math.nan
    high: float = math.nan
    reason: str = ""


def mean_interval(values: ArrayLike) -> Estimate:
    """Return the mean of `values` and the half width of its 95 % interval, t(.975, n-1) s / sqrt(n).

    `values` has shape (n,); the half width is nan for n < 2. Source: Student (1908); any textbook, e.g. Montgomery &
    Runger, ch. 8-2.
    """
    array = _sample(values)
    n = len(array)
    if n < 2:
        return Estimate(float(array.mean()) if n else math.nan, math.nan, n)
    student = paired(n, array.mean(), _deviation(array))
    return Estimate(float(student.difference), float(student.half_width(LEVEL)), n)


def prediction_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the 95 % interval of one further run, mean +- t(.975, n-1) s sqrt(1 + 1/n).

    `values` has shape (n,), in any unit; (nan, nan) for n < 2. Source: Montgomery & Runger, ch. 8-6.1 (one future
    observation of a normal sample).
    """
    found = mean_interval(values)
    half_width = found.ci_half_width * math.sqrt(found.n + 1)
    return found.mean - half_width, found.mean + half_width


def ratio_interval(numerator: ArrayLike, denominator: ArrayLike) -> Ratio:
    """Return the ratio of two geometric means of times and its 95 % interval, unpaired and with unequal variances.

    Both have shape (n,), n >= 2, positive, in one unit: Welch's interval (`welch`) for the difference of the means of
    the logarithms.
    """
    logs = [np.log(_sample(values)) for values in (denominator, numerator)]
    student = welch(
        (len(logs[0]), len(logs[1])), (logs[0].mean(), logs[1].mean()), (_deviation(logs[0]), _deviation(logs[1]))
    )
    difference, half_width = float(student.difference), float(student.half_width(LEVEL))
    return Ratio(*(math.exp(difference + side * half_width) for side in (0, -1, 1)))


def binomial_half_width(accuracy: float, rows: int) -> float:
    """Return the 95 % uncertainty that a test set of `rows` items alone gives an accuracy: 1.96 sqrt(a(1-a)/rows).

    `accuracy` is 0 to 1, and so is the result. Source: the normal approximation of the binomial distribution (Wald
    interval).
    """
    return 1.96 * math.sqrt(accuracy * (1 - accuracy) / rows)


def judge(documented: float, values: ArrayLike, unjudged: str | None = None) -> Judgement:
    """Return whether `documented`, which is one run, lies in the 95 % prediction interval of the measured `values`.

    All are accuracies, 0 to 1. Judged from five values on, and where the interval is at most `WIDEST` wide. `unjudged`
    says why the figure cannot be judged.
    """
    if unjudged:
        return Judgement("not judged", reason=unjudged)
    array = _sample(values)
    low, high = prediction_interval(array)
    if len(array) < SMALLEST_SAMPLE:
        return Judgement("n too small", low, high, f"{len(array)} of at least {SMALLEST_SAMPLE} seeds")
    if high - low > WIDEST:
        return Judgement("too variable to judge", low, high, f"interval {100 * (high - low):.1f} points wide")
    return Judgement("inside" if low <= documented <= high else "outside", low, high)


def _sample(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(-1)


def _deviation(array: NDArray[np.float64]) -> float:
    return float(array.std(ddof=1))


# --- two sides, measured in pairs --------------------------------------------------------------------------------

MOST_FLIPS = 2**13
"""All sign flips of up to 13 pairs are tried, as many random ones of more."""
CUTOFF = 4.685
"""Standard deviations from the others at which a difference's size counts nothing any more in the test: the usual
constant of Tukey's biweight, which keeps 95 % of the mean's efficiency on normal data (Holland & Welsch 1977).
"""


@dataclass(frozen=True)
class Shifts:
    """Estimates with their intervals, arrays of one shape."""

    estimate: Floats
    low: Floats
    high: Floats


def hodges_lehmann(differences: ArrayLike, level: float = LEVEL) -> Shifts:
    """Return the Hodges-Lehmann estimate of the centre of `differences` (..., n) and its signed-rank interval.

    The estimate is the median of the n(n+1)/2 Walsh averages (d_i + d_j)/2, i <= j; the interval leaves out as many of
    them at each end as Wilcoxon's signed-rank statistic falls below with probability (1 - level)/2. It is infinite
    where n is too small for the level (n < 6 at 95 %). Source: Hollander, Wolfe & Chicken (2014), Nonparametric
    Statistical Methods, 3rd ed., sections 3.2 and 3.3.
    """
    array = np.asarray(differences, dtype=np.float64)
    n = array.shape[-1]
    first, second = np.triu_indices(n)
    walsh = np.sort((array[..., first] + array[..., second]) / 2, axis=-1)
    estimate = np.median(walsh, axis=-1)
    outside = int(np.searchsorted(_signed_rank_cdf(n), (1 - level) / 2, side="right")) - 1
    if outside < 0:
        endless = np.full_like(estimate, np.inf)
        return Shifts(estimate, -endless, endless)
    return Shifts(estimate, walsh[..., outside], walsh[..., -1 - outside])


@cache
def _signed_rank_cdf(n: int) -> Floats:
    """Return P(T+ <= t) for t = 0 ... n(n+1)/2: each rank is in the sum of the positive ones with probability 1/2."""
    masses = np.ones(1)
    for rank in range(1, n + 1):
        masses = (np.pad(masses, (0, rank)) + np.pad(masses, (rank, 0))) / 2
    return masses.cumsum()


def flip_p_values(differences: ArrayLike, seed: int = 0) -> tuple[Floats, Floats]:
    """Return one-sided p-values of m cells, adjusted for all of them: that a cell's differences are > 0, and < 0.

    `differences` has shape (m, n), column i holding the pairs measured together; nan where a cell has no such pair.
    Were there no difference, every column could as well have had the other sign. Each flip of the columns' signs, the
    same for all cells, gives a largest studentised mean over the cells; a cell's p-value is the share of flips whose
    largest one reaches the cell's own. Their family-wise error rate is at most the level they are held against, however
    the cells depend on each other. Source: Westfall & Young (1993), Resampling-Based Multiple Testing, ch. 2.3
    (single-step max-T); Phipson & Smyth (2010) for counting the flip that was observed.

    The mean is taken of differences that Tukey's biweight (Beaton & Tukey 1974) weighs by how far their size lies from
    the sizes of the cell's others: one spike among 12 pairs otherwise hides any slowdown (docs/method-judging.md). No
    flip changes a size, so flipping the weighted differences is the same as weighing the flipped ones, and the test
    stays exact: of all flips of any data, a share of p at most has a p-value of p or less. Of more than 13 pairs the
    flips are random ones, the observed among them (Hemerik & Goeman 2018, TEST 27).
    """
    weighted = _biweight(np.atleast_2d(np.asarray(differences, dtype=np.float64)))
    counts = np.count_nonzero(~np.isnan(weighted), axis=1)
    filled = np.nan_to_num(weighted)
    # A flip leaves the sum of squares alone: with that at n, the studentised mean depends on the mean only.
    norms = np.sqrt((filled**2).sum(axis=1) / counts)
    unit = filled / np.where(norms > 0, norms, 1)[:, None]
    observed = _studentised(np.ones((1, unit.shape[1])), unit, counts)[0]
    flips = _flips(unit.shape[1], seed)
    largest = np.concatenate(
        [_studentised(part, unit, counts).max(axis=1) for part in np.array_split(flips, max(1, len(flips) // 1024))]
    )
    # Rounding must not tell a flip that changes nothing from what was observed.
    largest = np.sort(largest + 1e-9 * np.abs(largest) + 1e-12)
    greater, less = (1 - np.searchsorted(largest, t) / len(largest) for t in (observed, -observed))
    return greater, less


def _biweight(differences: Floats) -> Floats:
    """Return d (1 - u^2)^2 where |u| < 1, else 0; nan stays.

    u is the distance of |d| from the row's median |d|, over `CUTOFF` times the standard deviation that belongs to the
    row's median absolute deviation. Rows more than half of whose sizes are equal stay as they are.
    """
    sizes = np.abs(differences)
    distances = sizes - np.nanmedian(sizes, axis=1, keepdims=True)
    cutoff = CUTOFF * np.nanmedian(np.abs(distances), axis=1, keepdims=True) / scipy.special.ndtri(0.75)
    u = np.divide(distances, cutoff, out=np.zeros_like(differences), where=cutoff > 0)
    weighted: Floats = differences * np.where(np.abs(u) >= 1, 0, (1 - u**2) ** 2)
    return weighted


def _studentised(signs: Floats, unit: Floats, counts: NDArray[np.intp]) -> Floats:
    """Return t-statistics (flips, m) of rows whose squares sum to their count."""
    means = signs @ unit.T / counts
    t: Floats = means * np.sqrt(counts - 1) / np.sqrt(np.maximum(1 - means**2, 1e-12))
    return t


@lru_cache(maxsize=8)
def _flips(n: int, seed: int) -> Floats:
    """Return sign flips (flips, n), closed under negation, so that both sides of a test share one distribution."""
    if 2**n <= MOST_FLIPS:
        return np.where((np.arange(2**n)[:, None] >> np.arange(n)) & 1, -1.0, 1.0)
    drawn = np.random.default_rng(seed).choice([-1.0, 1.0], (MOST_FLIPS // 2, n))
    drawn[0] = 1
    return np.concatenate([drawn, -drawn])


def noise_floor(effects: ArrayLike) -> float:
    """Return the 95th percentile of |effect|, as a relative change, over comparisons of a thing with itself.

    `effects` are logarithms of ratios, at least `SMALLEST_NOISE` of them; raises `ValueError` for fewer.
    """
    array = _sample(effects)
    if len(array) < SMALLEST_NOISE:
        raise ValueError(f"a noise floor needs {SMALLEST_NOISE} comparisons, got {len(array)}")
    return float(np.expm1(np.quantile(np.abs(array), 0.95)))


SMALLEST_NOISE = 40


def fewest_pairs(level: float) -> int:
    """Return how many pairs the flip test needs to reach `level` at all: of n pairs, 2^-n is the smallest p-value."""
    return math.ceil(-math.log2(level))


@lru_cache(maxsize=1024)
def pairs_to_detect(deviation: float, margin: float, cells: int, level: float) -> int:
    """Return with how many pairs a slowdown of `margin` + `EXCESS` is called one 95 times in 100; at most `MOST_PAIRS`.

    `deviation` is the standard deviation of a difference of logarithms, sqrt(2) times that of a process. Two things
    must hold: the estimate exceeds the margin, n >= (z(.95) sqrt(pi/3) deviation / ln((1+margin+EXCESS)/(1+margin)))^2,
    where pi/3 is the variance of the Hodges-Lehmann estimate over that of the mean (Lehmann 1975, Nonparametrics, ch.
    4.2); and the test reaches `level` over `cells` of them: the non-central t distribution with Bonferroni's bound.
    """
    from scipy.stats import nct  # loads all of scipy.stats, 60 MB that nothing else here needs

    effect, room = math.log1p(margin + EXCESS), math.log((1 + margin + EXCESS) / (1 + margin))
    over_margin = (scipy.special.ndtri(0.95) * HODGES_LEHMANN_LOSS * deviation / room) ** 2
    n = np.arange(fewest_pairs(level), MOST_PAIRS + 1)
    power = nct.sf(-scipy.special.stdtrit(n - 1, level / cells), n - 1, effect * np.sqrt(n) / max(deviation, 1e-9))
    enough = (power >= 0.95) & (n >= over_margin)
    return int(n[np.argmax(enough)]) if enough.any() else MOST_PAIRS


def deviation_behind(shift: Shifts, n: int) -> float:
    """Return the standard deviation of the differences that gives `n` of them the interval of `shift`."""
    half_width = float(shift.high - shift.low) / 2
    return half_width * math.sqrt(n) / (float(scipy.special.ndtri(0.5 + LEVEL / 2)) * HODGES_LEHMANN_LOSS)


EXCESS = 0.03
"""How far beyond its margin a change must be for the promise to find it."""
MOST_PAIRS = 1000
HODGES_LEHMANN_LOSS = math.sqrt(math.pi / 3)


# --- two sides, judged by their means ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Student:
    """Differences of means, with their standard errors and degrees of freedom: arrays of one shape."""

    difference: Floats
    error: Floats
    freedom: Floats

    def half_width(self, level: float) -> Floats:
        """Return the half width of the two-sided interval; nan without a degree of freedom."""
        half_width: Floats = scipy.special.stdtrit(self.freedom, 0.5 + level / 2) * self.error
        return half_width

    def p_values(self) -> tuple[Floats, Floats]:
        """Return the one-sided p-values that the difference is > 0, and < 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where((self.difference == 0) & (self.error == 0), 0.0, self.difference / self.error)
        return np.asarray(scipy.special.stdtr(self.freedom, -t)), np.asarray(scipy.special.stdtr(self.freedom, t))


def paired(n: ArrayLike, mean: ArrayLike, deviation: ArrayLike) -> Student:
    """Return the mean of `n` paired differences, given its mean and standard deviation: Student's t, n - 1 degrees.

    Source: Student (1908); scipy.stats.ttest_1samp.
    """
    size, centre, spread = (np.asarray(each, dtype=np.float64) for each in (n, mean, deviation))
    return Student(centre, spread / np.sqrt(size), size - 1)


def welch(n: Sides, mean: Sides, deviation: Sides) -> Student:
    """Return candidate minus base of two independent samples, each argument (base, candidate).

    Error s with s^2 = s1^2/n1 + s2^2/n2, degrees of freedom s^4 / (s1^4/(n1^2(n1-1)) + s2^4/(n2^2(n2-1))). Source:
    Welch (1947), Biometrika 34; scipy.stats.ttest_ind(equal_var=False).
    """
    sizes, spreads = ([np.asarray(each, dtype=np.float64) for each in sides] for sides in (n, deviation))
    squares = [spread**2 / size for spread, size in zip(spreads, sizes, strict=True)]
    total = squares[0] + squares[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = sum(square**2 / (size - 1) for square, size in zip(squares, sizes, strict=True))
        # Two samples without any spread have no degrees of freedom of their own: those of the smaller one are safe.
        freedom = np.where(total > 0, total**2 / parts, np.minimum(*sizes) - 1)
    return Student(np.asarray(mean[1]) - np.asarray(mean[0]), np.sqrt(total), freedom)


def seeds_for_equivalence(deviation: float, margin: float) -> int:
    """Return how many seed pairs show with power .9 that equal sides are: 10.8 (deviation / margin)^2, rounded up.

    `deviation` is that of the paired differences, in the unit of `margin`; (2 z(.95))^2 = 10.8. Source: Chow, Shao &
    Wang (2008), Sample Size Calculations in Clinical Research, ch. 3.1 (two one-sided tests, equal means).
    """
    return max(2, math.ceil((2 * float(scipy.special.ndtri(0.95)) * deviation / margin) ** 2))
