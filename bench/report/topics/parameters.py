"""Parameters: the counts of what was built beside the documented ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.cases.model import numerics_differences, resolve
from bench.cases.parameters import counts, printed_counts
from bench.cases.parameters import parameters as declared_parameters
from bench.records import record as stored
from bench.records.record import CASE, VARIANT
from bench.report.frames import frame_of, once, rows_of
from bench.report.markdown import document, given, markdown_table, plain, source_of, suite_heading
from bench.report.notes import Notes, notes_on_case
from bench.report.numbers import as_integer, as_sum
from bench.report.results import NOT_RUN, Results, status_of
from bench.report.sentences import Finding, listed
from bench.report.topic import Topic
from bench.spec import Case, Suite


@once
def frame(results: Results) -> pd.DataFrame:
    """Return one row per case and variant with the counts of what was built (several, should seeds differ).

    Columns: suite, case, column, backend, kernel, device, numerics, status, layers (tuple), total, trainable, frozen,
    stored, then documented_layers, documented_total, documented_trainable, documented_frozen (None where nothing is
    printed) and verdict: "equal", "differs: ...", "document misprint: ..." (what was built is what the case declares)
    or None where the document prints nothing, or where native numerics give torch's layers a bias more. Counts hold
    under both profiles.
    """
    groups = results.groups
    places = results.columns
    rows: list[dict[str, Any]] = []
    for suite, case in results.cases():
        documented = case.documented
        shared = {
            "suite": suite.name,
            "case": case.name,
            "documented_layers": documented.layers or None,
            "documented_total": documented.total,
            "documented_trainable": documented.trainable,
            "documented_frozen": documented.frozen,
        }
        variants = groups.get((suite.name, case.name), {})
        for variant, members in sorted(variants.items()):
            place = {
                "column": places[suite.name, case.name, variant],
                "backend": variant.backend,
                "kernel": variant.kernel,
            }
            place |= {"device": variant.device, "numerics": variant.numerics, "status": status_of(members)}
            counts: list[stored.Parameters] = []
            for record in members:
                if record.parameters and record.parameters not in counts:
                    counts.append(record.parameters)
            for built in counts:
                row = shared | place | {"layers": tuple(layer.total for layer in built.layers)}
                row |= {
                    "total": built.total,
                    "trainable": built.trainable,
                    "frozen": built.frozen,
                    "stored": built.stored,
                }
                rows.append(row | {"verdict": _verdict(suite, case, variant.numerics, built)})
            if not counts:
                rows.append(shared | place)
        if not variants:
            rows.append(shared | {"status": NOT_RUN})
    return frame_of(rows, _COLUMNS)


_COLUMNS = [
    *CASE, "column", *VARIANT, "status", "layers", "total", "trainable", "frozen", "stored", "documented_layers",
    "documented_total", "documented_trainable", "documented_frozen", "verdict",
]  # fmt: skip


def _verdict(suite: Suite, case: Case, numerics: str, built: stored.Parameters) -> str | None:
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


def findings(results: Results) -> list[Finding]:
    """Return in how many cases the documented counts are exactly those of what was built, and which differ."""
    parameters = frame(results)
    judged = parameters[parameters["verdict"].notna()]
    if judged.empty:
        return []
    differing = judged[judged["verdict"] != "equal"]
    names = sorted({f"{row['suite']}/{row['case']} ({row['verdict']})" for row in rows_of(differing)})
    cases = len(judged[CASE].drop_duplicates())
    equal = cases - len(differing[CASE].drop_duplicates())
    lead = f"Parameter counts are exactly the documented ones in {equal} of {cases} cases"
    return [Finding(lead, f"{listed(names)}." if names else "", (("parameters", "parameters.md"),))]


_HOW_PARAMETERS = (
    "`layers` are the counts line by line. `stored` is what the framework keeps in memory: a torch LSTM stores a "
    "second, frozen bias that is no parameter of the model. A case is `equal` when "
    "every count that the document prints is the one that was built; layers without parameters do not count line by "
    "line."
)


def table(results: Results) -> str:
    """Return `parameters.md`: for every case the documented counts and, below them, those of every variant."""
    data = frame(results)
    notes = Notes(results)
    parts = [f"# Parameters: {results.profile} profile", _HOW_PARAMETERS]
    for suite in results.reported_suites():
        rows = []
        for case, group in data[data["suite"] == suite.name].groupby("case", sort=False):
            name = plain(case)
            case_notes = notes_on_case(results.case(suite.name, str(case)))
            marks = notes.mark(case_notes + notes.on_data(suite.name, str(case)))
            first = group.iloc[0]
            printed = [
                as_sum(first["documented_layers"]),
                *(as_integer(first[f"documented_{part}"]) for part in ("total", "trainable", "frozen")),
            ]
            rows.append([name + marks, "documented", *printed, "", ""])
            rows += [_parameter_row(name, row, notes) for row in rows_of(group)]
        parts += [
            suite_heading(suite),
            markdown_table(
                ["case", "source", "layers", "total", "trainable", "frozen", "stored", "verdict"],
                rows,
                left=(0, 1, 2, 7),
            ),
        ]
    return document(parts + notes.section())


def _parameter_row(name: str, row: Mapping[Any, Any], notes: Notes) -> list[str]:
    if row["status"] == NOT_RUN:
        return [name, "", *[""] * 5, NOT_RUN]
    source = plain(source_of(str(row["column"]), row["kernel"]))
    if not given(row["total"]):
        marks = notes.mark(notes.on_cells(row, ("accuracy", "all", "timing")))
        return [name, source, *[""] * 5, f"{row['status']}{marks}"]
    counts = [as_integer(row[part]) for part in ("total", "trainable", "frozen", "stored")]
    return [name, source, as_sum(row["layers"]), *counts, plain(row["verdict"]) if given(row["verdict"]) else ""]


TOPIC = Topic("parameters", frame=frame, table=table)
