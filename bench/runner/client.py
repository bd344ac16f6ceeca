"""Networks that live in another process, one per backend: frameworks do not meet, each has its own environment."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from tempfile import TemporaryFile
from typing import Any

from numpy.typing import NDArray

from bench.backends.base import Arrays, Dtype, EpochResult, Floats, Gradients, MaskSource, Trace
from bench.backends.registry import BackendInfo
from bench.cases.model import Model
from bench.cases.parameters import Parameters
from bench.data.dataset import Features, Rows
from bench.errors import BenchError, Unavailable
from bench.machine.processes import GPU_ORDER, LOG_BYTES, command, thread_environment
from bench.spec import Device, Kernel
from bench.training.conformance import Violation


class ServerDied(BenchError):
    """The process of a backend ended while it was asked something; the message ends with its last output."""

    exit_code = 3


class Server:
    """The process of one backend; a context manager. Calls from several threads wait for each other."""

    def __init__(self, info: BackendInfo, threads: int) -> None:
        self.info = info
        self._lock = threading.Lock()
        self._log = TemporaryFile()  # noqa: SIM115 (closed with the server)
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [*command("bench.runner.server"), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            env={**os.environ, **GPU_ORDER, **thread_environment(threads), **dict(info.environment)},
        )
        theirs.close()
        self._connection: Connection[Any, Any] = Connection(ours.detach())

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def call(self, key: str, method: str, *arguments: Any) -> Any:
        """Return the result of a method of the network `key`.

        Raises `Unavailable` and `Violation` where the process did, `ServerDied` when the process ended, `BenchError`
        with the traceback for any other exception.
        """
        with self._lock:
            try:
                self._connection.send((key, method, arguments))
                status, value = self._connection.recv()
            except (EOFError, OSError) as error:
                raise ServerDied(
                    f"{self.info.name}: its process ended with code {self._process.wait()} in {method}\n"
                    f"{self._last_output()}"
                ) from error
        if status == "unavailable":
            raise Unavailable(value)
        if status == "violation":
            raise Violation(value)
        if status == "failed":
            raise BenchError(f"{self.info.name}: {method} failed\n{value}")
        return value

    def verify(self, models: tuple[str, ...]) -> list[str]:
        """Hold the backend to the conformance rules on these models; return a line for each kernel of each."""
        lines: list[str] = self.call("", "verify", self.info.name, models)
        return lines

    def _last_output(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - LOG_BYTES))
        return self._log.read().decode(errors="replace")


class RemoteNetwork:
    """A `bench.backends.base.Network` in the process of a `Server`."""

    def __init__(self, server: Server, model: Model, kernel: Kernel, device: Device, dtype: Dtype) -> None:
        self.server, self._key, self._batch_size = server, f"{kernel} {device} {dtype}", model.batch_size
        self._call("build", server.info.name, model, kernel, device, dtype)

    def _call(self, method: str, *arguments: Any) -> Any:
        return self.server.call(self._key, method, *arguments)

    def parameters(self) -> Parameters:
        """Return the parameter counts of what was really built."""
        found: Parameters = self._call("parameters")
        return found

    def get_weights(self) -> Arrays:
        """Return all weights."""
        found: Arrays = self._call("get_weights")
        return found

    def set_weights(self, weights: Arrays) -> None:
        """Load all weights."""
        self._call("set_weights", weights)

    def initialize(self, seed: int) -> None:
        """Seed the framework; under native `init` draw the weights."""
        self._call("initialize", seed)

    def get_optimizer_state(self) -> Arrays:
        """Return [step count] and the slots."""
        found: Arrays = self._call("get_optimizer_state")
        return found

    def set_optimizer_state(self, state: Arrays) -> None:
        """Load what `get_optimizer_state` returned."""
        self._call("set_optimizer_state", state)

    def train_epoch(self, x: Features, y: Floats, order: Rows, masks: MaskSource | None) -> EpochResult:
        """Train one epoch; its masks are drawn here, beforehand."""
        starts = range(0, len(order), self._batch_size)
        drawn = masks and [masks(step, len(order[at : at + self._batch_size])) for step, at in enumerate(starts)]
        found: EpochResult = self._call("train_epoch", x, y, order, drawn)
        return found

    def train_step(self, x: NDArray[Any], y: Floats, masks: Arrays | None) -> float:
        """Make one optimizer step; return the loss before it."""
        found: float = self._call("train_step", x, y, masks)
        return found

    def gradients(self, x: NDArray[Any], y: Floats, masks: Arrays | None) -> Gradients:
        """Return logits, loss and gradients of one batch."""
        found: Gradients = self._call("gradients", x, y, masks)
        return found

    def logits(self, x: Features) -> NDArray[Any]:
        """Return the logits (rows,) of all rows."""
        found: NDArray[Any] = self._call("logits", x)
        return found

    def synchronize(self) -> None:
        """Wait for the device."""
        self._call("synchronize")

    def device_peak_bytes(self) -> int | None:
        """Return the most bytes of a GPU in use since the last call; None on a CPU."""
        found: int | None = self._call("device_peak_bytes")
        return found

    def trace(self, x: NDArray[Any], y: Floats, masks: Arrays | None, steps: int) -> Trace:
        """Make `steps` optimizer steps under the framework's profiler; say what ran in them."""
        found: Trace = self._call("trace", x, y, masks, steps)
        return found
