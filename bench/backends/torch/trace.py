"""What ran in torch training steps, told by torch.profiler: for every backend that computes with torch.

A recurrent layer that is one operation (`aten::lstm`, or a recurrence of ours) is one entry with all that happened in
it; what happened in its backward pass is another, found by the sequence numbers that autograd gives a node and the
operation that made it. Every other operation counts for itself, without those that it calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bench.backends.base import Tally, Trace

LAYERS = re.compile(r"aten::(lstm|gru|rnn_tanh|rnn_relu)|_(SimpleRNN|LSTM|GRUBefore|GRUAfter)")
"""The operations that are a whole recurrent layer: torch's own, and those of the module `recurrence`."""
COMPILED = re.compile(r"## Call (?P<what>CompiledFxGraph) \w+ ##")
"""What torch.compile made, under a name that has a hash of it."""
NODE = "autograd::engine::evaluate_function: "


def trace_steps(step: Callable[[], object], steps: int, device: torch.device) -> Trace:
    """Return what `steps` calls of `step` ran, in seconds of the GPU where `device` is one, else of the CPU."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        for _ in range(steps):
            step()
        if on_gpu:
            torch.cuda.synchronize()
    collected = _Collected(on_gpu)
    # Of the events on the CPU; those on the GPU belong to them as their `kernels`.
    outermost = (e for e in profiler.events() or () if e.device_type.name == "CPU" and e.cpu_parent is None)
    for event in sorted(outermost, key=lambda event: event.name.startswith(NODE)):  # forward before backward passes
        collected.add(event, None)
    how = f"torch.profiler, {'GPU' if on_gpu else 'CPU'} time"
    return Trace(how, steps, collected.total, tuple(collected.tally.entries()))


class _Collected:
    """What happened, by operation or by recurrent layer, and all its seconds."""

    def __init__(self, on_gpu: bool) -> None:
        self._on_gpu = on_gpu
        self._made_by: dict[int, str] = {}
        self.tally = Tally()
        self.total = 0.0

    def add(self, event: Any, layer: str | None) -> None:
        """Count an event and what it calls: of a layer where it is part of one, or of its backward pass."""
        name, opens = str(event.name), False
        if compiled := COMPILED.fullmatch(name):
            name = compiled["what"]
        if layer is None and LAYERS.fullmatch(name):
            layer, opens = name, True
        elif layer is None and name.startswith(NODE) and event.sequence_nr in self._made_by:
            layer = f"{self._made_by[event.sequence_nr]}, backward"
            self.tally.add(layer, None, 1, 0.0)
        if layer is not None and event.sequence_nr >= 0:
            self._made_by.setdefault(event.sequence_nr, layer)
        # A recurrence's mark spans on the GPU the kernels that are counted where they were launched.
        launched = () if event.is_user_annotation else event.kernels
        kernels = [(kernel.name, kernel.duration / 1e6) for kernel in launched]
        seconds = sum(took for _, took in kernels) if self._on_gpu else event.self_cpu_time_total / 1e6
        self.total += seconds
        self.tally.add(layer or name, None, 1 if opens or layer is None else 0, seconds)
        if layer is not None and not opens:
            self.tally.add(layer, name, 1, seconds)
        for kernel, took in kernels:
            self.tally.add(layer or name, kernel, 1, took)
        for child in event.cpu_children:
            self.add(child, layer)
