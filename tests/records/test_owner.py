"""A run belongs to one process at a time, and to nobody once that has ended."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.records.owner import owned
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
