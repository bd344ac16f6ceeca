"""`bench run --again CELL`: what differs is found, what cannot be repeated is refused, nothing is stored."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bench.backends import registry
from bench.records.record import EpochScore, Metrics, Record, Score, Weights
from bench.records.store import Store
from bench.runner import again, workers
from tests.conftest import HERE, Bench, call, make_bench
from tests.making import make_record
from tests.runner import fake_bench as fake

CELL, RAISES = (f"fake/{case}@fake,none,cpu,documented#0" for case in ("fine", "raises"))
FIGURES = 3 * 4 + 1 + 3 * 2 + 1
"""Loss and accuracy of 3 epochs, of training and validation; their number; scores of three parts; weights."""
Again = Callable[..., int]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Return the fake suite with a run of two cells that ended ok, one of which raises unless it is mended."""
    bench = make_bench(tmp_path_factory.mktemp("measured"))
    ended = bench("fake/fine@fake", "fake/raises@fake", "--name", "first", profile="quick", FAKE_MENDED="1")
    assert ended.returncode == 0, ended.stderr
    return bench


@pytest.fixture
def store(measured: Bench, tmp_path: Path) -> Path:
    return Path(shutil.copy(measured.store, tmp_path / "s.sqlite"))


@pytest.fixture
def repeat(measured: Bench, store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Again]:
    """Return what calls `bench run --again` on a copy of that store, with the fake backend."""
    for name, value in measured.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(registry.BACKENDS, "fake", fake.FAKE)
    monkeypatch.setattr(workers, "WORKER", (sys.executable, str(HERE / "fake_bench.py"), "cell"))
    registry.backends.cache_clear()
    with Store(store) as opened:
        environment = opened.run("first").environment
    monkeypatch.setattr(again, "fingerprint", lambda threads: {**environment, "threads": threads})
    monkeypatch.setenv("COLUMNS", "80")
    yield lambda cell, *words: call("run", "--again", cell, "--store", str(store), *words)
    registry.backends.cache_clear()


def stored(store: Path, run: str = "first") -> Record:
    with Store(store) as opened:
        return next(record for record in opened.records(run) if str(record.cell) == CELL)


def put(store: Path, record: Record, **changes: Any) -> None:
    """Store a record, with changes, as that of a later run."""
    with Store(store, create=True) as opened:
        run = replace(opened.run("first"), name="later", uuid=None)
        opened.add_run(run)
        opened.add("later", structs.replace(record, **{"sequence": None, **changes}), run.environment)


def contents(store: Path) -> Any:
    with Store(store) as opened:
        return opened.runs(), list(opened.entries())


def test_a_cell_that_comes_out_equal_ends_with_0_and_is_not_stored(
    repeat: Again, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(store)
    assert repeat(CELL) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Equal: {CELL} of run first\n{FIGURES} figures compared")
    assert "Changed since then: nothing." in out
    assert contents(store) == before


def test_a_figure_that_comes_out_otherwise_is_named_with_both_values_and_ends_with_1(
    repeat: Again, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = stored(store)
    assert record.metrics
    epochs = list(record.metrics.epochs)
    epochs[1] = structs.replace(epochs[1], loss=0.5000000000000001)
    put(store, record, metrics=structs.replace(record.metrics, epochs=epochs))
    assert repeat(CELL, "--threads", "7") == 1
    out = capsys.readouterr().out
    assert out.startswith(f"Unequal: {CELL} of run later\n1 of {FIGURES} figures differ")
    (row,) = [line.split() for line in out.splitlines() if line.startswith("epoch 2")]
    assert row[-2:] == ["0.5000000000000001", "0.5"]
    assert f"threads {json.loads(_environment(store))} → 7" in out
    assert max(map(len, out.splitlines())) <= 80
    assert repeat(CELL, "--name", "first", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (len(document["figures"]), document["unequal"], document["changed"]) == (FIGURES, [], [])
    assert [read["metrics"]["epochs"][1]["loss"] for read in document["records"]] == [0.5, 0.5]


def _environment(store: Path) -> str:
    with Store(store) as opened:
        return json.dumps(opened.run("first").environment["threads"])


def test_a_cell_that_fails_now_ends_with_3(
    repeat: Again, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "check", lambda *_: None)
    assert repeat(RAISES) == 3
    out = " ".join(capsys.readouterr().out.split())
    assert f"Not repeated: {RAISES} of run first is failed now: ValueError: the second epoch is too much" in out


def test_ctrl_c_ends_with_130(repeat: Again, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def at_once() -> Iterator[threading.Event]:
        event = threading.Event()
        event.set()
        yield event

    monkeypatch.setattr(again, "interruptible", at_once)
    monkeypatch.setattr(again, "check", lambda *_: None)
    assert repeat(CELL) == 130


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "failed", "reason": "no luck\nat all"}, None),
        ({"details": {"case": "Dense(1)"}}, "is declared otherwise since run 'later': then Dense(1); now Embedding("),
        ({"data": "ab" * 32}, "has other data since run 'later': then sha256 abababababab, now "),
        ({"metrics": None, "measure": "steps"}, "holds times alone (measure steps)"),
        ({"case": "gone"}, "unknown case 'fake/gone'"),
    ],
    ids=["failed", "another declaration", "other data", "times alone", "no such case any more"],
)
def test_what_cannot_be_repeated_is_refused(
    changes: dict[str, Any], message: str | None, repeat: Again, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = stored(store)
    if "data" in changes:
        assert record.data
        changes = {"data": structs.replace(record.data, sha256=changes["data"])}
    put(store, record, **changes)
    cell = CELL.replace("fine", changes.get("case", "fine"))
    assert repeat(cell, "--name", "later") == 2
    told = capsys.readouterr().err
    assert (message or f"{CELL} of run 'later' is failed (no luck): nothing to compare with") in told
    assert told.count("\n") == 1


def test_times_alone_hide_no_earlier_training(store: Path) -> None:
    put(store, stored(store), measure="steps", metrics=None)
    assert again.find(store, CELL).run.name == "first"


def test_a_failure_hides_no_earlier_result(store: Path) -> None:
    put(store, stored(store), status="failed")
    assert again.find(store, CELL).run.name == "first"
    assert again.find(store, CELL, "first").record == stored(store)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fine"], "not a cell name: 'fine'; expected suite/case@"),
        ([CELL.replace("#0", "#1")], f"unknown cell in the store '{CELL[:-1]}1'; nearest: {CELL}"),
        ([CELL, "--name", "frist"], "unknown run 'frist'; nearest: first"),
        ([CELL, "--resume", "first"], "leave out --resume"),
        ([CELL, "--profile", "documented"], "leave out --profile"),
        ([CELL, "--numerics", "native"], "leave out --numerics"),
        ([CELL, "fake/*"], "leave out PATTERN"),
        ([CELL, "--store", "elsewhere.sqlite"], "no store at elsewhere.sqlite"),
    ],
)
def test_wrong_usage_is_told(
    words: list[str], message: str, repeat: Again, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert repeat(*words) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


# --- which figures count -----------------------------------------------------------------------------------------


def trained(**changes: Any) -> Record:
    """Return a record with every figure that a training can have, all of them different."""
    score = [Score(loss=0.1 * n, accuracy=0.01 * n, rows=9) for n in range(1, 7)]
    epochs = [
        EpochScore(loss=n, accuracy=n / 8, val_loss=n + 0.5, val_accuracy=n / 16, seconds=n, steps=1) for n in (1, 2)
    ]
    weights = [
        Weights(epoch=1, train=score[at], validation=score[at + 1], test=score[at + 2], sha256=str(at)) for at in (0, 3)
    ]
    metrics = Metrics(epochs=epochs, last=weights[0], best=weights[1])
    return make_record(CELL, **{"metrics": metrics, **changes})


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in children:
        yield from leaves(value, (*path, key))
    if not isinstance(content, dict | list):
        yield path


def test_every_figure_that_a_training_decides_is_compared_and_no_time_is() -> None:
    """Each value of the metrics is changed in turn, by the least that a float can be: that figure alone is unequal."""
    from math import nextafter

    from bench.records.record import plain, read

    one = trained()
    assert list(again.unequal(one, trained(seconds=99.0))) == []
    for path in leaves(plain(one)["metrics"]):
        content = plain(one)
        at = content["metrics"]
        for key in path[:-1]:
            at = at[key]
        old = at[path[-1]]
        at[path[-1]] = old + "x" if isinstance(old, str) else nextafter(old, 9.0) if isinstance(old, float) else old + 1
        found = list(again.unequal(one, read(content)))
        passed_over = path[-1] in ("seconds", "steps", "rows", "epoch")
        assert [(each.stored, each.again) for each in found] == ([] if passed_over else [(old, at[path[-1]])]), path


def test_an_epoch_more_is_unequal_unless_times_alone_decide_their_number() -> None:
    one = trained()
    assert one.metrics
    more = structs.replace(one.metrics, epochs=one.metrics.epochs * 2)
    assert [each.figure for each in again.unequal(one, trained(metrics=more))] == ["epochs"]
    timing = trained(measure="timing", metrics=structs.replace(one.metrics, last=None, best=None))
    assert list(again.unequal(timing, trained(metrics=more))) == []


def test_a_result_of_before_is_compared_without_its_weights() -> None:
    one = trained()
    assert one.metrics
    assert one.metrics.last
    bare = structs.replace(one.metrics, last=structs.replace(one.metrics.last, sha256=None))
    assert list(again.unequal(trained(metrics=bare), one)) == []
