"""Initial weights of a model as NumPy arrays in Keras's layout: the one set that every backend loads.

The distributions are Keras's (keras/src/initializers/random_initializers.py; since 2.0.8: docs/keras-versions.md):
Embedding uniform(-0.05, 0.05), kernels glorot_uniform, recurrent kernels orthogonal over the whole (units, gates *
units) matrix, by QR (by SVD up to Keras 2.3), biases zero, the forget gate of an LSTM one. Normalizations begin with
scales and variances of one, shifts and means of zero.
"""

from __future__ import annotations

from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

from bench.cases.model import Model, WeightSpec
from bench.data.randomness import stream


def initial(
    model: Model, name: str, seed: int, vectors: NDArray[np.float32] | None = None
) -> list[NDArray[np.float32]]:
    """Return the weights of `model` in order, drawn from the streams of (`name`, `seed`).

    `name` is the case's (`suite/case`); `vectors` fills a pretrained Embedding, shape (input_dim, output_dim).
    """
    weights = []
    for layer in model.layers:
        for spec in layer.weights:
            if spec.initializer == "vectors":
                if vectors is None or vectors.shape != spec.shape:
                    found = None if vectors is None else vectors.shape
                    raise ValueError(
                        f"{name}, layer {layer.name}: vectors of shape {spec.shape} are needed, got {found}"
                    )
                weights.append(np.array(vectors, dtype=np.float32))
            else:
                weights.append(_draw(spec, stream("weights", name, seed, layer.name, spec.name)))
    return weights


def _draw(spec: WeightSpec, random: np.random.RandomState) -> NDArray[np.float32]:
    match spec.initializer:
        case "uniform":
            values = random.uniform(-0.05, 0.05, spec.shape)
        case "glorot_uniform":
            receptive_field = prod(spec.shape[:-2])
            limit = sqrt(6.0 / (receptive_field * (spec.shape[-2] + spec.shape[-1])))
            values = random.uniform(-limit, limit, spec.shape)
        case "orthogonal":
            values = _orthogonal(spec.shape, random)
        case "lstm_bias":
            values = np.zeros(spec.shape)
            units = spec.shape[-1] // 4
            values.reshape(-1)[units : 2 * units] = 1.0  # of the first bias, where there are two
        case "ones":
            values = np.ones(spec.shape)
        case _:
            values = np.zeros(spec.shape)
    return values.astype(np.float32)


def _orthogonal(shape: tuple[int, ...], random: np.random.RandomState) -> NDArray[np.float64]:
    rows, columns = shape
    q, r = np.linalg.qr(random.standard_normal((max(shape), min(shape))))
    q *= np.sign(np.diag(r))  # makes the decomposition unique, as Keras does
    return q.T if rows < columns else q
