"""Gaps: what has no result, why, and what mends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from bench.cases.cell import Status
from bench.records.record import Record
from bench.report.frames import MAIN, CaseRow, grouped, once
from bench.report.markdown import plain, plain_table
from bench.report.notes import NOT_YET, Problem, lacking, resuming
from bench.report.results import MEASURED, Column, Measurement, Results
from bench.report.sentences import MOST_NAMED, count, listed
from bench.report.topic import Answer, Table, Topic


@dataclass(frozen=True)
class GapRow(CaseRow):
    """What no record exists of: `missing` of `planned` measurements, (seed, repeat), of a case under a column.

    `column` is None, and all are missing, where the case has no record under any backend.
    """

    column: Column | None
    missing: int
    planned: int


@once
def frame(results: Results) -> tuple[GapRow, ...]:
    """Return what no record exists of, a row for each case without any, and for each column that lacks some."""
    rows: list[GapRow] = []
    numerics = {variant.numerics for _, _, variant in results.columns}
    main = {
        column: variant
        for (_, _, variant), column in results.columns.items()
        if column.kernel is None and (variant.numerics == MAIN or MAIN not in numerics)
    }
    for suite in results.suites.values():
        for case in suite.cases:
            key = (suite.name, case.name)
            variants = results.groups.get(key, {})
            if not variants:
                rows.append(GapRow(*key, None, 0, 0))
            # What was planned under other numerics says nothing of these.
            asked = [column for column in sorted(main) if results.asked(*key, main[column])]
            planned = {column: results.planned.get((*key, main[column].numerics), set()) for column in main}
            left = {column: planned[column] for column in asked}
            for variant, records in variants.items():
                column = results.columns[*key, variant]
                if column not in main and variant.numerics != MAIN:
                    continue
                planned[column] = results.planned[*key, variant.numerics]
                measured = {
                    (kind, record.seed, record.repeat) for record in records for kind in MEASURED[record.measure]
                }
                left[column] = left.get(column, planned[column]) - measured
            rows += [
                GapRow(*key, column, _processes(missing), _processes(planned[column]))
                for column, missing in sorted(left.items())
                if missing
            ]
    return tuple(rows)


def _processes(measurements: set[Measurement]) -> int:
    return len({(seed, repeat) for _, seed, repeat in measurements})


def data_used(results: Results) -> str:
    """Return the table of the data sets that the records ran on, with the number of cases."""
    cases: dict[tuple[str, str, str, str | None], set[tuple[str, str]]] = {}
    used = {(id(record.data), record.suite, record.case): record.data for record in results.records}
    for (_, suite, case), data in used.items():
        if data:
            parts = ", ".join(f"{name} {count:,}" for name, count in data.rows.items())
            cases.setdefault((data.name, data.sha256, parts, data.stand_in), set()).add((suite, case))
    rows = [(*key, len(members)) for key, members in cases.items()]
    return plain_table(("name", "sha256", "rows", "stand_in", "cases"), rows, left=range(4))


def statuses(results: Results) -> str:
    """Return the table of the numbers of cells by measure and backend (rows) and status (columns)."""
    counts = Counter((record.measure, record.backend, record.status) for record in results.records)
    seen = [status for status in get_args(Status) if any(key[2] == status for key in counts)]
    rows = [(*row, *(counts[*row, status] for status in seen)) for row in sorted({key[:2] for key in counts})]
    return plain_table(("measure", "backend", *seen), rows, left=(0, 1))


def section(results: Results) -> list[str]:
    """Return the list of what is missing: cases that lack the same stand in one line."""
    lines = []
    for suite, rows in grouped(frame(results), lambda row: row.suite).items():
        by_case = grouped(rows, lambda row: row.case)
        lacking = {case: "; ".join(filter(None, map(_what, gaps))) for case, gaps in by_case.items()}
        for what, names in grouped(lacking, lacking.__getitem__).items():
            lines.append(f"- {plain(f'{suite}: ' + ', '.join(names))}" + (f" ({plain(what)})" if what else ""))
    return ["\n".join(lines) or "Nothing: every case that was asked for has a record of every planned seed."]


def _what(row: GapRow) -> str:
    return f"{row.missing} of {row.planned} planned measurements under {row.column}" if row.column else ""


def answer(results: Results) -> Answer:
    """Return how many cases have results; then what is missing, why, and the command that mends it."""
    every = [f"{suite.name}/{case.name}" for suite in results.suites.values() for case in suite.cases]
    ended = {_name(record) for record in results.records if record.status == "ok"}
    having = sum(case in ended for case in every)
    of = "All" if having == len(every) else f"{having} of"
    conclusion = f"{of} {count(len(every), 'case')} {'has' if len(every) == 1 else 'have'} results."
    problems = grouped(lacking(results), lambda row: (f"{row.status}: {row.clause}", _remedy(results, row)))
    lines = [
        (_named(rows), str(sum(row.records for row in rows)), why, remedy) for (why, remedy), rows in problems.items()
    ]
    told = {row.name for rows in problems.values() for row in rows}
    gaps = grouped((row for row in frame(results) if row.name not in told), lambda row: row.column is None)
    if idle := gaps.get(True):
        lines.append((_named(idle), "", NOT_YET, f"`bench run {results.sources[0].settings} {idle[0].name} ...`"))
    for run, rows in grouped(gaps.get(False, ()), lambda row: _run_of(results, row)).items():
        missing = str(sum(row.missing for row in rows))
        lines.append((_named(rows), missing, "planned, no record", f"`{resuming(results, run)}`"))
    table = Table(("missing", "cells", "why", "what to do"), tuple(lines), left=(0, 2, 3))
    return Answer(conclusion, table if lines else None, (("listed", "README.md#not-run"),) if lines else ())


def _remedy(results: Results, problem: Problem) -> str:
    """Return what the reason of a cell says to do, else the command that runs it again."""
    if problem.status == "unavailable":
        return problem.reason.partition("; ")[2]
    return f"`{resuming(results, problem.run)}`"


def _name(record: Record) -> str:
    return f"{record.suite}/{record.case}"


def _run_of(results: Results, row: GapRow) -> str:
    """Return the run that planned most of a case."""
    runs = [source for source in results.sources if any(_name(record) == row.name for record in source.records)]
    return max(runs, key=lambda source: source.seeds * source.repeats).name


def _named(rows: Iterable[CaseRow]) -> str:
    return listed(list(dict.fromkeys(row.name for row in rows)), ", ", 2 * MOST_NAMED)


TOPIC = Topic("gaps", frame=frame, question="What is missing?", answer=answer)
