"""Differences between the frameworks, drawn from records made by hand."""

from __future__ import annotations

from bench.report.results import Results
from bench.report.topics import explain
from tests.report.plots.demo import drawn


def test_differences_stand_in_points_with_their_intervals(full: Results) -> None:
    (axis,) = drawn("differences", full).axes
    assert [text.get_text() for text in axis.get_yticklabels()] == [
        explain.called(numerics) for numerics in ("documented", "native", "native:init", "native:order")
    ]
    shown = {round(float(line.get_xdata()[0]), 6) for line in axis.get_lines() if line.get_marker() in ("o", "s")}
    assert shown == {round(100 * row.difference, 6) for row in explain.frame(full)}
