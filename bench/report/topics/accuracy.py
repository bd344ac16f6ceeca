"""Accuracy: measured beside documented figures, judged where that is possible."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal, TypeVar, get_args

from bench.cases.cell import Status
from bench.cases.describe import documented_accuracy
from bench.compare.statistics import WIDEST, Agreement, Judgement, binomial_half_width, judge, mean_interval
from bench.records.record import Record
from bench.report.figures import FIGURE_KINDS, SETS, Figure, figures
from bench.report.frames import Row, columns_of, grouped, main_rows, once, reference_order
from bench.report.markdown import document, how_twins, markdown_table, plain, prose, suite_heading
from bench.report.notes import NOT_YET, Notes, lacking, notes_on_case, on_stand_in, stand_in_of
from bench.report.numbers import NOTHING, as_half, as_loss, as_percent, known, percent
from bench.report.results import NOT_RUN, Column, Link, Results, Variant, status_of
from bench.report.sentences import count, joined, listed, upper
from bench.report.topic import Answer, Table, Topic
from bench.report.topics import low_data, numerics
from bench.spec import Case, Documented, Suite

NOT_TRAINED: Literal["not trained"] = "not trained"
"""The status of a case of which steps alone were timed."""


@dataclass(frozen=True)
class AccuracyRow(Row):
    """A figure of a case under a variant: `n` of `planned` seeds have it.

    `lengths` are the epochs that each seed trained, `epochs_documented` those of the document; `stand_in` says on what
    was trained in place of the documented data.
    """

    figure: Figure
    epochs_documented: int | None
    planned: int
    status: Status | Literal["not run", "not trained"] = NOT_RUN
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
    """Return one row per case, figure and variant; a case without an accuracy record has one per figure."""
    rows: list[AccuracyRow] = []
    for suite, case in results.cases():
        key = (suite.name, case.name)
        documented = case.documented if results.documented else Documented()
        epochs = _documented_epochs(case, documented)
        for figure in figures(case, documented):
            for variant, column, records in results.placed(results.accuracy_groups, *key):
                planned = results.planned.get((*key, variant.numerics), ())
                seeds = len({seed for kind, seed, _ in planned if kind == "accuracy"})
                place = AccuracyRow(*key, variant, column, figure, epochs, seeds, status_of(records))
                rows.append(_measured(place, records, documented.unjudged))
            if key not in results.accuracy_groups:
                status = NOT_TRAINED if key in results.groups else NOT_RUN
                rows.append(AccuracyRow(*key, None, None, figure, epochs, 0, status))
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


def _by_figure(row: AccuracyRow) -> tuple[str, str]:
    return row.name, row.figure.name


def compared(results: Results) -> list[AccuracyRow]:
    """Return the rows of the figures that stand for their cases, under documented numerics.

    The training accuracy that is printed beside another one is none of them.
    """
    return [row for row in main_rows(frame(results)) if row.figure.main and row.figure.kind != "train"]


SomeRow = TypeVar("SomeRow", bound=AccuracyRow)


def by_figure(rows: Iterable[SomeRow]) -> list[list[SomeRow]]:
    """Return rows by the figure that they measured, in their order."""
    return list(grouped(rows, _by_figure).values())


def verdict(rows: Sequence[AccuracyRow]) -> Agreement | None:
    """Return the verdict on a documented figure over all backends that measured it, None where nothing is judged."""
    found = {row.verdict for row in rows if isinstance(row, MeasuredRow)}
    return next((each for each in get_args(Agreement) if each in found), None)


def answer(results: Results) -> Answer | None:
    """Return whether the documented figures hold; under the quick profile, how far the backends are apart."""
    measured = [row for row in compared(results) if isinstance(row, MeasuredRow)]
    if not measured:
        return None
    return _judged(results, measured) if results.documented else _apart(measured)


def _judged(results: Results, measured: Sequence[MeasuredRow]) -> Answer:
    by_verdict = grouped(by_figure(measured), verdict)
    outside, inside, variable = (by_verdict.get(each, []) for each in get_args(Agreement)[:3])
    judged = len(outside) + len(inside)
    conclusion = "No documented figure could be judged"
    if judged:
        conclusion = (
            f"{len(inside)} of {count(judged, 'judged documented figure')} "
            f"{'holds' if 1 in (len(inside), judged) else 'hold'}"
        )
    if variable:
        conclusion += f"; {len(variable)} {'is' if len(variable) == 1 else 'are'} too variable to judge"
    shown = [*outside, *variable, *inside]
    cases = dict.fromkeys(rows[0].name for rows in shown)
    reasons = [f"`{case}`: {upper(_reason(results, case))}." for case in cases if case in results.reasons]
    reasons += [f"`{rows[0].name}`: cause unknown." for rows in outside if rows[0].name not in results.reasons]
    places = [results.reasons[case][1].partition("#")[0] for case in cases if case in results.reasons]
    see: tuple[Link, ...] = (("accuracy", "accuracy.md"), *(("why", place) for place in places[:1]))
    holds = (
        "A figure holds where it lies inside the 95 % prediction interval of our runs; "
        f"one wider than {100 * WIDEST:.0f} points says nothing."
    )
    notes = (holds, *reasons, *_unjudged(by_verdict), *_unmeasured(results))
    table = Table(_JUDGED, tuple(line for rows in shown for line in _judged_lines(rows)), left=(0, 1, 5, 6))
    return Answer(f"{conclusion}.", table if shown else None, see, notes)


_JUDGED = ("case", "set", "documented %", "measured % (seeds)", "95 % of runs", "backend", "verdict")


def _judged_lines(rows: Sequence[MeasuredRow]) -> list[tuple[str, ...]]:
    """Return the lines of one figure: backends that measured the same share one."""
    lines = grouped(rows, lambda row: (f"{as_percent(row.mean, row.ci_half_width)} ({row.n})", *_held_against(row)))
    return [
        (
            *(rows[0].name, rows[0].figure.name, as_percent(rows[0].documented), mean, interval),
            *(joined([row.column for row in members]), found),
        )
        for (mean, interval, found), members in lines.items()
    ]


def _held_against(row: MeasuredRow) -> tuple[str, str]:
    """Return the prediction interval, in per cent, and the verdict."""
    judgement, documented = row.judgement, row.documented
    if judgement is None or documented is None:
        return "", ""
    away = max(judgement.low - documented, documented - judgement.high)
    side = "below" if documented < judgement.low else "above"
    outside = f", {100 * away:.2f} points {side}" if judgement.verdict == "outside" else ""
    interval = f"{100 * max(judgement.low, 0):.1f}–{100 * min(judgement.high, 1):.1f}"
    return interval, f"{judgement.verdict}{outside}"


def _reason(results: Results, case: str) -> str:
    return results.reasons[case][0]


def _unjudged(by_verdict: Mapping[Agreement | None, Sequence[Sequence[MeasuredRow]]]) -> list[str]:
    """Return why measured figures were not judged, a sentence a reason."""
    figures = [rows for each in ("n too small", "not judged") for rows in by_verdict.get(each, ())]
    by_reason = grouped(figures, lambda rows: next(row.judgement.reason for row in rows if row.judgement))
    return [
        f"Not judged: {listed([rows[0].name for rows in members], ', ')}. {upper(reason).rstrip('.')}."
        for reason, members in by_reason.items()
    ]


def _unmeasured(results: Results) -> list[str]:
    """Return each documented accuracy without a measurement, why, and what was trained in its place."""
    measured: dict[str, MeasuredRow] = {}
    for row in compared(results):
        if isinstance(row, MeasuredRow):
            measured[row.name] = max(measured.get(row.name, row), row, key=_measured_best)
    why = {problem.name: problem.clause for problem in lacking(results)}
    notes = []
    for suite, case in results.cases():
        name, printed = f"{suite.name}/{case.name}", documented_accuracy(case)
        if printed is None or name in measured:
            continue
        note = f"Not measured: {name} (documented {percent(printed[1])}): {why.get(name, NOT_YET)}."
        instead = low_data.learned_twin(suite.cases, case)
        twin = measured.get(f"{suite.name}/{instead.name}") if instead else None
        if instead and twin:
            reached = f"{percent(twin.mean, twin.ci_half_width)} ({count(twin.n, 'seed')}, {twin.column})"
            note += f" With a learned embedding, {instead.name}: {reached}."
        notes.append(note)
    return notes


def _measured_best(row: MeasuredRow) -> tuple[int, bool]:
    """Return a sort key that puts the row with the most seeds last, of these the documents' own backend."""
    return row.n, reference_order(row.variant.backend) == 0


def _apart(measured: Sequence[MeasuredRow]) -> Answer | None:
    """Return how far the backends' accuracies are apart, as the tables print them."""
    several = [rows for rows in by_figure(measured) if len({row.column for row in rows}) > 1]
    if not several:
        return Answer("Not judged: trained on generated text.", see=(("accuracy", "accuracy.md"),))
    columns = columns_of(row for rows in several for row in rows)
    gaps = [(max(row.mean for row in rows) - min(row.mean for row in rows), rows) for rows in several]
    differing = sorted((gap for gap in gaps if f"{100 * gap[0]:.2f}" != "0.00"), key=lambda gap: -gap[0])
    equal, cases = len(several) - len(differing), count(len(several), "case")
    found = f"equal in {'all ' if equal > 1 else ''}{cases}"
    if differing:
        found = f"equal in {equal} of {cases} (largest gap {100 * differing[0][0]:.1f} points)"
    lines = []
    for gap, rows in differing:
        means = {row.column: as_percent(row.mean, row.ci_half_width) for row in rows}
        shown = [means.get(column, NOTHING) for column in columns]
        lines.append((rows[0].name, rows[0].figure.name, *shown, f"{100 * gap:.2f}"))
    headers = ("case", "set", *(f"{column} %" for column in columns), "gap, points")
    table = Table(headers, tuple(lines), left=(0, 1)) if lines else None
    conclusion = f"Not judged: generated text. The backends' accuracies are {found}."
    return Answer(conclusion, table, (("accuracy", "accuracy.md"),))


_HOW_ACCURACY = (
    "Accuracies in per cent: mean over seeds ± 95 % CI (Student's t); `k of n` planned seeds ended ok. "
    "`set ±`: uncertainty from the number of evaluated rows alone, 1.96 √(a(1-a)/rows), in points."
)
_HOW_JUDGED = (
    "A document prints one run. Its figure is `inside` or `outside` the 95 % prediction interval of our runs, judged "
    f"from 5 seeds on. An interval wider than {100 * WIDEST:.0f} points is `too variable to judge`. Behind `outside` "
    "stands measured minus documented, in points."
)
_HOW_FIGURES = (
    "`test` and `val` are scores after the last epoch. `train` is evaluated after training, on all rows given to "
    "`fit`, a validation part split off by fraction included. `fit` is reported by the last epoch while it trains. "
    "`best val` belongs to the weights that a checkpoint kept. `epochs` is the mean (least–most) over seeds."
)


def table(results: Results) -> str:
    """Return `accuracy.md`: for every suite the judged table, the other figures, and the low-data pairs."""
    notes = Notes(results)
    title = "Accuracy: documented profile" if results.documented else "Accuracy on generated text (quick profile)"
    parts = [f"# {title}"]
    if not results.documented:
        parts.append(
            "Short trainings on generated text: compare the columns. Documented figures are not shown, since nothing "
            "here can be compared with them."
        )
    if not results.accuracy_records:
        return document([*parts, "No accuracy was measured: steps alone were timed."])
    parts += [_HOW_ACCURACY, *([_HOW_JUDGED] if results.documented else []), _HOW_FIGURES, *how_twins(results)]
    by_suite = grouped(frame(results), lambda row: row.suite)
    for suite in results.reported_suites():
        rows = by_suite[suite.name]
        parts += [suite_heading(suite), *_suite_notes(suite, results), *_accuracy_tables(results, suite, rows, notes)]
        parts += numerics.section(suite, results)
        parts += ["All figures, means over seeds:", _figures_table(rows)]
        parts += low_data.section(suite, results, notes)
    return document(parts + notes.section())


def _suite_notes(suite: Suite, results: Results) -> list[str]:
    if not results.documented:
        return []
    notes = ["\n".join(f"- {prose(note)}" for note in suite.notes)] if suite.notes else []
    return [f"Document: {cited(suite)}; Keras {plain(suite.era.keras)}.", *notes]


def cited(suite: Suite) -> str:
    """Return title, author and year of a suite's document as Markdown, linked where it has an address."""
    return f"[{plain(suite.citation)}]({suite.link})" if suite.link else plain(suite.citation)


def _accuracy_tables(results: Results, suite: Suite, data: Sequence[AccuracyRow], notes: Notes) -> list[str]:
    """Return a table for each set that accuracies are of, below a line that names it.

    Pairs of the low-data table stand there alone, unless their document prints a figure.
    """
    paired = low_data.paired(results, suite) - {row.case for row in data if row.documented is not None}
    main = [row for row in main_rows(data) if row.figure.main and row.case not in paired]
    parts = []
    for kind, rows in grouped(main, lambda row: row.figure.kind).items():
        parts += [f"{SETS[kind].capitalize()} accuracy:", _accuracy_table(results, suite, rows, notes)]
    return parts


def _accuracy_table(results: Results, suite: Suite, main: Sequence[AccuracyRow], notes: Notes) -> str:
    columns = columns_of(main)
    headers = ["case", *(["documented %"] if results.documented else []), "set ±"]
    left = {0}
    for column in columns:
        left.add(len(headers) + 1)
        headers += [f"{plain(column)} %", "judged" if results.documented else "seeds"]
    lines = []
    for rows in grouped(main, _by_figure).values():
        first = rows[0]
        # The notes on a case are about its document and the protocol there, which the quick profile does not run.
        case_notes = notes_on_case(results.case(suite.name, first.case)) if results.documented else []
        case_notes += notes.on_data(suite.name, first.case)
        if reason := results.reasons.get(first.name):
            case_notes.append(f"{upper(reason[0])} ([why]({reason[1]})).")
        name = plain(first.case)
        if first.figure.epoch is not None:
            name += f", epoch {first.figure.epoch}"
            case_notes.append(
                f"The document's log ends before the last epoch: both figures are those after epoch "
                f"{first.figure.epoch}."
            )
        line = [name + notes.mark(case_notes)]
        if results.documented:
            line.append("" if first.documented is None else as_percent(first.documented))
        widths = [row.sampling_half_width for row in rows if isinstance(row, MeasuredRow)]
        line.append(next((as_half(width).strip() for width in widths if width is not None), NOTHING))
        members = {row.column: row for row in rows}
        for column in columns:
            line += _accuracy_cells(members.get(column), first.status, column, notes)
        if results.twins:
            ok = [row.variant for row in rows if row.status == "ok" and row.variant]
            line.append(results.twin_mark(suite.name, first.case, ok) or NOTHING)
        lines.append(line)
    if results.twins:
        left.add(len(headers))
        headers.append("twins")
    return markdown_table(headers, lines, left)


def _accuracy_cells(row: AccuracyRow | None, status: str, column: Column, notes: Notes) -> list[str]:
    if row is None:
        return [NOTHING, "" if column.kernel else status if status == NOT_TRAINED else NOT_RUN]
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


TOPIC = Topic("accuracy", frame=frame, question="Do the documented figures hold?", answer=answer, table=table)
