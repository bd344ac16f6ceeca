"""A Keras model as a suite file, so that `bench explain` can measure what each difference costs by training.

A layer is declared by the class of `bench.spec` that has Keras's name, with the settings that it shares with it: a kind
that is added there can be exported at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args

from pydantic import ValidationError

from bench import spec
from bench.cases.describe import beyond_defaults
from bench.errors import UsageError
from bench.port.trace import Layer

USUAL = {
    "use_bias": True, "padding": "valid", "strides": 1, "dilation_rate": 1, "groups": 1,
    "data_format": "channels_last", "unit_forget_bias": True, "return_state": False, "go_backwards": False,
    "unroll": False, "zero_output_for_mask": False, "merge_mode": "concat", "axis": -1, "center": True, "scale": True,
    "noise_shape": None, "kernel_regularizer": None, "recurrent_regularizer": None, "bias_regularizer": None,
    "embeddings_regularizer": None, "activity_regularizer": None, "kernel_constraint": None, "bias_constraint": None,
    "keepdims": False, "trainable": True, "reset_after": True, "synchronized": False, "rms_scaling": False,
    "lora_rank": None,
}  # fmt: skip
"""What a setting of Keras's has to be where a class of `bench.spec` has no such field: what that class means."""


def suite_text(layers: Sequence[Layer], name: str, rows: tuple[int, ...], whole: bool) -> str:
    """Return the text of a suite of one case: these layers on generated rows of this shape, `whole` for ids.

    Raises `UsageError`, which names every layer that cannot be declared.
    """
    declared, wrong = [], []
    for layer in layers:
        try:
            declared.append(_declared(layer))
        except (UsageError, ValidationError) as error:
            wrong.append(_reason(layer, error))
    if wrong:
        raise UsageError("--export: not declarable: " + "; ".join(wrong))
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"
    try:
        data = _data(layers, declared, rows, whole)
        training = spec.Training("adam", epochs=3, batch_size=32)
        spec.Case(slug, data=data, layers=tuple(declared), training=training)
    except ValidationError as error:
        raise UsageError("--export: " + "; ".join(str(each["msg"]) for each in error.errors())) from error
    lines = [
        f'"""The Keras model {name}, exported by `bench port`; put your own data and training in."""',
        "",
        "from bench.spec import *",
        "",
        "SUITE = Suite(",
        f"    {slug!r}, document={name!r}, title={name!r}, era=KERAS_3,",
        "    cases=(",
        "        Case(",
        f"            {slug!r},",
        f"            data={_text(data)},",
        "            layers=(",
        *(f"                {_text(layer)}," for layer in declared),
        "            ),",
        f"            training={_text(training)},",
        "        ),",
        "    ),",
        ")",
    ]
    return "\n".join(lines) + "\n"


def _reason(layer: Layer, error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{layer}: {'.'.join(map(str, first['loc']))}: {first['msg']}"


def _declared(layer: Layer) -> Any:
    if layer.cls == "TimeDistributed" and layer.kind != "Dense":
        raise UsageError(f"{layer} of {layer.kind}")
    config = dict(layer.config)
    kind = "ActivationLayer" if layer.kind in ("Activation", "ReLU", "Softmax") else layer.kind
    if layer.kind in ("ReLU", "Softmax"):  # layers that are an activation of that name
        config = {"activation": layer.kind.lower()}
    known = {each.__name__ for each in get_args(spec.Layer)} | {each.__name__ for each in get_args(spec.Recurrent)}
    if kind not in known:
        raise UsageError(f"{layer}: no such layer in bench.spec")
    made = vars(spec)[kind]
    names = {field.name for field in fields(made)}
    if layer.cls == "Bidirectional":
        config.pop("zero_output_for_mask", None)  # Bidirectional itself sets it on both of its layers
    settings = {key: _single(config[key]) for key in names if config.get(key) is not None and key != "vectors"}
    if layer.trainable and "trainable" in names:
        settings["trainable"] = layer.is_trained
    for key, usual in USUAL.items():
        if key in config and key not in names and _single(config[key]) not in (usual, [usual]):
            raise UsageError(f"{layer}: {key}={config[key]!r}")
    if kind in ("LSTM", "GRU", "SimpleRNN") and config.get("activation", "tanh") != "tanh":
        raise UsageError(f"{layer}: activation={config['activation']!r}")
    found = made(**settings)
    return spec.Bidirectional(found) if layer.cls == "Bidirectional" else found


def _single(value: Any) -> Any:
    """Return the one number of a setting that Keras keeps as a list."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def _data(layers: Sequence[Layer], declared: Sequence[Any], rows: tuple[int, ...], whole: bool) -> Any:
    units = [layer.units for layer in declared if isinstance(layer, spec.Dense)]
    classes = max([2, *units[-1:]])
    if whole and isinstance(declared[0], spec.Embedding):
        return spec.Embedded(num_words=declared[0].input_dim, maxlen=rows[1], validation=500, classes=classes)
    if whole or len(rows) > 3:
        raise UsageError(f"--export: {layers[0]}: rows of shape {rows[1:]} cannot be declared")
    return spec.EmbeddedFeatures(shape=rows[1:], validation=500, classes=classes)


def _text(value: Any) -> str:
    """Return a declaration as it is written: without the fields that have their defaults."""
    if not hasattr(value, "__dataclass_fields__"):
        return repr(value)
    parts = [f"{name}={_text(own)}" for name, own in beyond_defaults(value)]
    return f"{type(value).__name__}({', '.join(parts)})"
