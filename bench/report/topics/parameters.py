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
from bench.report.sentences import count, joined
from bench.report.topic import Answer, Table, Topic
from bench.spec import Case, Suite


@dataclass(frozen=True)
class ParameterRow(Row):
    """What was `built` of a case under a variant, None where nothing was.

    `verdict` is "equal", "differs: ...", "document misprint: ..." (what was built is what the case declares), or None
    where the document prints nothing, or where native numerics give torch's layers another bias.
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
    if not printed or numerics_differences(numerics) & {"bias", "reset-after"}:
        return None
    differing = [name for name in printed if found[name] != printed[name]]
    if not differing:
        return "equal"
    declared = counts(declared_parameters(resolve(suite, case, "documented")))
    misprint = case.documented.misprint and all(found[name] == declared[name] for name in differing)
    return f"{'document misprint' if misprint else 'differs'}: {', '.join(differing)}"


def answer(results: Results) -> Answer | None:
    """Return in how many cases the documented counts are those of what was built, and which differ."""
    judged = [row for row in frame(results) if row.verdict is not None]
    if not judged:
        return None
    differing = [row for row in judged if row.verdict != "equal"]
    cases, unequal = ({row.name for row in rows} for rows in (judged, differing))
    equal = f"{len(cases - unequal)} of " if unequal else "all " if len(cases) > 1 else ""
    conclusion = f"Built parameter counts equal the printed ones in {equal}{count(len(cases), 'case')}."
    lines = grouped(differing, lambda row: (row.name, row.verdict or ""))
    sources = {line: joined(list(dict.fromkeys(row.source for row in rows))) for line, rows in lines.items()}
    table = Table(("case", "what differs", "built by"), tuple((*line, sources[line]) for line in lines), left=(0, 1, 2))
    misprints = dict.fromkeys(results.case(row.suite, row.case).documented.misprint for row in differing)
    return Answer(
        conclusion, table if lines else None, (("parameters", "parameters.md"),), tuple(filter(None, misprints))
    )


_HOW_PARAMETERS = (
    "`layers` are the counts line by line. `stored` is what the framework keeps in memory: a torch LSTM stores a "
    "second, frozen bias that is no parameter of the model. `equal`: every printed count is the one that was built; "
    "layers without parameters do not count. Cases and variants with the same counts share a line."
)


def table(results: Results) -> str:
    """Return `parameters.md`: for every case the documented counts and, below them, those that were built."""
    notes = Notes(results)
    parts = [f"# Parameters: {results.profile} profile", _HOW_PARAMETERS]
    by_suite = grouped(frame(results), lambda row: row.suite)
    headers = ["case", "source", "layers", "total", "trainable", "frozen", "stored", "verdict"]
    for suite in results.reported_suites():
        by_case = grouped(by_suite[suite.name], lambda row: row.case)
        marked: dict[str, str] = {}
        lines = {}
        for name, rows in by_case.items():
            case = results.case(suite.name, name)
            marked[name] = plain(name) + notes.mark(notes_on_case(case) + notes.on_data(suite.name, name))
            lines[name] = _lines(case, rows, notes)
        texts = []
        for (printed, *built), names in grouped(lines, lines.__getitem__).items():
            texts.append([", ".join(marked[name] for name in names), *printed])
            texts += [[", ".join(map(plain, names)), *line] for line in built]
        parts += [suite_heading(suite), markdown_table(headers, texts, left=(0, 1, 2, 7))]
    return document(parts + notes.section())


def _lines(case: Case, rows: Sequence[ParameterRow], notes: Notes) -> tuple[tuple[str, ...], ...]:
    """Return the lines of a case, without its name: the document's, then one for all variants of the same counts."""
    printed = case.documented
    totals = map(as_integer, (printed.total, printed.trainable, printed.frozen))
    lines = [("documented", as_sum(printed.layers), *totals, "", "")]
    for line, members in grouped(rows, lambda row: _built_line(row, notes)).items():
        lines.append((plain(", ".join(row.source for row in members)), *line))
    return tuple(lines)


def _built_line(row: ParameterRow, notes: Notes) -> tuple[str, ...]:
    if row.built is None:
        marks = "" if row.variant is None else notes.mark(notes.on_cells(row, ("accuracy", "all", "timing")))
        return (*[""] * 5, f"{row.status}{marks}")
    built = row.built
    totals = map(as_integer, (built.total, built.trainable, built.frozen, built.stored))
    return (as_sum(layer.total for layer in built.layers), *totals, plain(row.verdict or ""))


TOPIC = Topic(
    "parameters",
    frame=frame,
    question="Are the parameter counts the documented ones?",
    answer=answer,
    table=table,
)
