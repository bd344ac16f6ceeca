"""Kernel proofs: rules on names against recorded traces, and real traces of torch on this CPU, claims true and false.

No trace of a GPU in here was recorded on one ("from the sources" below): operation names are those of the frameworks'
own sources, which `bench.measure.kernels` names, counts and times are made up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.backends.base import Executed, Trace
from bench.cases.model import Model
from bench.data.dataset import Examples
from bench.measure import kernels
from bench.spec import GRU, LSTM, Bidirectional, Dropout, Embedding, Flatten, Kernel, Layer, SimpleRNN
from bench.training.experiment import mask_source
from tests.networks import LENGTH, WORDS, case, experiment_of, model_of, rows

EMBEDDING = Embedding(WORDS, 4)
TWO_LAYERS = (EMBEDDING, LSTM(3, return_sequences=True), LSTM(3))
BOTH_WAYS = (EMBEDDING, Bidirectional(LSTM(3)))


def model(*layers: Layer) -> Model:
    return model_of(case(*layers))


def trace(*ran: tuple[str, int, float] | tuple[str, int, float, str], steps: int = 1) -> Trace:
    return Trace("recorded", steps, 1.0, tuple(Executed(*entry) for entry in ran))


TORCH_CUDNN = trace(  # from the sources
    ("aten::lstm, backward", 1, 0.5),
    ("aten::_cudnn_rnn_backward", 1, 0.5, "aten::lstm, backward"),
    ("aten::lstm", 1, 0.3),
    ("aten::_cudnn_rnn", 1, 0.3, "aten::lstm"),
    ("void LSTM_elementWise_fp<float, float, float>(int, int, int)", LENGTH, 0.1, "aten::lstm"),
    ("aten::mm", 4, 0.2),
)
TORCH_WITHOUT_CUDNN = trace(  # from the sources: what aten::lstm runs on a GPU where cuDNN is not taken
    ("aten::lstm", 1, 0.5),
    ("aten::_thnn_fused_lstm_cell", LENGTH, 0.3, "aten::lstm"),
    ("aten::addmm", LENGTH, 0.2, "aten::lstm"),
    ("aten::lstm, backward", 1, 0.5),
)
KERAS_TORCH_LOOP = trace(("aten::addmm", 2 * LENGTH, 0.4), ("aten::mul", 3 * LENGTH, 0.4), ("aten::embedding", 1, 0.2))
TF_CUDNN = trace(("CudnnRNNBackpropV3", 1, 0.5), ("CudnnRNNV3", 1, 0.3), ("UnsortedSegmentSum", 1, 0.2))  # sources
TF_LOOP = trace(("While twin_model/lstm", LENGTH, 0.3), ("While twin_model/lstm, backward", LENGTH, 0.5))
JAX_CUDNN = trace(("custom-call cudnn_rnn_bwd_ffi", 1, 0.5), ("custom-call cudnn_rnn_ffi", 1, 0.3), ("fusion", 9, 0.2))
JAX_LOOP = trace(("while jvp(lstm)", LENGTH, 0.3), ("while transpose(jvp(lstm))", LENGTH, 0.5), ("scatter-add", 1, 0.2))


@pytest.mark.parametrize(
    ("seen", "found", "share"),
    [
        (TORCH_CUDNN, "fused", 0.8),
        (TORCH_WITHOUT_CUDNN, "generic", 1.0),
        (KERAS_TORCH_LOOP, "generic", 0.8),
        (TF_CUDNN, "fused", 0.8),
        (TF_LOOP, "generic", 0.8),
        (JAX_CUDNN, "fused", 0.8),
        (JAX_LOOP, "generic", 0.8),
        (trace(("aten::mm", 4, 1.0)), "none", 0.0),
    ],
)
def test_a_trace_of_a_gpu_is_told_by_its_names(seen: Trace, found: str, share: float) -> None:
    lstm = model(EMBEDDING, LSTM(3))
    assert kernels.classify(seen, "cuda", lstm) == found
    assert kernels.recurrent_share(seen, lstm) == pytest.approx(share)
    for claimed in ("fused", "generic"):
        proof = kernels.prove(claimed, "cuda", lstm, seen)
        assert proof.met == (found == claimed)
        assert (proof.reason is None) == proof.met


def test_the_reason_of_a_claim_that_is_not_met_names_claim_and_kernels() -> None:
    proof = kernels.prove("fused", "cuda", model(EMBEDDING, LSTM(3)), TORCH_WITHOUT_CUDNN)
    assert proof.reason is not None
    assert proof.reason.startswith("kernel claim not met: claimed fused, seen generic (aten::lstm")
    assert "aten::lstm > aten::_thnn_fused_lstm_cell" in proof.reason


@pytest.mark.parametrize("layers", [TWO_LAYERS, BOTH_WAYS])
def test_one_layer_or_direction_that_fell_back_makes_the_claim_false(layers: tuple[Layer, ...]) -> None:
    mixed = trace(("CudnnRNNV3", 3, 0.5), ("While twin_model/lstm_1", LENGTH, 0.5), steps=3)
    assert kernels.prove("fused", "cuda", model(EMBEDDING, LSTM(3)), mixed).met
    found = kernels.prove("fused", "cuda", model(*layers), mixed)
    assert found.met is False
    assert "seen partly fused" in str(found.reason)
    both = trace(("CudnnRNNV3", 6, 0.5), steps=3)
    assert kernels.prove("fused", "cuda", model(*layers), both).met


def test_on_a_gpu_torchs_own_layer_alone_proves_nothing_and_on_a_cpu_it_is_the_fused_one() -> None:
    seen = trace(("aten::lstm", 1, 1.0))
    assert kernels.classify(seen, "cuda", model(EMBEDDING, LSTM(3))) == "none"
    assert kernels.classify(seen, "cpu", model(EMBEDDING, LSTM(3))) == "fused"


def test_a_model_without_recurrence_has_no_loop_whatever_ran_often() -> None:
    often = trace(("aten::mm", 50, 1.0), ("scatter-add", 1, 0.1))
    flat = model(EMBEDDING, Flatten())
    assert kernels.prove("none", "cpu", flat, often).met
    assert kernels.prove("none", "cpu", flat, trace(("While twin_model/lstm", 9, 1.0))).met is False


def test_a_trace_without_times_proves_by_names_and_gives_no_shares() -> None:
    seen = Trace("graph", 2, 0.0, (Executed("CudnnRNNV3", 2, 0.0),))
    proof = kernels.prove("fused", "cuda", model(EMBEDDING, LSTM(3)), seen)
    assert (proof.met, proof.share) == (True, None)
    assert [(kernel.name, kernel.calls, kernel.share) for kernel in proof.seen] == [("CudnnRNNV3", 1, None)]


def test_where_the_profiler_saw_nothing_there_is_no_verdict() -> None:
    proof = kernels.prove("fused", "cuda", model(EMBEDDING, LSTM(3)), Trace("profiler", 3, 0.0, ()))
    assert proof.met is None
    assert proof.reason == "the profiler saw nothing"


def test_a_record_keeps_what_proves_however_much_else_took_longer() -> None:
    long = [(f"kernel {number}", 1, 1.0) for number in range(50)]
    proof = kernels.prove("fused", "cpu", model(EMBEDDING, LSTM(3)), trace(*long, ("aten::lstm", 1, 1e-6)))
    assert proof.seen[0].name == "aten::lstm"
    assert len(proof.seen) == kernels.MOST_SEEN


def test_a_loop_in_python_is_shown_by_what_ran_in_it_not_by_what_took_longest() -> None:
    seen = trace(("aten::div", 1, 0.5), ("aten::addmm", 2 * LENGTH, 0.3), ("aten::copy_", 3, 0.1))
    proof = kernels.prove("generic", "cpu", model(EMBEDDING, LSTM(3)), seen)
    assert [kernel.name for kernel in proof.seen] == ["aten::addmm", "aten::div", "aten::copy_"]


# --- real traces -------------------------------------------------------------------------------------------------


def seen_by(build: Any, kernel: Kernel, *layers: Layer) -> tuple[Model, Trace]:
    """Return what one training step of a network built with `kernel` runs."""
    resolved = model(*layers)
    x, y = rows(16)
    masks = mask_source(resolved, "suite/case", 0, 1)
    return resolved, build(resolved, kernel, "cpu").trace(x, y, masks(0, 16) if masks else None, 1)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (SimpleRNN(3, dropout=0.2), "aten::rnn_tanh"),
        (GRU(3, recurrent_activation="sigmoid"), "aten::gru"),
        (Bidirectional(LSTM(3, recurrent_activation="sigmoid")), "aten::lstm"),
    ],
)
def test_torch_on_this_cpu_runs_what_it_claims_and_is_caught_when_it_does_not(layer: Layer, name: str) -> None:
    torch = pytest.importorskip("bench.backends.torch.network")
    resolved, fused = seen_by(torch.build, "fused", EMBEDDING, layer)
    _, generic = seen_by(torch.build, "generic", EMBEDDING, layer)
    for claimed, seen in (("fused", fused), ("generic", generic)):
        proof = kernels.prove(claimed, "cpu", resolved, seen)
        assert proof.met
        assert 0 < proof.share < 1, "how much is the machine's affair"
        assert 0 < sum(kernel.share for kernel in proof.seen if ">" not in kernel.name) <= 1
    first = kernels.prove("fused", "cpu", resolved, fused).seen[0]
    assert (first.name, first.calls) == (name, 2 if isinstance(layer, Bidirectional) else 1)
    looped = kernels.prove("fused", "cpu", resolved, generic)
    assert looped.met is False
    assert "claimed fused, seen generic" in looped.reason
    assert kernels.prove("generic", "cpu", resolved, fused).met is False


def test_observing_takes_a_full_batch_of_the_case_and_its_masks() -> None:
    torch = pytest.importorskip("bench.backends.torch.network")
    declared = case(EMBEDDING, Dropout(0.5), SimpleRNN(3, dropout=0.2))
    resolved = model_of(declared)
    given: list[tuple[Any, ...]] = []

    class Spy(torch.TorchNetwork):
        def trace(self, x: Any, y: Any, masks: Any, steps: int) -> Trace:
            given.append((len(x), len(y), [len(mask) for mask in masks], steps))
            return super().trace(x, y, masks, steps)

    experiment = experiment_of(declared, resolved, Examples(*rows()))
    proof = kernels.observe(Spy(resolved, "generic", "cpu"), experiment, "fused", "cpu")
    batch = resolved.batch_size
    assert [call[:3] for call in given] == [(batch, batch, [batch, batch])]
    assert 1 <= given[0][3] <= kernels.TRACED_STEPS
    assert proof.met is False


def test_torch_without_a_recurrent_layer_runs_none() -> None:
    torch = pytest.importorskip("bench.backends.torch.network")
    resolved, seen = seen_by(torch.build, "none", EMBEDDING, Flatten())
    assert kernels.prove("none", "cpu", resolved, seen).met


def test_the_entries_of_a_torch_trace_are_disjoint_and_hold_all_its_time() -> None:
    torch = pytest.importorskip("bench.backends.torch.network")
    resolved = model(EMBEDDING, LSTM(3, recurrent_activation="sigmoid"))
    network = torch.build(resolved, "fused", "cpu")
    x, y = rows(16)
    seen = network.trace(x, y, None, 2)
    assert sum(entry.seconds for entry in seen.ran if entry.within is None) == pytest.approx(seen.seconds)
    own = {entry.name: entry for entry in seen.ran if entry.within is None}
    assert own["aten::lstm"].calls == 2
    inner = sum(entry.seconds for entry in seen.ran if entry.within == "aten::lstm")
    assert 0 < inner <= own["aten::lstm"].seconds
    backward = {entry.name for entry in seen.ran if entry.within == "aten::lstm, backward"}
    assert "aten::mkldnn_rnn_layer_backward" in backward or "aten::mm" in backward


def test_tracing_trains_as_many_steps_as_it_says() -> None:
    torch = pytest.importorskip("bench.backends.torch.network")
    resolved = model(EMBEDDING, SimpleRNN(3))
    network = torch.build(resolved, "fused", "cpu")
    x, y = rows(16)
    network.trace(x, y, None, 3)
    assert int(np.asarray(network.get_optimizer_state()[0])) == 3
