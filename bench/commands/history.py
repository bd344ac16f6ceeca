"""`bench history`: a metric over the stored runs, and where its level changed."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cases.catalog import matches
from bench.commands import options
from bench.commands.terminal import print_json
from bench.compare.history import series
from bench.records.metrics import METRICS, metric
from bench.records.store import Store
from bench.report.topics import history


@click.command("history")
@options.patterns
@click.option("--metric", "name", default="step", show_default=True, metavar="M", help=f"Of {', '.join(METRICS)}.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw it, light and dark: FILE.svg, .png or .pdf.",
)
@options.store
@options.as_json("the series")
def command(patterns: tuple[str, ...], name: str, out: Path | None, store_path: Path, as_json: bool) -> int:
    """Print a metric of the cells named by PATTERN over all stored runs.

    One series for each configuration, data and machine. Changes of level are advice; each line names the commit where
    it began and what else changed there. `bench import` adds the runs of other machines.
    """
    chosen = metric(name)
    with Store(store_path) as store:
        found = series(store.entries(wanted=lambda cell: matches(str(cell), patterns)), chosen)
    if not found:
        click.echo(f"bench: no stored record of {' '.join(patterns) or 'any cell'} holds {name}", err=True)
        return 3
    if out:
        from bench.report.plots.history import draw  # loads matplotlib, which nothing else here needs

        click.echo(f"drew {', '.join(map(str, draw(found, chosen, out)))}", err=True)
    if as_json:
        print_json(indent=1, **history.as_json(found, chosen))
    else:
        click.echo(history.text(found, chosen))
    return 0
