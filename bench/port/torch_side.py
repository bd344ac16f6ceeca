"""The PyTorch module in its worker: loaded, run, recorded, trained. Imported by nobody but `bench.port.worker`."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode

from bench.errors import UsageError
from bench.port import layout, loading
from bench.port.loading import changed
from bench.port.trace import Array, ByLayer, Call, Forced, Layer, Steps, Trace, plain

KINDS = {
    nn.Linear: "Dense", nn.Embedding: "Embedding", nn.MultiheadAttention: "MultiHeadAttention",
    nn.Conv1d: "Conv1D", nn.Conv2d: "Conv2D", nn.Conv3d: "Conv3D",
    nn.ConvTranspose1d: "Conv1DTranspose", nn.ConvTranspose2d: "Conv2DTranspose",
    nn.LSTM: "LSTM", nn.GRU: "GRU", nn.RNN: "SimpleRNN",
    nn.BatchNorm1d: "BatchNormalization", nn.BatchNorm2d: "BatchNormalization", nn.BatchNorm3d: "BatchNormalization",
    nn.LayerNorm: "LayerNormalization", nn.GroupNorm: "GroupNormalization",
}  # fmt: skip
"""Modules that have a counterpart among Keras's layers, which their kind is named after."""
WHOLE = tuple(KINDS)
LOSSES = frozenset(
    f"{name}_loss" for name in ("mse", "l1", "smooth_l1", "huber", "nll", "poisson_nll", "gaussian_nll", "soft_margin")
) | {"binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "kl_div"}
Live = dict[tuple[str, int], tuple[Any, tuple[Any, ...], dict[str, Any]]]
"""Module and arguments of each recorded call, by name and how often the module was called before."""


class TorchSide:
    """One module; what its methods take and return crosses a process border."""

    def __init__(self) -> None:
        self._capture: Callable[[], None] = lambda: None
        for name in ("__init__", "requires_grad_", "eval"):
            _before(nn.Module, name, partial(_remember, name))
        _before(torch.optim.Optimizer, "__init__", self._optimizer_is_made)
        _before(torch.optim.lr_scheduler.LRScheduler, "__init__", self._schedule_is_made)
        _before(torch.utils.data.DataLoader, "__init__", self._loader_is_made)
        for kind, function, limit in (
            ("norm", "clip_grad_norm_", "max_norm"),
            ("value", "clip_grad_value_", "clip_value"),
        ):
            _before(nn.utils, function, self._clipping(kind, getattr(nn.utils, function), limit))

    def load(self, spec: str, dtype: str) -> None:
        """Make the module in float64 or float32; raise `UsageError` for one that is not supported."""
        self._optimizers: list[tuple[Any, str | None]] = []
        self._schedules: list[str | None] = []
        self._loaders: dict[int, str | None] = {}
        self._clips: list[dict[str, Any]] = []
        self._live: Live = {}
        torch.backends.mha.set_fastpath_enabled(False)  # it passes by the modules that are to be compared
        self._dtype = getattr(torch, dtype)
        torch.set_default_dtype(self._dtype)
        torch.manual_seed(0)
        module = loading.made(spec, nn.Module, "torch.nn.Module")
        if isinstance(module, torch.jit.ScriptModule):
            raise UsageError(
                f"{spec} is a TorchScript module, which cannot be looked into; name the class it was made of"
            )
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.dtype in (torch.float16, torch.bfloat16):
                raise UsageError(f"torch weight {name} is {value.dtype}: half precision is not compared; use float32")
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise UsageError(f"torch weight {name} holds NaN or infinity")
        self._modes = {name: each.training for name, each in module.named_modules()}
        self._module: Any = module.to(self._dtype)

    def layers(self) -> list[Layer]:
        """Return all leaves, and modules with weights of their own, in order of declaration."""
        return [self._described(name, module) for name, module in self._leaves()]

    def weights(self, gradients: bool = False) -> ByLayer:
        """Return weights by module and name within it, or what they have of gradients."""
        found: ByLayer = {}
        for name, module in self._leaves():
            arrays = {key: (value.grad if gradients else value) for key, value in _own(module).items()}
            arrays = {key: _array(value) for key, value in arrays.items() if value is not None}
            if arrays:
                found[name] = arrays
        return found

    def set_weights(self, weights: ByLayer) -> None:
        """Put values into weights in place."""
        modules = dict(self._module.named_modules())
        with torch.no_grad():
            for name, arrays in weights.items():
                own = _own(modules[name])
                for key, value in arrays.items():
                    own[key].copy_(torch.as_tensor(np.ascontiguousarray(value)))

    def takes(self) -> list[str]:
        """Return the parameters of `forward`."""
        return list(inspect.signature(self._module.forward).parameters)

    def forward(
        self, x: dict[str, Array], training: bool, forced: dict[tuple[str, int], Forced] | None = None
    ) -> Trace:
        """Return every call of a leaf, every function between them, the dropouts and the outputs.

        `x`: by parameter of `forward`, or by position where a key is a number. `forced`: what leaves are given and
        made to return, by name and how often they were called before.
        """
        self._module.train(training)
        watching = _Watching(dict(self._leaves()), self._live, forced or {})
        with torch.no_grad(), watching.modules():
            made = _tensors(self._called(x))
        return Trace(watching.calls, [watching.number(each) for each in made], dropouts=watching.dropouts)

    def again(
        self, name: str, index: int, changes: dict[str, Any], inputs: list[Array] | None = None, masks: str = ""
    ) -> list[Array]:
        """Return what a recorded call gives with other attributes, other inputs or other masks, in torch's layout.

        `masks`: `none` leaves them out, `inverted` turns those of true and false round.
        """
        module, args, kwargs = self._live[name, index]
        if masks:
            left = {key: value for key, value in kwargs.items() if "mask" in key and isinstance(value, torch.Tensor)}
            if not left or (masks == "inverted" and any(value.dtype != torch.bool for value in left.values())):
                raise UsageError("there is no such mask")
            turned = dict.fromkeys(left) if masks == "none" else {key: ~value for key, value in left.items()}
            kwargs = {**kwargs, **turned}
        if inputs is not None:
            args = (*(self._tensor(each) for each in inputs), *args[len(inputs) :])
        state = {key: value.clone() for key, value in module.state_dict().items()}
        with torch.no_grad(), changed([module], **changes):
            made = [_array(each) for each in _tensors(type(module).forward(module, *args, **kwargs))]
        module.load_state_dict(state)
        return made

    def function(self, name: str, arrays: list[Array], settings: dict[str, Any]) -> float:
        """Return what a loss function gives."""
        tensors = [self._tensor(each) for each in arrays]
        settings = {key: self._tensor(v) if isinstance(v, np.ndarray) else v for key, v in settings.items()}
        return float(getattr(nn.functional, name)(*tensors, **settings))

    def gradient(self, x: dict[str, Array], cotangents: list[Array]) -> tuple[float, ByLayer]:
        """Return the sum of outputs times `cotangents` (torch's layout) and its gradients, training without dropout."""
        self._module.train(True)
        self._module.zero_grad(set_to_none=True)
        with _Watching(dict(self._leaves())).modules():
            pairs = zip(_tensors(self._called(x)), cotangents, strict=True)
            loss = sum((out * torch.as_tensor(weight, dtype=out.dtype)).sum() for out, weight in pairs)
        if isinstance(loss, torch.Tensor) and loss.requires_grad:
            loss.backward()
        return float(loss), self.weights(gradients=True)

    def recipe(self, spec: str) -> None:
        """Let the user's recipe make a step, or a step and a loader."""
        for name, module in self._module.named_modules():
            module.training = self._modes[name]
        self._recipe = spec
        made = loading.named(spec)(self._module)
        self._step, self._loader = made if isinstance(made, tuple) else (made, None)
        if not callable(self._step):
            raise UsageError(f"{spec} returned {type(self._step).__name__}, not a function step(x, y)")

    def train(self, x: list[Array], y: Array, steps: int) -> Steps:
        """Make the user's own training steps on one batch."""
        given, target = [self._tensor(each) for each in x], self._tensor(y)
        losses: list[float] = []
        rates: list[float] = []
        epsilons: list[float] = []
        gradients: ByLayer = {}
        modes: dict[str, tuple[bool, str | None]] = {}
        stepped: list[str | None] = []
        first: ByLayer = {}

        def capture() -> None:
            if not gradients and not losses:
                gradients.update(self.weights(gradients=True))

        def before(optimizer: Any, *_: Any) -> None:
            capture()
            group = optimizer.param_groups[0]
            rates.append(float(group["lr"]))
            epsilon = group.get("eps", group.get("epsilon"))
            epsilons.append(float(epsilon) if isinstance(epsilon, float | int) else 0.0)
            stepped.append(loading.user_line())
            if not modes:
                own = self._module.named_modules()
                modes.update({name: (each.training, _line_of(each, "eval")) for name, each in own})

        self._capture = capture
        hook = register_optimizer_step_pre_hook(before)
        watching = _Watching(dict(self._leaves()))
        try:
            with watching.modules():
                for step in range(steps):
                    losses.append(self._as_number(self._step(*given, target)))
                    if step == 0:
                        first = self.weights()
        finally:
            hook.remove()
            self._capture = lambda: None
        optimizer, line = self._optimizers[-1] if self._optimizers else (None, None)
        observed = {
            "loss": next(iter(watching.losses), None),
            "reduced": watching.reduced,
            "clip": next(iter(self._clips), None),
            "modes": modes,
            "epsilons": epsilons,
            "schedule": self._schedules[-1] if self._schedules else None,
            "stepped": next(iter(stepped), None),
        }
        name = type(optimizer).__name__ if optimizer is not None else ""
        settings = plain(optimizer.param_groups[0]) if optimizer is not None else {}
        return Steps(losses, rates, name, settings, line, first, self.weights(), gradients, observed)

    def _as_number(self, loss: Any) -> float:
        if isinstance(loss, torch.Tensor) and loss.numel() == 1:
            return float(loss.detach())
        if isinstance(loss, float | int | np.floating):
            return float(loss)
        what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise UsageError(f"--torch-step {self._recipe}: step(x, y) returned {what}; return the loss, one number")

    def order(self) -> tuple[int, list[list[list[int]]], str | None] | None:
        """Return how many rows the user's loader has, the rows of each batch of two epochs, and the line that made it.

        None where there is no loader.
        """
        if self._loader is None:
            return None
        sampler = getattr(self._loader, "batch_sampler", None)
        if sampler is None:
            raise UsageError("--torch-step: the loader has no batch_sampler, so its order cannot be compared")
        epochs = [[list(map(int, batch)) for batch in sampler] for _ in range(2)]
        return len(self._loader.dataset), epochs, self._loaders.get(id(self._loader))

    # --- the module ----------------------------------------------------------------------------------------------

    def _called(self, x: dict[str, Array]) -> Any:
        tensors = {key: self._tensor(value) for key, value in x.items()}
        by_place = [value for key, value in tensors.items() if key.isdigit()]
        return self._module(*by_place, **{key: value for key, value in tensors.items() if not key.isdigit()})

    def _tensor(self, value: Array) -> Any:
        tensor = torch.as_tensor(np.ascontiguousarray(value))
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    def _leaves(self) -> Iterator[tuple[str, Any]]:
        inside: list[str] = []
        for name, module in self._module.named_modules():
            if any(name.startswith(f"{outer}.") for outer in inside):
                continue
            if isinstance(module, WHOLE):
                inside.append(name)
            if _is_leaf(module) or list(module.parameters(recurse=False)):
                yield name, module

    def _described(self, name: str, module: Any) -> Layer:
        own = _own(module)
        config = {key: value for key, value in vars(module).items() if not key.startswith("_")}
        return Layer(
            name=name,
            kind=next((KINDS[base] for base in type(module).__mro__ if base in KINDS), type(module).__name__),
            cls=type(module).__name__,
            config=plain({**config, "mode": getattr(module, "mode", None)}),
            weights={key: tuple(value.shape) for key, value in own.items()},
            trainable={key: value.requires_grad for key, value in own.items()},
            line=_line_of(module, "__init__"),
            frozen=_line_of(module, "requires_grad_"),
        )

    # --- what the user's recipe makes ----------------------------------------------------------------------------

    def _optimizer_is_made(self, optimizer: Any, *_: Any, **__: Any) -> None:
        self._optimizers.append((optimizer, loading.user_line(made_by=optimizer)))

    def _schedule_is_made(self, *_: Any, **__: Any) -> None:
        self._schedules.append(loading.user_line())

    def _loader_is_made(self, loader: Any, *_: Any, **__: Any) -> None:
        self._loaders[id(loader)] = loading.user_line()

    def _clipping(self, kind: str, function: Callable[..., Any], limit: str) -> Callable[..., None]:
        signature = inspect.signature(function)

        def clips(*args: Any, **kwargs: Any) -> None:
            self._capture()
            given = float(signature.bind(*args, **kwargs).arguments[limit])
            self._clips.append({"kind": kind, "limit": given, "line": loading.user_line()})

        return clips


def _before(owner: Any, name: str, watch: Callable[..., None]) -> None:
    """Let a function of torch's hand its arguments to `watch` first."""
    function = getattr(owner, name)

    def called(*args: Any, **kwargs: Any) -> Any:
        watch(*args, **kwargs)
        return function(*args, **kwargs)

    setattr(owner, name, called)


def _remember(name: str, module: Any, *_: Any, **__: Any) -> None:
    """Let a module know the user's line that called a method of it: the last line, but of `__init__` the outermost."""
    line = loading.user_line(made_by=module if name == "__init__" else None)
    object.__setattr__(module, f"_bench_{name}", line)


def _line_of(module: Any, name: str) -> str | None:
    line: str | None = getattr(module, f"_bench_{name}", None)
    return line


def _is_leaf(module: Any) -> bool:
    return isinstance(module, WHOLE) or not list(module.children())


def _own(module: Any) -> dict[str, Any]:
    """Return the weights of a leaf, or of a module with children those that are its own."""
    deep = _is_leaf(module)
    buffers = {key: value for key, value in module.named_buffers(recurse=deep) if value.is_floating_point()}
    return {**dict(module.named_parameters(recurse=deep)), **buffers}


def _array(tensor: Any) -> Array:
    copied: Array = tensor.detach().cpu().numpy().copy()
    return copied


# --- watching ----------------------------------------------------------------------------------------------------


class _Watching(TorchFunctionMode):
    """Watches dropouts, which do nothing meanwhile, and losses; with `live` records calls and the functions between."""

    def __init__(
        self, leaves: dict[str, Any], live: Live | None = None, forced: Mapping[tuple[str, int], Forced] | None = None
    ) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.dropouts: list[dict[str, Any]] = []
        self.losses: list[dict[str, Any]] = []
        self.reduced: dict[str, Any] | None = None
        self._leaves, self._live, self._forced = leaves, live, forced or {}
        self._count: Counter[str] = Counter()
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []
        self._inside = False
        self._part: str | None = None

    def _line(self) -> str | None:
        """Return the line that made the module without weights that is running, else the user's that runs."""
        return self._part or loading.user_line()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if "dropout" in name and name != "multi_head_attention_forward":
            rate = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
            active = kwargs.get("training", args[2] if len(args) > 2 else True)
            self._dropout(float(rate), bool(active), kind=name)
            return kwargs.get("input", args[0] if args else None)
        if name == "scaled_dot_product_attention" and kwargs.get("dropout_p"):
            self._dropout(float(kwargs["dropout_p"]), True)
            kwargs["dropout_p"] = 0.0
        if name in LOSSES:
            args = (*args, *(kwargs.pop(key) for key in ("input", "target")[len(args) :] if key in kwargs))
            settings = {key: _array(v) if isinstance(v, torch.Tensor) else v for key, v in kwargs.items()}
            arrays = [_array(each) for each in args[:2]]
            self.losses.append({"name": name, "arrays": arrays, "settings": settings, "line": self._line()})
        result = func(*args, **kwargs)
        if name in ("mean", "sum") and self.reduced is None and isinstance(result, torch.Tensor) and result.dim() == 0:
            line = self._line()
            self.reduced = {"name": name, "array": _array(args[0]), "line": line} if result.requires_grad else None
        if self._live is not None and not self._inside and (made := _tensors(result)):
            given = [self.number(each) for each in _tensors([args, kwargs])]
            if (name.endswith("_") and not name.endswith("__")) or kwargs.get("inplace"):
                for each in made:
                    self._numbers.pop(id(each), None)
            if given:
                call = Call(name, given, [self.number(each) for each in made], self._line(), is_op=True)
                call.settings = {**plain(kwargs), "args": list(plain(dict(enumerate(args))).values())}
                self.calls.append(call)
        return result

    def _dropout(self, rate: float, active: bool, kind: str = "dropout") -> None:
        self.dropouts.append({"rate": rate, "active": active, "line": self._line(), "kind": kind})

    def number(self, tensor: Any) -> tuple[int, Array]:
        """Return a tensor's number and value; the number stands for it as long as this watch lasts."""
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self._kept)
            self._kept.append(tensor)
        with torch._C.DisableTorchFunction():
            return self._numbers[id(tensor)], _array(tensor)

    @contextmanager
    def modules(self) -> Iterator[None]:
        """Take over the `forward` of every leaf; dropouts inside of layers are 0 meanwhile, and counted."""

        def enter(module: Any, *_: Any) -> None:
            if not isinstance(module, WHOLE) and not list(module.children()):
                self._part = _line_of(module, "__init__")

        def leave(*_: Any) -> None:
            self._part = None

        hooks = register_module_forward_pre_hook(enter), register_module_forward_hook(leave)
        try:
            with ExitStack() as stack:
                for name, module in self._leaves.items():
                    if isinstance(module, WHOLE):
                        rate = getattr(module, "dropout", None)
                        inner = rate if isinstance(rate, float) else 0.0
                        off = {"dropout": 0.0} if isinstance(rate, float) else {}
                        stack.enter_context(changed([module], forward=self._wrapped(name, module, inner), **off))
                stack.enter_context(self)
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _wrapped(self, name: str, module: Any, rate: float) -> Callable[..., Any]:
        forward = module.forward

        def call(*args: Any, **kwargs: Any) -> Any:
            for _ in range(getattr(module, "num_layers", 2) - 1 if rate > 0 else 0):
                self._dropout(rate, module.training)
            if self._live is None:
                return forward(*args, **kwargs)
            self._count[name] += 1
            return self._call(name, self._count[name] - 1, module, forward, args, kwargs)

        return call

    def _call(self, name: str, index: int, module: Any, forward: Any, args: Any, kwargs: Any) -> Any:
        def padded(values: Any) -> list[Any]:
            first = getattr(module, "batch_first", True)
            found = _tensors(values, packed=True)
            return [pad_packed_sequence(each, first)[0] if isinstance(each, PackedSequence) else each for each in found]

        assert self._live is not None
        with torch._C.DisableTorchFunction():
            given = [self.number(each) for each in padded([args, kwargs])]
            call = Call(name, given, [], loading.user_line(), index=index)
            packed = any(isinstance(each, PackedSequence) for each in args)
            call.settings = {"training": module.training, "mode": _line_of(module, "eval"), "packed": packed}
            force = None if packed else self._forced.get((name, index))
            way = None
            if force:
                args, kwargs, way = _replaced(force, args, kwargs)
            self._live[name, index] = module, args, kwargs
            self._inside = True
            try:
                result = forward(*args, **kwargs)
            finally:
                self._inside = False
            call.outputs = [self.number(each) for each in padded(result)]
            if force and force.output is not None:
                result = _made_to_return(result, force, way)
                numbers = [self.number(each)[0] for each in _tensors(result)]
                call.outputs = [(own, value) for own, (_, value) in zip(numbers, call.outputs, strict=False)]
        self.calls.append(call)
        return result


def _replaced(force: Forced, args: Any, kwargs: Any) -> tuple[Any, Any, str | None]:
    """Return arguments with Keras's values in place of the first tensors, and the layout that they were put in."""
    names = [key for key in ("input", "query", "key", "value") if key in kwargs]
    given, way = {**dict(enumerate(args)), **kwargs}, None
    for place, value in zip([*range(len(args)), *names], force.inputs, strict=False):
        own = given[place]
        if not isinstance(own, torch.Tensor):
            break
        arranged, found = layout.arranged(value, own.detach().numpy(), force.layout)
        way = way or found
        given[place] = _like(own, arranged)
    return tuple(given[at] for at in range(len(args))), {key: given[key] for key in kwargs}, way


def _like(own: Any, value: Array) -> Any:
    return torch.as_tensor(np.ascontiguousarray(value)).to(own.dtype)


def _made_to_return(result: Any, force: Forced, way: str | None) -> Any:
    """Return what a layer returns with Keras's values in it."""
    first, value = _tensors(result)[0], force.output
    assert value is not None
    output = _like(first, value.reshape(-1, value.shape[-1]) if way == "flat" else layout.to_torch(value, way))
    if not isinstance(result, tuple):
        return output
    states = tuple(_like(first, state) for state in force.states)
    if isinstance(result[1], tuple):
        return output, states if len(states) == 2 else result[1]
    return output, states[0] if states else result[1]


def _tensors(value: Any, packed: bool = False) -> list[Any]:
    """Return the tensors of a nested value, in order."""
    if isinstance(value, torch.Tensor) or (packed and isinstance(value, PackedSequence)):
        return [value]
    if isinstance(value, PackedSequence):
        return [value.data]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [each for part in value for each in _tensors(part, packed)] if isinstance(value, tuple | list) else []
