"""Results that every plot has something to show of."""

from __future__ import annotations

import itertools

import pytest

from bench.records.record import Cost
from bench.report.results import Results
from tests.making import Gather, Maker
from tests.report.plots.demo import SIZES, SUITE, name
from tests.report.stepping import stepped


@pytest.fixture
def full(record: Maker, results: Gather) -> Results:
    """Return results that every plot has something to show of; five architectures lie close together."""
    records = []
    for backend, factor in (("keras-tensorflow", 2.0), ("torch", 1.0)):
        for i, seed in itertools.product(range(5), range(2)):
            accuracy = 0.70 + 0.004 * i + 0.002 * seed
            fields = {
                "test": accuracy,
                "val": [0.6 + seed / 50, accuracy],
                "epoch_seconds": [9, factor * (2 + 0.1 * i)],
            }
            records.append(record(name(f"flat-{i}", backend, seed), **fields))
            records += stepped(record, name(f"flat-{i}", backend, seed), [0.1 * factor, 0.11 * factor])
        for kernel, seconds in (("fused", 1.0), ("generic", 3.0)):
            cost = Cost(flops=4e9, bytes=1e9, peak_flops=1e11, bandwidth=1e10)
            records.append(record(name("lstm", backend, 0, kernel), test=0.8, epoch_seconds=[9, factor * seconds]))
            records += stepped(record, name("lstm", backend, 0, kernel), [0.01 * factor * seconds] * 3, cost=cost)
        numerics = {"matched": 0.8, "native": 0.7, "native:init": 0.75, "native:order": 0.8}
        for (kind, accuracy), seed in itertools.product(numerics.items(), range(2)):
            cell = name("flat-0", backend, seed).replace("documented", kind)
            records.append(record(cell, val=[0.5, accuracy + seed / 100 * (1 + accuracy)]))
        for rows, seed in itertools.product(SIZES, range(2)):
            gain = 0.05 if rows == 20 else -0.09  # beyond the interval of two seeds
            records.append(record(name(f"frozen-{rows}", backend, seed), test=0.6 + gain + seed / 100))
            records.append(record(name(f"learned-{rows}", backend, seed), test=0.6 + seed / 50))
    for seed in range(2):
        records.append(record(name("flat-0", "tf-keras", seed), val=[0.5, 0.82 + seed / 100]))
    return results([SUITE], records, seeds=2)
