"""Results as files: what `bench export --format json` wrote is read back as runs and their records."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from bench.errors import UsageError
from bench.records.record import RECORD_BYTES, SCHEMA_VERSION, Record, from_json, json_text, plain, upgrade
from bench.records.record import read as read_record
from bench.records.store import Run

_RECORDS = b' "records": [\n'
"""The line of an export before its records, each of which is a line: so they can be read one by one."""
_LARGEST = 2**63
WHOLE_BYTES = 64_000_000
"""The most that is read at once, where a file is not laid out a record a line: values take 20 times its bytes."""


@dataclass(frozen=True)
class Exported:
    """A run as a file holds it: its records, each with the environment that it ran in."""

    run: Run
    records: Sequence[tuple[Record, dict[str, Any]]]


def as_json(exports: Sequence[Exported]) -> str:
    """Return runs as exported: `schema_version`, `runs`, `environments` and `records`, one record a line.

    Each record names its run and, by key, the environment that it ran in; without these two it is a `Record` again.
    """
    environments = {export.run.name: export.run.environment for export in exports}
    lines, runs = [], []
    for export in exports:
        run = export.run
        runs.append(
            {
                "name": run.name,
                "profile": run.profile,
                "started": run.started,
                "command": run.command,
                "options": run.options,
                "environment": run.name,
                "uuid": run.uuid,
            }
        )
        keys = {run.name: run.environment}
        for record, environment in export.records:
            key = next((key for key, known in keys.items() if known == environment), None)
            if key is None:
                key = f"{run.name} ({len(keys) + 1})"
                keys[key] = environment
            lines.append(json_text({"run": run.name, "environment": key, **plain(record)}))
        environments |= keys
    head = {"schema_version": SCHEMA_VERSION, "runs": runs, "environments": environments}
    return json_text(head, indent=1).removesuffix("\n}") + ',\n "records": [\n' + ",\n".join(lines) + "\n ]\n}\n"


def read(file: Path) -> list[Exported]:
    """Return the runs of an exported file; records of an earlier schema version are upgraded.

    Raises `UsageError` for a file that is missing, cut off, no export, or of a later schema version.
    """
    found: dict[str, tuple[Run, list[tuple[Record, dict[str, Any]]]]] = {}
    for piece in stream(file):
        found.setdefault(piece.run.name, (piece.run, []))[1].extend(piece.records)
    return [Exported(run, records) for run, records in found.values()]


def stream(file: Path) -> Iterator[Exported]:
    """Yield an exported file piece by piece, so that its size costs no memory: first its runs, then each record.

    Every line of a `.jsonl` file is an export. Raises as `read` does.
    """
    try:
        with file.open("rb") as lines:
            rows = _lines(lines, file)
            if file.suffix == ".jsonl":
                for line in rows:
                    yield from runs_in(_json(line, file), file)
                return
            head, row = [], b""
            while line := lines.readline(WHOLE_BYTES):
                head.append(line)
                if line == _RECORDS:
                    row = next(rows, b"")
                    break
                _require_few(lines.tell(), file)
            if not (row[:1] == b"{" and row.rstrip(b",\n")[-1:] == b"}"):  # another layout, or no record
                rest = lines.read(WHOLE_BYTES)
                _require_few(lines.tell(), file)
                yield from runs_in(_json(b"".join([*head, row, rest]), file), file)
                return
            document = _json(b"".join(head) + b"]}", file)
            version = check_version(document, file)
            runs = _runs(document, file)
            yield from (Exported(run, []) for run in runs.values())
            while row.strip() not in (b"", b"]"):
                content = _json(row.strip().removesuffix(b","), file)
                yield _entry(content, version, runs, document.get("environments"), file)
                row = next(rows, b"")
            if lines.read(WHOLE_BYTES).strip() != b"}":
                raise UsageError(f"{file} is cut off: its last lines are missing; export the run again")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def _lines(stream: IO[bytes], file: Path) -> Iterator[bytes]:
    while line := stream.readline(RECORD_BYTES + 1):
        if len(line) > RECORD_BYTES:
            raise UsageError(f"{file} has a line of more than {RECORD_BYTES:,} bytes; export the run again")
        yield line


def _require_few(size: int, file: Path) -> None:
    if size >= WHOLE_BYTES:
        raise UsageError(
            f"{file} has {WHOLE_BYTES:,} bytes that are not a record a line; write it with "
            "`bench export RUN --format json`"
        )


def is_export(file: Path) -> bool:
    """Return whether a file begins as an export does; raise `UsageError` where it cannot be read."""
    try:
        with file.open("rb") as stream:
            return stream.read(64).replace(b" ", b"").replace(b"\n", b"").startswith(b'{"schema_version"')
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def runs_in(export: Any, file: Path) -> list[Exported]:
    """Return the runs of what was read from `file`; raise `UsageError` where it is no export of a known version."""
    if not isinstance(export, dict) or "records" not in export:
        raise UsageError(f"{file} holds no exported run; write one with `bench export --format json`")
    version = check_version(export, file)
    runs = _runs(export, file)
    records: dict[str, list[tuple[Record, dict[str, Any]]]] = {name: [] for name in runs}
    rows = export["records"]
    for row in rows if isinstance(rows, list) else [rows]:
        entry = _entry(row, version, runs, export.get("environments"), file)
        records[entry.run.name].extend(entry.records)
    return [Exported(run, records[name]) for name, run in runs.items()]


def read_json(file: Path) -> Any:
    """Return what a JSON file holds; raise `UsageError` with the place for one that is missing, cut off or too long."""
    try:
        with file.open("rb") as stream:
            text = stream.read(WHOLE_BYTES)
        _require_few(len(text), file)
        return _json(text, file)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def _json(text: bytes, file: Path) -> Any:
    try:
        return from_json(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{file} is no JSON or cut off: {error}; write it with `bench export RUN --format json`"
        ) from error


def check_version(document: Mapping[str, Any], file: Path) -> int:
    """Return the schema version of what was read from `file`; raise `UsageError` for one that is not known."""
    version = document.get("schema_version", 0)
    if not isinstance(version, int) or version not in range(1, SCHEMA_VERSION + 1):
        raise UsageError(
            f"{file} has schema version {version}, this twinbench reads 1 to {SCHEMA_VERSION}; "
            "use the version of twinbench that wrote it"
        )
    return version


class _Options(msgspec.Struct):
    """What reports read of the options of a run: what was asked for, and since later versions how."""

    patterns: list[str]
    seeds: int
    repeats: int
    threads: int | None = None
    suites: list[str] = []
    stand_ins: list[str] = []


def _runs(document: dict[str, Any], file: Path) -> dict[str, Run]:
    """Return the runs of a document by their names."""
    try:
        environments = document.get("environments", {})
        found = {}
        for given in document["runs"]:
            run = msgspec.convert({**given, "environment": environments[given["environment"]]}, Run)
            if not run.name or not run.environment:
                raise ValueError(f"run {run.name!r} has no {'environment' if run.name else 'name'}")
            msgspec.convert(run.options, _Options)
            datetime.datetime.fromisoformat(run.started)
            found[run.name] = run
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{file} is no whole export ({type(error).__name__}: {error}); export the run again"
        ) from error
    return found


def _entry(row: Any, version: int, runs: Mapping[str, Run], environments: Any, file: Path) -> Exported:
    """Return the run of a record with that record alone; raise `UsageError` for one that cannot be of a cell."""
    name = f"record {row.get('suite')}/{row.get('case')}@{row.get('backend')}" if isinstance(row, dict) else "record"
    try:
        run, environment = runs[row.pop("run")], environments[row.pop("environment")]
        record = read_record(upgrade(row, version))
        if wrong := _impossible(record) or ("" if isinstance(environment, dict) and environment else "environment"):
            raise UsageError(f"{file}, {name}: {wrong} is no value of a measurement; export the run again")
    except msgspec.ValidationError as error:
        raise UsageError(f"{file}, {name}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{file} is no whole export ({type(error).__name__}: {error}) at {name}; export the run again"
        ) from error
    return Exported(run, [(record, environment)])


def _impossible(record: Record) -> str:
    """Return the figure of a record that none can have, the empty string where there is none."""
    metrics = record.metrics
    weights = [each for each in (metrics.last, metrics.best) if each] if metrics else []
    scores = [score for each in weights for score in (each.train, each.validation, each.test) if score]
    counts = [("seed", record.seed), ("repeat", record.repeat), *(("epoch", each.epoch) for each in weights)]
    counts += [
        ("rows", rows)
        for rows in [*(score.rows for score in scores), *(record.data.rows if record.data else {}).values()]
    ]
    counts += [("steps", epoch.steps) for epoch in (metrics.epochs if metrics else ())]
    if record.parameters:
        counts += [("parameters", record.parameters.total)]
        counts += [("parameters", layer.total) for layer in record.parameters.layers]
    shares = [("accuracy", score.accuracy) for score in scores]
    for epoch in metrics.epochs if metrics else ():
        shares += [("accuracy", epoch.accuracy), ("val_accuracy", 0.0 if (val := epoch.val_accuracy) is None else val)]
    wrong = [f"{name} {count}" for name, count in counts if not 0 <= count < _LARGEST]
    wrong += [f"{name} {share:g}" for name, share in shares if not (0 <= share <= 1 or math.isnan(share))]
    if not 0 <= (record.sequence or 0) < _LARGEST // 2:  # what is stored later has a larger one
        wrong.append(f"sequence {record.sequence}")
    wrong += [] if 0 <= record.seconds < math.inf else [f"seconds {record.seconds:g}"]
    try:
        datetime.datetime.fromisoformat(record.started)
    except ValueError:
        wrong.append(f"started {record.started!r}")
    return ", ".join(wrong[:1])
