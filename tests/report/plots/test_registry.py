"""Pictures hold the figures of their frames, are the same bytes each time, and say which results they show."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.backends.registry import backends
from bench.report.pages import write
from bench.report.plots.base import digest
from bench.report.plots.registry import PLOTS, draw, is_fresh, pictures
from bench.report.results import Results
from bench.report.style import drawn_in
from tests.making import Gather, Maker
from tests.report.plots.demo import SUITE, drawn, name, plot


def test_every_plot_is_drawn_where_it_has_rows_and_none_where_there_are_none(
    full: Results, record: Maker, results: Gather
) -> None:
    assert pictures(full) == list(PLOTS)
    failed = record(name("lstm", "torch", 0, "fused"), status="failed", reason="it broke")
    assert pictures(results([SUITE], [failed])) == []


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


def test_a_plot_is_a_file_of_its_name_so_that_editing_one_stales_one() -> None:
    modules = [f"bench.report.plots.{plot.name.replace('-', '_')}" for plot in PLOTS]
    assert [plot.draw.__module__ for plot in PLOTS] == modules
