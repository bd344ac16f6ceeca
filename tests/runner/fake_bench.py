"""The command and the worker with a backend of their own: cells that do as their case says, without a framework.

`python fake_bench.py run ...` is `bench run ...`; `python fake_bench.py cell DESCRIPTOR` is its worker,
`python fake_bench.py node ...` what a local cluster is made of. How a case behaves is coded in the width of its
Embedding. With FAKE_MENDED set every case behaves well; FAKE_LOG names a file that gets a line for every training
begun. With FAKE_FORKS cells are forked where those of a backend that allows it are.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.backends import registry
from bench.backends.base import EpochResult, Executed, Trace
from bench.backends.registry import BackendInfo
from bench.cases.model import INITIAL, Model
from bench.errors import Unavailable
from bench.machine import processes
from bench.machine.noise import Noise
from bench.machine.peaks import Peaks
from bench.runner import capabilities, run, workers
from bench.runner.capabilities import Examined
from bench.spec import Device
from tests.faults.stub.stub import Stub

FINE, HANGS, ALLOCATES, DIVERGES, DIES, RAISES, SLOW, EXITS, TALKS, STARVES, LOOPS, LEAVES = range(2, 14)

FAKE = BackendInfo(
    "fake",
    "fake_bench",
    (),
    "fake",
    environment=(("FAKE_ENVIRONMENT", "set"),),
    native=frozenset(INITIAL),
    forks="FAKE_FORKS" in os.environ,
)
ABSENT = BackendInfo("absent", "fake_bench", ("no-such-distribution",), "absent")


def install() -> None:
    """Add the fake backends and make this file the worker."""
    registry.BACKENDS.update({"fake": FAKE, "absent": ABSENT})
    registry.backends.cache_clear()
    workers.WORKER = (sys.executable, str(Path(__file__).resolve()), "cell")
    run.noise = lambda threads: Noise(0.01, 100, ())
    capabilities.examine = run.examine = examine
    run.measure_peaks = lambda device, threads: Peaks(2e9, 1e9)
    if "FAKE_CODE" in os.environ:  # a worker of another version
        processes.code = lambda: processes.Code("elsewhere", os.environ["FAKE_CODE"])
    run.NODE = (sys.executable, str(Path(__file__).resolve()), "node")


def examine(info: BackendInfo, threads: int, devices: tuple[Device, ...]) -> Examined:
    """Return what is said of every backend: it trains on the CPU, and sees no GPU."""
    reasons = {device: None if device == "cpu" else "the fake backend sees no GPU" for device in devices}
    return Examined(info.name, reasons, {"cpu": {}})


def misbehave(how: int) -> int | None:
    """Do what a case of that width does in its second epoch; return the step whose loss is not finite, if any."""
    if how == HANGS:
        Path(os.environ["FAKE_LOG"]).with_name("hanging").touch()
        time.sleep(600)
    elif how == ALLOCATES:
        kept = []
        while True:
            kept.append(np.ones(4_000_000))
            time.sleep(0.01)
    elif how == DIVERGES:
        return 3
    elif how == DIES:
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == RAISES:
        raise ValueError("the second epoch is too much")
    elif how == EXITS:
        print("about to leave", file=sys.stderr, flush=True)
        os._exit(7)
    elif how == TALKS:
        print('{"event": "record"}\n' * 20_000, flush=True)
    elif how == STARVES:
        raise MemoryError("no room")
    elif how == LEAVES:
        left = subprocess.Popen(["sleep", "600"], start_new_session=True)
        Path(os.environ["FAKE_LOG"]).with_name("left").write_text(str(left.pid))
    return None


class FakeNetwork(Stub):
    """A stub with a loss that falls by epochs; the logits are zero, natively 1."""

    def initialize(self, seed: int) -> None:
        assert self.model.differences <= INITIAL.keys()
        self.logit = 1.0

    def set_weights(self, weights: list[Any]) -> None:
        assert [weight.shape for weight in weights] == [spec.shape for spec in self.model.weights]

    def train_epoch(self, x: Any, y: Any, order: Any, masks: Any) -> EpochResult:
        self.epoch += 1
        bad_step = None
        if self.width == SLOW:
            # The case with as many words as that goes on until it is killed, however slow the one who kills it is.
            time.sleep(600 if str(self.model.weights[0].shape[0]) == os.environ.get("FAKE_HELD") else 0.25)
        elif self.epoch == 2 and "FAKE_MENDED" not in os.environ:
            bad_step = misbehave(self.width)
        return EpochResult(loss=1 / self.epoch, accuracy=0.5, first_bad_step=bad_step)

    def device_peak_bytes(self) -> int | None:
        return 3_000_000_000 if self.width == STARVES else None

    def train_step(self, x: Any, y: Any, masks: Any) -> float:
        return 1.0

    def trace(self, x: Any, y: Any, masks: Any, steps: int) -> Trace:
        """A case that loops says so, though its model has no recurrent layer."""
        ran = "while lstm" if self.width == LOOPS else "product"
        return Trace("made up", steps, 1.0, (Executed(ran, steps, 1.0),))


def build(model: Model, kernel: str, device: str) -> FakeNetwork:
    """Return the fake network, once it is noted that its cell has begun; there is no GPU."""
    if device == "cuda":
        raise Unavailable("the fake backend sees no GPU")
    assert os.environ["FAKE_ENVIRONMENT"] == "set"
    with open(os.environ["FAKE_LOG"], "a") as log:
        words, width = model.weights[0].shape
        log.write(f"{os.getpid()} {width} {words} {os.getppid()}\n")
    return FakeNetwork("fake", model, kernel, device)


if __name__ == "__main__":
    install()
    if sys.argv[1] in ("cell", "node"):
        module = importlib.import_module({"cell": "bench.runner.worker", "node": "bench.runner.node"}[sys.argv[1]])
        del sys.argv[1]
        module.main()
    else:
        from bench.cli import main

        main(sys.argv[1:])
