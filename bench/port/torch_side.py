"""The PyTorch module in its worker: loaded, run, recorded, trained. Imported by nobody but `bench.port.worker`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from bench.port.trace import Array, Call, Forced, Layer, Steps, Trace

KINDS = {
    nn.Linear: "Dense",
    nn.Conv1d: "Conv1D",
    nn.Conv2d: "Conv2D",
    nn.Conv3d: "Conv3D",
    nn.ConvTranspose1d: "Conv1DTranspose",
    nn.ConvTranspose2d: "Conv2DTranspose",
    nn.Embedding: "Embedding",
    nn.LSTM: "LSTM",
    nn.GRU: "GRU",
    nn.RNN: "SimpleRNN",
    nn.BatchNorm1d: "BatchNormalization",
    nn.BatchNorm2d: "BatchNormalization",
    nn.BatchNorm3d: "BatchNormalization",
    nn.LayerNorm: "LayerNormalization",
    nn.GroupNorm: "GroupNormalization",
    nn.MultiheadAttention: "MultiHeadAttention",
}
"""Modules that have a counterpart among Keras's layers, which their kind is named after."""
LOSSES = frozenset(
    f"{name}_loss" for name in ("mse", "l1", "smooth_l1", "huber", "nll", "poisson_nll", "gaussian_nll", "soft_margin")
) | {"binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "kl_div"}
HALF = (torch.float16, torch.bfloat16)


class TorchSide:
    """One module; what its methods take and return crosses a process border."""

    def __init__(self) -> None:
        self._module: Any = None
        self._optimizers: list[tuple[Any, str | None]] = []
        self._clips: list[dict[str, Any]] = []
        self._capture: Callable[[], None] | None = None
        self._modes: dict[str, bool] = {}
        self._step: Any = None
        self._loader: Any = None
        self._schedules: list[str | None] = []
        self._loaders: dict[int, str | None] = {}
        self._live: dict[tuple[str, int], tuple[Any, tuple[Any, ...], dict[str, Any]]] = {}
        _remember_lines()
        self._watch_optimizers()

    def load(self, spec: str, dtype: str) -> None:
        """Make the module in float64 or float32; raise `UsageError` for one that is not supported."""
        self._optimizers.clear()
        self._clips.clear()
        self._schedules.clear()
        self._live.clear()
        torch.backends.mha.set_fastpath_enabled(False)  # it passes by the modules that are to be compared
        self._dtype = getattr(torch, dtype)
        torch.set_default_dtype(self._dtype)
        torch.manual_seed(0)
        found = loading.named(spec)
        module = found if isinstance(found, nn.Module) else found()
        if not isinstance(module, nn.Module):
            raise UsageError(f"{spec} returned {type(module).__name__}, not a torch.nn.Module")
        if isinstance(module, torch.jit.ScriptModule):
            raise UsageError(
                f"{spec} is a TorchScript module, which cannot be looked into; name the class it was made of"
            )
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.dtype in HALF:
                raise UsageError(f"torch weight {name} is {value.dtype}: half precision is not compared; use float32")
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise UsageError(f"torch weight {name} holds NaN or infinity")
        self._modes = {name: each.training for name, each in module.named_modules()}
        self._module = module.to(self._dtype)

    def layers(self) -> list[Layer]:
        """Return all leaves, and modules with weights of their own, in order of declaration."""
        return [self._described(name, module) for name, module in self._leaves()]

    def weights(self, gradients: bool = False) -> dict[str, dict[str, Array]]:
        """Return weights by module and name within it, or what they have of gradients."""
        found: dict[str, dict[str, Array]] = {}
        for name, module in self._leaves():
            arrays = {key: (value.grad if gradients else value) for key, value in self._own(module).items()}
            arrays = {key: value.detach().cpu().numpy().copy() for key, value in arrays.items() if value is not None}
            if arrays:
                found[name] = arrays
        return found

    def set_weights(self, weights: Mapping[str, Mapping[str, Array]]) -> None:
        """Put values into weights in place."""
        modules = dict(self._module.named_modules())
        with torch.no_grad():
            for name, arrays in weights.items():
                own = self._own(modules[name])
                for key, value in arrays.items():
                    own[key].copy_(torch.as_tensor(np.ascontiguousarray(value)))

    def takes(self) -> list[str]:
        """Return the parameters of `forward`."""
        return list(inspect.signature(self._module.forward).parameters)

    def forward(
        self, x: dict[str, Array], training: bool, forced: dict[tuple[str, int], Forced] | None = None
    ) -> Trace:
        """Return every call of a leaf, every function between them, and the outputs.

        `x`: by parameter of `forward`, or by position where a key is a number. `forced`: what leaves are given and
        made to return, by name and how often they were called before.
        """
        self._module.train(training)
        watching = _Watching(forced or {}, self._live, dict(self._leaves()))
        with torch.no_grad(), watching.modules(), watching:
            made = _tensors(self._called(x))
        trace = Trace(watching.calls, [watching.number(each) for each in made])
        return trace

    def dropouts(self, x: dict[str, Array], training: bool) -> list[dict[str, Any]]:
        """Return rate, line and whether it was active of each dropout that a pass meets, in order."""
        self._module.train(training)
        watching = _Watching({}, {}, {})
        with torch.no_grad(), watching.modules(dict(self._leaves())), watching:
            self._called(x)
        return watching.dropouts

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
        old = {key: getattr(module, key) for key in changes}
        state = {key: value.clone() for key, value in module.state_dict().items()}
        try:
            for key, value in changes.items():
                setattr(module, key, value)
            with torch.no_grad():
                return [
                    each.detach().numpy().copy() for each in _tensors(type(module).forward(module, *args, **kwargs))
                ]
        finally:
            for key, value in old.items():
                setattr(module, key, value)
            module.load_state_dict(state)

    def function(self, name: str, arrays: list[Array], settings: dict[str, Any]) -> float:
        """Return what a loss function gives."""
        tensors = [self._tensor(each) for each in arrays]
        settings = {key: self._tensor(v) if isinstance(v, np.ndarray) else v for key, v in settings.items()}
        return float(getattr(nn.functional, name)(*tensors, **settings))

    def gradient(self, x: dict[str, Array], cotangents: list[Array]) -> tuple[float, dict[str, dict[str, Array]]]:
        """Return the sum of outputs times `cotangents` (torch's layout) and its gradients, training without dropout."""
        self._module.train(True)
        self._module.zero_grad(set_to_none=True)
        watching = _Watching({}, {}, {})
        with watching.modules(dict(self._leaves())), watching:
            outputs = _tensors(self._called(x))
            pairs = zip(outputs, cotangents, strict=True)
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
        given = [self._tensor(each) for each in x]
        target = self._tensor(y)
        losses: list[float] = []
        rates: list[float] = []
        gradients: dict[str, dict[str, Array]] = {}
        modes: dict[str, tuple[bool, str | None]] = {}
        epsilons: list[float] = []
        stepped: list[str | None] = []
        first: dict[str, dict[str, Array]] = {}

        def capture() -> None:
            if not gradients and not losses:
                gradients.update(self.weights(gradients=True))

        def before(optimizer: Any, *_: Any) -> None:
            capture()
            group = optimizer.param_groups[0]
            rates.append(float(group["lr"]))
            epsilons.append(float(group.get("eps", group.get("epsilon", 0.0))))
            stepped.append(loading.user_line())
            if not modes:
                own = self._module.named_modules()
                modes.update({name: (each.training, getattr(each, "_bench_mode", None)) for name, each in own})

        self._capture = capture
        hook = register_optimizer_step_pre_hook(before)
        watching = _Watching({}, {}, {})
        try:
            with watching.modules(dict(self._leaves())), watching:
                for step in range(steps):
                    loss = self._step(*given, target)
                    losses.append(self._as_number(loss))
                    if step == 0:
                        first = self.weights()
        finally:
            hook.remove()
            self._capture = None
        optimizer, line = self._optimizers[-1] if self._optimizers else (None, None)
        settings: dict[str, Any] = {}
        if optimizer is not None:
            group = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
            settings = {key: tuple(v) if isinstance(v, tuple | list) else v for key, v in group.items() if _plain(v)}
        observed = {
            "loss": watching.losses[:1],
            "clips": self._clips[:1],
            "modes": modes,
            "reduced": watching.reduced,
            "epsilons": epsilons,
            "schedule": self._schedules[-1] if self._schedules else None,
            "stepped": stepped[0] if stepped else None,
        }
        name = type(optimizer).__name__ if optimizer is not None else ""
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
            whole = isinstance(module, tuple(KINDS))
            if whole:
                inside.append(name)
            if whole or not list(module.children()) or list(module.parameters(recurse=False)):
                yield name, module

    def _own(self, module: Any) -> dict[str, Any]:
        """Return the weights of a leaf, or of a module with children those that are its own."""
        deep = isinstance(module, tuple(KINDS)) or not list(module.children())
        found = dict(module.named_parameters(recurse=deep))
        return {
            **found,
            **{key: value for key, value in module.named_buffers(recurse=deep) if value.is_floating_point()},
        }

    def _described(self, name: str, module: Any) -> Layer:
        own = self._own(module)
        config = {key: value for key, value in vars(module).items() if not key.startswith("_") and _plain(value)}
        if isinstance(module, nn.RNN):
            config["mode"] = module.mode
        return Layer(
            name=name,
            kind=_kind(module),
            cls=type(module).__name__,
            config=config,
            weights={key: tuple(value.shape) for key, value in own.items()},
            trainable={key: value.requires_grad for key, value in own.items()},
            line=getattr(module, "_bench_line", None),
            frozen=getattr(module, "_bench_frozen", None),
        )

    def _watch_optimizers(self) -> None:
        init = torch.optim.Optimizer.__init__

        def made(optimizer: Any, *args: Any, **kwargs: Any) -> None:
            init(optimizer, *args, **kwargs)
            self._optimizers.append((optimizer, loading.user_line(made_by=optimizer)))

        torch.optim.Optimizer.__init__ = made  # type: ignore[method-assign,assignment]
        scheduler = torch.optim.lr_scheduler.LRScheduler.__init__

        def scheduled(schedule: Any, *args: Any, **kwargs: Any) -> None:
            self._schedules.append(loading.user_line())
            scheduler(schedule, *args, **kwargs)

        torch.optim.lr_scheduler.LRScheduler.__init__ = scheduled  # type: ignore[method-assign,assignment]
        loader = torch.utils.data.DataLoader.__init__

        def loads(data: Any, *args: Any, **kwargs: Any) -> None:
            loader(data, *args, **kwargs)
            self._loaders[id(data)] = loading.user_line()

        torch.utils.data.DataLoader.__init__ = loads  # type: ignore[method-assign,assignment]
        for name in ("clip_grad_norm_", "clip_grad_value_"):
            setattr(nn.utils, name, self._clip(name, getattr(nn.utils, name)))

    def _clip(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def clip(*args: Any, **kwargs: Any) -> Any:
            if self._capture:
                self._capture()
            given = inspect.signature(function).bind(*args, **kwargs)
            given.apply_defaults()
            limit = float(given.arguments["max_norm" if "norm" in name else "clip_value"])
            kind = "norm" if "norm" in name else "value"
            self._clips.append({"kind": kind, "limit": limit, "line": loading.user_line()})
            return function(*args, **kwargs)

        return clip


def _remember_lines() -> None:
    """Let every module know the user's lines that made it, froze it and last changed its mode."""

    def remembering(name: str, attribute: str) -> None:
        function = getattr(nn.Module, name)

        def called(module: Any, *args: Any, **kwargs: Any) -> Any:
            result = function(module, *args, **kwargs)
            object.__setattr__(module, attribute, loading.user_line(made_by=module if name == "__init__" else None))
            return result

        setattr(nn.Module, name, called)

    for name, attribute in (("__init__", "_bench_line"), ("requires_grad_", "_bench_frozen"), ("eval", "_bench_mode")):
        remembering(name, attribute)


def _kind(module: Any) -> str:
    return next((KINDS[base] for base in type(module).__mro__ if base in KINDS), type(module).__name__)


# --- watching ----------------------------------------------------------------------------------------------------


class _Watching(TorchFunctionMode):
    """Records calls of leaves and the functions between them; dropout does nothing, but is counted."""

    def __init__(self, forced: dict[tuple[str, int], Forced], live: dict[Any, Any], leaves: dict[str, Any]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.dropouts: list[dict[str, Any]] = []
        self.losses: list[dict[str, Any]] = []
        self.reduced: dict[str, Any] | None = None
        self._forced, self._live, self._leaves = forced, live, leaves
        self._numbers: dict[int, int] = {}
        self._next = 0
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
            tensors = [kwargs.pop(key) for key in ("input", "target") if key in kwargs]
            args, found = (*args[: 2 - len(tensors)], *tensors), kwargs
            settings = {k: v.detach().numpy() if isinstance(v, torch.Tensor) else v for k, v in found.items()}
            arrays = [each.detach().numpy().copy() for each in args[:2]]
            self.losses.append({"name": name, "arrays": arrays, "settings": settings, "line": self._line()})
        result = func(*args, **kwargs)
        if name in ("mean", "sum") and self.reduced is None and isinstance(result, torch.Tensor) and result.dim() == 0:
            array = args[0].detach().numpy().copy()
            self.reduced = {"name": name, "array": array, "line": self._line()} if result.requires_grad else None
        if self._leaves and not self._inside and (made := _tensors(result)):
            given = [self.number(each) for each in _tensors([args, kwargs])]
            if (name.endswith("_") and not name.endswith("__")) or kwargs.get("inplace"):
                for each in made:
                    self._numbers.pop(id(each), None)
            settings = {
                "args": [each for each in args if _plain(each)],
                **{k: v for k, v in kwargs.items() if _plain(v)},
            }
            if name == "__getitem__":
                settings["args"] = [str(args[1])[:60]]
            if given:
                call = Call(name, given, [self.number(each) for each in made], self._line(), is_op=True)
                call.settings = settings
                self.calls.append(call)
        return result

    def _dropout(self, rate: float, active: bool, kind: str = "dropout") -> None:
        self.dropouts.append({"rate": rate, "active": active, "line": self._line(), "kind": kind})

    def number(self, tensor: Any) -> tuple[int, Array]:
        """Return a tensor's number and value; the number stands for it as long as this watch lasts."""
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = self._next
            self._next += 1
            self._kept.append(tensor)
        with torch._C.DisableTorchFunction():
            return self._numbers[id(tensor)], tensor.detach().cpu().numpy().copy()

    @contextmanager
    def modules(self, leaves: dict[str, Any] | None = None) -> Iterator[None]:
        """Take over the `forward` of every leaf; dropouts inside of layers are 0 meanwhile, and counted."""
        count: dict[str, int] = {}
        leaves = leaves if leaves is not None else self._leaves
        weighted: dict[str, Any] = {name: own for name, own in leaves.items() if isinstance(own, tuple(KINDS))}
        before = {name: getattr(module, "dropout", None) for name, module in weighted.items()}

        def wrapped(name: str, module: Any, forward: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                rate = before[name]
                if isinstance(rate, float) and rate > 0:
                    times = getattr(module, "num_layers", 2) - 1
                    for _ in range(times):
                        self._dropout(rate, module.training)
                if not self._leaves:
                    return forward(*args, **kwargs)
                count[name] = count.get(name, -1) + 1
                return self._call(name, count[name], module, forward, args, kwargs)

            return call

        def enter(module: Any, *_: Any) -> None:
            if not isinstance(module, tuple(KINDS)) and not list(module.children()):
                self._part = getattr(module, "_bench_line", None)

        def leave(*_: Any) -> None:
            self._part = None

        for name, module in weighted.items():
            if isinstance(before[name], float):
                module.dropout = 0.0
            module.forward = wrapped(name, module, module.forward)
        hooks = register_module_forward_pre_hook(enter), register_module_forward_hook(leave)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for name, module in weighted.items():
                if isinstance(before[name], float):
                    module.dropout = before[name]
                del module.forward

    def _call(self, name: str, index: int, module: Any, forward: Any, args: Any, kwargs: Any) -> Any:
        first = getattr(module, "batch_first", True)
        with torch._C.DisableTorchFunction():
            given = [_padded(each, first) for each in _tensors([args, kwargs], packed=True)]
            call = Call(name, [self.number(each) for each in given], [], loading.user_line(), index=index)
            packed = any(isinstance(each, PackedSequence) for each in args)
            mode = getattr(module, "_bench_mode", None)
            call.settings = {"training": module.training, "mode": mode, "packed": packed}
            force = self._forced.get((name, index))
            way = None
            if force and not packed:
                args, kwargs, way = _replaced(force, args, kwargs)
            self._live[name, index] = module, args, kwargs
            self._inside = True
            try:
                result = forward(*args, **kwargs)
            finally:
                self._inside = False
            local = [_padded(each, first) for each in _tensors(result, packed=True)]
            call.outputs = [self.number(each) for each in local]
            if force and force.output is not None and not packed:
                result = _made_to_return(result, force, way)
                numbers = [self.number(each)[0] for each in _tensors(result)]
                values = [value for _, value in call.outputs]
                call.outputs = list(zip(numbers, values, strict=False))
        self.calls.append(call)
        return result


def _padded(value: Any, batch_first: bool) -> Any:
    return pad_packed_sequence(value, batch_first=batch_first)[0] if isinstance(value, PackedSequence) else value


def _replaced(force: Forced, args: Any, kwargs: Any) -> tuple[Any, Any, str | None]:
    """Return arguments with Keras's values in place of the first tensors, and the layout that they were put in."""
    names = [key for key in ("input", "query", "key", "value") if key in kwargs]
    args, kwargs, way = list(args), dict(kwargs), None
    for at, value in enumerate(force.inputs):
        place: Any = at if at < len(args) else names[at - len(args)] if at - len(args) < len(names) else None
        if place is None:
            break
        holder = args if isinstance(place, int) else kwargs
        own = holder[place]
        if not isinstance(own, torch.Tensor):
            break
        arranged, found = _arranged(value, own.detach().numpy(), force.layout)
        way = way or found
        holder[place] = torch.as_tensor(np.ascontiguousarray(arranged)).to(own.dtype)
    return tuple(args), kwargs, way


def _arranged(value: Array, own: Array, wanted: str | None) -> tuple[Array, str]:
    """Return Keras's value in the layout of torch's own, and its name; `flat` has steps and rows in one axis."""
    if wanted is not None:
        return layout.to_torch(value, wanted), wanted
    ways = [(layout.to_torch(value, name), name) for name in ("same", "time", "channels")]
    fitting = [(way, name) for way, name in ways if way.shape == own.shape]
    if fitting:
        return min(fitting, key=lambda way: layout.error(own, way[0]))
    return (value.reshape(own.shape), "flat") if value.size == own.size else (value, "same")


def _made_to_return(result: Any, force: Forced, way: str | None) -> Any:
    """Return what a layer returns with Keras's values in it."""
    first = _tensors(result)[0]
    assert force.output is not None

    def like(value: Array, arranged: str | None) -> Any:
        if arranged == "flat":
            return torch.as_tensor(value.reshape(-1, value.shape[-1])).to(first.dtype)
        return torch.as_tensor(np.ascontiguousarray(layout.to_torch(value, arranged or "same"))).to(first.dtype)

    output = like(force.output, way)
    if not isinstance(result, tuple):
        return output
    states = [torch.as_tensor(np.ascontiguousarray(state)).to(first.dtype) for state in force.states]
    if isinstance(result[1], tuple):
        return output, tuple(states) if len(states) == 2 else result[1]
    return output, states[0] if states else result[1]


def _tensors(value: Any, packed: bool = False) -> list[Any]:
    """Return the tensors of a nested value, in order."""
    if isinstance(value, torch.Tensor) or (packed and isinstance(value, PackedSequence)):
        return [value]
    if isinstance(value, PackedSequence):
        return [value.data]
    if isinstance(value, Mapping):
        return [each for part in value.values() for each in _tensors(part, packed)]
    if isinstance(value, tuple | list):
        return [each for part in value for each in _tensors(part, packed)]
    return []


def _plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_plain, value))
    return value is None or isinstance(value, str | int | float | bool)
