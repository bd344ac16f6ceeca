"""Keras 2 as `bench.backends.keras.network` drives it: tf_keras, the line that goes on beside TensorFlow.

Line and engine in one (`bench.backends.keras.engine`): Keras 2 has no other engine here. Layers, losses, `fit` and
optimizers are its own; documented numerics of suites up to Keras 2.10 take the `legacy` optimizers, all else those of
2.11. Dropout masks are the harness's where cells draw theirs (tf_keras/src/layers/rnn/dropout_rnn_cell_mixin.py).
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow.experimental.numpy as ops  # noqa: F401 (of the line)
from numpy.typing import NDArray

from bench.backends.base import Dtype, Trace
from bench.backends.keras import tensorflow_device
from bench.backends.keras.engine import Differentiate, Loss, UseCudnn, given_shuffled, optimizer_options
from bench.backends.keras.tensorflow_trace import picked, trace_steps
from bench.cases.model import Model
from bench.errors import Unavailable
from bench.spec import GRU, LSTM, Device, Recurrent

_WANTED = tf.__version__.rpartition(".")[0]
if not importlib.metadata.version("tf_keras").startswith(f"{_WANTED}."):
    raise Unavailable(
        f"tf_keras {importlib.metadata.version('tf_keras')} is not for TensorFlow {tf.__version__}; "
        f"pip install 'tf_keras=={_WANTED}.*'"
    )
import tf_keras as keras  # noqa: E402

engine = sys.modules[__name__]
backend = "tf-keras"
Batches = keras.utils.Sequence
loss_of_logits = False  # its losses find the logits behind sigmoid and softmax (tf_keras/src/backend.py, `_get_logits`)
array = np.asarray
erf = tf.math.erf


@keras.saving.register_keras_serializable("twinbench")  # type: ignore[untyped-decorator]
def hard_sigmoid_keras3(x: Any) -> Any:
    """Return relu6(x + 3) / 6: `hard_sigmoid` of Keras 3 (keras/src/backend/tensorflow/nn.py)."""
    return tf.nn.relu6(x + 3.0) / 6.0


gates = {"sigmoid": "sigmoid", "hard_sigmoid": hard_sigmoid_keras3, "hard_sigmoid_keras2": "hard_sigmoid"}

# --- the line ----------------------------------------------------------------------------------------------------


@contextmanager
def precision(dtype: Dtype) -> Iterator[None]:
    """Make everything in a precision."""
    before = keras.backend.floatx(), keras.mixed_precision.global_policy()
    keras.backend.set_floatx(dtype)
    keras.mixed_precision.set_global_policy(dtype)
    try:
        yield
    finally:
        keras.backend.set_floatx(before[0])
        keras.mixed_precision.set_global_policy(before[1])


def recurrent(kind: type, options: dict[str, Any], use_cudnn: UseCudnn) -> Any:
    """Return a recurrent layer that runs step by step on a GPU only where that is asked for."""
    layer = kind(**options)
    choose_kernel(layer, use_cudnn)
    return layer


def choose_kernel(layer: Any, use_cudnn: UseCudnn) -> None:
    """Keep a layer off cuDNN where that is asked for; else it chooses as its users' do."""
    if use_cudnn is False:
        layer._could_use_gpu_kernel = False


def hand_masks(layer: Any, declared: Recurrent, masks: Sequence[Any]) -> None:
    """Put the harness's masks in place of those that cells, and layers that may run on cuDNN, draw for themselves.

    tf_keras/src/layers/rnn/lstm.py: outside its cell an LSTM draws a mask for every step; it gets that of all steps.
    """
    per_gate = isinstance(declared, LSTM | GRU)
    taken = iter(masks)
    for rate, method in (
        (declared.dropout, "get_dropout_mask_for_cell"),
        (declared.recurrent_dropout, "get_recurrent_dropout_mask_for_cell"),
    ):
        if not rate:
            continue
        mask = next(taken, None)
        by_gate = [1.0] * 4 if mask is None else tf.unstack(mask, axis=1)
        setattr(layer.cell, method, _always(by_gate if per_gate else by_gate[0]))
        if per_gate:
            setattr(layer, method, _always([1.0 if mask is None else mask[:, :1]]))


def _always(masks: Any) -> Callable[..., Any]:
    def given(inputs: Any, training: Any, count: int = 1) -> Any:
        return masks

    return given


class _MaskedMoments:
    """Moments of masked steps as Keras 3 takes them, over the number of steps plus 1e-7; Keras 2 adds nothing.

    keras/src/layers/normalization/batch_normalization.py; tf_keras/src/layers/normalization/batch_normalization.py,
    `tf.nn.weighted_moments`.
    """

    def _no_sync_calculate_mean_and_var(self, inputs: Any, axes: Any, keep_dims: bool, mask: Any = None) -> Any:
        found = super()._no_sync_calculate_mean_and_var(inputs, axes, keep_dims, mask=mask)  # type: ignore[misc]
        if mask is None:
            return found
        mean, variance = found
        number = tf.reduce_sum(tf.cast(mask, inputs.dtype))
        share = tf.math.divide_no_nan(number, number + keras.backend.epsilon())
        # Around a mean that is smaller by a share, the variance is larger by the square of what it lacks.
        return mean * share, (variance + ((1 - share) * mean) ** 2) * share


def normalization(kind: type, momentum: float, epsilon: float) -> Any:
    """Return a normalization; Keras 2 makes a float32 of a Python float that is its momentum."""
    return type(kind.__name__, (_MaskedMoments, kind), {})(momentum=np.float64(momentum), epsilon=epsilon)


class DenseGradients:
    """An optimizer mixin: rows that occur twice in an embedding gradient are summed before it is clipped.

    Keras 2 sums them behind that (tf_keras/src/optimizers/optimizer.py, `apply_gradients`). And the momentum of its
    legacy SGD decays in the rows of a batch alone (`ResourceSparseApplyKerasMomentum`).
    """

    def apply_gradients(self, grads_and_vars: Any, *arguments: Any, **more: Any) -> Any:
        """Apply gradients, made dense first."""
        dense = [(None if g is None else tf.convert_to_tensor(g), variable) for g, variable in grads_and_vars]
        return super().apply_gradients(dense, *arguments, **more)  # type: ignore[misc]


def optimizer(model: Model) -> Any:
    """Return the optimizer of the model's era."""
    legacy = model.rmsprop_epsilon == "outside"
    home, name = keras.optimizers.legacy if legacy else keras.optimizers, model.optimizer_name
    if not hasattr(home, name):
        raise Unavailable(
            f"Keras up to 2.10 has no {name} (tf_keras.optimizers.legacy); give the suite the era KERAS_2_11 or KERAS_3"
        )
    kind, dtype = getattr(home, name), keras.backend.floatx()
    if "embedding-gradient" not in model.differences and (model.clip or (name == "SGD" and model.slots)):
        kind = type(name, (DenseGradients, kind), {})
    options = optimizer_options(model, keras.optimizers, dtype)
    if dtype == "float32":
        return kind(**options)
    betas = {"RMSprop": {"rho": 0.9}, "SGD": {}}.get(name, {"beta_1": 0.9, "beta_2": 0.999})
    if legacy:  # which makes variables of float32 of all numbers but those that it gets from functions
        named = {name: options.get(name) for name in ("learning_rate", "momentum")}
        numbers = {name: value for name, value in {**named, **betas}.items() if isinstance(value, float) and value}
        return kind(**{**options, **{name: _constant(np.float64(value)) for name, value in numbers.items()}})
    made = kind(**options)
    for name, value in betas.items():
        setattr(made, name, np.float64(value))
    return made


def _constant(value: np.float64) -> Callable[[], np.float64]:
    return lambda: value


def slots(optimizer: Any, trained: Sequence[Any]) -> list[Any]:
    """Make the slots and return them."""
    if isinstance(optimizer, keras.optimizers.legacy.Optimizer):
        optimizer._create_all_weights(trained)
        return [optimizer.get_slot(weight, name) for weight in trained for name in optimizer.get_slot_names()]
    optimizer.build(trained)
    if isinstance(optimizer, keras.optimizers.SGD):
        return list(optimizer.momentums) if optimizer.momentum else []  # it has them either way
    if isinstance(optimizer, keras.optimizers.RMSprop):
        return list(optimizer._velocities)
    return [slot for pair in zip(optimizer._momentums, optimizer._velocities, strict=True) for slot in pair]


def permutation(rows: int) -> NDArray[Any]:
    """Return the numbers below `rows` in an order that TensorFlow draws."""
    return np.asarray(tf.random.shuffle(np.arange(rows)))


# --- the engine --------------------------------------------------------------------------------------------------

prepare, scope = tensorflow_device.prepare, tensorflow_device.scope
synchronize, peak_bytes = tensorflow_device.synchronize, tensorflow_device.peak_bytes
in_order, shuffled = tensorflow_device.in_order, given_shuffled


def step_by_step(device: Device) -> UseCudnn:
    """Return False on a GPU; on a CPU the layer's own choice, which is what its users run: a loop too."""
    return "auto" if device == "cpu" else False


def differentiator(model: Any, loss: Loss) -> Differentiate:
    """Return the function."""
    return tensorflow_device.differentiator(model, loss, lambda model: model.trainable_variables)


def batches(batches: Any) -> Any:
    """Return a dataset of the batches, without the threads that a `Sequence` is read by."""

    def made() -> Iterator[Any]:
        return (batches[step] for step in range(len(batches)))

    shapes = tf.nest.map_structure(lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), batches[0])
    dataset = tf.data.Dataset.from_generator(made, output_signature=shapes)
    counted = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))
    return counted.with_options(tensorflow_device.untuned())


def trace(step: Callable[[], object], steps: int, device: Device, model: Any) -> Trace:
    """Return what training steps ran, and which function of each LSTM and GRU TensorFlow picked."""
    variables = [*model.variables, *model.optimizer.variables()]
    before = [variable.numpy() for variable in variables]
    model.make_train_function(force=True)  # graphs are optimized, and seen, when they are made
    functions = [replace(found, calls=found.calls * steps) for found in picked(step)]
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    trace = trace_steps(step, steps, device, None)
    return replace(trace, ran=(*trace.ran, *functions))
