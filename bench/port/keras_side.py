"""The Keras model in its worker: loaded, run, recorded, trained. Imported by nobody but `bench.port.worker`."""

from __future__ import annotations

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
from bench.port.trace import Array, Call, Layer, Steps, Trace

WHOLE = ("Bidirectional", "MultiHeadAttention", "GroupQueryAttention", "TimeDistributed", "RNN", "LSTM", "GRU")
"""Layers of several that are one layer here."""
RECURRENT = ("LSTM", "GRU", "SimpleRNN")
NOISE = 0.1
_call = keras.layers.Layer.__call__
_init = keras.layers.Layer.__init__
_policy = keras.dtype_policies.DTypePolicy.__init__


class KerasSide:
    """One Keras model; what its methods take and return crosses a process border."""

    def __init__(self) -> None:
        self._model: Any = None
        self._fit: dict[str, Any] = {}
        self._live: dict[tuple[str, int], tuple[Any, tuple[Any, ...], dict[str, Any]]] = {}
        self._lines: dict[int, str | None] = {}
        self._gradients: dict[int, Any] = {}
        self._start: list[Array] = []

    def load(self, spec: str, compiled: bool) -> None:
        """Load a model in float64 from a `.keras` or `.h5` file or a function; give constant weights some noise."""
        self.__init__()  # type: ignore[misc]
        keras.utils.clear_session()
        _in_double()
        keras.utils.set_random_seed(0)

        def made(layer: Any, *args: Any, **kwargs: Any) -> None:
            self._lines.setdefault(id(layer), loading.user_line())
            _init(layer, *args, **kwargs)

        keras.layers.Layer.__init__ = made
        try:
            self._model = _from_file(spec, compiled) if spec.endswith((".keras", ".h5", ".hdf5")) else _called(spec)
        finally:
            keras.layers.Layer.__init__ = _init

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
        random = np.random.RandomState(0)
        for layer in self._layers():
            if not isinstance(layer, keras.Model):
                _check(layer)
        for weight in self._model.weights:
            value = np.asarray(keras.ops.convert_to_numpy(weight.value))
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
        return [self._described(layer) for layer in self._leaves()]

    def weights(self, name: str | None = None) -> dict[str, dict[str, Array]]:
        """Return the weights by layer and name within it."""
        return {
            self._name(layer): {key: keras.ops.convert_to_numpy(v.value) for key, v in _weights(layer).items()}
            for layer in self._leaves()
            if layer.weights and name in (None, self._name(layer))
        }

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
        count: dict[str, int] = {}

        def number(tensor: Any) -> tuple[int, Array]:
            kept.append(tensor)
            value = np.asarray(keras.ops.convert_to_numpy(tensor))
            return numbers.setdefault(id(tensor), len(numbers)), value

        def record(layer: Any, *args: Any, **kwargs: Any) -> Any:
            name = self._name(layer)
            before: list[Any] = []
            with _watched(layer, before):
                result = _call(layer, *args, **kwargs)
            given = [tensor for tensor in keras.tree.flatten([args, kwargs]) if keras.ops.is_tensor(tensor)]
            call = Call(name, [*map(number, given)], [*map(number, keras.tree.flatten(result))])
            call.line, call.index = loading.user_line(), count.get(name, 0)
            count[name] = call.index + 1
            mask = getattr(given[0], "_keras_mask", None) if given else None
            mask = kwargs.get("mask") if kwargs.get("mask") is not None else mask
            call.mask = None if mask is None or isinstance(mask, list) else np.asarray(keras.ops.convert_to_numpy(mask))
            call.extra = {"before": number(before[0])[1]} if before else {}
            call.extra |= {**_states(layer, args, kwargs), **_before(layer, args, kwargs)}
            if getattr(layer, "go_backwards", False):
                call.inputs = [(own, value[:, ::-1]) for own, value in call.inputs[:1]] + call.inputs[1:]
            self._live[name, call.index] = layer, args, kwargs
            calls.append(call)
            return result

        with _recording(record):
            made = keras.tree.flatten(self._model(self._inputs(x), training=training))
        masks = [getattr(each, "_keras_mask", None) for each in made]
        masks = [None if mask is None else np.asarray(keras.ops.convert_to_numpy(mask)) for mask in masks]
        return Trace(calls, [*map(number, made)], masks)

    def again(
        self, name: str, index: int, changes: dict[str, Any], masked: bool = True, training: bool = False
    ) -> dict[str, Array]:
        """Return what a recorded call gives with other attributes, or without its mask: output, sequence, states."""
        layer, args, kwargs = self._live[name, index]
        if not masked:
            kwargs = {key: value for key, value in kwargs.items() if "mask" not in key}
            args, kwargs = keras.tree.map_structure(_unmasked, (args, kwargs))
        parts = [layer.forward_layer.cell, layer.backward_layer.cell] if hasattr(layer, "forward_layer") else []
        parts = parts or [getattr(layer, "cell", layer)]
        old = [{key: getattr(part, key) for key in changes} for part in parts]
        weights = layer.get_weights()
        try:
            for part in parts:
                for key, value in changes.items():
                    setattr(part, key, keras.activations.get(value) if "activation" in key else value)
            if training and layer._call_has_training_arg:
                kwargs = {**kwargs, "training": True}
            result = keras.tree.flatten(_call(layer, *args, **kwargs))
            return {"output": np.asarray(keras.ops.convert_to_numpy(result[0])), **_states(layer, args, kwargs)}
        finally:
            for part, values in zip(parts, old, strict=True):
                for key, value in values.items():
                    setattr(part, key, value)
            layer.set_weights(weights)

    def gradient(
        self, x: list[Array], cotangents: list[Array] | None, y: Array | None
    ) -> tuple[float, float, dict[str, dict[str, Array]]]:
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
        found = {
            self._name(layer): {
                key: np.asarray(keras.ops.convert_to_numpy(self._gradients[id(v)]))
                for key, v in _weights(layer).items()
                if self._gradients.get(id(v)) is not None
            }
            for layer in self._leaves()
        }
        return float(loss), extra, {name: arrays for name, arrays in found.items() if arrays}

    def loss(self) -> dict[str, Any]:
        """Return the compiled loss: its name and settings; nothing where the model is not compiled."""
        loss = getattr(self._model, "loss", None)
        if loss is None:
            return {}
        if isinstance(loss, str) or not hasattr(loss, "get_config"):
            loss = keras.losses.get(loss)
        settings = loss.get_config() if hasattr(loss, "get_config") else {}
        name = getattr(loss, "__name__", None) or type(loss).__name__
        return {"name": name.lower().replace("_", ""), **{k: _copied(v) for k, v in settings.items() if _plain(v)}}

    def train(self, x: list[Array], y: Array, steps: int) -> Steps:
        """Train on one batch again and again, as the recipe compiled it, but for what `unsummed` tells."""
        model, given = self._model, self._inputs(x)
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            raise UsageError("the Keras model is not compiled: give --keras-compile")
        settings = {key: _copied(value) for key, value in optimizer.get_config().items() if _plain(value)}
        if keras.backend.backend() == "tensorflow":
            _sum_duplicates(optimizer)
        losses, rates, first = [], [], {}
        for step in range(steps):
            rates.append(float(keras.ops.convert_to_numpy(optimizer.learning_rate)))
            losses.append(float(model.train_on_batch(given, y, return_dict=True)["loss"]))
            if step == 0:
                first = self.weights()
        return Steps(losses, rates, type(optimizer).__name__, settings, None, first, self.weights())

    def unsummed(self) -> dict[str, float]:
        """Return by how much one update of each Embedding differs from that by the last gradient with its rows summed.

        On TensorFlow Keras squares a row's duplicates before summing them (`keras/src/backend/tensorflow/sparse.py`).
        """
        optimizer = self._model.optimizer
        tables = {self._name(layer): layer.embeddings for layer in self._leaves() if _kind(layer) == "Embedding"}
        if keras.backend.backend() != "tensorflow" or optimizer is None:
            return {}
        import tensorflow as tf

        found = {}
        for name, table in tables.items():
            gradient = self._gradients.get(id(table))
            if isinstance(gradient, tf.IndexedSlices):
                start, moved = table.numpy(), []
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

    def _leaves(self) -> Iterator[Any]:
        """Yield the layers that are compared as one: those without layers of their own, and `WHOLE`."""
        seen: set[int] = set()

        def walk(layer: Any) -> Iterator[Any]:
            if id(layer) in seen or isinstance(layer, keras.layers.InputLayer):
                return
            seen.add(id(layer))
            if _is_leaf(layer):
                yield layer
            else:
                for inner in layer._flatten_layers(recursive=False, include_self=False):
                    yield from walk(inner)

        return walk(self._model)

    def _name(self, layer: Any) -> str:
        same = [each for each in self._leaves() if each.name == layer.name]
        return str(layer.name if len(same) < 2 else layer.path)

    def _described(self, layer: Any) -> Layer:
        weights = _weights(layer)
        try:
            config = layer.get_config()
        except Exception:  # a layer of the user's that cannot be saved
            config = {}
        inner = config.get("layer", {}).get("config", {}) if isinstance(config.get("layer"), dict) else {}
        config = {**config, **inner, "name": layer.name}
        trained = {id(v) for v in self._model.trainable_variables}
        return Layer(
            name=self._name(layer),
            kind=_kind(layer),
            cls=type(layer).__name__,
            config={key: _copied(value) for key, value in config.items() if _plain(value)},
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
        if "Lambda" in text or "lambda" in text:
            raise UsageError(
                f"{spec}: {_lambda(spec)} holds Python code, which a file may not run here; "
                "replace it by a layer of Keras, or name the function that builds the model: file.py:function"
            ) from error
        hint = ""
        if spec.endswith((".h5", ".hdf5")):
            hint = "; a file of Keras 2 that Keras 3 cannot read: save it as .keras, or name file.py:function"
        elif "Could not locate class" in text or "Unknown layer" in text:
            hint = "; layers of your own: name the function that builds the model, file.py:function"
        raise UsageError(f"{spec} cannot be loaded: {text[:300]}{hint}") from error


def _lambda(spec: str) -> str:
    """Return the Lambda layers of a file in words."""
    import json
    import zipfile

    found: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("class_name") == "Lambda":
                found.append(str(node.get("config", {}).get("name")))
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    if zipfile.is_zipfile(spec):
        walk(json.loads(zipfile.ZipFile(spec).read("config.json")))
    return f"Lambda layer {', '.join(found)}" if found else "a Lambda layer"


def _called(spec: str) -> Any:
    found = loading.named(spec)
    model = found if isinstance(found, keras.Model) else found()
    if not isinstance(model, keras.Model):
        raise UsageError(f"{spec} returned {type(model).__name__}, not a Keras model")
    return model


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
    if isinstance(layer, keras.Model):
        return False
    bases = {base.__name__ for base in type(layer).__mro__}
    return bool(bases & {*WHOLE}) or not list(layer._flatten_layers(include_self=False))


def _weights(layer: Any) -> dict[str, Any]:
    """Return the variables of a layer by a name that is unique in it."""
    found = {}
    if hasattr(layer, "forward_layer"):
        sides = (("forward", layer.forward_layer), ("backward", layer.backward_layer))
        return {f"{side}/{v.name}": v for side, inner in sides for v in inner.weights}
    for v in layer.weights:
        parts = v.path.split("/")
        found[f"{parts[-2]}/{v.name}" if "Attention" in type(layer).__name__ else v.name] = v
    return found


def _states(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Array]:
    """Return the whole sequence and the last states of a recurrent layer, by direction; nothing for other layers."""
    kind = _kind(layer)
    if kind not in RECURRENT or type(layer).__name__ == "TimeDistributed":
        return {}
    inner = [layer.forward_layer, layer.backward_layer] if hasattr(layer, "forward_layer") else [layer]
    kwargs = {key: value for key, value in kwargs.items() if key != "initial_state" or len(inner) == 1}
    sequences, states = [], []
    for one in inner:
        before = one.return_sequences, one.return_state
        one.return_sequences = one.return_state = True
        try:
            sequence, *state = _call(one, *args, **kwargs)
        finally:
            one.return_sequences, one.return_state = before
        sequence = np.asarray(keras.ops.convert_to_numpy(sequence))
        sequences.append(sequence[:, ::-1] if len(inner) == 2 and one.go_backwards else sequence)
        states.append([np.asarray(keras.ops.convert_to_numpy(part)) for part in state])
    return {
        "sequence": np.concatenate(sequences, axis=-1),
        **{name: np.stack([state[at] for state in states]) for at, name in enumerate("hc"[: len(states[0])])},
    }


def _before(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Array]:
    """Return what a TimeDistributed layer gives before its own activation: it calls it on traced values."""
    inner: Any = getattr(layer, "layer", None)
    if type(layer).__name__ != "TimeDistributed" or not callable(getattr(inner, "activation", None)):
        return {}
    function, inner.activation = inner.activation, keras.activations.linear
    try:
        return {"before": np.asarray(keras.ops.convert_to_numpy(_call(layer, *args, **kwargs)))}
    finally:
        inner.activation = function


@contextmanager
def _watched(layer: Any, before: list[Any]) -> Iterator[None]:
    """Keep what a layer's own activation is given."""
    function = getattr(layer, "activation", None)
    if not callable(function) or _kind(layer) in RECURRENT or type(layer).__name__ == "TimeDistributed":
        yield
        return

    def watched(x: Any) -> Any:
        before.append(x)
        return function(x)

    layer.activation = watched
    try:
        yield
    finally:
        layer.activation = function


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

    keras.layers.Layer.__call__ = call
    try:
        yield
    finally:
        keras.layers.Layer.__call__ = _call


def _sum_duplicates(optimizer: Any) -> None:
    import tensorflow as tf

    apply = optimizer.apply

    def summed(gradients: Any, trainable_variables: Any = None) -> Any:
        return apply([None if each is None else tf.convert_to_tensor(each) for each in gradients], trainable_variables)

    optimizer.apply = summed


def _unmasked(x: Any) -> Any:
    return keras.ops.convert_to_tensor(keras.ops.convert_to_numpy(x)) if keras.ops.is_tensor(x) else x


def _copied(value: Any) -> Any:
    """Return plain values without what Keras tracks them by, which does not cross to the parent."""
    if isinstance(value, dict):
        return {str(key): _copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(each) for each in value]
    return value


def _plain(value: Any) -> bool:
    """Return whether a setting is made of plain values, which cross to the parent."""
    if isinstance(value, dict):
        return all(map(_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


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
