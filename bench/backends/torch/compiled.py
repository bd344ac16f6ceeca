"""torch under `torch.compile`: everything but the loop over time is compiled, and of that loop the step.

A loop of 400 steps that is compiled as it stands is unrolled, and takes minutes to compile. So a recurrent layer is
torch's own, which `torch.compile` cannot look into and calls as it is, or else a step that is compiled once and called
for every time step. Optimizers are those of the `torch` backend, which work on all weights at once as they are.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from bench.backends.base import Dtype, portions
from bench.backends.registry import backend, check_kernel
from bench.backends.torch.device import prepare
from bench.backends.torch.layers import BidirectionalLayer, GenericRecurrent, Output, RecurrentLayer, Stack
from bench.backends.torch.network import TorchNetwork
from bench.backends.torch.steps import gru, lstm, simple_rnn
from bench.cases.model import BuiltLayer, Model
from bench.data.sources import cache_dir
from bench.errors import Unavailable
from bench.spec import GRU, LSTM, Device, Kernel, Recurrent, SimpleRNN

VARIANTS = 64
"""How often a function may be compiled: in training and evaluation, for batches of several sizes."""

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"

_STEPS: dict[type, Callable[..., Any]] = {
    SimpleRNN: simple_rnn,
    LSTM: lstm,
    GRU: gru,
}


class SteppedRecurrent(GenericRecurrent):
    """A compiled step, called for every time step."""

    def __init__(self, layer: Recurrent, built: BuiltLayer, backwards: bool) -> None:
        super().__init__(layer, built, backwards)
        self._step = torch.compile(_STEPS[type(layer)])

    def recurrence(
        self, z: Tensor, weight: Tensor, bias: Tensor | None, drop: Tensor | None, valid: Tensor | None
    ) -> Tensor:
        """Return the states from projected inputs z (time, rows, columns)."""
        # The first step is to look like the others, not to be compiled for itself.
        h, c = (z.new_zeros(z.shape[1], weight.shape[0], requires_grad=z.requires_grad) for _ in range(2))
        states = []
        steps = z.unbind(0)
        oks: Sequence[Tensor | None] = [None] * len(z) if valid is None else valid.unbind(0)
        for_any_rows((steps[0], h, c, oks[0]))
        for_any_rows((drop,), axis=1)
        for z_t, ok in zip(steps, oks, strict=True):
            match self.spec:
                case SimpleRNN():
                    h = self._step(z_t, weight, h, drop, ok)
                case LSTM():
                    h, c = self._step(z_t, weight, h, c, drop, ok, self.gates)
                case GRU():
                    h = self._step(z_t, weight, bias, h, drop, ok, self.gates)
            states.append(h)
        return torch.stack(states) if self.spec.return_sequences else h


class CompiledNetwork(TorchNetwork):
    """A torch model whose parts are compiled, each when it is first called."""

    generic = SteppedRecurrent

    def __init__(self, model: Model, kernel: Kernel, device: Device, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(model, kernel, device, dtype)
        self._parts: list[tuple[Callable[..., Output], int]] = []
        pairs = zip(self._layers, self._stack.masks, strict=True)
        for loops, group in groupby(pairs, lambda pair: isinstance(pair[0], RecurrentLayer | BidirectionalLayer)):
            layers, counts = zip(*group, strict=True)
            if loops:
                self._parts += zip(layers, counts, strict=True)
            else:
                self._parts.append((torch.compile(Stack(layers, counts)), sum(counts)))

    def _forward(self, x: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        valid: Tensor | None = None
        taken = portions(masks, [count for _, count in self._parts])
        for (part, _), given in zip(self._parts, taken, strict=True):
            for_any_rows((x, valid, *given))
            x, valid = part(x, valid, given)
        return self._of_rows(x)


def for_any_rows(tensors: Iterable[Tensor | None], axis: int = 0) -> None:
    """Have what is compiled for these tensors take any number of rows.

    A partial batch would otherwise be compiled for after a full one; a single row still is.
    """
    for tensor in tensors:
        if tensor is not None and tensor.shape[axis] > 1:
            torch._dynamo.maybe_mark_dynamic(tensor, axis)


def own_cache() -> None:
    """Give this process a folder of its own for what it compiles, and remove those of processes that are gone.

    What an earlier process compiled would be found again: then the seconds would depend on what ran before. A folder
    that `TORCHINDUCTOR_CACHE_DIR` names is used as it is. To be called before torch._dynamo is imported, which sets it.
    """
    if CACHE_VARIABLE in os.environ:
        return
    home = cache_dir() / "torch-compile"
    for folder in home.glob("*"):
        if folder.name.isdigit() and not psutil.pid_exists(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)
    os.environ[CACHE_VARIABLE] = str(home / str(os.getpid()))


def build(model: Model, kernel: Kernel, device: Device, dtype: Dtype = "float32") -> CompiledNetwork:
    """Return a model of compiled parts; raise `Unavailable` when device, kernel or compiler is missing."""
    check_kernel(backend("torch-compile"), model, kernel, device)
    prepare(device, model.differences)
    lacking = compiler_missing(device)
    if lacking:
        raise Unavailable(lacking)
    own_cache()
    # What was compiled for another network would decide which sizes are taken for fixed.
    torch.compiler.reset()
    torch._dynamo.config.recompile_limit = VARIANTS
    torch._dynamo.config.fail_on_recompile_limit_hit = True  # instead of going on without compiling
    return CompiledNetwork(model, kernel, device, getattr(torch, dtype))


def compiler_missing(device: Device) -> str | None:
    """Return what `torch.compile` lacks on this machine, and the remedy; None when it has all it needs."""
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        return f"torch.compile needs a C++ compiler and finds no {compiler}; install one, or name it in CXX"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "torch.compile needs the headers of Python (Python.h); install python3-dev, or the like"
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        return "torch.compile needs Triton on a GPU; torch for CUDA brings it on Linux"
    return None
