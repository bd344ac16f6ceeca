"""`pytest --bench-cells` measures cells with pytest-benchmark, and does nothing when it is not asked to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import pytest_plugin
from bench.cases.catalog import load
from bench.records.record import KernelProof
from bench.runner.options import RunOptions
from bench.runner.plan import plan
from tests.conftest import ROOT

FAKE = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests" / "runner")!r})
import fake_bench
fake_bench.install()
"""
ORDINARY = """
import sys
def test_ordinary():
    loaded = {"torch", "tensorflow", "keras", "jax", "numpy", "pandas", "bench.cases.catalog"} & set(sys.modules)
    assert not loaded
"""
CELL = "text-networks/embedding-200@fake,none,cpu,documented#0"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return pytest with the plugin, in a folder of its own, whether or not the project is installed."""

    def pytest_in_folder(*arguments: str) -> subprocess.CompletedProcess[str]:
        plugins = ["-p", "no:cacheprovider", "-p", "bench.pytest_plugin"]
        if "no:benchmark" not in arguments:
            plugins += ["-p", "pytest_benchmark.plugin"]
        environment = {
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(ROOT),
            "FAKE_LOG": str(tmp_path / "log"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "pytest", *plugins, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    (tmp_path / "test_ordinary.py").write_text(ORDINARY)
    return pytest_in_folder


def test_without_cells_it_is_inert(run: Run) -> None:
    ended = run()
    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout


def test_cells_become_benchmarks_with_all_of_that_tools_options(run: Run, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(FAKE)
    cells = ("--bench-cells", "text-networks/embedding-*@fake", "--bench-cells", "text-networks/multi-hot-dense@fake")
    ended = run(*cells, "--benchmark-json=steps.json", "--benchmark-max-time=0.01", "--benchmark-min-rounds=7")
    assert ended.returncode == 0, ended.stdout
    assert "3 passed" in ended.stdout, "three cells, and no test that was not named"
    document = json.loads((tmp_path / "steps.json").read_text())
    by_name = {benchmark["fullname"]: benchmark for benchmark in document["benchmarks"]}
    assert len(by_name) == 3
    one = by_name[f"twinbench-quick::{CELL}"]
    assert (one["name"], one["group"], one["param"]) == (CELL, "text-networks/embedding-200", CELL)
    assert (one["params"]["backend"], one["params"]["seed"]) == ("fake", 0)
    assert one["stats"]["rounds"] >= 7
    extra = one["extra_info"]
    assert (extra["cell"], extra["profile"], extra["kernel"]) == (CELL, "quick", "none")
    assert extra["parameters"] == 3_480_033  # as document 002 prints
    assert extra["kernels_seen"] == ["product"]
    assert document["machine_info"]["threads"] == 1
    assert "numpy" in document["machine_info"]["packages"]


def test_named_tests_run_beside_the_cells_and_what_cannot_run_is_skipped_with_its_reason(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "conftest.py").write_text(FAKE)
    (tmp_path / "test_other.py").write_text("def test_other(): pass\n")
    ended = run("test_other.py", "-rs", "--bench-cells", "imdb-rnn/lstm@fake,fused")
    assert ended.returncode == 0, ended.stdout
    assert "1 passed, 1 skipped" in ended.stdout
    assert "unavailable: no fused kernel" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("text-networks/lstm-16@keras-*",), "a process holds one Keras engine: name one of them"),
        (("text-networks/nothing@torch",), "unknown case 'text-networks/nothing'"),
        (("text-networks/lstm-16@torch", "-p", "no:benchmark"), "pip install -c constraints.txt -e '.[pytest]'"),
    ],
    ids=["two engines", "unknown", "no pytest-benchmark"],
)
def test_what_cannot_be_measured_is_refused_with_the_remedy(run: Run, arguments: tuple[str, ...], message: str) -> None:
    ended = run("--bench-cells", *arguments)
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR, ended.stdout
    assert message in ended.stdout + ended.stderr


def test_a_kernel_that_is_not_the_claimed_one_fails_and_its_times_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    reason = "kernel claim not met: claimed fused, seen generic"
    proof = KernelProof(claimed="fused", how="made up", seen=[], met=False, reason=reason)
    monkeypatch.setattr("bench.measure.kernels.observe", lambda *_, **__: proof)
    (planned,) = plan(load(), RunOptions(patterns=("text-networks/lstm-16@torch",)))
    steps: list[Any] = []

    class Benchmark(SimpleNamespace):
        def __call__(self, step: Callable[[], None]) -> None:
            steps.append(step())

    fixture = Benchmark(extra_info={}, has_error=False)
    with pytest.raises(pytest.fail.Exception, match=reason):
        pytest_plugin._measure(planned, "quick", fixture)
    assert len(steps) == 1
    assert fixture.has_error
    assert fixture.group == "text-networks/lstm-16"


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_a_step_of_torch_is_measured_with_the_kernel_that_ran(run: Run, tmp_path: Path) -> None:
    cell = "text-networks/simple-rnn-16@torch"
    ended = run("--bench-cells", cell, "--benchmark-json=steps.json", "--benchmark-max-time=0.05")
    assert ended.returncode == 0, ended.stdout
    (one,) = json.loads((tmp_path / "steps.json").read_text())["benchmarks"]
    assert one["params"]["kernel"] == one["extra_info"]["kernel"] == "fused"
    assert any("rnn_tanh" in name for name in one["extra_info"]["kernels_seen"])
