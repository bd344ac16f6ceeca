"""`bench compare`: judge two stored runs, exports or results of pytest-benchmark."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import cast

import click

from bench.cases.catalog import sound
from bench.commands import options
from bench.commands.terminal import folded
from bench.compare.noise_floor import noise_of
from bench.compare.pairs import margins
from bench.compare.sides import two_sides
from bench.compare.stored import PARTS, Difference, compare
from bench.compare.verdicts import Comparison, Policy, Verdict
from bench.errors import unknown
from bench.files import append_file
from bench.report.topics import comparison as comparison_page
from bench.runner.options import POSITIVE
from bench.shown import printable

MOST_SHOWN = 40
"""Verdicts that a terminal is shown; the files have all."""
HANG = 14
"""Where the cell of a verdict begins, and below it its figures."""
_SINGLE_SPACE = re.compile(r"(?<! ) (?! )")


@click.command("compare")
@click.argument("base")
@click.argument("candidate")
@click.option(
    "--across",
    metavar="PART,...",
    default="",
    show_default="nothing",
    help=f"What is compared and may differ between the environments: {', '.join(PARTS)}.",
)
@click.option(
    "--margin",
    type=POSITIVE,
    default=Policy.margin,
    metavar="SHARE",
    help="Slowdown that matters: 0.03 on a dedicated GPU, 0.05 on a quiet CPU, 0.1 on a shared one.",
)
@options.of_run("suites", suites={"help": "More suite files or folders, for the margins of their cases (repeatable)."})
@click.option("--strict", is_flag=True, help="Exit 1 also where a verdict is inconclusive or missing.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write reports into DIR.")
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
    """Judge CANDIDATE against BASE: each is a run of the store, or a file whose name ends in .json.

    A file comes from `bench export` (json or pytest-benchmark) or from pytest-benchmark itself. Scores are compared
    seed by seed, parameters exactly; times and memory of stored runs are advice.

    \b
    Exit codes: 0  nothing regressed
                1  something regressed, crashed or is missing in CANDIDATE
                3  nothing to judge, or a run compared with itself
                4  profile, data or environment differ
    """  # noqa: D301 (click's mark of a paragraph that is not to be folded)
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


def _shown(verdict: Verdict) -> str:
    """Return a verdict in lines that fit: the cell, below it its figures, which no line cuts, and the reason."""
    cell = printable(f"{verdict.verdict:<{HANG}}{verdict.cell}")
    figures = comparison_page.line(replace(verdict, reason="")).removeprefix(cell).strip()
    whole = folded(_SINGLE_SPACE.sub("\N{NO-BREAK SPACE}", figures), " " * HANG).replace("\N{NO-BREAK SPACE}", " ")
    reason = folded(printable(verdict.reason), " " * HANG)
    return "\n".join(filter(None, (folded(cell, hang=HANG), whole, reason)))


def tell(comparison: Comparison, out: Path | None, *, as_json: bool, strict: bool) -> int:
    """Print a comparison, write it into `out` and into a GitHub job's summary and annotations; return the exit code."""
    if as_json:
        click.echo(comparison_page.as_json(comparison), nl=False)
    else:
        ordered = comparison.worst_first()
        for verdict in ordered[:MOST_SHOWN]:
            click.echo(_shown(verdict))
        if len(ordered) > MOST_SHOWN:
            click.echo(f"{len(ordered) - MOST_SHOWN:,} more, none worse; --out DIR writes them all")
        click.echo(folded(comparison_page.summary(comparison)))
    for text in (*comparison.changed, *comparison.caveats):
        click.echo(folded(text, "bench: "), err=True)
    if out:
        for path in comparison_page.write(comparison, out):
            click.echo(f"wrote {path}", err=True)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        append_file(Path(summary), comparison_page.markdown(comparison))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for annotation in comparison_page.error_commands(comparison):
            click.echo(annotation, err=True)
    return comparison.exit_code(strict)
