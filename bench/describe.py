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
    arguments = []
    for field in fields(described):
        value = getattr(described, field.name)
        if field.default is MISSING or value != field.default:
            arguments.append(_argument(field.name, value))
    return f"{name}({','.join(arguments)})" if arguments else name


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
