"""Forked cells: equal to the last bit to those of a process each, and they end as those end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import psutil
import pytest

from bench.backends.registry import BACKENDS, backend
from bench.cases.cell import Cell
from bench.machine.fingerprint import cores
from bench.machine.processes import PACKAGE, thread_environment
from bench.records.record import Record
from bench.runner.again import figures
from bench.runner.plan import PlannedCell
from bench.runner.workers import Limits, Settings, Silent, _Memory, run
from tests.conftest import ROOT, Bench
from tests.runner.fake_bench import FINE, SLOW
from tests.runner.test_workers import alive, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
SUITE = """
from bench.spec import *

DATA = Embedded(num_words=50, maxlen=8, train=96, validation=32, test=32)
SUITE = Suite("forks", document="none", title="A short cell", era=KERAS_3, cases=(
    Case("short", data=DATA, layers=(Embedding(50, 4), Flatten(), Dropout(0.2), Dense(1, "sigmoid")),
         training=Training("adam", epochs=2, batch_size=32)),
))
"""
FORKS = [info.name for info in BACKENDS.values() if info.forks]


def installed(name: str) -> str:
    """Return a backend's name; skip the test where it cannot run."""
    if missing := backend(name).missing():
        pytest.skip(missing)
    return name


@pytest.mark.slow
@pytest.mark.parametrize("name", FORKS)
def test_a_forked_cell_is_equal_to_the_last_bit_to_one_of_its_own_process(name: str, tmp_path: Path) -> None:
    (tmp_path / "suite.py").write_text(SUITE)

    def trained(*seeds: int) -> list[Record]:
        cells = [Cell("forks", "short", installed(name), "none", "cpu", "documented", seed) for seed in seeds]
        settings = Settings("documented", "accuracy", min(2, cores()), (str(tmp_path / "suite.py"),))
        planned = [PlannedCell(cell, 0, frozenset(), None, 1.0) for cell in cells]
        return list(run(planned, settings, Limits(1e12, 300), Silent(), threading.Event()))

    first, forked = trained(0, 1)
    (own,) = trained(1)
    for record in (first, forked, own):
        assert record.status == "ok", record.failure or record.reason
    assert [record.timing.alone for record in (first, forked, own) if record.timing] == [False, False, True]
    assert figures(forked) == figures(own)
    assert figures(forked) != figures(first)
    assert forked.memory
    assert own.memory
    assert forked.memory["process_peak_bytes"] == pytest.approx(own.memory["process_peak_bytes"], rel=0.25)


@pytest.mark.parametrize("name", FORKS)
def test_no_thread_of_a_framework_runs_once_it_is_imported(name: str) -> None:
    code = f"""
from pathlib import Path
from bench.backends.registry import backend
backend({installed(name)!r}).load()
print(*((task / "comm").read_text() for task in Path("/proc/self/task").iterdir()))
"""
    environment = {**os.environ, **thread_environment(1), **dict(backend(name).environment), "PYTHONPATH": str(ROOT)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    threads = Counter(found.stdout.split())
    threads.subtract(["jemalloc_bg_thd"])
    assert threads.total() <= 1, "the main thread, and one that looks after itself"


@pytest.fixture
def forking(fake_bench: Bench) -> Bench:
    fake_bench.environment["FAKE_FORKS"] = "1"
    return fake_bench


def test_cells_are_forked_from_one_process_and_their_records_say_so(forking: Bench) -> None:
    assert forking("fake/slow-*@fake", "--name", "r").returncode == 0
    trainings = forking.trainings()
    assert len({training.process for training in trainings}) == 3
    assert len({training.parent for training in trainings}) == 1
    for record in forking.records("r").values():
        assert record.timing
        assert not record.timing.alone
        assert record.memory
        assert record.memory["process_peak_bytes"] > 1e7


@pytest.mark.parametrize(
    "options", [["fake/fine@fake"], ["fake/slow-*@fake", "--measure", "glance"]], ids=["one", "timed"]
)
def test_nothing_else_is_forked(options: list[str], forking: Bench) -> None:
    assert forking(*options, "--name", "r").returncode == 0
    assert all(record.timing and record.timing.alone for record in forking.records("r").values())
    trainings = forking.trainings()
    assert not {training.parent for training in trainings} & {training.process for training in trainings}


def test_each_way_to_fail_has_the_words_that_it_has_in_a_process_of_its_own(forking: Bench) -> None:
    cases = ["fine", "allocates", "diverges", "dies", "raises", "exits", "talks", "starves", "loops"]
    found = {}
    for name in ("forked", "own"):
        ended = forking(*(f"fake/{case}@fake" for case in cases), "--name", name, "--memory", "0.5")
        forking.environment.pop("FAKE_FORKS", None)
        assert ended.returncode == 3, ended.stderr
        found[name] = {case: (record.status, record.reason) for case, record in forking.records(name).items()}
    for case in ("allocates", "starves"):  # whose reasons tell of bytes
        forked, own = found["forked"].pop(case), found["own"].pop(case)
        assert forked[0] == own[0] == "out-of-memory"
        assert str(forked[1]).split()[0] == str(own[1]).split()[0]
    assert found["forked"] == found["own"]
    assert found["forked"]["dies"][1] == (
        "the process was killed by signal 9 (SIGKILL); the system may have run out of memory"
    )
    assert found["forked"]["exits"][1] == "the process ended with exit code 7 before it had a result"


def test_a_cell_that_ends_its_process_costs_one_start_and_no_other_cell(forking: Bench) -> None:
    cases = ["fine", "dies", "raises", "exits", "talks", "loops"]
    forking(*(f"fake/{case}@fake" for case in cases), "--name", "r")
    assert [*forking.statuses("r").values()] == ["ok", "failed", "failed", "failed", "ok", "ok"]
    assert [*Counter(training.parent for training in forking.trainings()).values()] == [2, 2, 2]


def test_a_forked_cell_is_held_to_its_time(forking: Bench) -> None:
    ended = forking("fake/hangs@fake", "fake/fine@fake", "--name", "r", "--timeout", "6")
    assert ended.returncode == 3, ended.stderr
    assert forking.statuses("r") == {"hangs": "timeout", "fine": "ok"}
    assert not any(alive(training.process) for training in forking.trainings())


def test_an_interrupt_ends_the_forked_cell_and_what_forked_it(forking: Bench) -> None:
    parent = forking.start("fake/slow-*@fake", "--name", "r", FAKE_HELD="31")
    wait_for(lambda: len(forking.trainings()) == 2, parent)
    parent.send_signal(signal.SIGINT)
    output, _ = parent.communicate()
    assert parent.returncode == 130, output
    assert forking.statuses("r") == {"slow-0": "ok", "slow-1": "interrupted"}
    last = forking.trainings()[-1]
    assert not alive(last.process)
    assert not alive(last.parent)


@pytest.mark.parametrize("whom", ["cell", "what forks it", "guardian"])
def test_a_signal_from_outside_fails_its_cell_alone(whom: str, forking: Bench) -> None:
    parent = forking.start("fake/slow-*@fake", "--name", "r", FAKE_HELD="30")
    wait_for(lambda: len(forking.trainings()) == 1, parent)
    (training,) = forking.trainings()
    guardian = psutil.Process(training.parent).ppid()
    os.kill({"cell": training.process, "what forks it": training.parent, "guardian": guardian}[whom], signal.SIGSEGV)
    output, _ = parent.communicate()
    assert forking.statuses("r") == {"slow-0": "failed", "slow-1": "ok", "slow-2": "ok"}, output
    assert forking.records("r")["slow-0"].reason == "the process was killed by signal 11 (SIGSEGV)"
    assert not alive(training.process)
    assert not alive(training.parent)


def test_a_killed_parent_leaves_neither_the_cell_nor_what_forked_it(forking: Bench) -> None:
    parent = forking.start("fake/slow-*@fake", "--name", "r", FAKE_HELD="30")
    wait_for(lambda: len(forking.trainings()) == 1, parent)
    parent.kill()
    parent.communicate()
    (training,) = forking.trainings()
    wait_for(lambda: not alive(training.process) and not alive(training.parent))


def test_a_cell_ends_with_what_forked_it_where_nobody_else_is_left(forking: Bench) -> None:
    parent = forking.start("fake/slow-*@fake", "--name", "r", FAKE_HELD="30")
    wait_for(lambda: len(forking.trainings()) == 1, parent)
    (training,) = forking.trainings()
    parent.send_signal(signal.SIGSTOP)
    os.kill(psutil.Process(training.parent).ppid(), signal.SIGKILL)
    parent.kill()
    parent.communicate()
    wait_for(lambda: not alive(training.process))


def test_what_a_cell_leaves_behind_is_ended_before_the_next_begins(forking: Bench) -> None:
    parent = forking.start("fake/leaves@fake", "fake/slow-0@fake", "--name", "r", FAKE_HELD="30")
    wait_for(lambda: len(forking.trainings()) == 2, parent)
    left = int((forking.folder / "left").read_text())
    assert not alive(left)
    parent.send_signal(signal.SIGINT)
    parent.communicate()
    assert forking.statuses("r") == {"leaves": "ok", "slow-0": "interrupted"}
    assert len({training.parent for training in forking.trainings()}) == 1


@pytest.mark.skipif(cores() < 2, reason="needs two cores")
def test_each_slot_has_a_process_that_forks(forking: Bench) -> None:
    cases = [*(f"fake/slow-{number}@fake" for number in range(3)), "fake/fine@fake"]
    assert forking(*cases, "--name", "r", "--jobs", "2", "--seeds", "2").returncode == 0
    trainings = forking.trainings()
    assert Counter(training.width for training in trainings) == {FINE: 2, SLOW: 6}
    by_parent = Counter(training.parent for training in trainings)
    assert sorted(by_parent.values(), reverse=True)[:2] > [2, 2]
    assert {record.neighbours for record in forking.records("r").values()} >= {1}


def test_code_that_changes_between_two_forks_ends_the_run(forking: Bench) -> None:
    copy = forking.folder / "checkout"
    shutil.copytree(PACKAGE, copy / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "suites").symlink_to(ROOT / "suites")
    path = os.pathsep.join(map(str, (copy, ROOT)))
    parent = forking.start("fake/slow-*@fake", "--name", "r", PYTHONPATH=path)
    wait_for(lambda: len(forking.trainings()) == 2, parent)
    with (copy / "bench" / "errors.py").open("a") as file:
        file.write("# another version\n")
    output, _ = parent.communicate()
    assert f"the modules in {copy / 'bench'} have changed since this began" in output
    assert forking.statuses("r") == {"slow-0": "ok"}


HOLDS = """
import os, sys, time
held = bytearray(200_000_000)
child = os.fork()
if not child:
    more = bytearray(100_000_000) if len(sys.argv) > 1 else b""
    print("there", flush=True)
    time.sleep(600)
os.waitpid(child, 0)
"""


@pytest.mark.parametrize(("more", "wanted"), [([], 200e6), (["more"], 300e6)])
def test_memory_that_a_process_and_its_fork_share_counts_once(
    more: list[str], wanted: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runner.workers._TICK", 0.0)
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-Sc', {HOLDS!r}, *{more}])"
    with subprocess.Popen([sys.executable, "-Sc", outer], stdout=subprocess.PIPE, text=True) as guardian:
        assert guardian.stdout
        assert guardian.stdout.readline() == "there\n"
        used = {forks: _Memory(guardian.pid, forks=forks).used() for forks in (True, False)}
        for process in psutil.Process(guardian.pid).children(recursive=True):
            process.kill()
    assert used[True] == pytest.approx(wanted, rel=0.2)
    assert used[False] > used[True] + 180e6
