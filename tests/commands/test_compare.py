"""`bench compare` as its users run it: every kind of side, exit code and bad input."""

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

from bench.compare.sides import measured
from bench.records.record import Record
from bench.records.store import Store
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
        ("old", "old", (), 3),
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


@pytest.mark.parametrize("again", ["old.json", "./old.json", "elsewhere/../old.json"])
def test_nothing_is_compared_with_itself(bench: Callable[..., Result], again: str) -> None:
    bench("export", "old", "--out", "old.json")
    Path("elsewhere").mkdir()
    code, out, err = bench("compare", "old.json", again)
    assert (code, out) == (3, "")
    assert len(err.splitlines()) == 1
    assert "old.json is compared with itself" in err


SUITE = """
from bench.spec import *

SUITE = Suite("theirs", document="none", title="Theirs", era=KERAS_3, cases=(
    Case(
        "pool",
        data=Imdb(num_words=10, maxlen=5),
        layers=(Embedding(10, 4), GlobalAveragePooling1D(), Dense(1, "sigmoid")),
        training=Training("adam", epochs=1),
        margin=0.5,
    ),
))
"""


def test_the_margin_that_a_case_of_a_suite_file_declares_counts(bench: Callable[..., Result], store: Path) -> None:
    with Store(store, create=True) as opened:
        for name, step in (("theirs", 0.1), ("theirs-slow", 0.12)):
            opened.create_run(name, "quick", ENVIRONMENT, ["bench", "run"], OPTIONS)
            for seed in range(5):
                opened.add(name, record(seed, step, suite="theirs", case="pool"), ENVIRONMENT)
    Path("theirs.py").write_text(SUITE)
    assert bench("compare", "theirs", "theirs-slow")[0] == 1
    assert bench("compare", "theirs", "theirs-slow", "--suites", "theirs.py")[0] == 0
    Path("theirs.py").write_text(SUITE.replace("margin=0.5", "margin=0.1"))
    assert bench("compare", "theirs", "theirs-slow", "--margin", "0.3", "--suites", "theirs.py")[0] == 1


def test_the_worst_stands_first_and_the_sum_last(bench: Callable[..., Result]) -> None:
    _, out, err = bench("compare", "old", "slow")
    lines = out.splitlines()
    assert lines[0] == "regressed     imdb-rnn/lstm@torch,fused,cpu,documented"
    assert lines[1].startswith("              training step: 100 ms → 120 ms  +20.")
    assert lines[-1] == "slow against old: 2 regressed, 3 same."
    assert "advice" in err


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("candidate", ["slow", "crashed"])
def test_lines_fit(columns: int, candidate: str, bench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, err = bench("compare", "old", candidate)
    assert max(map(len, (out + err).splitlines())) <= columns
    assert "…" not in out


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


def test_an_export_compares_as_its_run_does(bench: Callable[..., Result], store: Path) -> None:
    Path("reports").mkdir()
    assert bench("export", "old", "--out", "reports/baselines/ci.json")[0] == 0
    base = "reports/baselines/ci.json"
    pd.testing.assert_frame_equal(measured(base, store).frame, measured("old", store).frame, check_dtype=False)
    assert bench("compare", base, "slow")[0] == 1
    assert bench("compare", base, "same")[0] == 0
    assert bench("compare", base, "crashed")[0] == 1
    assert bench("compare", base, "upgraded")[0] == 4


def test_a_comparison_with_an_export_tells_what_differs_between_the_environments(
    bench: Callable[..., Result], store: Path
) -> None:
    bench("export", "old", "--out", "old.json")
    elsewhere = ENVIRONMENT | {
        "cpu": "Another CPU",
        "threads": 1,
        "gpus": [{"name": "Example GPU", "driver": "580"}],
        "packages": {"torch": "2.13.0"},
        "git": {"commit": "1" * 40, "dirty": True},
    }
    with Store(store, create=True) as opened:
        opened.create_run("elsewhere", "quick", elsewhere, ["bench", "run"], OPTIONS)
        for seed in range(5):
            opened.add("elsewhere", record(seed), elsewhere)
    code, _, err = bench("compare", "old.json", "elsewhere", "--across", "cpu,gpu,threads,versions")
    assert code == 0
    for told in ("Another CPU", "driver", "580", "threads 2 → 1", "torch 2.12.0 → 2.13.0", "1111111111+"):
        assert told in err


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
    assert out.startswith("regressed     test_it.py::test_it\n              benchmarked call: 101 ms → 151 ms")
    assert "rounds of one process are no repeats of it" in " ".join(err.split())
    shutil.copy("a.json", "again.json")
    assert bench("compare", "a.json", "again.json")[0] == 0
    for pair in (("a.json", "old"), ("old", "a.json")):
        code, _, err = bench("compare", *pair)
        assert code == 4
        assert "bench export old --format pytest-benchmark" in err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"schema_version": 2, "records": [', "bad.json is no JSON or cut off: Expecting value: line 1"),
        ('{"schema_version": 99, "records": []}', "bad.json has schema version 99, this twinbench reads 1 to 3"),
        ('{"schema_version": 2, "records": [{"run": "x"}], "runs": []}', "bad.json is no whole export (KeyError"),
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


def test_an_export_of_the_first_schema_version_is_read(bench: Callable[..., Result]) -> None:
    shutil.copy(Path(__file__).parent / "version_1.json", "committed.json")
    shutil.copy("committed.json", "again.json")
    assert bench("compare", "committed.json", "again.json")[0] in (0, 3)
