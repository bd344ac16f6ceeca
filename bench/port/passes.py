"""Passes through both models: every layer of the port judged by itself, where weights have been carried over.

In a forced pass each layer of the port is given Keras's own input, and what it returns is replaced by Keras's own
output: a difference is seen where it starts and nowhere else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.errors import UsageError
from bench.port import between, carry, layout, local
from bench.port.batch import Batch
from bench.port.causes import Finding, Told
from bench.port.loading import code_at
from bench.port.match import Matching, Pair, match
from bench.port.result import EXACT, Comparison, Row
from bench.port.sides import Side
from bench.port.trace import Array, ByLayer, Call, Forced, Layer, Trace, shapes


class Passes:
    """Both sides on one batch, in evaluation mode."""

    def __init__(self, keras: Side, torch: Side, batch: Batch, spec: str, chosen: Mapping[str, str]) -> None:
        """Run both once, match their layers, and carry the weights over where every layer has a counterpart."""
        self._k, self._t, self._batch, self._spec = keras, torch, batch, spec
        self._alone: dict[str, float] = {}
        keras.prepare(batch.x)
        self._ktrace: Trace = keras.forward(batch.x, False)
        layers = _run_order(keras.layers(), self._ktrace)
        self._layers = {layer.name: layer for layer in layers}
        self._run_torch()
        matching = match(layers, _run_order(torch.layers(), self._free), chosen)
        self._found = Comparison(matching, self._precision, layers=layers)
        self._matched = matching.pairs
        self._fresh: ByLayer = torch.weights()
        self._values: ByLayer = keras.weights()
        if matching.complete:
            self._carry()
        else:
            self._unmatched(matching)

    # --- running ----------------------------------------------------------------------------------------------

    def _x(self) -> dict[str, Array]:
        places = {str(at): layout.to_torch(value, self._axes) for at, value in enumerate(self._batch.x)}
        return {**places, **self._batch.others}

    def _run_torch(self) -> None:
        """Run the port on the batch: in float64 or, where it cannot, float32; images with channels first or last."""
        errors = []
        images = any(value.ndim >= 3 for value in self._batch.x)
        for self._precision, self._axes in itertools.product(EXACT, ("same", "channels")[: 1 + images]):
            if self._precision == "float32" and self._axes == "same":
                self._t.load(self._spec, self._precision)
            try:
                self._free: Trace = self._t.forward(self._x(), False)
                return
            except UsageError as error:
                if "took over" in str(error) or "ended the process" in str(error):
                    raise
                errors.append(error)
        raise errors[0]

    @property
    def _tolerance(self) -> float:
        return EXACT[self._precision]

    def _unmatched(self, matching: Matching) -> None:
        fitting = matching.candidates
        near = [(layer, [name for name in fitting if layer.name in fitting[name]]) for layer in matching.keras]
        for layer, names in [*near, *((layer, fitting[layer.name]) for layer in matching.torch)]:
            ours = layer in matching.keras
            has = f"fits {' or '.join(names)}" if names else "no counterpart with these weights"
            remedy = "add the layer to the side that lacks it"
            if names:
                remedy = f"--map {layer.name}={names[0]}" if ours else f"--map {names[0]}={layer.name}"
            sides = f"{layer}: {shapes(layer.weights)}", has
            told = Told("missing-layer", *(sides if ours else sides[::-1]), remedy)
            where = (layer.name, "") if ours else ("", layer.name)
            self._found.findings.append(Finding("match", *where, told, np.inf, layer.line))

    def _carry(self) -> None:
        """Load Keras's weights into the port, and keep what has no place there."""
        self._carried: ByLayer = {}
        for pair in self._matched:
            carried = carry.to_torch(pair.keras, [self._values[layer.name] for layer in pair.keras], pair.torch)
            self._carried[pair.torch.name] = carry.filled(pair.torch, carried)
            lacking = [name for name in pair.torch.weights if name not in carried]
            extra = {name.replace("bias_hh", "bias_ih") for name in carried if name not in pair.torch.weights}
            statistics = lacking and all(name.startswith("running_") for name in lacking)
            if (lacking or extra) and not statistics:
                ours, theirs = (", ".join(names) or "no such weight" for names in (sorted(extra), lacking))
                told = Told("bias-missing", ours, theirs, f"{pair.torch.cls}(..., bias={bool(extra)})")
                self._add("weights", pair, told, 1.0)
        self._restore()

    def _in_keras(self, theirs: ByLayer, summed: bool = True) -> Iterator[tuple[Pair, Layer, str, Array]]:
        """Yield arrays of the port (weights or gradients) as Keras holds them, by pair, layer and name in it."""
        for pair in self._matched:
            found = carry.to_keras(pair.keras, pair.torch, theirs.get(pair.torch.name, {}), summed=summed)
            for layer, own in zip(pair.keras, found, strict=True):
                for name, value in own.items():
                    yield pair, layer, name, value

    def _restore(self) -> None:
        self._k.restore()
        self._t.set_weights(self._carried)

    def _add(
        self, stage: str, pair: Pair | None, told: Told, error: float, line: str | None = None, layer: str = ""
    ) -> None:
        """Keep what was told, once for each layer; `later` is what will differ."""
        line = told.line or line or (pair.torch.line if pair else None)
        names = (pair.first.name, pair.torch.name) if pair else (layer, "")
        findings = self._found.will_differ if stage == "later" else self._found.findings
        if (names[0], told.slug) not in {(each.layer, each.cause) for each in findings}:
            findings.append(Finding(stage, *names, told, error, line, code_at(line)))

    # --- passes -----------------------------------------------------------------------------------------------

    def _evaluation(self) -> None:
        self._free = self._t.forward(self._x(), False)
        self._judge(self._ktrace, self._forced(self._ktrace, training=False), "evaluation")
        for drop in self._free.dropouts:
            if drop["active"] and drop["rate"] > 0:
                told = Told("mode-eval-forgotten", "no dropout", f"dropout {drop['rate']:g} is active")
                self._add("evaluation", None, told, drop["rate"], drop["line"], drop["kind"])
        self._rows()
        self._outputs("evaluation", self._ktrace, self._free)
        self._found.compared.append("outputs of every layer in evaluation mode")

    def _forced(self, trace: Trace, training: bool) -> Trace:
        """Return a pass in which every matched layer of the port is given, and made to return, what Keras's is."""
        forced = {}
        for pair in self._matched:
            ours = trace.of(pair.first.name)
            if len(self._free.of(pair.torch.name)) != len(ours):
                continue  # nobody knows which call is which
            lasts = [trace.of(layer.name) for layer in pair.keras]
            for call in ours:
                calls = [each[call.index] for each in lasts]
                states = [np.concatenate([each.extra[name] for each in calls]) for name in "hc" if name in call.extra]
                output = None if call.mask is not None and states else _output(calls[-1])
                given = self._inputs(pair, call)
                forced[pair.torch.name, call.index] = Forced(given, output, pair.layout, states)
        try:
            return self._t.forward(self._x(), training, forced)  # type: ignore[no-any-return]
        except UsageError as error:
            self._found.notes.append(f"Layers were not separated: the port fails on Keras's own values ({error}).")
            return self._t.forward(self._x(), training)  # type: ignore[no-any-return]

    def _inputs(self, pair: Pair, call: Call) -> list[Array]:
        """Return what a layer of the port is to be given: padded where the port pads in front of its convolution."""
        values = _inputs(pair, call)
        padded = local.padded(pair, values[0])
        calls = self._free.of(pair.torch.name)
        if padded is None or call.index >= len(calls):
            return values
        own = layout.to_keras(calls[call.index].inputs[0][1], pair.layout)
        return [padded] if own.shape == padded.shape and own.shape != values[0].shape else values

    def _judge(self, ktrace: Trace, ttrace: Trace, stage: str) -> None:
        """Judge every layer by itself, what comes before each, and what comes after the last."""
        places = ttrace.places()
        self._uncalled = {pair.first.name for pair in self._matched if pair.torch.name not in places}
        for pair in sorted(self._matched, key=lambda pair: places.get(pair.torch.name, -1)):
            ours, theirs = ktrace.of(pair.first.name), ttrace.of(pair.torch.name)
            if ours and not theirs:
                words = f"runs {pair.first}", f"never calls {pair.torch}", f"call {pair.torch.name}"
                at = self._matched.index(pair)
                before = self._matched[at - 1] if at else None
                self._add(stage, pair, Told("missing-layer", *words), np.inf, self._called_at(self._free, before))
            elif len(ours) != len(theirs):
                told = Told("unknown", f"called {len(ours)} times", f"called {len(theirs)} times")
                self._add(stage, pair, told, np.inf)
            else:
                for kcall, tcall, last in zip(ours, theirs, ktrace.of(pair.keras[-1].name), strict=True):
                    self._judge_input(pair, kcall, tcall, ktrace, ttrace, stage)
                    self._judge_layer(pair, kcall, tcall, last, stage)
        for number, wanted, own, found, error in _outputs(ktrace, ttrace):
            if error > self._tolerance:
                gap = self._gap(ktrace, ttrace, number, own, wanted, found, None, last=True)
                reason = between.cause(gap)
                layer = gap.steps[-1].layer.name if gap.steps else "output"
                if reason or not self._found.findings:
                    told = reason or Told("unknown", "its output", "another output")
                    self._add(stage, self._pair_of(told.layer or layer), told, error, gap.line, layer)
        counts = len(ktrace.outputs), len(ttrace.outputs)
        if counts[0] != counts[1]:
            told = Told("unknown", f"{counts[0]} outputs", f"{counts[1]} outputs")
            self._add(stage, None, told, np.inf, layer="output")

    def _judge_input(self, pair: Pair, kcall: Call, tcall: Call, ktrace: Trace, ttrace: Trace, stage: str) -> None:
        values = self._inputs(pair, kcall)
        for at, ((own, found), wanted) in enumerate(zip(tcall.inputs, values, strict=False)):
            if tcall.settings.get("packed"):  # which cuts to the longest row
                wanted = wanted[:, : layout.to_keras(found, pair.layout).shape[1]]
            way = layout.aligned(found, wanted, pair.layout)
            error = layout.error(way, wanted, None if kcall.mask is None else kcall.mask[:, : wanted.shape[1]])
            if error > self._tolerance:
                number = kcall.inputs[min(at, len(kcall.inputs) - 1)][0]
                gap = self._gap(ktrace, ttrace, number, own, wanted, way, tcall.line, last=False)
                if all(step.layer.name not in self._uncalled for step in gap.steps):
                    words = f"its input {wanted.shape}", f"another input {found.shape}"
                    told = between.cause(gap) or Told("unknown", *words)
                    line = None if told.layer else tcall.line
                    self._add(stage, self._pair_of(told.layer) or pair, told, error, line)
                return

    def _gap(
        self, ktrace: Trace, ttrace: Trace, number: int, own: int, wanted: Array, found: Array, line: str | None,
        last: bool,
    ) -> between.Gap:  # fmt: skip
        steps = between.steps(ktrace, number, self._layers)
        calls = between.ancestors(ttrace, own)
        lines = [call.line for call in calls if call.line]
        pair = self._pair_of(steps[0].layer.name) if steps else None
        line = lines[-1] if lines else self._called_at(ttrace, pair) or line
        masked = [[call for call in ktrace.of(step.layer.name) if call.mask is not None][-1:] for step in steps]
        unmasked = [self._k.again(call.layer, call.index, {}, False).values() for (call,) in filter(None, masked)]
        stacked = [own.name for own in pair.keras[:-1]] if pair else []
        lower = [call.extra["h"][-1] for name in stacked for call in ktrace.of(name)]
        every = list(itertools.chain(*unmasked))
        return between.Gap(steps, calls, wanted, found, self._tolerance, last, line, every, lower)

    def _called_at(self, trace: Trace, pair: Pair | None) -> str | None:
        """Return the port's line that runs a layer."""
        called = trace.of(pair.torch.name) if pair else []
        return called[-1].line if called else None

    def _pair_of(self, layer: str) -> Pair | None:
        return next((pair for pair in self._matched if any(own.name == layer for own in pair.keras)), None)

    def _judge_layer(self, pair: Pair, kcall: Call, tcall: Call, last: Call, stage: str) -> None:
        wanted, mask = _output(last), kcall.mask
        found = layout.aligned(tcall.outputs[0][1], wanted, pair.layout)
        if found.ndim == wanted.ndim == 3 and found.shape[1] < wanted.shape[1] and tcall.settings.get("packed"):
            wanted, mask = wanted[:, : found.shape[1]], None if mask is None else mask[:, : found.shape[1]]
        error = layout.error(found, wanted, mask)
        self._alone[pair.first.name] = max(error, self._alone.get(pair.first.name, 0.0))
        if error <= self._tolerance:
            return
        in_training = stage == "training"

        def equal(a: Array, b: Array) -> bool:
            return layout.error(a, b, mask) <= self._tolerance

        def keras(changes: dict[str, Any], masked: bool = True, training: bool = in_training) -> Array:
            again: dict[str, Array] = self._k.again(last.layer, last.index, changes, masked, training)
            return again.get("sequence", again.get("before", again["output"]))

        def torch(changes: dict[str, Any], inputs: list[Array] | None = None, masks: str = "") -> Array:
            given = None if inputs is None else [layout.to_torch(each, pair.layout) for each in inputs]
            again: list[Array] = self._t.again(pair.torch.name, tcall.index, changes, given, masks)
            return layout.aligned(again[0], wanted, pair.layout)

        given = _inputs(pair, kcall)[0]
        lab = local.Lab(pair, given, mask, tcall.settings, wanted, found, keras, torch, equal, in_training)
        for told in local.causes(lab) or [Told("unknown", "its output", "another output")]:
            self._add(stage, pair, told, error)

    def _rows(self) -> None:
        for pair in self._matched:
            ours, theirs = self._ktrace.of(pair.keras[-1].name), self._free.of(pair.torch.name)
            through = None
            if ours and theirs:
                wanted = _output(ours[-1])
                through = layout.error(
                    layout.aligned(theirs[-1].outputs[0][1], wanted, pair.layout), wanted, ours[-1].mask
                )
            names = " + ".join(layer.name for layer in pair.keras)
            alone = self._alone.get(pair.first.name)
            self._found.rows.append(Row(names, pair.torch.name, pair.first.kind, alone, through))

    def _outputs(self, stage: str, ktrace: Trace, ttrace: Trace) -> bool:
        """Return whether the outputs are equal end to end; a difference that no layer explains is a finding."""
        error = max((error for *_, error in _outputs(ktrace, ttrace)), default=np.inf)
        if error > self._tolerance and not self._found.findings:
            self._add(stage, None, Told("unknown", "its output", "another output"), error, layer="output")
        return error <= self._tolerance


def _run_order(layers: Sequence[Layer], trace: Trace) -> list[Layer]:
    """Return layers in the order of their first call; those never called are left out, but for their weights."""
    places = trace.places()
    run = [layer for layer in layers if layer.weights or layer.name in places]
    return sorted(run, key=lambda layer: places.get(layer.name, len(trace.calls)))


def _inputs(pair: Pair, call: Call) -> list[Array]:
    """Return the inputs of a Keras call in torch's order, which has the key before the value."""
    values = [value for _, value in call.inputs]
    if pair.first.kind != "MultiHeadAttention":
        return values[:1]
    query, value, *key = [each for each in values if each.dtype.kind == "f"][:3]
    return [query, key[0] if key else value, value]


def _output(call: Call) -> Array:
    """Return what the port's layer is to give: the whole sequence, and values before an activation."""
    return call.extra.get("sequence", call.extra.get("before", call.outputs[0][1]))


def _outputs(ktrace: Trace, ttrace: Trace) -> Iterator[tuple[int, Array, int, Array, float]]:
    """Yield number and value of each of Keras's outputs, number and value of the port's, and its error."""
    for (number, wanted), (own, value), mask in zip(ktrace.outputs, ttrace.outputs, ktrace.masks, strict=False):
        found = layout.aligned(value, wanted)
        yield number, wanted, own, found, layout.error(found, wanted, mask)
