"""What `bench port` found: one terminal screen, `port.md`, and JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.files import write_file
from bench.port.causes import CAUSES, Finding
from bench.port.result import EXACT, Comparison, Row
from bench.records.record import json_text
from bench.report.markdown import code, document, markdown_table, plain
from bench.report.sentences import count

WIDTH = 80
LINES = 45
NAME = 27
"""Columns of a layer's name."""
SHOWN = 2
"""So many causes are told in full; of others their names fit."""


def sentence(found: Comparison) -> str:
    """Return the verdict in one sentence."""
    if found.verdict == "unmatched":
        left = len(found.matching.keras) + len(found.matching.torch)
        return f"Unmatched: {count(left, 'layer')} with weights {'has' if left == 1 else 'have'} no clear counterpart."
    if found.verdict == "equal":
        trained = any(part.startswith("update") for part in found.compared)
        what = "outputs, gradients and training steps agree" if trained else "outputs and gradients agree"
        return f"Equal: {what} in all {count(len(found.rows), 'layer')} with weights."
    first = found.findings[0]
    return f"Differs: {count(len(found.findings), 'difference')}, the first in {_where(first)}: {_name(first)}."


def _name(finding: Finding) -> str:
    return CAUSES[finding.cause].name


def _where(finding: Finding) -> str:
    return finding.layer or finding.torch or "training"


def screen(found: Comparison) -> str:
    """Return the answer as text of at most 45 lines of 80 columns; a cause that many layers have is told once."""
    by_cause = _by_cause(found.findings)
    lines = _wrapped(sentence(found))
    for at, group in enumerate(by_cause[:SHOWN]):
        lines += ["", *_finding(group, first=at == 0)]
    if len(by_cause) > SHOWN:
        lines += ["", *_cut(f"Then: {'; '.join(map(_named, by_cause[SHOWN:]))}.", 2)]
    tail = _compared(found)
    if found.will_differ:
        what = ", ".join(map(_named, _by_cause(found.will_differ)))
        tail = [*_cut(f"Will differ once each side trains by its own defaults: {what}.", 3), "", *tail]
    if found.rows:
        lines += ["", *_table(found.rows, max(LINES - len(lines) - len(tail) - 5, 3))]
    return "\n".join([*lines, "", *tail])


def _by_cause(findings: Sequence[Finding]) -> list[list[Finding]]:
    groups: dict[str, list[Finding]] = {}
    for each in findings:
        groups.setdefault(each.cause, []).append(each)
    return list(groups.values())


def _named(group: Sequence[Finding]) -> str:
    return f"{_name(group[0])} ({_where(group[0])}{_more(group)})"


def _more(group: Sequence[Finding]) -> str:
    return f" and {len(group) - 1} more" if len(group) > 1 else ""


def _cut(text: str, lines: int) -> list[str]:
    """Return a text in so many lines at most."""
    wrapped = _wrapped(text)
    return wrapped if len(wrapped) <= lines else [*wrapped[: lines - 1], f"{wrapped[lines - 1][: WIDTH - 4]} ..."]


def _compared(found: Comparison) -> list[str]:
    lines = _wrapped(f"Compared in {found.precision}: {'; '.join(found.compared) or 'layers and their weights'}.")
    if found.left_out:
        lines += _wrapped(f"Not compared: {'; '.join(found.left_out)}.")
    for note in found.notes:
        lines += _wrapped(note)
    return [*lines, f"{found.parameters:,} parameters, {found.seconds:.1f} s."]


def _wrapped(text: str, lead: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead), break_on_hyphens=False)


def _finding(group: Sequence[Finding], first: bool) -> Iterator[str]:
    """Yield what is to be said of a cause, by the first finding that has it."""
    finding = group[0]
    pair = " = ".join(name for name in (finding.layer, finding.torch) if name) or "training"
    error = "" if finding.error == float("inf") else f", relative error {finding.error:.1e}"
    yield from _wrapped(f"{'First' if first else 'Next'} difference: {pair}{_more(group)} ({finding.stage}{error})")
    told = finding.told
    line = f"{finding.line}: {finding.code}" if finding.code else finding.line or ""
    parts = {"cause": _name(finding), "Keras": told.keras, "PyTorch": told.torch, "line": line, "remedy": told.remedy}
    for lead, text in parts.items():
        yield from _wrapped(text, f"  {lead:<8}")


def _table(rows: Sequence[Row], room: int) -> list[str]:
    wrong = [row for row in rows if not _fine(row)]
    shown = list(rows) if len(rows) <= room else (wrong or list(rows))[:room]
    cells = [("Keras", "PyTorch", "alone", "in place"), *(_cells(row) for row in shown)]
    widths = [min(max(len(row[at]) for row in cells), NAME) for at in range(2)]
    lines = [
        f"  {row[0][:NAME]:<{widths[0]}}  {row[1][:NAME]:<{widths[1]}}  {row[2]:>8}  {row[3]:>8}".rstrip()
        for row in cells
    ]
    if len(shown) < len(rows):
        lines.append(f"  and {count(len(rows) - len(shown), 'more layer')}")
    return ["Largest relative error of each layer: on Keras's own input, and in place", *lines]


def _fine(row: Row) -> bool:
    return all(error is not None and error <= EXACT["float64"] for error in (row.alone, row.through))


def _cells(row: Row) -> tuple[str, str, str, str]:
    return row.keras, row.torch or "(the module)", _error(row.alone), _error(row.through)


def _error(error: float | None) -> str:
    if error is None:
        return ""
    return "shape" if error == float("inf") else f"{error:.0e}"


def as_json(found: Comparison, keras: str, torch: str) -> dict[str, Any]:
    """Return the comparison as plain values."""
    names = ("verdict", "precision", "compared", "notes", "parameters", "seconds")
    return {
        "keras": keras,
        "torch": torch,
        "conclusion": sentence(found),
        **{name: getattr(found, name) for name in names},
        "findings": [_plain(each) for each in found.findings],
        "will_differ": [_plain(each) for each in found.will_differ],
        "layers": [
            {"keras": row.keras, "torch": row.torch, "kind": row.kind, "alone": row.alone, "in_place": row.through}
            for row in found.rows
        ],
        "not_compared": found.left_out,
    }


def _plain(finding: Finding) -> dict[str, Any]:
    told = {"keras_has": finding.told.keras, "torch_has": finding.told.torch, "remedy": finding.told.remedy}
    own = {name: getattr(finding, name) for name in ("stage", "layer", "torch", "cause", "line", "code", "error")}
    return {**own, "name": _name(finding), **told}


def page(found: Comparison, keras: str, torch: str) -> str:
    """Return `port.md`."""
    parts = [f"# {plain(keras)} and its port {plain(torch)}", plain(sentence(found))]
    for title, findings in (("What differs", found.findings), ("What will differ in training", found.will_differ)):
        if findings:
            head = ("stage", "layer", "cause", "Keras", "PyTorch", "line", "remedy", "error")
            rows = [
                (
                    each.stage, plain(_where(each)), _name(each), plain(each.told.keras), plain(each.told.torch),
                    code(each.line) if each.line else "", plain(each.told.remedy), _error(each.error),
                )
                for each in findings
            ]  # fmt: skip
            parts += [f"## {title}", markdown_table(head, rows, left=range(7))]
    if found.rows:
        cells = [tuple(map(plain, _cells(row))) for row in found.rows]
        parts += [
            "## Largest relative error of each layer",
            "`alone`: on Keras's own input; `in place`: after all layers before.",
        ]
        parts.append(markdown_table(("Keras", "PyTorch", "alone", "in place"), cells, left=(0, 1)))
    parts.append(" ".join(map(plain, _compared(found))))
    return document(parts)


def write(found: Comparison, keras: str, torch: str, folder: Path) -> None:
    """Write `port.md` and `port.json` into a folder."""
    write_file(folder / "port.md", page(found, keras, torch))
    write_file(folder / "port.json", json_text(as_json(found, keras, torch), indent=1) + "\n")
