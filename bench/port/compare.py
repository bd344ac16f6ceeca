"""The comparison of a Keras model with its port, stage by stage; it drives two processes and runs no user code."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench.errors import UsageError
from bench.port import layout, losses, updates
from bench.port.batch import Batch, labels
from bench.port.between import NO_ACTIVATION
from bench.port.causes import Finding, Told
from bench.port.initial import initialisers
from bench.port.match import Pair
from bench.port.result import INHERENT, TRAINED, Comparison
from bench.port.sides import Side
from bench.port.trace import Array, ByLayer, Steps
from bench.port.training_mode import SECOND_BIAS, TrainingMode, rates, scaled, two_biases
from bench.port.updates import STEPS


def compare(
    keras: Side, torch: Side, batch: Batch, spec: str, step: str | None, chosen: Mapping[str, str]
) -> Comparison:
    """Return what differs between two loaded sides, whose Keras model is compiled where there is a `step`.

    `spec` is the port's, for another try in float32. `step` is the user's recipe for the port's training; without it
    only outputs and gradients are judged. `chosen`: names of torch's layers by Keras's.
    """
    started = time.perf_counter()
    found = _Comparing(keras, torch, batch, spec, chosen).run(step)
    found.seconds = time.perf_counter() - started
    return found


class _Comparing(TrainingMode):
    """All stages, with the user's own training where there are recipes."""

    def run(self, step: str | None) -> Comparison:
        """Compare stage by stage; a later stage is judged where the earlier leave it a meaning."""
        if not self._found.matching.complete:
            return self._found
        self._evaluation()
        self._training_mode()
        if step:
            self._trained(step)
        else:
            self._gradient()
            self._later()
        self._found.will_differ += initialisers(self._in_keras(self._fresh))
        self._order_of_normalisation()
        return self._found

    # --- recipes ----------------------------------------------------------------------------------------------

    def _trained(self, step: str) -> None:
        y = self._batch.y if self._batch.y is not None else labels(self._k.loss(), self._outputs_of[0][1])
        total, extra, gradients = self._k.gradient(self._batch.x, None, y)
        for name, error in self._k.unsummed().items():
            if error > TRAINED[self._precision]:
                words = "squares duplicate rows of its gradient, then sums them", "sums them first"
                self._add("later", self._pair_of(name), Told("embedding-gradient", *words), error)
        self._restore()
        ours: Steps = self._k.train(self._batch.x, y, STEPS)
        theirs = self._torch_steps(step, y)
        called = theirs.observed["loss"]
        for name, (training, line) in theirs.observed["modes"].items():
            self._mode(name, training, line or (called and called["line"]))
        altering = {each.cause for each in self._found.findings if _alters(each)}
        # Probabilities on one side and logits on the other are compared by their losses.
        comparable = (self._comparable or altering <= {"probabilities-logits"}) and all(
            each.cause != "mode-train-forgotten" for each in self._found.findings
        )
        same = comparable and self._losses(total, extra, y, theirs)
        self._reach_the_loss(theirs, same)
        if comparable:
            same = same and self._judge_gradients(gradients, theirs.gradients)
            self._found.compared.append("loss, gradient of every weight")
        else:
            self._found.left_out.append("loss and gradients: the outputs differ already")
        self._updates(ours, theirs, same)
        self._order()

    def _reach_the_loss(self, theirs: Steps, same: bool) -> None:
        """Drop the finding that the port returns logits, where its loss takes them (or their logarithm)."""
        called = theirs.observed["loss"]
        logits = called and called["name"] in ("cross_entropy", "binary_cross_entropy_with_logits", "nll_loss")
        self._found.findings = [
            each
            for each in self._found.findings
            if (each.stage, each.cause) != ("evaluation", "probabilities-logits")
            or not (same or (logits and each.told.keras.startswith("probabilities")))
        ]

    def _torch_steps(self, step: str, y: Array) -> Steps:
        x = list(self._x().values())
        while True:
            try:
                self._t.recipe(step)
                return self._t.train(x, y, STEPS)  # type: ignore[no-any-return]
            except UsageError as error:
                if self._precision == "float32" or ("dtype" not in str(error).lower() and "Float" not in str(error)):
                    raise
            self._precision = self._found.precision = "float32"
            self._t.load(self._spec, "float32")
            self._t.set_weights(self._carried)

    def _mode(self, name: str, training: bool, line: str | None) -> None:
        pair = next((pair for pair in self._matched if pair.torch.name == name), None)
        normalises = pair is not None and pair.first.kind == "BatchNormalization" and pair.first.is_trained
        drops = any(rates(layer) for layer in self._layers.values())
        if not training and (normalises or (name == "" and drops)):
            has = f"{name or 'the module'} is in evaluation mode"
            self._add("update", pair, Told("mode-train-forgotten", "training mode", has), 1.0, line, name)

    def _losses(self, total: float, extra: float, y: Array, theirs: Steps) -> bool:
        found = theirs.losses[0]
        error = abs(found - total) / max(abs(total), 1e-12)
        if error <= max(losses.CLOSE, self._tolerance):
            return True
        called, reduced = theirs.observed["loss"], theirs.observed["reduced"]
        smoothing = self._k.loss().get("label_smoothing") or 0.0
        both = losses.Losses(total - extra, found, extra, y, called, reduced, smoothing)
        told = losses.cause(both, self._t.function) or Told("unknown", f"{total:.6g}", f"{found:.6g}")
        self._add("loss", None, told, error, (called or reduced or {}).get("line"), "loss")
        return False

    def _updates(self, ours: Steps, theirs: Steps, same: bool) -> None:
        """Judge the first update and ten steps; tell what differs between the optimizers."""
        clips = any(ours.settings.get(name) for name in ("clipnorm", "global_clipnorm"))  # torch adds 1e-6 to a norm
        allowed = 1e-5 if clips else TRAINED[self._precision]
        error, stage = 1.0, "update"
        where: Pair | None = None
        if same:
            stages = [("update", ours.first, theirs.first), ("ten steps", ours.last, theirs.last)]
            judged = [(*self._change(mine, other), name) for name, mine, other in stages]
            wrong = [each for each in judged if each[0] > allowed]
            if not wrong:
                self._found.compared += ["update of one step", f"{STEPS} steps on the batch"]
                return
            error, where, stage = wrong[0]
        before = len(self._found.findings)
        keras, torch = updates.of_keras(ours), updates.of_torch(theirs)
        told = updates.schedule(ours.rates, theirs.rates)
        if told and told.slug != "learning-rate":
            line = theirs.observed["schedule"] or theirs.line
            self._add("ten steps", None, told, _distance(ours.rates, theirs.rates), line, "optimizer")
            torch = replace(torch, lr=keras.lr)
        after = {(layer.name, name): value for _, layer, name, value in self._in_keras(theirs.first, summed=False)}
        gradients, weights, moved = [], [], []
        for _, layer, name, value in self._in_keras(theirs.gradients, summed=False):
            gradients.append(np.nan_to_num(value))
            weights.append(np.asarray(self._values[layer.name][name], np.float64))
            moved.append(after[layer.name, name] - weights[-1])
        torch = updates.formula(torch, gradients, weights, moved)
        clipped = theirs.observed["clip"]
        for told in updates.causes(keras, torch, gradients, weights):
            line = clipped["line"] if clipped else theirs.observed["stepped"]
            self._add("update", None, told, error, line if "clipping" in told.slug else theirs.line, "optimizer")
        for pair, name, wanted, value in self._moves(ours.first, theirs.first):
            off = layout.error(value, wanted)
            if name.endswith("bias") and two_biases(pair) and off > 0.5:
                self._add("update", pair, SECOND_BIAS, off)
        if not same:
            self._found.left_out.append("update and ten steps by their values: loss or gradients differ already")
        elif len(self._found.findings) == before:
            self._add(stage, where, Told("unknown", "its weights after it", "others"), error, theirs.line, "optimizer")
        self._found.compared += ["settings of the optimizers, learning rate of each step"]

    def _moves(self, ours: ByLayer, theirs: ByLayer) -> Iterator[tuple[Pair, str, Array, Array]]:
        """Yield both sides' change of each weight, but for the variance that torch unbiases."""
        for pair, layer, name, value in self._in_keras(theirs):
            if name != "moving_variance":
                start = self._values[layer.name][name]
                yield pair, name, ours[layer.name][name] - start, value - start

    def _change(self, ours: ByLayer, theirs: ByLayer) -> tuple[float, Pair | None]:
        """Return the largest error of the weights' changes, and where it is."""
        moves = list(self._moves(ours, theirs))
        largest = max((float(np.max(abs(wanted), initial=0)) for _, _, wanted, _ in moves), default=0.0)
        errors = [(scaled(value, wanted, 1e-3 * largest), pair) for pair, _, wanted, value in moves]
        return max(errors, key=lambda each: each[0], default=(0.0, None))

    def _order(self) -> None:
        theirs = self._t.order()
        if theirs is None:
            self._found.left_out.append("order of the rows: --torch-step returned no loader")
            return
        rows, epochs, line = theirs
        sides = self._k.order(rows), epochs
        self._found.compared.append("order of the rows and sizes of the batches")
        shuffled = [_shuffled(side) for side in sides]
        if shuffled[0] != shuffled[1]:
            ours, own = ("shuffled every epoch" if each else "in order" for each in shuffled)
            self._add("data", None, Told("data-order", ours, own, str(shuffled[0])), 1.0, line, "data")
        sizes = [[len(batch) for batch in side[0]] for side in sides]
        if sizes[0] != sizes[1]:
            ours, own = (f"{len(side)} batches, the last of {side[-1] if side else 0}" for side in sizes)
            told = Told("unknown", ours, own, f"batch_size={sizes[0][0]}")
            if sizes[1] == sizes[0][:-1] or sizes[0] == sizes[1][:-1]:
                told = Told("last-partial-batch", ours, own, f"drop_last={len(sizes[1]) > len(sizes[0])}")
            self._add("data", None, told, 1.0, line, "data")

    def _order_of_normalisation(self) -> None:
        """Join an activation that is missing before a layer and extra behind it: it stands on the other side."""
        findings = self._found.findings
        found = [each for each in findings if each.cause == "activation"]
        for pair in itertools.pairwise(found):
            for missing, extra in (pair, pair[::-1]):
                function = missing.told.keras
                joined = missing not in findings or extra not in findings
                if joined or (missing.told.torch, extra.told.keras) != (NO_ACTIVATION, NO_ACTIVATION):
                    continue
                if function == extra.told.torch:
                    sides = ("before", "behind") if missing is pair[0] else ("behind", "before")
                    words = f"{function} {sides[0]} it", f"{function} {sides[1]} it"
                    told = Told("nonlinearity-order", *words, line=pair[0].line)
                    findings[findings.index(pair[0])] = replace(pair[0], told=told)
                    findings.remove(pair[1])


def _alters(finding: Finding) -> bool:
    """Return whether outputs differ by what was found."""
    harmless = ("dropout-rate", "batchnorm-momentum", "frozen-weights", *INHERENT)
    drops = finding.cause == "missing-layer" and finding.stage == "training"
    return finding.stage in ("evaluation", "training") and finding.cause not in harmless and not drops


def _distance(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return float(np.max(abs(np.subtract(ours, theirs))) / max(ours)) if len(ours) == len(theirs) else np.inf


def _shuffled(epochs: Sequence[Sequence[Sequence[int]]]) -> bool:
    flat = [[row for batch in epoch for row in batch] for epoch in epochs]
    return any(rows != sorted(rows) for rows in flat)
