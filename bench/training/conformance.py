"""What every backend must fulfil, checked without another framework or a test written for it.

`verify(name)` builds small models that hold every layer and holds the backend's answers against mathematics:
gradients against differences of its own losses, updates against the optimizers' formulas in NumPy, an epoch against
its own single steps. Whether it computes the same function as Keras is for `bench parity` to say. A violation names
backend, model, rule, expected and found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.backends.base import Arrays, Build, Dtype, Network
from bench.backends.registry import backend, best_kernel, differences, native
from bench.cases.model import Model, resolve
from bench.data.randomness import stream
from bench.errors import BenchError, Unavailable
from bench.spec import (
    GRU,
    KERAS_2_0,
    KERAS_3,
    LSTM,
    ActivationLayer,
    Bidirectional,
    Case,
    Conv1D,
    Dense,
    Dropout,
    Embedded,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Kernel,
    Layer,
    SimpleRNN,
    Suite,
    Training,
)
from bench.training.loop import mask_source
from bench.training.weights import initial

WORDS, LENGTH, BATCH = 30, 7, 4
TOLERANCE: dict[Dtype, float] = {"float64": 1e-6, "float32": 2e-2}
"""Relative; a central difference of step h errs by h^2 and by rounding/h: at best about eps^(2/3), 4e-11 and 2e-5."""
NATIVE = "dense"
"""The model on which native numerics are checked."""
STEP: dict[Dtype, float] = {"float64": 1e-5, "float32": 3e-3}


class Violation(BenchError):
    """A backend breaks the protocol of `bench.backends.base` (exit code 3)."""

    exit_code = 3


def _stack(optimizer: str, *layers: Layer) -> tuple[str, tuple[Layer, ...]]:
    return optimizer, (*layers, Dense(1, "sigmoid"))


_EMBEDDING, _MASKED = Embedding(WORDS, 5), Embedding(WORDS, 5, mask_zero=True)
STACKS: dict[str, tuple[str, tuple[Layer, ...]]] = {
    "dense": _stack("rmsprop", _EMBEDDING, Flatten(), Dense(6, "tanh")),
    "frozen": _stack("adam", Embedding(WORDS, 5, trainable=False), Flatten(), Dense(6, "sigmoid")),
    "convolution": _stack("adam", _EMBEDDING, Conv1D(4, 3, "tanh"), GlobalMaxPooling1D(), ActivationLayer("tanh")),
    "average": _stack("adam", _MASKED, GlobalAveragePooling1D(), Dropout(0.3)),
    "simple-rnn": _stack("rmsprop", _EMBEDDING, SimpleRNN(4, return_sequences=True), SimpleRNN(3, dropout=0.2)),
    "lstm": _stack("adam", _EMBEDDING, LSTM(4, return_sequences=True), LSTM(3, dropout=0.2)),
    "gru": _stack("rmsprop", _EMBEDDING, GRU(4, return_sequences=True), GRU(3, reset_after=False)),
    "masked-fused": _stack("adam", _MASKED, Bidirectional(LSTM(4, return_sequences=True)), GRU(3, dropout=0.2)),
    "masked": _stack(
        "adam",
        _MASKED,
        Dropout(0.2),
        Bidirectional(LSTM(4, return_sequences=True, dropout=0.1, recurrent_dropout=0.2)),
        Bidirectional(GRU(3, dropout=0.1, recurrent_dropout=0.2)),
    ),
}
"""Small models, by name: every layer of `bench.spec`, sequences and last states, one mask for all gates and one for
each.
"""


@dataclass(frozen=True)
class Subject:
    """A model as the backend built it, with its weights loaded, and one batch for it."""

    backend: str
    name: str
    model: Model
    network: Network
    dtype: Dtype
    weights: Arrays
    x: NDArray[Any]
    y: NDArray[np.float32]
    masks: Arrays | None

    def require(self, holds: bool, rule: str, expected: object, found: object) -> None:
        """Raise `Violation` unless a rule holds."""
        if not holds:
            raise Violation(f"{self.backend}, model {self.name!r}: {rule}: expected {expected}, found {found}")

    def close(self, rule: str, expected: Any, found: Any, tolerance: float | None = None) -> None:
        """Raise `Violation` unless values agree, relative to the largest."""
        wanted, got = np.asarray(expected, np.float64), np.asarray(found, np.float64)
        self.require(wanted.shape == got.shape, f"shape of {rule}", wanted.shape, got.shape)
        allowed = (TOLERANCE[self.dtype] if tolerance is None else tolerance) * max(
            1e-6, float(np.abs(wanted).max(initial=0))
        )
        gap = np.abs(wanted - got)
        if not np.all(gap <= allowed):
            place = np.unravel_index(int(np.argmax(np.where(np.isnan(gap), np.inf, gap))), gap.shape)
            self.require(False, f"{rule}, element {tuple(map(int, place))}", wanted[place], got[place])

    def restart(self) -> None:
        """Load the initial weights and an empty optimizer state."""
        self.network.set_weights(self.weights)
        self.network.set_optimizer_state(
            [np.array(0), *(np.zeros(shape, np.float32) for shape in _slot_shapes(self.model))]
        )


def verify(name: str, models: tuple[str, ...] = tuple(STACKS)) -> Iterator[str]:
    """Hold a backend to every rule and yield a line for each model: what held, or what it cannot run and why.

    Raises `Violation` at the first broken rule, `Unavailable` when its framework is missing.
    """
    info = backend(name)
    build = info.load()
    refuses_what_it_cannot_run(name, build)
    for model_name in models:
        model = model_of(model_name)
        kernels: tuple[Kernel, ...] = (best_kernel(info, model, "cpu"),)
        if kernels == ("fused",):
            kernels = ("fused", "generic")
        for kernel in kernels:
            try:
                checked = subject(name, build, model_name, kernel)
            except Unavailable as error:
                yield f"{model_name}, {kernel}: not available: {error}"
                continue
            for rule in RULES:
                rule(checked)
            yield f"{model_name}, {kernel}, {checked.dtype}: {len(RULES)} rules hold"
        if model_name == NATIVE and differences(info, model):
            yield f"{model_name}, native: {native_numerics_follow_the_seed(name, build)} follow the seed"


def model_of(name: str, numerics: str = "documented") -> Model:
    """Return one of `STACKS` as a model: Adam with today's Keras formulas, RMSprop with the documents'."""
    optimizer, layers = STACKS[name]
    case = Case(
        name,
        data=Embedded(WORDS, maxlen=LENGTH),
        layers=layers,
        training=Training("adam" if optimizer == "adam" else "rmsprop", epochs=1, batch_size=BATCH),
    )
    era = KERAS_3 if optimizer == "adam" else KERAS_2_0
    return resolve(Suite("conformance", "none", "Conformance", era, (case,)), case, numerics)


def subject(name: str, build: Build, model_name: str, kernel: Kernel) -> Subject:
    """Return a built model and its batch, in float64 where the backend has it; biases are not zero: they count."""
    model = model_of(model_name)
    dtype: Dtype = "float64"
    try:
        network = build(model, kernel, "cpu", dtype)
    except Unavailable:
        dtype = "float32"
        network = build(model, kernel, "cpu", dtype)
    random = stream("conformance", model_name)
    weights = [
        (weight + random.uniform(-0.1, 0.1, weight.shape)).astype(np.float32)
        for weight in initial(model, f"conformance/{model_name}", 0)
    ]
    x = random.randint(1, WORDS, (2 * BATCH + 1, LENGTH)).astype(np.int32)
    x[1, :3] = 0
    x[2, -2:] = 0
    y = (np.arange(len(x)) % 2).astype(np.float32)
    source = mask_source(model, f"conformance/{model_name}", 0, 1)
    made = Subject(name, model_name, model, network, dtype, weights, x, y, source(0, BATCH) if source else None)
    made.restart()
    return made


def _slot_shapes(model: Model) -> list[tuple[int, ...]]:
    slots = 2 if model.optimizer == "adam" else 1
    return [weight.shape for weight in model.weights if weight.trainable for _ in range(slots)]


# --- rules -------------------------------------------------------------------------------------------------------


def refuses_what_it_cannot_run(name: str, build: Build) -> None:
    """Require `Unavailable` for a kernel that does not fit the model."""
    for model_name, kernel in (("lstm", "none"), ("dense", "generic")):
        try:
            build(model_of(model_name), kernel, "cpu")  # type: ignore[arg-type]
        except Unavailable:
            continue
        raise Violation(f"{name}, model {model_name!r}: kernel {kernel!r}: expected Unavailable, found a network")


def native_numerics_follow_the_seed(name: str, build: Build) -> str:
    """Require initial weights, and those after an epoch, to be the same for one seed, and others for another.

    Return the differences that were checked; only own initialisers and own shuffling depend on the seed.
    """
    model = native(backend(name), model_of(NATIVE, "native"))
    kernel = best_kernel(backend(name), model, "cpu")
    trained = []
    for seed in (1, 1, 2):
        network = build(model, kernel, "cpu")
        network.set_weights(initial(model, "conformance", 0))
        network.initialize(seed)
        start = network.get_weights()[0]
        x = stream("conformance", "native").randint(1, WORDS, (2 * BATCH + 1, LENGTH)).astype(np.int32)
        y = (np.arange(len(x)) % 2).astype(np.float32)
        network.train_epoch(x, y, np.arange(len(x), dtype=np.intp), None)
        trained.append((start, network.get_weights()[0]))
    drawn = {"initial": {"init"}, "trained": {"init", "order"}}
    for (when, names), (one, again, other) in zip(drawn.items(), zip(*trained, strict=True), strict=True):
        seeded = bool(names & model.differences)
        for seed, found, same in ((1, again, True), (2, other, not seeded)):
            if np.array_equal(one, found) != same:
                raise Violation(
                    f"{name}, model {NATIVE!r}: {when} native weights of seed {seed} beside those of seed 1: "
                    f"expected {'the same' if same else 'others'}, found {'others' if same else 'the same'}"
                )
    return ", ".join(sorted(model.differences))


def counts_parameters(checked: Subject) -> None:
    """Require the parameter counts of the model, layer by layer."""
    found = checked.network.parameters()
    for built, layer in zip(checked.model.layers, found.layers, strict=True):
        total = sum(weight.size for weight in built.weights)
        trainable = sum(weight.size for weight in built.weights if weight.trainable)
        checked.require(layer.name == built.name, "name of a layer", built.name, layer.name)
        checked.require(layer.total == total, f"parameters of {built.name}", total, layer.total)
        checked.require(
            layer.trainable == trainable, f"trainable parameters of {built.name}", trainable, layer.trainable
        )
    checked.require(
        found.total == sum(weight.size for weight in checked.model.weights), "parameters", "the sum", found.total
    )


def returns_what_was_loaded(checked: Subject) -> None:
    """Require weights and optimizer state to come back exactly."""
    random = stream("conformance", "round trip")
    state = [np.array(3), *(random.random_sample(shape).astype(np.float32) for shape in _slot_shapes(checked.model))]
    checked.network.set_weights(checked.weights)
    checked.network.set_optimizer_state(state)
    for what, sent, back in (
        ("weights", checked.weights, checked.network.get_weights()),
        ("optimizer state", state, checked.network.get_optimizer_state()),
    ):
        checked.require(len(sent) == len(back), f"number of arrays, {what}", len(sent), len(back))
        for number, (one, other) in enumerate(zip(sent, back, strict=True)):
            checked.close(f"{what} {number} after loading", one, other, tolerance=0.0)
    checked.restart()


def gradients_are_derivatives(checked: Subject) -> None:
    """Require each weight's gradient to be the slope of the loss along a random direction, and nothing to change."""
    x, y = checked.x[:BATCH], checked.y[:BATCH]
    before = checked.network.gradients(x, y, checked.masks)
    for one, other in zip(checked.weights, checked.network.get_weights(), strict=True):
        checked.close("weights after gradients()", one, other, tolerance=0.0)
    z, labels = np.asarray(before.logits, np.float64), y.astype(np.float64)
    checked.close("loss of the logits", np.mean(np.logaddexp(0, z) - labels * z), before.loss, 1e-5)
    trained = [i for i, weight in enumerate(checked.model.weights) if weight.trainable]
    random, h = stream("conformance", "directions"), STEP[checked.dtype]
    for place, gradient in zip(trained, before.gradients, strict=True):
        direction = np.sign(random.random_sample(gradient.shape) - 0.5)
        losses = []
        for sign in (1, -1):
            moved = [np.asarray(weight, np.float64) for weight in checked.weights]
            moved[place] = moved[place] + sign * h * direction
            checked.network.set_weights(moved)
            losses.append(checked.network.gradients(x, y, checked.masks).loss)
        slope = (losses[0] - losses[1]) / (2 * h)
        size = max(1e-3, float(np.abs(gradient).sum()))
        checked.close(f"slope of weight {place} over its gradient", slope / size, np.sum(gradient * direction) / size)
    checked.restart()


def steps_follow_the_formula(checked: Subject) -> None:
    """Require three steps of Keras's optimizer, from the network's own gradients, and the loss before each."""
    x, y, network, model = checked.x[:BATCH], checked.y[:BATCH], checked.network, checked.model
    checked.restart()
    trained = [i for i, weight in enumerate(model.weights) if weight.trainable]
    weights = [np.asarray(weight, np.float64) for weight in checked.weights]
    m, v = ([np.zeros(weights[i].shape) for i in trained] for _ in range(2))
    for t in range(1, 4):
        own = network.gradients(x, y, checked.masks)
        for k, gradient in enumerate(np.asarray(g, np.float64) for g in own.gradients):
            if model.optimizer == "adam":  # keras/src/optimizers/adam.py
                m[k] += (gradient - m[k]) * 0.1
                v[k] += (gradient**2 - v[k]) * 0.001
                rate = model.learning_rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
                weights[trained[k]] = weights[trained[k]] - rate * m[k] / (np.sqrt(v[k]) + 1e-7)
            else:  # keras/src/optimizers/rmsprop.py; Keras 2 adds epsilon outside the root
                v[k] = 0.9 * v[k] + 0.1 * gradient**2
                outside = model.rmsprop_epsilon == "outside"
                divisor = np.sqrt(v[k]) + 1e-7 if outside else np.sqrt(v[k] + 1e-7)
                weights[trained[k]] = weights[trained[k]] - model.learning_rate * gradient / divisor
        loss = network.train_step(x, y, checked.masks)
        checked.close(f"loss of step {t}", own.loss, loss, 1e-5)
        for place, (start, one, other) in enumerate(zip(checked.weights, weights, network.get_weights(), strict=True)):
            # In units of the learning rate, of which an update is about one.
            expected, got = ((value - start) / model.learning_rate for value in (one, other))
            checked.close(f"change of weight {place} in {t} steps", expected, got)
    slots = network.get_optimizer_state()
    checked.require(int(slots[0]) == 3, "step count", 3, int(slots[0]))
    per_weight = [pair for pairs in zip(m, v, strict=True) for pair in pairs] if model.optimizer == "adam" else v
    for number, (one, other) in enumerate(zip(per_weight, slots[1:], strict=True)):
        checked.close(f"slot {number} after three steps", one, other)
    checked.restart()


def an_epoch_is_its_steps(checked: Subject) -> None:
    """Require an epoch in a given order, the partial batch kept, means weighted by batch size, accuracy at logit 0."""
    network, model = checked.network, checked.model
    order = stream("conformance", "order").permutation(len(checked.x)).astype(np.intp)
    masks = mask_source(model, f"conformance/{checked.name}", 0, 1)
    losses, sizes, correct = [], [], 0
    checked.restart()
    for step, start in enumerate(range(0, len(order), BATCH)):
        rows = order[start : start + BATCH]
        drawn = masks(step, len(rows)) if masks else None
        correct += int(
            np.sum((network.gradients(checked.x[rows], checked.y[rows], drawn).logits > 0) == (checked.y[rows] > 0.5))
        )
        losses.append(network.train_step(checked.x[rows], checked.y[rows], drawn))
        sizes.append(len(rows))
    by_steps = network.get_weights()
    checked.restart()
    found = network.train_epoch(checked.x, checked.y, order, masks)
    checked.close("mean loss of an epoch", np.average(losses, weights=sizes), found.loss, 1e-5)
    checked.close("accuracy of an epoch", correct / sum(sizes), found.accuracy, 1e-5)
    checked.require(found.first_bad_step is None, "first bad step of a finite epoch", None, found.first_bad_step)
    for place, (one, other) in enumerate(zip(by_steps, network.get_weights(), strict=True)):
        checked.close(f"weight {place} after an epoch", one, other, 1e-5)
    checked.restart()


def logits_do_not_depend_on_their_neighbours(checked: Subject) -> None:
    """Require the logits of a row to be the same alone and among others, without dropout, across evaluation batches."""
    network = checked.network
    together = network.logits(checked.x)
    checked.require(together.shape == (len(checked.x),), "shape of the logits", (len(checked.x),), together.shape)
    alone = np.concatenate([network.logits(checked.x[i : i + 1]) for i in (0, len(checked.x) - 1)])
    checked.close("logits of single rows", together[[0, -1]], alone, 1e-4)
    many = np.resize(checked.x, (1100, LENGTH))
    checked.close("logits of 1,100 rows", np.resize(together, 1100), network.logits(many), 1e-4)


def tells_the_first_bad_step(checked: Subject) -> None:
    """Require the step at which the loss stopped being finite."""
    broken = [np.full_like(checked.weights[-1], np.nan)]
    checked.network.set_weights([*checked.weights[:-1], *broken])
    masks = mask_source(checked.model, "conformance", 0, 1)
    found = checked.network.train_epoch(checked.x, checked.y, np.arange(len(checked.x), dtype=np.intp), masks)
    checked.require(found.first_bad_step == 1, "first bad step", 1, found.first_bad_step)
    checked.restart()


def has_no_device_memory_on_a_cpu(checked: Subject) -> None:
    """Require that a CPU's memory is left to be counted by the process."""
    found = checked.network.device_peak_bytes()
    checked.require(found is None, "peak of device memory on a CPU", None, found)


def traces_the_steps_it_makes(checked: Subject) -> None:
    """Require `trace` to make its steps, and to say of the time what adds up."""
    checked.restart()
    trace = checked.network.trace(checked.x[:BATCH], checked.y[:BATCH], checked.masks, 2)
    checked.require(trace.steps == 2, "steps of a trace", 2, trace.steps)
    made = int(checked.network.get_optimizer_state()[0])
    checked.require(made == 2, "optimizer steps made by trace()", 2, made)
    told = sum(entry.seconds for entry in trace.ran if entry.within is None)
    checked.require(told <= trace.seconds * 1.001, "seconds of a trace's entries", f"<= {trace.seconds}", told)
    checked.restart()


RULES: tuple[Callable[[Subject], None], ...] = (
    counts_parameters,
    returns_what_was_loaded,
    gradients_are_derivatives,
    steps_follow_the_formula,
    an_epoch_is_its_steps,
    logits_do_not_depend_on_their_neighbours,
    tells_the_first_bad_step,
    has_no_device_memory_on_a_cpu,
    traces_the_steps_it_makes,
)
