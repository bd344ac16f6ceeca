"""Parameters: the counts of what was built beside the documented ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.cases.cell import Status
from bench.cases.model import numerics_differences, resolve
from bench.cases.parameters import Parameters, counts, printed_counts
from bench.cases.parameters import parameters as declared_parameters
from bench.records.record import Record
from bench.report.frames import Row, grouped, once
from bench.report.markdown import document, markdown_table, plain, suite_heading
from bench.report.notes import Notes, notes_on_case
from bench.report.numbers import as_integer, as_sum
from bench.report.results import NOT_RUN, Results, status_of
from bench.report.topic import Topic
from bench.spec import Case, Suite


@dataclass(frozen=True)
class ParameterRow(Row):
    """What was `built` of a case under a variant, None where nothing was.

    `verdict` is "equal", "differs: ...", "document misprint: ..." (what was built is what the case declares), or None
    where the document prints nothing, or where native numerics give torch's layers a bias more.
    """

    status: Status | Literal["not run"]
    built: Parameters | None = None
    verdict: str | None = None


@once
def frame(results: Results) -> tuple[ParameterRow, ...]:
    """Return one row per case and variant (several, should seeds differ); counts hold under both profiles."""
    rows: list[ParameterRow] = []
    for suite, case in results.cases():
        key = (suite.name, case.name)
        for variant, column, records in results.placed(results.groups, *key):
            place = (*key, variant, column, status_of(records))
            built = _built(records)
            rows += [ParameterRow(*place, model, _verdict(suite, case, variant.numerics, model)) for model in built]
            if not built:
                rows.append(ParameterRow(*place))
        if key not in results.groups:
            rows.append(ParameterRow(*key, None, None, NOT_RUN))
    return tuple(rows)


def _built(records: Sequence[Record]) -> list[Parameters]:
    """Return the different counts of records."""
    built: list[Parameters] = []
    for record in records:
        if record.parameters and record.parameters not in built:
            built.append(record.parameters)
    return built


def _verdict(suite: Suite, case: Case, numerics: str, built: Parameters) -> str | None:
    printed, found = printed_counts(case.documented), counts(built)
    # torch's own recurrent layers train a second bias, which is not the document's model.
    if not printed or "bias" in numerics_differences(numerics):
        return None
    differing = [name for name in printed if found[name] != printed[name]]
    if not differing:
        return "equal"
    declared = counts(declared_parameters(resolve(suite, case, "documented")))
    misprint = case.documented.misprint and all(found[name] == declared[name] for name in differing)
    return f"{'document misprint' if misprint else 'differs'}: {', '.join(differing)}"


_HOW_PARAMETERS = (
    "`layers` are the counts line by line. `stored` is what the framework keeps in memory: a torch LSTM stores a "
    "second, frozen bias that is no parameter of the model. A case is `equal` when "
    "every count that the document prints is the one that was built; layers without parameters do not count line by "
    "line."
)


def table(results: Results) -> str:
    """Return `parameters.md`: for every case the documented counts and, below them, those of every variant."""
    notes = Notes(results)
    parts = [f"# Parameters: {results.profile} profile", _HOW_PARAMETERS]
    by_suite = grouped(frame(results), lambda row: row.suite)
    headers = ["case", "source", "layers", "total", "trainable", "frozen", "stored", "verdict"]
    for suite in results.reported_suites():
        lines = []
        for name, rows in grouped(by_suite[suite.name], lambda row: row.case).items():
            case = results.case(suite.name, name)
            marks = notes.mark(notes_on_case(case) + notes.on_data(suite.name, name))
            printed = case.documented
            totals = map(as_integer, (printed.total, printed.trainable, printed.frozen))
            lines.append([plain(name) + marks, "documented", as_sum(printed.layers), *totals, "", ""])
            lines += [_line(row, notes) for row in rows]
        parts += [suite_heading(suite), markdown_table(headers, lines, left=(0, 1, 2, 7))]
    return document(parts + notes.section())


def _line(row: ParameterRow, notes: Notes) -> list[str]:
    head = [plain(row.case), plain(row.source)]
    if row.built is None:
        marks = "" if row.variant is None else notes.mark(notes.on_cells(row, ("accuracy", "all", "timing")))
        return [*head, *[""] * 5, f"{row.status}{marks}"]
    built = row.built
    totals = map(as_integer, (built.total, built.trainable, built.frozen, built.stored))
    return [*head, as_sum(layer.total for layer in built.layers), *totals, plain(row.verdict or "")]


TOPIC = Topic("parameters", frame=frame, table=table)
