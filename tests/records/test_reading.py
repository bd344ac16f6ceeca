"""Records that are only decoded hold what validated ones hold, to the last field."""

from __future__ import annotations

import json
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from bench.records.reading import CURVES, plain, reader
from bench.records.record import Cost, KernelProof, Record, SeenKernel
from bench.records.store import Store
from tests.making import ENVIRONMENT, make_record


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of records of every kind: accurate, timed, explained, failed, unavailable, hostile."""
    path = tmp_path_factory.mktemp("store") / "results.sqlite"
    cell = "text-networks/lstm-16@torch,fused,cpu"
    scores = {"val": [0.7, 0.75, 1 / 3], "test": 0.85, "best": 0.75, "counts": (160_000, 2112, 17)}
    times = {"epoch_seconds": [9, 1 / 3, 0.25], "kernels_seen": ["aten::lstm"], "memory": {"host_peak_bytes": 2e9}}
    hostile = {"reason": 'say "metrics": {"epochs": 1} and "timing": {', "details": {"timing": {"a": [1]}}}
    runs = {
        "documents": [
            *(make_record(f"{cell},documented#{seed}", **scores, measure="accuracy") for seed in range(3)),
            *(make_record(f"{cell},{name}#0", **scores, repeat=1) for name in ("matched", "native:init")),
            make_record(f"{cell},documented#5", test=0.8, measure="accuracy", **hostile),
            make_record(f"{cell},documented#6", traceback="a\nb", status="failed", **hostile),
            make_record(f"{cell},documented#7", status="unavailable", details={"obstacle": "kernel"}, stand_in="ü"),
        ],
        "timing": [
            make_record(f"{cell},documented#0", **times, **scores),
            _with_windows(make_record(f"{cell},documented#1", **times, **scores, **hostile)),
            make_record(f"{cell},documented#2", status="timeout", reason="600 s", data=None),
        ],
    }
    with Store(path, create=True) as opened:
        for name, records in runs.items():
            opened.create_run(name, "documented", ENVIRONMENT, ["bench", "run"], {})
            for record in records:
                opened.add(name, record, ENVIRONMENT)
    return path


def _with_windows(record: Record) -> Record:
    assert record.timing
    samples = {"windows": [(4, 0.5), (8, 1.25)], "latency": [0.1, 0.2], "step": 0.19, "first_step": 1.5}
    proof = KernelProof(claimed="fused", how="traced", seen=[SeenKernel(name="k", calls=2, share=0.5)], met=True)
    cost = Cost(flops=6e9, bytes=2e9, peak_flops=100e9, bandwidth=10e9)
    changes = {"timing": record.timing.model_copy(update=samples), "kernel_proof": proof, "cost": cost}
    return record.model_copy(update=changes)


def test_a_decoded_record_has_every_field_of_the_validated_one(store: Path) -> None:
    with Store(store) as opened:
        for run in opened.runs():
            validated, decoded = list(opened.records(run.name)), list(opened.read(run.name))
            assert [plain(record) for record in decoded] == [record.model_dump(mode="json") for record in validated]
            assert [record.cell for record in decoded] == [record.cell for record in validated]
            assert not any(isinstance(record, Record) for record in decoded), "none was validated after all"
            assert len({record.status for record in validated}) > 1


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
