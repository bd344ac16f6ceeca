"""Networks that live in another process, one per backend: frameworks do not meet, each has its own environment."""

from __future__ import annotations

import os
import pickle
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Self, cast

from bench.backends.base import Dtype, EpochResult, MaskSource, Network
from bench.backends.registry import BackendInfo
from bench.cases.model import Model
from bench.data.dataset import Features, Labels, Rows
from bench.errors import BenchError, Unavailable
from bench.machine.processes import Child, command
from bench.spec import Case, Device, Kernel
from bench.training.conformance import Violation

ANSWER_SECONDS = 1800.0
"""The longest wait for an answer where no other limit is given: many times what the slowest compiler takes."""
ANSWER_BYTES = 1 << 31
"""The longest answer: the weights of the largest documented model and their slots, as float64, are a third of it."""
_TICK = 0.5


class ServerDied(BenchError):
    """The process of a backend gave no answer to what it was asked; the message ends with its last output."""

    exit_code = 3


class Answering:
    """A process of ours that answers one request after another (`bench.runner.server.answer`); a context manager.

    Calls from several threads wait for each other; none waits longer than `seconds` for its answer.
    """

    def __init__(
        self,
        module: str,
        name: str,
        threads: int,
        environment: Mapping[str, str],
        arguments: Sequence[str] = (),
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.name, self.seconds = name, seconds
        self._lock = threading.Lock()
        self.child = Child((*command(module), *arguments), threads, environment)
        try:
            self._connection: Connection[Any, Any] = Connection(os.dup(self.child.channel))
            # The descriptors share one socket, and its limits: half a message is not waited for without end, either.
            with socket.socket(fileno=os.dup(self.child.channel)) as ours:
                limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6) or 1)
                for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                    ours.setsockopt(socket.SOL_SOCKET, option, limit)
        except BaseException:
            self.child.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self.child.__exit__()

    def ask(self, what: str, request: Any) -> tuple[str, Any]:
        """Return status and value of an answer; `what` is asked for, in words.

        Raises `TimeoutError` when it has not come in time, `ServerDied` when the process ended or answered something
        else. The process is no more after either.
        """
        with self._lock:
            try:
                self._connection.send(request)
                self._wait()
                status, value = self._received()
            except (TimeoutError, BlockingIOError) as error:
                self.child.kill()
                raise TimeoutError(what) from error
            except (EOFError, OSError) as error:
                end = f"{self.child.ending()}\n{self.child.last_output()}"
                raise ServerDied(f"{self.name}, {what}: {end}") from error
            except Exception as error:  # whatever odd bytes make of `pickle`
                self.child.kill()
                end = f"an invalid answer ({type(error).__name__}: {error})\n{self.child.last_output()}"
                raise ServerDied(f"{self.name}, {what}: {end}") from error
        return status, value

    def _received(self) -> Any:
        try:
            return pickle.loads(self._connection.recv_bytes(ANSWER_BYTES))
        except OSError as error:
            if str(error) == "bad message length":
                raise ValueError(f"it announces more than {ANSWER_BYTES:,} bytes") from error
            raise

    def _wait(self) -> None:
        """Return when there is an answer; raise `EOFError` when the process has ended without one."""
        end = time.monotonic() + self.seconds
        while True:
            dead, left = self.child.ended, end - time.monotonic()
            if self._connection.poll(0 if dead else max(0.0, min(_TICK, left))):
                return
            if dead:
                raise EOFError
            if left <= 0:
                raise TimeoutError


class Server(Answering):
    """The process of one backend."""

    def __init__(self, info: BackendInfo, threads: int) -> None:
        super().__init__("bench.runner.server", info.name, threads, dict(info.environment))
        self.info = info

    def call(self, key: str, method: str, *arguments: Any) -> Any:
        """Return the result of a method of the network `key`.

        Raises `Unavailable` and `Violation` where the process did, `ServerDied` when it gave no answer, `BenchError`
        with the traceback for any other exception.
        """
        try:
            status, value = self.ask(method, (key, method, arguments))
        except TimeoutError as error:
            last = self.child.last_output()
            raise ServerDied(f"{self.name}, {method}: no answer within {self.seconds:g} s\n{last}") from error
        if status == "unavailable":
            raise Unavailable(value)
        if status == "violation":
            raise Violation(value)
        if status == "failed":
            raise BenchError(f"{self.info.name}: {method} failed\n{value}")
        return value

    def network(self, model: Model, kernel: Kernel, device: Device, dtype: Dtype = "float32") -> Network:
        """Build a network there, in place of one of the same kernel, device and dtype; raise `Unavailable`."""
        key = f"{kernel} {device} {dtype}"
        self.call(key, "build", self.info.name, model, kernel, device, dtype)
        return cast(Network, _RemoteNetwork(self, key, model.batch_size))

    def forget(self) -> None:
        """Drop all networks."""
        self.call("", "forget")

    def verify(self, models: tuple[str, ...]) -> list[str]:
        """Hold the backend to the conformance rules on these models; return a line for each kernel of each."""
        lines: list[str] = self.call("", "verify", self.info.name, models)
        return lines


class Preparer:
    """Prepares data in a process of its own, anew where a file ended it; a context manager."""

    def __init__(self, seconds: float = ANSWER_SECONDS) -> None:
        self.seconds = seconds
        self._process: Answering | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.__exit__()
        self._process = None

    def sha256(self, case: Case, stand_ins: dict[str, str], memory: float) -> str | None:
        """Return what identifies the data of a case, None where it cannot be had within so many bytes."""
        self._process = self._process or Answering("bench.runner.server", "data", 1, {})
        self._process.seconds = self.seconds
        try:
            status, value = self._process.ask("preparing data", ("", "prepare", (case, stand_ins, int(memory))))
        except (ServerDied, TimeoutError):
            self.__exit__()
            return None
        return str(value) if status == "ok" else None


class _RemoteNetwork:
    """A `bench.backends.base.Network` in the process of a `Server`: every method is called there."""

    def __init__(self, server: Server, key: str, batch_size: int) -> None:
        self._server, self._key, self._batch_size = server, key, batch_size

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_") or not hasattr(Network, method):
            raise AttributeError(method)
        return partial(self._server.call, self._key, method)

    def train_epoch(self, x: Features, y: Labels, order: Rows, masks: MaskSource | None) -> EpochResult:
        """Train one epoch; its masks are drawn here, beforehand."""
        starts = range(0, len(order), self._batch_size)
        drawn = masks and [masks(step, len(order[at : at + self._batch_size])) for step, at in enumerate(starts)]
        found: EpochResult = self._server.call(self._key, "train_epoch", x, y, order, drawn)
        return found
