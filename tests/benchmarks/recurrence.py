"""The generic torch recurrences beside the naive loop that indexes `z[:, t]`: one training step each, in alternation,
as ratios.

    python tests/benchmarks/recurrence.py [--threads 2] [--rounds 15] [--clock wall|cpu] [--beside FILE] [SHAPE ...]

Shapes are those of documented cases, by document and layer. `--beside` takes a file with the functions of
`bench.backends.torch.recurrence` and measures it in the same alternation. The clock of the CPU is for one thread on a
machine that does other work too.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.backends.torch import recurrence
from tests.benchmarks.figures import say

SHAPES = {
    # name: kind, rows, steps, features, units, masked with recurrent dropout, sequences
    "imdb-rnn": ("simple_rnn", 32, 400, 32, 100, False, False),
    "imdb-rnn-sequences": ("simple_rnn", 32, 400, 32, 100, False, True),
    "imdb-lstm": ("lstm", 32, 400, 32, 100, False, False),
    "reviews-rnn": ("simple_rnn", 1024, 40, 50, 100, False, False),
    "reviews-lstm": ("lstm", 1024, 40, 50, 100, False, False),
    "reviews-gru": ("gru", 1024, 40, 50, 100, False, False),
    "reviews-modified-lstm": ("lstm", 1024, 40, 50, 100, True, False),
    "reviews-stacked-lstm": ("lstm", 1024, 40, 50, 100, True, True),
    "text-rnn": ("simple_rnn", 512, 100, 16, 16, False, False),
    "text-lstm": ("lstm", 512, 100, 16, 16, False, False),
    "embedding-lstm": ("lstm", 32, 20, 8, 32, False, False),
    # No document has these.
    "imdb-gru": ("gru", 32, 400, 32, 100, False, False),
    "reviews-gru-after": ("gru_after", 1024, 40, 50, 100, False, False),
}
COLUMNS = {"simple_rnn": 1, "lstm": 4, "gru": 3, "gru_after": 3}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def hard_sigmoid(x):
    return (0.2 * x + 0.5).clamp(0, 1)


def dropped_product(h, weight, drop):
    columns = weight.chunk(len(drop), 1)
    return torch.cat([(h * mask) @ part for mask, part in zip(drop, columns, strict=True)], 1)


def naive(kind, x, weights, drop, valid, sequences):
    """Return the states as a straightforward port writes them: everything inside the loop (LSTM columns i f o c)."""
    kernel, weight, bias, *state_bias = weights
    units = weight.shape[0]
    h = c = x.new_zeros(x.shape[0], units)
    z = x @ kernel + bias
    states = []
    for t in range(x.shape[1]):
        before, cell_before = h, c
        z_t, u = z[:, t], weight
        if kind == "simple_rnn":
            h = torch.tanh(z_t + h @ u)
        elif kind == "lstm":
            i, f, o, g = (z_t + (h @ u if drop is None else dropped_product(h, u, drop))).chunk(4, 1)
            c = hard_sigmoid(f) * c + hard_sigmoid(i) * torch.tanh(g)
            h = hard_sigmoid(o) * torch.tanh(c)
        elif kind == "gru":
            update = hard_sigmoid(z_t[:, :units] + h @ u[:, :units])
            reset = hard_sigmoid(z_t[:, units : 2 * units] + h @ u[:, units : 2 * units])
            candidate = torch.tanh(z_t[:, 2 * units :] + (reset * h) @ u[:, 2 * units :])
            h = update * h + (1 - update) * candidate
        else:
            inner = h @ u + state_bias[0]
            update = hard_sigmoid(z_t[:, :units] + inner[:, :units])
            reset = hard_sigmoid(z_t[:, units : 2 * units] + inner[:, units : 2 * units])
            candidate = torch.tanh(z_t[:, 2 * units :] + reset * inner[:, 2 * units :])
            h = update * h + (1 - update) * candidate
        if valid is not None:
            ok = valid[:, t]
            h, c = ok * h + (1 - ok) * before, ok * c + (1 - ok) * cell_before
        states.append(h)
    return torch.stack(states, 1) if sequences else h


def generic(functions, kind, x, weights, drop, valid, sequences):
    """Return the states as the functions of a module compute them."""
    kernel, weight, bias, *state_bias = weights
    z = nn.functional.linear(x.transpose(0, 1), kernel.t(), bias)
    counts = None if valid is None else valid.transpose(0, 1)
    if kind == "simple_rnn":
        return functions.simple_rnn(z, weight, drop, counts, sequences)
    if kind == "lstm":
        return functions.lstm(z, weight, drop, counts, "hard_sigmoid_keras2", sequences)
    return functions.gru(z, weight, *(state_bias or [None]), drop, counts, "hard_sigmoid_keras2", sequences)


def measured(name, functions, rounds, clock):
    """Return the seconds of every function, by name, one number a round."""
    kind, rows, steps, features, units, masked, sequences = SHAPES[name]
    columns = COLUMNS[kind] * units
    x = torch.randn(rows, steps, features)
    shapes = ((features, columns), (units, columns), (columns,), *([(columns,)] if kind == "gru_after" else []))
    weights = [(0.05 * torch.randn(shape)).requires_grad_() for shape in shapes]
    drop = (torch.rand(COLUMNS[kind], rows, units) > 0.1).float() / 0.9 if masked else None
    counted = torch.randint(5, steps + 1, (rows, 1))  # padded in front
    valid = (torch.arange(steps) >= steps - counted).float().unsqueeze(-1) if masked else None
    seconds = {key: [] for key in functions}
    for number in range(rounds + 1):
        for key in list(functions) if number % 2 else reversed(functions):
            start = clock()
            torch.autograd.grad(functions[key](kind, x, weights, drop, valid, sequences).square().sum(), weights)
            if number:  # the first round warms up
                seconds[key].append(clock() - start)
    return seconds


def main() -> None:
    """Print, per shape, milliseconds and the median ratios with their quartiles."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shapes", nargs="*", choices=[*SHAPES, []], metavar="SHAPE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--beside", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    functions = {"naive": naive, "ours": lambda *given: generic(recurrence, *given)}
    pairs = [("ours", "naive")]
    if options.beside:
        spec = importlib.util.spec_from_file_location("beside", options.beside)
        beside = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(beside)
        functions["beside"] = lambda *given: generic(beside, *given)
        pairs += [("beside", "naive"), ("ours", "beside")]
    for name in options.shapes or SHAPES:
        seconds = measured(name, functions, options.rounds, CLOCKS[options.clock])
        print(name, *(f"{key} {1e3 * statistics.median(values):.0f} ms" for key, values in seconds.items()), sep="  ")
        for first, second in pairs:
            ratios = [a / b for a, b in zip(seconds[first], seconds[second], strict=True)]
            low, median, high = statistics.quantiles(ratios, n=4)
            print(f"    {first} / {second}: {median:.2f} ({low:.2f} to {high:.2f}) of {options.rounds}", flush=True)
            say(**{f"{name} {first} / {second}": [median, low, high]})


if __name__ == "__main__":
    main()
