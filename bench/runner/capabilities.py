"""What this machine can run: every backend is asked in a process of its own, by training a step of a small model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.backends.registry import BackendInfo, fused_forbidden
from bench.cases.model import resolve
from bench.errors import BenchError
from bench.runner.client import Server
from bench.spec import (
    GRU,
    KERAS_3,
    LSTM,
    Bidirectional,
    Case,
    Dense,
    Device,
    Embedded,
    Embedding,
    Recurrent,
    SimpleRNN,
    Suite,
    Training,
)
from bench.training import conformance

DEVICES: tuple[Device, ...] = ("cpu", "cuda")
RECURRENT: tuple[Recurrent | Bidirectional, ...] = (SimpleRNN(3), LSTM(3), GRU(3))
SHORT = ("dense", "convolution", "average", "lstm", "classes", "momentum", "weight-decay")
"""The models of `bench.training.conformance` that a short check takes: no dropout of states, which costs the most."""


@dataclass(frozen=True)
class Examined:
    """What a backend can do here: why it cannot run on a device, and why a layer has no fused kernel there.

    None stands for: it can, or it has one. What cannot run on a device has no entries in `fused` for it.
    """

    backend: str
    devices: dict[Device, str | None]
    fused: dict[Device, dict[str, str | None]]


def examine(info: BackendInfo, threads: int, devices: tuple[Device, ...] = DEVICES) -> Examined:
    """Start a backend and try it on each device."""
    missing = info.missing()
    reasons: dict[Device, str | None] = dict.fromkeys(devices, missing)
    if missing is None:
        with Server(info, threads) as server:
            reasons = {device: _refusal(server, device) for device in devices}
    return Examined(
        info.name,
        reasons,
        {device: dict(_fused(info, device)) for device, reason in reasons.items() if reason is None},
    )


def _refusal(server: Server, device: Device) -> str | None:
    model = conformance.model_of("dense")
    rows = np.ones((model.batch_size, *model.input_shape), np.int32)
    try:
        network = server.network(model, "none", device)
        network.train_step(rows, np.ones(len(rows), np.float32), None)
    except BenchError as error:
        return str(error).strip().splitlines()[-1]
    return None


def _fused(info: BackendInfo, device: Device) -> Iterator[tuple[str, str | None]]:
    for layer in RECURRENT:
        case = Case(
            "one-layer",
            data=Embedded(30, maxlen=7),
            layers=(Embedding(30, 4), layer, Dense(1, "sigmoid")),
            training=Training("adam", epochs=1),
        )
        model = resolve(Suite("examined", "none", "Examined", KERAS_3, (case,)), case, "documented")
        yield type(layer).__name__, fused_forbidden(info, model, device)


def conform(info: BackendInfo, threads: int) -> Iterator[str]:
    """Hold a backend to the conformance rules on the models of `SHORT`; yield a line for each kernel of each.

    Raises `Violation` at the first broken rule, `Unavailable` when its framework is missing.
    """
    with Server(info, threads) as server:
        for model in SHORT:
            yield from server.verify((model,))
