"""What defaults cost: the page of `bench explain`, the answer, and the port that the README begins with."""

from __future__ import annotations

import re

import numpy as np
import pytest
from msgspec import structs

from bench.backends.registry import BACKENDS
from bench.cases.model import DIFFERENCES
from bench.explain.effects import effects
from bench.records.record import EpochScore
from bench.records.store import Run
from bench.report.results import Results
from bench.report.topics import explain
from bench.report.topics.numerics import NumericsRow
from bench.spec import LSTM
from tests.explain.test_effects import MATCHED, SAME, WORSE, record, records
from tests.making import Gather, Maker, name
from tests.report import asking

RUN = Run("a|b", "documented", "2026-01-01", ["bench"], {}, {"packages": {"torch": "2.13.0"}, "threads": 1})


def explained(*groups, missing=()):
    held = [one for group in groups for one in group]
    found = effects(held, lambda metrics: metrics.last.test)
    curves = explain.learning("s", "c", held, "test", lambda metrics: metrics.last.test, explain.LEARNED)
    return explain.Explained("s/c", "test", RUN, "bench s/c", 6, found, {"torch": missing}, held, curves, ())


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def table(content, heading):
    """Return the rows of the first table below a heading of a page."""
    _, _, below = explain.page(content).partition(f"\n{heading}")
    return rows(below.partition("\n## ")[0])


def test_the_table_holds_levels_changes_verdicts_and_how_many_pairs():
    head, _, matched, worse, same = table(
        explained(records("matched", MATCHED), records("native:order", SAME), records("native:init", WORSE)), "## torch"
    )
    assert head == [
        "numerics",
        "test accuracy %",
        "change, points",
        "verdict",
        "loss",
        "change of loss",
        "s an epoch",
        "change, s",
        "pairs",
    ]
    assert matched == ["matched", "71.40", "", "", "0.2860", "", "1.00", "", "5 of 6"]
    assert worse == [
        "initial weights", "68.00", "-3.40 ±1.42", "costs", "0.3200", "+0.0340 ±0.0142", "1.00", "+0.00 ±0.00", "5 of 6"
    ]  # fmt: skip
    assert same[2:4] == ["+0.00 ±1.24", "no significant effect"]


def test_another_kernel_is_named_in_its_row():
    fused = records("matched", MATCHED, kernel="fused")
    _, _, matched, documented = table(explained(fused, records("documented", WORSE, kernel="generic")), "## torch")
    assert (matched[0], documented[0], documented[7]) == ("matched", "the documents' formulas, generic", "–")


def test_what_did_not_end_ok_is_listed_and_escaped():
    broken = structs.replace(record("native:bias", 0, 0.5, status="failed"), reason="a | <b> `c`\nmore")
    text = explain.page(explained(records("matched", MATCHED), records("native:init", WORSE), [broken]))
    assert "- s/c@torch,none,cpu,native:bias#0: failed: a \\| \\<b> \\`c\\`\n" in text
    assert "Run a\\|b, profile documented" in text


def test_a_difference_that_cannot_exist_is_listed():
    content = explained(records("matched", MATCHED), records("native:init", WORSE), missing=["bias", "loss"])
    assert "- torch: second bias, loss on probabilities." in explain.page(content)


def test_changes_come_by_size_with_a_column_for_each_backend():
    better = [2 * base - worse for base, worse in zip(MATCHED, WORSE, strict=True)]
    groups = [("native:order", SAME), ("documented", better), ("native:init", WORSE), ("matched", MATCHED)]
    content = explained(
        *(records(numerics, values) for numerics, values in groups),
        records("matched", MATCHED, backend="keras-tensorflow"),
        records("native:embedding-gradient", WORSE[:2], backend="keras-tensorflow"),
    )
    page = explain.page(content)
    head, _, *lines = rows(page.partition("\n## ")[0])
    assert head[1:] == ["keras-tensorflow, points", "torch, points"] or head[1:] == [
        "torch, points", "keras-tensorflow, points",
    ]  # fmt: skip
    assert [(line[0], line[head.index("torch, points")]) for line in lines] == [
        ("unsummed embedding gradient", "–"),  # -3.5 of two seeds
        ("initial weights", "-3.40 ±1.42"),
        ("shuffling", "+0.00 ±1.24"),
        ("the documents' formulas", "+3.40 ±1.42"),
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (WORSE, "loses 3.4 points of accuracy to PyTorch's initial weights"),
        (SAME, "significant"),
        (WORSE[:1], "One seed"),
    ],
)
def test_the_conclusion_is_the_largest_significant_cost_of_a_single_default(values, said):
    whole = [value - 0.3 for value in MATCHED]  # not a single one
    content = explained(records("matched", MATCHED), records("native", whole), records("native:init", values))
    conclusion = explain.page(content).split("\n\n")[1]
    assert said in conclusion
    assert len(conclusion.split()) <= 20


def test_learning_curves_hold_the_mean_of_every_epoch_and_end_in_the_figure():
    def trained(numerics, seed, epochs, test, **more):
        made = record(numerics, seed, test, **more)
        lines = [EpochScore(loss=0.5, accuracy=value, seconds=1, steps=1) for value in epochs]
        return structs.replace(made, metrics=structs.replace(made.metrics, epochs=lines))

    held = [
        trained("matched", 0, [0.5, 0.7], 0.71),
        trained("matched", 1, [0.6, 0.8, 0.9], 0.75),
        trained("native", 0, [0.5], 0.5, backend="keras-tensorflow"),
        trained("native:order", 0, [0.1], 0.1),
        structs.replace(trained("native", 0, [0.2], 0.2), status="failed"),
    ]
    head, _, *lines = table(explained(held), "## How the points")
    assert head == ["epoch", "keras-tensorflow, all defaults combined", "torch, matched"]
    assert lines == [["1", "50.0", "55.0"], ["2", "–", "75.0"], ["3", "–", "90.0"], ["test", "50.0", "73.0"]]


def test_validation_accuracies_are_the_curve_where_they_were_measured(record: Maker) -> None:
    held = [record(name("c", seed=seed, numerics="matched"), val=[0.6, 0.7], test=0.9) for seed in range(2)]
    found = explain.learning(
        "demo", "c", held, "test", lambda metrics: metrics.last and metrics.last.test, ("matched",)
    )
    assert [(row.curve, row.epoch, row.mean, row.n) for row in found] == [
        ("val", 1, 0.6, 2), ("val", 2, 0.7, 2), ("val", None, 0.9, 2),
    ]  # fmt: skip


def test_every_numerics_has_a_name_of_its_own_and_a_meaning():
    single = {f"native:{name}" for name in (*DIFFERENCES, "init")}
    assert set(explain.NUMERICS) == {"documented", "matched", "native", *single}
    assert len({words.name for words in explain.NUMERICS.values()}) == len(explain.NUMERICS)
    assert all(words.meaning for words in explain.NUMERICS.values())


def test_several_differences_and_what_is_left_out_are_called_by_their_names():
    assert explain.called("native:bias,loss") == "second bias and loss on probabilities"
    assert explain.called("native:-denormals") == "all defaults but denormal numbers"
    assert explain.called("native:-init,-bias") == "all defaults but initial weights, second bias"


# --- of results --------------------------------------------------------------------------------------------------

VALUES = {
    "documented": [0.80, 0.82, 0.81],
    "matched": [0.80, 0.82, 0.81],
    "native": [0.70, 0.72, 0.71],
    "native:init": [0.75, 0.77, 0.77],
    "native:order": [0.81, 0.80, 0.82],
}
DECLARED = asking.suite(asking.case("lstm", asking.net(LSTM(4))))


def ported(record: Maker, gather: Gather, torch=VALUES, **changes) -> Results:
    """Return results of a case that both frameworks trained; Keras's own initial weights cost more than torch's."""
    keras = VALUES | {"native:init": [0.5, 0.52, 0.51], "native": [0.78, 0.80, 0.79]}
    made = [
        record(name("lstm", backend, "generic", seed, numerics=numerics), test=value)
        for backend, values in (("keras-tensorflow", keras), ("torch", torch))
        for numerics, accuracies in values.items()
        for seed, value in enumerate(accuracies)
    ]
    return gather([DECLARED], made, **changes)


def test_the_answer_is_the_largest_cost_and_a_table_of_every_difference(record: Maker, results: Gather) -> None:
    gathered = ported(record, results, explained=("explain/explain-demo-lstm.md",))
    answer = explain.answer(gathered)
    assert answer is not None
    assert answer.table is not None
    assert "30.0 points" in answer.conclusion
    assert "Keras's initial weights" in answer.conclusion
    assert len(answer.conclusion.split()) <= 20
    assert answer.see[0] == ("explained", "explain/explain-demo-lstm.md")
    assert answer.table.headers == ("case", "difference", "keras-tensorflow, points", "torch, points")
    assert [row[1] for row in answer.table.rows] == [
        "initial weights", "all defaults combined", "the documents' formulas", "shuffling",
    ]  # fmt: skip
    half = 4.302653 * np.std([5, 5, 4], ddof=1) / np.sqrt(3)
    assert answer.table.rows[0][3] == f"-4.7 ±{half:.1f} (3)"


def test_nothing_is_answered_where_nothing_was_explained(full: Results) -> None:
    assert explain.answer(full) is None
    assert explain.port(full) == ()
    assert "bench explain" in explain.block(full)


def test_the_port_is_what_the_backend_lost_that_no_other_is_set_against(record: Maker, results: Gather) -> None:
    proofs = {("demo/lstm", backend, "generic"): "proven" for backend in ("keras-tensorflow", "torch")}
    head, _, native, matched, lost = rows(explain.block(ported(record, results, twins=proofs, documentation=True)))
    assert head == ["LSTM on IMDB, 3 seeds", "Keras", "PyTorch", ""]
    assert native[1:] == ["79.0 %", "71.0 %", ""]
    assert matched[1:3] == ["81.0 %", "81.0 %"]
    assert re.search(r"proven twins.*\(docs/parity\.md\)", matched[3])
    assert "PyTorch's initial weights" in lost[0]
    assert lost[2] == "4.7 points"
    assert "(docs/mend-a-port.md)" in lost[3]


@pytest.mark.parametrize("mark", ["not proven", None])
def test_twins_are_called_equal_only_where_both_are_proven(mark, record: Maker, results: Gather) -> None:
    proofs = {("demo/lstm", "keras-tensorflow", "generic"): "proven"}
    if mark:
        proofs["demo/lstm", "torch", "generic"] = mark
    *_, matched, _ = rows(explain.block(ported(record, results, twins=proofs)))
    assert "parity" not in matched[3]


def test_a_port_that_lost_nothing_is_not_shown(record: Maker, results: Gather) -> None:
    fine = VALUES | {"native:init": VALUES["matched"]}
    assert explain.port(ported(record, results, fine)) == ()


def test_a_port_is_shown_where_both_twins_ran_natively_and_matched(record: Maker, results: Gather) -> None:
    gathered = ported(record, results)
    assert {(row.backend, row.numerics) for row in explain.port(gathered)} == {
        (backend, numerics) for backend in ("keras-tensorflow", "torch") for numerics in ("native", "matched")
    }
    only = [one for one in gathered.records if (one.backend, one.numerics) != ("keras-tensorflow", "native")]
    assert explain.port(results([DECLARED], only)) == ()


def test_differences_of_one_seed_have_no_verdict(record: Maker, results: Gather) -> None:
    once = {numerics: accuracies[:1] for numerics, accuracies in VALUES.items()}
    gathered = ported(record, results, once)
    torch = [row for row in explain.frame(gathered) if row.variant.backend == "torch"]
    assert {row.verdict for row in torch} == {"one seed"}
    assert isinstance(torch[0], NumericsRow)
    assert explain.port(gathered) == ()


def test_a_framework_is_called_by_its_own_name() -> None:
    assert {name: explain.framework(name) for name in BACKENDS} == {
        "keras-tensorflow": "Keras",
        "keras-jax": "Keras",
        "keras-torch": "Keras",
        "torch": "PyTorch",
        "torch-compile": "PyTorch",
        "tf-keras": "Keras 2",
    }
