"""Speed: a training step of every case under every backend, and which backend is the fastest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import get_args

from bench.machine.noise import on_spread
from bench.records.metrics import METRICS
from bench.report.frames import NATIVE, CaseRow, grouped, once, reference_order
from bench.report.markdown import markdown_table, plain
from bench.report.numbers import NOTHING, times
from bench.report.results import Results, Variant
from bench.report.sentences import count, listed
from bench.report.speedups import (
    COMMAND,
    FLUSHED,
    LEAST,
    NOISY,
    TIMING,
    Outcome,
    SpeedUp,
    StepTime,
    best_kernels,
    rank,
    step_times,
)
from bench.report.topic import Answer, Table, Topic


@dataclass(frozen=True)
class Line(CaseRow):
    """The step times of a case by column, on one device and under one numerics, `FLUSHED` beside native ones.

    In a line of `own_loop` the torch backends run recurrent layers of ours, in the others those of their framework.
    """

    device: str
    own_loop: bool
    times: Mapping[str, StepTime]

    @property
    def label(self) -> str:
        """Return the name of the line."""
        return self.name + ", our own loop" * self.own_loop + ("" if self.device == "cpu" else f", {self.device}")

    @property
    def numerics(self) -> str:
        """Return the numerics of the line."""
        return min((timed.variant.numerics for timed in self.times.values()), key=rank)

    @property
    def is_ranked(self) -> bool:
        """Return whether two backends at least have intervals, one with its framework's layers."""
        ranked = [timed for timed in self.times.values() if timed.interval]
        return len({timed.variant.backend for timed in ranked}) > 1 and not all(timed.own_loop for timed in ranked)

    @property
    def fastest(self) -> str | None:
        """Return the column whose interval lies below those of all other backends, the plain one of a backend first."""
        for column, timed in sorted(self.times.items(), key=lambda item: rank(item[1].variant.numerics)):
            others = [other for other in self.times.values() if other.variant.backend != timed.variant.backend]
            if others and all(_lies_below(timed, other) for other in others):
                return column
        return None


def _lies_below(timed: StepTime, other: StepTime) -> bool:
    return timed.interval is not None and other.interval is not None and timed.interval[1] < other.interval[0]


@once
def lines(results: Results) -> tuple[Line, ...]:
    """Return the lines of the table: one a case and device, and another one where a loop of ours is the best kernel.

    Of several numerics the first of `ORDER` with `LEAST` processes stands for a case; loops of ours under those share
    its line. Where any line has figures that may be ranked, those without are left to timing.md.
    """
    found: list[Line] = []
    for (suite, case, device), members in grouped(
        step_times(results), lambda timed: (timed.suite, timed.case, timed.variant.device)
    ).items():
        best = best_kernels(members)
        main, ours = (_of_one_numerics([timed for timed in best if timed.own_loop is own]) for own in (False, True))
        if ours and len({timed.variant.numerics for timed in (*main, *ours)}) == 1:
            main, ours = [], [*main, *ours]
        for own_loop, chosen in ((False, main), (True, ours)):
            if chosen:
                times = {timed.variant.backend if own_loop else timed.column: timed for timed in chosen}
                found.append(Line(suite, case, device, own_loop, times))
    ranked = [line for line in found if any(timed.interval for timed in line.times.values())]
    return tuple(ranked or found)


def _of_one_numerics(found: Sequence[StepTime]) -> list[StepTime]:
    """Return the times under the numerics that stand for them, and those of `FLUSHED` beside native ones."""
    enough = [timed for timed in found if timed.n >= LEAST] or found
    chosen = min((timed.variant.numerics for timed in enough), key=rank, default=NATIVE)
    kept = (chosen, FLUSHED) if chosen == NATIVE else (chosen,)
    return [timed for timed in found if timed.variant.numerics in kept]


@once
def frame(results: Results) -> tuple[SpeedUp, ...]:
    """Return training speed relative to the reference, where both are ranked: one reference for all lines."""
    ranked = [[timed for timed in line.times.values() if timed.interval] for line in lines(results)]
    firsts = [min((timed.variant.backend for timed in found), key=_place) for found in ranked if found]
    references = Counter(backend for backend in firsts if reference_order(backend) is not None).most_common(1)
    rows = []
    for found in ranked:
        bases = [timed for timed in found for reference, _ in references if timed.variant.backend == reference]
        rows += [SpeedUp.of(base, timed) for base in bases[:1] for timed in found if timed is not base]
    return tuple(rows)


RUNS = ("runs", "README.md#runs")


def answer(results: Results) -> Answer:
    """Return the fastest backend by case, as far as intervals tell, and every step time with its interval."""
    shown = lines(results)
    if not shown:
        return Answer(f"Not timed: `bench run CASE {COMMAND}` times training steps.")
    ranked = [line for line in shown if line.is_ranked]
    columns = sorted({column for line in shown for column in line.times}, key=_place)
    gains = {(gain.name, gain.variant): gain for gain in frame(results)}
    relative = f"x {next(iter(gains.values())).reference.variant.backend}" if gains else ""
    ends = ["fastest", *([relative] if gains else [])] if ranked else []
    headers = ("ms per step", *columns, *ends)
    rows = []
    for line in shown:
        figures = (_figure(line.times.get(column)) for column in columns)
        rows.append((line.label, *figures, *_winner(line, gains)[: len(ends)]))
    left = (0, headers.index("fastest")) if ranked else (0,)
    notes = (*_how(shown, bool(ranked), relative), *_denormals(shown), *_made(results, shown, bool(ranked)))
    return Answer(_conclusion(shown, ranked), Table(headers, tuple(rows), left), (TIMING, RUNS), notes)


def _winner(line: Line, gains: Mapping[tuple[str, Variant], SpeedUp]) -> tuple[str, str]:
    """Return the fastest column of a line, and its speed relative to the reference with the 95 % interval."""
    if line.fastest is None or not line.is_ranked:
        return "unclear" if line.is_ranked else NOTHING, NOTHING
    gain = gains.get((line.name, line.times[line.fastest].variant))
    factor = f"{times(gain.factor)} ({times(gain.low)}–{times(gain.high)})" if gain else NOTHING
    return line.fastest, factor


def _place(column: str) -> tuple[bool, int, str]:
    """Return a key that puts the columns of backends in the order of their references, then the others."""
    order = reference_order(column.split(" ")[0])
    return order is None, order or 0, column


def _figure(timed: StepTime | None) -> str:
    """Return `133 ±5`, in milliseconds, without an interval where there is none."""
    if timed is None:
        return NOTHING
    found = timed.estimate
    if found is None:
        return NOISY
    return METRICS["step"].figure(1000 * found.mean, 1000 * found.ci_half_width if timed.interval else None)


def _times(shown: Iterable[Line]) -> list[StepTime]:
    return [timed for line in shown for timed in line.times.values()]


def _conclusion(shown: Sequence[Line], ranked: Sequence[Line]) -> str:
    if not ranked:
        names = {timed.variant.backend for timed in _times(shown)}
        if len(names) == 1:
            return f"Only {names.pop()} was timed."
        few = max(timed.n for timed in _times(shown)) < LEAST
        return f"Not ranked: {_processes(shown)} each." if few else "Too noisy to rank the backends."
    wins = Counter(line.fastest for line in ranked if line.fastest)
    first = wins.most_common(2)
    counts = dict(first) | {
        "others": wins.total() - sum(won for _, won in first),
        "unclear": len(ranked) - wins.total(),
    }
    helped = sum(gain.outcome == "faster" for gain in _flushed(ranked))
    flushed = f" Flushing denormals helps in {helped}." if helped else ""
    if not wins:
        return f"Unclear in {count(len(ranked), 'case')}: no interval lies below all others.{flushed}"
    named = ", ".join(f"{name} {number}" for name, number in counts.items() if number)
    return f"Fastest in {count(len(ranked), 'case')}: {named}.{flushed}"


def _processes(shown: Iterable[Line]) -> str:
    numbers = sorted({timed.n for timed in _times(shown)})
    text = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"{text} process{'' if numbers[-1] == 1 else 'es'}"


def _how(shown: Sequence[Line], ranked: bool, relative: str) -> list[str]:
    """Return on what the figures rest: processes, kernels, the machine's noise; `relative` heads the speeds."""
    used = _times(shown)
    mean = (
        ": mean ± 95 % CI (Student's t). `fastest`: its interval lies below those of all other backends"
        f"{f'; `{relative}`: its relative speed, with 95 % CI' if relative else ''}."
        if ranked
        else f". `{COMMAND}` gives intervals."
    )
    texts = [f"Milliseconds of a steady training step on a full batch, {_processes(shown)} each{mean}"]
    recurrent = [timed for timed in used if timed.variant.kernel != "none"]
    kernels = grouped(recurrent, lambda timed: "our own loop" if timed.own_loop else timed.variant.kernel)
    if kernels:
        named = "; ".join(
            f"{kernel} in {', '.join(sorted({timed.variant.backend for timed in members}, key=_place))}"
            for kernel, members in kernels.items()
        )
        proven = sum(timed.met is True for timed in recurrent)
        texts.append(f"Kernels: {named}; a profiler confirmed {proven} of {len(recurrent)}.")
    if any(timed.estimate is None for timed in used):
        texts.append(f"`{NOISY}`: pairs of windows found no positive time, or the CI holds 0.")
    if "our own loop" in kernels:
        texts.append("Our own loop computes what the framework's layers lack, such as recurrent dropout.")
    noise = [timed.noise for timed in used if timed.noise is not None]
    return [*texts, *([on_spread(max(noise))] if noise else [])]


def _flushed(shown: Iterable[Line]) -> list[SpeedUp]:
    """Return the speed of native torch with denormal numbers taken for zero, relative to without."""
    return [
        SpeedUp.of(base, timed)
        for line in shown
        for timed in line.times.values()
        for base in line.times.values()
        if (timed.variant.numerics, base.variant) == (FLUSHED, replace(timed.variant, numerics=NATIVE))
        and timed.interval
        and base.interval
    ]


def _denormals(shown: Iterable[Line]) -> list[str]:
    """Return in how many cases flushing denormals pays, and by how much at most."""
    gains = _flushed(shown)
    faster = [gain for gain in gains if gain.outcome == "faster"]
    most = max(faster, key=lambda gain: gain.factor, default=None)
    up_to = f", up to {times(most.factor)}x ({most.name})" if most else ""
    what = "Flushing denormals (`torch.set_flush_denormal(True)`) is faster"
    return [f"{what} in {len(faster)} of {count(len(gains), 'case')}{up_to}."] if gains else []


def _made(results: Results, shown: Sequence[Line], ranked: bool) -> list[str]:
    """Return numerics, runs, commits, the command that measures the same again, and which cases are not there."""
    used = _times(shown)
    sources = [source for source in results.sources if any(source.name in timed.runs for timed in used)]
    commits = {git["commit"][:12]: None for source in sources if (git := source.environment.get("git"))}
    numerics = grouped(shown, lambda line: line.numerics)
    main = max(numerics, key=lambda name: len(numerics[name]))
    apart = [f"; {name} in {_listed(members)}" for name, members in numerics.items() if name != main]
    backends = sorted({timed.variant.backend for timed in used}, key=_place)
    options = " ".join(
        [sources[0].settings, COMMAND, f"--numerics {main}", *(f"--backend {name}" for name in backends)]
    )
    made = ", ".join([f"Run {', '.join(source.name for source in sources)}", *(f"commit {name}" for name in commits)])
    again = f"Measure the same: `bench run {options}`." if ranked else ""
    notes = [f"Numerics: {main}{''.join(apart)}.", f"{made}. {again}".rstrip()]
    there = {line.name for line in shown}
    names = [name for suite, case in results.cases() if (name := f"{suite.name}/{case.name}") not in there]
    return notes + ([f"Not ranked: {listed(names, ', ')}: `bench run CASE {COMMAND}`."] if names and ranked else [])


def _listed(shown: Sequence[Line]) -> str:
    return "our own loop" if all(line.own_loop for line in shown) else listed([line.label for line in shown], ", ")


def by_layers(results: Results) -> list[str]:
    """Return the section of timing.md on training speed relative to the reference, by kind of layer."""
    found = frame(results)
    if not found:
        return []
    columns = sorted({row.column for row in found}, key=_place)
    rows = []
    for (layers, base), members in grouped(found, lambda row: (row.layers, row.reference.column)).items():
        by_column = grouped(members, lambda row: row.column)
        cases = len({(row.name, row.variant.device) for row in members})
        cells = [_gain(by_column.get(column, [])) for column in columns]
        rows.append([plain(layers), plain(base), str(cases), *cells])
    headers = ["layers", "relative to", "cases", *map(plain, columns)]
    how = (
        "Median over cases of the ratio of step times (above 1: faster); in parentheses, in how many cases the 95 % CI "
        "leaves out 1."
    )
    return ["## Training speed by kind of layer", how, markdown_table(headers, rows, (0, 1))]


def _gain(rows: Sequence[SpeedUp]) -> str:
    if not rows:
        return NOTHING
    outcomes = Counter(row.outcome for row in rows)
    told = [f"{outcomes[name]} {name}" for name in get_args(Outcome) if outcomes[name]]
    return f"{times(median(row.factor for row in rows))} ({', '.join(told)})"


TOPIC = Topic("speed", frame=frame, question="Which backend is faster, and by how much?", answer=answer)
