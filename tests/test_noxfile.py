"""Sessions that decide something: what `bench-gpu` runs and where it reports, which environments `ab` builds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from subprocess import STDOUT
from types import ModuleType
from typing import Any, ClassVar

import nox.registry
import pytest
from nox.command import CommandFailed

from tests.conftest import ROOT

GPUS = [{"name": "NVIDIA H100 80GB HBM3"}]
NAMES = {"keras-tensorflow": None, "torch": None, "keras-jax": "JAX 1 sees no GPU: no driver"}


class Session:
    """Notes the commands of a session; `answers` are what `bench run`, `report` and `export` end with."""

    records: ClassVar[list[dict[str, Any]]] = [{"status": "failed", "details": {}}, {"status": "ok", "details": {}}]

    def __init__(self, folder: Path, *posargs: str, refusals: dict[str, str | None], **answers: int) -> None:
        self.posargs, self.refusals, self.answers = list(posargs), refusals, answers
        self.ran: list[list[str]] = []
        self.shown: list[str] = []
        self.folder = folder

    def run(self, python: str, *words: str, stdout: Any = None, stderr: Any = STDOUT, **_: Any) -> None:
        assert (python, words[:2]) == ("python", ("-m", "bench"))
        verb, *arguments = words[2:]
        if verb == "doctor":
            backends = [{"backend": name, "devices": {"cuda": why_not}} for name, why_not in self.refusals.items()]
            json.dump({"backends": backends, "machine": {"gpus": GPUS}}, stdout)
            return
        self.ran.append([verb, *arguments])
        self.shown += [f"{verb} stdout"] if stdout is None else []
        self.shown += [f"{verb} stderr"] if stderr is None or stdout is None else []
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
    assert printed.out == ""
    assert "keras-jax: JAX 1 sees no GPU" in printed.err


def test_progress_is_shown_and_then_one_summary(start: Start) -> None:
    session, _ = start()
    assert session.shown[:3] == ["run stderr", "report stdout", "report stderr"]
    for option in ("--dry-run", "--json"):
        session, _ = start(option)
        assert session.shown[:2] == ["run stdout", "run stderr"]
        assert "report" not in {words[0] for words in session.ran}


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


# --- nox -s bench-steps ------------------------------------------------------------------------------------------


def test_patterns_are_told_from_the_options_of_pytest_benchmark_and_their_values(
    noxfile: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noxfile, "environment", lambda session: "python")
    monkeypatch.setattr(noxfile, "installed_backends", lambda session: ["torch"])
    monkeypatch.chdir(tmp_path)
    session = Installing(tmp_path, "imdb-rnn/*", "--benchmark-sort", "mean", "--benchmark-compare", str(tmp_path))
    noxfile.bench_steps(session)
    cells, file = "--bench-cells=imdb-rnn/*@torch", "--benchmark-json=reports/local/steps-torch.json"
    options = ("--benchmark-sort", "mean", "--benchmark-compare", str(tmp_path))
    assert session.ran == [("python", "-m", "pytest", cells, file, *options)]


# --- nox -s ab ---------------------------------------------------------------------------------------------------


class Installing:
    """Notes what is installed and run; environments lie in `folder`."""

    def __init__(self, folder: Path, *posargs: str, ends: int = 0) -> None:
        self.posargs, self.cache_dir, self.ends = list(posargs), folder / ".cache", ends
        self.installed: list[tuple[str, ...]] = []
        self.ran: list[tuple[str, ...]] = []

    def run_install(self, *words: str) -> None:
        if "virtualenv" in words:
            Path(words[-1]).mkdir()
        elif "--no-deps" not in words:  # that is Keras 2, which comes after everything else
            self.installed.append(words)

    def run(self, *words: str, **_: Any) -> None:
        self.ran.append(words)
        if self.ends:
            error = CommandFailed("failed")
            error.return_code = self.ends
            raise error

    def error(self, message: str) -> None:
        raise SystemExit(message)


@pytest.fixture
def a_b(noxfile: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Installing]:
    monkeypatch.setattr(noxfile, "frameworks", lambda: ("tensorflow-cpu,torch",))
    monkeypatch.chdir(ROOT)

    def run(*posargs: str) -> Installing:
        session = Installing(tmp_path, *posargs)
        noxfile.ab(session)
        return session

    return run


def test_two_versions_get_an_environment_each_pinned_alike_but_for_what_is_compared(
    a_b: Callable[..., Installing], tmp_path: Path
) -> None:
    session = a_b("torch==2.12.*", "torch==2.13.*", "imdb-rnn/*", "--strict")
    homes = [Path(words[0]).parent.parent for words in session.installed]
    assert [home.parent for home in homes] == [tmp_path, tmp_path]
    assert [home.name.rpartition("-")[0] for home in homes] == ["ab-torch-2.12.-", "ab-torch-2.13.-"]
    everything = {line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")}
    for words, wanted, home in zip(session.installed, ("torch==2.12.*", "torch==2.13.*"), homes, strict=True):
        assert {"--editable", ".[torch]", wanted} <= set(words)
        pins = set((home / "constraints.txt").read_text().splitlines())
        assert {line.split("==")[0] for line in everything - pins} == {"torch"}
    base, candidate = (str(home / "bin" / "python") for home in homes)
    assert session.ran == [
        (candidate, "-m", "bench", "ab", "--base", base, "--candidate", candidate, "imdb-rnn/*", "--strict")
    ]
    assert a_b("torch==2.12.*", "torch==2.13.*").installed == []  # they are there already


@pytest.mark.parametrize(
    ("requirements", "extras"),
    [
        (("keras==3.14.*", "keras==3.15.*"), "tensorflow-cpu"),
        (("keras==3.14.* tensorflow-cpu==2.20.*", "keras==3.15.*"), "tensorflow-cpu"),
        (("numpy==2.3.*", "numpy==2.4.*"), "tensorflow-cpu,torch"),
        (("keras==3.14.*", "torch==2.13.*"), "tensorflow-cpu,torch"),
    ],
)
def test_only_frameworks_that_a_requirement_may_change_are_installed(
    requirements: tuple[str, str], extras: str, a_b: Callable[..., Installing]
) -> None:
    session = a_b(*requirements)
    assert [f".[{extras}]" in words for words in session.installed] == [True, True]


def test_requirements_that_read_alike_have_environments_of_their_own(a_b: Callable[..., Installing]) -> None:
    session = a_b("torch>=2.12", "torch==2.12")
    assert len({words[0] for words in session.installed}) == 2


def test_two_checkouts_get_an_environment_each_with_the_pins_and_all_the_frameworks_of_their_own(
    a_b: Callable[..., Installing], tmp_path: Path
) -> None:
    folders = [tmp_path / "before", tmp_path / "after"]
    for folder, pin in zip(folders, ("torch==2.12.0", "torch==2.13.0"), strict=True):
        (folder / "bench").mkdir(parents=True)
        (folder / "pyproject.toml").touch()
        (folder / "constraints.txt").write_text(f"# pins\n{pin}\n")
    session = a_b(*map(str, folders), "--strict")
    homes = [Path(words[0]).parent.parent for words in session.installed]
    for words, home, folder in zip(session.installed, homes, folders, strict=True):
        assert words[words.index("--editable") + 1] == f"{folder}[tensorflow-cpu,torch]"
        assert str(folder) not in words
        assert (home / "constraints.txt").read_text() == (folder / "constraints.txt").read_text().replace(
            "# pins\n", ""
        )
    base, candidate = (str(home / "bin" / "python") for home in homes)
    assert session.ran == [(candidate, "-m", "bench", "ab", "--base", base, "--candidate", candidate, "--strict")]
    (words,) = a_b(str(folders[0]), "torch==2.13.*").installed  # the other one is there already
    assert {".[tensorflow-cpu,torch]", "torch==2.13.*"} <= set(words)


def test_versions_that_are_not_named_and_verdicts_end_the_session_accordingly(
    noxfile: ModuleType, a_b: Callable[..., Installing], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="name base and candidate"):
        a_b("torch==2.12.*")
    with pytest.raises(SystemExit, match="neither a requirement nor the folder of a checkout"):
        a_b("../old", "../new")
    regressed = Installing(tmp_path, "torch==2.12.*", "torch==2.13.*", ends=1)
    with pytest.raises(SystemExit) as ended:
        noxfile.ab(regressed)
    assert ended.value.code == 1
