"""`bench port`: compare a user's Keras model with its PyTorch port."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from bench.commands import options
from bench.commands.terminal import print_json
from bench.errors import UsageError
from bench.files import write_file
from bench.machine.fingerprint import cores
from bench.port.batch import drawn, read
from bench.port.compare import compare
from bench.port.export import suite_text
from bench.port.loading import FILES
from bench.port.sides import Side
from bench.report.topics import port as report


@click.command()
@click.argument("keras")
@click.argument("torch")
@click.option(
    "--batch",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.npz",
    help="Rows to compare on: x (or inputs by name) and y.",
)
@click.option("--shape", metavar="N,N,...", help="Shape of random rows, the batch first, where there is no --batch.")
@click.option(
    "--dtype",
    type=click.Choice(["int64", "int32", "float32", "float64"]),
    show_default="what the model takes",
    help="Type of random rows.",
)
@click.option("--keras-compile", metavar="FILE.py:FUNCTION", help="Compiles the model; may return arguments of fit.")
@click.option(
    "--torch-step", metavar="FILE.py:FUNCTION", help="Takes the module, returns step(x, y) -> loss, or (step, loader)."
)
@click.option(
    "--map", "maps", multiple=True, metavar="KERAS=TORCH", help="A layer's counterpart, where it is not clear."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    metavar="S",
    help="Seconds that each call of your code may take.",
)
@options.as_json("the comparison")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Folder for port.md and port.json."
)
@click.option(
    "--export",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="SUITE.py",
    help="Write a suite of the Keras model, for `bench explain`.",
)
def command(
    keras: str,
    torch: str,
    batch: Path | None,
    shape: str | None,
    dtype: str | None,
    keras_compile: str | None,
    torch_step: str | None,
    maps: tuple[str, ...],
    timeout: float,
    as_json: bool,
    out: Path | None,
    export: Path | None,
) -> int:
    """Compare a Keras model with its PyTorch port.

    KERAS is a .keras or .h5 file, or file.py:function (or package.module:function) that returns a model. TORCH is
    file.py:Class or file.py:function. Carries the weights over, compares every layer, and names the first difference,
    its cause and its line of code. With both recipes, also loss, optimizer step and ten steps.

    Your code runs in processes of its own. Exits 0 when equal, 1 when they differ, 2 when layers do not match.
    """
    if keras_compile and not torch_step:
        raise UsageError("--keras-compile without --torch-step: give both, or neither")
    if torch_step and not keras_compile and not keras.endswith(FILES):
        raise UsageError("--torch-step without --keras-compile: only a saved model says itself how it is compiled")
    if batch and (shape or dtype):
        raise UsageError("--batch beside --shape or --dtype: the file has shapes of its own; give one of them")
    if export and export.suffix != ".py":
        raise UsageError(f"--export {export}: a suite is a Python file; name it *.py")
    chosen = dict(_mapped(each) for each in maps)
    threads = cores()
    with Side("keras", threads, timeout) as ours, Side("torch", threads, timeout) as theirs:
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(theirs.load, torch, "float64")
            ours.load(keras, torch_step is not None and keras_compile is None)
            loading.result()
        if keras_compile:
            ours.compile(keras_compile)
        needs = ours.needs()
        rows = read(batch, needs, theirs.takes()) if batch else drawn(_shape(shape), dtype, needs, ours.ids())
        found = compare(ours, theirs, rows, torch, torch_step, chosen)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        report.write(found, keras, torch, out)
    if as_json:
        print_json(**report.as_json(found, keras, torch))
    else:
        click.echo(report.screen(found))
    if export:
        whole = rows.x[0].dtype.kind == "i"
        text = suite_text(found.layers, Path(keras.partition(":")[0]).stem, rows.x[0].shape, whole)
        write_file(export, text)
        click.echo(f"wrote {export}; next: bench explain --suites {export}", err=True)
    for each in found.findings if found.verdict == "unmatched" else ():
        name = each.layer or each.torch
        click.echo(f"bench: {name}: Keras has {each.told.keras}, torch {each.told.torch}; {each.told.remedy}", err=True)
    return {"equal": 0, "differs": 1, "unmatched": 2}[found.verdict]


def _mapped(text: str) -> tuple[str, str]:
    keras, _, torch = text.partition("=")
    if not keras or not torch:
        raise UsageError(f"--map {text!r}: write the Keras layer, =, and the torch layer: --map dense_1=head.fc")
    return keras, torch


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise UsageError(f"--shape {text!r}: write whole numbers, the batch first, as in 32,128")
    return shape
