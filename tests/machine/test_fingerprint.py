"""The fingerprint tells environments apart, and holds nothing that changes by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bench.machine.fingerprint import available_memory, container_limits, differences, fingerprint, git


def test_fingerprint_is_plain_repeatable_and_true() -> None:
    found = fingerprint(threads=3)
    assert json.loads(json.dumps(found)) == found
    assert fingerprint(threads=3) == found
    assert found["threads"] == 3
    assert found["memory_bytes"] == psutil.virtual_memory().total
    assert found["python"] == sys.version.split()[0]
    assert found["packages"]["numpy"] == version("numpy")
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)


def test_no_framework_is_imported_for_it() -> None:
    code = "import sys; from bench.machine.fingerprint import fingerprint; fingerprint(1); print(*sys.modules)"
    root = Path(__file__).parent.parent.parent
    modules = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert not {"torch", "tensorflow", "keras", "jax"} & set(modules.split())


def test_git_gives_commit_and_dirty_flag_of_this_checkout_only(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        return subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    assert git(tmp_path) is None
    run("init", "-q")
    (tmp_path / "file").write_text("1")
    run("add", "file")
    run("commit", "-q", "-m", "one")
    assert git(tmp_path) == {"commit": run("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "file").write_text("2")
    assert git(tmp_path) == {"commit": run("rev-parse", "HEAD"), "dirty": True}
    (tmp_path / "inner").mkdir()
    assert git(tmp_path / "inner") is None


def test_uncommitted_changes_are_told_from_another_commit() -> None:
    clean, dirty, other = ({"git": {"commit": c * 40, "dirty": d}} for c, d in (("a", False), ("a", True), ("b", True)))
    assert differences(clean, clean) == []
    (made,), (undone,) = differences(clean, dirty), differences(dirty, clean)
    assert "→" not in made + undone
    assert made != undone
    assert differences(dirty, other) == ["code aaaaaaaaaa+ → bbbbbbbbbb+"]


def test_available_memory_is_within_the_machines() -> None:
    assert 0 < available_memory() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"memory.max": "1000000", "memory.current": "400000"}, 600_000),
        ({"memory/memory.limit_in_bytes": "1000000", "memory/memory.usage_in_bytes": "400000"}, 600_000),
        ({"memory.max": "max", "memory.current": "400000"}, None),
        ({"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "400000"}, None),
        ({}, None),
    ],
)
def test_available_memory_is_what_the_control_group_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], left: int | None
) -> None:
    free = 123_456_789
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free, total=1 << 33))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert available_memory(tmp_path) == (free if left is None else left)


@pytest.mark.parametrize(
    ("files", "limits"),
    [
        ({"cpu.max": "150000 100000", "memory.max": "1000000"}, (1e6, 1.5)),
        ({"cpu.max": "max 100000", "memory.max": "max"}, (None, None)),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "50000"}, (None, 4.0)),
        ({"cpu/cpu.cfs_quota_us": "-1", "memory/memory.limit_in_bytes": "9223372036854771712"}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_what_a_container_allows_is_read_from_its_control_group(
    tmp_path: Path, files: dict[str, str], limits: tuple[float | None, float | None]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert tuple(container_limits(tmp_path).values()) == limits
