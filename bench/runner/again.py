"""A stored cell, trained once more as it was: which figures come out otherwise. Nothing of it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cases.catalog import Catalog
from bench.cases.cell import Cell
from bench.cases.describe import definition
from bench.cases.profiles import apply
from bench.errors import UsageError, unknown
from bench.machine.fingerprint import cores, differences, fingerprint
from bench.records.record import Record, at
from bench.records.sequence import place
from bench.records.store import Run, Store, resuming
from bench.runner import workers
from bench.runner.client import Preparer
from bench.runner.options import RunOptions
from bench.runner.plan import PlannedCell, plan
from bench.runner.progress import Display, first_line
from bench.runner.run import interruptible, most_memory, on_gpu, with_tf32

Figure = float | str
WEIGHTS = "last, weights"
"""The hash of the weights after the last epoch, which records of earlier versions lack."""


@dataclass(frozen=True)
class Stored:
    """A record, the run that holds it, and the environment that it was measured in."""

    run: Run
    environment: dict[str, Any]
    record: Record


@dataclass(frozen=True)
class Unequal:
    """A figure that came out otherwise."""

    figure: str
    stored: Figure
    again: Figure


@dataclass(frozen=True)
class Repeated:
    """A repeat: its `record`, the names of the `figures` that were compared, and those that are `unequal`.

    `changed`: what differs from the environment of the stored record.
    """

    record: Record
    figures: tuple[str, ...]
    unequal: tuple[Unequal, ...]
    changed: tuple[str, ...]


def find(path: Path, name: str, run: str | None = None) -> Stored:
    """Return the latest record of the cell `name` that ended `ok` and was trained, in a store or in one `run` of it.

    Raises `UsageError` for what is no cell's name, and where the store holds no such record.
    """
    cell = Cell.parse(name)
    with Store(path) as store:
        runs = {each.name: each for each in store.runs()}
        found = [Stored(runs[of], where, record) for of, where, record in store.entries(run, cell.__eq__)]
        if not found:
            where = f"cell in run {run}" if run else "cell in the store"
            raise unknown(where, name, {str(record.cell) for record in store.records(run)})
    latest = max(
        found,
        key=lambda stored: (stored.record.status == "ok", bool(figures(stored.record)), place(stored.record)),
    )
    record = latest.record
    if record.status != "ok":
        raise UsageError(
            f"{name} of run {latest.run.name!r} is {record.status} ({first_line(record.reason)}): nothing to compare "
            f"with; measure it: `{resuming(latest.run.name, path)}`"
        )
    if not figures(record):
        raise UsageError(
            f"{name} of run {latest.run.name!r} holds times alone (measure {record.measure}), which never come out "
            "equal; repeat a cell that was trained for accuracy"
        )
    return latest


def check(stored: Stored, catalog: Catalog, options: RunOptions) -> None:
    """Raise `UsageError` where the cell is declared otherwise now, or has other data."""
    record = stored.record
    name, of = str(record.cell), f"since run {stored.run.name!r}"
    suite, case = catalog.case(record.cell.case_name)
    case = apply(case, options.profile)
    was, now = record.details.get("case"), definition(suite, case)
    if was not in (None, now):
        raise UsageError(f"{name} is declared otherwise {of}: then {was}; now {now}; give the suite of then")
    with Preparer() as preparer:
        data = preparer.sha256(case, options.replaced, most_memory(options))
    if record.data and data not in (None, record.data.sha256):  # without any the cell itself says what is missing
        raise UsageError(
            f"{name} has other data {of}: then sha256 {record.data.sha256[:12]}, now {str(data)[:12]}; put the files "
            "of then back (`bench data list`)"
        )


def planned(catalog: Catalog, options: RunOptions) -> PlannedCell:
    """Return the cell that the one pattern of `options` names in full."""
    (cell,) = plan(catalog, options)
    return cell


def repeat(stored: Stored, cell: PlannedCell, options: RunOptions) -> Repeated | None:
    """Train the cell and compare; None when interrupted. A record that is not `ok` has no figures."""
    threads = options.threads or cores()
    environment = fingerprint(threads)
    settings = workers.Settings(options.profile, options.measure, threads, options.suites, options.replaced)
    limits = workers.Limits(most_memory(options), options.timeout)
    with with_tf32(options), interruptible() as interrupted:
        cells = on_gpu([cell], threads)
        with Display(cells) as display:
            for record in workers.run(cells, settings, limits, display, interrupted):
                display.ended(record)
    if interrupted.is_set():
        return None
    compared = tuple(name for name in figures(stored.record) if name in figures(record))
    changed = differences(stored.environment, environment)
    return Repeated(record, compared, tuple(unequal(stored.record, record)), tuple(changed))


def unequal(stored: Record, again: Record) -> Iterator[Unequal]:
    """Yield the figures of both records that are not equal to the bit, in the order of training."""
    other = figures(again)
    for name, figure in figures(stored).items():
        if name in other and other[name] != figure:
            yield Unequal(name, figure, other[name])


def figures(record: Record) -> dict[str, Figure]:
    """Return by name what a training decides: losses, accuracies, hashes of the weights, the number of epochs.

    Timing alone trains as many epochs as the time allows.
    """
    found: dict[str, Figure | None] = {}
    if record.metrics is None:
        return {}
    for number, epoch in enumerate(record.metrics.epochs, 1):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            found[f"epoch {number}: {name.replace('val_', 'validation ')}"] = getattr(epoch, name)
    found["epochs"] = None if record.measure == "timing" else len(record.metrics.epochs)
    for which in ("last", "best"):
        for part in ("train", "validation", "test"):
            for name in ("loss", "accuracy"):
                found[f"{which}, {part}: {name}"] = at(record, f"metrics.{which}.{part}.{name}")
        found[f"{which}, weights"] = at(record, f"metrics.{which}.sha256")
    return {name: figure for name, figure in found.items() if figure is not None}
