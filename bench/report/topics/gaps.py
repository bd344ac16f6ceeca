"""Gaps: what has no result, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import get_args

from bench.cases.cell import Status
from bench.report.frames import CaseRow, grouped, once
from bench.report.markdown import plain, plain_table
from bench.report.results import MEASURED, Column, Measurement, Results
from bench.report.topic import Topic


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
        if column.kernel is None and (variant.numerics == "documented" or "documented" not in numerics)
    }
    for suite in results.suites.values():
        for case in suite.cases:
            key = (suite.name, case.name)
            variants = results.groups.get(key, {})
            planned = results.planned.get(key, set())
            lacking = {column: planned for column in sorted(main) if results.asked(*key, main[column])}
            for variant, records in variants.items():
                column = results.columns[*key, variant]
                if column not in main and variant.numerics != "documented":
                    continue
                measured = {
                    (kind, record.seed, record.repeat) for record in records for kind in MEASURED[record.measure]
                }
                lacking[column] = lacking.get(column, planned) - measured
            if not variants:
                rows.append(GapRow(*key, None, _processes(planned), _processes(planned)))
            else:
                missing = {column: _processes(measurements) for column, measurements in lacking.items()}
                rows += [
                    GapRow(*key, column, number, _processes(planned)) for column, number in missing.items() if number
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


TOPIC = Topic("gaps", frame=frame, question="What is missing?")
UNMEASURED = Topic("unmeasured", question="Which documented figures could not be measured?")
