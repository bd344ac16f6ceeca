"""Pre-trained against learned embeddings, drawn from records made by hand."""

from __future__ import annotations

from statistics import fmean

import pytest

from bench.backends.registry import backends
from bench.report.results import Results
from tests.making import Gather, Maker
from tests.report.plots.demo import SUITE, drawn, name


def test_the_crossover_is_marked_where_the_learned_embedding_overtakes(full: Results) -> None:
    figure = drawn("pre-trained", full)
    above, below = figure.axes
    for axis in above, below:
        assert [line.get_xdata()[0] for line in axis.get_lines() if line.get_linestyle() == ":"] == [400]
    (legend,) = figure.legends
    assert any("400 rows" in text.get_text() for text in legend.get_texts())
    assert above.get_legend() is None, "one legend, which covers no data"


def test_a_colour_means_a_backend_and_nothing_else(full: Results) -> None:
    for axis in drawn("pre-trained", full).axes:
        drawn_with = {line.get_color() for line in axis.get_lines() if line.get_marker() in ("o", "s")}
        assert drawn_with == {backends()[name].colour for name in ("keras-tensorflow", "torch")}


def test_a_single_number_of_rows_stands_in_the_middle_of_both_panels(record: Maker, results: Gather) -> None:
    records = [
        record(name(f"{kind}-20", backend, seed), test=0.6 + seed / 100)
        for kind in ("frozen", "learned")
        for backend in ("keras-tensorflow", "torch")
        for seed in range(2)
    ]
    figure = drawn("pre-trained", results([SUITE], records, seeds=2))
    figure.draw_without_rendering()
    for axis in figure.axes:
        points = [line for line in axis.get_lines() if line.get_marker() in ("o", "s")]
        places = [
            float(axis.transAxes.inverted().transform(axis.transData.transform((x, 0)))[0])
            for line in points
            for x in line.get_xdata()
        ]
        assert fmean(places) == pytest.approx(0.5, abs=0.01)
        assert all(0.3 < place < 0.7 for place in places)
