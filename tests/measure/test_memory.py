"""Peaks of memory, against allocations of known size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.measure import memory

MIB = 1 << 20


def allocate(mebibytes: int) -> None:
    np.ones(mebibytes * MIB, np.uint8)


def test_a_known_allocation_is_found_though_it_is_gone() -> None:
    before = memory.host_peak(lambda: None)
    assert 190 * MIB < memory.host_peak(lambda: allocate(200)) - before < 260 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is that since the process began")
def test_what_went_before_does_not_count() -> None:
    large = memory.host_peak(lambda: allocate(300))
    small = memory.host_peak(lambda: allocate(50))
    assert large - small > 200 * MIB
    assert memory.process_peak() >= large, "of the process it was the peak, all the same"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no peak that ends with exec")
def test_the_peak_of_the_process_that_started_this_one_does_not_count() -> None:
    large = np.ones(400 * MIB, np.uint8)
    script = "from bench.measure.memory import process_peak; print(process_peak())"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 5 * MIB < float(child.stdout) < large.nbytes


def test_where_the_peak_cannot_be_set_back_it_is_that_of_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "nowhere")
    large = memory.host_peak(lambda: allocate(300))
    # Linux keeps the count per CPU and adds it up late (proc_pid_status(5), "inaccurate"): two readings differ.
    assert memory.host_peak(lambda: allocate(50)) > large - 200 * MIB
