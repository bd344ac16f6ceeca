"""Differences between the frameworks, drawn from records made by hand."""

from __future__ import annotations

from collections import defaultdict

import pytest

from bench.report.results import Results
from bench.report.topics import explain
from tests.report.plots.demo import drawn


def test_differences_stand_in_points_with_their_intervals(full: Results) -> None:
    (axis,) = drawn("differences", full).axes
    shown = {round(float(line.get_xdata()[0]), 6) for line in axis.get_lines() if line.get_marker() in ("o", "s")}
    assert shown == {round(100 * row.difference, 6) for row in explain.frame(full)}


def test_all_differences_stand_first_then_each_by_its_size_under_a_plain_name(full: Results) -> None:
    (axis,) = drawn("differences", full).axes
    sizes: dict[int, float] = defaultdict(float)
    for line in axis.get_lines():
        if line.get_marker() in ("o", "s"):
            place = round(float(line.get_ydata()[0]))
            sizes[place] = max(sizes[place], abs(float(line.get_xdata()[0])))
    largest = {name: 0.0 for name in ("native", "native:init", "native:order", "documented")}
    for row in explain.frame(full):
        largest[row.variant.numerics] = max(largest[row.variant.numerics], 100 * abs(row.difference))
    assert largest["native:init"] > largest["native:order"]
    assert [sizes[place] for place in range(4)] == pytest.approx(list(largest.values()))
    assert [text.get_text() for text in axis.get_yticklabels()] == [explain.called(name) for name in largest]
