"""The flat frame of records."""

from __future__ import annotations

from msgspec import structs

from bench.records import flat
from bench.records.record import Timing
from tests.making import make_record, name


def test_the_flat_frame_has_one_row_per_record_with_end_figures() -> None:
    frame = flat.cells(
        [
            make_record(name("a"), test=0.7, loss=0.6, val=[0.5, 0.55], epoch_seconds=[3, 2], counts=[5]),
            make_record(name("a", seed=1), status="timeout", reason="600 s", data=None),
        ]
    )
    first, second = frame.to_dict("records")
    assert (first["last_test_accuracy"], first["last_test_loss"], first["last_validation_accuracy"]) == (0.7, 0.6, 0.55)
    assert (first["epoch_seconds"], first["parameters_total"], first["epochs_run"]) == (2, 5, 2)
    timing = Timing(build=0, steps=2, total=1, alone=True, step=0.2, cpu_windows=[(1, 0.4), (2, 0.7)], cpu_step=0.3)
    (third,) = flat.cells([structs.replace(make_record(name("a")), timing=timing)]).to_dict("records")
    assert (third["timing_step"], third["timing_cpu_step"]) == (0.2, 0.3)
    assert (second["status"], second["reason"]) == ("timeout", "600 s")
