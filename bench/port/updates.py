"""Optimizers of both sides in one form, their updates in NumPy, and which difference of theirs changes an update.

Formulas: `keras/src/optimizers/{adam,rmsprop,sgd,base_optimizer}.py` of 3.15, `torch/optim/` of 2.13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.port.causes import Told
from bench.port.trace import Array, Steps

KINDS = ("adamw", "adamax", "nadam", "radam", "adam", "rmsprop", "sgd", "adagrad", "adadelta", "lion", "adafactor")
"""Algorithms, by what the names of their classes end with; a subclass of the user's mostly does."""
STEPS = 10
SEEN = 1e-9
"""A change of an update that is smaller, relative, is none."""


@dataclass(frozen=True)
class Optimizer:
    """An optimizer: `keras` says whose formula it is, `coupled` whether its decay is a part of the gradient.

    `epsilons`: those of each step, where the port changes it; empty where it is one. `clip`: kind (`value`, `norm`, of
    all weights, or `norm of each`) and limit.
    """

    kind: str
    keras: bool
    lr: float
    momentum: float = 0.0
    nesterov: bool = False
    decay: tuple[float, ...] = ()
    epsilon: float = 0.0
    epsilons: tuple[float, ...] = ()
    weight_decay: float = 0.0
    coupled: bool = False
    clip: tuple[str, float] | None = None


def of_keras(steps: Steps) -> Optimizer:
    """Return the optimizer that Keras's settings describe."""
    own, clips = steps.settings, {"clipvalue": "value", "global_clipnorm": "norm", "clipnorm": "norm of each"}
    how = _of(steps, True, "beta_1", "beta_2", "rho")
    clip = next(((word, float(own[key])) for key, word in clips.items() if own.get(key)), None)
    return replace(how, epsilon=float(own.get("epsilon") or 0.0), clip=clip)


def of_torch(steps: Steps) -> Optimizer:
    """Return the optimizer that torch's first group of parameters describes, with what clipped the gradients."""
    how, own = _of(steps, False, "alpha", "rho"), steps.settings
    epsilons, clip = tuple(steps.observed["epsilons"]), steps.observed["clip"]
    coupled = steps.optimizer.lower() != "adamw" and not own.get("decoupled_weight_decay") and how.weight_decay > 0
    return replace(
        how,
        decay=tuple(own.get("betas") or how.decay),
        epsilon=epsilons[0] if epsilons else 0.0,
        epsilons=epsilons if len(set(epsilons)) > 1 else (),
        coupled=coupled,
        clip=(clip["kind"], clip["limit"]) if clip else None,
    )


def _of(steps: Steps, keras: bool, *decay: str) -> Optimizer:
    """Return what both frameworks call by the same names, and the decays of these names."""
    own, name = steps.settings, steps.optimizer.lower()
    kind = next((kind for kind in KINDS if name.endswith(kind)), name)
    return Optimizer(
        "adam" if kind == "adamw" else kind,
        keras,
        steps.rates[0] if steps.rates else 0.0,
        float(own.get("momentum") or 0.0),
        bool(own.get("nesterov")),
        tuple(float(own[name]) for name in decay if own.get(name) is not None),
        weight_decay=float(own.get("weight_decay") or 0.0),
    )


def changes(how: Optimizer, gradients: Sequence[Array], weights: Sequence[Array], steps: int) -> list[Array] | None:
    """Return what so many steps with the same gradients change weights by; None for an optimizer unknown here."""
    if how.kind not in ("adam", "rmsprop", "sgd"):
        return None
    clipped = _clipped(how, gradients)
    return [_changed(how, g, w, steps) for g, w in zip(clipped, weights, strict=True)]


def _clipped(how: Optimizer, gradients: Sequence[Array]) -> list[Array]:
    if how.clip is None:
        return list(gradients)
    kind, limit = how.clip
    if kind == "value":
        return [np.clip(g, -limit, limit) for g in gradients]
    norms = [float(np.sqrt((g**2).sum())) for g in gradients]
    if kind == "norm":
        norms = [float(np.sqrt(sum(norm**2 for norm in norms)))] * len(norms)
    return [g * min(1.0, limit / norm) if norm else g for g, norm in zip(gradients, norms, strict=True)]


def _changed(how: Optimizer, gradient: Array, start: Array, steps: int) -> Array:
    w, m, v = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for t in range(1, steps + 1):
        g = gradient
        epsilon = how.epsilons[t - 1] if how.epsilons else how.epsilon
        if how.coupled:
            g = g + how.weight_decay * w
        else:
            w = w - how.lr * how.weight_decay * w
        if how.kind == "sgd":
            m = how.momentum * m + g
            w = w - how.lr * (g + how.momentum * m if how.nesterov else m)
        elif how.kind == "rmsprop":
            v = how.decay[0] * v + (1 - how.decay[0]) * g**2
            step = g / (np.sqrt(v + epsilon) if how.keras else np.sqrt(v) + epsilon)
            m = how.momentum * m + step
            w = w - how.lr * m
        else:
            b1, b2 = how.decay
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            root = np.sqrt(1 - b2**t)
            # Keras adds epsilon before the correction of v, which divides it by `root`.
            under = np.sqrt(v) / root + (epsilon / root if how.keras else epsilon)
            w = w - how.lr * m / (1 - b1**t) / under
    return w - start


def formula(how: Optimizer, gradients: Sequence[Array], weights: Sequence[Array], moved: Sequence[Array]) -> Optimizer:
    """Return an optimizer of the port's by the formula that gives what it was seen to do: torch's, or Keras's own."""
    own = replace(how, keras=True)
    errors = [_distance(changes(each, gradients, weights, 1), moved) for each in (own, how)]
    return own if errors[0] < 0.1 * errors[1] else how


def _distance(found: Sequence[Array] | None, wanted: Sequence[Array]) -> float:
    if found is None:
        return 0.0
    return max((float(np.max(abs(a - b), initial=0)) for a, b in zip(found, wanted, strict=True)), default=0.0)


def causes(keras: Optimizer, torch: Optimizer, gradients: Sequence[Array], weights: Sequence[Array]) -> Iterator[Told]:
    """Yield what differs between two optimizers and changes an update, each by itself."""
    if keras.kind != torch.kind:
        remedy = f"{keras.kind} (lr={keras.lr}, momentum={keras.momentum})"
        yield Told("optimizer-kind", keras.kind, torch.kind or "no torch.optim.Optimizer", remedy)
        return
    base = changes(keras, gradients, weights, STEPS)

    def seen(other: Optimizer) -> bool:
        if base is None:
            return True
        found = changes(other, gradients, weights, STEPS) or []
        return any(
            np.max(abs(a - b), initial=0.0) > SEEN * max(np.max(abs(a), initial=0.0), 1e-300)
            for a, b in zip(base, found, strict=True)
        )

    def words(text: str, value: Callable[[Optimizer], Any]) -> tuple[str, str]:
        return text.format(value(keras)), text.format(value(torch))

    if not np.isclose(keras.lr, torch.lr, rtol=1e-6):
        yield Told("learning-rate", *words("lr {:g}", lambda how: how.lr), f"{keras.lr:g}")
    if keras.decay != torch.decay and len(keras.decay) == len(torch.decay) and seen(replace(keras, decay=torch.decay)):
        sides = words("{}", lambda how: ", ".join(f"{each:g}" for each in how.decay))
        yield Told("optimizer-decay", *sides, f"betas=({sides[0]})" if len(keras.decay) == 2 else f"alpha={sides[0]}")
    if keras.kind == "sgd" and (keras.momentum, keras.nesterov) != (torch.momentum, torch.nesterov):
        sides = words("{}", lambda how: f"momentum={how.momentum:g}, nesterov={how.nesterov}")
        yield Told("optimizer-decay", *sides, f"SGD({sides[0]})")
    other = replace(keras, epsilon=torch.epsilon, epsilons=torch.epsilons, keras=torch.keras)
    if keras.kind in ("adam", "rmsprop") and seen(other):
        yield _epsilon(keras, torch)
    if keras.weight_decay != torch.weight_decay and seen(replace(keras, weight_decay=torch.weight_decay)):
        sides = words("weight decay {:g}", lambda how: how.weight_decay)
        yield Told("weight-decay-value", *sides, f"{keras.weight_decay:g}")
    if torch.coupled and keras.weight_decay > 0 and seen(replace(keras, coupled=True)):
        yield Told("weight-decay-coupled", "beside the gradient", "a part of the gradient", f"{keras.weight_decay:g}")
    if keras.clip != torch.clip and seen(replace(keras, clip=torch.clip)):
        yield _clip(keras.clip, torch.clip)


def _epsilon(keras: Optimizer, torch: Optimizer) -> Told:
    if keras.kind == "rmsprop":
        places = "inside the root", "outside the root"
        remedy = f"eps={np.sqrt(keras.epsilon):.2g} is nearest while the variance is small"
    else:
        places = "before the correction of the variance", "after it"
        first = keras.epsilon / np.sqrt(1 - keras.decay[1])
        remedy = f"Keras's is eps={first:.2g} in step 1, {keras.epsilon:g} later"
    if keras.epsilon != torch.epsilon:
        remedy = f"eps={keras.epsilon:g}; {remedy}"
    words = f"epsilon {keras.epsilon:g} {places[0]}", f"eps {torch.epsilon:g} {places[1]}"
    return Told("optimizer-epsilon", *words, remedy)


def _clip(keras: tuple[str, float] | None, torch: tuple[str, float] | None) -> Told:
    ours, theirs = (f"by {clip[0]}, {clip[1]:g}" if clip else "no clipping" for clip in (keras, torch))
    kind, limit = keras or (torch[0] if torch else "", 0.0)
    if kind == "value":
        return Told("clipping-value", ours, theirs, f"{limit:g}" if keras else "none")
    remedy = f"clip_grad_norm_(parameters, {limit:g})" if keras else "no clip_grad_norm_"
    if kind == "norm of each":
        remedy = f"for p in parameters: clip_grad_norm_([p], {limit:g}), as clipnorm; global_clipnorm is torch's"
    return Told("clipping-norm", ours, theirs, remedy)


def schedule(keras: Sequence[float], torch: Sequence[float]) -> Told | None:
    """Return why the learning rates of the steps differ, None where they do not."""
    if len(keras) != len(torch) or np.allclose(keras, torch, rtol=1e-6):
        return None
    moving = len(set(keras)) > 1
    for offset in range(1, len(keras) - 2) if moving else ():
        for early, late, when in ((torch, keras, "later"), (keras, torch, "earlier")):
            if np.allclose(early[:-offset], late[offset:], rtol=1e-6):
                return Told(
                    "schedule-offset", _rates(keras), f"the same rates, {offset} step{'s' * (offset > 1)} {when}"
                )
    if not moving and len(set(torch)) == 1:
        return Told("learning-rate", f"lr {keras[0]:g}", f"lr {torch[0]:g}", f"{keras[0]:g}")
    return Told("schedule", _rates(keras), _rates(torch), _rates(keras))


def _rates(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values[:4]) + ", ..."
