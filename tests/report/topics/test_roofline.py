"""How near training is to the machine's limits, from records made by hand."""

from __future__ import annotations

from bench.records.record import Cost
from tests.making import Gather, Maker, name
from tests.report.asking import case, found, suite


def test_the_share_of_the_machine_is_that_of_the_roof(record: Maker, results: Gather) -> None:
    cost = Cost(flops=4e9, bytes=1e9, peak_flops=1e11, bandwidth=1e10)
    timed = record(name("a"), measure="timing", epoch_seconds=[9, 20, 20], steps=100, cost=cost)
    (text,) = found(results([suite(case("a"))], [timed]), "How much of the machine")
    # 4 FLOPs a byte at 10 GB/s allow 40 GFLOP/s; 4 GFLOP in a step of 0.2 s are 20.
    assert text == (
        "On a CPU the backends reach 50 % of the machine's limit: The limit is the copy bandwidth, measured on the "
        "machine. Medians over cases. torch 50 %, most 50 % (demo/a)."
    )
