"""What the harness adds to a cell, here and through Dask, and what more workers bring: with stubs that only wait.

    python tests/benchmarks/cells.py cost [--seconds 0 0.05 1] [--cells 400]
    python tests/benchmarks/cells.py workers [--workers 1 2 8 64] [--seconds 1 10]
    python tests/benchmarks/cells.py placing [--workers 1 64 1000 10000]
    python tests/benchmarks/cells.py idle

A stub in place of `bench.runner.worker` waits so many seconds and answers with a record; all else is `bench run` as it
is. `cost` prints, per cell, the CPU of the process that was started, of the scheduler and of the worker, that of the
processes of the cell itself apart (a guardian and the stub), and the wall time beyond the stub's wait.
`workers` starts a scheduler and so many workers on loopback; efficiency is the time that the stubs waited over the time
that the workers were there, from the end of the first round of cells to the end of the last one.
`placing` calls what decides which cell goes where, without any process, for as many workers as no machine has.
`idle` prints what a scheduler and a worker take of a core that wait, by Dask's defaults and as docs/cluster.md has it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2]))

from tests.benchmarks.figures import say  # noqa: E402
from tests.benchmarks.long_run import CASES, STUB, SUITE, templates  # noqa: E402

WAIT = """
import sys, time
with open(sys.argv[0].replace("stub.py", "wait")) as file:
    time.sleep(float(file.read()))
"""
SCHEDULER = {"DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s"}  # as docs/cluster.md has it
OPTIONS = ["--backend", "stub", "--profile", "documented", "--measure", "accuracy"]
PATIENCE = 300.0


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cost", "workers", "placing", "idle"))
    parser.add_argument("--seconds", type=float, nargs="+", help="that a stub waits")
    parser.add_argument("--workers", type=int, nargs="+")
    parser.add_argument("--cells", type=int, default=400, help="of `cost`; an eighth of them where a stub waits 1 s")
    arguments = parser.parse_args()
    if arguments.what == "cost":
        cost(arguments.seconds or [0, 0.05, 1], arguments.cells)
    elif arguments.what == "workers":
        more_workers(arguments.workers or [1, 2, 8, 64], arguments.seconds or [1, 10])
    elif arguments.what == "placing":
        placing(arguments.workers or [1, 64, 1000, 10_000])
    else:
        idle()


def cost(waits: Sequence[float], cells: int) -> None:
    """Print what a cell costs locally and through Dask."""
    for wait in waits:
        count = cells if wait < 1 else cells // 8
        with made(wait) as folder:
            show(f"local {wait:g} s", run(folder, count, skip=10), wait)
            with cluster(folder, 1) as (address, processes):
                show(f"dask {wait:g} s", run(folder, count, 10, address, processes), wait)


def show(what: str, found: dict[str, float], wait: float) -> None:
    """Print the milliseconds of a cell, as `inside` found them."""
    count = found["cells"]
    own = {name: 1000 * found[name] / count for name in ("parent", "scheduler", "workers") if name in found}
    all_of = {"harness": sum(own.values()), **own, "processes": 1000 * found["children"] / count}
    all_of["beyond"] = 1000 * (found["wall"] / count - wait)
    print(f"{what}: {', '.join(f'{name} {value:.1f} ms' for name, value in all_of.items())} a cell of {count:.0f}")
    say(**{f"{what}, {name}": value for name, value in all_of.items()})


def more_workers(numbers: Sequence[int], waits: Sequence[float]) -> None:
    """Print efficiency and the costs of a cell for each number of workers."""
    for number in numbers:
        with made(0) as folder, cluster(folder, number) as (address, processes):
            for wait in waits:
                rounds = max(4, round(20 / wait))
                (folder / "wait").write_text(str(wait))
                found = run(folder, number * rounds, number, address, processes)
                busy = (found["parent"] + found["scheduler"] + found["workers"] + found["children"]) / found["wall"]
                efficiency = found["cells"] * wait / (number * found["wall"])
                print(f"{number} workers, cells of {wait:g} s: efficiency {efficiency:.3f}, {busy:.2f} cores busy")
                say(**{f"{number} x {wait:g} s": efficiency, f"{number} x {wait:g} s, cores": busy})
                show(f"{number} x {wait:g} s", found, wait / number)


def placing(numbers: Sequence[int]) -> None:
    """Print the milliseconds of CPU that it takes to place an accuracy cell."""
    from bench.cases.cell import Cell
    from bench.runner.placement import Node, Placement, errands
    from bench.runner.plan import PlannedCell

    for number in numbers:
        names = [f"tcp://{place}" for place in range(number)]
        nodes = {name: Node(name, name, name, frozenset({"cpu"}), {}, {}) for name in names}
        cells = [
            PlannedCell(Cell.parse(f"s/case-{case}@torch,none,cpu,documented#{seed}"), 0, frozenset(), None, 1)
            for seed in range(max(10, number // 25))
            for case in range(CASES)
        ]
        place = Placement(errands(cells, "documented", "accuracy", nodes.values()), nodes)
        running: list[str] = []
        began, placed = time.process_time(), 0
        while place:
            while started := place.start():
                running.append(started[0].address)
                placed += 1
            place.ended(running.pop(0))
        took = 1000 * (time.process_time() - began) / placed
        print(f"{number:,} workers, {placed:,} cells: {took:.3f} ms a cell")
        say(**{f"placing, {number}": took})
    say(keeping=keeping())


def keeping(rounds: int = 200) -> float:
    """Return the milliseconds that it takes to write a record to a store, on the disk of temporary files."""
    from bench.records.store import Store
    from tests.making import ENVIRONMENT, make_record

    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "results.sqlite", create=True) as store:
        store.create_run("r", "documented", ENVIRONMENT, [], {})
        records = [
            make_record(f"s/case@torch,none,cpu,documented#{seed}", val=[0.5 + epoch / 30 for epoch in range(10)])
            for seed in range(rounds)
        ]
        began = time.perf_counter()
        for record in records:
            store.add("r", record, ENVIRONMENT)
        took = 1000 * (time.perf_counter() - began) / rounds
    print(f"to keep a record: {took:.2f} ms")
    return took


def idle(seconds: float = 30.0) -> None:
    """Print the share of a core that a scheduler and a worker take while nothing runs."""
    for what, quiet in (("Dask's defaults", False), ("quiet", True)):
        with made(0) as folder, cluster(folder, 1, quiet=quiet) as (_, processes):
            time.sleep(5)
            found = {name: [psutil.Process(pid) for pid in pids] for name, pids in processes.items()}
            before = {name: sum(sum(each.cpu_times()[:2]) for each in of_it) for name, of_it in found.items()}
            time.sleep(seconds)
            for name, of_it in found.items():
                share = (sum(sum(each.cpu_times()[:2]) for each in of_it) - before[name]) / seconds
                print(f"{what}, {name}: {share:.2%} of a core")
                say(**{f"idle {what}, {name}": share})


# --- processes ---------------------------------------------------------------------------------------------------


@contextmanager
def made(wait: float) -> Iterator[Path]:
    """Give a folder with a suite, its stub and its answers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "suite.py").write_text(SUITE)
        (folder / "wait").write_text(str(wait))
        os.environ |= {"PYTHONPATH": str(HERE.parents[2]), "XDG_CACHE_HOME": str(folder / "cache")}
        subprocess.run([*inside(folder), "templates", *OPTIONS], check=True)
        yield folder


def inside(folder: Path) -> list[str]:
    """Return the command that is `bench`, or what follows, with the stub as a backend."""
    return [sys.executable, str(HERE), "--inside", str(folder)]


@contextmanager
def cluster(folder: Path, number: int, *, quiet: bool = True) -> Iterator[tuple[str, dict[str, list[int]]]]:
    """Give the address of a scheduler with so many workers, and their process ids; not `quiet`: by Dask's defaults."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    log = (folder / "log").open("ab")
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", *words]
    started = [subprocess.Popen(scheduler, stderr=log, env={**os.environ, **(SCHEDULER if quiet else {})})]
    try:
        until(lambda: file.exists() and bool(file.read_text()))
        address = json.loads(file.read_text())["address"]
        for place in range(number):
            there = folder / f"worker-{place}"
            there.mkdir()
            plain = [
                sys.executable,
                "-m",
                "distributed.cli.dask_worker",
                "--nthreads=1",
                "--no-nanny",
                "--no-dashboard",
            ]
            words = [*inside(folder), "worker"] if quiet else plain
            command = [*words, address, f"--local-directory={there}", "--death-timeout=600"]
            started.append(subprocess.Popen(command, stderr=log))
            # As many at a time as there are cores: starting one is work.
            until(lambda least=place - 3: (folder / "log").read_text().count("Register worker") >= least)
        until(lambda: (folder / "log").read_text().count("Register worker") >= number)
        yield address, {"scheduler": [started[0].pid], "workers": [process.pid for process in started[1:]]}
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
        log.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; raise `TimeoutError` where it does not come about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def run(
    folder: Path, cells: int, skip: int, address: str = "", processes: dict[str, list[int]] | None = None
) -> dict[str, float]:
    """Run cells; return what they took from the record number `skip` on: seconds by process, and of wall time."""
    (folder / "results.sqlite").unlink(missing_ok=True)
    every = cells >= CASES and not cells % CASES
    words = ["stubs" if every else "stubs/case-0", "--seeds", str(cells // CASES if every else cells), *OPTIONS]
    words += ["--suites", f"{folder}/suite.py", "--store", f"{folder}/results.sqlite"]
    words += ["--scheduler", address] if address else []
    environment = {**os.environ, "STUB_SKIP": str(skip), "STUB_PROCESSES": json.dumps(processes or {})}
    ended = subprocess.run([*inside(folder), "run", *words], env=environment, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(ended.stderr)
    found: dict[str, float] = json.loads((folder / "figures").read_text())
    return found


def measured(folder: Path, words: list[str]) -> None:
    """Be `bench`, with the stub as its backend; `run` writes what its cells took."""
    from bench.backends import registry
    from bench.backends.registry import BackendInfo
    from bench.runner import workers

    registry.BACKENDS["stub"] = BackendInfo("stub", "stub", (), "stub")
    registry.backends.cache_clear()
    workers.WORKER = (sys.executable, "-IS", f"{folder}/stub.py")
    if words[0] == "templates":
        templates(folder, words)
        (folder / "stub.py").write_text(WAIT + STUB)
        return
    if words[0] == "run":
        processes = {"parent": [os.getpid()], **json.loads(os.environ["STUB_PROCESSES"])}
        module = importlib.import_module("bench.runner.cluster") if "--scheduler" in words else workers
        owner = module.Pool if "--scheduler" in words else module
        owner.run = noted(owner.run, folder / "figures", processes)
    from bench.cli import main as bench

    bench(words)


def noted(every: Callable[..., Iterator[Any]], file: Path, processes: dict[str, list[int]]) -> Callable[..., Any]:
    """Return what yields the same records and writes what they took."""

    def spent() -> dict[str, float]:
        times = {name: [psutil.Process(pid).cpu_times() for pid in pids] for name, pids in processes.items()}
        found = {name: sum(each.user + each.system for each in of_it) for name, of_it in times.items()}
        cells = times.get("workers", times["parent"])
        found["children"] = sum(each.children_user + each.children_system for each in cells)
        return found | {"wall": time.perf_counter()}

    def records(*arguments: Any, **named: Any) -> Iterator[Any]:
        before, number, skip = spent(), 0, int(os.environ["STUB_SKIP"])
        for number, record in enumerate(every(*arguments, **named), 1):
            yield record
            if number == skip:
                before = spent()
        after = spent()
        file.write_text(json.dumps({"cells": number - skip} | {name: after[name] - before[name] for name in after}))

    return records


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        measured(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
