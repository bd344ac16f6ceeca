"""`bench doctor`: what it finds, what it says of it, and when it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.backends.registry import backend, backends
from bench.commands import doctor
from bench.errors import NoGpu
from bench.machine import gpu
from bench.machine.gpu import Gpu, Holder, Look
from bench.machine.noise import Noise
from bench.runner.capabilities import Examined, examine
from tests.conftest import ROOT, call

CARD = Gpu(0, "GPU-0", "NVIDIA A | <b>", 10**10, "535.1", (12, 2), (Holder(77, "trainer", 3 * 10**9),))
NO_KERNEL = {"SimpleRNN": "none here", "LSTM": None, "GRU": "none here"}


def bench(*arguments: str) -> int:
    return call("doctor", *arguments)


def holds(shown: str, *texts: str) -> bool:
    """Return whether all texts are in what is shown, wherever its lines are folded."""
    return all("".join(text.split()) in "".join(shown.split()) for text in texts)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A machine to examine: what each backend says on each device, the driver's GPUs, bytes free, the noise."""
    made: dict[str, Any] = {
        "devices": {name: {"cpu": None, "cuda": "sees no GPU"} for name in backends()},
        "gpus": Look(problem="no NVIDIA driver is installed"),
        "free": 5e9,
        "noise": Noise(0.01, 99, ()),
    }

    def examined(info: Any, threads: int) -> Examined:
        devices = made["devices"][info.name]
        fused: Any = {device: NO_KERNEL for device, reason in devices.items() if reason is None}
        return Examined(info.name, devices, fused)

    monkeypatch.setattr(doctor, "examine", examined)
    monkeypatch.setattr(doctor, "noise", lambda threads: made["noise"])
    monkeypatch.setattr(gpu, "look", lambda: made["gpus"])
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": made["free"]}))
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    monkeypatch.delenv(gpu.VARIABLE, raising=False)
    return made


def test_a_sound_machine_is_described_and_every_check_holds(
    machine: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "movie_reviews.csv").touch()
    assert bench() == 0
    out = capsys.readouterr().out
    assert "GPU: none (no NVIDIA driver is installed)" in out
    start = "    cpu   yes, fused LSTM; generic"
    assert f"{start}\n          no fused SimpleRNN, GRU: none here\n    cuda  no: sees no GPU\n" in out
    assert holds(
        out, f"movie_reviews.csv {tmp_path / 'movie_reviews.csv'}", "imdb.npz missing: bench data fetch imdb.npz"
    )
    assert holds(out, "Quiet machine", f"ok can train on the CPU: {', '.join(backends())}")
    assert holds(out, "5.0 GB free for the cache")
    assert "FAILED" not in out


@pytest.mark.parametrize("columns", [80, 100])
def test_lines_fit(
    columns: int, machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    machine["gpus"] = Look((CARD,))
    machine["noise"] = Noise(0.5, 99, ("a cause that takes some words to tell", "another, with its own remedy"))
    machine["devices"]["torch"] = {"cpu": "a reason that goes on for a while " * 5, "cuda": "the reason " * 12}
    bench()
    assert max(map(len, capsys.readouterr().out.splitlines())) <= columns


def test_json_holds_all_of_it(machine: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    machine["gpus"] = Look((CARD,))
    assert bench("--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["gpus"][0]["name"] == CARD.name
    assert document["visible_gpus"] == [0]
    assert [one["backend"] for one in document["backends"]] == list(backends())
    assert document["backends"][0]["fused"]["cpu"] == NO_KERNEL
    assert {check["ok"] for check in document["checks"]} == {True}
    assert document["noise"] == {"spread": 0.01, "high": False, "causes": []}
    assert {disk["use"] for disk in document["disks"]} == {"cache", "store"}
    assert {"machine", "limits", "data"} < set(document)


def test_a_gpu_that_is_held_or_that_nothing_can_use_is_a_warning(
    machine: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    machine["gpus"] = Look((CARD,))
    assert bench() == 0
    out = capsys.readouterr().out
    assert holds(out, "GPU 0, NVIDIA A | <b>, 10.0 GB; driver 535.1, CUDA up to 12.2")
    assert holds(out, "warning: process 77 (trainer) holds 3.0 GB of GPU 0", "no backend can use GPU 0")


def test_checks_that_fail_say_the_remedy(
    machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine["free"] = 1e9
    machine["devices"] = {name: {"cpu": "broken wheel", "cuda": "no"} for name in backends()}
    monkeypatch.setenv(gpu.VARIABLE, "5")
    assert bench() == 3
    out = capsys.readouterr().out
    assert holds(out, "FAILED 1.0 GB free for the cache in", "make room for 2.0 GB")
    assert holds(out, "pip install -c constraints.txt -e '.[torch,tensorflow]'")
    assert holds(out, "FAILED CUDA_VISIBLE_DEVICES='5': there is no GPU 5")
    installed = [name for name, info in backends().items() if info.missing() is None]
    assert holds(out, *(f"FAILED {name} is installed and cannot train: broken wheel" for name in installed))


def test_a_backend_is_tried_in_its_own_process_and_says_why_it_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    found = examine(backend("torch"), 1)
    assert found.devices["cpu"] is None
    assert found.fused == {"cpu": {"SimpleRNN": None, "LSTM": None, "GRU": None}}
    assert str(found.devices["cuda"]).startswith(f"torch {torch.__version__} sees no GPU: it is ")


def test_the_driver_adds_what_it_knows_to_a_framework_that_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(gpu.VARIABLE, raising=False)
    monkeypatch.setattr(gpu, "look", lambda: Look((CARD,)))
    assert gpu.reason(NoGpu("torch 3 sees no GPU: it is built for CUDA 13.0", "13.0")) == (
        "torch 3 sees no GPU: it is built for CUDA 13.0; driver 535.1 supports CUDA up to 12.2 and this build needs "
        "CUDA 13.0: update the driver, or install a build for CUDA 12"
    )


# --- conformance -------------------------------------------------------------------------------------------------

WRONG = """
# Where the template of before the packages imported these from.
from bench.backends.base import BackendInfo, check_kernel
from bench.model import Model
from bench.record import LayerParameters, Parameters
from bench.backends.torch.network import TorchNetwork
import torch

INFO = BackendInfo("wrong", "wrong_backend", ("torch",), "torch", fused_cpu=("SimpleRNN", "LSTM", "GRU"))


class Wrong(TorchNetwork):
    def logits(self, x):
        return super().logits(x)[::-1].copy()


def build(model, kernel, device, dtype="float32"):
    from bench.backends.registry import backend
    assert isinstance(model, Model)
    assert model.length == 7  # ids of a row, as it read them
    check_kernel(backend("wrong"), model, kernel, device)
    return Wrong(model, kernel, device, getattr(torch, dtype))
"""


def test_a_backend_that_breaks_a_rule_fails_and_the_rule_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "wrong_backend.py").write_text(WRONG)
    (tmp_path / "wrong-1.dist-info").mkdir()
    (tmp_path / "wrong-1.dist-info" / "METADATA").write_text("Name: wrong\nVersion: 1\n")
    (tmp_path / "wrong-1.dist-info" / "entry_points.txt").write_text(
        "[twinbench.backends]\nwrong = wrong_backend:INFO\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "bench", "doctor", "--backend", "wrong"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 3, ended.stderr
    assert "failed: wrong, model 'dense': logits of single rows" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_backend_that_keeps_the_rules_is_said_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "conform", lambda info, threads: iter(["dense, none, float64: 9 rules hold"]))
    assert bench("--backend", "torch") == 0
    assert "ok: dense, none, float64: 9 rules hold\ntorch keeps the rules" in capsys.readouterr().out
    assert bench("--backend", "torch", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["held"], document["violation"]) == (["dense, none, float64: 9 rules hold"], None)


def test_workers_of_a_cluster_are_described_and_one_that_takes_no_cells_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed")
    from bench.runner import cluster

    known = {"packages": {"torch": "9.9"}, "cpu": "Z80", "cores": 3, "gpus": []}
    examined = [Examined("torch", {"cpu": None}, {"cpu": NO_KERNEL}), Examined("keras-jax", {"cpu": "no jax"}, {})]
    able = cluster.Looked("tcp://a:1", "host-a", ["cpu"], known, None, examined)
    refused = cluster.Looked("tcp://b:1", None, [], {}, "other code", [])
    monkeypatch.setattr(cluster, "looked_at", lambda address: [able, refused])
    assert bench("--scheduler", "tcp://nowhere:1") == 3
    shown = capsys.readouterr().out
    assert holds(
        shown, "tcp://a:1", "host-a", "Z80", "torch 9.9", "LSTM", "none here", "no jax", "tcp://b:1", "other code"
    )


def test_an_unknown_backend_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--backend", "troch") == 2
    assert "unknown backend 'troch'; nearest: torch" in capsys.readouterr().err
