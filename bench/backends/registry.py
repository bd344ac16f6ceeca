"""The table of backends: all that is known of each without its framework, which is not imported here.

A backend is one module with a function `build` (`bench.backends.base.Build`), and an entry in `BACKENDS` (or, from
another distribution, an entry point in the group `twinbench.backends` that names a `BackendInfo`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import sys
import types
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, cast

from bench.cases.model import (
    DIFFERENCES,
    INITIAL,
    Model,
    normalizes,
    with_reset_after,
    with_torchs_normalization,
    with_two_biases,
    without_recurrent_dropout,
)
from bench.errors import Unavailable, install, unknown
from bench.spec import GRU, LSTM, SGD, Device, Embedding, Kernel, SimpleRNN

if TYPE_CHECKING:
    from bench.backends.base import Build  # loads NumPy, which names and facts need not

log = logging.getLogger("bench")


@dataclass(frozen=True)
class BackendInfo:
    """What can be said of a backend without importing its framework.

    `packages` are the distributions it needs, `extra` the extra of twinbench that installs them. `fused_cpu`
    and `fused_cuda` are the recurrent layers (`bench.spec`, by name) that it has a fused kernel for, `fused_masked`
    says whether the backend runs them on masked steps too. `environment` is set in the worker before anything
    is imported. `without` are modules that its framework imports where it finds them, and does not need: kept out, so
    that their seconds and their memory are not measured. `native` are the native differences
    (`bench.cases.model.DIFFERENCES`) that it can leave to its framework. `classes_on_logits` says that its users train
    classes on logits, as matched numerics do, `sums_duplicates` that its framework sums duplicate rows of an embedding
    gradient before anything squares them (none does before clipping).

    The runner: `default` says whether it runs where no backend is named. `start` are the seconds before the first
    step, in a process of its own and in one that has run other cells; `slow_loop` is how many times as long as others
    a step of its generic recurrences takes. `threads` are the environment variables that fix its number of threads,
    but for OpenMP's and MKL's, which are always set. `out_of_memory` are words by which its errors (class and text)
    say that memory has run out. `forks` says that a process may be forked once the framework is imported: by then no
    thread of the framework runs, only those of OpenBLAS and jemalloc, which look after themselves (`pthread_atfork`),
    and what a child trains is equal to the last bit (`tests/runner/test_forks.py`).

    Reports: `colour` (of the palette in `bench.report.style`) and `marker` draw it; without, it gets some that are
    left. `reference` is its place among the backends that others are set against, the documents' own being 0; without,
    none is set against it. `own_loop` says that its generic recurrent layers are ours: no user of its framework has
    them. `epochs_note` is what is to be known of its native epochs, `{findings}` the page on it.

    `broken` says why it could not even be described.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    extra: str
    fused_cpu: tuple[str, ...] = ()
    fused_cuda: tuple[str, ...] = ()
    fused_masked: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    without: tuple[str, ...] = ()
    native: frozenset[str] = frozenset()
    classes_on_logits: bool = False
    sums_duplicates: bool = False
    default: bool = False
    start: tuple[float, float] = (6.0, 1.5)
    slow_loop: float = 1.0
    threads: tuple[str, ...] = ()
    out_of_memory: tuple[str, ...] = ()
    forks: bool = False
    colour: str | None = None
    marker: str | None = None
    reference: int | None = None
    own_loop: bool = False
    epochs_note: str | None = None
    broken: str | None = None

    def missing(self) -> str | None:
        """Return why the backend cannot run here at all, None when it can."""
        if self.broken:
            return self.broken
        for package in self.packages:
            if not any(_installed(name) for name in package.split("|")):
                wanted = package.split("|")[0]
                return f"{wanted} is not installed; {install(self.extra) if self.extra else f'pip install {wanted}'}"
        return None

    def load(self) -> Build:
        """Import the backend's module and return its `build`; raise `Unavailable` when its framework is missing."""
        reason = self.missing()
        if reason:
            raise Unavailable(reason)
        for module in self.without:
            sys.modules.setdefault(module, None)  # type: ignore[arg-type]  # makes `import` raise ImportError
        if self.name not in BACKENDS:
            _keep_older_names()
        return cast("Build", importlib.import_module(self.module).build)


RECURRENT = ("SimpleRNN", "LSTM", "GRU")
_XLA_MEMORY = ("RESOURCE_EXHAUSTED",)
"""xla/status_macros, absl's status codes"""
_TORCH_MEMORY = (
    "OutOfMemoryError",
    "DefaultCPUAllocator: can't allocate memory",  # c10/core/impl/alloc_cpu.cpp
    "CUDA error: out of memory",  # where the driver refuses before torch's allocator does
)

_TORCH = BackendInfo(
    "torch",
    "bench.backends.torch.network",
    ("torch",),
    "torch",
    fused_cpu=RECURRENT,
    fused_cuda=RECURRENT,
    fused_masked=True,
    native=frozenset(DIFFERENCES) - {"embedding-gradient"},
    classes_on_logits=True,
    default=True,
    start=(3.0, 0.2),
    out_of_memory=_TORCH_MEMORY,
    forks=True,
    colour="#0072B2",
    marker="s",
    own_loop=True,
)

_TENSORFLOW = (("TF_CPP_MIN_LOG_LEVEL", "2"), ("TF_FORCE_GPU_ALLOW_GROWTH", "true"))
_TENSORFLOW_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_TENSORFLOW_MEMORY = ("ResourceExhaustedError", *_XLA_MEMORY)

BACKENDS = {
    info.name: info
    for info in (
        BackendInfo(
            "keras-tensorflow",
            "bench.backends.keras.network",
            ("tensorflow|tensorflow-cpu", "keras"),
            "tensorflow",
            fused_cuda=("LSTM", "GRU"),
            environment=(("KERAS_BACKEND", "tensorflow"), *_TENSORFLOW),
            without=("jax",),
            native=frozenset({*INITIAL, "loss", "embedding-gradient", "order"}),
            default=True,
            threads=_TENSORFLOW_THREADS,
            out_of_memory=_TENSORFLOW_MEMORY,
            forks=True,
            colour="#E69F00",
            marker="o",
            reference=0,
            epochs_note="Native epochs of keras-tensorflow call `fit` on arrays: TensorFlow may wait for the thread "
            "that tunes its input pipeline, which can double the epoch ({findings}). "
            "Steps and other numerics exclude it.",
        ),
        BackendInfo(
            "keras-jax",
            "bench.backends.keras.network",
            ("jax", "jaxlib", "keras"),
            "jax",
            fused_cuda=("LSTM",),
            environment=(("KERAS_BACKEND", "jax"), ("XLA_PYTHON_CLIENT_PREALLOCATE", "false")),
            without=("tensorflow",),
            native=frozenset({*INITIAL, "loss", "order"}),
            start=(8.0, 4.0),
            threads=("PJRT_NPROC",),  # on a CPU: XLA's `DefaultThreadPoolSize`
            out_of_memory=_XLA_MEMORY,
            forks=True,
            colour="#009E73",
            marker="^",
            reference=1,
        ),
        BackendInfo(
            "keras-torch",
            "bench.backends.keras.network",
            ("torch", "keras"),
            "keras-torch",
            fused_cuda=("LSTM", "GRU"),
            environment=(("KERAS_BACKEND", "torch"),),
            without=("tensorflow", "jax"),
            native=frozenset({*INITIAL, "loss", "order", "denormals"}),
            slow_loop=6.0,  # Keras loops in Python
            out_of_memory=_TORCH_MEMORY,
            forks=True,
            colour="#CC79A7",
            marker="D",
            reference=2,
        ),
        BackendInfo(
            "tf-keras",
            "bench.backends.keras.network",
            ("tensorflow|tensorflow-cpu", "tf-keras"),
            "tf-keras",
            fused_cuda=("LSTM", "GRU"),
            environment=(("TF_USE_LEGACY_KERAS", "1"), *_TENSORFLOW),
            without=("jax", "keras"),
            native=frozenset({*INITIAL, "embedding-gradient", "order"}),
            sums_duplicates=True,
            threads=_TENSORFLOW_THREADS,
            out_of_memory=_TENSORFLOW_MEMORY,
            forks=True,
            colour="#999999",  # the grey that goes with the palette
            marker="P",
        ),
        _TORCH,
        replace(
            _TORCH,
            name="torch-compile",
            module="bench.backends.torch.compiled",
            default=False,
            # A pool of compiling processes costs more than it saves here, and every one of them imports torch.
            environment=(("TORCHINDUCTOR_COMPILE_THREADS", "1"),),
            start=(20.0, 15.0),
            # Most of its start is compiling, and on two threads a forked cell differed from one of its own process.
            forks=False,
            colour="#D55E00",
            marker="v",
        ),
    )
}
DEFAULT_BACKENDS = tuple(info.name for info in BACKENDS.values() if info.default)


@cache
def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@cache
def backends() -> dict[str, BackendInfo]:
    """Return all backends by name: ours, then those of installed distributions (entry points `twinbench.backends`).

    One that cannot be loaded is there under the name of its entry point, and says why it is missing. One that has the
    name of ours is not used, and that is logged.
    """
    found = dict(BACKENDS)
    for entry in importlib.metadata.entry_points(group="twinbench.backends"):
        _keep_older_names()
        try:
            info: BackendInfo = entry.load()
        except (Exception, SystemExit) as error:
            what = f"{entry.value} cannot be loaded ({type(error).__name__}: {error})"
            info = BackendInfo(entry.name, entry.module, (), "", broken=f"{what}; reinstall its distribution")
        if info.name in BACKENDS:
            log.warning("%s is not used: the backend %s is built in; let it have another name", entry.value, info.name)
        else:
            found[info.name] = info
    return found


def _keep_older_names() -> None:
    """Let backends of other distributions import what `bench new backend` wrote before there were these packages."""
    from bench.backends import base  # loads NumPy
    from bench.cases.parameters import LayerParameters, Parameters

    for name in ("bench.model", "bench.record"):
        older = sys.modules.setdefault(name, types.ModuleType(name, "Names that backends of before import from here."))
        vars(older).update(Model=Model, LayerParameters=LayerParameters, Parameters=Parameters)
    vars(base).update(BackendInfo=BackendInfo, check_kernel=check_kernel)
    Model.length = property(lambda model: model.input_shape[0] if model.input == "ids" else None)  # type: ignore


def backend(name: str) -> BackendInfo:
    """Return the backend of that name; raise `UsageError` with the nearest names otherwise."""
    try:
        return backends()[name]
    except KeyError:
        raise unknown("backend", name, backends()) from None


def fused_forbidden(info: BackendInfo, model: Model, device: Device) -> str | None:
    """Return the property that keeps `model` off a fused kernel of this backend and device, None if nothing does."""
    fused = info.fused_cpu if device == "cpu" else info.fused_cuda
    where = "on the CPU" if device == "cpu" else "on a GPU"
    if not fused:
        return f"{info.name} has no fused recurrent layer {where}"
    for layer in model.recurrent:
        kind = type(layer).__name__
        if kind not in fused:
            return f"{info.name} has no fused {kind} {where}"
        if layer.recurrent_dropout:
            return f"{kind} with recurrent_dropout {layer.recurrent_dropout}"
        if isinstance(layer, LSTM | GRU) and layer.recurrent_activation != "sigmoid":
            return f"{kind} with {layer.recurrent_activation} gates"
        if isinstance(layer, GRU) and not layer.reset_after:
            return "GRU with reset_after=False"
    if model.masked and not info.fused_masked:
        return f"masked steps that are not on the right: {info.name} does not move them there"
    return None


def best_kernel(info: BackendInfo, model: Model, device: Device) -> Kernel:
    """Return the best kernel available: `none` without recurrent layers, else `fused` where nothing forbids it."""
    if not model.recurrent:
        return "none"
    return "generic" if fused_forbidden(info, model, device) else "fused"


def differences(info: BackendInfo, model: Model) -> frozenset[str]:
    """Return the native differences that exist for the layers of `model` under this backend."""
    existing = set(info.native)
    if not any(isinstance(layer, SimpleRNN | LSTM) for layer in model.recurrent):
        existing.discard("bias")
    if not any(isinstance(layer, GRU) and not layer.reset_after for layer in model.recurrent):
        existing.discard("reset-after")
    if not any(layer.recurrent_dropout for layer in model.recurrent):
        existing.discard("recurrent-dropout")
    if not normalizes(model):
        existing.discard("normalization")
    first = model.layers[0].layer
    squared = not (isinstance(model.optimizer, SGD) or info.sums_duplicates)
    if not (isinstance(first, Embedding) and first.trainable and (squared or model.clip)):
        existing.discard("embedding-gradient")
    if model.classes and info.classes_on_logits:
        existing.discard("loss")
    if isinstance(model.optimizer, SGD) and not _sgd_differs(model):
        existing.discard("optimizer")
    drawn = [built.layer for built in model.layers if any(w.initializer != "vectors" for w in built.weights)]
    existing -= {name for name, kind in INITIAL.items() if not any(isinstance(layer, kind) for layer in drawn)}
    return frozenset(existing)


def _sgd_differs(model: Model) -> bool:
    """Return whether torch's SGD is another than Keras's, whose momentum holds the learning rate of its time.

    Nor are norms clipped alike.
    """
    scheduled = not isinstance(model.learning_rate, float)
    return bool(model.slots and scheduled) or (model.clip is not None and model.clip[0] != "clipvalue")


def native(info: BackendInfo, model: Model) -> Model:
    """Return `model` as the backend builds it: of the differences that its numerics name, those that exist.

    Plain `native` takes what exists of all. Raises `Unavailable` when single ones are named that do not exist.
    """
    existing = differences(info, model)
    lacking = model.differences - existing
    if model.differences & existing & INITIAL.keys():
        lacking -= INITIAL.keys()  # `init` names the parts of every model
    if lacking and (model.named or not existing):
        where = "" if lacking - info.native else " in this case"
        if lacking >= INITIAL.keys():
            lacking = lacking - INITIAL.keys() | {"init"}
        names = [name for name in ("init", *DIFFERENCES) if name in lacking]
        raise Unavailable(
            f"{info.name} has no {' and no '.join(names)} difference{where}: it runs as matched numerics do"
        )
    model = replace(model, differences=model.differences & existing)
    for name, change in _CHANGES.items():
        model = change(model) if name in model.differences else model
    return model


_CHANGES = {
    "reset-after": with_reset_after, "recurrent-dropout": without_recurrent_dropout, "bias": with_two_biases,
    "normalization": with_torchs_normalization,
}  # fmt: skip
"""Differences that give a model other layers or weights."""


def check_kernel(info: BackendInfo, model: Model, kernel: Kernel, device: Device) -> None:
    """Raise `Unavailable` with the reason when `kernel` cannot run this model."""
    if kernel == "none" and model.recurrent:
        raise Unavailable("kernel 'none' is for models without a recurrent layer")
    if kernel != "none" and not model.recurrent:
        raise Unavailable(f"kernel {kernel!r} needs a recurrent layer and the model has none")
    if kernel == "fused":
        reason = fused_forbidden(info, model, device)
        if reason:
            raise Unavailable(f"no fused kernel: {reason}")
