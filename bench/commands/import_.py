"""`bench import`: put exported results into a store, so that runs can be gone on with, reported and compared there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from bench.errors import UsageError
from bench.record import SCHEMA_VERSION, Record, upgrade
from bench.store import DEFAULT_PATH, Store


@click.command("import", short_help="Put exported results into a store.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--store", "store_path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, metavar="PATH"
)
def command(files: tuple[Path, ...], store_path: Path) -> None:
    """Read what `bench export --format json` wrote; a run that the store has already gains the records it lacks."""
    exports = [_read(file) for file in files]
    with Store(store_path, create=True) as store:
        for file, export in zip(files, exports, strict=True):
            known = {run.name for run in store.runs()}
            for run in export["runs"]:
                if run["name"] not in known:
                    environment = export["environments"][run["environment"]]
                    store.create_run(
                        run["name"], run["profile"], environment, run["command"], run["options"], run["started"]
                    )
            for row in export["records"]:
                run_name, environment = row.pop("run"), export["environments"][row.pop("environment")]
                store.add(run_name, _record(file, upgrade(row, export["schema_version"])), environment)
            click.echo(f"{len(export['records'])} records of {file} are in {store_path}", err=True)


def _read(file: Path) -> dict[str, Any]:
    try:
        export = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file} is no JSON or cut off: {error}; export the run again") from error
    if not isinstance(export, dict) or "records" not in export:
        raise UsageError(f"{file} holds no exported run; write one with `bench export --format json`")
    version = export.get("schema_version")
    if version not in range(1, SCHEMA_VERSION + 1):
        raise UsageError(
            f"{file} has schema version {version}, this twinbench reads 1 to {SCHEMA_VERSION}; "
            "use the version of twinbench that wrote it"
        )
    return export


def _record(file: Path, row: dict[str, Any]) -> Record:
    try:
        return Record.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        name = f"{row.get('suite')}/{row.get('case')}@{row.get('backend')}"
        raise UsageError(f"{file}, record {name}: {place}: {first['msg']}") from error
