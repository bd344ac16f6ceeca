"""The two sides of an A/B comparison: interpreters, each with an installation or a checkout of its own."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError

from bench.errors import BenchError, UsageError
from bench.machine.processes import said
from bench.records.record import SCHEMA_VERSION
from bench.runner import workers
from bench.runner.protocol import PROTOCOL, SINCE, Introduction, Question

SideName = Literal["base", "candidate"]
SIDES: tuple[SideName, SideName] = get_args(SideName)
SPOKEN = (2, 3, 4, PROTOCOL)
"""The protocols whose workers this parent can drive. One of protocol 1 does not say which cells it knows, nor what its
environment is: there is nothing to compare it by.
"""

ANSWER_SECONDS = 120.0
_FROM_THERE = "run `bench ab` from that newer twinbench"
_MODULE = "bench.runner.worker"


@dataclass(frozen=True)
class Side:
    """One side: `worker` is the command of its worker, which may be another checkout's."""

    name: SideName
    python: str
    worker: tuple[str, ...]
    introduction: Introduction

    @property
    def environment(self) -> dict[str, Any]:
        """Return the fingerprint of what is measured on this side."""
        return self.introduction.environment

    @property
    def protocol(self) -> int:
        """Return the protocol in which its worker is spoken to."""
        return self.introduction.protocol

    @property
    def brief(self) -> bool:
        """Return whether its processes can be brief: of a pair both are, or neither, to be measured alike."""
        return self.protocol >= SINCE["brief"]


def concessions(sides: Iterable[Side]) -> list[str]:
    """Return what is done otherwise because a side speaks an older protocol, in words."""
    return [
        f"the {side.name} speaks worker protocol {side.protocol}, which knows no brief processes: every pair is "
        "measured in full on both sides, which takes longer"
        for side in sides
        if not side.brief
    ]


def side(name: SideName, python: str | None, path: str | Path | None, question: Question) -> Side:
    """Return the side whose worker runs under `python` (None: this interpreter) with the checkout `path`, if any.

    Without `path` the interpreter's own installation is measured; the current folder never is by accident. Raises
    `UsageError` for an interpreter that does not run, lacks the package, or speaks a protocol that is not spoken here.
    """
    worker, python = _command(name, python, path), python or sys.executable
    return Side(name, python, worker, _introduction(name, python, worker, question))


def same_installation(base: Side, candidate: Side) -> bool:
    """Return whether both sides are one Python with one twinbench: then there is nothing to compare."""
    return len({(side.introduction.prefix, side.introduction.package) for side in (base, candidate)}) == 1


def _command(name: SideName, python: str | None, path: str | Path | None) -> tuple[str, ...]:
    if python is None and path is None:
        return tuple(workers.WORKER)
    python = python or sys.executable
    if shutil.which(python) is None:
        raise UsageError(
            f"--{name} {python}: there is no such program that can be run; name the Python of an environment where "
            "twinbench is installed, as in --base ../base/.venv/bin/python"
        )
    if path is None:
        # -P: `python -m` would look in the current folder first, which may be the other side's checkout.
        return python, "-P", "-m", _MODULE
    folder = Path(path).resolve()
    if not (folder / "bench" / "runner" / "worker.py").is_file():
        raise UsageError(
            f"--{name}-path {path}: no checkout of twinbench; name the folder that holds bench/ and suites/"
        )
    return "env", f"PYTHONPATH={folder}", python, "-P", "-m", _MODULE


def _introduction(name: SideName, python: str, worker: Sequence[str], question: Question) -> Introduction:
    place = f"the {name} interpreter {python}"
    try:
        code, output, errors = said([*worker, "introduce"], ANSWER_SECONDS, given=question.model_dump_json() + "\n")
    except TimeoutError as error:
        raise UsageError(f"{place} gave no answer within {ANSWER_SECONDS:g} s; try {python} -c pass") from error
    except OSError as error:
        raise UsageError(f"{place} does not run: {error.strerror}; name another with --{name}") from error
    if code:
        raise _refusal(name, place, python, errors)
    try:
        found = json.loads(output)
        protocol = found["protocol"]
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{place} answered something else than a twinbench worker: {output[:200]!r}") from error
    if protocol not in SPOKEN:
        raise _other_protocol(place, f"{protocol} (twinbench {found.get('version')})", newer=protocol > max(SPOKEN))
    try:
        introduction = Introduction.model_validate(found)
    except ValidationError as error:
        raise BenchError(f"{place} speaks protocol {protocol}, but its introduction is malformed: {error}") from error
    if introduction.schema_version > SCHEMA_VERSION:
        raise UsageError(
            f"{place} writes records of schema version {introduction.schema_version}, this twinbench reads "
            f"{SCHEMA_VERSION} and earlier; {_FROM_THERE}"
        )
    return introduction


def _refusal(name: SideName, place: str, python: str, stderr: str) -> UsageError:
    last = (stderr.strip().splitlines() or ["no message"])[-1]
    if "No module named 'bench" in last or "No module named bench" in last:
        return UsageError(
            f"{place} lacks twinbench ({last}); name its checkout with --{name}-path, "
            f"or install it from there: {python} -m pip install -e CHECKOUT"
        )
    if "invalid literal for int() with base 10: 'introduce'" in last:
        return _other_protocol(place, "1", newer=False)
    return UsageError(f"{place} cannot run a twinbench worker: {last}")


def _other_protocol(place: str, theirs: str, *, newer: bool) -> UsageError:
    remedy = _FROM_THERE if newer else f"bring that side to a twinbench that speaks {SPOKEN[0]} or later"
    ours = f"{SPOKEN[0]} to {PROTOCOL}"
    return UsageError(f"{place} speaks worker protocol {theirs}, this twinbench speaks {ours}; {remedy}")
