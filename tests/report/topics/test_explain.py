"""The page of `bench explain`: what it shows of the effects, and that no text breaks it."""

from __future__ import annotations

from msgspec import structs

from bench.cases.model import DIFFERENCES
from bench.explain.effects import effects
from bench.records.store import Run
from bench.report.answers import answers
from bench.report.topics import explain
from bench.spec import LSTM
from tests.explain.test_effects import MATCHED, SAME, WORSE, record, records
from tests.making import Gather, Maker, name
from tests.report import asking

RUN = Run("a|b", "documented", "2026-01-01", ["bench"], {}, {"packages": {"torch": "2.13.0"}, "threads": 1})


def explained(*groups, missing=()):
    held = [one for group in groups for one in group]
    found = effects(held, lambda metrics: metrics.last.test)
    return explain.Explained("s/c", "test", RUN, "bench explain s/c --resume r", 6, found, {"torch": missing}, held)


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_the_table_holds_levels_changes_verdicts_and_how_many_pairs():
    head, _, matched, worse, same = rows(
        explain.page(
            explained(records("matched", MATCHED), records("native:order", SAME), records("native:init", WORSE))
        )
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
        "native:init", "68.00", "-3.40 ±1.42", "costs", "0.3200", "+0.0340 ±0.0142", "1.00", "+0.00 ±0.00", "5 of 6"
    ]  # fmt: skip
    assert same[2:4] == ["+0.00 ±1.24", "not told from 0"]


def test_another_kernel_is_named_in_its_row():
    fused = records("matched", MATCHED, kernel="fused")
    _, _, matched, documented = rows(explain.page(explained(fused, records("documented", WORSE, kernel="generic"))))
    assert (matched[0], documented[0], documented[7]) == ("matched", "documented, generic", "–")


def test_what_did_not_end_ok_is_listed_and_escaped():
    broken = structs.replace(record("native:bias", 0, 0.5, status="failed"), reason="a | <b> `c`\nmore")
    text = explain.page(explained(records("matched", MATCHED), records("native:init", WORSE), [broken]))
    assert "- s/c@torch,none,cpu,native:bias#0: failed: a \\| \\<b> \\`c\\`\n" in text
    assert "Run a\\|b, profile documented" in text


def test_a_difference_that_cannot_exist_is_said_to_cost_nothing_to_compare():
    text = explain.page(explained(records("matched", MATCHED), records("native:init", WORSE), missing=["bias"]))
    assert "- torch: `bias` cannot differ in this case; its own is what matched numerics run." in text


def test_every_numerics_has_a_meaning():
    assert set(explain.MEANINGS) == {"documented", "matched", "native", *(f"native:{name}" for name in DIFFERENCES)}


def test_native_differences_are_told_apart_from_those_that_the_seeds_do_not_show(
    record: Maker, results: Gather
) -> None:
    values = {
        "documented": [0.80, 0.82, 0.81],
        "matched": [0.80, 0.82, 0.81],
        "native": [0.70, 0.72, 0.71],
        "native:init": [0.75, 0.77, 0.77],
        "native:order": [0.81, 0.80, 0.82],
    }
    records = [
        record(name("lstm", kernel="generic", seed=seed, numerics=numerics), test=value)
        for numerics, own in values.items()
        for seed, value in enumerate(own)
    ]
    gathered = results(
        [asking.suite(asking.case("lstm", asking.net(LSTM(4))))], records, explained=("explain/explain-demo-lstm.md",)
    )
    text, note = asking.found(gathered, "What do the frameworks' own")
    assert note.startswith("The effects do not add up")
    (finding,) = (one for answer in answers(gathered) for one in answer.findings if "initial weights" in one.text)
    assert finding.see == (("explained", "explain/explain-demo-lstm.md"),)
    assert text.startswith("demo/lstm under torch: all together -10.00 ± ")
    assert "; initial weights -4.67 ± " in text
    assert text.endswith("; not told from 0: order of rows (3 paired seeds).")
    fewer = [one for one in records if (one.numerics, one.seed) != ("native:order", 2)]
    assert asking.found(
        results([asking.suite(asking.case("lstm", asking.net(LSTM(4))))], fewer), "What do the frameworks' own"
    )[0].endswith("(2 to 3 paired seeds).")


def test_every_native_difference_has_words() -> None:
    assert {f"native:{one}" for one in DIFFERENCES} | {"native"} == set(explain.IN_WORDS)
