"""What every backend must fulfil, checked without another framework or a test written for it.

`verify(name)` builds small models that hold every layer and holds the backend's answers against mathematics:
gradients against differences of its own losses, updates against the optimizers' formulas in NumPy, an epoch against
its own single steps. Whether it computes the same function as Keras is for `bench parity` to say. A violation names
backend, model, rule, expected and found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bench.backends.base import Arrays, Build, Dtype, EpochResult, MaskSource, Network, hits
from bench.backends.registry import backend, best_kernel, differences, native
from bench.cases.model import INITIAL, Model, resolve
from bench.data.dataset import Dataset, Examples, Features, Labels, Rows
from bench.data.randomness import stream
from bench.errors import BenchError, Unavailable
from bench.spec import (
    GRU,
    KERAS_2_0,
    KERAS_3,
    LSTM,
    SGD,
    ActivationLayer,
    AdamW,
    Bidirectional,
    Case,
    Conv1D,
    CosineDecay,
    Dense,
    Dropout,
    Embedded,
    EmbeddedFeatures,
    Embedding,
    ExponentialDecay,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Kernel,
    Layer,
    Optimizer,
    PiecewiseConstantDecay,
    SimpleRNN,
    Suite,
    Training,
)
from bench.training.experiment import Batch, Experiment
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


CLASSES = 3


@dataclass(frozen=True)
class StackOf:
    """What a model of the suite is made of."""

    layers: tuple[Layer, ...]
    training: Training


def _stack(optimizer: Optimizer, *layers: Layer, classes: int = 0, **training: Any) -> StackOf:
    last = Dense(classes, "softmax") if classes else Dense(1, "sigmoid")
    return StackOf((*layers, last), Training(optimizer, epochs=1, batch_size=BATCH, **training))


WIDTH = 5
"""Numbers of a row, or of a time step of it."""
_EMBEDDING, _MASKED = Embedding(WORDS, 5), Embedding(WORDS, 5, mask_zero=True)
STACKS: dict[str, StackOf] = {
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
    "features": _stack("adam", Dense(6, "tanh", use_bias=False)),
    "features-over-time": _stack("adam", LSTM(4, dropout=0.2)),
    "classes": _stack(
        SGD(), _EMBEDDING, Flatten(), classes=CLASSES, learning_rate=PiecewiseConstantDecay((1,), (0.02, 0.01))
    ),
    "momentum": _stack(
        SGD(0.9), _EMBEDDING, Flatten(), Dense(4, "tanh"), learning_rate=ExponentialDecay(0.02, 2, 0.5), clipnorm=0.05
    ),
    "nesterov": _stack(
        SGD(0.8, nesterov=True), _EMBEDDING, GRU(3), learning_rate=CosineDecay(0.02, 4, 0.1), clipvalue=0.01
    ),
    "weight-decay": _stack(
        AdamW(0.1),
        _EMBEDDING,
        LSTM(3),
        classes=CLASSES,
        learning_rate=ExponentialDecay(0.001, 2, 0.5, staircase=True),
        global_clipnorm=0.05,
    ),
}
"""Small models, by name: every layer of `bench.spec`, sequences and last states, one mask for all gates and one for
each; layers of sequences as they come, on masked steps, and with every option; every optimizer, schedule and way to
clip. Those of `_SHAPES` take numbers.
"""
_SHAPES = {"features": (WIDTH,), "features-over-time": (LENGTH, WIDTH)}
_OPTIONS: dict[str, Any] = {
    "pool_size": 3, "strides": 2, "padding": "same", "rate": 0.3, "momentum": 0.8, "epsilon": 0.01
}  # fmt: skip


def _others(*, changed: bool) -> list[Layer]:
    """Return a layer of each kind that no stack above holds, a sequence in and out: as it comes, or all its options."""
    held = {type(layer) for stack in STACKS.values() for layer in stack.layers}
    return [
        kind(**{each.name: _OPTIONS[each.name] for each in fields(kind) if changed or each.default is MISSING})
        for kind in get_args(Layer)
        if kind not in held
    ]


STACKS |= {
    "sequences": _stack("adam", _MASKED, *_others(changed=False), GlobalMaxPooling1D()),
    "options": _stack(
        "rmsprop",
        _EMBEDDING,
        Conv1D(4, 3, "gelu", strides=2, padding="same"),
        ActivationLayer("softmax"),
        *_others(changed=True),
        GlobalMaxPooling1D(),
    ),
}


@dataclass(frozen=True)
class Checked:
    """A model as the backend built it, with its weights loaded, and some rows for it."""

    backend: str
    experiment: Experiment
    network: Network
    dtype: Dtype
    weights: Arrays

    @property
    def model(self) -> Model:
        """Return the model."""
        return self.experiment.model

    @cached_property
    def batch(self) -> Batch:
        """Return the first rows, in which padding occurs, with dropout masks."""
        part, masks = self.experiment.dataset.train, self.experiment.masks(1)
        return Batch(part.x[np.arange(BATCH)], part.y[:BATCH], masks(0, BATCH) if masks else None)

    def require(self, holds: bool, rule: str, expected: object, found: object) -> None:
        """Raise `Violation` unless a rule holds."""
        if not holds:
            raise Violation(
                f"{self.backend}, model {self.experiment.case.name!r}: {rule}: expected {expected}, found {found}"
            )

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

    def all_close(
        self, rule: str, expected: Iterable[Any], found: Sequence[Any], tolerance: float | None = None
    ) -> None:
        """Raise `Violation` unless as many arrays agree; `{}` in the rule's name stands for the number of one."""
        wanted = list(expected)
        self.require(len(wanted) == len(found), f"number of arrays, {rule.format('...')}", len(wanted), len(found))
        for number, (array, other) in enumerate(zip(wanted, found, strict=True)):
            self.close(rule.format(number), array, other, tolerance)

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
        best = best_kernel(info, model, "cpu")
        kernels: tuple[Kernel, ...] = ("fused", "generic") if best == "fused" else (best,)
        for kernel in kernels:
            try:
                checked = built(name, build, model_name, kernel)
            except Unavailable as error:
                yield f"{model_name}, {kernel}: not available: {error}"
                continue
            for rule in RULES:
                rule(checked)
            yield f"{model_name}, {kernel}, {checked.dtype}: {len(RULES)} rules hold"
        if model_name == NATIVE and differences(info, model):
            yield f"{model_name}, native: {native_numerics_follow_the_seed(name, build)} follow the seed"


def _case(name: str) -> Case:
    stack = STACKS[name]
    data = EmbeddedFeatures(_SHAPES[name]) if name in _SHAPES else Embedded(WORDS, maxlen=LENGTH)
    return Case(name, data=data, layers=stack.layers, training=stack.training)


def model_of(name: str, numerics: str = "documented") -> Model:
    """Return one of `STACKS` as a model: RMSprop with the documents' formulas, all else with those of today's Keras."""
    case = _case(name)
    era = KERAS_2_0 if case.training.optimizer == "rmsprop" else KERAS_3
    return resolve(Suite("conformance", "none", "Conformance", era, (case,)), case, numerics)


def built(name: str, build: Build, model_name: str, kernel: Kernel) -> Checked:
    """Return a built model and its rows, in float64 where the backend has it; biases are not zero: they count."""
    model = model_of(model_name)
    dtype: Dtype = "float64"
    try:
        network = build(model, kernel, "cpu", dtype)
    except Unavailable:
        dtype = "float32"
        network = build(model, kernel, "cpu", dtype)
    random = stream("conformance", model_name)
    experiment = Experiment(_case(model_name), model, _rows(model, random), f"conformance/{model_name}", seed=0)
    weights = [(weight + random.uniform(-0.1, 0.1, weight.shape)).astype(np.float32) for weight in experiment.weights]
    checked = Checked(name, experiment, network, dtype, weights)
    checked.restart()
    return checked


def _rows(model: Model, random: np.random.RandomState) -> Dataset:
    """Return two batches and a partial one; of ids some are padded in front or behind."""
    shape = 2 * BATCH + 1, *model.input_shape
    if model.input == "ids":
        x: NDArray[Any] = random.randint(1, WORDS, shape).astype(np.int32)
        x[1, :3] = 0
        x[2, -2:] = 0
    else:
        x = random.standard_normal(shape).astype(np.float32)
    y = np.arange(len(x)) % (model.classes or 2)
    return Dataset("conformance", "", Examples(x, y.astype(np.int32 if model.classes else np.float32)))


def _slot_shapes(model: Model) -> list[tuple[int, ...]]:
    return [weight.shape for weight in model.weights if weight.trainable for _ in model.slots]


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
        part = _rows(model, stream("conformance", "native")).train
        network.train_epoch(part.x, part.y, np.arange(len(part), dtype=np.intp), None)
        trained.append((start, network.get_weights()[0]))
    drawn = {"initial": set(INITIAL), "trained": {*INITIAL, "order"}}
    for (when, names), (first, again, other) in zip(drawn.items(), zip(*trained, strict=True), strict=True):
        seeded = bool(names & model.differences)
        for seed, found, same in ((1, again, True), (2, other, not seeded)):
            if np.array_equal(first, found) != same:
                raise Violation(
                    f"{name}, model {NATIVE!r}: {when} native weights of seed {seed} beside those of seed 1: "
                    f"expected {'the same' if same else 'others'}, found {'others' if same else 'the same'}"
                )
    return ", ".join(sorted(model.differences))


def counts_parameters(checked: Checked) -> None:
    """Require the parameter counts of the model, layer by layer."""
    found = checked.network.parameters()
    for declared, layer in zip(checked.model.layers, found.layers, strict=True):
        total = sum(weight.size for weight in declared.weights)
        trainable = sum(weight.size for weight in declared.weights if weight.trainable)
        for what, expected, counted in (
            ("name of a layer", declared.name, layer.name),
            (f"parameters of {declared.name}", total, layer.total),
            (f"trainable parameters of {declared.name}", trainable, layer.trainable),
        ):
            checked.require(counted == expected, what, expected, counted)
    total = sum(weight.size for weight in checked.model.weights)
    checked.require(found.total == total, "parameters", total, found.total)


def returns_what_was_loaded(checked: Checked) -> None:
    """Require weights and optimizer state to come back exactly."""
    random = stream("conformance", "round trip")
    state = [np.array(3), *(random.random_sample(shape).astype(np.float32) for shape in _slot_shapes(checked.model))]
    checked.network.set_weights(checked.weights)
    checked.network.set_optimizer_state(state)
    checked.all_close("weights {} after loading", checked.weights, checked.network.get_weights(), 0.0)
    checked.all_close("optimizer state {} after loading", state, checked.network.get_optimizer_state(), 0.0)
    checked.restart()


def gradients_are_derivatives(checked: Checked) -> None:
    """Require each weight's gradient to be the slope of the loss along a random direction, and nothing to change."""
    before = checked.network.gradients(*checked.batch)
    checked.all_close("weights {} after gradients()", checked.weights, checked.network.get_weights(), 0.0)
    z, labels = np.asarray(before.logits, np.float64), checked.batch.y
    if checked.model.classes:
        losses = [np.log(np.sum(np.exp(row))) - row[label] for row, label in zip(z, labels.astype(int), strict=True)]
    else:
        losses = list(np.logaddexp(0, z) - labels * z)
    checked.close("loss of the logits", np.mean(losses), before.loss, 1e-5)
    trained = [i for i, weight in enumerate(checked.model.weights) if weight.trainable]
    random, h = stream("conformance", "directions"), STEP[checked.dtype]
    for place, gradient in zip(trained, before.gradients, strict=True):
        direction = np.sign(random.random_sample(gradient.shape) - 0.5)
        losses = []
        for sign in (1, -1):
            moved = [np.asarray(weight, np.float64) for weight in checked.weights]
            moved[place] = moved[place] + sign * h * direction
            checked.network.set_weights(moved)
            losses.append(checked.network.gradients(*checked.batch).loss)
        slope = (losses[0] - losses[1]) / (2 * h)
        size = max(1e-3, float(np.abs(gradient).sum()))
        checked.close(f"slope of weight {place} over its gradient", slope / size, np.sum(gradient * direction) / size)
    checked.restart()


def steps_follow_the_formula(checked: Checked) -> None:
    """Require three steps of Keras's optimizer, from the network's own gradients, and the loss before each."""
    network, model = checked.network, checked.model
    checked.restart()
    trained = [i for i, weight in enumerate(model.weights) if weight.trainable]
    weights = [np.asarray(weight, np.float64) for weight in checked.weights]
    slots = [[np.zeros(weights[i].shape) for _ in model.slots] for i in trained]
    for t in range(1, 4):
        before = network.gradients(*checked.batch)
        rate = _rate(model, t - 1)
        for k, gradient in enumerate(_clipped(model, [np.asarray(g, np.float64) for g in before.gradients])):
            weights[trained[k]] = weights[trained[k]] + _change(model, t, rate, weights[trained[k]], gradient, slots[k])
        loss = network.train_step(*checked.batch)
        checked.close(f"loss of step {t}", before.loss, loss, 1e-5)
        # Moving averages have a rule of their own.
        moved = zip(model.weights, weights, network.get_weights(), strict=True)
        weights = [old if spec.momentum is None else new for spec, old, new in moved]
        # In units of the learning rate, of which an update is about one.
        expected, got = (
            [(value - start) / _rate(model, 0) for value, start in zip(values, checked.weights, strict=True)]
            for values in (weights, network.get_weights())
        )
        checked.all_close(f"change of weight {{}} in {t} steps", expected, got)
    count, *found = network.get_optimizer_state()
    checked.require(int(count) == 3, "step count", 3, int(count))
    checked.all_close("slot {} after three steps", [slot for each in slots for slot in each], found)
    checked.restart()


def _rate(model: Model, step: int) -> float:
    """Return the learning rate of a step (from 0): keras/src/optimizers/schedules/learning_rate_schedule.py."""
    match model.learning_rate:
        case ExponentialDecay(initial, steps, rate, staircase):
            return float(initial * rate ** (step // steps if staircase else step / steps))
        case CosineDecay(initial, steps, alpha):
            return float(initial * (alpha + (1 - alpha) * np.cos(np.pi / 2 * min(1, step / steps)) ** 2))
        case PiecewiseConstantDecay(boundaries, values):
            return float(values[np.searchsorted(boundaries, step, side="left")])
        case rate:
            return rate


def _clipped(model: Model, gradients: list[Any]) -> list[Any]:
    """Return gradients as keras/src/optimizers/base_optimizer.py clips them, `_clip_gradients`."""
    if model.clip is None:
        return gradients
    how, limit = model.clip
    if how == "clipvalue":
        return [np.clip(gradient, -limit, limit) for gradient in gradients]
    sizes = [float(np.sum(gradient**2)) for gradient in gradients]
    norms = np.sqrt(sizes if how == "clipnorm" else [sum(sizes)] * len(sizes))
    return [gradient * limit / max(norm, limit) for gradient, norm in zip(gradients, norms, strict=True)]


def _change(model: Model, t: int, rate: float, weight: Any, gradient: Any, slots: list[Any]) -> Any:
    """Return by how much step `t` (from 1) changes a weight; its slots are changed here."""
    match model.optimizer:
        case SGD(momentum, nesterov):  # keras/src/optimizers/sgd.py
            if not momentum:
                return -rate * gradient
            slots[0] = momentum * slots[0] - rate * gradient
            return momentum * slots[0] - rate * gradient if nesterov else slots[0]
        case "rmsprop":  # keras/src/optimizers/rmsprop.py; Keras up to 2.10: epsilon outside the root
            slots[0] = 0.9 * slots[0] + 0.1 * gradient**2
            outside = model.rmsprop_epsilon == "outside"
            return -rate * gradient / (np.sqrt(slots[0]) + 1e-7 if outside else np.sqrt(slots[0] + 1e-7))
        case _:  # keras/src/optimizers/adam.py; AdamW decays first (base_optimizer.py, `_apply_weight_decay`)
            slots[0] = slots[0] + (gradient - slots[0]) * 0.1
            slots[1] = slots[1] + (gradient**2 - slots[1]) * 0.001
            corrected = rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            decay = model.optimizer.weight_decay if isinstance(model.optimizer, AdamW) else 0.0
            return -rate * decay * weight - corrected * slots[0] / (np.sqrt(slots[1]) + 1e-7)


def moving_averages_follow_the_batch(checked: Checked) -> None:
    """Require the moments that a step moves to be those it normalizes by, and evaluation to use the moving ones.

    From a moving average a of momentum m, a step leads to m a + (1 - m) times the batch's moment. Where every average
    is that moment itself, evaluation gives what training does, without dropout.
    """
    momenta = [weight.momentum for weight in checked.model.weights]
    if not any(momentum is not None for momentum in momenta):
        return
    network, (x, y, _) = checked.network, checked.batch
    checked.restart()
    expected = network.gradients(x, y, None).logits
    network.train_step(x, y, None)
    moments = [
        start if momentum is None else ((moved - momentum * np.asarray(start, np.float64)) / (1 - momentum))
        for momentum, start, moved in zip(momenta, checked.weights, network.get_weights(), strict=True)
    ]
    network.set_weights(moments)
    checked.close("logits by the moments of the batch", expected, network.logits(x))
    checked.restart()


def an_epoch_is_its_steps(checked: Checked) -> None:
    """Require an epoch in a given order, the partial batch kept, means weighted by batch size, accuracy of `hits`."""
    network, experiment = checked.network, checked.experiment
    x, y = np.asarray(experiment.dataset.train.x), experiment.dataset.train.y
    order, masks = experiment.order(1), experiment.masks(1)
    checked.restart()
    expected = epoch_by_steps(network, BATCH, x, y, order, masks)
    by_steps = network.get_weights()
    checked.restart()
    found = network.train_epoch(x, y, order, masks)
    checked.close("mean loss of an epoch", expected.loss, found.loss, 1e-5)
    checked.close("accuracy of an epoch", expected.accuracy, found.accuracy, 1e-5)
    checked.require(found.first_bad_step is None, "first bad step of a finite epoch", None, found.first_bad_step)
    checked.all_close("weight {} after an epoch", by_steps, network.get_weights(), 1e-5)
    checked.restart()


def epoch_by_steps(
    network: Network, batch_size: int, x: Features, y: Labels, order: Rows, masks: MaskSource | None
) -> EpochResult:
    """Train an epoch step by step, and return what the whole must give: means weighted by batch size."""
    losses, correct, sizes = [], 0, []
    for step, start in enumerate(range(0, len(order), batch_size)):
        rows = order[start : start + batch_size]
        batch = Batch(x[rows], y[rows], masks(step, len(rows)) if masks else None)
        # Predictions are made before each update.
        correct += int(np.sum(hits(network.gradients(*batch).logits, batch.y)))
        losses.append(network.train_step(*batch))
        sizes.append(len(rows))
    return EpochResult(float(np.average(losses, weights=sizes)), correct / sum(sizes))


def logits_do_not_depend_on_their_neighbours(checked: Checked) -> None:
    """Require the logits of a row to be the same alone and among others, without dropout, across evaluation batches."""
    network, x = checked.network, np.asarray(checked.experiment.dataset.train.x)
    together = network.logits(x)
    shape = (len(x),) if checked.model.classes is None else (len(x), checked.model.classes)
    checked.require(together.shape == shape, "shape of the logits", shape, together.shape)
    alone = np.concatenate([network.logits(x[i : i + 1]) for i in (0, len(x) - 1)])
    checked.close("logits of single rows", together[[0, -1]], alone, 1e-4)
    many = np.resize(x, (1100, *x.shape[1:]))
    checked.close("logits of 1,100 rows", np.resize(together, (1100, *shape[1:])), network.logits(many), 1e-4)


def tells_the_first_bad_step(checked: Checked) -> None:
    """Require the step at which the loss stopped being finite."""
    broken = [np.full_like(checked.weights[-1], np.nan)]
    checked.network.set_weights([*checked.weights[:-1], *broken])
    experiment, part = checked.experiment, checked.experiment.dataset.train
    found = checked.network.train_epoch(part.x, part.y, experiment.order(1), experiment.masks(1))
    checked.require(found.first_bad_step == 1, "first bad step", 1, found.first_bad_step)
    checked.restart()


def has_no_device_memory_on_a_cpu(checked: Checked) -> None:
    """Require that a CPU's memory is left to be counted by the process."""
    found = checked.network.device_peak_bytes()
    checked.require(found is None, "peak of device memory on a CPU", None, found)


def traces_the_steps_it_makes(checked: Checked) -> None:
    """Require `trace` to make its steps, and to say of the time what adds up."""
    checked.restart()
    trace = checked.network.trace(*checked.batch, 2)
    checked.require(trace.steps == 2, "steps of a trace", 2, trace.steps)
    made = int(checked.network.get_optimizer_state()[0])
    checked.require(made == 2, "optimizer steps made by trace()", 2, made)
    told = sum(entry.seconds for entry in trace.ran if entry.within is None)
    checked.require(told <= trace.seconds * 1.001, "seconds of a trace's entries", f"<= {trace.seconds}", told)
    checked.restart()


RULES: tuple[Callable[[Checked], None], ...] = (
    counts_parameters,
    returns_what_was_loaded,
    gradients_are_derivatives,
    steps_follow_the_formula,
    moving_averages_follow_the_batch,
    an_epoch_is_its_steps,
    logits_do_not_depend_on_their_neighbours,
    tells_the_first_bad_step,
    has_no_device_memory_on_a_cpu,
    traces_the_steps_it_makes,
)
