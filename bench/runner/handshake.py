"""What a worker says of itself when asked, so that the worker of another checkout or environment can be driven.

`python -m bench.runner.worker introduce` reads a `Question` as JSON from stdin and prints an `Introduction`. Nothing
but this and the protocol number may be relied on before the protocol is known to be spoken by both.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import bench
from bench.cases.catalog import load
from bench.cases.cell import Profile
from bench.errors import SuiteError, UsageError
from bench.machine.fingerprint import fingerprint
from bench.records.record import SCHEMA_VERSION
from bench.runner.options import RunOptions
from bench.runner.plan import Part, plan
from bench.spec import Device


class Question(BaseModel):
    """Which cells it is about, and how many threads each framework will get; unknown fields are passed over."""

    patterns: list[str]
    profile: Profile
    device: Device | None
    suites: list[str]
    threads: int


class KnownCell(BaseModel):
    """A cell that a worker's own suites and backends give; `obstacle` says why it cannot run there."""

    cell: str
    obstacle: str | None
    part: Part | None
    estimate: float


class Introduction(BaseModel):
    """Who answers: protocol, version, folders of Python and of the package, fingerprint, and the cells it would run.

    `unmatched` holds the patterns that name nothing there, each with the reason.
    """

    protocol: int
    schema_version: int
    version: str | None
    prefix: str
    package: str
    environment: dict[str, Any]
    cells: list[KnownCell]
    unmatched: dict[str, str]


def introduce(question: Question, protocol: int) -> Introduction:
    """Return this installation's answer; raise `SuiteError` for a broken suite, `Unavailable` without a framework."""
    catalog = load([Path(path) for path in question.suites])
    if catalog.errors:
        raise SuiteError("\n".join(str(error) for error in catalog.errors))
    options = RunOptions(
        profile=question.profile, measure="timing", device=question.device, suites=tuple(question.suites)
    )
    known: dict[str, KnownCell] = {}
    unmatched = {}
    for pattern in question.patterns:
        try:
            planned = plan(catalog, replace(options, patterns=(pattern,)))
        except UsageError as error:
            unmatched[pattern] = str(error)
            continue
        for one in planned:
            obstacle = one.obstacle
            known[str(one.cell)] = KnownCell(
                cell=str(one.cell),
                obstacle=obstacle.reason if obstacle else None,
                part=obstacle.part if obstacle else None,
                estimate=one.estimate,
            )
    return Introduction(
        protocol=protocol,
        schema_version=SCHEMA_VERSION,
        version=_version(),
        prefix=sys.prefix,
        package=str(Path(bench.__file__).resolve().parent),
        environment=fingerprint(question.threads),
        cells=list(known.values()),
        unmatched=unmatched,
    )


def _version() -> str | None:
    try:
        return version("twinbench")
    except PackageNotFoundError:
        return None
