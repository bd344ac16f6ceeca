"""How long 100,000 stored cells take to be compared and to be reported, and how much memory.

    python tests/benchmarks/compare.py [--cells 100000]

Half of the cells are the base's, half the candidate's: every case under four backends, two kernels and three kinds of
numerics, five seeds, and as many repeats as it takes; each with curves of ten epochs, windows and latencies. Prints the
seconds and the peak memory of `bench compare` and `bench report`, each in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.cases.catalog import load
from bench.records.record import Timing
from bench.records.store import Store
from tests.benchmarks.figures import say
from tests.making import ENVIRONMENT, make_record

SEEDS = 5
VARIANTS = [
    f"{backend},{kernel},cpu,{numerics}"
    for backend in ("keras-tensorflow", "keras-jax", "keras-torch", "torch")
    for kernel in ("generic", "fused")
    for numerics in ("documented", "matched", "native")
]
TIMING = Timing(
    build=0.1,
    first_epoch=2.0,
    epochs=[1 + epoch / 100 for epoch in range(9)],
    steps=100,
    total=12.0,
    alone=True,
    compile=0.5,
    windows=[(10 * wide, 0.1 * wide + pair / 1000) for pair in range(10) for wide in (1, 2)],
    step=0.01,
    latency=[0.001 + window / 1e6 for window in range(50)],
    throughput=5000.0,
)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    cells: int = parser.parse_args().cells
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "results.sqlite"
        count = fill(store, cells)
        print(f"{count:,} cells, {store.stat().st_size / 1e6:,.0f} MB")
        compared = measure("compare", "base", "candidate", "--store", str(store), "--out", f"{folder}/compared")
        reported = measure("report", "base", "candidate", "--store", str(store), "--out", f"{folder}/report")
        say(compare_seconds=compared[0], compare_MB=compared[1], report_seconds=reported[0], report_MB=reported[1])


def fill(path: Path, cells: int) -> int:
    """Write a store of about so many cells and return their number."""
    names = [
        f"{suite.name}/{case.name}@{variant}#0"
        for suite in load().suites.values()
        for case in suite.cases
        for variant in VARIANTS
    ]
    copies = max(1, round(cells / 2 / len(names)))
    options = {"patterns": [], "seeds": SEEDS, "repeats": -(-copies // SEEDS)}
    with Store(path, create=True) as store:
        for run in ("base", "candidate"):
            store.create_run(run, "documented", ENVIRONMENT, ["bench", "run"], options)
        for name in names:
            record = make_record(
                name,
                test=0.8,
                val=[0.5 + epoch / 30 for epoch in range(10)],
                counts=(10_000, 500, 33),
                timing=TIMING,
                memory={"host_peak_bytes": 5e8},
            )
            store.add("base", record, ENVIRONMENT)
    multiply(path, copies)
    with sqlite3.connect(path) as database:
        return int(database.execute("SELECT count(*) FROM cell").fetchone()[0])


def multiply(path: Path, copies: int, seeds: int = SEEDS) -> None:
    """Give each cell of the first run `copies`, `seeds` times repeats, whose times vary; other runs get all of them."""
    with closing(sqlite3.connect(path)) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(cell)")]
        noise = "(1 + (abs(random()) % 1000 - 500) / 25000.0)"
        varied = ("step", "epoch", "latency", "throughput", "compile", "host_memory")
        made = {name: f'"{name}" * {noise}' for name in varied}
        made |= {"id": "NULL", "run": "r.id", "seed": f"n % {seeds}", "repeat": f"n / {seeds}"}
        made |= {name: f'"{name}" - (n % {seeds}) / 100.0' for name in ("accuracy", "loss")}
        made["record"] = f"json_set(record, '$.seed', n % {seeds}, '$.repeat', n / {seeds})"
        names = ", ".join(f'"{name}"' for name in columns)
        values = ", ".join(made.get(name, f'cell."{name}"') for name in columns)
        database.execute("CREATE TEMP TABLE first AS SELECT * FROM cell")
        database.execute(
            f"WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < {copies}) "
            f"INSERT OR IGNORE INTO cell ({names}) SELECT {values.replace('cell.', 'first.')} "
            "FROM first, number, (SELECT id FROM run) r"
        )
        database.execute(
            'INSERT OR IGNORE INTO sample SELECT cell.id, s.name, s."values" FROM cell JOIN first USING '
            '(suite, "case", backend, kernel, numerics) JOIN sample s ON s.cell = first.id'
        )


def measure(*arguments: str) -> tuple[float, float]:
    """Run `bench`; print and return its seconds and the MB of its peak memory."""
    start = time.perf_counter()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "bench", *arguments],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_DUP2, 1, 2)],
    )
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - start
    code = os.waitstatus_to_exitcode(status)
    busy = usage.ru_utime + usage.ru_stime
    print(
        f"bench {arguments[0]}: {seconds:.1f} s ({busy:.1f} s busy), {usage.ru_maxrss / 1024:,.0f} MB, exit code {code}"
    )
    return seconds, usage.ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
