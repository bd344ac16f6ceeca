"""Where results live: an SQLite file of runs, environments, cells and samples.

Every finished cell is committed at once, so nothing that ended is lost whatever happens to the process. The file is
in WAL mode and waits for locks: several processes may write to one store. A cell is one row with its scalars; curves
lie in `sample`; together they give the `Record` back. What only reads opens the file read-only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import force_setattr, replace

from bench.cases.cell import Cell, Measure, Profile
from bench.errors import StoreError, UsageError, unknown
from bench.records import DEFAULT_PATH as DEFAULT_PATH
from bench.records.metrics import METRICS, is_comparable, value
from bench.records.record import (
    SCHEMA_VERSION,
    Record,
    encodable,
    essential,
    from_json,
    json_text,
    now,
    plain,
    read,
    upgrade,
)
from bench.records.sequence import following, place

_SCHEMA = """
CREATE TABLE environment (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL);
CREATE TABLE run (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, profile TEXT NOT NULL, started TEXT NOT NULL,
    command TEXT NOT NULL, options TEXT NOT NULL, environment INTEGER NOT NULL REFERENCES environment
);
CREATE TABLE cell (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run, environment INTEGER NOT NULL REFERENCES environment,
    suite TEXT NOT NULL, "case" TEXT NOT NULL, backend TEXT NOT NULL, kernel TEXT NOT NULL, device TEXT NOT NULL,
    numerics TEXT NOT NULL, seed INTEGER NOT NULL, repeat INTEGER NOT NULL, profile TEXT NOT NULL,
    measure TEXT NOT NULL, status TEXT NOT NULL, reason TEXT, started TEXT NOT NULL, seconds REAL NOT NULL,
    data_sha256 TEXT, stand_in TEXT, parameters INTEGER, epochs INTEGER, test_loss REAL, test_accuracy REAL,
    record TEXT NOT NULL,
    UNIQUE (run, suite, "case", backend, kernel, device, numerics, seed, repeat)
);
CREATE INDEX cell_by_configuration ON cell (suite, "case", backend, kernel, device, profile, status);
CREATE TABLE sample (
    cell INTEGER NOT NULL REFERENCES cell ON DELETE CASCADE, name TEXT NOT NULL, "values" TEXT NOT NULL,
    PRIMARY KEY (cell, name)
) WITHOUT ROWID;
"""

_FIGURES = tuple(name for name in METRICS if name != "parameters")
"""Columns of a cell that hold its quantities, beside `parameters`, which is older."""
_ADDED = {"comparable": "INTEGER", "sequence": "INTEGER", **dict.fromkeys(_FIGURES, "REAL")}
"""Columns of a cell that are added, and filled, where a store lacks them: `_figures` of its record.

`comparable` says whether its times may be compared.
"""
_SHARED = ("suite", "case", "backend", "numerics", "parameters", "data", "details")
"""What the cells of a variant have in common."""
_WORDS = ("kernel", "device", "profile", "measure", "status", "started")
"""What has the same few values in many records."""
_KEY = ("suite", "case", "backend", "kernel", "device", "numerics", "seed", "repeat")
CURVES = (
    ("metrics", "epochs"),
    *(("timing", name) for name in ("epochs", "windows", "cpu_windows", "latency")),
)
"""The long lists of a record, (part, field): they are stored apart from it, where they are not empty."""
CONTENT = (
    ", ".join(["record", *(f's{place}."values"' for place in range(len(CURVES)))])
    + " FROM cell "
    + " ".join(
        f"LEFT JOIN sample s{place} ON s{place}.cell = cell.id AND s{place}.name = '{part}.{field}'"
        for place, (part, field) in enumerate(CURVES)
    )
)
"""What `decoded` needs of a cell, and where from."""


_TABLES = {"environment", "run", "cell", "sample"}
PATIENCE = 60.0
"""Seconds that a locked store is waited for."""
_SAID_AFTER = 2.0
log = logging.getLogger("bench")


class _Connection(sqlite3.Connection):
    """Waits for locks in Python, so that Ctrl-C and `given_up` end it: SQLite's own waiting lets no signal through."""

    path: Path
    patience = PATIENCE
    given_up: threading.Event | None = None

    def execute(self, statement: str, values: Any = (), /) -> sqlite3.Cursor:
        began, said = time.monotonic(), False
        while True:
            try:
                return super().execute(statement, values)
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - began
                given_up = self.given_up is not None and self.given_up.is_set()
                if _code(error) != sqlite3.SQLITE_BUSY or waited >= self.patience or given_up:
                    raise
            if waited > _SAID_AFTER and not said:
                log.info("another process holds %s; waiting up to %.0f s for it", self.path, self.patience)
                said = True
            time.sleep(0.05)


@dataclass(frozen=True)
class Run:
    """Cells executed in one environment: its name, its fingerprint, and what was asked for.

    `uuid`: tells it from runs of the same name in other stores; None of earlier versions.
    """

    name: str
    profile: Profile
    started: str
    command: list[str]
    options: dict[str, Any]
    environment: dict[str, Any]
    uuid: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A cell that ended `ok`: what was measured, the sha256 of its data, its declaration; None of earlier versions."""

    cell: Cell
    repeat: int
    measure: Measure
    data: str | None
    case: str | None


def in_store(path: Path) -> str:
    """Return the option by which a command finds a store, the empty string for the default one."""
    return "" if path == DEFAULT_PATH else f" --store {shlex.quote(str(path))}"


def resuming(run: str, path: Path, verb: str = "run") -> str:
    """Return the command that goes on with a run."""
    return f"bench {verb} --resume {shlex.quote(run)}{in_store(path)}"


class Store:
    """An open store; a context manager.

    It is read; with `create` it is written too, and made where it is missing. A store of an earlier schema version is
    brought up to this one, by a reader in memory alone. Raises `UsageError` when the file is missing (unless
    `create`), no store, or of a later schema version, and `StoreError` where it cannot be read or written, also at the
    end of the context.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        size = path.stat().st_size if path.is_file() else None
        if size is None and not create:
            raise UsageError(f"no store at {path}; `bench run` makes one, or name another with --store")
        if not size and self._has_log():  # SQLite would delete it
            raise UsageError(
                f"{path} is {'missing' if size is None else 'empty'}, but {path.name}-wal beside it holds results; put "
                "the file back from a copy, or name another with --store"
            )
        if not size and not create:
            raise UsageError(f"{path} is empty and no store; name another with --store")
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._tidy = not create and not Path(f"{path}-wal").exists()
        try:
            self._db = self._connected("rwc" if create else "ro")
            try:
                self._open(create)
            except BaseException:
                self.close()
                raise
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _has_log(self) -> bool:
        log = Path(f"{self.path}-wal")
        return log.is_file() and log.stat().st_size > 0

    def _connected(self, mode: str) -> _Connection:
        name = self.path.absolute().as_uri()
        db = sqlite3.connect(f"{name}?mode={mode}", 0.2, isolation_level=None, uri=True, factory=_Connection)
        db.path = self.path
        if mode == "ro":
            try:
                db.execute("SELECT 1 FROM sqlite_master")
            except sqlite3.OperationalError as error:
                # On read-only media, or a full disk, the files that readers agree by cannot be made. Nobody writes.
                db.close()
                if _code(error) == sqlite3.SQLITE_BUSY or self._has_log():
                    raise
                db = sqlite3.connect(f"{name}?immutable=1", isolation_level=None, uri=True, factory=_Connection)
                db.path = self.path
        return db

    def _open(self, create: bool) -> None:
        # One statement, so that both come from one state of a file that another process may be making.
        version, names = self._db.execute(
            "SELECT (SELECT user_version FROM pragma_user_version), "
            "(SELECT group_concat(name) FROM sqlite_master WHERE type = 'table')"
        ).fetchone()
        tables = set((names or "").split(","))
        if version > SCHEMA_VERSION and tables >= _TABLES:
            raise UsageError(
                f"{self.path} has schema version {version}, this twinbench reads {SCHEMA_VERSION} and earlier ones; "
                "use the version of twinbench that wrote it, or name another store with --store"
            )
        if (version or names or not create) and not (version > 0 and tables >= _TABLES):
            raise UsageError(f"{self.path} is an SQLite file but no store; name another with --store")
        if not create and (version < SCHEMA_VERSION or self._lacking()):
            copy = sqlite3.connect(":memory:", isolation_level=None, factory=_Connection)
            copy.path = self.path
            self._db.backup(copy)
            self.close()
            self._db = copy
        if create:
            # With pages of 4,096 bytes, SQLite's own choice, the curves of ten epochs overflow into a page of their
            # own: twice the file, twice the time of reading it.
            self._db.execute("PRAGMA page_size = 8192")
            self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        if version < SCHEMA_VERSION or self._lacking():
            with self.transaction():
                # Another process may have done it while this one waited for the lock.
                version = self._db.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    for statement in _SCHEMA.split(";"):
                        self._db.execute(statement)
                elif version < SCHEMA_VERSION:
                    self._upgrade(version)
                self._add_figures()
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _failed(self, error: sqlite3.Error) -> StoreError | UsageError:
        """Return what SQLite says as the error that a user is told."""
        code = _code(error)
        if code == sqlite3.SQLITE_NOTADB or (code == sqlite3.SQLITE_CANTOPEN and not self._has_log()):
            return UsageError(f"{self.path} cannot be used as a store: {error}; name another with --store")
        if code == sqlite3.SQLITE_BUSY:
            return StoreError(f"{self.path} is locked by another process; end that one, or wait for it, and try again")
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            remedy = "see that its disk has room and its folder can be written" + (
                f", or copy it with {self.path.name}-wal to where both can" if self._has_log() else ""
            )
            return StoreError(f"{self.path} cannot be used: {error}; {remedy}")
        store = in_store(self.path)
        return StoreError(
            f"{self.path} is damaged: {error}; `bench doctor{store or f' --store {self.path}'}` says where, "
            f"`bench export --rescue{store} --out FILE` saves what can be read"
        )

    def _lacking(self) -> list[str]:
        """Return the columns of figures that the store does not have yet."""
        return [name for name in _ADDED if not self._has(name)] + ["uuid"] * (not self._has("uuid", "run"))

    def _has(self, column: str, table: str = "cell") -> bool:
        return column in {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}

    def _add_figures(self) -> None:
        lacking = self._lacking()
        if "comparable" in lacking and self._has("headline"):  # as earlier versions called it
            self._db.execute('ALTER TABLE cell RENAME COLUMN "headline" TO "comparable"')
            lacking.remove("comparable")
        if "uuid" in lacking:
            self._db.execute("ALTER TABLE run ADD COLUMN uuid TEXT")
            lacking.remove("uuid")
        for name in lacking:
            self._db.execute(f'ALTER TABLE cell ADD COLUMN "{name}" {_ADDED[name]}')
        if lacking:
            self._db.execute("CREATE INDEX IF NOT EXISTS cell_by_sequence ON cell (sequence)")
            columns = ", ".join(f'"{name}" = :{name}' for name in _ADDED)
            for cell, content, *samples in self._db.execute(f"SELECT cell.id, {CONTENT}").fetchall():
                figures = _figures(decoded(content, samples, {}))
                self._db.execute(f"UPDATE cell SET {columns} WHERE id = :id", {**figures, "id": cell})

    def _upgrade(self, version: int) -> None:
        for cell, text in self._db.execute("SELECT id, record FROM cell").fetchall():
            content = json_values(text)
            upgraded = upgrade(content, version)
            if upgraded != content:
                self._db.execute("UPDATE cell SET record = ? WHERE id = ?", (json.dumps(upgraded), cell))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all that is stored inside, or nothing of it; one inside another is part of that."""
        if self._db.in_transaction:  # which only the one around this begins
            yield
            return
        # Not before: Ctrl-C between the two would leave it open.
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield

    def __enter__(self) -> Store:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.close()
        if isinstance(error, sqlite3.Error):
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the store; a reader leaves no file beside it that was not there."""
        self._db.close()
        if self._tidy and Path(f"{self.path}-wal").exists() and not self._has_log():
            with suppress(sqlite3.Error), closing(self._connected("rw")) as last:
                last.patience = 0.0
                last.execute("SELECT 1 FROM sqlite_master")  # SQLite deletes them where nobody else has them open

    def create_run(
        self, name: str, profile: Profile, environment: dict[str, Any], command: list[str], options: dict[str, Any]
    ) -> Run:
        """Add a run that begins now and return it; raise `UsageError` when the name is taken."""
        run = Run(name, profile, now(), command, options, environment, str(uuid.uuid4()))
        self.add_run(run)
        return run

    def add_run(self, run: Run) -> None:
        """Add a run, without records; raise `UsageError` when its name is taken."""
        with self.transaction():
            if self._db.execute("SELECT 1 FROM run WHERE name = ?", (run.name,)).fetchone():
                raise UsageError(
                    f"run {run.name!r} exists in {self.path}; continue it with --resume {run.name}, or choose another "
                    "--name"
                )
            options, command, environment = json.dumps(run.options), json.dumps(run.command), run.environment
            self._db.execute(
                "INSERT INTO run (name, profile, started, command, options, environment, uuid) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run.name, run.profile, run.started, command, options, self._environment(environment), run.uuid),
            )

    def run(self, name: str) -> Run:
        """Return the run of that name; raise `UsageError` with the nearest names otherwise."""
        runs = {run.name: run for run in self.runs()}
        if name not in runs:
            raise unknown("run", name, runs)
        return runs[name]

    def runs(self) -> list[Run]:
        """Return all runs, oldest first."""
        rows = self._db.execute(
            "SELECT name, profile, started, command, options, fingerprint, uuid FROM run "
            "JOIN environment ON environment.id = run.environment ORDER BY run.id"
        )
        return [
            Run(name, profile, started, json_values(command), json_values(options), json_values(fingerprint), key)
            for name, profile, started, command, options, fingerprint, key in rows
        ]

    def add(self, run: str, record: Record, environment: dict[str, Any]) -> None:
        """Store a record and commit it, with the environment it ran in.

        It takes the place of another record of the same cell and repeat in the run, unless that one is `ok` and this
        one is not, or is the later one of two alike. A record without a sequence comes now.
        """
        content = encodable(plain(record))
        curves = {}
        for part, field in CURVES:
            if content[part] is not None and content[part][field]:
                curves[f"{part}.{field}"] = content[part].pop(field)
        test = record.metrics.last.test if record.metrics and record.metrics.last else None
        columns = {
            **{name: content[name] for name in (*_KEY, "profile", "measure", "status", "reason", "started", "seconds")},
            "data_sha256": record.data and content["data"]["sha256"],
            "stand_in": record.data and content["data"]["stand_in"],
            "parameters": record.parameters and record.parameters.total,
            "epochs": record.metrics and len(record.metrics.epochs),
            "test_loss": test and test.loss,
            "test_accuracy": test and test.accuracy,
        }
        with self.transaction():
            if record.sequence is None:
                content["sequence"] = following(self.last_sequence())
                record = replace(record, sequence=content["sequence"])
            columns |= {**_figures(record), "record": json_text(content)}
            columns["run"] = self._run_id(run)
            columns["environment"] = self._environment(environment)
            same = " AND ".join(f'"{name}" = :{name}' for name in ("run", *_KEY))
            other = self._db.execute(f"SELECT id, status = 'ok', sequence FROM cell WHERE {same}", columns).fetchone()
            if other:
                if other[1:] > (record.status == "ok", record.sequence):
                    return
                self._db.execute("DELETE FROM cell WHERE id = ?", (other[0],))
            names = ", ".join(f'"{name}"' for name in columns)
            inserted = self._db.execute(
                f"INSERT INTO cell ({names}) VALUES ({', '.join(f':{name}' for name in columns)})", columns
            )
            self._db.executemany(
                'INSERT INTO sample (cell, name, "values") VALUES (?, ?, ?)',
                [(inserted.lastrowid, name, json_text(values)) for name, values in curves.items()],
            )

    def records(self, run: str | None = None, *, brief: bool = False) -> Iterator[Record]:
        """Yield the records of a run, or of all runs, in the order they were stored; `brief` as `entries` has it.

        Raises `UsageError` for an unknown run.
        """
        return (record for _, _, record in self.entries(run, brief=brief))

    def entries(
        self, run: str | None = None, wanted: Callable[[Cell], bool] | None = None, *, brief: bool = False
    ) -> Iterator[tuple[str, dict[str, Any], Record]]:
        """Yield (name of the run, fingerprint, record) of a run, or of all runs, in the order they were stored.

        The fingerprint is the record's own: a run may have been gone on with elsewhere. Only `wanted` cells are
        decoded. `brief` records hold what one is summed up by: status, reason, the last score, times of epochs and
        steps. Raises `UsageError` for an unknown run.
        """
        environments: dict[int, dict[str, Any]] = {
            key: json_values(text) for key, text in self._db.execute("SELECT id, fingerprint FROM environment")
        }
        # Only the ids are put in order: sorting whole rows takes as long as reading them.
        where = "" if run is None else "WHERE cell.id IN (SELECT id FROM cell WHERE run = ?)"
        values = () if run is None else (self._run_id(run),)
        rows = self._db.execute(
            'SELECT run.name, cell.environment, suite, "case", backend, kernel, device, numerics, seed, '
            f"{CONTENT} JOIN run ON run.id = cell.run {where} ORDER BY cell.id",
            values,
        )
        known: dict[bytes, Any] = {}
        for name, environment, *rest in rows:
            parts, (content, *samples) = rest[:7], rest[7:]
            if wanted is None or wanted(Cell(*parts)):
                yield name, environments[environment], decoded(content, samples, known, brief=brief)

    def figures(self, run: str) -> Iterator[tuple[Any, ...]]:
        """Yield a row for every cell and repeat of a run, without decoding its record: what comparisons are made of.

        Columns: cell (its name without the seed), seed, repeat, status, reason (None where the status is ok), sha256 of
        the data, then `METRICS` in their order; times are None where the process measured something else, too.
        Raises `UsageError` for an unknown run.
        """
        where = {name: "comparable" if known.kind == "time" else "status = 'ok'" for name, known in METRICS.items()}
        quantities = [f'CASE WHEN {condition} THEN "{name}" END' for name, condition in where.items()]
        yield from self._db.execute(
            """SELECT suite || '/' || "case" || '@' || backend || ',' || kernel || ',' || device || ',' || numerics, """
            f"seed, repeat, status, reason, data_sha256, {', '.join(quantities)} FROM cell WHERE run = ? ORDER BY id",
            (self._run_id(run),),
        )

    def environments(self, run: str) -> list[dict[str, Any]]:
        """Return the different environments in which cells of a run were measured, in the order they came."""
        rows = self._db.execute(
            "SELECT fingerprint FROM cell JOIN environment ON environment.id = cell.environment "
            "WHERE run = ? GROUP BY environment.id ORDER BY min(cell.id)",
            (self._run_id(run),),
        )
        return [json_values(fingerprint) for (fingerprint,) in rows]

    def wait_for(self, seconds: float, given_up: threading.Event | None = None) -> None:
        """Wait so long for another process that holds the store, from now on, unless it is `given_up`."""
        self._db.patience, self._db.given_up = seconds, given_up

    def last_sequence(self) -> int:
        """Return the sequence of the latest record, 0 where there is none."""
        last: int = self._db.execute("SELECT max(sequence) FROM cell").fetchone()[0] or 0
        return last

    def finished(self, run: str) -> Iterator[Finished]:
        """Yield what ended `ok` in a run, which `--resume` need not run again; no record is decoded as a whole."""
        # One of before may hold a bare NaN, which SQLite takes for no JSON.
        rows = self._db.execute(
            'SELECT suite, "case", backend, kernel, device, numerics, seed, repeat, measure, data_sha256, '
            "CASE WHEN json_valid(record) THEN json_extract(record, '$.details.case') END, "
            "CASE WHEN NOT json_valid(record) THEN record END FROM cell WHERE run = ? AND status = 'ok'",
            (self._run_id(run),),
        )
        for *parts, repeat, measure, data, case, odd in rows:
            if odd is not None:
                case = json_values(odd).get("details", {}).get("case")
            yield Finished(Cell(*parts), repeat, measure, data, case)

    def data_hashes(self, run: str) -> dict[str, str]:
        """Return the sha256 of the data that each case, `suite/case`, of a run was measured on first."""
        rows = self._db.execute(
            """SELECT suite || '/' || "case", data_sha256 FROM cell WHERE run = ? AND status = 'ok' """
            "AND data_sha256 IS NOT NULL ORDER BY id DESC",
            (self._run_id(run),),
        )
        return dict(rows.fetchall())

    def seconds(self, cell: Cell, profile: Profile, measure: Measure, *, brief: bool = False) -> float | None:
        """Return the mean seconds that such a cell took, over all seeds and runs; None when none has been measured.

        `brief` as in a `Request`: processes that timed in full are one kind, brief ones another.
        """
        # A record does not say that it was brief, but only what times in full proves its kernel. One of before may hold
        # a bare NaN, which SQLite takes for no JSON.
        row = self._db.execute(
            'SELECT avg(seconds) FROM cell WHERE suite = ? AND "case" = ? AND backend = ? AND kernel = ? '
            "AND device = ? AND numerics = ? AND profile = ? AND measure = ? AND status = 'ok' "
            "AND (measure = 'accuracy' "
            "OR (CASE WHEN json_valid(record) THEN json_extract(record, '$.kernel_proof') END IS NULL) = ?)",
            (cell.suite, cell.case, cell.backend, cell.kernel, cell.device, cell.numerics, profile, measure, brief),
        ).fetchone()
        seconds: float | None = row[0]
        return seconds

    def problems(self) -> list[str]:
        """Return what is damaged in the store: what SQLite's quick_check finds, and the first record that is none."""
        try:
            found = [text for (text,) in self._db.execute("PRAGMA quick_check")]
            if found == ["ok"]:
                for _ in self.entries():
                    pass
                return []
        except sqlite3.Error as error:
            return [str(error)]
        return found

    def _run_id(self, name: str) -> int:
        row = self._db.execute("SELECT id FROM run WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise unknown("run", name, (run.name for run in self.runs()))
        found: int = row[0]
        return found

    def _environment(self, fingerprint: dict[str, Any]) -> int:
        text = json.dumps(fingerprint, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._db.execute("INSERT OR IGNORE INTO environment (sha256, fingerprint) VALUES (?, ?)", (digest, text))
        found: int = self._db.execute("SELECT id FROM environment WHERE sha256 = ?", (digest,)).fetchone()[0]
        return found


def _figures(record: Record) -> dict[str, float | None]:
    """Return what the columns `_ADDED` hold of a record."""
    figures = {name: value(record, name) for name in _FIGURES}
    return {"comparable": is_comparable(record), "sequence": place(record), **figures}


def _code(error: sqlite3.Error) -> int:
    """Return the primary result code of SQLite; 0 for an error of another source."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def json_values(text: Any) -> Any:
    """Return JSON values of a text that a store holds."""
    try:
        return from_json(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise sqlite3.DatabaseError(f"a text in it is no JSON ({error})") from error


def decoded(content: str, samples: Sequence[str | None], known: dict[bytes, Any], *, brief: bool = False) -> Record:
    """Return a record of its JSON and that of its `CURVES`; what many records share is held once, in `known`."""
    try:
        values = from_json(content)
        for (part, field), sample in zip(CURVES, samples, strict=True):
            if sample is not None:
                values[part][field] = from_json(sample)
        record = read(values)
        if brief:
            record = essential(record)
    except (ValueError, TypeError, LookupError, RecursionError) as error:  # msgspec's are ValueErrors
        raise sqlite3.DatabaseError(f"a record in it is none ({error})") from error
    for name in _WORDS:
        force_setattr(record, name, sys.intern(getattr(record, name)))
    for name in _SHARED:
        part = getattr(record, name)
        force_setattr(record, name, known.setdefault(msgspec.msgpack.encode(part), part))
    return record
