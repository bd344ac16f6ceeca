"""A case in the words of a table: its layers in one line, the accuracy that its document prints."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from bench.spec import (
    GRU,
    LSTM,
    ActivationLayer,
    Bidirectional,
    Case,
    Dense,
    Documented,
    Glove,
    Layer,
    SimpleRNN,
    Suite,
    Training,
    Word2Vec,
)

SEPARATOR = " · "


def layers(case: Case) -> str:
    """Return the layers as `Embedding(5000,32) · LSTM(100) · Dense(1)`, without the closing sigmoid."""
    shown = list(case.layers)
    if isinstance(shown[-1], ActivationLayer):
        shown.pop()
    *before, last = shown
    if last == Dense(1, "sigmoid"):
        last = Dense(1)
    return SEPARATOR.join(map(layer, (*before, last)))


def layer(described: Layer) -> str:
    """Return one layer as `LSTM(100,sequences,dropout=0.1)`: what its declaration says beyond the defaults."""
    if isinstance(described, Bidirectional):
        return f"Bidirectional({layer(described.layer)})"
    name = "Activation" if isinstance(described, ActivationLayer) else type(described).__name__
    arguments = [_argument(*one) for one in _beyond_defaults(described)]
    return f"{name}({','.join(arguments)})" if arguments else name


def definition(suite: Suite, case: Case) -> str:
    """Return what decides the result of a case beside its data: layers, training, the formulas of its Keras.

    It says nothing of what is left at its default, so that a later version with more to declare says the same.
    """
    training = ", ".join(f"{name} {value}" for name, value in _beyond_defaults(case.training))
    return f"{SEPARATOR.join(map(layer, case.layers))}; {training}; Keras {suite.era.keras}"


def _beyond_defaults(declared: Layer | Training) -> list[tuple[str, Any]]:
    values = [(field, getattr(declared, field.name)) for field in fields(declared)]
    return [(field.name, value) for field, value in values if field.default is MISSING or value != field.default]


def _argument(name: str, value: Any) -> str:
    match name, value:
        case "trainable", False:
            return "frozen"
        case "mask_zero", True:
            return "mask_zero"
        case "return_sequences", True:
            return "sequences"
        case "vectors", Glove():
            return "GloVe"
        case "vectors", Word2Vec():
            return f"word2vec+{value.offset}" if value.offset else "word2vec"
        case (("dropout" | "recurrent_dropout" | "reset_after" | "recurrent_activation"), _):
            return f"{name}={value}"
    return str(value)


def recurrence(case: Case) -> str:
    """Return the kinds of the case's recurrent layers (`LSTM`, `LSTM and SimpleRNN`), or `no recurrent layer`."""
    inner = [layer.layer if isinstance(layer, Bidirectional) else layer for layer in case.layers]
    kinds = sorted({type(layer).__name__ for layer in inner if isinstance(layer, LSTM | GRU | SimpleRNN)})
    return " and ".join(kinds) or "no recurrent layer"


def documented_accuracy(documented: Documented) -> tuple[str, float] | None:
    """Return ("test", accuracy), else ("val", that of the validation set), else None.

    Where only a log prints it, it is that of the last epoch that does: "val, epoch 2" where the log goes on.
    """
    if documented.test and documented.test.accuracy is not None:
        return "test", documented.test.accuracy
    if documented.validation and documented.validation.accuracy is not None:
        return "val", documented.validation.accuracy
    for number, line in reversed(list(enumerate(documented.epochs, 1))):
        if line.val_accuracy is not None:
            return "val" if number == len(documented.epochs) else f"val, epoch {number}", line.val_accuracy
    return None
