"""Whatever falls on cells, workers, the parent or the store: nothing is lost, twice or wrong, and no process left."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faults.soak import OUTSIDE, Soak
from tests.faults.stub.stub import FAULTS


@pytest.mark.slow
@pytest.mark.timeout(1200)  # most of it waits
@pytest.mark.skipif(sys.platform != "linux", reason="guardians are Linux's, and processes are told by /proc")
def test_nothing_is_lost_run_twice_or_wrong(tmp_path: Path) -> None:
    soak = Soak(tmp_path, cells=100, faults=len(FAULTS) + 5, outside=len(OUTSIDE) - 1, seed=0, timeout=5)
    soak.run()
    assert soak.problems == []
    for fault, tally in soak.tallies.items():
        assert (tally.lost, tally.twice, tally.wrong, tally.orphans, tally.other) == (0, 0, 0, 0, []), fault
    assert sum(tally.tried for tally in soak.tallies.values()) >= len(FAULTS) + 5 + 8
    assert soak.flat()["descriptors"] <= 0
