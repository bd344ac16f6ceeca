"""Each planted cause is the first that is named, with its line, and none is named where nothing was planted."""

from __future__ import annotations

import os

import pytest

from bench.port.batch import Batch
from bench.port.causes import CAUSES
from bench.port.compare import Comparison, compare
from tests.port.conftest import Sides
from tests.port.pairs.table import CLEAN, KERAS, PLANTED, TORCH, Pair, batch


def compared(pair: Pair, sides: Sides) -> Comparison:
    """Return what `bench port` finds, in its own order of calls."""
    keras, torch = sides("keras", 1, 120), sides("torch", 1, 120)
    x, y = batch(pair)
    keras.load(f"{KERAS}:{pair.keras}", False)
    if pair.recipes:
        keras.compile(f"{KERAS}:{pair.compiled}")
    torch.load(f"{TORCH}:{pair.torch}", "float64")
    rows = Batch([x.astype("float64") if x.dtype.kind == "f" else x], {}, y if pair.recipes else None)
    return compare(keras, torch, rows, f"{TORCH}:{pair.torch}", f"{TORCH}:{pair.step}" if pair.recipes else None, {})


def line_of(found: str | None) -> int:
    """Return the number of a line in `torch_side.py`, 0 for another file's or none."""
    file, _, number = (found or ":0").rpartition(":")
    return int(number) if file and os.path.samefile(file, TORCH) else 0


@pytest.mark.parametrize("pair", PLANTED, ids=lambda pair: f"{pair.cause}-{pair.name}")
def test_a_planted_cause_is_named_first_with_its_line(pair: Pair, kept_sides: Sides) -> None:
    found = compared(pair, kept_sides)
    assert found.verdict == "differs"
    told = [(one.cause, line_of(one.line)) for one in found.findings]
    assert told[0][0] == pair.cause, told
    assert told[0][1] in pair.planted_lines(), told


@pytest.mark.parametrize("pair", CLEAN, ids=lambda pair: pair.name)
def test_a_clean_pair_raises_no_alarm(pair: Pair, kept_sides: Sides) -> None:
    found = compared(pair, kept_sides)
    assert [(one.cause, one.layer, one.error) for one in found.findings] == []
    assert found.verdict == "equal"
    assert {one.cause for one in found.will_differ} == set(pair.later)


def test_every_cause_of_the_table_is_planted() -> None:
    later = {cause for pair in CLEAN for cause in pair.later}
    assert {pair.cause for pair in PLANTED} | later == set(CAUSES)
