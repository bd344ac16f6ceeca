"""What is stored comes back, survives, and is never mixed up."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import structs

from bench.cases.cell import Cell, Status
from bench.cases.parameters import Parameters
from bench.errors import UsageError
from bench.records.metrics import METRICS, value
from bench.records.record import (
    DataUsed,
    EpochScore,
    Failure,
    KernelProof,
    Metrics,
    Record,
    Score,
    Timing,
    Weights,
    json_text,
    plain,
    read,
)
from bench.records.store import Store
from tests.conftest import ROOT

ENVIRONMENT = {"cpu": "Example CPU", "threads": 2}
TIMING = Timing(
    build=0.1,
    first_epoch=2.5,
    epochs=[1 / 3, 0.3],
    steps=4,
    total=3.2,
    alone=True,
    windows=[(1, 0.1), (2, 1 / 7)],
    cpu_windows=[(1, 0.3), (2, 4 / 7)],
    latency=[0.01, 1 / 9],
)
PROOF = KernelProof(claimed="fused", how="made up", seen=[], met=True)


def make_record(case: str = "lstm", seed: int = 0, status: Status = "ok", seconds: float = 12.5) -> Record:
    epochs = [
        EpochScore(loss=0.1 + i, accuracy=0.7, val_loss=1 / 3, val_accuracy=0.6, seconds=0.1, steps=4) for i in range(3)
    ]
    last = Weights(epoch=3, test=Score(loss=0.1 + 0.2, accuracy=0.8125, rows=16))
    ok = status == "ok"
    return Record(
        suite="imdb-rnn",
        case=case,
        backend="torch",
        kernel="fused",
        device="cpu",
        numerics="documented",
        seed=seed,
        profile="quick",
        measure="all",
        status=status,
        reason=None if ok else "because",
        metrics=Metrics(epochs=epochs, last=last) if ok else None,
        timing=TIMING if ok else None,
        kernel_proof=PROOF if ok else None,
        data=DataUsed(name="embedded", sha256="ab" * 32, rows={"train": 16}, stand_in="one for another"),
        failure=None if ok else Failure(error="ValueError", traceback="a\nb"),
        started="2026-01-01T00:00:00+00:00",
        seconds=seconds,
        sequence=1,
        details={"free": [1, {"form": None}]},
    )


@pytest.fixture
def store(tmp_path: Path):  # type: ignore[no-untyped-def]
    with Store(tmp_path / "folder" / "results.sqlite", create=True) as opened:
        opened.create_run("r", "quick", ENVIRONMENT, ["bench", "run"], {"seeds": 2})
        yield opened


def test_a_record_comes_back_as_it_was(store: Store) -> None:
    for record in (make_record(), make_record("gru", status="failed")):
        store.add("r", record, ENVIRONMENT)
        with Store(store.path) as other:
            assert list(other.records("r"))[-1] == record
    assert list(store.records()) == list(store.records("r"))


def _with_losses(*losses: float) -> Record:
    lines = [EpochScore(loss=loss, accuracy=0.5, seconds=0.1, steps=4) for loss in losses]
    return structs.replace(make_record(), metrics=Metrics(epochs=lines), memory={"host_peak_bytes": losses[0]})


def test_what_is_no_number_in_json_comes_back_as_the_number_it_is(store: Store) -> None:
    record = _with_losses(math.inf, -math.inf, math.nan)
    store.add("r", record, ENVIRONMENT)
    with sqlite3.connect(store.path) as database:
        written = [*database.execute("SELECT record FROM cell"), *database.execute('SELECT "values" FROM sample')]
    assert all(json.loads(text, parse_constant=pytest.fail) for (text,) in written), "no JSON of a strict reader"
    for found in (next(store.records("r")), read(json.loads(json_text(plain(record))))):
        assert found.metrics is not None
        assert [str(line.loss) for line in found.metrics.epochs] == ["inf", "-inf", "nan"]
        assert found.memory == {"host_peak_bytes": math.inf}


def test_numbers_that_an_older_store_holds_bare_are_read(store: Store) -> None:
    store.add("r", _with_losses(1.5, 2.5), ENVIRONMENT)
    store._db.execute("""UPDATE cell SET record = replace(record, '{"host_peak_bytes": 1.5}', '{"x": -Infinity}')""")
    store._db.execute("""UPDATE sample SET "values" = replace("values", '2.5', 'NaN')""")
    (found,) = store.records("r")
    assert found.metrics is not None
    assert [str(line.loss) for line in found.metrics.epochs] == ["1.5", "nan"]
    assert found.memory == {"x": -math.inf}


def test_records_that_something_else_wrote_into_the_store_are_read(store: Store) -> None:
    """SQLite's own JSON functions write no spaces."""
    hostile = 'say "metrics": {"epochs": 1} and "timing": {'
    record = structs.replace(make_record(), reason=hostile, details={"timing": {"a": [1]}})
    store.add("r", record, ENVIRONMENT)
    store._db.execute("UPDATE cell SET record = json_set(record, '$.seed', 77)")
    assert list(store.records("r")) == [structs.replace(record, seed=77)]


def test_what_the_cells_of_a_variant_share_is_held_once(store: Store) -> None:
    counts = Parameters(total=3, trainable=2, frozen=1, stored=3, layers=[])
    for seed, total in enumerate((3, 3, 4)):
        parameters = structs.replace(counts, total=total)
        store.add("r", structs.replace(make_record(seed=seed), parameters=parameters), ENVIRONMENT)
    first, second, third = store.records("r")
    assert first.parameters is second.parameters
    assert first.backend is second.backend
    assert [record.parameters and record.parameters.total for record in (second, third)] == [3, 4], "equal parts only"


@pytest.mark.parametrize(
    ("part", "changes"),
    [("timing", {"steps": "many"}), ("timing", {"epochs": None}), ("data", {"unheard_of": 1}), ("data", {"name": 7})],
)
def test_values_that_make_no_record_are_refused_with_the_field(part: str, changes: dict[str, object]) -> None:
    content = plain(make_record())
    content[part] |= changes
    with pytest.raises(msgspec.ValidationError, match="|".join([*changes, part])):
        read(content)


def test_a_record_of_before_had_no_neighbours() -> None:
    content = plain(make_record())
    del content["neighbours"]
    assert read(content) == make_record()
    beside = structs.replace(make_record(seed=1), neighbours=3)
    assert read(plain(beside)) == beside


def test_numpy_numbers_of_a_backend_are_numbers_of_a_record() -> None:
    score = Score(loss=np.float32(0.5), accuracy=np.float64(0.25), rows=np.int64(7))  # type: ignore[arg-type]
    assert json_text(plain(score)) == '{"loss": 0.5, "accuracy": 0.25, "rows": 7}'


def test_a_run_comes_back_with_its_environment_command_and_options(store: Store) -> None:
    (run,) = store.runs()
    assert (run.name, run.profile, run.command, run.options) == ("r", "quick", ["bench", "run"], {"seeds": 2})
    assert run.environment == ENVIRONMENT


def test_a_later_record_replaces_one_that_failed_but_no_failure_replaces_a_result(store: Store) -> None:
    failed, good = make_record(status="timeout"), make_record()
    store.add("r", failed, ENVIRONMENT)
    assert not [*store.finished("r")]
    store.add("r", good, ENVIRONMENT)
    store.add("r", failed, ENVIRONMENT)
    assert list(store.records("r")) == [good]
    assert [found.cell for found in store.finished("r")] == [good.cell]


def test_seeds_repeats_and_runs_are_kept_apart(store: Store) -> None:
    store.create_run("s", "quick", ENVIRONMENT, [], {})
    records = [make_record(), make_record(seed=1), structs.replace(make_record(), repeat=1)]
    for record in records:
        store.add("r", record, ENVIRONMENT)
    store.add("s", make_record(seconds=1.0), ENVIRONMENT)
    assert list(store.records("r")) == records
    assert [record.seconds for record in store.records("s")] == [1.0]


def test_scalars_are_columns_for_plain_sql(store: Store) -> None:
    store.add("r", make_record(), ENVIRONMENT)
    query = 'SELECT "case", status, epochs, test_loss, test_accuracy, data_sha256, stand_in FROM cell'
    with sqlite3.connect(store.path) as plain:
        assert plain.execute(query).fetchall() == [("lstm", "ok", 3, 0.1 + 0.2, 0.8125, "ab" * 32, "one for another")]
        samples = dict(plain.execute('SELECT name, "values" FROM sample').fetchall())
    plain.close()
    assert samples["timing.epochs"] == f"[{1 / 3}, 0.3]"
    assert samples["timing.windows"] == f"[[1, 0.1], [2, {1 / 7}]]"
    assert samples["timing.cpu_windows"] == f"[[1, 0.3], [2, {4 / 7}]]"


def test_seconds_are_the_mean_over_what_ended_ok(store: Store) -> None:
    for seed, (status, seconds) in enumerate([("ok", 10.0), ("ok", 14.0), ("timeout", 99.0)]):
        store.add("r", make_record(seed=seed, status=status, seconds=seconds), ENVIRONMENT)  # type: ignore[arg-type]
    cell = Cell("imdb-rnn", "lstm", "torch", "fused", "cpu", "documented", 7)
    assert store.seconds(cell, "quick", "all") == 12.0
    assert store.seconds(cell, "quick", "accuracy") is None
    assert store.seconds(cell, "documented", "all") is None


def test_a_record_of_before_with_a_bare_nan_has_seconds_too(store: Store) -> None:
    store.add("r", make_record(seconds=10.0), ENVIRONMENT)
    store._db.execute('UPDATE cell SET record = replace(record, \'"status"\', \'"old": NaN, "status"\')')
    cell = Cell("imdb-rnn", "lstm", "torch", "fused", "cpu", "documented", 7)
    assert store.seconds(cell, "quick", "all", brief=True) == 10.0


def test_seconds_are_those_of_the_same_numerics_and_of_a_measurement_as_full(store: Store) -> None:
    full = make_record(seconds=40.0)
    for changes in (
        {"numerics": "native", "seconds": 7.0},
        {"seed": 1, "kernel_proof": None, "seconds": 4.0},
        {"seed": 2, "kernel_proof": None, "measure": "accuracy", "seconds": 3.0},
        {},
    ):
        store.add("r", structs.replace(full, **changes), ENVIRONMENT)
    cell = full.cell
    assert store.seconds(cell, "quick", "all") == 40.0
    assert store.seconds(cell, "quick", "all", brief=True) == 4.0
    assert store.seconds(cell, "quick", "accuracy") == 3.0
    assert store.seconds(replace(cell, numerics="native"), "quick", "all") == 7.0
    assert store.seconds(replace(cell, numerics="native"), "quick", "all", brief=True) is None
    assert store.seconds(replace(cell, numerics="matched"), "quick", "all") is None


def test_two_processes_write_one_store_and_nothing_is_lost(store: Store) -> None:
    script = """
import sys
from dataclasses import replace
from pathlib import Path
from bench.records.store import Store
from tests.records.test_store import ENVIRONMENT, make_record
with Store(Path(sys.argv[1]), create=True) as store:
    for seed in range(100):
        store.add("r", make_record(sys.argv[2], seed), ENVIRONMENT)
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(store.path), case], cwd=ROOT) for case in ("lstm", "gru")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len({(record.case, record.seed) for record in store.records("r")}) == 200


def test_a_taken_name_is_refused_with_the_remedy(store: Store) -> None:
    with pytest.raises(UsageError, match="--resume r"):
        store.create_run("r", "quick", ENVIRONMENT, [], {})


def test_an_unknown_run_is_named_with_its_neighbours(store: Store) -> None:
    store.create_run("nightly", "quick", ENVIRONMENT, [], {})
    with pytest.raises(UsageError, match="unknown run 'nihgtly'; nearest: nightly"):
        store.run("nihgtly")
    with pytest.raises(UsageError, match="unknown run"):
        list(store.records("nihgtly"))


def test_a_store_of_another_version_is_refused_with_both_versions(store: Store) -> None:
    store._db.execute("PRAGMA user_version = 9")
    with pytest.raises(UsageError, match="schema version 9, this twinbench reads 3 and earlier"):
        Store(store.path)


def test_a_store_of_version_1_is_brought_up_to_date_once(store: Store) -> None:
    store.add("r", make_record(), ENVIRONMENT)
    old = plain(make_record())
    del old["cost"], old["kernel_proof"]
    old["memory"] = {"host_peak_bytes": 3e9}
    del old["metrics"]["epochs"], old["timing"]["epochs"]
    for name in (
        "first_step",
        "compile",
        "windows",
        "step",
        "cpu_windows",
        "cpu_step",
        "input",
        "latency",
        "throughput",
        "noise",
    ):
        del old["timing"][name]
    store._db.execute("UPDATE cell SET record = ?", (json.dumps(old),))
    store._db.execute("DELETE FROM sample WHERE name IN ('timing.windows', 'timing.cpu_windows', 'timing.latency')")
    store._db.execute("PRAGMA user_version = 1")
    for create, version in ((False, 1), (True, 3), (False, 3), (True, 3)):  # a reader does it in memory alone
        with Store(store.path, create=create) as opened:
            (record,) = opened.records()
        assert record.memory == {"process_peak_bytes": 3e9}
        assert record.timing == structs.replace(TIMING, windows=[], cpu_windows=[], latency=[])
        assert store._db.execute("PRAGMA user_version").fetchone() == (version,)


def test_a_missing_store_is_no_empty_store(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no store at"):
        Store(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()


def test_files_that_are_no_store_are_left_as_they_are(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a database, but long enough to be taken for a damaged one" * 20)
    foreign = tmp_path / "foreign"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = foreign.read_bytes()
    for path in (text, foreign):
        with pytest.raises(UsageError, match="store"):
            Store(path, create=True)
    assert text.read_text().startswith("not a database")
    assert foreign.read_bytes() == before


def test_figures_are_there_without_decoding_records(store: Store) -> None:
    for record in (make_record(), make_record("gru", status="failed")):
        store.add("r", record, ENVIRONMENT)
    (ok, failed) = store.figures("r")
    assert ok[:6] == ("imdb-rnn/lstm@torch,fused,cpu,documented", 0, 0, "ok", None, "ab" * 32)
    assert list(ok[6:]) == [value(make_record(), name) for name in METRICS]
    assert failed[3:5] == ("failed", "because")
    assert set(failed[6:]) == {None}
    assert store.environments("r") == [ENVIRONMENT]


def test_times_of_a_shared_process_are_no_figures(store: Store) -> None:
    timing = structs.replace(TIMING, alone=False)
    store.add("r", structs.replace(make_record(), timing=timing), ENVIRONMENT)
    (row,) = store.figures("r")
    assert [row[6:][list(METRICS).index(name)] for name in ("step", "epoch", "accuracy")] == [None, None, 0.8125]


def test_a_store_without_columns_of_figures_gains_them(store: Store) -> None:
    store.add("r", make_record(), ENVIRONMENT)
    (before,) = store.figures("r")
    with sqlite3.connect(store.path) as database:
        for name in ("comparable", "step", "accuracy"):
            database.execute(f'ALTER TABLE cell DROP COLUMN "{name}"')
    with Store(store.path) as upgraded:
        assert list(upgraded.figures("r")) == [before]


def test_a_store_that_calls_comparable_times_headline_is_read_and_renamed(store: Store) -> None:
    shared = structs.replace(make_record(seed=1), timing=structs.replace(TIMING, alone=False))
    for record in (make_record(), shared):
        store.add("r", record, ENVIRONMENT)
    before = list(store.figures("r"))
    with sqlite3.connect(store.path) as database:
        database.execute('ALTER TABLE cell RENAME COLUMN "comparable" TO "headline"')
    for create in (False, True, False):
        with Store(store.path, create=create) as upgraded:
            assert list(upgraded.figures("r")) == before
    columns = {row[1] for row in store._db.execute("PRAGMA table_info(cell)")}
    assert ("comparable" in columns, "headline" in columns) == (True, False)
