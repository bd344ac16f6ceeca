"""What is set against what: on records whose ratios, differences and frontiers are known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.records.record import Record
from bench.report.topics import architectures, kernels, speed
from bench.spec import (
    LSTM,
    Dense,
    Embedding,
    RandomRows,
    Training,
)
from tests.making import Gather, Maker, case, name, suite

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
