"""What torch's users write themselves: `torch.optim`, `BCELoss` on probabilities, `DataLoader`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy
from torch.utils.data import DataLoader, Dataset, TensorDataset

from bench.backends.base import Floats
from bench.data.dataset import Features, MultiHot, Rows


class TorchOptimizer:
    """`torch.optim.Adam` or `RMSprop` with torch's own epsilon 1e-8 and alpha 0.99, at the case's learning rate."""

    def __init__(self, weights: list[Tensor], kind: Literal["adam", "rmsprop"], learning_rate: float) -> None:
        self._weights = weights
        made = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}[kind]
        self._optimizer: torch.optim.Optimizer = made(weights, learning_rate)
        self._names = ("exp_avg", "exp_avg_sq") if kind == "adam" else ("square_avg",)
        for weight in weights:
            # Made here and not by the first step, so that it can be read and loaded before.
            slots = {name: torch.zeros_like(weight) for name in self._names}
            self._optimizer.state[weight] = {"step": torch.zeros(()), **slots}

    @property
    def iterations(self) -> int:
        """Return how many steps were made."""
        return int(self._optimizer.state[self._weights[0]]["step"])

    @iterations.setter
    def iterations(self, steps: int) -> None:
        for weight in self._weights:
            self._optimizer.state[weight]["step"].fill_(steps)

    @property
    def slots(self) -> list[list[Tensor]]:
        """Return the slots in the order Keras lists them: of Adam m and v, of RMSprop v."""
        return [[self._optimizer.state[weight][name] for weight in self._weights] for name in self._names]

    def step(self, gradients: list[Tensor]) -> None:
        """Update all weights."""
        for weight, gradient in zip(self._weights, gradients, strict=True):
            weight.grad = gradient
        self._optimizer.step()


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


def shuffled(x: Features, y: Floats, order: Rows, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of `DataLoader(shuffle=True)` over the rows of `order`, on the CPU, the partial one last."""
    labels = torch.from_numpy(y[order])
    rows: Dataset[Any] = (
        _MultiHotRows(x, labels, order)
        if isinstance(x, MultiHot)
        else TensorDataset(torch.from_numpy(x[order]), labels)
    )
    yield from DataLoader(rows, batch_size, shuffle=True)
