"""Step-by-step recurrences for torch with hand-written backward passes: SimpleRNN, LSTM, GRU as Keras defines them.

torch's own layers know neither `hard_sigmoid` gates, nor `reset_after=False`, nor recurrent dropout, nor masks in
front. Written naively (`z[:, t]` in a loop) such a recurrence spends its time in autograd. Here the input projection
happens outside, for all steps at once; the forward loop keeps what the backward pass needs; the backward pass
computes every factor that does not depend on the incoming gradient for as many steps at once as stay in the cache,
loops over the few operations that do, and makes the weight gradients in one matrix product at the end.

For a large batch the time goes into memory, not arithmetic, so activations overwrite z, and in the backward pass the
gradient of z overwrites them. z must therefore be a fresh intermediate that nobody else reads (the result of a
projection), and a result can be differentiated once.

Shapes: T steps, B rows, u units, G gates. Time comes first: z (T, B, G*u) are the projected inputs with their bias, U
is (u, G*u). `drop` is the recurrent dropout (G, B, u) or None, `valid` (T, B, 1) is 1 where a step counts and 0 where
it is masked (the state is carried on), or None. Results are the states after every step (T, B, u) when `sequences` is
asked for, else the last one (B, u).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.spec import Gates


def _sigmoid_(x: Tensor) -> Tensor:
    return x.sigmoid_()


def _hard_sigmoid_(x: Tensor) -> Tensor:
    return torch.nn.functional.hardsigmoid(x, inplace=True)


def _hard_sigmoid_keras2_(x: Tensor) -> Tensor:
    return x.mul_(0.2).add_(0.5).clamp_(0.0, 1.0)


def _sigmoid_slope(y: Tensor) -> Tensor:
    return torch.addcmul(y, y, y, value=-1)


def _line_slope(slope: float) -> Callable[[Tensor], Tensor]:
    def derivative(y: Tensor) -> Tensor:
        # y - y^2 is positive on the slope and zero where y is clamped to 0 or 1.
        return torch.addcmul(y, y, y, value=-1).sign_().mul_(slope)

    return derivative


GATES: dict[Gates, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "sigmoid": (_sigmoid_, _sigmoid_slope),
    "hard_sigmoid": (_hard_sigmoid_, _line_slope(1 / 6)),
    "hard_sigmoid_keras2": (_hard_sigmoid_keras2_, _line_slope(0.2)),
}
"""Gate function in place, and its derivative from its value."""


class _StateProduct:
    """h U with the recurrent dropout of every gate, and its gradients."""

    def __init__(self, weight: Tensor, drop: Tensor | None) -> None:
        units = weight.shape[0]
        self.weight, self.drop = weight, drop
        if drop is not None:
            self.per_gate = weight.view(units, -1, units).transpose(0, 1).contiguous()  # (G, u, u)
            self.per_gate_t = self.per_gate.transpose(1, 2).contiguous()
        else:
            self.weight_t = weight.t().contiguous()

    def add(self, z: Tensor, h: Tensor) -> None:
        """Add h U to z (B, G*u) in place."""
        if self.drop is None:
            z.addmm_(h, self.weight)
            return
        product = torch.bmm(h * self.drop, self.per_gate).transpose(0, 1)  # (B, G, u)
        z.unflatten(-1, product.shape[1:]).add_(product)

    def back(self, dz: Tensor) -> Tensor:
        """Return the gradient of h (B, u) from that of the product (B, G*u)."""
        if self.drop is None:
            return dz @ self.weight_t
        per_gate = dz.unflatten(-1, self.per_gate.shape[:2]).transpose(0, 1)  # (G, B, u)
        return torch.bmm(per_gate, self.per_gate_t).mul_(self.drop).sum(0)

    def weight_gradient(self, h: Tensor, dz: Tensor) -> Tensor:
        """Return the gradient of U from the states before each step (T, B, u) and dz (T, B, G*u)."""
        units = h.shape[-1]
        if self.drop is None:
            return h.reshape(-1, units).t() @ dz.reshape(-1, dz.shape[-1])
        dropped = (h.unsqueeze(1) * self.drop).transpose(0, 1).reshape(len(self.drop), -1, units)  # (G, T*B, u)
        split = dz.unflatten(-1, (-1, units)).permute(2, 0, 1, 3).reshape(len(self.drop), -1, units)
        return torch.bmm(dropped.transpose(1, 2), split).transpose(0, 1).reshape(units, -1)


def _states(z: Tensor, units: int) -> Tensor:
    """Return room for the states before and after every step (T + 1, B, u), the first being zero."""
    states = z.new_empty(z.shape[0] + 1, z.shape[1], units)
    states[0].zero_()
    return states


def _hold(state: Tensor, before: Tensor, valid: Tensor) -> None:
    """Put the state before back into rows whose step is masked."""
    torch.lerp(before, state, valid, out=state)


def _unbind(valid: Tensor | None, steps: int) -> Sequence[Tensor | None]:
    return [None] * steps if valid is None else valid.unbind(0)


CHUNK_ELEMENTS = 2**17
"""How many values (of 4 or 8 bytes) the backward pass prepares at once: small enough for a core's second-level
cache.
"""


def _chunks(z: Tensor) -> Iterator[tuple[slice, range]]:
    """Split the steps of z (T, B, columns) into chunks, the last first.

    Yield a slice of steps and their numbers within it, the last first.
    """
    size = max(1, CHUNK_ELEMENTS // z[0].numel())
    for end in range(len(z), 0, -size):
        start = max(0, end - size)
        yield slice(start, end), range(end - start - 1, -1, -1)


def _one_minus_square(y: Tensor) -> Tensor:
    return torch.addcmul(y.new_ones(()), y, y, value=-1)


class _Incoming:
    """The gradient that reaches the states from outside: of every step, or of the last alone."""

    def __init__(self, gradient: Tensor, sequences: bool) -> None:
        self._steps = gradient.unbind(0) if sequences else None
        self.last = torch.zeros_like(gradient[0]) if sequences else gradient.clone()

    def add(self, dh: Tensor, step: int) -> Tensor:
        return dh if self._steps is None else dh + self._steps[step]


class _SimpleRNN(torch.autograd.Function):
    """h = tanh(z + h U)."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, weight: Tensor, drop: Tensor | None, valid: Tensor | None, sequences: bool
    ) -> Tensor:
        """Return the states."""
        product = _StateProduct(weight, drop)
        states = _states(z, weight.shape[0])
        h = states.unbind(0)
        for t, (z_t, ok) in enumerate(zip(z.unbind(0), _unbind(valid, len(z)), strict=True)):
            product.add(z_t, h[t])
            if ok is None:
                torch.tanh(z_t, out=h[t + 1])
            else:
                torch.lerp(h[t], z_t.tanh_(), ok, out=h[t + 1])
        ctx.save_for_backward(states, z)
        ctx.product, ctx.valid, ctx.sequences = product, valid, sequences
        return states[1:] if sequences else h[-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Return the gradients of z and U."""
        states, dz = ctx.saved_tensors
        product, valid = ctx.product, ctx.valid
        incoming = _Incoming(gradients[0], ctx.sequences)
        acts = states[1:] if valid is None else dz
        dh = incoming.last
        for chunk, steps in _chunks(dz):
            part = dz[chunk]
            torch.addcmul(part.new_ones(()), acts[chunk], acts[chunk], value=-1, out=part)
            oks = _unbind(None if valid is None else valid[chunk], len(part))
            if valid is not None:
                part *= valid[chunk]
            rows = part.unbind(0)
            for t in steps:
                dh = incoming.add(dh, chunk.start + t)
                rows[t].mul_(dh)
                dh = _carry(product.back(rows[t]), dh, oks[t])
        return dz, product.weight_gradient(states[:-1], dz), None, None, None


def _carry(back: Tensor, dh: Tensor, ok: Tensor | None) -> Tensor:
    """Return the gradient of the state before a step: where the step is masked, also that of the state after it."""
    return back if ok is None else torch.addcmul(back, dh, 1 - ok)


class _LSTM(torch.autograd.Function):
    """i, f, o = gate(z + h U); c = f c + i tanh(z + h U); h = o tanh(c). Columns of z and U in the order i f o c."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        weight: Tensor,
        drop: Tensor | None,
        valid: Tensor | None,
        gates: Gates,
        sequences: bool,
    ) -> Tensor:
        """Return the states."""
        gate_, _ = GATES[gates]
        product = _StateProduct(weight, drop)
        units = weight.shape[0]
        hidden, cells = _states(z, units), _states(z, units)
        squashed = torch.empty_like(hidden[1:])
        h, c, s = hidden.unbind(0), cells.unbind(0), squashed.unbind(0)
        sigmoids = z[..., : 3 * units].unbind(0)
        i, f, o, g = (part.unbind(0) for part in z.split(units, -1))
        oks = _unbind(valid, len(z))
        for t, z_t in enumerate(z.unbind(0)):
            product.add(z_t, h[t])
            gate_(sigmoids[t])
            g[t].tanh_()
            torch.mul(f[t], c[t], out=c[t + 1])
            c[t + 1].addcmul_(i[t], g[t])
            torch.tanh(c[t + 1], out=s[t])
            torch.mul(o[t], s[t], out=h[t + 1])
            ok = oks[t]
            if ok is not None:
                _hold(c[t + 1], c[t], ok)
                _hold(h[t + 1], h[t], ok)
        ctx.save_for_backward(hidden, cells, z, squashed)
        ctx.product, ctx.valid, ctx.gates, ctx.sequences = product, valid, gates, sequences
        return hidden[1:] if sequences else h[-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        """Return the gradients of z and U."""
        hidden, cells, dz, squashed = ctx.saved_tensors
        product, valid = ctx.product, ctx.valid
        _, slope = GATES[ctx.gates]
        units = hidden.shape[-1]
        incoming = _Incoming(gradients[0], ctx.sequences)
        dh, dc = incoming.last, torch.zeros_like(hidden[0])
        for chunk, steps in _chunks(dz):
            part = dz[chunk]
            i, f, o, g = part.split(units, -1)
            # What dh and dc are multiplied with to give dz.
            of_gates = slope(part[..., : 3 * units])
            of_gates[..., :units] *= g
            of_gates[..., units : 2 * units] *= cells[:-1][chunk]
            of_gates[..., 2 * units :] *= squashed[chunk]
            of_candidate = _one_minus_square(g).mul_(i)
            through = _one_minus_square(squashed[chunk]).mul_(o)  # dh to dc
            forget = f.clone()
            oks = _unbind(None if valid is None else valid[chunk], len(part))
            if valid is not None:
                for factor in (of_gates, of_candidate, through):
                    factor *= valid[chunk]
                forget = torch.where(valid[chunk] > 0, f, 1.0)
            to_cell, forgets, candidate = through.unbind(0), forget.unbind(0), of_candidate.unbind(0)
            cell_gates = of_gates[..., : 2 * units].unflatten(-1, (2, units)).unbind(0)
            out_gate = of_gates[..., 2 * units :].unbind(0)
            rows, dz_if = part.unbind(0), part[..., : 2 * units].unflatten(-1, (2, units)).unbind(0)
            dz_o, dz_g = o.unbind(0), g.unbind(0)
            for t in steps:
                dh = incoming.add(dh, chunk.start + t)
                dc.addcmul_(dh, to_cell[t])
                torch.mul(cell_gates[t], dc.unsqueeze(1), out=dz_if[t])
                torch.mul(out_gate[t], dh, out=dz_o[t])
                torch.mul(candidate[t], dc, out=dz_g[t])
                dc.mul_(forgets[t])
                dh = _carry(product.back(rows[t]), dh, oks[t])
        return dz, product.weight_gradient(hidden[:-1], dz), None, None, None, None


class _GRUBefore(torch.autograd.Function):
    """reset_after=False: z, r = gate(.. + h U); h~ = tanh(.. + (r h) U); h = z h + (1 - z) h~. Columns z r h."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        weight: Tensor,
        drop: Tensor | None,
        valid: Tensor | None,
        gates: Gates,
        sequences: bool,
    ) -> Tensor:
        """Return the states."""
        gate_, _ = GATES[gates]
        units = weight.shape[0]
        of_gates = _StateProduct(weight[:, : 2 * units].contiguous(), None if drop is None else drop[:2])
        of_candidate = _StateProduct(weight[:, 2 * units :].contiguous(), None)
        dropped = None if drop is None else drop[2]
        hidden = _states(z, units)
        resets = torch.empty_like(hidden[1:])
        update, reset, new = (part.unbind(0) for part in z.split(units, -1))
        h, both, kept = hidden.unbind(0), z[..., : 2 * units].unbind(0), resets.unbind(0)
        oks = _unbind(valid, len(z))
        for t in range(len(z)):
            of_gates.add(both[t], h[t])
            gate_(both[t])
            torch.mul(reset[t], h[t], out=kept[t])
            if dropped is not None:
                kept[t].mul_(dropped)
            of_candidate.add(new[t], kept[t])
            new[t].tanh_()
            torch.lerp(new[t], h[t], update[t], out=h[t + 1])
            ok = oks[t]
            if ok is not None:
                _hold(h[t + 1], h[t], ok)
        ctx.save_for_backward(hidden, z, resets)
        ctx.products, ctx.dropped, ctx.valid = (of_gates, of_candidate), dropped, valid
        ctx.gates, ctx.sequences = gates, sequences
        return hidden[1:] if sequences else h[-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        """Return the gradients of z and U."""
        hidden, dz, resets = ctx.saved_tensors
        of_gates, of_candidate = ctx.products
        valid, dropped = ctx.valid, ctx.dropped
        _, slope = GATES[ctx.gates]
        units = hidden.shape[-1]
        incoming = _Incoming(gradients[0], ctx.sequences)
        before = hidden[:-1]
        dh = incoming.last
        for chunk, steps in _chunks(dz):
            part = dz[chunk]
            update, reset, new = part.split(units, -1)
            factors = slope(part[..., : 2 * units])
            factors[..., :units] *= before[chunk] - new
            factors[..., units:] *= before[chunk] if dropped is None else before[chunk] * dropped
            of_new = _one_minus_square(new).mul_(1 - update)
            scale = reset.clone() if dropped is None else reset * dropped
            keep = update.clone()
            if valid is not None:
                factors *= valid[chunk]
                of_new *= valid[chunk]
                keep = torch.where(valid[chunk] > 0, update, 1.0)
            for_update, for_reset = (x.unbind(0) for x in factors.split(units, -1))
            for_new, keeps, scales = of_new.unbind(0), keep.unbind(0), scale.unbind(0)
            d_update, d_reset, d_new = update.unbind(0), reset.unbind(0), new.unbind(0)
            d_gates = part[..., : 2 * units].unbind(0)
            for t in steps:
                dh = incoming.add(dh, chunk.start + t)
                torch.mul(for_update[t], dh, out=d_update[t])
                torch.mul(for_new[t], dh, out=d_new[t])
                d_kept = of_candidate.back(d_new[t])
                torch.mul(for_reset[t], d_kept, out=d_reset[t])
                dh = torch.addcmul(of_gates.back(d_gates[t]), dh, keeps[t]).addcmul_(d_kept, scales[t])
        d_weight = torch.cat(
            (
                of_gates.weight_gradient(before, dz[..., : 2 * units]),
                of_candidate.weight_gradient(resets, dz[..., 2 * units :]),
            ),
            1,
        )
        return dz, d_weight, None, None, None, None


class _GRUAfter(torch.autograd.Function):
    """reset_after=True: s = h U + b; z, r = gate(.. + s); h~ = tanh(.. + r s); h = z h + (1 - z) h~. Columns z r h."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        weight: Tensor,
        bias: Tensor,
        drop: Tensor | None,
        valid: Tensor | None,
        gates: Gates,
        sequences: bool,
    ) -> Tensor:
        """Return the states; `bias` (3u,) is the recurrent bias."""
        gate_, _ = GATES[gates]
        units = weight.shape[0]
        product = _StateProduct(weight, drop)
        hidden = _states(z, units)
        inner = torch.empty_like(hidden[1:])
        state = z.new_empty(z.shape[1], 3 * units)
        of_gates, of_candidate = state.split((2 * units, units), -1)
        h, s = hidden.unbind(0), inner.unbind(0)
        sigmoids = z[..., : 2 * units].unbind(0)
        update, reset, new = (part.unbind(0) for part in z.split(units, -1))
        oks = _unbind(valid, len(z))
        for t in range(len(z)):
            state.copy_(bias)
            product.add(state, h[t])
            gate_(sigmoids[t].add_(of_gates))
            s[t].copy_(of_candidate)
            new[t].addcmul_(reset[t], of_candidate).tanh_()
            torch.lerp(new[t], h[t], update[t], out=h[t + 1])
            ok = oks[t]
            if ok is not None:
                _hold(h[t + 1], h[t], ok)
        ctx.save_for_backward(hidden, z, inner)
        ctx.product, ctx.valid, ctx.gates, ctx.sequences = product, valid, gates, sequences
        return hidden[1:] if sequences else h[-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None, None]:
        """Return the gradients of z, U and the recurrent bias."""
        hidden, dz, inner = ctx.saved_tensors
        product, valid = ctx.product, ctx.valid
        _, slope = GATES[ctx.gates]
        units = hidden.shape[-1]
        incoming = _Incoming(gradients[0], ctx.sequences)
        before = hidden[:-1]
        ds = torch.empty_like(dz)  # differs from dz in the candidate's columns by the factor r
        dh = incoming.last
        for chunk, steps in _chunks(dz):
            update, reset, new = dz[chunk].split(units, -1)
            factors = torch.empty_like(dz[chunk])
            of_update, of_reset, of_new = factors.split(units, -1)
            torch.mul(_one_minus_square(new), 1 - update, out=of_new)
            torch.mul(of_new, inner[chunk], out=of_reset)
            torch.sub(before[chunk], new, out=of_update)
            factors[..., : 2 * units] *= slope(dz[chunk][..., : 2 * units])
            keep = update.clone()
            if valid is not None:
                factors *= valid[chunk]
                keep = torch.where(valid[chunk] > 0, update, 1.0)
            ds[chunk] = factors
            ds[chunk][..., 2 * units :] *= reset
            per_gate, d_input, d_state = (
                x.unflatten(-1, (3, units)).unbind(0) for x in (factors, dz[chunk], ds[chunk])
            )
            keeps, rows = keep.unbind(0), ds[chunk].unbind(0)
            for t in steps:
                dh = incoming.add(dh, chunk.start + t)
                torch.mul(per_gate[t], dh.unsqueeze(1), out=d_input[t])
                d_state[t].mul_(dh.unsqueeze(1))
                dh = torch.addcmul(product.back(rows[t]), dh, keeps[t])
        return dz, product.weight_gradient(before, ds), ds.sum((0, 1)), None, None, None, None


def simple_rnn(z: Tensor, weight: Tensor, drop: Tensor | None, valid: Tensor | None, sequences: bool) -> Tensor:
    """Return the states of Keras's SimpleRNN (keras/src/layers/rnn/simple_rnn.py)."""
    return _SimpleRNN.apply(z, weight, drop, valid, sequences)  # type: ignore[no-any-return, no-untyped-call]


def lstm(z: Tensor, weight: Tensor, drop: Tensor | None, valid: Tensor | None, gates: Gates, sequences: bool) -> Tensor:
    """Return the states of Keras's LSTM (keras/src/layers/rnn/lstm.py); columns and `drop` in the order i f o c."""
    return _LSTM.apply(z, weight, drop, valid, gates, sequences)  # type: ignore[no-any-return, no-untyped-call]


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
    if bias is None:
        return _GRUBefore.apply(z, weight, drop, valid, gates, sequences)  # type: ignore[no-any-return, no-untyped-call]
    return _GRUAfter.apply(z, weight, bias, drop, valid, gates, sequences)  # type: ignore[no-any-return, no-untyped-call]
