"""What each difference between the frameworks costs: numerics compared with matched, or other, ones, seed by seed.

Pure functions on records. Every seed gives a pair: the same initial weights, row order and sample choice under both
numerics, except where they are the very difference. An effect is the mean of the pairs' differences with its 95 %
interval, t(.975, n-1) s / sqrt(n) (`bench.compare.statistics.mean_interval`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bench.backends.registry import BackendInfo, differences
from bench.cases.model import DIFFERENCES, Model
from bench.compare.statistics import Estimate, mean_interval
from bench.records import metrics
from bench.records.record import Metrics, Record, Scored
from bench.spec import Device, Kernel

REFERENCE = "matched"
ScoreOf = Callable[[Metrics], Scored | None]
"""Takes from the metrics the score whose accuracy the case documents."""
EffectVerdict = Literal["costs", "gains", "not told from 0", "changes nothing", "one seed"]


@dataclass(frozen=True)
class Quantity:
    """A quantity of one numerics: its mean over seeds, and how far it is from that of the reference, pair by pair.

    `base` is the reference's mean over the seeds of the pairs, `pairs` are the differences, in the order of seeds.
    """

    level: Estimate
    base: Estimate
    change: Estimate
    pairs: tuple[float, ...]


@dataclass(frozen=True)
class Effect:
    """What one numerics changes under one backend; accuracy in points (hundredths), an epoch in seconds."""

    backend: str
    kernel: Kernel
    device: Device
    numerics: str
    accuracy: Quantity
    loss: Quantity
    epoch: Quantity

    @property
    def difference(self) -> str | None:
        """Return the single difference that the numerics switch on, None where they are a whole set."""
        _, _, name = self.numerics.partition(":")
        return name or None

    @property
    def verdict(self) -> EffectVerdict:
        """Return what can be said of its accuracy: its 95 % interval lies below 0, above it, or holds it."""
        if not any(self.accuracy.pairs + self.loss.pairs):
            return "changes nothing"
        if self.accuracy.change.n < 2:
            return "one seed"
        if abs(self.accuracy.change.mean) <= self.accuracy.change.ci_half_width:
            return "not told from 0"
        return "costs" if self.accuracy.change.mean < 0 else "gains"


def numerics_of(info: BackendInfo, model: Model) -> tuple[str, ...]:
    """Return the numerics to compare under a backend: matched, documented, native, and every difference that exists."""
    existing = differences(info, model)
    singles = tuple(f"native:{name}" for name in DIFFERENCES if name in existing)
    return (REFERENCE, "documented", *(("native", *singles) if singles else ()))


def missing_differences(info: BackendInfo, model: Model) -> list[str]:
    """Return the differences that do not exist for a model under a backend."""
    return [name for name in DIFFERENCES if name not in differences(info, model)]


def effects(records: Iterable[Record], score: ScoreOf, reference: str = REFERENCE) -> list[Effect]:
    """Return the effects of a case's numerics, backend by backend, `reference` first, then the largest on accuracy.

    Records that did not end `ok` do not count; numerics without a pair are left out. Numerics that share no kernel with
    the reference (Keras 2's gates have no fused one) are paired with those of another kernel, but for their seconds:
    kernels compute the same.
    """
    measured: dict[tuple[str, Device], dict[str, dict[Kernel, dict[int, Record]]]] = {}
    for record in records:
        if record.status == "ok" and record.metrics and score(record.metrics) is not None:
            by_numerics = measured.setdefault((record.backend, record.device), {})
            by_numerics.setdefault(record.numerics, {}).setdefault(record.kernel, {})[record.seed] = record
    found: list[Effect] = []
    for (backend, device), by_numerics in measured.items():
        base = by_numerics.get(reference, {})
        for chosen, others in base.items():
            together = [
                Effect(
                    backend,
                    kernel,
                    device,
                    numerics,
                    accuracy=_quantity(by_seed, others, lambda record: _figure(record, score, "accuracy")),
                    loss=_quantity(by_seed, others, lambda record: _figure(record, score, "loss")),
                    epoch=_quantity(by_seed, others if chosen == kernel else {}, _epoch),
                )
                for numerics, by_kernel in by_numerics.items()
                for kernel, by_seed in by_kernel.items()
                if _kernel_beside(kernel, by_kernel, base) == chosen
            ]
            paired = [effect for effect in together if effect.accuracy.pairs]
            found += sorted(
                paired, key=lambda effect: (effect.numerics != reference, -abs(effect.accuracy.change.mean))
            )
    return found


def _kernel_beside(kernel: Kernel, by_kernel: Collection[Kernel], base: Collection[Kernel]) -> Kernel | None:
    """Return the kernel of the reference to compare with: the same one, or the best where none ran under both."""
    if kernel in base:
        return kernel
    return None if set(by_kernel) & set(base) else min(base, key=get_args(Kernel).index, default=None)


def _figure(record: Record, score: ScoreOf, name: Literal["accuracy", "loss"]) -> float | None:
    found = score(record.metrics) if record.metrics else None
    if found is None:
        return None
    return 100 * found.accuracy if name == "accuracy" else found.loss


def _epoch(record: Record) -> float | None:
    """Return the seconds of a steady epoch, where the process had no other cell."""
    alone = record.timing is not None and record.timing.alone
    return metrics.value(record, "epoch") if alone else None


def _quantity(
    by_seed: dict[int, Record], reference: dict[int, Record], of: Callable[[Record], float | None]
) -> Quantity:
    values = {seed: value for seed, record in sorted(by_seed.items()) if (value := of(record)) is not None}
    base = {seed: value for seed, record in reference.items() if (value := of(record)) is not None}
    pairs = tuple(value - base[seed] for seed, value in values.items() if seed in base)
    paired = [base[seed] for seed in values if seed in base]
    return Quantity(mean_interval(list(values.values())), mean_interval(paired), mean_interval(pairs), pairs)


# --- sentences ---------------------------------------------------------------------------------------------------


def conclusions(found: Sequence[Effect], figure: str) -> Iterator[str]:
    """Yield what the effects say, in sentences with figures; `figure` names the accuracy (`test`)."""
    by_backend: dict[str, list[Effect]] = {}
    for effect in found:
        by_backend.setdefault(effect.backend, []).append(effect)
    yield from _native_against_native(by_backend, figure)
    for backend, own in by_backend.items():
        others = [effect for effect in own if effect.numerics != REFERENCE]
        told = [effect for effect in others if effect.verdict in ("costs", "gains")]
        if told:
            yield f"{backend}, {figure} accuracy against matched numerics: {'; '.join(map(_told, told))}."
        for verdict, text in (
            ("not told from 0", "not told from 0"),
            ("changes nothing", "no change at all, not in one digit,"),
            ("one seed", "one seed, so no interval,"),
        ):
            names = [effect for effect in others if effect.verdict == verdict]
            if names:
                yield f"{backend}: {text} {_from_seeds(names)}: {', '.join(map(_listed, names))}."
        slower = [effect for effect in others if effect.difference and _slower(effect)]
        if slower:
            yield f"{backend}, seconds of an epoch: {'; '.join(map(_seconds, slower))}."


def _native_against_native(by_backend: dict[str, list[Effect]], figure: str) -> Iterator[str]:
    for numerics, what in (("native", "Each framework as its users write it"), (REFERENCE, "Matched")):
        levels = [
            f"{backend} {effect.accuracy.level.mean:.1f} % (± {effect.accuracy.level.ci_half_width:.1f})"
            for backend, own in by_backend.items()
            for effect in own
            if effect.numerics == numerics and effect.accuracy.level.n > 1
        ]
        if len(levels) > 1:
            yield f"{what}, mean {figure} accuracy: {', '.join(levels)}."


def name(effect: Effect) -> str:
    """Return how a sentence calls the numerics: a single difference by its own name."""
    return f"`{effect.difference or effect.numerics}`"


def _told(effect: Effect) -> str:
    change = effect.accuracy.change
    low, high = sorted((abs(change.mean) - change.ci_half_width, abs(change.mean) + change.ci_half_width))
    return f"{name(effect)} {effect.verdict} {abs(change.mean):.2f} points ({low:.2f} to {high:.2f})"


def _listed(effect: Effect) -> str:
    change = effect.accuracy.change
    if not any(effect.accuracy.pairs):
        return name(effect)
    half = f" ± {change.ci_half_width:.2f}" if math.isfinite(change.ci_half_width) else ""
    return f"{name(effect)} ({round(change.mean, 2) + 0.0:+.2f}{half} points)"  # + 0.0: never -0.00


def _from_seeds(effects: Sequence[Effect]) -> str:
    counts = sorted({effect.accuracy.change.n for effect in effects})
    pairs = f"{counts[0]} to {counts[-1]} pairs" if len(counts) > 1 else f"{counts[0]} pair{'s' * (counts[0] != 1)}"
    return f"in {pairs} of seeds"


def _slower(effect: Effect) -> bool:
    change = effect.epoch.change
    return change.n > 1 and abs(change.mean) > change.ci_half_width


def _seconds(effect: Effect) -> str:
    change = effect.epoch.change
    return f"{name(effect)} {change.mean:+.2f} ± {change.ci_half_width:.2f}"
