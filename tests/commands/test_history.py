"""`bench history` as its users meet it: tables, JSON, drawings, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from bench.records.store import Store
from tests.compare.test_history import ENVIRONMENT, record
from tests.conftest import call


def history(*arguments: str) -> int:
    return call("history", *arguments)


@pytest.fixture
def store(tmp_path: Path) -> str:
    path = tmp_path / "store.sqlite"
    newer = ENVIRONMENT | {"git": {"commit": "b" * 40, "dirty": False}}
    with Store(path, create=True) as store:
        for day in range(1, 13):
            environment = ENVIRONMENT if day <= 6 else newer
            name = f"run-{day}" if day > 1 else "evil \x1b[2J $x^2$ <b>"
            store.create_run(name, "quick", environment, [], {})
            store.add(name, record(0.2 if day <= 6 else 0.25, day), environment)
            store.add(name, record(0.3, day, case="birnn"), environment)
    return str(path)


def test_a_table_per_configuration_says_at_which_commit_a_level_began(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history("imdb-rnn/lstm@torch", "--metric", "epoch", "--store", store) == 0
    out = capsys.readouterr().out
    assert out.startswith("imdb-rnn/lstm@torch,fused,cpu,documented  (quick, data abababab)\nExample CPU, 2 cores")
    assert "birnn" not in out
    told = " ".join(out.split())
    for text in ("run run-7", "commit bbbbbbbbbb", "200 ms → 250 ms (+25.0%)", "code aaaaaaaaaa → bbbbbbbbbb"):
        assert text in told
    assert "\x1b" not in out
    assert history("imdb-rnn/birnn", "--metric", "epoch", "--store", store) == 0
    assert "No change of level in 12 runs." in capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 100])
def test_lines_fit(
    columns: int, store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert history("--metric", "epoch", "--store", store) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= columns
    assert out.count("imdb-rnn/") == 2


def test_json_holds_every_point_and_change(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert history("imdb-rnn/lstm", "--metric", "epoch", "--store", store, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema_version"], document["metric"], document["unit"]) == (3, "epoch", "s")
    (one,) = document["series"]
    assert [point["value"] for point in one["points"]] == [0.2] * 6 + [0.25] * 6
    assert one["changes"] == [{"at": 6, "before": 0.2, "after": 0.25, "what": ["code aaaaaaaaaa → bbbbbbbbbb"]}]


def test_drawings_are_of_the_kind_their_name_says_and_the_same_every_time(store: str, tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg", "one.png"):
        assert history("--metric", "epoch", "--store", store, "--out", str(tmp_path / name)) == 0
    for theme, ground in {"light": (255, 255, 255), "dark": (13, 17, 23)}.items():
        drawn = (tmp_path / f"one-{theme}.svg").read_text()
        assert drawn == (tmp_path / f"two-{theme}.svg").read_text()
        assert "bbbbbbbbbb (+25.0%)" in drawn
        assert "<b>" not in drawn
        pixels = np.round(255 * imread(tmp_path / f"one-{theme}.png")[..., :3])
        assert pixels.std() > 0
        assert tuple(pixels[0, 0]) == ground


def test_what_cannot_be_shown_says_why(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert history("--metric", "epoc", "--store", store) == 2
    assert "unknown metric 'epoc'; nearest: epoch" in capsys.readouterr().err
    assert history("--metric", "latency", "--store", store) == 3
    assert "no stored record of any cell holds latency" in capsys.readouterr().err
    assert history("nothing/*", "--store", store) == 3
    assert history("--metric", "epoch", "--store", store, "--out", str(tmp_path / "h.gif")) == 2
    assert "the ending says how to draw; use .svg, .png or .pdf" in capsys.readouterr().err
    assert history("--store", str(tmp_path / "none.sqlite")) == 2
