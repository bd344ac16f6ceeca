"""Whatever becomes of a store: one sentence, nothing lost that can be kept, nothing written by what reads."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bench.errors import BenchError, StoreError
from bench.records.keeper import Keeper
from bench.records.store import Run, Store
from tests.conftest import ROOT, call
from tests.records.test_store import ENVIRONMENT, make_record

OPTIONS = {"patterns": [], "seeds": 2, "repeats": 1}
NUMBER = 44


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of 44 results in its WAL, as a killed run leaves it, and one that was closed."""
    folder = tmp_path_factory.mktemp("stores")
    script = f"""
import os, signal, sys
from pathlib import Path
from bench.records.store import Store
from tests.records.test_store import ENVIRONMENT, make_record
for name in ("closed", "killed"):
    store = Store(Path(sys.argv[1], name), create=True)
    store.create_run("r", "quick", ENVIRONMENT, ["bench", "run"], {OPTIONS!r})
    with store.transaction():
        for seed in range({NUMBER}):
            store.add("r", make_record(seed=seed), ENVIRONMENT)
    if name == "closed":
        store.close()
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script, str(folder)], cwd=ROOT).returncode == -signal.SIGKILL
    assert (folder / "killed-wal").stat().st_size > 0
    return folder


def state(folder: Path) -> dict[str, bytes]:
    """Return all bytes in a folder; shared memory is no content."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


def put(store: Path, folder: Path, name: str) -> Path:
    for path in store.glob(f"{name}*"):
        shutil.copy(path, folder / path.name)
    return folder / name


# --- what reads never writes -------------------------------------------------------------------------------------


def foreign(path: Path, wal: bool = False) -> None:
    with closing(sqlite3.connect(path)) as database:
        if wal:
            database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE theirs (x)")
        database.execute("PRAGMA user_version = 1")
        database.commit()


def log_alone(path: Path) -> None:
    path.write_bytes(b"")


REFUSED: dict[str, Callable[[Path], None]] = {
    "an empty file": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no database, but long enough to be taken for a damaged one" * 20),
    "another program's database": foreign,
    "another program's database in WAL mode": lambda path: foreign(path, wal=True),
    "a folder": Path.mkdir,
}
READING = (["export"], ["report"], ["history"], ["compare", "a", "b"], ["run", "--resume", "r"], ["doctor"],
           ["explain", "imdb-rnn/lstm", "--resume", "r"], ["ab", "--resume", "r"])  # fmt: skip


@pytest.mark.parametrize("verb", READING, ids=lambda words: words[0])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_store_is_refused_unchanged(
    kind: str, verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s"
    REFUSED[kind](path)
    if kind == "a folder":
        assert call(*verb, "--store", str(path)) == 2
        assert os.listdir(path) == []
        return
    before = state(tmp_path)
    ended = call(*verb, "--store", str(path))
    told = capsys.readouterr()
    assert (ended, told.err.count("\n")) in ((2, 1), (3, 0)), told.err
    assert state(tmp_path) == before


@pytest.mark.parametrize("create", [False, True], ids=["read", "written"])
@pytest.mark.parametrize("there", [True, False], ids=["empty", "missing"])
def test_a_store_lost_beside_its_results_is_refused_and_they_stay(
    there: bool, create: bool, whole: Path, tmp_path: Path
) -> None:
    path = put(whole, tmp_path, "killed")
    path.write_bytes(b"") if there else path.unlink()
    before = state(tmp_path)
    with pytest.raises(BenchError, match="holds results" if there or create else "no store at"):
        Store(path, create=create)
    assert state(tmp_path) == before


@pytest.mark.parametrize("name", ["closed", "killed"])
def test_a_reader_leaves_everything_as_it_was(name: str, whole: Path, tmp_path: Path) -> None:
    path = put(whole, tmp_path, name)
    files, before = sorted(os.listdir(tmp_path)), state(tmp_path)
    with Store(path) as store:
        assert len(list(store.records())) == NUMBER
    assert (state(tmp_path), sorted(os.listdir(tmp_path))) == (before, files)


READ_ONLY = """
set -e
mount -t tmpfs -o size=4m tmpfs {media}; cp {stores}/* {media}; mount -o remount,ro {media}
exec {python} -c '
from bench.records.store import Store, Path
print([len(list(Store(Path("{media}", name)).records())) for name in ("closed", "killed")])'
"""


def test_stores_on_read_only_media_are_read(whole: Path, tmp_path: Path) -> None:
    script = READ_ONLY.format(media=tmp_path, stores=whole, python=sys.executable)
    ended = subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True)
    if "unshare" in ended.stderr or "mount" in ended.stderr:
        pytest.skip(f"nothing can be mounted here: {ended.stderr.strip()}")
    assert ended.stdout == f"[{NUMBER}, {NUMBER}]\n", ended.stderr


# --- damage ------------------------------------------------------------------------------------------------------

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda page: bytes(len(page)),
    "ones": lambda page: b"\xff" * len(page),
    "its middle shifted": lambda page: page[:512] + page[700:] + page[512:700],
    "letters for digits": lambda page: page.translate(bytes.maketrans(b"0123456789", b"abcdefghij")),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_pages_end_in_one_sentence_and_the_rest_is_rescued(
    kind: str, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(whole, tmp_path, "closed")
    content = path.read_bytes()
    pages = range(0, len(content), 8192)
    known = {record.seed: record for record in Store(path).records()}
    saved = []
    for start in pages:
        path.write_bytes(content[:start] + DAMAGE[kind](content[start : start + 8192]) + content[start + 8192 :])
        ends = [call(*words, "--store", str(path)) for words in (["export"], ["doctor"])]
        out = tmp_path / "rescued.json"
        out.unlink(missing_ok=True)
        ends.append(call("export", "--rescue", "--store", str(path), "--out", str(out)))
        assert set(ends) <= {0, 2, 3}
        assert "Traceback" not in capsys.readouterr().err
        if out.exists():
            back = [(row["seed"], row["metrics"]) for row in json.loads(out.read_text())["records"]]
            saved.append(len(back))
            assert len(dict(back)) == len(back), "a record twice"
            if ends == [0, 0, 0]:  # an index, or bytes that nothing uses
                assert len(back) == NUMBER
    assert sum(count < NUMBER for count in saved) >= 2, "no damage done"
    assert max(saved) == NUMBER
    assert sum(saved) > 0.5 * NUMBER * len(pages)
    assert set(known) == set(range(NUMBER))


def test_results_in_the_log_of_a_lost_store_are_rescued(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(whole, tmp_path, "killed")
    path.write_bytes(b"")
    before = state(tmp_path)
    assert call("export", "--rescue", "--store", str(path)) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)["records"]) == NUMBER
    assert f"{NUMBER} records of {path} could be read, 0 could not" in err
    assert state(tmp_path) == before


def test_the_doctor_says_whether_a_store_is_sound(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(whole, tmp_path, "killed")
    assert call("doctor", "--store", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["checks"][0]["ok"] is True
    with Store(path, create=True) as store:
        store._db.execute("UPDATE cell SET record = replace(record, '\"torch\"', '7') WHERE seed = 3")
    assert call("doctor", "--store", str(path)) == 3
    assert "bench export --rescue" in " ".join(capsys.readouterr().out.split())
    assert call("export", "--rescue", "--store", str(path), "--out", str(tmp_path / "o.json")) == 3
    assert f"{NUMBER - 1} records of {path} could be read, 1 could not" in capsys.readouterr().err


# --- records that cannot be stored -------------------------------------------------------------------------------


def full(store: Store) -> None:
    """Let SQLite find the disk full, as it says of a store that may have no more pages."""
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")


@pytest.fixture
def begun(tmp_path: Path):  # type: ignore[no-untyped-def]
    with Store(tmp_path / "s.sqlite", create=True) as store:
        yield store, store.create_run("r", "quick", ENVIRONMENT, ["bench", "run"], OPTIONS)


def seeds(path: Path) -> list[int]:
    with Store(path) as store:
        return [record.seed for record in store.records("r")]


def test_records_that_a_full_disk_refuses_are_kept_beside_and_taken_in_later(
    begun: tuple[Store, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, run = begun
    keeper = Keeper(store, run)
    full(store)
    for seed in range(60):
        keeper.add(make_record(seed=seed), ENVIRONMENT)
    with pytest.raises(StoreError, match=r"not stored in .*full.*bench import .*--resume r"):
        keeper.close()
    kept = tmp_path / "s.sqlite.rescued.jsonl"
    stored = seeds(store.path)
    rescued = [json.loads(line)["records"][0]["seed"] for line in kept.read_text().splitlines()]
    assert sorted(stored + rescued) == list(range(60))
    assert rescued
    store._db.execute("PRAGMA max_page_count = 1000000")
    assert call("import", str(kept), "--store", str(store.path)) == 0
    assert sorted(seeds(store.path)) == list(range(60))


def test_what_was_kept_beside_is_stored_as_soon_as_there_is_room(begun: tuple[Store, Run], tmp_path: Path) -> None:
    store, run = begun
    keeper = Keeper(store, run)
    full(store)
    for seed in range(60):
        keeper.add(make_record(seed=seed), ENVIRONMENT)
    assert (tmp_path / "s.sqlite.rescued.jsonl").exists()
    store._db.execute("PRAGMA max_page_count = 1000000")
    keeper.add(make_record(seed=60), ENVIRONMENT)
    keeper.close()
    assert sorted(seeds(store.path)) == list(range(61))
    assert not (tmp_path / "s.sqlite.rescued.jsonl").exists()


def test_a_locked_store_is_waited_for_until_ctrl_c(
    begun: tuple[Store, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, run = begun
    monkeypatch.setattr("bench.records.store._SAID_AFTER", 0.0)
    caplog.set_level("INFO", "bench")
    interrupted = threading.Event()
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        keeper = Keeper(store, run, interrupted)
        waiting = threading.Timer(0.3, interrupted.set)
        waiting.start()
        keeper.add(make_record(), ENVIRONMENT)  # returns long before the lock goes
        assert interrupted.is_set()
        assert caplog.messages[0].startswith(f"another process holds {store.path}; waiting")
        assert (tmp_path / "s.sqlite.rescued.jsonl").exists()
        with pytest.raises(StoreError, match="locked"):
            keeper.close()
        other.execute("COMMIT")
    keeper.add(make_record(seed=1), ENVIRONMENT)
    keeper.close()
    assert sorted(seeds(store.path)) == [0, 1]


def test_a_store_that_is_held_too_long_is_said_to_be(begun: tuple[Store, Run]) -> None:
    store, _ = begun
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        def add() -> None:
            with Store(store.path, create=True) as second:
                second.wait_for(0.0)
                second.add("r", make_record(), ENVIRONMENT)

        with pytest.raises(StoreError, match="is locked by another process"):
            add()


def test_where_nothing_can_be_kept_the_record_is_named(
    begun: tuple[Store, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = begun
    full(store)
    monkeypatch.setattr("bench.records.keeper.append_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
    keeper = Keeper(store, run)

    def add() -> None:
        for seed in range(60):
            keeper.add(make_record(seed=seed), ENVIRONMENT)

    with pytest.raises(StoreError, match=r"imdb-rnn/lstm@torch.*No space.*bench run --resume r"):
        add()


def test_any_name_of_a_file_is_that_of_a_store(tmp_path: Path) -> None:
    path = tmp_path / "a?mode=ro#b%20 ü&c"
    with Store(path, create=True) as store:
        store.create_run("r", "quick", ENVIRONMENT, [], OPTIONS)
    with Store(path) as store:
        assert [run.name for run in store.runs()] == ["r"]
    assert os.listdir(tmp_path) == [path.name]


def test_half_a_character_in_a_record_ends_nothing(begun: tuple[Store, Run]) -> None:
    from msgspec import structs

    store, _ = begun
    store.add("r", structs.replace(make_record(), reason="bad \udc80", details={"x\ud800": "😀"}), ENVIRONMENT)
    (found,) = store.records()
    assert (found.reason, found.details) == ("bad ?", {"x?": "😀"})
