"""A Dask scheduler and workers on loopback, as processes, with the fake backend: for the tests, and a count by hand.

`python -m tests.runner.dask_cluster KILLS WORKERS SEED` kills that many workers in mid-cell and prints what became of
the cells.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from bench.records.store import Store
from tests.conftest import HERE, Bench, make_bench

FAKE = str(HERE / "fake_bench.py")
PATIENCE = 240.0


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition; fail where it does not come about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class Elsewhere:
    """A network of its own, joined to this machine's by a cable that can be cut: a context manager; needs Linux's root.

    `here` is this machine's address at the cable; `within` are the words before a command that let it run there.
    """

    def __init__(self) -> None:
        number = os.getpid() % 2**14  # of a network for benchmarks, 198.18.0.0/15 (RFC 2544), four addresses each
        self._name, self._end = f"bench-{number}", f"bench-{number}-a"
        first = (198 << 24) + (18 << 16) + 4 * number
        self.here, self._there = (".".join(map(str, (first + place).to_bytes(4))) for place in (1, 2))
        self.within = ("ip", "netns", "exec", self._name)

    def __enter__(self) -> Self:
        far = f"{self._name}-b"
        _ip("netns", "add", self._name)
        try:
            _ip("link", "add", self._end, "type", "veth", "peer", "name", far, "netns", self._name)
            _ip("address", "add", f"{self.here}/30", "dev", self._end)
            _ip("-n", self._name, "address", "add", f"{self._there}/30", "dev", far)
            for link in ("lo", far):
                _ip("-n", self._name, "link", "set", link, "up")
            self.mend()
        except BaseException:
            self.__exit__()
            raise
        return self

    def cut(self) -> None:
        """Let nothing through: neither end is told."""
        _ip("link", "set", self._end, "down")

    def mend(self) -> None:
        """Let everything through."""
        _ip("link", "set", self._end, "up")

    def __exit__(self, *_: object) -> None:
        _ip("netns", "delete", self._name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Cluster:
    """A scheduler, and the workers that are started; a context manager that leaves none of them."""

    def __init__(self, bench: Bench, host: str = "127.0.0.1") -> None:
        self.bench = bench
        self.workers: list[subprocess.Popen[bytes]] = []
        self._log = (bench.folder / "cluster.log").open("ab")
        file = bench.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        words = ["--host", host, "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        self.scheduler = self._start(sys.executable, "-m", "distributed.cli.dask_scheduler", *words)
        until(lambda: file.exists() and bool(file.read_text()), "the scheduler starts")
        self.address: str = json.loads(file.read_text())["address"]

    def _start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        where = {**self.bench.environment, **environment}
        return subprocess.Popen(words, cwd=self.bench.folder, env=where, stdout=self._log, stderr=self._log)

    def worker(self, *options: str, within: Sequence[str] = (), **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker by `bench worker`, whose command stands behind `within`."""
        words = (*within, sys.executable, FAKE, "worker", self.address, *options)
        self.workers.append(self._start(*words, **environment))
        return self.workers[-1]

    def ready(self, number: int) -> None:
        """Wait until so many workers have registered."""
        log = self.bench.folder / "cluster.log"
        until(lambda: len(re.findall(r"Register worker", log.read_text())) >= number, "the workers register")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        self._log.close()


@dataclass(frozen=True)
class Killed:
    """What became of cells whose workers were killed: `again` were run once more, `orphans` are processes left."""

    kills: int
    cells: int
    again: int
    statuses: dict[str, int]
    lost: int
    twice: int
    orphans: int


def kill_workers(bench: Bench, kills: int, workers: int, seed: int) -> Killed:
    """Run cells and SIGKILL a worker at work `kills` times: `seed` draws which and when, a new one takes its place.

    Between two kills as many cells begin as there are workers. A cell that is lost a third time is given up: `failed`.
    """
    chance, cells, orphans = random.Random(seed), (workers + 2) * kills, 0
    with Cluster(bench) as cluster:
        for _ in range(workers):
            cluster.worker()
        cluster.ready(workers)
        run = bench.start("fake/slow-0@fake", "--seeds", str(cells), "--name", "r", "--scheduler", cluster.address)
        killed = begun = 0

        def at_work() -> list[tuple[subprocess.Popen[bytes], list[psutil.Process]]]:
            """Return the workers that guard a cell, with all its processes."""
            assert run.poll() is None, run.communicate()[0]
            families = [(each, children(each.pid)) for each in cluster.workers if each.poll() is None]
            return [(each, family) for each, family in families if family]

        while killed < kills:
            until(lambda least=begun: len(bench.trainings()) >= least and bool(at_work()), "cells are at work")
            time.sleep(chance.uniform(0, 1))
            if not (candidates := at_work()):
                continue
            worker, family = chance.choice(candidates)
            worker.kill()
            worker.wait()
            killed, begun = killed + 1, len(bench.trainings()) + workers
            _, alive = psutil.wait_procs(family, timeout=PATIENCE / 4)
            orphans += len(alive)
            cluster.worker()
        output, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode in (0, 3), output
    with Store(bench.store) as store:
        records = list(store.records("r"))
    stored = Counter((record.cell, record.repeat) for record in records)
    shown = Counter(re.findall(r"\] (fake/slow-0\S*) ", output))
    twice = sum(count - 1 for count in (*stored.values(), *shown.values()))
    statuses = dict(Counter(record.status for record in records))
    again = output.count("starts again elsewhere")
    return Killed(killed, cells, again, statuses, cells - len(stored), twice, orphans)


def children(process: int) -> list[psutil.Process]:
    """Return all descendants of a process, none where it is gone."""
    try:
        return psutil.Process(process).children(recursive=True)
    except psutil.Error:
        return []


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(kill_workers(make_bench(Path(place)), *map(int, sys.argv[1:4])))
