"""Records made by hand, the results and exported files they are in, and the cases they belong to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.cases.cell import Cell
from bench.cases.parameters import LayerParameters, Parameters
from bench.records.record import (
    DataUsed,
    EpochScore,
    Failure,
    Metrics,
    Record,
    Score,
    Timing,
    Weights,
)
from bench.report.results import Results, Source
from bench.spec import KERAS_2_3, Case, Dense, Embedding, Flatten, Imdb, Suite, Training

Maker = Callable[..., Record]
Gather = Callable[..., Results]

ENVIRONMENT: dict[str, Any] = {
    "cpu": "Example CPU",
    "cores": 2,
    "threads": 2,
    "gpus": [],
    "packages": {"keras": "3.15.1", "torch": "2.13.0"},
    "git": {"commit": "0123456789abcdef", "dirty": False},
}

DATA = Imdb(num_words=50, maxlen=10)
LAYERS = (Embedding(50, 50), Flatten(), Dense(1, "sigmoid"))


def case(name: str, **changes: Any) -> Case:
    fields: dict[str, Any] = {"data": DATA, "layers": LAYERS, "training": Training("adam", epochs=4)}
    return Case(name, **{**fields, **changes})


def suite(*cases: Case) -> Suite:
    return Suite("demo", document="9", title="A document", era=KERAS_2_3, cases=cases)


def name(
    case_name: str,
    backend: str = "torch",
    kernel: str = "none",
    seed: int = 0,
    device: str = "cpu",
    numerics: str = "documented",
) -> str:
    """Return the name of a cell of `suite`."""
    return f"demo/{case_name}@{backend},{kernel},{device},{numerics}#{seed}"


def score(accuracy: float, loss: float, rows: int) -> Score:
    return Score(loss=loss, accuracy=accuracy, rows=rows)


def make_record(
    cell: str,
    *,
    test: float | None = None,
    loss: float = 0.5,
    test_rows: int = 2000,
    val: Sequence[float] = (),
    train: float = 0.9,
    best: float | None = None,
    epoch_seconds: Sequence[float] = (),
    steps: int = 100,
    alone: bool = True,
    counts: Sequence[int] = (),
    stored: int | None = None,
    frozen: int = 0,
    stand_in: str | None = None,
    traceback: str | None = None,
    **changes: Any,
) -> Record:
    """Return a record of `cell` (a full cell name), ok when it has scores or times, with what was given."""
    parsed = Cell.parse(cell)
    epochs = max(len(val), len(epoch_seconds), 1)
    lines = [
        EpochScore(
            loss=0.4,
            accuracy=0.8,
            val_loss=0.6 if val else None,
            val_accuracy=val[number] if number < len(val) else None,
            seconds=epoch_seconds[number] if number < len(epoch_seconds) else 1.0,
            steps=steps,
        )
        for number in range(epochs)
    ]
    last = Weights(
        epoch=epochs,
        train=score(train, 0.2, 5000),
        validation=score(val[-1], 0.6, 1250) if val else None,
        test=None if test is None else score(test, loss, test_rows),
    )
    measured = test is not None or bool(val)
    timing = None
    if epoch_seconds:
        first, *steady = epoch_seconds
        timing = Timing(build=0.1, first_epoch=first, epochs=steady, steps=steps, total=sum(epoch_seconds), alone=alone)
    parameters = None
    if counts:
        total = sum(counts)
        layers = [LayerParameters(name=f"layer{i}", total=n, trainable=n, stored=n) for i, n in enumerate(counts)]
        parameters = Parameters(
            total=total,
            trainable=total - frozen,
            frozen=frozen,
            stored=total if stored is None else stored,
            layers=layers,
        )
    best_weights = None if best is None else Weights(epoch=1, validation=score(best, 0.55, 1250))
    fields: dict[str, Any] = {
        "suite": parsed.suite,
        "case": parsed.case,
        "backend": parsed.backend,
        "kernel": parsed.kernel,
        "device": parsed.device,
        "numerics": parsed.numerics,
        "seed": parsed.seed,
        "profile": "documented",
        "measure": "all",
        "status": "ok",
        "metrics": Metrics(epochs=lines, last=last, best=best_weights) if measured else None,
        "timing": timing,
        "parameters": parameters,
        "data": DataUsed(name="imdb", sha256="ab" * 32, rows={"train": 5000, "test": test_rows}, stand_in=stand_in),
        "failure": None if traceback is None else Failure(error="ValueError", traceback=traceback),
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 10.0,
    }
    return Record(**{**fields, **changes})


def make_results(suites: Sequence[Suite], *runs: Sequence[Record], seeds: int = 1, **changes: Any) -> Results:
    """Return results of one or more runs, each a list of records."""
    sources = tuple(
        Source(
            name=f"run{number}",
            profile=records[0].profile if records else "documented",
            command=f"bench run --name run{number}",
            started="2026-01-01T00:00:00+00:00",
            environment=ENVIRONMENT,
            records=tuple(records),
            seeds=seeds,
            settings="--profile=documented --threads=2",
        )
        for number, records in enumerate(runs)
    )
    return Results(sources, {suite.name: suite for suite in suites}, **changes)
