"""Accuracy: what was measured beside what the documents print, judged where it can be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from bench.cases.cell import Status
from bench.compare.statistics import Agreement, Judgement, binomial_half_width, judge, mean_interval
from bench.records.record import Record
from bench.report.figures import FIGURE_KINDS, Figure, figures
from bench.report.frames import Row, columns_of, grouped, main_rows, once
from bench.report.markdown import document, how_twins, markdown_table, plain, prose, suite_heading
from bench.report.notes import Notes, notes_on_case, on_stand_in, stand_in_of
from bench.report.numbers import NOTHING, as_half, as_loss, as_percent, known
from bench.report.results import NOT_RUN, Column, Results, Variant, status_of
from bench.report.topic import Topic
from bench.report.topics import low_data, numerics
from bench.spec import Case, Documented, Suite


@dataclass(frozen=True)
class AccuracyRow(Row):
    """A figure of a case under a variant: `n` of `planned` seeds have it.

    `lengths` are the epochs that each seed trained, `epochs_documented` those of the document; `stand_in` says on what
    was trained in place of the documented data.
    """

    figure: Figure
    epochs_documented: int | None
    planned: int
    status: Status | Literal["not run"] = NOT_RUN
    n: int = 0
    lengths: tuple[int, ...] = ()
    stand_in: str | None = None

    @property
    def documented(self) -> float | None:
        """Return the accuracy that the document prints; None where it prints none, and in the quick profile."""
        return self.figure.score.accuracy

    @property
    def epochs(self) -> float | None:
        """Return how many epochs were trained, a mean over seeds."""
        return fmean(self.lengths) if self.lengths else None


@dataclass(frozen=True, kw_only=True)
class MeasuredRow(AccuracyRow):
    """A figure that was measured: means over seeds, of the accuracy with its 95 % interval.

    `sampling_half_width` is what the number of evaluated `rows` alone leaves open around the mean. `judgement` is that
    of the documented figure, None where nothing is held against it.
    """

    variant: Variant
    column: Column
    mean: float
    ci_half_width: float | None
    loss: float
    rows: int | None
    sampling_half_width: float | None
    judgement: Judgement | None

    @property
    def verdict(self) -> Agreement | None:
        """Return what became of the documented figure."""
        return self.judgement.verdict if self.judgement else None

    @property
    def deviation(self) -> float:
        """Return measured minus documented; nan where nothing is documented."""
        return math.nan if self.documented is None else self.mean - self.documented


@once
def frame(results: Results) -> tuple[AccuracyRow, ...]:
    """Return one row per case, figure and variant; a case without a record has one per figure, "not run"."""
    rows: list[AccuracyRow] = []
    for suite, case in results.cases():
        key = (suite.name, case.name)
        documented = case.documented if results.documented else Documented()
        epochs = _documented_epochs(case, documented)
        seeds = len({seed for kind, seed, _ in results.planned.get(key, ()) if kind == "accuracy"})
        for figure in figures(case, documented):
            for variant, column, records in results.placed(results.accuracy_groups, *key):
                place = AccuracyRow(*key, variant, column, figure, epochs, seeds, status_of(records))
                rows.append(_measured(place, records, documented.unjudged))
            if key not in results.accuracy_groups:
                rows.append(AccuracyRow(*key, None, None, figure, epochs, seeds))
    return tuple(rows)


def _measured(place: AccuracyRow, records: Sequence[Record], unjudged: str | None) -> AccuracyRow:
    """Return a row with what its records measured."""
    figure, stand_in = place.figure, stand_in_of(records)
    ok = [record.metrics for record in records if record.status == "ok" and record.metrics]
    scores = [score for metrics in ok if (score := figure.measured(metrics)) is not None]
    row = replace(
        place,
        n=len(scores),
        planned=max(place.planned, len(scores)),
        lengths=tuple(len(metrics.epochs) for metrics in ok),
        stand_in=stand_in,
    )
    if not scores:
        return row
    values = [score.accuracy for score in scores]
    estimate = mean_interval(values)
    rows = scores[0].rows if figure.sampled else None
    judgement = None
    if figure.main and row.documented is not None:
        judgement = judge(row.documented, values, unjudged or (on_stand_in(stand_in) if stand_in else None))
    return MeasuredRow(
        **vars(row),
        mean=estimate.mean,
        ci_half_width=known(estimate.ci_half_width),
        loss=fmean(score.loss for score in scores),
        rows=rows,
        sampling_half_width=binomial_half_width(estimate.mean, rows) if rows else None,
        judgement=judgement,
    )


def _documented_epochs(case: Case, documented: Documented) -> int | None:
    """Return how many epochs the document ran: its log's length, or its protocol's where the print breaks off."""
    if not documented.epochs:
        return None
    return len(documented.epochs) if case.training.early_stopping else case.training.epochs


def _measured_main(rows: Iterable[AccuracyRow]) -> list[MeasuredRow]:
    return [row for row in rows if isinstance(row, MeasuredRow) and row.figure.main]


def _by_figure(row: AccuracyRow) -> tuple[str, str]:
    return row.name, row.figure.name


def _is_compared(row: AccuracyRow) -> bool:
    """Return whether a row stands for its case: the train accuracy that is printed beside another one does not."""
    return row.figure.main and row.documented is not None and row.figure.kind != "train"


_HOW_ACCURACY = (
    "Accuracies in per cent. A measured one is the mean over seeds ± its 95 % interval (Student's t); `k of n` says "
    "how many of the planned seeds ended ok. "
    "`set ±` is the uncertainty that the evaluated set alone gives, 1.96 √(a(1-a)/rows), in points."
)
_HOW_JUDGED = (
    "A documented figure is one run: it is `inside` or `outside` the 95 % prediction interval of the measured runs, "
    "judged from 5 seeds on; behind `outside` stands measured minus "
    "documented, in points. `test` and `val` are the scores after the last epoch."
)
_HOW_FIGURES = (
    "In the tables of all figures `train` is evaluated after training, on all rows given to `fit` (the validation "
    "part included where it is split off by fraction); `fit` is what the "
    "last epoch reports while it trains; `best val` belongs to the weights that a checkpoint kept; `epochs` is the "
    "mean (least–most) number run."
)


def table(results: Results) -> str:
    """Return `accuracy.md`: for every suite the judged table, the other figures, and the low-data pairs."""
    notes = Notes(results)
    title = "Accuracy: documented profile" if results.documented else "Accuracy on the embedded corpus (quick profile)"
    parts = [f"# {title}"]
    if not results.documented:
        parts.append(
            "These figures were measured on the embedded corpus, which is generated, after a shortened training: they "
            "compare architectures and backends with one another and say nothing about any document's figures, which "
            "are therefore not shown."
        )
    parts += [_HOW_ACCURACY, *([_HOW_JUDGED] if results.documented else []), _HOW_FIGURES, *how_twins(results)]
    by_suite = grouped(frame(results), lambda row: row.suite)
    for suite in results.reported_suites():
        rows = by_suite[suite.name]
        parts += [suite_heading(suite), *_suite_notes(suite, results), _accuracy_table(results, suite, rows, notes)]
        parts += numerics.section(suite, results)
        parts += ["All figures, means over seeds:", _figures_table(rows)]
        parts += low_data.section(suite, results, notes)
    return document(parts + notes.section())


def _suite_notes(suite: Suite, results: Results) -> list[str]:
    if not results.documented:
        return []
    notes = ["\n".join(f"- {prose(note)}" for note in suite.notes)] if suite.notes else []
    return [f"Document {plain(suite.document)}, Keras {plain(suite.era.keras)}.", *notes]


def _accuracy_table(results: Results, suite: Suite, data: Sequence[AccuracyRow], notes: Notes) -> str:
    main = [row for row in main_rows(data) if row.figure.main]
    columns = columns_of(main)
    headers = ["case", "set", *(["documented %"] if results.documented else []), "set ±"]
    left = {0, 1}
    for column in columns:
        left.add(len(headers) + 1)
        headers += [f"{plain(column)} %", "judged" if results.documented else "seeds"]
    lines = []
    for rows in grouped(main, _by_figure).values():
        first = rows[0]
        # The notes on a case are about its document and the protocol there, which the quick profile does not run.
        case_notes = notes_on_case(results.case(suite.name, first.case)) if results.documented else []
        case_notes += notes.on_data(suite.name, first.case)
        if first.figure.epoch is not None:
            case_notes.append(
                "The document's log breaks off before the last epoch; its figure is compared with the measured one "
                "of the same epoch."
            )
        line = [plain(first.case) + notes.mark(case_notes), plain(first.figure.name)]
        if results.documented:
            line.append("" if first.documented is None else as_percent(first.documented))
        widths = [row.sampling_half_width for row in rows if isinstance(row, MeasuredRow)]
        line.append(next((as_half(width).strip() for width in widths if width is not None), NOTHING))
        members = {row.column: row for row in rows}
        for column in columns:
            line += _accuracy_cells(members.get(column), column, notes)
        if results.twins:
            ok = [row.variant for row in rows if row.status == "ok" and row.variant]
            line.append(results.twin_mark(suite.name, first.case, ok) or NOTHING)
        lines.append(line)
    if results.twins:
        left.add(len(headers))
        headers.append("twins")
    return markdown_table(headers, lines, left)


def _accuracy_cells(row: AccuracyRow | None, column: Column, notes: Notes) -> list[str]:
    if row is None:
        return [NOTHING, "" if column.kernel else NOT_RUN]
    texts = notes.on_cells(row, ("accuracy", "all"))
    if row.status != "ok":
        return [NOTHING, f"{row.status}, 0 of {row.planned}{notes.mark(texts)}"]
    if not isinstance(row, MeasuredRow):
        return [NOTHING, f"not evaluated{notes.mark(texts)}"]
    if row.judgement and row.verdict == "not judged":
        reason = row.judgement.reason
        on_other_data = row.stand_in is not None and reason == on_stand_in(row.stand_in)
        texts.append(prose(reason if on_other_data else f"Not judged: {reason}"))
    deviation = f" ({100 * row.deviation:+.2f})" if row.verdict == "outside" else ""
    said = f"{row.verdict}{deviation}, " if row.verdict else ""
    return [as_percent(row.mean, row.ci_half_width), f"{said}{row.n} of {row.planned}{notes.mark(texts)}"]


def _figures_table(data: Sequence[AccuracyRow]) -> str:
    """Return one row for the document and one for every variant of each case, without columns that stay empty."""
    lines: list[dict[str, str]] = []
    for case, rows in grouped((row for row in data if row.status == "ok"), lambda row: row.case).items():
        printed = {"case": plain(case), "source": "documented"}
        for row in rows:
            printed |= _pair(row, row.documented, row.figure.score.loss)
        if rows[0].epochs_documented is not None:
            printed["epochs"] = str(rows[0].epochs_documented)
        if len(printed) > 2:
            lines.append(printed)
        by_column = grouped(rows, lambda row: row.column or "")
        for column in sorted(by_column):
            members = by_column[column]
            measured = {"case": plain(case), "source": plain(members[0].source)}
            for row in members:
                measured |= _pair(row, row.mean, row.loss) if isinstance(row, MeasuredRow) else {}
            lines.append(measured | {"epochs": _epochs(members[0])})
    headers = ["case", "source", *(f"{kind} {part}" for kind in FIGURE_KINDS for part in ("%", "loss")), "epochs"]
    shown = [header for header in headers if any(header in line for line in lines)]
    if not lines:
        return "Nothing ended ok."
    return markdown_table(shown, [[line.get(header, "") for header in shown] for line in lines], left=(0, 1))


def _pair(row: AccuracyRow, accuracy: float | None, loss: float | None) -> Mapping[str, str]:
    figures = {} if accuracy is None else {f"{row.figure.kind} %": as_percent(accuracy)}
    return figures | ({} if loss is None else {f"{row.figure.kind} loss": as_loss(loss)})


def _epochs(row: AccuracyRow) -> str:
    if row.epochs is None:
        return NOTHING
    least, most = min(row.lengths), max(row.lengths)
    return f"{least}" if least == most else f"{row.epochs:.1f} ({least}–{most})"


def block(results: Results) -> str:
    """Return the documented accuracy of every case that has one beside the measured ones, in per cent."""
    data = list(filter(_is_compared, main_rows(frame(results))))
    columns = columns_of(data)
    lines = []
    for (case, figure), rows in grouped(data, _by_figure).items():
        members = {row.column: row for row in rows}
        cells = [_block_cell(members.get(column)) for column in columns]
        verdicts = [(row.verdict if isinstance(row, MeasuredRow) else None) or row.status for row in rows]
        judged = plain(" / ".join(dict.fromkeys(verdicts)))
        lines.append([plain(case), plain(figure), as_percent(rows[0].documented), *cells, judged])
    headers = ["case", "set", "documented", *map(plain, columns), "judged"]
    return markdown_table(headers, lines, left=(0, 1, 3 + len(columns)))


def _block_cell(row: AccuracyRow | None) -> str:
    return f"{as_percent(row.mean, row.ci_half_width)} ({row.n})" if isinstance(row, MeasuredRow) else NOTHING


TOPIC = Topic(
    "accuracy",
    frame=frame,
    question="Did the documented figures hold?",
    table=table,
    block=block,
)
