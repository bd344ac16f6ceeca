"""Parameter counts of a declaration, and those that its document prints."""

from __future__ import annotations

import msgspec

from bench.cases.model import Model
from bench.spec import Documented


class LayerParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Parameters of one layer. `stored`: what the framework keeps in memory for it."""

    name: str
    total: int
    trainable: int
    stored: int


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Parameter counts of the model as the backend built it.

    `frozen`: those that are not trained. `stored`: what the framework keeps in memory; a torch LSTM stores a second,
    frozen bias that is no parameter of the model. `layers`: the same by layer, in order.
    """

    total: int
    trainable: int
    frozen: int
    stored: int
    layers: list[LayerParameters]


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


def counts(built: Parameters) -> dict[str, int | tuple[int, ...]]:
    """Return the counts of a model as `Documented` names them; layers without parameters are left out."""
    layers = tuple(layer.total for layer in built.layers if layer.total)
    return {"layers": layers, "total": built.total, "trainable": built.trainable, "frozen": built.frozen}


def printed_counts(documented: Documented) -> dict[str, int | tuple[int, ...]]:
    """Return the counts that a document prints, by name; layers without parameters are left out."""
    layers = tuple(count for count in documented.layers if count) or None
    printed = {name: getattr(documented, name) for name in ("total", "trainable", "frozen")}
    return {name: count for name, count in {"layers": layers, **printed}.items() if count is not None}
