"""Gaps: what has no result, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import get_args

from bench.cases.cell import Status
from bench.cases.describe import documented_accuracy
from bench.report.frames import CaseRow, grouped, main_rows, once, reference_order
from bench.report.markdown import plain, plain_table
from bench.report.notes import NOT_YET, lacking, problems
from bench.report.numbers import percent
from bench.report.results import MEASURED, Column, Measurement, Results
from bench.report.sentences import MOST_NAMED, Finding, count, have, listed, upper
from bench.report.topic import Topic
from bench.report.topics import accuracy, low_data
from bench.spec import Case


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


def unmeasured(results: Results) -> list[Finding]:
    """Return each documented accuracy without a measurement, why, and what was measured in its place; by document."""
    if not results.documented:
        return []
    rows = [
        row for row in main_rows(accuracy.frame(results)) if isinstance(row, accuracy.MeasuredRow) and row.figure.main
    ]
    measured = {(row.suite, row.case): row for row in sorted(rows, key=_measured_best)}
    why = {(problem.suite, problem.case): problem for problem in lacking(results)}
    found = []
    for suite, case in sorted(results.cases(), key=lambda pair: pair[0].document):
        printed = documented_accuracy(case)
        if printed is None or (suite.name, case.name) in measured:
            continue
        gap = why.get((suite.name, case.name))
        text = f"Whether {percent(printed[1])} ({printed[0]}) holds is not known{f': {gap.clause}' if gap else ''}."
        instead = low_data.learned_twin(suite.cases, case)
        row = measured.get((suite.name, instead.name)) if instead else None
        if instead and row:
            text += (
                f" Run instead: {instead.name}, the same net learning its embedding, "
                f"{percent(row.mean, row.ci_half_width)} over {count(row.n, 'seed')} under {row.column}"
                f"{_beside(instead)}."
            )
        status = gap.status if gap else NOT_YET
        found.append(Finding(f"{suite.name}/{case.name}, document {suite.document}: {status}", text))
    return found


def _measured_best(row: accuracy.MeasuredRow) -> tuple[int, bool]:
    """Return a sort key that puts last the row with the most seeds, of these the documents' own backend."""
    return row.n, reference_order(row.variant.backend) == 0


def _beside(case: Case) -> str:
    printed = documented_accuracy(case)
    return f" (documented {percent(printed[1])})" if printed else ""


def answer(results: Results) -> list[Finding]:
    """Return which cases have no result, why cells have none, and which cases lack a backend or seeds."""
    why = {problem.name: problem.status for problem in lacking(results)}
    ended = {f"{record.suite}/{record.case}" for record in results.records if record.status == "ok"}
    every = [f"{suite.name}/{case.name}" for suite in results.suites.values() for case in suite.cases]
    without = grouped((case for case in every if case not in ended), lambda case: why.get(case, NOT_YET))
    found = []
    if without:
        number = sum(map(len, without.values()))
        lead = f"{number} of {count(len(every), 'case')} {have(number)} no result"
        named = "; ".join(f"{status}: {listed(cases, ', ', 2 * MOST_NAMED)}" for status, cases in without.items())
        found.append(Finding(lead, f"{upper(named)}."))
    cells: Counter[str] = Counter()
    for problem in problems(results):
        # Which backend has no fused kernel is said in the list.
        cells[problem.gap.split(": ")[0]] += problem.records
    if cells:
        lead = f"{cells.total()} of {count(len(results.records), 'cell')} {have(cells.total())} no result"
        named = "; ".join(f"{number} {gap}" for gap, number in cells.most_common())
        found.append(Finding(lead, f"{named}."))
    started = dict.fromkeys(row.name for row in frame(results) if row.column is not None)
    names = [case for case in started if case in ended]
    if names:
        lacks = "lacks" if len(names) == 1 else "lack"
        lead = f"{count(len(names), 'case')} {lacks} a backend or seeds that were planned"
        found.append(Finding(lead, f"Not run yet: {listed(names, ', ')}."))
    return [*found[:-1], replace(found[-1], see=(("listed", "README.md#not-run"),))] if found else []


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


TOPIC = Topic("gaps", frame=frame, question="What is missing?", answer=answer)
UNMEASURED = Topic("unmeasured", question="Which documented figures could not be measured?", answer=unmeasured)
