"""From a checkout that is not installed, with torch as the only framework, cells run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HIDE = """
import importlib.metadata, sys

HIDDEN = ("tensorflow", "tensorflow-cpu", "keras", "jax", "jaxlib", "twinbench")
version = importlib.metadata.version


def hide(name):
    if name in HIDDEN:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


importlib.metadata.version = hide
sys.meta_path.insert(0, Finder())
"""


def test_torch_runs_from_the_source_tree_where_nothing_else_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    command = ["run", "word-embeddings/embedding-flatten-dense", "--store", "s.sqlite", "--json"]
    ended = subprocess.run(
        [sys.executable, "-m", "bench", *command],
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "OMP_NUM_THREADS": "1",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    (record,) = json.loads(ended.stdout)["records"]
    assert (record["backend"], record["status"]) == ("torch", "ok")
