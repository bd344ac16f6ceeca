"""The Keras model in its worker: loaded, run, recorded, trained. Imported by nobody but `bench.port.worker`."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import dtypes
from keras.src.trainers import data_adapters

from bench.errors import UsageError
from bench.port import loading
from bench.port.loading import FILES, changed
from bench.port.trace import Array, ByLayer, Call, Layer, Steps, Trace, plain

WHOLE = {"Bidirectional", "MultiHeadAttention", "GroupQueryAttention", "TimeDistributed", "RNN"}
"""Layers of several that are one layer here."""
RECURRENT = ("LSTM", "GRU", "SimpleRNN")
NOISE = 0.1
_call = keras.layers.Layer.__call__
_init = keras.layers.Layer.__init__
_policy = keras.dtype_policies.DTypePolicy.__init__


class KerasSide:
    """One Keras model; what its methods take and return crosses a process border."""

    def load(self, spec: str, compiled: bool) -> None:
        """Load a model in float64 from a `.keras` or `.h5` file or a function."""
        self._fit: dict[str, Any] = {}
        self._live: dict[tuple[str, int], tuple[Any, tuple[Any, ...], dict[str, Any]]] = {}
        self._lines: dict[int, str | None] = {}
        keras.utils.clear_session()
        _in_double()
        keras.utils.set_random_seed(0)

        def made(layer: Any, *args: Any, **kwargs: Any) -> None:
            self._lines.setdefault(id(layer), loading.user_line())
            _init(layer, *args, **kwargs)

        with changed([keras.layers.Layer], __init__=made):
            in_file = spec.endswith(FILES)
            self._model: Any = _from_file(spec, compiled) if in_file else loading.made(spec, keras.Model, "Keras model")

    def compile(self, spec: str) -> None:
        """Let the user's recipe compile the model; it may return arguments of `fit`."""
        found = loading.named(spec)(self._model)
        if getattr(self._model, "optimizer", None) is None:
            raise UsageError(f"--keras-compile {spec} did not compile the model; let it call model.compile(...)")
        self._fit = dict(found) if isinstance(found, dict) else {}

    def needs(self) -> list[tuple[str, tuple[int | None, ...], bool]]:
        """Return name, shape and whether whole numbers are wanted, of each input; nothing where only a batch tells."""
        inputs = getattr(self._model, "inputs", None) or []
        ids = {id(layer.input) for layer in self._layers() if _kind(layer) == "Embedding" and _has_input(layer)}
        return [(x.name, tuple(x.shape), id(x) in ids or "int" in str(x.dtype)) for x in inputs]

    def ids(self) -> int:
        """Return how many ids every Embedding knows; 2 where there is none."""
        return min([layer.input_dim for layer in self._layers() if _kind(layer) == "Embedding"], default=2)

    def prepare(self, x: list[Array]) -> None:
        """Build the model on a batch and give weights that are constant some noise: zeros would hide differences.

        Raises `UsageError` for what is not supported, with the layer.
        """
        self._model(self._inputs(x), training=False)
        leaves = list(_leaves(self._model, set()))
        names = Counter(layer.name for layer in leaves)
        self._leaves = {str(layer.name if names[layer.name] < 2 else layer.path): layer for layer in leaves}
        self._names = {id(layer): name for name, layer in self._leaves.items()}
        random = np.random.RandomState(0)
        for layer in self._layers():
            if not isinstance(layer, keras.Model):
                _check(layer)
        for weight in self._model.weights:
            value = _array(weight.value)
            if not np.isfinite(value).all():
                raise UsageError(f"Keras weight {weight.path} holds NaN or infinity; train it again, or mend the file")
            if value.dtype.kind == "f" and np.unique(value[..., :64]).size <= 2 and np.unique(value).size <= 2:
                noise = NOISE * random.standard_normal(value.shape)
                weight.assign(value + (abs(noise) if "variance" in weight.name else noise))
        self._start = self._model.get_weights()

    def restore(self) -> None:
        """Give the model the weights it started with."""
        self._model.set_weights(self._start)

    def layers(self) -> list[Layer]:
        """Return all layers that do something, in order of declaration."""
        trained = {id(v) for v in self._model.trainable_variables}
        return [self._described(name, layer, trained) for name, layer in self._leaves.items()]

    def weights(self) -> ByLayer:
        """Return the weights by layer and name within it."""
        return self._by_layer(lambda v: v.value)

    def _by_layer(self, value_of: Callable[[Any], Any]) -> ByLayer:
        """Return a value of every variable of the layers that has one."""
        found = {
            name: {key: _array(value_of(v)) for key, v in _weights(layer).items() if value_of(v) is not None}
            for name, layer in self._leaves.items()
        }
        return {name: arrays for name, arrays in found.items() if arrays}

    def without_dropout(self) -> None:
        """Set every dropout to 0 from now on, so that training is exact."""
        for layer in self._layers():
            for attribute in ("rate", "stddev"):
                if isinstance(getattr(layer, attribute, None), float):
                    setattr(layer, attribute, 0.0)
            cell = getattr(layer, "cell", None)
            if cell is not None and hasattr(cell, "dropout"):
                cell.dropout = cell.recurrent_dropout = 0.0

    def forward(self, x: list[Array], training: bool) -> Trace:
        """Return every call of a layer and the outputs."""
        numbers: dict[int, int] = {}
        calls: list[Call] = []
        kept: list[Any] = []
        count: Counter[str] = Counter()

        def number(tensor: Any) -> tuple[int, Array]:
            kept.append(tensor)
            return numbers.setdefault(id(tensor), len(numbers)), _array(tensor)

        def record(layer: Any, *args: Any, **kwargs: Any) -> Any:
            name = self._names.get(id(layer), layer.name)
            result = _call(layer, *args, **kwargs)
            given = [tensor for tensor in keras.tree.flatten([args, kwargs]) if keras.ops.is_tensor(tensor)]
            call = Call(name, [*map(number, given)], [*map(number, keras.tree.flatten(result))], loading.user_line())
            call.index = count[name]
            count[name] += 1
            mask = kwargs.get("mask")
            mask = getattr(given[0], "_keras_mask", None) if mask is None and given else mask
            call.mask = None if mask is None or isinstance(mask, list) else _array(mask)
            call.extra = {**_states(layer, args, kwargs), **_before(layer, args, kwargs)}
            if getattr(layer, "go_backwards", False):
                call.inputs = [(own, value[:, ::-1]) for own, value in call.inputs[:1]] + call.inputs[1:]
            self._live[name, call.index] = layer, args, kwargs
            calls.append(call)
            return result

        with _recording(record):
            made = keras.tree.flatten(self._model(self._inputs(x), training=training))
        masks = [getattr(each, "_keras_mask", None) for each in made]
        return Trace(calls, [*map(number, made)], [None if mask is None else _array(mask) for mask in masks])

    def again(
        self, name: str, index: int, changes: dict[str, Any], masked: bool = True, training: bool = False
    ) -> dict[str, Array]:
        """Return what a recorded call gives with other attributes, or without its mask: output, sequence, states."""
        layer, args, kwargs = self._live[name, index]
        if not masked:
            kwargs = {key: value for key, value in kwargs.items() if "mask" not in key}
            args, kwargs = keras.tree.map_structure(_unmasked, (args, kwargs))
        if training and layer._call_has_training_arg:
            kwargs = {**kwargs, "training": True}
        cells = [getattr(each, "cell", each) for each in _directions(layer)]
        made = {key: keras.activations.get(value) if "activation" in key else value for key, value in changes.items()}
        weights = layer.get_weights()
        with changed(cells, **made):
            output = _array(keras.tree.flatten(_call(layer, *args, **kwargs))[0])
            states = _states(layer, args, kwargs)
        layer.set_weights(weights)
        return {"output": output, **states}

    def gradient(self, x: list[Array], cotangents: list[Array] | None, y: Array | None) -> tuple[float, float, ByLayer]:
        """Return loss, its part from regularisers, and gradients, in training mode without dropout.

        The loss is the compiled one where `y` is given, else the sum of outputs times `cotangents`.
        """
        model, given = self._model, self._inputs(x)

        def loss_of(outputs: Any) -> Any:
            if y is not None:
                return model.compute_loss(x=given, y=keras.ops.convert_to_tensor(y), y_pred=outputs, training=True)
            parts = zip(keras.tree.flatten(outputs), cotangents or [], strict=True)
            return sum(keras.ops.sum(part * keras.ops.convert_to_tensor(weight)) for part, weight in parts)

        loss, gradients = _GRADIENTS[keras.backend.backend()](model, given, loss_of)
        extra = 0.0
        if y is not None and model.losses:
            model(given, training=True)  # JAX's penalties were traced ones
            extra = float(sum(map(float, model.losses)))
        self._gradients = {id(v): g for v, g in zip(model.trainable_variables, gradients, strict=True)}
        return float(loss), extra, self._by_layer(lambda v: self._gradients.get(id(v)))

    def loss(self) -> dict[str, Any]:
        """Return the compiled loss: its name and settings; nothing where the model is not compiled."""
        loss = getattr(self._model, "loss", None)
        if loss is None:
            return {}
        loss = keras.losses.get(loss)
        settings = loss.get_config() if hasattr(loss, "get_config") else {}
        name = getattr(loss, "__name__", None) or type(loss).__name__
        return {**plain(settings), "name": name.lower().replace("_", "")}

    def train(self, x: list[Array], y: Array, steps: int) -> Steps:
        """Train on one batch again and again, as the recipe compiled it, but for what `unsummed` tells."""
        model, given = self._model, self._inputs(x)
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            raise UsageError("the Keras model is not compiled: give --keras-compile")
        settings = plain(optimizer.get_config())
        if keras.backend.backend() == "tensorflow":
            _sum_duplicates(optimizer)
        losses, rates, first = [], [], {}
        for step in range(steps):
            rates.append(float(_array(optimizer.learning_rate)))
            losses.append(float(model.train_on_batch(given, y, return_dict=True)["loss"]))
            if step == 0:
                first = self.weights()
        return Steps(losses, rates, type(optimizer).__name__, settings, None, first, self.weights())

    def unsummed(self) -> dict[str, float]:
        """Return by how much one update of each Embedding differs from that by the last gradient with its rows summed.

        On TensorFlow Keras squares a row's duplicates before summing them (`keras/src/backend/tensorflow/sparse.py`).
        """
        optimizer, found = self._model.optimizer, {}
        if keras.backend.backend() != "tensorflow" or optimizer is None:
            return {}
        import tensorflow as tf

        for name, layer in self._leaves.items():
            gradient = self._gradients.get(id(getattr(layer, "embeddings", None)))
            if isinstance(gradient, tf.IndexedSlices):
                start, moved = layer.embeddings.numpy(), []
                for each in (gradient, tf.convert_to_tensor(gradient)):
                    table = keras.Variable(start)
                    type(optimizer).from_config(optimizer.get_config()).apply([each], [table])
                    moved.append(table.numpy() - start)
                found[name] = float(np.max(abs(moved[0] - moved[1])) / max(np.max(abs(moved[1])), 1e-300))
        return found

    def order(self, rows: int) -> list[list[list[int]]]:
        """Return the rows of each batch of two epochs of `fit`."""
        settings = {"batch_size": 32, "shuffle": True, **self._fit}
        rows -= int(rows * settings.get("validation_split", 0.0))
        epochs = []
        for _ in range(2):
            adapter = data_adapters.get_data_adapter(
                x=np.arange(rows), batch_size=settings["batch_size"], shuffle=settings["shuffle"]
            )
            batches = [part[0] if isinstance(part, tuple) else part for part in adapter.get_numpy_iterator()]
            epochs.append([np.asarray(batch).tolist() for batch in batches])
        return epochs

    def _inputs(self, x: list[Array]) -> Any:
        tensors = [keras.ops.convert_to_tensor(each) for each in x]
        return tensors[0] if len(tensors) == 1 else tensors

    def _layers(self) -> list[Any]:
        return list(self._model._flatten_layers())

    def _described(self, name: str, layer: Any, trained: set[int]) -> Layer:
        weights = _weights(layer)
        try:
            config = layer.get_config()
        except Exception:  # a layer of the user's that cannot be saved
            config = {}
        inner = config["layer"].get("config", {}) if isinstance(config.get("layer"), dict) else {}
        return Layer(
            name=name,
            kind=_kind(layer),
            cls=type(layer).__name__,
            config=plain({**config, **inner, "name": layer.name}),
            weights={key: tuple(v.shape) for key, v in weights.items()},
            trainable={key: id(v) in trained for key, v in weights.items()},
            line=self._lines.get(id(layer)),
        )


# --- loading -----------------------------------------------------------------------------------------------------


def _in_double() -> None:
    """Let every layer compute in float64, those too whose file or code says float32."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    # On JAX and torch Keras takes float64 for float32 wherever it promotes two types, as in BatchNormalization.
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)

    def double(policy: Any, name: str | None = None) -> None:
        _policy(policy, "float64" if name == "float32" else name)

    keras.dtype_policies.DTypePolicy.__init__ = double


def _from_file(spec: str, compiled: bool) -> Any:
    if not Path(spec).is_file():
        raise UsageError(f"there is no file {spec}")
    try:
        return keras.saving.load_model(spec, compile=compiled, safe_mode=True)
    except Exception as error:
        text = " ".join(str(error).split())
        if "lambda" in text.lower():
            raise UsageError(
                f"{spec}: {_lambda(spec)} holds Python code, which a file may not run here; "
                "replace it by a layer of Keras, or name the function that builds the model: file.py:function"
            ) from error
        hint = ""
        if not spec.endswith(".keras"):
            hint = "; a file of Keras 2 that Keras 3 cannot read: save it as .keras, or name file.py:function"
        elif "Could not locate class" in text or "Unknown layer" in text:
            hint = "; layers of your own: name the function that builds the model, file.py:function"
        raise UsageError(f"{spec} cannot be loaded: {text[:300]}{hint}") from error


def _lambda(spec: str) -> str:
    """Return the Lambda layers of a file in words."""
    found: list[str] = []

    def seen(node: dict[str, Any]) -> dict[str, Any]:
        if node.get("class_name") == "Lambda":
            found.append(str(node["config"]["name"]))
        return node

    if zipfile.is_zipfile(spec):
        json.loads(zipfile.ZipFile(spec).read("config.json"), object_hook=seen)
    return f"Lambda layer {', '.join(found)}" if found else "a Lambda layer"


def _has_input(layer: Any) -> bool:
    try:
        return layer.input is not None
    except (AttributeError, ValueError):
        return False


def _check(layer: Any) -> None:
    """Raise `UsageError` for a layer that cannot be compared, by name."""
    where = f"Keras layer {layer.name} ({type(layer).__name__})"
    if layer.compute_dtype in ("float16", "bfloat16"):
        raise UsageError(f"{where} computes in {layer.compute_dtype}: half precision is not compared; use float32")
    if getattr(layer, "stateful", False):
        raise UsageError(f"{where} is stateful: its answer depends on earlier batches; set stateful=False")
    if getattr(layer, "quantization_mode", None):
        raise UsageError(f"{where} is quantized ({layer.quantization_mode}): not supported")
    if type(layer).__name__ == "Lambda":
        raise UsageError(f"{where} holds Python code that cannot be looked into; replace it by a layer of Keras")


# --- layers ------------------------------------------------------------------------------------------------------


def _kind(layer: Any) -> str:
    name = type(layer).__name__
    if name in ("Bidirectional", "TimeDistributed"):
        return _kind(layer.forward_layer if name == "Bidirectional" else layer.layer)
    if name == "RNN":
        return type(layer.cell).__name__.removesuffix("Cell")
    return name


def _is_leaf(layer: Any) -> bool:
    """Return whether a layer is compared as one: without layers of its own, or of `WHOLE`."""
    if isinstance(layer, keras.Model):
        return False
    whole = any(base.__name__ in WHOLE for base in type(layer).__mro__)
    return whole or not list(layer._flatten_layers(include_self=False))


def _leaves(layer: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the layers that are compared as one, each once."""
    if id(layer) in seen or isinstance(layer, keras.layers.InputLayer):
        return
    seen.add(id(layer))
    if _is_leaf(layer):
        yield layer
    else:
        for inner in layer._flatten_layers(recursive=False, include_self=False):
            yield from _leaves(inner, seen)


def _weights(layer: Any) -> dict[str, Any]:
    """Return the variables of a layer by a name that is unique in it."""
    if hasattr(layer, "forward_layer"):
        sides = zip(("forward", "backward"), _directions(layer), strict=True)
        return {f"{side}/{v.name}": v for side, inner in sides for v in inner.weights}
    inside = "Attention" in type(layer).__name__  # whose parts have kernels of the same name
    return {"/".join(v.path.split("/")[-2:]) if inside else v.name: v for v in layer.weights}


def _directions(layer: Any) -> list[Any]:
    """Return both layers of a Bidirectional one, else the layer itself."""
    return [layer.forward_layer, layer.backward_layer] if hasattr(layer, "forward_layer") else [layer]


def _states(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Array]:
    """Return the whole sequence and the last states of a recurrent layer, by direction; nothing for other layers."""
    if _kind(layer) not in RECURRENT or type(layer).__name__ == "TimeDistributed":
        return {}
    inner = _directions(layer)
    kwargs = {key: value for key, value in kwargs.items() if key != "initial_state" or len(inner) == 1}
    sequences, states = [], []
    for each in inner:
        with changed([each], return_sequences=True, return_state=True):
            sequence, *state = map(_array, _call(each, *args, **kwargs))
        sequences.append(sequence[:, ::-1] if len(inner) == 2 and each.go_backwards else sequence)
        states.append(state)
    return {
        "sequence": np.concatenate(sequences, axis=-1),
        **{name: np.stack(state) for name, state in zip("hc", zip(*states, strict=True), strict=False)},
    }


def _before(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Array]:
    """Return what a layer gives without its own activation; nothing where it has none, or applies it step by step."""
    inner = layer.layer if type(layer).__name__ == "TimeDistributed" else layer
    if _kind(layer) in RECURRENT or not callable(getattr(inner, "activation", None)):
        return {}
    with changed([inner], activation=keras.activations.linear):
        return {"before": _array(keras.tree.flatten(_call(layer, *args, **kwargs))[0])}


@contextmanager
def _recording(record: Callable[..., Any]) -> Iterator[None]:
    """Hand every call of a leaf to `record`; calls within it are its own business."""
    inside = False

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal inside
        symbolic = any(isinstance(x, keras.KerasTensor) for x in keras.tree.flatten([args, kwargs]))
        if inside or symbolic or not _is_leaf(layer):
            return _call(layer, *args, **kwargs)
        inside = True
        try:
            return record(layer, *args, **kwargs)
        finally:
            inside = False

    with changed([keras.layers.Layer], __call__=call):
        yield


def _sum_duplicates(optimizer: Any) -> None:
    import tensorflow as tf

    apply = optimizer.apply

    def summed(gradients: Any, trainable_variables: Any = None) -> Any:
        return apply([None if each is None else tf.convert_to_tensor(each) for each in gradients], trainable_variables)

    optimizer.apply = summed


def _array(tensor: Any) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _unmasked(x: Any) -> Any:
    return keras.ops.convert_to_tensor(keras.ops.convert_to_numpy(x)) if keras.ops.is_tensor(x) else x


# --- gradients, by engine ----------------------------------------------------------------------------------------


def _by_tensorflow(model: Any, x: Any, loss_of: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = loss_of(model(x, training=True))
    return loss, tape.gradient(loss, [v.value for v in model.trainable_variables])


def _by_torch(model: Any, x: Any, loss_of: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    model.zero_grad()
    loss = loss_of(model(x, training=True))
    loss.backward()
    return loss.detach(), [v.value.grad for v in model.trainable_variables]


def _by_jax(model: Any, x: Any, loss_of: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    import jax

    fixed = [v.value for v in model.non_trainable_variables]

    def of(trained: list[Any]) -> Any:
        with keras.StatelessScope(
            state_mapping=[
                *zip(model.trainable_variables, trained, strict=True),
                *zip(model.non_trainable_variables, fixed, strict=True),
            ]
        ):
            return loss_of(model(x, training=True))

    loss, found = jax.value_and_grad(of)([v.value for v in model.trainable_variables])
    return loss, list(found)


_GRADIENTS = {"tensorflow": _by_tensorflow, "torch": _by_torch, "jax": _by_jax}
