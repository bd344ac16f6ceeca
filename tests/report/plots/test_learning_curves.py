"""Learning curves, drawn from records made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.backends.registry import backends
from bench.report.results import Results
from tests.making import Gather, Maker
from tests.report.plots.demo import SUITE, drawn, name


def test_learning_curves_have_a_panel_per_printed_log_with_the_documents_values(full: Results) -> None:
    panels = [axis for axis in drawn("learning-curves", full).axes if axis.get_visible()]
    assert len(panels) == 5
    for axis in panels:
        lines = [np.asarray(line.get_ydata(), dtype=float) for line in axis.get_lines()]
        assert any(line == pytest.approx([71, 72]) for line in lines)


def test_epochs_that_some_seeds_did_not_reach_are_drawn_thinner(record: Maker, results: Gather) -> None:
    records = [record(name("flat-0", "torch", seed), val=val) for seed, val in enumerate([[0.6, 0.7], [0.6, 0.7, 0.8]])]
    figure = drawn("learning-curves", results([SUITE], records, seeds=2))
    (axis,) = (axis for axis in figure.axes if axis.get_visible())
    measured = [line for line in axis.get_lines() if line.get_color() == backends()["torch"].colour]
    widths = {tuple(line.get_xdata()): line.get_linewidth() for line in measured}
    assert widths.keys() == {(1, 2), (2, 3)}
    assert widths[2, 3] < 0.6 * widths[1, 2]
