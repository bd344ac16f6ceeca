"""Speed-ups, drawn from records made by hand."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from msgspec import structs

from bench.report.plots.registry import draw
from bench.report.results import Results
from bench.report.topics import speed
from tests.making import Gather, Maker
from tests.report.plots.demo import SUITE, drawn, name, plot
from tests.report.stepping import stepped


def test_speed_ups_stand_where_the_frame_has_them(full: Results) -> None:
    rows = speed.frame(full)
    (axis,) = drawn("speed", full).axes
    markers = {float(line.get_xdata()[0]) for line in axis.get_lines() if line.get_marker() == "s"}
    assert markers == {row.factor for row in rows}
    named = {text.get_text() for text in axis.get_yticklabels()}
    assert named == {row.name for row in rows} | {row.layers for row in rows}, "kinds of layers stand above their cases"


def test_names_from_a_file_are_shown_as_text_and_break_no_picture(
    record: Maker, results: Gather, tmp_path: Path
) -> None:
    hostile = "<script>alert(1)</script> $x^2$ \x1b[2J&"
    records = stepped(record, name("flat-0", "keras-tensorflow"), [0.4, 0.4, 0.4])
    records += [structs.replace(one, backend=hostile) for one in stepped(record, name("flat-0", "torch"), [0.2] * 3)]
    for path in draw(plot("speed"), results([SUITE], records), tmp_path, ("svg",)):
        text = " ".join(ElementTree.fromstring(path.read_text()).itertext())
        assert "<script>alert(1)</script> $x^2$ ?[2J&" in text
