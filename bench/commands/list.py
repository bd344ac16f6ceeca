"""`bench list`: what exists."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from bench.cases import describe
from bench.cases.catalog import Catalog, load
from bench.cases.model import resolve
from bench.cases.parameters import parameters
from bench.errors import SuiteError
from bench.records.record import SCHEMA_VERSION, plain
from bench.spec import Case, Data, Layer, Suite, Validation, Vectors

_HEADER = ("case", "parameters", "trainable", "documented", "notes", "layers")
_RIGHT = {"parameters", "trainable"}
NARROWEST = 30
"""Characters that a folded text gets at least; a column that has not even that many stands below its row."""


@click.command("list", short_help="What exists: cases, layers, parameter counts, documented figures.")
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option("--cells", "cells", is_flag=True, help="List the cells that a bare `bench run` of the cases would run.")
@click.option("--json", "as_json", is_flag=True, help="Print everything that is declared, as JSON.")
@click.option(
    "--suites",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Also load this suite file or folder (repeatable).",
)
def command(patterns: tuple[str, ...], cells: bool, as_json: bool, paths: tuple[Path, ...]) -> None:
    """List cases with their layers, parameter counts and documented figures.

    A PATTERN is a shell glob over case names (imdb-rnn/*); a suite's name stands for all its cases.
    """
    catalog = load(paths)
    if cells:
        records = _cell_records(catalog, patterns)
        text = "\n".join(_cell_line(record) for record in records)
    else:
        selected = catalog.select(patterns)
        records = [_case_record(suite, case) for suite, case in selected]
        text = _tables(selected)
    if as_json:
        listed = {record["suite"] for record in records}
        suites = [_suite_record(catalog, suite) for suite in catalog.suites.values() if suite.name in listed]
        text = json.dumps({"schema_version": SCHEMA_VERSION, "suites": suites, "records": records}, indent=2)
    click.echo(text)
    if catalog.errors:
        raise SuiteError("\n".join(str(error) for error in catalog.errors))


# --- tables ------------------------------------------------------------------------------------------------------


def _tables(selected: Sequence[tuple[Suite, Case]]) -> str:
    by_suite = [(suite, [case for _, case in group]) for suite, group in groupby(selected, key=lambda pair: pair[0])]
    return "\n\n".join(_suite_table(suite, cases) for suite, cases in by_suite)


def _suite_table(suite: Suite, cases: Sequence[Case]) -> str:
    footnotes: dict[str, str] = {}
    rows = [_row(suite, case, footnotes) for case in cases]
    title = f"{suite.name}: document {suite.document}, {suite.title} (Keras {suite.era.keras})"
    lines = [click.style(line, bold=True) for line in _folded("", title)]
    lines += _aligned([_HEADER, *rows])
    for text, mark in footnotes.items():
        lines += _folded(f"  ({mark}) ", text)
    if any(case.documented.unjudged for case in cases):
        lines.append("  ?   not judged: the note says why")
    for note in suite.notes:
        lines += _folded("  ", note)
    return "\n".join(lines)


def _folded(start: str, text: str) -> list[str]:
    """Return `start` and `text`, on a terminal in lines of its width that begin where the text does.

    Elsewhere a line stays a line, for what reads lines.
    """
    if not sys.stdout.isatty():
        return [start + text]
    room = max(NARROWEST, shutil.get_terminal_size().columns - len(start))
    first, *rest = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [start + first, *(" " * len(start) + line for line in rest)]


def _row(suite: Suite, case: Case, footnotes: dict[str, str]) -> tuple[str, ...]:
    counts = parameters(resolve(suite, case, "documented"))
    notes = [*case.notes, *([f"Chosen here: {case.assumptions}."] if case.assumptions else [])]
    marks = [footnotes.setdefault(note, _letter(len(footnotes))) for note in notes]
    accuracy = describe.documented_accuracy(case)
    shown = f"{accuracy[1]:.4f} {accuracy[0]}{' ?' if case.documented.unjudged else ''}" if accuracy else "-"
    return (
        f"{suite.name}/{case.name}",
        f"{counts.total:,}",
        f"{counts.trainable:,}",
        shown,
        ",".join(marks),
        describe.layers(case),
    )


def _letter(number: int) -> str:
    return chr(ord("a") + number % 26) * (number // 26 + 1)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [">" if name in _RIGHT else "<" for name in _HEADER]
    lines = []
    for *row, layers in rows:
        start = "".join(f"{text:{side}{width}}  " for text, side, width in zip(row, sides, widths, strict=False))
        lines += [start, *_folded("    ", layers)] if _below(len(start), widths[-1]) else _folded(start, layers)
    return [line.rstrip() for line in lines]


def _below(start: int, width: int) -> bool:
    """Return whether the last column, `width` wide, stands below its row: on a terminal with no room beside it."""
    room = shutil.get_terminal_size().columns - start
    return sys.stdout.isatty() and room < min(width, NARROWEST)


# --- records -----------------------------------------------------------------------------------------------------


def _suite_record(catalog: Catalog, suite: Suite) -> dict[str, Any]:
    plain = {name: value for name, value in _plain(suite).items() if name != "cases"}
    return {**plain, "file": str(catalog.files[suite.name])}


def _case_record(suite: Suite, case: Case) -> dict[str, Any]:
    """Return the case as declared, with the names of a record (docs/design.md) where both have them."""
    declared = _plain(case)
    name = declared.pop("name")
    counts = plain(parameters(resolve(suite, case, "documented")))
    return {"suite": suite.name, "case": name, "summary": describe.layers(case), "parameters": counts, **declared}


def _plain(value: Any) -> Any:
    """Return dataclasses as dicts, with their `kind` where a field admits several classes."""
    if is_dataclass(value):
        kind = {"kind": type(value).__name__} if isinstance(value, Layer | Data | Vectors | Validation) else {}
        return {**kind, **{field.name: _plain(getattr(value, field.name)) for field in fields(value)}}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _cell_records(catalog: Catalog, patterns: tuple[str, ...]) -> list[dict[str, Any]]:
    # The plan knows data and backends; `bench list` without --cells must not pay for them.
    from bench.runner.plan import Matrix, plan

    return [
        {
            "cell": str(planned.cell),
            **_plain(planned.cell),
            "unavailable": planned.obstacle.reason if planned.obstacle else None,
        }
        for planned in plan(catalog, Matrix(patterns=patterns))
    ]


def _cell_line(record: dict[str, Any]) -> str:
    reason = record["unavailable"]
    return f"{record['cell']}  unavailable: {reason}" if reason else str(record["cell"])
