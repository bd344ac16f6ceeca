"""`bench compare` and `bench baseline` as their users run them: every kind of side, exit code and bad input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.measured import measured
from bench.record import SCHEMA_VERSION, Record
from bench.store import Store
from tests.conftest import call
from tests.making import make_record

ENVIRONMENT = {
    "cpu": "Example CPU",
    "cores": 2,
    "threads": 2,
    "gpus": [],
    "packages": {"torch": "2.12.0"},
    "git": {"commit": "0" * 40, "dirty": False},
}
OPTIONS = {"seeds": 3, "repeats": 1, "patterns": [], "measure": "all"}


def record(seed: int, step: float = 0.1, **changes: Any) -> Record:
    return make_record(
        f"imdb-rnn/lstm@torch,fused,cpu,documented#{seed}",
        test=0.78 + seed / 100,
        epoch_seconds=(2.0, step * 4 * 1.001**seed),
        steps=4,
        counts=(10,),
        started=f"2026-01-01T00:00:0{seed}+00:00",
        **{"profile": "quick", **changes},
    )


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of the runs `old`, `same`, `slow`, `crashed`, `other`, `upgraded` and `empty`."""
    path = tmp_path_factory.mktemp("stored") / "results.sqlite"
    runs = {
        "old": [record(seed) for seed in range(5)],
        "same": [record(seed, 0.1001) for seed in range(5)],
        "slow": [record(seed, 0.12) for seed in range(5)],
        "crashed": [
            record(seed) if seed else record(seed, status="timeout", reason="over 5 s", timing=None)
            for seed in range(5)
        ],
        "other": [record(seed, case="gru") for seed in range(5)],
        "upgraded": [record(seed) for seed in range(5)],
        "empty": [],
    }
    with Store(path, create=True) as opened:
        for name, records in runs.items():
            environment = ENVIRONMENT | ({"packages": {"torch": "2.13.0"}} if name == "upgraded" else {})
            opened.create_run(name, "quick", environment, ["bench", "run"], OPTIONS)
            for one in records:
                opened.add(name, one, environment)
    return path


@pytest.fixture
def store(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the store in a folder of its own, which is the current one; no CI is about."""
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(stored, tmp_path))


Result = tuple[int, str, str]


@pytest.fixture
def bench(store: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def run(*arguments: str) -> Result:
        stored = ["--store", str(store)] if arguments[0] in ("compare", "export") else []
        return call(*arguments, *stored), *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("base", "candidate", "options", "code"),
    [
        ("old", "old", (), 0),
        ("old", "same", ("--strict",), 0),
        ("old", "slow", (), 1),
        ("old", "slow", ("--margin", "0.3"), 0),
        ("slow", "old", (), 0),
        ("old", "crashed", (), 1),
        ("old", "other", (), 3),
        ("old", "upgraded", (), 4),
        ("old", "upgraded", ("--across", "versions"), 0),
        ("old", "upgraded", ("--across", "threads"), 4),
        ("old", "empty", (), 3),
        ("old", "nowhere", (), 2),
        ("old", "same", ("--across", "weather"), 2),
    ],
)
def test_exit_codes(
    bench: Callable[..., Result], base: str, candidate: str, options: tuple[str, ...], code: int
) -> None:
    found = bench("compare", base, candidate, *options)
    assert found[0] == code, found


def test_the_worst_stands_first_and_the_sum_last(bench: Callable[..., Result]) -> None:
    _, out, err = bench("compare", "old", "slow")
    lines = out.splitlines()
    assert lines[0].startswith(
        "regressed     imdb-rnn/lstm@torch,fused,cpu,documented  training step: 100 ms → 120 ms  +20."
    )
    assert lines[-1] == "slow against old: 2 regressed, 3 same."
    assert "advice and no proof" in err


def test_json_is_the_whole_comparison(bench: Callable[..., Result]) -> None:
    code, out, _ = bench("compare", "old", "slow", "--json")
    document = json.loads(out)
    assert (code, document["counts"]) == (1, {"regressed": 2, "same": 3})


def test_a_github_job_gets_a_summary_and_annotations(
    bench: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# Before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    _, _, err = bench("compare", "old", "crashed", "--out", "out")
    assert summary.read_text() == "# Before\n" + Path("out/compare.md").read_text()
    assert "::error title=failed%3A imdb-rnn/lstm@torch%2Cfused%2Ccpu%2Cdocumented::failed" in err
    assert ET.parse("out/junit.xml").getroot().get("errors") == "1"


# --- files -------------------------------------------------------------------------------------------------------


def test_an_export_and_a_baseline_compare_as_their_run_does(bench: Callable[..., Result], store: Path) -> None:
    bench("export", "old", "--out", "old.json")
    code, out, _ = bench("baseline", "save", "ci", "old", "--store", str(store))
    assert (code, out) == (0, "wrote reports/baselines/ci.json: 1 cells of run old\n")
    frames = [measured(name, store).frame for name in ("old", "old.json", "reports/baselines/ci.json")]
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0], check_dtype=False, rtol=1e-5)
    for base in ("old.json", "reports/baselines/ci.json"):
        assert bench("compare", base, "slow")[0] == 1
        assert bench("compare", base, "same")[0] == 0
        assert bench("compare", base, "upgraded")[0] == 4


def test_a_baseline_is_reviewable(bench: Callable[..., Result], store: Path) -> None:
    bench("baseline", "save", "ci", "old", "--store", str(store))
    text = Path("reports/baselines/ci.json").read_text()
    bench("baseline", "save", "ci", "old", "--store", str(store))
    again = Path("reports/baselines/ci.json").read_text()
    assert [line for line in text.splitlines() if "saved" not in line] == [
        line for line in again.splitlines() if "saved" not in line
    ]
    assert '    "accuracy": [0.78, 0.79, 0.8, 0.81, 0.82],\n' in text
    assert '    "parameters": [10, 10, 10, 10, 10]\n' in text
    document = json.loads(text)
    assert document["environments"] == [ENVIRONMENT]
    assert (document["forced"], document["schema_version"]) == ([], SCHEMA_VERSION)


def test_a_run_that_failed_or_regressed_is_no_baseline_unless_forced_which_is_recorded(
    bench: Callable[..., Result], store: Path
) -> None:
    def save(*arguments: str) -> Result:
        return bench("baseline", "save", *arguments, "--store", str(store))

    code, _, err = save("broken", "crashed")
    assert (code, Path("reports/baselines/broken.json").exists()) == (3, False)
    assert "1 of 5 cells did not end ok, the first of them imdb-rnn/lstm@torch,fused,cpu,documented (timeout)" in err
    save("ci", "old")
    code, _, err = save("ci", "slow")
    assert code == 1
    assert "bad, the first: regressed" in err
    assert save("ci", "slow", "--force")[0] == 0
    (forced,) = json.loads(Path("reports/baselines/ci.json").read_text())["forced"]
    assert "regressed" in forced
    assert save("ci", "upgraded")[0] == 0  # another version is compared, too, and is no worse


def test_a_baseline_that_cannot_be_read_is_replaced_by_force_only(bench: Callable[..., Result], store: Path) -> None:
    arguments = ("baseline", "save", "ci", "old", "--store", str(store))
    bench(*arguments)
    (path,) = store.parent.glob("reports/baselines/ci.json")
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    code, _, err = bench(*arguments)
    assert (code, "is no JSON or cut off" in err, "or replace it by --force" in err) == (2, True, True)
    assert bench(*arguments, "--force")[0] == 0
    document = json.loads(path.read_text())
    (forced,) = document.pop("forced")
    assert "the baseline that it replaces cannot be read" in forced
    assert document.keys() == json.loads(whole).keys() - {"forced"}


def test_a_baseline_that_was_saved_is_told_as_json(bench: Callable[..., Result], store: Path) -> None:
    code, out, _ = bench("baseline", "save", "ci", "old", "--json", "--store", str(store))
    told = {"baseline": "ci", "file": "reports/baselines/ci.json", "run": "old", "cells": 1, "forced": []}
    assert (code, json.loads(out)) == (0, {"schema_version": SCHEMA_VERSION, **told})


def test_a_run_without_a_record_is_no_baseline(bench: Callable[..., Result], store: Path) -> None:
    code, _, err = bench("baseline", "save", "main", "empty", "--store", str(store), "--force")
    assert (code, err) == (2, "bench: run empty holds no record yet, so there is nothing to save\n")
    bench("baseline", "save", "main", "old", "--store", str(store))
    (file,) = store.parent.glob("reports/baselines/main.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"cells": {}}))
    code, _, err = bench("compare", str(file), "old")
    assert (code, "cells: Dictionary should have at least 1 item" in err) == (2, True)


def test_a_baseline_has_the_name_of_a_file(bench: Callable[..., Result], store: Path) -> None:
    code, _, err = bench("baseline", "save", "../ci", "old", "--store", str(store))
    assert code == 2
    assert "letters, digits" in err


def pytest_benchmark_file(path: Path, *seconds: float) -> None:
    """Write what pytest-benchmark itself writes of a function of so many rounds."""
    (path.parent / "test_it.py").write_text(
        f"from itertools import count\nseconds, place = {list(seconds)}, count()\n"
        "now = iter(sum(seconds[:i // 2]) + (seconds[i // 2] if i % 2 else 0) for i in range(2 * len(seconds)))\n"
        "def test_it(benchmark):\n    benchmark._timer = lambda: next(now)\n"
        f"    benchmark.pedantic(lambda: None, rounds={len(seconds)})\n"
    )
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py", f"--benchmark-json={path.name}"],
        cwd=path.parent,
        check=True,
        capture_output=True,
    )


def test_the_files_of_pytest_benchmark_are_read(bench: Callable[..., Result], tmp_path: Path) -> None:
    pytest_benchmark_file(tmp_path / "a.json", 0.100, 0.101, 0.102, 0.101)
    pytest_benchmark_file(tmp_path / "b.json", 0.150, 0.151, 0.152, 0.151)
    code, out, err = bench("compare", "a.json", "b.json")
    assert code == 1
    assert out.startswith("regressed     test_it.py::test_it  benchmarked call: 101 ms → 151 ms")
    assert "rounds of one process are no repeats of it" in err
    assert bench("compare", "a.json", "a.json")[0] == 0
    assert bench("compare", "a.json", "old")[0] == 4


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"schema_version": 2, "records": [', "bad.json is no JSON or cut off: Expecting value: line 1"),
        ('{"schema_version": 99, "records": []}', "bad.json has schema version 99, this twinbench reads 1 to 2"),
        ('{"schema_version": 2, "records": [{"run": "x"}], "runs": []}', "bad.json is no whole export (KeyError"),
        ('{"schema_version": 99, "baseline": "x"}', "bad.json has schema version 99"),
        ('{"schema_version": 2, "baseline": "x"}', "bad.json: run: Field required; save the baseline again"),
        ('{"benchmarks": [{"fullname": "t"}]}', "bad.json: benchmarks.0.stats: Field required"),
        ("[]", "bad.json holds no exported run"),
        ('{"schema_version": 2, "records": [], "runs": []}', "bad.json holds not one run but 0 (none)"),
    ],
)
def test_a_broken_file_is_named_with_the_place(bench: Callable[..., Result], content: str, told: str) -> None:
    Path("bad.json").write_text(content)
    code, _, err = bench("compare", "old", "bad.json")
    assert code == 2
    assert told in err


def test_a_baseline_with_lists_that_do_not_fit_is_refused(bench: Callable[..., Result], store: Path) -> None:
    bench("baseline", "save", "ci", "old", "--store", str(store))
    path = Path("reports/baselines/ci.json")
    path.write_text(path.read_text().replace("[0.78, 0.79, 0.8, 0.81, 0.82]", "[0.78]"))
    code, _, err = bench("compare", str(path), "old")
    assert code == 2
    assert "cells.imdb-rnn/lstm@torch,fused,cpu,documented: Value error, accuracy has 1 entries, seed has 5" in err


def test_an_export_of_the_first_schema_version_is_read(bench: Callable[..., Result]) -> None:
    committed = Path(__file__).parent / "version_1.json"
    assert bench("compare", str(committed), str(committed))[0] in (0, 3)
