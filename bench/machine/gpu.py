"""The NVIDIA GPUs of this machine as their driver describes them (NVML): no framework is imported.

Which of them programs see is said by `CUDA_VISIBLE_DEVICES`; cells run on the first one. Numbers are those that
`nvidia-smi` shows: workers get `CUDA_DEVICE_ORDER=PCI_BUS_ID`, without which CUDA counts the fastest first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import pynvml

from bench.errors import NoGpu, Unavailable, UsageError

VARIABLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Holder:
    """A process that holds memory of a GPU; name and bytes are None where the driver does not tell them."""

    pid: int
    name: str | None
    memory_bytes: int | None


@dataclass(frozen=True)
class Gpu:
    """A GPU; `cuda` is the newest CUDA that its driver supports, as (major, minor)."""

    index: int
    uuid: str
    name: str
    memory_bytes: int
    driver: str
    cuda: tuple[int, int]
    holders: tuple[Holder, ...] = ()

    def __str__(self) -> str:
        return f"GPU {self.index}, {self.name}, {self.memory_bytes / 1e9:.1f} GB"


@dataclass(frozen=True)
class Look:
    """What the driver says: its GPUs, or why there is none."""

    gpus: tuple[Gpu, ...] = ()
    problem: str | None = None


def look() -> Look:
    """Return all GPUs of this machine, whether programs may see them or not."""
    try:
        pynvml.nvmlInit()
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        # 12040 is CUDA 12.4 (nvml.h, nvmlSystemGetCudaDriverVersion).
        major, rest = divmod(pynvml.nvmlSystemGetCudaDriverVersion_v2(), 1000)
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return Look(tuple(_gpu(index, handle, driver, (major, rest // 10)) for index, handle in enumerate(handles)))
    except pynvml.NVMLError as error:
        missing = isinstance(error, pynvml.NVMLError_LibraryNotFound)
        return Look(problem="no NVIDIA driver is installed" if missing else f"the NVIDIA driver says: {error}")


def _gpu(index: int, handle: Any, driver: str, cuda: tuple[int, int]) -> Gpu:
    total = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    names = _text(pynvml.nvmlDeviceGetUUID(handle)), _text(pynvml.nvmlDeviceGetName(handle))
    return Gpu(index, *names, total, driver, cuda, tuple(_holders(handle)))


def _holders(handle: Any) -> Iterator[Holder]:
    with suppress(pynvml.NVMLError):
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
            name = None
            with suppress(psutil.Error):
                name = psutil.Process(process.pid).name()
            used = process.usedGpuMemory
            yield Holder(process.pid, name, None if used is None else int(used))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


# --- which of them programs see ----------------------------------------------------------------------------------


def visible(gpus: Sequence[Gpu], shown: str | None = None) -> list[Gpu]:
    """Return the GPUs that CUDA shows to programs, in its order; `shown` is by default `CUDA_VISIBLE_DEVICES`.

    CUDA's rule: numbers or beginnings of UUIDs, up to the first that does not exist (CUDA C++ Programming Guide,
    environment variables). A part of a GPU (`MIG-...`) is not looked up: then all are returned.
    """
    shown = os.environ.get(VARIABLE) if shown is None else shown
    if shown is None or "MIG-" in shown:
        return list(gpus)
    found = []
    for entry in _entries(shown):
        gpu = _named(entry, gpus)
        if gpu is None:
            break
        found.append(gpu)
    return found


def check_visible(gpus: Sequence[Gpu]) -> None:
    """Raise `UsageError` when `CUDA_VISIBLE_DEVICES` names a GPU that does not exist; `-1`, which hides all, may be."""
    shown = os.environ.get(VARIABLE, "")
    for entry in _entries(shown):
        if not entry.startswith(("-", "MIG-")) and _named(entry, gpus) is None:
            there = "; ".join(map(str, gpus)) or "none"
            raise UsageError(f"{VARIABLE}={shown!r}: there is no GPU {entry}; this machine has: {there}")


def _entries(shown: str) -> list[str]:
    return [entry for entry in (part.strip() for part in shown.split(",")) if entry]


def _named(entry: str, gpus: Sequence[Gpu]) -> Gpu | None:
    return next((gpu for gpu in gpus if entry == str(gpu.index) or gpu.uuid.startswith(entry)), None)


# --- what to say of them -----------------------------------------------------------------------------------------


def warnings(gpu: Gpu) -> Iterator[str]:
    """Return what will disturb measurements on a GPU: every process that holds memory of it, with the remedy."""
    for holder in gpu.holders:
        name = f" ({holder.name})" if holder.name else ""
        memory = "memory" if holder.memory_bytes is None else f"{holder.memory_bytes / 1e9:.1f} GB"
        yield (
            f"process {holder.pid}{name} holds {memory} of {gpu}; times and memory are unreliable: end it, or choose "
            f"another GPU with {VARIABLE}"
        )


def reason(error: Unavailable) -> str:
    """Return why something is unavailable; where a framework sees no GPU, with what the driver says to that."""
    return f"{error}; {explain(error.built_for, look())}" if isinstance(error, NoGpu) else str(error)


def explain(built_for: str | None, found: Look) -> str:
    """Return why a framework, built for a CUDA version, sees no GPU: as far as the driver can tell."""
    if not found.gpus:
        return found.problem or "the driver finds no GPU"
    seen = visible(found.gpus)
    if not seen:
        return f"{VARIABLE}={os.environ[VARIABLE]!r} hides every GPU of this machine"
    gpu = seen[0]
    newest = ".".join(map(str, gpu.cuda))
    major = (built_for or "").split(".")[0]
    if major.isdigit() and int(major) > gpu.cuda[0]:
        return (
            f"driver {gpu.driver} supports CUDA up to {newest} and this build needs CUDA {built_for}: update the "
            f"driver, or install a build for CUDA {gpu.cuda[0]}"
        )
    return f"the driver ({gpu.driver}, CUDA up to {newest}) shows {gpu}: install a build of the framework for CUDA"
