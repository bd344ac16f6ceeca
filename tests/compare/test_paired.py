"""Verdicts: each is given where it must be, and nowhere else."""

from __future__ import annotations

import math
from zlib import crc32

import numpy as np
import pytest

from bench.compare.paired import judge_pairs
from bench.compare.pairs import PairSet
from bench.compare.verdicts import DEFAULT_PAIRS, Policy, Verdict

N = DEFAULT_PAIRS


def pair(change: float = 1.0, sd: float = 0.01, cell: str = "c", quantity: str = "step", n: int = N, base: float = 0.1):
    """Return times of two sides whose true ratio is `change`."""
    random = np.random.default_rng(crc32(f"{cell} {quantity} {n}".encode()))
    sides = base * np.exp(random.normal(0, sd, (2, n)))
    return PairSet(cell, quantity, sides[0], change * sides[1], planned=n)


def judged(*pairs: PairSet, policy: Policy | None = None, look: int = 1) -> list[Verdict]:
    return judge_pairs(pairs, policy or Policy(), look)


@pytest.mark.parametrize(
    ("change", "sd", "verdict"),
    [
        (1.0, 0.01, "same"),
        (1.10, 0.01, "regressed"),
        (1 / 1.10, 0.01, "improved"),
        (1.03, 0.01, "same"),  # significant, and within the margin
        (1.0, 0.15, "inconclusive"),
        (1.10, 0.30, "inconclusive"),
    ],
)
def test_a_time_is_judged_by_its_effect_its_interval_and_the_test(change: float, sd: float, verdict: str) -> None:
    (found,) = judged(pair(change, sd))
    assert found.verdict == verdict
    assert (found.n, found.planned) == (N, N)
    assert found.low <= found.effect <= found.high
    assert found.effect == pytest.approx(math.log(change), abs=sd)
    assert found.margin == pytest.approx(math.log(1.05))


def test_a_throughput_regresses_by_falling() -> None:
    found = judged(pair(1.10, quantity="throughput"), pair(1 / 1.10, quantity="throughput"))
    assert [one.verdict for one in found] == ["improved", "regressed"]
    assert found[1].effect < 0


def test_a_real_change_within_the_margin_is_no_regression_and_beyond_the_cells_own_margin_it_is() -> None:
    slower = pair(1.08, 0.005, cell="s/lstm@torch,fused,cpu,documented")
    assert judged(slower, policy=Policy(margin=0.10))[0].verdict == "same"
    strict = Policy(margin=0.10, margins={"s/lstm@*": 0.03, "*": 0.5})
    assert judged(slower, policy=strict)[0].verdict == "regressed"


def test_the_noise_of_the_machine_widens_the_margin_and_too_much_of_it_forbids_a_verdict() -> None:
    slower = pair(1.08, 0.005)
    assert judged(slower, policy=Policy(noise={"step": 0.05}))[0].verdict == "same"
    (found,) = judged(slower, policy=Policy(noise={"step": 0.08}))
    assert (found.verdict, found.needed) == ("not judged", None)
    assert found.reason == "machine too noisy: its noise floor is 8.0%, over 7.5% there is no verdict"
    assert judged(slower, policy=Policy(noise={"epoch": 0.5}))[0].verdict == "regressed"


def test_a_tenth_of_a_millisecond_is_nothing() -> None:
    assert judged(pair(1.2, base=0.0004))[0].verdict == "same"
    assert judged(pair(1.2, base=0.0006))[0].verdict == "regressed"
    assert judged(pair(1.2, base=0.0004, quantity="host_memory"))[0].verdict == "regressed"


def test_what_comes_once_counts_from_a_tenth_of_a_second_on() -> None:
    assert judged(pair(1.2, base=0.4, quantity="compile"))[0].verdict == "same"
    assert judged(pair(1.3, base=0.4, quantity="compile"))[0].verdict == "regressed"


def test_figures_too_small_to_count_are_the_same_whatever_their_noise() -> None:
    random = np.random.default_rng(0)
    sides = np.maximum(0, random.normal(0, 0.03, (2, N)))
    tiny = PairSet("c", "compile", np.append(sides[0], np.nan), np.append(sides[1], np.nan), planned=N + 1)
    (found,) = judged(tiny)
    assert (found.verdict, found.n, found.planned) == ("same", N, N + 1)
    assert found.reason == f"at most {sides.max():.2g} s on both sides; a change of 0.1 s would count"
    larger = PairSet("c", "compile", sides[0], sides[1] + 0.1, planned=N)
    assert judged(larger)[0].verdict != "same"


def test_few_pairs_give_no_verdict_and_say_how_many_are_needed() -> None:
    (found,) = judged(pair(2.0, n=7))
    assert (found.verdict, found.n, found.needed) == ("not judged", 7, DEFAULT_PAIRS)
    assert found.reason == "7 of 7 pairs: a verdict takes 8 at least, 12 as a rule"


def test_a_figure_that_is_no_number_counts_as_missing() -> None:
    spoiled = pair(1.10)
    spoiled.base[2] = np.nan
    spoiled.candidate[3] = np.inf
    spoiled.candidate[4] = 0.0
    (found,) = judged(spoiled)
    assert (found.verdict, found.n, found.planned) == ("regressed", N - 3, N)


def test_an_inconclusive_verdict_says_what_would_settle_it() -> None:
    (noisy,) = judged(pair(1.0, 0.08))
    assert noisy.verdict == "inconclusive"
    assert noisy.needed is not None
    assert noisy.needed > N
    assert noisy.reason == f"{noisy.needed} pairs would tell 8% from no change"
    (between,) = judged(pair(1.05, 0.01, n=40))
    assert (between.verdict, between.needed) == ("inconclusive", None)
    assert between.reason == "enough pairs to tell 8% from no change: the effect lies between"


def test_among_many_cells_the_slow_one_alone_is_called_slow() -> None:
    cells = [pair(1.08 if number == 7 else 1.0, 0.02, cell=f"cell {number}") for number in range(40)]
    found = judged(*cells)
    assert [one.cell for one in found] == [one.cell for one in cells]
    assert [one.cell for one in found if one.verdict == "regressed"] == ["cell 7"]


def test_cells_that_were_not_extended_are_judged_beside_those_that_were() -> None:
    found = judged(pair(1.10, n=N), pair(1.10, n=2 * N, quantity="epoch"), look=2)
    assert [(one.verdict, one.n) for one in found] == [("regressed", N), ("regressed", 2 * N)]
    with pytest.raises(ValueError, match="look must be 1 to 2"):
        judged(pair(), look=3)


def scores(*differences: float, quantity: str = "accuracy") -> PairSet:
    base = np.full(len(differences), 0.8)
    return PairSet("c", quantity, base, base + np.array(differences), planned=len(base))


@pytest.mark.parametrize(
    ("differences", "quantity", "verdict"),
    [
        ((-0.05, -0.052, -0.049, -0.051, -0.05), "accuracy", "regressed"),
        ((0.05, 0.052, 0.049, 0.051, 0.05), "accuracy", "improved"),
        ((0.05, 0.052, 0.049, 0.051, 0.05), "loss", "regressed"),
        ((0.001, -0.001, 0.002, -0.002, 0.0), "accuracy", "same"),
        ((0.0, 0.0, 0.0), "accuracy", "same"),
        ((0.004, 0.001, 0.009, 0.0, 0.006), "accuracy", "not worse"),
        ((-0.02, 0.01, -0.03, 0.02, 0.0), "accuracy", "inconclusive"),
        ((-0.05, -0.01, -0.03), "accuracy", "inconclusive"),  # worse, but three seeds do not prove it
    ],
)
def test_scores_are_judged_by_pairs_of_seeds(differences: tuple[float, ...], quantity: str, verdict: str) -> None:
    (found,) = judged(scores(*differences, quantity=quantity))
    assert found.verdict == verdict
    assert found.effect == pytest.approx(np.mean(differences))
    assert found.candidate - found.base == pytest.approx(found.effect)


def test_an_inconclusive_score_says_how_many_seeds_would_do() -> None:
    (found,) = judged(scores(-0.01, 0.01, 0.0))  # deviation 1 point: 10.8 (1/0.5)^2
    assert (found.verdict, found.needed) == ("inconclusive", 44)
    (one,) = judged(scores(-0.01))
    assert (one.verdict, one.needed, one.n, one.planned) == ("not judged", 3, 1, 1)


def test_more_cells_ask_for_more_evidence_before_a_score_has_regressed() -> None:
    lower = scores(-0.015, -0.02, -0.012, -0.018, -0.014)
    assert judged(lower)[0].verdict == "regressed"
    assert judged(lower, *[scores(0.0, 0.001, 0.0)] * 60)[0].verdict == "inconclusive"


def test_parameters_must_not_change_at_all() -> None:
    def counts(base: float, candidate: float) -> Verdict:
        return judged(PairSet("c", "parameters", np.full(3, base), np.full(3, candidate), planned=3))[0]

    assert counts(160_033, 160_033).verdict == "same"
    changed = counts(160_033, 160_065)
    assert (changed.verdict, changed.effect, changed.reason) == ("regressed", 32, "160,033 became 160,065")
    assert counts(160_065, 160_033).verdict == "regressed"
    assert counts(160_033, math.nan).verdict == "not judged"
