"""Step-by-step recurrences for torch, differentiated by autograd: SimpleRNN, LSTM, GRU as Keras defines them.

torch's own layers know neither `hard_sigmoid` gates, nor `reset_after=False`, nor recurrent dropout, nor masks in
front. Written naively such a recurrence spends its time in autograd: the gradient of `z[:, t]` is a whole z of zeros,
once a step. Here the input projection happens outside, for all steps at once, z is taken apart once, and whatever need
not wait for the state is done for all steps. What backward passes by hand would gain is in `docs/performance.md`.

Shapes: T steps, B rows, u units, G gates. Time comes first: z (T, B, G*u) are the projected inputs with their bias, U
is (u, G*u). `drop` is the recurrent dropout (G, B, u) or None, `valid` (T, B, 1) is 1 where a step counts and 0 where
it is masked (the state is carried on), or None. Results are the states after every step (T, B, u) when `sequences` is
asked for, else the last one (B, u).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import record_function

from bench.spec import Gates

SLOPES: dict[Gates, float] = {"hard_sigmoid": 1 / 6, "hard_sigmoid_keras2": 0.2}
"""A hard sigmoid is clip(slope x + 0.5, 0, 1). (In float64 the gradient of torch's `hardsigmoid` is one of float32.)"""


def simple_rnn(z: Tensor, weight: Tensor, drop: Tensor | None, valid: Tensor | None, sequences: bool) -> Tensor:
    """Return the states of Keras's SimpleRNN (keras/src/layers/rnn/simple_rnn.py)."""
    add_product = _adder(weight, drop)
    return _states("_SimpleRNN", lambda z_t, h: (torch.tanh(add_product(z_t, h)),), (z,), 1, weight, valid, sequences)


def lstm(z: Tensor, weight: Tensor, drop: Tensor | None, valid: Tensor | None, gates: Gates, sequences: bool) -> Tensor:
    """Return the states of Keras's LSTM (keras/src/layers/rnn/lstm.py); columns and `drop` in the order i f o c."""
    z_gates, z_new, gate, add_to_new = _parts(3, z, weight, drop, gates)

    def step(gates_t: Tensor, new_t: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        i, f, o = gate(gates_t, h).chunk(3, 1)
        cell = f * c + i * torch.tanh(add_to_new(new_t, h))
        return o * torch.tanh(cell), cell

    return _states("_LSTM", step, (z_gates, z_new), 2, weight, valid, sequences)


def gru(
    z: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    drop: Tensor | None,
    valid: Tensor | None,
    gates: Gates,
    sequences: bool,
) -> Tensor:
    """Return the states of Keras's GRU (keras/src/layers/rnn/gru.py); `bias` (3u,) makes it `reset_after=True`."""
    units = len(weight)
    if bias is not None:  # that of the gates may be added for all steps, that of the new state is reset
        z = z + torch.cat((bias[: 2 * units], bias.new_zeros(units)))
        bias = bias[2 * units :].expand(z.shape[1], -1)
    z_gates, z_new, gate, add_to_new = _parts(2, z, weight, drop, gates)

    def step(gates_t: Tensor, new_t: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        update, reset = gate(gates_t, h).chunk(2, 1)
        new = add_to_new(new_t, reset * h) if bias is None else new_t + reset * add_to_new(bias, h)
        return (torch.lerp(torch.tanh(new), h, update),)

    name = "_GRUBefore" if bias is None else "_GRUAfter"
    return _states(name, step, (z_gates, z_new), 1, weight, valid, sequences)


Adder = Callable[[Tensor, Tensor], Tensor]
"""A function of z (B, G*u) and h (B, u): z + h U, or a gate of it."""


def _parts(
    count: int, z: Tensor, weight: Tensor, drop: Tensor | None, gates: Gates
) -> tuple[Tensor, Tensor, Adder, Adder]:
    """Return the z of `count` gates, the z of the new state, and what adds the state's product to each.

    A hard sigmoid's line is drawn before the loop: z and U of the gates are scaled, so that a step only clips.
    """
    units = len(weight)
    (z_gates, z_new), (of_gates, of_new) = (x.split((count * units, units), -1) for x in (z, weight))
    drop_gates, drop_new = (None, None) if drop is None else drop.split((count, 1))
    add_to_new = _adder(of_new, drop_new)
    if gates == "sigmoid":
        add_to_gates = _adder(of_gates, drop_gates)
        return z_gates, z_new, lambda z_t, h: torch.sigmoid(add_to_gates(z_t, h)), add_to_new
    slope = SLOPES[gates]
    add_scaled = _adder(slope * of_gates, drop_gates)
    line = torch.add(z.new_tensor(0.5), z_gates, alpha=slope)
    return line, z_new, lambda z_t, h: torch.nn.functional.hardtanh(add_scaled(z_t, h), 0.0, 1.0), add_to_new


def _adder(weight: Tensor, drop: Tensor | None) -> Adder:
    """Return a function of z (B, G*u) and h (B, u) that returns z + h U, with every gate's recurrent dropout."""
    if drop is None:
        return lambda z, h: torch.addmm(z, h, weight)
    if len(drop) == 1:
        return lambda z, h: torch.addmm(z, h * drop[0], weight)
    per_gate = weight.unflatten(1, (len(drop), -1)).transpose(0, 1).contiguous()  # (G, u, u)

    def add(z: Tensor, h: Tensor) -> Tensor:
        z_per_gate = z.unflatten(1, (len(drop), -1)).transpose(0, 1)
        return torch.baddbmm(z_per_gate, h * drop, per_gate).transpose(0, 1).flatten(1)

    return add


def _states(
    name: str,
    step: Callable[..., tuple[Tensor, ...]],
    inputs: tuple[Tensor, ...],
    carried: int,
    weight: Tensor,
    valid: Tensor | None,
    sequences: bool,
) -> Tensor:
    """Return the states: the first of the `carried` tensors (B, u) that `step` takes after its inputs and returns.

    In a profile the loop is `name`, as if it were one operation.
    """
    with record_function(name):
        steps, rows = inputs[0].shape[:2]
        state = (weight.new_zeros(rows, len(weight)),) * carried
        states = []
        counts = [None] * steps if valid is None else (valid > 0).unbind(0)
        for count, *inputs_t in zip(counts, *(x.unbind(0) for x in inputs), strict=True):
            after = step(*inputs_t, *state)
            if count is not None:
                after = tuple(torch.where(count, new, old) for new, old in zip(after, state, strict=True))
            state = after
            states.append(state[0])
        return torch.stack(states) if sequences else state[0]
