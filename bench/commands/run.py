"""`bench run`: plan cells, run them, store their records, and say what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bench.cases.catalog import sound
from bench.commands import options
from bench.commands.terminal import aligned, folded, print_json
from bench.errors import UsageError
from bench.records.owner import owned
from bench.records.record import Record, plain
from bench.records.store import Run, Store
from bench.report.sentences import count
from bench.report.sources import stored as stored_results
from bench.report.summary import summary
from bench.runner import again, jobs
from bench.runner.options import DECLARATIONS, RunOptions
from bench.runner.plan import PlannedCell
from bench.runner.progress import duration, first_line
from bench.runner.run import Ended, cells_left, on_cluster, run_cells
from bench.spec import Suite

MAY_CHANGE = {"threads", "timeout", "memory", "suites"}
"""Options that a repeat need not take from the stored cell; they change no declaration and no formula."""
MOST_SHOWN = 12
"""Figures that differ, of which a terminal is shown the first."""


@click.command()
@options.of_run()
@options.store
@click.option(
    "--name",
    metavar="RUN",
    show_default="the time",
    help="Name of the new run; with --again, of the run to look in.",
)
@options.resume
@options.dry_run
@click.option("--again", metavar="CELL", help="Train a stored cell once more, and compare its figures bit by bit.")
@options.as_json("the records")
@click.pass_context
def command(context: click.Context, /, **_: Any) -> int:
    """Run cells and store their results.

    A PATTERN is a shell glob over case or cell names: 'imdb-rnn/*', '*/lstm*@torch,*'. Without one, every case runs.

    --again stores nothing. It takes the latest result of CELL, its data, formulas and threads, and compares losses,
    accuracies and weights. Exits 0 when all are equal, 1 when they differ, 2 when CELL cannot be repeated as it was
    (never stored as ok, declared otherwise now, other data), 3 when it fails now.
    """
    params = context.params
    if params["again"] is not None:
        return _again(context)
    stored = resumed(params)
    wanted = wanted_of(context, stored)
    path, as_json = params["store_path"], params["as_json"]
    catalog = sound(wanted.suites)
    cells, already = cells_left(path, stored, catalog, wanted)
    if params["dry_run"]:
        return dry_run(on_cluster(cells, wanted), wanted, as_json=as_json)
    words = ["bench", *context.obj]
    records: list[Record] = []
    keep = records.append if as_json else None
    ended = run_cells(cells, wanted, path, words, name=params["name"], stored=stored, already=already, on_record=keep)
    del cells  # makes room for what the summary is made of
    if as_json:
        print_json(records=[plain(record) for record in records], indent=None)
    for line in closing(ended, catalog.suites):
        click.echo(line, err=as_json or ended.interrupted)
    return ended.exit_code


def closing(ended: Ended, suites: Mapping[str, Suite]) -> list[str]:
    """Return the summary of a run; where it holds no record yet, the command that continues it."""
    if not (ended.begun or ended.already):
        return [f"{count(ended.planned, 'cell')} not started; go on with: {ended.again}"]
    results, *elsewhere = stored_results(ended.store, [ended.run], suites, Path("reports/local"), brief=True)
    apart = sum(len(other.records) for other in elsewhere)
    note = f"{count(apart, 'cell')} of other machines or packages not in this table, but in the report"
    return [*summary(results), *([note] if apart else [])]


def resumed(params: dict[str, Any]) -> Run | None:
    """Return the run that `--resume` names, which is this process's until the command ends."""
    if params["resume"] is None:
        return None
    if params["name"]:
        raise UsageError("--name is for a new run, --resume for one that exists; give one of them")
    with Store(params["store_path"]) as store:
        stored = store.run(params["resume"])
    if not params["dry_run"]:  # before anything is planned: what another process does now is not to be done again
        click.get_current_context().with_resource(owned(params["store_path"], stored.name))
    return stored


def wanted_of(context: click.Context, stored: Run | None, **fixed: Any) -> RunOptions:
    """Return what is asked for: as `fixed`, else as the command line says, else as the run `stored` was."""
    params = context.params
    values = {name: params[name] for name in DECLARATIONS if name in params}
    if stored is None:
        return RunOptions.of(values | fixed)
    given = {name for name in values if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    if "profile" in given and params["profile"] != stored.profile:
        raise UsageError(f"run {stored.name!r} has profile {stored.profile}; start another run for {params['profile']}")
    again = {name: value for name, value in values.items() if name in given and value != ()}
    kept = {name: stored.options[name] for name in values if name in stored.options}
    return RunOptions.of({**values, **kept, "profile": stored.profile, **again, **fixed})


def _again(context: click.Context) -> int:
    """Repeat a stored cell and say what came out; return the exit code."""
    params = context.params
    for name in sorted(DECLARATIONS.keys() - MAY_CHANGE | {"resume"}):
        if context.get_parameter_source(name) is ParameterSource.DEFAULT or params[name] == ():
            continue
        flag = DECLARATIONS[name].flag if name in DECLARATIONS else "--resume"
        raise UsageError(f"--again repeats a cell as it was stored; leave out {flag}")
    stored = again.find(params["store_path"], params["again"], params["name"])
    threads = params["threads"] or stored.environment.get("threads")
    fixed = {"patterns": (params["again"],), "measure": "accuracy", "repeats": 1, "threads": threads}
    wanted = wanted_of(context, stored.run, **fixed)
    catalog = sound(wanted.suites)
    again.check(stored, catalog, wanted)
    cell = again.planned(catalog, wanted)
    if params["dry_run"]:
        return dry_run([cell], wanted, as_json=params["as_json"])
    found = again.repeat(stored, cell, wanted)
    if found is None:
        click.echo("bench: interrupted; nothing was stored", err=True)
        return 130
    if params["as_json"]:
        records = [plain(stored.record), plain(found.record)]
        unequal = [asdict(each) for each in found.unequal]
        print_json(records=records, figures=found.figures, unequal=unequal, changed=found.changed, indent=None)
    for line in _comparison(stored, found):
        click.echo(line, err=params["as_json"])
    return 3 if found.record.status != "ok" else 1 if found.unequal else 0


def _comparison(stored: again.Stored, found: again.Repeated) -> Iterator[str]:
    """Yield what came out of a repeat, line by line."""
    name = f"{stored.record.cell} of run {stored.run.name}"
    if found.record.status != "ok":
        yield folded(f"Not repeated: {name} is {found.record.status} now: {first_line(found.record.reason)}")
    elif found.unequal:
        yield folded(f"Unequal: {name}")
        yield folded(f"{len(found.unequal)} of {count(len(found.figures), 'figure')} differ.")
        rows = [(each.figure, *(_shown(figure) for figure in (each.stored, each.again))) for each in found.unequal]
        yield from aligned([("", "stored", "again"), *rows[:MOST_SHOWN]])
        if len(rows) > MOST_SHOWN:
            yield f"{len(rows) - MOST_SHOWN:,} more; --json has them all"
    else:
        yield folded(f"Equal: {name}")
        yield folded(f"{count(len(found.figures), 'figure')} compared, all equal to the last bit.")
    if found.figures and again.WEIGHTS not in found.figures:
        yield "The stored result has no hash of its weights: an earlier version measured it."
    yield folded(f"Changed since then: {', '.join(found.changed) or 'nothing'}.")
    yield "The repeat is not stored."


def _shown(figure: float | str) -> str:
    return figure[:12] if isinstance(figure, str) else repr(figure)


def dry_run(cells: list[PlannedCell], wanted: RunOptions, *, as_json: bool) -> int:
    """Print the cells and the estimated time; return the exit code."""
    total = jobs.estimate(cells, wanted)
    if as_json:
        listed = [
            {
                "cell": str(planned.cell),
                "repeat": planned.repeat,
                "estimated_seconds": planned.estimate,
                "unavailable": planned.obstacle.reason if planned.obstacle else None,
            }
            for planned in cells
        ]
        print_json(cells=listed, estimated_seconds=total)
        return 0
    for planned in cells:
        what = f"unavailable: {planned.obstacle.reason}" if planned.obstacle else f"about {duration(planned.estimate)}"
        click.echo(f"{planned.cell}{f' repeat {planned.repeat}' if planned.repeat else ''}  {what}")
    about = "an estimate: from stored runs where there are any, else rough"
    click.echo(f"{count(len(cells), 'cell')}, about {duration(total)} ({about})")
    return 0
