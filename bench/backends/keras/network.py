"""Keras as a backend: its own layers, `fit` and optimizers, with the harness's weights, order and dropout masks.

One module drives both lines: `TF_USE_LEGACY_KERAS` asks for Keras 2, else it is Keras 3 on the engine that
`KERAS_BACKEND` names. What each needs of its own is beside this module (`bench.backends.keras.engine`). Differences
that `docs/numerics.md` lists are set right here, unless native numerics leave them: RMSprop as up to Keras 2.10,
logits with a threshold-0 accuracy, masks drawn by the harness.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from bench.backends.base import Arrays, Dtype, EpochResult, Gradients, MaskSource, Trace, counted, portions
from bench.backends.keras.engine import Line, UseCudnn
from bench.backends.registry import backend, check_kernel
from bench.cases.model import INITIAL, BuiltLayer, Model, edges, leaves_to_framework
from bench.cases.parameters import LayerParameters, Parameters
from bench.data.dataset import Features, Labels, MultiHot, Rows
from bench.errors import Unavailable
from bench.spec import (
    GRU,
    LSTM,
    Activation,
    ActivationLayer,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Device,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Kernel,
    LayerNormalization,
    MaxPooling1D,
    Recurrent,
    SimpleRNN,
    SpatialDropout1D,
)

EVALUATION_ROWS = 1024

_LINE = "keras2" if os.environ.get("TF_USE_LEGACY_KERAS") == "1" else "keras3"
LINE = cast("Line", importlib.import_module(f"bench.backends.keras.{_LINE}"))
ENGINE, keras, ops = LINE.engine, LINE.keras, LINE.ops


class MaskedDropout(keras.layers.Layer):  # type: ignore[misc, name-defined]
    """Dropout whose mask is given instead of drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def call(self, inputs: Any, keep: Any = None) -> Any:
        """Return inputs * keep while training (keep: 0 or 1/(1-rate)), the inputs otherwise."""
        return inputs if keep is None else inputs * keep


class MeanOfSteps(keras.layers.AveragePooling1D):  # type: ignore[misc, name-defined]
    """Average pooling that leaves padding out on Keras's torch engine, too.

    The engine repeats the last step instead (keras/src/backend/torch/nn.py, `_apply_same_padding`, 3.15.1).
    """

    def call(self, inputs: Any) -> Any:
        """Return the means of windows, each over the steps that it holds."""
        (size,), (strides,) = self.pool_size, self.strides
        ends = edges(inputs.shape[1], size, strides, self.padding)

        def sums(x: Any) -> Any:
            return ops.average_pool(ops.pad(x, ((0, 0), ends, (0, 0))), size, strides)

        return sums(inputs) / sums(ops.ones_like(inputs))


class FirstBadStep(keras.metrics.Metric):  # type: ignore[misc, name-defined]
    """The first step of an epoch (from 1) with a logit that is not finite, 0 while there is none."""

    def __init__(self) -> None:
        super().__init__(name="first_bad_step", dtype="float32")
        self.steps = self.add_weight(name="steps", shape=(), initializer="zeros")
        self.bad = self.add_weight(name="bad", shape=(), initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a step and look at its logits."""
        steps, bad = self.steps + 1.0, self.bad + 0.0  # tensors
        self.steps.assign(steps)
        fine = ops.logical_or(ops.all(ops.isfinite(y_pred)), bad > 0)
        self.bad.assign(ops.where(fine, bad, steps))

    def result(self) -> Any:
        """Return the step."""
        return self.bad + 0.0


class TwinModel(keras.Model):  # type: ignore[misc, name-defined]
    """The layers of a `Model` in sequence; inputs are rows, then in training the dropout masks."""

    def __init__(self, model: Model, stack: list[Any]) -> None:
        super().__init__()
        self.spec, self.stack = model, stack

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return logits, (rows, 1) or (rows, classes)."""
        x, *masks = inputs if isinstance(inputs, tuple | list) else (inputs,)
        taken = portions(masks, [len(built.masks) for built in self.spec.layers])
        for built, layer, given in zip(self.spec.layers, self.stack, taken, strict=True):
            if isinstance(layer, MaskedDropout):
                x = layer(x, *given)
            elif isinstance(built.layer, Bidirectional):
                half = len(given) // 2
                LINE.hand_masks(layer.forward_layer, built.layer.layer, given[:half])
                LINE.hand_masks(layer.backward_layer, built.layer.layer, given[half:])
                x = layer(x, training=bool(given))
            elif isinstance(built.layer, SimpleRNN | LSTM | GRU):
                LINE.hand_masks(layer, built.layer, given)
                x = layer(x, training=bool(given))
            elif isinstance(built.layer, BatchNormalization):
                # Else it would take what the recurrent layer before it was told.
                x = layer(x, training=training)
            else:
                x = layer(x)
        return x


class Probabilities(TwinModel):
    """A `TwinModel` as Keras's users train it: with the sigmoid or softmax of its last layer."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return probabilities, (rows, 1) or (rows, classes)."""
        return _probabilities(self.spec)(super().call(inputs, training=training))


def _probabilities(model: Model) -> Callable[[Any], Any]:
    activation: Callable[[Any], Any] = keras.activations.softmax if model.classes else keras.activations.sigmoid
    return activation


def _loss(model: Model, *, on_logits: bool) -> Any:
    if model.classes:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=on_logits)
    return keras.losses.BinaryCrossentropy(from_logits=on_logits)


def _accuracy(model: Model, *, on_logits: bool) -> Any:
    if model.classes:
        return keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    return keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0 if on_logits else 0.5)


def _layer(built: BuiltLayer, use_cudnn: UseCudnn) -> Any:
    layer = built.layer
    match layer:
        case Embedding():
            return keras.layers.Embedding(
                layer.input_dim, layer.output_dim, mask_zero=layer.mask_zero, trainable=layer.trainable
            )
        case Flatten() | GlobalAveragePooling1D() | GlobalMaxPooling1D():
            return getattr(keras.layers, type(layer).__name__)()
        case MaxPooling1D() | AveragePooling1D():
            own = isinstance(layer, AveragePooling1D) and LINE.backend == "keras-torch"
            kind = MeanOfSteps if own else getattr(keras.layers, type(layer).__name__)
            return kind(layer.pool_size, layer.strides, layer.padding)
        case Conv1D():
            return keras.layers.Conv1D(
                layer.filters, layer.kernel_size, layer.strides, layer.padding, activation=_activation(layer.activation)
            )
        case Dense():
            return keras.layers.Dense(layer.units, activation=_activation(layer.activation), use_bias=layer.use_bias)
        case ActivationLayer():
            return keras.layers.Activation(_activation(layer.activation))
        case Dropout() | SpatialDropout1D():
            return MaskedDropout()
        case BatchNormalization():
            return LINE.normalization(keras.layers.BatchNormalization, layer.momentum, layer.epsilon)
        case LayerNormalization():
            return keras.layers.LayerNormalization(epsilon=layer.epsilon)
        case Bidirectional():
            inner = layer.layer
            if use_cudnn is True and inner.dropout and inner.return_sequences and LINE.backend == "keras-jax":
                # With dropout the two directions are called one by one, and cuDNN's backward sequence comes turned
                # round already (keras/src/backend/jax/rnn.py, `lstm`; bidirectional.py turns it round again).
                raise Unavailable(
                    "no fused kernel: Keras's JAX engine returns a Bidirectional layer's backward states in the wrong "
                    "order where the layer has dropout and returns sequences"
                )
            both = keras.layers.Bidirectional(_recurrent(inner, use_cudnn))
            for one_way in (both.forward_layer, both.backward_layer):
                LINE.choose_kernel(one_way, use_cudnn)
            return both
        case SimpleRNN() | LSTM() | GRU():
            return _recurrent(layer, use_cudnn)


def _activation(name: Activation) -> Any:
    """Return an activation by its name; TensorFlow's gelu holds √2 in float32, so float64 networks have their own."""
    return _gelu if name == "gelu" and keras.backend.floatx() == "float64" else name


def _gelu(x: Any) -> Any:
    """Return x Φ(x) (keras/src/activations/activations.py; tensorflow/python/ops/nn_ops.py)."""
    return 0.5 * x * (1.0 + LINE.erf(x / math.sqrt(2.0)))


def _recurrent(layer: Recurrent, use_cudnn: UseCudnn) -> Any:
    options = dataclasses.asdict(layer)
    if not isinstance(layer, SimpleRNN):
        options["recurrent_activation"] = LINE.gates[layer.recurrent_activation or "sigmoid"]
    return LINE.recurrent(getattr(keras.layers, type(layer).__name__), options, use_cudnn)


class _Batches(LINE.Batches):  # type: ignore[misc, name-defined]
    """The batches of an epoch in the harness's order, made one at a time, with dropout masks if the model has any."""

    def __init__(self, x: Features, y: Labels | None, order: Rows, batch_size: int, masks: MaskSource | None) -> None:
        super().__init__()
        self._x, self._y, self._order, self._batch_size, self._masks = x, y, order, batch_size, masks

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._batch_size)

    def __getitem__(self, step: int) -> Any:
        rows = self._order[step * self._batch_size : (step + 1) * self._batch_size]
        x: Any = self._x[rows]
        if self._masks:
            x = (x, *self._masks(step, len(rows)))
        return (x,) if self._y is None else (x, self._y[rows, None])


Given = ParamSpec("Given")
Result = TypeVar("Result")


def _in_own_scope(
    method: Callable[Concatenate[KerasNetwork, Given], Result],
) -> Callable[Concatenate[KerasNetwork, Given], Result]:
    """Run `method` on the network's device and in its precision."""

    @wraps(method)
    def run(self: KerasNetwork, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        with LINE.precision(self.dtype), ENGINE.scope(self.device, self.dtype):
            return method(self, *args, **kwargs)

    return run


class KerasNetwork:
    """A compiled Keras model that fulfils `bench.backends.base.Network`."""

    def __init__(self, model: Model, kernel: Kernel, device: Device, dtype: Dtype = "float32") -> None:
        self._model, self.device, self.dtype = model, device, dtype
        self._use_cudnn: UseCudnn = kernel == "fused" or ENGINE.step_by_step(device)
        self._fed_of: tuple[Any, ...] = ()
        self._build()

    @_in_own_scope
    def _build(self) -> None:
        model = self._model
        on_logits = LINE.loss_of_logits and "loss" not in model.differences
        self._keras = TwinModel(model, self._layers())
        self._trained = self._keras if on_logits else Probabilities(model, self._keras.stack)
        self._trained.compile(
            optimizer=LINE.optimizer(model),
            loss=_loss(model, on_logits=on_logits),
            metrics=[_accuracy(model, on_logits=on_logits), FirstBadStep()],
        )
        # A symbolic call makes the weights without running a recurrent layer's loop.
        self._trained(_inputs(model))
        self._slots = LINE.slots(self._trained.optimizer, self._keras.trainable_variables)
        pairs = zip(model.weights, _weights(self._keras), strict=True)
        self._moving = [weight for spec, weight in pairs if spec.momentum is not None]
        loss, probabilities = self._trained.loss, _probabilities(model)
        self._differentiate = ENGINE.differentiator(
            self._keras, loss if on_logits else lambda y, logits: loss(y, probabilities(logits))
        )

    @_in_own_scope
    def initialize(self, seed: int) -> None:
        """Seed Keras; under native `init` take the weights of layers that are made after it, as its users' are."""
        keras.utils.set_random_seed(seed)
        if not self._model.differences & INITIAL.keys():
            return
        fresh = TwinModel(self._model, self._layers())
        fresh(_inputs(self._model))
        chosen = [leaves_to_framework(self._model, built) for built in self._model.layers for _ in built.weights]
        for is_chosen, weight, drawn in zip(chosen, _weights(self._keras), _weights(fresh), strict=True):
            if is_chosen:
                weight.assign(np.array(drawn))

    def _layers(self) -> list[Any]:
        return [_layer(built, self._use_cudnn) for built in self._model.layers]

    def parameters(self) -> Parameters:
        """Return the parameter counts of what was really built."""
        layers = []
        for built, layer in zip(self._model.layers, self._keras.stack, strict=True):
            total = layer.count_params()
            trainable = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
            layers.append(LayerParameters(name=built.name, total=total, trainable=trainable, stored=total))
        return counted(layers)

    @_in_own_scope
    def get_weights(self) -> Arrays:
        """Return all weights in the order of `Model.weights`."""
        return [np.array(weight) for weight in _weights(self._keras)]

    @_in_own_scope
    def set_weights(self, weights: Arrays) -> None:
        """Load all weights in the order of `Model.weights`."""
        for weight, value in zip(_weights(self._keras), weights, strict=True):
            weight.assign(value)

    @_in_own_scope
    def get_optimizer_state(self) -> Arrays:
        """Return [step count], then the slots of every trainable weight."""
        return [np.array(self._trained.optimizer.iterations), *(np.array(slot) for slot in self._slots)]

    @_in_own_scope
    def set_optimizer_state(self, state: Arrays) -> None:
        """Load what `get_optimizer_state` returned."""
        self._trained.optimizer.iterations.assign(int(state[0]))
        for slot, value in zip(self._slots, state[1:], strict=True):
            slot.assign(value)

    @_in_own_scope
    def train_epoch(self, x: Features, y: Labels, order: Rows, masks: MaskSource | None) -> EpochResult:
        """Train one epoch with one call of `fit`: under native `order` the one that users write."""
        return self._fit(x, y, order, masks, as_users="order" in self._model.differences)

    @_in_own_scope
    def train_steps(self, x: Features, y: Labels, order: Rows, masks: MaskSource | None) -> EpochResult:
        """Train as `train_epoch` does, without the wait that the engine's own input pipeline may end an epoch with."""
        return self._fit(x, y, order, masks, as_users=False)

    def _fit(self, x: Features, y: Labels, order: Rows, masks: MaskSource | None, *, as_users: bool) -> EpochResult:
        batch_size = self._model.batch_size
        drawn = bool(masks) or isinstance(x, MultiHot)
        if "order" in self._model.differences and (drawn or not as_users):
            # `fit` would shuffle the batches of a dataset, not its rows.
            order = order[LINE.permutation(len(order))]
        if drawn:
            batches = _Batches(x, y, order, batch_size, masks)
            fed = {"x": batches if as_users else ENGINE.batches(batches), "shuffle": False}
        elif as_users:
            fed = self._shuffled(x, y, order)
        else:
            fed = ENGINE.in_order(x[order], y[order, None], batch_size)
        history = self._trained.fit(**fed, verbose=0)
        last = {name: float(values[-1]) for name, values in history.history.items()}
        bad = int(last["first_bad_step"])
        return EpochResult(last["loss"], last["accuracy"], bad or None)

    def _shuffled(self, x: Features, y: Labels, rows: Rows) -> dict[str, Any]:
        """Return what feeds `fit` with rows that it is to shuffle, as made for the epoch before on the same arrays."""
        arrays = x, y, rows
        if list(map(id, arrays)) != list(map(id, self._fed_of)):
            self._fed = ENGINE.shuffled(x[rows], y[rows, None], self._model.batch_size)
            self._fed_of = arrays
        return self._fed

    @_in_own_scope
    def train_step(self, x: NDArray[Any], y: Labels, masks: Arrays | None) -> float:
        """Make one optimizer step; return the loss before it."""
        self._trained.reset_metrics()
        logs = self._trained.train_on_batch((x, *masks) if masks else x, y[:, None], return_dict=True)
        return float(logs["loss"])

    @_in_own_scope
    def gradients(self, x: NDArray[Any], y: Labels, masks: Arrays | None) -> Gradients:
        """Return logits, loss and gradients of one batch."""
        before = [np.array(weight) for weight in self._moving]
        logits, loss, found = self._differentiate(y[:, None], (x, *(masks or ())))
        for weight, value in zip(self._moving, before, strict=True):
            weight.assign(value)
        gradients = [LINE.array(gradient) for gradient in found]
        return Gradients(self._of_rows(LINE.array(logits)), float(LINE.array(loss)), gradients)

    @_in_own_scope
    def logits(self, x: Features) -> NDArray[Any]:
        """Return the logits of all rows; one batch goes without what `predict` sets up for many."""
        everything = np.arange(len(x), dtype=np.intp)
        if len(x) <= EVALUATION_ROWS:
            found = self._keras.predict_on_batch(x[everything])
        else:
            batches = _Batches(x, None, everything, EVALUATION_ROWS, None)
            found = self._keras.predict(ENGINE.batches(batches), verbose=0)
        return self._of_rows(np.asarray(found))

    def _of_rows(self, logits: NDArray[Any]) -> NDArray[Any]:
        """Return logits (rows,), or (rows, classes)."""
        return logits if self._model.classes else logits[:, 0]

    def synchronize(self) -> None:
        """Wait for the device."""
        ENGINE.synchronize()

    def device_peak_bytes(self) -> int | None:
        """Return the most bytes of tensors on the GPU since the last call; None on a CPU."""
        return ENGINE.peak_bytes() if self.device == "cuda" else None

    @_in_own_scope
    def trace(self, x: NDArray[Any], y: Labels, masks: Arrays | None, steps: int) -> Trace:
        """Make `steps` optimizer steps under the engine's profiler."""
        inputs, labels = ((x, *masks) if masks else x), y[:, None]
        return ENGINE.trace(lambda: self._trained.train_on_batch(inputs, labels), steps, self.device, self._trained)


def _inputs(model: Model) -> Any:
    """Return the symbolic input of a model: ids, a multi-hot row, or numbers."""
    return keras.Input(model.input_shape, dtype="int32" if model.input == "ids" else None)


def _weights(model: TwinModel) -> list[Any]:
    """Return a model's weights, without the seed states that Keras's recurrent cells keep among theirs."""
    return [weight for layer in model.stack for weight in layer.weights if "seed_generator" not in weight.name]


def build(model: Model, kernel: Kernel, device: Device, dtype: Dtype = "float32") -> KerasNetwork:
    """Return a compiled Keras model; raise `Unavailable` when the device or kernel is missing."""
    check_kernel(backend(LINE.backend), model, kernel, device)
    ENGINE.prepare(device, model.differences)
    return KerasNetwork(model, kernel, device, dtype)
