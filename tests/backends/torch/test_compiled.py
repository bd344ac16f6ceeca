"""Compiled parts and steps: against the uncompiled backend and NumPy; how often, and for what, they are compiled."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

torch = pytest.importorskip("torch")

from bench.backends.torch import compiled  # noqa: E402
from bench.backends.torch.network import TorchNetwork  # noqa: E402
from bench.backends.torch.network import build as build_eager  # noqa: E402
from bench.cases.model import Model, build_layers  # noqa: E402
from bench.errors import Unavailable  # noqa: E402
from bench.spec import (  # noqa: E402
    GRU,
    LSTM,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    GlobalMaxPooling1D,
    SimpleRNN,
)
from bench.training.experiment import mask_source  # noqa: E402
from tests.backends.test_oracle import compare, declared  # noqa: E402
from tests.networks import WORDS, case, model_of, rows, weights_of  # noqa: E402

# Dynamo's own: when it is imported, and for every input that is itself a result.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")

COMPILER_MISSING = compiled.compiler_missing("cpu")
needs_compiler = pytest.mark.skipif(COMPILER_MISSING is not None, reason=str(COMPILER_MISSING))


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have `torch.compile` trace and guard as it does, but run what it traced uncompiled; counts the graphs."""
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    monkeypatch.setattr(compiled, "compiler_missing", lambda device: None)
    torch.compiler.reset()
    return counter


@pytest.mark.parametrize(
    "name",
    [
        "masked-stack",
        "rnn-dropout",
        "gru-dropout",
        "gru-after-dropout",
        "convolution",
        "features-convolution",
        "features",
    ],
)
def test_compiled_parts_and_steps_equal_the_oracle(name: str, traced: Any) -> None:
    model = model_of(declared(name))
    compare(compiled.build(model, "generic" if model.recurrent else "none", "cpu", "float64"), name)


def network(length: int) -> tuple[compiled.CompiledNetwork, Any]:
    layers = (
        Embedding(WORDS, 4),
        Bidirectional(GRU(3, return_sequences=True)),
        LSTM(3),
        Dropout(0.2),
        Dense(1, "linear"),
    )
    model = Model(build_layers(layers, (length,)), "ids", (length,), "adam", 0.001, 8, "outside")
    return compiled.build(model, "generic", "cpu"), mask_source(model, "suite/case", 0, 1)


def test_what_is_compiled_depends_neither_on_the_steps_nor_on_the_rows(traced: Any) -> None:
    graphs, operations = [], []
    for length in (4, 12):
        traced.clear()
        made, masks = network(length)
        x = np.ones((9, length), np.int32)
        for size in (8, 3, 8, 5):
            made.train_step(x[:size], np.ones(size, np.float32), masks(0, size))
        graphs.append(traced.frame_count)
        operations.append(traced.op_count)
    # Embedding, the steps of GRU and LSTM, Dropout with Dense: one graph each, for both directions of the GRU too.
    assert graphs == [4, 4]
    assert operations[0] == operations[1]


@needs_compiler
@pytest.mark.slow
def test_a_compiled_network_trains_as_the_uncompiled_one() -> None:
    model = model_of(case(Embedding(WORDS, 5, mask_zero=True), Bidirectional(LSTM(4, dropout=0.2)), Dense(3, "tanh")))
    x, y = rows(19)
    masks = mask_source(model, "suite/case", 0, 1)
    assert masks
    order = np.random.RandomState(0).permutation(19)
    network = compiled.build(model, "generic", "cpu", "float64")
    plain = TorchNetwork(model, "generic", "cpu", torch.float64)
    for made in (network, plain):
        made.set_weights(weights_of(model))
    assert network.train_epoch(x, y, order, masks) == pytest.approx(plain.train_epoch(x, y, order, masks))
    for expected, found in zip(plain.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_without_a_compiler_it_is_unavailable_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(Unavailable, match="finds no no-such-compiler; install one, or name it in CXX"):
        compiled.build(model_of(case(Embedding(WORDS, 4), SimpleRNN(3))), "generic", "cpu")


def test_a_process_compiles_into_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiled, "cache_dir", lambda: tmp_path)
    gone = tmp_path / "torch-compile" / str(2**22 + 1)  # above Linux's highest process number
    here = tmp_path / "torch-compile" / str(psutil.Process().pid)
    gone.mkdir(parents=True)
    here.mkdir()
    monkeypatch.delenv(compiled.CACHE_VARIABLE, raising=False)
    compiled.own_cache()
    assert compiled.os.environ[compiled.CACHE_VARIABLE] == str(here)
    assert here.is_dir()
    assert not gone.exists()
    monkeypatch.setenv(compiled.CACHE_VARIABLE, "mine")
    compiled.own_cache()
    assert compiled.os.environ[compiled.CACHE_VARIABLE] == "mine"


@needs_compiler
def test_the_gradient_of_a_maximum_is_that_of_the_step_it_came_from() -> None:
    layers = (Embedding(WORDS, 5), Conv1D(4, 3, "tanh"), GlobalMaxPooling1D(), Dense(1, "linear"))
    model = Model(build_layers(layers, (9,)), "ids", (9,), "adam", 0.001, 8, "outside")
    x, y = rows(16)
    found = []
    for build in (compiled.build, build_eager):
        made = build(model, "none", "cpu")
        made.set_weights(weights_of(model))
        found.append(made.gradients(x, y, None).gradients)
    for got, expected in zip(*found, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
