"""Put the gate to the test on this machine: this code against itself, and against itself with a pause in its step.

`python tests/benchmarks/ab_demo.py` measures both (about 23 minutes on two quiet cores), writes the comparisons into
reports/gate/aa and reports/gate/ab, and, from the same samples, what pytest-benchmark and asv would have said into
reports/gate/real.md, to which the page beside it then leads. Nothing in the package knows of it: the slow step is in a
copy of the checkout.

- pytest-benchmark compares one run with one run: `--benchmark-compare-fail=median:10%` fails where the median is more
  than 10 % above that of the earlier run (pytest_benchmark/utils.py, `PercentageRegressionCheck`, at 5.3).
- asv compares one run, of two processes by default, with one run: slower are medians whose ratio is above 1.1, where
  Mann-Whitney's U test says p < 0.002 (asv/commands/compare.py; asv/statistics.py, `is_different`).
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from bench.compare.statistics import SMALLEST_NOISE
from bench.compare.verdicts import DEFAULT_PAIRS
from bench.machine.fingerprint import cores, fingerprint
from bench.records.record import Record
from bench.records.store import Store

ROOT = Path(__file__).resolve().parent.parent.parent
CELLS = ("text-networks/lstm-16@torch", "word-embeddings/embedding-conv1d@torch")
PAUSE = 0.10
"""Of a training step, spent in a loop: a sleep lasts longer than asked for, by 0.1 ms and more."""
PATCH = f"""

# --- a slow step, for a demonstration only ---
import time

_step_as_it_was = TorchNetwork._step


def _slow_step(self, *arguments):
    start = time.perf_counter()
    result = _step_as_it_was(self, *arguments)
    end = start + {1 + PAUSE} * (time.perf_counter() - start)
    while time.perf_counter() < end:
        pass
    return result


TorchNetwork._step = _slow_step
"""

Samples = NDArray[np.float64]
Rule = Callable[[Sequence[Samples], Sequence[Samples]], bool]
"""Whether the candidate is called slower than the base: seconds per step, an array from each process of a run."""


def pytest_benchmark_fails(base: Sequence[Samples], candidate: Sequence[Samples]) -> bool:
    """Return whether the median of all samples has risen by more than 10 %."""
    return bool(np.median(np.concatenate(candidate)) > 1.10 * np.median(np.concatenate(base)))


def asv_fails(base: Sequence[Samples], candidate: Sequence[Samples]) -> bool:
    """Return whether the median has risen by a factor of more than 1.1 and Mann-Whitney's U test says p < 0.002."""
    one, other = np.concatenate(base), np.concatenate(candidate)
    ratio = float(np.median(other) / np.median(one))
    return ratio > 1.1 and float(mannwhitneyu(one, other).pvalue) < 0.002


def samples(record: Record) -> Samples:
    """Return the seconds per step of each window of one process."""
    assert record.timing
    return np.array([seconds / steps for steps, seconds in record.timing.windows])


def alarms(rule: Rule, base: Sequence[Samples], candidate: Sequence[Samples], processes: int) -> tuple[int, int]:
    """Return how many runs of so many processes a rule calls slower, and how many runs there are."""
    starts = range(0, len(base) - processes + 1, processes)
    called = [rule(base[at : at + processes], candidate[at : at + processes]) for at in starts]
    return sum(called), len(called)


def slow_copy(folder: Path, clock: str = "perf_counter") -> Path:
    """Copy what is measured of this checkout into `folder`, a pause in its torch step, by that clock of `time`."""
    for name in ("bench", "suites"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "bench" / "backends" / "torch" / "network.py").open("a") as module:
        module.write(PATCH.replace("perf_counter", clock))
    return folder


def compare(name: str, store: Path, out: Path, *arguments: str) -> None:
    """Run `bench ab` of this checkout and leave its reports in `out`; a regression is no error here."""
    words = [sys.executable, "-m", "bench", "ab", "--name", name, "--store", str(store), "--out", str(out), *arguments]
    ended = subprocess.run([*words, "--measure", "timing"], cwd=ROOT)
    if ended.returncode not in (0, 1):
        sys.exit(ended.returncode)


def sides(store: Path, name: str) -> dict[str, tuple[list[Samples], list[Samples]]]:
    """Return the samples of base and candidate, a process after the other, by cell."""
    found: dict[str, tuple[list[Samples], list[Samples]]] = {}
    with Store(store) as opened:
        for place, side in enumerate(("base", "candidate")):
            for record in sorted(opened.records(f"{name}-{side}"), key=lambda one: one.repeat):
                if record.status == "ok":
                    found.setdefault(record.cell.configuration, ([], []))[place].append(samples(record))
    return found


def table(store: Path, verdicts: dict[str, list[str]]) -> str:
    """Return as Markdown how often each rule was wrong about the training step; `verdicts` are ours, by comparison."""
    measured = {name: list(sides(store, name).values()) for name in ("aa", "ab")}
    rules: list[tuple[str, Rule, int | None]] = [
        ("pytest-benchmark, `median:10%`: one process a run", pytest_benchmark_fails, 1),
        ("the same, all processes as one run", pytest_benchmark_fails, None),
        ("asv, ratio 1.1 and U test: two processes a run", asv_fails, 2),
        ("the same, all processes as one run", asv_fails, None),
    ]
    ours = {name: (one.count("regressed"), len(one)) for name, one in verdicts.items()}
    rows = [("`bench ab`: one verdict a cell", ours)]
    for title, rule, processes in rules:
        called = {}
        for name, cells in measured.items():
            counts = [alarms(rule, base, other, processes or len(base)) for base, other in cells]
            called[name] = (sum(count for count, _ in counts), sum(runs for _, runs in counts))
        rows.append((title, called))
    lines = ["| rule | false alarms, A against A | missed, A against B |", "|---|--:|--:|"]
    for title, called in rows:
        (false, same), (found, slower) = called["aa"], called["ab"]
        lines.append(f"| {title} | {false} of {same} | {slower - found} of {slower} |")
    return "\n".join(lines) + "\n"


REAL = "## On a real machine"


def real_samples(out: Path) -> str:
    """Return the section of the page in `out` on what this script measured there."""
    if not (out / "real.md").exists():
        return f"{REAL}\n\nNot run: `python tests/benchmarks/ab_demo.py` would measure it.\n"
    return (
        f"{REAL}\n\n[This code against itself and against a slower copy](real.md), with the whole comparisons: "
        "[A against A](aa/compare.md),\n[A against B](ab/compare.md).\n"
    )


def verdicts_on(quantity: str, folder: Path) -> list[dict[str, Any]]:
    """Return our verdicts on a quantity that a comparison left in `folder`."""
    found = json.loads((folder / "compare.json").read_text())["verdicts"]
    return [one for one in found if one["quantity"] == quantity]


def report(out: Path, store: Path, threads: int) -> str:
    """Return the page on what both comparisons found."""
    machine = fingerprint(threads)
    versions = ", ".join(
        f"{name} {version}" for name, version in machine["packages"].items() if name in ("torch", "numpy")
    )
    verdicts = {name: verdicts_on("step", out / name) for name in ("aa", "ab")}
    slower = "\n".join(f"- `{one['cell']}`: {math.expm1(one['effect']):+.1%}" for one in verdicts["ab"])
    return f"""# The gate on real samples

This code against itself (A against A) and against a copy that pauses in every training step for a tenth of the time
that the step took (A against B), measured in turn by `python tests/benchmarks/ab_demo.py`.
{machine["cpu"]}, {machine["cores"]} cores, {threads} threads, {versions}.
The whole comparisons: [A against A](aa/compare.md), [A against B](ab/compare.md).

The copy's steps are slower by:

{slower}

Beside our verdicts on the training step stands what the rules of two common tools say of the very same samples. They
draw their line at 10 %; what they make of other slowdowns, and of a noisier machine, is [simulated](README.md).

{table(store, {name: [one["verdict"] for one in found] for name, found in verdicts.items()})}
A run of pytest-benchmark is one process of one side against one of the other, of asv two against two.
"""


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=ROOT / "reports" / "gate")
@click.option("--store", type=click.Path(path_type=Path), default=ROOT / ".twinbench" / "gate.sqlite")
@click.option("--repeats", type=int, default=DEFAULT_PAIRS, show_default=True)
@click.option("--threads", type=int, default=cores(), show_default=True)
@click.option("--cell", "cells", multiple=True, default=CELLS, show_default=True)
def main(out: Path, store: Path, repeats: int, threads: int, cells: tuple[str, ...]) -> None:
    """Measure A against A and A against B, then write what every rule says of them."""
    if store.exists():
        sys.exit(f"{store} is there from an earlier time; remove it, as both comparisons are to be of one session")
    common = (*cells, "--repeats", str(repeats), "--threads", str(threads))
    noise = math.ceil(SMALLEST_NOISE / len(cells))
    compare("aa", store, out / "aa", "--noise", *common, "--repeats", str(max(repeats, noise)))
    with tempfile.TemporaryDirectory() as folder:
        compare(
            "ab", store, out / "ab", "--candidate-path", str(slow_copy(Path(folder))), "--base-path", str(ROOT), *common
        )
    text = report(out, store, threads)
    (out / "real.md").write_text(text, encoding="utf-8")
    page = out / "README.md"
    if page.exists():
        simulated, _, _ = page.read_text(encoding="utf-8").partition(REAL)
        page.write_text(simulated + real_samples(out), encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    main()
