"""GPUs as the driver describes them, told by a driver made here: NVML's own functions are replaced one by one."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from bench.backends.base import TF32
from bench.errors import UsageError
from bench.machine import gpu
from bench.machine.fingerprint import fingerprint
from bench.machine.gpu import Gpu, Holder, Look

NAMES = ("NVIDIA A", "NVIDIA B")
GONE = 2**22 + 1  # beyond the highest process number of Linux


def drive(monkeypatch: pytest.MonkeyPatch, *names: str, processes: dict[int, list[Any]] | None = None) -> None:
    """Make NVML answer like a driver 535.1 (CUDA 12.2) with GPUs of these names, held by `processes` of each."""
    answers = {
        "nvmlInit": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "535.1",
        "nvmlSystemGetCudaDriverVersion_v2": lambda: 12020,
        "nvmlDeviceGetCount": lambda: len(names),
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: names[handle],
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}abc",
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=(handle + 1) * 10**10),
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: (processes or {}).get(handle, []),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)


def break_down(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(code)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)


@pytest.fixture(autouse=True)
def _all_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(gpu.VARIABLE, raising=False)


def test_the_driver_tells_every_gpu_and_the_newest_cuda_it_supports(monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch, *NAMES)
    found = gpu.look().gpus
    assert found[1] == Gpu(1, "GPU-1abc", "NVIDIA B", 20 * 10**9, "535.1", (12, 2))
    assert str(found[0]) == "GPU 0, NVIDIA A, 10.0 GB"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver is installed"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "the NVIDIA driver says: Driver Not Loaded"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "the NVIDIA driver says: RM has detected an NVML/RM version"),
    ],
)
def test_a_missing_or_broken_driver_is_named(monkeypatch: pytest.MonkeyPatch, code: int, problem: str) -> None:
    break_down(monkeypatch, code)
    found = gpu.look()
    assert found.gpus == ()
    assert str(found.problem).startswith(problem)
    assert gpu.explain("12.4", found) == found.problem


@pytest.mark.parametrize(
    ("shown", "indices"),
    [("1", [1]), ("1,0", [1, 0]), ("0,7,1", [0]), ("", []), ("-1", []), ("GPU-1", [1]), ("MIG-5", [0, 1])],
)
def test_programs_see_what_the_variable_says(monkeypatch: pytest.MonkeyPatch, shown: str, indices: list[int]) -> None:
    drive(monkeypatch, *NAMES)
    assert [found.index for found in gpu.visible(gpu.look().gpus, shown)] == indices
    monkeypatch.setenv(gpu.VARIABLE, shown)
    assert [found["name"] for found in fingerprint(1)["gpus"]] == [NAMES[index] for index in indices]


def test_the_precision_of_a_gpu_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TF32, raising=False)
    drive(monkeypatch, *NAMES)
    assert fingerprint(1)["precision"] == "float32"
    monkeypatch.setenv(TF32, "1")
    assert fingerprint(1)["precision"] == "float32, products in TF32"
    break_down(monkeypatch, pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    assert "precision" not in fingerprint(1)


def test_a_gpu_that_does_not_exist_is_refused_with_those_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch, *NAMES)
    for allowed in ("0,1", "-1", "", "MIG-9"):
        monkeypatch.setenv(gpu.VARIABLE, allowed)
        gpu.check_visible(gpu.look().gpus)
    monkeypatch.setenv(gpu.VARIABLE, "0,7")
    with pytest.raises(UsageError, match=r"there is no GPU 7; this machine has: GPU 0, NVIDIA A, 10\.0 GB; GPU 1"):
        gpu.check_visible(gpu.look().gpus)
    break_down(monkeypatch, pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    with pytest.raises(UsageError, match="there is no GPU 0; this machine has: none"):
        gpu.check_visible(gpu.look().gpus)


def test_a_process_that_holds_a_gpu_is_named_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [
        SimpleNamespace(pid=os.getpid(), usedGpuMemory=3 * 10**9),
        SimpleNamespace(pid=GONE, usedGpuMemory=None),
    ]
    drive(monkeypatch, *NAMES, processes={1: held})
    free, busy = gpu.look().gpus
    assert list(gpu.warnings(free)) == []
    mine, unknown = gpu.warnings(busy)
    assert mine.startswith(f"process {os.getpid()} (")
    assert "holds 3.0 GB of GPU 1, NVIDIA B, 20.0 GB" in mine
    assert "choose another GPU with CUDA_VISIBLE_DEVICES" in mine
    assert unknown.startswith(f"process {GONE} holds memory of GPU 1")
    assert busy.holders[1] == Holder(GONE, None, None)


def test_why_a_framework_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    drive(monkeypatch, *NAMES)
    found = gpu.look()
    too_old = gpu.explain("13.0", found)
    assert too_old.startswith("driver 535.1 supports CUDA up to 12.2 and this build needs CUDA 13.0: update the driver")
    # A driver runs every build of its major version (CUDA minor version compatibility).
    for built_for in ("12.8", None):
        assert gpu.explain(built_for, found).endswith(
            "shows GPU 0, NVIDIA A, 10.0 GB: install a build of the framework for CUDA"
        )
    monkeypatch.setenv(gpu.VARIABLE, "-1")
    assert gpu.explain("12.8", found) == "CUDA_VISIBLE_DEVICES='-1' hides every GPU of this machine"
    assert gpu.explain("12.8", Look()) == "the driver finds no GPU"
