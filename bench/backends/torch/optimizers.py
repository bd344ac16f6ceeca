"""Keras's optimizers, learning rates and clipping for torch, over all weights at once (`torch._foreach_*`).

Sources: keras/src/optimizers/adam.py, adamw.py, rmsprop.py, sgd.py and base_optimizer.py (3.15); RMSprop with epsilon
outside the root: keras/optimizers.py (2.3.1), keras/optimizers/optimizer_v2/rmsprop.py (2.10).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from bench.cases.model import Clip
from bench.spec import SGD, CosineDecay, ExponentialDecay, PiecewiseConstantDecay, Schedule

BETA_1, BETA_2, RHO, EPSILON = 0.9, 0.999, 0.9, 1e-7


def learning_rate(rate: float | Schedule, step: int) -> float:
    """Return the rate of an optimizer step (from 0), by keras/src/optimizers/schedules/learning_rate_schedule.py."""
    match rate:
        case ExponentialDecay():
            decays = step / rate.decay_steps
            return rate.initial_learning_rate * rate.decay_rate ** (math.floor(decays) if rate.staircase else decays)
        case CosineDecay():
            cosine = 0.5 * (1 + math.cos(math.pi * min(step, rate.decay_steps) / rate.decay_steps))
            return rate.initial_learning_rate * ((1 - rate.alpha) * cosine + rate.alpha)
        case PiecewiseConstantDecay():
            # A boundary is the last step of its rate: Keras compares with <=.
            return rate.values[sum(step > boundary for boundary in rate.boundaries)]
        case _:
            return rate


def clipped(gradients: list[Tensor], how: Clip, limit: float) -> list[Tensor]:
    """Return gradients, one of each of Keras's weights, as its optimizers clip them before anything else."""
    if how == "clipvalue":
        return [gradient.clamp(-limit, limit) for gradient in gradients]
    norms = torch._foreach_norm(gradients)
    if how == "clipnorm":
        return [gradient * (limit / norm.clamp(min=limit)) for gradient, norm in zip(gradients, norms, strict=True)]
    norm = torch.stack(norms).norm()
    # As in Keras, nothing is left of gradients whose norm is not finite.
    factor = limit / norm.clamp(min=limit) + (norm - norm)
    return [gradient * factor for gradient in gradients]


class KerasOptimizer:
    """Weights, their learning rate, the number of steps made, and the slots in the order Keras lists them."""

    def __init__(self, weights: list[Tensor], learning_rate: float | Schedule, slots: int) -> None:
        self._weights, self._rate = weights, learning_rate
        self.iterations = 0
        self.slots = [[torch.zeros_like(weight) for weight in weights] for _ in range(slots)]

    @torch.no_grad()
    def step(self, gradients: list[Tensor]) -> None:
        """Update all weights."""
        rate = learning_rate(self._rate, self.iterations)
        self.iterations += 1
        self.update(gradients, rate)

    def update(self, gradients: list[Tensor], rate: float) -> None:
        """Make the step of number `iterations` (from 1)."""
        raise NotImplementedError


class KerasSGD(KerasOptimizer):
    """w -= lr g; with momentum m = momentum m - lr g, and w += m, or by Nesterov w += momentum m - lr g."""

    def __init__(self, weights: list[Tensor], learning_rate: float | Schedule, declared: SGD) -> None:
        super().__init__(weights, learning_rate, slots=1 if declared.momentum else 0)
        self._declared = declared

    def update(self, gradients: list[Tensor], rate: float) -> None:
        """Update all weights."""
        for moments in self.slots:
            torch._foreach_mul_(moments, self._declared.momentum)
            torch._foreach_add_(moments, gradients, alpha=-rate)
            if not self._declared.nesterov:
                torch._foreach_add_(self._weights, moments)
                return
            torch._foreach_add_(self._weights, moments, alpha=self._declared.momentum)
        torch._foreach_add_(self._weights, gradients, alpha=-rate)


class KerasAdam(KerasOptimizer):
    """w -= lr sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + eps): epsilon is added before the bias correction.

    With a weight decay, AdamW: before that, w -= lr decay w.
    """

    def __init__(self, weights: list[Tensor], learning_rate: float | Schedule, weight_decay: float = 0.0) -> None:
        super().__init__(weights, learning_rate, slots=2)
        self._decay = weight_decay
        self.moments, self.velocities = self.slots

    def update(self, gradients: list[Tensor], rate: float) -> None:
        """Update all weights."""
        t = self.iterations
        if self._decay:
            torch._foreach_add_(self._weights, self._weights, alpha=-rate * self._decay)
        torch._foreach_lerp_(self.moments, gradients, 1 - BETA_1)
        torch._foreach_mul_(self.velocities, BETA_2)
        torch._foreach_addcmul_(self.velocities, gradients, gradients, 1 - BETA_2)
        divisors = torch._foreach_sqrt(self.velocities)
        torch._foreach_add_(divisors, EPSILON)
        rate = rate * math.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        torch._foreach_addcdiv_(self._weights, self.moments, divisors, -rate)


class KerasRMSprop(KerasOptimizer):
    """w -= lr g / (sqrt(v) + eps), "outside" the root (up to Keras 2.10), or lr g / sqrt(v + eps), "inside" (2.11)."""

    def __init__(
        self, weights: list[Tensor], learning_rate: float | Schedule, epsilon: Literal["outside", "inside"]
    ) -> None:
        super().__init__(weights, learning_rate, slots=1)
        self._epsilon, (self.velocities,) = epsilon, self.slots

    def update(self, gradients: list[Tensor], rate: float) -> None:
        """Update all weights."""
        torch._foreach_mul_(self.velocities, RHO)
        torch._foreach_addcmul_(self.velocities, gradients, gradients, 1 - RHO)
        if self._epsilon == "outside":
            divisors = torch._foreach_sqrt(self.velocities)
            torch._foreach_add_(divisors, EPSILON)
        else:
            divisors = torch._foreach_add(self.velocities, EPSILON)
            torch._foreach_sqrt_(divisors)
        torch._foreach_addcdiv_(self._weights, gradients, divisors, -rate)
