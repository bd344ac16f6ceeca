"""Learning curves, drawn from records made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.report.results import Results
from tests.report.plots.demo import drawn


def test_learning_curves_have_a_panel_per_printed_log_with_the_documents_values(full: Results) -> None:
    panels = [axis for axis in drawn("learning-curves", full).axes if axis.get_visible()]
    assert len(panels) == 5
    for axis in panels:
        lines = [np.asarray(line.get_ydata(), dtype=float) for line in axis.get_lines()]
        assert any(line == pytest.approx([71, 72]) for line in lines)
