"""What the timing passes measured, and which numerics stand for a variant, from records made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec import structs

from bench.records.record import Cost, Record, Timing
from bench.report.results import Results
from bench.report.topics import speed, timing
from bench.spec import LSTM, Case, Dense, Embedded, Embedding, RandomRows, Training
from tests.making import Gather, Maker, case, name, suite
from tests.report import demo
from tests.report.reading import Row, marks, notes, only, parsed
from tests.report.stepping import stepped

COST = Cost(flops=6e9, bytes=2e9, peak_flops=100e9, bandwidth=10e9)


def timed(record: Maker, cell: str, step: float = 0.1, latencies: int = 100, **more: Any) -> Record:
    """Return a record whose steps take `step` s but for one pair of windows, and 5 ms each call."""
    steps = [step, step, 1.2 * step, step]
    windows = [
        (count, 0.005 + count * each) for pair, each in enumerate(steps) for count in ((1, 2) if pair % 2 else (2, 1))
    ]
    measured = Timing(
        build=0.1,
        first_epoch=9.0,
        epochs=[4.0, 5.0],
        steps=40,
        total=30.0,
        alone=True,
        first_step=0.9,
        compile=1.5,
        windows=windows,
        step=step,
        cpu_windows=[(count, 2 * seconds) for count, seconds in windows],
        cpu_step=2 * step,
        input=0.002,
        latency=[0.001 * number for number in range(1, latencies + 1)],
        throughput=320.0,
        noise=0.02,
    )
    memory = {"host_peak_bytes": 2e9, "process_peak_bytes": 3e9}
    changes = {"timing": measured, "memory": memory, "cost": COST, "measure": "timing", "status": "ok"}
    return record(cell, **(changes | more))


def tables_of(gathered: Results) -> list[list[Row]]:
    return parsed(timing.table(gathered))


def test_every_figure_is_the_median_over_processes_and_samples_are_put_together(record: Maker, results: Gather) -> None:
    records = [timed(record, name("a"), step, repeat=repeat) for repeat, step in enumerate((0.1, 0.2, 0.4))]
    (row,) = timing.frame(results([suite(case("a"))], records))
    passes = row.passes
    slopes = [factor * step for step in (0.1, 0.2, 0.4) for factor in (1, 1, 1.2, 1)]
    assert (row.step, passes.samples) == (0.2, 12)
    assert passes.quartiles == pytest.approx(tuple(np.quantile(slopes, [0.25, 0.75])))
    assert (passes.first_step, passes.compile, passes.throughput) == (0.9, 1.5, 320.0)
    assert passes.input == pytest.approx(0.01)
    assert passes.latency[50] == pytest.approx(0.0505)
    assert (passes.host_memory, passes.device_memory) == (2e9, None)
    # 6 GFLOP in 0.2 s of 100 GFLOP/s, 2 GB in 0.2 s of 10 GB/s.
    assert (passes.flops_rate, passes.flops_share) == pytest.approx((30e9, 0.3))
    assert (passes.bytes_rate, passes.bytes_share) == pytest.approx((10e9, 1.0))


@pytest.mark.parametrize(("latencies", "known"), [(10, {50}), (20, {50, 95}), (100, {50, 95, 99})])
def test_a_percentile_needs_enough_samples(record: Maker, results: Gather, latencies: int, known: set[int]) -> None:
    (row,) = timing.frame(results([suite(case("a"))], [timed(record, name("a"), latencies=latencies)]))
    assert set(row.passes.latency) == known


def test_the_page_shows_steps_first_then_what_comes_once_then_the_limits(record: Maker, results: Gather) -> None:
    main, start, cost = tables_of(results([suite(case("a"))], [timed(record, name("a"))]))
    step = only(main, case="a")
    assert (step["ms/step"], step["quartiles"], step["samples"]) == ("100", "100–105", "4")
    once = only(start, case="a")
    assert (once["compile"], once["first step"], once["first epoch"], once["cell"]) == ("1.50", "0.900", "9.00", "30.0")
    assert (once["latency ms"], once["95 %"], once["99 %"], once["rows/s"]) == ("50.5", "95.0", "99.0", "320")
    near = only(cost, case="a")
    assert near["CPU ms/step"] == "200"
    assert (near["host MB"], near["input"], near["MFLOP/step"]) == ("2,000", "2.00 %", "6,000")
    assert (near["GFLOP/s"], near["% of peak"], near["GB/s"], near["% of copy"]) == ("60.0", "60.0", "20.0", "200")
    assert "device MB" not in near, "no column without a figure"


def test_records_without_passes_have_the_times_that_they_have(record: Maker, results: Gather) -> None:
    old = record(name("a"), measure="timing", epoch_seconds=[9, 4, 6], steps=40)
    text = timing.table(results([suite(case("a"))], [old]))
    main, start = parsed(text)
    assert (main[0]["ms/step"], main[0]["s/epoch"]) == ("125", "5.00")
    assert "quartiles" not in main[0], "no column without a figure"
    assert start == [{"case": "a", "source": "torch", "first epoch": "9.00", "cell": "19.0"}]
    assert "% of peak" not in text
    assert "CPU ms/step" not in text


def test_the_noise_before_the_runs_is_judged(record: Maker, results: Gather) -> None:
    def said(noise: float) -> str:
        one = timed(record, name("a"))
        assert one.timing
        loud = structs.replace(one, timing=structs.replace(one.timing, noise=noise))
        return timing.table(results([suite(case("a"))], [one, structs.replace(loud, repeat=1)]))

    assert "Quiet machine: 95 % of probes ran at most 2 % longer." in said(0.01)
    assert "Noisy machine: the slowest 5 % of probes ran at least 9 % longer." in said(0.09)


def sources(record: Maker, results: Gather, **steps: float) -> list[str]:
    records = [timed(record, name("a", numerics=numerics), step) for numerics, step in steps.items()]
    return [row["source"] for row in tables_of(results([suite(case("a"))], records))[0]]


def test_native_times_stand_for_matched_ones_that_are_within_five_per_cent(record: Maker, results: Gather) -> None:
    assert sources(record, results, matched=0.104, native=0.1) == ["torch native"]
    assert sources(record, results, matched=0.106, native=0.1) == ["torch native", "torch matched"]
    assert sources(record, results, matched=0.094, native=0.1) == ["torch native", "torch matched"]
    assert sources(record, results, documented=0.1, matched=0.101) == ["torch matched"]
    assert sources(record, results, documented=0.2, matched=0.101, native=0.1) == ["torch native", "torch"]
    assert sources(record, results, documented=0.1) == ["torch"]


def test_times_of_accuracy_runs_and_failures_do_not_stand_for_others(record: Maker, results: Gather) -> None:
    beside = timed(record, name("a"), step=0.3, measure="accuracy")
    failed = record(name("a", numerics="matched"), measure="timing", status="failed", reason="it broke")
    native = timed(record, name("a", numerics="native"))
    rows = tables_of(results([suite(case("a"))], [beside, native, failed]))[0]
    assert [row["ms/step"] for row in rows] == ["100", "failed"]
    assert rows[0]["source"] == "torch native"


def test_samples_of_several_sizes_stand_in_one_line_of_their_network(record: Maker, results: Gather) -> None:
    def sampled(name: str, rows: int) -> Case:
        training = Training("adam", epochs=2, validation=RandomRows(train=rows))
        return case(name, data=Embedded(num_words=50, maxlen=10), training=training)

    declared = suite(case("plain"), sampled("few", 200), sampled("more", 500), sampled("many", 900))
    records = [record(name("few"), test=0.8, epoch_seconds=[2, 1], measure="accuracy")]
    records += stepped(record, name("more"), [0.1, 0.1, 0.1])
    gathered = results([declared], [*records, *stepped(record, name("plain"), [0.2, 0.2, 0.2])])
    rows = tables_of(gathered)[0]
    assert [row["case"] for row in rows] == ["plain", "more"], "the one that was timed alone stands for the others"
    (said,) = [line for line in timing.table(gathered).splitlines() if line.startswith("more ")]
    assert "few, many" in said
    assert [row.case for row in timing.frame(gathered)] == ["plain", "few", "more", "many"]


def test_times_are_medians_of_processes(record: Maker, results: Gather) -> None:
    records = [
        record(name("a"), repeat=r, measure="timing", epoch_seconds=[9, t, t, t + 3], steps=50)
        for r, t in enumerate([2, 3, 4])
    ]
    (row,) = timing.frame(results([suite(case("a"))], records))
    assert (row.column, row.epoch, row.bounds, row.first_epoch) == ("torch", 3, (2, 7), 9)
    assert (row.n, row.epochs, row.step) == (3, 9, pytest.approx(3 / 50))


def test_epochs_beside_other_cells_are_not_shown(record: Maker, results: Gather) -> None:
    def seconds(**changes: Any) -> tuple[float | None, float | None, float | None, float | None]:
        records = [record(name("a"), measure="accuracy", epoch_seconds=[9, 2, 3], **changes)]
        (row,) = timing.frame(results([suite(case("a"))], records))
        return row.epoch, row.step, row.first_epoch, row.total

    assert None not in seconds()
    assert set(seconds(neighbours=1)) == {None}


def test_steps_alone_are_shown_with_their_speed_and_without_columns_of_epochs(record: Maker, results: Gather) -> None:
    records = stepped(record, name("a", "keras-tensorflow"), [0.4, 0.4, 0.41])
    records += stepped(record, name("a"), [0.1, 0.1, 0.101])
    gathered = results([suite(case("a"))], records)
    rows = parsed(timing.table(gathered))[1]
    assert [row["ms/step"] for row in rows] == ["400", "100"]
    assert not {"s/epoch", "range"} & set(rows[0])
    (gain,) = speed.frame(gathered)
    keras, torch = (row["x keras-tensorflow"] for row in rows)
    assert (keras, torch) == ("–", f"{gain.factor:.2f} ({gain.low:.2f}–{gain.high:.2f})")
    assert [row.gain for row in timing.frame(gathered)] == [None, gain]


def test_steps_too_noisy_to_time_are_called_so(record: Maker, results: Gather) -> None:
    records = [*stepped(record, name("a"), [0.1, 0.1, 0.1])[:2], *stepped(record, name("a"), [0, 0, -0.5])[2:]]
    (row,) = tables_of(results([suite(case("a"))], records))[0]
    assert row["ms/step"] == "too noisy"


def test_our_own_loop_is_named(record: Maker, results: Gather) -> None:
    declared = suite(case("a", layers=(Embedding(50, 8), LSTM(4), Dense(1, "sigmoid"))))
    records = [
        one
        for backend in ("torch", "keras-tensorflow")
        for one in stepped(record, name("a", backend, "generic"), [0.1, 0.1, 0.1])
    ]
    rows = tables_of(results([declared], records))[1]
    assert [row["source"] for row in rows] == ["keras-tensorflow generic", "torch generic (our own loop)"]


def test_times_beside_other_work_are_not_comparable_and_have_no_factor(record: Maker, results: Gather) -> None:
    def factors(**changes: Any) -> list[tuple[bool | None, float | None]]:
        records = stepped(record, name("a", "keras-tensorflow"), [4.0, 4.0, 4.0])
        records += [structs.replace(one, **changes) for one in stepped(record, name("a"), [2.0, 2.0, 2.0])]
        rows = timing.frame(results([suite(case("a"))], records))
        return [(row.comparable, row.gain.factor if row.gain else None) for row in rows]

    assert factors() == [(True, None), (True, pytest.approx(2.0))]
    assert factors(measure="accuracy")[1] == (False, None)
    (one, *_) = stepped(record, name("a"), [2.0])
    assert one.timing
    assert factors(timing=structs.replace(one.timing, alone=False))[1] == (False, None)


def test_the_timing_table_holds_documented_and_measured_times_and_their_ratio(full: Results) -> None:
    text = timing.table(full)
    rows = parsed(text)[0]
    printed = only(rows, case="flat", source="documented")
    assert (printed["s/epoch"], printed["ms/step"]) == ("3–5", "4–6")
    keras, torch = (only(rows, case="flat", source=backend) for backend in ("keras-tensorflow", "torch"))
    assert (keras["s/epoch"], keras["range"], keras["k of n"]) == ("6.00", "4.00–8.00", "5 of 5")
    assert only(parsed(text)[1], case="flat", source="keras-tensorflow")["first epoch"] == "9.00"
    assert float(torch["ms/step"]) == pytest.approx(1000 * np.median([2, 3, 4, 5, 6]) / 100)
    assert "Example CPU, 2 cores, no GPU" in text
    assert only(rows, case="lstm", source="keras-tensorflow fused")["ms/step"] == "unavailable"
    assert only(rows, case="idle")["ms/step"] == "not run"


def test_times_of_accuracy_runs_are_marked(record: Maker, results: Gather) -> None:
    records = [record(demo.name("flat", "torch", 0), test=0.7, measure="accuracy", epoch_seconds=[3, 2])]
    gathered = results([demo.SUITE], records)
    text = timing.table(gathered)
    source = only(parsed(text)[0], case="flat", source="torch")["source"]
    assert [notes(text)[number][:19] for number in marks(source)] == ["From accuracy runs:"]


def test_epochs_of_an_accuracy_run_stand_beside_steps_timed_alone_and_are_not_comparable(
    record: Maker, results: Gather
) -> None:
    accuracy = record(name("a"), measure="accuracy", test=0.8, epoch_seconds=[9, 4, 5])
    gathered = results([suite(case("a"))], [accuracy], stepped(record, name("a"), [0.1, 0.1, 0.1]))
    (row,) = timing.frame(gathered)
    assert (row.step, row.epoch, row.n) == (pytest.approx(0.1), 4.5, 3)
    assert (row.comparable, row.epochs_comparable) == (True, False)
