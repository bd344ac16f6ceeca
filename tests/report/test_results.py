"""Records into frames: which record counts, which figure is compared with which, what may stand beside a document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.errors import UsageError
from bench.records import flat
from bench.report.notes import problems
from bench.report.results import Results, Source
from bench.report.topics import accuracy as accuracy_topic
from bench.report.topics import gaps, parameters
from bench.report.topics import timing as timing_topic
from bench.spec import (
    KERAS_2_3,
    LSTM,
    Dense,
    Documented,
    EarlyStopping,
    Embedding,
    Epoch,
    FirstRows,
    GlobalAveragePooling1D,
    Imdb,
    LastFraction,
    Score,
    Suite,
    Training,
)
from tests.making import Gather, Maker, case, name, suite

# --- which record counts -----------------------------------------------------------------------------------------


def test_a_later_record_of_a_cell_replaces_an_earlier_one_whatever_the_order_of_the_runs(
    record: Maker, results: Gather
) -> None:
    old = record(name("a"), test=0.5, started="2026-01-01T00:00:00+00:00")
    new = record(name("a"), test=0.7, started="2026-01-02T00:00:00+00:00")
    for runs in ([old], [new]), ([new], [old]):
        frame = accuracy_topic.frame(results([suite(case("a"))], *runs))
        assert frame.loc[frame["figure"] == "test", "mean"].tolist() == [0.7]


def test_a_timing_record_does_not_replace_the_accuracy_of_its_cell(record: Maker, results: Gather) -> None:
    accurate = record(name("a"), test=0.7, measure="accuracy", epoch_seconds=[9, 8, 8])
    timed = record(name("a"), measure="timing", epoch_seconds=[5, 2, 4], started="2026-01-02T00:00:00+00:00")
    both = results([suite(case("a"))], [accurate], [timed])
    assert accuracy_topic.frame(both).query("figure == 'test'")["mean"].tolist() == [0.7]
    row = timing_topic.frame(both).iloc[0]
    assert (row["epoch"], row["headline"]) == (3.0, True)


def test_runs_of_two_profiles_or_two_environments_are_refused_but_two_commits_are_not(
    record: Maker, results: Gather
) -> None:
    one = record(name("a"), test=0.7)
    with pytest.raises(UsageError, match="different profiles"):
        results([suite(case("a"))], [one], [record(name("a"), test=0.7, profile="quick")])
    base = results([suite(case("a"))], [one])
    first = base.sources[0]

    def other(**environment: Any) -> Source:
        changed = {**first.environment, **environment}
        return Source("other", "documented", "bench run", "2026", changed, (one,))

    Results((first, other(git={"commit": "f" * 40, "dirty": True})), base.suites)
    with pytest.raises(UsageError, match=r"different environments \(cpu\)"):
        Results((first, other(cpu="Another")), base.suites)


def test_only_what_both_environments_know_can_differ(record: Maker, results: Gather) -> None:
    one = record(name("a"), test=0.7)
    base = results([suite(case("a"))], [one])
    first = base.sources[0]
    packages = first.environment["packages"]

    def other(**environment: Any) -> Source:
        return Source("other", "documented", "bench run", "2026", {**first.environment, **environment}, (one,))

    Results((first, other(governor="performance", packages={**packages, "jax": "0.10.2"})), base.suites)
    with pytest.raises(UsageError, match=r"different environments \(packages\)"):
        Results((first, other(packages={**packages, "torch": "2.12.0"})), base.suites)


def test_an_accuracy_run_may_have_other_threads_than_a_timed_one_but_two_timed_runs_may_not(
    record: Maker, results: Gather
) -> None:
    base = results([suite(case("a"))], [record(name("a"), measure="timing", epoch_seconds=[5, 2, 4])])
    timed = base.sources[0]
    accurate = record(name("a"), test=0.7, measure="accuracy")
    one_thread = {**timed.environment, "threads": 1}
    merged = Results((Source("other", "documented", "bench run", "2026", one_thread, (accurate,)), timed), base.suites)
    assert merged.timing_environment["threads"] == timed.environment["threads"] != 1
    with pytest.raises(UsageError, match=r"different environments \(threads\)"):
        Results((timed, Source("other", "documented", "bench run", "2026", one_thread, timed.records)), base.suites)


def test_no_record_is_nothing_to_report(results: Gather) -> None:
    with pytest.raises(UsageError, match="no record yet"):
        results([suite(case("a"))], [])


def test_a_case_that_no_suite_declares_names_the_remedy(record: Maker, results: Gather) -> None:
    with pytest.raises(UsageError, match=r"demo/a.*--suites"):
        accuracy_topic.frame(results([], [record(name("a"), test=0.7)]))


def test_repeats_of_a_seed_add_no_seed_to_the_accuracy(record: Maker, results: Gather) -> None:
    records = [record(name("a", seed=seed), test=0.7 + seed / 100, repeat=r) for seed in range(3) for r in range(4)]
    row = accuracy_topic.frame(results([suite(case("a"))], records)).query("figure == 'test'").iloc[0]
    assert (row["n"], row["of"]) == (3, 3)


def test_of_the_repeats_of_a_seed_the_first_that_ended_ok_counts(record: Maker, results: Gather) -> None:
    records = [
        record(name("a"), status="timeout", reason="slow"),
        record(name("a"), test=0.9, repeat=2),
        record(name("a"), test=0.7, repeat=1),
    ]
    for order in records, records[::-1]:
        assert accuracy_topic.frame(results([suite(case("a"))], order)).query("figure == 'test'")["mean"].tolist() == [
            0.7
        ]


# --- figures -----------------------------------------------------------------------------------------------------


def figure_row(frame: Any, figure: str) -> Any:
    return frame[frame["figure"] == figure].iloc[0]


def test_a_log_that_breaks_off_is_compared_at_the_same_epoch(record: Maker, results: Gather) -> None:
    printed = (Epoch(0.5, 0.7, 0.4, 0.8), Epoch(0.3, 0.8, 0.3, 0.85), Epoch(0.2, 0.9))
    broken = case(
        "a",
        training=Training("rmsprop", epochs=6, validation=FirstRows(10)),
        documented=Documented(epochs=printed),
    )
    vals = [[0.61, 0.62, 0.63, 0.64, 0.65, 0.66], [0.71, 0.72, 0.73, 0.74, 0.75, 0.76]]
    records = [record(name("a", seed=seed), test=0.5, val=val) for seed, val in enumerate(vals)]
    frame = accuracy_topic.frame(results([suite(broken)], records))
    row = figure_row(frame, "val, epoch 2")
    assert (row["documented"], row["documented_loss"], row["main"]) == (0.85, 0.3, True)
    assert row["mean"] == pytest.approx(np.mean([0.62, 0.72]))
    assert figure_row(frame, "fit, epoch 3")["documented"] == 0.9
    assert row["epochs_documented"] == 6


def test_where_training_stops_early_the_ends_are_compared(record: Maker, results: Gather) -> None:
    stopped = case(
        "a",
        training=Training("adam", epochs=100, validation=LastFraction(0.25), early_stopping=EarlyStopping(patience=1)),
        documented=Documented(epochs=(Epoch(0.5, 0.7, 0.4, 0.8), Epoch(0.3, 0.8, 0.5, 0.75)), test=Score(0.6, 0.7)),
    )
    frame = accuracy_topic.frame(results([suite(stopped)], [record(name("a"), test=0.5, val=[0.6, 0.7, 0.9])]))
    row = figure_row(frame, "val")
    assert (row["documented"], row["mean"], row["main"]) == (0.75, 0.9, False)
    assert (row["epochs"], row["epochs_documented"]) == (3, 2)
    assert figure_row(frame, "test")["main"]


def test_accuracies_on_a_stand_in_are_not_judged(record: Maker, results: Gather) -> None:
    documented = case("a", documented=Documented(test=Score(0.3, 0.7)))
    records = [record(name("a", seed=seed), test=0.7, stand_in="50d for 100d") for seed in range(6)]
    row = figure_row(accuracy_topic.frame(results([suite(documented)], records)), "test")
    assert (row["verdict"], row["reason"]) == ("not judged", "Ran on a stand-in: 50d for 100d.")


def test_the_quick_profile_never_shows_a_documented_accuracy_or_time(record: Maker, results: Gather) -> None:
    documented = case("a", documented=Documented(test=Score(0.3, 0.7), epochs=(Epoch(0.5, 0.7, seconds=3),) * 4))
    records = [record(name("a", seed=s), test=0.7, profile="quick", epoch_seconds=[2, 1]) for s in range(6)]
    quick = results([suite(documented)], records)
    accuracy, timing = accuracy_topic.frame(quick), timing_topic.frame(quick)
    for column in ("documented", "documented_loss", "epochs_documented", "verdict"):
        assert accuracy[column].isna().all()
    assert timing["documented_epoch"].isna().all()


# --- columns -----------------------------------------------------------------------------------------------------


def test_kernels_devices_and_numerics_get_columns_only_where_they_tell_cells_apart(
    record: Maker, results: Gather
) -> None:
    recurrent = (Embedding(50, 8), LSTM(4), Dense(1, "sigmoid"))
    declared = suite(case("a", layers=recurrent), case("b"))
    records = [
        record(name("a", kernel="fused"), test=0.7),
        record(name("a", kernel="generic"), test=0.6),
        record(name("b"), test=0.5),
        record(name("a", kernel="fused", device="cuda"), status="unavailable", reason="no GPU"),
    ]
    frame = accuracy_topic.frame(results([declared], records)).query("figure == 'test'")
    found = {(row["case"], row["kernel"], row["device"]): row["column"] for row in frame.to_dict("records")}
    assert found["a", "fused", "cpu"] == found["b", "none", "cpu"] == "torch"
    assert found["a", "generic", "cpu"] == "torch generic"
    with_gpu = [*records[:3], record(name("a", kernel="fused", device="cuda"), test=0.7)]
    columns = set(accuracy_topic.frame(results([declared], with_gpu))["column"])
    assert columns == {"torch cpu", "torch cpu generic", "torch cuda"}


def test_numerics_are_told_where_they_stand_beside_the_documented_ones(record: Maker, results: Gather) -> None:
    cells = [name("a"), name("a").replace("documented", "matched")]
    frame = accuracy_topic.frame(results([suite(case("a"))], [record(cell, test=0.7) for cell in cells]))
    assert set(frame["column"]) == {"torch", "torch matched"}


# --- timing ------------------------------------------------------------------------------------------------------


def test_times_are_medians_of_processes_and_the_ratio_is_to_the_keras_backend(record: Maker, results: Gather) -> None:
    keras = [
        record(name("a", "keras-tensorflow"), repeat=r, measure="timing", epoch_seconds=[9, t, t + 1])
        for r, t in enumerate([4, 6, 5])
    ]
    torch = [
        record(name("a"), repeat=r, measure="timing", epoch_seconds=[9, t, t, t + 3], steps=50)
        for r, t in enumerate([2, 3, 4])
    ]
    frame = timing_topic.frame(results([suite(case("a"))], [*keras, *torch])).set_index("column")
    assert frame.loc["keras-tensorflow", ["epoch", "low", "high", "n", "epochs"]].tolist() == [5.5, 4, 7, 3, 6]
    assert frame.loc["torch", ["epoch", "low", "high", "first_epoch"]].tolist() == [3, 2, 7, 9]
    assert frame.loc["torch", "step"] == pytest.approx(3 / 50)
    assert frame.loc["torch", "ratio"] == pytest.approx(3 / 5.5)
    assert frame.loc["keras-tensorflow", "ratio"] == 1


def test_times_beside_other_work_are_no_headline_and_are_not_set_against_headlines(
    record: Maker, results: Gather
) -> None:
    keras = record(name("a", "keras-tensorflow"), measure="timing", epoch_seconds=[9, 4])
    beside = record(name("a"), test=0.7, measure="accuracy", epoch_seconds=[9, 2])
    frame = timing_topic.frame(results([suite(case("a"))], [keras, beside])).set_index("column")
    assert frame["headline"].to_dict() == {"keras-tensorflow": True, "torch": False}
    assert frame.loc["torch", "epoch"] == 2
    assert frame["ratio"].isna().to_dict() == {"keras-tensorflow": False, "torch": True}
    shared = record(name("a"), test=0.7, measure="all", epoch_seconds=[9, 2], alone=False)
    assert not timing_topic.frame(results([suite(case("a"))], [shared]))["headline"].item()
    others = [
        record(name("a", backend), test=0.7, epoch_seconds=[9, 2], alone=False) for backend in ("keras-jax", "torch")
    ]
    assert timing_topic.frame(results([suite(case("a"))], others))["ratio"].isna().all(), "neither side is comparable"


# --- parameters --------------------------------------------------------------------------------------------------


def test_parameter_verdicts_are_exact_and_empty_where_nothing_is_printed(record: Maker, results: Gather) -> None:
    declared = suite(
        case("equal", documented=Documented(layers=(2500, 501), total=3001, trainable=3001, frozen=0)),
        case("misprint", documented=Documented(layers=(2500, 0, 501), total=3001, trainable=501, frozen=3)),
        case("silent"),
    )
    records = [
        record(name("equal"), counts=[2500, 0, 501], stored=3010),
        record(name("misprint"), counts=[2500, 0, 501], frozen=2500),
        record(name("silent"), counts=[2500, 0, 501]),
    ]
    frame = parameters.frame(results([declared], records)).set_index("case")
    assert frame["verdict"].to_dict() == {"equal": "equal", "misprint": "differs: frozen", "silent": None}
    assert frame.loc["equal", "stored"] == 3010
    off_by_one = parameters.frame(results([declared], [record(name("equal"), counts=[2500, 0, 502])]))
    assert off_by_one.set_index("case").loc["equal", "verdict"] == "differs: layers, total, trainable"


def test_a_misprint_is_the_documents_only_where_what_was_built_is_as_declared(record: Maker, results: Gather) -> None:
    printed = Documented(layers=(2000, 21), total=2021, frozen=3, misprint="2,000 are frozen")
    layers = (Embedding(100, 20, trainable=False), GlobalAveragePooling1D(), Dense(1, "sigmoid"))
    declared = suite(replace(case("a", documented=printed), data=Imdb(num_words=100, maxlen=5), layers=layers))

    def verdict(counts: list[int], frozen: int) -> str:
        found = parameters.frame(results([declared], [record(name("a"), counts=counts, frozen=frozen)]))
        return str(found["verdict"].item())

    assert verdict([2000, 0, 21], 2000) == "document misprint: frozen"
    assert verdict([2000, 0, 21], 0) == "differs: frozen"
    assert verdict([2000, 0, 22], 2000) == "differs: layers, total, frozen"


def test_a_second_bias_of_native_numerics_is_not_held_against_the_document(record: Maker, results: Gather) -> None:
    declared = suite(case("a", documented=Documented(total=3001)))
    records = [
        record(name("a").replace("documented", numerics), counts=[2500, 0, 501 + extra])
        for numerics, extra in (("native", 16), ("native:bias", 16), ("native:init", 0), ("matched", 1))
    ]
    frame = parameters.frame(results([declared], records)).set_index("numerics")
    expected = {"matched": "differs: total", "native": None, "native:bias": None, "native:init": "equal"}
    assert frame["verdict"].to_dict() == expected


# --- missing -----------------------------------------------------------------------------------------------------


def test_what_was_planned_and_has_no_record_is_listed(record: Maker, results: Gather) -> None:
    other = Suite("other", document="8", title="t", era=KERAS_2_3, cases=(case("x"),))
    declared = suite(case("a"), case("b"), case("c"))
    records = [
        record(name("a", backend, seed=s), test=0.7) for backend in ("torch", "keras-tensorflow") for s in range(3)
    ]
    records += [record(name("b", seed=s), test=0.7) for s in range(2)]
    frame = gaps.frame(results([declared, other], records, seeds=3))
    found = {(r["suite"], r["case"], r["column"]): (r["missing"], r["planned"]) for r in frame.to_dict("records")}
    assert found["demo", "b", "torch"] == (1, 3)
    assert found["demo", "b", "keras-tensorflow"] == (3, 3)
    assert {key[:2] for key in found} == {("demo", "b"), ("demo", "c"), ("other", "x")}


def test_a_case_that_was_asked_for_under_one_backend_lacks_no_other(record: Maker, results: Gather) -> None:
    records = [record(name("a", "keras-jax", seed=0), test=0.7), record(name("b", seed=0), test=0.7)]
    found = results([suite(case("a"), case("b"))], records, seeds=2)
    named = replace(found, sources=(replace(found.sources[0], patterns=("demo/*@torch", "*/a@keras-jax#0")),))
    rows = gaps.frame(named).to_dict("records")
    assert {(row["case"], row["column"]): row["missing"] for row in rows} == {
        ("a", "keras-jax"): 1, ("a", "torch"): 2, ("b", "torch"): 1,
    }  # fmt: skip


def test_problems_name_every_cell_once_with_its_run_and_a_one_line_reason(record: Maker, results: Gather) -> None:
    failing = [
        record(name("a", seed=s), status="failed", reason=None, traceback="Traceback\n  x\nValueError:  bad | <b>")
        for s in range(2)
    ]
    row = problems(results([suite(case("a"))], failing)).iloc[0]
    assert (row["reason"], row["run"]) == ("ValueError: bad | <b>", "run0")
    assert row["cells"] == (name("a", seed=0), name("a", seed=1))


def test_the_flat_frame_has_one_row_per_record_with_end_figures(record: Maker) -> None:
    frame = flat.cells(
        [
            record(name("a"), test=0.7, loss=0.6, val=[0.5, 0.55], epoch_seconds=[3, 2], counts=[5]),
            record(name("a", seed=1), status="timeout", reason="600 s", data=None),
        ]
    )
    first, second = frame.to_dict("records")
    assert (first["last_test_accuracy"], first["last_test_loss"], first["last_validation_accuracy"]) == (0.7, 0.6, 0.55)
    assert (first["epoch_seconds"], first["parameters_total"], first["epochs_run"]) == (2, 5, 2)
    assert (second["status"], second["reason"]) == ("timeout", "600 s")
