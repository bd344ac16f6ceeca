"""Cells side by side are the cells one after another: each once, on cores of its own, and none costs another."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec import structs

from bench.cases.cell import Cell
from bench.errors import CodeChanged, UsageError
from bench.machine.fingerprint import cores
from bench.machine.processes import Code
from bench.machine.slots import slots
from bench.records.record import SCHEMA_VERSION, Record, Timing, plain
from bench.runner import jobs, run, workers
from bench.runner.options import RunOptions
from bench.runner.plan import PlannedCell
from bench.runner.workers import Limits, Settings
from tests.conftest import Bench, call
from tests.runner.test_answers import TEMPLATE, Silent
from tests.runner.test_workers import wait_for

WORKER = """
import json, os, sys, time
HOW, RECORD, CHANNEL = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])

def await_all(folder, *cases):
    open(os.path.join(folder, case), "w").close()
    while not all(os.path.exists(os.path.join(folder, other)) for other in cases):
        time.sleep(0.01)

for request in map(json.loads, sys.stdin):
    case = request["cell"].split("/")[1].split("@")[0]
    exec(HOW)
    content = RECORD | {"case": case, "details": {"cores": sorted(os.sched_getaffinity(0)), "pid": os.getpid()}}
    answer = {"event": "record", "schema_version": SCHEMA, "record": content, "code": ["/here", CODE.get(case, "old")]}
    os.write(CHANNEL, json.dumps(answer).encode() + b"\\n")
    if request["process"] != "shared":
        break
""".replace("SCHEMA", str(SCHEMA_VERSION))
two_cores = pytest.mark.skipif(cores() < 2, reason="needs two cores")
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are pinned on Linux alone")


def planned(case: str, backend: str = "torch", estimate: float = 1.0) -> PlannedCell:
    return PlannedCell(Cell("fake", case, backend, "none", "cpu", "documented", 0), 0, frozenset(), None, estimate)


def beside(how: str, *cells: str | PlannedCell, **more: Any) -> Iterator[Record]:
    """Yield the records of cells that each do `how`, in two slots or `pinned` ones."""
    worker = (sys.executable, "-SE", "-c", f"CODE = {more.pop('other_code', {})!r}\n{WORKER}", how)
    pinned = more.pop("pinned", (frozenset(), frozenset()))
    profile = more.pop("profile", "documented")
    template = plain(TEMPLATE) | {"profile": profile, "backend": more.pop("backend", "torch")}
    settings = Settings(profile, "accuracy", threads=1, slots=pinned, forks=more.pop("forks", True))
    observer, interrupted = more.pop("observer", Silent()), more.pop("interrupted", threading.Event())
    limits = more.pop("limits", Limits(1e12, 60))
    yield from workers.run(
        [planned(cell) if isinstance(cell, str) else cell for cell in cells], settings, limits, observer, interrupted,
        (*worker, json.dumps(template)), code=Code("/here", "old"),
    )  # fmt: skip


@linux
@two_cores
def test_two_cells_that_wait_for_each_other_end_each_on_cores_of_its_own(tmp_path: Path) -> None:
    pinned = slots(2)
    found = list(beside(f"await_all({str(tmp_path)!r}, 'a', 'b')", "a", "b", pinned=pinned))
    assert [(record.status, record.neighbours) for record in found] == [("ok", 1)] * 2
    assert {frozenset(record.details["cores"]) for record in found} == set(pinned)


def test_one_after_another_has_no_neighbours_and_the_cores_of_the_parent() -> None:
    found = list(beside("", "a", "b", pinned=(frozenset(),), forks=False))
    assert [(record.case, record.neighbours) for record in found] == [("a", None), ("b", None)]
    if sys.platform == "linux":
        assert all(set(record.details["cores"]) == os.sched_getaffinity(0) for record in found)


def test_every_cell_runs_once_and_comes_out_as_it_ends(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(7)]
    # The first waits for all others, which pass it in the second slot.
    how = f"await_all({str(tmp_path)!r}, *({names} if case == 'c0' else ()))"
    found = [record.case for record in beside(how, *names, forks=False) if record.status == "ok"]
    assert found[:5] == names[1:6]
    assert sorted(found) == names


@dataclass(frozen=True)
class Once(Limits):
    """Ends the cell `odd` once there is a file of the other's."""

    timeout: float | None = 60
    folder: Path = Path()

    def seconds(self, planned: PlannedCell) -> float:
        return 0 if planned.cell.case == "odd" and (self.folder / "fine").exists() else 60


ENDS = {"dies": ("os._exit(7)", "failed"), "hangs": ("time.sleep(600)", "timeout")}


@pytest.mark.parametrize(("how", "status"), ENDS.values(), ids=ENDS)
def test_the_end_of_one_leaves_the_other(how: str, status: str, tmp_path: Path) -> None:
    folder = str(tmp_path)
    # The neighbour answers after the parent has seen the end: it waits until that process is no more.
    odd = f"open({folder!r} + '/pid', 'w').write(str(os.getpid())); await_all({folder!r}, 'odd', 'fine'); {how}"
    fine = f"await_all({folder!r}, 'odd', 'fine')\n"
    fine += f"pid = open({folder!r} + '/pid').read()\nwhile os.path.exists('/proc/' + pid): time.sleep(0.01)"
    script = f"exec({odd!r} if case == 'odd' else {fine!r})"
    found = list(beside(script, "odd", "fine", limits=Once(1e12, folder=tmp_path)))
    assert [(record.case, record.status) for record in found] == [("odd", status), ("fine", "ok")]


@dataclass(frozen=True)
class Late(Limits):
    """Lets a cell take no time at all once something is in the list."""

    over: list[bool] = field(default_factory=list)

    def seconds(self, planned: PlannedCell) -> float:
        return 0 if self.over else 60


def own_processes() -> set[int]:
    """Return the children of this process that have not ended."""
    return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}


def test_a_result_that_came_in_time_counts_however_long_another_is_stored() -> None:
    late, before = Late(1e12), own_processes()
    found = []
    for record in beside("", "a", "b", limits=late):
        found.append(record.status)
        wait_for(lambda: own_processes() <= before)  # storing the first: meanwhile the other ends
        late.over.append(True)
    assert found == ["ok", "ok"]


def test_a_process_that_ended_between_two_cells_costs_neither(tmp_path: Path) -> None:
    found, before = [], own_processes()
    how = f"open({str(tmp_path / 'asked')!r}, 'a').write(case)\nif case == 'c': sys.stdin.close(); sys.stdin = iter('')"
    for record in beside(how, *"abcd", profile="quick", pinned=(frozenset(),)):
        found.append((record.case, record.status, record.details["pid"]))
        if record.case == "c":
            wait_for(lambda: own_processes() <= before)
    assert [each[:2] for each in found] == [(case, "ok") for case in "abcd"]
    assert [found[0][2] == pid for *_, pid in found] == [True, True, True, False]
    assert (tmp_path / "asked").read_text() == "abcd"


def test_a_shared_process_is_asked_for_a_cell_once_the_one_before_is_kept(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    for number, _ in enumerate(beside(f"open({str(asked)!r}, 'a').write(case)", *"abcde", profile="quick"), 1):
        time.sleep(0.05)
        assert len(asked.read_text()) <= number + 1, "of the other slot"


class Stops(Silent):
    """Sets an event as soon as two cells have begun."""

    def __init__(self, event: threading.Event) -> None:
        self.event, self.begun = event, 0

    def started(self, planned: PlannedCell) -> None:
        self.begun += 1
        if self.begun == 2:
            self.event.set()


def test_an_interrupt_ends_both_and_nothing_more_starts() -> None:
    before = {child.pid for child in psutil.Process().children()}
    event = threading.Event()
    found = list(beside("time.sleep(600)", "a", "b", "c", observer=Stops(event), interrupted=event))
    assert {(record.case, record.status) for record in found} == {("a", "interrupted"), ("b", "interrupted")}
    assert {child.pid for child in psutil.Process().children()} == before


def test_what_ends_the_run_ends_the_neighbours_of_its_cause(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    how = f"await_all({str(tmp_path)!r}, 'a', 'changed') if case != 'c' else time.sleep(600)"
    with pytest.raises(CodeChanged) as kept:  # its traceback keeps all that is not closed
        list(beside(how, "a", "changed", "c", other_code={"changed": "new"}))
    assert "fake/changed@" in str(kept.value)
    assert {child.pid for child in psutil.Process().children()} == before


def test_no_cell_starts_beside_another_that_would_end_after_the_budget() -> None:
    cells = [planned("a", estimate=0.0), planned("long", estimate=1e6), planned("short", estimate=0.0)]
    assert [record.case for record in beside("", *cells, limits=Limits(1e12, 60, budget=600))] == ["a"]


def test_slots_that_share_a_backend_take_cell_after_cell(tmp_path: Path) -> None:
    """While one slot holds a long cell, the other takes all the rest of its backend in one process."""
    names = [f"c{number}" for number in range(7)]
    how = f"await_all({str(tmp_path)!r}, *({names} if case == 'c0' else ()))"
    cells = [planned(name, "keras") for name in names]
    found = list(beside(how, *cells, profile="quick", backend="keras"))
    assert [record.case for record in found[:5]] == names[1:6]
    processes = Counter(record.details["pid"] for record in found)
    assert sorted(processes.values()) == [1, 6]


@two_cores
def test_records_are_those_of_cells_one_after_another(fake_bench: Bench) -> None:
    names = ["fine", "raises", "talks", "diverges"]
    patterns = [f"fake/{case}@fake" for case in names]
    for name, more in (("one", ["--threads=1"]), ("two", ["--jobs=2"])):
        assert fake_bench(*patterns, "--name", name, *more, profile="quick").returncode == 3
    one, two = fake_bench.records("one"), fake_bench.records("two")
    assert {record.neighbours for record in one.values()} == {None}
    assert 1 in {record.neighbours for record in two.values()}

    def known(record: Record) -> Record:
        """Return what does not differ from one measurement to the next."""
        epochs = record.metrics and [structs.replace(epoch, seconds=0.0) for epoch in record.metrics.epochs]
        return structs.replace(
            record, started="", seconds=0.0, sequence=None, timing=None, memory=None, neighbours=None, failure=None,
            metrics=record.metrics and structs.replace(record.metrics, epochs=epochs),
        )  # fmt: skip

    assert {case: known(record) for case, record in one.items()} == {case: known(two[case]) for case in one}
    processes = [training.process for training in fake_bench.trainings()]
    assert len(set(processes[:4])) == 1
    assert (len(processes), len(set(processes[4:]))) == (8, 2)


@two_cores
def test_an_interrupted_run_goes_on_with_what_is_left(fake_bench: Bench) -> None:
    parent = fake_bench.start("fake/slow-*@fake", "--name", "r", "--jobs", "2", FAKE_HELD="31")
    wait_for(lambda: len(fake_bench.trainings()) == 3, parent)
    parent.send_signal(signal.SIGINT)
    output, _ = parent.communicate()
    assert parent.returncode == 130, output
    stopped = [case for case, status in fake_bench.statuses("r").items() if status == "interrupted"]
    assert "slow-1" in stopped
    assert len(fake_bench.statuses("r")) == 3
    assert fake_bench("--resume", "r").returncode == 0
    assert set(fake_bench.statuses("r").values()) == {"ok"}
    assert len(fake_bench.trainings()) == 3 + len(stopped), "what had ended ok runs once"


# --- what is asked for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", ""])
def test_a_number_of_jobs_that_is_none_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--dry-run", "--measure=accuracy", f"--jobs={value}") == 2
    said = capsys.readouterr().err
    assert re.search("--jobs.*1 or more.*auto", said)


@pytest.mark.parametrize("count", [2, "auto"])
@pytest.mark.parametrize("measure", [None, "glance", "steps", "timing", "all"])
def test_what_is_timed_runs_alone(measure: Any, count: Any) -> None:
    with pytest.raises(UsageError, match=r"--jobs .*--measure accuracy"):
        RunOptions(jobs=count, measure=measure)


def test_what_the_machine_cannot_give_is_refused_with_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "cores", lambda: 8)

    on_cpu = planned("a")
    on_gpu = replace(on_cpu, cell=replace(on_cpu.cell, device="cuda"))

    def refusal(cell: PlannedCell, **options: Any) -> str | None:
        try:
            jobs.check(RunOptions(measure="accuracy", **options), [cell])
        except UsageError as error:
            return str(error)
        return None

    assert refusal(on_cpu, jobs=8) is None
    assert refusal(on_cpu, jobs=2, threads=4) is None
    assert "--jobs 9" in str(refusal(on_cpu, jobs=9))
    assert "at most --jobs 2 or --threads 2" in str(refusal(on_cpu, jobs=3, threads=4))
    assert "at most --threads 4" in str(refusal(on_cpu, jobs=2, threads=9))
    assert refusal(on_gpu, jobs=1) is None
    for count in (2, "auto"):
        assert str(on_gpu.cell) in str(refusal(on_gpu, jobs=count))


def test_memory_is_shared_unless_it_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(run, "available_memory", lambda: 10e9)
    one, four = (run.limits_of(RunOptions(), count).memory for count in (1, 4))
    assert four * 4 == one < 10e9
    assert run.limits_of(RunOptions(memory=3), 4).memory == 3e9
    for memory, warned in ((None, False), (2.4, False), (2.6, True)):
        caplog.clear()
        run.tell(jobs.Jobs(4, 1), RunOptions(memory=memory, jobs=4, measure="accuracy"))
        assert any(record.levelno == logging.WARNING for record in caplog.records) == warned


# --- auto ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[tuple[int, int], Any]:
    """Plant a machine of four cores: seconds of a step by processes and threads, in a list one after another.

    None where they fail.
    """
    steps: dict[tuple[int, int], Any] = {}

    def probe(cells: list[PlannedCell], settings: Settings, *_: Any) -> Iterator[Record]:
        assert settings.measure == "steps"
        assert len(settings.slots) == len(cells) == len({cell.repeat for cell in cells})
        step = steps[len(cells), settings.threads]
        step = step.pop(0) if isinstance(step, list) else step
        for cell in cells:
            if step is None:
                yield structs.replace(TEMPLATE, status="failed", repeat=cell.repeat)
            else:
                timing = Timing(
                    build=0.0, steps=1, total=1.0, alone=True, windows=[(1, 1.0), (2, 1.0 + step)], step=step
                )
                yield structs.replace(TEMPLATE, repeat=cell.repeat, timing=timing)

    monkeypatch.setattr(jobs, "cores", lambda: 4)
    monkeypatch.setattr(jobs, "slots", lambda count: (frozenset(),) * count)
    monkeypatch.setattr(jobs, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(jobs, "fingerprint", lambda _: dict.fromkeys(("cpu", "cores", "python", "packages"), "x"))
    monkeypatch.setattr(jobs.workers, "run", probe)
    return steps


def auto(cells: int = 9, estimate: float = 100.0, **options: Any) -> tuple[int, int]:
    """Return jobs and threads of `--jobs auto`."""
    wanted = RunOptions(jobs="auto", measure="accuracy", **options)
    several = [planned(f"c{number}", estimate=estimate) for number in range(cells)]
    found = jobs.chosen(several, wanted, lambda _: Limits(1e12), threading.Event())
    return found.count, found.threads


@pytest.mark.parametrize(
    ("alone", "four", "two", "found"),
    # A step of 2 s in each of four processes is as good as one of 0.5 s in one.
    [
        (1.0, 2.0, 2.0, (4, 1)),
        (1.0, 1.0, 2.0, (4, 1)),
        (1.0, 2.0, 0.5, (2, 2)),
        (0.5, 2.0, 1.0, (1, 4)),
        (0.25, 2.0, 2.0, (1, 4)),
        (1.0, None, 1.0, (2, 2)),
        (1.0, None, 2.0, (1, 4)),
        (1.0, None, None, (1, 4)),
        (None, 1.0, 1.0, (1, 4)),
    ],
)
def test_auto_takes_what_makes_most_steps(
    alone: float | None, four: float | None, two: float | None, found: tuple[int, int], machine: Any
) -> None:
    machine |= {(1, 4): alone, (4, 1): four, (2, 2): two}
    assert auto() == found


def test_auto_tries_fewer_only_while_they_make_more_steps(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "cores", lambda: 8)
    machine |= {(1, 8): 1.0, (8, 1): 4.0, (4, 2): 3.0}  # two at a time are not planted: to try them would fail
    assert auto() == (8, 1)


def test_auto_measures_once_and_says_so(machine: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    machine |= {(1, 4): 1.0, (4, 1): 2.5, (1, 2): 1.0, (2, 2): 3.0, (2, 1): 3.0}
    with caplog.at_level(logging.INFO, "bench"):
        assert auto() == (4, 1)
        assert "4 side by side train 1.6 times" in caplog.text
        del machine[1, 4]  # another probe would fail
        assert auto() == (4, 1)
        assert "measured before" in caplog.text
        assert str(tmp_path / "cache") in caplog.text
    assert auto(threads=2) == (1, 2), "another number of threads is measured for itself"
    machine |= {(1, 4): 1.0, (4, 1): 25.0}
    (tmp_path / "cache" / "jobs.json").write_text('{"odd": "bytes", 3')
    assert auto() == (1, 4), "what is damaged is measured again"
    (tmp_path / "cache" / "jobs.json").unlink()
    machine |= {(1, 4): [0.4, 1.0], (4, 1): 2.0}
    assert auto() == (4, 1), "by the mean of both times alone"
    machine |= {(1, 4): [1.0, 1.0], (4, 1): 25.0}
    assert auto() == (1, 4), "what was disturbed is not kept"
    machine.clear()
    (tmp_path / "cache" / "jobs.json").unlink()
    assert auto(estimate=1.0) == (1, 4), "a run of seconds is not measured"
    assert auto(cells=1) == (1, 4), "one cell is not measured"
    assert auto(threads=4) == (1, 4), "nor is what has room for one alone"
