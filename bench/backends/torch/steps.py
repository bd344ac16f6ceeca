"""One time step of SimpleRNN, LSTM and GRU as Keras defines them, to be compiled and called for every step.

Shapes, and the meaning of `drop` and `valid`, are those of the module `recurrence`, without their time axis: z (B, G*u)
is the projected input with its bias, U is (u, G*u), states are (B, u).
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.spec import Gates


def simple_rnn(z: Tensor, weight: Tensor, h: Tensor, drop: Tensor | None, valid: Tensor | None) -> Tensor:
    """Return the state after a step: tanh(z + h U)."""
    return _held(torch.tanh(z + _product(h, weight, drop)), h, valid)


def lstm(
    z: Tensor, weight: Tensor, h: Tensor, c: Tensor, drop: Tensor | None, valid: Tensor | None, gates: Gates
) -> tuple[Tensor, Tensor]:
    """Return state and cell after a step; columns in the order i f o c."""
    i, f, o, g = (z + _product(h, weight, drop)).chunk(4, -1)
    cell = _gate(f, gates) * c + _gate(i, gates) * torch.tanh(g)
    return _held(_gate(o, gates) * torch.tanh(cell), h, valid), _held(cell, c, valid)


def gru(
    z: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    h: Tensor,
    drop: Tensor | None,
    valid: Tensor | None,
    gates: Gates,
) -> Tensor:
    """Return the state after a step; `bias` (3u,) makes it `reset_after=True`; columns in the order z r h."""
    units = h.shape[-1]
    of_gates, of_new = z.split((2 * units, units), -1)
    if bias is None:
        by_state = _product(h, weight[:, : 2 * units], None if drop is None else drop[:2])
        update, reset = _gate(of_gates + by_state, gates).chunk(2, -1)
        kept = reset * h if drop is None else reset * h * drop[2]
        new = torch.tanh(of_new + kept @ weight[:, 2 * units :])
    else:
        by_state, inner = (_product(h, weight, drop) + bias).split((2 * units, units), -1)
        update, reset = _gate(of_gates + by_state, gates).chunk(2, -1)
        new = torch.tanh(of_new + reset * inner)
    return _held(update * h + (1 - update) * new, h, valid)


def _product(h: Tensor, weight: Tensor, drop: Tensor | None) -> Tensor:
    """Return h U; with recurrent dropout every gate has a mask of its own."""
    if drop is None:
        return h @ weight
    return torch.cat([(h * d) @ w for d, w in zip(drop.unbind(0), weight.chunk(len(drop), 1), strict=True)], -1)


def _gate(x: Tensor, gates: Gates) -> Tensor:
    match gates:
        case "sigmoid":
            return torch.sigmoid(x)
        case "hard_sigmoid":
            return torch.clamp(x / 6 + 0.5, 0.0, 1.0)  # torch's own `hardsigmoid` has a gradient of float32 in float64
        case "hard_sigmoid_keras2":
            return torch.clamp(0.2 * x + 0.5, 0.0, 1.0)


def _held(state: Tensor, before: Tensor, valid: Tensor | None) -> Tensor:
    return state if valid is None else torch.where(valid > 0, state, before)
