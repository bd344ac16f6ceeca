"""From a checkout that is not installed, with torch as the only framework, cells run; what a layer has to be in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from bench.spec import Layer
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


OF_A_LAYER = {"spec.py", "cases/model.py", "backends/keras/network.py", "backends/torch/layers.py"}
OLDER = {"Embedding", "Flatten", "GlobalAveragePooling1D", "GlobalMaxPooling1D", "Conv1D", "Dense", "ActivationLayer"}
"""What stacks of conformance, profiles and probes name beside: the first layers, and the one that needs no mask."""
RECURRENT = {"Dropout", "SimpleRNN", "LSTM", "GRU", "Bidirectional"}


@pytest.mark.parametrize("kind", sorted({kind.__name__ for kind in get_args(Layer)} - OLDER - RECURRENT))
def test_a_kind_of_layer_is_named_in_four_files(kind: str) -> None:
    sources = {path.relative_to(ROOT / "bench").as_posix(): path for path in (ROOT / "bench").rglob("*.py")}
    ours = {name: path for name, path in sources.items() if not name.startswith("port/")}  # which names Keras's layers
    naming = {name for name, path in ours.items() if re.search(rf"\b{kind}\b", path.read_text(encoding="utf-8"))}
    assert naming == OF_A_LAYER
