"""The page of overhead says of each bound whether it is met, and why one is not."""

from __future__ import annotations

import pytest

from tests.benchmarks.__main__ import MEASUREMENTS, Measurement, Row
from tests.benchmarks.figures import said, say
from tests.benchmarks.overhead_page import bounds, notes

BOUND = Measurement("a", "python a.py", (Row("what", "against", "ratio", 1.02),))


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ({"ratio": 1.02}, "met"),
        ({"ratio": 1.03}, "not met"),
        ({"ratio": [1.0, 0.9, 1.1]}, "met"),
        ({"ratio": [1.1, 1.0, 1.2]}, "not met"),
        ({}, "not measured"),
        (None, "not measured"),
    ],
)
def test_each_bound_is_met_or_not_or_not_measured(figures: dict[str, float] | None, verdict: str) -> None:
    found = {} if figures is None else {"a": {"figures": figures}}
    *_, row = bounds([BOUND], found).splitlines()
    assert [cell.strip() for cell in row.split("|")][5] == verdict
    assert bool(notes([BOUND], found)) == (verdict != "met")


def test_figures_are_read_as_they_were_said(capsys: pytest.CaptureFixture[str]) -> None:
    print("figure: {}")
    say(ratio=1.5, ends=[1.0, 0.5, 2.0])
    say(**{"a name, with words": 0.0})
    assert said(capsys.readouterr().out) == {"ratio": 1.5, "ends": [1.0, 0.5, 2.0], "a name, with words": 0.0}


def test_names_are_unique() -> None:
    names = [each.name for each in MEASUREMENTS]
    assert len(set(names)) == len(names)
