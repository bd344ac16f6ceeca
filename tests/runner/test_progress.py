"""The time left is foretold from what has been measured, and said in the words of people."""

from __future__ import annotations

import pytest

from bench.cases.cell import Cell
from bench.records.record import Record
from bench.runner.plan import PlannedCell, TimeLeft
from bench.runner.progress import duration
from tests.making import make_record


def planned(case: str, seed: int, estimate: float) -> PlannedCell:
    cell = Cell("demo", case, "torch", "none", "cpu", "documented", seed)
    return PlannedCell(cell, 0, frozenset(), None, estimate)


def ended(one: PlannedCell, seconds: float, status: str = "ok") -> Record:
    return make_record(str(one.cell), status=status, seconds=seconds)


def test_before_anything_ended_the_estimates_are_added_up() -> None:
    assert TimeLeft([planned("a", 0, 10), planned("b", 0, 30)]).seconds() == 40


def test_other_seeds_take_what_this_case_took_and_other_cases_their_estimate_corrected() -> None:
    a0, a1, a2, b = planned("a", 0, 10), planned("a", 1, 10), planned("a", 2, 10), planned("b", 0, 30)
    left = TimeLeft([a0, a1, a2, b])
    left.ended(ended(a0, 20))
    assert left.seconds() == pytest.approx(2 * 20 + 30 * 20 / 10)
    left.ended(ended(a1, 30))
    assert left.seconds() == pytest.approx(25 + 30 * 50 / 20), "one more seed, at the mean of both"


@pytest.mark.parametrize("status", ["unavailable", "interrupted"])
def test_a_cell_that_did_not_run_to_its_end_tells_nothing(status: str) -> None:
    a0, a1 = planned("a", 0, 10), planned("a", 1, 10)
    left = TimeLeft([a0, a1])
    left.ended(ended(a0, 0.1, status))
    assert left.seconds() == 10


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (12.4, "12 s"), (200, "3 min 20 s"), (3599.6, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
