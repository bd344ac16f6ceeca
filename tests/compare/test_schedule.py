"""Pairs alternate: neither side, nor any cell, is favoured by when it is measured."""

from __future__ import annotations

from collections import Counter

from bench.cases.cell import Cell
from bench.compare.schedule import schedule
from bench.runner.plan import PlannedCell

CELLS = [
    PlannedCell(Cell("s", f"case-{number}", "torch", "none", "cpu", "documented", 0), 0, frozenset(), None, 1.0)
    for number in range(6)
]


def test_every_block_holds_one_pair_of_every_cell_in_an_order_of_its_own() -> None:
    pairs = schedule(CELLS, range(1, 5), "x")
    blocks = [pairs[start : start + 6] for start in range(0, 24, 6)]
    names = [[pair.planned.cell.case for pair in block] for block in blocks]
    assert all(sorted(block) == sorted(planned.cell.case for planned in CELLS) for block in names)
    assert len({tuple(block) for block in names}) == 4
    assert [{pair.planned.repeat for pair in block} for block in blocks] == [{1}, {2}, {3}, {4}]


def test_the_order_within_a_cells_pairs_alternates_and_not_all_cells_begin_with_the_same_side() -> None:
    pairs = schedule(CELLS, range(1, 9), "x")
    begins = Counter()
    for planned in CELLS:
        orders = [pair.order for pair in pairs if pair.planned.cell == planned.cell]
        assert set(orders[::2]) | set(orders[1::2]) == {("base", "candidate"), ("candidate", "base")}
        assert len(set(orders[::2])) == len(set(orders[1::2])) == 1
        begins[orders[0]] += 1
    assert len(begins) == 2


def test_a_schedule_depends_on_its_seed_alone_and_an_extension_goes_on_in_it() -> None:
    assert schedule(CELLS, range(1, 9), "x") == schedule(CELLS, range(1, 9), "x")
    assert schedule(CELLS, range(1, 9), "x") != schedule(CELLS, range(1, 9), "y")
    whole = {(pair.planned.cell, pair.planned.repeat): pair.order for pair in schedule(CELLS, range(1, 9), "x")}
    extension = schedule(CELLS[2:4], range(5, 9), "x")
    assert {pair.order == whole[pair.planned.cell, pair.planned.repeat] for pair in extension} == {True}
