"""The noise floor of a machine: what its comparisons of a side with itself call a change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.compare.installations import SIDES
from bench.compare.pairs import PairSet, pair_sets
from bench.compare.sides import Measured
from bench.compare.statistics import Floats, fewest_pairs, hodges_lehmann, noise_floor
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
    are verdicts.
    """
    effects: dict[str, list[Floats]] = {}
    for pair in pairs:
        if metric(pair.quantity).kind in ("time", "memory") and pair.complete.any():
            signs = stream("noise", pair.cell, pair.quantity).choice([-1.0, 1.0], (RELABELLINGS, pair.complete.sum()))
            effects.setdefault(pair.quantity, []).append(hodges_lehmann(signs * pair.logarithms).estimate)
    return {name: noise_floor(np.concatenate(found)) for name, found in effects.items()}


def known_noise(store: Store, environment: Mapping[str, Any]) -> dict[str, float]:
    """Return the noise floors that `bench ab --noise` measured last on the machine of `environment`; none: empty.

    A cell with fewer pairs than a verdict takes tells none, nor does a comparison of which one side was imported.
    """
    fewest = fewest_pairs(Policy().level / LOOKS)
    runs = store.runs()
    names = {run.name for run in runs}
    for run in reversed(runs):
        same = all(run.environment.get(field) == environment.get(field) for field in MACHINE)
        if same and run.options.get("noise") and run.options["side"] == "base":
            base, candidate = (f"{run.options['comparison']}-{side}" for side in SIDES)
            if names >= {base, candidate}:
                pairs = pair_sets(store.records(base), store.records(candidate))
                if floors := noise_floors(pair for pair in pairs if pair.complete.sum() >= fewest):
                    return floors
    return {}


def noise_of(side: Measured, store: Path) -> dict[str, float]:
    """Return the noise floors of the machine that a stored side was measured on, where the store knows them."""
    if not store.is_file() or not side.environments:  # a run without a record has none
        return {}
    with Store(store) as opened:
        return known_noise(opened, side.environments[0])
