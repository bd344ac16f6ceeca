"""Results as files: what `bench export --format json` wrote is read back as runs and their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import UsageError
from bench.records.record import SCHEMA_VERSION, Record, from_json, upgrade
from bench.records.record import read as read_record
from bench.records.store import Run


@dataclass(frozen=True)
class Exported:
    """A run as a file holds it: its records, each with the environment that it ran in."""

    run: Run
    records: Sequence[tuple[Record, dict[str, Any]]]


def read(file: Path) -> list[Exported]:
    """Return the runs of an exported file; records of an earlier schema version are upgraded.

    Raises `UsageError` for a file that is missing, cut off, no export, or of a later schema version.
    """
    return runs_in(read_json(file), file)


def runs_in(export: Any, file: Path) -> list[Exported]:
    """Return the runs of what was read from `file`; raise `UsageError` where it is no export of a known version."""
    if not isinstance(export, dict) or "records" not in export:
        raise UsageError(f"{file} holds no exported run; write one with `bench export --format json`")
    version = check_version(export, file)
    records: dict[str, list[tuple[Record, dict[str, Any]]]] = {}
    try:
        for row in export["records"]:
            run, environment = row.pop("run"), export["environments"][row.pop("environment")]
            records.setdefault(run, []).append((_record(file, upgrade(row, version)), environment))
        return [
            Exported(
                Run(**{**run, "environment": export["environments"][run["environment"]]}), records.get(run["name"], [])
            )
            for run in export["runs"]
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{file} is no whole export ({type(error).__name__}: {error}); export the run again"
        ) from error


def read_json(file: Path) -> Any:
    """Return what a JSON file holds; raise `UsageError` with the place for one that is missing or cut off."""
    try:
        return from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(
            f"{file} is no JSON or cut off: {error}; write it with `bench export RUN --format json`"
        ) from error


def check_version(document: Mapping[str, Any], file: Path) -> int:
    """Return the schema version of what was read from `file`; raise `UsageError` for one that is not known."""
    version: int = document.get("schema_version", 0)
    if version not in range(1, SCHEMA_VERSION + 1):
        raise UsageError(
            f"{file} has schema version {version}, this twinbench reads 1 to {SCHEMA_VERSION}; "
            "use the version of twinbench that wrote it"
        )
    return version


def _record(file: Path, row: dict[str, Any]) -> Record:
    try:
        return read_record(row)
    except msgspec.ValidationError as error:
        name = f"{row.get('suite')}/{row.get('case')}@{row.get('backend')}"
        raise UsageError(f"{file}, record {name}: {error}") from error
