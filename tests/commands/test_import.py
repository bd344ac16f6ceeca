"""`bench import` takes in what `bench export` wrote, and refuses what it cannot trust."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bench.records.exports import Exported, as_json, read, stream
from bench.records.record import SCHEMA_VERSION, Record
from bench.records.store import Run, Store
from tests.conftest import call
from tests.making import make_record

ENVIRONMENT = {"cpu": "A processor", "threads": 2}
VERSION_1 = Path(__file__).with_name("version_1.json")
"""Two records as schema version 1 exported them."""
OPTIONS = {"patterns": [], "seeds": 2, "repeats": 1}


def record(seed: int, status: str = "ok") -> Record:
    reason = None if status == "ok" else "stopped by the user"
    return make_record(f"imdb-rnn/lstm@torch,generic,cpu,documented#{seed}", status=status, reason=reason)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    with Store(tmp_path / "there.sqlite", create=True) as store:
        store.create_run("first", "documented", ENVIRONMENT, ["bench", "run"], OPTIONS)
        store.add("first", record(0), ENVIRONMENT)
        store.add("first", record(1, "interrupted"), {**ENVIRONMENT, "threads": 1})
    file = tmp_path / "first.json"
    call("export", "first", "--out", str(file), "--store", str(tmp_path / "there.sqlite"))
    return file


def test_an_imported_run_is_the_run_that_was_exported(exported: Path, tmp_path: Path) -> None:
    here = tmp_path / "here.sqlite"
    assert call("import", str(exported), "--store", str(here)) == 0
    with Store(here) as imported, Store(tmp_path / "there.sqlite") as original:
        assert imported.runs() == original.runs()
        assert list(imported.records()) == list(original.records())


def test_what_came_in_is_printed_as_json_with_its_name_here(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "here.sqlite"
    with Store(here, create=True) as store:
        store.create_run("first", "documented", {"cpu": "Another"}, ["bench", "run"], OPTIONS)
    capsys.readouterr()
    assert call("import", str(exported), "--store", str(here), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    came = {"file": str(exported), "run": "first", "name": "first-2", "cells": 2}
    assert document == {"schema_version": SCHEMA_VERSION, "records": [came]}


def test_an_export_of_version_1_is_taken_in(tmp_path: Path) -> None:
    old, not_ok = json.loads(VERSION_1.read_text())["records"]
    assert call("import", str(VERSION_1), "--store", str(tmp_path / "here.sqlite")) == 0
    with Store(tmp_path / "here.sqlite") as store:
        new, also = store.records()
    assert new.memory == {"process_peak_bytes": old["memory"]["host_peak_bytes"]}
    assert new.timing is not None
    assert (new.timing.epochs, new.timing.step) == (old["timing"]["epochs"], None)
    assert (also.status, also.timing) == (not_ok["status"], None)


def test_importing_again_adds_what_is_missing_and_keeps_what_is_better(exported: Path, tmp_path: Path) -> None:
    here = tmp_path / "here.sqlite"
    call("import", str(exported), "--store", str(here))
    with Store(here, create=True) as store:
        store.add("first", record(1), ENVIRONMENT)
        store.add("first", record(2), ENVIRONMENT)
    assert call("import", str(exported), "--store", str(here)) == 0
    with Store(here) as store:
        assert {(one.seed, one.status) for one in store.records("first")} == {(0, "ok"), (1, "ok"), (2, "ok")}


def test_an_older_export_does_not_undo_what_was_measured_since(exported: Path, tmp_path: Path) -> None:
    here = tmp_path / "here.sqlite"
    call("import", str(exported), "--store", str(here))
    later = structs.replace(record(0), started="2026-11-22T10:00:00+00:00", measure="accuracy")
    with Store(here, create=True) as store:
        store.add("first", later, ENVIRONMENT)
    assert call("import", str(exported), "--store", str(here)) == 0
    with Store(here) as store:
        assert next(one for one in store.records("first") if one.seed == 0).measure == "accuracy"


def test_every_record_keeps_the_environment_it_ran_in(exported: Path, tmp_path: Path) -> None:
    here = tmp_path / "here.sqlite"
    call("import", str(exported), "--store", str(here))
    with Store(here) as store:
        threads = [environment["threads"] for _, environment, _ in store.entries()]
    assert threads == [2, 1]


def test_two_machines_runs_of_one_name_stay_two_runs_however_often_they_are_imported(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, other = tmp_path / "here.sqlite", tmp_path / "other.json"
    other.write_text(re.sub('"uuid": ".*"', '"uuid": null', exported.read_text()).replace("A proc", "Another proc"))
    for _ in range(2):
        assert call("import", str(exported), str(other), "--store", str(here)) == 0
    assert f"run first of {other} is called first-2 here" in capsys.readouterr().err
    with Store(here) as store:
        assert [(run.name, run.environment["cpu"]) for run in store.runs()] == [
            ("first", "A processor"),
            ("first-2", "Another processor"),
        ]
        found = {(name, environment["cpu"]) for name, environment, _ in store.entries()}
    assert found == {("first", "A processor"), ("first-2", "Another processor")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "is no JSON or cut off"),
        (lambda text: text.replace('"schema_version": 3', '"schema_version": 99'), "has schema version 99"),
        (
            lambda text: text.replace('"torch"', "7"),
            "record imdb-rnn/lstm@7: Expected `str`, got `int` - at `$.backend`",
        ),
        (lambda text: json.dumps({"cells": []}), "holds no exported run"),
    ],
    ids=["truncated", "another schema", "a wrong value", "something else"],
)
def test_a_file_that_is_no_export_is_refused(change, message, exported: Path, tmp_path: Path, capsys) -> None:
    exported.write_text(change(exported.read_text()))
    assert call("import", str(exported), "--store", str(tmp_path / "here.sqlite")) == 2
    assert message in capsys.readouterr().err


HOSTILE = {
    "a run without a name": (('"name": "first"', '"name": null'), "name"),
    "a run with an empty name": (('"name": "first"', '"name": ""'), "has no name"),
    "an environment without a fact": (('"cpu": "A processor",\n   "threads": 2', ""), "environment"),
    "a record's environment without a fact": (('"cpu": "A processor",\n   "threads": 1', ""), "environment"),
    "half a character as a name": (('"imdb-rnn", "case"', '"\\ud800", "case"'), None),
    "half a character in bytes": (('"imdb-rnn", "case"', '"\udc80", "case"'), "no JSON or cut off"),
    "a null name": (('"suite": "imdb-rnn"', '"suite": null'), "suite"),
    "accuracy 7": (('"accuracy": 0.75', '"accuracy": 7'), "accuracy 7 is no value"),
    "accuracy -0.1": (('"accuracy": 0.75', '"accuracy": -0.1'), "accuracy -0.1 is no value"),
    "seed -1": (('"seed": 0', '"seed": -1'), "seed -1 is no value"),
    "seed 2^63": (('"seed": 0', f'"seed": {2**63}'), "seed 9223372036854775808 is no value"),
    "seed 10^4000": (('"seed": 0', f'"seed": 1{"0" * 4000}'), ""),
    "repeat 2^63": (('"repeat": 0', f'"repeat": {2**63}'), "repeat"),
    "rows 2^70": (('"rows": 2000', f'"rows": {2**70}'), "rows 1180591620717411303424 is no value"),
    "options without what was asked for": (('"patterns"', '"others"'), "patterns"),
    "not a number as a seed": (('"seed": 0', '"seed": NaN'), "seed"),
    "not a number as seconds": (('"seconds": 10.0, "seq', '"seconds": NaN, "seq'), "seconds nan is no value"),
    "sequence -1": (('"sequence": null', '"sequence": -1'), "sequence -1 is no value"),
    "sequence 2^62": (('"sequence": null', f'"sequence": {2**62}'), "sequence 4611686018427387904 is no value"),
    "a uuid that is a list": (('"uuid": null', '"uuid": []'), "uuid"),
    "a start that is no time": (('+00:00", "seconds"', 'then", "seconds"'), "then"),
    "deep details": (('"details": {}', '"details": ' + '{"a":' * 3000 + "1" + "}" * 3000), ""),
    "a record that is a number": (('"records": [', '"records": [\n7,'), "no whole export"),
    "records that are no list": (('"records": [', '"records": 7, "more": ['), "no whole export"),
    "runs that are no list": (('"runs": [', '"runs": 7, "more": ['), "no whole export"),
    "an unknown environment": (('"environment": "first", "suite"', '"environment": "no", "suite"'), "no whole export"),
    "an unknown run": (('"run": "first", "environment"', '"run": "no", "environment"'), "no whole export"),
    "a version that is a list": (('"schema_version": 3', '"schema_version": [2]'), "has schema version"),
    "an end that is missing": (("\n ]\n}\n", "\n"), "cut off"),
    "more behind the end": (("\n ]\n}\n", "\n ]\n}\n{}\n"), "cut off"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_exports_are_refused_in_a_sentence_and_leave_nothing(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, good, bad = tmp_path / "here.sqlite", tmp_path / "good.json", tmp_path / "bad.json"
    run = Run("first", "documented", "2026-01-01T00:00:00+00:00", ["bench", "run"], OPTIONS, ENVIRONMENT)
    one = make_record("imdb-rnn/lstm@torch,generic,cpu,documented#0", test=0.75)
    text = as_json([Exported(run, [(structs.replace(one, seed=5), {**ENVIRONMENT, "threads": 1}), (one, ENVIRONMENT)])])
    good.write_text(text.replace("first", "good"))
    (old, new), message = HOSTILE[kind]
    assert old in text, "nothing changed"
    bad.write_bytes(text.replace(old, new, 1).encode(errors="surrogateescape"))
    ended = call("import", str(good), str(bad), "--store", str(here))
    told = capsys.readouterr().err
    with Store(here, create=True) as store:
        names = [run.name for run in store.runs()]
    if message is None:
        assert (ended, names) == (0, ["good", "first"])
    else:
        assert (ended, told.count("\n"), names) == (2, 1, []), told
        assert message in told


def test_an_import_that_fails_half_way_leaves_the_store_as_it_was(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Store.add
    stored: list[str] = []

    def second_fails(store: Store, run: str, *rest: Any) -> None:
        if stored:
            raise OverflowError("too large")
        stored.append(run)
        add(store, run, *rest)

    monkeypatch.setattr(Store, "add", second_fails)
    assert call("import", str(exported), "--store", str(tmp_path / "here.sqlite")) == 2
    with Store(tmp_path / "here.sqlite", create=True) as store:
        assert (store.runs(), list(store.records())) == ([], [])


def test_an_import_holds_one_record_at_a_time(exported: Path, tmp_path: Path) -> None:
    """So its memory does not grow with the file: of 2,000 records there are never two."""
    run = read(exported)[0].run
    many = [(record(seed), ENVIRONMENT) for seed in range(2000)]
    exported.write_text(as_json([Exported(run, many)]))
    assert max(len(piece.records) for piece in stream(exported)) == 1
    exported.write_text(json.dumps(json.loads(exported.read_text())))  # another layout is read too
    assert sum(len(piece.records) for piece in stream(exported)) == 2000


def test_a_missing_file_is_named(tmp_path: Path, capsys) -> None:
    assert call("import", str(tmp_path / "nothing.json")) == 2
    assert "nothing.json cannot be read: No such file" in capsys.readouterr().err
