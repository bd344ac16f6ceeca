"""`bench run` as its users meet it: plans, messages, exit codes."""

from __future__ import annotations

import datetime
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cases.catalog import load
from bench.cases.cell import Cell
from bench.machine import gpu
from bench.machine.gpu import Gpu, Holder, Look
from bench.records.record import SCHEMA_VERSION
from bench.records.store import Store
from bench.runner.capabilities import Examined
from bench.runner.options import RunOptions
from bench.runner.plan import Obstacle, PlannedCell
from bench.runner.run import free_name, on_gpu, run_cells
from tests.conftest import Bench, call


def run(*arguments: str) -> int:
    return call("run", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imdb-rnn/lstn"], "'imdb-rnn/lstn'; nearest: imdb-rnn/lstm"),
        (["--backend", "troch"], "unknown backend 'troch'; nearest: torch"),
        (["--numerics", "nativ"], "unknown numerics 'nativ'; nearest: native"),
        (["--profile", "slow"], "'slow' is not one of 'quick', 'documented'"),
        (["--seed", "3"], "No such option"),
        (["--seeds", "0"], "expected a number (whole, 1 or more), got '0'"),
        (["--stand-in", "glove"], "--stand-in 'glove': expected NAME=OTHER"),
        (["--resume", "r"], "no store at"),
        (["--resume", "r", "--name", "s"], "give one of them"),
        (["--suites", "nowhere.py"], "suite path nowhere.py does not exist"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_message_that_names_it(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_dry_run_lists_every_cell_with_an_estimate_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("--dry-run", "--json", "--backend", "torch", "--seeds", "2") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == SCHEMA_VERSION
    assert len(document["cells"]) == 2 * len(list(load().cases()))
    assert document["estimated_seconds"] == pytest.approx(sum(cell["estimated_seconds"] for cell in document["cells"]))
    assert run("--dry-run", "imdb-rnn/lstm-cudnn@torch") == 0
    assert "unavailable: requires a GPU; " in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_broken_suite_file_ends_with_2_and_its_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("from bench.spec import *\nLSTM(-3)\n")
    assert run("--dry-run", "--suites", str(broken)) == 2
    assert f"suite file {broken}, line 2: LSTM.units must be positive, got -3" in capsys.readouterr().err


def test_the_summary_says_what_became_of_the_cells_and_where_to_go_next(fake_bench: Bench) -> None:
    ended = fake_bench("fake/fine@fake", "--name", "my run")
    assert ended.returncode == 0
    summary = ended.stdout.splitlines()
    assert "1 of 1 cell ok" in summary[0]
    (command,) = [shlex.split(line.partition(": ")[2]) for line in summary if "bench report" in line]
    assert command[:5] == ["bench", "report", "my run", "--store", str(fake_bench.store)]
    assert Path(command[5].removeprefix("--suites=")).is_file(), "without them it would not know the case"
    limit, line, *_ = ended.stderr.splitlines()
    assert "20 times" in limit
    assert "--timeout" in limit
    assert line.startswith("[1/1] fake/fine@fake  50.00 %  ")


def test_the_command_for_a_failed_cell_runs_exactly_that_cell(fake_bench: Bench) -> None:
    failed = fake_bench("fake/raises@fake", "fake/fine@fake", "--name", "r")
    assert failed.returncode == 3
    (line,) = [line for line in failed.stdout.splitlines() if "bench run --resume" in line]
    bench, verb, *arguments = shlex.split(line)
    assert (bench, verb) == ("bench", "run")
    assert fake_bench(*arguments, FAKE_MENDED="1").returncode == 0
    assert fake_bench.statuses("r") == {"raises": "ok", "fine": "ok"}
    assert len(fake_bench.trainings()) == 3


def test_json_is_all_that_stdout_holds(fake_bench: Bench) -> None:
    ended = fake_bench("fake/fine@fake", "--json")
    document = json.loads(ended.stdout)
    assert document["schema_version"] == SCHEMA_VERSION
    (record,) = document["records"]
    assert (record["case"], record["status"], record["seed"]) == ("fine", "ok", 0)
    assert "1 of 1 cell ok" in ended.stderr


def test_unavailable_counts_only_when_it_was_asked_for(fake_bench: Bench) -> None:
    patterns = ["fake/gp*@fake", "fake/no-f*@fake", "fake/fi*@fake"]
    assert fake_bench(*patterns, "--name", "r").returncode == 0
    assert fake_bench.statuses("r") == {"gpu": "unavailable", "no-file": "unavailable", "fine": "ok"}
    assert fake_bench("--resume", "r").returncode == 0, "what ended ok before counts"
    assert "nowhere.csv" in str(fake_bench.records("r")["no-file"].reason)
    assert fake_bench("fake/gpu@fake").returncode == 3
    absent = fake_bench("fake/fi*", "--backend", "absent")
    assert absent.returncode == 3
    assert "pip install -c constraints.txt -e '.[absent]'" in " ".join(absent.stdout.split())
    assert len(fake_bench.trainings()) == 1


def test_a_run_that_was_asked_for_by_name_and_found_nothing_available_is_no_success(fake_bench: Bench) -> None:
    assert fake_bench("fake/gp*@fa*", "fake/no-f*@fa*", "--name", "r").returncode == 3
    assert set(fake_bench.statuses("r").values()) == {"unavailable"}
    assert fake_bench("--resume", "r").returncode == 3
    assert fake_bench("fake/gp*@fa*", "fake/slow-*@fake", "--budget", "0.001").returncode == 0, "some are left to run"
    assert fake_bench.trainings() == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (RunOptions(), 0),
        (RunOptions(patterns=("s",)), 3),
        (RunOptions(backends=("torch",)), 3),
        (RunOptions(suites=("s.py",)), 3),
    ],
)
def test_patterns_backends_and_suites_ask_by_name(options: RunOptions, code: int, tmp_path: Path) -> None:
    cell = Cell("s", "c", "torch", "none", "cpu", "documented", 0)
    cells = [PlannedCell(cell, 0, frozenset(), Obstacle("there is no data", "case"), 0.0)]
    options = replace(options, threads=1, memory=1.0)
    store = tmp_path / "s.sqlite"
    ended = run_cells(cells, options, store, ["bench"], name="r")
    assert ended.statuses == {"unavailable": 1}
    assert ended.exit_code == code
    assert run_cells(cells, options, store, ["bench"], name="again", already=1).exit_code == 0


def test_a_device_that_was_asked_for_and_is_missing_is_no_success(fake_bench: Bench) -> None:
    ended = fake_bench("fake/fi*@fake", "--device", "cuda", "--name", "r")
    assert ended.returncode == 3, ended.stdout
    assert fake_bench.statuses("r") == {"fine": "unavailable"}
    assert "the fake backend sees no GPU" in ended.stdout


def test_cells_that_end_alike_are_summed_up_in_one_line_and_nothing_is_started(fake_bench: Bench) -> None:
    ended = fake_bench("fake/[dfrs]*@fake", "--device", "cuda", "--name", "r")
    assert ended.returncode == 3, ended.stdout
    assert ended.stderr.startswith("bench: fake: the fake backend sees no GPU\n")
    assert len(ended.stderr.splitlines()) == 1, "what is unavailable is not listed cell by cell"
    (summed,) = [line for line in ended.stdout.splitlines() if "sees no GPU" in line]
    assert "8 fake cases" in summed
    assert set(fake_bench.statuses("r").values()) == {"unavailable"}
    assert fake_bench.trainings() == []


def test_a_gpu_that_does_not_exist_is_wrong_usage_and_stores_nothing(fake_bench: Bench) -> None:
    ended = fake_bench("fake/fine@fake", "--device", "cuda", "--name", "r", CUDA_VISIBLE_DEVICES="77")
    assert ended.returncode == 2
    assert "CUDA_VISIBLE_DEVICES='77': there is no GPU 77; this machine has: " in ended.stderr
    with Store(fake_bench.store) as store:
        assert list(store.runs()) == []
    # Nobody asked for a GPU: what the variable says does not matter.
    assert fake_bench("fake/fine@fake", "--name", "r", CUDA_VISIBLE_DEVICES="77").returncode == 0


def test_a_gpu_that_others_hold_is_pointed_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bench")
    held = Gpu(0, "GPU-0", "NVIDIA A", 10**10, "535.1", (12, 2), (Holder(77, "trainer", 3 * 10**9),))
    monkeypatch.delenv(gpu.VARIABLE, raising=False)
    monkeypatch.setattr(gpu, "look", lambda: Look((held,)))
    reasons = {"torch": None, "keras-jax": "JAX 1 sees no GPU"}
    monkeypatch.setattr(
        "bench.runner.run.examine",
        lambda info, threads, devices: Examined(info.name, {"cuda": reasons[info.name]}, {}),
    )
    cells = [
        PlannedCell(Cell("s", "c", name, "none", device, "documented", 0), 0, frozenset(), None, 1.0)
        for name, device in (("torch", "cuda"), ("keras-jax", "cuda"), ("keras-jax", "cpu"))
    ]
    ready, kept_off, on_cpu = on_gpu(cells, threads=1)
    assert (ready, on_cpu) == (cells[0], cells[2])
    assert kept_off.obstacle == Obstacle("JAX 1 sees no GPU", "device")
    assert caplog.messages == [
        "process 77 (trainer) holds 3.0 GB of GPU 0, NVIDIA A, 10.0 GB; times and memory are unreliable: "
        "end it, or choose another GPU with CUDA_VISIBLE_DEVICES",
        "torch: trains on the GPU",
        "keras-jax: JAX 1 sees no GPU",
    ]


def test_budget_starts_no_cell_that_would_exceed_it(fake_bench: Bench) -> None:
    ended = fake_bench("fake/slow-*@fake", "--name", "r", "--budget", "0.5")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("3 cells ")
    assert f"bench run --resume r --store {fake_bench.store}" in ended.stdout
    assert fake_bench.trainings() == []


def test_resume_keeps_the_profile_and_names_an_unknown_run(fake_bench: Bench) -> None:
    assert fake_bench("fake/gpu@fake", "--name", "r").returncode == 3
    other = fake_bench("--resume", "r", profile="quick")
    assert other.returncode == 2
    assert "run 'r' has profile documented" in other.stderr
    unknown = fake_bench("--resume", "rr")
    assert unknown.returncode == 2
    assert "unknown run 'rr'; nearest: r" in unknown.stderr


def test_runs_that_begin_in_one_second_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Frozen:
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr("bench.runner.run.datetime.datetime", Frozen)
    names = []
    with Store(tmp_path / "s.sqlite", create=True) as store:
        for _ in range(3):
            names.append(free_name(run.name for run in store.runs()))
            store.create_run(names[-1], "quick", {}, [], {})
    assert names == ["2026-01-02-030405", "2026-01-02-030405-2", "2026-01-02-030405-3"]


def test_cells_that_share_a_fate_are_told_together(fake_bench: Bench) -> None:
    ended = fake_bench("fake/no-f*@fake", "fake/gpu@fake", "--seeds", "5", "--name", "r")
    assert "0 of 10 cells ok" in ended.stdout
    assert [ended.stdout.count(name) for name in ("fake/no-file", "fake/gpu")] == [1, 1], "each is named once"


def test_a_run_goes_on_where_nothing_can_be_said(fake_bench: Bench) -> None:
    command = fake_bench.command("fake/fine@fake", "fake/raises@fake", "--name", "r", "--json")
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command, env=fake_bench.environment, cwd=fake_bench.folder, stdout=subprocess.PIPE, stderr=full, text=True
        )
    assert (ended.returncode, len(json.loads(ended.stdout)["records"])) == (3, 2)


def test_a_full_disk_below_the_output_is_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, "-m", "bench", "list"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.stderr == "bench: standard output: No space left on device; name another place\n"
    assert ended.returncode == 2


def test_results_that_a_full_disk_refuses_are_kept_imported_and_not_run_again(fake_bench: Bench) -> None:
    command = fake_bench.command("fake/slow-*@fake", "fake/fine@fake", "--name", "r")
    limited = f"ulimit -f 300; exec {shlex.join(command)}"  # 150 kB a file: the store, and the log beside it
    ended = subprocess.run(
        ["sh", "-c", limited], env=fake_bench.environment, cwd=fake_bench.folder, capture_output=True, text=True
    )
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    kept = fake_bench.folder / "store.sqlite.rescued.jsonl"
    assert f"`bench import {kept} --store {fake_bench.store}`, then `bench run --resume r" in ended.stderr
    assert len(fake_bench.statuses("r")) < 4
    assert call("import", str(kept), "--store", str(fake_bench.store)) == 0
    assert set(fake_bench.statuses("r").values()) == {"ok"}
    assert len(fake_bench.statuses("r")) == 4
    before = len(fake_bench.trainings())
    assert fake_bench("--resume", "r").returncode == 0
    assert len(fake_bench.trainings()) == before
