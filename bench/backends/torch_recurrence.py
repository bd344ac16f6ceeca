"""Step-by-step recurrences for torch with hand-written backward passes: SimpleRNN, LSTM, GRU as Keras defines them.

torch's own layers know neither `hard_sigmoid` gates, nor `reset_after=False`, nor recurrent dropout, nor masks in front. Written naively
(`z[:, t]` in a loop) such a recurrence spends its time in autograd. Here the input projection happens outside, for all steps at once; the forward
loop keeps what the backward pass needs; the backward pass computes every factor that does not depend on the incoming gradient for all steps at
once, loops over the few operations that do, and makes the weight gradients in one matrix product at the end.

Shapes: T steps, B rows, u units, G gates. Time comes first: z (T, B, G*u) are the projected inputs with their bias, U is (u, G*u). `drop` is the recurrent
dropout (G, B, u) or None, `valid` (T, B, 1) is 1 where a step counts and 0 where it is masked (the state is carried on), or None. Results are (T, B, u):
the state after each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    return y * (1 - y)


def _line_slope(slope: float) -> Callable[[Tensor], Tensor]:
    def derivative(y: Tensor) -> Tensor:
        return ((y > 0) & (y < 1)).to(y.dtype).mul_(slope)

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

    def add(self, z: Tensor, h: Tensor, out: Tensor) -> None:
        """Write z + h U into `out`, all (B, G*u)."""
        if self.drop is None:
            torch.addmm(z, h, self.weight, out=out)
            return
        product = torch.bmm(h * self.drop, self.per_gate).transpose(0, 1)  # (B, G, u)
        torch.add(z.view(product.shape), product, out=out.view(product.shape))

    def back(self, dz: Tensor) -> Tensor:
        """Return the gradient of h (B, u) from that of the product (B, G*u)."""
        if self.drop is None:
            return dz @ self.weight_t
        per_gate = dz.view(dz.shape[0], *self.per_gate.shape[:2]).transpose(0, 1)  # (G, B, u)
        return torch.bmm(per_gate, self.per_gate_t).mul_(self.drop).sum(0)

    def weight_gradient(self, h: Tensor, dz: Tensor) -> Tensor:
        """Return the gradient of U from the states before each step (T, B, u) and dz (T, B, G*u)."""
        units = h.shape[-1]
        if self.drop is None:
            return h.reshape(-1, units).t() @ dz.reshape(-1, dz.shape[-1])
        dropped = (h.unsqueeze(1) * self.drop).transpose(0, 1).reshape(len(self.drop), -1, units)  # (G, T*B, u)
        split = dz.view(*dz.shape[:2], -1, units).permute(2, 0, 1, 3).reshape(len(self.drop), -1, units)
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


class _SimpleRNN(torch.autograd.Function):
    """h = tanh(z + h U)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor, drop: Tensor | None, valid: Tensor | None) -> Tensor:
        """Return the states (T, B, u)."""
        product = _StateProduct(weight, drop)
        states = _states(z, weight.shape[0])
        fresh = states[1:] if valid is None else torch.empty_like(states[1:])
        h = states.unbind(0)
        for t, (z_t, new, ok) in enumerate(zip(z.unbind(0), fresh.unbind(0), _unbind(valid, len(z)), strict=True)):
            product.add(z_t, h[t], new)
            new.tanh_()
            if ok is not None:
                torch.lerp(h[t], new, ok, out=h[t + 1])
        ctx.save_for_backward(states, fresh)
        ctx.product, ctx.valid = product, valid
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Return the gradients of z and U."""
        (gradient,) = gradients
        states, fresh = ctx.saved_tensors
        product, valid = ctx.product, ctx.valid
        dz = 1 - fresh * fresh  # becomes dz step by step
        if valid is not None:
            dz *= valid
        dh = torch.zeros_like(states[0])
        oks = _unbind(valid, len(dz))
        incoming = gradient.unbind(0)
        dz_of = dz.unbind(0)
        for t in range(len(dz) - 1, -1, -1):
            dh = dh + incoming[t]
            dz_of[t].mul_(dh)
            back = product.back(dz_of[t])
            ok = oks[t]
            dh = back if ok is None else torch.addcmul(back, dh, 1 - ok)
        return dz, product.weight_gradient(states[:-1], dz), None, None


class _LSTM(torch.autograd.Function):
    """i, f, o = gate(z + h U); c = f c + i tanh(z + h U); h = o tanh(c). Columns of z and U in the order i f o c."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor, drop: Tensor | None, valid: Tensor | None, gates: Gates) -> Tensor:
        """Return the states (T, B, u)."""
        gate_, _ = GATES[gates]
        product = _StateProduct(weight, drop)
        units = weight.shape[0]
        hidden, cells = _states(z, units), _states(z, units)
        acts, squashed = torch.empty_like(z), torch.empty_like(hidden[1:])
        h, c, s, a = hidden.unbind(0), cells.unbind(0), squashed.unbind(0), acts.unbind(0)
        sigmoids = acts[..., : 3 * units].unbind(0)
        i, f, o, g = (part.unbind(0) for part in acts.split(units, -1))
        oks = _unbind(valid, len(z))
        for t, z_t in enumerate(z.unbind(0)):
            product.add(z_t, h[t], a[t])
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
        ctx.save_for_backward(hidden, cells, acts, squashed)
        ctx.product, ctx.valid, ctx.gates = product, valid, gates
        return hidden[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Return the gradients of z and U."""
        (gradient,) = gradients
        hidden, cells, acts, squashed = ctx.saved_tensors
        product, valid = ctx.product, ctx.valid
        _, slope = GATES[ctx.gates]
        units = hidden.shape[-1]
        i, f, o, g = acts.split(units, -1)
        # What dh and dc are multiplied with to give dz; dz overwrites it step by step.
        dz = torch.empty_like(acts)
        dz_i, dz_f, dz_o, dz_g = dz.split(units, -1)
        slopes = slope(acts[..., : 3 * units])
        torch.mul(g, slopes[..., :units], out=dz_i)
        torch.mul(cells[:-1], slopes[..., units : 2 * units], out=dz_f)
        torch.mul(squashed, slopes[..., 2 * units :], out=dz_o)
        torch.mul(i, 1 - g * g, out=dz_g)
        through = o * (1 - squashed * squashed)  # dh to dc
        if valid is not None:
            dz *= valid
            through *= valid
        forget = f if valid is None else torch.where(valid > 0, f, 1.0)
        dh, dc = torch.zeros_like(hidden[0]), torch.zeros_like(hidden[0])
        rows = dz.unbind(0)
        from_cell = dz[..., : 2 * units].unflatten(-1, (2, units)).unbind(0)
        from_hidden, candidate = dz_o.unbind(0), dz_g.unbind(0)
        to_cell, forgets, incoming, oks = through.unbind(0), forget.unbind(0), gradient.unbind(0), _unbind(valid, len(dz))
        for t in range(len(rows) - 1, -1, -1):
            dh = dh + incoming[t]
            dc.addcmul_(dh, to_cell[t])
            from_cell[t].mul_(dc.unsqueeze(1))
            from_hidden[t].mul_(dh)
            candidate[t].mul_(dc)
            dc.mul_(forgets[t])
            back = product.back(rows[t])
            ok = oks[t]
            dh = back if ok is None else torch.addcmul(back, dh, 1 - ok)
        return dz, product.weight_gradient(hidden[:-1], dz), None, None, None


class _GRUBefore(torch.autograd.Function):
    """reset_after=False: z, r = gate(.. + h U); h~ = tanh(.. + (r h) U); h = z h + (1 - z) h~. Columns z r h."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor, drop: Tensor | None, valid: Tensor | None, gates: Gates) -> Tensor:
        """Return the states (T, B, u)."""
        gate_, _ = GATES[gates]
        units = weight.shape[0]
        of_gates = _StateProduct(weight[:, : 2 * units].contiguous(), None if drop is None else drop[:2])
        of_candidate = _StateProduct(weight[:, 2 * units :].contiguous(), None)
        dropped = None if drop is None else drop[2]
        hidden = _states(z, units)
        sigmoids = z.new_empty(*z.shape[:2], 2 * units)
        candidates, resets = torch.empty_like(hidden[1:]), torch.empty_like(hidden[1:])
        update, reset = (part.unbind(0) for part in sigmoids.split(units, -1))
        z_gates, z_candidate = z[..., : 2 * units].contiguous().unbind(0), z[..., 2 * units :].contiguous().unbind(0)
        h, both, new, kept = hidden.unbind(0), sigmoids.unbind(0), candidates.unbind(0), resets.unbind(0)
        oks = _unbind(valid, len(z))
        for t in range(len(z)):
            of_gates.add(z_gates[t], h[t], both[t])
            gate_(both[t])
            torch.mul(reset[t], h[t], out=kept[t])
            if dropped is not None:
                kept[t].mul_(dropped)
            of_candidate.add(z_candidate[t], kept[t], new[t])
            new[t].tanh_()
            torch.lerp(new[t], h[t], update[t], out=h[t + 1])
            ok = oks[t]
            if ok is not None:
                _hold(h[t + 1], h[t], ok)
        ctx.save_for_backward(hidden, sigmoids, candidates, resets)
        ctx.products, ctx.dropped, ctx.valid, ctx.gates = (of_gates, of_candidate), dropped, valid, gates
        return hidden[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Return the gradients of z and U."""
        (gradient,) = gradients
        hidden, sigmoids, candidates, resets = ctx.saved_tensors
        of_gates, of_candidate = ctx.products
        valid, dropped = ctx.valid, ctx.dropped
        _, slope = GATES[ctx.gates]
        units = hidden.shape[-1]
        update, reset = sigmoids.split(units, -1)
        slopes = slope(sigmoids)
        before = hidden[:-1]
        d_gates = torch.empty_like(sigmoids)
        torch.mul(before - candidates, slopes[..., :units], out=d_gates[..., :units])
        torch.mul(before if dropped is None else before * dropped, slopes[..., units:], out=d_gates[..., units:])
        d_candidate = (1 - update) * (1 - candidates * candidates)
        keep = update
        if valid is not None:
            d_gates[..., :units] *= valid
            d_candidate *= valid
            keep = torch.where(valid > 0, update, 1.0)
        scale = reset if dropped is None else reset * dropped
        dh = torch.zeros_like(hidden[0])
        d_update, d_reset = (part.unbind(0) for part in d_gates.split(units, -1))
        both, new = d_gates.unbind(0), d_candidate.unbind(0)
        keeps, scales, incoming = keep.unbind(0), scale.unbind(0), gradient.unbind(0)
        for t in range(len(both) - 1, -1, -1):
            dh = dh + incoming[t]
            d_update[t].mul_(dh)
            new[t].mul_(dh)
            d_kept = of_candidate.back(new[t])
            d_reset[t].mul_(d_kept)
            dh = torch.addcmul(of_gates.back(both[t]), dh, keeps[t]).addcmul_(d_kept, scales[t])
        d_weight = torch.cat(
            (of_gates.weight_gradient(before, d_gates), of_candidate.weight_gradient(resets, d_candidate)), 1
        )
        return torch.cat((d_gates, d_candidate), -1), d_weight, None, None, None


class _GRUAfter(torch.autograd.Function):
    """reset_after=True: s = h U + b; z, r = gate(.. + s); h~ = tanh(.. + r s); h = z h + (1 - z) h~. Columns z r h."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, weight: Tensor, bias: Tensor, drop: Tensor | None, valid: Tensor | None, gates: Gates
    ) -> Tensor:
        """Return the states (T, B, u); `bias` (3u,) is the recurrent bias."""
        gate_, _ = GATES[gates]
        units = weight.shape[0]
        product = _StateProduct(weight, drop)
        hidden = _states(z, units)
        acts, inner = torch.empty_like(z), torch.empty_like(hidden[1:])
        state = z.new_empty(z.shape[1], 3 * units)
        spread = bias.expand(z.shape[1], -1).contiguous()
        h, s = hidden.unbind(0), inner.unbind(0)
        sigmoids = acts[..., : 2 * units].unbind(0)
        update, reset, new = (part.unbind(0) for part in acts.split(units, -1))
        z_gates, z_candidate = z[..., : 2 * units].unbind(0), z[..., 2 * units :].unbind(0)
        oks = _unbind(valid, len(z))
        for t in range(len(z)):
            product.add(spread, h[t], state)
            torch.add(z_gates[t], state[:, : 2 * units], out=sigmoids[t])
            gate_(sigmoids[t])
            s[t].copy_(state[:, 2 * units :])
            torch.addcmul(z_candidate[t], reset[t], s[t], out=new[t])
            new[t].tanh_()
            torch.lerp(new[t], h[t], update[t], out=h[t + 1])
            ok = oks[t]
            if ok is not None:
                _hold(h[t + 1], h[t], ok)
        ctx.save_for_backward(hidden, acts, inner)
        ctx.product, ctx.valid, ctx.gates = product, valid, gates
        return hidden[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        """Return the gradients of z, U and the recurrent bias."""
        (gradient,) = gradients
        hidden, acts, inner = ctx.saved_tensors
        product, valid = ctx.product, ctx.valid
        _, slope = GATES[ctx.gates]
        units = hidden.shape[-1]
        update, reset, new = acts.split(units, -1)
        slopes = slope(acts[..., : 2 * units])
        before = hidden[:-1]
        # dz of the inputs; the state's own gradient differs in the candidate's columns by the factor r.
        dz = torch.empty_like(acts)
        dz_update, dz_reset, dz_new = dz.split(units, -1)
        torch.mul(before - new, slopes[..., :units], out=dz_update)
        torch.mul((1 - update), (1 - new * new), out=dz_new)
        torch.mul(dz_new * inner, slopes[..., units:], out=dz_reset)
        keep = update
        if valid is not None:
            dz *= valid
            keep = torch.where(valid > 0, update, 1.0)
        d_state = dz.clone()
        d_state[..., 2 * units :] *= reset
        keeps, incoming, rows = keep.unbind(0), gradient.unbind(0), d_state.unbind(0)
        per_gate = d_state.unflatten(-1, (3, units)).unbind(0)
        sums = torch.empty_like(hidden[1:])
        total = sums.unbind(0)
        dh = torch.zeros_like(hidden[0])
        for t in range(len(rows) - 1, -1, -1):
            torch.add(dh, incoming[t], out=total[t])
            per_gate[t].mul_(total[t].unsqueeze(1))
            dh = torch.addcmul(product.back(rows[t]), total[t], keeps[t])
        dz.unflatten(-1, (3, units)).mul_(sums.unsqueeze(2))
        d_bias = d_state.sum((0, 1))
        return dz, product.weight_gradient(before, d_state), d_bias, None, None, None


def simple_rnn(z: Tensor, weight: Tensor, drop: Tensor | None, valid: Tensor | None) -> Tensor:
    """Return the states (T, B, u) of Keras's SimpleRNN (keras/src/layers/rnn/simple_rnn.py)."""
    return _SimpleRNN.apply(z, weight, drop, valid)  # type: ignore[no-any-return]


def lstm(z: Tensor, weight: Tensor, drop: Tensor | None, valid: Tensor | None, gates: Gates) -> Tensor:
    """Return the states (T, B, u) of Keras's LSTM (keras/src/layers/rnn/lstm.py); columns and `drop` in the order i f o c."""
    return _LSTM.apply(z, weight, drop, valid, gates)  # type: ignore[no-any-return]


def gru(
    z: Tensor, weight: Tensor, bias: Tensor | None, drop: Tensor | None, valid: Tensor | None, gates: Gates
) -> Tensor:
    """Return the states (T, B, u) of Keras's GRU (keras/src/layers/rnn/gru.py); `bias` (3u,) makes it `reset_after=True`."""
    if bias is None:
        return _GRUBefore.apply(z, weight, drop, valid, gates)  # type: ignore[no-any-return]
    return _GRUAfter.apply(z, weight, bias, drop, valid, gates)  # type: ignore[no-any-return]
