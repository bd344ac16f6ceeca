"""The last screen of a run: is it the same model, is it faster, the table, what did not run, what next.

At most `LINES` lines of `COLUMNS` columns. A command stands whole in a line, however long its paths are.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from statistics import median

from bench.backends.registry import backends
from bench.cases.describe import recurrence
from bench.cases.model import numerics_differences
from bench.machine.noise import QUIET, on_spread
from bench.records.metrics import METRICS, is_comparable
from bench.records.store import in_store
from bench.report.frames import grouped
from bench.report.notes import NO_FUSED, Problem, lacking, resuming
from bench.report.numbers import NOTHING, as_seconds, times
from bench.report.results import Results
from bench.report.sentences import count, device, joined, listed, machine, upper
from bench.report.speedups import LEAST, Faster, Outcome
from bench.report.summary_frame import Figures, SummaryRow, frame, in_order, setting_of
from bench.report.topics import gaps, low_data
from bench.runner.progress import COLUMNS, duration, shortened

LINES = 45
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
    shown, lines = list(rows), []
    for suite, members in grouped(rows, lambda row: row.suite).items():
        names = {row.case for row in members}
        sizes = low_data.samples(case for case in results.suites[suite].cases if case.name in names)
        if sampled := [row for row in members if row.case in sizes]:
            shown = [row for row in shown if row not in sampled]
            lines.append(_low_data(sampled, [*sizes.values()], ran))
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
    first = sorted(dict.fromkeys(names), key=lambda name: name != "keras")
    versions = [f"{_TITLES.get(name, name)} {packages[name]}" for name in first if name in packages]
    taken = duration(sum(record.seconds for record in records))
    parts = [
        f"twinbench: {ok} of {count(len(records), 'cell')} ok in {taken}",
        ", ".join(versions),
        machine(environment),
    ]
    return " · ".join(filter(None, parts))


_TITLES = {"keras": "Keras", "tensorflow": "TensorFlow", "tensorflow-cpu": "TensorFlow", "jax": "JAX"}


def _conclusions(results: Results, rows: Sequence[SummaryRow], ran: Sequence[str]) -> Iterator[str]:
    """Yield the lines on accuracy and speed of backends against the first of them, and how far the figures go."""
    for said in (_same(results, rows, ran), _faster(results, rows, ran)):
        yield from _wrapped(said)
    noise = max((figures.noise for row in rows for figures in row.figures.values() if figures.steps), default=0.0)
    if noise > QUIET:
        yield from _wrapped(f"{on_spread(noise)} Stop other programs, run again.")
    if results.profile == "quick" and rows:
        brief = " and brief timings" if any(record.measure == "glance" for record in results.records) else ""
        yield f"Generated data, short trainings{brief}: compare the columns, not with published figures."


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
    outcomes = Counter(ratio.outcome for _, ratio in ratios)
    clear = _clear(outcomes)
    if not clear:
        tally = f"{_title(other)} is faster in {outcomes['faster']} of {count(len(ratios), 'case')}"
        return f"{lead}no clear winner. {tally}, slower in {outcomes['slower']}, unclear in {outcomes['unclear']}."
    sign = 1 if clear == "faster" else -1
    kinds = grouped(ratios, lambda pair: recurrence(results.case(pair[0].suite, pair[0].case)))
    each = {kind: median(ratio.factor**sign for _, ratio in members) for kind, members in kinds.items()}
    by_kind = f"; {', '.join(f'{kind} {times(factor)}x' for kind, factor in each.items())}" if len(each) > 1 else ""
    first, second = (other, ran[0]) if sign > 0 else (ran[0], other)
    factor = times(median(ratio.factor**sign for _, ratio in ratios))
    return f"{lead}{_title(first)}, {factor}x {_title(second)} (median of {count(len(ratios), 'case')}{by_kind})."


def _clear(outcomes: Counter[Outcome]) -> Outcome | None:
    """Return what more than half of the cases say, None where that is nothing clear."""
    ((outcome, cases),) = outcomes.most_common(1)
    return outcome if outcome != "unclear" and 2 * cases > outcomes.total() else None


def _verdict(ratios: Sequence[Faster]) -> str:
    clear = _clear(Counter(ratio.outcome for ratio in ratios))
    return times(median(ratio.factor for ratio in ratios)) if clear else "unclear"


def _title(backend: str) -> str:
    return "Keras on TensorFlow" if backend == "keras-tensorflow" else backend


# --- the table ---------------------------------------------------------------------------------------------------


def _table(rows: Sequence[SummaryRow], ran: Sequence[str], most: int, files: Sequence[Path]) -> list[str]:
    """Return the table in at most so many lines, an empty line before it; nothing where no row is left for it."""
    if not rows:
        return []
    room = min(MOST_ROWS, most - 2)
    shown = rows[: room if len(rows) <= room else room - 1]
    names = ["", "case", *(shortened(row.name, LONGEST_NAME) for row in shown)]
    first = [f"{name:<{max(map(len, names))}}" for name in names]
    blocks = _blocks(shown, ran)
    left_out = [count(len(rows) - len(shown), "case")] if len(shown) < len(rows) else []
    while len(blocks) > 1 and sum(2 + len(lines[0]) for lines in (first, *blocks.values())) - 2 > COLUMNS:
        left_out.append(_PARAMETERS if _PARAMETERS in blocks else [*blocks][-1])  # what says least goes first
        del blocks[left_out[-1]]
    also = [f"and {joined(left_out)}: {files[0] if files else 'in the report'}"] if left_out else []
    return ["", *("  ".join(parts).rstrip() for parts in zip(first, *blocks.values(), strict=True)), *also]


_PARAMETERS = "parameters"


def _blocks(rows: Sequence[SummaryRow], ran: Sequence[str]) -> dict[str, list[str]]:
    """Return the lines of columns by what they are called: of two backends by measure, of more by backend."""
    epochs = any(figures.epoch is not None for row in rows for figures in row.figures.values())
    per = ("s", "epoch") if epochs else ("ms", "step")
    accuracy = {name: [_accuracy(row.figures.get(name)) for row in rows] for name in ran}
    seconds = {name: [_seconds(row.figures.get(name), per_epoch=epochs) for row in rows] for name in ran}
    scored, timed = (any(set(texts) != {NOTHING} for texts in each.values()) for each in (accuracy, seconds))
    if len(ran) > 2:
        heads = [("acc. %", accuracy)] * scored + [("/".join(per), seconds)] * timed
        return {name: _block(name, {head: texts[name] for head, texts in heads}) for name in ran if heads}
    parameters = [NOTHING if row.parameters is None else f"{row.parameters:,}" for row in rows]
    blocks = {_PARAMETERS: _block("", {_PARAMETERS: parameters})}
    names = ["Keras" if name == "keras-tensorflow" else name for name in ran]
    for head, texts in [("accuracy %", accuracy)] * scored + [(" per ".join(per), seconds)] * timed:
        blocks[head] = _block(head, dict(zip(names, texts.values(), strict=True)))
    ratios = [row.ratio(*ran) for row in rows] if len(ran) == 2 else []
    if any(ratios):
        processes = min(len(each.steps) for row in rows for each in row.figures.values() if each.steps)
        head, spread = f"{names[1]} is", "95 % CI" if processes >= LEAST else "range"
        blocks[head] = _block(head, {f"x as fast ({spread})": list(map(_ratio, ratios))})
    return blocks


def _block(head: str, columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Return columns, aligned to the right, below one head."""
    widths = {name: max(map(len, (name, *texts))) for name, texts in columns.items()}
    padded = [[f"{text:>{widths[name]}}" for text in (name, *texts)] for name, texts in columns.items()]
    lines = [head, *map("  ".join, zip(*padded, strict=True))]
    return [f"{line:>{max(map(len, lines))}}" for line in lines]


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


def _low_data(rows: Sequence[SummaryRow], sizes: Sequence[int], ran: Sequence[str]) -> str:
    """Return the line on cases of one suite that train on samples: how many, of how many rows, whether they agree."""
    stems = ", ".join(dict.fromkeys(re.sub(r"-\d+$", "-N", row.case) for row in rows))
    known = [gap for row in rows if (gap := _widest(row, ran)) is not None]
    agree = f", {sum(map(_agrees, known))} agree" if known else ""
    ratios = [ratio.factor for row in rows if len(ran) == 2 and (ratio := row.ratio(*ran))]
    fast = f"; {ran[1]} {', '.join(f'{times(ratio)}x' for ratio in ratios)}" if ratios else ""
    sampled = f"{rows[0].suite}/{stems}, N = {min(sizes):,} to {max(sizes):,}"
    return shortened(f"{sampled}: {count(len(rows), 'case')}{agree}{fast}", COLUMNS)


# --- what is missing, what next ----------------------------------------------------------------------------------


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
    command = resuming(results, run)
    named = " ".join([command, *map(shlex.quote, dict.fromkeys(cells))])
    return named if len(named) <= COLUMNS - 2 else command


def _next(results: Results, rows: Sequence[SummaryRow], files: Sequence[Path]) -> list[str]:
    names = " ".join(shlex.quote(source.name) for source in results.sources)
    write = f"bench report {names}{in_store(results.store)}{_suites(results)}"
    lines = [f"Everything: {', '.join(map(str, files)) or write}"]
    if rows and not any(map(is_comparable, results.records)):
        case = next((row for row in rows if results.case(row.suite, row.case).representative), rows[0])
        lines.append(f"One case, accurately: bench run {case.name} --measure steps --repeats 3{_suites(results)}")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
