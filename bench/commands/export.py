"""`bench export`: stored results as JSON or CSV."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from bench.commands.report import chosen
from bench.record import SCHEMA_VERSION, Record
from bench.report.tables import cells
from bench.store import DEFAULT_PATH, Run, Store


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
        exported = chosen(store, (run,) if run else ())[0]
        records = list(store.records(exported.name))
    text = as_json(exported, records) if format_ == "json" else cells(records).to_csv(index=False)
    if out is None:
        click.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    click.echo(f"wrote {len(records)} records of run {exported.name} to {out}", err=True)


def as_json(run: Run, records: Sequence[Record]) -> str:
    """Return a run as exported: `schema_version`, `runs`, `environments` and `records`, one record a line.

    Each record names its run and, by key, its environment; without these two it is a `Record` again.
    """
    head = {
        "schema_version": SCHEMA_VERSION,
        "runs": [
            {
                "name": run.name,
                "profile": run.profile,
                "started": run.started,
                "command": run.command,
                "options": run.options,
                "environment": run.name,
            }
        ],
        "environments": {run.name: run.environment},
    }
    lines = [
        json.dumps({"run": run.name, "environment": run.name, **record.model_dump(mode="json")}) for record in records
    ]
    return json.dumps(head, indent=1).removesuffix("\n}") + ',\n "records": [\n' + ",\n".join(lines) + "\n ]\n}\n"
