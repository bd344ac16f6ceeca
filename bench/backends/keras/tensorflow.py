"""What Keras's TensorFlow engine needs of its own (`bench.backends.keras.engine`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.data_adapter import DataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from keras.utils import PyDataset

from bench.backends.base import Trace
from bench.backends.keras import tensorflow_device
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


prepare, scope = tensorflow_device.prepare, tensorflow_device.scope
synchronize, peak_bytes, in_order = (
    tensorflow_device.synchronize, tensorflow_device.peak_bytes, tensorflow_device.in_order,
)  # fmt: skip
step_by_step = never_cudnn


def optimizer(kind: type, options: dict[str, Any]) -> Any:
    """Return a Keras optimizer that gets dense gradients."""
    made = type(kind.__name__, (DenseGradients, kind), {})(**options)
    if isinstance(made, keras.optimizers.Adam) and keras.config.floatx() == "float64":
        # As in `optimizer_options`; these are Keras's defaults.
        made.beta_1, made.beta_2 = np.float64(made.beta_1), np.float64(made.beta_2)
    return made


def differentiator(model: Any, loss: Loss) -> Differentiate:
    """Return the function."""
    return tensorflow_device.differentiator(
        model, loss, lambda model: [variable.value for variable in model.trainable_variables]
    )


def shuffled(x: Any, y: Any, batch_size: int) -> dict[str, Any]:
    """Return the dataset that a call of `fit` makes of arrays once for all its epochs."""
    return {"x": _counted(ArrayDataAdapter(x, y, batch_size=batch_size, shuffle=True)), "shuffle": False}


def batches(batches: PyDataset) -> Any:
    """Return the dataset that `fit` makes of batches, without its tuning thread."""
    return _counted(PyDatasetAdapter(batches)).with_options(tensorflow_device.untuned())


def _counted(adapter: DataAdapter) -> tf.data.Dataset:
    """Return Keras's own dataset with its length: without it Keras takes the end of an epoch for a shortage of data."""
    return adapter.get_tf_dataset().apply(tf.data.experimental.assert_cardinality(adapter.num_batches))


def trace(step: Callable[[], object], steps: int, device: Device, model: Any) -> Trace:
    """Return what training steps ran; native embedding gradients leave Keras its own optimizer, and no graph."""
    return trace_steps(step, steps, device, getattr(model.optimizer, "graph", None))
