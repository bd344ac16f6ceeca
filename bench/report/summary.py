"""The last screen of a run: is it the same model, is it faster, the table, what did not run, what next.

At most `LINES` lines of `COLUMNS` columns. A command stands whole in a line, however long its paths are.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median

from bench.backends.registry import backends
from bench.cases.describe import recurrence
from bench.cases.model import numerics_differences
from bench.machine.noise import QUIET, on_spread
from bench.records.metrics import METRICS, is_comparable
from bench.report.frames import grouped
from bench.report.notes import NO_FUSED, Problem, lacking
from bench.report.numbers import NOTHING, as_seconds, times
from bench.report.results import Results
from bench.report.sentences import count, device, joined, listed, upper
from bench.report.summary_frame import LEAST_PROCESSES, Faster, Figures, SummaryRow, frame, in_order, setting_of
from bench.report.topics import gaps
from bench.runner.progress import duration, shortened
from bench.spec import Case, RandomRows, Suite

LINES, COLUMNS = 45, 100
MOST_ROWS = 30
LONGEST_NAME = 56
MOST_MISSING = 5
"""Lines on failures, on the commands that run them again, and on what could not run."""
AGREE = METRICS["accuracy"].margin or 0.0


def summary(results: Results, files: Sequence[Path] = ()) -> list[str]:
    """Return the lines of the summary; `files` are those in which everything has been written."""
    rows = frame(results)
    ran = in_order({name for row in rows for name in row.figures})
    lead = [*_wrapped(_what_ran(results, ran)), *_conclusions(results, rows, ran)]
    end = ["", *_missing(results)] if lacking(results) or _unstarted(results) else []
    end += ["", *_next(results, rows, files)]
    low_data = _low_data(results, rows)
    shown = [row for row in rows if row.name not in {name for names in low_data.values() for name in names}]
    lines = [*_low_data_lines(results, rows, low_data, ran)]
    left = LINES - len(lead) - len(end) - len(lines) - 1  # an empty line before the table
    return [*lead, *_table(shown, ran, left, files), *lines, *end]


# --- conclusions -------------------------------------------------------------------------------------------------


def _what_ran(results: Results, ran: Sequence[str]) -> str:
    records = [record for record in results.records if not (record.reason or "").startswith(f"{NO_FUSED}:")]
    ok = sum(record.status == "ok" for record in records)
    environment = results.timing_environment
    packages = environment.get("packages", {})
    names = [
        part for name in ran if name in backends() for each in backends()[name].packages for part in each.split("|")
    ]
    versions = [f"{_TITLES.get(name, name)} {packages[name]}" for name in _unique(names) if name in packages]
    taken = duration(sum(record.seconds for record in records))
    parts = [f"twinbench: {ok} of {count(len(records), 'cell')} ok in {taken}", ", ".join(versions), _machine(results)]
    return " · ".join(filter(None, parts))


_TITLES = {"keras": "Keras", "tensorflow": "TensorFlow", "tensorflow-cpu": "TensorFlow", "jax": "JAX"}


def _unique(names: Iterable[str]) -> list[str]:
    """Return each name once, Keras first."""
    return sorted(dict.fromkeys(names), key=lambda name: name != "keras")


def _machine(results: Results) -> str:
    """Return the GPU, or the processor without trade marks and clock, and its cores: `Intel Xeon, 2 cores`."""
    environment = results.timing_environment
    if setting_of(results)[0] == "cuda":
        return str(next((gpu["name"] for gpu in environment.get("gpus", ())), ""))
    words = re.sub(r"\((R|TM)\)|@.*|\b(CPU|Processor)\b", " ", str(environment.get("cpu", "")), flags=re.IGNORECASE)
    cores, threads = (environment.get(name) for name in ("cores", "threads"))
    used = f"{threads} of " if threads not in (cores, None) else ""
    return ", ".join(filter(None, [" ".join(words.split()), f"{used}{count(cores, 'core')}" if cores else ""]))


def _conclusions(results: Results, rows: Sequence[SummaryRow], ran: Sequence[str]) -> Iterator[str]:
    """Yield the lines on accuracy and speed of backends against the first of them, and how far the figures go."""
    for said in (_same(results, rows, ran), _faster(results, rows, ran)):
        yield from _wrapped(said)
    noise = max((figures.noise for row in rows for figures in row.figures.values() if figures.steps), default=0.0)
    if noise > QUIET:
        yield from _wrapped(f"{on_spread(noise)} Stop other programs, run again.")
    if results.profile == "quick" and rows:
        brief = " and brief timings" if any(record.measure == "glance" for record in results.records) else ""
        yield f"Generated text, short trainings{brief}: compare the columns, not with published figures."


def _same(results: Results, rows: Sequence[SummaryRow], ran: Sequence[str]) -> str:
    gaps_of = {row.name: gap for row in rows if (gap := _widest(row, ran)) is not None}
    if not gaps_of:
        return ""
    agree = sum(map(_agrees, gaps_of.values()))
    farthest = max(gaps_of, key=lambda name: gaps_of[name])
    where = "" if agree == len(gaps_of) else f", {farthest}"
    of = f"all {count(agree, 'case')}" if agree == len(gaps_of) > 1 else f"{agree} of {count(len(gaps_of), 'case')}"
    lead = "Accuracy" if numerics_differences(setting_of(results)[1]) else "Same model"
    text = f"{lead}: accuracies agree in {of} (largest gap {100 * gaps_of[farthest]:.1f} points{where})"
    marks = [results.twin_mark(row.suite, row.case, results.groups[row.suite, row.case]) for row in rows]
    proven = f"; twins proven in {marks.count('proven')} of {count(len(rows), 'case')}" if results.twins else ""
    return f"{text}{proven}."


def _widest(row: SummaryRow, ran: Sequence[str]) -> float | None:
    """Return how far the backends' accuracies lie from those of the first one; None where there are no others."""
    return max((gap for other in ran[1:] if (gap := row.gap(ran[0], other)) is not None), default=None)


def _agrees(gap: float) -> bool:
    return round(gap, 9) <= AGREE


def _faster(results: Results, rows: Sequence[SummaryRow], ran: Sequence[str]) -> str:
    """Return who is faster than the first backend: the ranges of most cases must leave no doubt."""
    timed = {
        other: ratios
        for other in ran[1:]
        if (ratios := [(row, ratio) for row in rows if (ratio := row.ratio(ran[0], other))])
    }
    if not timed:
        return ""
    where = f"on this {device(setting_of(results)[0])}"
    lead = f"Faster {where}: "
    if len(timed) > 1:
        said = [f"{other} {_verdict([ratio for _, ratio in ratios])}" for other, ratios in timed.items()]
        cases = count(max(map(len, timed.values())), "case")
        return f"Speed {where} ({_title(ran[0])} = 1, medians of {cases}): {', '.join(said)}."
    ((other, ratios),) = timed.items()
    signs = Counter(ratio.sign for _, ratio in ratios)
    sign = _clear(signs)
    if not sign:
        tally = f"{_title(other)} is faster in {signs[1]} of {count(len(ratios), 'case')}, slower in {signs[-1]}"
        return f"{lead}no clear winner. {tally}, unclear in {signs[0]}."
    kinds = grouped(ratios, lambda pair: recurrence(results.case(pair[0].suite, pair[0].case)))
    each = {kind: median(ratio.factor**sign for _, ratio in members) for kind, members in kinds.items()}
    detail = "; ".join([f"median of {count(len(ratios), 'case')}", *_each(each)])
    first, second = (other, ran[0]) if sign > 0 else (ran[0], other)
    factor = times(median(ratio.factor**sign for _, ratio in ratios))
    return f"{lead}{_title(first)}, {factor}x {_title(second)} ({detail})."


def _each(factors: Mapping[str, float]) -> list[str]:
    return [", ".join(f"{kind} {times(factor)}x" for kind, factor in factors.items())] if len(factors) > 1 else []


def _clear(signs: Mapping[int, int]) -> int:
    """Return what more than half of the cases say: 1, -1, or 0 where they say nothing clear."""
    return next((sign for sign in (1, -1) if 2 * signs[sign] > sum(signs.values())), 0)


def _verdict(ratios: Sequence[Faster]) -> str:
    clear = _clear(Counter(ratio.sign for ratio in ratios))
    return times(median(ratio.factor for ratio in ratios)) if clear else "unclear"


def _title(backend: str) -> str:
    return "Keras on TensorFlow" if backend == "keras-tensorflow" else backend


# --- the table ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Columns:
    """Columns under one head: each has a head of its own and a text for every row."""

    head: str
    heads: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]

    @property
    def name(self) -> str:
        """Return what they are called where they do not stand."""
        return self.head or self.heads[0]

    @property
    def widths(self) -> list[int]:
        """Return the width of each column; the first is widened where the head needs more."""
        widths = [max(map(len, (head, *texts))) for head, texts in zip(self.heads, self.texts, strict=True)]
        widths[0] += max(0, len(self.head) - sum(widths) - 2 * (len(widths) - 1))
        return widths

    @property
    def width(self) -> int:
        """Return the width of all."""
        return sum(self.widths) + 2 * (len(self.widths) - 1)


def _table(rows: Sequence[SummaryRow], ran: Sequence[str], most: int, files: Sequence[Path]) -> list[str]:
    """Return the table in at most so many lines, an empty line before it; nothing where no row is left for it."""
    if not rows:
        return []
    room = min(MOST_ROWS, most - 2)
    shown = rows[: room if len(rows) <= room else room - 1]
    first, *columns = _columns(shown, ran)
    left_out = [count(len(rows) - len(shown), "case")] if len(shown) < len(rows) else []
    while len(columns) > 1 and first.width + sum(2 + each.width for each in columns) > COLUMNS:
        # Parameters, which say least, go first.
        left_out.append(columns.pop(-1 if columns[0].head else 0).name)
    also = [f"and {joined(left_out)}: {files[0] if files else 'in the report'}"] if left_out else []
    return ["", *_laid_out([first, *columns]), *also]


def _columns(rows: Sequence[SummaryRow], ran: Sequence[str]) -> Iterator[_Columns]:
    """Yield the columns of a table: of two backends a measure's side by side, of more a backend's."""
    yield _Columns("", ("case",), (tuple(shortened(row.name, LONGEST_NAME) for row in rows),))
    epochs = any(figures.epoch is not None for row in rows for figures in row.figures.values())
    per = ("s", "epoch") if epochs else ("ms", "step")
    accuracy = {name: tuple(_accuracy(row.figures.get(name)) for row in rows) for name in ran}
    seconds = {name: tuple(_seconds(row.figures.get(name), per_epoch=epochs) for row in rows) for name in ran}
    scored, timed = (any(set(texts) != {NOTHING} for texts in each.values()) for each in (accuracy, seconds))
    if len(ran) > 2:
        for name in ran:
            parts = [("acc. %", accuracy[name])] * scored + [("/".join(per), seconds[name])] * timed
            yield _Columns(name, tuple(head for head, _ in parts), tuple(texts for _, texts in parts))
        return
    yield _Columns("", ("parameters",), (tuple(_parameters(row) for row in rows),))
    names = tuple("Keras" if name == "keras-tensorflow" else name for name in ran)
    for head, texts in [("accuracy %", accuracy)] * scored + [(" per ".join(per), seconds)] * timed:
        yield _Columns(head, names, tuple(texts.values()))
    if len(ran) == 2:
        ratios = [row.ratio(*ran) for row in rows]
        processes = min((len(each.steps) for row in rows for each in row.figures.values() if each.steps), default=0)
        spread = "95 % CI" if processes >= LEAST_PROCESSES else "range"
        if any(ratios):
            yield _Columns(f"{names[1]} is", (f"x as fast ({spread})",), (tuple(map(_ratio, ratios)),))


def _laid_out(groups: Sequence[_Columns]) -> list[str]:
    first, *others = groups
    widths = [width for group in others for width in group.widths]
    lines = [[f"{'':<{first.width}}", *(f"{group.head:>{group.width}}" for group in others)]]
    bodies = zip(*(texts for group in groups for texts in group.texts), strict=True)
    for name, *texts in ([head for group in groups for head in group.heads], *bodies):
        padded = (f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))
        lines.append([f"{name:<{first.width}}", *padded])
    return ["  ".join(line).rstrip() for line in lines]


def _parameters(row: SummaryRow) -> str:
    return NOTHING if row.parameters is None else f"{row.parameters:,}"


def _accuracy(figures: Figures | None) -> str:
    return NOTHING if figures is None or figures.accuracy is None else f"{100 * figures.accuracy:.1f}"


def _seconds(figures: Figures | None, *, per_epoch: bool) -> str:
    if figures is None:
        return NOTHING
    step = None if figures.step is None else 1000 * figures.step
    return as_seconds(figures.epoch if per_epoch else step)


def _ratio(ratio: Faster | None) -> str:
    if ratio is None:
        return NOTHING
    spread = f"{times(ratio.low)}-{times(ratio.high)}" if ratio.high < inf else "unclear"
    return f"{times(ratio.factor)} ({spread})"


# --- low data ----------------------------------------------------------------------------------------------------


def _low_data(results: Results, rows: Sequence[SummaryRow]) -> dict[str, list[str]]:
    """Return by suite the cases that train one architecture on samples of several sizes."""
    found: dict[str, list[str]] = {}
    for suite in results.reported_suites():
        cases = [case for case in suite.cases if any(row.name == f"{suite.name}/{case.name}" for row in rows)]
        sampled = [case for case in cases if isinstance(case.training.validation, RandomRows)]
        several = [case for case in sampled if len([other for other in sampled if other.layers == case.layers]) > 1]
        if several:
            found[suite.name] = [f"{suite.name}/{case.name}" for case in several]
    return found


def _low_data_lines(
    results: Results, rows: Sequence[SummaryRow], found: Mapping[str, Sequence[str]], ran: Sequence[str]
) -> Iterator[str]:
    """Yield a line for each suite: how many cases, of how many rows, and whether their accuracies agree."""
    for suite, names in found.items():
        members = [row for row in rows if row.name in names]
        sizes = sorted(_sample(results.suites[suite], row.case) for row in members)
        stems = ", ".join(dict.fromkeys(re.sub(r"-\d+$", "-N", row.case) for row in members))
        known = [gap for row in members if (gap := _widest(row, ran)) is not None]
        agree = f", {sum(map(_agrees, known))} agree" if known else ""
        ratios = [ratio.factor for row in members if len(ran) == 2 and (ratio := row.ratio(*ran))]
        fast = f"; {ran[1]} {', '.join(f'{times(ratio)}x' for ratio in ratios)}" if ratios else ""
        text = f"{suite}/{stems}, N = {sizes[0]:,} to {sizes[-1]:,}: {count(len(members), 'case')}{agree}{fast}"
        yield shortened(text, COLUMNS)


def _sample(suite: Suite, name: str) -> int:
    case: Case = next(case for case in suite.cases if case.name == name)
    validation = case.training.validation
    return validation.train if isinstance(validation, RandomRows) else 0


# --- what is missing, what next ----------------------------------------------------------------------------------


def _store(results: Results) -> str:
    return f" --store {shlex.quote(str(results.store))}" if results.store else ""


def _suites(results: Results) -> str:
    """Return the options that name the files of suites which are not ours."""
    words = dict.fromkeys(word for source in results.sources for word in shlex.split(source.settings))
    return "".join(f" {shlex.quote(word)}" for word in words if word.startswith("--suites="))


def _unstarted(results: Results) -> list[str]:
    """Return the cases that lack a measurement which the runs planned."""
    return list(dict.fromkeys(row.name for row in gaps.frame(results)))


def _missing(results: Results) -> list[str]:
    """Return the lines on what did not end ok: failures first, with the command that runs them again."""
    failed: list[str] = []
    unavailable: list[str] = []
    again: dict[str, list[str]] = {}
    for (status, clause), members in grouped(
        lacking(results), lambda problem: (problem.status, problem.clause)
    ).items():
        if status == "unavailable":
            unavailable.append(f"{_named(results, members)} ({clause}{_remedy(members[0])})")
            continue
        reason = clause.removeprefix(f"{members[0].name}: ")
        failed.append(shortened(f"{upper(status)}: {_named(results, members)}: {reason}", COLUMNS))
        for problem in members:
            again.setdefault(problem.run, []).extend(problem.cells)
    if unstarted := _unstarted(results):
        failed += _wrapped(f"Not started: {listed(unstarted, ', ', 3)}.")
        again |= {source.name: [] for source in results.sources if len(results.sources) == 1}
    failed = _cut(failed) + _cut([f"  {_resumed(results, run, cells)}" for run, cells in again.items()])
    return failed + (_cut(_wrapped(f"Not run: {'; '.join(unavailable)}.")) if unavailable else [])


def _cut(lines: list[str]) -> list[str]:
    """Return the first of the lines, and how many more there are."""
    more = len(lines) - MOST_MISSING + 1
    return lines if more < 2 else [*lines[:-more], f"  and {more} more lines: see the report"]


def _named(results: Results, problems: Sequence[Problem]) -> str:
    """Return the cases of problems, with the backend where others have them, or how many there are of a suite."""
    backends_of = grouped(problems, lambda problem: problem.name)
    ran = {variant.backend for _, _, variant in results.columns}
    names = [
        name
        if {each.variant.backend for each in members} >= ran
        else f"{name}@{','.join(dict.fromkeys(each.variant.backend for each in members))}"
        for name, members in backends_of.items()
    ]
    if len(names) <= 2:
        return ", ".join(names)
    by_suite = Counter(name.partition("/")[0] for name in backends_of)
    return ", ".join(f"{count(number, f'{suite} case')}" for suite, number in by_suite.items())


def _remedy(problem: Problem) -> str:
    """Return what a reason says can be done about it, behind a colon."""
    if ": no " in problem.reason:
        return ": bench data list"
    rest = problem.reason.partition("; ")[2].rstrip(".")
    return f": {rest}" if rest else ""


def _resumed(results: Results, run: str, cells: Sequence[str] = ()) -> str:
    """Return the command that runs cells again; their names are left out where there is no room for them."""
    command = f"bench run --resume {shlex.quote(run)}{_store(results)}"
    named = " ".join([command, *map(shlex.quote, dict.fromkeys(cells))])
    return named if len(named) <= COLUMNS - 2 else command


def _next(results: Results, rows: Sequence[SummaryRow], files: Sequence[Path]) -> list[str]:
    names = " ".join(shlex.quote(source.name) for source in results.sources)
    write = f"bench report {names}{_store(results)}{_suites(results)}"
    lines = [f"Everything: {', '.join(map(str, files)) or write}"]
    if rows and not any(map(is_comparable, results.records)):
        case = next((row for row in rows if results.case(row.suite, row.case).representative), rows[0])
        lines.append(f"One case, accurately: bench run {case.name} --measure steps --repeats 3{_suites(results)}")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
