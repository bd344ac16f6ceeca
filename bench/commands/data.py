"""`bench data`: the data files, where they come from, and whether they are here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import click

from bench.cases.catalog import sound
from bench.cases.model import embedding_of
from bench.commands import options
from bench.commands.terminal import folded, print_json
from bench.data import files_for, sources, word2vec
from bench.errors import BenchError, DataError, unknown

log = logging.getLogger("bench")
_json = options.as_json("the result")


@click.group()
def command() -> None:
    """List, fetch, make and verify the data files."""


@command.command("list")
@_json
@options.suites
def list_(as_json: bool, suites: tuple[str, ...]) -> None:
    """List the data sources and where they are. `bench data verify` checks their content.

    With --suites the files that its cases name are listed, too.
    """
    declared = (files_for(case.data, embedding_of(case)) for _, case in sound(suites).cases()) if suites else ()
    names = dict.fromkeys([*sources.SOURCES, *chain.from_iterable(declared)])
    records = [described(sources.source(name)) for name in names]
    if as_json:
        print_json(records=records)
        return
    present = sum(record["present"] for record in records)
    places = ", ".join(str(folder) for folder in sources.folders())
    click.echo(folded(f"{present} of {len(records)} sources are present in {places}."))
    for record in records:
        click.echo(f"\n{folded(record['path'] or 'missing', record['name'] + ': ')}")
        for file in record["files"]:
            click.echo(f"  {file['name']}")
            for content in file["contents"]:
                click.echo(folded(f"{content['size']:,} bytes ({content['note']})", " " * 4))
                click.echo(folded(f"sha256 {content['sha256']}", " " * 4))
        for text, lead in zip(
            dict.fromkeys((record["how"], record["remedy"])), ("  to get it: ", "  or: "), strict=False
        ):
            click.echo(folded(text, lead, hang=4))
        click.echo(folded(record["licence"], "  terms: ", hang=4))


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
        "how": source.how,
        "remedy": source.remedy,
        "licence": source.licence,
    }


@command.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_json
def fetch(names: tuple[str, ...], as_json: bool) -> None:
    """Download and verify the named sources. Those that are present are only verified."""
    _obtained(_known(names), partial(sources.obtain, download=True), as_json)


@command.command("make")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_json
def make(names: tuple[str, ...], as_json: bool) -> None:
    """Make the named sources here: word2vec-imdb. Those that are present are only verified.

    word2vec-imdb are word2vec vectors trained on the 25,000 train texts of aclImdb, in minutes; they stand in for the
    GoogleNews vectors. Needs gensim, the extra `vectors`.
    """
    _obtained(names, word2vec.make, as_json)


@command.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@_json
def verify(names: tuple[str, ...], as_json: bool) -> int:
    """Compare sources with their known hashes.

    Checks the named sources, or all that are present; of a file of yours it prints the hash. Exits 2 when one is
    altered or truncated, 3 when a named one is missing.
    """
    errors: list[BenchError] = []
    records = []
    yours = [name for name in names if name not in sources.SOURCES and sources.locate(name)]
    _known(tuple(name for name in names if name not in yours))
    for name in names or tuple(sources.SOURCES):
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
            click.echo(folded(f"{name}: ok  {path}  sha256 {sha256}", hang=4), err=as_json)
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


def _obtained(names: tuple[str, ...], obtain: Callable[[str], tuple[Path, str]], as_json: bool) -> None:
    """Obtain sources one after the other, and print path and hash of each."""
    records = []
    for name in names:
        path, sha256 = obtain(name)
        records.append({"name": name, "path": str(path), "sha256": sha256})
        click.echo(folded(f"{name}: {path}  sha256 {sha256}", hang=4), err=as_json)
    if as_json:
        print_json(records=records)


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in sources.SOURCES:
            raise unknown("data source", name, sources.SOURCES)
    return names
