"""Training steps below the machine's limits, drawn from records made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.records.record import Cost
from bench.report.results import Results
from bench.report.topics import roofline
from tests.making import Gather, Maker
from tests.report.plots.demo import SUITE, drawn, name


def test_the_roof_is_the_smaller_of_peak_and_bandwidth(full: Results) -> None:
    rows = roofline.frame(full)
    # 4 FLOPs a byte at 10 GB/s: 40 of the 100 GFLOP/s can be reached; a step of 2 s / 100 makes 200 of them.
    assert {row.roof for row in rows} == {4e10}
    (keras,) = (row for row in rows if (row.variant.backend, row.variant.kernel) == ("keras-tensorflow", "fused"))
    assert (keras.rate, keras.share) == pytest.approx((4e9 / 0.02, 4e9 / 0.02 / 4e10))
    (axis,) = drawn("roofline", full).axes
    roof = next(line for line in axis.get_lines() if len(line.get_xdata()) == 3)
    assert list(roof.get_ydata()) == pytest.approx([10 * 4 / 3, 100, 100])


def test_cases_of_one_name_have_a_roof_in_the_panel_of_their_own_document(record: Maker, results: Gather) -> None:
    cost = Cost(flops=4e9, bytes=1e9, peak_flops=1e11, bandwidth=1e10)
    cells = (name("lstm", "torch", 0, "fused"), name("lstm", "torch", 0, "fused").replace("demo", "other"))
    records = [record(cell, epoch_seconds=[9, seconds], cost=cost) for seconds, cell in enumerate(cells, start=1)]
    figure = drawn("roofline", results([SUITE, replace(SUITE, name="other")], records))
    rates = [
        [float(line.get_ydata()[0]) for line in axis.get_lines() if line.get_marker() == "s"] for axis in figure.axes
    ]
    assert len(rates) == 2
    assert rates[0] == pytest.approx([2 * rates[1][0]])
    assert [axis.get_title(loc="left").partition(",")[0] for axis in figure.axes] == ["demo", "other"]
    assert [[text.get_text() for text in axis.texts] for axis in figure.axes] == [["lstm"], ["lstm"]]


def test_columns_of_one_backend_look_apart_and_as_their_legend_says(record: Maker, results: Gather) -> None:
    cost = Cost(flops=4e9, bytes=1e9, peak_flops=1e11, bandwidth=1e10)
    numerics = ("native", "native:-denormals", "matched")
    cells = [name("lstm", "torch", 0, "fused").replace("documented", kind) for kind in numerics]
    figure = drawn("roofline", results([SUITE], [record(cell, epoch_seconds=[9, 1.0], cost=cost) for cell in cells]))
    drawn_so = [line.get_fillstyle() for line in figure.axes[0].get_lines() if line.get_marker() == "s"]
    told = [handle.get_fillstyle() for handle in figure.legends[0].legend_handles if handle.get_marker() == "s"]
    assert len(set(drawn_so)) == 3
    assert set(told) == set(drawn_so)
