"""What differs between the lines of Keras, 2 and 3, and between the engines of 3: a module each, of these shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.backends.base import Dtype, Trace
from bench.cases.model import Model
from bench.spec import Device, Recurrent

if TYPE_CHECKING:
    from keras.utils import PyDataset

Loss = Callable[[Any, Any], Any]
"""Labels (rows, 1) and logits (rows, 1) or (rows, classes) to the mean loss."""
Differentiate = Callable[[Any, Sequence[Any]], tuple[Any, Any, list[Any]]]
"""Labels (rows, 1) and inputs (ids, dropout masks) to logits, mean loss and dense gradients, the engine's tensors."""

UseCudnn = bool | Literal["auto"]


def optimizer_options(model: Model, optimizers: Any, dtype: Dtype) -> dict[str, Any]:
    """Return the arguments of a model's optimizer; its learning rate may be one of Keras's schedules.

    `optimizers` is Keras's module of them. In float64 every number is one of NumPy's: Keras makes a float32 of a Python
    float on its way to a tensor, and .999 would be .99900001 (keras/src/backend/tensorflow/core.py, `cast`).
    """

    def exact(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return [exact(each) for each in value]
        return np.float64(value) if isinstance(value, float) and dtype == "float64" else value

    def declared(spec: Any) -> dict[str, Any]:
        return {name: exact(value) for name, value in asdict(spec).items()}

    given, schedules = model.learning_rate, optimizers.schedules
    rate = exact(given) if isinstance(given, float) else getattr(schedules, type(given).__name__)(**declared(given))
    own = {} if isinstance(model.optimizer, str) else declared(model.optimizer)
    clip: dict[str, Any] = {model.clip[0]: exact(model.clip[1])} if model.clip else {}
    return {"learning_rate": rate, **own, **clip}


def plain_optimizer(kind: type, options: dict[str, Any]) -> Any:
    """Return a Keras optimizer, for an engine whose gradients are dense."""
    return kind(**options)


def never_cudnn(device: Device) -> UseCudnn:
    """Return False: a layer that may choose looks whether the machine has a GPU, not whether it runs on one."""
    return False


def given_shuffled(x: Any, y: Any, batch_size: int) -> dict[str, Any]:
    """Return the arguments of `fit` for arrays that it is to shuffle."""
    return {"x": x, "y": y, "batch_size": batch_size}


def given_in_order(x: Any, y: Any, batch_size: int) -> dict[str, Any]:
    """Return the arguments of `fit` for arrays that it is to take as they are."""
    return {"x": x, "y": y, "batch_size": batch_size, "shuffle": False}


def given_batches(batches: PyDataset) -> Any:
    """Return the batches themselves."""
    return batches


class Engine(Protocol):
    """A module of this package named after the engine; it imports the framework behind it."""

    def prepare(self, device: Device, differences: frozenset[str]) -> None:
        """Set up for a model with these native differences; raise `Unavailable` when the device is missing."""

    def scope(self, device: Device, dtype: Dtype) -> AbstractContextManager[Any]:
        """Return the context that a network's work is done in: its device, and 64-bit numbers where it has them."""

    def step_by_step(self, device: Device) -> UseCudnn:
        """Return the `use_cudnn` of a layer that is to run step by step on a device."""

    def optimizer(self, kind: type, options: dict[str, Any]) -> Any:
        """Return a Keras optimizer of that kind with these arguments, which gets dense gradients."""

    def differentiator(self, model: Any, loss: Loss) -> Differentiate:
        """Return the function that differentiates the loss of a Keras model's logits."""

    def shuffled(self, x: Any, y: Any, batch_size: int) -> dict[str, Any]:
        """Return arguments of `fit` for arrays that it is to shuffle (labels: (rows, 1)).

        They serve any number of epochs, and hold what one call of `fit` keeps over its own.
        """

    def in_order(self, x: Any, y: Any, batch_size: int) -> dict[str, Any]:
        """Return arguments of `fit` for arrays that it is to take as they are; it waits for nothing beside its steps.

        Labels are (rows, 1).
        """

    def batches(self, batches: PyDataset) -> Any:
        """Return what feeds `fit` and `predict` with these batches; they wait for nothing beside their steps."""

    def synchronize(self) -> None:
        """Wait for the device."""

    def peak_bytes(self) -> int:
        """Return the most bytes of tensors on the GPU since the last call, or since the process began."""

    def trace(self, step: Callable[[], object], steps: int, device: Device, model: Any) -> Trace:
        """Return what `steps` calls of `step`, which each train a compiled Keras model, ran."""


class Line(Protocol):
    """A module of this package named after a line of Keras, `keras2` or `keras3`, which it imports as `keras`.

    `engine` is what computes; `engine_name` names it. `ops` has the functions that both lines need, by NumPy's names.
    `gates` are the gate functions of `bench.spec`. `Batches` is the base of a dataset that is indexed by batch.
    `loss_of_logits` says whether a model is trained on logits: elsewhere on the probabilities that users write.
    """

    keras: Any
    ops: Any
    engine: Engine
    backend: str
    gates: Mapping[str, Any]
    Batches: type
    loss_of_logits: bool

    def precision(self, dtype: Dtype) -> AbstractContextManager[None]:
        """Return the context in which Keras makes and casts everything in a precision."""

    def recurrent(self, kind: type, options: dict[str, Any], use_cudnn: UseCudnn) -> Any:
        """Return a recurrent layer."""

    def choose_kernel(self, layer: Any, use_cudnn: UseCudnn) -> None:
        """Set the kernel of a layer that Keras made from the configuration of another, which does not hold it."""

    def hand_masks(self, layer: Any, declared: Recurrent, masks: Sequence[Any]) -> None:
        """Put the harness's masks, each (rows, gates, features), where the cell of a layer keeps its own."""

    def optimizer(self, model: Model) -> Any:
        """Return the optimizer of a model, of its era."""

    def slots(self, optimizer: Any, trained: Sequence[Any]) -> list[Any]:
        """Make the slots of an optimizer, and return them in the order of `Network.get_optimizer_state`."""

    def permutation(self, rows: int) -> NDArray[Any]:
        """Return the numbers below `rows` in an order that Keras's own generator draws."""

    def array(self, tensor: Any) -> NDArray[Any]:
        """Return a tensor as a NumPy array."""
