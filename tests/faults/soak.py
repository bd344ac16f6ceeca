"""Runs cells of the stub while faults fall on them, their workers, the parent and the store, and counts the cost."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from tabulate import tabulate

from bench.cases.cell import Cell
from bench.data.randomness import stream
from tests.faults.stub.stub import FAULTS, KEY, key, loss
from tests.runner.test_answers import ODD

ROOT = Path(__file__).resolve().parents[2]
SUITE = """
from bench.spec import *

DATA = Embedded(num_words=30, maxlen=4, train=24, validation=8, test=8)
SUITE = Suite("faults", document="none", title="Cases that misbehave", era=KERAS_3, cases=tuple(
    Case(f"case-{{place}}", data=DATA, layers=(Embedding(30, 2 + place), Flatten(), Dense(1, "sigmoid")),
         training=Training("adam", epochs={epochs}, batch_size=8)) for place in range({cases})
))
"""
EPOCHS, ROWS = 2, 2000
"""Of the quick profile, in which cells share processes."""
MARK = "FAULTS_MARK"
"""The variable by which processes of a soak are told, and no other's."""
MEMORY = 0.6
"""GB that a cell may take."""
END_SECONDS = 20.0
"""So long what a killed process leaves behind may take to end."""
TICK = 0.02
UNTOUCHED, GONE = "no fault", "deletes its folder"


@dataclass
class Tally:
    """What became of the cells that a fault fell on; `other` are statuses, messages or answers that are not its own."""

    tried: int = 0
    lost: int = 0
    twice: int = 0
    wrong: int = 0
    orphans: int = 0
    other: list[str] = field(default_factory=list)
    exits: set[int] = field(default_factory=set)


@dataclass
class Soak:
    """`cells` of the stub, of which `faults` misbehave once, and `outside` faults from outside, drawn by `seed`."""

    folder: Path
    cells: int
    faults: int
    outside: int
    seed: int
    timeout: float = 10
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    problems: list[str] = field(default_factory=list)
    """What must not be, and is no cell's own: processes that ended oddly, damage, files left behind."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.mark = uuid.uuid4().hex
        cases = math.isqrt(self.cells)
        seeds = -(-self.cells // (cases + 1))
        self.seeds = seeds
        variants = [("stub", place) for place in range(cases)] + [("stub-forking", 0)]
        self.keys: dict[str, Cell] = {}
        self.losses: dict[Cell, list[float]] = {}
        for backend, place in variants:
            for number in range(seeds):
                cell = Cell("faults", f"case-{place}", backend, "none", "cpu", "documented", number)
                orders = [stream("order", cell.case_name, number, epoch).permutation(ROWS) for epoch in range(1, 3)]
                keys = [key(backend, 2 + place, epoch, np.asarray(order)) for epoch, order in enumerate(orders, 1)]
                self.keys[keys[0]], self.losses[cell] = cell, [loss(each) for each in keys]
        self.plan = dict(zip(self.random.sample(list(self.keys), self.faults), self._kinds(), strict=False))
        self.fault_of = {self.keys[each]: kind for each, kind in self.plan.items()}
        self.done = self.folder / "done"
        self.events = [list(OUTSIDE)[place % len(OUTSIDE)] for place in range(self.outside)]
        self.random.shuffle(self.events)
        for name in ("done", "tmp", "home"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "plan.json").write_text(json.dumps(self.plan))
        (self.folder / "suite.py").write_text(SUITE.format(cases=cases, epochs=EPOCHS))
        self.store, self.begun = self.folder / "store.sqlite", self.folder / "begun"
        self.begun.touch()
        self.kept: dict[Cell, tuple[Any, ...]] = {}
        self.samples: list[tuple[int, int, int]] = []
        self.rounds = 0

    def _kinds(self) -> Iterator[str]:
        """Yield the kinds of faults of cells, each as often as any other; first those that are not bytes alone."""
        odd = [f"odd bytes: {kind}" for kind in ODD]
        while True:
            for kinds in (list(FAULTS), odd):
                self.random.shuffle(kinds)
                yield from kinds

    # --- one process after the other --------------------------------------------------------------------------

    def run(self) -> None:
        """Start and resume the run until every cell is done."""
        while len(self.kept) < len(self.losses):
            self.rounds += 1
            if self.rounds > 20 + 2 * self.outside:
                self.problems.append(f"not done after {self.rounds - 1} processes")
                break
            self._round()
        for each in os.listdir(self.done):
            self.tallies[self.plan[each]].tried += 1
        for cell in self.losses.keys() - self.kept.keys():
            self.tallies[self.fault_of.get(cell, UNTOUCHED)].lost += 1

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "faults" / "stub")))
        folders = {
            "TMPDIR": self.folder / "tmp",
            "XDG_CACHE_HOME": self.folder / "cache",
            "XDG_RUNTIME_DIR": self.folder,
            "FAULTS": self.folder,
        }
        return {**os.environ, "PYTHONPATH": path, MARK: self.mark, **{name: str(at) for name, at in folders.items()}}

    def command(self, verb: str, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "bench", verb, *words, "--store", str(self.store)]

    def start(self, resume: bool, output: Any) -> subprocess.Popen[bytes]:
        words = ["--suites", str(self.folder / "suite.py"), "--timeout", str(self.timeout), "--memory", str(MEMORY)]
        patterns = ["faults/*@stub", "faults/case-0@stub-forking", "--measure", "accuracy"]
        words += ["--resume", "soak"] if resume else ["--name", "soak", "--seeds", str(self.seeds), *patterns]
        return subprocess.Popen(
            self.command("run", *words), cwd=self.folder / "home", env=self.environment,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def _round(self) -> None:
        for name in ("tmp", "home"):  # which a fault may have deleted
            (self.folder / name).mkdir(exist_ok=True)
        before, output = self.begun.stat().st_size, self.folder / f"output-{self.rounds}"
        misbehaved = set(os.listdir(self.done))
        gap = (len(self.losses) - len(self.kept)) / (len(self.events) + 1)
        fired, struck, ending = [], set(), None
        due, samples = self.random.random() * gap, []

        def number() -> int:
            return (self.begun.stat().st_size - before) // (KEY + 1)

        with open(output, "wb") as file:
            self.process = self.start(self.store.exists() and bool(self._runs()), file)
            looked = 0.0
            while self.process.poll() is None:
                if self.events and (at := number()) >= due and ending is None:
                    time.sleep(self.random.random() * 0.05)
                    event = self.events[-1]
                    if OUTSIDE[event](self):
                        self.events.pop()
                        fired.append(event)
                        struck |= {*range(at - 1, number() + 1)}
                        ending = event if event in ENDING else None
                        due = at + self.random.random() * gap
                if time.monotonic() - looked > 0.25:
                    looked = time.monotonic()
                    with suppress(psutil.Error):
                        parent = psutil.Process(self.process.pid)
                        samples.append((number(), parent.num_fds(), parent.memory_info().rss))
                time.sleep(TICK)
        self.samples = max(self.samples, samples, key=lambda each: each[-1][0] if each else 0)
        begun = self.begun.read_bytes()[before:].decode().split()
        misbehaved = set(os.listdir(self.done)) - misbehaved
        struck |= {place + 1 for place, each in enumerate(begun) if self.plan.get(each, "").startswith("says")}
        undisturbed = misbehaved - {begun[place] for place in struck if 0 <= place < len(begun)}
        self._check(begun, misbehaved, undisturbed, fired, ending, output)

    def _runs(self) -> list[Any]:
        with suppress(sqlite3.Error), closing(sqlite3.connect(self.store, timeout=60)) as db:
            return db.execute("SELECT name FROM run").fetchall()
        return []

    # --- what came of it --------------------------------------------------------------------------------------

    def _check(
        self, begun: list[str], misbehaved: set[str], undisturbed: set[str], fired: list[str], ending: str | None,
        output: Path,
    ) -> None:  # fmt: skip
        code, told = self.process.returncode, output.read_bytes().decode(errors="replace")
        cause = ending or UNTOUCHED
        for event in fired:
            self.tallies[event].tried += 1
        for kind in [ending] if ending else [*fired, *(self.plan[each] for each in misbehaved)]:
            if code != 2 or kind in (ending, GONE):
                self.tallies[kind].exits.add(code)
        wanted = {-signal.SIGKILL, 130, 0, 3} if ending else {0, 3}
        if any(self.plan[each] == GONE for each in misbehaved):
            wanted.add(2)  # where its summary looks for the documentation
        if code not in wanted or "Traceback" in told:
            self.problems.append(f"process {self.rounds} ended with {code}: {told[-600:]}")
        if set(told) & CONTROLS:
            self.problems.append(f"process {self.rounds} printed {sorted(set(told) & CONTROLS)}")
        self._orphans(cause)
        rows = self._rows()
        for cell, row in self.kept.items():
            kind = ending or self.fault_of.get(cell, UNTOUCHED)
            self.tallies[kind].lost += rows.get(cell) != row
        for each in begun:
            cell = self.keys[each]
            # A result that was never kept is no second one: what else a worker said is not, once that spoke nonsense.
            again = cell in self.kept or told.count(f" {cell.case_name}@{cell.backend}#{cell.seed}  50.00 %") > 1
            self.tallies[ending or self.plan.get(each, UNTOUCHED)].twice += again
        statuses = {cell: row[0] for cell, row in rows.items()}
        for cell, (status, losses, *_) in rows.items():
            if status == "ok" and losses != self.losses[cell]:
                self.tallies[self.fault_of.get(cell, UNTOUCHED)].wrong += 1
        for each in undisturbed if not ending else ():
            self._told(self.keys[each], statuses.get(self.keys[each]), told)
        self.kept = {cell: row for cell, row in rows.items() if row[0] == "ok"}
        left = [*os.listdir(self.folder / "tmp")] if (self.folder / "tmp").exists() else []
        left += [path.name for path in self.folder.glob("*.lock") if code != -signal.SIGKILL]
        if left:
            self.problems.append(f"process {self.rounds} left {left}")

    def _told(self, cell: Cell, status: str | None, told: str) -> None:
        """Note where a cell that misbehaved does not have its status, or no line names both."""
        kind = self.fault_of[cell]
        wanted = "failed" if kind.startswith("odd bytes") else FAULTS[kind][1]
        wanted = "timeout" if status == "timeout" else wanted  # on a machine that is slow enough
        lines = [line for line in told.splitlines() if f"{cell.case_name}@{cell.backend}" in line]
        if status != wanted or not (wanted == "ok" or any(f"{wanted}: " in line for line in lines)):
            self.tallies[kind].other.append(f"{cell} is {status}, not {wanted}, or no line says so")

    def _rows(self) -> dict[Cell, tuple[Any, ...]]:
        """Return status, losses and all that is stored of every cell, read without the code that wrote it."""
        if not self.store.exists():
            return {}
        found = {}
        with closing(sqlite3.connect(self.store, timeout=60)) as db:
            damage = db.execute("PRAGMA integrity_check").fetchall()
            if damage != [("ok",)]:
                self.problems.append(f"after process {self.rounds} the store is damaged: {damage}")
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'cell'").fetchall():
                return {}
            samples: dict[int, dict[str, str]] = defaultdict(dict)
            for cell, name, values in db.execute('SELECT cell, name, "values" FROM sample'):
                samples[cell][name] = values
            db.row_factory = sqlite3.Row
            for row in db.execute("SELECT * FROM cell"):
                parts = (row[name] for name in ("suite", "case", "backend", "kernel", "device", "numerics", "seed"))
                curve = json.loads(samples[row["id"]].get("metrics.epochs", "[]"))
                content = (row["status"], [epoch["loss"] for epoch in curve], *row, samples[row["id"]])
                found[Cell(*parts)] = content
        return found

    def _orphans(self, cause: str) -> None:
        """Count processes that outlived the run, by the fault that started them, and end them."""
        end = time.monotonic() + END_SECONDS
        while (left := list(self.processes())) and time.monotonic() < end:
            time.sleep(0.05)
        for process, environment in left:
            self.tallies[environment.get("FAULT", cause)].orphans += 1
            self.problems.append(f"process {self.rounds} ({cause}) left {process}")
            with suppress(psutil.Error):
                process.kill()

    def processes(self) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
        """Yield the processes of this soak that run, with their environments."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                environment = process.environ()
                if environment.get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    yield process, environment

    def flat(self) -> dict[str, float]:
        """Return how descriptors and memory of the longest process developed from its first third to its last."""
        cells = self.samples[-1][0]
        # Neither what is imported first, nor the summary at the end.
        during = [each for each in self.samples if 0 < each[0] < cells] or self.samples
        third = max(1, len(during) // 3)
        first, last = ([median(each) for each in zip(*part, strict=True)] for part in (during[:third], during[-third:]))
        return {
            "cells": cells,
            "descriptors": last[1] - first[1],
            "megabytes": max(each[2] for each in during) / 1e6,
            "grown": (last[2] - first[2]) / 1e6,
        }

    def table(self) -> str:
        """Return the counts as Markdown."""
        merged: dict[str, Tally] = defaultdict(Tally)
        for kind, tally in self.tallies.items():
            one = merged[f"odd bytes ({len(ODD)} kinds)" if kind.startswith("odd bytes") else kind]
            for name in ("tried", "lost", "twice", "wrong", "orphans"):
                setattr(one, name, getattr(one, name) + getattr(tally, name))
            one.exits |= tally.exits
        rows = [(kind, *counts(merged[kind]), exits(merged[kind])) for kind in sorted(merged)]
        everything = [sum(row[place] for row in rows) for place in range(1, 6)]
        header = ["fault", "tried", "lost", "twice", "wrong", "orphans", "exit code"]
        return tabulate([*rows, ("**all**", *everything, "")], header, "pipe")


def counts(tally: Tally) -> tuple[int, ...]:
    return tally.tried, tally.lost, tally.twice, tally.wrong, tally.orphans


def exits(tally: Tally) -> str:
    return ", ".join(signal.Signals(-code).name if code < 0 else str(code) for code in sorted(tally.exits))


CONTROLS = {chr(number) for number in (*range(32), *range(127, 160), 0x202E)} - {"\n"}
"""What may do something to a terminal."""


# --- from outside ------------------------------------------------------------------------------------------------


def family(soak: Soak) -> tuple[psutil.Process, psutil.Process] | None:
    """Return the guardian and the worker of the running cell; None between two."""
    with suppress(psutil.Error):
        for guardian in psutil.Process(soak.process.pid).children():
            for worker in guardian.children():
                if "bench.runner.worker" in worker.cmdline():
                    return guardian, worker
    return None


def to_parent(number: signal.Signals) -> Callable[[Soak], bool]:
    def fault(soak: Soak) -> bool:
        soak.process.send_signal(number)
        return True

    return fault


def to_worker(number: signal.Signals) -> Callable[[Soak], bool]:
    def fault(soak: Soak) -> bool:
        found = family(soak)
        with suppress(psutil.Error):
            if found:
                found[1].send_signal(number)
                return True
        return False

    return fault


def kill_guardian(soak: Soak) -> bool:
    """Kill a guardian whose worker has started nothing: what that has, nobody else could end."""
    found = family(soak)
    with suppress(psutil.Error):
        if found and not found[1].children(recursive=True) and len(found[0].children()) == 1:
            found[0].kill()
            return True
    return False


def stopped(whom: Callable[[signal.Signals], Callable[[Soak], bool]]) -> Callable[[Soak], bool]:
    def fault(soak: Soak) -> bool:
        if not whom(signal.SIGSTOP)(soak):
            return False
        time.sleep(soak.random.random())
        return whom(signal.SIGCONT)(soak) or True

    return fault


def lock(soak: Soak) -> bool:
    if not soak.kept and not soak.store.exists():
        return False
    with closing(sqlite3.connect(soak.store, isolation_level=None, timeout=60)) as db:
        db.execute("BEGIN IMMEDIATE")
        time.sleep(2.5)
        db.execute("ROLLBACK")
    return True


def beside(name: str, wanted: set[int], *words: str) -> Callable[[Soak], bool]:
    """Return what runs another command on the store, which ends with one of the codes."""

    def fault(soak: Soak) -> bool:
        if not soak._runs():
            return False
        out = soak.folder / "out"
        known = {"SUITES": str(soak.folder / "suite.py"), "OUT": str(out), "OUT.d": f"{out}.d"}
        command = soak.command(*(known.get(word, word) for word in words))
        ended = subprocess.run(
            command, cwd=soak.folder, env=soak.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        running = soak.process.poll() is None
        if ended.returncode not in wanted and (running or ended.returncode not in (0, 3)):
            soak.tallies[name].other.append(f"{words} ended with {ended.returncode}: {ended.stdout[-300:]}")
        if words[0] == "export" and ended.returncode == 0:
            for record in json.loads(out.read_text())["records"]:
                cell = Cell(*(record[part] for part in Cell.__dataclass_fields__))
                told = [epoch["loss"] for epoch in (record["metrics"] or {"epochs": []})["epochs"]]
                soak.tallies[name].wrong += record["status"] == "ok" and told != soak.losses[cell]
        return True

    return fault


ENDING: dict[str, Callable[[Soak], bool]] = {
    f"{number.name} of the parent": to_parent(number) for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
}
OUTSIDE = {
    **ENDING,
    **{f"{number.name} of the worker": to_worker(number) for number in (
        signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGABRT)},
    "SIGKILL of the guardian": kill_guardian,
    "the parent stopped for a while": stopped(to_parent),
    "the worker stopped for a while": stopped(to_worker),
    "the store locked for 2.5 s": lock,
    "another run of that name": beside("another run of that name", {2}, "run", "faults/case-0@stub", "--name", "soak",
                                       "--suites", "SUITES"),
    "resumed a second time": beside("resumed a second time", {2}, "run", "--resume", "soak", "--suites", "SUITES"),
    "exported while it runs": beside("exported while it runs", {0}, "export", "soak", "--out", "OUT"),
    "reported while it runs": beside("reported while it runs", {0}, "report", "soak", "--out", "OUT.d", "--suites",
                                     "SUITES"),
}  # fmt: skip
"""Faults from outside; those of `ENDING` end the parent."""
