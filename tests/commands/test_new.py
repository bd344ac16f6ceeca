"""What `bench new` writes runs as it stands, and conforms."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bench.records.store import Store
from bench.training.conformance import RULES
from tests.conftest import ROOT, call


def new(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return call("new", *arguments), *capsys.readouterr()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


SIGNATURES = """
import inspect
import my_backend
from bench.backends import base

for name, method in inspect.getmembers(base.Network, inspect.isfunction):
    if not name.startswith("_"):
        found = inspect.signature(getattr(my_backend.Network, name)).parameters
        assert list(found) == list(inspect.signature(method).parameters), name
"""


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder`, where the new backend is as good as installed."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder / 'my-backend'}", "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def test_a_new_suite_lists_and_runs_in_the_quick_profile(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    code, out, err = new(capsys, "suite", "my-texts")
    assert (code, out) == (0, "wrote my_texts.py\n")
    assert err == "Next: bench run --suites my_texts.py my-texts\n"
    listed = python(folder, "-m", "bench", "list", "--suites", "my_texts.py", "my-texts")
    # 5000 * 32 ids, (32 + 32 + 1) * 32 * 4 of the LSTM, 32 + 1 of the Dense
    assert "168,353" in listed.stdout
    command = "-m bench run --suites my_texts.py my-texts --backend torch --threads 1"
    ran = python(folder, *shlex.split(command))
    assert ran.returncode == 0, ran.stderr
    with Store(folder / ".twinbench" / "results.sqlite") as store:
        assert [(str(record.cell), record.status) for record in store.records()] == [
            ("my-texts/lstm@torch,fused,cpu,documented#0", "ok")
        ]


def test_a_new_backend_conforms_and_says_what_it_cannot_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = new(capsys, "backend", "my-backend")
    assert (code, out) == (0, "wrote my-backend/my_backend.py\nwrote my-backend/pyproject.toml\n")
    install(folder / "my-backend")
    signed = python(folder, "-c", SIGNATURES)
    assert signed.returncode == 0, signed.stderr
    checked = python(folder, "-m", "bench", "doctor", "--backend", "my-backend")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    lines = checked.stdout.splitlines()
    held = [line for line in lines if line.endswith(f"{len(RULES)} rules hold")]
    assert [line.partition(",")[0] for line in held] == ["ok: dense"]
    assert "ok: lstm, generic: not available: my-backend has no LSTM; add it to LAYERS" in lines
    command = "-m bench run --backend my-backend --backend torch text-networks/multi-hot-dense --threads 1"
    ran = python(folder, *shlex.split(command))
    assert ran.returncode == 0, ran.stderr
    accuracies = re.findall(r"@(\S+) +(\S+) %", ran.stderr)
    assert sorted(name for name, _ in accuracies) == ["my-backend", "torch"]
    assert len({accuracy for _, accuracy in accuracies}) == 1, "NumPy and torch train the same model"


@pytest.mark.parametrize("kind", ["suite", "backend"])
def test_it_is_in_the_project_s_own_style(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(capsys, kind, "my-thing")[0] == 0
    for check in (["check", "--ignore", "I001"], ["format", "--check"]):  # elsewhere bench is no first-party package
        done = python(folder, "-m", "ruff", *check, "--config", str(ROOT / "pyproject.toml"), ".")
        assert done.returncode == 0, done.stdout


def install(project: Path) -> None:
    """Leave what pip leaves of an entry point, as pyproject.toml declares it."""
    declared = (project / "pyproject.toml").read_text()
    group = re.search(r'^\[project\.entry-points\."(.*)"\]\n(\S+) = "(.*)"$', declared, re.MULTILINE)
    assert group
    metadata = project / "my_backend-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: twinbench-my-backend\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group[1]}]\n{group[2]} = {group[3]}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("suite", "my-texts"), "my_texts.py exists; remove it first, or choose another name"),
        (("suite", "imdb-rnn"), "suite 'imdb-rnn' already exists"),
        (("backend", "torch"), "backend 'torch' already exists"),
        (("suite", "My Texts"), "use lower-case words and digits joined by hyphens"),
        (("suite", "../up"), "use lower-case words and digits joined by hyphens"),
        (("backend", "class"), "'class' is a word of Python"),
    ],
)
def test_nothing_is_overwritten_and_bad_names_are_refused(
    arguments: tuple[str, str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = folder / "my_texts.py"
    kept.write_text("mine")
    code, out, err = new(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert kept.read_text() == "mine"
    assert list(folder.iterdir()) == [kept]


def test_a_backend_that_cannot_be_loaded_hides_no_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(capsys, "backend", "my-backend")[0] == 0
    install(folder / "my-backend")
    (folder / "my-backend" / "my_backend.py").write_text("import no_such_framework\n")
    listed = python(folder, "-m", "bench", "run", "--dry-run", "--backend", "my-backend", "imdb-rnn/lstm")
    assert listed.returncode == 0, listed.stderr
    assert "unavailable: my_backend:INFO cannot be loaded (ModuleNotFoundError" in listed.stdout
