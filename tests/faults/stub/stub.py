"""A backend that trains nothing, misbehaves on command, and whose losses tell which cell and epoch they belong to.

It is an entry point of the tests alone: what has this folder on its path finds its distribution. The folder that FAULTS
names holds `plan.json`, which says by `key` what a cell does, once; `begun` gets a line for every training.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.backends.base import EpochResult
from bench.backends.registry import BackendInfo
from bench.cases.model import Model
from bench.cases.parameters import LayerParameters, Parameters

STUB = BackendInfo("stub", "stub", (), "", start=(1.0, 0.1))
FORKING = BackendInfo("stub-forking", "stub_forking", (), "", start=(1.0, 0.1))
KEY = 16
"""Hexadecimal digits of a key."""


def key(backend: str, width: int, epoch: int, order: np.ndarray) -> str:
    """Return a hash of a cell and an epoch: `width` is the case's, the order of its rows the seed's and the epoch's."""
    words = f"{backend} {width} {epoch} ".encode()
    return hashlib.sha256(words + order.astype("<i8").tobytes()).hexdigest()[:KEY]


def loss(key: str) -> float:
    """Return the loss that a key stands for, in [0, 1)."""
    return int(key[:13], 16) / 16**13


def folder() -> Path:
    return Path(os.environ["FAULTS"])


@cache
def plan() -> dict[str, str]:
    found: dict[str, str] = json.loads((folder() / "plan.json").read_text())
    return found


class Stub:
    """As much of a `bench.backends.base.Network` as a training needs."""

    def __init__(self, name: str, model: Model, kernel: str, device: str) -> None:
        self.name, self.model = name, model
        self.width = model.weights[0].shape[1]
        self.epoch = 0
        self.loss = self.weight = self.logit = 0.0

    def parameters(self) -> Parameters:
        sizes = [(layer.name, sum(weight.size for weight in layer.weights)) for layer in self.model.layers]
        total = sum(size for _, size in sizes)
        layers = [LayerParameters(name=name, total=size, trainable=size, stored=size) for name, size in sizes]
        return Parameters(total=total, trainable=total, frozen=0, stored=total, layers=layers)

    def set_weights(self, weights: list[Any]) -> None:
        pass

    def get_weights(self) -> list[Any]:
        return [np.full(spec.shape, self.weight, np.float32) for spec in self.model.weights]

    def train_epoch(self, x: Any, y: Any, order: np.ndarray, masks: Any) -> EpochResult:
        self.epoch += 1
        here = key(self.name, self.width, self.epoch, order)
        if self.epoch == 1:
            with open(folder() / "begun", "a") as log:
                log.write(f"{here}\n")
            self._misbehave(here)
        return EpochResult(loss=loss(here) + self.loss, accuracy=0.5)

    def _misbehave(self, here: str) -> None:
        how = plan().get(here)
        done = folder() / "done" / here
        if how and not done.exists():
            done.touch()
            os.environ["FAULT"] = how  # what it starts can be told by it
            try:
                (odd_bytes if how.startswith("odd bytes") else FAULTS[how][0])(self, how)
            finally:
                del os.environ["FAULT"]

    def logits(self, x: Any) -> Any:
        return np.full(len(x), self.logit, np.float32)

    def synchronize(self) -> None:
        pass

    def device_peak_bytes(self) -> None:
        return None


build = partial(Stub, "stub")


# --- what it does on command -------------------------------------------------------------------------------------


def channel() -> int:
    return int(sys.argv[1])


def say(data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(channel(), left) :]


def odd_bytes(network: Stub, how: str) -> None:
    """Say one of the kinds of odd bytes that the tests of the answers know."""
    from bench.records.record import SCHEMA_VERSION, plain
    from tests.runner.test_answers import ODD, TEMPLATE

    record = plain(TEMPLATE)

    def answer(case: str, **changes: Any) -> None:
        content = record | {"case": case} | changes
        say(json.dumps({"event": "record", "schema_version": SCHEMA_VERSION, "record": content}).encode() + b"\n")

    names = {"say": say, "answer": answer, "record_with": partial(answer, "odd"), "RECORD": record, "os": os}
    exec(ODD[how.partition(": ")[2]], names)


def raises(text: str) -> Callable[[Stub, str], None]:
    def fault(network: Stub, how: str) -> None:
        print(text[:1000].encode(errors="replace").decode(), file=sys.stderr, flush=True)
        raise ValueError(text)

    return fault


def ends(how_so: Callable[[], Any]) -> Callable[[Stub, str], None]:
    return lambda network, how: how_so()


def killed_by(number: signal.Signals) -> Callable[[Stub, str], None]:
    def fault(network: Stub, how: str) -> None:
        signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        os.kill(os.getpid(), number)
        time.sleep(600)

    return fault


def sets(name: str) -> Callable[[Stub, str], None]:
    return lambda network, how: setattr(network, name, np.nan)


STUBBORN = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork():
    print("there", flush=True)
else:
    os.setsid()
time.sleep(600)
"""


def has_children(network: Stub, how: str) -> None:
    """Start two processes that hold the channel and ignore signals, one of them in a session of its own."""
    child = subprocess.Popen(
        [sys.executable, "-SEc", STUBBORN], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[channel()]
    )
    assert child.stdout
    child.stdout.readline()
    STARTED.append(child)


STARTED: list[subprocess.Popen[bytes]] = []


def leaves_children(network: Stub, how: str) -> None:
    has_children(network, how)
    os._exit(3)


def says_more(twice: bool) -> Callable[[Stub, str], None]:
    """Let the worker say its next record twice, or something after it."""

    def fault(network: Stub, how: str) -> None:
        worker: Any = sys.modules["__main__"]
        answer = worker._answer

        def say_more(answers: Any, message: dict[str, Any]) -> None:
            answer(answers, message)
            if message["event"] == "record":
                worker._answer = answer
                answer(answers, message) if twice else say(b"and more\n")

        worker._answer = say_more

    return fault


def allocates() -> None:
    kept = []
    while True:
        kept.append(np.ones(4_000_000))
        time.sleep(0.05)


def goes_quiet() -> None:
    os.close(channel())
    time.sleep(600)


def ignores_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)


def deletes(path: Callable[[], str]) -> Callable[[Stub, str], None]:
    def fault(network: Stub, how: str) -> None:
        gone = Path(path()).resolve()
        assert folder().resolve() in gone.parents, "nothing but the folders of the test is deleted"
        shutil.rmtree(gone)

    return fault


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[8m \x9b31m\u202e\r\b\x00 end"
FAULTS: dict[str, tuple[Callable[[Stub, str], None], str]] = {
    "an exception": (raises("too much"), "failed"),
    "an exception of half a character": (raises("caf\udce9 \ud800"), "failed"),
    "an exception of 10 MB": (raises("x" * 10_000_000), "failed"),
    "an exception that writes to the terminal": (raises(HOSTILE), "failed"),
    "sys.exit": (ends(lambda: sys.exit(0)), "failed"),
    "os._exit(0)": (ends(lambda: os._exit(0)), "failed"),
    "os._exit(7)": (ends(lambda: os._exit(7)), "failed"),
    **{f"dies of {number.name}": (killed_by(number), "failed") for number in (
        signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGHUP)},
    "hangs": (ends(lambda: time.sleep(600)), "timeout"),
    "hangs and ignores signals": (ends(ignores_signals), "timeout"),
    "hangs in C code": (ends(lambda: re.match("(a*)*b", "a" * 60)), "timeout"),
    "closes its channel and lives": (ends(goes_quiet), "failed"),
    "closes its stdin": (ends(lambda: os.close(0)), "ok"),
    "says its record twice": (says_more(twice=True), "ok"),
    "says something after its record": (says_more(twice=False), "ok"),
    "children that ignore signals": (has_children, "ok"),
    "dies, its children hold the channel": (leaves_children, "failed"),
    "allocates without end": (ends(allocates), "out-of-memory"),
    "MemoryError": (ends(lambda: np.ones(2**50)), "out-of-memory"),
    "a loss that is NaN": (sets("loss"), "failed"),
    "a weight that is NaN": (sets("weight"), "failed"),
    "a logit that is NaN": (sets("logit"), "failed"),
    "a slow epoch": (ends(lambda: time.sleep(0.5)), "ok"),
    "20 MB on stderr": (ends(lambda: os.write(2, b"flood\n" * 3_500_000)), "ok"),
    "deletes its folder": (deletes(os.getcwd), "ok"),
    "deletes the folder of temporary files": (deletes(tempfile.gettempdir), "ok"),
}  # fmt: skip
"""What a cell does once, and the status that it has then."""
