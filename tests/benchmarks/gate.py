"""Measure the gate: how often it is wrong, on simulated processes whose truth is known.

    python tests/benchmarks/gate.py [--suites 1000] [--out reports/gate]

writes `README.md`. A suite is 40 cells, measured as `bench ab` does it: blocks of one pair of every cell, the cells
shuffled, both sides of a pair one right after the other, the order A B, B A, A B. Judged by
`bench.compare.paired.judge_pairs` after 12 pairs and, where a cell is inconclusive, once more after 24. On the same
samples: what the rules of other tools say (`ab_demo`). Everything is drawn from fixed seeds.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal, stats

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench.compare import statistics as ours  # noqa: E402
from bench.compare.paired import judge_pairs  # noqa: E402
from bench.compare.pairs import PairSet  # noqa: E402
from bench.compare.verdicts import DEFAULT_PAIRS, LOOKS, Policy, Verdict, judge_scores  # noqa: E402
from bench.records.metrics import metric  # noqa: E402
from tests.benchmarks.ab_demo import asv_fails, pytest_benchmark_fails, real_samples  # noqa: E402

CELLS = 40
WINDOWS = 10
WINDOW_DEVIATION = 0.005
MARGIN = 0.05
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """What the logarithm of a process's time is made of, beside its cell and side.

    `deviation`: that of a process. Of its variance `shared` is the machine's state, an autoregression from process to
    process with coefficient `memory`; the rest is the process's own. `drift`: how much slower the machine is at the end
    than at the beginning. `spikes`: the share of processes that something else slows down, by 30 % in the median.
    """

    deviation: float
    drift: float = 0.10
    shared: float = 0.5
    memory: float = 0.98
    spikes: float = 0.02


def quiet(deviation: float) -> Noise:
    """Return independent log-normal noise and nothing else."""
    return Noise(deviation, drift=0.0, shared=0.0, memory=0.0, spikes=0.0)


def processes(
    noise: Noise, effects: Floats, pairs: int, random: np.random.Generator, *, in_turn: bool = True
) -> Floats:
    """Return the times (2, cells, pairs) of both sides; `effects` (cells,) are logarithms of true ratios.

    Not `in_turn`, all processes of the base are measured before those of the candidate.
    """
    cells = len(effects)
    slots = 2 * cells * pairs
    state = signal.lfilter([math.sqrt(1 - noise.memory**2)], [1, -noise.memory], random.normal(size=slots + 500))[500:]
    machine = noise.deviation * math.sqrt(noise.shared) * state + noise.drift * np.arange(slots) / slots
    if in_turn:
        block = np.argsort(random.random((pairs, cells)), axis=1).argsort(
            axis=1
        )  # the place of each cell in each block
        first = 2 * (block + cells * np.arange(pairs)[:, None]).T
        swapped = (np.arange(pairs) + random.integers(2, size=(cells, 1))) % 2
        places = np.stack([first + swapped, first + 1 - swapped])
    else:
        places = np.argsort(random.random((2, pairs, cells)), axis=2).argsort(axis=2)
        places = places.transpose(0, 2, 1) + cells * np.arange(pairs) + cells * pairs * np.arange(2)[:, None, None]
    own = random.normal(0, noise.deviation * math.sqrt(1 - noise.shared), places.shape)
    slowed = np.log1p(0.3 * np.exp(random.normal(0, 0.6, places.shape)))
    spikes = np.where(random.random(places.shape) < noise.spikes, slowed, 0)
    times: Floats = np.exp(machine[places] + own + spikes + np.stack([np.zeros((cells, 1)), effects[:, None]]))
    return 0.05 * times


def judged(times: Floats, policy: Policy) -> list[Verdict]:
    """Return the verdicts on `times` (2, cells, pairs), half of the pairs looked at first."""
    lengths = [times.shape[2] // LOOKS] * times.shape[1]
    verdicts: list[Verdict] = []
    for look in range(1, LOOKS + 1):
        sets = [PairSet(str(cell), "step", *times[:, cell, :n], planned=n) for cell, n in enumerate(lengths)]
        verdicts = judge_pairs(sets, policy, look)
        lengths = [times.shape[2] if one.verdict == "inconclusive" else one.n for one in verdicts]
        if times.shape[2] not in lengths:
            break
    return verdicts


Gate = Callable[[Floats, np.random.Generator], list[str]]
"""What a rule says of each cell of a suite: `regressed`, `same` or another verdict."""


def gate(margin: float = MARGIN, level: float = Policy.level) -> Gate:
    """Return ours."""
    return lambda times, _: [one.verdict for one in judged(times, Policy(margin, level=level))]


def flips_alone(level: float) -> Gate:
    """Return the test without a margin, at one look at all pairs."""

    def judge(times: Floats, _: np.random.Generator) -> list[str]:
        greater, _less = ours.flip_p_values(np.log(times[1] / times[0]))
        return ["regressed" if p <= level else "same" for p in greater]

    return judge


def first_look(times: Floats, _: np.random.Generator) -> list[str]:
    """Return what the gate says of all pairs at its first look."""
    sets = [PairSet(str(cell), "step", *times[:, cell], planned=times.shape[2]) for cell in range(times.shape[1])]
    return [one.verdict for one in judge_pairs(sets, Policy(MARGIN), 1)]


def other(rule: Callable[[Sequence[Floats], Sequence[Floats]], bool], runs: int | None) -> Gate:
    """Return another tool's rule, on windows of `runs` processes of each side (None: of all of the first look)."""

    def judge(times: Floats, random: np.random.Generator) -> list[str]:
        used = times[:, :, : runs or times.shape[2] // LOOKS]
        windows = used[..., None] * np.exp(random.normal(0, WINDOW_DEVIATION, (*used.shape, WINDOWS)))
        return [
            "regressed" if rule(list(base), list(candidate)) else "same"
            for base, candidate in zip(*windows, strict=True)
        ]

    return judge


@dataclass(frozen=True)
class Tally:
    """What a rule said: suites in which a cell without a change was called slower, and verdicts by kind of cell."""

    suites: int
    alarms: int
    unchanged: Counter[str]
    changed: Counter[str]

    @property
    def alarm_rate(self) -> str:
        """Return the share of suites with an alarm and its 95 % upper bound (Clopper and Pearson 1934)."""
        bound = stats.binomtest(self.alarms, self.suites, alternative="less").proportion_ci(0.95).high
        return f"{self.alarms / self.suites:.1%} (≤ {bound:.1%})"

    def share(self, *outcomes: str) -> str:
        """Return the share of changed cells (of unchanged ones where none changed) with one of these verdicts."""
        counts = self.changed or self.unchanged
        return f"{sum(counts[one] for one in outcomes) / counts.total():.1%}"


def tally(
    rule: Gate,
    noise: Noise,
    suites: int,
    slower: float = 0.0,
    *,
    cells: int = 4,
    pairs: int = LOOKS * DEFAULT_PAIRS,
    in_turn: bool = True,
) -> Tally:
    """Return what a rule says of so many suites in which `cells` are `slower` (0.08 is 8 %) and the others unchanged.

    Rules that are asked the same see the same samples.
    """
    effects = np.zeros(CELLS)
    effects[:cells] = math.log1p(slower)
    alarms, unchanged, changed = 0, Counter[str](), Counter[str]()
    for suite in range(suites):
        random = np.random.default_rng([suite, round(1e4 * noise.deviation), round(1e4 * (1 + slower))])
        verdicts = rule(processes(noise, effects, pairs, random, in_turn=in_turn), random)
        split = cells if slower else 0
        changed.update(verdicts[:split])
        unchanged.update(verdicts[split:])
        alarms += "regressed" in verdicts[split:]
    return Tally(suites, alarms, unchanged, changed)


# --- the report --------------------------------------------------------------------------------------------------

HEAD = f"""# The gate, simulated

`python tests/benchmarks/gate.py --suites {{suites}}` wrote this page: how often verdicts are wrong where the truth is
known. The rules: [how environments are judged](../../docs/method-judging.md). Figures of a real machine stand
[at the end](#on-a-real-machine).

A suite has {CELLS} cells. The logarithm of a process's time has a standard deviation, the first column below. Half of
its variance is the machine's state, which changes slowly (autoregressive, 0.98 from process to process). The machine
also becomes 10 % slower from beginning to end, and 2 % of the processes are slowed down by something else, by 30 % in
the median. Both sides of a pair run one right after the other, A B, B A, A B; {DEFAULT_PAIRS} pairs of each cell, and
as many again of those that are inconclusive. Margin {MARGIN:.0%}, family-wise error rate {Policy().level:.0%}.
"""


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, the first column to the left."""
    lines = [headers, ["---", *["--:"] * (len(headers) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def same_code(suites: int) -> str:
    """Return how often the same code on both sides is called different."""
    rows = []
    for noise in [quiet(0.02), *map(Noise, (0.005, 0.01, 0.02, 0.03, 0.05, 0.10))]:
        found = tally(gate(), noise, suites)
        name = f"{noise.deviation:.1%}" + ("" if noise.spikes else ", independent noise alone")
        rows.append([name, found.alarm_rate, *(found.share(one) for one in ("improved", "same", "inconclusive"))])
    return f"""## The same code on both sides

{suites:,} suites each. An alarm is a suite in which any cell is called regressed: at most 1 % is promised.

{table(["deviation", "suites with an alarm (95 % bound)", "cells improved", "same", "inconclusive"], rows)}"""


def the_test_alone(suites: int) -> str:
    """Return how often the flip test finds something in the same code, at a level large enough to be counted."""
    level = 0.05
    conditions = [
        ("independent noise alone", quiet(0.02)),
        ("all of the noise", Noise(0.02)),
        ("one process in five slowed down", Noise(0.02, spikes=0.2)),
    ]
    rules = [
        *(
            (f"{pairs} pairs", flips_alone(level), pairs, 4 * suites)
            for pairs in (9, DEFAULT_PAIRS, LOOKS * DEFAULT_PAIRS)
        ),
        ("two looks, hardly a margin", gate(1e-9, level), LOOKS * DEFAULT_PAIRS, suites),
    ]
    rows = [
        [name, *(tally(rule, noise, number, pairs=pairs).alarm_rate for _, rule, pairs, number in rules)]
        for name, noise in conditions
    ]
    return f"""## The test alone

Most of the alarms that the test leaves are smaller than the margin, so the table above does not show whether the test
itself keeps its level. Here nothing but the test decides, at a family-wise level of {level:.0%}: suites of the same
code in which any of {CELLS} cells is found slower, {4 * suites:,} suites each. Last, {suites:,} suites each, both looks
at half the level, with the cells measured again that are inconclusive, and a margin of the least change that counts,
0.2 %.

{table(["noise", *(title for title, *_ in rules)], rows)}"""


def slowdowns(suites: int) -> str:
    """Return how often a slowdown of the margin and 3 % is found, and what larger and smaller ones are called."""
    rows = []
    for deviation in (0.005, 0.01, 0.02, 0.03, 0.05, 0.10):
        found = tally(gate(), Noise(deviation), suites, MARGIN + 0.03)
        shares = [found.share(*names) for names in (("regressed",), ("inconclusive",), ("same", "improved"))]
        rows.append([f"{deviation:.1%}", *shares, found.alarm_rate])
    sizes = []
    for slower in (-0.08, 0.025, 0.05, 0.08, 0.10, 0.20):
        found = tally(gate(), Noise(0.02), suites, slower)
        shares = [found.share(one) for one in ("regressed", "inconclusive", "same", "improved")]
        sizes.append([f"{slower:+.1%}", *shares])
    return f"""## Slower code

4 of {CELLS} cells {MARGIN + 0.03:.0%} slower, {suites:,} suites each. At a deviation of 2 % and less 95 % are to be
found; at a larger one the verdict is to be inconclusive rather than wrong.

{table(["deviation", "regressed", "inconclusive", "same or improved", "alarms among the other 36"], rows)}

Other changes, at a deviation of 2 %:

{table(["true change", "regressed", "inconclusive", "same", "improved"], sizes)}"""


OTHERS: tuple[tuple[str, Gate], ...] = (
    (f"ours, margin {MARGIN:.0%}", gate()),
    ("ours, margin 10%", gate(0.10)),
    ("pytest-benchmark `median:10%`, one process a side", other(pytest_benchmark_fails, 1)),
    (f"the same, {DEFAULT_PAIRS} processes a side", other(pytest_benchmark_fails, None)),
    ("asv (U test and ratio 1.1), two processes a side", other(asv_fails, 2)),
    (f"the same, {DEFAULT_PAIRS} processes a side", other(asv_fails, None)),
)


def other_tools(suites: int) -> str:
    """Return the errors of both kinds of ours and of other tools' rules, on the same samples."""
    tables = []
    for in_turn in (True, False):
        rows = []
        for title, rule in OTHERS:
            found = [tally(rule, Noise(0.02), suites, slower, in_turn=in_turn) for slower in (0.0, 0.08, 0.13, 0.25)]
            rows.append([title, found[0].alarm_rate, *(one.share("regressed") for one in found[1:])])
        tables.append(table(["rule", "alarms, same code", "found: 8% slower", "13%", "25%"], rows))
    return f"""## What other tools would have said

The rules of pytest-benchmark (`--benchmark-compare-fail=median:10%`) and of asv (Mann-Whitney p < 0.002 and a ratio of
medians above 1.1), as written down in `tests/benchmarks/ab_demo.py`, on the same processes at a deviation of 2 %,
with {WINDOWS} windows of each process; {suites:,} suites each. Alarms are suites of the same code in which a cell is
called slower; the rest is the share of the 4 slower cells that is found. Measured in alternation, which neither tool
does:

{tables[0]}

All of the base measured first, then all of the candidate, as these tools are used; ours is not meant for that:

{tables[1]}"""


def reasons(suites: int) -> str:
    """Return why the recipe of a plain studentised mean, and its number of pairs, were not enough."""
    cutoffs = []
    for name, noise in (("independent noise alone", quiet(0.02)), ("all of the noise", Noise(0.02))):
        found = [tally(gate(), noise, suites, MARGIN + 0.03).share("regressed")]
        kept, ours.CUTOFF = ours.CUTOFF, 1e9
        found.append(tally(gate(), noise, suites, MARGIN + 0.03).share("regressed"))
        ours.CUTOFF = kept
        cutoffs.append([name, *found])
    level, deviation = Policy().level / LOOKS, 0.05
    needed = ours.pairs_to_detect(math.sqrt(2) * deviation, MARGIN, CELLS, level)
    counts = [
        [str(pairs), tally(first_look, quiet(deviation), suites, MARGIN + 0.03, pairs=pairs).share("regressed")]
        for pairs in (18, needed)
    ]
    return f"""## Why the test is as it is

The mean under Tukey's biweight against the plain studentised mean: slowdowns of {MARGIN + 0.03:.0%} found at a
deviation of 2 %. One slow process on the base's side makes the plain mean's deviation so large that nothing is found;
more pairs bring more such processes.

{table(["noise", "biweight", "plain mean"], cutoffs)}

The number of pairs: at a deviation of {deviation:.0%} the estimate exceeds the margin 95 times in 100 with 18 pairs,
but the test over {CELLS} cells asks for {needed} (`bench.compare.statistics.pairs_to_detect`). Found at one look,
independent noise alone:

{table(["pairs", "found"], counts)}"""


def scores(suites: int) -> str:
    """Return how often accuracies are called regressed: by a test of 5 % for each cell, and by ours."""
    rows = []
    for seeds in (5, 10):
        for deviation in (0.5, 1.0):
            row = [f"{seeds} seeds, deviation {deviation:g}"]
            for lower in (0.0, 1.0, 2.0, 5.0):
                random = np.random.default_rng([seeds, round(10 * deviation), round(10 * lower)])
                differences = random.normal(-lower / 100, deviation / 100, (suites, CELLS, seeds))
                called = [each_at_5_percent(differences), over_all_cells(differences)]
                row += [f"{(one.any(axis=1) if lower == 0 else one).mean():.1%}" for one in called]
            rows.append(row)
    headers = [f"{what}, {rule}" for what in ("equal", "1 lower", "2 lower", "5 lower") for rule in ("each", "all")]
    return f"""## Accuracies

Paired differences of seeds, normal, in points; {suites:,} suites of {CELLS} cells. Regressed is what is lower by half a
point or more in the mean, and found so by Student's test: at 5 % for each cell, or, as here, over all cells together.
Of equal sides the share of suites with an alarm, of lower ones the share of cells that is found.

{table(["", *headers], rows)}"""


def each_at_5_percent(differences: Floats) -> NDArray[np.bool_]:
    """Return which cells (suites, cells) a test of their own calls lower; `differences` is (suites, cells, seeds)."""
    lower = stats.ttest_1samp(differences, 0, axis=2, alternative="less").pvalue < 0.05
    margin = metric("accuracy").margin
    assert margin is not None
    return (differences.mean(axis=2) <= -margin) & lower


def over_all_cells(differences: Floats) -> NDArray[np.bool_]:
    """Return which cells (suites, cells) `bench.compare.verdicts.judge_scores` calls regressed."""
    seeds = differences.shape[2]
    described = [Verdict(str(cell), "accuracy", "not judged", n=seeds, planned=seeds) for cell in range(CELLS)]
    found = [
        judge_scores(described, suite.mean(axis=1), suite.std(axis=1, ddof=1), Policy().level / LOOKS)
        for suite in differences
    ]
    return np.array([[one.verdict == "regressed" for one in suite] for suite in found])


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description="Measure the gate on simulated processes.")
    parser.add_argument("--suites", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "gate", help="folder of README.md")
    options = parser.parse_args()
    fewer = max(1, options.suites // 4)
    parts = (slowdowns, other_tools, reasons, scores)
    sections = [same_code(options.suites), the_test_alone(options.suites), *(part(fewer) for part in parts)]
    options.out.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join([HEAD.format(suites=options.suites).strip(), *sections, real_samples(options.out)])
    (options.out / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
