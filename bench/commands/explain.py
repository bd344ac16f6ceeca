"""`bench explain`: run a case under every numerics, and say what each difference between the frameworks costs."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bench.backends.registry import backend
from bench.cases.catalog import Catalog
from bench.cases.model import Model, resolve
from bench.cases.profiles import apply
from bench.commands import run
from bench.explain.effects import REFERENCE, effects, missing_differences, numerics_of
from bench.records.record import SCHEMA_VERSION, json_text
from bench.records.store import DEFAULT_PATH, Run, Store
from bench.report.figures import figures
from bench.report.topics import explain as report
from bench.runner.plan import default_backends
from bench.spec import Documented

NOTHING_TO_COMPARE = 3
_SHARED = ("profile", "backends", "threads", "suites", "store_path", "name", "resume", "dry_run")
_FIXED: dict[str, Any] = {
    "kernels": (),
    "device": None,
    "numerics": REFERENCE,
    "repeats": 1,
    "measure": "accuracy",
    "timeout": None,
    "memory": None,
    "budget": None,
    "stand_ins": (),
}
"""What `bench run` lets its users choose, and the port doctor does not."""


@click.command(
    "explain",
    short_help="What each difference between the frameworks costs a case.",
    params=[option for option in run.command.params if option.name in _SHARED],
)
@click.argument("case", metavar="CASE")
@click.option("--seeds", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Seeds 0 to N-1.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reports/local"),
    show_default=True,
    metavar="DIR",
    help="Folder for explain-SUITE-CASE.md; a file of that name is replaced.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the effects as JSON.")
@click.pass_context
def command(context: click.Context, /, case: str, out: Path, as_json: bool, **_: Any) -> int:
    """Say what each difference between the frameworks costs CASE.

    Runs CASE (suite/case) under documented, matched and native numerics and with every single difference, with the same
    seeds, and compares all with matched: points of accuracy, loss, seconds of an epoch, each with its 95 % interval,
    the largest first. `--resume` goes on with a run, and writes its page from what there is.
    """
    with ExitStack() as opened:
        store, stored = run.open_store(context, opened)
        catalog = run.catalog_of(context.params)
        params = {**_FIXED, **context.params}
        models = _models(catalog, case, params)
        params["patterns"] = tuple(
            f"{case}@{name},*,*,{numerics}"
            for name, model in models.items()
            for numerics in numerics_of(backend(name), model)
        )
        matrix = run.matrix_of(params)
        cells, already = run.cells_left(store, stored, catalog, matrix)
        if params["dry_run"]:
            return run.dry_run(cells, as_json=as_json)
        store = store or opened.enter_context(Store(params["store_path"], create=True))
        ended = run.execute(["bench", *context.obj], params, store, stored, matrix, cells)
        explained = _explained(catalog, case, params, models, store, store.run(ended.run))
        path = _write(explained, out)
    if as_json:
        click.echo(json_text(_as_json(explained), indent=2))
    else:
        click.echo(report.page(explained), nl=False)
    left = len(cells) - len(ended.records)
    if left:
        click.echo(f"{left} cells have not been started; go on with: {explained.command}", err=True)
    click.echo(f"{len(ended.records)} cells run, {already} were done before; wrote {path}", err=True)
    if ended.exit_code(already) == 0 and not any(effect.numerics != REFERENCE for effect in explained.effects):
        click.echo("bench: there is nothing to compare: no seed ended ok under two numerics", err=True)
        return NOTHING_TO_COMPARE
    return ended.exit_code(already)


def _models(catalog: Catalog, case: str, params: dict[str, Any]) -> dict[str, Model]:
    """Return what each backend is to run, with all native differences; raise `UsageError` for an unknown name."""
    suite, declared = catalog.case(case)
    model = resolve(suite, apply(declared, params["profile"]), "native")
    names = params["backends"] or [info.name for info in default_backends()]
    return {backend(name).name: model for name in names}


def _explained(
    catalog: Catalog, case: str, params: dict[str, Any], models: dict[str, Model], store: Store, stored: Run
) -> report.Explained:
    _, declared = catalog.case(case)
    documented = declared.documented if stored.profile == "documented" else Documented()
    figure = next(one for one in figures(apply(declared, stored.profile), documented) if one.main)
    records = [record for record in store.records(stored.name) if record.cell.case_name == case]
    place = "" if store.path == DEFAULT_PATH else f" --store {shlex.quote(str(store.path))}"
    return report.Explained(
        case=case,
        figure=figure.name,
        run=stored,
        command=f"bench explain {shlex.quote(case)} --resume {shlex.quote(stored.name)}{place}",
        seeds=params["seeds"],
        effects=effects(records, figure.measured),
        missing={name: missing_differences(backend(name), model) for name, model in models.items()},
        records=records,
    )


def _write(explained: report.Explained, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"explain-{explained.case.replace('/', '-')}.md"
    path.write_text(report.page(explained), encoding="utf-8")
    return path


def _as_json(explained: report.Explained) -> dict[str, Any]:
    found = [asdict(effect) | {"verdict": effect.verdict} for effect in explained.effects]
    return {
        "schema_version": SCHEMA_VERSION,
        "case": explained.case,
        "figure": explained.figure,
        "profile": explained.run.profile,
        "run": explained.run.name,
        "seeds": explained.seeds,
        "conclusions": explained.sentences,
        "effects": found,
    }
