"""Documented against measured: one table of parameters, accuracy and seconds per epoch, grouped by document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.cases.model import resolve
from bench.cases.parameters import parameters as declared_parameters
from bench.compare.statistics import WIDEST
from bench.report.figures import SETS
from bench.report.frames import CaseRow, columns_of, grouped, once
from bench.report.markdown import markdown_table, plain, prose
from bench.report.numbers import NOTHING, as_integer, as_percent, as_range, as_seconds
from bench.report.results import Column, Results
from bench.report.sentences import joined
from bench.report.topic import Topic
from bench.report.topics import accuracy, parameters, timing
from bench.report.topics.accuracy import AccuracyRow, MeasuredRow, cited
from bench.report.topics.architectures import TimedEpoch, timed_alone
from bench.spec import Suite


@dataclass(frozen=True)
class DocumentedRow(CaseRow):
    """A case whose document prints an accuracy, `figures` being the rows of it by backend.

    `parameters` are those that the document prints, else those that the case declares; `equal` says that every printed
    count is the one that was built, under every backend. `epoch` are the seconds that the document prints, least and
    most, `timed` ours where comparable.
    """

    figures: tuple[AccuracyRow, ...]
    parameters: int
    equal: bool
    epoch: tuple[float, float] | None
    timed: dict[Column, TimedEpoch]


@once
def frame(results: Results) -> tuple[DocumentedRow, ...]:
    """Return a row per case with a documented accuracy; none under the quick profile, and where nothing was trained."""
    if not results.accuracy_records:
        return ()
    figures = grouped((row for row in accuracy.compared(results) if row.documented is not None), lambda row: row.name)
    counts = grouped(parameters.frame(results), lambda row: row.name)
    seconds = {row.name: row.documented_epoch for row in timing.frame(results)}
    rows = []
    for suite, case in results.cases():
        name = f"{suite.name}/{case.name}"
        if name in figures:
            verdicts = {row.verdict for row in counts[name] if row.verdict is not None}
            total = case.documented.total or declared_parameters(resolve(suite, case, "documented")).total
            timed = {
                row.column: found
                for row in figures[name]
                if isinstance(row, MeasuredRow) and (found := timed_alone(results, row))
            }
            place = (suite.name, case.name, tuple(figures[name]))
            rows.append(DocumentedRow(*place, total, verdicts == {"equal"}, seconds[name], timed))
    return tuple(rows)


def block(results: Results) -> str:
    """Return the table, each document in bold with the set that its accuracies are of, and how to read it."""
    rows = frame(results)
    if not rows:
        return "No documented accuracy is in these results."
    columns = columns_of(row for found in rows for row in found.figures)
    names = [f"Keras{column.removeprefix(KERAS)}" if column.startswith(KERAS) else column for column in columns]
    headers = ["case", "parameters", "printed %", *(f"{name} %" for name in names)]
    headers += ["printed s", *(f"{name} s" for name in names), "verdict"]
    lines = []
    named: set[str] = set()
    for (suite, kind), members in grouped(rows, lambda row: (row.suite, row.figures[0].figure.kind)).items():
        document = results.suites[suite]
        lines.append(
            [
                f"**{plain(document.title)}**" if suite in named else _document(document),
                "",
                f"*{SETS[kind]}*",
                *[""] * (2 * len(columns) + 2),
            ]
        )
        lines += [_line(row, columns) for row in members]
        named.add(suite)
    left = (0, 2 * len(columns) + 4)
    return "\n\n".join([markdown_table(list(map(plain, headers)), lines, left), _how(rows)])


def _document(suite: Suite) -> str:
    """Return title, author, year and link of a document, the Keras it ran, and what its seconds were measured on."""
    return (
        f"**{cited(suite)}** (Keras {plain(suite.era.keras)}{f', {prose(suite.hardware)}' if suite.hardware else ''})"
    )


def _line(row: DocumentedRow, columns: Sequence[Column]) -> list[str]:
    members = {figure.column: figure for figure in row.figures}
    first, verdict = row.figures[0], accuracy.verdict(row.figures)
    measured = [members.get(column) for column in columns]
    return [
        plain(row.case if first.figure.epoch is None else f"{row.case}, epoch {first.figure.epoch}"),
        as_integer(row.parameters) + TICK * row.equal,
        as_percent(first.documented),
        *(_measured(figure) for figure in measured),
        as_range(row.epoch) or NOTHING,
        *(as_seconds(row.timed[column].seconds) if column in row.timed else NOTHING for column in columns),
        plain((verdict or first.status).removesuffix(" to judge")),
    ]


def _measured(row: AccuracyRow | None) -> str:
    if not isinstance(row, MeasuredRow):
        return NOTHING
    half = "" if row.ci_half_width is None else f"\u00a0±{100 * row.ci_half_width:.1f}"
    return f"{100 * row.mean:.1f}{half}"


def _how(rows: Sequence[DocumentedRow]) -> str:
    """Return how to read the table."""
    numerics = dict.fromkeys(found.numerics for row in rows for found in row.timed.values())
    timed = f" (ours under {joined(list(numerics))} numerics, all steps of an epoch)" if numerics else ""
    return (
        "Printed: by the document. ✓: every printed parameter count equals the built one. Accuracies: mean over seeds "
        f"± 95 % CI (none: one seed). Seconds: one epoch{timed}; each document's on its own machine. Verdict: the "
        "printed figure is inside or outside the 95 % prediction interval of our runs; too variable: over "
        f"{100 * WIDEST:.0f} points wide."
    )


TICK = "\u00a0✓"
KERAS = "keras-tensorflow"
"""The backend that the documents trained by: Keras, in a table of the project's front page."""
TOPIC = Topic("documented", frame=frame, block=block)
