"""Speed: every backend beside its reference."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report.frames import once
from bench.report.results import KERNELS, Results
from bench.report.speedups import SpeedUp, Times, reference_of, times_of_cases
from bench.report.topic import Topic


@once
def frame(results: Results) -> tuple[SpeedUp, ...]:
    """Return how fast every backend is beside its reference, each with its best kernel: a row per case and variant."""
    rows = []
    for found in times_of_cases(results):
        best = _best_kernels(found)
        for timed in best:
            peers = {peer.variant: peer for peer in best if peer.comparable == timed.comparable}
            reference = reference_of(timed.variant, peers)
            if reference and reference != timed.variant:
                rows.append(SpeedUp.of(peers[reference], timed))
    return tuple(rows)


def _best_kernels(found: Iterable[Times]) -> list[Times]:
    """Return for every backend, device, numerics and kind of record the times of the best kernel that ran."""
    best: dict[tuple[str, str, str, bool], Times] = {}
    for timed in sorted(found, key=lambda timed: KERNELS.index(timed.variant.kernel)):
        variant = timed.variant
        best.setdefault((variant.backend, variant.device, variant.numerics, timed.comparable), timed)
    return list(best.values())


TOPIC = Topic("speed", frame=frame, question="Which backend is faster, and by how much?")
