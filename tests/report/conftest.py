"""The makers of records and results."""

from __future__ import annotations

import pytest

from bench.report.results import Results
from tests.making import Gather, Maker, make_record, make_results
from tests.report.demo import ACCURACIES, HOSTILE, SUITE, name


@pytest.fixture
def record() -> Maker:
    """Return the maker of records."""
    return make_record


@pytest.fixture
def results() -> Gather:
    """Return the maker of results."""
    return make_results


@pytest.fixture
def full(record: Maker, results: Gather) -> Results:
    """Return results of the suite of `demo`: measured, failed, unavailable and not run."""
    records = []
    for backend, accuracies in ACCURACIES.items():
        for seed, accuracy in enumerate(accuracies):
            records.append(
                record(
                    name("flat", backend, seed),
                    test=accuracy,
                    loss=0.5 + seed / 100,
                    val=[0.6, 0.7 + seed / 100],
                    epoch_seconds=[9.0, 2.0 + seed if backend == "torch" else 4.0 + seed],
                    counts=[400, 0, 81],
                )
            )
    broken = f"Traceback\nValueError: {HOSTILE}"
    records += [
        record(name("lstm", "torch", 0, "fused"), test=0.85, val=[0.8, 0.8], counts=[400, 208, 5], stored=629),
        record(
            name("lstm", "torch", 1, "fused"),
            status="failed",
            reason=None,
            traceback=broken,
        ),
        record(name("lstm", "keras-tensorflow", 0, "fused"), status="unavailable", reason="no fused kernel | here"),
    ]
    return results([SUITE], records, seeds=5)
