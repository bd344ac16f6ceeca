"""Networks that live in another process, one per backend: frameworks do not meet, each has its own environment."""

from __future__ import annotations

import os
import threading
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
from bench.spec import Device, Kernel
from bench.training.conformance import Violation


class ServerDied(BenchError):
    """The process of a backend ended while it was asked something; the message ends with its last output."""

    exit_code = 3


class Answering:
    """A process of ours that answers one request after another (`bench.runner.server.answer`); a context manager.

    Calls from several threads wait for each other.
    """

    def __init__(
        self, module: str, name: str, threads: int, environment: Mapping[str, str], arguments: Sequence[str] = ()
    ) -> None:
        self.name = name
        self._lock = threading.Lock()
        self.child = Child((*command(module), *arguments), threads, environment)
        self._connection: Connection[Any, Any] = Connection(os.dup(self.child.channel))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self.child.__exit__()

    def ask(self, what: str, request: Any, seconds: float | None = None) -> tuple[str, Any]:
        """Return status and value of an answer; `what` is asked for, in words.

        Raises `ServerDied` when the process ended, `TimeoutError` when it has not answered in so many seconds.
        """
        with self._lock:
            try:
                self._connection.send(request)
                if not self._connection.poll(seconds):
                    raise TimeoutError(what)
                status, value = self._connection.recv()
            except TimeoutError:
                raise
            except (EOFError, OSError) as error:
                end = f"{self.child.ending()}\n{self.child.last_output()}"
                raise ServerDied(f"{self.name}, {what}: {end}") from error
        return status, value


class Server(Answering):
    """The process of one backend."""

    def __init__(self, info: BackendInfo, threads: int) -> None:
        super().__init__("bench.runner.server", info.name, threads, dict(info.environment))
        self.info = info

    def call(self, key: str, method: str, *arguments: Any) -> Any:
        """Return the result of a method of the network `key`.

        Raises `Unavailable` and `Violation` where the process did, `ServerDied` when the process ended, `BenchError`
        with the traceback for any other exception.
        """
        status, value = self.ask(method, (key, method, arguments))
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
