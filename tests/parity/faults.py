"""Faults of what a backend computes forward and backward: one in every branch, planted in the backend's sources.

A row is the case of `test_prove` that has the branch, what makes the faulty network, and the checks that must see it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import bench.backends
from bench.cases.model import Model
from bench.parity.proof import Check

Rows = dict[str, tuple[str, Callable[..., Any], set[Check]]]

# What sees wrong values, wrong derivatives (or values in training alone), wrong updates.
FORWARD: set[Check] = {"forward", "gradient"}
BACKWARD: set[Check] = {"gradient", "training"}
UPDATE: set[Check] = {"update", "training"}


def planted(module: str, right: str, wrong: str, kernel: str = "") -> Callable[..., Any]:
    """Return what makes a network of `bench.backends` whose source `module` has `wrong` in place of `right`."""

    def make(model: Model, asked: str, device: str, dtype: Any) -> Any:
        made, arguments = imported_anew(module, right, wrong), (model, kernel or asked, device)
        if hasattr(made, "KerasNetwork"):
            return made.KerasNetwork(*arguments, str(dtype).removeprefix("torch."))
        if hasattr(made, "CompiledNetwork"):  # compiled steps and parts, run as they are written
            made.for_any_rows = lambda *_, **__: None
            with mock.patch("torch.compile", lambda part: part):
                return made.CompiledNetwork(*arguments, dtype)
        return made.TorchNetwork(*arguments, dtype)

    return make


@cache
def imported_anew(module: str, right: str, wrong: str) -> Any:
    """Return the module that holds a backend's network, all modules of the backend's package imported anew for it."""
    package, _, file = module.rpartition(".")
    folder = f"bench.backends.{package}"
    spec = importlib.util.find_spec(f"{folder}.{file}")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    assert source.count(right) == 1, f"{module} has {right!r} {source.count(right)} times"
    kept = {name: sys.modules.pop(name) for name in [*sys.modules] if f"{name}.".startswith(f"{folder}.")}
    changed = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = changed
    try:
        exec(compile(source.replace(right, wrong), spec.origin, "exec"), vars(changed))
        return importlib.import_module(f"{folder}.{'compiled' if file in ('steps', 'compiled') else 'network'}")
    finally:
        for name in [name for name in sys.modules if f"{name}.".startswith(f"{folder}.")]:
            del sys.modules[name]
        sys.modules.update(kept)
        setattr(bench.backends, package, kept[folder])


in_recurrence = partial(planted, "torch.recurrence")
in_layers = partial(planted, "torch.layers")
in_steps = partial(planted, "torch.steps")
in_compiled = partial(planted, "torch.compiled")
in_optimizers = partial(planted, "torch.optimizers")
in_native = partial(planted, "torch.native")
in_network = partial(planted, "torch.network")
in_keras = partial(planted, "keras.network")
in_keras3 = partial(planted, "keras.keras3")
in_engine = partial(planted, "keras.engine")

# A fault of every branch: SimpleRNN, LSTM and both GRUs step by step, the functions of gates, dropout of states, masks.
FAULTS: Rows = {
    "SimpleRNN: tanh": (
        "birnn",
        in_recurrence("torch.tanh(add_product(z_t, h))", "torch.sin(add_product(z_t, h))"),
        FORWARD,
    ),
    "SimpleRNN: derivative by the state": (
        "birnn",
        in_recurrence("torch.tanh(add_product(z_t, h))", "torch.tanh(add_product(z_t, h.detach()))"),
        BACKWARD,
    ),
    "LSTM: tanh of the cell": ("lstm", in_recurrence("o * torch.tanh(cell), cell", "o * cell, cell"), FORWARD),
    "LSTM: derivative by the forget gate": ("lstm", in_recurrence("f * c +", "f.detach() * c +"), BACKWARD),
    "LSTM: derivative by the cell before": ("lstm", in_recurrence("f * c +", "f * c.detach() +"), BACKWARD),
    "LSTM: derivative by the input gate": (
        "lstm",
        in_recurrence("i * torch.tanh", "i.detach() * torch.tanh"),
        BACKWARD,
    ),
    "LSTM: derivative by the candidate": (
        "lstm",
        in_recurrence("torch.tanh(add_to_new(new_t, h))", "torch.tanh(add_to_new(new_t, h)).detach()"),
        BACKWARD,
    ),
    "LSTM: derivative of the candidate by the state": (
        "lstm",
        in_recurrence("torch.tanh(add_to_new(new_t, h))", "torch.tanh(add_to_new(new_t, h.detach()))"),
        BACKWARD,
    ),
    "LSTM: derivative by the output gate": (
        "lstm",
        in_recurrence("o * torch.tanh(cell)", "o.detach() * torch.tanh(cell)"),
        BACKWARD,
    ),
    "LSTM: derivative by the cell": (
        "lstm",
        in_recurrence("o * torch.tanh(cell)", "o * torch.tanh(cell.detach())"),
        BACKWARD,
    ),
    "LSTM: derivative of the gates by the state": (
        "lstm",
        in_recurrence("gate(gates_t, h).chunk(3, 1)", "gate(gates_t, h.detach()).chunk(3, 1)"),
        BACKWARD,
    ),
    "GRU: update the other way round": (
        "gru",
        in_recurrence("torch.lerp(torch.tanh(new), h, update)", "torch.lerp(h, torch.tanh(new), update)"),
        FORWARD,
    ),
    "GRU: derivative by the update gate": (
        "gru",
        in_recurrence("torch.lerp(torch.tanh(new), h, update)", "torch.lerp(torch.tanh(new), h, update.detach())"),
        BACKWARD,
    ),
    "GRU: derivative by the state kept": (
        "gru",
        in_recurrence("torch.lerp(torch.tanh(new), h, update)", "torch.lerp(torch.tanh(new), h.detach(), update)"),
        BACKWARD,
    ),
    "GRU: derivative by the candidate": (
        "gru",
        in_recurrence("torch.lerp(torch.tanh(new), h, update)", "torch.lerp(torch.tanh(new).detach(), h, update)"),
        BACKWARD,
    ),
    "GRU: derivative of the gates by the state": (
        "gru",
        in_recurrence("gate(gates_t, h).chunk(2, 1)", "gate(gates_t, h.detach()).chunk(2, 1)"),
        BACKWARD,
    ),
    "GRU, reset after: derivative by the reset gate": (
        "gru",
        in_recurrence("new_t + reset * add_to_new", "new_t + reset.detach() * add_to_new"),
        BACKWARD,
    ),
    "GRU, reset after: derivative by the state": (
        "gru",
        in_recurrence("reset * add_to_new(bias, h)", "reset * add_to_new(bias, h.detach())"),
        BACKWARD,
    ),
    "GRU, reset after: bias of the state not reset": (
        "gru",
        in_recurrence("new_t + reset * add_to_new(bias, h)", "new_t + bias + reset * (add_to_new(bias, h) - bias)"),
        BACKWARD,
    ),
    "GRU, reset after: bias of the state added twice": (
        "gru",
        in_recurrence("bias.new_zeros(units)", "bias[2 * units :]"),
        BACKWARD,
    ),
    "GRU, reset after: the two biases exchanged": (
        "gru",
        in_layers(
            "bias, state_bias = stored_bias if self.two_biases else (stored_bias, None)",
            "state_bias, bias = stored_bias if self.two_biases else (None, stored_bias)",
        ),
        BACKWARD,
    ),
    "GRU, reset before: derivative by the reset gate": (
        "gru-before",
        in_recurrence("add_to_new(new_t, reset * h)", "add_to_new(new_t, reset.detach() * h)"),
        BACKWARD,
    ),
    "GRU, reset before: derivative by the state": (
        "gru-before",
        in_recurrence("add_to_new(new_t, reset * h)", "add_to_new(new_t, reset * h.detach())"),
        BACKWARD,
    ),
    "initial state": (
        "lstm",
        in_recurrence("weight.new_zeros(rows, len(weight))", "weight.new_full((rows, len(weight)), 0.01)"),
        FORWARD,
    ),
    "Keras 2's hard sigmoid: slope": (
        "lstm-keras2",
        in_recurrence('"hard_sigmoid_keras2": 0.2', '"hard_sigmoid_keras2": 1 / 6'),
        FORWARD,
    ),
    "Keras 3's hard sigmoid: slope": (
        "lstm-hard",
        in_recurrence('"hard_sigmoid": 1 / 6', '"hard_sigmoid": 0.2'),
        FORWARD,
    ),
    "hard sigmoid: value at 0": ("lstm-keras2", in_recurrence("z.new_tensor(0.5)", "z.new_tensor(0.45)"), FORWARD),
    "hard sigmoid: not clipped": (
        "lstm-keras2",
        in_recurrence("torch.nn.functional.hardtanh(add_scaled(z_t, h), 0.0, 1.0)", "add_scaled(z_t, h)"),
        {"gradient"},
    ),
    "hard sigmoid: not clipped at 1": (
        "gru-before",
        in_recurrence("torch.nn.functional.hardtanh(add_scaled(z_t, h), 0.0, 1.0)", "torch.relu(add_scaled(z_t, h))"),
        {"gradient"},
    ),
    "hard sigmoid: not clipped at 0": (
        "lstm-hard",
        in_recurrence("torch.nn.functional.hardtanh(add_scaled(z_t, h), 0.0, 1.0)", "add_scaled(z_t, h).clamp(max=1)"),
        {"gradient"},
    ),
    "hard sigmoid: derivative where it is clipped": (
        "lstm-keras2",
        in_recurrence(
            "torch.nn.functional.hardtanh(add_scaled(z_t, h), 0.0, 1.0)",
            "(lambda x: x + (x.clamp(0, 1) - x).detach())(add_scaled(z_t, h))",
        ),
        {"gradient"},
    ),
    "recurrent_dropout, one mask: missing": (
        "rnn-dropout",
        in_recurrence("torch.addmm(z, h * drop[0], weight)", "torch.addmm(z, h, weight)"),
        BACKWARD,
    ),
    "recurrent_dropout, one mask: derivative": (
        "rnn-dropout",
        in_recurrence("torch.addmm(z, h * drop[0], weight)", "torch.addmm(z, h + (h * drop[0] - h).detach(), weight)"),
        BACKWARD,
    ),
    "recurrent_dropout, masks of gates: derivative": (
        "dropout",
        in_recurrence("h * drop, per_gate", "h + (h * drop - h).detach(), per_gate"),
        BACKWARD,
    ),
    "recurrent_dropout, masks of gates: derivative by the kernel": (
        "dropout",
        in_recurrence(".contiguous()  # (G, u, u)", ".contiguous().detach()"),
        BACKWARD,
    ),
    "recurrent_dropout, masks of gates: order in a GRU": (
        "gru-dropout",
        in_recurrence("else drop.split((count, 1))", "else drop.flip(0).split((count, 1))"),
        BACKWARD,
    ),
    "recurrent_dropout, masks of gates: order in a GRU, reset before": (
        "gru-before-dropout",
        in_recurrence("else drop.split((count, 1))", "else drop.flip(0).split((count, 1))"),
        BACKWARD,
    ),
    **{
        f"mask_zero: gradient of masked steps lost, {kind}": (
            name,
            in_recurrence("torch.where(count, new, old)", "torch.where(count, new, old.detach())"),
            BACKWARD,
        )
        for kind, name in (("SimpleRNN", "masked-rnn"), ("LSTM", "masked"), ("GRU", "masked-gru"))
    },
    "mask_zero: gradient into masked steps": (
        "masked",
        in_recurrence("torch.where(count, new, old)", "torch.where(count, new, old + (new - new.detach()))"),
        BACKWARD,
    ),
    "mask_zero: state zero after a masked step": (
        "masked-rnn",
        in_recurrence("torch.where(count, new, old)", "torch.where(count, new, torch.zeros_like(old))"),
        FORWARD,
    ),
    "mask_zero: cell not carried": (
        "masked",
        in_recurrence(
            "tuple(torch.where(count, new, old) for new, old in zip(after, state, strict=True))",
            "(torch.where(count, after[0], state[0]), *after[1:])",
        ),
        FORWARD,
    ),
    "mask_zero: states of masked steps zero, not repeated": (
        "masked-sequences",
        in_recurrence("states.append(state[0])", "states.append(state[0] if count is None else state[0] * count)"),
        {"gradient"},
    ),
}

# Layers, and what turns their tensors into Keras's.
FAULTS |= {
    "embedding: no gradient of padding": (
        "dense",
        in_layers("embedding(x, self.tensors[0])", "embedding(x, self.tensors[0], padding_idx=0)"),
        BACKWARD,
    ),
    "embedding: gradient by frequency": (
        "dense",
        in_layers("embedding(x, self.tensors[0])", "embedding(x, self.tensors[0], scale_grad_by_freq=True)"),
        BACKWARD,
    ),
    "Flatten: order of the axes": (
        "dense",
        in_layers("x.flatten(1), None", "x.transpose(1, 2).flatten(1), None"),
        FORWARD,
    ),
    "Dense: bias": (
        "dense",
        in_layers("linear(x, *self.tensors)", "linear(x, self.tensors[0], 2 * self.tensors[1])"),
        BACKWARD,
    ),
    "relu": ("keras3", in_layers('"relu": torch.relu', '"relu": torch.nn.functional.leaky_relu'), FORWARD),
    "sigmoid": ("keras3", in_layers('"sigmoid": torch.sigmoid', '"sigmoid": torch.nn.functional.hardsigmoid'), FORWARD),
    "tanh: derivative": (
        "dense",
        in_layers('"tanh": torch.tanh', '"tanh": lambda x: x + (torch.tanh(x) - x).detach()'),
        BACKWARD,
    ),
    "Conv1D: bias": ("convolution", in_layers("kernel, bias, strides)", "kernel, 2 * bias, strides)"), BACKWARD),
    "Conv1D: mask handed on": (
        "masked-convolution",
        in_layers(
            "strides).transpose(1, 2)), None", "strides).transpose(1, 2)), None if valid is None else valid[:, 2:]"
        ),
        FORWARD,
    ),
    "pooling, average: sum": ("average", in_layers("x.mean(1), None", "x.sum(1), None"), FORWARD),
    "pooling, average: padding counted": ("masked-average", in_layers("/ weight.sum(1)", "/ x.shape[1]"), FORWARD),
    "pooling, average: derivative by padding": (
        "masked-average",
        in_layers("(x * weight).sum(1)", "(x + (x * weight - x).detach()).sum(1)"),
        BACKWARD,
    ),
    "pooling, maximum: mask heeded": (
        "masked-sequences",
        in_layers("x.amax(1)", "(x if valid is None else x.masked_fill(~valid.unsqueeze(-1), -1.0)).amax(1)"),
        FORWARD,
    ),
    "pooling, maximum: derivative": (
        "convolution",
        in_layers("x.amax(1)", "x.mean(1) + (x.amax(1) - x.mean(1)).detach()"),
        BACKWARD,
    ),
    "windows: odd step of padding in front": (
        "strides",
        in_layers("before, behind = edges", "behind, before = edges"),
        FORWARD,
    ),
    "Conv1D: strides": ("strides", in_layers("kernel, bias, strides).transpose", "kernel, bias).transpose"), FORWARD),
    "Conv1D: not padded": (
        "strides",
        in_layers("_padded(x.transpose(1, 2), *self._windows)", "x.transpose(1, 2)"),
        FORWARD,
    ),
    "gelu: by tanh": (
        "strides",
        in_layers("nn.functional.gelu", 'lambda x: nn.functional.gelu(x, approximate="tanh")'),
        FORWARD,
    ),
    "softmax: over steps": ("normalized", in_layers("torch.softmax(x, -1)", "torch.softmax(x, 1)"), FORWARD),
    "windows, maximum: padding is zero": ("pooling", in_layers("layer.padding, -torch.inf", "layer.padding"), FORWARD),
    "windows, average: padding counted": (
        "pooling",
        in_layers("mean(x) / mean(torch.ones_like(x[:1, :1]))", "mean(x)"),
        FORWARD,
    ),
    "windows: strides of 1 where none are declared": (
        "windows",
        in_layers("layer.strides or layer.pool_size", "layer.strides or 1"),
        FORWARD,
    ),
    "windows, average: derivative": (
        "windows",
        in_layers("return mean(x) if", "return mean(x.detach() + 2 * (x - x.detach())) if"),
        BACKWARD,
    ),
    "windows: mask handed on": (
        "masked-pooling",
        in_layers(
            "pool(x.transpose(1, 2)).transpose(1, 2), None)",
            "pool(x.transpose(1, 2)).transpose(1, 2), None if valid is None else valid[:, 1::2])",
        ),
        FORWARD,
    ),
    "LayerNormalization: epsilon": (
        "layer-normalized",
        in_layers("gamma, beta, self._epsilon), valid", "gamma, beta, 1e-5), valid"),
        FORWARD,
    ),
    "LayerNormalization: mask forgotten": (
        "layer-normalized",
        in_layers("gamma, beta, self._epsilon), valid", "gamma, beta, self._epsilon), None"),
        FORWARD,
    ),
    "BatchNormalization: evaluated by the moments of the rows": (
        "normalized",
        in_layers("if self._torchs or not self.training", "if self._torchs"),
        {"forward", "evaluation"},
    ),
    "BatchNormalization: evaluated as if trained": (
        "normalized",
        planted("torch.network", "switch(training=False)", "switch(training=True)"),
        {"forward", "evaluation"},
    ),
    "BatchNormalization: epsilon": (
        "normalized",
        in_layers("True, 1.0, self._epsilon, True", "True, 1.0, 1e-5, True"),
        BACKWARD,
    ),
    "BatchNormalization: unbiased moving variance": (
        "normalized",
        in_layers("variance * ((len(steps) - 1) / len(steps))", "variance"),
        UPDATE,
    ),
    "BatchNormalization: momentum the other way round": (
        "normalized",
        in_layers("moment.lerp_(found, self._share)", "moment.lerp_(found, 1 - self._share)"),
        UPDATE,
    ),
    "BatchNormalization: moments exchanged": (
        "normalized",
        in_layers("zip(moving, (mean, variance)", "zip(moving, (variance, mean)"),
        UPDATE,
    ),
    "BatchNormalization: moved by gradients": (
        "normalized",
        planted("torch.network", "tensor.copy_(value)\n        return", "pass\n        return"),
        {"epoch"},
    ),
    "BatchNormalization, masked: mean of all steps": (
        "masked-normalized",
        in_layers("(steps * counted).sum(0) / number", "steps.mean(0)"),
        BACKWARD,
    ),
    "BatchNormalization, masked: variance of all steps": (
        "masked-normalized",
        in_layers("((steps - mean) * counted)", "(steps - mean)"),
        BACKWARD,
    ),
    "BatchNormalization, masked: nothing added to the number of steps": (
        "masked-normalized",
        in_layers("counted.sum() + COUNTED", "counted.sum()"),
        BACKWARD,
    ),
    "BatchNormalization, masked: number of steps in float32": (
        "masked-normalized",
        in_layers("counted.sum() + COUNTED", "counted.float().sum() + COUNTED"),
        BACKWARD,
    ),
    "BatchNormalization, masked: epsilon": (
        "masked-normalized",
        in_layers("(variance + self._epsilon)", "(variance + 1e-5)"),
        BACKWARD,
    ),
    "BatchNormalization, masked: derivative by the mean": (
        "masked-normalized",
        in_layers("out = (steps - mean) *", "out = (steps - mean.detach()) *"),
        BACKWARD,
    ),
    "BatchNormalization, masked: derivative by the variance": (
        "masked-normalized",
        in_layers("(variance + self._epsilon)", "(variance.detach() + self._epsilon)"),
        BACKWARD,
    ),
    "BatchNormalization, masked: mask forgotten in training": (
        "masked-normalized",
        in_layers(
            "moment.lerp_(found, self._share)\n        return out.view_as(x), valid",
            "moment.lerp_(found, self._share)\n        return out.view_as(x), None",
        ),
        BACKWARD,
    ),
    "BatchNormalization, masked: mask forgotten in evaluation": (
        "masked-normalized",
        in_layers(
            "self._epsilon\n            )\n            return out.view_as(x), valid",
            "self._epsilon\n            )\n            return out.view_as(x), None",
        ),
        {"forward", "evaluation"},
    ),
    "native BatchNormalization: momentum the other way round": (
        "native:normalization",
        in_layers("beta, self.training, self._share", "beta, self.training, 1 - self._share"),
        UPDATE,
    ),
    "native BatchNormalization: Keras's moving variance": (
        "native:normalization",
        in_layers("if self._torchs or not self.training", "if not self.training"),
        UPDATE,
    ),
    "Dropout: not scaled": ("dropout", in_layers("x * masks[0] if masks", "x * (masks[0] > 0) if masks"), BACKWARD),
    "Dropout: derivative": (
        "dropout",
        in_layers("x * masks[0] if masks", "x + (x * masks[0] - x).detach() if masks"),
        BACKWARD,
    ),
    "dropout, one mask: derivative": (
        "input-dropout",
        in_layers("else x * drop[0]", "else x + (x * drop[0] - x).detach()"),
        BACKWARD,
    ),
    "dropout, masks of gates: derivative": (
        "gru-dropout",
        in_layers("linear(x * d, k.t(), b)", "linear(x + (x * d - x).detach(), k.t(), b)"),
        BACKWARD,
    ),
    "dropout, masks of gates: order in an LSTM": ("dropout", in_layers("_swap_last(mask, 1, 0)", "mask"), BACKWARD),
    "LSTM: columns in Keras's order": (
        "lstm",
        in_layers("_swap_last(value, value.shape[-1] // 4, -1)", "value"),
        FORWARD,
    ),
    "mask_zero: forgotten behind a recurrent layer": (
        "masked-sequences",
        in_layers("(states.transpose(0, 1), valid)", "(states.transpose(0, 1), None)"),
        FORWARD,
    ),
    "mask_zero: not turned round with the steps": ("masked-states", in_layers("ok.flip(0)", "ok"), FORWARD),
    "Bidirectional: steps not turned round": ("birnn", in_layers("steps.flip(0)", "steps"), FORWARD),
    "Bidirectional: states not turned back": ("masked-sequences", in_layers("back.flip(1)", "back"), FORWARD),
    "Bidirectional: states of masked steps not zero": (
        "masked-states",
        in_layers("both * valid.unsqueeze(-1)", "both"),
        {"gradient"},
    ),
    "Bidirectional: halves exchanged": (
        "birnn",
        in_layers("torch.cat((there, back), -1)", "torch.cat((back, there), -1)"),
        FORWARD,
    ),
    "Bidirectional: one direction's masks for both": (
        "bilstm-dropout",
        in_layers("(x, valid, backward_masks)", "(x, valid, forward_masks)"),
        BACKWARD,
    ),
    "fused: order of a GRU's gates": (
        "gru",
        in_layers("torch.cat((second, first, third), 0)", "value", kernel="fused"),
        FORWARD,
    ),
    "fused: dropout, derivative": (
        "input-dropout",
        in_layers(
            "x * masks[0].transpose(0, 1)[0]", "x + (x * masks[0].transpose(0, 1)[0] - x).detach()", kernel="fused"
        ),
        BACKWARD,
    ),
    "fused: masked steps in front": (
        "masked-sequences",
        in_layers("descending=True", "descending=False", kernel="fused"),
        FORWARD,
    ),
    "fused: last state at every step": (
        "masked-states",
        in_layers("valid.cumsum(0)", "valid.sum(0, keepdim=True).expand_as(valid)", kernel="fused"),
        FORWARD,
    ),
    "fused: the state before the last": (
        "masked-sequences",
        in_layers("(counted - 1)", "(counted - 2)", kernel="fused"),
        FORWARD,
    ),
    "fused: state before any step": (
        "masked-sequences",
        in_layers("torch.where(counted > 0, states.gather(0, last), 0.0)", "states.gather(0, last)", kernel="fused"),
        FORWARD,
    ),
}

# The steps that `torch.compile` compiles, here run as they are, and the loop around them.
FAULTS |= {
    "compiled SimpleRNN: derivative by the state": (
        "birnn",
        in_steps("torch.tanh(z + _product(h, weight, drop))", "torch.tanh(z + _product(h.detach(), weight, drop))"),
        BACKWARD,
    ),
    "compiled LSTM: derivative by the forget gate": (
        "lstm",
        in_steps("_gate(f, gates) * c", "_gate(f, gates).detach() * c"),
        BACKWARD,
    ),
    "compiled LSTM: derivative by the candidate": (
        "lstm",
        in_steps("_gate(i, gates) * torch.tanh(g)", "_gate(i, gates) * torch.tanh(g).detach()"),
        BACKWARD,
    ),
    "compiled LSTM: derivative by the cell": (
        "lstm",
        in_steps("_gate(o, gates) * torch.tanh(cell)", "_gate(o, gates) * torch.tanh(cell.detach())"),
        BACKWARD,
    ),
    "compiled LSTM: derivative by the cell before": (
        "lstm",
        in_compiled("weight, h, c, drop", "weight, h, c.detach(), drop"),
        BACKWARD,
    ),
    "compiled LSTM: cell not carried": ("masked", in_steps("_held(cell, c, valid)", "cell"), FORWARD),
    "compiled GRU: update the other way round": (
        "gru",
        in_steps("update * h + (1 - update) * new", "(1 - update) * h + update * new"),
        FORWARD,
    ),
    "compiled GRU, reset after: derivative by the reset gate": (
        "gru",
        in_steps("of_new + reset * inner", "of_new + reset.detach() * inner"),
        BACKWARD,
    ),
    "compiled GRU, reset after: gradient of its bias": (
        "gru",
        in_steps("+ bias).split", "+ bias.detach()).split"),
        BACKWARD,
    ),
    "compiled GRU, reset before: derivative by the reset gate": (
        "gru-before",
        in_steps("kept = reset * h if", "kept = reset.detach() * h if"),
        BACKWARD,
    ),
    "compiled GRU, reset before: dropout of the state that is reset": (
        "gru-before-dropout",
        in_steps("reset * h * drop[2]", "reset * h"),
        BACKWARD,
    ),
    "compiled: recurrent_dropout, derivative": (
        "dropout",
        in_steps("(h * d) @ w", "(h + (h * d - h).detach()) @ w"),
        BACKWARD,
    ),
    "compiled: Keras 2's hard sigmoid not clipped": (
        "lstm-keras2",
        in_steps("torch.clamp(0.2 * x + 0.5, 0.0, 1.0)", "0.2 * x + 0.5"),
        {"gradient"},
    ),
    "compiled: Keras 3's hard sigmoid is Keras 2's": (
        "lstm-hard",
        in_steps("torch.clamp(x / 6 + 0.5, 0.0, 1.0)", "torch.clamp(0.2 * x + 0.5, 0.0, 1.0)"),
        FORWARD,
    ),
    "compiled: gradient of masked steps lost": (
        "masked-gru",
        in_steps("torch.where(valid > 0, state, before)", "torch.where(valid > 0, state, before.detach())"),
        BACKWARD,
    ),
    "compiled: mask turned round": ("masked-rnn", in_compiled("valid.unbind(0)", "valid.flip(0).unbind(0)"), FORWARD),
    "compiled: states of masked steps zero, not repeated": (
        "masked-sequences",
        in_compiled("states.append(h)", "states.append(h if ok is None else h * ok)"),
        {"gradient"},
    ),
    "compiled: mask forgotten between parts": (
        "masked",
        in_compiled("x, valid = part(x, valid, given)", "x, valid = part(x, valid, given)[0], None"),
        FORWARD,
    ),
}

# Optimizers and losses.
FAULTS |= {
    "Adam: share of a gradient in the moment": (
        "adam",
        in_optimizers("gradients, 1 - BETA_1)", "gradients, BETA_1)"),
        UPDATE,
    ),
    "Adam: moment not corrected": ("adam", in_optimizers(" / (1 - BETA_1**t)", ""), UPDATE),
    "Adam: velocity not corrected": ("adam", in_optimizers(" * math.sqrt(1 - BETA_2**t)", ""), UPDATE),
    "Adam: decay of the velocity": (
        "adam",
        in_optimizers("self.velocities, BETA_2)", "self.velocities, BETA_1)"),
        {"training"},
    ),
    "Adam: share of a square in the velocity": (
        "adam",
        in_optimizers("gradients, 1 - BETA_2)", "gradients, 1 - BETA_1)"),
        UPDATE,
    ),
    "Adam: gradient for the moment": ("adam", in_optimizers("self.moments, divisors", "gradients, divisors"), UPDATE),
    "RMSprop: epsilon": ("dense", in_optimizers("0.9, 1e-7", "0.9, 1e-8"), UPDATE),
    "RMSprop: decay of the velocity": (
        "dense",
        in_optimizers("self.velocities, RHO)", "self.velocities, 0.99)"),
        {"training"},
    ),
    "RMSprop: share of a square in the velocity": ("dense", in_optimizers("1 - RHO", "0.01"), UPDATE),
    "steps not counted": ("dense", in_optimizers("self.iterations += 1", "self.iterations += 0"), UPDATE),
    "RMSprop of Keras 3: epsilon": (
        "keras3",
        in_optimizers(
            "torch._foreach_add(self.velocities, EPSILON)", "torch._foreach_add(self.velocities, EPSILON**2)"
        ),
        UPDATE,
    ),
    "native RMSprop: epsilon": (
        "native:optimizer",
        in_native("learning_rate(self._rate, 0), **options", "learning_rate(self._rate, 0), eps=1e-7"),
        UPDATE,
    ),
    "native RMSprop: gradients of steps before added": (
        "native:optimizer",
        in_native(
            "weight.grad = gradient", "weight.grad = gradient if weight.grad is None else weight.grad + gradient"
        ),
        {"training"},
    ),
    "native loss on clipped probabilities": (
        "native:loss",
        in_native("torch.sigmoid(logits)", "torch.sigmoid(logits).clamp(1e-7, 1 - 1e-7)"),
        {"gradient"},
    ),
}

# Classes, SGD and AdamW, schedules, clipping.
FAULTS |= {
    "classes: labels smoothed": (
        "classes",
        in_network("cross_entropy(logits, y.long())", "cross_entropy(logits, y.long(), label_smoothing=0.1)"),
        {"gradient"},
    ),
    "classes: loss summed": (
        "classes",
        in_network("cross_entropy(logits, y.long())", 'cross_entropy(logits, y.long(), reduction="sum")'),
        {"gradient"},
    ),
    "classes: softmax twice": (
        "classes",
        in_network("cross_entropy(logits, y.long())", "cross_entropy(logits.softmax(1), y.long())"),
        {"gradient"},
    ),
    "classes: accuracy of the least likely": (
        "classes",
        in_network("logits.argmax(1) == target", "logits.argmin(1) == target"),
        {"epoch"},
    ),
    "classes: the first logit alone": (
        "classes",
        in_network("return logits if self._model.classes else logits[:, 0]", "return logits[:, :1].expand_as(logits)"),
        FORWARD,
    ),
    "SGD: rate": ("classes", in_optimizers("_weights, gradients, alpha=-rate)", "_weights, gradients)"), UPDATE),
    "momentum: decay": (
        "momentum",
        in_optimizers("moments, self._declared.momentum)", "moments, 0.5)"),
        {"training"},
    ),
    "momentum: without the rate, as torch has it": (
        "momentum",
        in_optimizers(
            "torch._foreach_add_(moments, gradients, alpha=-rate)", "torch._foreach_add_(moments, gradients)"
        ),
        UPDATE,
    ),
    "momentum: Nesterov's": ("momentum", in_optimizers("if not self._declared.nesterov", "if False"), UPDATE),
    "Nesterov's momentum: plain": ("nesterov", in_optimizers("if not self._declared.nesterov", "if True"), UPDATE),
    "Nesterov's momentum: not decayed": (
        "nesterov",
        in_optimizers("moments, alpha=self._declared.momentum)", "moments)"),
        UPDATE,
    ),
    "AdamW: no decay": ("weight-decay", in_optimizers("if self._decay", "if False"), UPDATE),
    "AdamW: decay without the rate": (
        "weight-decay",
        in_optimizers("alpha=-rate * self._decay", "alpha=-self._decay"),
        UPDATE,
    ),
    "AdamW: decay after the step": (
        "weight-decay",
        in_optimizers(
            "torch._foreach_addcdiv_(self._weights, self.moments, divisors, -rate)",
            "torch._foreach_addcdiv_(self._weights, self.moments, divisors, -rate * (1 - self._decay))",
        ),
        UPDATE,
    ),
    "schedule: one step early": (
        "momentum",
        in_optimizers("learning_rate(self._rate, self.iterations)", "learning_rate(self._rate, self.iterations + 1)"),
        UPDATE,
    ),
    "schedule: not at all": (
        "momentum",
        in_optimizers("learning_rate(self._rate, self.iterations)", "learning_rate(self._rate, 0)"),
        {"training"},
    ),
    "ExponentialDecay: by steps": (
        "momentum",
        in_optimizers("decays = step / rate.decay_steps", "decays = step"),
        {"training"},
    ),
    "ExponentialDecay: a staircase": ("momentum", in_optimizers("if rate.staircase", "if True"), {"training"}),
    "ExponentialDecay: no staircase": ("nesterov", in_optimizers("if rate.staircase", "if False"), {"training"}),
    "ExponentialDecay: staircase rounded up": (
        "nesterov",
        in_optimizers("math.floor(decays)", "math.ceil(decays)"),
        {"training"},
    ),
    "CosineDecay: rises after its end, as torch's": (
        "weight-decay",
        in_optimizers("min(step, rate.decay_steps) /", "step /"),
        {"training"},
    ),
    "CosineDecay: down to 0": (
        "weight-decay",
        in_optimizers("((1 - rate.alpha) * cosine + rate.alpha)", "cosine"),
        {"training"},
    ),
    "PiecewiseConstantDecay: a boundary opens its rate, as torch's": (
        "classes",
        in_optimizers("step > boundary", "step >= boundary"),
        {"training"},
    ),
    "clipvalue: above alone": ("classes", in_optimizers("clamp(-limit, limit)", "clamp(max=limit)"), UPDATE),
    "clipnorm: lengthens what is short": (
        "momentum",
        in_optimizers("(limit / norm.clamp(min=limit)) for", "(limit / norm) for"),
        UPDATE,
    ),
    "clipnorm: of all weights": (
        "momentum",
        in_optimizers('if how == "clipnorm"', "if False"),
        UPDATE,
    ),
    "clipnorm: each bias of a GRU for itself": (
        "momentum",
        planted(
            "torch.network",
            "self._trainable.from_keras(clipped(self._trainable.to_keras(gradients), *self._model.clip))",
            "clipped(gradients, *self._model.clip)",
            kernel="fused",
        ),
        UPDATE,
    ),
    "global_clipnorm: of single weights": ("nesterov", in_optimizers('how == "clipnorm"', "True"), UPDATE),
    "global_clipnorm: lengthens what is short": (
        "nesterov",
        in_optimizers("factor = limit / norm.clamp(min=limit)", "factor = limit / norm"),
        {"training"},
    ),
    "global_clipnorm: torch's 1e-6": (
        "nesterov",
        in_optimizers("factor = limit / norm.clamp(min=limit)", "factor = limit / (norm + 1e-6).clamp(min=limit)"),
        UPDATE,
    ),
    "not clipped": ("nesterov", in_network("if not self._model.clip or", "if True or"), UPDATE),
    "native SGD: schedule one step early": (
        "native:optimizer momentum",
        in_native("learning_rate(self._rate, self._steps)", "learning_rate(self._rate, self._steps + 1)"),
        UPDATE,
    ),
    "native SGD: steps not counted": (
        "native:optimizer momentum",
        in_native("self._steps += 1", "self._steps += 0"),
        UPDATE,
    ),
    "native SGD: steps not loaded": (
        "native:optimizer momentum",
        in_native("self._steps = steps", "self._steps = 0"),
        {"training"},
    ),
    "native SGD: no momentum": (
        "native:optimizer momentum",
        in_native("if value != field.default", "if False"),
        {"training"},
    ),
    "native AdamW: Keras's weight decay": (
        "native:optimizer weight decay",
        in_native("if value != field.default", "if True"),
        UPDATE,
    ),
    "native clipping: norm of single weights": (
        "native:optimizer momentum",
        in_native('if how == "global_clipnorm"', "if False"),
        UPDATE,
    ),
    "native clipping: norm of all weights": (
        "native:optimizer weight decay",
        in_native('if how == "global_clipnorm"', "if True"),
        UPDATE,
    ),
    "native clipping: none": ("native:optimizer values", in_native("if self._clip", "if False"), UPDATE),
    "native clipping: values": (
        "native:optimizer values",
        in_native("clip_grad_value_(weights, limit)", "clip_grad_value_(weights, 2 * limit)"),
        UPDATE,
    ),
}

KERAS_FAULTS: Rows = {
    "Keras 2's hard sigmoid not clipped": (
        "bilstm-dropout",
        in_keras3("ops.clip(0.2 * x + 0.5, 0.0, 1.0)", "0.2 * x + 0.5"),
        {"gradient"},
    ),
    "Keras 3's hard sigmoid for Keras 2's": (
        "bilstm-dropout",
        in_keras3('"hard_sigmoid_keras2": hard_sigmoid_keras2', '"hard_sigmoid_keras2": "hard_sigmoid"'),
        FORWARD,
    ),
    "mask_zero ignored": ("rnn-dropout", in_keras("mask_zero=layer.mask_zero", "mask_zero=False"), FORWARD),
    "mask lost behind Dropout": (
        "rnn-dropout",
        in_keras("self.supports_masking = True", "self.supports_masking = False"),
        BACKWARD,
    ),
    "Dropout: derivative": (
        "rnn-dropout",
        in_keras("else inputs * keep", "else inputs + ops.stop_gradient(inputs * keep - inputs)"),
        BACKWARD,
    ),
    "Bidirectional: one direction's masks for both": (
        "bilstm-dropout",
        in_keras("given[half:]", "given[:half]"),
        BACKWARD,
    ),
    "dropout: one mask for all gates": (
        "bilstm-dropout",
        in_keras3("ops.unstack(mask, axis=1)", "[mask[:, 0]] * mask.shape[1]"),
        BACKWARD,
    ),
    "recurrent_dropout: masks of Keras's own": (
        "rnn-dropout",
        in_keras3('"_recurrent_dropout_mask"', '"_unread"'),
        BACKWARD,
    ),
    "Conv1D: activation": (
        "convolution",
        in_keras("layer.padding, activation=_activation(layer.activation)", "layer.padding"),
        FORWARD,
    ),
    "Conv1D: not padded": (
        "strides",
        in_keras("layer.strides, layer.padding, activation", "layer.strides, activation"),
        FORWARD,
    ),
    "windows: strides of 1": (
        "windows",
        in_keras("layer.strides, layer.padding)", "1, layer.padding)"),
        FORWARD,
    ),
    "BatchNormalization: momentum of Keras's own": (
        "normalized",
        in_keras3("kind(momentum=momentum, epsilon=epsilon)", "kind(epsilon=epsilon)"),
        UPDATE,
    ),
    "BatchNormalization: told what a recurrent layer is": (
        "masked-normalized",
        in_keras("layer(x, training=training)", "layer(x)"),
        {"training"},
    ),
    "BatchNormalization: moved by gradients": (
        "normalized",
        in_keras("weight.assign(value)\n        gradients", "pass\n        gradients"),
        {"epoch"},
    ),
    "LayerNormalization: epsilon": (
        "layer-normalized",
        in_keras("epsilon=layer.epsilon", "epsilon=1e-5"),
        FORWARD,
    ),
    "RMSprop: epsilon inside the root": (
        "convolution",
        in_keras3("(ops.sqrt(velocity) + self.epsilon)", "ops.sqrt(velocity + self.epsilon)"),
        UPDATE,
    ),
    "RMSprop: decay of the velocity": (
        "convolution",
        in_keras3("self.rho * velocity", "0.99 * velocity"),
        {"training"},
    ),
    "accuracy at a threshold of .5": ("convolution", in_keras("threshold=0.0 if", "threshold=0.5 if"), {"epoch"}),
    "own shuffling": (
        "convolution",
        in_keras("in_order(x[order], y[order, None]", "in_order(x[np.sort(order)], y[np.sort(order), None]"),
        {"epoch"},
    ),
    "classes: loss on logits taken for probabilities": (
        "classes",
        in_keras("SparseCategoricalCrossentropy(from_logits=on_logits)", "SparseCategoricalCrossentropy()"),
        {"gradient"},
    ),
    "classes: accuracy of the two most likely": (
        "classes",
        in_keras("SparseCategoricalAccuracy(", "SparseTopKCategoricalAccuracy(2, "),
        {"epoch"},
    ),
    "not clipped": ("classes", in_engine("if model.clip else {}", "if False else {}"), UPDATE),
    "no schedule": (
        "weight-decay",
        in_engine("exact(given) if isinstance(given, float)", "0.01 if given"),
        {"training"},
    ),
    "AdamW: weight decay of Keras's own": (
        "weight-decay",
        in_engine("else declared(model.optimizer)", "else {}"),
        UPDATE,
    ),
    "sparse embedding gradient": (
        "keras3",
        planted("keras.tensorflow", "tf.convert_to_tensor(g) if isinstance(g, tf.IndexedSlices) else g", "g"),
        UPDATE,
    ),
}
