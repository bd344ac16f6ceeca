"""The noise floor of a machine: what its comparisons of a side with itself call a change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.compare.installations import SIDES
from bench.compare.pairs import PairSet, pair_sets
from bench.compare.sides import Measured
from bench.compare.statistics import SMALLEST_NOISE, fewest_pairs, hodges_lehmann, noise_floor
from bench.compare.verdicts import LOOKS, Policy
from bench.data.randomness import stream
from bench.machine.fingerprint import MACHINE
from bench.records.metrics import metric
from bench.records.store import Store

RELABELLINGS = 100
"""Comparisons of a side with itself that one A/A session of a cell gives."""


def noise_floors(pairs: Iterable[PairSet]) -> dict[str, float]:
    """Return the noise floor of every time and memory in `pairs` of a side with itself, as a relative change.

    Each pair could as well have had its sides exchanged, so a cell's n pairs give many comparisons of the side with
    itself: `RELABELLINGS` of them are drawn, the effect of each is its Hodges-Lehmann estimate, and the floor is the
    95th percentile of their sizes over all cells (`bench.compare.statistics.noise_floor`). It is that of n pairs, as
    are verdicts. A metric of fewer than `SMALLEST_NOISE` pairs, over all cells, has none: `pairs_lacking`.
    """
    floors = {}
    for name, found in _by_metric(pairs).items():
        if _count(found) >= SMALLEST_NOISE:
            effects = []
            for pair in found:
                signs = stream("noise", pair.cell, name).choice([-1.0, 1.0], (RELABELLINGS, pair.complete.sum()))
                effects.append(hodges_lehmann(signs * pair.logarithms).estimate)
            floors[name] = noise_floor(np.concatenate(effects))
    return floors


def pairs_lacking(pairs: Iterable[PairSet]) -> dict[str, int]:
    """Return how many more pairs of a side with itself a noise floor takes, of each time and memory without one."""
    lacking = {name: SMALLEST_NOISE - _count(found) for name, found in _by_metric(pairs).items()}
    return {name: count for name, count in lacking.items() if count > 0}


def _by_metric(pairs: Iterable[PairSet]) -> dict[str, list[PairSet]]:
    """Return the times and memory that have as many pairs as a verdict takes; a cell with fewer tells no noise."""
    fewest = fewest_pairs(Policy().level / LOOKS)
    found: dict[str, list[PairSet]] = {}
    for pair in pairs:
        if metric(pair.quantity).kind in ("time", "memory"):
            usable = found.setdefault(pair.quantity, [])
            if pair.complete.sum() >= fewest:
                usable.append(pair)
    return found


def _count(pairs: Sequence[PairSet]) -> int:
    return sum(int(pair.complete.sum()) for pair in pairs)


def known_noise(store: Store, environment: Mapping[str, Any]) -> dict[str, float]:
    """Return the noise floors that `bench ab --noise` measured last on the machine of `environment`; none: empty.

    A comparison of too few pairs tells none, nor does one of which one side was imported.
    """
    runs = store.runs()
    names = {run.name for run in runs}
    for run in reversed(runs):
        same = all(run.environment.get(field) == environment.get(field) for field in MACHINE)
        if not (same and run.options.get("noise") and run.options["side"] == "base"):
            continue
        base, candidate = (f"{run.options['comparison']}-{side}" for side in SIDES)
        pairs = pair_sets(store.records(base), store.records(candidate)) if names >= {base, candidate} else []
        if floors := noise_floors(pairs):
            return floors
    return {}


def noise_of(side: Measured, store: Path) -> dict[str, float]:
    """Return the noise floors of the machine that a stored side was measured on, where the store knows them."""
    if not store.is_file() or not side.environments:  # a run without a record has none
        return {}
    with Store(store) as opened:
        return known_noise(opened, side.environments[0])
