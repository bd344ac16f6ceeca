"""What versions of Keras change in one case: from the document's Keras to today's frameworks, stage by stage.

Every stage trains from the same initial weights, order and samples of a seed until a stage leaves them to a framework.
Pure functions on records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import get_args

from bench.backends.registry import backend, differences
from bench.cases.model import recurrent_layers, resolve
from bench.compare.statistics import Estimate, mean_interval
from bench.explain.effects import REFERENCE, EffectVerdict, ScoreOf, verdict
from bench.records.record import Record
from bench.spec import GRU, KERAS_2_11, KERAS_3, LSTM, Case, Kernel, Suite


@dataclass(frozen=True)
class Stage:
    """A version as one backend under one numerics runs it, and what changed since the stage before."""

    backend: str
    numerics: str
    name: str
    changed: str


def stages(suite: Suite, case: Case) -> tuple[Stage, ...]:
    """Return the stages of a case, from its document's Keras on; sources of every change: docs/keras-versions.md."""
    found = [
        Stage("tf-keras", "documented", f"Keras {suite.era.keras}", "the document's"),
        Stage("tf-keras", REFERENCE, f"Keras {KERAS_2_11.keras}", "; ".join(_moved(suite, case)) or "no formula"),
        Stage("keras-tensorflow", REFERENCE, "Keras 3, duplicates summed", "no formula"),
    ]
    model = resolve(suite, case, "native")
    if not KERAS_3.sums_duplicates and "embedding-gradient" in differences(backend("keras-tensorflow"), model):
        unsummed = "duplicate embedding gradients squared before they are summed"
        found.append(Stage("keras-tensorflow", "native:embedding-gradient", "Keras 3", unsummed))
    found += [
        Stage("keras-tensorflow", "native", "Keras 3 as its users write it", "its own initial weights and order"),
        Stage("torch", "native", "PyTorch as its users write it", "PyTorch's defaults"),
    ]
    return tuple(found)


def _moved(suite: Suite, case: Case) -> Iterator[str]:
    """Yield the formulas that changed between the document's Keras and 2.11."""
    if case.training.optimizer == "rmsprop" and suite.era.rmsprop_epsilon != KERAS_2_11.rmsprop_epsilon:
        yield "RMSprop's epsilon inside the root"
    gated = (layer for layer in recurrent_layers(case.layers) if isinstance(layer, LSTM | GRU))
    if suite.era.gates != KERAS_2_11.gates and any(layer.recurrent_activation is None for layer in gated):
        yield "default gates are sigmoids"


@dataclass(frozen=True)
class Step:
    """A stage that has run: accuracies (0 to 1) by seed, and their change from the stage before, pair by pair."""

    stage: Stage
    kernel: Kernel
    accuracies: Mapping[int, float]
    change: Estimate | None

    @property
    def mean(self) -> float:
        """Return the mean accuracy over seeds."""
        return fmean(self.accuracies.values())

    @property
    def verdict(self) -> EffectVerdict | None:
        """Return what can be said of the change; None for the first stage."""
        return verdict(self.change) if self.change else None


def steps(stages: Iterable[Stage], records: Iterable[Record], score: ScoreOf) -> list[Step]:
    """Return the stages that have run, over the seeds that all of these have, so that their changes add up.

    Of several kernels the best one counts. Records are of one device.
    """
    measured: dict[tuple[str, str], dict[Kernel, dict[int, float]]] = {}
    for record in records:
        found = score(record.metrics) if record.status == "ok" and record.metrics else None
        if found is not None:
            kernels = measured.setdefault((record.backend, record.numerics), {})
            kernels.setdefault(record.kernel, {})[record.seed] = found.accuracy
    ran = [
        (stage, min(kernels, key=get_args(Kernel).index))
        for stage in stages
        if (kernels := measured.get((stage.backend, stage.numerics), {}))
    ]
    by_stage = [measured[stage.backend, stage.numerics][kernel] for stage, kernel in ran]
    shared = sorted(set.intersection(*map(set, by_stage))) if by_stage else []
    result: list[Step] = []
    for (stage, kernel), accuracies in zip(ran, by_stage, strict=True):
        if not shared:
            break
        here = {seed: accuracies[seed] for seed in shared}
        before = result[-1].accuracies if result else None
        change = mean_interval([here[seed] - before[seed] for seed in shared]) if before else None
        result.append(Step(stage, kernel, here, change))
    return result
