"""The generic torch recurrences beside the naive loop that indexes `z[:, t]`: one training step each, in alternation,
as ratios.

    python tests/benchmarks/recurrence.py

Shapes: those of document 000 (batch 32, 400 steps, 32 features, 100 units) and of document 003 (batch 1024, 40 steps,
50 features, 100 units).
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.backends.torch import recurrence

SHAPES = {"000": (32, 400, 32, 100), "003": (1024, 40, 50, 100)}
COLUMNS = {"simple_rnn": 1, "lstm": 4, "gru": 3}
ROUNDS = 5


def hard_sigmoid(x):
    return (0.2 * x + 0.5).clamp(0, 1)


def naive(kind, x, kernel, weight, bias):
    """Return the last state as a straightforward port writes it: everything inside the loop."""
    units = weight.shape[0]
    h = c = x.new_zeros(x.shape[0], units)
    z = x @ kernel + bias
    for t in range(x.shape[1]):
        if kind == "simple_rnn":
            h = torch.tanh(z[:, t] + h @ weight)
        elif kind == "lstm":
            i, f, g, o = (z[:, t] + h @ weight).chunk(4, 1)
            c = hard_sigmoid(f) * c + hard_sigmoid(i) * torch.tanh(g)
            h = hard_sigmoid(o) * torch.tanh(c)
        else:
            z_t, u = z[:, t], weight
            update = hard_sigmoid(z_t[:, :units] + h @ u[:, :units])
            reset = hard_sigmoid(z_t[:, units : 2 * units] + h @ u[:, units : 2 * units])
            candidate = torch.tanh(z_t[:, 2 * units :] + (reset * h) @ u[:, 2 * units :])
            h = update * h + (1 - update) * candidate
    return h


def ours(kind, x, kernel, weight, bias):
    z = nn.functional.linear(x.transpose(0, 1), kernel.t(), bias)
    if kind == "simple_rnn":
        return recurrence.simple_rnn(z, weight, None, None, False)
    if kind == "lstm":
        return recurrence.lstm(z, weight, None, None, "hard_sigmoid_keras2", False)
    return recurrence.gru(z, weight, None, None, None, "hard_sigmoid_keras2", False)


def main() -> None:
    """Print milliseconds of both and the median ratio, per shape and layer."""
    for document, (rows, steps, features, units) in SHAPES.items():
        for kind, gates in COLUMNS.items():
            x = torch.randn(rows, steps, features)
            shapes = ((features, gates * units), (units, gates * units), (gates * units,))
            weights = [(0.05 * torch.randn(shape)).requires_grad_() for shape in shapes]
            seconds = {naive: [], ours: []}
            for number in range(ROUNDS + 1):
                for step in (naive, ours) if number % 2 else (ours, naive):
                    start = time.perf_counter()
                    torch.autograd.grad(step(kind, x, *weights).square().sum(), weights)
                    if number:  # the first round warms up
                        seconds[step].append(time.perf_counter() - start)
            ratios = [mine / theirs for mine, theirs in zip(seconds[ours], seconds[naive], strict=True)]
            medians = [1e3 * statistics.median(seconds[step]) for step in (naive, ours)]
            print(
                f"document {document} {kind}: naive {medians[0]:.0f} ms, ours {medians[1]:.0f} ms, "
                f"median ratio {statistics.median(ratios):.2f} of {ROUNDS} pairs"
            )


if __name__ == "__main__":
    main()
