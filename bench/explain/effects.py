"""What each framework default costs: numerics compared with matched, or other, ones, seed by seed.

Pure functions on records. Every seed gives a pair: the same initial weights, row order and sample choice under both
numerics, except where they are the very difference. An effect is the mean of the pairs' differences with its 95 %
interval, t(.975, n-1) s / sqrt(n) (`bench.compare.statistics.mean_interval`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from bench.backends.registry import BackendInfo, differences
from bench.cases.model import DIFFERENCES, INITIAL, Model
from bench.compare.statistics import Estimate, mean_interval
from bench.records import metrics
from bench.records.record import Metrics, Record, Scored
from bench.spec import Device, Kernel

REFERENCE = "matched"
ScoreOf = Callable[[Metrics], Scored | None]
"""Takes from the metrics the score whose accuracy the case documents."""
EffectVerdict = Literal["costs", "gains", "no significant effect", "changes nothing", "one seed"]


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
    def verdict(self) -> EffectVerdict:
        """Return what can be said of its accuracy."""
        return verdict(self.accuracy.change) if any(self.accuracy.pairs + self.loss.pairs) else "changes nothing"


def verdict(change: Estimate) -> EffectVerdict:
    """Return what a change of accuracy is: its 95 % interval lies below 0, above it, or holds it."""
    if change.n < 2:
        return "one seed"
    if abs(change.mean) <= change.ci_half_width:
        return "no significant effect"
    return "costs" if change.mean < 0 else "gains"


def is_single(numerics: str) -> bool:
    """Return whether numerics leave one difference to the framework, for which all of `init` counts, too."""
    kind, _, names = numerics.partition(":")
    return kind == "native" and names in ("init", *DIFFERENCES)


def numerics_of(info: BackendInfo, model: Model) -> tuple[str, ...]:
    """Return the numerics to compare under a backend: matched, documented, native, and every difference that exists.

    Initial weights come as a whole and, where layers of several kinds have some, by the kind of layer.
    """
    existing = differences(info, model)
    parts = [name for name in INITIAL if name in existing]
    initial = ["init", *parts] if len(parts) > 1 else ["init"] * len(parts)
    others = [name for name in DIFFERENCES if name in existing - INITIAL.keys()]
    singles = [f"native:{name}" for name in (*initial, *others)]
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
