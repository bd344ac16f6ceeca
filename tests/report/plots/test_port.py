"""The port that lost most, drawn from records made by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench.report.results import Results
from bench.report.topics import explain
from tests.report.plots.demo import drawn


def test_both_twins_have_a_line_under_both_numerics_that_ends_in_the_figure(full: Results) -> None:
    (axis,) = drawn("port", full).axes
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in axis.get_lines()]
    rows = explain.port(full)
    ends = [100 * row.mean for row in rows if row.epoch is None]
    assert len(lines) == len(ends) == 4
    assert [line[-1] for line in lines] == pytest.approx(ends)
    assert [text.get_text() for text in axis.get_xticklabels()] == ["1", "2", "val"]


def test_every_line_has_a_label_and_no_label_covers_a_line_or_another_label(full: Results) -> None:
    figure = drawn("port", full)
    figure.draw_without_rendering()
    (axis,) = figure.axes
    boxes = [text.get_window_extent() for text in axis.texts]
    assert len(boxes) == len(axis.get_lines()) == 4
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(box.x0 > axis.get_window_extent().x1 for box in boxes), "lines end where the panel does"
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)
    assert len(figure.legends) == 1
