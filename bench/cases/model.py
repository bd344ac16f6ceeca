"""What a backend builds: a case under one numerics, every default filled in, every weight and dropout mask named.

This is the one place that knows the shapes: initial weights, parameter counts, dropout masks and the backends all walk
the same `BuiltLayer`s. Layouts are Keras's: kernels (inputs, units), gates of an LSTM in the order i f c o, of a GRU
z r h.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Literal, assert_never, get_args

from bench.errors import UsageError, unknown
from bench.spec import (
    GRU,
    KERAS_3,
    LSTM,
    SGD,
    ActivationLayer,
    Arrays,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Case,
    Conv1D,
    Data,
    Dense,
    Dropout,
    EmbeddedFeatures,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    KerasEra,
    Layer,
    LayerNormalization,
    MaxPooling1D,
    Optimizer,
    Padding,
    Recurrent,
    Schedule,
    SimpleRNN,
    SpatialDropout1D,
    Suite,
)

Shape = tuple[int, ...]
Clip = Literal["clipnorm", "clipvalue", "global_clipnorm"]
CLIPS: tuple[Clip, ...] = get_args(Clip)
"""How gradients may be clipped, in Keras's words."""
Input = Literal["ids", "multi-hot", "features"]
"""What a row holds: word ids (int32), a 0 or 1 for each word, or any numbers (float32)."""
Initializer = Literal["uniform", "glorot_uniform", "orthogonal", "zeros", "ones", "lstm_bias", "vectors"]

INITIAL = {"init:embedding": Embedding, "init:recurrent": Recurrent | Bidirectional, "init:dense": Dense | Conv1D}
"""The parts of `init`, and the layers whose initial weights each leaves to the framework."""
DIFFERENCES = (
    *INITIAL,
    "optimizer",
    "bias",
    "reset-after",
    "recurrent-dropout",
    "normalization",
    "loss",
    "embedding-gradient",
    "order",
    "denormals",
)
"""What `native` numerics leave to the framework, where it exists.

`native:a,b` leave only those, all else matched; `native:-a` leave all but that.
"""


@dataclass(frozen=True)
class WeightSpec:
    """One weight array in Keras's layout.

    `momentum` is the share of a moving average that a training step keeps of it; None for a weight that is none.
    """

    name: str
    shape: Shape
    initializer: Initializer
    trainable: bool = True
    momentum: float | None = None

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class MaskSpec:
    """One dropout mask of a batch: (rows, *shape), values 0 or 1/(1-rate); an axis of 1 serves all of its layer's."""

    shape: Shape
    rate: float


@dataclass(frozen=True)
class Work:
    """What a layer does for one row: multiplications of its matrix products, and numbers that it keeps.

    `products`: of the forward pass, and of the gradient of its weights. `of_input`: of the gradient of its input; None
    where they are as many. `of_states`: of the gradients of its states from one step to the one before. `kept`: what
    the backward pass needs beside input and masks, the gates of every step. `passes`: how often input and output are
    gone through. `looked_up`: of the weights, the rows alone that ids name are read.
    """

    products: int = 0
    of_input: int | None = None
    of_states: int = 0
    kept: int = 0
    passes: int = 1
    looked_up: bool = False

    @property
    def twice(self) -> Work:
        """Return the work of two such layers side by side."""
        of_input = None if self.of_input is None else 2 * self.of_input
        return replace(
            self, products=2 * self.products, of_input=of_input, of_states=2 * self.of_states, kept=2 * self.kept
        )


@dataclass(frozen=True)
class BuiltLayer:
    """A layer with its name, shapes (without the batch axis), weights in order, dropout masks in order, and its work.

    Masks of a recurrent layer have shape (gates, features): first the input's (when `dropout` > 0; one gate, unless
    `recurrent_dropout` > 0), then the state's (when `recurrent_dropout` > 0). A Bidirectional lists forward, then
    backward.
    """

    name: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    weights: tuple[WeightSpec, ...] = ()
    masks: tuple[MaskSpec, ...] = ()
    work: Work = Work()


@dataclass(frozen=True)
class Model:
    """A case resolved for one numerics: its last layer gives logits, every recurrent layer names its gate function.

    `input` is what a row holds, `input_shape` its shape: (ids,), (words,), (features,) or (time, features).
    """

    layers: tuple[BuiltLayer, ...]
    input: Input
    input_shape: Shape
    optimizer: Optimizer
    learning_rate: float | Schedule
    batch_size: int
    rmsprop_epsilon: Literal["outside", "inside"]
    clip: tuple[Clip, float] | None = None
    differences: frozenset[str] = frozenset()
    """What is left to the framework; all `DIFFERENCES` until `registry.native` keeps those that exist."""
    named: bool = False
    """Whether the numerics named its differences one by one, so that each must exist."""

    @property
    def weights(self) -> tuple[WeightSpec, ...]:
        """Return all weights in order."""
        return tuple(weight for layer in self.layers for weight in layer.weights)

    @property
    def classes(self) -> int | None:
        """Return the number of classes, None where there is one logit, of which of two a row is."""
        (outputs,) = self.layers[-1].output_shape
        return None if outputs == 1 else outputs

    @property
    def optimizer_name(self) -> str:
        """Return the name of the optimizer's class, the same in Keras and in torch."""
        return {"adam": "Adam", "rmsprop": "RMSprop"}.get(str(self.optimizer)) or type(self.optimizer).__name__

    @property
    def slots(self) -> tuple[str, ...]:
        """Return what the optimizer keeps of every trainable weight, in the order of `Network.get_optimizer_state`."""
        match self.optimizer:
            case SGD(momentum=momentum):
                return ("momentum",) if momentum else ()
            case "rmsprop":
                return ("velocity",)
            case _:
                return ("momentum", "velocity")

    @property
    def masks(self) -> tuple[MaskSpec, ...]:
        """Return all dropout masks in order."""
        return tuple(mask for layer in self.layers for mask in layer.masks)

    @property
    def recurrent(self) -> tuple[Recurrent, ...]:
        """Return the recurrent layers, unwrapped."""
        return recurrent_layers(built.layer for built in self.layers)

    @property
    def masked(self) -> bool:
        """Return whether id 0 is masked."""
        first = self.layers[0].layer
        return isinstance(first, Embedding) and first.mask_zero


def recurrent_layers(layers: Iterable[Layer]) -> tuple[Recurrent, ...]:
    """Return the recurrent ones of `layers`, those within a Bidirectional unwrapped."""
    inner = (layer.layer if isinstance(layer, Bidirectional) else layer for layer in layers)
    return tuple(layer for layer in inner if isinstance(layer, Recurrent))


def leaves_to_framework(model: Model, built: BuiltLayer) -> bool:
    """Return whether the initial weights of a layer are the framework's own under a model's differences."""
    kinds = (kind for name, kind in INITIAL.items() if name in model.differences)
    pre_trained = any(weight.initializer == "vectors" for weight in built.weights)
    return not pre_trained and any(isinstance(built.layer, kind) for kind in kinds)


def normalizes(model: Model) -> bool:
    """Return whether a model has layers that normalize."""
    return any(isinstance(built.layer, BatchNormalization | LayerNormalization) for built in model.layers)


def edges(steps: int, size: int, strides: int, padding: Padding) -> tuple[int, int]:
    """Return how many steps are put before and behind a sequence for windows of a size (Keras's, TensorFlow's)."""
    if padding == "valid":
        return 0, 0
    added = max((-(-steps // strides) - 1) * strides + size - steps, 0)
    return added // 2, added - added // 2


def with_two_biases(model: Model) -> Model:
    """Return `model` with a second trained bias, (2, columns), in every SimpleRNN and LSTM, as torch has it."""

    def doubled(weight: WeightSpec) -> WeightSpec:
        return replace(weight, shape=(2, *weight.shape)) if weight.name.endswith("bias") else weight

    layers = (
        replace(built, weights=tuple(map(doubled, built.weights)))
        if any(isinstance(layer, SimpleRNN | LSTM) for layer in recurrent_layers([built.layer]))
        else built
        for built in model.layers
    )
    return replace(model, layers=tuple(layers))


def with_reset_after(model: Model) -> Model:
    """Return `model` with GRUs that reset the state after its product, the only ones that torch has."""
    return _with_recurrent(model, lambda layer: replace(layer, reset_after=True) if isinstance(layer, GRU) else layer)


_TORCHS = {"momentum": 0.9, "epsilon": 1e-5}
"""torch/nn/modules/batchnorm.py, normalization.py; a momentum of torch is the other share, 0.1."""


def with_torchs_normalization(model: Model) -> Model:
    """Return `model` with torch's momentum and epsilons where the case has Keras's defaults."""

    def changed(built: BuiltLayer) -> BuiltLayer:
        layer = built.layer
        if not isinstance(layer, BatchNormalization | LayerNormalization):
            return built
        keras = vars(type(layer)())
        options = {name: _TORCHS[name] if value == keras[name] else value for name, value in vars(layer).items()}
        return _build(built.name, type(layer)(**options), built.input_shape)

    return replace(model, layers=tuple(map(changed, model.layers)))


def without_recurrent_dropout(model: Model) -> Model:
    """Return `model` without dropout of recurrent states, which torch's layers do not know."""
    return _with_recurrent(model, lambda layer: replace(layer, recurrent_dropout=0.0))


def _with_recurrent(model: Model, change: Callable[[Recurrent], Recurrent]) -> Model:
    """Return `model` with every recurrent layer changed, and with the weights and masks that follow from it."""

    def changed(built: BuiltLayer) -> BuiltLayer:
        match built.layer:
            case Bidirectional(layer=inner):
                return _build(built.name, Bidirectional(change(inner)), built.input_shape)
            case SimpleRNN() | LSTM() | GRU() as layer:
                return _build(built.name, change(layer), built.input_shape)
            case _:
                return built

    return replace(model, layers=tuple(map(changed, model.layers)))


def numerics_differences(numerics: str) -> frozenset[str]:
    """Return the native differences that a numerics name switches on; raise `UsageError` for an unknown name."""
    kind, colon, listed = numerics.partition(":")
    if kind not in ("documented", "matched", "native"):
        raise unknown("numerics", numerics, ("documented", "matched", "native", "native:" + ",".join(DIFFERENCES)))
    if not colon:
        return frozenset(DIFFERENCES) if kind == "native" else frozenset()
    if not listed:
        raise UsageError(f"numerics {numerics!r} names no difference; choose from {', '.join(DIFFERENCES)}")
    if kind != "native":
        raise UsageError(f"numerics {numerics!r}: only native takes a list of differences")
    left_out = listed.startswith("-")
    named = set(listed.removeprefix("-").split(",-" if left_out else ","))
    if "init" in named:
        named = (named - {"init"}) | set(INITIAL)
    for difference in named:
        if difference not in DIFFERENCES:
            raise unknown("difference", difference, ("init", *DIFFERENCES))
    return frozenset(DIFFERENCES) - named if left_out else frozenset(named)


def resolve(suite: Suite, case: Case, numerics: str) -> Model:
    """Return what a backend has to build for `case` under `numerics`.

    `documented` has RMSprop's epsilon and the gates of the suite's era, all others those of Keras 3 (docs/numerics.md).
    Raises `UsageError` for layers that do not fit together.
    """
    differences = numerics_differences(numerics)
    era = suite.era if numerics == "documented" else KERAS_3
    layers = tuple(_with_gates(layer, era) for layer in case.layers)
    classes, last = case.classes or 1, layers[-1]
    assert isinstance(last, ActivationLayer | Dense)
    logits = replace(last, activation="linear")
    shape = row_shape(case.data)
    built = build_layers((*layers[:-1], logits), shape)
    if built[-1].output_shape != (classes,):
        raise UsageError(
            f"the last layer gives shape {built[-1].output_shape} for a row, not "
            f"{'one logit' if classes == 1 else f'{classes} logits'}; put Flatten, pooling or a recurrent layer "
            "without return_sequences before it"
        )
    return Model(
        layers=built,
        input=case.data.encoding,
        input_shape=shape,
        optimizer=case.training.optimizer,
        learning_rate=case.training.learning_rate,
        batch_size=case.training.batch_size,
        rmsprop_epsilon=era.rmsprop_epsilon,
        clip=next(((how, limit) for how in CLIPS if (limit := getattr(case.training, how)) is not None), None),
        differences=differences,
        named=numerics.startswith("native:") and not numerics.startswith("native:-"),
    )


def _with_gates(layer: Layer, era: KerasEra) -> Layer:
    if isinstance(layer, Bidirectional):
        inner = _with_gates(layer.layer, era)
        assert isinstance(inner, Recurrent)
        return Bidirectional(inner)
    if isinstance(layer, LSTM | GRU) and layer.recurrent_activation is None:
        return replace(layer, recurrent_activation=era.gates)
    return layer


def row_shape(data: Data) -> Shape:
    """Return the shape of a row of prepared data."""
    if isinstance(data, Arrays | EmbeddedFeatures) and data.shape is not None:
        return data.shape
    assert not isinstance(data, EmbeddedFeatures)
    size = data.num_words if data.encoding == "multi-hot" else data.maxlen
    assert size is not None
    return (size,)


def build_layers(layers: tuple[Layer, ...], shape: Shape) -> tuple[BuiltLayer, ...]:
    """Return the layers with their shapes, for rows of `shape`."""
    built: list[BuiltLayer] = []
    seen: Counter[str] = Counter()
    for layer in layers:
        kind = _snake_case(type(layer).__name__.removesuffix("Layer"))
        seen[kind] += 1
        name = kind if seen[kind] == 1 else f"{kind}_{seen[kind]}"
        built.append(_build(name, layer, shape))
        shape = built[-1].output_shape
    return tuple(built)


def _build(name: str, layer: Layer, shape: Shape) -> BuiltLayer:
    built = partial(BuiltLayer, name, layer, shape)
    match layer:
        case Embedding():
            initializer: Initializer = "uniform" if layer.vectors is None else "vectors"
            table = WeightSpec("embeddings", (layer.input_dim, layer.output_dim), initializer, layer.trainable)
            return built((*shape, layer.output_dim), (table,), work=Work(looked_up=True))
        case Flatten():
            return built((prod(shape),))
        case GlobalAveragePooling1D() | GlobalMaxPooling1D():
            return built((_sequence(name, shape)[1],))
        case MaxPooling1D() | AveragePooling1D():
            steps, features = _sequence(name, shape)
            size, strides = layer.pool_size, layer.strides or layer.pool_size
            return built((_windows(name, steps, "pool_size", size, strides, layer.padding), features))
        case Conv1D():
            steps, features = _sequence(name, shape)
            outputs = _windows(name, steps, "kernel_size", layer.kernel_size, layer.strides, layer.padding)
            weights = _kernel_and_bias(layer.kernel_size, features, layer.filters)
            return built((outputs, layer.filters), weights, work=Work(products=outputs * weights[0].size))
        case Dense():
            weights = _kernel_and_bias(shape[-1], layer.units)[: 1 + layer.use_bias]
            work = Work(products=prod(shape[:-1]) * weights[0].size)
            return built((*shape[:-1], layer.units), weights, work=work)
        case ActivationLayer():
            return built(shape)
        case Dropout():
            return built(shape, masks=(MaskSpec(shape, layer.rate),) if layer.rate else ())
        case SpatialDropout1D():
            mask = MaskSpec((1, _sequence(name, shape)[1]), layer.rate)
            return built(shape, masks=(mask,) if layer.rate else ())
        case BatchNormalization():
            moving = (
                WeightSpec(f"moving_{moment}", shape[-1:], initializer, trainable=False, momentum=layer.momentum)
                for moment, initializer in _MOMENTS.items()
            )
            # Before any value is normalized, all have been seen; backward, before any gradient is known.
            return built(shape, (*_scale_and_shift(shape), *moving), work=Work(passes=2))
        case LayerNormalization():
            return built(shape, _scale_and_shift(shape))
        case SimpleRNN() | LSTM() | GRU():
            steps, features = _sequence(name, shape)
            output = (steps, layer.units) if layer.return_sequences else (layer.units,)
            weights = _recurrent_weights(layer, features)
            of_input, of_states = (steps * weight.size for weight in weights[:2])
            work = Work(
                products=of_input + of_states,
                of_input=of_input,
                of_states=of_states // steps * (steps - 1),  # the first state is given
                kept=steps * gates_of(layer) * layer.units,
            )
            return built(output, weights, _recurrent_masks(layer, features), work)
        case Bidirectional():
            one_way = _build(name, layer.layer, shape)
            *steps_axis, units = one_way.output_shape
            weights = tuple(
                replace(weight, name=f"{way}_{weight.name}")
                for way in ("forward", "backward")
                for weight in one_way.weights
            )
            return built((*steps_axis, 2 * units), weights, one_way.masks * 2, one_way.work.twice)
        case _:
            assert_never(layer)


def _kernel_and_bias(*shape: int) -> tuple[WeightSpec, ...]:
    return WeightSpec("kernel", shape, "glorot_uniform"), WeightSpec("bias", shape[-1:], "zeros")


_MOMENTS: dict[str, Initializer] = {"mean": "zeros", "variance": "ones"}


def _scale_and_shift(shape: Shape) -> tuple[WeightSpec, ...]:
    return WeightSpec("gamma", shape[-1:], "ones"), WeightSpec("beta", shape[-1:], "zeros")


def gates_of(layer: Recurrent) -> int:
    """Return how many gates a recurrent layer has (the candidate counts as one)."""
    return {SimpleRNN: 1, LSTM: 4, GRU: 3}[type(layer)]


def _recurrent_weights(layer: Recurrent, features: int) -> tuple[WeightSpec, ...]:
    columns = gates_of(layer) * layer.units
    bias_shape = (2, columns) if isinstance(layer, GRU) and layer.reset_after else (columns,)
    return (
        WeightSpec("kernel", (features, columns), "glorot_uniform"),
        WeightSpec("recurrent_kernel", (layer.units, columns), "orthogonal"),
        WeightSpec("bias", bias_shape, "lstm_bias" if isinstance(layer, LSTM) else "zeros"),
    )


def _recurrent_masks(layer: Recurrent, features: int) -> tuple[MaskSpec, ...]:
    gates = gates_of(layer)
    masks = []
    if layer.dropout:
        masks.append(MaskSpec((gates if layer.recurrent_dropout else 1, features), layer.dropout))
    if layer.recurrent_dropout:
        masks.append(MaskSpec((gates, layer.units), layer.recurrent_dropout))
    return tuple(masks)


def _sequence(name: str, shape: Shape) -> tuple[int, int]:
    if len(shape) != 2:
        raise UsageError(
            f"layer {name} needs (time, features), its input has shape {shape}; put it before Flatten or pooling, or "
            "set return_sequences on the recurrent layer before it"
        )
    return shape[0], shape[1]


def _windows(name: str, steps: int, option: str, size: int, strides: int, padding: Padding) -> int:
    """Return how many windows of a size lie within steps."""
    before, behind = edges(steps, size, strides, padding)
    if size > before + steps + behind:
        raise UsageError(
            f"layer {name}: {option} {size} exceeds the {steps} steps of its input; make it smaller, set "
            "padding='same', or keep more steps (data.maxlen, smaller windows before it)"
        )
    return (before + steps + behind - size) // strides + 1


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def embedding_of(case: Case) -> Embedding | None:
    """Return the Embedding that a case starts with, None where it has none."""
    first = case.layers[0]
    return first if isinstance(first, Embedding) else None
