"""Everything that the harness is held to, measured one after the other: `nox -s overhead`.

    nox -s overhead [-- NAME ...] [-- --write]

Runs the commands below, all of them or those named, each when nothing else of this runs, keeps what each found in
reports/overhead/results.json, and writes the page beside it from that. What is there already is not measured again
unless it is named: an interrupted session goes on. `--write` writes the page alone.
Why a bound is missed is written into that file by hand, as "notes" of the measurement, by figure: a new one has none.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine.fingerprint import cores, fingerprint
from bench.machine.noise import noise
from tests.benchmarks.figures import said
from tests.benchmarks.overhead_page import write

REPORT = Path("reports/overhead")
RESULTS = REPORT / "results.json"


@dataclass(frozen=True)
class Row:
    """A figure that has a bound: what is measured, against what, which figure of the command, the most that it may be.

    `unit`: empty for a ratio.
    """

    what: str
    against: str
    figure: str
    at_most: float
    unit: str = ""


@dataclass(frozen=True)
class Measurement:
    """A command, by name, and those of its figures that have bounds; `seconds` is that of the command itself."""

    name: str
    command: str
    rows: tuple[Row, ...] = ()


OVERHEAD, CELLS = "python tests/benchmarks/overhead.py", "python tests/benchmarks/cells.py"
SHAPES = ("imdb-rnn", "imdb-lstm", "reviews-lstm", "reviews-gru", "text-lstm", "embedding-lstm")
START = ("torch", "keras-tensorflow", "keras-jax", "keras-torch")
EPOCH, CELL = "a steady epoch under the runner", "a whole cell, process start included"
HARNESS, PROCESSES = "CPU of the harness for a cell", "beside the cell's own processes"
SIDE_BY_SIDE = "accuracy cells with `--jobs auto`"
SCRIPT = "the same as a stand-alone script"
MEASUREMENTS = (
    Measurement(
        "command",
        f"{OVERHEAD} command --rounds 9",
        tuple(
            Row(f"`bench {word}`, beyond an interpreter", "", word, 0.3, "s") for word in ("list", "--help")
        ),
    ),
    Measurement("cost", f"{CELLS} cost", (
        *(Row(f"{HARNESS} of {wait}", PROCESSES, f"local {wait}, harness", 5, "ms")
          for wait in ("0 s", "0.05 s", "1 s")),
        *(Row(f"{HARNESS} of {wait}, through Dask", PROCESSES, f"dask {wait}, harness", 20, "ms")
          for wait in ("0 s", "0.05 s", "1 s")),
    )),
    Measurement("workers", f"{CELLS} workers"),
    Measurement("placing", f"{CELLS} placing"),
    Measurement("growth", "python tests/benchmarks/growth.py"),
    Measurement("compare", "python tests/benchmarks/compare.py --cells 100000", (
        Row("`bench report` of 100,000 stored cells", "", "report_seconds", 15, "s"),
        Row("memory of `bench report` of 100,000 stored cells", "", "report_MB", 1000, "MB"),
    )),
    Measurement("long", "python tests/benchmarks/long_run.py --cells 10000", (
        Row("parent of a run of 10,000 cells, a process each", "", "end, peak MB", 80, "MB"),
    )),
    Measurement("long-shared", "python tests/benchmarks/long_run.py --cells 10000 --profile quick --plan 10", (
        Row("parent of a run of 10,000 cells, one process for all", "", "end, peak MB", 80, "MB"),
    )),
    Measurement("page", "python tests/benchmarks/page.py", (
        Row("page of 5,000 cells, to its first table", "", "first_table", 1, "s"),
    )),
    Measurement("port", "python tests/benchmarks/port.py", (
        Row("`bench port`, a pair with 10 million parameters", "", "seconds", 60, "s"),
    )),
    Measurement("data", "python tests/benchmarks/data.py", (
        Row("tokenising and padding 25,000 reviews", "Keras's `Tokenizer`", "tokenise", 0.25),
        Row("GloVe 50d text into a matrix", "the document's own loop", "vectors", 0.12),
        Row("anything prepared before", "", "opening", 50, "ms"),
    )),
    Measurement(
        "loops",
        f"python tests/benchmarks/recurrence.py --threads 1 --clock cpu {' '.join(SHAPES)}",
        tuple(
            Row(f"torch generic recurrence, `{shape}`", "the naive `z[:, t]` loop", f"{shape} ours / naive", 0.35)
            for shape in SHAPES
        ),
    ),
    *(
        Measurement(
            f"start-{name}", f"{OVERHEAD} start --backend {name} --case word-embeddings/glove-200 --seeds 4 --rounds 1"
        )
        for name in START
    ),
    Measurement("epoch-torch", f"{OVERHEAD} epoch --backend torch --processes 6 --rounds 5", (
        Row(f"{EPOCH}, torch", "ten lines of torch", "ours", 1.02),
    )),
    Measurement(
        "epoch-keras", f"{OVERHEAD} epoch --backend keras-tensorflow --no-waits --processes 6 --rounds 4", (
        Row(f"{EPOCH}, keras-tensorflow", "`fit`", "ours", 1.02),
    )),
    Measurement("cell-torch", f"{OVERHEAD} cell --backend torch --rounds 2", (
        Row(f"{CELL}, torch", SCRIPT, "ratio", 1.05),
    )),
    Measurement("cell-keras", f"{OVERHEAD} cell --backend keras-tensorflow --rounds 2", (
        Row(f"{CELL}, keras-tensorflow", SCRIPT, "ratio", 1.05),
    )),
    Measurement("jobs", f"{OVERHEAD} jobs --seeds 1 --rounds 1 --scripts", (
        Row(SIDE_BY_SIDE, "one after another", "to one after another, 1 thread", 0.6),
        Row(SIDE_BY_SIDE, "the documents' scripts, one after another", "to scripts one after another", 0.5),
    )),
    Measurement("first", "nox -s bench", (
        Row("the first command, `nox -s bench`, after the installation", "", "seconds", 300, "s"),
    )),
    Measurement("parity", "bench parity --out reports/cpu-2core", (
        Row("parity of every case", "", "seconds", 600, "s"),
    )),
)  # fmt: skip


def main() -> None:
    """Measure what is asked for, or is not there yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(each.name for each in MEASUREMENTS))
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {each.name for each in MEASUREMENTS}:
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}; see --help")
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for each in MEASUREMENTS if not arguments.write else ():
        if each.name in arguments.names or (not arguments.names and each.name not in found):
            print(f"{each.name}: {each.command}", file=sys.stderr, flush=True)
            measured = measure(each.command)
            if measured:
                found[each.name] = measured
            machine = fingerprint(cores())
            found["machine"] = {name: machine[name] for name in ("cpu", "cores", "os", "python", "packages")}
            REPORT.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write(REPORT, MEASUREMENTS, found)


def measure(command: str) -> dict[str, Any] | None:
    """Run a command and return its figures, and how the machine was; None where it failed."""
    words = command.split()
    programs = {"python": [sys.executable], "bench": [sys.executable, "-m", "bench"]}
    program = programs.get(words[0]) or [shutil.which(words[0]) or words[0]]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    before, load = noise(cores()).spread, os.getloadavg()[0]
    began, start = datetime.datetime.now(datetime.UTC), time.perf_counter()
    try:
        ended = subprocess.run([*program, *words[1:]], env=environment, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError as error:
        print(f"not measured: {error}", file=sys.stderr)
        return None
    seconds = time.perf_counter() - start
    sys.stderr.write(ended.stdout)
    if ended.returncode not in (0, 3):
        print(f"not measured: exit code {ended.returncode}", file=sys.stderr)
        return None
    git = fingerprint(cores())["git"]
    return {
        "command": command,
        "began": began.isoformat(timespec="seconds"),
        "noise": round(before, 3),
        "load": load,
        "commit": git["commit"] if git else None,
        "figures": {"seconds": seconds} | said(ended.stdout),
    }


if __name__ == "__main__":
    main()
