"""`python -m tests.faults.disk FOLDER STORES`: every verb meets every damage on small disks, mounted at FOLDER.

It needs a mount namespace of its own (`unshare -rm`), and prints (damage, verb, exit code, messages, records lost) as
JSON. STORES holds a store that was closed, and one that a killed process left with all its records in the WAL.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

from bench.cli import main

ROOT = Path(__file__).resolve().parents[2]
EXPORTED = ROOT / "tests" / "commands" / "version_1.json"
SUITE = ROOT / "suites" / "imdb_rnn.py"


def mounted(folder: Path, stores: Path, options: str, name: str) -> Path:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    for file in stores.glob(f"{name}*"):
        shutil.copy(file, folder / file.name.replace(name, "store"))
    return folder / "store"


def full(folder: Path, stores: Path) -> None:
    mounted(folder, stores, "size=2m", "killed")
    with suppress(OSError), open(folder / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


def no_inode(folder: Path, stores: Path) -> None:
    mounted(folder, stores, "size=16m,nr_inodes=40", "killed")
    with suppress(OSError):
        for number in range(40):
            (folder / f"filler-{number}").touch()


def read_only(folder: Path, stores: Path) -> None:
    mounted(folder, stores, "size=16m", "killed")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


def changed(change: Callable[[Path], object], name: str = "closed") -> Callable[[Path, Path], None]:
    return lambda folder, stores: (change(mounted(folder, stores, "size=16m", name)), None)[1]


def foreign(store: Path) -> None:
    store.unlink()
    with closing(sqlite3.connect(store)) as database:
        database.execute("CREATE TABLE theirs (x)")
        database.commit()


DAMAGES: dict[str, Callable[[Path, Path], None]] = {
    "a full disk": full,
    "no inode left": no_inode,
    "a read-only disk": read_only,
    "cut in half": changed(lambda store: os.truncate(store, store.stat().st_size // 2)),
    "empty": changed(lambda store: os.truncate(store, 0)),
    "empty beside its WAL": changed(lambda store: os.truncate(store, 0), "killed"),
    "a WAL without its shared memory": changed(lambda store: Path(f"{store}-shm").unlink(missing_ok=True), "killed"),
    "another program's": changed(foreign),
}
DISKS = ("a full disk", "no inode left", "a read-only disk")
STORED = ("run", "report", "explain", "ab", "history", "compare", "export", "import", "doctor")
"""Verbs that a store is named to; the others meet a disk alone."""
WITHOUT = {"parity", "port", "worker"}
"""Verbs that take no store: two start frameworks before they write their pages as all others do, one writes nothing."""
VERBS: dict[str, list[str]] = {
    "run": ["run", "imdb-rnn/lstm@torch", "--dry-run"],
    "run --resume": ["run", "--resume", "r", "--dry-run"],
    "run, store": ["run", "faults/case-0@stub", "--name", "new", "--suites", "SUITES"],
    "report": ["report", "--out", "FOLDER/report"],
    "report --format html": ["report", "--format", "html", "--out", "FOLDER/page.html"],
    "explain": ["explain", "imdb-rnn/lstm", "--resume", "none"],
    "ab": ["ab", "--resume", "r"],
    "history": ["history", "--out", "FOLDER/history.svg"],
    "compare": ["compare", "r", str(EXPORTED), "--out", "FOLDER/comparison"],
    "export": ["export"],
    "export, file": ["export", "--out", "FOLDER/out.json"],
    "export --format csv": ["export", "--format", "csv", "--out", "FOLDER/out.csv"],
    "export --rescue": ["export", "--rescue", "--out", "FOLDER/rescued.json"],
    "export, /dev/full": ["export", "--out", "/dev/full"],
    "import": ["import", str(EXPORTED)],
    "doctor": ["doctor"],
    "list": ["list", "--json"],
    "new": ["new", "suite", "mine"],
    "data": ["data", "list"],
}


def told(words: list[str]) -> tuple[object, str]:
    """Return exit code and messages of a command, run in this process."""
    code: object = None
    with redirect_stdout(TextIOWrapper(BytesIO())), redirect_stderr(StringIO()) as errors:
        try:
            main(words)
        except SystemExit as ended:
            code = ended.code
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
    return code, errors.getvalue()


def records(folder: Path) -> set[str]:
    """Return the records of the store in a folder, read from a copy of it."""
    with tempfile.TemporaryDirectory(dir=os.environ["ELSEWHERE"]) as copy:
        for file in folder.glob("store*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, copy)
        with suppress(sqlite3.Error), closing(sqlite3.connect(Path(copy, "store"))) as database:
            return {row for (row,) in database.execute("SELECT record FROM cell")}
    return set()


def results(folder: Path, stores: Path) -> Iterator[tuple[str, str, object, str, int]]:
    for damage, does in DAMAGES.items():
        does(folder, stores)
        try:
            os.chdir(folder)
            tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
            before = records(folder)
            assert before or damage not in DISKS, "what a disk holds is read"
            for verb, words in VERBS.items():
                if words[0] not in STORED and damage not in DISKS:
                    continue
                known = {"SUITES": os.environ["SUITES"]}
                words = [known.get(word, word).replace("FOLDER", str(folder)) for word in words]
                words += ["--store", "store"] if words[0] in STORED else []
                code, messages = told(words)
                yield damage, verb, code, messages, len(before - records(folder))
        finally:
            os.chdir("/")
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


if __name__ == "__main__":
    print(json.dumps([*results(Path(sys.argv[1]), Path(sys.argv[2]))]))
