"""A case in the words of a table: its layers in one line, the accuracy that its document prints."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from typing import Any

from bench.cases.model import recurrent_layers
from bench.spec import (
    ActivationLayer,
    Bidirectional,
    Case,
    Dense,
    Documented,
    Glove,
    Layer,
    Score,
    Suite,
    Training,
    Word2Vec,
)

SEPARATOR = " · "


def layers(case: Case) -> str:
    """Return the layers as `Embedding(5000,32) · LSTM(100) · Dense(1)`, without the closing sigmoid or softmax."""
    before = case.layers[:-2] if isinstance(case.layers[-1], ActivationLayer) else case.layers[:-1]
    assert isinstance(case.output, Dense)
    return SEPARATOR.join(map(layer, (*before, replace(case.output, activation="linear"))))


def layer(described: Layer) -> str:
    """Return one layer as `LSTM(100,sequences,dropout=0.1)`: what its declaration says beyond the defaults."""
    if isinstance(described, Bidirectional):
        return f"Bidirectional({layer(described.layer)})"
    name = "Activation" if isinstance(described, ActivationLayer) else type(described).__name__
    arguments = [_argument(*item) for item in beyond_defaults(described)]
    return f"{name}({','.join(arguments)})" if arguments else name


def definition(suite: Suite, case: Case) -> str:
    """Return what decides the result of a case beside its data: layers, training, the formulas of its Keras.

    It says nothing of what is left at its default, so that a later version with more to declare says the same.
    """
    training = ", ".join(f"{name} {value}" for name, value in beyond_defaults(case.training))
    return f"{SEPARATOR.join(map(layer, case.layers))}; {training}; Keras {suite.era.keras}"


def beyond_defaults(declared: Any) -> list[tuple[str, Any]]:
    """Return the fields of a declaration that are not left at their defaults, with their values."""
    values = [(field, getattr(declared, field.name)) for field in fields(declared)]
    return [(field.name, value) for field, value in values if field.default is MISSING or value != field.default]


def _argument(name: str, value: Any) -> str:
    match name, value:
        case "trainable", False:
            return "frozen"
        case "use_bias", False:
            return "no bias"
        case "mask_zero", True:
            return "mask_zero"
        case "return_sequences", True:
            return "sequences"
        case "vectors", Glove():
            return "GloVe"
        case "vectors", Word2Vec():
            return f"word2vec+{value.offset}" if value.offset else "word2vec"
        case (
            (
                "dropout"
                | "recurrent_dropout"
                | "reset_after"
                | "recurrent_activation"
                | "strides"
                | "momentum"
                | "epsilon"
            ),
            _,
        ):
            return f"{name}={value}"
    return str(value)


def recurrence(case: Case) -> str:
    """Return the kinds of the case's recurrent layers (`LSTM`, `LSTM and SimpleRNN`), or `no recurrent layer`."""
    kinds = sorted({type(layer).__name__ for layer in recurrent_layers(case.layers)})
    return " and ".join(kinds) or "no recurrent layer"


def documented_accuracy(case: Case) -> tuple[str, float] | None:
    """Return the name of the test accuracy that a document prints, else of the validation accuracy, and it, else None.

    The name is "test", "val", or "val, epoch 2" (`documented_validation`).
    """
    test = case.documented.test
    if test and test.accuracy is not None:
        return "test", test.accuracy
    score, epoch = documented_validation(case.documented, case.training)
    return None if score.accuracy is None else (at_epoch("val", epoch), score.accuracy)


def documented_validation(documented: Documented, training: Training) -> tuple[Score, int | None]:
    """Return the validation score that a document prints, and the epoch that it is of: None for the end of training.

    Where only a log prints it, it is that of the last line that does; of the end, where that is the log's end.
    """
    if documented.validation and documented.validation.accuracy is not None:
        return documented.validation, None
    for number, line in reversed(list(enumerate(documented.epochs, 1))):
        if line.val_accuracy is not None:
            ends = number == len(documented.epochs) and log_ends(documented, training)
            return Score(line.val_loss, line.val_accuracy), None if ends else number
    return documented.validation or Score(), None


def log_ends(documented: Documented, training: Training) -> bool:
    """Return whether the last line of a printed log is the end of training: it may break off before the last epoch.

    Where training stops early, the last line is the end.
    """
    return training.early_stopping is not None or len(documented.epochs) >= training.epochs


def at_epoch(name: str, epoch: int | None) -> str:
    """Return the name of a figure after an epoch, `val, epoch 2`; after the last one, `val`."""
    return name if epoch is None else f"{name}, epoch {epoch}"
