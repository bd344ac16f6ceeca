"""Records that are only decoded hold what validated ones hold, to the last field."""

from __future__ import annotations

import json
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from bench import exports
from bench.reading import CURVES, plain, reader
from bench.record import Record
from bench.store import Store

RESULTS = Path(__file__).resolve().parents[1] / "reports" / "cpu-2core" / "results"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of committed records of every kind, some with what only newer ones hold."""
    path = tmp_path_factory.mktemp("store") / "results.sqlite"
    with Store(path, create=True) as opened:
        for file in sorted(RESULTS.glob("*.json")):
            for one in exports.read(file):
                run = one.run
                opened.create_run(run.name, run.profile, run.environment, run.command, run.options, run.started)
                for number, (record, environment) in enumerate(one.records[::6]):
                    opened.add(run.name, _with_news(record) if number % 2 else record, environment)
    return path


def _with_news(record: Record) -> Record:
    """Return a record with a text that looks like JSON, and with times that version 1 did not have."""
    changes: dict[str, object] = {
        "reason": 'say "metrics": {"epochs": 1} and "timing": {',
        "details": {"timing": {"a": [1]}},
    }
    if record.timing:
        changes["timing"] = record.timing.model_copy(update={"windows": [(4, 0.5), (8, 1.25)], "latency": [0.1, 0.2]})
    return record.model_copy(update=changes)


def test_a_decoded_record_has_every_field_of_the_validated_one(store: Path) -> None:
    with Store(store) as opened:
        for run in opened.runs():
            validated, decoded = list(opened.records(run.name)), list(opened.read(run.name))
            assert [plain(record) for record in decoded] == [record.model_dump(mode="json") for record in validated]
            assert [record.cell for record in decoded] == [record.cell for record in validated]
            assert {record.status for record in validated} & {"ok", "unavailable"}


def test_records_that_something_else_wrote_into_the_store_are_read_too(store: Path, tmp_path: Path) -> None:
    """SQLite's own JSON functions write no spaces."""
    copy = tmp_path / "compact.sqlite"
    copy.write_bytes(store.read_bytes())
    with sqlite3.connect(copy) as database:
        database.execute("UPDATE cell SET record = json_set(record, '$.seed', 77)")
    with Store(copy) as compact, Store(store) as opened:
        expected = [{**plain(record), "seed": 77} for record in opened.read("timing")]
        assert [plain(record) for record in compact.read("timing")] == expected


def test_what_the_cells_of_a_variant_share_is_held_once(store: Path) -> None:
    with Store(store) as opened:
        (text,) = {record.model_dump_json() for record in list(opened.records("documents"))[:1]}
    read = partial(reader(), samples=[None] * len(CURVES))
    first, second = read(text), read(text)
    assert first is not second
    assert first.parameters is second.parameters
    assert first.backend is second.backend
    other = json.loads(text)
    other["parameters"]["total"] += 1
    third = read(json.dumps(other))
    assert third.parameters is not None
    assert first.parameters is not None
    assert third.parameters.total == first.parameters.total + 1, "equal parts only"


def test_packed_lists_are_lists_in_all_that_is_asked_of_them(store: Path) -> None:
    with Store(store) as opened:
        pairs = zip(opened.records("timing"), opened.read("timing"), strict=True)
        record, decoded = next(pair for pair in pairs if pair[0].timing and pair[0].timing.windows)
    assert record.timing is not None
    assert decoded.timing is not None
    assert record.metrics is not None
    assert decoded.metrics is not None
    for name in ("epochs", "latency", "windows"):
        expected, found = getattr(record.timing, name), getattr(decoded.timing, name)
        assert (list(found), list(found[1:]), found[-1]) == (expected, expected[1:], expected[-1])
        assert len(found) == len(expected)
    assert {type(steps) for steps, _ in decoded.timing.windows} == {int}
    lines = record.metrics.epochs
    assert len(decoded.metrics.epochs) == len(lines)
    assert [line.val_accuracy for line in decoded.metrics.epochs] == [line.val_accuracy for line in lines]
    assert [line.steps for line in decoded.metrics.epochs[-2:]] == [line.steps for line in lines[-2:]]
    with pytest.raises(IndexError):
        decoded.metrics.epochs[len(lines)]


def test_what_a_line_of_a_log_lacks_is_lacking_after_it_was_packed(store: Path) -> None:
    with Store(store) as opened:
        record = next(one for one in opened.records("documents") if one.metrics)
    content = record.model_dump_json(exclude={"metrics": {"epochs": True}})
    line = '{"loss": 0.5, "accuracy": 0.75, "val_loss": null, "seconds": 1.5, "steps": 4}'
    found = reader()(content, [f"[{line}, {line}]", None, None, None])
    assert found.metrics is not None
    (first, _) = found.metrics.epochs
    assert (first.loss, first.val_loss, first.val_accuracy, first.steps) == (0.5, None, None, 4)


def test_json_that_a_strict_reader_refuses_is_validated_instead(store: Path) -> None:
    with Store(store) as opened:
        record = next(one for one in opened.records("documents") if one.metrics and one.metrics.last)
    content = record.model_dump(mode="json")
    content["metrics"]["last"]["train"]["loss"] = float("nan")
    found = reader()(json.dumps(content), [None] * len(CURVES))
    assert isinstance(found, Record)
    assert found.metrics is not None
    assert found.metrics.last is not None
    assert found.metrics.last.train is not None
    assert found.metrics.last.train.loss != found.metrics.last.train.loss
