"""Cells on a Dask cluster, whose scheduler and workers are processes here: what ends there is what ends here."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, replace
from inspect import isawaitable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import psutil
import pytest

from bench.cases.cell import Cell
from bench.errors import CodeChanged, UsageError
from bench.machine.processes import code
from bench.records.record import DataUsed, Record, plain
from bench.records.store import Store
from bench.runner.capabilities import Examined
from bench.runner.options import RunOptions
from bench.runner.placement import Errand, Node
from bench.runner.plan import PlannedCell
from bench.runner.protocol import PROTOCOL
from tests.conftest import ROOT, Bench
from tests.runner.dask_cluster import PATIENCE, Cluster, Elsewhere, kill_workers, until

pytest.importorskip("distributed", reason="cells on several machines; pip install 'twinbench[dask]'")

from distributed.client import ClosedClientError

from bench.runner import cluster
from bench.runner.node import RUNS_ON, Answer, Greeting, Task


def records_of(bench: Bench, run: str) -> dict[str, Record]:
    with Store(bench.store) as store:
        return {str(record.cell): record for record in store.records(run)}


def test_cells_end_on_a_cluster_as_they_do_here_and_workers_that_do_not_fit_are_refused_by_name(
    fake_bench: Bench,
) -> None:
    patterns = [*(f"fake/{case}@fake#0" for case in ("fine", "raises", "diverges")), "fake/own-file@fake"]
    patterns += ["fake/gpu@fake,*,cuda#0"]
    other = fake_bench.folder / "other"
    other.mkdir()
    (other / "reviews.csv").write_text((fake_bench.folder / "reviews.csv").read_text().replace("good", "fair"))
    with Cluster(fake_bench) as dask:
        dask.worker()
        dask.worker(BENCH_DATA_DIR=str(other))
        stranger = dask.worker(FAKE_CODE="0123456789abcdef")
        dask.ready(3)
        there = fake_bench(*patterns, "--seeds", "2", "--name", "there", "--scheduler", dask.address)
        assert there.returncode == 3, there.stderr
        refused = re.findall(r"worker (\S+) .*takes no cells: .*code 01234567", there.stderr)
        assert len(refused) == 1
        assert stranger.poll() is None, "it may be another run's"
        assert "CRITICAL" not in (fake_bench.folder / "cluster.log").read_text(), "nothing is wrong"
        planned = fake_bench("fake/gpu@fake,*,cuda#0", "--dry-run", "--json", "--scheduler", dask.address)
        assert "label gpu=1" in json.loads(planned.stdout)["cells"][0]["unavailable"]
        looked = fake_bench.verb("doctor", "--scheduler", dask.address, "--json")
        assert looked.returncode == 3, looked.stderr
        workers = json.loads(looked.stdout)["workers"]
        assert sorted(worker["labels"] for worker in workers) == [[], ["cpu"], ["cpu"]]
        assert [worker["address"] for worker in workers if worker["reason"]] == refused
        assert all(
            each["devices"] == {"cpu": None}
            for worker in workers
            for each in worker["examined"]
            if each["backend"] == "fake"
        )
    assert fake_bench(*patterns, "--seeds", "2", "--name", "here").returncode == 3
    here, there_records = records_of(fake_bench, "here"), records_of(fake_bench, "there")
    assert here.keys() == there_records.keys()
    for cell, record in here.items():
        found = there_records[cell]
        assert (found.status, found.parameters) == (record.status, record.parameters), cell
        if record.status != "unavailable":
            assert found.reason == record.reason
        if record.metrics:
            assert found.metrics is not None
            assert [epoch.loss for epoch in found.metrics.epochs] == [epoch.loss for epoch in record.metrics.epochs]
            assert found.metrics.last == record.metrics.last
    used = {record.data.sha256 for cell, record in there_records.items() if "own-file" in cell and record.data}
    assert len(used) == 1, "a worker with other data measures nothing"
    assert "label gpu=1" in str(there_records["fake/gpu@fake,none,cuda,documented#0"].reason)


def test_workers_killed_in_mid_cell_lose_nothing_and_leave_nothing_behind(fake_bench: Bench) -> None:
    found = kill_workers(fake_bench, kills=2, workers=2, seed=0)
    assert (found.lost, found.twice, found.orphans) == (0, 0, 0)
    assert found.statuses == {"ok": found.cells}
    assert 0 < found.again <= found.kills


@pytest.mark.slow
def test_a_worker_whose_network_is_gone_loses_its_cell_to_another_one_and_ends_what_it_ran(
    fake_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fake_bench.environment, "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP", "12s")  # by default 30
    with ExitStack() as held:
        try:
            cable = held.enter_context(Elsewhere())
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"needs a network namespace: {getattr(error, 'stderr', None) or error}")
        dask = held.enter_context(Cluster(fake_bench, cable.here))
        far = dask.worker(within=cable.within, FAKE_HELD="30")
        dask.ready(1)
        run = fake_bench.start("fake/slow-0@fake", "--name", "r", "--scheduler", dask.address)
        until(lambda: len(fake_bench.trainings()) == 1, "a cell begins")
        (training,) = fake_bench.trainings()
        dask.worker()
        dask.ready(2)
        cable.cut()
        time.sleep(3)
        cable.mend()
        time.sleep(13)
        assert psutil.pid_exists(training.process), "what is soon mended ends nothing"
        assert len(fake_bench.trainings()) == 1
        cable.cut()
        output, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, output
        assert "starts again elsewhere" in output
        until(lambda: not psutil.pid_exists(training.process), "the cell that was cut off ends")
        assert far.wait(PATIENCE) is not None
    assert fake_bench.statuses("r") == {"slow-0": "ok"}
    assert len(fake_bench.trainings()) == 2


def test_a_cell_ends_with_its_run_or_its_scheduler_and_the_run_is_gone_on_with(fake_bench: Bench) -> None:
    def at_work(number: int) -> int:
        """Return the process of the last training, which is to be the one of that number."""
        until(lambda: len(fake_bench.trainings()) == number, "a cell begins")
        return fake_bench.trainings()[-1].process

    with Cluster(fake_bench) as dask:
        dask.worker(FAKE_HELD="30")
        dask.ready(1)
        run = fake_bench.start("fake/slow-0@fake", "--name", "killed", "--scheduler", dask.address)
        cell = at_work(1)
        run.kill()
        run.communicate()
        until(lambda: not psutil.pid_exists(cell), "what a killed run left ends on its worker")
        run = fake_bench.start("fake/fine@fake", "fake/slow-0@fake", "--name", "r", "--scheduler", dask.address)
        cell = at_work(3)
        dask.scheduler.kill()
        output, _ = run.communicate()
        assert run.returncode == 130, output
        assert dask.address in output
        assert fake_bench.statuses("r") == {"fine": "ok", "slow-0": "interrupted"}
        until(lambda: not psutil.pid_exists(cell), "what a worker without scheduler ran ends")
    assert fake_bench("--resume", "r", "--cluster", "local:1").returncode == 0
    assert fake_bench.statuses("r") == {"fine": "ok", "slow-0": "ok"}
    assert len(fake_bench.trainings()) == 4, "none twice but what was cut short"


# --- a run's decisions, with workers that answer as a test says ---------------------------------------------------


def node(name: str) -> Node:
    return Node(name, name, f"host of {name}", frozenset({"cpu"}), {"cpu": name}, {})


class Scripted:
    """Stands in for a `Pool`: `answer` gives the events that follow a cell sent to a worker; `sent` are all of them."""

    address, options = "tcp://nowhere:1", RunOptions(profile="documented", measure="accuracy")

    def __init__(self, names: str, answer: Callable[[Scripted, str, Node, Cell], Iterable[Any]]) -> None:
        self.nodes = {name: node(name) for name in names}
        self.refused: dict[str, str] = {}
        self.sent: list[tuple[str, str]] = []
        self._answer, self._events = answer, list[Any]()

    def environment(self) -> dict[str, Any]:
        return {"cpu": "any"}

    def submit(self, number: int, there: Node, errand: Errand, hashes: dict[str, str]) -> tuple[str, cluster._Flight]:
        self.cells = [planned.cell for planned in errand.cells]
        key = f"{number}"
        self.sent.append((there.name, " ".join(cell.case for cell in self.cells)))
        self._events += self._answer(self, key, there, self.cells[0])
        return key, cluster._Flight(there, errand, SimpleNamespace(cancel=lambda: None), "", time.monotonic())

    def event(self) -> Any:
        return self._events.pop(0)

    def gone(self, address: str) -> None:
        self.nodes.pop(address, None)


LACKING = {"status": "unavailable", "reason": "no data", "details": {"obstacle": "case"}}


def content(cell: Cell, **known: Any) -> dict[str, Any]:
    known = {"status": "ok", "started": "2026-01-01T00:00:00+00:00", "seconds": 1.0, **known}
    return plain(Record(**asdict(cell), profile="documented", measure="accuracy", **known))


def answered(cell: Cell, **known: Any) -> bytes:
    return msgspec.msgpack.encode(Answer(records=[content(cell, **known)]))


def run_on(pool: Any, *cases: str, interrupted: threading.Event | None = None) -> list[tuple[Record, str]]:
    """Return the records of a run of these cases (`case`, `case@backend`), and the worker each was measured on."""
    names = [case.partition("@") for case in cases]
    cells = [Cell("s", case, backend or "torch", "none", "cpu", "documented", 0) for case, _, backend in names]
    planned = [PlannedCell(cell, 0, frozenset(), None, 1.0) for cell in cells]
    observer = SimpleNamespace(started=lambda planned: None, epoch=lambda *_: None)
    running = cluster._Running(pool, planned, None, observer, interrupted or threading.Event(), {})
    return [(record, environment["cpu"]) for record, environment in running.records()]


def test_a_late_answer_of_a_lost_worker_is_passed_over_and_its_cell_is_measured_once() -> None:
    def answer(pool: Scripted, key: str, there: Node, cell: Cell) -> Iterable[Any]:
        if there.name == "a":
            return [cluster._Left("a"), cluster._Ended(key, answered(cell, reason="late"))]
        return [cluster._Ended(key, answered(cell))]

    pool = Scripted("ab", answer)
    assert [(record.case, record.reason, where) for record, where in run_on(pool, "x")] == [("x", None, "b")]
    assert pool.sent == [("a", "x"), ("b", "x")]


@pytest.mark.parametrize(("hosts", "beside"), [(("one", "one"), 1), (("one", "other"), None)])
def test_a_record_says_what_worked_beside_it_on_its_machine(hosts: tuple[str, str], beside: int | None) -> None:
    held: list[Any] = []

    def answer(pool: Scripted, key: str, there: Node, cell: Cell) -> Iterable[Any]:
        held.append(cluster._Ended(key, answered(cell)))
        return held if len(held) == 2 else ()  # both are on their way before one ends

    pool = Scripted("ab", answer)
    pool.nodes = {
        name: replace(there, host=host) for (name, there), host in zip(pool.nodes.items(), hosts, strict=True)
    }
    assert [record.neighbours for record, _ in run_on(pool, "x", "y")] == [beside, beside]


def test_a_cell_whose_workers_are_lost_is_run_again_twice_and_then_failed_with_the_last_reason() -> None:
    def answer(pool: Scripted, key: str, there: Node, cell: Cell) -> Iterable[Any]:
        if cell.case == "x":
            return [cluster._Ended(key, msgspec.msgpack.encode(Answer(error="disk full")))]
        return [cluster._Ended(key, answered(cell))]

    pool = Scripted("ab", answer)
    found = {record.case: record for record, _ in run_on(pool, "x", "y")}
    assert [case for _, case in pool.sent].count("x") == 3
    assert {name for name, case in pool.sent if case == "x"} == {"a", "b"}, "elsewhere first"
    assert found["x"].status == "failed"
    assert "disk full" in str(found["x"].reason)
    assert found["y"].status == "ok"


def test_what_a_worker_lacks_another_one_measures_and_what_all_lack_is_unavailable() -> None:
    def answer(pool: Scripted, key: str, there: Node, cell: Cell) -> Iterable[Any]:
        if cell.case == "x" or there.name == "a":
            return [cluster._Ended(key, answered(cell, **LACKING))]
        return [cluster._Ended(key, answered(cell))]

    pool = Scripted("ab", answer)
    found = {record.case: record.status for record, _ in run_on(pool, "y", "x")}
    assert found == {"x": "unavailable", "y": "ok"}
    assert len(pool.sent) == len(set(pool.sent)), "each asked once"


def test_what_waits_for_a_worker_that_is_lost_is_tried_where_it_was_before_and_the_run_ends() -> None:
    def answer(pool: Scripted, key: str, there: Node, cell: Cell) -> Iterable[Any]:
        if there.name == "b":
            return ()
        if cell.case == "x":
            return [cluster._Ended(key, answered(cell, **LACKING)), cluster._Left("b")]
        return [cluster._Ended(key, answered(cell))]

    found = {record.case: (record.status, where) for record, where in run_on(Scripted("ab", answer), "x", "y")}
    assert found == {"x": ("unavailable", "a"), "y": ("ok", "a")}


@pytest.mark.parametrize(
    ("options", "again"),
    [(RunOptions(profile="quick", measure="accuracy"), "x"), (RunOptions(profile="quick", measure="glance"), "x x")],
)
def test_of_cells_that_share_a_process_those_that_lack_something_go_elsewhere_and_a_case_that_is_timed_stays_whole(
    options: RunOptions, again: str
) -> None:
    def answer(pool: Scripted, key: str, there: Node, cell: Cell) -> Iterable[Any]:
        lacks = [there.name == "a" and (cell.case, cell.backend) == ("x", "torch") for cell in pool.cells]
        records = [content(cell, **(LACKING if each else {})) for cell, each in zip(pool.cells, lacks, strict=True)]
        return [cluster._Ended(key, msgspec.msgpack.encode(Answer(records=records)))]

    pool = Scripted("ab", answer)
    pool.options = options
    cases = ["w", "x", "x@keras"] if options.measure == "glance" else ["w", "x"]
    found = run_on(pool, *cases)
    assert len(found) == len(cases)
    assert {record.status for record, _ in found} == {"ok"}
    assert {where for record, where in found if record.case == "x"} == {"b"}
    assert {where for record, where in found if record.case == "w"} == {"a"}
    assert [cases for name, cases in pool.sent if name == "b"] == [again]


def test_data_that_differ_from_those_of_the_first_record_are_refused() -> None:
    def answer(pool: Scripted, key: str, there: Node, cell: Cell) -> Iterable[Any]:
        data = DataUsed(name="rows", sha256=("1" if there.name == "a" else "2") * 64, rows={"train": 1})
        return [cluster._Ended(key, answered(cell, data=data))]

    both = Scripted("ab", answer)
    found = [(record.status, where) for record, where in run_on(both, "x", "x2")]
    assert found == [("ok", "a"), ("ok", "b")], "of two cases each may have its own"
    pool = Scripted("b", answer)
    running = cluster._Running(
        pool,  # type: ignore[arg-type]
        [PlannedCell(Cell("s", "x", "torch", "none", "cpu", "documented", 0), 0, frozenset(), None, 1.0)],
        None,
        SimpleNamespace(started=lambda planned: None, epoch=lambda *_: None),
        threading.Event(),
        {"s/x": "1" * 64},
    )
    ((record, _),) = running.records()
    assert (record.status, record.metrics) == ("unavailable", None)
    assert "11111111" in str(record.reason)
    assert "22222222" in str(record.reason)


def test_code_that_changes_on_a_worker_ends_the_run() -> None:
    def answer(pool: Scripted, key: str, there: Node, cell: Cell) -> Iterable[Any]:
        return [cluster._Ended(key, msgspec.msgpack.encode(Answer(changed="other code")))]

    with pytest.raises(CodeChanged, match="other code"):
        run_on(Scripted("a", answer), "x")


@pytest.mark.parametrize("odd", [b"", b"\xc1", b"\x80", 7, RuntimeError("gone")])
def test_odd_answers_cost_a_cell_and_no_run(odd: Any) -> None:
    pool = Scripted("a", lambda pool, key, there, cell: [cluster._Ended(key, odd)])
    ((record, _),) = run_on(pool, "x")
    assert record.status == "failed"


# --- the pool itself, with a client that answers as a test says ---------------------------------------------------


class Client:
    """Stands in for a Dask client that is in the same thread: `run` asks `answer` for what a worker returns."""

    status = "running"

    def __init__(self, names: str, answer: Callable[[Client, Any, str], Any]) -> None:
        self.names, self.loop = names, self
        self.asked: list[tuple[str, str]] = []
        self._answer = answer

    def subscribe_topic(self, topic: str, handler: Callable[[Any], None]) -> None:
        self._handler = handler

    def unsubscribe_topic(self, topic: str) -> None:
        del self._handler

    def heard(self, action: str, worker: str) -> None:
        self._handler((0.0, {"action": action, "worker": worker}))

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.names, 1)

    def add_callback(self, call: Callable[..., Any], *words: Any) -> None:
        asyncio.run(call(*words))

    def sync(self, call: Callable[..., Any]) -> Any:
        return asyncio.run(call())

    async def run(self, function: Any, *words: Any, workers: list[str], on_error: str) -> dict[str, Any]:
        self.asked += [(function.__name__, worker) for worker in workers]
        answers = {worker: self._answer(self, function, worker) for worker in workers}
        return {worker: await found if isawaitable(found) else found for worker, found in answers.items()}


class Future:
    """What a worker answers to a cell; its client is closed."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result

    def cancel(self) -> None:
        raise ClosedClientError("Client is closed")


def greeting(client: Any, function: Any, worker: str, **known: Any) -> bytes:
    known = {"runs_on": RUNS_ON, "name": worker, "labels": ["cpu"], "environment": {"cpu": worker}, **known}
    return msgspec.msgpack.encode(Greeting("1", PROTOCOL, code().sha256, f"host of {worker}", **known))


def pool_of(client: Any) -> cluster.Pool:
    return cluster.Pool(client, "tcp://nowhere:1", RunOptions(profile="documented", measure="accuracy"), ())


def test_a_worker_with_another_dask_or_python_is_refused_by_name() -> None:
    other = "distributed 1.0 on Python 2.7"
    pool = pool_of(Client("ab", lambda *asked: greeting(*asked, **({"runs_on": other} if asked[2] == "b" else {}))))
    pool.greeted()
    assert (list(pool.nodes), list(pool.refused)) == (["a"], ["b"])
    assert other in pool.refused["b"]
    assert RUNS_ON in pool.refused["b"]


def test_a_worker_that_left_is_none_whatever_it_still_says_and_is_asked_anew_when_it_comes_back() -> None:
    answers = [greeting(None, None, "a"), OSError("not yet"), greeting(None, None, "a")]
    pool = pool_of(Client("", lambda *asked: answers.pop(0)))

    def greeted() -> Any:
        pool.greet("a")
        return pool.event()

    late = greeted()
    pool.gone("a")
    assert pool.welcome(late) is None
    assert not pool.nodes
    assert pool.welcome(greeted()) is None
    assert list(pool.refused) == ["a"]
    pool.gone("a")
    assert not pool.refused
    assert pool.welcome(greeted()) is pool.nodes["a"]


@pytest.mark.parametrize("early", [True, False])
def test_no_cell_goes_to_a_worker_that_left_while_it_was_greeted(early: bool) -> None:
    sent: list[str] = []

    def answer(client: Client, function: Any, worker: str) -> bytes:
        if worker == "b" and early:
            client.heard("remove-worker", "b")
        return greeting(client, function, worker)

    def submit(call: Any, asked: bytes, *, key: str, workers: list[str], **_: Any) -> Future:
        if not sent and not early:
            client.heard("add-worker", "b")
            client.heard("remove-worker", "b")
        sent.extend(workers)
        name = msgspec.msgpack.decode(asked, type=Task).cells[0][0]
        return Future(answered(Cell.parse(name)))

    client: Any = Client("ab" if early else "a", answer)
    client.submit = submit
    pool = pool_of(client)
    pool.greeted()
    assert [where for _, where in run_on(pool, "x", "y", "z")] == ["a", "a", "a"]
    assert sent == ["a", "a", "a"]


@pytest.mark.parametrize("how", ["the scheduler is gone", "Ctrl-C", "closed"])
def test_when_a_run_ends_early_what_has_arrived_is_kept(how: str) -> None:
    interrupted = threading.Event()

    def submit(call: Any, asked: bytes, **_: Any) -> Future:
        name = msgspec.msgpack.decode(asked, type=Task).cells[0][0]
        cell = Cell.parse(name)
        if cell.case == "x":
            return Future(answered(cell))
        if how == "closed":
            raise ClosedClientError("Client is closed")
        if how == "Ctrl-C":
            interrupted.set()
        else:
            client.status = "closed"
        return Future(asyncio.CancelledError())

    client: Any = Client("ab", greeting)
    client.submit = submit
    pool = pool_of(client)
    pool.greeted()
    found = {record.case: record.status for record, _ in run_on(pool, "x", "y", interrupted=interrupted)}
    assert found == {"x": "ok", **({} if how == "closed" else {"y": "interrupted"})}
    assert interrupted.is_set()


def test_a_worker_that_cannot_be_looked_at_hides_no_other_one_and_all_forget_who_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(client: Client, function: Any, worker: str) -> Any:
        if function.__name__ != "examined":
            return greeting(client, function, worker)
        return asyncio.sleep(60) if worker == "a" else msgspec.msgpack.encode([asdict(Examined("torch", {}, {}))])

    client = Client("ab", answer)
    monkeypatch.setattr(cluster, "EXAMINE_SECONDS", 0.05)
    monkeypatch.setattr(cluster, "connected", lambda address: nullcontext(client))
    found = {each.address: each for each in cluster.looked_at("tcp://nowhere:1")}
    assert "0.05 s" in str(found["a"].reason)
    assert (found["b"].reason, [each.backend for each in found["b"].examined]) == (None, ["torch"])
    assert {worker for asked, worker in client.asked if asked == "leave"} == {"a", "b"}
    client.asked.clear()
    monkeypatch.setattr(cluster.Pool, "examined", lambda pool: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cluster.looked_at("tcp://nowhere:1")
    assert {worker for asked, worker in client.asked if asked == "leave"} == {"a", "b"}


@pytest.mark.parametrize(("code", "tries"), [(0, 1), (3, 1), (2, 60)])
def test_the_example_for_slurm_waits_for_a_worker_and_not_for_ever(tmp_path: Path, code: int, tries: int) -> None:
    stubs = {
        "dask": 'while [ "$1" != --scheduler-file ]; do shift; done\n'
        """echo '{"address": "tcp://nowhere:1"}' > "$2"; exec timeout 60 tail -f /dev/null""",
        "srun": "exit 0",
        "sleep": "exit 0",
        "bench": f'echo "$1" >> asked; [ "$1" = run ] || exit {code}',
        "activate": "",
    }
    (tmp_path / "bin").mkdir()
    for name, text in stubs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "VENV": str(tmp_path), "ENVIRONMENT": "BATCH", "PATH": path}
    script = ROOT / "examples/cluster/sbatch.sh"
    ran = subprocess.run(["bash", str(script)], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "asked").read_text().split() == ["doctor"] * tries + ["run"]


def test_where_no_scheduler_answers_the_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        addresses = [f"tcp://127.0.0.1:{mute.getsockname()[1]}", "tcp://127.0.0.1:1", "ftp://127.0.0.1:1", "nonsense"]
        for address in addresses:
            with pytest.raises(UsageError, match=re.escape(address)), cluster.connected(address):
                pass
