"""Keras 2 as a backend: the version that it needs, and that Keras 3 stays out of its process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.backends.registry import backend
from bench.errors import Unavailable
from bench.runner.client import Server
from bench.spec import (
    KERAS_2_0,
    KERAS_2_11,
    KERAS_3,
    SGD,
    AdamW,
    Dense,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
)
from tests.conftest import ROOT
from tests.networks import LENGTH, WORDS, case, model_of

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


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    for needed in ("tensorflow", "tf_keras"):
        pytest.importorskip(needed)
    with Server(backend("tf-keras"), 1) as opened:
        yield opened


@pytest.mark.slow
def test_an_era_without_adamw_says_so_and_which_has_it(server: Server) -> None:
    declared = case(Embedding(WORDS, 4), Flatten(), optimizer=AdamW())
    with pytest.raises(Unavailable, match=r"^Keras up to 2\.10 has no AdamW .*; give the suite the era KERAS_2_11"):
        server.network(model_of(declared, KERAS_2_0), "none", "cpu")
    server.network(model_of(declared, KERAS_2_11), "none", "cpu")


@pytest.mark.slow
def test_duplicate_rows_are_clipped_before_they_are_summed_only_where_native_says_so(server: Server) -> None:
    """Of a word that occurs twice, tf_keras clips each gradient of two alike; everywhere else their sum is clipped."""
    declared = case(Embedding(WORDS, 1), GlobalAveragePooling1D(), optimizer=SGD(), learning_rate=1.0, clipvalue=1e-9)
    x, y = np.array([[1, 1, *range(2, LENGTH)]], np.int32), np.ones(1, np.float32)
    moved = {}
    for numerics in ("matched", "native:embedding-gradient"):
        model = model_of(declared, KERAS_3, numerics)
        network = server.network(model, "none", "cpu", "float64")
        network.set_weights([np.zeros((WORDS, 1)), np.ones((1, 1)), np.zeros(1)])
        network.train_step(x, y, None)
        moved[numerics] = network.get_weights()[0][1:3, 0]
    np.testing.assert_allclose(moved["matched"], [1e-9, 1e-9])
    np.testing.assert_allclose(moved["native:embedding-gradient"], [2e-9, 1e-9])
