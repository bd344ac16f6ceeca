"""`bench parity`: prove that backends train the same model, and say where they do not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from bench.cases.catalog import sound
from bench.commands import options
from bench.commands.terminal import folded
from bench.errors import Unavailable
from bench.machine.fingerprint import cores, fingerprint
from bench.parity.lanes import USUAL, proofs
from bench.parity.proof import SCHEMA_VERSION, Proof, store
from bench.records.record import json_text, plain
from bench.report.sentences import joined
from bench.report.topics import parity as report
from bench.spec import Kernel

NOT_PROVEN = 3
PROVEN = f"{joined(USUAL)}, where installed"


@click.command()
@options.patterns
@options.of_run("backends", "kernels", backends={"show_default": PROVEN}, kernels={"show_default": "all that can run"})
@click.option("--short", is_flag=True, help="Compare 5 steps on generated text in place of 100 on each case's data.")
@options.suites
@options.as_json("the proofs")
@options.out_folder("for parity.md and parity.json, which are overwritten")
def command(
    patterns: tuple[str, ...],
    backends: tuple[str, ...],
    kernels: tuple[Kernel, ...],
    short: bool,
    suites: tuple[str, ...],
    as_json: bool,
    out: Path,
) -> int:
    """Prove that backends train the same model.

    Compares parameters, logits, gradients, updates, 100 training steps, an epoch and evaluation. Prints every
    difference: case, check, weight, expected, found.

    Exits 3 when a twin is not proven.
    """
    catalog = sound(suites)
    started = time.perf_counter()
    made: list[Proof] = []
    for proof in proofs(catalog.select(patterns), backends, kernels, short=short):
        made.append(proof)
        click.echo(folded(line(proof), hang=4), err=as_json)
        for failure in proof.failures:
            click.echo(folded(f"{proof.case_name}: {failure}", "  "), err=as_json)
    environment: dict[str, Any] = fingerprint(cores())
    out.mkdir(parents=True, exist_ok=True)
    store(out / "parity.json", made, environment)
    report.write(made, environment, out / "parity.md")
    if as_json:
        records = [plain(proof) for proof in made]
        click.echo(json_text({"schema_version": SCHEMA_VERSION, "records": records}, indent=1))
    click.echo(folded(f"{report.sentence(made)} ({time.perf_counter() - started:.0f} s)"), err=as_json)
    click.echo(f"wrote {out / 'parity.md'}\nwrote {out / 'parity.json'}", err=as_json)
    if any(proof.verdict == "not proven" for proof in made):
        return NOT_PROVEN
    if not any(proof.reference for proof in made):
        raise Unavailable(
            "nothing to compare: no case runs under two backends or kernels here; the lines above say why"
        )
    return 0


def line(proof: Proof) -> str:
    """Return one proof as a line: what, verdict, the largest errors."""
    what = f"{proof.case_name} {proof.backend},{proof.kernel}: {proof.verdict}"
    if proof.reason:
        what += f" ({proof.reason})"
    if proof.same_as:
        what += f" (same model and data as {proof.same_as})"
    doubles = [by["float64"] for by in proof.errors.values() if "float64" in by]
    singles = [by["float32"] for by in proof.errors.values() if "float32" in by]
    largest = [f"{name} {max(errors):.0e}" for name, errors in (("float64", doubles), ("float32", singles)) if errors]
    return f"{what}; largest relative error: {', '.join(largest)}" if largest else what
