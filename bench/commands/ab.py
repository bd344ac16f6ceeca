"""`bench ab`: measure two environments in alternation on this machine, then judge the difference."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource

from bench.cases.catalog import sound
from bench.cases.cell import Measure
from bench.commands import options
from bench.commands.compare import tell
from bench.compare.installations import SIDES
from bench.compare.pairs import representative
from bench.compare.session import Options, Plan, Session, check_unchanged, introduced, new_runs, stored_runs
from bench.compare.verdicts import DEFAULT_PAIRS
from bench.errors import UsageError
from bench.machine.fingerprint import available_memory
from bench.records.owner import owned
from bench.records.store import Store, resuming
from bench.runner.options import COUNT, POSITIVE
from bench.runner.progress import duration
from bench.runner.run import SAFE_SHARE_OF_MEMORY, free_name, interruptible
from bench.runner.workers import Limits

DEFAULT_SEEDS = 5
MAY_CHANGE = ("repeats", "seeds", "margin", "timeout")
"""Options that `--resume` need not take from the comparison."""


@click.command("ab")
@options.patterns
@click.option("--base", metavar="PYTHON", help="The Python of the base. Default, with --base-path: this one.")
@click.option("--candidate", metavar="PYTHON", help="The Python of the candidate. Default: this one.")
@click.option("--base-path", metavar="DIR", help="A checkout that the base runs.")
@click.option("--candidate-path", metavar="DIR", help="A checkout that the candidate runs.")
@click.option("--noise", is_flag=True, help="Measure the candidate against itself: this machine's noise floor.")
@click.option(
    "--repeats",
    type=COUNT,
    default=DEFAULT_PAIRS,
    show_default=True,
    metavar="N",
    help="Pairs of timed processes of a cell; as many again where that was inconclusive.",
)
@click.option(
    "--seeds",
    type=COUNT,
    default=DEFAULT_SEEDS,
    show_default=True,
    metavar="N",
    help="Pairs of trainings of a cell, for accuracy and loss; as many again where that was inconclusive.",
)
@click.option("--measure", "measured", type=click.Choice(get_args(Measure)), default="all", help="What to measure.")
@click.option(
    "--margin",
    type=POSITIVE,
    metavar="SHARE",
    help="The slowdown that counts as one. Default: 0.05, 0.03 on a GPU, 0.1 where CI is set.",
)
@click.option("--strict", is_flag=True, help="End with 1 where a verdict is inconclusive, too.")
@options.of_run("profile", "device", "timeout", "threads")
@options.suites
@options.store
@click.option("--name", metavar="NAME", help="Name of the comparison; its runs are NAME-base and NAME-candidate.")
@click.option("--resume", metavar="NAME", help="Continue a comparison: skip the finished pairs.")
@click.option("--dry-run", is_flag=True, help="Print the cells and the estimated time, measure nothing.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write reports into DIR.")
@options.as_json("the verdicts")
@click.pass_context
def command(context: click.Context, /, **_: Any) -> int:
    """Measure two environments in alternation on this machine, then judge the difference.

    Each side is a Python in whose environment twinbench is installed, or that runs the checkout named by --base-path
    or --candidate-path. Without a PATTERN the cases are compared that the suites mark as representative.
    """
    params = context.params
    path, resumed = params["store_path"], params["resume"]
    if resumed and params["name"]:
        raise UsageError("--name is for a new comparison, --resume for one that exists; give one of them")
    with ExitStack() as opened:
        store = opened.enter_context(Store(path)) if resumed or path.exists() else None
        runs = stored_runs(store, resumed) if store and resumed else None
        if resumed and not params["dry_run"]:
            opened.enter_context(owned(path, resumed))
        chosen = _options(context, runs["base"].options if runs else None)
        catalog = sound(chosen.suites)
        chosen = replace(chosen, patterns=chosen.patterns or representative(catalog))
        sides = introduced(chosen)
        if runs:
            check_unchanged(runs, sides)
        plan = Plan.of(chosen, sides, store)
        if params["dry_run"]:
            return _dry_run(plan)
        store = opened.enter_context(Store(path, create=True))
        if not runs:
            taken = (run.name.removesuffix(f"-{side}") for run in store.runs() for side in SIDES)
            name = params["name"] or free_name(taken)
            opened.enter_context(owned(path, name))
            runs = new_runs(store, name, ["bench", *context.obj], chosen, sides)
        limits = Limits(SAFE_SHARE_OF_MEMORY * available_memory(), chosen.timeout)
        with interruptible() as interrupted:
            session = Session(plan, store, runs, limits, interrupted)
            comparison = session.compare(catalog)
        if comparison is None:
            click.echo(f"bench: interrupted; continue with: {resuming(session.name, path, 'ab')}", err=True)
            return 130
        code = tell(comparison, params["out"], as_json=params["as_json"], strict=params["strict"])
        return code if session.all_ok else 3


def _options(context: click.Context, kept: Mapping[str, Any] | None) -> Options:
    """Return the options of the command; a comparison that is continued keeps its own."""
    params = {field.name: context.params[field.name] for field in fields(Options)}
    if kept is None:
        return Options(**params)
    given = {
        name: value
        for name, value in params.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT and value != ()
    }
    for name in given:
        if name not in MAY_CHANGE:
            raise UsageError(
                f"comparison {kept['comparison']!r} keeps its {name.replace('_', ' ')}; "
                "leave that out, or start a new comparison"
            )
    return replace(Options.stored(kept), **given)


def _dry_run(plan: Plan) -> int:
    """Print what would be measured and how long that takes."""
    total = 0.0
    for cell, seconds in plan.estimates():
        click.echo(f"{cell.configuration}  about {duration(seconds)}")
        total += seconds
    cells = f"{len(plan.cells)} cells, about {duration(total)}"
    click.echo(f"{cells} (an estimate; inconclusive cells take twice the time)")
    return 0
