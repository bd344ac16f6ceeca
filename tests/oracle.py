"""Every layer of a `Model` in NumPy float64, forward and backward, written from the formulas of Keras's
documentation.

It shares no code with the backends: loops over steps, one gate at a time, no layout other than Keras's.
`Oracle(model).gradients(weights, x, y, masks)` is what a backend's `gradients` must return.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erf

from bench.cases.model import BuiltLayer, Model
from bench.spec import (
    GRU,
    LSTM,
    ActivationLayer,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    LayerNormalization,
    MaxPooling1D,
    Recurrent,
    SimpleRNN,
    SpatialDropout1D,
)

Array = np.ndarray[Any, Any]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


ACTIVATIONS: dict[str, Any] = {
    "linear": (lambda x: x, lambda x: np.ones_like(x)),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x))),
    "hard_sigmoid": (lambda x: np.clip(x / 6 + 0.5, 0, 1), lambda x: (np.abs(x) < 3) / 6),
    "hard_sigmoid_keras2": (lambda x: np.clip(0.2 * x + 0.5, 0, 1), lambda x: (np.abs(x) < 2.5) * 0.2),
    # Hendrycks and Gimpel (2016): x times the normal distribution function.
    "gelu": (
        lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
        lambda x: (1 + erf(x / np.sqrt(2))) / 2 + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi),
    ),
}


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def activated(name: str, x: Array) -> Array:
    return softmax(x) if name == "softmax" else ACTIVATIONS[name][0](x)


def activated_back(name: str, x: Array, dy: Array) -> Array:
    """Return the gradient of x from that of the activation."""
    if name != "softmax":
        return dy * ACTIVATIONS[name][1](x)
    shares = softmax(x)
    return shares * (dy - (dy * shares).sum(-1, keepdims=True))


def windows(steps: int, size: int, strides: int, padding: str) -> list[list[int]]:
    """Return the steps of every window, those outside of the sequence too (TensorFlow's guide on convolutions)."""
    if padding == "valid":
        return [list(range(first, first + size)) for first in range(0, steps - size + 1, strides)]
    added = max(size - (steps % strides or strides), 0)
    return [list(range(first, first + size)) for first in range(-(added // 2), steps - added // 2, strides)]


class NormalizationOracle:
    """Values less a mean, over a standard deviation: of the values that count, over some axes.

    Both sums are divided by their number plus `extra`.
    """

    def __init__(self, axes: tuple[int, ...], epsilon: float, extra: float = 0.0) -> None:
        self.axes, self.epsilon, self.extra = axes, epsilon, extra

    def forward(self, x: Array, counted: Array) -> Array:
        self.w, self.n = counted, counted.sum(self.axes, keepdims=True) + self.extra
        self.mean = (counted * x).sum(self.axes, keepdims=True) / self.n
        self.r = x - self.mean
        self.variance = (counted * self.r**2).sum(self.axes, keepdims=True) / self.n
        self.inverse = 1 / np.sqrt(self.variance + self.epsilon)
        return self.r * self.inverse

    def backward(self, dy: Array) -> Array:
        d_variance = -0.5 * (dy * self.r).sum(self.axes, keepdims=True) * self.inverse**3
        d_squares = 2 * d_variance * self.w * self.r / self.n
        d_mean = -(dy * self.inverse + d_squares).sum(self.axes, keepdims=True)
        return dy * self.inverse + d_squares + d_mean * self.w / self.n


class Step:
    """One step of a recurrent cell and its backward pass; `drop` are the masks of x and h, one per gate."""

    def __init__(self, layer: Recurrent, weights: list[Array], drop_x: Array, drop_h: Array) -> None:
        self.layer, self.drop_x, self.drop_h = layer, drop_x, drop_h
        gates = len(drop_h)
        self.W, self.U = (np.split(weight, gates, axis=1) for weight in weights[:2])
        bias = weights[2] if weights[2].ndim == 2 else np.stack((weights[2], np.zeros_like(weights[2])))
        self.b, self.c = (np.split(part, gates) for part in bias)
        self.dW, self.dU = [np.zeros_like(w) for w in self.W], [np.zeros_like(u) for u in self.U]
        self.db, self.dc = [np.zeros_like(b) for b in self.b], [np.zeros_like(c) for c in self.c]
        if isinstance(layer, SimpleRNN):
            self.gate, self.slope = ACTIVATIONS["tanh"]
        else:
            self.gate, self.slope = ACTIVATIONS[layer.recurrent_activation or "sigmoid"]

    def gradients(self) -> list[Array]:
        bias = np.stack((np.concatenate(self.db), np.concatenate(self.dc)))
        two = isinstance(self.layer, GRU) and self.layer.reset_after
        return [np.concatenate(self.dW, 1), np.concatenate(self.dU, 1), bias if two else bias[0]]

    def inputs(self, k: int, x: Array) -> Array:
        return (x * self.drop_x[k]) @ self.W[k] + self.b[k]

    def state(self, k: int, h: Array) -> Array:
        return (h * self.drop_h[k]) @ self.U[k] + self.c[k]

    def back_inputs(self, k: int, x: Array, dz: Array) -> Array:
        self.dW[k] += (x * self.drop_x[k]).T @ dz
        self.db[k] += dz.sum(0)
        return (dz @ self.W[k].T) * self.drop_x[k]

    def back_state(self, k: int, h: Array, dz: Array) -> Array:
        self.dU[k] += (h * self.drop_h[k]).T @ dz
        self.dc[k] += dz.sum(0)
        return (dz @ self.U[k].T) * self.drop_h[k]

    def forward(self, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        match self.layer:
            case SimpleRNN():
                return np.tanh(self.inputs(0, x) + self.state(0, h)), c
            case LSTM():
                z = [self.inputs(k, x) + self.state(k, h) for k in range(4)]
                c = self.gate(z[1]) * c + self.gate(z[0]) * np.tanh(z[2])
                return self.gate(z[3]) * np.tanh(c), c
            case GRU():
                update, reset = (self.gate(self.inputs(k, x) + self.state(k, h)) for k in (0, 1))
                return update * h + (1 - update) * np.tanh(self.candidate(x, h, reset)), c

    def candidate(self, x: Array, h: Array, reset: Array) -> Array:
        assert isinstance(self.layer, GRU)
        if self.layer.reset_after:
            return self.inputs(2, x) + reset * self.state(2, h)
        return self.inputs(2, x) + self.state(2, reset * h)

    def backward(self, x: Array, h: Array, c: Array, dh: Array, dc: Array) -> tuple[Array, Array, Array]:
        """Return the gradients of x, h and c before the step from those of h and c after it."""
        match self.layer:
            case SimpleRNN():
                dz = dh * self.slope(self.inputs(0, x) + self.state(0, h))
                return self.back_inputs(0, x, dz), self.back_state(0, h, dz), dc
            case LSTM():
                z = [self.inputs(k, x) + self.state(k, h) for k in range(4)]
                new = self.gate(z[1]) * c + self.gate(z[0]) * np.tanh(z[2])
                dc = dc + dh * self.gate(z[3]) * (1 - np.tanh(new) ** 2)
                dz = [
                    dc * np.tanh(z[2]) * self.slope(z[0]),
                    dc * c * self.slope(z[1]),
                    dc * self.gate(z[0]) * (1 - np.tanh(z[2]) ** 2),
                    dh * np.tanh(new) * self.slope(z[3]),
                ]
                dx = sum(self.back_inputs(k, x, dz[k]) for k in range(4))
                return dx, sum(self.back_state(k, h, dz[k]) for k in range(4)), dc * self.gate(z[1])
            case GRU():
                z = [self.inputs(k, x) + self.state(k, h) for k in (0, 1)]
                update, reset = self.gate(z[0]), self.gate(z[1])
                new = np.tanh(self.candidate(x, h, reset))
                d_new = dh * (1 - update) * (1 - new**2)
                before = dh * update
                if self.layer.reset_after:
                    d_reset = d_new * self.state(2, h)
                    before = before + self.back_state(2, h, d_new * reset)
                else:
                    d_kept = self.back_state(2, reset * h, d_new)
                    d_reset = d_kept * h
                    before = before + d_kept * reset
                dz_update, dz_reset = dh * (h - new) * self.slope(z[0]), d_reset * self.slope(z[1])
                for k, dz in ((0, dz_update), (1, dz_reset)):
                    before = before + self.back_state(k, h, dz)
                dx = sum(self.back_inputs(k, x, dz) for k, dz in enumerate((dz_update, dz_reset, d_new)))
                return dx, before, dc


class RecurrentOracle:
    def __init__(self, layer: Recurrent, weights: list[Array], masks: list[Array], backwards: bool = False) -> None:
        gates = weights[0].shape[1] // layer.units
        taken = iter(masks)
        one = np.ones((1, gates, 1))
        drop_x = next(taken) * one if layer.dropout and masks else one
        drop_h = next(taken) * one if layer.recurrent_dropout and masks else one
        self.layer, self.backwards = layer, backwards
        self.step = Step(layer, weights, drop_x.transpose(1, 0, 2), drop_h.transpose(1, 0, 2))

    def forward(self, x: Array, valid: Array | None) -> tuple[Array, Array | None]:
        rows, time, _ = x.shape
        self.x = x[:, ::-1] if self.backwards else x
        ok = np.ones((rows, time), bool) if valid is None else valid
        self.ok = ok[:, ::-1] if self.backwards else ok
        h = c = np.zeros((rows, self.layer.units))
        self.before = []
        out = []
        for t in range(time):
            self.before.append((h, c))
            keep = self.ok[:, t, None]
            new_h, new_c = self.step.forward(self.x[:, t], h, c)
            h, c = np.where(keep, new_h, h), np.where(keep, new_c, c)
            out.append(h)
        if not self.layer.return_sequences:
            return h, None
        states = np.stack(out, 1)
        return states[:, ::-1] if self.backwards else states, valid

    def backward(self, dy: Array) -> Array:
        dx = np.zeros_like(self.x)
        sequences = self.layer.return_sequences
        if sequences and self.backwards:
            dy = dy[:, ::-1]
        dh = np.zeros_like(self.before[0][0]) if sequences else dy
        dc = np.zeros_like(dh)
        for t in reversed(range(self.x.shape[1])):
            if sequences:
                dh = dh + dy[:, t]
            keep = self.ok[:, t, None]
            dx[:, t], back_h, back_c = self.step.backward(self.x[:, t], *self.before[t], dh * keep, dc * keep)
            dh, dc = back_h + dh * ~keep, back_c + dc * ~keep
        return dx[:, ::-1] if self.backwards else dx


class LayerOracle:
    """One layer: `forward` keeps what `backward` needs; `grads` are the gradients of its weights afterwards."""

    def __init__(self, built: BuiltLayer, weights: list[Array], masks: list[Array], training: bool = True) -> None:
        self.layer, self.weights, self.masks, self.training = built.layer, weights, masks, training
        self.grads: list[Array] = []
        if isinstance(self.layer, Bidirectional):
            w, m = len(weights) // 2, len(masks) // 2
            self.ways = [
                RecurrentOracle(self.layer.layer, weights[:w], masks[:m]),
                RecurrentOracle(self.layer.layer, weights[w:], masks[m:], backwards=True),
            ]
        elif isinstance(self.layer, SimpleRNN | LSTM | GRU):
            self.ways = [RecurrentOracle(self.layer, weights, masks)]

    def forward(self, x: Array, valid: Array | None) -> tuple[Array, Array | None]:
        self.x, self.valid = x, valid
        match self.layer:
            case Embedding():
                return self.weights[0][x], x != 0 if self.layer.mask_zero else None
            case Flatten():
                return x.reshape(len(x), -1), None
            case GlobalAveragePooling1D():
                self.share = np.ones(x.shape[:2]) if valid is None else valid * 1.0
                self.share = self.share / self.share.sum(1, keepdims=True)
                return (x * self.share[..., None]).sum(1), None
            case GlobalMaxPooling1D():
                return x.max(1), None
            case Conv1D():
                kernel, bias = self.weights
                self.windows = windows(x.shape[1], len(kernel), self.layer.strides, self.layer.padding)
                z = np.zeros((len(x), len(self.windows), kernel.shape[-1])) + bias
                for place, window in enumerate(self.windows):
                    for i, step in enumerate(window):
                        if 0 <= step < x.shape[1]:
                            z[:, place] += x[:, step] @ kernel[i]
                self.z = z
                return activated(self.layer.activation, z), None
            case MaxPooling1D() | AveragePooling1D():
                layer, steps = self.layer, x.shape[1]
                found = windows(steps, layer.pool_size, layer.strides or layer.pool_size, layer.padding)
                self.windows = [[step for step in window if 0 <= step < steps] for window in found]
                pool = np.max if isinstance(layer, MaxPooling1D) else np.mean
                return np.stack([pool(x[:, window], 1) for window in self.windows], 1), None
            case LayerNormalization():
                self.normal = NormalizationOracle((-1,), self.layer.epsilon)
                self.out = self.normal.forward(x, np.ones_like(x))
                return self.out * self.weights[0] + self.weights[1], valid
            case BatchNormalization():
                counted = np.ones_like(x) if valid is None else np.broadcast_to(valid[..., None] * 1.0, x.shape)
                axes = tuple(range(x.ndim - 1))
                self.normal = NormalizationOracle(axes, self.layer.epsilon, 0.0 if valid is None else 1e-7)
                gamma, beta, mean, variance = self.weights
                self.out = self.normal.forward(x, counted)
                moments = self.normal.mean.ravel(), self.normal.variance.ravel()
                keep = self.layer.momentum
                self.moved = [keep * old + (1 - keep) * new for old, new in zip((mean, variance), moments, strict=True)]
                if not self.training:
                    self.out = (x - mean) / np.sqrt(variance + self.layer.epsilon)
                return self.out * gamma + beta, valid
            case Dense():
                self.z = x @ self.weights[0] + (self.weights[1] if self.layer.use_bias else 0)
                return activated(self.layer.activation, self.z), valid
            case ActivationLayer():
                return activated(self.layer.activation, x), valid
            case Dropout() | SpatialDropout1D():
                return x * self.masks[0] if self.masks else x, valid
            case _:
                outputs = [way.forward(x, valid) for way in self.ways]
                both = np.concatenate([out for out, _ in outputs], -1)
                # Keras: zero_output_for_mask, in Bidirectional only
                self.shown = 1.0 if valid is None or both.ndim == 2 or len(self.ways) == 1 else valid[..., None] * 1.0
                return both * self.shown, outputs[0][1]

    def backward(self, dy: Array) -> Array:
        match self.layer:
            case Embedding():
                table = np.zeros_like(self.weights[0])
                np.add.at(table, self.x, dy)
                self.grads = [table]
                return dy
            case Flatten():
                return dy.reshape(self.x.shape)
            case GlobalAveragePooling1D():
                return dy[:, None] * self.share[..., None]
            case GlobalMaxPooling1D():
                at = self.x == self.x.max(1, keepdims=True)
                return dy[:, None] * at / at.sum(1, keepdims=True)
            case Conv1D():
                dz = activated_back(self.layer.activation, self.z, dy)
                kernel, dx = self.weights[0], np.zeros_like(self.x)
                dk = np.zeros_like(kernel)
                for place, window in enumerate(self.windows):
                    for i, step in enumerate(window):
                        if 0 <= step < self.x.shape[1]:
                            dx[:, step] += dz[:, place] @ kernel[i].T
                            dk[i] += self.x[:, step].T @ dz[:, place]
                self.grads = [dk, dz.sum((0, 1))]
                return dx
            case MaxPooling1D() | AveragePooling1D():
                dx = np.zeros_like(self.x)
                for place, window in enumerate(self.windows):
                    values = self.x[:, window]
                    shares = np.full(values.shape, 1 / len(window))
                    if isinstance(self.layer, MaxPooling1D):
                        shares = (np.arange(len(window))[None, :, None] == values.argmax(1)[:, None]) * 1.0
                    dx[:, window] += dy[:, place, None] * shares
                return dx
            case LayerNormalization() | BatchNormalization():
                flat = tuple(range(dy.ndim - 1))
                self.grads = [(dy * self.out).sum(flat), dy.sum(flat)]
                self.grads += self.weights[2:]  # of moving averages there are none
                return self.normal.backward(dy * self.weights[0])
            case Dense():
                dz = activated_back(self.layer.activation, self.z, dy)
                flat = self.x.reshape(-1, self.x.shape[-1])
                self.grads = [flat.T @ dz.reshape(-1, dz.shape[-1]), dz.reshape(-1, dz.shape[-1]).sum(0)]
                self.grads = self.grads[: len(self.weights)]
                return dz @ self.weights[0].T
            case ActivationLayer():
                return activated_back(self.layer.activation, self.x, dy)
            case Dropout() | SpatialDropout1D():
                return dy * self.masks[0] if self.masks else dy
            case _:
                parts = np.split(dy * self.shown, len(self.ways), -1)
                dx = sum(way.backward(part) for way, part in zip(self.ways, parts, strict=True))
                self.grads = [gradient for way in self.ways for gradient in way.step.gradients()]
                return dx


class Oracle:
    """A whole model in NumPy."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def run(
        self, weights: list[Array], x: Array, masks: list[Array] | None, training: bool
    ) -> tuple[Array, list[LayerOracle]]:
        """Return the logits, and the layers after their forward pass."""
        w = [np.asarray(value, np.float64) for value in weights]
        m = [np.asarray(value, np.float64) for value in masks or ()]
        layers = []
        valid, out = None, x
        for built in self.model.layers:
            own_w, w = w[: len(built.weights)], w[len(built.weights) :]
            own_m, m = (m[: len(built.masks)], m[len(built.masks) :]) if masks else ([], m)
            layers.append(LayerOracle(built, own_w, own_m, training))
            out, valid = layers[-1].forward(out, valid)
        return out[:, 0], layers

    def gradients(
        self, weights: list[Array], x: Array, y: Array, masks: list[Array] | None
    ) -> tuple[Array, float, list[Array]]:
        """Return logits, mean binary cross-entropy, and the gradient of every trainable weight."""
        logits, layers = self.run(weights, x, masks, training=True)
        loss = np.mean(np.logaddexp(0, logits) - y * logits)
        grad = ((sigmoid(logits) - y) / len(y))[:, None]
        for layer in reversed(layers):
            grad = layer.backward(grad)
        found = [
            gradient
            for built, layer in zip(self.model.layers, layers, strict=True)
            for spec, gradient in zip(built.weights, layer.grads, strict=True)
            if spec.trainable
        ]
        return logits, float(loss), found
