"""The comparison of a Keras model with its port, stage by stage; it drives two processes and runs no user code."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.errors import UsageError
from bench.port import carry, layout, losses, updates
from bench.port.batch import Batch, labels
from bench.port.causes import Finding, Told
from bench.port.initial import initialisers
from bench.port.match import Pair
from bench.port.result import INHERENT, STEPS, TRAINED, Comparison, Recipes
from bench.port.sides import Side
from bench.port.trace import Array, Layer, Steps
from bench.port.training_mode import TrainingMode, rates


def compare(
    keras: Side, torch: Side, batch: Batch, spec: str, recipes: Recipes, chosen: Mapping[str, str]
) -> Comparison:
    """Return what differs between two loaded sides; `spec` is the port's, for another try in float32."""
    started = time.perf_counter()
    found = _Comparing(keras, torch, batch, spec, recipes, chosen).run()
    found.seconds = time.perf_counter() - started
    return found


class _Comparing(TrainingMode):
    """All stages, with the user's own training where there are recipes."""

    def run(self) -> Comparison:
        """Compare stage by stage; a later stage is judged where the earlier leave it a meaning."""
        if not self._found.matching.complete:
            return self._found
        self._evaluation()
        self._training_mode()
        if self._recipes.both:
            self._trained()
        else:
            self._gradient()
            self._later()
        self._found.will_differ += initialisers(self._matched, self._fresh)
        self._order_of_normalisation()
        return self._found

    # --- recipes ----------------------------------------------------------------------------------------------

    def _trained(self) -> None:
        loss = self._k.loss()
        y = self._batch.y if self._batch.y is not None else labels(loss, self._outputs_of[0][1])
        self._y = y
        total, extra, gradients = self._k.gradient(self._batch.x, None, y)
        for name, error in self._k.unsummed().items():
            if error > TRAINED[self._precision]:
                words = "squares duplicate rows of its gradient, then sums them", "sums them first"
                self._later_add(self._pair_of(name), Told("embedding-gradient", *words), error)
        self._restore()
        ours: Steps = self._k.train(self._batch.x, y, STEPS)
        theirs = self._torch_steps(y)
        for name, (training, line) in theirs.observed["modes"].items():
            self._mode(name, training, line or next((each["line"] for each in theirs.observed["loss"]), None))
        only_end = all(
            each.cause == "probabilities-logits" for each in self._found.findings if each.stage == "evaluation"
        )
        changing = [each for each in self._found.findings if each.stage in ("evaluation", "training") and _alters(each)]
        comparable = self._comparable or (only_end and not [e for e in changing if e.cause != "probabilities-logits"])
        same = False
        if comparable and all(each.cause != "mode-train-forgotten" for each in self._found.findings):
            same = self._losses(total, extra, theirs)
            self._reach_the_loss(theirs, same)
            if same:
                same = self._judge_gradients(gradients, theirs.gradients)
            self._found.compared.append("loss, gradient of every weight")
        else:
            self._reach_the_loss(theirs, False)
            self._found.left_out.append("loss and gradients: the outputs differ already")
        self._updates(ours, theirs, same)
        self._order()

    def _reach_the_loss(self, theirs: Steps, same: bool) -> None:
        """Drop the finding that the port returns logits, where its loss takes them."""
        logits = _takes_logits(theirs.observed["loss"])
        self._found.findings = [
            each
            for each in self._found.findings
            if (each.stage, each.cause) != ("evaluation", "probabilities-logits")
            or not (same or (logits and each.told.keras.startswith("probabilities")))
        ]

    def _torch_steps(self, y: Array) -> Steps:
        x = list(self._x(self._axes).values())
        try:
            self._t.recipe(self._recipes.step)
            return self._t.train(x, y, STEPS)  # type: ignore[no-any-return]
        except UsageError as error:
            if self._precision == "float32" or ("dtype" not in str(error).lower() and "Float" not in str(error)):
                raise
        self._precision = self._found.precision = "float32"
        self._t.load(self._spec, "float32")
        self._t.set_weights(self._carried)
        self._t.recipe(self._recipes.step)
        return self._t.train(x, y, STEPS)  # type: ignore[no-any-return]

    def _mode(self, name: str, training: bool, line: str | None) -> None:
        pair = next((pair for pair in self._matched if pair.torch.name == name), None)
        normalises = pair is not None and pair.first.kind == "BatchNormalization" and any(pair.first.trainable.values())
        drops = any(rates(layer) for layer in self._layers.values())
        if not training and (normalises or (name == "" and drops)):
            told = Told(
                "mode-train-forgotten", "training mode", f"{name or 'the module'} is in evaluation mode", line=line
            )
            self._add("update", pair, told, 1.0, layer=name)

    def _losses(self, total: float, extra: float, theirs: Steps) -> bool:
        found = theirs.losses[0]
        error = abs(found - total) / max(abs(total), 1e-12)
        if error <= max(losses.CLOSE, self._tolerance):
            return True
        calls, reduced = theirs.observed["loss"], theirs.observed["reduced"]
        smoothing = float(self._k.loss().get("label_smoothing") or 0.0)
        both = losses.Losses(total, found, extra, self._y, calls[0] if calls else None, reduced, smoothing)
        told = losses.cause(both, self._t.function)
        line = (calls[0] if calls else reduced or {}).get("line")
        self._add("loss", None, told or Told("unknown", f"{total:.6g}", f"{found:.6g}"), error, line, "loss")
        return False

    def _updates(self, ours: Steps, theirs: Steps, same: bool) -> None:
        """Judge the first update and ten steps; tell what differs between the optimizers."""
        names = [(pair, layer) for pair in self._matched for layer in pair.keras]
        allowed = (
            1e-5 if ours.settings.get("clipnorm") or ours.settings.get("global_clipnorm") else TRAINED[self._precision]
        )
        stages = [("update", ours.first, theirs.first), ("ten steps", ours.last, theirs.last)]
        wrong = [
            (stage, error, where)
            for stage, mine, other in stages
            for error, where in [self._change(names, mine, other)]
            if same and error > allowed
        ]
        if same and not wrong:
            self._found.compared += ["update of one step", f"{STEPS} steps on the batch"]
            return
        before = len(self._found.findings)
        error = wrong[0][1] if wrong else 1.0
        keras, torch = updates.of_keras(ours), updates.of_torch(theirs)
        told = updates.schedule(ours.rates, theirs.rates)
        if told and told.slug != "learning-rate":
            line = theirs.observed["schedule"] or theirs.line
            self._add("ten steps", None, told, _distance(ours.rates, theirs.rates), line, "optimizer")
            torch = replace(torch, lr=keras.lr)
        gradients, weights, moved = [], [], []
        for pair in self._matched:
            parts = carry.to_keras(pair.keras, pair.torch, theirs.gradients.get(pair.torch.name, {}), summed=False)
            after = carry.to_keras(pair.keras, pair.torch, theirs.first[pair.torch.name], summed=False)
            for layer, own, end in zip(pair.keras, parts, after, strict=True):
                for name, value in own.items():
                    gradients.append(np.nan_to_num(value))
                    weights.append(np.asarray(self._values[layer.name][name], np.float64))
                    moved.append(end[name] - weights[-1])
        torch = updates.formula(torch, gradients, weights, moved)
        for told in updates.causes(keras, torch, gradients, weights):
            clips = theirs.observed["clips"]
            clipped = told.slug.startswith("clipping")
            line = (clips[0]["line"] if clips else theirs.observed["stepped"]) if clipped else theirs.line
            self._add("update", None, told, error, line, "optimizer")
        for pair in self._matched:
            if self._two_biases(pair):
                self._second_bias(pair, ours, theirs)
        if not same:
            self._found.left_out.append("update and ten steps by their values: loss or gradients differ already")
        elif len(self._found.findings) == before:
            stage, error, where = wrong[0]
            told = Told("unknown", "its weights after it", "others")
            self._add(stage, where, told, error, theirs.line, "optimizer")
        self._found.compared += ["settings of the optimizers, learning rate of each step"]

    def _second_bias(self, pair: Pair, ours: Steps, theirs: Steps) -> None:
        start = self._values
        found = carry.to_keras(pair.keras, pair.torch, theirs.first[pair.torch.name], summed=True)
        for layer, own in zip(pair.keras, found, strict=True):
            for name in [name for name in own if name.endswith("bias")]:
                moved = own[name] - start[layer.name][name]
                wanted = ours.first[layer.name][name] - start[layer.name][name]
                error = layout.error(moved, wanted)
                if error > 0.5:
                    told = Told("second-bias", "one bias", "two biases, both trained: their sum moves twice as fast")
                    self._add("update", pair, told, error)

    def _change(
        self, names: Sequence[tuple[Pair, Layer]], ours: Mapping[str, Any], theirs: Mapping[str, Any]
    ) -> tuple[float, Pair | None]:
        """Return the largest error of the weights' changes, and where it is."""
        worst: tuple[float, Pair | None] = (0.0, None)
        changes = []
        for pair in dict.fromkeys(id(pair) for pair, _ in names):
            own = next(each for each, _ in names if id(each) == pair)
            found = carry.to_keras(own.keras, own.torch, theirs[own.torch.name], summed=True)
            for layer, values in zip(own.keras, found, strict=True):
                for name, value in values.items():
                    if name == "moving_variance":
                        continue  # torch keeps the unbiased one
                    start = self._values[layer.name][name]
                    changes.append((own, ours[layer.name][name] - start, value - start))
        largest = max((float(np.max(abs(wanted), initial=0)) for _, wanted, _ in changes), default=0.0)
        for own, wanted, value in changes:
            scale = max(float(np.max(abs(wanted), initial=0)), 1e-3 * largest)
            error = float(np.max(abs(value - wanted), initial=0)) / scale if scale else 0.0
            if error > worst[0]:
                worst = error, own
        return worst

    def _order(self) -> None:
        theirs = self._t.order()
        if theirs is None:
            self._found.left_out.append("order of the rows: --torch-step returned no loader")
            return
        rows, epochs, line = theirs
        ours = self._k.order(rows)
        self._found.compared.append("order of the rows and sizes of the batches")
        shuffled = [_shuffled(side) for side in (ours, epochs)]
        if shuffled[0] != shuffled[1]:
            words = ["shuffled every epoch" if each else "in order" for each in shuffled]
            self._add("data", None, Told("data-order", words[0], words[1], str(shuffled[0])), 1.0, line, "data")
        sizes = [[len(batch) for batch in side[0]] for side in (ours, epochs)]
        if sizes[0] == sizes[1]:
            return
        words = [f"{len(side)} batches, the last of {side[-1] if side else 0}" for side in sizes]
        partial = sizes[0][:-1] == sizes[1] or sizes[0] == sizes[1][:-1]
        remedy = f"drop_last={len(sizes[1]) > len(sizes[0])}" if partial else f"batch_size={sizes[0][0]}"
        slug = "last-partial-batch" if partial else "unknown"
        self._add("data", None, Told(slug, words[0], words[1], remedy), 1.0, line, "data")

    def _order_of_normalisation(self) -> None:
        """Join an activation that is missing before a layer and extra behind it: it stands on the other side."""
        found = [each for each in self._found.findings if each.cause == "activation"]
        for one, other in itertools.pairwise(found):
            missing = [each for each in (one, other) if each.told.torch == "no activation"]
            extra = [each for each in (one, other) if each.told.keras == "no activation"]
            if missing and extra and missing[0].told.keras == extra[0].told.torch:
                function = missing[0].told.keras
                sides = ("before", "behind") if missing[0] is one else ("behind", "before")
                words = [f"{function} {side} it" for side in sides]
                told = Told("nonlinearity-order", words[0], words[1], f"{function} {sides[0]} it", one.line)
                at = self._found.findings.index(one)
                self._found.findings[at] = replace(one, told=told)
                self._found.findings.remove(other)


def _takes_logits(calls: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a loss function takes logits (or their logarithm): then the port's outputs need no softmax."""
    return bool(calls) and calls[0]["name"] in ("cross_entropy", "binary_cross_entropy_with_logits", "nll_loss")


def _alters(finding: Finding) -> bool:
    return finding.cause not in ("dropout-rate", "batchnorm-momentum", "frozen-weights", *INHERENT) and not (
        finding.cause == "missing-layer" and finding.stage == "training"
    )


def _distance(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return float(np.max(abs(np.subtract(ours, theirs))) / max(ours)) if len(ours) == len(theirs) else np.inf


def _shuffled(epochs: Sequence[Sequence[Sequence[int]]]) -> bool:
    flat = [[row for batch in epoch for row in batch] for epoch in epochs]
    return any(rows != sorted(rows) for rows in flat)
