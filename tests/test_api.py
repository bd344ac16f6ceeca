"""`import bench` as a notebook uses it, beside the command that it stands for."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

import bench
from bench.cli import cli
from bench.errors import SuiteError, UsageError
from bench.records.store import Store
from bench.spec import Suite
from tests.conftest import HERE, Bench

NOTEBOOK = """
import json, sys
sys.path.insert(0, {here!r})
import fake_bench
fake_bench.install()
import bench

frame = bench.run("fake/fine", "fake/raises", backends=["fake"], profile="documented", suites=["suite.py"],
                  store="kept.sqlite", name="first")
again = bench.run("fake/fine@fake#0", profile="documented", suites=["suite.py"], store="kept.sqlite")
print(json.dumps({{
    "first": frame[["case", "status", "reason"]].fillna("").values.tolist(),
    "again": again["case"].tolist(),
    "latest": bench.results(store="kept.sqlite").equals(again),
    "both": bench.results("first", again["run"][0], store="kept.sqlite")["run"].tolist(),
}}))
"""


def test_a_notebook_runs_cells_and_reads_them_again(fake_bench: Bench) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK.format(here=str(HERE))],
        env=fake_bench.environment,
        cwd=fake_bench.folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)  # nothing else is printed there
    ended = {case: (status, reason) for case, status, reason in told["first"]}
    assert ended["fine"] == ("ok", "")
    assert ended["raises"][0] == "failed"
    assert "the second epoch is too much" in ended["raises"][1]
    assert told["again"] == ["fine"]
    assert told["latest"]
    assert told["both"][:-1] == ["first"] * 2
    with Store(fake_bench.folder / "kept.sqlite") as store:
        first, second = store.runs()
    assert second.name == told["both"][-1]
    assert first.command[:2] == ["bench", "run"]
    repeated = fake_bench("--dry-run", *first.command[2:])
    assert len(repeated.stdout.splitlines()) == 3, "the stored command runs the same two cells"


IN_A_THREAD = """
import signal, sys, threading
sys.path.insert(0, {here!r})
import fake_bench
fake_bench.install()
import bench

def work():
    print(*bench.run("fake/fine@fake", profile="documented", suites=["suite.py"], store="kept.sqlite")["status"])

before = signal.getsignal(signal.SIGINT)
thread = threading.Thread(target=work)
thread.start()
while thread.is_alive():
    assert signal.getsignal(signal.SIGINT) is before
    thread.join(0.01)
"""


def test_cells_run_in_a_thread_that_may_set_no_signal_handlers(fake_bench: Bench) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_THREAD.format(here=str(HERE))],
        env=fake_bench.environment,
        cwd=fake_bench.folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_what_is_wrong_is_raised(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown backend 'troch'; nearest: torch"):
        bench.run(backends=["troch"], store=tmp_path / "s.sqlite")
    with pytest.raises(UsageError, match="--seeds"):
        bench.run(seeds=0, store=tmp_path / "s.sqlite")
    with pytest.raises(UsageError, match="unknown option 'backend'; nearest: backends"):
        bench.run(backend="torch", store=tmp_path / "s.sqlite")
    with pytest.raises(UsageError, match="unknown option 'patterns'"):
        bench.run(patterns=["imdb-rnn"], store=tmp_path / "s.sqlite")
    with pytest.raises(UsageError, match="no store at"):
        bench.results(store=tmp_path / "s.sqlite")
    assert not (tmp_path / "s.sqlite").exists()


def test_an_interrupt_before_anything_runs_is_one_here_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.runner.run.plan", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.run("imdb-rnn/lstm", store=tmp_path / "s.sqlite")


def test_help_shows_every_option_of_bench_run_by_its_name() -> None:
    signature = inspect.signature(bench.run)
    command = {option.name: option for option in cli.get_command(click.Context(cli), "run").params}
    only_here = {"store"}
    only_there = {"store_path", "resume", "dry_run", "again", "as_json"}
    assert set(signature.parameters) - only_here == set(command) - only_there
    assert signature.parameters["seeds"].default == 1
    lines = {line.split("`")[1]: line for line in str(bench.run.__doc__).splitlines() if line.startswith("- `")}
    assert set(lines) == set(command) - only_there - {"patterns", "name"}
    for name, line in lines.items():
        assert command[name].help in line
        assert (command[name].metavar or "") in line
        assert all(choice in line for choice in getattr(command[name].type, "choices", ()))


def test_tf32_holds_for_its_run_only(fake_bench: Bench) -> None:
    script = (
        f"import os, sys\nsys.path.insert(0, {str(HERE)!r})\nimport fake_bench\nfake_bench.install()\nimport bench\n"
        "bench.run('fake/fine@fake', profile='documented', suites=['suite.py'], store='k.sqlite', tf32=True)\n"
        "print(os.environ.get('BENCH_TF32'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=fake_bench.environment,
        cwd=fake_bench.folder,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "None\n", done.stderr
    with Store(fake_bench.folder / "k.sqlite") as store:
        (run,) = store.runs()
    assert run.options["tf32"] is True
    assert "--tf32" in run.command


def test_suites_are_found_by_name_and_by_file(tmp_path: Path) -> None:
    ours = bench.load_suite("imdb-rnn")
    assert isinstance(ours, Suite)
    assert (ours.document, ours.cases[0].name) == ("000", "simple-rnn")
    file = tmp_path / "mine.py"
    file.write_text("from bench.spec import *\nSUITE = Suite('mine', 'none', 'Mine', KERAS_3, ())\n")
    assert bench.load_suite(file).name == "mine"
    with pytest.raises(UsageError, match="unknown suite 'imdb-rn'; nearest: imdb-rnn"):
        bench.load_suite("imdb-rn")
    file.write_text("SUITE = 1\n")
    with pytest.raises(SuiteError, match=r"mine\.py declares no suite"):
        bench.load_suite(file)
    with pytest.raises(UsageError, match="does not exist"):
        bench.load_suite(tmp_path / "gone.py")


def test_importing_loads_nothing_heavy() -> None:
    heavy = "{'pandas', 'rich', 'sqlite3', 'scipy', 'matplotlib', 'torch', 'tensorflow', 'keras', 'jax'}"
    script = f"import sys, bench; bench.run; bench.load_suite('imdb-rnn'); print({heavy} & set(sys.modules) or 'none')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("none\n", "")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="it has load_suite, results, run"):
        bench.reports  # type: ignore[attr-defined]  # noqa: B018
    assert dir(bench) == ["load_suite", "results", "run"]
