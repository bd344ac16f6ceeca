"""What is set against what: on records whose ratios, differences and frontiers are known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.records.record import Record
from bench.report.topics import architectures, curves, kernels, low_data, numerics, speed
from bench.spec import (
    LSTM,
    Case,
    Dense,
    Documented,
    Embedding,
    Epoch,
    Glove,
    LastFraction,
    RandomRows,
    Score,
    Training,
)
from tests.making import LAYERS, Gather, Maker, case, name, suite

# --- architectures -----------------------------------------------------------------------------------------------


def test_the_frontier_holds_what_is_neither_dearer_nor_worse_than_another(record: Maker, results: Gather) -> None:
    measured = {"cheap": (0.70, 1.0), "dominated": (0.69, 2.0), "middle": (0.75, 3.0), "best": (0.80, 9.0)}
    sampled = case("sampled", training=Training("adam", epochs=4, validation=RandomRows(train=20)))
    declared = suite(*map(case, measured), sampled)
    records = [
        record(name(one), test=accuracy, val=[0.5] * 3, epoch_seconds=[9, seconds, seconds])
        for one, (accuracy, seconds) in measured.items()
    ]
    records.append(record(name("sampled"), test=0.99, epoch_seconds=[1, 0.1]))
    frame = architectures.frame(results([declared], records)).set_index("case")
    assert list(frame.index) == list(measured), "a sample of the rows is no architecture"
    assert frame.index[frame["frontier"].astype(bool)].tolist() == ["cheap", "middle", "best"]
    assert frame.index[frame["best"].astype(bool)].tolist() == ["best"]
    assert frame.loc["middle", "seconds"] == pytest.approx(3 * 3.0), "three epochs of three seconds"


# --- speed -------------------------------------------------------------------------------------------------------


def timed(record: Maker, cell: str, seconds: list[float], repeat: int = 0, **changes: Any) -> Record:
    return record(cell, measure="timing", repeat=repeat, epoch_seconds=[99, *seconds], **changes)


def test_processes_give_an_interval_and_a_single_one_the_range_of_its_epochs(record: Maker, results: Gather) -> None:
    keras, torch = [4.1, 4.4, 3.9], [2.0, 2.1, 2.2]
    records = [timed(record, name("many", "keras-tensorflow"), [t, t], r) for r, t in enumerate(keras)]
    records += [timed(record, name("many"), [t, t], r) for r, t in enumerate(torch)]
    records += [timed(record, name("one", "keras-tensorflow"), [3, 4, 5]), timed(record, name("one"), [1, 2, 3])]
    frame = speed.frame(results([suite(case("many"), case("one"))], records)).set_index("case")
    welch = stats.ttest_ind(np.log(keras), np.log(torch), equal_var=False).confidence_interval(0.95)
    many, one = frame.loc["many"], frame.loc["one"]
    assert (many["low"], many["high"]) == pytest.approx((np.exp(welch.low), np.exp(welch.high)))
    assert (many["base_n"], many["n"], many["spread"]) == (3, 3, "95 % interval")
    assert (one["speedup"], one["low"], one["high"]) == pytest.approx((4 / 2, 3 / 3, 5 / 1))
    assert (one["base_n"], one["n"], one["spread"]) == (1, 1, "range of epochs")
    assert frame["column"].tolist() == ["torch", "torch"], "the reference is not set against itself"


def test_the_reference_has_the_same_numerics_and_no_reference_means_no_row(record: Maker, results: Gather) -> None:
    records = [
        timed(record, name("a", "keras-tensorflow"), [4]),
        timed(record, name("a", numerics="native"), [1]),
        timed(record, name("b"), [1]),
    ]
    assert speed.frame(results([suite(case("a"), case("b"))], records)).empty


def test_a_fused_kernel_is_set_against_the_generic_one_of_its_backend(record: Maker, results: Gather) -> None:
    net = case("lstm", layers=(Embedding(50, 8), LSTM(4), Dense(1, "sigmoid")))
    records = [
        timed(record, name("lstm", kernel="fused"), [1, 1]),
        timed(record, name("lstm", kernel="generic"), [3, 3]),
        timed(record, name("lstm", "keras-tensorflow", "generic"), [9, 9]),
    ]
    gathered = results([suite(net)], records)
    row = kernels.frame(gathered).iloc[0]
    assert (row["backend"], row["layers"], row["speedup"]) == ("torch", "LSTM", 3)
    assert speed.frame(gathered)[["kernel", "speedup"]].to_numpy().tolist() == [["fused", 9]], "the best kernel"


# --- numerics ----------------------------------------------------------------------------------------------------


def test_other_numerics_are_paired_with_the_documented_ones_by_seed(record: Maker, results: Gather) -> None:
    documented, matched = [0.80, 0.82, 0.81], [0.76, 0.79, 0.77]
    records = [record(name("a", seed=s), test=value) for s, value in enumerate(documented)]
    records += [record(name("a", seed=s, numerics="matched"), test=value) for s, value in enumerate(matched)]
    records.append(record(name("a", seed=9, numerics="matched"), test=0.1))
    declared = suite(case("a", documented=Documented(test=Score(accuracy=0.8044))))
    row = numerics.frame(results([declared], records)).iloc[0]
    differences = np.subtract(matched, documented)
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (row["numerics"], row["n"], row["documented"]) == ("matched", 3, 0.8044)
    assert (row["base"], row["mean"]) == pytest.approx((np.mean(documented), np.mean(matched)))
    assert row["difference"] - row["half"] == pytest.approx(interval.low)


def test_numerics_without_a_kernel_in_common_are_paired_all_the_same(record: Maker, results: Gather) -> None:
    records = [record(name("a", kernel="generic", seed=s), test=0.80) for s in range(3)]
    records += [record(name("a", kernel="fused", seed=s, numerics="matched"), test=0.77) for s in range(3)]
    (row,) = numerics.frame(results([suite(case("a"))], records)).to_dict("records")
    assert (row["kernel"], row["n"], round(row["difference"], 4)) == ("fused", 3, -0.03)
    records += [record(name("a", kernel="generic", numerics="matched"), test=0.70)]
    (row,) = numerics.frame(results([suite(case("a"))], records)).to_dict("records")
    assert (row["kernel"], row["n"], round(row["difference"], 4)) == ("generic", 1, -0.1)


# --- low data ----------------------------------------------------------------------------------------------------


def test_low_data_pairs_are_found_by_declaration_and_differences_are_paired(record: Maker, results: Gather) -> None:
    def pair(rows: int) -> tuple[Case, Case]:
        training = Training("rmsprop", epochs=2, validation=RandomRows(train=rows))
        vectors = (Embedding(50, 50, vectors=Glove(50), trainable=False), *LAYERS[1:])
        return case(f"p{rows}", layers=vectors, training=training), case(f"q{rows}", training=training)

    declared = suite(*pair(20), *pair(40), case("alone"))
    ours, theirs = [0.70, 0.72, 0.71], [0.60, 0.66, 0.63]
    records = [record(name("p20", seed=s), test=value) for s, value in enumerate(ours)]
    records += [record(name("q20", seed=s), test=value) for s, value in enumerate(theirs)]
    records += [record(name("p40", seed=7), test=0.7), record(name("q40", seed=8), test=0.8)]
    frame = low_data.frame(results([declared], records))
    assert frame[["rows", "pretrained", "learned", "n"]].to_numpy().tolist() == [[20, "p20", "q20", 3]]
    difference = np.subtract(ours, theirs)
    assert frame["difference"].item() == pytest.approx(difference.mean())
    # t(.975, 2) = 4.303 (any table of Student's distribution)
    assert frame["half"].item() == pytest.approx(4.303 * difference.std(ddof=1) / np.sqrt(3), rel=1e-3)


# --- learning curves ---------------------------------------------------------------------------------------------


def test_curves_hold_the_document_and_the_spread_over_seeds_that_trained_that_long(
    record: Maker, results: Gather
) -> None:
    printed = Documented(epochs=(Epoch(0.6, 0.7, 0.5, 0.71), Epoch(0.5, 0.8, 0.4, 0.72)))
    training = Training("adam", epochs=3, validation=LastFraction(0.25))
    declared = suite(case("a", documented=printed, training=training), case("silent"))
    records = [record(name("a", seed=s), val=val) for s, val in enumerate([[0.6, 0.7, 0.74], [0.5, 0.8]])]
    records.append(record(name("silent"), test=0.7))
    frame = curves.frame(results([declared], records))
    assert set(frame["case"]) == {"a"}, "no printed epochs, nothing to compare"
    document = frame[frame["column"].isna()]
    assert document[["epoch", "mean"]].to_numpy().tolist() == [[1, 0.71], [2, 0.72]]
    measured = frame[frame["column"] == "torch"][["epoch", "mean", "low", "high", "n"]].to_numpy(dtype=float)
    assert measured == pytest.approx(
        np.array([[1, 0.55, 0.5, 0.6, 2], [2, 0.75, 0.7, 0.8, 2], [3, 0.74, 0.74, 0.74, 1]])
    )


def test_a_case_without_validation_is_compared_by_what_fit_prints(record: Maker, results: Gather) -> None:
    both, only = Epoch(0.6, 0.7, 0.5, 0.71), Epoch(val_loss=0.5, val_accuracy=0.71)
    declared = suite(*(case(who, documented=Documented(epochs=(line,))) for who, line in (("a", both), ("b", only))))
    records = [record(name(who), test=0.7) for who in "ab"]
    frame = curves.frame(results([declared], records))
    assert frame[["case", "curve", "column", "mean"]].to_numpy().tolist() == [
        ["a", "fit", None, 0.7], ["a", "fit", "torch", 0.8],
    ]  # fmt: skip
