"""Accuracy: what was measured beside what the documents print, judged where it can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from bench.compare.statistics import SMALLEST_SAMPLE, binomial_half_width, judge, mean_interval
from bench.records.record import CASE, VARIANT, Record
from bench.report.figures import Figure, figures
from bench.report.frames import frame_of, main_rows, once, rows_of
from bench.report.markdown import (
    NOTHING,
    as_loss,
    as_percent,
    document,
    given,
    how_twins,
    markdown_table,
    n_of,
    plain,
    prose,
    source_of,
    suite_heading,
)
from bench.report.notes import Notes, notes_on_case, on_stand_in
from bench.report.results import NOT_RUN, Link, Results, status_of
from bench.report.sentences import Finding, count, name, percent, shared, under, upper
from bench.report.topics import low_data, numerics
from bench.report.topics import parameters as parameters_topic
from bench.spec import Case, Documented, Suite


@once
def frame(results: Results) -> pd.DataFrame:
    """Return one row per case, figure and variant.

    Columns: suite, case, figure, main, documented, documented_loss (None where nothing is printed and in the quick
    profile), column (where the variant stands), backend, kernel, device, numerics, status, mean, half (95 % interval
    over seeds), loss (mean), n of `of` seeds recorded for the case, rows and own (the set's own uncertainty, around the
    mean), verdict, low, high, reason, stand_in, epochs (mean, first to last), epochs_documented. A case without a
    record has one row per figure with status "not run".
    """
    groups = results.accuracy_groups
    places = results.columns
    rows: list[dict[str, Any]] = []
    for suite, case in results.cases():
        documented = case.documented if results.documented else Documented()
        variants = groups.get((suite.name, case.name), {})
        planned = results.planned.get((suite.name, case.name), set())
        seeds = len({seed for kind, seed, _ in planned if kind == "accuracy"})
        for figure in figures(case, documented):
            shared = {
                "suite": suite.name,
                "case": case.name,
                "figure": figure.name,
                "main": figure.main,
                "documented": figure.score.accuracy,
                "documented_loss": figure.score.loss,
                "epochs_documented": _documented_epochs(case, documented),
                "of": seeds,
            }
            for variant, members in sorted(variants.items()):
                rows.append(
                    shared
                    | {
                        "column": places[suite.name, case.name, variant],
                        "backend": variant.backend,
                        "kernel": variant.kernel,
                    }
                    | {"device": variant.device, "numerics": variant.numerics, "status": status_of(members)}
                    | _measured(figure, members, documented.unjudged)
                )
                rows[-1]["of"] = max(seeds, rows[-1]["n"])
            if not variants:
                rows.append(shared | {"status": NOT_RUN})
    return frame_of(rows, _COLUMNS)


_COLUMNS = [
    *CASE, "figure", "main", "documented", "documented_loss", "epochs_documented", "column", *VARIANT, "status",
    "mean", "half", "loss", "n", "of", "rows", "own", "verdict", "low", "high", "reason", "stand_in",
    "epochs", "epochs_least", "epochs_most",
]  # fmt: skip


def _measured(figure: Figure, records: Sequence[Record], unjudged: str | None) -> dict[str, Any]:
    ok = [record.metrics for record in records if record.status == "ok" and record.metrics]
    scores = [score for metrics in ok if (score := figure.measured(metrics)) is not None]
    stand_ins = sorted({record.data.stand_in for record in records if record.data and record.data.stand_in})
    row: dict[str, Any] = {"n": len(scores), "stand_in": "; ".join(stand_ins) or None}
    if ok:
        lengths = [len(metrics.epochs) for metrics in ok]
        row |= {"epochs": fmean(lengths), "epochs_least": min(lengths), "epochs_most": max(lengths)}
    if not scores:
        return row
    values = [score.accuracy for score in scores]
    estimate = mean_interval(values)
    set_rows = scores[0].rows if figure.sampled else None
    row |= {
        "mean": estimate.mean,
        "half": estimate.ci_half_width,
        "loss": fmean(score.loss for score in scores),
        "rows": set_rows,
        "own": binomial_half_width(estimate.mean, set_rows) if set_rows else None,
    }
    if figure.main and figure.score.accuracy is not None:
        if stand_ins and not unjudged:
            unjudged = on_stand_in("; ".join(stand_ins))
        judgement = judge(figure.score.accuracy, values, unjudged)
        row |= {"verdict": judgement.verdict, "low": judgement.low, "high": judgement.high, "reason": judgement.reason}
    return row


def _documented_epochs(case: Case, documented: Documented) -> int | None:
    """Return how many epochs the document ran: its log's length, or its protocol's where the print breaks off."""
    if not documented.epochs:
        return None
    return len(documented.epochs) if case.training.early_stopping else case.training.epochs


def documented(results: Results) -> list[Finding]:
    data = main_rows(frame(results))
    main = data[data["main"].astype(bool) & data["mean"].notna()]
    return [*_judged(main), *_deviations(main, results), *parameters_topic.answer(parameters_topic.frame(results))]


def _judged(main: pd.DataFrame) -> list[Finding]:
    """Return how many figures hold, under all backends that judge them, and what could not be judged."""
    judged = main[main["verdict"].isin(["inside", "outside"])]
    figures = [rows_of(rows) for _, rows in judged.groupby([*CASE, "figure"], sort=False)]
    few, never = (main[main["verdict"] == verdict] for verdict in ("n too small", "not judged"))
    rest = []
    if len(few):
        rest.append(f"{_figures(few)} measured with fewer than {SMALLEST_SAMPLE} seeds, too few to judge")
    if len(never):
        rest.append(f"{_figures(never)} may not be judged (no printed protocol, or a stand-in for the data)")
    text = f"{upper('; '.join(rest))}." if rest else ""
    see: tuple[Link, ...] = (("accuracy", "accuracy.md"),)
    if not figures:
        return [Finding("No figure is judged yet" if rest else "No figure was measured", text, see)]
    held = sum(all(row["verdict"] == "inside" for row in rows) for rows in figures)
    columns = {tuple(sorted(str(row["column"]) for row in rows)) for rows in figures}
    who = under(next(iter(columns)), main["column"]) if len(columns) == 1 else "under every backend that judges them"
    lead = f"Of {count(len(figures), 'judged figure')} {held} {'holds' if held == 1 else 'hold'} {who}"
    holds = "A figure holds where it lies inside the 95 % prediction interval of the measured runs."
    return [Finding(lead, f"{holds} {text}".strip(), see)]


def _figures(rows: pd.DataFrame) -> str:
    return count(len(rows[[*CASE, "figure"]].drop_duplicates()), "figure")


def _deviations(main: pd.DataFrame, results: Results) -> list[Finding]:
    """Return the figures outside, largest deviation first, each with its reason; then other cases with a reason."""
    judged = main[main["verdict"].isin(["inside", "outside"])]
    outside = judged[judged["verdict"] == "outside"]
    every = main["column"]
    found = sorted(
        (_deviation(rows_of(rows), every, results) for _, rows in outside.groupby([*CASE, "figure"], sort=False)),
        key=lambda pair: pair[0],
    )
    findings = [finding for _, finding in found]
    if len(judged) and not findings:
        findings = [_least(judged)]
    told = set(map(name, rows_of(outside)))
    compared = main[main["documented"].notna() & (main["figure"] != "train")]
    by_case = {name(rows_of(rows)[0]): rows_of(rows) for _, rows in compared.groupby(CASE, sort=False)}
    for case, (reason, place) in results.reasons.items():
        if case not in told:
            rows = by_case.get(case, [])
            text = f"{_against_documented(rows, every)}. " if rows else ""
            findings.append(Finding(case, f"{upper(text)}{upper(reason)}.", (("shown", place),)))
    return findings


def _deviation(rows: Sequence[Mapping[Any, Any]], every: Iterable[str], results: Results) -> tuple[float, Finding]:
    """Return a sort key (largest deviation first) and the sentence on the variants of one documented figure."""
    largest = max(abs(float(row["mean"] - row["documented"])) for row in rows)
    case = name(rows[0])
    reason, place = results.reasons.get(case, ("why is not known", ""))
    text = f"{upper(_against_documented(rows, every))}. {upper(reason)}."
    return -largest, Finding(f"Outside: {case}", text, (("why", place),) if place else ())


def _against_documented(rows: Sequence[Mapping[Any, Any]], every: Iterable[str]) -> str:
    """Return `documented ... (test), measured ...` with each variant's verdict, and how far outside the figure lies."""
    measured = shared(
        ((str(row["column"]), f"{percent(row['mean'], row['half'], 1)} ({_verdict_of(row)})") for row in rows), every
    )
    return f"documented {percent(rows[0]['documented'])} ({rows[0]['figure']}), measured {', '.join(measured)}"


def _verdict_of(row: Mapping[Any, Any]) -> str:
    seeds, printed = count(int(row["n"]), "seed"), row["documented"]
    if row["verdict"] not in ("inside", "outside"):
        return f"{seeds}, {'too few to judge' if row['verdict'] == 'n too small' else row['verdict']}"
    interval = f"prediction interval {100 * max(row['low'], 0):.1f} to {percent(min(row['high'], 1), digits=1)}"
    if row["verdict"] == "inside":
        return f"{seeds}, inside the {interval}"
    away, side = (row["low"] - printed, "below") if printed < row["low"] else (printed - row["high"], "above")
    return f"{seeds}; documented is {100 * away:.2f} points {side} the {interval}"


def _least(judged: pd.DataFrame) -> Finding:
    row = max(rows_of(judged), key=lambda row: abs(row["mean"] - row["documented"]))
    points = 100 * (row["mean"] - row["documented"])
    return Finding(
        "No figure is outside",
        f"The largest deviation of a mean is {points:+.2f} points, {row['suite']}/{row['case']} under "
        f"{row['column']} (documented {percent(row['documented'])}, {row['figure']}).",
    )


def embedded(results: Results) -> list[Finding]:
    data = frame(results)
    main = data[data["main"].astype(bool) & data["mean"].notna()]
    found = [
        Finding(
            "Not asked",
            "These accuracies were measured on the embedded corpus, which is generated, after a shortened training.",
        )
    ]
    spreads = [
        (float(group["mean"].max() - group["mean"].min()), "/".join(map(str, key)))
        for key, group in main.groupby(CASE, sort=False)
        if len(group) > 1
    ]
    if spreads:
        spread, name = max(spreads)
        found.append(Finding(f"The backends' means differ by at most {100 * spread:.2f} points", f"Most on {name}."))
    return found + parameters_topic.answer(parameters_topic.frame(results))


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
    data = frame(results)
    pairs = main_rows(low_data.frame(results))
    others = numerics.frame(results)
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
    for suite in results.reported_suites():
        own = data[data["suite"] == suite.name]
        parts += [
            suite_heading(suite),
            *_suite_notes(suite, results),
            _accuracy_table(results, suite, main_rows(own), notes),
        ]
        parts += numerics.section(others[others["suite"] == suite.name])
        parts += ["All figures, means over seeds:", _figures_table(own)]
        parts += low_data.section(suite, pairs[pairs["suite"] == suite.name], notes)
    return document(parts + notes.section())


def _suite_notes(suite: Suite, results: Results) -> list[str]:
    if not results.documented:
        return []
    lines = [f"Document {plain(suite.document)}, Keras {plain(suite.era.keras)}."]
    return [" ".join(lines), *(["\n".join(f"- {prose(note)}" for note in suite.notes)] if suite.notes else [])]


def _accuracy_table(results: Results, suite: Suite, data: pd.DataFrame, notes: Notes) -> str:
    main = data[data["main"].astype(bool)]
    columns = sorted(main["column"].dropna().unique())
    documented = ["documented %"] if results.documented else []
    headers = ["case", "set", *documented, "set ±"]
    left = {0, 1}
    for column in columns:
        left.add(len(headers) + 1)
        headers += [f"{plain(column)} %", "judged" if results.documented else "seeds"]
    rows = []
    for (case_name, figure), group in main.groupby(["case", "figure"], sort=False):
        case = results.case(suite.name, str(case_name))
        # The notes on a case are about its document and the protocol there, which the quick profile does not run.
        case_notes = notes_on_case(case) if results.documented else []
        case_notes += notes.on_data(suite.name, str(case_name))
        if "epoch" in str(figure):
            case_notes.append(
                "The document's log breaks off before the last epoch; its figure is compared with the measured one "
                "of the same epoch."
            )
        members = {row["column"]: row for row in rows_of(group)}
        first = next(iter(members.values()))
        own = next((row["own"] for row in members.values() if given(row["own"])), None)
        row = [plain(case_name) + notes.mark(case_notes), plain(figure)]
        if results.documented:
            row.append(as_percent(first["documented"]) if given(first["documented"]) else "")
        row.append(f"±{100 * own:.2f}" if own is not None else NOTHING)
        for column in columns:
            row += _accuracy_cells(members.get(column), column, data, notes)
        if results.twins:
            row.append(results.twin_mark(one for one in members.values() if one["status"] == "ok") or NOTHING)
        rows.append(row)
    if results.twins:
        left.add(len(headers))
        headers.append("twins")
    return markdown_table(headers, rows, left)


def _accuracy_cells(
    row: Mapping[Any, Any] | None,
    column: str,
    data: pd.DataFrame,
    notes: Notes,
) -> list[str]:
    if row is None:
        kernels = set(data.loc[data["column"] == column, "kernel"])
        return [NOTHING, "" if any(column.endswith(f" {kernel}") for kernel in kernels) else NOT_RUN]
    texts = notes.on_cells(row, ("accuracy", "all"))
    if row["status"] != "ok":
        return [NOTHING, f"{row['status']}, 0 of {int(row['of'])}{notes.mark(texts)}"]
    if not row["n"]:
        return [NOTHING, f"not evaluated{notes.mark(texts)}"]
    verdict = row["verdict"]
    if verdict == "not judged":
        on_other_data = given(row["stand_in"]) and row["reason"] == on_stand_in(row["stand_in"])
        texts.append(prose(row["reason"] if on_other_data else f"Not judged: {row['reason']}"))
    deviation = f" ({100 * (row['mean'] - row['documented']):+.2f})" if verdict == "outside" else ""
    said = f"{verdict}{deviation}, " if given(verdict) else ""
    return [as_percent(row["mean"], row["half"]), f"{said}{n_of(row)}{notes.mark(texts)}"]


def _figures_table(data: pd.DataFrame) -> str:
    """Return one row for the document and one for every variant of each case, without columns that stay empty."""
    kinds = ["test", "val", "best val", "train", "fit"]
    rows: list[dict[str, str]] = []
    for case, group in data[data["status"] == "ok"].groupby("case", sort=False):
        first = group.iloc[0]
        printed = {"case": plain(case), "source": "documented"}
        for figure in rows_of(group.drop_duplicates("figure")):
            kind = str(figure["figure"]).partition(",")[0]
            printed |= _pair(kind, figure["documented"], figure["documented_loss"])
        if given(first["epochs_documented"]):
            printed["epochs"] = f"{first['epochs_documented']:.0f}"
        if len(printed) > 2:
            rows.append(printed)
        for column, members in group.groupby("column", sort=True):
            one = members.iloc[0]
            measured = {"case": plain(case), "source": plain(source_of(str(column), one["kernel"]))}
            for figure in rows_of(members):
                measured |= _pair(str(figure["figure"]).partition(",")[0], figure["mean"], figure["loss"])
            rows.append(measured | {"epochs": _epochs(one)})
    headers = ["case", "source", *(header for kind in kinds for header in (f"{kind} %", f"{kind} loss")), "epochs"]
    shown = [header for header in headers if any(header in row for row in rows)]
    return (
        markdown_table(shown, [[row.get(header, "") for header in shown] for row in rows], left=(0, 1))
        if rows
        else "Nothing ended ok."
    )


def _pair(kind: str, accuracy: Any, loss: Any) -> dict[str, str]:
    figures = {f"{kind} %": as_percent(accuracy)} if given(accuracy) else {}
    return figures | ({f"{kind} loss": as_loss(loss)} if given(loss) else {})


def _epochs(row: Mapping[Any, Any] | pd.Series) -> str:
    if not given(row["epochs"]):
        return NOTHING
    least, most = int(row["epochs_least"]), int(row["epochs_most"])
    return f"{least}" if least == most else f"{row['epochs']:.1f} ({least}–{most})"


def block(results: Results) -> str:
    """Return the documented accuracy of every case that has one beside the measured ones, in per cent."""
    data = main_rows(frame(results))
    data = data[data["main"].astype(bool) & data["documented"].notna() & (data["figure"] != "train")]
    columns = sorted(data["column"].dropna().unique())
    rows = []
    for (suite, case, figure), group in data.groupby([*CASE, "figure"], sort=False):
        members = {str(row["column"]): row for row in rows_of(group)}
        first = next(iter(members.values()))
        row = [plain(f"{suite}/{case}"), plain(figure), f"{100 * first['documented']:.2f}"]
        row += [_block_cell(members.get(column)) for column in columns]
        verdicts = [one["verdict"] or one["status"] for one in members.values()]
        rows.append([*row, plain(" / ".join(dict.fromkeys(verdicts)))])
    return markdown_table(
        ["case", "set", "documented", *map(plain, columns), "judged"], rows, left=(0, 1, 3 + len(columns))
    )


def _block_cell(row: Mapping[Any, Any] | None) -> str:
    if row is None or row["mean"] is None:
        return NOTHING
    half = f" ±{100 * row['half']:.2f}" if row["half"] is not None else ""
    return f"{100 * row['mean']:.2f}{half} ({int(row['n'])})"
