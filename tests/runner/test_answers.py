"""What a worker answers is not trusted: whatever comes over its channel, its cell alone fails, and the run goes on."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.cases.cell import Cell
from bench.errors import CodeChanged
from bench.machine.processes import Code
from bench.records.record import SCHEMA_VERSION, Record, plain
from bench.records.store import Store
from bench.runner import workers
from bench.runner.plan import PlannedCell
from bench.runner.workers import Limits, Settings, run

WORKER = """
import json, os, sys, time
HOW, RECORD, CHANNEL = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])

def say(data):
    data = memoryview(data)
    while data:
        data = data[os.write(CHANNEL, data):]

def answer(case, **changes):
    content = RECORD | {"case": case} | changes
    say(json.dumps({"event": "record", "schema_version": SCHEMA, "record": content}).encode() + b"\\n")

def measured_by(package, sha256):
    say(json.dumps({"event": "record", "schema_version": SCHEMA, "record": RECORD | {"case": "odd"},
                    "code": [package, sha256]}).encode() + b"\\n")

def record_with(**changes):
    answer("odd", **changes)

for request in map(json.loads, sys.stdin):
    case = request["cell"].split("/")[1].split("@")[0]
    if case == "odd":
        exec(HOW)
    else:
        answer(case)
""".replace("SCHEMA", str(SCHEMA_VERSION))

EPOCH = {"epoch": 1, "epochs": 2, "loss": 0.5, "accuracy": 0.5, "val_loss": None, "val_accuracy": None, "seconds": 1.0}


def said(content: Any) -> str:
    """Return the code of a worker that says a line of JSON."""
    return f"say({json.dumps(content).encode()!r} + bytes([10]))"


ODD = {
    "no JSON": r"say(b'hello\n')",
    "an empty line": r"say(b'\n')",
    "bytes of no text": r"say(b'\xff\xfe{}\n')",
    "nothing but zeros": r"say(bytes(70_000) + b'\n')",
    "a list": said([1]),
    "null": said(None),
    "no event": said({}),
    "an unknown event": said({"event": "other"}),
    "an event that cannot be a key": said({"event": []}),
    "an epoch without its figures": said({"event": "epoch"}),
    "an epoch in words": said({"event": "epoch", **EPOCH, "accuracy": "good"}),
    "a record without its version": said({"event": "record", "record": {}}),
    "a record of no version": said({"event": "record", "schema_version": "2", "record": {}}),
    "a record with a field more": "RECORD.update(odd=1); answer('odd')",
    "a record that is a list": said({"event": "record", "schema_version": 2, "record": [1]}),
    "a part of a record that is a text": said({"event": "record", "schema_version": 1, "record": {"memory": 3}}),
    "a record of another cell": "answer('fine')",
    "a record of another seed": "record_with(seed=1)",
    "a number beyond 64 bits": "record_with(parameters=dict(total=2**64, trainable=1, frozen=0, stored=1, layers=[]))",
    "a number of 5,000 digits": r"say(b'{\"event\": ' + b'9' * 5000 + b'}\n')",
    "100,000 levels": r"say(b'[' * 100_000 + b'\n')",
    "a line without an end": "while True: say(b'x' * 65536)",
    "half a record, then the end": 'say(b\'{"event": "record", \'); os._exit(0)',
}


class Silent:
    """An observer that looks at every figure it is told."""

    def started(self, planned: PlannedCell) -> None:
        """Say nothing."""

    def epoch(self, planned: PlannedCell, progress: dict[str, Any]) -> None:
        """Format the figures, as a display does."""
        assert f"{progress['accuracy']:.3f}"


def planned(case: str, estimate: float = 0.0) -> PlannedCell:
    return PlannedCell(Cell("fake", case, "torch", "none", "cpu", "documented", 0), 0, frozenset(), None, estimate)


TEMPLATE = Record(
    suite="fake", case="", backend="torch", kernel="none", device="cpu", numerics="documented", seed=0,
    profile="quick", measure="accuracy", status="ok", started="2026-01-01T00:00:00+00:00", seconds=0.1,
)  # fmt: skip


LONG = Settings("quick", "accuracy", threads=1, suites=tuple(f"/suites/{place}.py" for place in range(20_000)))
"""Settings whose requests do not fit into a pipe."""


def run_with(how: str, *cases: str, limits: Limits | None = None, settings: Settings | None = None) -> list[Record]:
    """Return the records of `cases`, run by a worker that does `how` where it should answer for the case `odd`."""
    worker = (sys.executable, "-SE", "-c", WORKER, how, json.dumps(plain(TEMPLATE)))
    cells = [planned(case) for case in cases]
    settings = settings or Settings("quick", "accuracy", threads=1)
    found = run(cells, settings, limits or Limits(1e12, 60), Silent(), threading.Event(), worker)
    return list(found)


@pytest.mark.parametrize("how", ODD.values(), ids=ODD)
def test_odd_bytes_fail_their_own_cell(how: str) -> None:
    odd, fine = run_with(how, "odd", "fine")
    assert (odd.case, odd.status) == ("odd", "failed")
    assert odd.reason
    assert len(odd.reason) < 1000
    assert (fine.case, fine.status) == ("fine", "ok")


def test_an_epoch_and_a_record_in_pieces_are_read() -> None:
    pieces = f"import itertools; {said({'event': 'epoch', **EPOCH})}; odd_say, end = say, None\n"
    pieces += "def say(data):\n    for byte in data: odd_say(bytes([byte]))\nanswer('odd')"
    assert [record.status for record in run_with(pieces, "odd")] == ["ok"]


def test_a_text_that_is_no_unicode_is_stored_and_read_again(tmp_path: Path) -> None:
    (odd,) = run_with(r"record_with(status='failed', reason='caf\udce9', details={'\ud800': ['\udfff']})", "odd")
    assert odd.status == "failed"
    assert str(odd.reason).startswith("caf")
    with Store(tmp_path / "s.sqlite", create=True) as store:
        store.create_run("r", "quick", {}, [], {})
        store.add("r", odd, {})
        assert [(found.reason, found.details) for found in store.records("r")] == [(odd.reason, odd.details)]


CHILD = """
import subprocess
code = "import os, sys, time; os.setpgid(0, 0) if ESCAPES else None; print(os.getpid(), flush=True); time.sleep(600)"
code = code.replace("ESCAPES", str(ESCAPES))
child = subprocess.Popen([sys.executable, "-SEc", code], stdout=subprocess.PIPE, pass_fds=[CHANNEL])
with open(FILE, "w") as file: file.write(child.stdout.readline().decode())
"""
ENDS = {
    "it ends": ("os._exit(3)", "the process ended with exit code 3 before it had a result"),
    "it is killed": ("os.kill(os.getpid(), 9)", "the process was killed by signal 9 (SIGKILL)"),
    "it hangs": ("time.sleep(600)", "no result within 0 s (--timeout)"),
    "it closes its channel": ("os.close(CHANNEL); time.sleep(600)", "no result within 0 s (--timeout)"),
    "it holds the interpreter": ("import re; re.match('(a*)*b', 'a' * 60)", "no result within 0 s (--timeout)"),
    "it has a result": ("answer('odd')", None),
}


@dataclass(frozen=True)
class OnceThere(Limits):
    """Ends a cell as soon as there is something in a file, however long that takes."""

    timeout: float | None = 600
    file: Path = Path()

    def seconds(self, planned: PlannedCell) -> float:
        return 0 if self.file.exists() and self.file.read_text() else 600


@pytest.mark.parametrize("escapes", [False, True], ids=["in its group", "in a group of its own"])
@pytest.mark.parametrize(("how", "reason"), ENDS.values(), ids=ENDS)
def test_a_worker_ends_with_all_that_it_started(how: str, reason: str | None, escapes: bool, tmp_path: Path) -> None:
    file = tmp_path / "child"
    starts = CHILD.replace("ESCAPES)", f"{escapes})").replace("FILE", repr(str(file)))
    (odd,) = run_with(starts + how, "odd", limits=OnceThere(1e12, file=file))
    assert str(odd.reason).startswith(str(reason))
    process = int(file.read_text())
    assert not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE


def test_a_request_that_is_never_read_is_not_waited_for_without_end() -> None:
    worker = (sys.executable, "-SEc", "import time; time.sleep(600)")
    (first,) = run([planned("odd")], LONG, Limits(1e12, 0.5), Silent(), threading.Event(), worker)
    assert first.status == "timeout"


def test_a_long_request_is_read_whole() -> None:
    names = ["odd", "fine", "other"]
    how = "record_with(details=dict(suites=len(request['suites']))) if request['suites'] else answer('odd')"
    found = run_with(how, *names, settings=LONG)
    assert [(record.case, record.status) for record in found] == [(name, "ok") for name in names]
    assert found[0].details["suites"] == len(LONG.suites)


def test_what_a_process_says_unasked_costs_no_later_cell() -> None:
    together = "once, said = say, []; say = said.append; answer('odd'); answer('fine', seed=7); once(b''.join(said))"
    found = run_with(together, "odd", "fine", "other")
    assert [(record.case, record.status, record.seed) for record in found] == [
        ("odd", "ok", 0), ("fine", "ok", 0), ("other", "ok", 0),
    ]  # fmt: skip


def test_what_fails_while_a_worker_is_made_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {child.pid for child in psutil.Process().children()}
    monkeypatch.setattr(workers, "_Memory", lambda pid, forks: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_with("", "odd")
    assert {child.pid for child in psutil.Process().children()} == before


@pytest.mark.parametrize(("estimate", "seconds"), [(0.0, 900), (44.0, 900), (60.0, 1200)])
def test_a_cell_without_a_timeout_may_take_20_times_its_estimate(estimate: float, seconds: float) -> None:
    limits = Limits(1e12)
    assert limits.seconds(planned("odd", estimate)) == seconds
    assert Limits(1e12, 7.0).seconds(planned("odd", estimate)) == 7


def test_that_limit_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LEAST_SECONDS", 0.5)
    (odd,) = run_with("time.sleep(600)", "odd", limits=Limits(1e12))
    assert odd.status == "timeout"
    assert "--timeout" in str(odd.reason)


@pytest.mark.parametrize("other", [Code("/here", "new"), Code("/elsewhere", "old")])
def test_a_result_of_other_code_than_the_run_began_with_ends_it_and_is_not_kept(other: Code) -> None:
    cells = [planned("before"), planned("odd"), planned("after")]
    known = Code("/here", "old")
    for how, kept in ((known, ["before", "odd", "after"]), (other, ["before"])):
        worker = (sys.executable, "-SE", "-c", WORKER, f"measured_by{tuple(how)!r}", json.dumps(plain(TEMPLATE)))
        settings, records = Settings("quick", "accuracy", threads=1), []
        with nullcontext() if how == known else pytest.raises(CodeChanged, match="fake/odd@"):
            for record in run(cells, settings, Limits(1e12, 60), Silent(), threading.Event(), worker, code=known):
                records.append(record.case)
        assert records == kept
