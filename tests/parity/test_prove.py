"""Every known difference between the frameworks (docs/numerics.md), and a fault in every branch of what a backend
computes forward and backward, each switched on, and the check that must see it.

The reference is the torch backend as it is; the twin is the same with one difference. What is no difference must pass.
The proofs are short ones, on rows without padding, as the generated text has them.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from bench.backends.base import Arrays, EpochResult
from bench.backends.registry import backend
from bench.cases.model import Model
from bench.data.dataset import Examples, MultiHot, take
from bench.parity.inputs import Probe
from bench.parity.proof import Check
from bench.parity.prove import KERAS_2_ADAM, Findings, Twin, prove
from bench.runner.client import Server
from bench.spec import (
    GRU,
    KERAS_2_0,
    KERAS_3,
    LSTM,
    SGD,
    ActivationLayer,
    AdamW,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Case,
    Conv1D,
    CosineDecay,
    Dense,
    Dropout,
    Embedding,
    ExponentialDecay,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Kernel,
    LayerNormalization,
    MaxPooling1D,
    PiecewiseConstantDecay,
    SimpleRNN,
    SpatialDropout1D,
)
from tests.networks import LENGTH, WORDS, case, case_of_features, feature_rows, inputs_of, model_of, rows
from tests.parity.faults import FAULTS, KERAS_FAULTS, planted

torch = pytest.importorskip("torch")

from bench.backends.torch import layers, optimizers  # noqa: E402
from bench.backends.torch.network import TorchNetwork  # noqa: E402

PLAIN, MASKED = Embedding(WORDS, 5), Embedding(WORDS, 5, mask_zero=True)
CASES = {
    "dense": case(PLAIN, Flatten(), Dense(6, "tanh"), optimizer="rmsprop"),
    "adam": case(PLAIN, Flatten(), Dense(6, "tanh")),
    "keras3": case(PLAIN, Flatten(), Dense(6, "relu"), Dense(5, "sigmoid"), optimizer="rmsprop"),
    "frozen": case(Embedding(WORDS, 5, trainable=False), Flatten(), Dense(6, "tanh")),
    "average": case(PLAIN, GlobalAveragePooling1D()),
    "convolution": case(PLAIN, Conv1D(4, 3, "tanh"), GlobalMaxPooling1D(), optimizer="rmsprop"),
    "lstm": case(PLAIN, LSTM(6, recurrent_activation="sigmoid")),
    "lstm-keras2": case(PLAIN, LSTM(6)),
    "lstm-hard": case(PLAIN, LSTM(6, recurrent_activation="hard_sigmoid")),
    "gru": case(PLAIN, GRU(6, recurrent_activation="sigmoid")),
    "gru-before": case(PLAIN, GRU(6, reset_after=False)),
    "birnn": case(PLAIN, Bidirectional(SimpleRNN(6))),
    "masked": case(MASKED, LSTM(6)),
    "masked-rnn": case(MASKED, SimpleRNN(6)),
    "masked-gru": case(MASKED, GRU(6)),
    "masked-average": case(MASKED, GlobalAveragePooling1D()),
    "masked-convolution": case(MASKED, Conv1D(4, 3, "tanh"), GlobalAveragePooling1D()),
    "masked-states": case(MASKED, Bidirectional(SimpleRNN(4, return_sequences=True)), GlobalMaxPooling1D()),
    "masked-sequences": case(
        MASKED,
        Bidirectional(LSTM(4, recurrent_activation="sigmoid", return_sequences=True)),
        GRU(3, recurrent_activation="sigmoid", return_sequences=True),
        GlobalMaxPooling1D(),
    ),
    "dropout": case(MASKED, Dropout(0.3), LSTM(6, dropout=0.3, recurrent_dropout=0.3)),
    "input-dropout": case(PLAIN, LSTM(6, dropout=0.3, recurrent_activation="sigmoid")),
    "rnn-dropout": case(MASKED, Dropout(0.3), SimpleRNN(6, dropout=0.3, recurrent_dropout=0.3)),
    "gru-dropout": case(MASKED, GRU(6, dropout=0.3, recurrent_dropout=0.3)),
    "gru-before-dropout": case(MASKED, GRU(6, dropout=0.3, recurrent_dropout=0.3, reset_after=False)),
    "bilstm-dropout": case(
        MASKED, Dropout(0.3), Bidirectional(LSTM(4, dropout=0.3, recurrent_dropout=0.3)), optimizer="rmsprop"
    ),
    "strides": case(PLAIN, Conv1D(4, 4, "gelu", strides=2, padding="same"), GlobalMaxPooling1D(), optimizer="rmsprop"),
    "cancelled-bias": case(PLAIN, Conv1D(4, 3), BatchNormalization(), MaxPooling1D(3), Flatten(), optimizer="rmsprop"),
    "pooling": case(PLAIN, MaxPooling1D(4, 2, "same"), AveragePooling1D(2, padding="same"), Flatten()),
    "windows": case(PLAIN, AveragePooling1D(), MaxPooling1D(2, 1), GlobalAveragePooling1D()),
    "masked-pooling": case(MASKED, MaxPooling1D(), GlobalAveragePooling1D()),
    "normalized": case(
        PLAIN,
        BatchNormalization(0.8),
        ActivationLayer("softmax"),
        Flatten(),
        BatchNormalization(0.8, 0.01),
        optimizer="rmsprop",
    ),
    "masked-normalized": case(
        MASKED,
        BatchNormalization(0.8),
        SimpleRNN(4, return_sequences=True),
        BatchNormalization(0.8),
        SimpleRNN(4),
    ),
    "layer-normalized": case(MASKED, SpatialDropout1D(0.3), LayerNormalization(), SimpleRNN(4)),
    "native:normalization": case(PLAIN, BatchNormalization(), Flatten(), optimizer="rmsprop"),
    "native:optimizer": case(PLAIN, Flatten(), Dense(6, "tanh"), optimizer="rmsprop"),
    "native:loss": case(PLAIN, Flatten(), Dense(6, "tanh"), optimizer="rmsprop"),
    "native:optimizer momentum": case(
        PLAIN, Flatten(), optimizer=SGD(0.9), learning_rate=ExponentialDecay(0.05, 2, 0.5), global_clipnorm=0.2
    ),
    "native:optimizer weight decay": case(PLAIN, Flatten(), Dense(6, "tanh"), optimizer=AdamW(), clipnorm=0.1),
    "native:optimizer values": case(PLAIN, Flatten(), Dense(6, "tanh"), clipvalue=0.05),
}
# Everything of a protocol: classes, optimizers, schedules that change within five steps, limits that gradients exceed
# in some weights or steps and not in others.
PROTOCOLS = {
    "classes": case(
        PLAIN,
        Flatten(),
        Dense(6, "tanh"),
        classes=3,
        optimizer=SGD(),
        learning_rate=PiecewiseConstantDecay((1, 3), (0.05, 0.02, 0.1)),
        clipvalue=0.05,
    ),
    "momentum": case(
        PLAIN,
        GRU(4, recurrent_activation="sigmoid"),
        optimizer=SGD(0.9),
        learning_rate=ExponentialDecay(0.05, 2, 0.5),
        clipnorm=0.1,
    ),
    "nesterov": case(
        PLAIN,
        Flatten(),
        optimizer=SGD(0.8, nesterov=True),
        learning_rate=ExponentialDecay(0.05, 2, 0.5, staircase=True),
        global_clipnorm=0.2,
    ),
    "weight-decay": case(
        PLAIN,
        Conv1D(4, 3, "relu"),
        GlobalMaxPooling1D(),
        classes=4,
        optimizer=AdamW(0.1),
        learning_rate=CosineDecay(0.01, 3, 0.1),
    ),
    "masked-classes": case(MASKED, LSTM(4, dropout=0.3), classes=3, optimizer="rmsprop", global_clipnorm=0.15),
}
CASES |= PROTOCOLS
CASES["no-bias"] = replace(CASES["dense"], layers=(PLAIN, Flatten(), Dense(1, "sigmoid", use_bias=False)))
CASES["classes-no-bias"] = replace(CASES["classes"], layers=(PLAIN, Flatten(), Dense(3, "softmax", use_bias=False)))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Have torch use one thread: small networks take several times as long on all cores, more so beside other tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def model_and_inputs(name: str) -> tuple[Case, Model, Probe]:
    declared = CASES[name]
    numerics = name.split(" ")[0] if name.startswith("native:") else "documented"
    model = model_of(declared, KERAS_3 if name in ("keras3", "weight-decay") else KERAS_2_0, numerics)
    return declared, model, inputs_of(declared, model, unpadded_rows(classes=model.classes))


def unpadded_rows(length: int = LENGTH, classes: int | None = None) -> Examples:
    random = np.random.RandomState(0)
    x = random.randint(1, WORDS, (120, length)).astype(np.int32)
    y = random.rand(120)
    return Examples(x, np.floor(y * classes).astype(np.int32) if classes else (y > 0.5).astype(np.float32))


def twin(name: str, make: Callable[..., Any], model: Model, kernel: str = "") -> Twin:
    chosen = kernel or ("generic" if model.recurrent else "none")
    return Twin(name, *(make(model, chosen, "cpu", dtype) for dtype in (torch.float32, torch.float64)))


def compared(name: str, make: Callable[..., Any], kernel: str = "") -> Findings:
    _, model, inputs = model_and_inputs(name)
    return prove(model, inputs, twin("plain", TorchNetwork, model), [twin("changed", make, model, kernel)])["changed"]


# --- what is no difference ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_what_is_compiled_is_the_twin_of_what_is_not(name: str) -> None:
    found = compared(name, planted("torch.steps", "import torch\n", "import torch\n"))  # no fault
    assert found.failures == []
    assert set(found.errors) >= {"parameters", "forward", "gradient", "update", "training", "epoch", "evaluation"}


@pytest.mark.parametrize(
    "name", ["lstm", "gru", "birnn", "input-dropout", "masked-states", "masked-sequences", "momentum"]
)
def test_the_fused_kernel_is_the_generic_kernels_twin(name: str) -> None:
    found = compared(name, TorchNetwork, "fused")
    assert found.failures == []
    assert found.errors["training"]["float64"] < 1e-9


# --- the differences ---------------------------------------------------------------------------------------------


class EpsilonAfterCorrection(optimizers.KerasAdam):
    """torch's Adam: m^ / (sqrt(v^) + epsilon)."""

    epsilon = 1e-7

    @torch.no_grad()
    def step(self, gradients: list[Any]) -> None:
        self.iterations += 1
        for w, m, v, g in zip(self._weights, self.moments, self.velocities, gradients, strict=True):
            m.lerp_(g, 0.1)
            v.mul_(0.999).addcmul_(g, g, value=1e-3)
            corrected = v / (1 - 0.999**self.iterations)
            w -= self._rate * (m / (1 - 0.9**self.iterations)) / (corrected.sqrt() + self.epsilon)


class TorchsEpsilon(EpsilonAfterCorrection):
    epsilon = 1e-8


def with_optimizer(make: Callable[[list[Any], Model], Any]) -> type[TorchNetwork]:
    class Changed(TorchNetwork):
        def __init__(self, model: Model, *rest: Any) -> None:
            super().__init__(model, *rest)
            self._optimizer = make(list(self._trained), model)

    return Changed


class SmoothsLonger(optimizers.KerasRMSprop):
    """torch's alpha .99 in place of rho .9."""

    @torch.no_grad()
    def step(self, gradients: list[Any]) -> None:
        for w, v, g in zip(self._weights, self.velocities, gradients, strict=True):
            v.mul_(0.99).addcmul_(g, g, value=0.01)
            w -= self._rate * g / (v.sqrt() + 1e-7)
        self.iterations += 1


class DuplicateRowsNotSummed(TorchNetwork):
    """The engine of Keras 3 on TensorFlow: every occurrence of a word moves the velocity by its own square."""

    def _step(self, x: Any, y: Any, masks: Sequence[Any]) -> Any:
        kept: list[Any] = []
        plain = torch.nn.functional.embedding

        def remember(ids: Any, table: Any) -> Any:
            rows = plain(ids, table)
            rows.retain_grad()
            kept.append(rows)
            return rows

        torch.nn.functional.embedding = remember
        try:
            logits = self._forward(x, masks)
        finally:
            torch.nn.functional.embedding = plain
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y)
        loss.backward()
        gradients = [tensor.grad for tensor in self._trained]
        self._optimizer.step(gradients)
        with torch.no_grad():
            each = kept[0].grad.flatten(0, 1)
            squares = torch.zeros_like(gradients[0]).index_add_(0, x.flatten(), each**2)
            self._optimizer.velocities[0] += 0.1 * (squares - gradients[0] ** 2)
        for tensor in self._trained:
            tensor.grad = None
        return loss.detach(), logits.detach()


class TwoTrainedBiases(TorchNetwork):
    """torch's LSTM as it comes: both biases are trained, so their sum moves twice as fast."""

    def __init__(self, model: Model, _: str, device: Any, dtype: Any) -> None:
        super().__init__(model, "fused", device, dtype)
        self.second = dict(self._layers[1].layer.named_parameters())["bias_hh_l0"]
        self.second.requires_grad_(True)

    def train_step(self, x: Any, y: Any, masks: Any) -> float:
        before = self.get_weights()
        loss = super().train_step(x, y, masks)
        after = self.get_weights()
        after[3] = before[3] + 2 * (after[3] - before[3])
        self.set_weights(after)
        return loss

    def parameters(self) -> Any:
        counted = super().parameters()
        extra = self.second.numel()
        layers = [
            structs.replace(layer, total=layer.total + extra, trainable=layer.trainable + extra)
            if layer.name == "lstm"
            else layer
            for layer in counted.layers
        ]
        return structs.replace(counted, layers=layers)


def loads(change: Callable[[Arrays, Model], Arrays]) -> type[TorchNetwork]:
    """Return a network whose layout conversion is wrong both ways, so that weights still come back as they were
    loaded.
    """

    class Changed(TorchNetwork):
        def set_weights(self, weights: Arrays) -> None:
            super().set_weights(change([np.array(w) for w in weights], self._model))

        def get_weights(self) -> Arrays:
            return change(super().get_weights(), self._model)

    return Changed


def swap_gates(first: int, second: int) -> Callable[[Arrays, Model], Arrays]:
    def change(weights: Arrays, model: Model) -> Arrays:
        gates = 4 if isinstance(model.layers[1].layer, LSTM) else 3
        for place in (1, 2, 3):
            parts = np.split(weights[place], gates, axis=-1)
            parts[first], parts[second] = parts[second], parts[first]
            weights[place] = np.concatenate(parts, axis=-1)
        return weights

    return change


def reverse_width(weights: Arrays, _: Model) -> Arrays:
    weights[1] = weights[1][::-1].copy()
    return weights


class ForgetsTheEmbedding(TorchNetwork):
    """Keeps its own initial table, as a port that loads all weights but one."""

    def set_weights(self, weights: Arrays) -> None:
        own = self.get_weights()
        super().set_weights([own[0] + 0.5, *weights[1:]])


class OtherModel(TorchNetwork):
    """Builds the model with one property changed."""

    @staticmethod
    def change(layer: Any) -> Any:
        raise NotImplementedError

    def __init__(self, model: Model, *rest: Any) -> None:
        layers = tuple(replace(built, layer=self.change(built.layer)) for built in model.layers)
        super().__init__(replace(model, layers=layers), *rest)


class ResetsBefore(OtherModel):
    @staticmethod
    def change(layer: Any) -> Any:
        return layer

    def _forward(self, x: Any, masks: Any = ()) -> Any:
        layer = self._layers[1]
        plain = layers.recurrence.gru

        def before(z: Any, weight: Any, bias: Any, *rest: Any) -> Any:
            inside = torch.zeros_like(z)
            inside[..., : bias.numel()] = bias
            return plain(z + inside, weight, None, *rest)

        layers.recurrence.gru = before  # type: ignore[assignment]
        try:
            return super()._forward(x, masks)
        finally:
            layers.recurrence.gru = plain
            assert layer is self._layers[1]


class KerasThreesGates(OtherModel):
    @staticmethod
    def change(layer: Any) -> Any:
        return replace(layer, recurrent_activation="sigmoid") if isinstance(layer, LSTM) else layer


class IgnoresMask(OtherModel):
    @staticmethod
    def change(layer: Any) -> Any:
        return replace(layer, mask_zero=False) if isinstance(layer, Embedding) else layer


class MasksTheOtherEnd(TorchNetwork):
    """Takes the lengths of the rows and masks the right, as packing does with rows padded in front."""

    def _forward(self, x: Any, masks: Any = ()) -> Any:
        lengths = (x != 0).sum(1, keepdim=True)
        from_front = torch.arange(x.shape[1]) < lengths
        table = self._layers[0]
        plain = table.forward
        table.forward = lambda ids, valid, own: (plain(ids, valid, own)[0], from_front)  # type: ignore[method-assign]
        try:
            return super()._forward(x, masks)
        finally:
            table.forward = plain  # type: ignore[method-assign]


class ShortestRowIsOne(TorchNetwork):
    """Packing refuses rows of length 0, so a port gives an all-padding row one step."""

    def _forward(self, x: Any, masks: Any = ()) -> Any:
        table = self._layers[0]
        plain = table.forward

        def forward(ids: Any, valid: Any, own: Any) -> Any:
            rows, mask = plain(ids, valid, own)
            mask = mask.clone()
            mask[:, -1] |= ~mask.any(1)
            return rows, mask

        table.forward = forward  # type: ignore[method-assign]
        try:
            return super()._forward(x, masks)
        finally:
            table.forward = plain  # type: ignore[method-assign]


class LastStepOfBothWays(TorchNetwork):
    """`output[:, -1]`: the backward layer's state after one step."""

    def _forward(self, x: Any, masks: Any = ()) -> Any:
        both = self._layers[1]
        back = both.backward_layer
        plain = back.states

        def first_step(steps: Any, valid: Any, own: Any) -> Any:
            return plain(steps[:1], valid, own)

        back.states = first_step  # type: ignore[method-assign]
        try:
            return super()._forward(x, masks)
        finally:
            back.states = plain  # type: ignore[method-assign]


def with_masks(change: Callable[[list[Any]], list[Any]]) -> type[TorchNetwork]:
    class Changed(TorchNetwork):
        def _forward(self, x: Any, masks: Any = ()) -> Any:
            return super()._forward(x, change([mask.clone() for mask in masks]) if masks else masks)

    return Changed


def one_mask_for_all_gates(place: int) -> Callable[[list[Any]], list[Any]]:
    def change(masks: list[Any]) -> list[Any]:
        masks[place][:] = masks[place][:, :1]
        return masks

    return change


def no_mask(place: int) -> Callable[[list[Any]], list[Any]]:
    def change(masks: list[Any]) -> list[Any]:
        masks[place] = torch.ones_like(masks[place])
        return masks

    return change


class ClippedProbabilities(TorchNetwork):
    """Cross-entropy of probabilities clipped to [1e-7, 1 - 1e-7], as Keras's JAX and torch engines have it."""

    def gradients(self, x: Any, y: Any, masks: Any) -> Any:
        from bench.backends.base import Gradients

        logits = self._forward(self._tensor(x), [self._tensor(mask) for mask in masks or ()])
        p = logits.sigmoid().clamp(1e-7, 1 - 1e-7)
        target = self._tensor(y)
        loss = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
        found = torch.autograd.grad(loss, self._trained)
        return Gradients(logits.detach().numpy(), float(loss.detach()), self._to_keras(found))


def with_epoch(change: Callable[[TorchNetwork, Any, Any, Any, Any, EpochResult], EpochResult]) -> type[TorchNetwork]:
    class Changed(TorchNetwork):
        def train_epoch(self, x: Any, y: Any, order: Any, masks: Any) -> EpochResult:
            before = self.get_weights(), self.get_optimizer_state()
            result = super().train_epoch(x, y, order, masks)
            after = self.get_weights(), self.get_optimizer_state()
            self.set_weights(before[0])
            self.set_optimizer_state(before[1])
            changed = change(self, x, y, order, masks, result)
            if changed is result:
                return result
            if changed.first_bad_step == -1:  # the weights are those of the changed epoch
                return replace(changed, first_bad_step=None)
            self.set_weights(after[0])
            return changed

    return Changed


def threshold_of_a_half(net: Any, x: Any, y: Any, order: Any, masks: Any, result: EpochResult) -> EpochResult:
    right = 0
    for step, start in enumerate(range(0, len(order), net._model.batch_size)):
        rows = order[start : start + net._model.batch_size]
        drawn = masks(step, len(rows)) if masks else None
        right += int(np.sum((net.gradients(x[rows], y[rows], drawn).logits > 0.5) == (y[rows] > 0.5)))
        net.train_step(x[rows], y[rows], drawn)
    return replace(result, accuracy=right / len(order))


def drops_the_partial_batch(net: Any, x: Any, y: Any, order: Any, masks: Any, result: EpochResult) -> EpochResult:
    whole = len(order) // net._model.batch_size * net._model.batch_size
    return replace(TorchNetwork.train_epoch(net, x, y, order[:whole], masks), first_bad_step=-1)


def unweighted_mean(net: Any, x: Any, y: Any, order: Any, masks: Any, result: EpochResult) -> EpochResult:
    size = net._model.batch_size
    losses = [
        net.train_step(x[order[at : at + size]], y[order[at : at + size]], masks(step, size) if masks else None)
        for step, at in enumerate(range(0, len(order), size))
    ]
    return replace(result, loss=float(np.mean(losses)))


def own_shuffling(net: Any, x: Any, y: Any, order: Any, masks: Any, result: EpochResult) -> EpochResult:
    return replace(TorchNetwork.train_epoch(net, x, y, np.sort(order), masks), first_bad_step=-1)


class EvaluatesOldWeights(TorchNetwork):
    """Evaluates a copy made before training."""

    copied: Arrays | None = None

    def logits(self, x: Any) -> Any:
        own = self.get_weights()
        self.copied = self.copied or own
        self.set_weights(self.copied)
        found = super().logits(x)
        self.set_weights(own)
        return found


class ReducedPrecision(TorchNetwork):
    """float32 whose matrix products see eight bits of each weight; float64 is left alone."""

    def _forward(self, x: Any, masks: Any = ()) -> Any:
        plain = torch.nn.functional.linear

        def rounded(inputs: Any, kernel: Any, bias: Any) -> Any:
            coarse = kernel.to(torch.bfloat16).to(kernel.dtype)
            return plain(inputs, kernel + (coarse - kernel).detach(), bias)

        if self._dtype == torch.float32:
            torch.nn.functional.linear = rounded
        try:
            return super()._forward(x, masks)
        finally:
            torch.nn.functional.linear = plain


class MovesFrozenWeights(TorchNetwork):
    """Trains a table that the case freezes."""

    def train_step(self, x: Any, y: Any, masks: Any) -> float:
        loss = super().train_step(x, y, masks)
        with torch.no_grad():
            self._layers[0].tensors[0] += 1e-6
        return loss


# Row of docs/numerics.md or semantics: case, twin with that difference, the checks that must see it.
MUTATIONS: dict[str, tuple[str, Callable[..., Any], set[Check]]] = {
    "initial weights": ("dense", ForgetsTheEmbedding, {"parameters", "forward"}),
    "frozen weights": ("frozen", MovesFrozenWeights, {"update", "training"}),
    "Adam: epsilon after the correction": (
        "adam",
        with_optimizer(lambda w, m: EpsilonAfterCorrection(w, m.learning_rate)),
        {"update", "training"},
    ),
    "Adam: torch's epsilon": (
        "adam",
        with_optimizer(lambda w, m: TorchsEpsilon(w, m.learning_rate)),
        {"update", "training"},
    ),
    "RMSprop: epsilon inside the root": (
        "dense",
        with_optimizer(lambda w, m: optimizers.KerasRMSprop(w, m.learning_rate, "inside")),
        {"update", "training"},
    ),
    "RMSprop: alpha": (
        "dense",
        with_optimizer(lambda w, m: SmoothsLonger(w, m.learning_rate, "outside")),
        {"update", "training"},
    ),
    "loss on clipped probabilities": ("dense", ClippedProbabilities, {"gradient"}),
    "sparse embedding gradient": ("dense", DuplicateRowsNotSummed, {"update", "training"}),
    "two trained biases": ("lstm", TwoTrainedBiases, {"parameters", "update", "training"}),
    "LSTM: gate order": ("lstm", loads(swap_gates(2, 3)), {"forward", "gradient"}),
    "GRU: gate order": ("gru", loads(swap_gates(0, 1)), {"forward", "gradient"}),
    "GRU: flavour": ("gru", ResetsBefore, {"forward", "gradient"}),
    "gates: hard sigmoid": ("lstm-keras2", KerasThreesGates, {"forward", "gradient"}),
    "Conv1D: layout": ("convolution", loads(reverse_width), {"forward", "gradient"}),
    "BiRNN: last state": ("birnn", LastStepOfBothWays, {"forward", "gradient"}),
    "mask_zero ignored": ("masked", IgnoresMask, {"forward", "gradient"}),
    "mask_zero: packed from the wrong end": ("masked", MasksTheOtherEnd, {"forward", "gradient"}),
    "mask_zero: all-padding row": ("masked", ShortestRowIsOne, {"forward"}),
    "dropout: one mask for all gates": ("dropout", with_masks(one_mask_for_all_gates(1)), {"gradient", "training"}),
    "recurrent_dropout: one mask for all gates": (
        "dropout",
        with_masks(one_mask_for_all_gates(2)),
        {"gradient", "training"},
    ),
    "recurrent_dropout missing": ("dropout", with_masks(no_mask(2)), {"gradient", "training"}),
    "dropout of whole features missing": ("layer-normalized", with_masks(no_mask(0)), {"gradient", "training"}),
    "dropout of the inputs missing": ("input-dropout", with_masks(no_mask(0)), {"gradient", "training"}),
    "accuracy at a threshold of .5": ("dense", with_epoch(threshold_of_a_half), {"epoch"}),
    "partial batch dropped": ("dense", with_epoch(drops_the_partial_batch), {"epoch"}),
    "mean over batches": ("dense", with_epoch(unweighted_mean), {"epoch"}),
    "own shuffling": ("dense", with_epoch(own_shuffling), {"epoch"}),
    "evaluation of other weights": ("dense", EvaluatesOldWeights, {"evaluation"}),
    "TF32": ("dense", ReducedPrecision, {"precision"}),
    **FAULTS,
}


@pytest.mark.parametrize("name", sorted({name for name, _, _ in MUTATIONS.values()}))
def test_every_difference_is_seen(name: str) -> None:
    rows = {row: (make, kinds) for row, (case_name, make, kinds) in MUTATIONS.items() if case_name == name}
    _, model, inputs = model_and_inputs(name)
    found = prove(
        model, inputs, twin("plain", TorchNetwork, model), [twin(row, make, model) for row, (make, _) in rows.items()]
    )
    unseen = {row: kinds - {failure.check for failure in found[row].failures} for row, (_, kinds) in rows.items()}
    assert {row: checks for row, checks in unseen.items() if checks} == {}


def test_training_starts_from_the_initial_weights_and_an_empty_state() -> None:
    _, model, inputs = model_and_inputs("adam")
    seen: list[Arrays] = []

    class Spy(TorchNetwork):
        def train_step(self, *batch: Any) -> float:
            seen.append([*self.get_weights(), *self.get_optimizer_state()])
            return super().train_step(*batch)

    prove(model, inputs, twin("spy", Spy, model), [twin("plain", TorchNetwork, model)])
    for network in (seen[0], seen[1]):  # float32, float64
        for expected, found in zip(inputs.weights, network, strict=False):
            np.testing.assert_array_equal(found, expected)
        assert not any(slot.any() for slot in network[len(inputs.weights) :])


def test_float32_that_is_wrong_once_cannot_excuse_itself() -> None:
    class WrongOnce(TorchNetwork):
        def train_step(self, *batch: Any) -> float:
            loss = super().train_step(*batch)
            if self._dtype == torch.float32 and self._optimizer.iterations == 3:
                self.set_weights([weight + 1 for weight in self.get_weights()])
            return loss

    assert "training" in {failure.check for failure in compared("dense", WrongOnce).failures}


def test_a_failure_names_check_weight_place_expected_and_found() -> None:
    name, make, _ = MUTATIONS["RMSprop: epsilon inside the root"]
    failure = next(each for each in compared(name, make).failures if each.check == "update")
    assert failure.weight in ("embedding/embeddings", "dense/kernel", "dense/bias", "dense_2/kernel", "dense_2/bias")
    text = str(failure)
    assert "expected" in text
    assert "found" in text
    assert failure.weight in text
    assert failure.step == 1
    assert failure.error > failure.allowed


@pytest.mark.parametrize(("explained", "verdict"), [(1.0, "proven"), (1e-9, "not proven"), (0.0, "not proven")])
def test_a_reference_may_lose_as_much_as_its_constants_explain(explained: float, verdict: str) -> None:
    _, model, inputs = model_and_inputs("dense")
    reference = replace(twin("coarse", ReducedPrecision, model), constants=explained)
    assert prove(model, inputs, reference, [twin("plain", TorchNetwork, model)])["plain"].verdict == verdict


def test_a_coarse_reference_does_not_excuse_a_coarse_twin_where_another_is_precise() -> None:
    _, model, inputs = model_and_inputs("dense")
    reference = replace(twin("reference", ReducedPrecision, model), constants=1.0)
    coarse, plain = twin("coarse", ReducedPrecision, model), twin("plain", TorchNetwork, model)
    found = prove(model, inputs, reference, [coarse, plain])
    assert {name: findings.verdict for name, findings in found.items()} == {"coarse": "not proven", "plain": "proven"}


@pytest.mark.slow
def test_keras_2_holds_adams_constants_in_float32(tmp_path: Path) -> None:
    pytest.importorskip("tf_keras")
    code = """
import numpy as np, tensorflow as tf, tf_keras
weight = tf.Variable(np.zeros(3, np.float32))
adam = tf_keras.optimizers.legacy.Adam(1e-3)
adam.apply_gradients([(tf.ones(3), weight)])
print(float(adam.get_slot(weight, "v").numpy()[0]))
"""
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert abs(float(done.stdout) / (1 - 0.999) - 1) == pytest.approx(KERAS_2_ADAM, rel=0.01)


def test_a_reference_that_breaks_a_rule_proves_nobody() -> None:
    _, model, inputs = model_and_inputs("dense")
    broken = twin("broken", with_epoch(unweighted_mean), model)
    found = prove(model, inputs, broken, [twin("plain", TorchNetwork, model)])["plain"]
    assert found.verdict == "not proven"


def test_a_backend_without_float64_is_judged_by_the_references_error() -> None:
    _, model, inputs = model_and_inputs("lstm")
    reference = twin("plain", TorchNetwork, model)
    for make, verdict in ((TorchNetwork, "proven"), (MUTATIONS["LSTM: gate order"][1], "not proven")):
        single = Twin("single", make(model, "generic", "cpu", torch.float32), None)
        assert prove(model, inputs, reference, [single])["single"].verdict == verdict


def test_a_value_that_is_not_a_number_never_passes() -> None:
    class Broken(TorchNetwork):
        def logits(self, x: Any) -> Any:
            return super().logits(x) * math.nan

    assert "forward" in {failure.check for failure in compared("dense", Broken).failures}


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return the module of Keras's networks; what a changed one registers with Keras is forgotten afterwards."""
    pytest.importorskip("tensorflow")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    from bench.backends.keras import network

    registered = network.keras.saving.get_custom_objects()
    kept = dict(registered)
    yield network
    registered.clear()
    registered.update(kept)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", sorted({name for name, _, _ in KERAS_FAULTS.values()} | {"pooling"}))
def test_keras_is_torchs_twin(name: str, keras: Any) -> None:
    def make(model: Model, kernel: str, device: str, dtype: Any) -> Any:
        return keras.KerasNetwork(model, kernel, device, str(dtype).removeprefix("torch."))

    assert compared(name, make).failures == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*does not support masking:UserWarning")
@pytest.mark.parametrize("row", KERAS_FAULTS)
def test_every_fault_of_keras_is_seen(row: str, keras: Any) -> None:
    name, make, kinds = KERAS_FAULTS[row]
    _, model, inputs = model_and_inputs(name)
    kernel = "generic" if model.recurrent else "none"
    changed = Twin("changed", make(model, kernel, "cpu", torch.float32), None)  # in float64 too it takes twice as long
    found = prove(model, inputs, twin("plain", TorchNetwork, model), [changed])["changed"]
    assert kinds <= {failure.check for failure in found.failures}, [str(failure) for failure in found.failures]


ENGINES = ("keras-jax", "keras-torch", "torch-compile")
"""Backends whose optimizers are the code of Keras 3 or of torch, which the others prove."""


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Return a process of each backend."""
    info = backend(request.param)
    if reason := info.missing():
        pytest.skip(reason)
    with Server(info, threads=1) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "protocol"),
    [
        *((name, protocol) for name in ("tf-keras", "keras-tensorflow") for protocol in PROTOCOLS),
        *((name, protocol) for name in ENGINES for protocol in ("momentum", "masked-classes")),
    ],
    indirect=["server"],
)
def test_every_protocol_is_the_same_on_every_backend(protocol: str, server: Server) -> None:
    _, model, inputs = model_and_inputs(protocol)
    kernel: Kernel = "generic" if model.recurrent else "none"
    single, double = (server.network(model, kernel, "cpu", dtype) for dtype in ("float32", "float64"))
    found = prove(model, inputs, twin("plain", TorchNetwork, model), [Twin("other", single, double)])["other"]
    assert [*map(str, found.failures)] == []


# --- inputs ------------------------------------------------------------------------------------------------------


def padding_of(row: np.ndarray[Any, Any]) -> str:
    words = np.flatnonzero(row)
    if not len(words):
        return "everywhere"
    front, behind = words[0] > 0, words[-1] < len(row) - 1
    ends = {(True, True): "both sides", (True, False): "front", (False, True): "behind", (False, False): "none"}
    return "middle" if len(words) <= words[-1] - words[0] else ends[front, behind]


@pytest.mark.parametrize("name", ["masked", "dense", "masked-average"])
@pytest.mark.parametrize("given", [unpadded_rows(), Examples(*rows())], ids=["unpadded", "padded"])
def test_inputs_hold_rows_of_every_padding_whatever_the_data(name: str, given: Examples) -> None:
    declared, model, _ = model_and_inputs(name)
    inputs = inputs_of(declared, model, given)
    everywhere = set() if name == "masked-average" else {"everywhere"}
    partial_batch = inputs.gradients[1].x
    assert len(partial_batch) < model.batch_size
    for x, expected in (
        (inputs.evaluation, everywhere),
        (inputs.gradients[0].x, everywhere),
        (inputs.steps[0].x, everywhere),
        (partial_batch, set()),
    ):
        found = {padding_of(row) for row in x[np.arange(len(x))]}
        assert found >= {"front", "behind", "both sides", "middle", "none", *expected}
        assert name != "masked-average" or "everywhere" not in found
    assert len(inputs.epoch_order) % model.batch_size != 0
    assert not np.array_equal(inputs.epoch_order, np.sort(inputs.epoch_order))
    x, _ = inputs.steps[1].x, inputs.steps[1].y
    assert x.shape == (model.batch_size, LENGTH)


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_short_rows_are_padded_as_far_as_they_have_room(length: int) -> None:
    declared = CASES["masked-average"]
    declared = replace(declared, data=replace(declared.data, maxlen=length))
    inputs = inputs_of(declared, model_of(declared), unpadded_rows(length))
    kinds = {padding_of(row) for row in inputs.gradients[1].x}
    assert "everywhere" not in kinds  # the mean over no step
    assert len(kinds) == {1: 1, 2: 3}.get(length, 5)


@pytest.mark.parametrize("shape", [(6,), (LENGTH, 6)])
def test_inputs_of_numbers_hold_what_training_rows_rarely_do(shape: tuple[int, ...]) -> None:
    declared = case_of_features(shape, LSTM(4) if len(shape) == 2 else Dense(4))
    given = feature_rows(*shape)
    inputs = inputs_of(declared, model_of(declared), given)

    for x in (inputs.evaluation, inputs.gradients[0].x, inputs.steps[0].x, inputs.gradients[1].x):
        zero, negative, large, mixed = np.asarray(x)[:4]
        assert not zero.any()
        assert (negative < 0).all()
        assert large.min() >= 10
        assert (np.abs(mixed) >= 10).all()
        assert {-1, 1} == set(np.sign(mixed).ravel())
        assert np.abs(np.asarray(x)[4]).max() < 10
    assert np.abs(inputs.steps[1].x).max() < 10


@pytest.mark.parametrize(
    ("shape", "layers", "kernel"),
    [
        ((6,), (Dense(5, "relu"), Dropout(0.3)), "none"),
        ((LENGTH, 6), (LSTM(4, recurrent_activation="sigmoid", dropout=0.3),), "fused"),
        ((LENGTH, 6), (Conv1D(4, 3, "tanh"), Bidirectional(GRU(3))), "generic"),
    ],
)
def test_twins_on_numbers_are_proven_and_a_fault_in_them_is_seen(
    shape: tuple[int, ...], layers: tuple[Any, ...], kernel: str
) -> None:
    declared = case_of_features(shape, *layers)
    model = model_of(declared)
    inputs = inputs_of(declared, model, feature_rows(*shape))

    class Clipped(TorchNetwork):
        """Numbers beyond those of the training rows are cut off, as a careless preparation does."""

        def _tensor(self, values: Any) -> Any:
            return super()._tensor(np.clip(values, -8, 8) if values.shape[1:] == shape else values)

    made = [twin("same", TorchNetwork, model, kernel), twin("clipped", Clipped, model, kernel)]
    found = prove(model, inputs, twin("plain", TorchNetwork, model), made)
    assert found["same"].failures == []
    assert {failure.check for failure in found["clipped"].failures} >= {"forward", "gradient"}


def test_multi_hot_rows_stay_multi_hot() -> None:
    declared = case(Dense(6, "relu"), multi_hot=True, optimizer="rmsprop")
    model = model_of(declared)
    ids = np.arange(240, dtype=np.int32) % WORDS
    x = MultiHot(ids, np.arange(0, 241, 2), WORDS)
    y = (np.arange(120) % 2).astype(np.float32)
    inputs = inputs_of(declared, model, Examples(x, y))
    assert isinstance(inputs.evaluation, MultiHot)
    assert not inputs.evaluation[np.array([0])].any()
    np.testing.assert_array_equal(take(x, np.array([5, 3]))[np.arange(2)], x[np.array([5, 3])])
    found = prove(model, inputs, twin("a", TorchNetwork, model), [twin("b", TorchNetwork, model)])
    assert found["b"].failures == []
