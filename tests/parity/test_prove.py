"""Every known difference between the frameworks (docs/numerics.md) switched on, and the check that must see it.

The reference is the torch backend as it is; the twin is the same with one difference. What is no difference must pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from bench.backends.base import Arrays, EpochResult
from bench.cases.model import Model
from bench.data.dataset import Examples, MultiHot, take
from bench.parity.inputs import Probe, probe
from bench.parity.proof import Check
from bench.parity.prove import Findings, Twin, prove
from bench.spec import (
    GRU,
    KERAS_3,
    LSTM,
    Bidirectional,
    Case,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalMaxPooling1D,
    SimpleRNN,
)
from tests.networks import LENGTH, WORDS, case, experiment_of, inputs_of, model_of

torch = pytest.importorskip("torch")

from bench.backends.torch import layers, optimizers  # noqa: E402
from bench.backends.torch.network import TorchNetwork  # noqa: E402

PLAIN, MASKED = Embedding(WORDS, 5), Embedding(WORDS, 5, mask_zero=True)
CASES = {
    "dense": case(PLAIN, Flatten(), Dense(6, "tanh"), optimizer="rmsprop"),
    "adam": case(PLAIN, Flatten(), Dense(6, "tanh")),
    "convolution": case(PLAIN, Conv1D(4, 3, "tanh"), GlobalMaxPooling1D()),
    "lstm": case(PLAIN, LSTM(6, recurrent_activation="sigmoid")),
    "lstm-keras2": case(PLAIN, LSTM(6)),
    "gru": case(PLAIN, GRU(6, recurrent_activation="sigmoid")),
    "gru-before": case(PLAIN, GRU(6, reset_after=False)),
    "birnn": case(PLAIN, Bidirectional(SimpleRNN(6))),
    "masked": case(MASKED, LSTM(6)),
    "dropout": case(MASKED, Dropout(0.3), LSTM(6, dropout=0.3, recurrent_dropout=0.3)),
    "input-dropout": case(PLAIN, LSTM(6, dropout=0.3, recurrent_activation="sigmoid")),
}


@cache
def model_and_inputs(name: str) -> tuple[Case, Model, Probe]:
    declared = CASES[name]
    model = model_of(declared)
    return declared, model, inputs_of(declared, model)


def twin(name: str, make: Callable[..., Any], model: Model, kernel: str = "") -> Twin:
    chosen = kernel or ("generic" if model.recurrent else "none")
    return Twin(name, *(make(model, chosen, "cpu", dtype) for dtype in (torch.float32, torch.float64)))


def compared(name: str, make: Callable[..., Any], kernel: str = "") -> Findings:
    _, model, inputs = model_and_inputs(name)
    return prove(model, inputs, twin("plain", TorchNetwork, model), [twin("changed", make, model, kernel)])["changed"]


# --- what is no difference ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_network_is_its_own_twin(name: str) -> None:
    found = compared(name, TorchNetwork)
    assert found.failures == []
    assert set(found.errors) >= {"parameters", "forward", "gradient", "update", "training", "epoch", "evaluation"}


@pytest.mark.parametrize("name", ["lstm", "gru", "birnn", "input-dropout"])
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


CASES["frozen"] = case(Embedding(WORDS, 5, trainable=False), Flatten(), Dense(6, "tanh"))

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
    "dropout of the inputs missing": ("input-dropout", with_masks(no_mask(0)), {"gradient", "training"}),
    "accuracy at a threshold of .5": ("dense", with_epoch(threshold_of_a_half), {"epoch"}),
    "partial batch dropped": ("dense", with_epoch(drops_the_partial_batch), {"epoch"}),
    "mean over batches": ("dense", with_epoch(unweighted_mean), {"epoch"}),
    "own shuffling": ("dense", with_epoch(own_shuffling), {"epoch"}),
    "evaluation of other weights": ("dense", EvaluatesOldWeights, {"evaluation"}),
    "TF32": ("dense", ReducedPrecision, {"precision"}),
}


@pytest.mark.parametrize("row", MUTATIONS)
def test_every_difference_is_seen(row: str) -> None:
    name, make, kinds = MUTATIONS[row]
    found = compared(name, make)
    assert found.verdict == "not proven"
    assert kinds <= {failure.check for failure in found.failures}, [str(failure) for failure in found.failures]


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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_keras_is_torchs_twin_and_its_sparse_gradients_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    from bench.backends.keras import network, tensorflow

    declared, _, _ = model_and_inputs("dense")
    model = model_of(declared, KERAS_3)  # Keras's own RMSprop, which takes sparse gradients as they come
    inputs = inputs_of(declared, model)
    reference = twin("torch", TorchNetwork, model)
    networks = [network.KerasNetwork(model, "none", "cpu", dtype) for dtype in ("float32", "float64")]
    assert prove(model, inputs, reference, [Twin("keras", *networks)])["keras"].failures == []
    monkeypatch.setattr(tensorflow.DenseGradients, "apply", network.keras.optimizers.Optimizer.apply)
    sparse = [network.KerasNetwork(model, "none", "cpu", dtype) for dtype in ("float32", "float64")]
    failures = prove(model, inputs, reference, [Twin("sparse", *sparse)])["sparse"].failures
    assert {failure.check for failure in failures} >= {"update", "training"}


# --- inputs ------------------------------------------------------------------------------------------------------


def test_inputs_hold_an_all_padding_row_a_full_row_and_a_partial_batch() -> None:
    _, model, inputs = model_and_inputs("masked")
    for x in (inputs.evaluation, inputs.gradients[0].x, inputs.steps[0].x):
        values = x[np.arange(len(x))]
        assert not values[0].any()
        assert values[-1].all()
    assert len(inputs.gradients[1].x) < model.batch_size
    assert len(inputs.epoch_order) % model.batch_size != 0
    assert not np.array_equal(inputs.epoch_order, np.sort(inputs.epoch_order))
    x, _ = inputs.steps[1].x, inputs.steps[1].y
    assert x.shape == (model.batch_size, LENGTH)


def test_multi_hot_rows_stay_multi_hot() -> None:
    declared = case(Dense(6, "relu"), multi_hot=True, optimizer="rmsprop")
    model = model_of(declared)
    ids = np.arange(240, dtype=np.int32) % WORDS
    x = MultiHot(ids, np.arange(0, 241, 2), WORDS)
    y = (np.arange(120) % 2).astype(np.float32)
    inputs = probe(experiment_of(declared, model, Examples(x, y)), short=True)
    assert isinstance(inputs.evaluation, MultiHot)
    assert not inputs.evaluation[np.array([0])].any()
    np.testing.assert_array_equal(take(x, np.array([5, 3]))[np.arange(2)], x[np.array([5, 3])])
    found = prove(model, inputs, twin("a", TorchNetwork, model), [twin("b", TorchNetwork, model)])
    assert found["b"].failures == []
