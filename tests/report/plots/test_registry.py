"""Pictures hold the figures of their frames, are the same bytes each time, and say which results they show."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from msgspec import structs

from bench.backends.registry import backends
from bench.records.record import Cost
from bench.report.pages import write
from bench.report.plots.base import Plot, digest
from bench.report.plots.registry import PLOTS, draw, is_fresh, pictures
from bench.report.results import Results
from bench.report.style import drawn_in, style
from bench.report.topics import architectures, explain, roofline
from bench.report.topics import speed as speed_topic
from bench.spec import (
    KERAS_2_3,
    LSTM,
    Case,
    Dense,
    Documented,
    Embedding,
    Epoch,
    Flatten,
    Imdb,
    LastFraction,
    RandomRows,
    Suite,
    Training,
    Word2Vec,
)
from tests.making import Gather, Maker

DATA = Imdb(num_words=50, maxlen=10)
FLAT = (Embedding(50, 300), Flatten(), Dense(1, "sigmoid"))
FROZEN = (Embedding(50, 300, vectors=Word2Vec(), trainable=False), *FLAT[1:])
RECURRENT = (Embedding(50, 8), LSTM(4), Dense(1, "sigmoid"))
TRAINING = Training("adam", epochs=2, validation=LastFraction(0.25))
PRINTED = Documented(epochs=(Epoch(0.6, 0.7, 0.5, 0.71), Epoch(0.5, 0.8, 0.4, 0.72)))
SIZES = (20, 400)

SUITE = Suite(
    "demo",
    document="9",
    title="A document",
    era=KERAS_2_3,
    cases=(
        *(Case(f"flat-{i}", data=DATA, layers=FLAT, training=TRAINING, documented=PRINTED) for i in range(5)),
        Case("lstm", data=DATA, layers=RECURRENT, training=TRAINING),
        *(
            Case(f"{name}-{rows}", data=DATA, layers=layers, training=Training("adam", 1, validation=RandomRows(rows)))
            for rows in SIZES
            for name, layers in (("frozen", FROZEN), ("learned", FLAT))
        ),
    ),
)


def name(case: str, backend: str, seed: int = 0, kernel: str = "none") -> str:
    return f"demo/{case}@{backend},{kernel},cpu,documented#{seed}"


@pytest.fixture
def full(record: Maker, results: Gather) -> Results:
    """Return results that every plot has something to show of; five architectures lie close together."""
    records = []
    for backend, factor in (("keras-tensorflow", 2.0), ("torch", 1.0)):
        for i, seed in itertools.product(range(5), range(2)):
            accuracy = 0.70 + 0.004 * i + 0.002 * seed
            fields = {
                "test": accuracy,
                "val": [0.6 + seed / 50, accuracy],
                "epoch_seconds": [9, factor * (2 + 0.1 * i)],
            }
            records.append(record(name(f"flat-{i}", backend, seed), **fields))
        for kernel, seconds in (("fused", 1.0), ("generic", 3.0)):
            cost = Cost(flops=4e9, bytes=1e9, peak_flops=1e11, bandwidth=1e10)
            records.append(
                record(name("lstm", backend, 0, kernel), test=0.8, epoch_seconds=[9, factor * seconds], cost=cost)
            )
        numerics = {"matched": 0.8, "native": 0.7, "native:init": 0.75, "native:order": 0.8}
        for (kind, accuracy), seed in itertools.product(numerics.items(), range(2)):
            cell = name("flat-0", backend, seed).replace("documented", kind)
            records.append(record(cell, val=[0.5, accuracy + seed / 100 * (1 + accuracy)]))
        for rows, seed in itertools.product(SIZES, range(2)):
            gain = 0.05 if rows == 20 else -0.05
            records.append(record(name(f"frozen-{rows}", backend, seed), test=0.6 + gain + seed / 100))
            records.append(record(name(f"learned-{rows}", backend, seed), test=0.6 + seed / 50))
    return results([SUITE], records, seeds=2)


def plot(wanted: str) -> Plot:
    return next(one for one in PLOTS if one.name == wanted)


def drawn(wanted: str, results: Results) -> Figure:
    with style("light"):
        return plot(wanted).draw(plot(wanted).frame(results), "light")


def test_every_plot_is_drawn_where_it_has_rows_and_none_where_there_are_none(
    full: Results, record: Maker, results: Gather
) -> None:
    assert pictures(full) == list(PLOTS)
    failed = record(name("lstm", "torch", 0, "fused"), status="failed", reason="it broke")
    assert pictures(results([SUITE], [failed])) == []


def test_speed_ups_stand_where_the_frame_has_them(full: Results) -> None:
    frame = speed_topic.frame(full)
    (axis,) = drawn("speed", full).axes
    markers = {float(line.get_xdata()[0]) for line in axis.get_lines() if line.get_marker() == "s"}
    assert markers == set(frame["speedup"])
    assert {text.get_text() for text in axis.get_yticklabels()} == {f"demo/{case}" for case in frame["case"]}


def test_learning_curves_have_a_panel_per_printed_log_with_the_documents_values(full: Results) -> None:
    panels = [axis for axis in drawn("learning-curves", full).axes if axis.get_visible()]
    assert len(panels) == 5
    for axis in panels:
        lines = [np.asarray(line.get_ydata(), dtype=float) for line in axis.get_lines()]
        assert any(line == pytest.approx([71, 72]) for line in lines)


def test_the_crossover_is_marked_where_the_learned_embedding_overtakes(full: Results) -> None:
    above, below = drawn("pre-trained", full).axes
    for axis in above, below:
        assert [line.get_xdata()[0] for line in axis.get_lines() if line.get_linestyle() == ":"] == [400]
    assert any("from 400 rows on" in text.get_text() for text in above.texts)


def test_differences_stand_in_points_with_their_intervals(full: Results) -> None:
    (axis,) = drawn("differences", full).axes
    assert [text.get_text() for text in axis.get_yticklabels()] == [
        "documents' formulas",
        "all together",
        "init",
        "order",
    ]
    frame = explain.frame(full)
    shown = {round(float(line.get_xdata()[0]), 6) for line in axis.get_lines() if line.get_marker() in ("o", "s")}
    assert shown == {round(100 * value, 6) for value in frame["difference"]}


def test_the_roof_is_the_smaller_of_peak_and_bandwidth(full: Results) -> None:
    frame = roofline.frame(full)
    # 4 FLOPs a byte at 10 GB/s: 40 of the 100 GFLOP/s can be reached; a step of 2 s / 100 makes 200 of them.
    assert set(frame["roof"]) == {4e10}
    keras = frame[(frame["backend"] == "keras-tensorflow") & (frame["kernel"] == "fused")].iloc[0]
    assert (keras["rate"], keras["share"]) == pytest.approx((4e9 / 0.02, 4e9 / 0.02 / 4e10))
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


def test_an_interval_of_two_seeds_does_not_press_the_points_together(record: Maker, results: Gather) -> None:
    cells = {("flat-0", 0): 0.70, ("flat-1", 0): 0.75, ("flat-2", 0): 0.80, ("flat-2", 1): 0.72}
    records = [
        record(name(case, "torch", seed), test=accuracy, epoch_seconds=[9, 2, 2])
        for (case, seed), accuracy in cells.items()
    ]
    gathered = results([SUITE], records, seeds=2)
    frame = architectures.frame(gathered).set_index("case")
    assert frame.loc["flat-2", "half"] > 0.5, "12.7 standard errors"
    (axis,) = (one for one in drawn("accuracy-against-time", gathered).axes if one.get_visible())
    low, high = axis.get_ylim()
    assert 65 < low < 70
    assert 76 < high < 80


@pytest.mark.parametrize("wanted", ["accuracy-against-time", "speed", "kernels", "roofline"])
def test_logarithmic_axes_are_labelled_in_plain_numbers(wanted: str, full: Results) -> None:
    """Let no formula through: the pictures are drawn without matplotlib's markup."""
    figure = drawn(wanted, full)
    figure.draw_without_rendering()
    for axis in figure.axes:
        for ruler in (axis.xaxis, axis.yaxis):
            if axis.get_visible() and ruler.get_scale() == "log":
                shown = [text.get_text() for minor in (False, True) for text in ruler.get_ticklabels(minor)]
                assert sum(bool(text) for text in shown) >= 2
                assert not any("$" in text for text in shown)


def test_names_of_close_points_do_not_cover_one_another_or_leave_the_panel(full: Results) -> None:
    figure = drawn("accuracy-against-time", full)
    FigureCanvasAgg(figure).draw()
    (axis,) = (one for one in figure.axes if one.get_visible())
    frame = axis.get_window_extent()
    boxes = {text.get_text(): text.get_window_extent() for text in axis.texts if isinstance(text, Annotation)}
    assert set(boxes) == {*(f"flat-{i}" for i in range(5)), "lstm"}
    for one, other in itertools.combinations(boxes.values(), 2):
        assert not one.overlaps(other)
    for box in boxes.values():
        assert (box.x0, box.y0) >= (frame.x0, frame.y0)
        assert box.x1 <= frame.x1
        assert box.y1 <= frame.y1


def test_a_picture_is_the_same_bytes_each_time_and_names_what_it_shows(full: Results, tmp_path: Path) -> None:
    speed = plot("speed")
    one, other = (draw(speed, full, tmp_path / folder, ("svg",)) for folder in "ab")
    assert [path.name for path in one] == ["speed-light.svg", "speed-dark.svg"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]
    assert one[0].read_bytes() != one[1].read_bytes()
    assert drawn_in(one[0]) == speed.drawn(full)
    assert not re.search(r"20\d\d-\d\d-\d\d", one[0].read_text()), "no date"
    assert is_fresh(speed, full, tmp_path / "a")
    assert not is_fresh(speed, full, tmp_path / "c")


def test_a_picture_is_drawn_again_when_a_backend_in_it_gets_another_colour(
    full: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = plot("speed")
    draw(speed, full, tmp_path, ("svg",))
    monkeypatch.setitem(backends(), "absent-from-it", replace(backends()["torch"], colour="#123456"))
    assert is_fresh(speed, full, tmp_path)
    monkeypatch.setitem(backends(), "torch", replace(backends()["torch"], colour="#123456"))
    assert not is_fresh(speed, full, tmp_path)


def test_names_from_a_file_are_shown_as_text_and_break_no_picture(
    record: Maker, results: Gather, tmp_path: Path
) -> None:
    hostile = "<script>alert(1)</script> $x^2$ \x1b[2J&"
    records = [
        record(name("flat-0", "keras-tensorflow"), test=0.7, epoch_seconds=[9, 4, 4]),
        structs.replace(record(name("flat-0", "torch"), test=0.7, epoch_seconds=[9, 2, 2]), backend=hostile),
    ]
    for path in draw(plot("speed"), results([SUITE], records), tmp_path, ("svg",)):
        text = " ".join(ElementTree.fromstring(path.read_text()).itertext())
        assert "<script>alert(1)</script> $x^2$ ?[2J&" in text


def test_what_is_drawn_is_told_by_its_digits_and_not_by_those_behind_the_eighth() -> None:
    base = digest([{"a": 1.23456789, "b": None}])
    assert digest([{"b": None, "a": 1.23456789 + 1e-12}]) == base
    assert digest([{"a": 1.2345679 + 1e-6, "b": None}]) != base
    assert digest([{"a": float("nan")}]) == digest([{"a": float("nan")}])


def test_the_readme_shows_the_pictures_that_show_its_results_and_no_others(
    full: Results, record: Maker, results: Gather, tmp_path: Path
) -> None:
    draw(plot("speed"), full, tmp_path, ("svg",))
    write(full, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "## Training speed by backend" in text
    assert '<source media="(prefers-color-scheme: dark)" srcset="plots/speed-dark.svg">' in text
    assert "learning-curves" not in text
    other = results(
        [SUITE], [record(name("flat-0", backend), test=0.7, epoch_seconds=[9, 5, 6]) for backend in ("torch",)]
    )
    write(other, tmp_path)
    assert "plots/speed" not in (tmp_path / "README.md").read_text()


def test_tables_alone_load_no_matplotlib() -> None:
    script = "import sys; import bench.commands.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_backends_colours_differ_for_the_colour_blind_and_from_the_ground(theme: str) -> None:
    """Simulate dichromats by the matrices of Viénot, Brettel and Mollon (1999), in linear RGB."""
    from matplotlib.colors import to_rgb

    from bench.report.style import colour, ink

    blind = {
        "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
        "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
    }
    ground = "#ffffff" if theme == "light" else "#0d1117"
    names = ["keras-tensorflow", "torch", "keras-jax", "keras-torch", "torch-compile"]
    shown = [colour(one, theme) for one in names] + [ink(theme), ground]  # type: ignore[arg-type]
    linear = {one: np.power(to_rgb(one), 2.2) for one in shown}
    for matrix in (np.eye(3), *map(np.array, blind.values())):
        seen = [np.power(np.clip(matrix @ value, 0, 1), 1 / 2.2) for value in linear.values()]
        nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))
        assert nearest > 0.1, pd.DataFrame(seen, index=list(linear))
