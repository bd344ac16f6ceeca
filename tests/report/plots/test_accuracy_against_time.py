"""Architectures, drawn from records made by hand."""

from __future__ import annotations

import itertools

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.text import Text

from bench.report.results import Results
from bench.report.topics import architectures
from tests.making import Gather, Maker
from tests.report.plots.demo import SUITE, drawn, name


def test_an_interval_of_two_seeds_does_not_press_the_points_together(record: Maker, results: Gather) -> None:
    cells = {("flat-0", 0): 0.70, ("flat-1", 0): 0.75, ("flat-2", 0): 0.80, ("flat-2", 1): 0.72}
    records = [
        record(name(case, "torch", seed), test=accuracy, epoch_seconds=[9, 2, 2])
        for (case, seed), accuracy in cells.items()
    ]
    gathered = results([SUITE], records, seeds=2)
    (wide,) = (row for row in architectures.frame(gathered) if row.case == "flat-2")
    assert wide.ci_half_width is not None
    assert wide.ci_half_width > 0.5, "12.7 standard errors"
    (axis,) = (one for one in drawn("accuracy-against-time", gathered).axes if one.get_visible())
    low, high = axis.get_ylim()
    assert 65 < low < 70
    assert 76 < high < 80
    arrows = {line.get_marker(): line.get_ydata()[0] for line in axis.get_lines() if line.get_marker() in (10, 11)}
    assert arrows == {11: low, 10: high}, "where the bar leaves the panel, an arrow says that it goes on"


def test_names_of_close_points_cover_neither_one_another_nor_a_bar_and_stay_in_the_panel(full: Results) -> None:
    figure = drawn("accuracy-against-time", full)
    FigureCanvasAgg(figure).draw()
    (axis,) = (one for one in figure.axes if one.get_visible())
    frame = axis.get_window_extent()
    boxes = {text.get_text(): Text.get_window_extent(text) for text in axis.texts}
    assert set(boxes) == {*(f"flat-{i}" for i in range(5)), "lstm"}
    for one, other in itertools.combinations(boxes.values(), 2):
        assert not one.overlaps(other)
    bars = [
        path.transformed(lines.get_transform())
        for lines in axis.collections
        if isinstance(lines, LineCollection)
        for path in lines.get_paths()
    ]
    assert len(bars) == 10, "two seeds under two backends of each architecture but the LSTM, which has one"
    for bar, box in itertools.product(bars, boxes.values()):
        assert not bar.intersects_bbox(box)
    for box in boxes.values():
        assert (box.x0, box.y0) >= (frame.x0, frame.y0)
        assert box.x1 <= frame.x1
        assert box.y1 <= frame.y1


def test_a_name_goes_around_the_bar_of_another_point(record: Maker, results: Gather) -> None:
    cells = {("flat-0", 0): (0.70, 2.0), ("flat-1", 0): (0.745, 3.0), ("flat-1", 1): (0.755, 3.0)}
    cells["flat-2", 0] = (0.76, 0.02)  # cheaper and better, so that no frontier passes the others
    records = [
        record(name(case, "torch", seed), test=accuracy, epoch_seconds=[9, seconds])
        for (case, seed), (accuracy, seconds) in cells.items()
    ]
    figure = drawn("accuracy-against-time", results([SUITE], records, seeds=2))
    FigureCanvasAgg(figure).draw()
    (axis,) = (one for one in figure.axes if one.get_visible())
    ((bar,),) = (one.get_paths() for one in axis.collections if isinstance(one, LineCollection))
    drawn_bar = bar.transformed(axis.transData)
    box = Text.get_window_extent(next(text for text in axis.texts if text.get_text() == "flat-0"))
    assert drawn_bar.get_extents().y0 < box.y0 < drawn_bar.get_extents().y1, "it is as high as the bar"
    assert not drawn_bar.intersects_bbox(box)
