"""Stored steps in the form that pytest-benchmark writes, which its `compare` and the dashboards of CI services read.

The names are those of `bench.pytest_plugin`, so that a stored run stands beside one that pytest made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from bench.cases.cell import Cell, Profile
from bench.errors import UsageError, install
from bench.records.metrics import is_comparable, step_seconds
from bench.records.record import Record, json_text
from bench.records.store import Run


def group_name(profile: Profile) -> str:
    """Return what the full names of benchmarks begin with; figures of two profiles are never of one name."""
    return f"twinbench-{profile}"


def identity(cell: Cell) -> dict[str, Any]:
    """Return what a benchmark is called beside its name: group (the case), param (the cell), params (its parts)."""
    parts = {name: getattr(cell, name) for name in ("suite", "case", "backend", "kernel", "device", "numerics", "seed")}
    return {"group": cell.case_name, "param": str(cell), "params": parts}


def more_of_machine(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a fingerprint says and pytest-benchmark does not."""
    return {name: environment.get(name) for name in ("threads", "gpus", "packages")}


def as_json(run: Run, records: Iterable[Record]) -> str:
    """Return the steps of a run, repeats of a cell together, as pytest-benchmark would have written them.

    The samples are step times, one for each pair of windows. Raises `UsageError` where no record was timed, or
    pytest-benchmark is missing.
    """
    try:
        from pytest_benchmark import __version__
        from pytest_benchmark.stats import Stats
    except ImportError:
        raise UsageError(f"pytest-benchmark is not installed; {install('pytest')}") from None
    timed: dict[Cell, list[Record]] = {}
    for record in records:
        if record.status == "ok" and is_comparable(record) and record.timing and record.timing.windows:
            timed.setdefault(record.cell, []).append(record)
    if not timed:
        raise UsageError(f"run {run.name!r} timed no steps; `bench run --measure timing` does")
    benchmarks = []
    for cell, repeats in timed.items():
        stats = Stats()
        for record in repeats:
            for seconds in step_seconds(record.timing.windows if record.timing else []):
                stats.update(seconds)
        benchmarks.append(_benchmark(cell, run.profile, repeats, stats))
    document = {
        "machine_info": _machine(run.environment),
        "commit_info": _commit(run.environment.get("git")),
        "benchmarks": benchmarks,
        "datetime": run.started,
        "version": __version__,
    }
    return json_text(document, indent=4) + "\n"


def _benchmark(cell: Cell, profile: Profile, repeats: list[Record], stats: Any) -> dict[str, Any]:
    first = repeats[0]
    width = min(steps for steps, _ in first.timing.windows) if first.timing else 1
    latencies = [seconds for record in repeats if record.timing for seconds in record.timing.latency]
    extra = {
        "cell": str(cell),
        "profile": profile,
        "parameters": first.parameters.total if first.parameters else None,
        "data": first.data.sha256 if first.data else None,
        "kernel": cell.kernel,
        "kernels_seen": first.kernels_seen,
        "processes": len(repeats),
        "latency": median(latencies) if latencies else None,
    }
    # Options are what pytest-benchmark was told; nothing of it was in play here.
    options = {"disable_gc": True, "timer": "perf_counter", "min_rounds": stats.rounds, "warmup": True}
    return {
        **identity(cell),
        "name": str(cell),
        "fullname": f"{group_name(profile)}::{cell}",
        "extra_info": extra,
        "options": options,
        "stats": {**stats.as_dict(), "data": stats.data, "iterations": width},
    }


def _machine(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return pytest-benchmark's facts as far as a fingerprint holds them; the rest is `not recorded`."""
    # platform.platform(): system-release-machine-with-libc
    system, _, rest = str(environment.get("os", "")).partition("-")
    unknown = dict.fromkeys(("node", "processor", "python_compiler", "python_build"), "not recorded")
    return {
        **unknown,
        "machine": next((name for name in ("x86_64", "aarch64", "arm64") if name in rest), "not recorded"),
        "python_implementation": "CPython",
        "python_implementation_version": environment.get("python"),
        "python_version": environment.get("python"),
        "release": rest,
        "system": system,
        "cpu": {"brand_raw": environment.get("cpu"), "count": environment.get("cores")},
        **more_of_machine(environment),
    }


def _commit(git: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "id": git["commit"] if git else "unversioned",
        "time": None,
        "author_time": None,
        "dirty": bool(git and git["dirty"]),
        "project": "twinbench",
        "branch": "(unknown)",
    }
