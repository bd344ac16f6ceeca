"""A clock that is set back undoes no result: what was stored later counts, in a store, across stores, in a report."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bench.compare.history import series
from bench.records.exports import read
from bench.records.keeper import Keeper
from bench.records.metrics import metric, value
from bench.records.record import Record
from bench.records.sequence import following, place
from bench.records.store import Store
from bench.report.sources import stored
from tests.conftest import call
from tests.making import ENVIRONMENT, case, make_record, name, suite

OPTIONS = {"patterns": [], "seeds": 1, "repeats": 1}
Clock = Callable[[int], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return what sets the machine's clock to a day of January 2026."""
    return lambda day: monkeypatch.setattr("bench.records.sequence.time.time_ns", lambda: _day(day) * 10**6)


def _day(day: int) -> int:
    """Return the milliseconds from 1970 to a day of January 2026, as counted by hand: 2026 began at 20,454 days."""
    return (20_454 + day - 1) * 24 * 3600 * 1000


def result(accuracy: float | None, day: int, **changes: Any) -> Record:
    """Return a result of one cell that was begun on a day by the machine's clock; a failed one has no accuracy."""
    status = {} if accuracy is not None else {"status": "failed", "reason": "because"}
    return make_record(name("a"), test=accuracy, started=f"2026-01-{day:02}T00:00:00+00:00", **status, **changes)


def store_in(folder: Path, run: str, *records: Record, path: str = "s.sqlite") -> Path:
    """Add records to a run of a store, which is made where it is missing."""
    with Store(folder / path, create=True) as store:
        if run not in [each.name for each in store.runs()]:
            store.create_run(run, "documented", ENVIRONMENT, ["bench", "run"], OPTIONS)
        for record in records:
            store.add(run, record, ENVIRONMENT)
    return folder / path


def exported(store: Path, run: str, file: str) -> Path:
    assert call("export", run, "--store", str(store), "--out", str(store.with_name(file))) == 0
    return store.with_name(file)


def accuracies(store: Path) -> dict[str, list[float | None]]:
    with Store(store) as opened:
        found = {run.name: list(opened.records(run.name)) for run in opened.runs()}
    return {run: [value(record, "accuracy") for record in records] for run, records in found.items()}


def test_a_sequence_rises_whatever_the_clock_does_and_is_the_time_where_that_rises(clock: Clock) -> None:
    last, days = 0, [3, 3, 1, 2, 4]
    found = []
    for day in days:
        clock(day)
        last = following(last)
        found.append(last)
    assert found == [_day(3), _day(3) + 1, _day(3) + 2, _day(3) + 3, _day(4)]


@pytest.mark.parametrize(
    ("started", "milliseconds"),
    [
        ("2026-01-02T00:00:00+00:00", _day(2)),
        ("2026-01-02T01:00:00+01:00", _day(2)),
        ("2026-01-02T00:00:00", _day(2)),
        ("then", 0),
        ("0001-01-01T00:00:00+00:00", 0),
    ],
)
def test_a_record_of_before_stands_where_it_was_started(started: str, milliseconds: int) -> None:
    assert place(structs.replace(result(0.5, 1), started=started)) == milliseconds


def test_a_cell_that_failed_and_was_measured_again_is_kept_where_the_clock_was_set_back(
    clock: Clock, tmp_path: Path
) -> None:
    clock(9)
    store_in(tmp_path, "r", result(None, 9))
    clock(1)
    path = store_in(tmp_path, "r", result(0.6, 1), result(0.7, 1))
    assert accuracies(path) == {"r": [0.7]}
    with Store(path) as store:
        assert [record.sequence for record in store.records()] == [_day(9) + 2]


@pytest.mark.parametrize("forth", [True, False], ids=["the earlier first", "the later first"])
def test_of_two_exports_of_a_run_the_later_result_is_kept_in_both_orders_and_both_ways(
    forth: bool, clock: Clock, tmp_path: Path
) -> None:
    clock(9)
    there = store_in(tmp_path, "r", result(0.6, 9))
    early = exported(there, "r", "early.json")
    clock(1)
    late = exported(store_in(tmp_path, "r", result(0.7, 1)), "r", "late.json")
    files = [early, late] if forth else [late, early]
    here = tmp_path / "here.sqlite"
    for file in files:
        assert call("import", str(file), "--store", str(here)) == 0
    assert accuracies(here) == {"r": [0.7]}
    for file in (exported(here, "r", "back.json"), early):
        assert call("import", str(file), "--store", str(there)) == 0
    assert accuracies(there) == {"r": [0.7]}
    clock(2)  # what is measured after an import is later than all that came
    assert accuracies(store_in(tmp_path, "r", result(0.8, 2), path="here.sqlite")) == {"r": [0.8]}


@pytest.mark.parametrize("forth", [True, False])
def test_a_result_never_gives_way_to_a_later_failure(forth: bool, clock: Clock, tmp_path: Path) -> None:
    clock(1)
    good = store_in(tmp_path, "r", result(0.6, 1))
    files = [exported(good, "r", "good.json")]
    document = json.loads(files[0].read_text())
    failed = {**document["records"][0], "status": "failed", "reason": "because", "sequence": _day(5)}
    files.append(tmp_path / "bad.json")
    files[1].write_text(json.dumps(document | {"records": [failed]}))
    here = tmp_path / "here.sqlite"
    assert call("import", *map(str, files if forth else files[::-1]), "--store", str(here)) == 0
    assert accuracies(here) == {"r": [0.6]}


def test_runs_of_one_name_and_one_second_are_told_apart_by_their_uuid(clock: Clock, tmp_path: Path) -> None:
    files = []
    for number, accuracy in enumerate((0.6, 0.7)):
        store = store_in(tmp_path, "r", result(accuracy, 1), path=f"{number}.sqlite")
        file = exported(store, "r", f"{number}.json")
        document = json.loads(file.read_text())
        document["runs"][0]["started"] = "2026-01-01T00:00:00+00:00"
        file.write_text(json.dumps(document))
        files.append(str(file))
    for _ in range(2):
        assert call("import", *files, "--store", str(tmp_path / "here.sqlite")) == 0
    assert accuracies(tmp_path / "here.sqlite") == {"r": [0.6], "r-2": [0.7]}


@pytest.mark.parametrize("order", list(itertools.permutations(["first", "second"])))
def test_a_merged_report_shows_what_was_measured_later(order: tuple[str, str], clock: Clock, tmp_path: Path) -> None:
    clock(9)
    store_in(tmp_path, "first", result(0.6, 9))
    clock(1)
    path = store_in(tmp_path, "second", result(0.7, 1))
    declared = suite(case("a"))
    (results,) = stored(path, order, {declared.name: declared}, tmp_path)
    (record,) = results.accuracy_records
    assert metric("accuracy").of(record) == 0.7


def test_history_shows_runs_in_the_order_they_were_measured_in(clock: Clock, tmp_path: Path) -> None:
    for day in (9, 1, 2):
        clock(day)
        path = store_in(tmp_path, f"on day {day}", result(0.6, day))
    with Store(path) as store:
        (found,) = series(store.entries(), metric("accuracy"))
    assert [point.run for point in found.points] == ["on day 9", "on day 1", "on day 2"]


def test_what_is_kept_beside_a_full_store_is_later_than_what_is_in_it(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock(9)
    path = store_in(tmp_path, "r", result(0.6, 9))

    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    clock(1)
    with Store(path, create=True) as store, monkeypatch.context() as patched:
        patched.setattr(Store, "add", full)
        keeper = Keeper(store, store.run("r"))
        for accuracy in (0.7, 0.8):
            keeper.add(result(accuracy, 1), ENVIRONMENT)
    kept = path.with_name("s.sqlite.rescued.jsonl")
    assert [place(record) for run in read(kept) for record, _ in run.records] == [_day(9) + 1, _day(9) + 2]
    assert call("import", str(kept), "--store", str(path)) == 0
    assert accuracies(path) == {"r": [0.8]}


def of_before(path: Path) -> None:
    """Make a store what earlier versions wrote: without sequences and uuids."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE cell SET record = json_remove(record, '$.sequence')")
        database.execute("DROP INDEX cell_by_sequence")
        database.execute("ALTER TABLE cell DROP COLUMN sequence")
        database.execute("ALTER TABLE run DROP COLUMN uuid")


def test_a_store_of_before_is_read_and_what_comes_now_is_later_than_all_in_it(clock: Clock, tmp_path: Path) -> None:
    path = store_in(tmp_path, "r", result(0.6, 9))
    of_before(path)
    with Store(path) as store:  # a reader changes nothing
        assert [(run.name, run.uuid) for run in store.runs()] == [("r", None)]
        assert [place(record) for record in store.records()] == [_day(9)]
        assert store.last_sequence() == _day(9)
    file = exported(path, "r", "before.json")
    document = json.loads(file.read_text())
    assert document["records"][0]["sequence"] is document["runs"][0]["uuid"] is None
    clock(1)
    assert accuracies(store_in(tmp_path, "r", result(0.7, 1))) == {"r": [0.7]}
    assert call("import", str(file), "--store", str(path)) == 0
    assert accuracies(path) == {"r": [0.7]}


def test_exports_of_before_are_told_by_the_start_of_their_records(tmp_path: Path) -> None:
    for number, day in enumerate((2, 3, 1)):
        file = exported(store_in(tmp_path, "r", result(day / 10, day)), "r", f"{number}.json")
        document = json.loads(file.read_text())
        del document["records"][0]["sequence"], document["runs"][0]["uuid"]
        file.write_text(json.dumps(document))
        assert call("import", str(file), "--store", str(tmp_path / "here.sqlite")) == 0
    assert accuracies(tmp_path / "here.sqlite") == {"r": [0.3]}
