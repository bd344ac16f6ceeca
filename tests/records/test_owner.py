"""A run belongs to one process at a time, and to nobody once that has ended; so does timing on a machine."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.records.owner import owned, timing_alone
from tests.conftest import ROOT, Bench, call

HOLD = """
import sys, time
from pathlib import Path
from bench.records.owner import owned
with owned(Path(sys.argv[1]), sys.argv[2]):
    print("owned", flush=True)
    time.sleep(600)
"""


def test_a_second_owner_is_refused_with_process_and_host_and_a_dead_one_is_taken_over(tmp_path: Path) -> None:
    store, run = tmp_path / "s.sqlite", "a run/with\udc80 odd name"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store), run], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "owned\n"
    (tmp_path / "link").symlink_to(store)
    with (
        pytest.raises(UsageError, match=f"process {holder.pid} on {platform.node()}"),
        owned(tmp_path / "link", run),
    ):
        pass
    with owned(store, "another run"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with owned(store, run):
        assert f"process {os.getpid()} on" in next(tmp_path.glob("*.lock")).read_text()
    assert not list(tmp_path.glob("*.lock"))


def test_a_run_that_another_process_runs_is_not_resumed(fake_bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    running = fake_bench.start("fake/hangs@fake", "--name", "r")
    try:
        while not fake_bench.trainings():
            assert running.poll() is None
            time.sleep(0.05)
        common = ["--resume", "r", "--store", str(fake_bench.store), "--suites", str(fake_bench.folder / "suite.py")]
        for verb in (["run"], ["explain", "fake/fine"]):
            assert call(*verb, *common) == 2
            assert f"is run by process {running.pid} on" in capsys.readouterr().err
        with owned(fake_bench.store, "another run"):
            pass
    finally:
        running.terminate()
        running.communicate()
    assert len(fake_bench.trainings()) == 1
    assert not list(fake_bench.folder.glob("*.lock"))


def test_who_times_waits_for_another_which_is_named_until_that_ends(
    runtime_folder: Path, timing_elsewhere: subprocess.Popen[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "bench"), timing_alone():
        assert timing_elsewhere.wait() == -signal.SIGKILL
        (lock,) = runtime_folder.rglob("*.lock")
        assert lock.read_text().startswith(f"process {os.getpid()} on ")
    assert [f"process {timing_elsewhere.pid} on {platform.node()}" in message for message in caplog.messages] == [True]
    assert not list(runtime_folder.rglob("*.lock"))


def test_waiting_to_time_can_be_given_up_and_a_lock_that_cannot_be_made_stops_nobody(
    runtime_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (given_up := threading.Event()).set()
    with timing_alone():
        with timing_alone(given_up):
            pass
        assert list(runtime_folder.rglob("*.lock"))
    (lock,) = {runtime_folder / "twinbench" / "timing.lock"}
    lock.symlink_to(runtime_folder / "of-somebody-else")
    with timing_alone():
        assert "would go unnoticed" in caplog.text
    lock.unlink()
    assert not (runtime_folder / "of-somebody-else").exists()


def test_a_timed_run_waits_for_another_and_starts_nothing_and_ctrl_c_ends_that(
    runtime_folder: Path, fake_bench: Bench
) -> None:
    there = {"XDG_RUNTIME_DIR": str(runtime_folder)}
    with timing_alone():
        waiting = [fake_bench.start("fake/fine@fake", "--measure", "steps", "--name", name, **there) for name in "ab"]
        for process in waiting:
            assert process.stdout
            assert f"waiting for process {os.getpid()} on" in process.stdout.readline()
        waiting[0].send_signal(signal.SIGINT)
        waiting[0].communicate()
        assert waiting[0].returncode == 130
        training = fake_bench.start("fake/fine@fake", "--name", "trained", **there)
        assert training.stdout
        assert not any("waiting for" in line for line in training.stdout), "no times, no waiting"
        training.communicate()
        assert len(fake_bench.trainings()) == 1
        assert waiting[1].poll() is None
    waiting[1].communicate()
    assert waiting[1].returncode == 0
    assert fake_bench.statuses("b") == {"fine": "ok"}
    assert fake_bench.statuses("trained") == {"fine": "ok"}
