"""A process of the package's own finds the package, nothing of the folder that the user works in, and its end."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.machine import processes
from bench.machine.processes import Child, command, said
from tests.conftest import ROOT


def test_files_in_the_current_folder_are_not_taken_for_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("bench", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported by accident')")
    ended = subprocess.run(command("bench.cases.cell"), capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_checkout_that_is_not_installed_finds_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(command("bench.cases.cell"), env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_child_that_closes_its_channel_and_lives_does_not_hang_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.processes.END_SECONDS", 0.2)
    code = "import os, sys, time; print('gone quiet', flush=True); os.close(int(sys.argv[1])); time.sleep(600)"
    with Child((sys.executable, "-c", code), threads=1) as child:
        assert child.ready(None)
        assert os.read(child.channel, 1) == b""
        assert child.ending() == "the process closed its channel, lived on for 0.2 s and was killed"
        assert child.last_output() == "gone quiet"
        assert child.process.poll() == -signal.SIGKILL


def test_a_child_has_its_threads_and_its_channel_and_its_ending_is_told_in_words() -> None:
    code = "import os, sys; os.write(int(sys.argv[1]), os.environ['OMP_NUM_THREADS'].encode()); sys.exit(3)"
    with Child((sys.executable, "-c", code), threads=7) as child:
        assert child.ready(None)
        assert os.read(child.channel, 9) == b"7"
        assert child.ending() == "the process ended with exit code 3 before it had a result"


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are listed in /proc")
def test_a_program_that_is_not_there_leaks_no_descriptor() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        Child(("/no/such/program",), threads=1)
    assert os.listdir("/proc/self/fd") == before


def test_a_second_exit_closes_no_file_that_got_the_number_of_the_channel() -> None:
    child = Child((sys.executable, "-c", ""), 1)
    with child:
        pass
    again = os.open(os.devnull, os.O_RDONLY)
    try:
        child.__exit__()
        os.fstat(again)
    finally:
        os.close(again)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are pinned on Linux alone")
def test_a_child_and_what_it_starts_stay_on_its_cores() -> None:
    says = "import os; print(sorted(os.sched_getaffinity(0)), flush=True)"
    code = f"import subprocess, sys; {says}; subprocess.run([sys.executable, '-SEc', {says!r}])"
    one = max(os.sched_getaffinity(0))
    for cores, seen in (((one,), [one]), ((), sorted(os.sched_getaffinity(0)))):
        with Child((sys.executable, "-SEc", code), threads=1, cores=cores) as child:
            child.process.wait()
            assert child.last_output().splitlines() == [str(seen)] * 2


def test_of_several_children_the_one_that_speaks_is_heard() -> None:
    speaks = "import os, sys; os.write(int(sys.argv[1]), b'here'); sys.stdin.read()"
    codes = (speaks.replace("here", ""), speaks)
    with Child((sys.executable, "-SEc", codes[0]), 1) as silent, Child((sys.executable, "-SEc", codes[1]), 1) as other:
        silent.send(b"")
        assert processes.wait([silent, other], None) == [other.channel]
        assert processes.wait([silent], 0) == []


PARENT = """
import sys, time
from bench.machine.processes import Child

code = '''
import re, subprocess, sys
child = subprocess.Popen([sys.executable, "-SEc", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
re.match("(a*)*b", "a" * 60)  # holds the interpreter's lock
'''
with Child((sys.executable, "-SEc", code), threads=1) as child:
    while not child.last_output():
        time.sleep(0.02)
    print(child.last_output(), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="guardians are Linux's")
def test_nothing_outlives_a_killed_parent_whoever_holds_the_interpreter() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as parent:
        assert parent.stdout
        grandchild = psutil.Process(int(parent.stdout.readline()))
        started = [*psutil.Process(parent.pid).children(recursive=True), grandchild]
        parent.kill()
    assert len(started) >= 3
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in started):
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="guardians are Linux's")
def test_the_end_of_the_thread_that_started_it_is_no_reason_to_end() -> None:
    children = []
    code = "import os, sys; os.write(int(sys.argv[1]), b'begun'); sys.stdin.read(); print('to its end')"
    starting = threading.Thread(target=lambda: children.append(Child((sys.executable, "-SEc", code), threads=1)))
    starting.start()
    starting.join()
    with children[0] as child:
        assert child.ready(None)
        assert os.read(child.channel, 5) == b"begun"
        assert child.process.stdin
        child.process.stdin.close()
        assert child.process.wait() == 0
        assert child.last_output() == "to its end"


def test_the_code_of_an_installation_is_what_its_modules_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PACKAGE", tmp_path)
    (tmp_path / "inner").mkdir()
    module = tmp_path / "inner" / "module.py"
    module.write_text("a = 1")
    (tmp_path / "read.me").write_text("any")
    first = processes.code()
    assert first.package == str(tmp_path)
    (tmp_path / "read.me").write_text("other")
    os.utime(module, (1, 1))
    assert processes.code() == first
    module.write_text("a = 2")
    changed = processes.code()
    module.rename(tmp_path / "module.py")
    assert len({first, changed, processes.code()}) == 3


def test_what_a_command_says_is_returned_with_its_code() -> None:
    code = "import os, sys; print(sys.stdin.read() + os.environ['A']); sys.exit(bytes([99, 233]).decode('latin-1'))"
    found = said([sys.executable, "-X", "utf8", "-c", code], 60, {"A": "b"}, "given ")
    assert found == (1, "given b\n", "c\u00e9\n")
    with pytest.raises(OSError, match="no-such"):
        said(["/no-such/program"], 60)


def test_a_command_that_hangs_is_ended_with_those_that_hold_its_output(tmp_path: Path) -> None:
    file = tmp_path / "child"
    child = f"import os, time; open({str(file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-SEc', {child!r}])"
    seconds = 1.0
    while not file.exists() or not file.read_text():
        with pytest.raises(TimeoutError):
            said([sys.executable, "-SEc", code], seconds)
        seconds *= 2
    process = int(file.read_text())
    while psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.02)


# --- nothing else starts processes -------------------------------------------------------------------------------

MODULES = {"subprocess", "multiprocessing", "pty", "asyncio.subprocess", "concurrent.futures.process"}
CALLS = ("fork", "exec", "spawn", "posix_spawn", "system", "popen", "startfile")


def starts(tree: ast.AST) -> Iterator[str]:
    """Yield everything by which a process could be started."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in {*MODULES, "asyncio", "concurrent.futures", "os"}:
            yield from (
                f"{node.module}.{name.name}"
                for name in node.names
                if node.module in MODULES or name.name.startswith((*CALLS, "subprocess", "create_sub", "ProcessPool"))
            )
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os" and node.attr.startswith(CALLS):
                yield f"os.{node.attr}"
            elif node.attr.startswith(("create_subprocess", "ProcessPool")):
                yield node.attr


def test_a_worker_needs_no_guardian_to_start() -> None:
    code = "import sys, bench.runner.worker; assert 'bench.machine.guardian' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is psutil's own search")
def test_descendants_are_those_that_a_search_among_all_processes_finds() -> None:
    words = ["sh", "-c", "sh -c 'sleep 60 & sleep 60 & wait' & echo; wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            top, end = psutil.Process(process.pid), time.monotonic() + 30
            while len(expected := top.children(recursive=True)) < 3 and time.monotonic() < end:
                time.sleep(0.01)
            assert set(processes.descendants(top)) == set(expected)
            assert len(expected) == 3
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_nothing_else_in_the_package_starts_processes() -> None:
    found = {
        path.relative_to(ROOT / "bench").as_posix()
        for path in (ROOT / "bench").rglob("*.py")
        if [*starts(ast.parse(path.read_text(encoding="utf-8")))]
    }
    assert found == {"machine/processes.py", "machine/guardian.py", "runner/worker.py"}


@pytest.mark.parametrize(
    "line",
    ["import subprocess as s", "from subprocess import run", "os.system(x)", "os.execvp(a, b)", "os.posix_spawn(a)",
     "from os import fork", "from concurrent.futures import ProcessPoolExecutor", "import multiprocessing",
     "futures.ProcessPoolExecutor()", "asyncio.create_subprocess_exec(a)"],
)  # fmt: skip
def test_the_search_finds_what_starts_processes(line: str) -> None:
    assert [*starts(ast.parse(line))]
    others = "import os; os.environ; os.walk; from multiprocessing.connection import Connection; run(x); a.fork()"
    assert not [*starts(ast.parse(others))]
