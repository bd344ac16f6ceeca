"""`bench data`: the data files, where they come from, and whether they are here."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import click

from bench.commands import options
from bench.commands.terminal import print_json
from bench.data import sources
from bench.errors import BenchError, DataError, unknown

log = logging.getLogger("bench")
_json = options.as_json("one document")


@click.group()
def command() -> None:
    """List, fetch and verify the data files."""


@command.command("list")
@_json
def list_(as_json: bool) -> None:
    """List the data sources; what is present is not verified (bench data verify does that)."""
    records = [described(source) for source in sources.SOURCES.values()]
    if as_json:
        print_json(records=records)
        return
    click.echo(f"looked for in: {', '.join(str(folder) for folder in sources.folders())}")
    for record in records:
        click.echo(f"\n{record['name']}: {record['path'] or 'missing'}")
        for file in record["files"]:
            click.echo(f"  {file['name']}" + (f"  {file['url']}" if file["url"] else ""))
            for content in file["contents"]:
                click.echo(f"    {content['size']:,} bytes  sha256 {content['sha256']}  ({content['note']})")
        click.echo(f"  to get it: {record['remedy']}\n  terms: {record['licence']}")


def described(source: sources.Source) -> dict[str, Any]:
    """Return a source as `--json` prints it: present or not, its files, how to get it."""
    path = sources.locate(source.name)
    return {
        "name": source.name,
        "present": path is not None,
        "path": str(path) if path else None,
        "files": [
            {
                "name": file.name,
                "url": file.url,
                "contents": [asdict(content) for content in file.contents],
            }
            for file in source.files
        ],
        "remedy": source.remedy,
        "licence": source.licence,
    }


@command.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_json
def fetch(names: tuple[str, ...], as_json: bool) -> None:
    """Download the named sources into the cache, unless they are present; verify them."""
    records = []
    for name in _known(names):
        path, sha256 = sources.obtain(name, download=True)
        records.append({"name": name, "path": str(path), "sha256": sha256})
        click.echo(f"{name}: {path}  sha256 {sha256}", err=as_json)
    if as_json:
        print_json(records=records)


@command.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@_json
def verify(names: tuple[str, ...], as_json: bool) -> int:
    """Hash the named sources, or all that are present, and compare with the known hashes.

    Exit code 2 when one is altered or truncated, 3 when a named one is missing.
    """
    errors: list[BenchError] = []
    records = []
    for name in _known(names) or tuple(sources.SOURCES):
        record = {"name": name, "status": "ok", "path": None, "sha256": None, "reason": None}
        records.append(record)
        try:
            verified = sources.verify(name)
        except DataError as error:
            errors.append(error)
            record |= {"status": "altered", "reason": str(error)}
            log.error(str(error))
            continue
        if verified:
            path, sha256 = verified
            record |= {"path": str(path), "sha256": sha256}
            click.echo(f"{name}: {path}  sha256 {sha256}  ok", err=as_json)
            continue
        record |= {"status": "missing", "reason": str(sources.missing(name))}
        if names:
            errors.append(sources.missing(name))
            log.error(str(errors[-1]))
        else:
            click.echo(f"{name}: missing", err=as_json)
    if as_json:
        print_json(records=records)
    return min((error.exit_code for error in errors), default=0)


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in sources.SOURCES:
            raise unknown("data source", name, sources.SOURCES)
    return names
