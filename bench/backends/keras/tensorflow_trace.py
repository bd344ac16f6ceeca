"""What ran in TensorFlow training steps: the operations that its profiler saw, and those of the traced graph.

The profiler names an operation by its path and type, `twin_model/lstm/while/body/_1/.../MatMul:MatMul`. All that ran in
one loop is one entry, `While twin_model/lstm`; its calls are the passes through its body. The graph is asked for loops
and recurrent operations that the profiler did not see: where XLA compiled the step, it sees no operation. Layers of
Keras 2 hand TensorFlow two functions, and its graph optimizer picks one for the device: `picked` tells which.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from bench.backends.base import Executed, Tally, Trace
from bench.spec import Device

PATH_AND_TYPE = re.compile(r"(?P<path>[\w.\-/]+):(?P<type>[A-Za-z_]\w*)")
LOOP = re.compile(
    r"gradient_tape/(?P<backward>.+?)/while(_\d+)?/.*while(_\d+)?_grad/(body|cond)/"
    r"|(?P<inner_backward>gradients/while_grad/while_grad/(body|cond)/)"
    r"|((?P<forward>.+?)/)?while(_\d+)?/(body|cond)/"
)
"""A loop of a layer, or of a function that a layer of Keras 2 calls, where paths no longer name the layer."""
TELLING = re.compile(r"(Stateless)?While|CudnnRNN\w*")
ALTERNATIVE = re.compile(r"__forward_(?P<name>(standard|gpu)_(lstm|gru)[a-z_]*)_\d+")
"""The two functions of a Keras 2 layer (tf_keras/src/layers/rnn/lstm.py and gru.py, `api_implements`)."""


class Ran(NamedTuple):
    """An operation that ran, or a kernel of it: place in the graph and type; `calls` is 0 for a kernel on a GPU."""

    path: str
    type: str
    seconds: float
    calls: int


def trace_steps(step: Callable[[], object], steps: int, device: Device, graph: Any) -> Trace:
    """Return what `steps` calls of `step` ran; `graph` is the one they were traced to, None where it is not known."""
    with TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(steps):
            step()
        tf.test.experimental.sync_devices()
        tf.profiler.experimental.stop()
        spaces = [xplane_pb2.XSpace.FromString(file.read_bytes()) for file in Path(folder).rglob("*.xplane.pb")]
    ran = [event for space in spaces for event in executed(space, device)]
    how = f"operations of TensorFlow's profiler, {'GPU' if device == 'cuda' else 'CPU'} time, and of the traced graph"
    entries = list(grouped(ran))
    entries += in_graph_only(operations(graph), entries, steps) if graph is not None else []
    return Trace(how, steps, sum(event.seconds for event in ran), tuple(entries))


def executed(space: Any, device: Device) -> Iterator[Ran]:
    """Return the operations of a profile; on a GPU an operation's seconds are those of its kernels there.

    Host events are named `path:type`; GPU events name a kernel, their stat `tf_op` the operation
    (tsl/profiler/utils/xplane_schema.h).
    """
    on_gpu = device == "cuda"
    for plane in space.planes:
        kernels = plane.name.startswith("/device:GPU")
        if kernels != on_gpu and not plane.name.startswith("/host"):
            continue
        for line in plane.lines:
            for event in line.events:
                name = _operation(plane, event) if kernels else plane.event_metadata[event.metadata_id].name
                match = PATH_AND_TYPE.fullmatch(name)
                if match:
                    seconds = event.duration_ps / 1e12 if kernels == on_gpu else 0.0
                    yield Ran(match["path"], match["type"], seconds, calls=0 if kernels else 1)


def _operation(plane: Any, event: Any) -> str:
    for stat in event.stats:
        if plane.stat_metadata[stat.metadata_id].name == "tf_op":
            return str(plane.stat_metadata[stat.ref_value].name if stat.ref_value else stat.str_value)
    return ""


def grouped(ran: Iterable[Ran]) -> Iterator[Executed]:
    """Return the entries of a trace: loops with what ran in them, and everything else by type; the longest first."""
    tally = Tally()
    by_path: dict[str, Counter[str]] = defaultdict(Counter)
    for path, kind, seconds, calls in ran:
        inside = LOOP.match(path)
        if inside is None:
            tally.add(kind, None, calls, seconds)
            continue
        backward = inside["backward"] or inside["inner_backward"]
        place = inside["forward"] or inside["backward"] or "of a function"
        loop = f"While {place}, backward" if backward else f"While {place}"
        by_path[loop][path] += calls
        tally.add(loop, None, 0, seconds)
        tally.add(loop, kind, calls, seconds)
    for loop, paths in by_path.items():
        tally.add(loop, None, max((calls for path, calls in paths.items() if "/body/" in path), default=0), 0.0)
    return tally.entries()


def operations(graph: Any) -> Counter[str]:
    """Return how often each type of operation is in a graph and in the functions that it calls."""
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    return Counter(node.op for node in nodes)


def in_graph_only(types: Counter[str], entries: Iterable[Executed], steps: int) -> Iterator[Executed]:
    """Return loops and recurrent operations that a graph has and of which no execution was seen."""
    seen = {entry.name.split(" ")[0] for entry in entries}
    for kind, number in types.items():
        if TELLING.fullmatch(kind) and kind.removeprefix("Stateless") not in seen:
            yield Executed(kind, number * steps, 0.0)


def picked(first: Callable[[], object]) -> Iterator[Executed]:
    """Return the functions of Keras 2's layers that are left after optimization of the graphs that `first` makes.

    tensorflow/core/grappler/optimizers/implementation_selector.cc picks them by device. One that is named
    `gpu_..._with_fallback` has cuDNN and a loop in it, so what ran is still the profiler's to say.
    """
    eager = context.context()
    eager.enable_graph_collection()
    try:
        first()
        made = eager.export_run_metadata().function_graphs
    finally:
        eager.disable_graph_collection()
    functions = (node.attr["f"].func.name for graphs in made for node in graphs.post_optimization_graph.node)
    names = Counter(found["name"] for function in functions if (found := ALTERNATIVE.match(function)))
    for name, calls in names.items():
        yield Executed(f"picked {name}", calls, 0.0)
