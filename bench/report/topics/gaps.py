"""Gaps: what has no result, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import pandas as pd

from bench.cases.cell import Status
from bench.cases.describe import documented_accuracy
from bench.report.frames import frame_of, main_rows, once, reference_order, rows_of
from bench.report.markdown import given, plain
from bench.report.notes import NOT_YET, clause, gap_of, lacking, problem_of
from bench.report.numbers import percent
from bench.report.results import KINDS, Measurement, Results, Variant
from bench.report.sentences import MOST_NAMED, Finding, count, have, listed, name, upper
from bench.report.topic import Topic
from bench.report.topics import accuracy, low_data
from bench.spec import Case


@once
def frame(results: Results) -> pd.DataFrame:
    """Return what no record exists of: suite, case, column (None: under no backend), missing and planned.

    The last two count measurements, (seed, repeat), of the case under that column.
    """
    rows: list[dict[str, Any]] = []
    groups = results.groups
    places = results.columns
    numerics = {variant.numerics for _, _, variant in places}
    main = {
        name: variant
        for (_, _, variant), name in places.items()
        if _is_main_column(name, variant) and (variant.numerics == "documented" or "documented" not in numerics)
    }
    for suite in results.suites.values():
        for case in suite.cases:
            variants = groups.get((suite.name, case.name), {})
            planned = results.planned.get((suite.name, case.name), set())
            lacking = {column: planned for column in sorted(main) if results.asked(suite.name, case.name, main[column])}
            for variant, records in variants.items():
                column = places[suite.name, case.name, variant]
                if column not in main and variant.numerics != "documented":
                    continue
                measured = {(kind, record.seed, record.repeat) for record in records for kind in KINDS[record.measure]}
                lacking[column] = lacking.get(column, planned) - measured
            shared = {"suite": suite.name, "case": case.name, "planned": _processes(planned)}
            if not variants:
                rows.append(shared)
            else:
                missing = {column: _processes(measurements) for column, measurements in lacking.items()}
                rows += [shared | {"column": column, "missing": count} for column, count in missing.items() if count]
    return frame_of(rows, ["suite", "case", "column", "missing", "planned"])


def _processes(measurements: set[Measurement]) -> int:
    return len({(seed, repeat) for _, seed, repeat in measurements})


def _is_main_column(name: str, variant: Variant) -> bool:
    return not name.endswith(f" {variant.kernel}")


def data_used(results: Results) -> pd.DataFrame:
    """Return one row per data set that the records ran on: name, sha256, rows, stand_in, cases (how many)."""
    rows: dict[tuple[str, str, str, str | None], set[tuple[str, str]]] = {}
    used = {(id(record.data), record.suite, record.case): record.data for record in results.records}
    for (_, suite, case), data in used.items():
        if data:
            parts = ", ".join(f"{name} {count:,}" for name, count in data.rows.items())
            rows.setdefault((data.name, data.sha256, parts, data.stand_in), set()).add((suite, case))
    return pd.DataFrame(
        [(*key, len(cases)) for key, cases in rows.items()], columns=["name", "sha256", "rows", "stand_in", "cases"]
    )


def statuses(results: Results) -> pd.DataFrame:
    """Return the number of cells by measure and backend (rows) and status (columns)."""
    counts = Counter((record.measure, record.backend, record.status) for record in results.records)
    seen = [status for status in get_args(Status) if any(key[2] == status for key in counts)]
    rows = sorted({key[:2] for key in counts})
    return pd.DataFrame(
        [[*row, *(counts[*row, status] for status in seen)] for row in rows], columns=["measure", "backend", *seen]
    )


def unmeasured(results: Results) -> list[Finding]:
    """Return each documented accuracy without a measurement, why, and what was measured in its place; by document."""
    if not results.documented:
        return []
    data = main_rows(accuracy.frame(results))
    data = data[data["main"].astype(bool)]
    rows = sorted(rows_of(data[data["mean"].notna()]), key=lambda row: _measured_best(row))
    measured = {(row["suite"], row["case"]): row for row in rows}
    why = {(row["suite"], row["case"]): row for row in lacking(results)}
    found = []
    for suite, case in sorted(results.cases(), key=lambda pair: pair[0].document):
        printed = documented_accuracy(case)
        if printed is None or (suite.name, case.name) in measured:
            continue
        gap = why.get((suite.name, case.name))
        text = f"Whether {percent(printed[1])} ({printed[0]}) holds is not known{f': {clause(gap)}' if gap else ''}."
        instead = low_data.learned_twin(suite.cases, case)
        row = measured.get((suite.name, instead.name)) if instead else None
        if instead and row:
            text += (
                f" Run instead: {instead.name}, the same net learning its embedding, "
                f"{percent(row['mean'], row['half'])} over {count(int(row['n']), 'seed')} under {row['column']}"
                f"{_beside(instead)}."
            )
        status = gap["status"] if gap else NOT_YET
        found.append(Finding(f"{suite.name}/{case.name}, document {suite.document}: {status}", text))
    return found


def _measured_best(row: Mapping[Any, Any]) -> tuple[int, bool]:
    """Return a sort key that puts last the row with the most seeds, of these the documents' own backend."""
    return int(row["n"]), reference_order(str(row["backend"])) == 0


def _beside(case: Case) -> str:
    printed = documented_accuracy(case)
    return f" (documented {percent(printed[1])})" if printed else ""


def answer(results: Results) -> list[Finding]:
    """Return which cases have no result, why cells have none, and which cases lack a backend or seeds."""
    why = {(row["suite"], row["case"]): str(row["status"]) for row in lacking(results)}
    ended = {(record.suite, record.case) for record in results.records if record.status == "ok"}
    every = [(suite.name, case.name) for suite in results.suites.values() for case in suite.cases]
    without: dict[str, list[str]] = {}
    for case in every:
        if case not in ended:
            without.setdefault(why.get(case, NOT_YET), []).append("/".join(case))
    found = []
    if without:
        number = sum(map(len, without.values()))
        lead = f"{number} of {count(len(every), 'case')} {have(number)} no result"
        named = "; ".join(f"{status}: {listed(cases, ', ', 2 * MOST_NAMED)}" for status, cases in without.items())
        found.append(Finding(lead, f"{upper(named)}."))
    # Which backend has no fused kernel is said in the list.
    cells = Counter(gap_of(problem_of(record)).split(": ")[0] for record in results.records if record.status != "ok")
    if cells:
        lead = f"{cells.total()} of {count(len(results.records), 'cell')} {have(cells.total())} no result"
        named = "; ".join(f"{number} {gap}" for gap, number in cells.most_common())
        found.append(Finding(lead, f"{named}."))
    partly = frame(results)
    started = dict.fromkeys(name(row) for row in rows_of(partly[partly["column"].notna()]))
    names = [case for case in started if tuple(case.split("/")) in ended]
    if names:
        lead = (
            f"{count(len(names), 'case')} {'lacks' if len(names) == 1 else 'lack'} a backend or seeds that were planned"
        )
        found.append(Finding(lead, f"Not run yet: {listed(names, ', ')}."))
    return [*found[:-1], replace(found[-1], see=(("listed", "README.md#not-run"),))] if found else []


def section(results: Results) -> list[str]:
    missing = frame(results)
    lines = []
    for suite, own in missing.groupby("suite", sort=False):
        cases: dict[str, list[str]] = {}
        for case, rows in own.groupby("case", sort=False):
            what = "; ".join(
                f"{row['missing']:.0f} of {row['planned']} planned measurements under {row['column']}"
                for row in rows_of(rows)
                if given(row["column"])
            )
            cases.setdefault(what, []).append(str(case))
        for what, names in cases.items():
            listed = ", ".join(names)
            lines.append(f"- {plain(f'{suite}: {listed}')}" + (f" ({plain(what)})" if what else ""))
    return (
        ["\n".join(lines)] if lines else ["Nothing: every case that was asked for has a record of every planned seed."]
    )


TOPIC = Topic("gaps", frame=frame, question="What is missing?", answer=answer)
UNMEASURED = Topic("unmeasured", question="Which documented figures could not be measured?", answer=unmeasured)
