"""The time left is foretold from what has been measured, and said in the words of people."""

from __future__ import annotations

import pytest

from bench.cases.cell import Cell
from bench.records.record import Record
from bench.runner.plan import PlannedCell, TimeLeft
from bench.runner.progress import Display, duration, short_names
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


def display(cells: list[PlannedCell], records: list[Record], capsys: pytest.CaptureFixture[str]) -> list[str]:
    shown = Display(cells)
    with shown:
        for cell, record in zip(cells, records, strict=True):
            shown.started(cell)
            shown.ended(record)
    return capsys.readouterr().err.splitlines()


def test_lines_fit_and_keep_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [planned("a-case-with-a-name-that-is-rather-long" * times, 0, 1.0) for times in (1, 3)]
    lines = display(cells, [make_record(str(each.cell), test=0.731, seconds=9.26) for each in cells], capsys)
    assert [len(line) <= 100 for line in lines] == [True, True]
    assert ["73.10 %  9.3 s" in line for line in lines] == [True, True]
    failed = make_record(str(cells[0].cell), status="failed", reason="ValueError: " + "long " * 100 + "\nsecond line")
    (line,) = display(cells[:1], [failed], capsys)
    assert len(line) <= 100
    assert "failed: ValueError: long" in line


def test_what_is_unavailable_is_counted_and_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [planned("a", 0, 1.0), planned("b", 0, 1.0)]
    (line,) = display(cells, [ended(cells[0], 0.0, "unavailable"), ended(cells[1], 1.0)], capsys)
    assert line.startswith("[2/2] demo/b@torch ")


def test_names_say_what_differs_among_the_cells() -> None:
    def named(*parts: tuple[str, str, str, str, int]) -> list[str]:
        cells = [
            Cell("s", "c", backend, kernel, device, numerics, seed) for backend, kernel, device, numerics, seed in parts
        ]  # type: ignore[arg-type]
        return [short_names(cells)(cell) for cell in cells]

    torch = ("torch", "fused", "cpu", "native", 0)
    assert named(torch, ("keras", "generic", "cpu", "native", 0)) == ["s/c@torch", "s/c@keras"]
    assert named(torch, ("torch", "generic", "cpu", "native", 0)) == ["s/c@torch,fused", "s/c@torch,generic"]
    assert named(torch, ("torch", "fused", "cuda", "native", 1)) == ["s/c@torch,cpu#0", "s/c@torch,cuda#1"]
    assert named(torch, ("torch", "fused", "cpu", "matched", 0)) == ["s/c@torch,native", "s/c@torch,matched"]


def test_side_by_side_cells_share_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("bench.runner.progress.time.monotonic", lambda: clock[0])
    cells = [planned(case, 0, 100.0) for case in "abcde"]
    shown = Display(cells, 2)
    shown.started(cells[0])
    shown.started(cells[1])
    clock[0] = 100.0
    shown.ended(ended(cells[0], 100.0))
    shown.started(cells[2])
    clock[0] = 130.0
    shown.ended(ended(cells[1], 130.0))
    lines = [line.rpartition("  ")[2] for line in capsys.readouterr().err.splitlines()]
    # First 4 cells of 100 s are left, of which one has run for 100; then 3 of 115 s, of which one has run for 30.
    assert lines == [f"{duration((400 - 100) / 2)} left", f"{duration((345 - 30) / 2)} left"]


def test_all_that_run_side_by_side_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    shown = Display([planned(case, 0, 1.0) for case in "ab"], 2)
    for case in "ab":
        shown.started(planned(case, 0, 1.0))
    text = shown._progress.tasks[0].description
    assert "demo/a@torch" in text
    assert "demo/b@torch" in text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (12.4, "12 s"), (200, "3 min 20 s"), (3599.6, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
