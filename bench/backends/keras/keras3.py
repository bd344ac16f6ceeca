"""Keras 3 as `bench.backends.keras.network` drives it (`bench.backends.keras.engine.Line`).

The engine in use is named by `KERAS_BACKEND`; what it needs of its own is in `tensorflow`, `jax` or `torch` beside this
module.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import keras
import numpy as np
from keras import ops
from keras.src.backend.common import dtypes as promotion
from numpy.typing import NDArray

from bench.backends.base import Dtype
from bench.backends.keras.engine import Engine, UseCudnn, optimizer_options
from bench.cases.model import Model
from bench.spec import Recurrent

engine = cast("Engine", importlib.import_module(f"bench.backends.keras.{keras.backend.backend()}"))
backend = f"keras-{keras.backend.backend()}"
Batches = keras.utils.PyDataset
loss_of_logits = True
array = ops.convert_to_numpy
erf = ops.erf


@keras.saving.register_keras_serializable("twinbench")  # type: ignore[untyped-decorator]
def hard_sigmoid_keras2(x: Any) -> Any:
    """Return clip(0.2 x + 0.5, 0, 1): `hard_sigmoid` of Keras 2 (keras/backend/tensorflow_backend.py, 2.2.4)."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


gates = {"sigmoid": "sigmoid", "hard_sigmoid": "hard_sigmoid", "hard_sigmoid_keras2": hard_sigmoid_keras2}


class RMSpropKeras2(keras.optimizers.RMSprop):  # type: ignore[misc]
    """RMSprop of Keras up to 2.10: divides by sqrt(v) + epsilon.

    keras/optimizers.py:276 in 2.3.1, keras/optimizers/optimizer_v2/rmsprop.py:241 in 2.10.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable and its running mean of squared gradients."""
        rate = ops.cast(learning_rate, variable.dtype)
        velocity = self._velocities[self._get_variable_index(variable)]
        self.assign(velocity, self.rho * velocity + (1 - self.rho) * ops.square(gradient))
        self.assign_sub(variable, rate * gradient / (ops.sqrt(velocity) + self.epsilon))


@contextmanager
def precision(dtype: Dtype) -> Iterator[None]:
    """Make everything in a precision: Keras casts inputs and makes state by settings of the process.

    Under JAX and torch Keras makes a float32 of every float64 that meets another type
    (keras/src/backend/common/dtypes.py); a float64 network does without.
    """
    before = keras.config.floatx(), keras.config.dtype_policy(), promotion.BIT64_TO_BIT32_DTYPE["float64"]
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    if dtype == "float64":
        promotion.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
        promotion.BIT64_TO_BIT32_DTYPE["float64"] = before[2]


def recurrent(kind: type, options: dict[str, Any], use_cudnn: UseCudnn) -> Any:
    """Return a recurrent layer; a SimpleRNN has no kernel to choose."""
    return kind(**options) if kind is keras.layers.SimpleRNN else kind(**options, use_cudnn=use_cudnn)


def choose_kernel(layer: Any, use_cudnn: UseCudnn) -> None:
    """Set the kernel of a layer that was made without one."""
    if not isinstance(layer, keras.layers.SimpleRNN):
        layer.use_cudnn = use_cudnn


def hand_masks(layer: Any, declared: Recurrent, masks: Sequence[Any]) -> None:
    """Put the harness's masks where a Keras cell keeps its own.

    keras/src/layers/rnn/dropout_rnn_cell.py: cached, reset after the call.
    """
    if not masks:
        return
    per_gate = hasattr(layer.cell, "dropout_mask_count")
    taken = iter(masks)
    for rate, attribute in (
        (declared.dropout, "_dropout_mask"),
        (declared.recurrent_dropout, "_recurrent_dropout_mask"),
    ):
        if rate:
            mask = next(taken)
            setattr(layer.cell, attribute, ops.unstack(mask, axis=1) if per_gate else mask[:, 0])


def normalization(kind: type, momentum: float, epsilon: float) -> Any:
    """Return a normalization."""
    return kind(momentum=momentum, epsilon=epsilon)


def optimizer(model: Model) -> Any:
    """Return Keras 3's optimizer, with the older epsilon and summed embedding gradients where the model has them."""
    kind = getattr(keras.optimizers, model.optimizer_name)
    options = optimizer_options(model, keras.optimizers, cast("Dtype", keras.config.floatx()))
    if "embedding-gradient" in model.differences:
        return kind(**options)
    if model.optimizer == "rmsprop" and model.rmsprop_epsilon == "outside":
        kind = RMSpropKeras2
    return engine.optimizer(kind, options)


def slots(optimizer: Any, trained: Sequence[Any]) -> list[Any]:
    """Make the slots and return them."""
    optimizer.build(trained)
    if isinstance(optimizer, keras.optimizers.SGD):
        return list(optimizer.momentums)
    if isinstance(optimizer, keras.optimizers.RMSprop):
        return list(optimizer._velocities)
    return [slot for pair in zip(optimizer._momentums, optimizer._velocities, strict=True) for slot in pair]


def permutation(rows: int) -> NDArray[Any]:
    """Return the numbers below `rows` in an order that Keras draws."""
    return np.array(keras.random.shuffle(np.arange(rows)))
