"""Records become pairs: by repeat what was timed, by seed what was trained."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec import structs

from bench.compare.pairs import pair_sets
from bench.records.record import Record
from tests.making import make_record


def timed(repeat: int, seconds: float, **changes: Any) -> Record:
    name = "imdb-rnn/lstm@torch,fused,cpu,documented#0"
    record = make_record(name, epoch_seconds=(9.0, seconds), steps=4, measure="timing", **changes)
    return structs.replace(record, repeat=repeat)


def trained(seed: int, accuracy: float, case: str = "lstm") -> Record:
    return make_record(f"imdb-rnn/{case}@torch,fused,cpu,documented#{seed}", test=accuracy, measure="accuracy")


def figures(
    base: list[Record], candidate: list[Record], quantity: str
) -> dict[str, tuple[list[float], list[float], int]]:
    return {
        pair.cell.split("@")[0]: (pair.base.tolist(), pair.candidate.tolist(), pair.planned)
        for pair in pair_sets(base, candidate)
        if pair.quantity == quantity
    }


def test_times_are_paired_by_repeat_whatever_their_order_and_a_missing_one_is_nan() -> None:
    base = [timed(3, 3.0), timed(1, 1.0), timed(2, 2.0)]
    candidate = [timed(1, 1.5), timed(3, 3.5, status="timeout", reason="over 5 s"), timed(4, 4.5)]
    ((before, after, planned),) = figures(base, candidate, "epoch").values()
    nan = math.nan
    np.testing.assert_equal((before, after, planned), ([1.0, 2.0, 3.0, nan], [1.5, nan, nan, 4.5], 4))


def test_scores_are_paired_by_seed_and_the_arrays_of_all_cells_are_of_one_length() -> None:
    base = [trained(1, 0.8), trained(0, 0.7), trained(0, 0.5, "gru"), timed(1, 1.0)]
    candidate = [trained(0, 0.75), trained(1, 0.85), trained(0, 0.55, "gru")]
    found = figures(base, candidate, "accuracy")
    np.testing.assert_equal(found["imdb-rnn/lstm"], ([0.7, 0.8], [0.75, 0.85], 2))
    np.testing.assert_equal(found["imdb-rnn/gru"], ([0.5, math.nan], [0.55, math.nan], 1))
