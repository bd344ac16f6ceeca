"""Whether trainings come out equal to the bit: three runs of three cells under every installed backend.

    python tests/benchmarks/determinism.py --store determinism.sqlite

Every run is a process of its own, `bench run CASES --backend B --threads N`, of the quick profile. Compared are all
losses, accuracies and the hash of the weights. It prints one row for every cell: whether the runs of 1 thread are
equal, those of 2, and both. A run that the store holds is not run again, so a measurement that was stopped goes on.
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

CASES = ("text-networks/embedding-300", "text-networks/lstm-16", "movie-reviews/gru")
THREADS = (1, 2)
RUNS = 3


def measure(store: Path, names: list[str]) -> None:
    """Run what the store lacks."""
    done: set[str] = set()
    if store.exists():
        with Store(store) as opened:
            done = {run.name for run in opened.runs() if len(opened.finished(run.name)) == len(CASES)}
    for name in names:
        for threads in THREADS:
            for number in range(RUNS):
                run = f"{name}-{threads}-{number}"
                if run not in done:
                    words = [*CASES, "--backend", name, "--threads", str(threads), "--measure", "accuracy"]
                    command = [sys.executable, "-m", "bench", "run", *words, "--name", run, "--store", str(store)]
                    print(run, file=sys.stderr, flush=True)
                    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def told(records: list[Record]) -> str:
    """Return `equal`, or the first figure that differs and by how much."""
    for other in records[1:]:
        if found := unequal(records[0], other):
            first = found[0]
            if isinstance(first.stored, str) or isinstance(first.again, str):
                return "the weights differ"
            relative = abs(first.again - first.stored) / max(abs(first.stored), 1e-300)
            return f"differ from {first.figure} on, by {relative:.0e}"
    return "equal"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--backend", nargs="*", help="by default every one that is installed")
    options = parser.parse_args()
    names = options.backend or [name for name, info in backends().items() if info.missing() is None]
    measure(options.store, names)
    found: dict[Cell, dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    with Store(options.store) as store:
        for run, environment, record in store.entries():
            if run.rpartition("-")[0].rpartition("-")[0] in names:
                found[record.cell][environment["threads"]].append(record)
    rows = []
    for cell, by_threads in sorted(found.items(), key=lambda item: (CASES.index(item[0].case_name), item[0].backend)):
        one, two = (by_threads[threads] for threads in THREADS)
        rows.append([cell.case_name, cell.backend, cell.kernel, told(one), told(two), told([one[0], two[0]])])
    heads = ["case", "backend", "kernel", "1 thread", "2 threads", "1 against 2 threads"]
    print(tabulate(rows, heads, tablefmt="pipe"))


if __name__ == "__main__":
    main()
