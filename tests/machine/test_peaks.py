"""What a machine gives at most is measured by real work of known size."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench.machine import peaks as module
from bench.machine.peaks import Peaks, best, limits, of_cpu


def test_the_fewest_seconds_of_warm_calls_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    durations = iter([9.0, 2.0, 1.0, 3.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])

    def action() -> None:
        now[0] += next(durations)

    assert best(action, seconds=5.0) == 1.0


def test_a_cpu_has_a_peak_and_a_bandwidth_of_this_world() -> None:
    found = of_cpu(threads=2, size=256, copy_bytes=1 << 24)
    # From a tenth of a core of 2005 to a rack of today.
    assert 1e8 < found.flops < 1e15
    assert 1e8 < found.bandwidth < 1e13


def test_torch_on_the_cpu_measures_the_same_way_as_on_a_gpu() -> None:
    pytest.importorskip("torch")
    from bench.machine.gpu_peaks import measure

    found = measure("cpu", size=256, copy_bytes=1 << 22)
    assert 1e8 < found.flops < 1e15
    assert 1e7 < found.bandwidth < 1e13


def test_a_process_that_cannot_measure_gives_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answering = tmp_path / "python"
    answering.write_text(f"#!/bin/sh\necho chatter; echo '{json.dumps([2e9, 1e9])}'\n")
    answering.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(answering))
    assert limits("cpu", 1, {}) == Peaks(2e9, 1e9)
    answering.write_text("#!/bin/sh\nexit 1\n")
    assert limits("cuda", 1, {}) is None
    answering.write_text("#!/bin/sh\necho no numbers\n")
    assert limits("cuda", 1, {}) is None
