"""A comparison as files: Markdown for people, JSON for programs, JUnit for CI, figures for dashboards."""

from __future__ import annotations

import json
import math
import re
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from bench.compare.verdicts import Comparison, Outcome, Verdict
from bench.files import write_file
from bench.records.metrics import metric
from bench.records.record import SCHEMA_VERSION
from bench.report.markdown import document, markdown_table, plain, prose
from bench.shown import printable

CAP = 900_000
"""Bytes of `compare.md`: a job summary of GitHub holds a mebibyte."""
MOST_COMMENTED = 20
"""Rows of `comment.md`: a comment is read on a phone, too."""
MOST_OF_A_NAME = 120


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Write the files of a comparison into `folder`, which is made, and return their paths.

    `comment.md` is among them only where something failed or regressed; an earlier one is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = comment(comparison)
    (folder / "comment.md").unlink(missing_ok=True)
    contents = {
        folder / "compare.md": markdown(comparison),
        **({folder / "comment.md": told} if told else {}),
        folder / "compare.json": as_json(comparison),
        folder / "junit.xml": junit(comparison),
        folder / "smaller-is-better.json": dashboard(comparison, "lower"),
        folder / "bigger-is-better.json": dashboard(comparison, "higher"),
    }
    for path, text in contents.items():
        write_file(path, text)
    return list(contents)


# --- for people --------------------------------------------------------------------------------------------------


def summary(comparison: Comparison) -> str:
    """Return one sentence: how many verdicts there are of each kind, worst first."""
    counted = ", ".join(f"{count:,} {outcome}" for outcome, count in comparison.counts().items())
    return f"{comparison.candidate} against {comparison.base}: {counted or 'nothing to judge'}."


def line(verdict: Verdict) -> str:
    """Return a verdict as one line of a terminal."""
    parts = [f"{verdict.verdict:<13} {verdict.cell}"]
    if verdict.quantity:
        parts.append(f"{_title(verdict)}: {' → '.join(side or '–' for side in _sides(verdict))}")
    parts += [part for part in (_change(verdict), _counted(verdict), verdict.reason) if part]
    return printable("  ".join(parts))


def markdown(comparison: Comparison) -> str:
    """Return `compare.md`: the conclusion, a table, worst first, as long as `CAP` allows, then the notes."""
    title = f"# {plain(comparison.base)} → {plain(comparison.candidate)}"
    head = f"{title}\n\n{prose(summary(comparison))} {_how(comparison)}\n\n"
    rows = [
        "| verdict | cell | figure | base | candidate | change (95 % CI) | margin | n | why |",
        "|---|---|---|--:|--:|--:|--:|--:|---|",
    ]
    notes = document(_notes(comparison))
    parts = [head, "\n".join(rows), "\n"]
    size = len("".join([*parts, notes]).encode())
    verdicts = comparison.worst_first()
    for place, verdict in enumerate(verdicts):
        row = _row(verdict)
        size += len(row.encode())
        if size > CAP - 200:
            parts.append(f"\nAnd {len(verdicts) - place:,} more, none worse than these; compare.json has them all.\n")
            break
        parts.append(row)
    return "".join([*parts, "\n", notes])


def _how(comparison: Comparison) -> str:
    return "Measured in turn." if comparison.paired else "Two stored runs: times and memory are advice."


def _notes(comparison: Comparison) -> list[str]:
    """Return the paragraphs below the table: what differs between the sides, caveats, how to read the columns."""
    found = []
    if comparison.changed:
        found.append("From base to candidate:")
        found.append("\n".join(f"- {prose(change)}" for change in comparison.changed))
    found += [prose(caveat) for caveat in comparison.caveats]
    unit = "pairs" if comparison.paired else "processes"
    found.append(
        "A change is candidate minus base, in % of the base; of scores it is a difference. "
        f"n: how many of the planned {unit} or seeds have a figure on both sides."
    )
    if comparison.paired:
        found.append(
            "A change is estimated from the pairs and can differ from that of the two medians. The chance of any "
            f"false `regressed` is at most {comparison.policy.level:.0%}."
        )
    return found


def comment(comparison: Comparison) -> str | None:
    """Return `comment.md`: what failed or regressed, worst first, for a pull request; None where nothing did."""
    bad = _bad(comparison)
    if not bad:
        return None
    counts = comparison.counts()
    told = " and ".join(f"{counts[name]:,} {name}" for name in ("regressed", "failed") if name in counts)
    cells, all_cells = (len({verdict.cell for verdict in found}) for found in (bad, comparison.verdicts))
    rows = [
        (
            verdict.verdict,
            plain(_short(verdict.cell)),
            _title(verdict),
            *_sides(verdict),
            _change(verdict) or plain(_short(verdict.reason)),
            _counted(verdict),
        )
        for verdict in bad[:MOST_COMMENTED]
    ]
    more = len(bad) - len(rows)
    return document(
        [
            f"**{told}, in {cells:,} of {all_cells:,} cells.**",
            markdown_table(
                ["verdict", "cell", "figure", "base", "candidate", "change (95 % CI)", "n"], rows, left=(0, 1, 2)
            ),
            *([f"And {more:,} more; the job summary lists them."] if more else []),
            f"{_how(comparison)} A change is candidate minus base.",
        ]
    )


def _bad(comparison: Comparison) -> list[Verdict]:
    return [verdict for verdict in comparison.worst_first() if verdict.verdict in ("failed", "regressed")]


def _short(text: str) -> str:
    return textwrap.shorten(text, MOST_OF_A_NAME, placeholder=" ...") if " " in text else text[:MOST_OF_A_NAME]


def _row(verdict: Verdict) -> str:
    margin = _relative(verdict.margin, verdict, sign="±") if math.isfinite(verdict.effect) else ""
    cells = [verdict.verdict, plain(verdict.cell), _title(verdict), *_sides(verdict), _change(verdict), margin]
    return f"| {' | '.join([*cells, _counted(verdict), plain(verdict.reason)])} |\n"


def _title(verdict: Verdict) -> str:
    return metric(verdict.quantity).title if verdict.quantity else "whole cell"


def _sides(verdict: Verdict) -> list[str]:
    figures = (verdict.base, verdict.candidate)
    return [metric(verdict.quantity).text(figure) if math.isfinite(figure) else "" for figure in figures]


def _counted(verdict: Verdict) -> str:
    return f"{verdict.n} of {verdict.planned}" if verdict.planned else ""


def _change(verdict: Verdict) -> str:
    """Return the effect and its interval, in the way that people read the quantity."""
    if not math.isfinite(verdict.effect):
        return ""
    effect = _relative(verdict.effect, verdict)
    if not (math.isfinite(verdict.low) and math.isfinite(verdict.high)):
        return effect
    return f"{effect} ({_relative(verdict.low, verdict)} to {_relative(verdict.high, verdict)})"


def _relative(effect: float, verdict: Verdict, sign: str = "+") -> str:
    return metric(verdict.quantity).change(effect, sign) if math.isfinite(effect) else ""


# --- for programs ------------------------------------------------------------------------------------------------


def as_json(comparison: Comparison) -> str:
    """Return the whole comparison; missing figures are null, effects are as in `bench.compare.verdicts.Verdict`."""
    head = asdict(replace(comparison, verdicts=()))
    del head["verdicts"]
    document = {"schema_version": SCHEMA_VERSION, **head, "counts": comparison.counts()}
    names = [field.name for field in fields(Verdict)]
    verdicts = ",\n".join(
        "  " + json.dumps({name: _finite(getattr(verdict, name)) for name in names})
        for verdict in comparison.worst_first()
    )
    return json.dumps(document, indent=1).removesuffix("\n}") + ',\n "verdicts": [\n' + verdicts + "\n ]\n}\n"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def dashboard(comparison: Comparison, better: str) -> str:
    """Return the candidate's figures of which `better` are better, lower or higher, for a dashboard to draw.

    The form is that of github-action-benchmark's custom tools (benchmark-action/github-action-benchmark, README.md:
    `customSmallerIsBetter`, `customBiggerIsBetter`): a list of name, unit, value, range and extra.
    """
    known = (verdict for verdict in comparison.verdicts if verdict.quantity and math.isfinite(verdict.candidate))
    found = [
        {
            "name": f"{verdict.cell} {_title(verdict)}",
            "unit": metric(verdict.quantity).unit or "1",
            "value": verdict.candidate,
            "range": _change(verdict),
            "extra": f"{verdict.verdict}, {_counted(verdict)}, base {verdict.base:g}",
        }
        for verdict in sorted(known, key=attrgetter("cell", "quantity"))
        if metric(verdict.quantity).better == better
    ]
    return json.dumps(found, indent=1) + "\n"


# --- for CI ------------------------------------------------------------------------------------------------------


def junit(comparison: Comparison) -> str:
    """Return JUnit's XML: a cell is a test case, which fails where it regressed and is skipped where it is open.

    A cell that crashed or is missing is an error. Source of the form: testmoapp/junitxml (the common subset).
    """
    suite = ET.Element("testsuite", name=_xml(f"{comparison.base} → {comparison.candidate}"))
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    by_cell = attrgetter("cell")
    for cell, group in groupby(sorted(comparison.verdicts, key=by_cell), by_cell):
        verdicts = list(group)
        case = ET.SubElement(suite, "testcase", classname="twinbench", name=_xml(cell))
        counts["tests"] += 1
        for element, kind, outcomes in _RESULTS:
            told = [verdict for verdict in verdicts if verdict.verdict in outcomes]
            if told:
                counts[kind] += 1
                text = _xml("\n".join(line(verdict) for verdict in told))
                first = f"{told[0].verdict}: {_title(told[0])} {_change(told[0]) or told[0].reason}"
                ET.SubElement(case, element, message=_xml(first)).text = text
                break
        else:
            ET.SubElement(case, "system-out").text = _xml("\n".join(line(verdict) for verdict in verdicts))
    for name, count in counts.items():
        suite.set(name, str(count))
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


_RESULTS: Sequence[tuple[str, str, tuple[Outcome, ...]]] = (
    ("error", "errors", ("failed",)),
    ("failure", "failures", ("regressed",)),
    ("skipped", "skipped", ("inconclusive", "not judged")),
)


_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _xml(text: str) -> str:
    """Return `text` without the characters that no XML may hold (https://www.w3.org/TR/xml/#charsets)."""
    return _NOT_XML.sub("?", text)


def error_commands(comparison: Comparison, most: int = 10) -> Iterable[str]:
    """Yield GitHub's workflow commands for what failed or regressed, at most `most` (GitHub shows ten a step).

    Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions, with its escapes.
    """
    for verdict in _bad(comparison)[:most]:
        yield f"::error title={_property(f'{verdict.verdict}: {verdict.cell}')}::{_data(line(verdict))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
