"""Keras 2 as a backend: the version that it needs, and that Keras 3 stays out of its process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.backends.registry import backend
from bench.errors import Unavailable
from bench.runner.client import Server
from bench.spec import Dense, Embedding, Flatten
from tests.conftest import ROOT
from tests.networks import WORDS, case, model_of

MODEL = model_of(case(Embedding(WORDS, 4), Flatten(), Dense(3)))


def test_a_tf_keras_that_is_not_tensorflows_is_unavailable_and_the_version_wanted_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    pytest.importorskip("tf_keras")
    found = tmp_path / "tf_keras-2.15.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: tf_keras\nVersion: 2.15.0\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    wanted = ".".join(tensorflow.__version__.split(".")[:2])
    with Server(backend("tf-keras"), 1) as server, pytest.raises(Unavailable, match=rf"tf_keras=={wanted}\.\*"):
        server.network(MODEL, "none", "cpu")
