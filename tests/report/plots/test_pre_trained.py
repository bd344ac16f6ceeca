"""Pre-trained against learned embeddings, drawn from records made by hand."""

from __future__ import annotations

from bench.report.results import Results
from tests.report.plots.demo import drawn


def test_the_crossover_is_marked_where_the_learned_embedding_overtakes(full: Results) -> None:
    above, below = drawn("pre-trained", full).axes
    for axis in above, below:
        assert [line.get_xdata()[0] for line in axis.get_lines() if line.get_linestyle() == ":"] == [400]
    assert any("from 400 rows on" in text.get_text() for text in above.texts)
