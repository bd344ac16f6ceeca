"""What Keras's TensorFlow engine needs of its own (`bench.backends.keras.engine`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.data_adapter import DataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from keras.utils import PyDataset

from bench.backends.base import Dtype, Trace, no_gpu, tf32
from bench.backends.keras.engine import Differentiate, Loss, never_cudnn
from bench.backends.keras.tensorflow_trace import trace_steps
from bench.spec import Device


class DenseGradients:
    """An optimizer mixin: rows that occur twice in an embedding gradient are summed before anything squares them.

    Keras 3's TensorFlow engine hands `IndexedSlices` with duplicate rows to the optimizer (docs/findings.md).
    `graph` is the one that the last training step was traced to: it is being made while gradients are applied.
    """

    graph: Any = None

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Apply gradients, made dense first."""
        self.graph = tf.compat.v1.get_default_graph()
        dense = [tf.convert_to_tensor(g) if isinstance(g, tf.IndexedSlices) else g for g in grads]
        super().apply(dense, trainable_variables)  # type: ignore[misc]


def prepare(device: Device, differences: frozenset[str]) -> None:
    """Keep TF32 off unless it was asked for; raise `Unavailable` when there is no GPU to use."""
    gpus = tf.config.list_physical_devices("GPU")
    if device == "cuda" and not gpus:
        raise no_gpu("TensorFlow", tf.__version__, tf.sysconfig.get_build_info().get("cuda_version"))
    tf.config.experimental.enable_tensor_float_32_execution(tf32())


def scope(device: Device, dtype: Dtype) -> AbstractContextManager[Any]:
    """Keep work on the CPU; TensorFlow itself puts it on a GPU, but for its input pipeline."""
    return cast("AbstractContextManager[Any]", tf.device("cpu:0")) if device == "cpu" else nullcontext()


step_by_step = never_cudnn


def optimizer(kind: type, learning_rate: float) -> Any:
    """Return a Keras optimizer that gets dense gradients."""
    made = type(kind.__name__, (DenseGradients, kind), {})(learning_rate)
    if isinstance(made, keras.optimizers.Adam) and keras.config.floatx() == "float64":
        # `ops.cast` makes a Python float a float32 on its way to float64: .999 would be .99900001
        # (keras/src/backend/tensorflow/core.py).
        made.beta_1, made.beta_2 = np.float64(made.beta_1), np.float64(made.beta_2)
    return made


def differentiator(model: Any, loss: Loss) -> Differentiate:
    """Return the function, traced: Keras's recurrent loops are slow when run eagerly."""

    @tf.function  # type: ignore[untyped-decorator]
    def traced(y: Any, *inputs: Any) -> tuple[Any, Any, list[Any]]:
        with tf.GradientTape() as tape:
            logits = model(inputs)
            mean = loss(y, logits)
        variables = [variable.value for variable in model.trainable_variables]
        return logits, mean, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(mean, variables)]

    def differentiate(y: Any, inputs: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
        given = [tf.convert_to_tensor(value) for value in (y, *inputs)]
        # Traced for any number of rows at once, not for one number after another.
        shapes = [tf.TensorSpec((None, *value.shape[1:]), value.dtype) for value in given]
        logits, mean, gradients = traced.get_concrete_function(*shapes)(*given)
        return logits, mean, gradients

    return differentiate


def shuffled(x: Any, y: Any, batch_size: int) -> dict[str, Any]:
    """Return the dataset that a call of `fit` makes of arrays once for all its epochs."""
    return {"x": _counted(ArrayDataAdapter(x, y, batch_size=batch_size, shuffle=True)), "shuffle": False}


def in_order(x: Any, y: Any, batch_size: int) -> dict[str, Any]:
    """Return a dataset of the arrays without a tuning thread, and without a function to trace: made in milliseconds."""
    with tf.device("cpu:0"):
        rows = tf.data.Dataset.from_tensor_slices((x, y)).with_options(_untuned())
    return {"x": rows.batch(batch_size).prefetch(2), "shuffle": False}


def batches(batches: PyDataset) -> Any:
    """Return the dataset that `fit` makes of batches, without its tuning thread."""
    return _counted(PyDatasetAdapter(batches)).with_options(_untuned())


def _untuned() -> tf.data.Options:
    """Return options without the thread that tunes an input pipeline: epochs wait for it.

    It sleeps 10, 20, 40 ms and so on, and often misses that it is to end: an epoch then lasts until its next awakening,
    up to twice as long (docs/findings.md).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _counted(adapter: DataAdapter) -> tf.data.Dataset:
    """Return Keras's own dataset with its length: without it Keras takes the end of an epoch for a shortage of data."""
    return adapter.get_tf_dataset().apply(tf.data.experimental.assert_cardinality(adapter.num_batches))


def synchronize() -> None:
    """Wait for the device."""
    tf.test.experimental.sync_devices()


def peak_bytes() -> int:
    """Return the most bytes of tensors on the GPU since the last call."""
    peak: int = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    tf.config.experimental.reset_memory_stats("GPU:0")
    return peak


def trace(step: Callable[[], object], steps: int, device: Device, model: Any) -> Trace:
    """Return what training steps ran; native embedding gradients leave Keras its own optimizer, and no graph."""
    return trace_steps(step, steps, device, getattr(model.optimizer, "graph", None))
