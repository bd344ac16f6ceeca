"""What is said beside figures: stand-ins, and why cells have no result."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from bench.records.record import CASE, VARIANT, Record
from bench.report.frames import once, rows_of
from bench.report.markdown import code, prose
from bench.report.results import Results
from bench.report.sentences import count, name
from bench.spec import Case


class Notes:
    """The footnotes of one file: numbered in the order of their first mark, each text once."""

    def __init__(self, results: Results) -> None:
        self._numbers: dict[str, int] = {}
        self._problems = _problem_notes(results)
        self._stand_ins = _stand_ins(results)

    def on_cells(self, row: Mapping[Any, Any], measures: Iterable[str]) -> list[str]:
        """Return the texts on cells of a row's case and variant that did not end ok."""
        key = tuple(str(row[name]) for name in (*CASE, *VARIANT))
        return [note for measure in measures for note in self._problems.get((*key, measure), [])]

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
    assumed = [f"Chosen here, not documented: {case.assumptions}."] if case.assumptions else []
    return [prose(note) for note in (*case.notes, *assumed)]


def _stand_ins(results: Results) -> dict[tuple[str, str], list[str]]:
    """Return the notes on what replaced the documented data or vectors, by suite and case."""
    names: dict[tuple[str, str], set[str]] = {}
    for record in results.records:
        if record.data and record.data.stand_in:
            names.setdefault((record.suite, record.case), set()).add(record.data.stand_in)
    return {key: [prose(on_stand_in(name)) for name in sorted(found)] for key, found in names.items()}


def _problem_notes(results: Results) -> dict[tuple[str, ...], list[str]]:
    """Return the notes on cells that did not end ok, by suite, case, variant and measure."""
    store = f" --store {shlex.quote(str(results.store))}" if results.store else ""
    notes: dict[tuple[str, ...], list[str]] = {}
    for row in rows_of(problems(results)):
        if row["status"] == "unavailable":
            text = prose(f"unavailable: {row['reason']}")
        else:
            cells = " ".join(shlex.quote(name) for name in row["cells"])
            again = code(f"bench run --resume {shlex.quote(row['run'])}{store} {cells}")
            what = f"{row['status']} ({count(len(row['cells']), 'cell')}): {row['reason']}"
            text = f"{prose(what)}; run it again: {again}"
        key = tuple(str(row[name]) for name in (*CASE, *VARIANT, "measure"))
        notes.setdefault(key, []).append(text)
    return notes


@once
def problems(results: Results) -> pd.DataFrame:
    """Return one row per case, variant and reason that cells did not end `ok`.

    Columns: suite, case, backend, kernel, device, numerics, measure, status, reason (one line), run (the name), cells
    (their names).
    """
    rows: dict[tuple[Any, ...], list[str]] = {}
    for record in results.records:
        if record.status != "ok":
            key = (
                *(getattr(record, name) for name in (*CASE, *VARIANT, "measure", "status")),
                one_line(record),
                results.run_of[id(record)],
            )
            rows.setdefault(key, []).append(str(record.cell))
    listed = [(*key, tuple(dict.fromkeys(names))) for key, names in rows.items()]
    return pd.DataFrame(listed, columns=[*CASE, *VARIANT, "measure", "status", "reason", "run", "cells"]).astype(object)


def one_line(record: Record) -> str:
    """Return the reason of a record, or the last line of its traceback, on one line."""
    text = (
        record.reason or (record.failure.traceback.strip().splitlines() or [""])[-1]
        if record.failure
        else record.reason
    )
    return re.sub(r"\s+", " ", text or "no reason recorded").strip()


def on_stand_in(name: str) -> str:
    """Return the sentence that says on what a case ran in place of the documented data or vectors."""
    return f"Ran on a stand-in: {name}."


def lacking(results: Results) -> list[dict[str, Any]]:
    """Return why cells have no result, by case and variant, but for fused kernels: the generic one does without."""
    rows = rows_of(problems(results))
    return [row for row in rows if not str(row["reason"]).startswith(f"{NO_FUSED}:")]


def gap_of(problem: Mapping[Any, Any] | None) -> str:
    """Return what became of cells without a result: their status and why, or that they have not been started."""
    return f"{problem['status']}, {clause(problem)}" if problem else NOT_YET


def problem_of(record: Record) -> dict[str, Any]:
    """Return what `tables.problems` says of a record."""
    return {"suite": record.suite, "case": record.case, "status": record.status, "reason": one_line(record)}


def clause(problem: Mapping[Any, Any]) -> str:
    """Return the first clause of a reason: what is missing, without the case's name and the places looked in."""
    reason = str(problem["reason"]).removeprefix(f"{name(problem)} is ")
    return reason.split(": no ")[0].split("; ")[0].rstrip(".")


NOT_YET = "not run yet"
NO_FUSED = "no fused kernel"
"""How the reasons of cells begin that ask for a kernel which a backend does not have."""
