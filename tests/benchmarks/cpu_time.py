"""What CPU time says of a slower step beside other work, and what wall time says of the same processes.

    python tests/benchmarks/cpu_time.py [--repeats 12] [--beside 1] [--cell CELL] [--store FILE]

runs `bench ab` of this checkout against a copy whose torch step computes a tenth longer, on one thread, beside programs
that never wait, and prints a table. Unlike that of `ab_demo` the pause is a share of the thread's CPU time, so that the
planted slowdown is the same by both clocks, whatever else runs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.compare.pairs import pair_sets
from bench.compare.verdicts import DEFAULT_PAIRS
from bench.records.store import Store
from tests.benchmarks import ab_demo
from tests.benchmarks.estimators import beside, table

METRICS = ("step", "cpu_step")


def rows(store: Path, out: Path) -> list[list[str]]:
    """Return a row for each metric of each cell: what its pairs are like, and the verdict that `bench ab` gave."""
    with Store(store) as opened:
        sides = [list(opened.records(f"demo-{side}")) for side in ("base", "candidate")]
    pairs = {(pair.cell, pair.quantity): pair for pair in pair_sets(*sides)}
    found = []
    for quantity in METRICS:
        for verdict in ab_demo.verdicts_on(quantity, out):
            change, low, high = (f"{np.expm1(verdict[name]):+.1%}" for name in ("effect", "low", "high"))
            counts = f"{verdict['n']} of {verdict['planned']}"
            spread = f"{pairs[verdict['cell'], quantity].logarithms.std(ddof=1):.1%}"
            found.append([f"`{quantity}`", counts, change, f"{low} to {high}", spread, verdict["verdict"]])
    return found


@click.command()
@click.option("--repeats", type=int, default=DEFAULT_PAIRS, show_default=True)
@click.option("--beside", "busy", type=int, default=1, show_default=True)
@click.option("--cell", default="word-embeddings/embedding-conv1d@torch", show_default=True)
@click.option("--store", type=click.Path(path_type=Path))
def main(repeats: int, busy: int, cell: str, store: Path | None) -> None:
    """Compare this checkout with a slower copy of it, and print what both clocks say."""
    with tempfile.TemporaryDirectory() as folder, beside(busy):
        store = store or Path(folder) / "store.sqlite"
        out, copy = Path(folder) / "out", Path(folder) / "copy"
        slower = ["--candidate-path", str(ab_demo.slow_copy(copy, "thread_time")), "--base-path", str(ab_demo.ROOT)]
        ab_demo.compare("demo", store, out, cell, *slower, "--repeats", str(repeats), "--threads", "1")
        print(f"{cell}, beside {busy}; load average: {os.getloadavg()[1]:.1f} (5 min)\n")
        print(table(["metric", "pairs", "change", "95 % CI", "sd of a pair", "verdict"], rows(store, out)))


if __name__ == "__main__":
    main()
