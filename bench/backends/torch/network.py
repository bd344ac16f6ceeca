"""torch as a backend: its own layers where it has them, Keras's formulas, the harness's weights, order and masks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from bench.backends.base import Arrays, Dtype, EpochResult, Gradients, MaskSource, Trace, counted
from bench.backends.registry import backend, check_kernel
from bench.backends.torch.device import peak_bytes, prepare, synchronize
from bench.backends.torch.layers import GenericRecurrent, RecurrentLayer, Stack, make
from bench.backends.torch.native import TorchOptimizer, probability_loss, shuffled
from bench.backends.torch.optimizers import KerasAdam, KerasOptimizer, KerasRMSprop, KerasSGD, clipped
from bench.backends.torch.trace import trace_steps
from bench.cases.model import INITIAL, Model, leaves_to_framework
from bench.cases.parameters import LayerParameters, Parameters
from bench.data.dataset import Features, Labels, Rows
from bench.spec import SGD, AdamW, Device, Kernel

EVALUATION_ROWS = 1024


class TorchNetwork:
    """A torch model that fulfils `bench.backends.base.Network`."""

    generic: type[RecurrentLayer] = GenericRecurrent
    """What a recurrent layer becomes that is not fused."""

    def __init__(self, model: Model, kernel: Kernel, device: Device, dtype: torch.dtype = torch.float32) -> None:
        self._model = model
        self._device, self._dtype = torch.device(device), dtype
        made = (make(built, kernel, self.generic, model.differences) for built in model.layers)
        self._layers = [layer.to(self._device, dtype) for layer in made]
        self._stack = Stack(self._layers, [len(built.masks) for built in model.layers])
        self._trainable = Stack([layer.trained for layer in self._layers], ())
        self._trained = self._trainable.tensors
        self._optimizer = _optimizer(model, self._trained)
        self._loss = _loss(model)

    def _forward(self, x: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        """Return the logits: (rows,), or (rows, classes)."""
        return self._of_rows(self._stack(x, None, masks)[0])

    def _of_rows(self, logits: Tensor) -> Tensor:
        return logits if self._model.classes else logits[:, 0]

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return self._on_device(torch.from_numpy(np.ascontiguousarray(values)))

    def _on_device(self, tensor: Tensor) -> Tensor:
        tensor = tensor.to(self._device)
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    # --- weights and optimizer state ---------------------------------------------------------------------------

    def parameters(self) -> Parameters:
        """Return the parameter counts of what was really built."""
        layers = []
        for built, layer in zip(self._model.layers, self._layers, strict=True):
            total = sum(tensor.numel() for tensor in layer.tensors)
            trainable = sum(tensor.numel() for tensor in layer.tensors if tensor.requires_grad)
            layers.append(LayerParameters(name=built.name, total=total, trainable=trainable, stored=layer.stored))
        return counted(layers)

    def get_weights(self) -> Arrays:
        """Return all weights in the order and layout of `Model.weights`."""
        return [_numpy(value) for value in self._stack.to_keras(self._stack.tensors)]

    def set_weights(self, weights: Arrays) -> None:
        """Load all weights in the order and layout of `Model.weights`."""
        self._load(self._stack, self._stack.tensors, weights)

    @torch.no_grad()
    def _load(self, layers: Stack, targets: Sequence[Tensor], arrays: Arrays) -> None:
        """Copy arrays in Keras's layout to what belongs to the tensors of these layers."""
        values = layers.from_keras([self._tensor(array) for array in arrays])
        for target, value in zip(targets, values, strict=True):
            target.copy_(value)

    def initialize(self, seed: int) -> None:
        """Seed torch; under native `init` draw the weights as torch's own modules do when they are made.

        All layers draw, whichever keep what they drew: under every part of `init` a layer draws the same.
        """
        torch.manual_seed(seed)
        if not self._model.differences & INITIAL.keys():
            return
        for built, layer in zip(self._model.layers, self._layers, strict=True):
            if all(weight.initializer != "vectors" for weight in built.weights):
                (layer if leaves_to_framework(self._model, built) else copy.deepcopy(layer)).draw()

    def get_optimizer_state(self) -> Arrays:
        """Return [step count], then the slots of every trainable weight in Keras's layout and order."""
        by_slot = [self._to_keras(slot) for slot in self._optimizer.slots]
        slots = [value for values in zip(*by_slot, strict=True) for value in values]
        return [np.array(self._optimizer.iterations, dtype=np.int64), *slots]

    def set_optimizer_state(self, state: Arrays) -> None:
        """Load what `get_optimizer_state` of any backend returned."""
        self._optimizer.iterations = int(state[0])
        slots = self._optimizer.slots
        for number, slot in enumerate(slots):
            self._load(self._trainable, slot, state[1:][number :: len(slots)])

    def _to_keras(self, values: Sequence[Tensor]) -> Arrays:
        """Return values that belong to the trained tensors in Keras's layout."""
        return [_numpy(value) for value in self._trainable.to_keras(values)]

    # --- training ----------------------------------------------------------------------------------------------

    def _step(self, x: Tensor, y: Tensor, masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        logits = self._forward(x, masks)
        loss = self._loss(logits, y)
        self._optimizer.step(self._clipped(list(torch.autograd.grad(loss, self._trained))))
        return loss.detach(), logits.detach()

    def _clipped(self, gradients: list[Tensor]) -> list[Tensor]:
        """Return gradients as Keras clips them; under native `optimizer` torch does so."""
        if not self._model.clip or "optimizer" in self._model.differences:
            return gradients
        # The norms of single weights are those of Keras's: both biases of a GRU are one.
        return self._trainable.from_keras(clipped(self._trainable.to_keras(gradients), *self._model.clip))

    def train_epoch(self, x: Features, y: Labels, order: Rows, masks: MaskSource | None) -> EpochResult:
        """Train one epoch; losses stay on the device until it ends, so that no step waits for another."""
        losses, sizes = [], []
        correct = torch.zeros((), dtype=torch.int64, device=self._device)
        for step, (batch, target) in enumerate(self._batches(x, y, order)):
            drawn = [self._tensor(mask) for mask in masks(step, len(target))] if masks else []
            loss, logits = self._step(batch, target, drawn)
            losses.append(loss)
            sizes.append(len(target))
            correct += (logits.argmax(1) == target if logits.dim() > 1 else (logits > 0) == (target > 0.5)).sum()
        values = torch.stack(losses).double().cpu().numpy()
        bad = np.flatnonzero(~np.isfinite(values))
        return EpochResult(
            loss=float(np.average(values, weights=sizes)),
            accuracy=int(correct) / len(order),
            first_bad_step=int(bad[0]) + 1 if len(bad) else None,
        )

    def _batches(self, x: Features, y: Labels, order: Rows) -> Iterator[tuple[Tensor, Tensor]]:
        if "order" in self._model.differences:
            for batch, target in shuffled(x, y, order, self._model.batch_size):
                yield self._on_device(batch), self._on_device(target)
            return
        labels = self._tensor(y[order])
        # Arrays are gathered once for the whole epoch; multi-hot rows would not fit, they are made batch by batch.
        gathered = None if self._model.input == "multi-hot" else self._tensor(x[order])
        for start in range(0, len(order), self._model.batch_size):
            chosen = slice(start, start + self._model.batch_size)
            yield self._tensor(x[order[chosen]]) if gathered is None else gathered[chosen], labels[chosen]

    def _batch(self, x: NDArray[Any], y: Labels, masks: Arrays | None) -> tuple[Tensor, Tensor, list[Tensor]]:
        return self._tensor(x), self._tensor(y), [self._tensor(mask) for mask in masks or ()]

    def train_step(self, x: NDArray[Any], y: Labels, masks: Arrays | None) -> float:
        """Make one optimizer step; return the loss before it."""
        return float(self._step(*self._batch(x, y, masks))[0])

    def gradients(self, x: NDArray[Any], y: Labels, masks: Arrays | None) -> Gradients:
        """Return logits, loss and gradients of one batch."""
        batch, target, drawn = self._batch(x, y, masks)
        moving = [tensor for layer in self._layers for tensor in layer.moving]
        kept = [tensor.clone() for tensor in moving]
        logits = self._forward(batch, drawn)
        loss = self._loss(logits, target)
        found = torch.autograd.grad(loss, self._trained)
        for tensor, value in zip(moving, kept, strict=True):
            tensor.copy_(value)
        return Gradients(_numpy(logits), float(loss.detach()), self._to_keras(found))

    @torch.inference_mode()
    def logits(self, x: Features) -> NDArray[Any]:
        """Return the logits of all rows."""
        everything = np.arange(len(x), dtype=np.intp)
        with self._evaluating():
            parts = [
                self._forward(self._tensor(x[everything[start : start + EVALUATION_ROWS]]))
                for start in range(0, len(x), EVALUATION_ROWS)
            ]
        return _numpy(torch.cat(parts))

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Have our layers evaluate; what they hold of torch's own stays as it is, as it drops nothing."""

        def switch(training: bool) -> None:
            for layer in self._layers:
                layer.training = training

        switch(training=False)
        try:
            yield
        finally:
            switch(training=True)

    def synchronize(self) -> None:
        """Wait for the device."""
        synchronize()

    def device_peak_bytes(self) -> int | None:
        """Return the most bytes of tensors on the GPU since the last call; None on a CPU."""
        return peak_bytes() if self._device.type == "cuda" else None

    def trace(self, x: NDArray[Any], y: Labels, masks: Arrays | None, steps: int) -> Trace:
        """Make `steps` optimizer steps under torch.profiler."""
        batch = self._batch(x, y, masks)
        return trace_steps(lambda: self._step(*batch), steps, self._device)


def _optimizer(model: Model, trained: list[nn.Parameter]) -> KerasOptimizer | TorchOptimizer:
    weights: list[Tensor] = list(trained)
    if "optimizer" in model.differences:
        return TorchOptimizer(weights, model)
    match model.optimizer:
        case "adam":
            return KerasAdam(weights, model.learning_rate)
        case "rmsprop":
            return KerasRMSprop(weights, model.learning_rate, model.rmsprop_epsilon)
        case SGD() as declared:
            return KerasSGD(weights, model.learning_rate, declared)
        case AdamW(weight_decay=decay):
            return KerasAdam(weights, model.learning_rate, decay)


def _loss(model: Model) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the mean loss of logits and labels; torch's users write `CrossEntropyLoss` on logits too."""
    if model.classes:
        return lambda logits, y: cross_entropy(logits, y.long())
    return probability_loss if "loss" in model.differences else binary_cross_entropy_with_logits


def _numpy(value: Tensor) -> NDArray[Any]:
    return np.array(value.detach().cpu().numpy(), order="C")


def build(model: Model, kernel: Kernel, device: Device, dtype: Dtype = "float32") -> TorchNetwork:
    """Return a torch model; raise `Unavailable` when the device or kernel is missing."""
    check_kernel(backend("torch"), model, kernel, device)
    prepare(device, model.differences)
    return TorchNetwork(model, kernel, device, getattr(torch, dtype))
