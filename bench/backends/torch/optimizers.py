"""Keras's formulas of Adam and RMSprop for torch, over all weights at once (`torch._foreach_*`).

Sources: keras/src/optimizers/adam.py and rmsprop.py (3.15); RMSprop with epsilon outside the root: keras/optimizers.py
(2.3.1), keras/optimizers/optimizer_v2/rmsprop.py (2.10).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

BETA_1, BETA_2, RHO, EPSILON = 0.9, 0.999, 0.9, 1e-7


class _Optimizer:
    """Weights, their learning rate, the number of steps made, and the slots in the order Keras lists them."""

    def __init__(self, weights: list[Tensor], learning_rate: float, slots: int) -> None:
        self._weights, self._rate = weights, learning_rate
        self.iterations = 0
        self.slots = [[torch.zeros_like(weight) for weight in weights] for _ in range(slots)]


class KerasAdam(_Optimizer):
    """w -= lr sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + eps): epsilon is added before the bias correction."""

    def __init__(self, weights: list[Tensor], learning_rate: float) -> None:
        super().__init__(weights, learning_rate, slots=2)
        self.moments, self.velocities = self.slots

    @torch.no_grad()
    def step(self, gradients: list[Tensor]) -> None:
        """Update all weights."""
        self.iterations += 1
        t = self.iterations
        rate = self._rate * math.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        torch._foreach_lerp_(self.moments, gradients, 1 - BETA_1)
        torch._foreach_mul_(self.velocities, BETA_2)
        torch._foreach_addcmul_(self.velocities, gradients, gradients, 1 - BETA_2)
        divisors = torch._foreach_sqrt(self.velocities)
        torch._foreach_add_(divisors, EPSILON)
        torch._foreach_addcdiv_(self._weights, self.moments, divisors, -rate)


class KerasRMSprop(_Optimizer):
    """w -= lr g / (sqrt(v) + eps), "outside" the root (up to Keras 2.10), or lr g / sqrt(v + eps), "inside" (2.11)."""

    def __init__(self, weights: list[Tensor], learning_rate: float, epsilon: Literal["outside", "inside"]) -> None:
        super().__init__(weights, learning_rate, slots=1)
        self._epsilon, (self.velocities,) = epsilon, self.slots

    @torch.no_grad()
    def step(self, gradients: list[Tensor]) -> None:
        """Update all weights."""
        self.iterations += 1
        torch._foreach_mul_(self.velocities, RHO)
        torch._foreach_addcmul_(self.velocities, gradients, gradients, 1 - RHO)
        if self._epsilon == "outside":
            divisors = torch._foreach_sqrt(self.velocities)
            torch._foreach_add_(divisors, EPSILON)
        else:
            divisors = torch._foreach_add(self.velocities, EPSILON)
            torch._foreach_sqrt_(divisors)
        torch._foreach_addcdiv_(self._weights, gradients, divisors, -self._rate)
