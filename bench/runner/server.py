"""A process that holds networks of one backend and does with them what its parent asks.

Started by `bench.runner.client` as `python -m bench.runner.server DESCRIPTOR`, with its environment already set. The
descriptor is a socket to the parent, over which both send pickled objects (`multiprocessing.connection`): the ends
are this program's own and nobody else can reach them. A request is (key, method, arguments); `build` makes the
network of a key, `prepare` needs none, everything else is a method of `bench.backends.base.Network`. An answer is
(status, value). The end of the connection ends this process.
"""

from __future__ import annotations

import os
import resource
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from bench.backends.base import Network
from bench.backends.registry import backend
from bench.errors import Unavailable
from bench.machine import gpu
from bench.training.conformance import Violation, verify
from bench.training.experiment import dataset_of


def main() -> None:
    """Answer requests until the parent closes the connection, then leave without the frameworks' own teardown."""
    networks: dict[str, Network] = {}

    def answered(request: Any) -> tuple[str, Any]:
        try:
            return "ok", perform(networks, *request)
        except Unavailable as error:
            return "unavailable", gpu.reason(error)
        except Violation as error:
            return "violation", str(error)
        except Exception:
            return "failed", traceback.format_exc()

    answer(answered)


def answer(answered: Callable[[Any], tuple[str, Any]]) -> NoReturn:
    """Send what `answered` says to each request, (status, value); the end of the connection ends the process."""
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    while True:
        try:
            request = connection.recv()
        except EOFError:
            os._exit(0)
        connection.send(answered(request))


def perform(networks: dict[str, Network], key: str, method: str, arguments: tuple[Any, ...]) -> Any:
    """Do one request: `build` takes the backend's name first, `train_epoch` drawn masks; `forget` drops networks.

    `verify` takes what `bench.training.conformance.verify` does, and its lines are the answer. `prepare` takes what
    `dataset_of` does, and the bytes it may allocate; its answer identifies the data.
    """
    if method == "forget":
        networks.clear()
        return None
    if method == "prepare":
        case, stand_ins, memory = arguments
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (memory if most == resource.RLIM_INFINITY else most, most))
        return dataset_of(case, stand_ins).sha256
    if method == "verify":
        return list(verify(*arguments))
    if method == "build":
        name, *rest = arguments
        networks[key] = backend(name).load()(*rest)
        return None
    if method == "train_epoch":
        x, y, order, drawn = arguments
        return networks[key].train_epoch(x, y, order, None if drawn is None else lambda step, rows: drawn[step])
    return getattr(networks[key], method)(*arguments)


if __name__ == "__main__":
    main()
