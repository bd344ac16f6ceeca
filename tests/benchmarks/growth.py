"""What 10, 1,000 and 100,000 cells take to be planned, found finished by `--resume`, and reported; and their store.

    python tests/benchmarks/growth.py [--cells 10 1000 100000]

Cells of up to 50 cases on torch, whose results are made up: nothing is trained. Each command is a process of its own,
its seconds are from its start to its end and its MB the most that it held, as `getrusage(2)` says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.cases.catalog import load
from bench.records.store import Store
from bench.runner.options import RunOptions
from tests.benchmarks.compare import measure, multiply
from tests.benchmarks.figures import say
from tests.benchmarks.long_run import CASES, SUITE, made_up
from tests.making import ENVIRONMENT


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[10, 1000, 100_000])
    for cells in parser.parse_args().cells:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            store, suite = folder / "results.sqlite", folder / "stubs.py"
            cases = min(CASES, cells)
            suite.write_text(SUITE.replace(f"range({CASES})", f"range({cases})"))
            options = fill(store, suite, cells // cases)
            found = {"store_MB": store.stat().st_size / 1e6}
            commands = {
                "plan": ["run", *options.words(), "--dry-run"],
                "resume": ["run", "--resume", "grown"],
                "report": ["report", "grown", f"--suites={suite}", f"--out={folder}/report"],
            }
            print(f"{cells:,} cells, a store of {found['store_MB']:,.2f} MB")
            for what, words in commands.items():
                found[f"{what}_seconds"], found[f"{what}_MB"] = measure(*words, f"--store={store}")
            say(**{f"{what} {cells}": value for what, value in found.items()})


def fill(store: Path, suite: Path, seeds: int) -> RunOptions:
    """Write a store whose run has all cells of a suite, and return the run's options."""
    options = RunOptions(
        ("stubs",), "documented", ("torch",), seeds=seeds, measure="accuracy", threads=2, suites=(str(suite),)
    )
    declared = load([suite]).suites["stubs"]
    with Store(store, create=True) as opened:
        opened.create_run("grown", "documented", ENVIRONMENT, ["bench", "run", *options.words()], options.kept())
        for case in declared.cases:
            opened.add("grown", made_up(declared, case, "torch", "documented"), ENVIRONMENT)
    multiply(store, seeds, seeds)
    return options


if __name__ == "__main__":
    main()
