"""Accuracy: which figure is compared with which, what is said of it, and the page read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.report import sources
from bench.report.results import Results
from bench.report.topic import Answer
from bench.report.topics import accuracy as accuracy_topic
from bench.report.topics import timing
from bench.report.topics import timing as timing_topic
from bench.spec import (
    LSTM,
    Documented,
    EarlyStopping,
    Epoch,
    FirstRows,
    LastFraction,
    Score,
    Training,
)
from tests.making import Gather, Maker, case, name, suite
from tests.report import asking, demo
from tests.report.reading import marks, notes, only, parsed


def figure_row(results: Results, figure: str) -> Any:
    """Return the first row of a figure; measured or not, a test says by what it reads of it."""
    return next(row for row in accuracy_topic.frame(results) if row.figure.name == figure)


def test_repeats_of_a_seed_add_no_seed_to_the_accuracy(record: Maker, results: Gather) -> None:
    records = [record(name("a", seed=seed), test=0.7 + seed / 100, repeat=r) for seed in range(3) for r in range(4)]
    row = figure_row(results([suite(case("a"))], records), "test")
    assert (row.n, row.planned) == (3, 3)


def test_of_the_repeats_of_a_seed_the_first_that_ended_ok_counts(record: Maker, results: Gather) -> None:
    records = [
        record(name("a"), status="timeout", reason="slow"),
        record(name("a"), test=0.9, repeat=2),
        record(name("a"), test=0.7, repeat=1),
    ]
    for order in records, records[::-1]:
        assert figure_row(results([suite(case("a"))], order), "test").mean == 0.7


def test_a_log_that_breaks_off_is_compared_at_the_same_epoch(record: Maker, results: Gather) -> None:
    printed = (Epoch(0.5, 0.7, 0.4, 0.8), Epoch(0.3, 0.8, 0.3, 0.85), Epoch(0.2, 0.9))
    broken = case(
        "a",
        training=Training("rmsprop", epochs=6, validation=FirstRows(10)),
        documented=Documented(epochs=printed),
    )
    vals = [[0.61, 0.62, 0.63, 0.64, 0.65, 0.66], [0.71, 0.72, 0.73, 0.74, 0.75, 0.76]]
    records = [record(name("a", seed=seed), test=0.5, val=val) for seed, val in enumerate(vals)]
    gathered = results([suite(broken)], records)
    row = figure_row(gathered, "val, epoch 2")
    assert (row.documented, row.figure.score.loss, row.figure.main) == (0.85, 0.3, True)
    assert row.mean == pytest.approx(np.mean([0.62, 0.72]))
    assert figure_row(gathered, "fit, epoch 3").documented == 0.9
    assert row.epochs_documented == 6


def test_where_training_stops_early_the_ends_are_compared(record: Maker, results: Gather) -> None:
    stopped = case(
        "a",
        training=Training("adam", epochs=100, validation=LastFraction(0.25), early_stopping=EarlyStopping(patience=1)),
        documented=Documented(epochs=(Epoch(0.5, 0.7, 0.4, 0.8), Epoch(0.3, 0.8, 0.5, 0.75)), test=Score(0.6, 0.7)),
    )
    gathered = results([suite(stopped)], [record(name("a"), test=0.5, val=[0.6, 0.7, 0.9])])
    row = figure_row(gathered, "val")
    assert (row.documented, row.mean, row.figure.main) == (0.75, 0.9, False)
    assert (row.epochs, row.epochs_documented) == (3, 2)
    assert figure_row(gathered, "test").figure.main


def test_accuracies_on_a_stand_in_are_not_judged(record: Maker, results: Gather) -> None:
    documented = case("a", documented=Documented(test=Score(0.3, 0.7)))
    records = [record(name("a", seed=seed), test=0.7, stand_in="50d for 100d") for seed in range(6)]
    row = figure_row(results([suite(documented)], records), "test")
    assert (row.verdict, row.judgement.reason) == ("not judged", "Used 50d: 100d is unavailable.")


def test_the_quick_profile_never_shows_a_documented_accuracy_or_time(record: Maker, results: Gather) -> None:
    documented = case("a", documented=Documented(test=Score(0.3, 0.7), epochs=(Epoch(0.5, 0.7, seconds=3),) * 4))
    records = [record(name("a", seed=s), test=0.7, profile="quick", epoch_seconds=[2, 1]) for s in range(6)]
    quick = results([suite(documented)], records)
    assert figure_row(quick, "test").n == 6
    for row in accuracy_topic.frame(quick):
        assert (row.documented, row.figure.score.loss, row.epochs_documented) == (None, None, None)
        assert getattr(row, "verdict", None) is None
    assert all(row.documented_epoch is None for row in timing_topic.frame(quick))


# --- the answer --------------------------------------------------------------------------------------------------


def answered(results: Results) -> Answer:
    """Return the answer; its conclusion is short, and its table has a cell for every header."""
    answer = accuracy_topic.answer(results)
    assert answer is not None
    assert len(answer.conclusion.split()) <= 20
    assert answer.table is None or {len(row) for row in answer.table.rows} == {len(answer.table.headers)}
    return answer


def rows_of(answer: Answer) -> list[dict[str, str]]:
    assert answer.table
    return [dict(zip(answer.table.headers, row, strict=True)) for row in answer.table.rows]


def test_a_planted_figure_outside_is_found_and_one_of_variable_runs_counts_neither_way(
    record: Maker, results: Gather, tmp_path: Path
) -> None:
    values = {"held": asking.MEASURED, "planted": asking.MEASURED, "wild": [0.5, 0.7, 0.6, 0.8, 0.55]}
    declared = asking.suite(asking.case("held", accuracy=0.735), asking.case("planted", accuracy=0.75),
                            asking.case("wild", accuracy=0.6))  # fmt: skip
    records = [
        record(name(one, seed=seed), test=value) for one, found in values.items() for seed, value in enumerate(found)
    ]
    gathered = results([declared], records, seeds=5)
    answer = answered(gathered)
    assert answer.conclusion == "1 of 2 judged documented figures holds; 1 is too variable to judge."
    found = {row["case"]: row for row in rows_of(answer)}
    assert list(found) == ["demo/planted", "demo/wild", "demo/held"], "what does not hold comes first"
    assert [row["verdict"].split(",")[0] for row in found.values()] == ["outside", "too variable to judge", "inside"]
    spread = np.std(asking.MEASURED, ddof=1) * np.sqrt(1 + 1 / 5)
    low, high = 100 * np.array(stats.t.interval(0.95, 4, np.mean(asking.MEASURED), spread))
    assert found["demo/planted"]["95 % of runs"] == f"{low:.1f}–{high:.1f}"
    assert found["demo/planted"]["verdict"] == f"outside, {75 - high:.2f} points above"
    assert any(note.startswith("`demo/planted`: cause unknown") for note in answer.notes)
    (tmp_path / "deviations.md").write_text("# Why\n\n## demo/planted: the print is wrong, see `it`.\n\nBecause.\n")
    known = replace(gathered, reasons=sources.reasons(tmp_path))
    linked = "The print is wrong, see `it` ([why](deviations.md#demoplanted-the-print-is-wrong-see-it))."
    assert linked in accuracy_topic.table(known)
    explained = answered(known)
    assert "`demo/planted`: The print is wrong, see `it`." in explained.notes
    assert ("why", "deviations.md") in explained.see


def test_a_figure_counts_once_for_all_backends_and_one_backend_outside_puts_it_outside(
    record: Maker, results: Gather
) -> None:
    def both(shift: float) -> Answer:
        records = [
            record(name("a", backend, seed=seed), test=value + moved)
            for backend, moved in (("torch", 0.0), ("keras-tensorflow", shift))
            for seed, value in enumerate(asking.MEASURED)
        ]
        return answered(results([asking.suite(asking.case("a", accuracy=0.735))], records, seeds=5))

    assert both(0.03).conclusion == "0 of 1 judged documented figure holds."
    same = both(0.0)
    assert same.conclusion == "1 of 1 judged documented figure holds."
    (row,) = rows_of(same)
    assert row["backend"] == "keras-tensorflow and torch"


def test_what_was_not_judged_or_not_measured_is_named_with_the_reason(record: Maker, results: Gather) -> None:
    missing = "vectors.bin is missing: no vectors.bin in /somewhere; put it there"
    declared = asking.suite(
        asking.case("frozen", asking.FROZEN, 0.78),
        asking.case("learned", asking.FLAT, 0.80),
        asking.case("silent", asking.net(LSTM(4)), 0.9, unjudged="The document prints no epochs."),
    )
    records = [record(name("frozen"), status="unavailable", reason=missing, data=None)]
    records += [
        record(name(one, kernel=kernel, seed=seed), test=value)
        for one, kernel in (("learned", "none"), ("silent", "generic"))
        for seed, value in enumerate(asking.MEASURED)
    ]
    notes = answered(results([declared], records, seeds=5)).notes
    assert "Not judged: demo/silent. The document prints no epochs." in notes
    (unmeasured,) = [note for note in notes if note.startswith("Not measured")]
    assert unmeasured.startswith("Not measured: demo/frozen (documented 78.00 %): vectors.bin is missing.")
    assert "/somewhere" not in unmeasured
    assert f"learned: {100 * np.mean(asking.MEASURED):.2f} ± " in unmeasured, "what was trained instead"


@pytest.mark.parametrize(
    ("torch", "keras", "said"),
    [(0.8, 0.8, "equal in all 2 cases."), (0.8, 0.79, "equal in 1 of 2 cases (largest gap 1.0 points).")],
)
def test_on_generated_text_the_backends_are_compared_with_one_another_and_with_no_document(
    record: Maker, results: Gather, torch: float, keras: float, said: str
) -> None:
    records = [
        record(name(one, backend), test=value, profile="quick")
        for one, values in (("a", (0.7, 0.7)), ("b", (torch, keras)))
        for backend, value in zip(("torch", "keras-tensorflow"), values, strict=True)
    ]
    answer = answered(results([asking.suite(asking.case("a", accuracy=0.6), asking.case("b", accuracy=0.6))], records))
    assert said in answer.conclusion
    shown = rows_of(answer) if answer.table else []
    assert [row["case"] for row in shown] == (["demo/b"] if torch != keras else []), "equal ones need no row"
    assert "60.00" not in str(answer)


def test_a_case_of_which_steps_alone_were_timed_is_not_called_not_run(record: Maker, results: Gather) -> None:
    trained = [record(name("a", seed=seed), test=0.7, measure="accuracy") for seed in range(2)]
    timed = record(name("b", numerics="native"), epoch_seconds=[2, 1], measure="steps", metrics=None)
    declared = [suite(case("a"), case("b"), case("c"))]
    found = {row.case: row.status for row in accuracy_topic.frame(results(declared, [*trained, timed]))}
    assert found == {"a": "ok", "b": "not trained", "c": "not run"}
    assert accuracy_topic.answer(results(declared, [timed])) is None
    assert not parsed(accuracy_topic.table(results(declared, [timed])))


# --- accuracy.md -------------------------------------------------------------------------------------------------


def test_the_accuracy_table_holds_the_figures_of_the_records(full: Results) -> None:
    row = only(parsed(accuracy_topic.table(full))[0], case="flat")
    for backend, judged in ("keras-tensorflow", "judged"), ("torch", "judged 2"):
        values = np.array(demo.ACCURACIES[backend])
        interval = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
        mean, half = row[f"{backend} %"].split(" ±")
        assert float(mean) == pytest.approx(100 * values.mean(), abs=0.005)
        assert float(half) == pytest.approx(50 * (interval[1] - interval[0]), abs=0.005)
        bound = stats.t.ppf(0.975, 4) * values.std(ddof=1) * np.sqrt(1 + 1 / 5)
        inside = abs(0.7321 - values.mean()) <= bound
        deviation = 100 * (values.mean() - 0.7321)
        assert row[judged] == ("inside, 5 of 5" if inside else f"outside ({deviation:+.2f}), 5 of 5")
    assert row["documented %"] == "73.21"
    assert "Test accuracy:" in accuracy_topic.table(full)
    mean = np.mean(demo.ACCURACIES["keras-tensorflow"])
    assert float(row["set ±"].strip("±")) == pytest.approx(196 * np.sqrt(mean * (1 - mean) / 2000), abs=0.005)


def test_accuracies_on_different_sets_stand_in_tables_of_their_own(record: Maker, results: Gather) -> None:
    validated = case("v", documented=Documented(validation=Score(accuracy=0.72), train=Score(accuracy=0.9)))
    declared = suite(case("t", documented=Documented(test=Score(accuracy=0.7))), validated)
    records = [record(name("t"), test=0.71), record(name("v"), val=[0.73])]
    text = accuracy_topic.table(results([declared], records))
    found = [[(row["case"], row["torch %"]) for row in rows] for rows in parsed(text)[:3]]
    assert found == [[("t", "71.00")], [("v", "73.00")], [("v", "90.00")]]
    places = [text.index(f"{kind} accuracy:") for kind in ("Test", "Validation", "Training")]
    assert places == sorted(places)


def test_all_figures_stand_below_those_of_the_document(full: Results) -> None:
    rows = parsed(accuracy_topic.table(full))[1]
    printed = only(rows, case="flat", source="documented")
    assert [printed[f] for f in ("test %", "test loss", "val %", "val loss", "fit %", "epochs")] == [
        "73.21", "0.5100", "72.00", "0.4000", "80.00", "2",
    ]  # fmt: skip
    measured = only(rows, case="flat", source="torch")
    assert float(measured["test loss"]) == pytest.approx(np.mean([0.5, 0.51, 0.52, 0.53, 0.54]), abs=5e-5)
    assert float(measured["val %"]) == pytest.approx(np.mean([70, 71, 72, 73, 74]), abs=0.005)
    assert "best val %" not in measured
    assert only(rows, case="lstm", source="torch fused")["test %"] == "85.00"


def test_unjudged_unavailable_failed_and_not_run_cells_say_so_with_a_footnote(full: Results) -> None:
    text = accuracy_topic.table(full)
    rows, found = parsed(text)[0], notes(text)
    lstm = only(rows, case="lstm")
    assert lstm["judged 2"].startswith("not judged, 1 of 5 [")
    said = [found[number] for number in marks(lstm["judged 2"])]
    assert "Not judged: epochs not printed" in said
    failure = next(note for note in said if note.startswith("failed"))
    assert "bench run --resume run0 'demo/lstm@torch,fused,cpu,documented#1'" in failure
    assert '<img src=x onerror="alert(1)">' in failure, "shown as text"
    assert lstm["judged"].startswith("unavailable, 0 of 5 [")
    assert [found[number] for number in marks(lstm["judged"])] == ["unavailable: no fused kernel | here"]
    idle = only(rows, case="idle")
    assert (idle["judged"], idle["torch %"], idle["judged 2"]) == ("not run", "–", "not run")


def test_footnotes_are_numbered_once_and_read_as_they_were_written(full: Results) -> None:
    text = accuracy_topic.table(full)
    found = notes(text)
    assert len(set(found.values())) == len(found)
    rows = parsed(text)[0]
    shown = " ".join(demo.HOSTILE.split())
    flat, lstm = only(rows, case="flat"), only(rows, case="lstm")
    shared = set(marks(flat["case"])) & set(marks(lstm["case"]))
    assert [found[number] for number in shared] == [shown]
    used = {number for row in rows for cell in row.values() for number in marks(cell)}
    assert used == set(found), "every footnote is referred to and every mark has one"


def test_the_quick_profile_says_what_it_measured_on_and_shows_no_documented_accuracy(
    record: Maker, results: Gather
) -> None:
    records = [record(demo.name("flat", "torch", seed), test=0.8 + seed / 100, profile="quick") for seed in range(5)]
    quick = results([demo.SUITE], records, seeds=5)
    text = accuracy_topic.table(quick)
    assert "generated text" in text.partition("## ")[0]
    for row in (row for table in parsed(text) for row in table):
        assert not any("documented" in part for part in (*row, *row.values()))
    for figure in ("73.21", "72.00", "0.5100", "inside", "outside"):
        assert figure not in text
    assert "generated text" in answered(quick).conclusion
    assert "3–5" not in timing.table(quick), "nor documented seconds"
