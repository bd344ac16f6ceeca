"""A network in another process answers as one in this process does, and its end is an error that says so."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from bench.backends.registry import backend
from bench.errors import BenchError, Unavailable
from bench.runner.client import Server, ServerDied
from bench.spec import LSTM, Dropout, Embedding
from bench.training.experiment import mask_source
from tests.networks import WORDS, case, model_of, rows, weights_of

pytest.importorskip("torch")

from bench.backends.torch.network import build

MODEL = model_of(case(Embedding(WORDS, 5), Dropout(0.2), LSTM(6, dropout=0.2)))


def test_a_remote_network_is_the_network() -> None:
    x, y = rows(37)
    order = np.random.RandomState(0).permutation(37)
    masks = mask_source(MODEL, "suite/case", 0, 1)
    assert masks
    here = build(MODEL, "generic", "cpu", "float64")
    with Server(backend("torch"), 1) as server:
        there = server.network(MODEL, "generic", "cpu", "float64")
        for network in (here, there):
            network.set_weights(weights_of(MODEL))
        assert there.parameters() == here.parameters()
        batch = x[:16], y[:16], masks(0, 16)
        np.testing.assert_allclose(
            there.gradients(*batch).gradients[1], here.gradients(*batch).gradients[1], atol=1e-14
        )
        assert there.train_step(*batch) == pytest.approx(here.train_step(*batch))
        assert there.train_epoch(x, y, order, masks).loss == pytest.approx(here.train_epoch(x, y, order, masks).loss)
        there.synchronize()
        assert there.device_peak_bytes() is None
        there.set_optimizer_state(here.get_optimizer_state())
        for one, other in zip(there.get_weights(), here.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
        np.testing.assert_allclose(there.logits(x), here.logits(x), atol=1e-12)
        assert len(there.get_optimizer_state()) == len(here.get_optimizer_state())


def test_what_goes_wrong_there_is_an_error_here() -> None:
    with Server(backend("torch"), 1) as server:
        with pytest.raises(Unavailable, match="no fused kernel: LSTM with hard_sigmoid_keras2 gates"):
            server.network(MODEL, "fused", "cpu")
        network = server.network(MODEL, "generic", "cpu")
        with pytest.raises(BenchError, match="torch: logits failed"):
            network.logits(np.full((1, 9), WORDS))
        os.kill(server.child.process.pid, signal.SIGKILL)
        with pytest.raises(ServerDied, match=r"torch: the process was killed by signal 9 \(SIGKILL\).* in get_weights"):
            network.get_weights()
