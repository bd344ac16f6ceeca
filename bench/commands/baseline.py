"""`bench baseline`: the figures of a run as a small file that is reviewed, committed and compared with."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bench import baselines
from bench.ab import margins
from bench.catalog import load
from bench.commands.compare import noise_of
from bench.compare import Policy
from bench.errors import BenchError, Incomparable, NothingToCompare, UsageError
from bench.measure.clock import now
from bench.measured import Measured, measured
from bench.record import SCHEMA_VERSION
from bench.report import verdicts
from bench.store import DEFAULT_PATH
from bench.unpaired import PARTS, compare


@click.group("baseline", short_help="A reviewable JSON of a run, to compare with.")
def command() -> None:
    """Keep the figures of a run as a small text file."""


@command.command("save")
@click.argument("name")
@click.argument("run")
@click.option("--force", is_flag=True, help="Save it although cells failed or regressed; the file says so.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=baselines.FOLDER,
    show_default=True,
    metavar="DIR",
    help="Folder of the file.",
)
@click.option(
    "--store", "store_path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, metavar="PATH"
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def save(name: str, run: str, force: bool, out: Path, store_path: Path, as_json: bool) -> None:
    """Write RUN (of the store, or an exported JSON file) as the baseline NAME, `NAME.json`.

    Refused where cells of it did not end ok, or where it regressed against the baseline of that name that is there
    already.
    """
    path = baselines.path_of(name, out)
    side = measured(run, store_path)
    if side.frame.empty:
        raise UsageError(f"run {run} holds no record yet, so there is nothing to save")
    failed = _failed(side)
    try:
        regressed = _regressed(path, side, store_path)
    except UsageError as error:
        if not force:
            raise UsageError(f"{error}, or replace it by --force") from error
        regressed = f"the baseline that it replaces cannot be read: {error}"
    if failed and not force:
        raise NotSound(f"run {run} is no baseline: {failed}; {_REMEDY}")
    if regressed and not force:
        raise Regressed(f"run {run} is no baseline: {regressed}; {_REMEDY}")
    forced = [objection for objection in (failed, regressed) if objection]
    text = baselines.text(name, side, now(), forced)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    cells = side.frame["cell"].nunique()
    if as_json:
        content = {"baseline": name, "file": str(path), "run": run, "cells": cells, "forced": forced}
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **content}, indent=2))
    else:
        click.echo(f"wrote {path}: {cells} cells of run {run}{', forced' if forced else ''}")


_REMEDY = "mend it and measure again, or save it all the same by --force"


class NotSound(BenchError):
    """Cells of a run that was to become a baseline did not end ok (exit code 3)."""

    exit_code = 3


class Regressed(BenchError):
    """A run that was to become a baseline is worse than the one it would replace (exit code 1)."""

    exit_code = 1


def _failed(side: Measured) -> str:
    """Return which cells broke, nothing where none did; what cannot be had on this machine is no failure."""
    broken = side.frame[~side.frame["status"].isin(["ok", "unavailable"])]
    if broken.empty:
        return ""
    first = broken.iloc[0]
    count = f"{len(broken)} of {len(side.frame)} cells"
    return f"{count} did not end ok, the first of them {first['cell']} ({first['status']})"


def _regressed(path: Path, side: Measured, store_path: Path) -> str:
    """Return what is worse than in the baseline that would be replaced, nothing where that is not so."""
    if not path.is_file():
        return ""
    try:
        policy = Policy(margins=margins(load()), noise=noise_of(side, store_path))
        found = compare(measured(str(path), path), side, policy, PARTS)
    except (Incomparable, NothingToCompare) as error:
        click.echo(f"bench: not compared with the baseline that it replaces: {error}", err=True)
        return ""
    worse = [verdict for verdict in found.worst_first() if verdict.verdict in ("failed", "regressed")]
    if not worse:
        return ""
    return f"{len(worse)} verdicts against the present baseline are bad, the first: {verdicts.line(worse[0])}"
