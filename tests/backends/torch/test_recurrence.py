"""The recurrences against the same recurrences written naively, states and gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

from bench.backends.torch import recurrence  # noqa: E402

STEPS, ROWS, UNITS = 7, 3, 5
GATE_FUNCTIONS: dict[str, Callable] = {
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": lambda x: torch.nn.functional.relu6(x + 3) / 6,
    "hard_sigmoid_keras2": lambda x: torch.clip(0.2 * x + 0.5, 0, 1),
}
GATES_OF = {"simple_rnn": 1, "lstm": 4, "gru_before": 3, "gru_after": 3}
KINDS = [("simple_rnn", "sigmoid"), *itertools.product(("lstm", "gru_before", "gru_after"), GATE_FUNCTIONS)]


def naive(kind, gates, z, weight, bias, drop, valid):
    """The equations of keras/src/layers/rnn/{simple_rnn,lstm,gru}.py, one step after the other (LSTM columns i f o
    c).
    """
    gate = GATE_FUNCTIONS[gates]
    h = c = torch.zeros(ROWS, UNITS, dtype=z.dtype)
    columns = weight.split(UNITS, 1)
    states = []
    for t in range(STEPS):
        inputs = z[t].split(UNITS, 1)

        def from_state(k, h=h):
            return (h if drop is None else h * drop[k]) @ columns[k]

        new_c = c
        if kind == "simple_rnn":
            new_h = torch.tanh(inputs[0] + from_state(0))
        elif kind == "lstm":
            i, f, o = (gate(inputs[k] + from_state(k)) for k in range(3))
            new_c = f * c + i * torch.tanh(inputs[3] + from_state(3))
            new_h = o * torch.tanh(new_c)
        else:
            b = bias.split(UNITS) if bias is not None else (0, 0, 0)
            update, reset = (gate(inputs[k] + from_state(k) + b[k]) for k in range(2))
            if kind == "gru_after":
                candidate = torch.tanh(inputs[2] + reset * (from_state(2) + b[2]))
            else:
                kept = reset * (h if drop is None else h * drop[2])
                candidate = torch.tanh(inputs[2] + kept @ columns[2])
            new_h = update * h + (1 - update) * candidate
        if valid is not None:
            new_h, new_c = torch.where(valid[t] > 0, new_h, h), torch.where(valid[t] > 0, new_c, c)
        h, c = new_h, new_c
        states.append(h)
    return torch.stack(states)


def fast(kind, gates, z, weight, bias, drop, valid, sequences):
    if kind == "simple_rnn":
        return recurrence.simple_rnn(z, weight, drop, valid, sequences)
    if kind == "lstm":
        return recurrence.lstm(z, weight, drop, valid, gates, sequences)
    return recurrence.gru(z, weight, bias, drop, valid, gates, sequences)


@pytest.mark.parametrize("sequences", [True, False], ids=["sequences", "last"])
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])
@pytest.mark.parametrize("dropped", [True, False], ids=["dropped", "undropped"])
@pytest.mark.parametrize(("kind", "gates"), KINDS)
def test_states_and_gradients_equal_the_naive_loop(kind, gates, dropped, masked, sequences):
    random = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    columns = GATES_OF[kind] * UNITS
    inputs = [2 * normal(STEPS, ROWS, columns), normal(UNITS, columns)]
    if kind == "gru_after":
        inputs.append(normal(3 * UNITS))
    inputs = [value.requires_grad_() for value in inputs]
    z, weight, bias = (*inputs, None)[:3]
    drop = (torch.rand(GATES_OF[kind], ROWS, UNITS, generator=random) > 0.3).double() / 0.7 if dropped else None
    valid = (torch.rand(STEPS, ROWS, 1, generator=random) > 0.4).double() if masked else None
    towards = normal(STEPS, ROWS, UNITS) if sequences else normal(ROWS, UNITS)

    expected = naive(kind, gates, z, weight, bias, drop, valid)
    expected = expected if sequences else expected[-1]
    expected_gradients = torch.autograd.grad((expected * towards).sum(), inputs)
    found = fast(kind, gates, z, weight, bias, drop, valid, sequences)
    gradients = torch.autograd.grad((found * towards).sum(), inputs)

    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("sequences", [True, False], ids=["sequences", "last"])
@pytest.mark.parametrize("dropped", [True, False], ids=["dropped", "undropped"])
@pytest.mark.parametrize(("kind", "gates"), KINDS)
def test_rows_that_end_in_padding_pass_their_gradient_back_to_the_steps_that_count(kind, gates, dropped, sequences):
    random = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    columns = GATES_OF[kind] * UNITS
    z, weight = normal(STEPS, ROWS, columns).requires_grad_(), normal(UNITS, columns)
    bias = normal(3 * UNITS) if kind == "gru_after" else None
    drop = (torch.rand(GATES_OF[kind], ROWS, UNITS, generator=random) > 0.3).double() / 0.7 if dropped else None
    lengths = torch.tensor([2, 4, STEPS])
    valid = (torch.arange(STEPS)[:, None] < lengths).double().unsqueeze(-1)
    # What comes back through sequences starts at the last step alone, which is masked in two of the three rows.
    towards = normal(ROWS, UNITS)

    found = fast(kind, gates, z, weight, bias, drop, valid, sequences)
    (gradient,) = torch.autograd.grad(((found[-1] if sequences else found) * towards).sum(), z)
    expected = naive(kind, gates, z, weight, bias, drop, valid)[-1]
    (wanted,) = torch.autograd.grad((expected * towards).sum(), z)

    torch.testing.assert_close(gradient, wanted, rtol=1e-11, atol=1e-11)
    for row, length in enumerate(lengths):
        assert gradient[:length, row].abs().sum(-1).min() > 0
        assert not gradient[length:, row].any()
