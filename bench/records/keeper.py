"""The records of a run on their way into the store, and where they stay when it cannot take them."""

from __future__ import annotations

import logging
import shlex
import sqlite3
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import structs

from bench.errors import StoreError
from bench.files import append_file
from bench.records.exports import Exported, as_json
from bench.records.record import Record, from_json, json_text
from bench.records.sequence import following
from bench.records.store import PATIENCE, Run, Store, in_store, resuming

log = logging.getLogger("bench")


class Keeper:
    """Stores the records of a run. What the store cannot take is kept beside it, and tried again with the next one.

    `interrupted` ends the waiting for a locked store; `again` is the command that goes on with the run.
    """

    def __init__(self, store: Store, run: Run, interrupted: threading.Event | None = None, again: str = "") -> None:
        self._store, self._run, self._interrupted = store, run, interrupted
        self._again = again or resuming(run.name, store.path)
        self._waiting: list[tuple[Record, dict[str, Any]]] = []
        self._kept: dict[Path, int] = {}  # bytes written into each file
        self._problem, self._last = "", 0
        store.wait_for(PATIENCE, interrupted)

    def add(self, record: Record, environment: dict[str, Any]) -> None:
        """Store a record; where that fails, keep it in `NAME.rescued.jsonl`, which `bench import` reads.

        Raises `StoreError` where it can be written nowhere.
        """
        self._waiting.append((record, environment))
        try:
            self._try_all()
        except BaseException as error:
            self._keep(record, environment, error)
            if not isinstance(error, sqlite3.Error | OverflowError):
                raise
        else:
            self._store.wait_for(PATIENCE, self._interrupted)
            for place, written in self._kept.items():
                log.info("%s takes records again, and has those that were kept in %s", self._store.path, place)
                if place.stat().st_size == written:  # no other run's are in it
                    place.unlink()
            self._kept.clear()

    def _try_all(self) -> None:
        """Store what waits; raise the last error. A store that is locked or full is not tried again and again."""
        last: Exception | None = None
        for entry in list(self._waiting):
            try:
                self._store.add(self._run.name, *entry)
                self._waiting.remove(entry)
            except sqlite3.OperationalError:
                raise
            except (sqlite3.Error, OverflowError) as error:
                last = error
        if last:
            raise last

    def close(self) -> None:
        """Raise `StoreError` where records are not in the store, with the commands that put them there and go on."""
        if self._waiting:
            number, path = len(self._waiting), self._store.path
            places = shlex.join(map(str, self._kept))
            raise StoreError(
                f"{number} record{'s' * (number > 1)} not stored in {path}: {self._problem}; kept in {places}. "
                f"When the store can be written: `bench import {places}{in_store(path)}`, then `{self._again}`"
            )

    def _keep(self, record: Record, environment: dict[str, Any], error: BaseException) -> None:
        self._problem = str(error) or type(error).__name__
        self._store.wait_for(0.0, self._interrupted)
        with suppress(sqlite3.Error):
            self._last = max(self._last, self._store.last_sequence())
        self._last = following(self._last)
        record = structs.replace(record, sequence=self._last)
        line = json_text(from_json(as_json([Exported(self._run, [(record, environment)])]))) + "\n"
        name = f"{self._store.path.name}.rescued.jsonl"
        for place in (self._store.path.with_name(name), Path(tempfile.gettempdir(), name)):
            try:
                append_file(place, line)
            except OSError as refused:
                failed = refused
                continue
            if place not in self._kept:
                log.warning("%s cannot be written (%s): records are kept in %s", self._store.path, error, place)
            self._kept[place] = self._kept.get(place, 0) + len(line)
            return
        raise StoreError(
            f"{record.cell} could not be stored in {self._store.path} ({self._problem}), nor kept beside it "
            f"({failed.strerror}); make room, then `{self._again}` runs it again"
        ) from error
