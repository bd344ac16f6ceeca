"""`bench import`: put exported results into a store, so that runs can be gone on with, reported and compared there."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import click
from msgspec import structs

from bench.commands import options
from bench.commands.terminal import print_json
from bench.errors import UsageError
from bench.records.exports import stream
from bench.records.sequence import place
from bench.records.store import Run, Store


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@options.store
@options.as_json("the imported runs and their names here")
def command(files: tuple[Path, ...], store_path: Path, as_json: bool) -> None:
    """Add runs to the store from files that `bench export --format json` wrote, all of them or none.

    A run that is already there gains the records it lacks; of a cell that ended ok in both, the later record is kept,
    whatever the clock said.
    A different run of the same name gets a number behind its name. A file NAME.rescued.jsonl holds what a run could not
    store.
    """
    with Store(store_path, create=True) as store, store.transaction():
        imported = [came for file in files for came in _taken_from(file, store)]
    for file in files:
        number = sum(came["cells"] for came in imported if came["file"] == str(file))
        click.echo(f"{number} records of {file} are in {store_path}", err=True)
    if as_json:
        print_json(records=imported)


def _taken_from(file: Path, store: Store) -> list[dict[str, Any]]:
    """Take in a file; return its runs with their names here and how many records came."""
    came: dict[str, dict[str, Any]] = {}
    for piece in stream(file):
        run = piece.run
        if run.name not in came:
            name = _taken_in(store, run)
            came[run.name] = {"file": str(file), "run": run.name, "name": name, "cells": 0}
            if name != run.name:
                click.echo(f"run {run.name} of {file} is called {name} here", err=True)
        for record, environment in piece.records:
            came[run.name]["cells"] += 1
            try:
                store.add(came[run.name]["name"], structs.replace(record, sequence=place(record)), environment)
            except (ValueError, OverflowError, RecursionError) as error:
                raise UsageError(f"{file}, record {record.cell}: {error}; export the run again") from error
    return list(came.values())


def _taken_in(store: Store, run: Run) -> str:
    """Return the name under which the store has `run`, which is put into it where it is new."""
    known = {other.name: other for other in store.runs()}
    names = chain([run.name], (f"{run.name}-{number}" for number in count(2)))
    free_or_same = next(name for name in names if name not in known or _is_same(known[name], run))
    if free_or_same not in known:
        store.add_run(replace(run, name=free_or_same))
    return free_or_same


def _is_same(run: Run, other: Run) -> bool:
    """Return whether two runs of one name are one run; those of earlier versions are told by start and environment."""
    if run.uuid and other.uuid:
        return run.uuid == other.uuid
    return (run.started, run.environment) == (other.started, other.environment)
