"""`python -m tests.faults --cells 2000 --seed 0`: counts what faults cost, as a table in Markdown."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.soak import Soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s soak --", description=__doc__)
    parser.add_argument("--cells", type=int, default=2000, help="cells of the stub")
    parser.add_argument("--faults", type=float, default=0.05, help="share of them that misbehave once")
    parser.add_argument("--outside", type=int, default=100, help="faults from outside: signals, locks, other commands")
    parser.add_argument("--timeout", type=float, default=10, help="seconds of a cell")
    parser.add_argument("--seed", type=int, default=0, help="draws which, and when")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="soak-") as folder:
        began = time.monotonic()
        soak = Soak(
            Path(folder), asked.cells, round(asked.faults * asked.cells), asked.outside, asked.seed, asked.timeout
        )
        soak.run()
        flat, minutes = soak.flat(), (time.monotonic() - began) / 60
    print(f"{soak.table()}\n")
    print(f"{len(soak.losses):,} cells in {soak.rounds} processes and {minutes:.0f} min.", end=" ")
    print(f"In the longest, of {flat['cells']:,.0f} cells, {flat['descriptors']:+.0f} descriptors and", end=" ")
    print(f"{flat['grown']:+.1f} MB from its first third to its last, {flat['megabytes']:.0f} MB at most.")
    problems = [*soak.problems, *(each for tally in soak.tallies.values() for each in tally.other)]
    for problem in problems:
        print(problem, file=sys.stderr)
    counted = sum(tally.lost + tally.twice + tally.wrong + tally.orphans for tally in soak.tallies.values())
    return 1 if problems or counted or flat["descriptors"] > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
