"""What a model costs, counted on its declaration: no data, no framework."""

from __future__ import annotations

from bench.model import Model
from bench.record import LayerParameters, Parameters


def parameters(model: Model) -> Parameters:
    """Return the parameter counts of `model`, layer by layer; what is stored equals what the model has.

    The counts are those of Keras's `summary()`: every element of every weight array.
    """
    layers = []
    for layer in model.layers:
        total = sum(weight.size for weight in layer.weights)
        trainable = sum(weight.size for weight in layer.weights if weight.trainable)
        layers.append(LayerParameters(name=layer.name, total=total, trainable=trainable, stored=total))
    total = sum(layer.total for layer in layers)
    trainable = sum(layer.trainable for layer in layers)
    return Parameters(total=total, trainable=trainable, frozen=total - trainable, stored=total, layers=layers)
