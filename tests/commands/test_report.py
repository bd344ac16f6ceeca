"""`bench report` and `bench export` as their users run them, on a store written here."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.cases.catalog import load
from bench.records.record import SCHEMA_VERSION, Record, Timing, read
from bench.records.store import Store
from tests.conftest import call
from tests.making import make_record

ENVIRONMENT = {"cpu": "Example CPU", "threads": 2, "git": {"commit": "0" * 40, "dirty": False}}
OPTIONS = {"seeds": 3, "repeats": 1, "patterns": ["imdb-rnn/lstm"]}


def record(seed: int, **changes: Any) -> Record:
    return make_record(
        f"imdb-rnn/lstm@torch,generic,cpu,documented#{seed}",
        test=0.78 + seed / 100,
        started=f"2026-01-01T00:00:0{seed}+00:00",
        **{"measure": "accuracy", **changes},
    )


FILES = ["README.md", "accuracy.md", "timing.md", "kernels.md", "parameters.md"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "results.sqlite"
    with Store(path, create=True) as opened:
        for name, seeds in ("older", [0, 1]), ("newer", [2]):
            opened.create_run(
                name, "documented", ENVIRONMENT, ["bench", "run", "imdb-rnn/lstm", "--seeds", "3"], OPTIONS
            )
            for seed in seeds:
                opened.add(name, record(seed), ENVIRONMENT)
        opened.create_run("quick", "quick", ENVIRONMENT, ["bench", "run"], OPTIONS)
        opened.add("quick", record(0, profile="quick"), ENVIRONMENT)
        opened.create_run("empty", "documented", ENVIRONMENT, ["bench", "run"], OPTIONS)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return call(*arguments), *capsys.readouterr()


def test_report_writes_the_files_and_says_where(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "reports"
    code, shown, _ = run(capsys, "report", "older", "--store", str(store), "--out", str(out))
    assert code == 0
    assert str(out / "README.md") in shown
    assert {*FILES} <= {path.name for path in out.iterdir()}
    index = (out / "README.md").read_text(encoding="utf-8")
    assert "`bench run imdb-rnn/lstm --seeds 3`" in index
    assert "2 of 2 cells ok" in shown
    assert "imdb-rnn/lstm" in shown
    assert "78.50" in (out / "accuracy.md").read_text(encoding="utf-8")
    assert "2 of 3" in (out / "accuracy.md").read_text(encoding="utf-8")


def test_report_merges_runs_and_lists_its_files_as_json(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["report", "older", "newer", "--store", str(store), "--out", str(tmp_path / "r"), "--json"]
    code, shown, _ = run(capsys, *arguments)
    document = json.loads(shown)
    assert (code, document["schema_version"]) == (0, SCHEMA_VERSION)
    assert [Path(file).name for file in document["files"]] == [
        "README.md",
        "accuracy.md",
        "timing.md",
        "kernels.md",
        "parameters.md",
    ]
    text = Path(document["files"][1]).read_text(encoding="utf-8")
    assert "n too small, 3 of 3" in text
    assert "79.00" in text


def test_a_run_is_held_against_what_its_patterns_asked_for(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Report a run of one case, a run of another pattern beside it, and a run that was asked for everything."""
    with Store(store, create=True) as opened:
        for name, patterns in ("more", ["text-networks/embedding-*@torch"]), ("everything", []):
            opened.create_run(name, "documented", ENVIRONMENT, ["bench", "run"], {**OPTIONS, "patterns": patterns})
            opened.add(name, record(0), ENVIRONMENT)

    def missing(*runs: str) -> str:
        out = tmp_path / "-".join(runs)
        assert run(capsys, "report", *runs, "--store", str(store), "--out", str(out))[0] == 0
        return (out / "README.md").read_text(encoding="utf-8").partition("## Not run")[2].partition("##")[0]

    alone = missing("older")
    assert alone.split() == ["-", "imdb-rnn:", "lstm", "(1", "of", "3", "planned", "measurements", "under", "torch)"]
    beside = missing("older", "more")
    assert "- text-networks: embedding-300, embedding-200\n" in beside
    assert "birnn" not in beside
    everything = missing("everything")
    cases = [(suite.name, case.name) for suite in load([]).suites.values() for case in suite.cases]
    named = {
        (found[1], name) for found in re.finditer(r"- ([\w-]+): ([^(\n]+)", everything) for name in found[2].split(", ")
    }
    assert {(suite, case.strip()) for suite, case in named} == {*cases}


def test_links_of_a_report_lead_somewhere(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Report into a folder of a checkout's reports, and elsewhere, native epochs of keras-tensorflow among them."""
    timing = Timing(build=0.1, first_epoch=2.0, epochs=[1.0], steps=10, total=3.0, alone=True)
    native = record(0, backend="keras-tensorflow", numerics="native", measure="timing", timing=timing)
    with Store(store, create=True) as opened:
        opened.add("older", native, ENVIRONMENT)
    (tmp_path / "checkout" / "docs").mkdir(parents=True)
    (tmp_path / "checkout" / "docs" / "findings.md").touch()
    found = {}
    for place in ("checkout/reports/machine", "x"):
        assert run(capsys, "report", "older", "--store", str(store), "--out", str(tmp_path / place))[0] == 0
        for page in (tmp_path / place).glob("*.md"):
            links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
            assert [link for link in links if not (page.parent / link).is_file()] == []
            found[place, page.name] = "../../docs/findings.md" in links
    linking = {page for page, linked in found.items() if linked}
    assert ("checkout/reports/machine", "timing.md") in linking
    assert {place for place, _ in linking} == {"checkout/reports/machine"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["odler"], "unknown run 'odler'; nearest: older"),
        (["older", "quick"], "different profiles"),
        (["older", "--format", "md,htm"], "unknown format 'htm'; nearest: html"),
        ([], "run empty holds no record yet"),
    ],
)
def test_wrong_input_is_named_and_nothing_is_written(
    arguments: list[str], message: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "reports"
    code, _, err = run(capsys, "report", *arguments, "--store", str(store), "--out", str(out))
    assert code == 2
    assert message in err
    assert not out.exists()


@pytest.mark.parametrize("place", [("--store", "/somewhere/else.sqlite"), ("--store=/somewhere/else.sqlite",)])
def test_the_index_gives_a_command_that_can_be_repeated_elsewhere(
    place: tuple[str, ...], store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(store, create=True) as opened:
        opened.create_run("placed", "documented", ENVIRONMENT, ["bench", "run", *place, "imdb-rnn/lstm"], OPTIONS)
        opened.add("placed", record(0), ENVIRONMENT)
    assert run(capsys, "report", "placed", "--store", str(store), "--out", str(tmp_path / "out"))[0] == 0
    text = (tmp_path / "out" / "README.md").read_text()
    assert "`bench run imdb-rnn/lstm`" in text
    assert "somewhere" not in text


def test_the_page_knows_the_settings_that_a_cell_is_run_again_with(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"threads": 2, "tf32": True, "suites": ["my suite.py"], "stand_ins": ["glove100=glove50"]}
    with Store(store, create=True) as opened:
        opened.create_run("set", "documented", ENVIRONMENT, ["bench", "run"], OPTIONS | settings)
        opened.add("set", record(0), ENVIRONMENT)
    assert run(capsys, "report", "set", "--store", str(store), "--out", str(tmp_path), "--format=html")[0] == 0
    options = "--profile=documented --threads=2 --tf32 '--suites=my suite.py' --stand-in=glove100=glove50"
    assert f'"settings":"{options}"' in next(tmp_path.glob("*.html")).read_text()


def test_exported_json_gives_the_records_back(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, _ = run(capsys, "export", "older", "--store", str(store))
    document = json.loads(shown)
    assert (code, document["schema_version"]) == (0, SCHEMA_VERSION)
    assert document["environments"][document["records"][0]["environment"]] == ENVIRONMENT
    assert {one["run"] for one in document["records"]} == {"older"}
    again = [
        read({key: value for key, value in one.items() if key not in ("run", "environment", "sequence")})
        for one in document["records"]
    ]
    assert again == [record(0), record(1)]


def test_exported_csv_has_a_row_per_cell(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "cells.csv"
    code, shown, err = run(capsys, "export", "older", "--format", "csv", "--out", str(file), "--store", str(store))
    assert (code, shown) == (0, "")
    assert f"wrote 2 records of run older to {file}" in err
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [(row["case"], row["seed"], float(row["last_test_accuracy"])) for row in rows] == [
        ("lstm", "0", 0.78),
        ("lstm", "1", 0.79),
    ]


def test_help_loads_no_pandas() -> None:
    script = "import sys; from bench import cli; cli.cli.list_commands(None); sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
