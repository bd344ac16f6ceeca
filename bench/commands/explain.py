"""`bench explain`: run a case under every numerics, and measure what each framework default costs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from bench.backends.registry import backend
from bench.cases.catalog import Catalog, sound
from bench.cases.model import Model, resolve
from bench.cases.profiles import apply
from bench.commands import options
from bench.commands.run import dry_run, resumed, wanted_of
from bench.commands.terminal import print_json
from bench.explain.effects import REFERENCE, effects, missing_differences, numerics_of
from bench.explain.versions import stages
from bench.files import write_file
from bench.records.store import Run, Store, resuming
from bench.report.figures import figures
from bench.report.sentences import count, joined
from bench.report.topics import explain as report
from bench.report.topics.versions import rows_of
from bench.runner import jobs
from bench.runner.options import RunOptions
from bench.runner.plan import PlannedCell, default_backends
from bench.runner.progress import duration
from bench.runner.run import cells_left, log, run_cells
from bench.spec import Documented

NOTHING_TO_COMPARE = 3


@click.command()
@click.argument("case", metavar="CASE")
@options.of_run(
    "profile", "backends", "seeds", "threads", "jobs", "suites", seeds={"default": 10, "show_default": True}
)
@options.store
@options.name
@options.resume
@options.dry_run
@click.option("--versions", "of_versions", is_flag=True, help="Compare versions of Keras, from the document's on.")
@options.out_folder("for explain-SUITE-CASE.md; a file of that name is replaced")
@options.as_json("the effects")
@click.pass_context
def command(
    context: click.Context, /, case: str, of_versions: bool, out: Path, as_json: bool, store_path: Path, **_: Any
) -> int:
    """Measure what each framework default costs CASE.

    Trains CASE (suite/case) under matched, documented and native numerics and with each difference alone, always from
    the same seeds, and compares all with matched: points of accuracy, loss, seconds of an epoch, each with its 95 % CI.
    Learning curves show when the points are lost. Cells side by side (`--jobs`) give no seconds. `--versions` trains
    CASE under the document's Keras, what followed up to today's, and PyTorch, and compares each with the one before.
    `--resume` continues a run and writes its page again: with `--versions` it adds them to a run of single defaults.
    """
    params = context.params
    stored = resumed(params)
    wanted = wanted_of(context, stored, numerics=REFERENCE, measure="accuracy")
    catalog = sound(wanted.suites)
    models = _models(catalog, case, wanted)
    compared = [(name, numerics) for name, model in models.items() for numerics in numerics_of(backend(name), model)]
    if of_versions:
        compared = [(stage.backend, stage.numerics) for stage in stages(*catalog.case(case))]
        wanted = replace(wanted, backends=tuple(dict.fromkeys(name for name, _ in compared)))
    wanted = replace(wanted, patterns=tuple(f"{case}@{name},*,*,{numerics}" for name, numerics in compared))
    cells, already = cells_left(store_path, stored, catalog, wanted)
    if params["dry_run"]:
        return dry_run(cells, wanted, as_json=as_json)
    click.echo("\n".join(_intention(case, wanted, models, cells, already)), err=True)
    words = ["bench", *context.obj]
    name = params["name"]
    # Not forked: its page compares epochs.
    ended = run_cells(cells, wanted, store_path, words, name=name, stored=stored, already=already, forks=False)
    with Store(store_path) as store:
        explained = _explained(catalog, case, wanted, models, store, store.run(ended.run))
    path = _write(explained, out)
    if as_json:
        print_json(**_as_json(explained))
    else:
        click.echo(report.page(explained), nl=False)
    left = len(cells) - ended.begun
    if left:
        click.echo(f"{left} cells have not been started; continue with: {explained.command}", err=True)
    click.echo(f"{ended.begun} cells run, {already} were done before; wrote {path}", err=True)
    if ended.exit_code == 0 and not any(effect.numerics != REFERENCE for effect in explained.effects):
        log.warning("there is nothing to compare: no seed ended ok under two numerics")
        return NOTHING_TO_COMPARE
    return ended.exit_code


def _models(catalog: Catalog, case: str, wanted: RunOptions) -> dict[str, Model]:
    """Return what each backend is to run, with all native differences; raise `UsageError` for an unknown name."""
    suite, declared = catalog.case(case)
    model = resolve(suite, apply(declared, wanted.profile), "native")
    return dict.fromkeys(wanted.backends or [info.name for info in default_backends()], model)


def _intention(
    case: str, wanted: RunOptions, models: dict[str, Model], cells: list[PlannedCell], already: int
) -> Iterator[str]:
    """Yield what is about to run, and how long that may take."""
    numerics = dict.fromkeys(cell.cell.numerics for cell in cells)
    yield f"{case}, profile {wanted.profile}, {joined(list(models))}, {count(wanted.seeds, 'seed')}" + (
        " (generated text; --profile documented trains on the document's data)" if wanted.profile == "quick" else ""
    )
    done = f", {already} done before" if already else ""
    about = duration(jobs.estimate(cells, wanted))
    yield f"{count(len(cells), 'cell')}{done}, about {about}" + (f": {', '.join(numerics)}" if numerics else "")


def _explained(
    catalog: Catalog, case: str, wanted: RunOptions, models: dict[str, Model], store: Store, stored: Run
) -> report.Explained:
    declared_in, declared = catalog.case(case)
    documented = declared.documented if stored.profile == "documented" else Documented()
    main = next(figure for figure in figures(apply(declared, stored.profile), documented) if figure.main)
    suite, _, name = case.partition("/")
    records = [record for record in store.records(stored.name) if record.cell.case_name == case]
    return report.Explained(
        case=case,
        figure=main.name,
        run=stored,
        command=resuming(stored.name, store.path, f"explain {shlex.quote(case)}"),
        seeds=wanted.seeds,
        effects=effects(records, main.measured),
        missing={name: missing_differences(backend(name), model) for name, model in models.items()},
        records=records,
        curves=report.learning(suite, name, records, main.name, main.measured, report.LEARNED),
        versions=rows_of(declared_in, declared, records, main),
        threads={found["threads"] for found in store.environments(stored.name) if "threads" in found},
    )


def _write(explained: report.Explained, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"explain-{explained.case.replace('/', '-')}.md"
    write_file(path, report.page(explained))
    return path


def _as_json(explained: report.Explained) -> dict[str, Any]:
    found = [asdict(effect) | {"verdict": effect.verdict} for effect in explained.effects]
    return {
        "case": explained.case,
        "figure": explained.figure,
        "profile": explained.run.profile,
        "run": explained.run.name,
        "seeds": explained.seeds,
        "conclusion": explained.conclusion,
        "missing": explained.missing,
        "effects": found,
        "curves": [asdict(row) for row in explained.curves],
        "versions": [asdict(row) for row in explained.versions],
    }
