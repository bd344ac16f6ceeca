"""Whether trainings come out equal to the bit: three runs of three cells under every installed backend.

    python tests/benchmarks/determinism.py --store determinism.sqlite

Each of the runs, three of 1 thread and three of 2, has a process of its own for every backend. Compared are all losses,
accuracies and the hash of the weights, as `bench run --again` does. Prints a row for each cell: whether the runs of 1
thread are equal, those of 2, and those of 1 and 2. It may be stopped: what the store holds is not run again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench.backends.registry import backends  # noqa: E402
from bench.cases.cell import Cell  # noqa: E402
from bench.records.record import Record  # noqa: E402
from bench.records.store import Store  # noqa: E402
from bench.runner.again import unequal  # noqa: E402

SUITE = Path(__file__).with_name("determinism_suite.py")
THREADS = (1, 2)
RUNS = 3


def measure(store: Path, threads: int, number: int) -> None:
    """Run what the store lacks of one run."""
    name, known = f"{threads}-{number}", []
    if store.exists():
        with Store(store) as opened:
            known = [run.name for run in opened.runs()]
    words = ["determinism/*", "--measure", "accuracy", "--threads", str(threads), "--suites", str(SUITE)]
    words += [f"--backend={found}" for found, info in backends().items() if info.missing() is None]
    words += ["--resume" if name in known else "--name", name, "--store", str(store)]
    subprocess.run([sys.executable, "-m", "bench", "run", *words], check=True, cwd=ROOT)


def told(records: list[Record]) -> str:
    """Return `equal`, or the first figure that differs from that of the first record."""
    for other in records[1:]:
        for found in unequal(records[0], other):
            if isinstance(found.stored, str) or isinstance(found.again, str):
                return "weights differ"
            return f"{found.figure} differs by {abs(found.again - found.stored):.0e}"
    return "equal" if len(records) > 1 else "not measured"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    store: Path = parser.parse_args().store.resolve()
    for number in range(RUNS):
        for threads in THREADS:
            measure(store, threads, number)
    found: dict[Cell, dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    with Store(store) as opened:
        for _, environment, record in opened.entries():
            found[record.cell][environment["threads"]].append(record)
    rows = [
        [cell.case, cell.backend, cell.kernel, *(told(by_threads[number]) for number in THREADS), _across(by_threads)]
        for cell, by_threads in sorted(found.items())
    ]
    print(tabulate(rows, ["case", "backend", "kernel", "1 thread", "2 threads", "1 and 2 threads"], tablefmt="pipe"))


def _across(by_threads: dict[int, list[Record]]) -> str:
    return told([records[0] for records in (by_threads[number] for number in THREADS) if records])


if __name__ == "__main__":
    main()
