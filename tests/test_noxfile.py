"""`nox -s bench-gpu`: what it runs on a GPU, where the reports go, and that it never ends well without one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import nox.registry
import pytest
from nox.command import CommandFailed

ROOT = Path(__file__).resolve().parent.parent
GPUS = [{"name": "NVIDIA H100 80GB HBM3"}]
NAMES = {"keras-tensorflow": None, "torch": None, "keras-jax": "JAX 1 sees no GPU: no driver"}


class Session:
    """Notes the commands of a session; `answers` are what `bench run`, `report` and `export` end with."""

    records: ClassVar[list[dict[str, Any]]] = [{"status": "failed", "details": {}}, {"status": "ok", "details": {}}]

    def __init__(self, folder: Path, *posargs: str, refusals: dict[str, str | None], **answers: int) -> None:
        self.posargs, self.refusals, self.answers = list(posargs), refusals, answers
        self.ran: list[list[str]] = []
        self.folder = folder

    def run(self, python: str, *words: str, stdout: Any = None, **_: Any) -> None:
        assert (python, words[:2]) == ("python", ("-m", "bench"))
        verb, *arguments = words[2:]
        if verb == "doctor":
            backends = [{"backend": name, "devices": {"cuda": why_not}} for name, why_not in self.refusals.items()]
            json.dump({"backends": backends, "machine": {"gpus": GPUS}}, stdout)
            return
        self.ran.append([verb, *arguments])
        if verb == "report":
            out = Path(arguments[arguments.index("--out") + 1])
            out.mkdir(parents=True, exist_ok=True)
            for name in ("parameters.md", "timing.md", "accuracy.md", "kernels.md"):
                (out / name).write_text(f"table {name}\n")
        if verb == "export":
            file = Path(arguments[-1].removeprefix("--out="))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"records": self.records}))
        if code := self.answers.get(verb):
            error = CommandFailed("failed")
            error.return_code = code
            raise error

    def log(self, text: str) -> None:
        pass


Start = Callable[..., tuple[Session, int]]


@pytest.fixture(scope="module")
def noxfile() -> ModuleType:
    """Return the file as a module; nox warns of a session that is registered again."""
    nox.registry._REGISTRY.clear()
    spec = spec_from_file_location("noxfile_of_twinbench", ROOT / "noxfile.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start(noxfile: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that runs the session with arguments and gives it back with the exit code."""
    monkeypatch.setattr(noxfile, "environment", lambda session: "python")
    monkeypatch.setattr(noxfile.time, "strftime", lambda form: "gpu-now")
    monkeypatch.chdir(tmp_path)

    def run(*posargs: str, refusals: dict[str, str | None] = NAMES, **answers: int) -> tuple[Session, int]:
        session = Session(tmp_path, *posargs, refusals=refusals, **answers)
        try:
            noxfile.bench_gpu.func(session)
        except SystemExit as ended:
            return session, int(str(ended.code))
        return session, 0

    return run


def test_without_a_gpu_each_backend_says_why_nothing_runs_and_the_code_is_3(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    session, code = start(refusals={name: f"{name} sees no GPU" for name in NAMES})
    assert code == 3
    assert session.ran == []
    assert capsys.readouterr().err.splitlines() == [f"{name}: {name} sees no GPU" for name in NAMES]
    assert os.listdir(session.folder) == []


def test_every_backend_that_can_runs_both_kernels_and_the_results_lie_under_the_gpus_name(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    session, code = start("--profile", "documented", "imdb-rnn/*", "--store", "s.sqlite")
    assert code == 0
    run, report, export = session.ran
    assert run == [
        "run", "--device=cuda", "--profile", "documented", "imdb-rnn/*", "--store", "s.sqlite",
        "--backend=keras-tensorflow", "--backend=torch", "--kernel=fused", "--kernel=generic", "--kernel=none",
        "--measure=all", "--name=gpu-now",
    ]  # fmt: skip
    folder = Path("reports/nvidia-h100-80gb-hbm3")
    assert report == ["report", "--out", str(folder), "--store=s.sqlite", "gpu-now"]
    assert export == ["export", "gpu-now", "--store=s.sqlite", f"--out={folder / 'results' / 'gpu-now.json'}"]
    printed = capsys.readouterr()
    assert "table kernels.md" in printed.out
    assert "keras-jax: JAX 1 sees no GPU" in printed.err


def test_what_was_asked_for_is_not_widened_and_quick_results_stand_apart(start: Start) -> None:
    session, code = start("--backend", "torch", "--kernel=generic", "--measure", "timing", "--resume", "r", run=3)
    assert code == 3, "some cells did not end ok, and the tables say which"
    run, report, export = session.ran
    asked = ["--backend", "torch", "--kernel=generic", "--measure", "timing", "--resume", "r"]
    assert run == ["run", "--device=cuda", *asked]
    assert report[2:] == [str(Path("reports/nvidia-h100-80gb-hbm3/quick")), "r"]
    assert export[1] == "r"


def test_a_kernel_that_a_layer_does_not_have_is_no_failure_of_the_matrix(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = {"status": "unavailable", "details": {"obstacle": "kernel"}}
    asked = {"status": "unavailable", "details": {"obstacle": "case"}}
    for records, code in (([lacking], 0), ([lacking, asked], 3)):
        monkeypatch.setattr(Session, "records", records)
        assert start("--name", f"r{code}", run=3)[1] == code


def test_a_run_that_broke_is_neither_reported_nor_exported(start: Start) -> None:
    session, code = start(run=2)
    assert (code, [words[0] for words in session.ran]) == (2, ["run"])
    session, code = start("--dry-run")
    assert (code, [words[0] for words in session.ran]) == (0, ["run"])
