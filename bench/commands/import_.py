"""`bench import`: put exported results into a store, so that runs can be gone on with, reported and compared there."""

from __future__ import annotations

from pathlib import Path

import click

from bench.exports import read
from bench.store import DEFAULT_PATH, Store


@click.command("import", short_help="Put exported results into a store.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--store", "store_path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, metavar="PATH"
)
def command(files: tuple[Path, ...], store_path: Path) -> None:
    """Read what `bench export --format json` wrote; a run that the store has already gains the records it lacks."""
    exports = [read(file) for file in files]
    with Store(store_path, create=True) as store:
        for file, exported in zip(files, exports, strict=True):
            known = {run.name for run in store.runs()}
            for run in (one.run for one in exported if one.run.name not in known):
                store.create_run(run.name, run.profile, run.environment, run.command, run.options, run.started)
            for one in exported:
                for record, environment in one.records:
                    store.add(one.run.name, record, environment)
            count = sum(len(one.records) for one in exported)
            click.echo(f"{count} records of {file} are in {store_path}", err=True)
