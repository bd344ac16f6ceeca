"""`bench list`: what exists."""

from __future__ import annotations

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
from bench.commands import options
from bench.commands.terminal import aligned, bold, folded, print_json
from bench.errors import SuiteError
from bench.records import record
from bench.spec import Case, Data, Layer, Suite, Validation, Vectors

_HEADER = ("case", "parameters", "trainable", "documented")
_RIGHT = (1, 2)


@click.command()
@options.patterns
@click.option("--cells", "cells", is_flag=True, help="List the cells that `bench run` would run.")
@options.as_json("everything that is declared")
@options.suites
def command(patterns: tuple[str, ...], cells: bool, as_json: bool, suites: tuple[str, ...]) -> None:
    """List cases: layers, parameter counts, documented figures.

    A PATTERN is a shell glob over case names ('imdb-rnn/*'), or the name of a suite.
    """
    catalog = load([Path(path) for path in suites])
    if cells:
        records = _cell_records(catalog, patterns)
    else:
        selected = catalog.select(patterns)
        records = [_case_record(suite, case) for suite, case in selected] if as_json else []
    if as_json:
        listed = {record["suite"] for record in records}
        described = [_suite_record(catalog, suite) for suite in catalog.suites.values() if suite.name in listed]
        print_json(suites=described, records=records)
    elif cells:
        click.echo("\n".join(map(_cell_line, records)))
    else:
        _print_cases(selected)
    if catalog.errors:
        raise SuiteError("\n".join(str(error) for error in catalog.errors))


# --- tables ------------------------------------------------------------------------------------------------------


def _print_cases(selected: Sequence[tuple[Suite, Case]]) -> None:
    for place, (suite, pairs) in enumerate(groupby(selected, key=lambda pair: pair[0])):
        title = f"{suite.name}: {suite.citation} (Keras {suite.era.keras})"
        click.echo(("\n" if place else "") + bold(title))
        cases = [case for _, case in pairs]
        footnotes: dict[str, str] = {}
        marks = [_marks(case, footnotes) for case in cases]
        header, *rows = aligned([_HEADER, *(_figures(suite, case) for case in cases)], right=_RIGHT)
        click.echo(header)
        for row, case, mark in zip(rows, cases, marks, strict=True):
            click.echo(f"{row}\n{folded(f'{describe.layers(case)}{mark}', ' ' * 4)}")
        notes = [(f"({mark})", text) for text, mark in footnotes.items()]
        notes += [("?", "not judged: the note says why")] if any(case.documented.unjudged for case in cases) else []
        for line in [*(aligned(notes, lead="  ") if notes else []), *(folded(note, "  ") for note in suite.notes)]:
            click.echo(line)


def _figures(suite: Suite, case: Case) -> tuple[str, ...]:
    counts = parameters(resolve(suite, case, "documented"))
    accuracy = describe.documented_accuracy(case)
    shown = f"{accuracy[1]:.4f} {accuracy[0]}{' ?' if case.documented.unjudged else ''}" if accuracy else "-"
    return f"{suite.name}/{case.name}", f"{counts.total:,}", f"{counts.trainable:,}", shown


def _marks(case: Case, footnotes: dict[str, str]) -> str:
    """Return the letters of a case's notes, new ones put among `footnotes`."""
    notes = [*case.notes, *([f"Chosen here: {case.assumptions}."] if case.assumptions else [])]
    marks = [footnotes.setdefault(note, _letter(len(footnotes))) for note in notes]
    return f"  ({', '.join(marks)})" if marks else ""


def _letter(number: int) -> str:
    return chr(ord("a") + number % 26) * (number // 26 + 1)


# --- records -----------------------------------------------------------------------------------------------------


def _suite_record(catalog: Catalog, suite: Suite) -> dict[str, Any]:
    plain = {name: value for name, value in _plain(suite).items() if name != "cases"}
    return {**plain, "file": str(catalog.files[suite.name])}


def _case_record(suite: Suite, case: Case) -> dict[str, Any]:
    """Return the case as declared, with the names of a record (docs/design.md) where both have them."""
    declared = _plain(case)
    name = declared.pop("name")
    counts = record.plain(parameters(resolve(suite, case, "documented")))
    return {"suite": suite.name, "case": name, "summary": describe.layers(case), "parameters": counts, **declared}


def _plain(value: Any) -> Any:
    """Return dataclasses as dicts, with their `kind` where a field admits several classes."""
    if is_dataclass(value):
        kind = {"kind": type(value).__name__} if isinstance(value, Layer | Data | Vectors | Validation) else {}
        return {**kind, **{field.name: _plain(getattr(value, field.name)) for field in fields(value)}}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _cell_records(catalog: Catalog, patterns: tuple[str, ...]) -> list[dict[str, Any]]:
    # The plan knows data and backends; `bench list` without --cells must not pay for them.
    from bench.runner.options import RunOptions
    from bench.runner.plan import plan

    return [
        {
            "cell": str(planned.cell),
            **_plain(planned.cell),
            "unavailable": planned.obstacle.reason if planned.obstacle else None,
        }
        for planned in plan(catalog, RunOptions(patterns=patterns))
    ]


def _cell_line(record: dict[str, Any]) -> str:
    reason = record["unavailable"]
    return folded(f"{record['cell']}  unavailable: {reason}", hang=4) if reason else str(record["cell"])
