"""`bench report`: tables from stored results."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from click.core import ParameterSource

from bench.cases.catalog import load
from bench.commands import options
from bench.commands.terminal import print_json
from bench.errors import UsageError, unknown
from bench.report.answers import answers
from bench.report.pages import write
from bench.report.results import Results
from bench.report.sentences import count
from bench.report.sources import folder_of, stored
from bench.report.summary import summary

log = logging.getLogger("bench")


def _plots(results: Results, folder: Path) -> list[Path]:
    from bench.report.plots.registry import write  # loads matplotlib, which tables alone need not

    return write(results, folder)


def _page(results: Results, folder: Path) -> list[Path]:
    from bench.report import page  # loads jinja2, likewise

    return page.write(results, folder)


WRITERS: dict[str, Callable[[Results, Path], list[Path]]] = {
    "plots": _plots,
    "md": write,
    "html": _page,
}
"""Formats by name: each writes its files into a folder and returns their paths; Markdown shows plots made before it."""


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@options.out_folder("to write to; files of the same names are replaced")
@click.option("--format", "formats", default="md", show_default=True, metavar="F,...", help=f"Of {', '.join(WRITERS)}.")
@options.store
@options.suites
@click.option(
    "--index",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Instead of a run: every report below DIR, made from the DIR/*/results/*.json in it, their index, and the "
    "generated tables of the README beside DIR.",
)
@click.option("--check", is_flag=True, help="With --index: write nothing; exit 1 when a file is stale.")
@options.as_json("the answers and the paths of the files")
@click.pass_context
def command(
    context: click.Context,
    runs: tuple[str, ...],
    out: Path,
    formats: str,
    store_path: Path,
    suites: tuple[str, ...],
    index: Path | None,
    check: bool,
    as_json: bool,
) -> int:
    """Write the tables of RUN and a README.md that begins with the answers, then print a summary.

    Without a RUN the latest one is reported. Cells of a run that were measured on other machines, or with other
    packages, are reported apart, below DIR. Several runs of one profile and environment are merged: a later record of
    the same cell takes the place of an earlier one. Where `bench parity` has left its proofs in the same folder, the
    tables say which twins are proven; where somebody has written deviations.md there, the answers cite its reasons.
    """
    if index is None:
        if check:
            raise UsageError("--check compares the files below a folder of reports; name it by --index")
        return _report_runs(runs, out, formats, store_path, suites, as_json=as_json)
    for name in ("runs", "out", "formats", "store_path"):
        if context.params[name] and context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise UsageError("--index reports the results below its folder; give it no RUN, --out, --format or --store")
    return _write_index(index, suites, check=check, as_json=as_json)


def _report_runs(
    runs: tuple[str, ...], out: Path, formats: str, store_path: Path, suites: tuple[str, ...], *, as_json: bool
) -> int:
    """Write the report of stored runs into a folder and print their summary."""
    wanted = [name.strip() for name in formats.split(",")]
    for name in wanted:
        if name not in WRITERS:
            raise unknown("format", name, WRITERS)
    catalog = load([Path(path) for path in suites])
    for error in catalog.errors:
        log.error(str(error))
    with _uncollected():
        results, *elsewhere = stored(store_path, runs, catalog.suites, out)
    files = {name: WRITERS[name](results, out) for name in WRITERS if name in wanted}
    for number, other in enumerate(elsewhere, 1):
        folder = folder_of(out, number)
        for name in files:
            files[name] += WRITERS[name](other, folder)
        log.info("%s of another environment: %s", count(len(other.records), "cell"), folder)
    if as_json:
        print_json(
            answers=[{"question": question, **asdict(answer)} for question, answer in answers(results).items()],
            files=[str(file) for written in files.values() for file in written],
        )
    else:
        pages = [files[name][0] for name in ("md", "html") if name in files]
        pictures = [file.parent for file in files.get("plots", ())[:1]]
        click.echo("\n".join(summary(results, [*pages, *pictures])))
    return 0


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from what is made inside, now and later: records hold no cycles, and are kept.

    It would walk through all of them again and again as they become more: a fifth of a report's time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _write_index(folder: Path, suites: tuple[str, ...], *, check: bool, as_json: bool) -> int:
    """Write the committed reports, or say which of their files are stale; return the exit code."""
    from bench.report import site  # loads matplotlib, which tables alone need not

    reports = site.gather(folder, load([Path(path) for path in suites]).suites)
    if not check:
        reports.write()
    stale = [str(path) for path in reports.stale]
    if as_json:
        print_json(files=[str(path) for path in reports.pages], stale=stale)
    elif check:
        for path in stale:
            click.echo(f"stale: {path}; write it again by `nox -s report`, or `bench report --index {folder}`")
    else:
        said = [f"{'wrote' if Path(path).exists() else 'removed'} {path}" for path in stale]
        click.echo("\n".join(said) or "every file is up to date")
    return 1 if check and stale else 0
