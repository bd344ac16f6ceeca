"""What ran in torch training steps, told by torch.profiler: for every backend that computes with torch.

A recurrent layer that is one operation (`aten::lstm`, or a recurrence of ours) is one entry with all that happened in
it; what happened in its backward pass is another, found by the sequence numbers that autograd gives a node and the
operation that made it. Every other operation counts for itself, without those that it calls.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bench.backends.base import Executed, Trace

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
    # Of the events on the CPU; those on the GPU belong to them as their `kernels`.
    outermost = [e for e in profiler.events() or () if e.device_type.name == "CPU" and e.cpu_parent is None]
    collected = _Collected(on_gpu)
    for event in outermost:
        if not event.name.startswith(NODE):
            collected.add(event, None)
    for event in outermost:
        if event.name.startswith(NODE):
            collected.add_node(event)
    return Trace(
        f"torch.profiler, {'GPU' if on_gpu else 'CPU'} time", steps, collected.total, tuple(collected.entries())
    )


class _Collected:
    """Calls and seconds by (entry, detail within it); seconds of an entry contain those of its details."""

    def __init__(self, on_gpu: bool) -> None:
        self._on_gpu = on_gpu
        self._calls: Counter[tuple[str, str | None]] = Counter()
        self._seconds: dict[tuple[str, str | None], float] = {}
        self._backward: dict[int, str] = {}
        self.total = 0.0

    def add(self, event: Any, layer: str | None) -> None:
        """Count an event and what it calls, of a layer where it is part of one."""
        opens = layer is None and LAYERS.fullmatch(event.name) is not None
        if opens:
            layer = str(event.name)
            self._calls[layer, None] += 1
        if layer is not None and event.sequence_nr >= 0:
            self._backward[event.sequence_nr] = layer
        self._count(event, layer, opens)
        for child in event.cpu_children:
            self.add(child, layer)

    def add_node(self, node: Any) -> None:
        """Count an autograd node and what it calls: of a layer's backward pass, if a layer's operation made it."""
        made_by = self._backward.get(node.sequence_nr)
        layer = None if made_by is None else f"{made_by}, backward"
        if layer:
            self._calls[layer, None] += 1
        for event in _tree(node):
            self._count(event, layer, False)

    def _count(self, event: Any, layer: str | None, opens: bool) -> None:
        # A recurrence's mark spans on the GPU the kernels that are counted where they were launched.
        launched = () if event.is_user_annotation else event.kernels
        kernels = [(kernel.name, kernel.duration / 1e6) for kernel in launched]
        own = sum(seconds for _, seconds in kernels) if self._on_gpu else event.self_cpu_time_total / 1e6
        self.total += own
        compiled = COMPILED.fullmatch(event.name)
        name = compiled["what"] if compiled else event.name
        if layer is None:
            self._note(name, None, own)
        else:
            self._seconds[layer, None] = self._seconds.get((layer, None), 0.0) + own
            if not opens:
                self._note(layer, name, own)
        for kernel, seconds in kernels:
            self._note(layer or name, kernel, seconds)

    def _note(self, entry: str, detail: str | None, seconds: float) -> None:
        self._calls[entry, detail] += 1
        self._seconds[entry, detail] = self._seconds.get((entry, detail), 0.0) + seconds

    def entries(self) -> Iterator[Executed]:
        """Return everything counted, the longest first."""
        for (entry, detail), seconds in sorted(self._seconds.items(), key=lambda item: -item[1]):
            calls = self._calls[entry, detail]
            yield Executed(entry, calls, seconds) if detail is None else Executed(detail, calls, seconds, entry)


def _tree(event: Any) -> Iterator[Any]:
    yield event
    for child in event.cpu_children:
        yield from _tree(child)
