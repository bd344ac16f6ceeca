"""`bench import`: put exported results into a store, so that runs can be gone on with, reported and compared there."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path

import click

from bench.commands import options
from bench.commands.terminal import print_json
from bench.records.exports import read
from bench.records.store import Run, Store


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@options.store
@options.as_json("the imported runs and their names here")
def command(files: tuple[Path, ...], store_path: Path, as_json: bool) -> None:
    """Add runs to the store from files that `bench export --format json` wrote.

    A run that is already there gains the records it lacks; of a cell that ended ok in both, the later record is kept.
    A different run of the same name gets a number behind its name.
    """
    exports = [read(file) for file in files]
    imported = []
    with Store(store_path, create=True) as store:
        for file, exported in zip(files, exports, strict=True):
            for export in exported:
                run, records = export.run, export.records
                name = _taken_in(store, run)
                ended = {(record.cell, record.repeat): record.started for record in store.finished(name)}
                for record, environment in records:
                    if ended.get((record.cell, record.repeat), "") <= record.started:
                        store.add(name, record, environment)
                imported.append({"file": str(file), "run": run.name, "name": name, "cells": len(records)})
                if name != run.name:
                    click.echo(f"run {run.name} of {file} is called {name} here", err=True)
            number = sum(len(export.records) for export in exported)
            click.echo(f"{number} records of {file} are in {store_path}", err=True)
    if as_json:
        print_json(records=imported)


def _taken_in(store: Store, run: Run) -> str:
    """Return the name under which the store has `run`, which is put into it where it is new."""
    known = {other.name: (other.started, other.environment) for other in store.runs()}
    names = chain([run.name], (f"{run.name}-{number}" for number in count(2)))
    free_or_same = next(name for name in names if known.get(name, ()) in ((), (run.started, run.environment)))
    if free_or_same not in known:
        store.create_run(free_or_same, run.profile, run.environment, run.command, run.options, run.started)
    return free_or_same
