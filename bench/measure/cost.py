"""What a model costs, counted on its declaration: no data, no framework.

FLOPs are those of matrix products and convolutions, 2 for each multiplication with its addition, as torch's
`FlopCounterMode` and papers count them; what is done element by element shows in the bytes. Bytes are the least traffic
with memory: every array is moved once for each time that a pass over it is needed, whatever a cache could keep between
two layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from bench.cases.model import BuiltLayer, Model
from bench.records.record import Cost

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
        work = built.work
        # Each product x w of the forward pass has two in the backward pass: the gradient of w, and that of x.
        backward = work.products if trainable else 0
        if trainable or trained:
            backward += work.of_states
        if trained:
            backward += work.products if work.of_input is None else work.of_input
        moved = _bytes(model, built, rows, trainable=trainable, before=trained)
        costs.append(LayerCost(built.name, 2 * rows * work.products, 2 * rows * backward, moved))
        trained = trained or trainable
    return costs


def step_cost(model: Model, rows: int) -> Cost:
    """Return the cost of a training step on `rows` rows, all layers together."""
    layers = training_step(model, rows)
    return Cost(flops=sum(layer.flops for layer in layers), bytes=sum(layer.bytes for layer in layers))


def _bytes(model: Model, built: BuiltLayer, rows: int, *, trainable: bool, before: bool) -> int:
    """Return the bytes that a training step moves for a layer.

    Forward: its input, weights and masks are read, its output written, as are the gates of every step of a recurrent
    layer. Backward, where it is needed: the gradient of the output, the input, gates and masks are read, the weights
    too where a gradient goes further back or through steps, and the gradients of weights and input are written. Moments
    of a batch take a pass more over the input, and backward over input and gradient of the output.
    Optimizer: gradient, weight and slots of every trainable weight are read, weight and slots written. An Embedding
    reads ids and the rows they name; its gradient is as large as the table (docs/numerics.md: dense on every
    backend).
    """
    inputs, outputs = rows * prod(built.input_shape), rows * prod(built.output_shape)
    weights = sum(weight.size for weight in built.weights)
    work = built.work
    kept = rows * (sum(prod(mask.shape) for mask in built.masks) + work.kept)
    if work.looked_up:
        forward, weights_read_back = inputs + 2 * outputs, 0
        backward = (inputs + 2 * outputs + weights) if trainable else 0
    else:
        forward = work.passes * inputs + weights + outputs + kept
        weights_read_back = weights if before or work.kept else 0
        needed = trainable or before
        read = work.passes * (outputs + inputs) + kept
        backward = (read + (weights if trainable else 0) + (inputs if before else 0)) if needed else 0
    updated = sum(weight.size for weight in built.weights if weight.trainable)
    optimizer = updated * (3 + 2 * len(model.slots))
    return NUMBER * (forward + backward + weights_read_back + optimizer)
