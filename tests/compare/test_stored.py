"""Two stored sides: what may be compared, what is missing, and the verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats as reference

from bench.compare.sides import PLACE, Measured
from bench.compare.stored import compare
from bench.compare.verdicts import Comparison, Policy, Verdict
from bench.errors import Incomparable, NothingToCompare
from bench.records.metrics import METRICS, Metric

CELL = "s/lstm@torch,fused,cpu,documented"
ENVIRONMENT = {
    "cpu": "Example CPU",
    "cores": 2,
    "threads": 2,
    "gpus": [{"name": "H200", "driver": "570"}],
    "packages": {"torch": "2.12.0", "keras": "3.14.0", "numpy": "2.4.0"},
    "git": {"commit": "a" * 40, "dirty": False},
}


def side(
    *rows: Mapping[str, Any], name: str = "one", profile: str = "quick", environments: Sequence[Any] = (ENVIRONMENT,)
) -> Measured:
    known = {"cell": CELL, "seed": 0, "repeat": 0, "status": "ok", "reason": None, "data": "ab" * 32}
    frame = pd.DataFrame([known | row for row in rows], columns=[*PLACE, *METRICS])
    return Measured(name, profile, tuple(environments), frame.astype(dict.fromkeys(METRICS, float)))


def repeats(quantity: str, values: Sequence[float], cell: str = CELL) -> list[dict[str, Any]]:
    return [{"cell": cell, "repeat": number, quantity: value} for number, value in enumerate(values)]


def seeds(quantity: str, values: Sequence[float]) -> list[dict[str, Any]]:
    return [{"seed": number, quantity: value} for number, value in enumerate(values)]


def judged(base: Measured, candidate: Measured, quantity: str = "step") -> Verdict:
    (verdict,) = [one for one in compare(base, candidate, Policy()).verdicts if one.quantity == quantity]
    return verdict


# --- verdicts ----------------------------------------------------------------------------------------------------

BASE = [0.100, 0.101, 0.099, 0.100, 0.102]


def test_times_are_judged_as_by_scipys_welch_test_on_logarithms() -> None:
    slower = [0.112, 0.110, 0.111, 0.113, 0.109, 0.111]
    verdict = judged(side(*repeats("step", BASE)), side(*repeats("step", slower)))
    expected = reference.ttest_ind(np.log(slower), np.log(BASE), equal_var=False).confidence_interval(0.95)
    assert (verdict.low, verdict.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert verdict.effect == pytest.approx(np.log(slower).mean() - np.log(BASE).mean())
    assert (verdict.verdict, verdict.n, verdict.planned) == ("regressed", 5, 6)
    assert (verdict.base, verdict.candidate) == (
        pytest.approx(reference.gmean(BASE)),
        pytest.approx(reference.gmean(slower)),
    )


def test_an_effect_never_contradicts_the_figures_beside_it() -> None:
    """The median rises by a fifth here, while one slow process makes the mean of the logarithms fall."""
    verdict = judged(side(*repeats("step", [0.1, 0.1, 0.1, 0.1, 10.0])), side(*repeats("step", [0.12] * 5)))
    assert verdict.effect == pytest.approx(math.log(verdict.candidate / verdict.base))


@pytest.mark.parametrize(
    ("values", "quantity", "verdict"),
    [
        (BASE, "step", "same"),
        ([1.1 * value for value in BASE], "step", "regressed"),
        ([value / 1.1 for value in BASE], "step", "improved"),
        ([value / 1.1 for value in BASE], "throughput", "regressed"),
        ([1.1 * value for value in BASE], "throughput", "improved"),
        ([0.08, 0.2, 0.1, 0.05, 0.15], "step", "inconclusive"),
        ([1.04 * value for value in BASE], "host_memory", "inconclusive"),
        ([1.1 * value for value in BASE], "host_memory", "regressed"),
    ],
)
def test_a_ratio_has_the_verdict_that_it_must_have(values: list[float], quantity: str, verdict: str) -> None:
    found = judged(side(*repeats(quantity, BASE)), side(*repeats(quantity, values)), quantity)
    assert found.verdict == verdict


@pytest.mark.parametrize("few", [1, 2])
def test_fewer_than_three_processes_on_a_side_give_no_verdict_no_effect_and_no_interval(few: int) -> None:
    """Of two processes, Welch's interval of a change by half spans a factor of thousands."""
    for base, candidate in ((BASE, [0.2, 0.3][:few]), ([0.2, 0.3][:few], BASE)):
        verdict = judged(side(*repeats("step", base)), side(*repeats("step", candidate)))
        assert (verdict.verdict, verdict.needed, verdict.n) == ("not judged", 12, few)
        assert np.isnan([verdict.effect, verdict.low, verdict.high]).all()
        assert verdict.reason.startswith("too few to compare")
    three = judged(side(*repeats("step", BASE)), side(*repeats("step", [0.2, 0.3, 0.25])))
    assert np.isfinite([three.effect, three.low, three.high]).all()


@pytest.mark.parametrize("few", [1, 2])
def test_fewer_than_three_seeds_give_no_verdict_no_effect_and_no_interval(few: int) -> None:
    base, candidate = side(*seeds("accuracy", [0.8, 0.81][:few])), side(*seeds("accuracy", [0.7, 0.71][:few]))
    verdict = judged(base, candidate, "accuracy")
    assert (verdict.verdict, verdict.needed, verdict.n) == ("not judged", 3, few)
    assert np.isnan([verdict.effect, verdict.low, verdict.high]).all()


def test_figures_that_are_no_numbers_are_left_out() -> None:
    base = side(*repeats("step", [*BASE, math.inf, 0.0]))
    verdict = judged(base, side(*repeats("step", [math.nan, *BASE])))
    assert (verdict.verdict, verdict.n, verdict.planned) == ("same", 5, 7)


def test_times_too_small_to_count_are_the_same() -> None:
    base, candidate = side(*repeats("compile", [0.01, -0.002, 0])), side(*repeats("compile", [0.05, 0.04, 0.01]))
    verdict = judged(base, candidate, "compile")
    assert verdict.verdict == "same"
    assert verdict.reason == "at most 0.05 s on both sides; a change of 0.1 s would count"


def test_scores_are_compared_seed_by_seed() -> None:
    base = side(*seeds("accuracy", [0.80, 0.81, 0.79, 0.82, 0.78]))
    lower = side(*seeds("accuracy", [0.751, 0.759, 0.741, 0.769, 0.729])[::-1])
    verdict = judged(base, lower, "accuracy")
    assert (verdict.verdict, verdict.n, verdict.planned) == ("regressed", 5, 5)
    assert verdict.effect == pytest.approx(-0.0502)


def test_a_score_without_a_margin_is_shown_beside_the_others_and_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "f1", Metric("f1", "F1", "", "higher", "score", lambda _: None))
    scores = [0.80, 0.81, 0.79]
    rows = [{"seed": seed, "accuracy": score, "loss": 1 - score, "f1": score} for seed, score in enumerate(scores)]
    lower = [row | {"f1": row["f1"] - 0.2} for row in rows]
    base, candidate = side(*rows), side(*lower)
    found = {one.quantity: one for one in compare(base, candidate, Policy()).verdicts}
    assert {name: one.verdict for name, one in found.items()} == {
        "accuracy": "same",
        "loss": "same",
        "f1": "not judged",
    }
    assert (found["f1"].effect, found["f1"].n) == (pytest.approx(-0.2), 3)
    assert "margin" in found["f1"].reason


def test_only_seeds_of_both_sides_count_and_repeats_of_a_seed_once() -> None:
    base = side(*seeds("accuracy", [0.80, 0.81, 0.79, 0.78]), {"seed": 0, "repeat": 1, "accuracy": 0.80})
    verdict = judged(base, side(*seeds("accuracy", [0.80, 0.81, 0.79])), "accuracy")
    assert (verdict.verdict, verdict.n, verdict.planned) == ("same", 3, 4)


def test_scores_without_a_common_seed_are_not_judged() -> None:
    base, candidate = side({"seed": 0, "accuracy": 0.8}), side({"seed": 1, "accuracy": 0.8})
    verdict = judged(base, candidate, "accuracy")
    assert (verdict.verdict, verdict.n, verdict.planned, verdict.needed) == ("not judged", 0, 2, 3)


def test_parameters_are_compared_exactly() -> None:
    found = judged(side(*seeds("parameters", [10, 10])), side(*seeds("parameters", [10, 12])), "parameters")
    assert (found.verdict, found.reason) == ("regressed", "10 became 10 or 12")


def test_every_quantity_of_every_cell_has_one_verdict() -> None:
    rows = [
        {"cell": f"s/c{number}@torch,none,cpu,documented", "repeat": repeat, "step": 0.1, "parameters": 7.0}
        for number in range(3)
        for repeat in range(3)
    ]
    found = compare(side(*rows), side(*rows), Policy())
    assert sorted((one.cell[:4], one.quantity, one.verdict) for one in found.verdicts) == [
        (f"s/c{number}", name, "same") for number in range(3) for name in ("parameters", "step")
    ]
    assert found.exit_code(strict=True) == 0


# --- what is missing ---------------------------------------------------------------------------------------------


def whole(comparison: Comparison) -> list[tuple[str, str, str]]:
    return [(one.verdict, one.cell, one.reason) for one in comparison.verdicts if not one.quantity]


OTHER = "s/gru@torch,fused,cpu,documented"


def test_a_cell_that_is_missing_or_crashed_in_the_candidate_failed() -> None:
    base = side(*repeats("step", BASE), *repeats("step", BASE, OTHER))
    assert whole(compare(base, side(*repeats("step", BASE)), Policy())) == [
        ("failed", OTHER, "missing in the candidate")
    ]
    crash = {"cell": OTHER, "repeat": 3, "status": "timeout", "reason": "over 5 s\nkilled"}
    found = compare(base, side(*repeats("step", BASE), *repeats("step", BASE[:3], OTHER), crash), Policy())
    assert whole(found) == [("failed", OTHER, "1 of 4 timeout: over 5 s killed")]
    assert found.exit_code(strict=False) == 1


def test_what_crashed_in_the_base_already_is_no_failure_of_the_candidate() -> None:
    crash = {"cell": CELL, "repeat": 7, "status": "failed", "reason": "boom"}
    both = side(*repeats("step", BASE), crash)
    found = compare(both, both, Policy())
    assert whole(found) == []
    (step,) = found.verdicts
    assert (step.verdict, step.n, step.planned) == ("same", 5, 6)


def test_a_new_cell_and_a_new_figure_are_told_and_a_lost_figure_failed() -> None:
    base, candidate = side(*repeats("step", BASE)), side(*repeats("epoch", BASE), *repeats("step", BASE, OTHER))
    found = {(one.cell, one.quantity): one.verdict for one in compare(base, candidate, Policy()).verdicts}
    assert found == {(OTHER, ""): "not judged", (CELL, "step"): "failed", (CELL, "epoch"): "not judged"}


def test_no_common_cell_is_nothing_to_compare() -> None:
    with pytest.raises(NothingToCompare, match=r"no cell ended ok in both one \(where 1 did\) and two \(1\)"):
        compare(side(*repeats("step", BASE)), side(*repeats("step", BASE, OTHER), name="two"), Policy())


def test_a_comparison_in_which_nothing_could_be_judged_is_not_green() -> None:
    found = compare(side(*repeats("step", [0.1])), side(*repeats("step", [0.5])), Policy())
    assert [one.verdict for one in found.verdicts] == ["not judged"]
    assert found.exit_code(strict=False) == 3


# --- what may be compared ----------------------------------------------------------------------------------------


def test_profiles_and_data_must_be_the_same() -> None:
    one = side(*repeats("step", BASE))
    with pytest.raises(Incomparable, match=r"one has profile quick, one documented"):
        compare(one, side(*repeats("step", BASE), profile="documented"), Policy())
    other = [row | {"data": "cd" * 32} for row in repeats("step", BASE)]
    with pytest.raises(
        Incomparable, match=r"1 cells ran on other data: s/lstm@.* \(sha256 of the first abababab → cdcd"
    ):
        compare(one, side(*other), Policy())


@pytest.mark.parametrize(
    ("change", "part", "told"),
    [
        ({"cpu": "Another CPU"}, "cpu", "cpu Example CPU → Another CPU"),
        ({"threads": 1}, "threads", "threads 2 → 1"),
        ({"packages": {"torch": "2.13.0"}}, "versions", "torch 2.12.0 → 2.13.0"),
    ],
)
def test_environments_may_differ_only_in_what_is_compared(change: dict[str, Any], part: str, told: str) -> None:
    base = side(*repeats("step", BASE))
    candidate = side(*repeats("step", BASE), environments=[ENVIRONMENT | change])
    with pytest.raises(Incomparable, match=f"{told}; .* --across {part}$"):
        compare(base, candidate, Policy())
    found = compare(base, candidate, Policy(), [part])  # type: ignore[list-item]
    assert any(told in text for text in found.changed)


def test_another_commit_and_packages_that_no_cell_uses_are_no_other_environment() -> None:
    packages = {"torch": "2.12.0", "keras": "3.15.0", "numpy": "2.5.0"}
    changed = ENVIRONMENT | {"git": {"commit": "b" * 40, "dirty": True}, "packages": packages}
    found = compare(side(*repeats("step", BASE)), side(*repeats("step", BASE), environments=[changed]), Policy())
    assert {"keras 3.14.0 → 3.15.0", "code aaaaaaaaaa → bbbbbbbbbb+"} <= set(found.changed)


def test_a_gpu_counts_for_cells_that_run_on_one() -> None:
    changed = ENVIRONMENT | {"gpus": [{"name": "H200", "driver": "580"}]}
    on_gpu = "s/lstm@torch,fused,cuda,documented"
    base, candidate = side(*repeats("step", BASE)), side(*repeats("step", BASE), environments=[changed])
    assert compare(base, candidate, Policy()).exit_code(strict=True) == 0
    base = side(*repeats("step", BASE, on_gpu))
    with pytest.raises(Incomparable, match=r"driver 570.* → .*driver 580"):
        compare(base, side(*repeats("step", BASE, on_gpu), environments=[changed]), Policy())


def test_a_run_that_was_gone_on_with_elsewhere_is_in_another_environment() -> None:
    elsewhere = side(*repeats("step", BASE), environments=[ENVIRONMENT, ENVIRONMENT | {"threads": 8}])
    with pytest.raises(Incomparable, match="threads 2 → 8"):
        compare(side(*repeats("step", BASE)), elsewhere, Policy())


def test_times_come_with_the_advice_that_they_are_advice() -> None:
    (caveat,) = compare(side(*repeats("step", BASE)), side(*repeats("step", BASE)), Policy()).caveats
    assert "advice" in caveat
    assert not compare(side(*seeds("loss", BASE)), side(*seeds("loss", BASE)), Policy()).caveats
