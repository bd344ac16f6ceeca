"""A process of the package's own finds the package, and nothing of the folder that the user works in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bench.machine.processes import command
from tests.conftest import ROOT


def test_files_in_the_current_folder_are_not_taken_for_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("bench", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported by accident')")
    ended = subprocess.run(command("bench.cases.cell"), capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_checkout_that_is_not_installed_finds_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(command("bench.cases.cell"), env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
