"""Whether the kernel that a cell claims is the one that ran: rules on the names that a profiler saw.

A backend tells what ran (`Network.trace`); no framework is imported here. Known are, with where the names come from:

- fused on a GPU: `aten::_cudnn_rnn` (torch, aten/src/ATen/native/native_functions.yaml), the operations `CudnnRNN` to
  `CudnnRNNV3` (TensorFlow, core/ops/cudnn_rnn_ops.cc), a custom call of `cudnn_rnn` (JAX, jaxlib/gpu_rnn.py);
- fused on a CPU: torch's own layers, `aten::lstm`, `aten::gru`, `aten::rnn_tanh`, however they are computed. On a GPU
  the same operations run step by step where cuDNN is not taken, so there they prove nothing;
- a loop: `While` (TensorFlow's graph), `while` (XLA's), torch's own cells (`aten::_thnn_fused_lstm_cell`), a recurrence
  of `bench.backends.torch.recurrence`, or matrix products that ran at least once for every step of every layer.

What TensorFlow picked for a layer of Keras 2 is kept beside them and proves nothing alone: `gpu_lstm_with_fallback` is
cuDNN or a loop.
"""

from __future__ import annotations

import re
import time
from typing import Literal

from bench.backends.base import Executed, Network, Trace
from bench.cases.model import BuiltLayer, Model
from bench.errors import BenchError
from bench.records.record import KernelProof, SeenKernel
from bench.spec import GRU, LSTM, Bidirectional, Device, Kernel, SimpleRNN
from bench.training.experiment import Experiment

TRACED_STEPS, TRACED_SECONDS = 3, 1.0
"""Steps that are traced, or as many as a second holds: a loop in Python leaves 100,000 events a second."""
MOST_SEEN = 12
"""Names that a record keeps; those that prove the claim come first."""

FUSED = {
    "cpu": re.compile(r"aten::(lstm|gru|rnn_tanh|rnn_relu)"),
    "cuda": re.compile(r"aten::_cudnn_rnn|CudnnRNN(V2|V3)?|custom-call cudnn_rnn(_ffi)?"),
}
"""One call of these is one recurrent layer, in one direction."""
RECURRENT = re.compile(
    r"aten::(lstm|gru|rnn_tanh|rnn_relu|_cudnn_rnn(_backward)?)(, backward)?"
    r"|CudnnRNN\w*|custom-call cudnn_rnn\w*|[Ww]hile( .*)?|_(SimpleRNN|LSTM|GRUBefore|GRUAfter)(, backward)?"
)
"""Names under which a recurrence, fused or not, is one entry."""
LOOP = re.compile(r"[Ww]hile( .*)?|_(SimpleRNN|LSTM|GRUBefore|GRUAfter)")
PICKED = re.compile(r"picked .*")

Seen = Literal["fused", "partly fused", "generic", "none"]


class KernelClaim(BenchError):
    """Another kernel ran than the cell claims; the cell ends `failed` (exit code 3)."""

    exit_code = 3


def observe(network: Network, experiment: Experiment, kernel: Kernel, device: Device) -> KernelProof:
    """Train some steps on a full batch under the profiler and return what they prove.

    They change the network's weights: everything else about the cell is measured before.
    """
    batch = experiment.first_batch()
    network.train_step(*batch)  # what is compiled on a first call is not traced
    start = time.perf_counter()
    network.train_step(*batch)
    network.synchronize()
    steps = int(TRACED_SECONDS / (time.perf_counter() - start))
    trace = network.trace(*batch, max(1, min(TRACED_STEPS, steps)))
    return prove(kernel, device, experiment.model, trace)


def prove(claimed: Kernel, device: Device, model: Model, trace: Trace) -> KernelProof:
    """Return whether what ran is what was claimed; None as the verdict where the profiler saw nothing at all."""
    seen = [
        SeenKernel(
            name=f"{entry.within} > {entry.name}" if entry.within else entry.name,
            calls=round(entry.calls / trace.steps),
            share=entry.seconds / trace.seconds if trace.seconds else None,
        )
        for entry in _representative(trace, device, model)
    ]
    met: bool | None = None
    reason = "the profiler saw nothing"
    if trace.ran:
        found = classify(trace, device, model)
        met, names = found == claimed, ", ".join(kernel.name for kernel in seen)
        reason = f"kernel claim not met: claimed {claimed}, seen {found} ({names})"
    share = recurrent_share(trace, model)
    return KernelProof(claimed=claimed, how=trace.how, seen=seen, share=share, met=met, reason=None if met else reason)


def classify(trace: Trace, device: Device, model: Model) -> Seen:
    """Return which kernel ran: `fused` only where every recurrent layer, and both of its directions, did."""
    calls = sum(entry.calls for entry in trace.ran if FUSED[device].fullmatch(entry.name))
    if calls:
        return "fused" if calls >= _one_way_layers(model) * trace.steps else "partly fused"
    looped = any(LOOP.fullmatch(entry.name) or _once_a_step(entry, trace, model) for entry in trace.ran)
    return "generic" if looped else "none"


def recurrent_share(trace: Trace, model: Model) -> float | None:
    """Return the share of the time that went into recurrences, their backward passes included; None where unknown.

    Where a framework loops in Python, these are the operations that ran at least once for every time step.
    """
    if not trace.seconds:
        return None
    disjoint = [entry for entry in trace.ran if entry.within is None]
    whole = [entry for entry in disjoint if RECURRENT.fullmatch(entry.name)]
    counted = whole or [entry for entry in disjoint if _once_a_step(entry, trace, model)]
    return sum(entry.seconds for entry in counted) / trace.seconds


def _once_a_step(entry: Executed, trace: Trace, model: Model) -> bool:
    """Return whether an entry ran once for every time step, of the shortest sequence; never without a recurrence."""
    lengths = [built.input_shape[0] for built in _recurrent_layers(model)]
    return bool(lengths) and entry.calls >= min(lengths) * trace.steps


def _recurrent_layers(model: Model) -> list[BuiltLayer]:
    return [built for built in model.layers if isinstance(built.layer, SimpleRNN | LSTM | GRU | Bidirectional)]


def _one_way_layers(model: Model) -> int:
    return sum(2 if isinstance(built.layer, Bidirectional) else 1 for built in _recurrent_layers(model))


def _representative(trace: Trace, device: Device, model: Model) -> list[Executed]:
    """Return what a record keeps of a trace: fused calls and loops, then what looks like one, each by time."""

    def rank(entry: Executed) -> tuple[int, float]:
        proves = any(names.fullmatch(entry.name) for names in (FUSED[device], LOOP, PICKED))
        hints = RECURRENT.fullmatch(entry.name) or (entry.within is None and _once_a_step(entry, trace, model))
        return (0 if proves else 1 if hints else 2), -entry.seconds

    return sorted(trace.ran, key=rank)[:MOST_SEEN]
