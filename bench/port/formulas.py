"""Functions that experiments apply to recorded values, in NumPy; names are Keras's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import erf, expit, log_softmax, softmax

from bench.port.trace import Array


def _leaky(slope: float) -> Callable[[Array], Array]:
    return lambda x: np.where(x > 0, x, slope * x)


_SELU = 1.0507009873554805, 1.6732632423543772

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": expit,
    "softmax": lambda x: softmax(x, axis=-1),
    "log_softmax": lambda x: log_softmax(x, axis=-1),
    "softmax over axis 1": lambda x: softmax(x, axis=min(1, x.ndim - 1)),
    "softmax over the batch": lambda x: softmax(x, axis=0),
    "gelu": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    "gelu(approximate)": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "selu": lambda x: _SELU[0] * np.where(x > 0, x, _SELU[1] * np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x * expit(x),
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + abs(x)),
    "leaky_relu(0.01)": _leaky(0.01),
    "leaky_relu(0.2)": _leaky(0.2),
    "leaky_relu(0.3)": _leaky(0.3),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_sigmoid of Keras 2": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "relu6": lambda x: np.clip(x, 0, 6),
    "exponential": np.exp,
    "log_sigmoid": lambda x: -np.logaddexp(-x, 0),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
}
