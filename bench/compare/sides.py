"""One side of a comparison of what is stored: a run, its export, or the results of pytest-benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.errors import NothingToCompare, UsageError
from bench.records import exports
from bench.records.metrics import CALL, METRICS, is_comparable, value
from bench.records.record import Record
from bench.records.store import Store

PLACE = ("cell", "seed", "repeat", "status", "reason", "data")


@dataclass(frozen=True)
class Measured:
    """What was measured of one side.

    `frame` has a row for every cell and repeat: `PLACE` (`cell` without its seed, `data` the sha256 of its data), then
    a column for every quantity, nan where there is no figure. `environments` are those it was measured in. `caveat`
    says what its figures must not be taken for.
    """

    name: str
    profile: str
    environments: tuple[Mapping[str, Any], ...]
    frame: pd.DataFrame
    caveat: str = ""

    @property
    def quantities(self) -> list[str]:
        """Return the names of the quantities that the frame has columns of."""
        return [name for name in self.frame.columns if name not in PLACE]


def two_sides(base: str, candidate: str, store: Path) -> tuple[Measured, Measured]:
    """Return two sides by their names, as `measured` does; raise `NothingToCompare` where both are the same."""
    places = [Path(name).resolve() if name.endswith(".json") else name for name in (base, candidate)]
    if places[0] == places[1]:
        raise NothingToCompare(
            f"{base} is compared with itself: nothing can differ; name another run or file as CANDIDATE"
        )
    return measured(base, store), measured(candidate, store)


def measured(name: str, store: Path) -> Measured:
    """Return the side called `name`: what a JSON file of that path holds, else the run of the store at `store`.

    Raises `UsageError` for an unknown run, and for a file that is missing, broken, or of another schema version.
    """
    if name.endswith(".json"):
        return _from_file(Path(name))
    with Store(store) as opened:
        run = opened.run(name)
        rows = pd.DataFrame(opened.figures(name), columns=[*PLACE, *METRICS])
        return Measured(name, run.profile, tuple(opened.environments(name)), _numeric(rows))


def of_records(name: str, profile: str, entries: Iterable[tuple[Record, Mapping[str, Any]]]) -> Measured:
    """Return the side that records, each with its environment, make up."""
    rows: list[tuple[Any, ...]] = []
    environments: list[Mapping[str, Any]] = []
    for record, environment in entries:
        if environment not in environments:
            environments.append(environment)
        comparable = is_comparable(record)
        figures = [
            value(record, known.name) if comparable or known.kind != "time" else None for known in METRICS.values()
        ]
        data = record.data.sha256 if record.data else None
        place = (record.cell.configuration, record.seed, record.repeat, record.status, record.reason, data)
        rows.append((*place, *figures))
    return Measured(name, profile, tuple(environments), _numeric(pd.DataFrame(rows, columns=[*PLACE, *METRICS])))


def _numeric(frame: pd.DataFrame) -> pd.DataFrame:
    quantities = [name for name in frame.columns if name not in PLACE]
    frame[quantities] = frame[quantities].astype(float)
    frame["cell"] = frame["cell"].astype("category")  # a name is there once for each of its rows
    return frame


# --- files -------------------------------------------------------------------------------------------------------


def _from_file(path: Path) -> Measured:
    if exports.is_export(path):
        found = exports.read(path)
    else:
        document = exports.read_json(path)
        if isinstance(document, dict) and "benchmarks" in document:
            return _from_pytest_benchmark(path, document)
        found = exports.runs_in(document, path)
    if len(found) != 1:
        names = ", ".join(export.run.name for export in found) or "none"
        raise UsageError(
            f"{path} holds not one run but {len(found)} ({names}); `bench import` it, then name one of them"
        )
    return of_records(found[0].run.name, found[0].run.profile, found[0].records)


class _Stats(BaseModel):
    median: float
    data: list[float] = []


class _Benchmark(BaseModel):
    fullname: str
    stats: _Stats
    extra_info: dict[str, Any] = {}


class _Machine(BaseModel):
    model_config = ConfigDict(extra="allow")
    cpu: dict[str, Any] = {}


class _PytestBenchmark(BaseModel):
    """A part of pytest-benchmark's JSON; what is not listed is not read."""

    benchmarks: list[_Benchmark]
    machine_info: _Machine = _Machine()
    commit_info: dict[str, Any] = {}


def _from_pytest_benchmark(path: Path, document: Mapping[str, Any]) -> Measured:
    """Return the calls that pytest-benchmark timed, one row for every round where the file has them all."""
    try:
        results = _PytestBenchmark.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: {place}: {first['msg']}; write it again with pytest --benchmark-json") from error
    rows = [
        (benchmark.fullname, 0, number, "ok", None, benchmark.extra_info.get("data"), seconds)
        for benchmark in results.benchmarks
        for number, seconds in enumerate(benchmark.stats.data or [benchmark.stats.median])
    ]
    machine, commit = results.machine_info.model_dump(), results.commit_info
    known = {
        "cpu": machine["cpu"].get("brand_raw"),
        "cores": machine["cpu"].get("count"),
        "os": machine.get("release"),
        "python": machine.get("python_version"),
        **{name: machine.get(name) for name in ("threads", "gpus", "packages")},  # of ours only
        "git": {"commit": commit["id"], "dirty": bool(commit.get("dirty"))} if commit.get("id") else None,
    }
    environment = {name: fact for name, fact in known.items() if fact is not None}
    whole = all(benchmark.stats.data for benchmark in results.benchmarks)
    caveat = (
        "rounds of one process are no repeats of it: the intervals are too narrow"
        if whole
        else "without its rounds (--benchmark-save-data) a benchmark is a single figure, which cannot be judged"
    )
    frame = pd.DataFrame(rows, columns=[*PLACE, CALL.name])
    return Measured(path.stem, "pytest-benchmark", (environment,), _numeric(frame), caveat)
