"""`bench export`: stored results as JSON or CSV."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench.commands.report import chosen, source
from bench.record import SCHEMA_VERSION
from bench.report.tables import Source, cells
from bench.store import DEFAULT_PATH, Store


@click.command("export", short_help="Write stored results as JSON or CSV.")
@click.argument("run", required=False, metavar="[RUN]")
@click.option("--format", "format_", type=click.Choice(["json", "csv"]), default="json", show_default=True)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Default: standard output."
)
@click.option(
    "--store", "store_path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, metavar="PATH"
)
def command(run: str | None, format_: str, out: Path | None, store_path: Path) -> None:
    """Write the records of RUN (the latest one by default): everything as JSON, or one flat row per cell as CSV."""
    with Store(store_path) as store:
        exported = source(store, chosen(store, (run,) if run else ())[0])
    text = (
        json.dumps(as_json(exported), indent=1) + "\n"
        if format_ == "json"
        else cells(exported.records).to_csv(index=False)
    )
    if out is None:
        click.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    click.echo(f"wrote {len(exported.records)} records of run {exported.name} to {out}", err=True)


def as_json(run: Source) -> dict[str, Any]:
    """Return a run as exported: `schema_version`, `runs`, `environments` and `records`.

    Each record names its run and, by key, its environment; without these two it is a `Record` again.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "runs": [{"name": run.name, "profile": run.profile, "command": run.command, "started": run.started}],
        "environments": {run.name: run.environment},
        "records": [
            {"run": run.name, "environment": run.name, **record.model_dump(mode="json")} for record in run.records
        ],
    }
