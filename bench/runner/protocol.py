"""What a parent and a worker say to each other; a worker of another checkout may speak an older protocol.

`python -m bench.runner.worker DESCRIPTOR` reads lines of JSON from stdin, each a `Request` for one cell, and writes
lines of JSON to the descriptor: `{"event": "epoch", ...}` (the fields of `bench.training.loop.Progress`) while the cell
trains, and `{"event": "record", "schema_version": 2, "record": {...}, "code": [...]}` when it is done, with its
`bench.machine.processes.Code`. The next cell is asked for after that. The parent trusts no answer: any other line fails
the cell that it should have been about.

`python -m bench.runner.worker introduce` reads a `Question` and prints an `Introduction`. Nothing but this and the
protocol number may be relied on before the protocol is known to be spoken by both.
"""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict

from bench.cases.cell import Measure, Profile
from bench.machine.processes import Code
from bench.records.record import RECORD_BYTES, SCHEMA_VERSION, Record, read, upgrade
from bench.runner.plan import CellPart
from bench.spec import Device
from bench.training.loop import Progress

PROTOCOL = 5
"""Rises with every change of `Request`, `Question`, `Introduction` or the answers.

Since 2 workers introduce themselves; since 4 records hold a hash of the weights; since 5 a request is for one cell, and
its worker reads on.
"""
SINCE = {"brief": 3, "process": 5}
"""The protocol that brought a field of `Request`, of those that were not always there."""
LINE_BYTES = RECORD_BYTES
"""The longest answer that is read."""
_SHOWN = 200


Process = Literal["own", "forked", "shared"]
"""Where a cell runs: in a process that was started for it, in a child of one that has imported the framework for
several, or in that one itself.
"""


class Request(BaseModel):
    """What a worker is asked to do: run a cell, and which repeat of it this is. All of a worker are of one backend.

    `brief`: many processes measure the same, so each takes fewer windows, one steady epoch, and proves no kernel.
    `process` is the same for all cells of a worker.
    """

    model_config = ConfigDict(extra="forbid")

    protocol: int
    cell: str
    repeat: int
    profile: Profile
    measure: Measure
    suites: list[str]
    stand_ins: dict[str, str]
    brief: bool = False
    process: Process = "own"

    def worded(self) -> str:
        """Return the request as JSON for a worker of its protocol: without what such a worker does not know.

        Raises `ValueError` where that would ask for something else.
        """
        unknown = {name for name, protocol in SINCE.items() if protocol > self.protocol}
        asked = sorted(unknown & self.model_dump(exclude_defaults=True).keys())
        if asked:
            raise ValueError(f"a worker of protocol {self.protocol} cannot be asked for: {', '.join(asked)}")
        words = self.model_dump(exclude=unknown)
        if self.protocol < SINCE["process"]:  # it takes a list of cells, and ends with them
            words["cells"] = [{"cell": words.pop("cell"), "repeat": words.pop("repeat")}]
        return json.dumps(words)


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

    `unmatched` holds the patterns that name nothing there, each with the reason. `code`: None of an older twinbench.
    """

    protocol: int
    schema_version: int
    version: str | None
    prefix: str
    package: str
    environment: dict[str, Any]
    cells: list[KnownCell]
    unmatched: dict[str, str]
    code: Code | None = None


class _Recorded(msgspec.Struct, tag_field="event", tag="record"):
    schema_version: int
    record: dict[str, Any]
    code: Code | None = None


class Recorded(NamedTuple):
    """The record of a cell, and the code that measured it; None where a worker does not tell yet."""

    record: Record
    code: Code | None


class InvalidAnswer(ValueError):
    """A line of a worker that is no answer; the message says why, and shows how it begins."""


def read_answer(line: bytes | bytearray) -> Progress | Recorded:
    """Return what a worker says in a line; raise `InvalidAnswer` for anything else, whatever the bytes are.

    A lone surrogate, which can be neither printed nor stored, becomes a question mark.
    """
    try:
        if len(line) > LINE_BYTES:
            raise ValueError(f"a line of more than {LINE_BYTES:,} bytes")
        content = json.loads(line.decode(), parse_int=_whole)
        if b"\\ud" in line.lower():
            content = json.loads(json.dumps(content, ensure_ascii=False).encode(errors="replace"))
        if isinstance(content, dict) and content.get("event") == "epoch":
            return msgspec.convert(content, Progress)
        answer = msgspec.convert(content, _Recorded)
        if not 0 < answer.schema_version <= SCHEMA_VERSION:
            raise ValueError(f"a record of schema version {answer.schema_version}")
        return Recorded(read(upgrade(answer.record, answer.schema_version)), answer.code)
    except (ValueError, TypeError, RecursionError, msgspec.ValidationError) as error:
        raise InvalidAnswer(f"{str(error)[:_SHOWN]}; it begins with {bytes(line[:_SHOWN])!r}") from error


def _whole(digits: str) -> int:
    number = int(digits)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{digits[:_SHOWN]} does not fit into 64 bits")
    return number
