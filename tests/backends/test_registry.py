"""What stands in a backend's entry is all that the runner and the reports know of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.backends import registry
from bench.backends.registry import BACKENDS, BackendInfo
from bench.cases.model import resolve
from bench.machine.fingerprint import packages
from bench.machine.processes import thread_environment
from bench.report.frames import reference_order
from bench.report.style import colour, marker
from bench.runner.estimates import rough_seconds
from bench.runner.worker import classify
from bench.spec import KERAS_3, LSTM, Case, Dense, Embedded, Embedding, Suite, Training

PLAIN = BackendInfo("plain", "nowhere", (), "plain")
TOLD = BackendInfo(
    "told",
    "nowhere",
    ("no-such-distribution|pytest",),
    "told",
    start=(106.0, 51.5),
    slow_loop=3.0,
    threads=("TOLD_THREADS",),
    out_of_memory=("the cupboard is bare",),
    colour="#123456",
    marker="*",
    reference=7,
)
CASE = Case(
    "lstm",
    data=Embedded(num_words=20, maxlen=4),
    layers=(Embedding(20, 2), LSTM(3), Dense(1, "sigmoid")),
    training=Training("adam", epochs=1),
)
MODEL = resolve(Suite("ours", document="none", title="Cases", era=KERAS_3, cases=(CASE,)), CASE, "matched")


@pytest.fixture(params=[PLAIN, TOLD], ids=["plain", "told"])
def info(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackendInfo]:
    added: BackendInfo = request.param
    monkeypatch.setitem(BACKENDS, added.name, added)
    registry.backends.cache_clear()
    yield added
    registry.backends.cache_clear()


def test_the_runner_and_the_reports_know_a_backend_by_its_entry(info: BackendInfo) -> None:
    told = info is TOLD
    assert (thread_environment(3).get("TOLD_THREADS") == "3") is told
    assert classify(RuntimeError("the cupboard is bare"))[0] == ("out-of-memory" if told else "failed")
    assert ("pytest" in packages()) is told
    assert reference_order(info.name) == (7 if told else None)
    if told:
        assert (colour("told @ cuda", "light"), marker("told @ cuda")) == ("#123456", "*")
    else:
        assert colour("plain", "light") not in {known.colour for known in BACKENDS.values()}
        assert marker("plain") not in {known.marker for known in BACKENDS.values()}


def test_its_start_and_its_loop_are_in_the_seconds_that_are_foretold() -> None:
    def seconds(info: BackendInfo, *, shared: bool) -> float:
        return rough_seconds(info, CASE, MODEL, shared=shared)

    assert seconds(TOLD, shared=False) - seconds(TOLD, shared=True) == pytest.approx(106.0 - 51.5)
    assert seconds(PLAIN, shared=False) - seconds(PLAIN, shared=True) == pytest.approx(6.0 - 1.5)
    assert seconds(TOLD, shared=True) - 51.5 > seconds(PLAIN, shared=True) - 1.5


def test_a_name_that_no_installed_distribution_has_is_drawn_and_never_set_against() -> None:
    assert colour("gone", "light").startswith("#")
    assert marker("gone")
    assert reference_order("gone") is None


def test_backends_are_told_apart_and_have_one_place_each() -> None:
    looks = [(info.colour, info.marker) for info in BACKENDS.values()]
    assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == len(looks)
    places = [info.reference for info in BACKENDS.values() if info.reference is not None]
    assert sorted(places) == list(range(len(places)))


def test_entry_points_that_leave_or_take_a_name_of_ours_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "another_torch.py").write_text(
        "from bench.backends.registry import BackendInfo\nINFO = BackendInfo('torch', 'nowhere', (), 'torch')\n"
    )
    (tmp_path / "leaving.py").write_text("raise SystemExit(9)\n")
    (tmp_path / "wrong-1.dist-info").mkdir()
    (tmp_path / "wrong-1.dist-info" / "METADATA").write_text("Name: wrong\nVersion: 1\n")
    (tmp_path / "wrong-1.dist-info" / "entry_points.txt").write_text(
        "[twinbench.backends]\nother = another_torch:INFO\nleaves = leaving:INFO\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry.backends.cache_clear()
    try:
        found = registry.backends()
    finally:
        registry.backends.cache_clear()
    assert found["torch"] is BACKENDS["torch"]
    assert "other" not in found
    assert "SystemExit: 9" in (found["leaves"].broken or "")
    assert "another_torch:INFO" in caplog.text
