"""`bench export`: stored results as JSON, CSV, Parquet, or as pytest-benchmark writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bench.commands import options
from bench.errors import UsageError, install
from bench.files import write_file
from bench.records import pytest_benchmark
from bench.records.exports import Exported, as_json
from bench.records.flat import cells
from bench.records.record import Record
from bench.records.rescue import rescue
from bench.records.store import Run, Store
from bench.report.sources import apart, chosen


@click.command()
@click.argument("run", required=False, metavar="[RUN]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["json", "csv", "parquet", "pytest-benchmark"]),
    default="json",
    help="What to write.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    show_default="standard output",
    help="Write into FILE. Its folder is made, but none above it.",
)
@click.option("--rescue", "rescued", is_flag=True, help="Of a damaged store: write what can be read, of all runs.")
@options.store
def command(run: str | None, format_: str, out: Path | None, rescued: bool, store_path: Path) -> int:
    """Write the records of RUN, by default of the latest run.

    \b
    json              everything; `bench import` and `bench compare` read it
    csv, parquet      one flat row per cell
    pytest-benchmark  the steps of timed cells, for tools that read its files

    --rescue exits 3 when records cannot be read.
    """  # noqa: D301 (click's mark of a paragraph that is not to be folded)
    if rescued:
        if run or format_ != "json":
            raise UsageError("--rescue writes all runs as JSON; give it no RUN and no --format")
        exports, lost = rescue(store_path)
        saved = sum(len(export.records) for export in exports)
        _write(as_json(exports).encode(), out, f"{saved} records")
        click.echo(f"{saved} records of {store_path} could be read, {lost} could not", err=True)
        return 3 if lost else 0
    with Store(store_path) as store:
        exported = chosen(store, (run,) if run else ())[0]
        entries = [(record, environment) for _, environment, record in store.entries(exported.name)]
    _write(_content(format_, exported, entries), out, f"{len(entries)} records of run {exported.name}")
    return 0


def _write(content: bytes, out: Path | None, what: str) -> None:
    if out is None:
        click.echo(content, nl=False)
        return
    out.parent.mkdir(exist_ok=True)  # no more than one: a path of folders that are missing is a typing error
    write_file(out, content)
    click.echo(f"wrote {what} to {out}", err=True)


def _content(format_: str, run: Run, entries: Sequence[tuple[Record, dict[str, Any]]]) -> bytes:
    records = [record for record, _ in entries]
    match format_:
        case "json":
            return as_json([Exported(run, entries)]).encode()
        case "pytest-benchmark":
            part, *others = apart(run, entries)
            if others:
                raise UsageError(f"run {run.name!r} was measured in several environments, and this format knows one")
            return pytest_benchmark.as_json(replace(run, environment=dict(part.environment)), records).encode()
        case "csv":
            return cells(records).to_csv(index=False).encode()
        case _:
            try:
                return cells(records).to_parquet(index=False)
            except ImportError:
                raise UsageError(f"Parquet needs pyarrow; {install('parquet')}") from None
