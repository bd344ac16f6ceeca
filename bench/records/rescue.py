"""What can still be read of a damaged store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.errors import StoreError, UsageError
from bench.files import write_file
from bench.records.exports import Exported
from bench.records.record import Record, json_text, upgrade
from bench.records.store import CONTENT, Run, decoded, json_values

_UNKNOWN = {"cpu": "unknown: rescued from a damaged store"}
_SCANS = ("NOT INDEXED", "INDEXED BY sqlite_autoindex_cell_1", "INDEXED BY cell_by_configuration")


def rescue(path: Path) -> tuple[list[Exported], int]:
    """Return the runs and records of a damaged store that can be read, and how many records cannot.

    Only records whose place is still known are counted. The store stays as it is. Where it is empty, but a WAL beside
    it holds all its pages, these are read. Raises `UsageError` where there is no store, `StoreError` where nothing of
    one can be read.
    """
    with _opened(path) as db:
        try:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            ids = _ids(db)
            runs = _runs(db)
        except sqlite3.Error as error:
            raise StoreError(f"nothing of {path} can be read: {error}; put it back from a copy") from error
        records: dict[int, list[tuple[Record, dict[str, Any]]]] = {key: [] for key in runs}
        lost = 0
        for cell in ids:
            try:
                run, environment, content, *samples = db.execute(
                    f"SELECT run, environment, {CONTENT} WHERE cell.id = ?", (cell,)
                ).fetchone()
                record = decoded(json_text(upgrade(json_values(content), version)), samples, {})
            except (sqlite3.Error, TypeError, AttributeError):
                lost += 1
                continue
            runs.setdefault(run, _unknown(run, record))
            records.setdefault(run, []).append((record, _environment(db, environment)))
    return [Exported(run, records[key]) for key, run in runs.items()], lost


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    log = Path(f"{path}-wal")
    if not path.is_file() and not log.is_file():
        raise UsageError(f"no store at {path}; name another with --store")
    with TemporaryDirectory() as folder:
        copy = Path(folder, "store")  # reading the file itself would write beside it
        pages = log.read_bytes() if log.is_file() else b""
        content = path.read_bytes() if path.is_file() else b""
        try:
            write_file(copy, content or _first_page(pages))
            if pages:
                write_file(Path(f"{copy}-wal"), pages)
        except OSError as error:
            raise StoreError(f"{path} cannot be copied to be read: {error.strerror}; set TMPDIR") from error
        with closing(sqlite3.connect(copy, isolation_level=None)) as db:
            yield db


def _first_page(log: bytes) -> bytes:
    """Return the first page as a WAL has it; with it SQLite takes the file for a database, and reads the rest there.

    The header has 32 bytes, the size of pages in bytes 8 to 11; a frame is 24 bytes, the number of its page first, and
    that page (https://www.sqlite.org/fileformat2.html#walformat).
    """
    size = int.from_bytes(log[8:12])
    for start in range(32, len(log), 24 + size):
        if int.from_bytes(log[start : start + 4]) == 1:
            return log[start + 24 : start + 24 + size]
    return b""


def _ids(db: sqlite3.Connection) -> list[int]:
    """Return the rows of cells, each scan from both ends up to where it is damaged."""
    found: set[int] = set()
    for scan in _SCANS:
        column = {"NOT INDEXED": "id"}.get(scan, "run" if "auto" in scan else "suite")
        for order in ("ASC", "DESC"):
            with suppress(sqlite3.DatabaseError):
                for (cell,) in db.execute(f"SELECT id FROM cell {scan} ORDER BY {column} {order}"):
                    found.add(cell)
    if not found:
        db.execute("SELECT count(*) FROM cell").fetchone()  # raises where that is for damage
    return sorted(found)


def _runs(db: sqlite3.Connection) -> dict[int, Run]:
    found: dict[int, Run] = {}
    with suppress(sqlite3.DatabaseError):
        columns = {row[1] for row in db.execute("PRAGMA table_info(run)")}
        for key, environment, name, profile, started, command, options, uuid in db.execute(
            "SELECT id, environment, name, profile, started, command, options, "
            f"{'uuid' if 'uuid' in columns else 'NULL'} FROM run NOT INDEXED ORDER BY id"
        ):
            known = _environment(db, environment)
            found[key] = Run(name, profile, started, json_values(command), json_values(options), known, uuid)
    return found


def _unknown(key: int, record: Record) -> Run:
    options = {"patterns": [], "seeds": 1, "repeats": 1}
    return Run(f"rescued-{key}", record.profile, record.started, ["bench", "run"], options, _UNKNOWN)


def _environment(db: sqlite3.Connection, key: int) -> dict[str, Any]:
    with suppress(sqlite3.DatabaseError, TypeError):
        (text,) = db.execute("SELECT fingerprint FROM environment WHERE id = ?", (key,)).fetchone()
        known: dict[str, Any] = json_values(text)
        return known
    return _UNKNOWN
