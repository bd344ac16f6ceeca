"""What an exception in a cell means for its record."""

from __future__ import annotations

from io import StringIO
from typing import NoReturn

import pytest

from bench.cases.catalog import Catalog
from bench.cases.cell import Cell, Measure, Status
from bench.errors import DataError, TrainingDiverged, Unavailable
from bench.records.record import SCHEMA_VERSION, Record, json_text, plain
from bench.runner.protocol import PROTOCOL, Recorded, Request, read_answer
from bench.runner.worker import Measurement, _answer, classify, is_glanced_at
from bench.spec import Dense, RandomRows, Training
from tests.making import LAYERS, case, suite


class ResourceExhaustedError(Exception):
    """Stands for TensorFlow's, which is told by its name."""


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Unavailable("no GPU"), "unavailable", "no GPU"),
        (DataError("a.csv, line 3: the label must be 0 or 1"), "failed", "a.csv, line 3: the label must be 0 or 1"),
        (TrainingDiverged("epoch 1, step 2"), "failed", "epoch 1, step 2"),
        (MemoryError("8 GiB"), "out-of-memory", "MemoryError: 8 GiB"),
        (
            ResourceExhaustedError("OOM when allocating\nmore"),
            "out-of-memory",
            "ResourceExhaustedError: OOM when allocating",
        ),
        (
            RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried"),
            "out-of-memory",
            "RuntimeError: [enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            "out-of-memory",
            "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        ),
        (
            RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
            "out-of-memory",
            "RuntimeError: CUDA error: out of memory",
        ),
        (ValueError("wrong\nlong story"), "failed", "ValueError: wrong"),
        (SystemExit(), "failed", "SystemExit"),
    ],
)
def test_an_exception_becomes_a_status_with_a_reason(error: BaseException, status: Status, reason: str) -> None:
    assert classify(error) == (status, reason)


@pytest.mark.parametrize(
    ("name", "glanced"),
    [("first", True), ("again", True), ("sampled", False), ("other-200", True), ("other-500", False)],
)
def test_a_glance_times_an_architecture_on_samples_of_rows_once(name: str, glanced: bool) -> None:
    def sampled(rows: int) -> Training:
        return Training("adam", epochs=1, validation=RandomRows(train=rows))

    other = (*LAYERS[:-1], Dense(2), Dense(1, "sigmoid"))
    cases = [
        case("first"),
        case("again"),
        case("sampled", training=sampled(200)),
        case("other-200", layers=other, training=sampled(200)),
        case("other-500", layers=other, training=sampled(500)),
    ]
    catalog = Catalog({"demo": suite(*cases)}, {}, [])
    assert is_glanced_at(catalog, Cell("demo", name, "torch", "none", "cpu", "documented", 0)) == glanced


def test_torch_tells_of_missing_memory_in_words_that_are_known() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert classify(refused.value)[0] == "out-of-memory"


def test_where_memory_runs_out_a_larger_peak_of_the_passes_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Network:
        def device_peak_bytes(self) -> int:
            return 3_000_000_000

    def runs_out(measurement: Measurement, on_epoch: object) -> None:
        measurement.known["memory"] = {"device_peak_bytes": 5e9, "host_peak_bytes": 1e6, "process_peak_bytes": 1e6}
        measurement._network = Network()  # type: ignore[assignment]
        raise MemoryError("no room")

    monkeypatch.setattr(Measurement, "_measure", runs_out)
    cell = Cell.parse("demo/case@torch,none,cpu,documented#0")
    record = Measurement(Catalog(), cell, request(cell, "all")).record(lambda progress: None)
    assert record.status == "out-of-memory"
    assert record.memory is not None
    assert (record.memory["device_peak_bytes"], record.memory["host_peak_bytes"]) == (5e9, 1e6)
    assert record.memory["process_peak_bytes"] > 1e7


def raising(error: Exception) -> Record:
    """Return the record of a cell that raises an error."""

    class Raising(Catalog):
        def case(self, name: str) -> NoReturn:
            raise error

    cell = Cell("demo", "raising", "torch", "none", "cpu", "documented", 0)
    return Measurement(Raising({}, {}, ()), cell, request(cell, "accuracy")).record(lambda progress: None)


def request(cell: Cell, measure: Measure) -> Request:
    return Request(
        protocol=PROTOCOL, cell=str(cell), repeat=0, profile="quick", measure=measure, suites=[], stand_ins={}
    )


def test_of_a_long_text_a_record_keeps_a_part() -> None:
    record = raising(ValueError("x" * 10_000_000))
    assert record.status == "failed"
    assert len(json_text(plain(record))) < 100_000


def test_an_exception_whose_text_is_no_unicode_reaches_the_parent() -> None:
    answers, content = StringIO(), plain(raising(ValueError("caf\udce9")))
    _answer(answers, {"event": "record", "schema_version": SCHEMA_VERSION, "record": content})
    found = read_answer(answers.getvalue().encode())
    assert isinstance(found, Recorded)
    assert (found.record.status, found.record.reason) == ("failed", "ValueError: caf?")
    assert found.record.failure
    assert found.record.failure.traceback.encode()
