"""`bench compare`: judge two stored runs, exports or results of pytest-benchmark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import click

from bench.cases.catalog import sound
from bench.commands import options
from bench.compare.noise_floor import noise_of
from bench.compare.pairs import margins
from bench.compare.sides import two_sides
from bench.compare.stored import PARTS, Difference, compare
from bench.compare.verdicts import Comparison, Policy
from bench.errors import unknown
from bench.report.topics import comparison as comparison_page

MOST_SHOWN = 40
"""Verdicts that a terminal is shown; the files have all."""


@click.command("compare")
@click.argument("base")
@click.argument("candidate")
@click.option(
    "--across",
    metavar="PART,...",
    default="",
    help=f"What the environments may differ in, being the thing compared: of {', '.join(PARTS)}.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, min_open=True),
    default=Policy.margin,
    show_default=True,
    metavar="SHARE",
    help="The slowdown that counts as one: 0.03 on a dedicated GPU, 0.05 on a quiet CPU, 0.1 on a shared one.",
)
@options.of_run("suites", suites={"help": "More suite files or folders, for the margins that their cases declare."})
@click.option("--strict", is_flag=True, help="End with 1 where a verdict is inconclusive or cannot be given, too.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write reports there.")
@options.as_json("the whole comparison")
@options.store
def command(
    base: str,
    candidate: str,
    across: str,
    margin: float,
    suites: tuple[str, ...],
    strict: bool,
    out: Path | None,
    as_json: bool,
    store_path: Path,
) -> int:
    """Judge CANDIDATE against BASE: each is a run of the store, or a JSON file (its name ends in .json).

    A file holds what `bench export --format json` wrote, or results of pytest-benchmark. Times and memory of stored
    runs are advice only; scores are compared seed by seed, parameters exactly. Ends with 1 where something regressed,
    crashed or is missing in CANDIDATE, 3 where there is nothing to judge or a run is compared with itself, 4 where
    profile, data or environment differ.
    """
    parts = [part.strip() for part in across.split(",") if part.strip()]
    for part in parts:
        if part not in PARTS:
            raise unknown("part of an environment", part, PARTS)
    sides = two_sides(base, candidate, store_path)
    catalog = sound(suites)  # among the cases of a broken file may be one that declares a margin
    policy = Policy(margin, margins(catalog), noise_of(sides[1], store_path))
    return tell(
        compare(sides[0], sides[1], policy, cast("list[Difference]", parts)), out, as_json=as_json, strict=strict
    )


def tell(comparison: Comparison, out: Path | None, *, as_json: bool, strict: bool) -> int:
    """Print a comparison, write it into `out` and into a GitHub job's summary and annotations; return the exit code."""
    if as_json:
        click.echo(comparison_page.as_json(comparison), nl=False)
    else:
        ordered = comparison.worst_first()
        for verdict in ordered[:MOST_SHOWN]:
            click.echo(comparison_page.line(verdict))
        if len(ordered) > MOST_SHOWN:
            click.echo(f"and {len(ordered) - MOST_SHOWN:,} more, none worse; --out DIR writes them all")
        click.echo(comparison_page.summary(comparison))
    for text in (*comparison.changed, *comparison.caveats):
        click.echo(f"bench: {text}", err=True)
    if out:
        for path in comparison_page.write(comparison, out):
            click.echo(f"wrote {path}", err=True)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(comparison_page.markdown(comparison))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for annotation in comparison_page.error_commands(comparison):
            click.echo(annotation, err=True)
    return comparison.exit_code(strict)
