"""The proof that backends train the same model: the same inputs through two of them, and how far they may differ.

No framework is imported here: networks are handed in, in float32 and, where the backend can, in float64. The checks,
the tolerances and why they are what they are stand in docs/parity.md. In short, with errors relative to the largest
value of an array: float64 must agree to 1e-9, float32 to ten times what float32 itself costs, measured in the same
call, and neither side may lose ten times as much to float32 as the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.backends.base import Arrays, EpochResult, Network
from bench.model import Model
from bench.parity.inputs import Batch, Probe
from bench.parity.proof import Difference, Kind, Verdict
from bench.streams import stream

FLOAT64 = 1e-9
OWN_ERRORS = 10.0
FLOAT32_FLOOR = 16 * 2.0**-23
"""Sixteen units in the last place: what two right float32 results may differ by where the measured error happens to
be zero.
"""
WORST = 1.0
"""However large its own error, no float32 result may be further off than the largest value, or change, itself."""
SMALL = 1e-6
"""An array whose values are smaller than this share of the largest in the same call is measured against that share."""
EPOCH_MEANS = 1e-4
"""What the mean loss and the accuracy of an epoch may differ from those of the same steps made one by one, relative."""
EPOCH_WEIGHTS = 5e-2
"""The same for weights, relative to their change: optimizers divide a tiny gradient, mostly rounding, by its size."""
SATURATED = 20.0
"""A logit whose probability is 1 - 2e-9: beyond every clipping of probabilities (1e-7), and 1 in float32."""

SLOTS = {"adam": ("momentum", "velocity"), "rmsprop": ("velocity",)}
T = TypeVar("T")
Run = Callable[[Callable[[Network], T], Sequence[Network]], Iterable[T]]


@dataclass(frozen=True)
class Findings:
    """What `prove` finds for one twin: the parts of a `Proof` that are measured."""

    errors: dict[Kind, dict[str, float]]
    failures: list[Difference]
    own: float | None
    free_running: float

    @property
    def verdict(self) -> Verdict:
        """Return whether the twins are proven."""
        return "not proven" if self.failures else "proven"


@dataclass(frozen=True)
class Twin:
    """The networks of one backend and kernel; `double` is None where the backend has no float64."""

    name: str
    single: Network
    double: Network | None

    @property
    def networks(self) -> list[Network]:
        """Return both, float32 first."""
        return [self.single] if self.double is None else [self.single, self.double]


# --- comparison --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    """What four networks returned for one call, arrays in the same order; None where a backend has no float64."""

    reference: Arrays
    reference_double: Arrays | None
    found: Arrays
    found_double: Arrays | None


class _Judge:
    """Collects the errors of one twin."""

    def __init__(self) -> None:
        self.errors: dict[Kind, dict[str, float]] = defaultdict(dict)
        self.failures: list[Difference] = []
        self.own: list[tuple[float, float]] = []
        self._failed: set[tuple[Kind, str, str]] = set()

    def compare(
        self, kind: Kind, names: Sequence[str], call: _Call, before: Arrays | None = None, step: int | None = None
    ) -> None:
        """Judge one call; errors are relative to the largest value, or with `before` to the largest change from it."""
        truth = call.reference_double or call.reference
        starts: Sequence[Any] = before or [0.0] * len(names)
        sizes = [_largest(value, start) for value, start in zip(truth, starts, strict=True)]
        least = SMALL * max((size for size in sizes if np.isfinite(size)), default=0.0)
        doubles, found_doubles = call.reference_double, call.found_double
        for i, name in enumerate(names):
            scale = max(sizes[i], least)
            owns = [
                _largest(single[i], double[i]) / scale if double and 0 < scale < np.inf else 0.0
                for single, double in ((call.reference, doubles), (call.found, found_doubles))
            ]
            if kind == "training" and doubles and found_doubles:
                self.own.append((owns[0], owns[1]))
            if doubles and found_doubles:
                self._judge(kind, "float64", name, doubles[i], found_doubles[i], scale, FLOAT64, step)
            allowed = min(OWN_ERRORS * max(owns) + FLOAT32_FLOOR, WORST)
            self._judge(kind, "float32", name, call.reference[i], call.found[i], scale, allowed, step)

    def _judge(
        self,
        kind: Kind,
        dtype: str,
        name: str,
        expected: NDArray[Any],
        found: NDArray[Any],
        scale: float,
        allowed: float,
        step: int | None,
    ) -> None:
        if np.shape(expected) != np.shape(found):
            self.fail(kind, dtype, name, f"shape {np.shape(expected)}", f"shape {np.shape(found)}", step=step)
            return
        largest = _largest(found, expected)
        error = largest / scale if 0 < scale < np.inf else (0.0 if largest == 0 else np.inf)
        self.note(kind, dtype, error)
        if not error <= allowed:
            gaps = np.abs(np.asarray(found, np.float64) - expected)
            place = np.unravel_index(int(np.argmax(np.where(np.isnan(gaps), np.inf, gaps))), gaps.shape)
            index = f"[{', '.join(map(str, place))}]" if place else ""
            wanted, got = (f"{np.asarray(array)[place]:.9g}" for array in (expected, found))
            self.fail(kind, dtype, name, wanted, got, error=error, allowed=allowed, place=index, step=step)

    def note(self, kind: Kind, dtype: str, error: float) -> None:
        """Keep the largest error of a kind; JSON has no infinity."""
        finite = error if np.isfinite(error) else float(np.finfo(np.float64).max)
        self.errors[kind][dtype] = max(self.errors[kind].get(dtype, 0.0), finite)

    def fail(
        self,
        kind: Kind,
        dtype: str,
        name: str,
        expected: str,
        found: str,
        error: float = np.inf,
        allowed: float = 0.0,
        place: str = "",
        step: int | None = None,
    ) -> None:
        """Keep the first failure of each check, precision and weight."""
        self.note(kind, dtype, error)
        if (kind, dtype, name) not in self._failed:
            self._failed.add((kind, dtype, name))
            self.failures.append(
                Difference(
                    check=kind,
                    dtype=dtype,
                    weight=name,
                    place=place,
                    expected=expected,
                    found=found,
                    error=self.errors[kind][dtype],
                    allowed=allowed,
                    step=step,
                )
            )

    def precision(self) -> float | None:
        """Judge whether both sides lose about as much to float32; return the twin's median loss in a training step."""
        if not self.own:
            return None
        reference, own = np.median(np.array(self.own), axis=0)
        allowed = OWN_ERRORS * min(reference, own) + FLOAT32_FLOOR
        worse = max(reference, own)
        self.note("precision", "float32", worse)
        if worse > allowed:
            wanted, got = f"a median error of {reference:.1e}", f"one of {own:.1e}"
            self.fail("precision", "float32", "all weights", wanted, got, error=worse, allowed=allowed)
        return float(own)


def _largest(value: Any, other: Any) -> float:
    """Return the largest absolute difference; infinite where one is not a number or the shapes differ."""
    value, other = np.asarray(value), np.asarray(other)
    if other.shape not in ((), value.shape):
        return np.inf
    if not value.size:
        return 0.0
    difference = np.subtract(value, other, dtype=np.float64)
    # Twice as fast as the maximum of absolute values, which would be an array more; proofs spend their time here.
    largest = max(float(difference.max()), -float(difference.min()))
    return np.inf if np.isnan(largest) else largest


# --- proof -------------------------------------------------------------------------------------------------------


def prove(
    model: Model, inputs: Probe, reference: Twin, others: Sequence[Twin], run: Run[Any] = map
) -> dict[str, Findings]:
    """Return what is found for each of `others` against `reference`, by name.

    `model` is the one the networks were built from (`small`). `run` maps a function over networks; those of different
    processes may be asked at once.
    """
    twins = [reference, *others]
    networks = [network for twin in twins for network in twin.networks]
    judges = {twin.name: _Judge() for twin in twins}
    names = [f"{built.name}/{weight.name}" for built in model.layers for weight in built.weights]
    trained = [name for name, weight in zip(names, model.weights, strict=True) if weight.trainable]
    slot_names = [f"{name} {slot}" for name in trained for slot in SLOTS[model.optimizer]]

    for twin in twins:
        _parameters(model, names, slot_names, twin, judges[twin.name])
    fresh = [np.array(0), *_slots(model, lambda shape: np.zeros(shape, np.float32))]

    def restart(network: Network) -> None:
        network.set_weights(inputs.weights)
        network.set_optimizer_state(fresh)

    def compare(kind: Kind, labels: Sequence[str], results: Sequence[Arrays], **more: Any) -> None:
        of = dict(zip(map(id, networks), results, strict=True))
        for twin in others:
            doubles = [None if each.double is None else of[id(each.double)] for each in (reference, twin)]
            call = _Call(of[id(reference.single)], doubles[0], of[id(twin.single)], doubles[1])
            judges[twin.name].compare(kind, labels, call, **more)

    def everywhere(work: Callable[[Network], T]) -> list[T]:
        return list(run(work, networks))

    everywhere(restart)
    compare("forward", ["logits"], everywhere(lambda network: [network.logits(inputs.evaluation)]))
    for batch in inputs.gradients:
        found = everywhere(lambda network, given=batch: network.gradients(given.x, given.y, given.masks))  # type: ignore[misc]
        arrays = [[each.logits, np.array(each.loss), *each.gradients] for each in found]
        compare("gradient", ["logits", "loss", *trained], arrays)
    # Losses computed from probabilities differ from those computed from logits only where probabilities are clipped.
    everywhere(lambda network: network.set_weights([*inputs.weights[:-1], inputs.weights[-1] + SATURATED]))
    given = inputs.gradients[0]
    found = everywhere(lambda network: network.gradients(given.x, given.y, given.masks))
    labels = [f"{name} at logits near {SATURATED:.0f}" for name in ("loss", *trained)]
    compare("gradient", labels, [[np.array(each.loss), *each.gradients] for each in found])

    everywhere(restart)
    weights, state = inputs.weights, fresh
    for number, batch in enumerate(inputs.steps, 1):

        def step(
            network: Network, batch: Batch = batch, weights: Arrays = weights, state: Arrays = state
        ) -> tuple[float, Arrays, Arrays]:
            if network is not reference.single:
                network.set_weights(weights)
                network.set_optimizer_state(state)
            loss = network.train_step(batch.x, batch.y, batch.masks)
            return loss, network.get_weights(), network.get_optimizer_state()

        after = everywhere(step)
        labels = [*names, *slot_names]
        # The change of a step is what is compared: `before` is the same for all.
        changed = [[*own_weights, *own_state[1:]] for _, own_weights, own_state in after]
        for kind in ("update", "training") if number == 1 else ("training",):
            compare(kind, labels, changed, before=[*weights, *state[1:]], step=number)
            counts = [[np.array(loss), np.asarray(own_state[0])] for loss, _, own_state in after]
            compare(kind, ["loss", "step count"], counts, step=number)
        weights, state = after[0][1], after[0][2]

    everywhere(lambda network: network.set_weights(weights))
    compare("evaluation", ["logits"], everywhere(lambda network: [network.logits(inputs.evaluation)]))

    def free_run(network: Network) -> Arrays:
        restart(network)
        for batch in inputs.steps:
            network.train_step(batch.x, batch.y, batch.masks)
        return network.get_weights()

    free = dict(zip([twin.name for twin in others], run(free_run, [twin.single for twin in others]), strict=True))

    def epoch(network: Network) -> tuple[EpochResult, Arrays, EpochResult, Arrays]:
        restart(network)
        expected, by_steps = _epoch_by_steps(network, inputs, model.batch_size)
        restart(network)
        found = network.train_epoch(inputs.epoch_x, inputs.epoch_y, inputs.epoch_order, inputs.masks)
        return expected, by_steps, found, network.get_weights()

    results = iter(everywhere(epoch))
    for twin in twins:
        for dtype, _ in zip(("float32", "float64"), twin.networks, strict=False):
            _judge_epoch(judges[twin.name], dtype, names, inputs.weights, *next(results))

    # What the reference breaks of its own (counts, round trip, epoch) is no twin's fault, but proves none either.
    of_reference = judges[reference.name].failures
    findings = {}
    for twin in others:
        judge = judges[twin.name]
        own = judge.precision()
        changes = [
            _largest(mine, theirs) / (_largest(theirs, start) or 1.0)
            for mine, theirs, start in zip(free[twin.name], weights, inputs.weights, strict=True)
        ]
        failures = [*judge.failures, *of_reference]
        findings[twin.name] = Findings(dict(judge.errors), failures, own, max(changes))
    return findings


def _slots(model: Model, make: Callable[[tuple[int, ...]], NDArray[Any]]) -> Arrays:
    """Return an array for every optimizer slot, in the order of `Network.get_optimizer_state`."""
    return [make(weight.shape) for weight in model.weights if weight.trainable for _ in SLOTS[model.optimizer]]


def _parameters(model: Model, names: list[str], slot_names: list[str], twin: Twin, judge: _Judge) -> None:
    """Check counts by layer, and that weights and optimizer state come back exactly as they were loaded."""
    counted = twin.single.parameters()
    judge.note("parameters", "float32", 0.0)
    for built, layer in zip(model.layers, counted.layers, strict=True):
        expected = (
            sum(weight.size for weight in built.weights),
            sum(weight.size for weight in built.weights if weight.trainable),
        )
        if (layer.total, layer.trainable) != expected:
            wanted, got = (
                f"{total:,} parameters, {trainable:,} trainable"
                for total, trainable in (expected, (layer.total, layer.trainable))
            )
            judge.fail("parameters", "float32", built.name, wanted, got)
    random = stream("parity", "round trip")

    def values(shape: tuple[int, ...]) -> NDArray[Any]:
        return random.random_sample(shape).astype(np.float32)

    weights = [values(weight.shape) for weight in model.weights]
    state = [np.array(7), *_slots(model, values)]
    twin.single.set_weights(weights)
    twin.single.set_optimizer_state(state)
    returned = [*twin.single.get_weights(), *twin.single.get_optimizer_state()]
    labels = [*names, "step count", *slot_names]
    if len(returned) != len(labels):
        judge.fail("parameters", "float32", "all weights and slots", f"{len(labels)} arrays", f"{len(returned)}")
        return
    for name, sent, back in zip(labels, [*weights, *state], returned, strict=True):
        if sent.shape != back.shape:
            judge.fail("parameters", "float32", name, f"shape {sent.shape}", f"shape {back.shape}")
        elif not np.array_equal(sent, back):
            place = np.unravel_index(int(np.argmax(sent != back)), sent.shape)
            index = f"[{', '.join(map(str, place))}]" if place else ""
            judge.fail("parameters", "float32", name, f"{sent[place]:.9g}", f"{back[place]:.9g}", place=index)


def _epoch_by_steps(network: Network, inputs: Probe, batch_size: int) -> tuple[EpochResult, Arrays]:
    """Return what an epoch must give: means weighted by batch size, predictions made before each update."""
    losses, correct, sizes = [], 0, []
    for step, start in enumerate(range(0, len(inputs.epoch_order), batch_size)):
        rows = inputs.epoch_order[start : start + batch_size]
        x, y = inputs.epoch_x[rows], inputs.epoch_y[rows]
        masks = inputs.masks(step, len(rows)) if inputs.masks else None
        correct += int(np.sum((network.gradients(x, y, masks).logits > 0) == (y > 0.5)))
        losses.append(network.train_step(x, y, masks))
        sizes.append(len(rows))
    result = EpochResult(float(np.average(losses, weights=sizes)), correct / sum(sizes))
    return result, network.get_weights()


def _judge_epoch(
    judge: _Judge,
    dtype: str,
    names: list[str],
    before: Arrays,
    expected: EpochResult,
    by_steps: Arrays,
    found: EpochResult,
    weights: Arrays,
) -> None:
    of_means, of_weights = (FLOAT64, FLOAT64) if dtype == "float64" else (EPOCH_MEANS, EPOCH_WEIGHTS)
    for name, wanted, got in (
        ("loss", expected.loss, found.loss),
        ("accuracy", expected.accuracy, found.accuracy),
    ):
        error = abs(got - wanted) / max(wanted, SMALL)
        judge.note("epoch", dtype, error)
        if not error <= of_means:
            judge.fail("epoch", dtype, name, f"{wanted:.9g}", f"{got:.9g}", error, of_means)
    for name, start, wanted_array, got_array in zip(names, before, by_steps, weights, strict=True):
        change, gap = _largest(wanted_array, start), _largest(got_array, wanted_array)
        error = gap / change if change else (0.0 if not gap else np.inf)
        judge.note("epoch", dtype, error)
        if not error <= of_weights:
            found_gap = f"a difference of {gap:.3g}"
            judge.fail("epoch", dtype, name, "the weights of the same steps", found_gap, error, of_weights)
