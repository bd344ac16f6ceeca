"""Training mode: rates of dropout, statistics of batches, gradients, and what differs as soon as both are trained."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.port import carry, layout
from bench.port.causes import Told
from bench.port.match import Pair
from bench.port.passes import Passes
from bench.port.result import SMALL
from bench.port.trace import Array, ByLayer, Layer, Trace


class TrainingMode(Passes):
    """Both sides on one batch, in training mode without dropout."""

    def _training_mode(self) -> None:
        """Compare a pass in training mode: rates of dropout, statistics of batches and their moving averages."""
        free: Trace = self._t.forward(self._x(), True)
        self._dropouts(free.dropouts)
        self._frozen()
        self._k.without_dropout()
        self._restore()
        trace: Trace = self._k.forward(self._batch.x, True)
        ours: ByLayer = self._k.weights()
        theirs = self._forced(trace, training=True)
        self._judge(trace, theirs, "training")
        self._moving(trace, ours, self._t.weights())
        self._restore()
        self._comparable = self._outputs("training", trace, free)
        self._outputs_of = trace.outputs
        self._found.compared.append("training mode without dropout, moving statistics")

    def _dropouts(self, theirs: Sequence[Mapping[str, Any]]) -> None:
        """Compare what both sides drop, in order; dropout that is not active is in evaluation mode."""
        ours = [(layer, rate) for layer in self._layers.values() for rate in rates(layer)]
        for drop in theirs:
            if not drop["active"] and drop["rate"] > 0:
                told = Told("mode-train-forgotten", "dropout", "dropout that is not active")
                self._add("training", None, told, drop["rate"], drop["line"], drop["kind"])
        active = [drop for drop in theirs if drop["rate"] > 0 and drop["active"]]
        if len(ours) > len(active) and any(not drop["active"] for drop in theirs):
            return
        sides = [f"{rate:.9g}" for _, rate in ours], [f"{drop['rate']:.9g}" for drop in active]
        if len(ours) == len(active):
            spans = [(at, at + 1, at, at + 1) for at in range(len(ours)) if sides[0][at] != sides[1][at]]
        else:
            codes = difflib.SequenceMatcher(None, *sides, autojunk=False).get_opcodes()
            spans = [code[1:] for code in codes if code[0] != "equal"]
        for a, b, c, d in spans:
            mine, other = ours[a:b], active[c:d]
            for (layer, rate), drop in zip(mine, other, strict=False):
                kept = " (torch's p is what is dropped)" if np.isclose(drop["rate"], 1 - rate) else ""
                told = Told("dropout-rate", f"drops {rate:g}", f"drops {drop['rate']:g}{kept}", f"{rate:g}")
                self._add("training", None, told, abs(rate - drop["rate"]), drop["line"], layer.name)
            for layer, rate in mine[len(other) :]:
                told = Told("missing-layer", f"dropout {rate:g} in {layer}", "no dropout", f"add Dropout({rate:g})")
                self._add("training", None, told, rate, self._behind(layer), layer.name)
            for drop in other[len(mine) :]:
                told = Told("missing-layer", "no dropout", f"dropout {drop['rate']:g}")
                self._add("training", None, told, drop["rate"], drop["line"], drop["kind"])

    def _behind(self, layer: Layer) -> str | None:
        """Return the port's line that runs what Keras has in front of a layer without weights."""
        call = next(iter(self._ktrace.of(layer.name)), None)
        while call and call.inputs and (call.layer == layer.name or not self._layers[call.layer].weights):
            call = self._ktrace.producer(call.inputs[0][0])
        return self._called_at(self._free, self._pair_of(call.layer)) if call else None

    def _frozen(self) -> None:
        for pair in self._matched:
            ours, theirs = any(layer.is_trained for layer in pair.keras), pair.torch.is_trained
            if ours != theirs:
                words = ("trained", "frozen") if ours else ("frozen", "trained")
                told = Told("frozen-weights", *words, f"requires_grad_({ours})", pair.torch.frozen)
                self._add("training", pair, told, 1.0)

    def _moving(self, trace: Trace, ours: ByLayer, theirs: ByLayer) -> None:
        """Compare the moving statistics of each BatchNorm after one batch."""
        unclear = {each.layer for each in self._found.findings if each.stage == "training"}
        for pair in self._matched:
            layer, moves = pair.first, pair.torch.config.get("momentum")
            if layer.kind != "BatchNormalization" or "running_mean" not in pair.torch.weights or layer.name in unclear:
                continue
            start, after, keeps = self._values[layer.name], ours[layer.name], layer.config["momentum"]
            if keeps >= 1 or np.array_equal(start["moving_mean"], after["moving_mean"]):
                continue
            (found,) = carry.to_keras(pair.keras, pair.torch, theirs[pair.torch.name], summed=True)
            value = trace.of(layer.name)[-1].inputs[0][1]
            rows = value.size // value.shape[-1]
            by = 1.0 if moves is None else float(moves)
            # What the batch's own statistics are, from how far Keras moved to them.
            batch = {key: start[key] + (after[key] - start[key]) / (1 - keeps) for key in found if "moving" in key}
            moved = {key: (1 - by) * start[key] + by * batch[key] for key in batch}
            times = rows / max(rows - 1, 1)
            unbiased = (1 - by) * start["moving_variance"] + by * times * batch["moving_variance"]
            loose = max(self._tolerance, 1e-7)
            error = layout.error(found["moving_mean"], after["moving_mean"])
            if error > loose:
                told = Told("unknown", "its moving mean", "another")
                if layout.error(found["moving_mean"], moved["moving_mean"]) <= 1e-6:
                    words = f"momentum={keeps:g} (kept)", f"momentum={moves} (replaced)"
                    told = Told("batchnorm-momentum", *words, f"{1 - keeps:.6g}")
                self._add("training", pair, told, error)
            error = layout.error(found["moving_variance"], moved["moving_variance"])
            if error > loose and layout.error(found["moving_variance"], unbiased) <= 1e-6:
                told = Told("batchnorm-variance", "variance over n", f"over n - 1 (n = {rows:,} here)")
                self._add("later", pair, told, error)
            elif error > loose:
                self._add("training", pair, Told("unknown", "its moving variance", "another"), error)

    # --- loss and gradient ------------------------------------------------------------------------------------

    def _gradient(self) -> None:
        if not self._comparable:
            self._found.left_out.append("loss and gradients: the outputs differ already")
            return
        random = np.random.RandomState(2)
        ours = [random.standard_normal(value.shape) for _, value in self._outputs_of]
        theirs = []
        for weight, (_, wanted), (_, found) in zip(ours, self._outputs_of, self._free.outputs, strict=True):
            _, way = layout.arranged(wanted, found)
            theirs.append(layout.to_torch(weight, way).reshape(found.shape))
        loss, _, gradients = self._k.gradient(self._batch.x, ours, None)
        self._restore()
        found, others = self._t.gradient(self._x(), theirs)
        if abs(loss - found) > 10 * self._tolerance * max(abs(loss), 1e-3):
            self._add("loss", None, Told("unknown", f"{loss:.9g}", f"{found:.9g}"), abs(loss - found), layer="loss")
        self._judge_gradients(gradients, others)
        self._found.compared.append("gradient of every weight (of the outputs times fixed random numbers)")
        self._found.left_out.append("updates: no recipes (--keras-compile, --torch-step)")

    def _judge_gradients(self, ours: ByLayer, theirs: ByLayer) -> bool:
        """Return whether the gradients of all weights are equal."""
        largest = max((np.max(abs(g), initial=0) for own in ours.values() for g in own.values()), default=0.0)
        every: list[tuple[Pair, Layer, str, Array, Array, float]] = []
        values = {(layer.name, name): value for _, layer, name, value in self._in_keras(theirs, summed=False)}
        for pair in self._matched:
            for layer in pair.keras:
                for name, wanted in ours.get(layer.name, {}).items():
                    value = np.nan_to_num(values.get((layer.name, name), np.zeros_like(wanted)))
                    every.append((pair, layer, name, wanted, value, scaled(value, wanted, SMALL * largest)))
        wrong = [each for each in every if each[-1] > 10 * self._tolerance]
        ratios = {float(f"{np.vdot(w, v) / np.vdot(w, w):.6g}") for *_, w, v, _ in wrong if np.any(w)}
        times = ratios.pop() if len(ratios) == 1 and len(wrong) == len(every) > 1 else 0.0
        if times not in (0.0, 1.0) and all(layout.error(v, w * times) < 1e-5 for *_, w, v, _ in wrong):
            words = "the gradient of its loss", f"{times:g} times that", f"one {times:g}th of the loss"
            self._add("gradient", None, Told("loss-reduction", *words), abs(times - 1), layer="loss")
            return False
        for pair, layer, name, wanted, value, error in wrong:
            self._add("gradient", pair, self._gradient_cause(pair, layer, name, wanted, value), error)
        return not wrong

    def _gradient_cause(self, pair: Pair, layer: Layer, name: str, wanted: Array, value: Array) -> Told:
        row = pair.torch.config.get("padding_idx")
        if layer.kind == "Embedding" and row is not None:
            rest = np.arange(len(wanted)) != row
            if not np.any(value[row]) and layout.error(value[rest], wanted[rest]) <= 10 * self._tolerance:
                return Told("padding-idx", f"trains row {row}", f"padding_idx={row}: its gradient is 0")
        if not np.any(value):
            flags = {key: own for key, own in pair.torch.trainable.items() if not key.startswith("running_")}
            has = "no gradient arrives (detach or no_grad?)" if all(flags.values()) else "requires_grad=False"
            line = next((call.line for call in self._free.calls if call.layer == "detach"), None)
            return Told("frozen-weights", f"{name} is trained", has, "let the gradient through to it", line)
        return Told("unknown", f"the gradient of {name}", "another")

    def _later(self) -> None:
        """List what differs as soon as both are trained by their own optimizers."""
        for pair in self._matched:
            if two_biases(pair):
                self._add("later", pair, SECOND_BIAS, 1.0)
        self._found.notes.append(
            "Adam and RMSprop differ by their epsilon, 1e-7 in Keras and 1e-8 in torch: give recipes to see how much."
        )


SECOND_BIAS = Told("second-bias", "one bias", "two biases, both trained: their sum moves twice as fast")


def two_biases(pair: Pair) -> bool:
    """Return whether torch trains two biases where Keras trains one."""
    one = all("bias" in layer.weights or "forward/bias" in layer.weights for layer in pair.keras)
    kind, reset_after = pair.first.kind, pair.first.config.get("reset_after")
    single = kind in ("LSTM", "SimpleRNN") or (kind == "GRU" and reset_after is False)
    second = any(trained for name, trained in pair.torch.trainable.items() if name.startswith("bias_hh"))
    return one and single and second and pair.first.is_trained


def scaled(found: Array, wanted: Array, least: float) -> float:
    """Return the largest difference over the largest wanted value, or over `least` where that is larger."""
    scale = max(float(np.max(abs(wanted), initial=0)), least)
    return float(np.max(abs(found - wanted), initial=0)) / scale if scale else 0.0


def rates(layer: Layer) -> Iterator[float]:
    """Yield what a layer of Keras's drops: shares above 0."""
    for name in ("dropout", "recurrent_dropout", "rate"):
        rate = layer.config.get(name)
        if isinstance(rate, float | int) and not isinstance(rate, bool) and rate > 0:
            yield float(rate)
