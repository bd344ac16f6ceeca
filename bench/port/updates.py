"""Optimizers of both sides in one form, their updates in NumPy, and which difference of theirs changes an update.

Formulas: `keras/src/optimizers/{adam,rmsprop,sgd,base_optimizer}.py` of 3.15, `torch/optim/` of 2.13.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from bench.port.causes import Told
from bench.port.trace import Array, Steps

KINDS = {
    "adam": "adam", "adamw": "adam", "rmsprop": "rmsprop", "sgd": "sgd", "adamax": "adamax", "nadam": "nadam",
    "adagrad": "adagrad", "adadelta": "adadelta", "radam": "radam", "lion": "lion", "adafactor": "adafactor",
}  # fmt: skip
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
    amsgrad: bool = False
    clip: tuple[str, float] | None = None


def of_keras(steps: Steps) -> Optimizer:
    """Return the optimizer that Keras's settings describe."""
    own, kind = steps.settings, KINDS.get(steps.optimizer.lower(), steps.optimizer.lower())
    clips = {"clipvalue": "value", "global_clipnorm": "norm", "clipnorm": "norm of each"}
    clip = next(((word, float(own[key])) for key, word in clips.items() if own.get(key)), None)
    return Optimizer(
        kind,
        True,
        steps.rates[0],
        float(own.get("momentum") or 0.0),
        bool(own.get("nesterov")),
        _decay(own, "beta_1", "beta_2", "rho"),
        float(own.get("epsilon") or 0.0),
        (),
        float(own.get("weight_decay") or 0.0),
        False,
        bool(own.get("amsgrad")),
        clip,
    )


def of_torch(steps: Steps) -> Optimizer:
    """Return the optimizer that torch's first group of parameters describes, with what clipped the gradients."""
    own, name = steps.settings, steps.optimizer.lower()
    # A subclass of the user's mostly ends with the name of what it is.
    kind = KINDS.get(name) or next((kind for word, kind in KINDS.items() if name.endswith(word)), name)
    epsilons = tuple(steps.observed.get("epsilons") or ())
    betas = tuple(own.get("betas") or ())
    clips = steps.observed.get("clips") or []
    return Optimizer(
        kind,
        False,
        steps.rates[0] if steps.rates else 0.0,
        float(own.get("momentum") or 0.0),
        bool(own.get("nesterov")),
        betas or _decay(own, "alpha", "rho"),
        epsilons[0] if epsilons else 0.0,
        epsilons if len(set(epsilons)) > 1 else (),
        float(own.get("weight_decay") or 0.0),
        name != "adamw" and not own.get("decoupled_weight_decay") and bool(own.get("weight_decay")),
        bool(own.get("amsgrad")),
        (clips[0]["kind"], clips[0]["limit"]) if clips else None,
    )


def _decay(own: dict[str, Any], *names: str) -> tuple[float, ...]:
    return tuple(float(own[name]) for name in names if own.get(name) is not None)


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
    if _distance(changes(own, gradients, weights, 1), moved) < 0.1 * _distance(
        changes(how, gradients, weights, 1), moved
    ):
        return own
    return how


def _distance(found: Sequence[Array] | None, wanted: Sequence[Array]) -> float:
    if found is None:
        return 0.0
    return max((float(np.max(abs(a - b), initial=0)) for a, b in zip(found, wanted, strict=True)), default=0.0)


def causes(keras: Optimizer, torch: Optimizer, gradients: Sequence[Array], weights: Sequence[Array]) -> Iterator[Told]:
    """Yield what differs between two optimizers and changes an update, each by itself."""
    if keras.kind != torch.kind:
        yield Told("optimizer-kind", keras.kind, torch.kind or "no torch.optim.Optimizer", _constructor(keras))
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

    if keras.lr != torch.lr and not np.isclose(keras.lr, torch.lr, rtol=1e-6):
        yield Told("learning-rate", f"lr {keras.lr:g}", f"lr {torch.lr:g}", f"{keras.lr:g}")
    if keras.decay != torch.decay and len(keras.decay) == len(torch.decay) and seen(replace(keras, decay=torch.decay)):
        words = [", ".join(f"{each:g}" for each in side.decay) for side in (keras, torch)]
        name = "betas=({})" if len(keras.decay) == 2 else "alpha={}"
        yield Told("optimizer-decay", words[0], words[1], name.format(words[0]))
    if keras.kind == "sgd" and (keras.momentum, keras.nesterov) != (torch.momentum, torch.nesterov):
        words = [f"momentum {side.momentum:g}, nesterov {side.nesterov}" for side in (keras, torch)]
        yield Told(
            "optimizer-decay", words[0], words[1], f"SGD(momentum={keras.momentum:g}, nesterov={keras.nesterov})"
        )
    other = replace(keras, epsilon=torch.epsilon, epsilons=torch.epsilons, keras=torch.keras)
    if keras.kind in ("adam", "rmsprop") and seen(other):
        yield _epsilon(keras, torch)
    if keras.weight_decay != torch.weight_decay and seen(replace(keras, weight_decay=torch.weight_decay)):
        words = [f"weight decay {side.weight_decay:g}" for side in (keras, torch)]
        yield Told("weight-decay-value", words[0], words[1], f"{keras.weight_decay:g}")
    coupled = torch.coupled and keras.weight_decay > 0
    if coupled and seen(replace(keras, coupled=True)):
        yield Told("weight-decay-coupled", "beside the gradient", "a part of the gradient", f"{keras.weight_decay:g}")
    if keras.clip != torch.clip and seen(replace(keras, clip=torch.clip)):
        yield _clip(keras.clip, torch.clip)


def _epsilon(keras: Optimizer, torch: Optimizer) -> Told:
    inside = "inside the root" if keras.kind == "rmsprop" else "before the correction of the variance"
    outside = "outside the root" if keras.kind == "rmsprop" else "after it"
    same = keras.epsilon == torch.epsilon
    remedy = (
        f"eps={np.sqrt(keras.epsilon):.2g} is nearest while the variance is small" if keras.kind == "rmsprop"
        else f"Keras's is eps={keras.epsilon / np.sqrt(1 - keras.decay[1]):.2g} in step 1, {keras.epsilon:g} later"
    )  # fmt: skip
    return Told(
        "optimizer-epsilon",
        f"epsilon {keras.epsilon:g} {inside}",
        f"eps {torch.epsilon:g} {outside}",
        (f"eps={keras.epsilon:g}; " if not same else "") + remedy,
    )


def _clip(keras: tuple[str, float] | None, torch: tuple[str, float] | None) -> Told:
    words = [f"by {clip[0]}, {clip[1]:g}" if clip else "no clipping" for clip in (keras, torch)]
    if (keras and keras[0] == "value") or (not keras and torch and torch[0] == "value"):
        return Told("clipping-value", words[0], words[1], f"{keras[1]:g}" if keras else "none")
    remedy = "no clip_grad_norm_" if not keras else f"clip_grad_norm_(parameters, {keras[1]:g})"
    if keras and keras[0] == "norm of each":
        remedy = f"for p in parameters: clip_grad_norm_([p], {keras[1]:g}), as clipnorm; global_clipnorm is torch's"
    return Told("clipping-norm", words[0], words[1], remedy)


def _constructor(how: Optimizer) -> str:
    values = [f"{each.name}={getattr(how, each.name)}" for each in fields(how) if each.name in ("lr", "momentum")]
    return f"{how.kind} ({', '.join(values)})"


def schedule(keras: Sequence[float], torch: Sequence[float]) -> Told | None:
    """Return why the learning rates of the steps differ, None where they do not."""
    if len(keras) != len(torch) or np.allclose(keras, torch, rtol=1e-6):
        return None
    for offset in range(1, len(keras) - 2):
        for early, late, words in ((torch, keras, "earlier"), (keras, torch, "later")):
            moving = len(set(keras)) > 1
            if moving and np.allclose(early[: len(early) - offset], late[offset:], rtol=1e-6):
                theirs = (
                    f"the same rates, {offset} step{'s' * (offset > 1)} {'later' if words == 'earlier' else 'earlier'}"
                )
                return Told("schedule-offset", _rates(keras), theirs)
    if len(set(keras)) == 1 and len(set(torch)) == 1:
        return Told("learning-rate", f"lr {keras[0]:g}", f"lr {torch[0]:g}", f"{keras[0]:g}")
    return Told("schedule", _rates(keras), _rates(torch), _rates(keras))


def _rates(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values[:4]) + ", ..."
