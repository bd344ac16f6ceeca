"""How a measured distribution is summarised and a documented figure judged against it: pure functions on arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Verdict = Literal["inside", "outside", "n too small", "not judged"]

LEVEL = 0.95
SMALLEST_SAMPLE = 5
"""A prediction interval of fewer runs is too wide to mean anything: t(.975, S-1) sqrt(1+1/S) is 4.97 at S = 3, 3.04 at
S = 5.
"""


@dataclass(frozen=True)
class Estimate:
    """The mean of `n` values and the half width of its interval (nan where `n` is too small for one)."""

    mean: float
    half: float
    n: int


@dataclass(frozen=True)
class Ratio:
    """A ratio and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Judgement:
    """What became of a documented figure: the prediction interval it was held against, or why it was not."""

    verdict: Verdict
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
    mean = float(array.mean()) if n else math.nan
    return Estimate(mean, _t(n) * _deviation(array) / math.sqrt(n) if n > 1 else math.nan, n)


def prediction_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the 95 % interval of one further run, mean +- t(.975, n-1) s sqrt(1 + 1/n).

    `values` has shape (n,), in any unit; (nan, nan) for n < 2. Source: Montgomery & Runger, ch. 8-6.1 (one future
    observation of a normal sample).
    """
    array = _sample(values)
    n = len(array)
    if n < 2:
        return math.nan, math.nan
    mean, half = float(array.mean()), _t(n) * _deviation(array) * math.sqrt(1 + 1 / n)
    return mean - half, mean + half


def ratio_interval(numerator: ArrayLike, denominator: ArrayLike) -> Ratio:
    """Return the ratio of two geometric means of times and its 95 % interval, unpaired and with unequal variances.

    Both have shape (n,), n >= 2, positive, in one unit: Welch's interval for the difference of the means of the
    logarithms. Source: Welch (1947), degrees of freedom by Satterthwaite; Montgomery & Runger, ch. 10-2.
    """
    logs = [np.log(_sample(values)) for values in (numerator, denominator)]
    difference = float(logs[0].mean() - logs[1].mean())
    shares = [float(log.var(ddof=1)) / len(log) for log in logs]
    if not sum(shares):
        return Ratio(math.exp(difference), math.exp(difference), math.exp(difference))
    freedom = sum(shares) ** 2 / sum(share**2 / (len(log) - 1) for share, log in zip(shares, logs, strict=True))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, freedom)) * math.sqrt(sum(shares))
    return Ratio(*(math.exp(difference + side * half) for side in (0, -1, 1)))


def binomial_half_width(accuracy: float, rows: int) -> float:
    """Return the 95 % uncertainty that a test set of `rows` items alone gives an accuracy: 1.96 sqrt(a(1-a)/rows).

    `accuracy` is 0 to 1, and so is the result. Source: the normal approximation of the binomial distribution (Wald
    interval).
    """
    return 1.96 * math.sqrt(accuracy * (1 - accuracy) / rows)


def judge(documented: float, values: ArrayLike, unjudged: str | None = None) -> Judgement:
    """Return whether `documented`, which is one run, lies in the 95 % prediction interval of the measured `values`.

    Judged from five values on. `unjudged` says why the figure may not be judged at all.
    """
    if unjudged:
        return Judgement("not judged", reason=unjudged)
    array = _sample(values)
    low, high = prediction_interval(array)
    if len(array) < SMALLEST_SAMPLE:
        return Judgement("n too small", low, high, f"{len(array)} of at least {SMALLEST_SAMPLE} seeds")
    return Judgement("inside" if low <= documented <= high else "outside", low, high)


def _sample(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(-1)


def _deviation(array: NDArray[np.float64]) -> float:
    return float(array.std(ddof=1))


@cache
def _t(n: int) -> float:
    return float(stats.t.ppf(0.5 + LEVEL / 2, n - 1))
