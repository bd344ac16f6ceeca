"""How TensorFlow is set up, fed and differentiated by both lines of Keras; neither is imported here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import tensorflow as tf

from bench.backends.base import Dtype, no_gpu, tf32
from bench.backends.keras.engine import Differentiate, Loss
from bench.spec import Device


def prepare(device: Device, differences: frozenset[str]) -> None:
    """Keep TF32 off unless it was asked for; raise `Unavailable` when there is no GPU to use."""
    gpus = tf.config.list_physical_devices("GPU")
    if device == "cuda" and not gpus:
        raise no_gpu("TensorFlow", tf.__version__, tf.sysconfig.get_build_info().get("cuda_version"))
    tf.config.experimental.enable_tensor_float_32_execution(tf32())


def scope(device: Device, dtype: Dtype) -> AbstractContextManager[Any]:
    """Keep work on the CPU; TensorFlow itself puts it on a GPU, but for its input pipeline."""
    return cast("AbstractContextManager[Any]", tf.device("cpu:0")) if device == "cpu" else nullcontext()


def differentiator(model: Any, loss: Loss, trained: Callable[[Any], Sequence[Any]]) -> Differentiate:
    """Return the function, traced: Keras's recurrent loops are slow when run eagerly.

    `trained` gives TensorFlow's variables of the model's trainable weights.
    """

    @tf.function  # type: ignore[untyped-decorator]
    def traced(y: Any, *inputs: Any) -> tuple[Any, Any, list[Any]]:
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            mean = loss(y, logits)
        return logits, mean, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(mean, trained(model))]

    def differentiate(y: Any, inputs: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
        given = [tf.convert_to_tensor(value) for value in (y, *inputs)]
        # Traced for any number of rows at once, not for one number after another.
        shapes = [tf.TensorSpec((None, *value.shape[1:]), value.dtype) for value in given]
        logits, mean, gradients = traced.get_concrete_function(*shapes)(*given)
        return logits, mean, gradients

    return differentiate


def in_order(x: Any, y: Any, batch_size: int) -> dict[str, Any]:
    """Return a dataset of the arrays without a tuning thread, and without a function to trace: made in milliseconds."""
    with tf.device("cpu:0"):
        rows = tf.data.Dataset.from_tensor_slices((x, y)).with_options(untuned())
    return {"x": rows.batch(batch_size).prefetch(2), "shuffle": False}


def untuned() -> tf.data.Options:
    """Return options without the thread that tunes an input pipeline: epochs wait for it.

    It sleeps 10, 20, 40 ms and so on, and often misses that it is to end: an epoch then lasts until its next awakening,
    up to twice as long (docs/findings.md).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def synchronize() -> None:
    """Wait for the device."""
    tf.test.experimental.sync_devices()


def peak_bytes() -> int:
    """Return the most bytes of tensors on the GPU since the last call."""
    peak: int = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    tf.config.experimental.reset_memory_stats("GPU:0")
    return peak
