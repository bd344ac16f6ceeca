"""What torch's users write themselves: `torch.optim`, clipping, `BCELoss` on probabilities, `DataLoader`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader, Dataset, TensorDataset

from bench.backends.torch.optimizers import learning_rate
from bench.cases.model import Clip, Model
from bench.data.dataset import Features, Labels, MultiHot, Rows

_SLOTS = {
    "Adam": ("exp_avg", "exp_avg_sq"),
    "AdamW": ("exp_avg", "exp_avg_sq"),
    "RMSprop": ("square_avg",),
    "SGD": ("momentum_buffer",),
}


class TorchOptimizer:
    """An optimizer of `torch.optim`, at the case's learning rate.

    What the case leaves at Keras's default is left at torch's: epsilon 1e-8, alpha 0.99, a weight decay of 0.01.
    The rates of a schedule are Keras's, set by hand: `torch.optim.lr_scheduler` has no `CosineDecay` that stays at its
    end, and its `MultiStepLR` changes one step earlier.
    """

    def __init__(self, weights: list[Tensor], model: Model) -> None:
        self._weights, self._rate, self._clip, self._steps = weights, model.learning_rate, model.clip, 0
        declared = () if isinstance(model.optimizer, str) else fields(model.optimizer)
        values = [(field, getattr(model.optimizer, field.name)) for field in declared]
        options = {field.name: value for field, value in values if value != field.default}
        made: type[torch.optim.Optimizer] = getattr(torch.optim, model.optimizer_name)
        self._optimizer = made(weights, lr=learning_rate(self._rate, 0), **options)  # type: ignore[call-arg]
        self._names = _SLOTS[model.optimizer_name] if model.slots else ()
        for weight in weights:
            # Made here and not by the first step, so that it can be read and loaded before.
            slots = {name: torch.zeros_like(weight) for name in self._names}
            self._optimizer.state[weight] = {"step": torch.zeros(()), **slots}

    @property
    def iterations(self) -> int:
        """Return how many steps were made."""
        return self._steps

    @iterations.setter
    def iterations(self, steps: int) -> None:
        self._steps = steps
        for weight in self._weights:
            self._optimizer.state[weight]["step"].fill_(steps)

    @property
    def slots(self) -> list[list[Tensor]]:
        """Return the slots in the order Keras lists them; SGD's momentum does not hold the learning rate here."""
        return [[self._optimizer.state[weight][name] for weight in self._weights] for name in self._names]

    def step(self, gradients: list[Tensor]) -> None:
        """Update all weights."""
        for weight, gradient in zip(self._weights, gradients, strict=True):
            weight.grad = gradient
        if self._clip:
            clip(self._weights, *self._clip)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self._rate, self._steps)
        self._optimizer.step()
        self._steps += 1


def clip(weights: list[Tensor], how: Clip, limit: float) -> None:
    """Clip the gradients of weights; torch divides by a norm that is 1e-6 larger (torch/nn/utils/clip_grad.py)."""
    if how == "clipvalue":
        clip_grad_value_(weights, limit)
        return
    for together in [weights] if how == "global_clipnorm" else [[weight] for weight in weights]:
        clip_grad_norm_(together, limit)


def probability_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Return `BCELoss` of the sigmoid: what a model that ends in `Dense(1, "sigmoid")` becomes line by line."""
    return binary_cross_entropy(torch.sigmoid(logits), y)


class _MultiHotRows(Dataset[tuple[Tensor, Tensor]]):
    """Rows too wide to be held all at once, made one at a time."""

    def __init__(self, x: MultiHot, y: Tensor, order: Rows) -> None:
        self._x, self._y, self._order = x, y, order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self._x[self._order[place : place + 1]][0]), self._y[place]


def shuffled(x: Features, y: Labels, order: Rows, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of `DataLoader(shuffle=True)` over the rows of `order`, on the CPU, the partial one last."""
    labels = torch.from_numpy(y[order])
    rows: Dataset[Any] = (
        _MultiHotRows(x, labels, order)
        if isinstance(x, MultiHot)
        else TensorDataset(torch.from_numpy(x[order]), labels)
    )
    yield from DataLoader(rows, batch_size, shuffle=True)
