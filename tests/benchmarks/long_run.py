"""What a long run costs beside its cells: memory and CPU of the parent, planning, an empty resume, the summary.

    python tests/benchmarks/long_run.py [--cells 2000] [--profile documented|quick] [--plan 100000]

A stub in place of `bench.runner.worker` answers at once with a record of ten epochs: one process a cell under
`documented`, one for all under `quick`. All else is `bench run` as it is: guardians, store, display, summary. Prints a
line for every phase of the run, of `bench run --resume` when nothing is left, and of planning alone, each in a process
of its own. Needs no framework.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2]))

from tests.benchmarks.figures import say  # noqa: E402

SUITE = """
from bench.spec import *

DATA = Embedded(num_words=30, maxlen=4, train=24, validation=8, test=8)
CASES = tuple(
    Case(f"case-{number}", data=DATA, layers=(Embedding(30 + number, 2), Flatten(), Dense(1, "sigmoid")),
         training=Training("adam", epochs=10, batch_size=8))
    for number in range(50)
)
SUITE = Suite("stubs", document="none", title="Cells that cost nothing", era=KERAS_3, cases=CASES)
"""
CASES = 50
STUB = r"""
import os, sys
for request in sys.stdin:
    case, _, rest = request.partition('"cell": "')[2].partition("@")
    with open(f"{os.path.dirname(sys.argv[0])}/{case.partition('/')[2]}.json") as file:
        answer = file.read()
    seed = rest[rest.index("#") + 1 : rest.index('"')]
    os.write(int(sys.argv[-1]), answer.replace('"seed": 0', f'"seed": {seed}', 1).encode())
"""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--profile", choices=["documented", "quick"], default="documented")
    parser.add_argument("--plan", type=int, default=100_000, help="The most cells that are planned, from 10 on.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "suite.py").write_text(SUITE)
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(HERE.parents[2])}
        words = ["--suites", f"{folder}/suite.py", "--store", f"{folder}/results.sqlite"]
        asked = ["--backend", "stub", "--profile", arguments.profile, "--measure", "accuracy"]

        def inside(*command: str) -> list[dict[str, Any]]:
            told = subprocess.run(
                [sys.executable, str(HERE), "--inside", str(folder), *command, *words],
                env=environment,
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=(folder / "log").open("wb"),
            )
            if told.returncode:
                sys.exit((folder / "log").read_text()[-5000:])
            return [json.loads(line) for line in (folder / "figures").read_text().splitlines()]

        inside("templates", *asked)
        if arguments.profile == "documented":
            show("process", bare(folder))
        for cells in (10**power for power in range(1, 8) if 10**power <= arguments.plan):
            case = ["stubs/case-0"] if cells < CASES else ["stubs"]
            seeds = str(cells if cells < CASES else cells // CASES)
            for figures in inside("run", *case, *asked, "--seeds", seeds, "--dry-run"):
                if figures.pop("phase") == "plan":
                    show(f"plan {cells:,}", figures)
        for figures in inside("run", "stubs", *asked, "--name", "long", "--seeds", str(arguments.cells // CASES)):
            show(figures.pop("phase"), figures)
        show("store", {"MB": (folder / "results.sqlite").stat().st_size / 1e6})
        for figures in inside("run", "--resume", "long"):
            show(f"resume: {figures.pop('phase')}", figures)


def show(phase: str, figures: dict[str, Any]) -> None:
    """Print a line of figures."""
    print(
        f"{phase}: {', '.join(f'{name} {value:,.6g}' for name, value in figures.items() if name != 'phase')}",
        flush=True,
    )
    say(**{f"{phase}, {name}": value for name, value in figures.items() if name != "phase"})


def bare(folder: Path, rounds: int = 50) -> dict[str, float]:
    """Return what a process of a cell costs by itself: the guardian and the stub, started by hand."""
    from bench.machine.processes import GUARDIAN

    wall, busy = time.perf_counter(), time.process_time()
    reader, writer = os.pipe()
    for _ in range(rounds):
        subprocess.run(
            [*GUARDIAN, str(os.getpid()), "", sys.executable, "-IS", f"{folder}/stub.py", str(writer)],
            input=b'{"cell": "stubs/case-0@stub,none,cpu,documented#0"}\n',
            pass_fds=(writer,),
            check=True,
            start_new_session=True,
        )
        os.read(reader, 1 << 20)
    return {
        "wall ms": 1000 * (time.perf_counter() - wall) / rounds,
        "parent's CPU ms": 1000 * (time.process_time() - busy) / rounds,
    }


# --- the process that is measured --------------------------------------------------------------------------------


def measured(folder: Path, words: list[str]) -> None:
    """Run `bench` with the stub as its backend; write a line of figures after every phase."""
    last = {"seconds": time.perf_counter(), "CPU s": time.process_time()}
    from bench.backends import registry
    from bench.backends.registry import BackendInfo

    registry.BACKENDS["stub"] = BackendInfo("stub", "stub", (), "stub")
    registry.backends.cache_clear()
    if words[0] == "templates":
        templates(folder, words)
        (folder / "figures").touch()
        return
    from bench.cli import main as bench
    from bench.commands import run as verb
    from bench.runner import run, workers

    workers.WORKER = (sys.executable, "-IS", f"{folder}/stub.py")
    figures = (folder / "figures").open("w")

    def note(phase: str, **more: float) -> None:
        now = {"seconds": time.perf_counter(), "CPU s": time.process_time()}
        spent = {name: now[name] - last[name] for name in now}
        memory = {"RSS MB": memory_of("VmRSS"), "peak MB": memory_of("VmHWM")}
        print(json.dumps({"phase": phase, **spent, **memory, **more}), file=figures, flush=True)
        last.update(seconds=time.perf_counter(), **{"CPU s": time.process_time()})

    def noted(phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            value = function(*arguments, **named)
            note(phase)
            return value

        return call

    def cells(*arguments: Any, **named: Any) -> Iterator[Any]:
        began, busy, memory, number = time.perf_counter(), time.process_time(), 0.0, 0
        note("before the first cell")
        for number, record in enumerate(every(*arguments, **named)):
            yield record
            if number == 50:  # by then everything that is made once is there
                began, busy, memory = time.perf_counter(), time.process_time(), memory_of("VmRSS")
        more = max(1, number - 50)
        note(
            "cells",
            **{
                "wall ms a cell": 1000 * (time.perf_counter() - began) / more,
                "CPU ms a cell": 1000 * (time.process_time() - busy) / more,
                "kB a cell": 1000 * (memory_of("VmRSS") - memory) / more,
            },
        )

    every = workers.run
    workers.run = cells
    note("imports")
    verb.cells_left = noted("plan", run.cells_left)
    verb.closing = noted("summary", verb.closing)
    try:
        bench(words)
    finally:
        note("end")


def templates(folder: Path, words: list[str]) -> None:
    """Write the stub, and for every case the answer of its worker, so that a resume finds the case it declares."""
    from bench.cases.catalog import load
    from bench.cases.profiles import apply
    from bench.records.record import SCHEMA_VERSION, plain

    profile: Any = words[words.index("--profile") + 1]
    (folder / "stub.py").write_text(STUB)
    suite = load([folder / "suite.py"]).suites["stubs"]
    for declared in suite.cases:
        case = apply(declared, profile)
        record = made_up(suite, case, "stub", profile)
        answer = {"event": "record", "schema_version": SCHEMA_VERSION, "record": plain(record)}
        (folder / f"{case.name}.json").write_text(json.dumps(answer) + "\n")


def made_up(suite: Any, case: Any, backend: str, profile: str) -> Any:
    """Return a record of ten epochs, of the case as it is declared."""
    from bench.cases.describe import definition
    from bench.records.record import DataUsed
    from bench.training.experiment import dataset_of
    from tests.making import make_record

    return make_record(
        f"stubs/{case.name}@{backend},none,cpu,documented#0",
        profile=profile,
        measure="accuracy",
        test=0.75,
        val=[0.5 + epoch / 30 for epoch in range(10)],
        epoch_seconds=[1.0 + epoch / 7 for epoch in range(10)],
        counts=(1000, 9),
        data=DataUsed(name="embedded", sha256=dataset_of(case, {}).sha256, rows={"train": 24, "test": 8}),
        memory={"process_peak_bytes": 5e8},
        details={"case": definition(suite, case)},
    )


def memory_of(name: str) -> float:
    """Return the resident MB of this process, VmRSS, or the most that it had, VmHWM."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[name].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        measured(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
