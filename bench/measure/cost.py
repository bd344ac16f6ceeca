"""What a model costs, counted on its declaration: no data, no framework.

FLOPs are those of matrix products and convolutions, 2 for each multiplication with its addition, as torch's
`FlopCounterMode` and papers count them; what is done element by element shows in the bytes. Bytes are the least traffic
with memory: every array is moved once for each time that a pass over it is needed, whatever a cache could keep between
two layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from bench.cases.model import BuiltLayer, Model, gates_of
from bench.records.record import Cost
from bench.spec import GRU, LSTM, Bidirectional, Conv1D, Dense, Embedding, SimpleRNN

NUMBER = 4
"""Bytes of a float32, and of an id."""


@dataclass(frozen=True)
class LayerCost:
    """What one training step needs of a layer: FLOPs of the forward and of the backward pass, and bytes moved.

    The optimizer's traffic for the layer's weights is among the bytes.
    """

    name: str
    forward: int
    backward: int
    bytes: int

    @property
    def flops(self) -> int:
        """Return the FLOPs of both passes."""
        return self.forward + self.backward


def training_step(model: Model, rows: int) -> list[LayerCost]:
    """Return the cost of every layer in a training step on `rows` rows.

    The gradient of a layer's input is needed from the first layer with trainable weights on, and so is the whole
    backward pass.
    """
    costs = []
    trained = False
    for built in model.layers:
        trainable = any(weight.trainable for weight in built.weights)
        products = _products(built, rows)
        # Each product x w of the forward pass has two in the backward pass: the gradient of w, and that of x.
        backward = products if trainable else 0
        if trainable or trained:
            backward += _products_of_input(built, rows, trained)
        moved = _bytes(model, built, rows, trainable=trainable, before=trained)
        costs.append(LayerCost(built.name, products, backward, moved))
        trained = trained or trainable
    return costs


def step_cost(model: Model, rows: int) -> Cost:
    """Return the cost of a training step on `rows` rows, all layers together."""
    layers = training_step(model, rows)
    return Cost(flops=sum(layer.flops for layer in layers), bytes=sum(layer.bytes for layer in layers))


def _products(built: BuiltLayer, rows: int) -> int:
    """Return the FLOPs of a layer's matrix products for `rows` rows, forward.

    Dense: 2 n in out. Conv1D: 2 n steps width in out. A recurrent layer of g gates: 2 n steps g u (in + u), the
    projection of its input and of its state at every step (Keras computes the first step on a state of zeros like any
    other).
    """
    match built.layer:
        case Dense():
            return 2 * rows * prod(built.input_shape[:-1]) * built.weights[0].size
        case Conv1D():
            return 2 * rows * built.output_shape[0] * built.weights[0].size
        case SimpleRNN() | LSTM() | GRU() | Bidirectional():
            return 2 * rows * built.input_shape[0] * _kernels(built)
        case _:
            return 0


def _products_of_input(built: BuiltLayer, rows: int, wanted: bool) -> int:
    """Return the FLOPs of the gradients that flow back through a layer; that of its own input only where `wanted`.

    A recurrent layer needs the gradients of its states in any case, but for that of the first.
    """
    if not isinstance(built.layer, SimpleRNN | LSTM | GRU | Bidirectional):
        return _products(built, rows) if wanted else 0
    steps, recurrent = built.input_shape[0], _recurrent_kernels(built)
    return 2 * rows * ((steps - 1) * recurrent + (steps * (_kernels(built) - recurrent) if wanted else 0))


def _kernels(built: BuiltLayer) -> int:
    return sum(weight.size for weight in built.weights if weight.name.endswith("kernel"))


def _recurrent_kernels(built: BuiltLayer) -> int:
    return sum(weight.size for weight in built.weights if weight.name.endswith("recurrent_kernel"))


def _bytes(model: Model, built: BuiltLayer, rows: int, *, trainable: bool, before: bool) -> int:
    """Return the bytes that a training step moves for a layer.

    Forward: its input, weights and masks are read, its output written, as are the gates of every step of a recurrent
    layer. Backward, where it is needed: the gradient of the output, the input, gates and masks are read, the weights
    too where a gradient goes further back or through steps, and the gradients of weights and input are written.
    Optimizer: gradient, weight and slots of every trainable weight are read, weight and slots written. An Embedding
    reads ids and the rows they name; its gradient is as large as the table (docs/numerics.md: dense on every
    backend).
    """
    inputs, outputs = rows * prod(built.input_shape), rows * prod(built.output_shape)
    weights = sum(weight.size for weight in built.weights)
    kept = sum(rows * prod(mask.shape) for mask in built.masks) + _gates(built, rows)
    if isinstance(built.layer, Embedding):
        forward, weights_read_back = inputs + 2 * outputs, 0
        backward = (inputs + 2 * outputs + weights) if trainable else 0
    else:
        forward = inputs + weights + outputs + kept
        weights_read_back = weights if before or _recurrent_kernels(built) else 0
        needed = trainable or before
        backward = (
            (outputs + inputs + kept + (weights if trainable else 0) + (inputs if before else 0)) if needed else 0
        )
    updated = sum(weight.size for weight in built.weights if weight.trainable)
    optimizer = updated * (3 + 2 * len(model.slots))
    return NUMBER * (forward + backward + weights_read_back + optimizer)


def _gates(built: BuiltLayer, rows: int) -> int:
    """Return how many numbers a recurrent layer keeps for its backward pass: every gate of every step."""
    match built.layer:
        case SimpleRNN() | LSTM() | GRU() as layer:
            return rows * built.input_shape[0] * gates_of(layer) * layer.units
        case Bidirectional(layer=layer):
            return 2 * rows * built.input_shape[0] * gates_of(layer) * layer.units
        case _:
            return 0
