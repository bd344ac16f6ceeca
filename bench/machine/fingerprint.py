"""The machine a run executes on: its fingerprint, its memory, its cores. No framework is imported."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

import cpuinfo
import psutil

from bench.backends.base import tf32
from bench.backends.registry import backends
from bench.machine.gpu import look, visible
from bench.machine.processes import PACKAGE, said


def fingerprint(threads: int) -> dict[str, Any]:
    """Return what identifies the environment of a run, as plain JSON values; `threads` is what a framework gets."""
    found = gpus()
    return {
        "cpu": cpuinfo.get_cpu_info().get("brand_raw") or platform.processor(),
        "cores": cores(),
        "threads": threads,
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": found,
        **({"precision": "float32, products in TF32" if tf32() else "float32"} if found else {}),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": packages(),
        "git": git(PACKAGE.parent),
    }


MACHINE = ("cpu", "cores", "threads", "gpus")
"""The fields of a fingerprint that say on what was measured; the others say what was."""


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what two fingerprints say has changed, as `torch 2.12.0 → 2.13.0`; an empty list when nothing has."""
    found = [
        f"{key} {before.get(key)} → {after.get(key)}"
        for key in sorted({*before, *after} - {"packages", "git"})
        if before.get(key) != after.get(key)
    ]
    old, new = before.get("packages", {}), after.get("packages", {})
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            found.append(f"{name} {old.get(name, 'absent')} → {new.get(name, 'absent')}")
    if commit(before) != commit(after):
        was, now = commit(before), commit(after)
        same = was.rstrip("+") == now.rstrip("+")
        change = "has uncommitted changes now" if "+" in now else "has no uncommitted changes any more"
        found.append(f"code {now.rstrip('+')} {change}" if same else f"code {was} → {now}")
    return found


def commit(environment: dict[str, Any]) -> str:
    """Return the commit of a fingerprint in short, `+` behind it where files had changed, or `unknown`."""
    git = environment.get("git")
    return f"{git['commit'][:10]}{'+' if git['dirty'] else ''}" if git else "unknown"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(own_cores())


def own_cores() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def packages() -> dict[str, str]:
    """Return the versions of what the results rest on: twinbench, what backends need of what is installed, NumPy."""
    needed = [name for info in backends().values() for package in info.packages for name in package.split("|")]
    found = {}
    for name in dict.fromkeys(["twinbench", *needed, "numpy"]):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def gpus() -> list[dict[str, Any]]:
    """Return name, memory, driver and its newest CUDA of every NVIDIA GPU that programs may see."""
    return [
        {
            "name": gpu.name,
            "memory_bytes": gpu.memory_bytes,
            "driver": gpu.driver,
            "cuda": ".".join(map(str, gpu.cuda)),
        }
        for gpu in visible(look().gpus)
    ]


def git(folder: Path) -> dict[str, Any] | None:
    """Return commit and dirty flag of the checkout with root `folder`; None when it is none, or git is missing."""

    def answer(*arguments: str) -> str:
        code, output, errors = said(["git", "-C", str(folder), *arguments], 30)
        if code:
            raise OSError(errors)
        return output.strip()

    try:
        # An installed package may lie inside somebody else's checkout, whose commit says nothing about this code.
        if Path(answer("rev-parse", "--show-toplevel")).resolve() != folder.resolve():
            return None
        return {"commit": answer("rev-parse", "HEAD"), "dirty": bool(answer("status", "--porcelain"))}
    except OSError:
        return None


def container_limits(group: Path = Path("/sys/fs/cgroup")) -> dict[str, float | None]:
    """Return what a container allows, as `memory_bytes` and `cpus`; None where nothing is limited.

    Control groups of Linux, version 2, else 1 (kernel.org, admin-guide/cgroup-v2 and cgroup-v1).
    """
    quota, period = _first(group / "cpu.max", group / "cpu/cpu.cfs_quota_us"), "100000"
    if " " in quota:
        quota, period = quota.split()
    else:
        period = _first(group / "cpu/cpu.cfs_period_us") or period
    memory = _first(group / "memory.max", group / "memory/memory.limit_in_bytes")
    # Without a limit version 2 says `max`, version 1 a number beyond any memory, or -1.
    limited = memory.isdigit() and int(memory) < psutil.virtual_memory().total
    return {
        "memory_bytes": float(memory) if limited else None,
        "cpus": int(quota) / int(period) if quota.isdigit() else None,
    }


def _first(*files: Path) -> str:
    for file in files:
        with suppress(OSError):
            return file.read_text().strip()
    return ""


def available_memory(group: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the bytes that new processes can have: what is free, or what a container's limit leaves."""
    available = float(psutil.virtual_memory().available)
    limit = container_limits(group)["memory_bytes"]
    used = _first(group / "memory.current", group / "memory/memory.usage_in_bytes")
    return min(available, limit - int(used)) if limit and used else available
