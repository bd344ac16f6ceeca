"""Exports are read by what they are made for: pandas, and pytest-benchmark's own `compare`."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from msgspec import structs

from bench.cli import main
from bench.records.exports import read
from bench.records.record import EpochScore, Metrics, Record, Score, Timing, Weights
from bench.records.store import Store
from tests.conftest import call
from tests.making import make_record

ENVIRONMENT = {
    "cpu": "Example CPU",
    "cores": 2,
    "threads": 2,
    "gpus": [],
    "os": "Linux-6.1.0-x86_64-with-glibc2.36",
    "python": "3.11.7",
    "packages": {"torch": "2.13.0"},
    "git": {"commit": "0123456789abcdef", "dirty": True},
}
STEPS = [0.010, 0.012, 0.011]

OPTIONS = {"patterns": [], "seeds": 1, "repeats": 2}


def record(case: str = "lstm", repeat: int = 0, steps: list[float] = STEPS, **more: Any) -> Record:
    timing = Timing(
        build=0.1,
        first_epoch=2.0,
        epochs=[1.0],
        steps=100,
        total=3.0,
        alone=True,
        step=median(steps) if steps else None,
        windows=[(count, 0.5 + count * step) for step in steps for count in (4, 8)],
        latency=[0.001, 0.003, 0.002],
    )
    known = {"repeat": repeat, "measure": "timing", "timing": timing, "kernels_seen": ["aten::mm"]}
    cell = f"imdb-rnn/{case}@torch,generic,cpu,documented#0"
    return make_record(cell, counts=(10,), frozen=2, **{**known, **more})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite"
    with Store(path, create=True) as opened:
        opened.create_run("first", "documented", ENVIRONMENT, ["bench", "run"], OPTIONS)
        for one in (
            record(),
            record(repeat=1, steps=[0.020]),
            record("gru", steps=[0.5, 0.7]),
            record("simple-rnn", status="failed", reason="it broke", timing=None),
        ):
            opened.add("first", one, ENVIRONMENT)
    return path


def export(store: Path, format_: str, out: Path | None = None) -> int:
    return call("export", "--format", format_, "--store", str(store), *(["--out", str(out)] if out else []))


def test_csv_and_parquet_hold_one_flat_row_per_cell(store: Path, tmp_path: Path) -> None:
    assert export(store, "csv", tmp_path / "a.csv") == 0
    assert export(store, "parquet", tmp_path / "a.parquet") == 0
    frames = pd.read_csv(tmp_path / "a.csv"), pd.read_parquet(tmp_path / "a.parquet")
    for frame in frames:
        assert frame["case"].tolist() == ["lstm", "lstm", "gru", "simple-rnn"]
        assert frame["status"].tolist() == ["ok", "ok", "ok", "failed"]
        assert frame["timing_step"].tolist()[:3] == [0.011, 0.020, 0.6]
        assert frame["timing_latency"].tolist()[0] == 0.002
    assert list(frames[0].columns) == list(frames[1].columns)


def test_without_pyarrow_the_remedy_is_named(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert export(store, "parquet", tmp_path / "a.parquet") == 2
    assert "pip install -c constraints.txt -e '.[parquet]'" in capsys.readouterr().err
    assert not (tmp_path / "a.parquet").exists()


def test_a_mistyped_path_is_refused_and_makes_no_folders(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(store, "json", tmp_path / "typo" / "deep" / "a.json") == 2
    assert str(tmp_path / "typo" / "deep") in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()
    assert export(store, "json", tmp_path / "new" / "a.json") == 0


def run_in(folder: Path, *arguments: str) -> str:
    ended = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_pytest_benchmark_compares_what_is_exported_for_it(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "steps.json"
    assert export(store, "pytest-benchmark", file) == 0
    run_in(tmp_path, "-m", "pytest_benchmark", "compare", str(file), f"--csv={tmp_path / 'table'}", "--name=long")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    found = {row["name"].partition("::")[2]: row for row in rows}
    assert set(found) == {f"imdb-rnn/{case}@torch,generic,cpu,documented#0" for case in ("lstm", "gru")}
    lstm = found["imdb-rnn/lstm@torch,generic,cpu,documented#0"]
    # Two processes, four pairs of windows.
    assert (int(lstm["rounds"]), float(lstm["median"])) == (4, pytest.approx(0.0115))
    assert (float(lstm["min"]), float(lstm["max"])) == (pytest.approx(0.010), pytest.approx(0.020))


def test_the_document_has_every_field_that_pytest_benchmark_writes(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "steps.json"
    assert export(store, "pytest-benchmark", file) == 0
    ours = json.loads(file.read_text())
    (tmp_path / "test_one.py").write_text("def test_one(benchmark):\n    benchmark(sum, range(10))\n")
    options = ("--benchmark-json=theirs.json", "--benchmark-max-time=0.01", "-p", "no:cacheprovider")
    run_in(tmp_path, "-m", "pytest", "-q", *options, "test_one.py")
    theirs = json.loads((tmp_path / "theirs.json").read_text())
    assert set(theirs) == set(ours)
    for part in ("machine_info", "commit_info"):
        assert set(theirs[part]) <= set(ours[part])
    benchmark = ours["benchmarks"][0]
    assert set(theirs["benchmarks"][0]) == set(benchmark)
    assert set(theirs["benchmarks"][0]["stats"]) == set(benchmark["stats"])
    assert benchmark["fullname"] == "twinbench-documented::imdb-rnn/lstm@torch,generic,cpu,documented#0"
    assert benchmark["stats"]["mean"] == pytest.approx(0.01325)
    assert benchmark["stats"]["data"] == pytest.approx([*STEPS, 0.020])
    assert benchmark["stats"]["iterations"] == 4
    assert (benchmark["extra_info"]["parameters"], benchmark["extra_info"]["kernels_seen"]) == (10, ["aten::mm"])
    assert (ours["commit_info"]["id"], ours["commit_info"]["dirty"]) == ("0123456789abcdef", True)
    machine = ours["machine_info"]
    assert (machine["machine"], machine["system"], machine["python_version"]) == ("x86_64", "Linux", "3.11.7")
    assert machine["cpu"]["brand_raw"] == "Example CPU"


def test_a_run_without_timed_steps_is_refused_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path, create=True) as opened:
        opened.create_run("first", "documented", ENVIRONMENT, ["bench", "run"], OPTIONS)
        opened.add("first", record(measure="accuracy"), ENVIRONMENT)
        opened.add("first", record("gru", steps=[]), ENVIRONMENT)
    assert export(path, "pytest-benchmark") == 2
    assert "timed no steps; `bench run --measure timing` does" in capsys.readouterr().err


# --- figures that JSON has no number for -------------------------------------------------------------------------


def refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def diverged() -> Record:
    """Return a record with a figure that is no number in every kind of place: required, optional, listed, keyed."""
    timing = Timing(
        build=math.inf,
        first_epoch=2.0,
        epochs=[math.nan],
        steps=4,
        total=3.0,
        alone=True,
        step=math.nan,
        windows=[(4, 0.54), (8, 0.58)],
        latency=[math.nan],
    )
    lines = [EpochScore(loss=math.nan, accuracy=0.5, val_loss=math.inf, seconds=1.0, steps=4)]
    last = Weights(epoch=1, test=Score(loss=-math.inf, accuracy=0.5, rows=9))
    return record(timing=timing, metrics=Metrics(epochs=lines, last=last), memory={"host_peak_bytes": math.nan})


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    path = tmp_path / "odd.sqlite"
    with Store(path, create=True) as opened:
        opened.create_run("odd", "documented", ENVIRONMENT, ["bench", "run"], OPTIONS)
        opened.add("odd", diverged(), ENVIRONMENT)
        opened.add("odd", record(repeat=1), ENVIRONMENT)
    return path


@pytest.mark.parametrize("format_", ["json", "pytest-benchmark"])
def test_exports_are_json_whatever_was_measured(odd: Path, tmp_path: Path, format_: str) -> None:
    assert export(odd, format_, tmp_path / "odd.json") == 0
    json.loads((tmp_path / "odd.json").read_text(), parse_constant=refuse)


@pytest.mark.parametrize("bare", [False, True], ids=["as written today", "as older versions wrote it"])
def test_figures_that_are_no_numbers_come_back_from_an_export(odd: Path, tmp_path: Path, bare: bool) -> None:
    file = tmp_path / "odd.json"
    assert export(odd, "json", file) == 0
    if bare:
        file.write_text(re.sub(r'"(NaN|-?Infinity)"', r"\1", file.read_text()))
    ((run, *_),) = [read(file)]
    back = [structs.replace(entry, sequence=None) for entry, _ in run.records]  # which the store gave
    # repr: nan is not equal to itself
    assert repr(back) == repr([diverged(), record(repeat=1)])


def test_bench_run_prints_json_whatever_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_cells(*_: object, on_record: Callable[[Record], None], **__: object) -> SimpleNamespace:
        on_record(diverged())
        return SimpleNamespace(interrupted=False, exit_code=0)

    monkeypatch.setattr("bench.commands.run.run_cells", run_cells)
    monkeypatch.setattr("bench.commands.run.closing", lambda *_: [])
    with pytest.raises(SystemExit):
        main(["run", "imdb-rnn/lstm@torch", "--backend", "torch", "--json", "--store", str(tmp_path / "new.sqlite")])
    document = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert document["records"][0]["metrics"]["epochs"][0]["loss"] == "NaN"
