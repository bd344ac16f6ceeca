"""Training mode: rates of dropout, statistics of batches, gradients, and what differs as soon as both are trained."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.port import carry, layout
from bench.port.causes import Finding, Told
from bench.port.loading import code_at
from bench.port.match import Pair
from bench.port.passes import Passes
from bench.port.result import SMALL
from bench.port.trace import Array, Layer, Trace


class TrainingMode(Passes):
    """Both sides on one batch, in training mode without dropout."""

    # --- training mode ----------------------------------------------------------------------------------------

    def _training_mode(self) -> None:
        """Compare a pass in training mode: rates of dropout, statistics of batches and their moving averages."""
        x = self._x(self._axes)
        self._dropouts(self._t.dropouts(x, True))
        self._frozen()
        self._k.without_dropout()
        self._restore()
        trace: Trace = self._k.forward(self._batch.x, True)
        ours = self._k.weights()
        theirs = self._try_forced(trace, training=True)
        self._judge(trace, theirs, "training")
        self._moving(trace, ours, self._t.weights())
        self._restore()
        self._comparable = self._outputs("training", trace, self._t.forward(x, True))
        self._output_shapes = [found.shape for _, found in self._free.outputs]
        self._outputs_of = trace.outputs
        self._restore()
        self._found.compared.append("training mode without dropout, moving statistics")

    def _dropouts(self, theirs: Sequence[Mapping[str, Any]]) -> None:
        ours = [(layer, rate) for layer in self._layers.values() for rate in rates(layer)]
        for drop in theirs:
            if not drop["active"] and drop["rate"] > 0:
                told = Told("mode-train-forgotten", "dropout", "dropout that is not active", line=drop["line"])
                self._add("training", None, told, drop["rate"], layer=drop["kind"])
        active = [drop for drop in theirs if drop["rate"] > 0 and drop["active"]]
        sides = [f"{rate:.9g}" for _, rate in ours], [f"{drop['rate']:.9g}" for drop in active]
        if len(ours) > len(active) and any(not drop["active"] for drop in theirs):
            return
        codes = difflib.SequenceMatcher(None, *sides, autojunk=False).get_opcodes()
        if len(ours) == len(active):
            codes = [
                ("equal" if a == b else "replace", i, i + 1, i, i + 1)
                for i, (a, b) in enumerate(zip(*sides, strict=True))
            ]
        for tag, a, b, c, d in codes:
            if tag == "equal":
                continue
            mine, other = ours[a:b], active[c:d]
            for (layer, rate), drop in zip(mine, other, strict=False):
                kept = np.isclose(drop["rate"], 1 - rate)
                has = (
                    f"drops {rate:g}",
                    f"drops {drop['rate']:g}" + (" (torch's p is what is dropped)" if kept else ""),
                )
                told = Told("dropout-rate", *has, f"{rate:g}", drop["line"])
                self._add("training", None, told, abs(rate - drop["rate"]), layer=layer.name)
            for layer, rate in mine[len(other) :]:
                words = f"dropout {rate:g} in {layer}", "no dropout", f"add Dropout({rate:g})"
                told = Told("missing-layer", *words, self._behind(layer))
                self._add("training", None, told, rate, layer=layer.name)
            for drop in other[len(mine) :]:
                told = Told("missing-layer", "no dropout", f"dropout {drop['rate']:g}", "no dropout", drop["line"])
                self._add("training", None, told, drop["rate"], layer=drop["kind"])

    def _behind(self, layer: Layer) -> str | None:
        """Return the port's line that runs what Keras has in front of a layer without weights."""
        calls = self._ktrace.of(layer.name)
        if not calls or not calls[0].inputs:
            return None
        call = self._ktrace.producer(calls[0].inputs[0][0])
        while call is not None and not self._layers[call.layer].weights and call.inputs:
            call = self._ktrace.producer(call.inputs[0][0])
        pair = self._pair_of(call.layer) if call else None
        return self._called_at(self._free, pair)

    def _frozen(self) -> None:
        for pair in self._matched:
            ours = any(any(layer.trainable.values()) for layer in pair.keras)
            theirs = any(pair.torch.trainable[name] for name in pair.torch.trainable if not name.startswith("running_"))
            if ours != theirs:
                words = ("trained", "frozen") if ours else ("frozen", "trained")
                told = Told("frozen-weights", *words, f"requires_grad_({ours})", pair.torch.frozen)
                self._add("training", pair, told, 1.0)

    def _moving(self, trace: Trace, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
        for pair in self._matched:
            layer, own = pair.first, pair.torch.config
            if layer.kind != "BatchNormalization" or "running_mean" not in pair.torch.weights:
                continue
            if any(each.layer == layer.name and each.stage == "training" for each in self._found.findings):
                continue
            start, after = self._values[layer.name], ours[layer.name]
            found = carry.to_keras(pair.keras, pair.torch, theirs[pair.torch.name], summed=True)[0]
            keeps = layer.config["momentum"]
            moves = own["momentum"]
            call = trace.of(layer.name)[-1]
            rows = call.inputs[0][1].size // call.inputs[0][1].shape[-1]
            if keeps >= 1 or np.array_equal(start["moving_mean"], after["moving_mean"]):
                continue
            batch = {key: (after[key] - keeps * start[key]) / (1 - keeps) for key in ("moving_mean", "moving_variance")}

            def moved(key: str, by: float, times: float = 1.0, batch: Any = batch, start: Any = start) -> Array:
                return np.asarray((1 - by) * start[key] + by * times * batch[key])

            error = layout.error(found["moving_mean"], after["moving_mean"])
            loose = max(self._tolerance, 1e-7)
            by = 1.0 if moves is None else float(moves)
            if error > loose:
                right = layout.error(found["moving_mean"], moved("moving_mean", by)) <= 1e-6
                words = f"momentum={keeps:g} (kept)", f"momentum={moves} (replaced)"
                told = Told("batchnorm-momentum", *words, f"{1 - keeps:.6g}")
                self._add("training", pair, told if right else Told("unknown", "its moving mean", "another"), error)
            error = layout.error(found["moving_variance"], moved("moving_variance", by))
            if error > loose:
                unbiased = moved("moving_variance", by, rows / max(rows - 1, 1))
                right = layout.error(found["moving_variance"], unbiased) <= 1e-6
                words = "variance over n", f"over n - 1 (n = {rows:,} here)"
                told = (
                    Told("batchnorm-variance", *words) if right else Told("unknown", "its moving variance", "another")
                )
                if right:
                    self._later_add(pair, told, error)
                else:
                    self._add("training", pair, told, error)

    def _later_add(self, pair: Pair | None, told: Told, error: float) -> None:
        names = (pair.first.name, pair.torch.name) if pair else ("", "")
        line = told.line or (pair.torch.line if pair else None)
        self._found.will_differ.append(Finding("later", *names, told, error, line, code_at(line)))

    # --- loss and gradient ------------------------------------------------------------------------------------

    def _gradient(self) -> None:
        if not self._comparable:
            self._found.left_out.append("loss and gradients: the outputs differ already")
            return
        random = np.random.RandomState(2)
        ours = [random.standard_normal(value.shape) for _, value in self._outputs_of]
        theirs = []
        for weight, (_, wanted), (_, found) in zip(ours, self._outputs_of, self._free.outputs, strict=True):
            ways = [way for way in ("same", "channels", "time") if layout.to_torch(wanted, way).shape == found.shape]
            way = min(ways, key=lambda way: layout.error(layout.to_keras(found, way), wanted), default=None)
            theirs.append(weight.reshape(found.shape) if way is None else layout.to_torch(weight, way))
        loss, _, gradients = self._k.gradient(self._batch.x, ours, None)
        self._restore()
        found, others = self._t.gradient(self._x(self._axes), theirs)
        if abs(loss - found) > 10 * self._tolerance * max(abs(loss), 1e-3):
            self._add("loss", None, Told("unknown", f"{loss:.9g}", f"{found:.9g}"), abs(loss - found), layer="loss")
        self._judge_gradients(gradients, others)
        self._restore()
        self._found.compared.append("gradient of every weight (of the outputs times fixed random numbers)")
        self._found.left_out.append("updates: no recipes (--keras-compile, --torch-step)")

    def _judge_gradients(self, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
        """Return whether the gradients of all weights are equal."""
        largest = max((float(np.max(abs(g), initial=0)) for own in ours.values() for g in own.values()), default=0.0)
        wrong: list[tuple[Pair, Layer, str, Array, Array, float]] = []
        count = 0
        for pair in self._matched:
            found = carry.to_keras(pair.keras, pair.torch, theirs.get(pair.torch.name, {}), summed=False)
            for layer, own in zip(pair.keras, found, strict=True):
                for name, trained in layer.trainable.items():
                    if not trained or name not in ours.get(layer.name, {}):
                        continue
                    count += 1
                    wanted = ours[layer.name][name]
                    value = np.nan_to_num(own.get(name, np.zeros_like(wanted)))
                    scale = max(float(np.max(abs(wanted), initial=0)), SMALL * largest)
                    error = float(np.max(abs(value - wanted), initial=0)) / scale if scale else 0.0
                    if error > 10 * self._tolerance:
                        wrong.append((pair, layer, name, wanted, value, error))
        ratios = {float(f"{np.vdot(w, v) / np.vdot(w, w):.6g}") for *_, w, v, _ in wrong if np.any(w)}
        same = len(ratios) == 1 and len(wrong) == count and count > 1 and next(iter(ratios)) not in (0.0, 1.0)
        if same and all(layout.error(v, w * next(iter(ratios))) < 1e-5 for *_, w, v, _ in wrong):
            times = next(iter(ratios))
            told = Told(
                "loss-reduction", "the gradient of its loss", f"{times:g} times that", f"one {times:g}th of the loss"
            )
            self._add("gradient", None, told, abs(times - 1), layer="loss")
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
            if self._two_biases(pair):
                told = Told("second-bias", "one bias", "two biases, both trained: their sum moves twice as fast")
                self._later_add(pair, told, 1.0)
        self._found.notes.append(
            "Adam and RMSprop differ by their epsilon, 1e-7 in Keras and 1e-8 in torch: give recipes to see how much."
        )

    def _two_biases(self, pair: Pair) -> bool:
        one = all("bias" in layer.weights or "forward/bias" in layer.weights for layer in pair.keras)
        single = pair.first.kind in ("LSTM", "SimpleRNN") or (
            pair.first.kind == "GRU" and pair.first.config.get("reset_after") is False
        )
        second = [own for name, own in pair.torch.trainable.items() if name.startswith("bias_hh")]
        return one and single and any(second) and any(pair.first.trainable.values())


def rates(layer: Layer) -> Iterator[float]:
    """Yield what a layer of Keras's drops: shares above 0."""
    names = ("dropout", "recurrent_dropout", "rate")
    for name in names:
        rate = layer.config.get(name)
        if isinstance(rate, float | int) and not isinstance(rate, bool) and rate > 0:
            yield float(rate)
