"""What a parent and a worker say to each other; a worker of another checkout may speak an older protocol.

`python -m bench.runner.worker DESCRIPTOR` reads a `Request` as a line of JSON from stdin, and writes lines of JSON to
the descriptor: `{"event": "epoch", ...}` (the fields of `bench.training.loop.Progress`) while a cell trains, and
`{"event": "record", "schema_version": 2, "record": {...}}` when it is done.

`python -m bench.runner.worker introduce` reads a `Question` and prints an `Introduction`. Nothing but this and the
protocol number may be relied on before the protocol is known to be spoken by both.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.cases.cell import Measure, Profile
from bench.runner.plan import CellPart
from bench.spec import Device

PROTOCOL = 3
"""Rises with every change of `Request`, `Question`, `Introduction` or the answers.

Since 2 workers introduce themselves.
"""
SINCE = {"brief": 3}
"""The protocol that brought a field of `Request`, of those that were not always there."""


class RequestedCell(BaseModel):
    """A cell by name, and which repeat of it this is."""

    model_config = ConfigDict(extra="forbid")

    cell: str
    repeat: int


class Request(BaseModel):
    """What a worker is asked to do: run `cells` in turn, all of one backend.

    `brief`: many processes measure the same, so each takes fewer windows, one steady epoch, and proves no kernel.
    """

    model_config = ConfigDict(extra="forbid")

    protocol: int
    cells: list[RequestedCell]
    profile: Profile
    measure: Measure
    suites: list[str]
    stand_ins: dict[str, str]
    brief: bool

    def worded(self) -> str:
        """Return the request as JSON for a worker of its protocol: without what such a worker does not know.

        Raises `ValueError` where that would ask for something else.
        """
        unknown = {name for name, protocol in SINCE.items() if protocol > self.protocol}
        asked = sorted(name for name in unknown if getattr(self, name))
        if asked:
            raise ValueError(f"a worker of protocol {self.protocol} cannot be asked for: {', '.join(asked)}")
        return self.model_dump_json(exclude=unknown)


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
    part: CellPart | None
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
