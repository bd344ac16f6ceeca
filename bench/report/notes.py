"""Notes beside figures: stand-ins, and why cells have no result."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from bench.cases.cell import Measure, Status
from bench.records import store
from bench.records.record import VARIANT, Record
from bench.report.frames import CaseRow, Row, once
from bench.report.markdown import code, prose
from bench.report.results import Results, Variant
from bench.report.sentences import count
from bench.shown import printable
from bench.spec import Case


class Notes:
    """The footnotes of one file: numbered in the order of their first mark, each text once."""

    def __init__(self, results: Results) -> None:
        self._numbers: dict[str, int] = {}
        self._problems = _problem_notes(results)
        self._stand_ins = _stand_ins(results)

    def on_cells(self, row: Row, measures: Iterable[Measure]) -> list[str]:
        """Return the texts on cells of a row's case and variant that did not end ok."""
        keys = [(row.suite, row.case, row.variant, measure) for measure in measures]
        return [note for key in keys for note in self._problems.get(key, [])]

    def on_data(self, suite: str, case: str) -> list[str]:
        """Return the texts on stand-ins that a case ran on."""
        return self._stand_ins.get((suite, case), [])

    def mark(self, texts: Iterable[str]) -> str:
        """Return ` [1, 3]` for `texts` (Markdown), the empty string for none."""
        numbers = sorted({self._numbers.setdefault(text, len(self._numbers) + 1) for text in texts})
        return f" [{', '.join(map(str, numbers))}]" if numbers else ""

    def section(self) -> list[str]:
        """Return the section that lists the notes, nothing where there are none."""
        if not self._numbers:
            return []
        return ["## Notes", "\n".join(f"{number}. {text}" for text, number in self._numbers.items())]


def notes_on_case(case: Case) -> list[str]:
    """Return the notes of a case's declaration, and what its document leaves open."""
    chosen = [f"Our choice, not documented: {case.assumptions}."] if case.assumptions else []
    return [prose(note) for note in (*case.notes, *chosen)]


def stand_in_of(records: Iterable[Record]) -> str | None:
    """Return what replaced the documented data or vectors of records; None where nothing did."""
    return (
        "; ".join(sorted({record.data.stand_in for record in records if record.data and record.data.stand_in})) or None
    )


def on_stand_in(name: str) -> str:
    """Return the sentence that says what replaced the documented data or vectors: `name` is `this for that: how`."""
    used, _, rest = name.partition(" for ")
    wanted, _, how = rest.partition(": ")
    return f"Used {used}: {wanted} is unavailable{f' ({how})' if how else ''}." if wanted else f"Used {name}."


def _stand_ins(results: Results) -> dict[tuple[str, str], list[str]]:
    """Return the notes on what replaced the documented data or vectors, by suite and case."""
    names: dict[tuple[str, str], set[str]] = {}
    for record in results.records:
        if record.data and record.data.stand_in:
            names.setdefault((record.suite, record.case), set()).add(record.data.stand_in)
    return {key: [prose(on_stand_in(name)) for name in sorted(found)] for key, found in names.items()}


def resuming(results: Results, run: str) -> str:
    """Return the command that continues a run."""
    compares = any(source.name == run and source.plan is not None for source in results.sources)
    return store.resuming(run, results.store, "ab" if compares else "run")


def _problem_notes(results: Results) -> dict[tuple[Any, ...], list[str]]:
    """Return the notes on cells that did not end ok, by suite, case, variant and measure."""
    notes: dict[tuple[Any, ...], list[str]] = {}
    for problem in problems(results):
        if problem.status == "unavailable":
            text = prose(f"unavailable: {problem.reason}")
        else:
            cells = " ".join(map(shlex.quote, problem.cells))
            again = code(f"{resuming(results, problem.run)} {cells}")
            what = f"{problem.status} ({count(len(problem.cells), 'cell')}): {problem.reason}"
            text = f"{prose(what)}. To run it again: {again}"
        notes.setdefault((problem.suite, problem.case, problem.variant, problem.measure), []).append(text)
    return notes


@dataclass(frozen=True)
class Problem(CaseRow):
    """Why cells of a case under a variant did not end `ok`: `reason` is one line; `records`: how many there are."""

    variant: Variant
    measure: Measure
    status: Status
    reason: str
    run: str
    cells: tuple[str, ...] = ()
    records: int = 0

    @property
    def clause(self) -> str:
        """Return the first clause of the reason: what is missing, without the case's name and the places looked in."""
        return self.reason.removeprefix(f"{self.name} is ").split(": no ")[0].split("; ")[0].rstrip(".")


@once
def problems(results: Results) -> tuple[Problem, ...]:
    """Return one row per case, variant and reason that cells did not end `ok`."""
    cells: dict[Problem, list[str]] = {}
    for record in results.records:
        if record.status != "ok":
            variant = Variant(*(getattr(record, name) for name in VARIANT))
            run = results.run_of[id(record)]
            problem = Problem(record.suite, record.case, variant, record.measure, record.status, one_line(record), run)
            cells.setdefault(problem, []).append(str(record.cell))
    return tuple(
        replace(problem, cells=tuple(dict.fromkeys(names)), records=len(names)) for problem, names in cells.items()
    )


def one_line(record: Record) -> str:
    """Return the reason of a record, or the last line of its traceback, on one line."""
    text = record.reason
    if not text and record.failure:
        text = (record.failure.traceback.strip().splitlines() or [""])[-1]
    return printable(re.sub(r"\s+", " ", text or "no reason recorded").strip())


def lacking(results: Results) -> list[Problem]:
    """Return why cells have no result, by case and variant; a missing fused kernel is none, the generic one runs."""
    return [problem for problem in problems(results) if not problem.reason.startswith(f"{NO_FUSED}:")]


NOT_YET = "not run yet"
NO_FUSED = "no fused kernel"
"""How the reasons of cells begin that ask for a kernel which a backend does not have."""
