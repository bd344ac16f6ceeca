"""What a worker says of itself when asked (`bench.runner.protocol`)."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from bench.cases.catalog import sound
from bench.errors import UsageError
from bench.machine.fingerprint import fingerprint
from bench.machine.processes import PACKAGE, code
from bench.records.record import SCHEMA_VERSION
from bench.runner.options import RunOptions
from bench.runner.plan import plan
from bench.runner.protocol import PROTOCOL, Introduction, KnownCell, Question


def introduce(question: Question) -> Introduction:
    """Return this installation's answer; raise `SuiteError` for a broken suite, `Unavailable` without a framework."""
    catalog = sound(question.suites)
    options = RunOptions(
        profile=question.profile, measure="timing", device=question.device, suites=tuple(question.suites)
    )
    introduction = Introduction(
        protocol=PROTOCOL,
        schema_version=SCHEMA_VERSION,
        version=None,
        prefix=sys.prefix,
        package=str(PACKAGE),
        environment=fingerprint(question.threads),
        cells=[],
        unmatched={},
        code=code(),
    )
    with suppress(PackageNotFoundError):
        introduction.version = version("twinbench")
    known: dict[str, KnownCell] = {}
    for pattern in question.patterns:
        try:
            for planned in plan(catalog, replace(options, patterns=(pattern,))):
                name, obstacle = str(planned.cell), planned.obstacle
                reason, part = (obstacle.reason, obstacle.part) if obstacle else (None, None)
                known[name] = KnownCell(cell=name, obstacle=reason, part=part, estimate=planned.estimate)
        except UsageError as error:
            introduction.unmatched[pattern] = str(error)
    introduction.cells = list(known.values())
    return introduction
