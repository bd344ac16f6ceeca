"""What Keras's torch engine needs of its own (`bench.backends.keras.engine`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

import keras
import torch

from bench.backends.base import Dtype, Trace
from bench.backends.keras.engine import (
    Differentiate,
    Loss,
    UseCudnn,
    given_batches,
    given_in_order,
    given_shuffled,
    plain_optimizer,
)
from bench.backends.torch import device as torch_device
from bench.backends.torch.trace import trace_steps
from bench.spec import Device


def scope(device: Device, dtype: Dtype) -> AbstractContextManager[Any]:
    """Work on the CPU or the current GPU.

    Named without an index: a weight moved from `cpu` to `cpu:0` would be a copy that gets no gradient
    (keras/src/backend/torch/core.py, `Variable._initialize`).
    """
    return cast("AbstractContextManager[Any]", keras.device(device))


def step_by_step(device: Device) -> UseCudnn:
    """Return False on a GPU; on a CPU the layer's own choice, which is what its users run.

    It is a loop too, but another one (keras/src/backend/torch/rnn.py, `_fallback_lstm`, `_fallback_gru`).
    """
    return "auto" if device == "cpu" else False


def differentiator(model: Any, loss: Loss) -> Differentiate:
    """Return the function."""

    def differentiate(y: Any, inputs: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
        labels, *given = (keras.ops.convert_to_tensor(value) for value in (y, *inputs))
        logits = model(tuple(given), training=True)
        mean = loss(labels, logits)
        variables = [variable.value for variable in model.trainable_variables]
        return logits, mean, list(torch.autograd.grad(mean, variables))

    return differentiate


prepare, synchronize, peak_bytes = torch_device.prepare, torch_device.synchronize, torch_device.peak_bytes
optimizer = plain_optimizer
batches, in_order, shuffled = given_batches, given_in_order, given_shuffled


def trace(step: Callable[[], object], steps: int, device: Device, model: Any) -> Trace:
    """Return what training steps ran."""
    return trace_steps(step, steps, torch.device(device))
