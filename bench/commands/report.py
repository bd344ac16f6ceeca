"""`bench report`: tables from stored results."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from bench import parity
from bench.catalog import load
from bench.errors import UsageError, unknown
from bench.record import SCHEMA_VERSION
from bench.report import markdown, page
from bench.report.answers import answers
from bench.report.tables import Results, Source
from bench.store import DEFAULT_PATH, Run, Store

WRITERS: dict[str, Callable[[Results, Path], list[Path]]] = {"md": markdown.write, "html": page.write}
"""Formats by name: each writes its files into a folder and returns their paths."""


@click.command("report", short_help="Write tables from stored results.")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reports/local"),
    show_default=True,
    metavar="DIR",
    help="Folder to write to; files of the same names are replaced.",
)
@click.option("--format", "formats", default="md", show_default=True, metavar="F,...", help=f"Of {', '.join(WRITERS)}.")
@click.option(
    "--store", "store_path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, metavar="PATH"
)
@click.option(
    "--suites",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="More suite files or folders.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the paths of the files as JSON.")
def command(
    runs: tuple[str, ...], out: Path, formats: str, store_path: Path, paths: tuple[Path, ...], as_json: bool
) -> None:
    """Write accuracy, timing and parameter tables of RUN, and an index with the answer first.

    Without a RUN the latest one is reported. Several runs of one profile and environment are merged: a later record of
    the same cell takes the place of an earlier one. Where `bench parity` has left its proofs in the same folder, the
    tables say which twins are proven.
    """
    wanted = [name.strip() for name in formats.split(",")]
    for name in wanted:
        if name not in WRITERS:
            raise unknown("format", name, WRITERS)
    with Store(store_path) as store:
        sources = tuple(source(store, run) for run in chosen(store, runs))
    proofs = out / "parity.json"
    results = Results(
        sources,
        load(paths).suites,
        None if store_path == DEFAULT_PATH else store_path,
        parity.load(proofs) if proofs.is_file() else {},
    )
    files = [str(path) for name in wanted for path in WRITERS[name](results, out)]
    if as_json:
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, "files": files}, indent=2))
        return
    for sentence in answers(results):
        click.echo(sentence)
    click.echo("\n".join(f"wrote {file}" for file in files))


def chosen(store: Store, names: tuple[str, ...]) -> list[Run]:
    """Return the named runs, or the latest one; raise `UsageError` for an unknown name and for an empty store."""
    if names:
        return [store.run(name) for name in dict.fromkeys(names)]
    runs = store.runs()
    if not runs:
        raise UsageError(f"{store.path} holds no run; make one with `bench run`")
    return runs[-1:]


def source(store: Store, run: Run) -> Source:
    """Return a run with its records, as reports take it."""
    # A pattern may name single seeds; then the options do not say how many were planned.
    named = any("#" in pattern for pattern in run.options["patterns"])
    return Source(
        run.name,
        run.profile,
        shlex.join(_repeatable(run.command)),
        run.started,
        run.environment,
        tuple(store.records(run.name)),
        0 if named else run.options["seeds"],
        run.options["repeats"],
    )


def _repeatable(command: Sequence[str]) -> list[str]:
    """Return a run's command without the place of its store, which means nothing elsewhere."""
    kept: list[str] = []
    words = iter(command)
    for word in words:
        if word == "--store":
            next(words, None)
        elif not word.startswith("--store="):
            kept.append(word)
    return kept
