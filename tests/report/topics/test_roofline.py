"""How near training is to the machine's limits, from records made by hand."""

from __future__ import annotations

from bench.records.record import Cost
from bench.report.topics import roofline
from tests.making import Gather, Maker, name
from tests.report.asking import case, suite
from tests.report.stepping import stepped


def test_the_share_of_the_machine_is_that_of_the_roof(record: Maker, results: Gather) -> None:
    cost = Cost(flops=4e9, bytes=1e9, peak_flops=1e11, bandwidth=1e10)
    records = stepped(record, name("a"), [0.2, 0.2, 0.2], cost=cost)
    records += stepped(record, name("b"), [0.4, 0.4, 0.4], cost=cost)
    answer = roofline.answer(results([suite(case("a"), case("b"))], records))
    assert answer
    assert answer.table
    # 4 FLOPs a byte at 10 GB/s allow 40 GFLOP/s; 4 GFLOP in a step of 0.2 s are 20, in one of 0.4 s 10.
    assert answer.table.rows == (("torch", "2", "38 %", "50 %", "demo/a"),)
    assert "38 %" in answer.conclusion


def test_a_step_too_noisy_to_time_has_no_rate(record: Maker, results: Gather) -> None:
    cost = Cost(flops=4e9, bytes=1e9, peak_flops=1e11, bandwidth=1e10)
    gathered = results([suite(case("a"))], stepped(record, name("a"), [-0.2, -0.2, -0.2], cost=cost))
    assert (roofline.frame(gathered), roofline.answer(gathered)) == ((), None)
