"""What Keras's JAX engine needs of its own (`bench.backends.keras.engine`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax

from bench.backends.base import Dtype, Trace, no_gpu, tf32
from bench.backends.keras.engine import (
    Differentiate,
    Loss,
    given_batches,
    given_in_order,
    given_shuffled,
    never_cudnn,
    plain_optimizer,
)
from bench.backends.keras.jax_trace import trace_steps
from bench.spec import Device


def prepare(device: Device, differences: frozenset[str]) -> None:
    """Keep TF32 off unless it was asked for; raise `Unavailable` when there is no GPU to use."""
    if device == "cuda":
        try:
            jax.devices("cuda")
        except RuntimeError as error:
            raise no_gpu("JAX", jax.__version__, _built_for(), error) from None
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32() else "highest")


def _built_for() -> str | None:
    """Return the CUDA version of the plugin that gives JAX its GPUs: there is one for each major version."""
    installed = [major for major in ("13", "12") if importlib.util.find_spec(f"jax_cuda{major}_plugin")]
    return installed[0] if installed else None


@contextmanager
def scope(device: Device, dtype: Dtype) -> Iterator[None]:
    """Work on the first device of a kind, with 64-bit numbers where the network has them."""
    with jax.default_device(jax.devices(device)[0]), jax.enable_x64(dtype == "float64"):
        yield


def differentiator(model: Any, loss: Loss) -> Differentiate:
    """Return the function, compiled anew for every number of rows."""

    @jax.jit
    def traced(trained: Any, others: Any, y: Any, inputs: Any) -> tuple[Any, Any, Any]:
        def forward(trained: Any) -> tuple[Any, Any]:
            logits, _ = model.stateless_call(trained, others, inputs, training=True)
            return loss(y, logits), logits

        (mean, logits), gradients = jax.value_and_grad(forward, has_aux=True)(trained)
        return logits, mean, gradients

    def differentiate(y: Any, inputs: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
        trained, others = (
            [variable.value for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        )
        logits, mean, gradients = traced(trained, others, y, tuple(inputs))
        return logits, mean, gradients

    return differentiate


optimizer, step_by_step = plain_optimizer, never_cudnn
batches, in_order, shuffled = given_batches, given_in_order, given_shuffled


def synchronize() -> None:
    """Wait for everything that was computed and is still held."""
    jax.block_until_ready(jax.live_arrays())


def peak_bytes() -> int:
    """Return the most bytes of arrays on the GPU since the process began: JAX does not set its peak back."""
    peak: int = jax.devices("cuda")[0].memory_stats()["peak_bytes_in_use"]
    return peak


def trace(step: Callable[[], object], steps: int, device: Device, model: Any) -> Trace:
    """Return what training steps ran."""
    return trace_steps(step, steps, device)
