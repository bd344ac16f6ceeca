"""Passes through both models: every layer of the port judged by itself, where weights have been carried over.

In a forced pass each layer of the port is given Keras's own input, and what it returns is replaced by Keras's own
output: a difference is seen where it starts and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.errors import UsageError
from bench.port import between, carry, layout, local
from bench.port.batch import Batch
from bench.port.causes import Finding, Told
from bench.port.loading import code_at
from bench.port.match import Matching, Pair, match
from bench.port.result import EXACT, Comparison, Recipes, Row
from bench.port.sides import Side
from bench.port.trace import Array, Call, Forced, Layer, Trace


class Passes:
    """Both sides on one batch, in evaluation mode."""

    def __init__(
        self, keras: Side, torch: Side, batch: Batch, spec: str, recipes: Recipes, chosen: Mapping[str, str]
    ) -> None:
        """Run both once, match their layers, and carry the weights over where every layer has a counterpart."""
        self._k, self._t, self._batch, self._recipes, self._spec = keras, torch, batch, recipes, spec
        self._alone: dict[str, float] = {}
        self._k.prepare(self._batch.x)
        self._ktrace: Trace = self._k.forward(self._batch.x, False)
        layers = _run_order(self._k.layers(), self._ktrace)
        self._layers = {layer.name: layer for layer in layers}
        self._run_torch()
        theirs = _run_order(self._t.layers(), self._free)
        matching = match(layers, theirs, chosen)
        self._found = Comparison(matching, self._precision, layers=layers)
        self._found.parameters = sum(int(np.prod(s)) for layer in layers for s in layer.weights.values())
        self._matched = matching.pairs
        self._fresh: dict[str, dict[str, Array]] = self._t.weights()
        self._values: dict[str, dict[str, Array]] = self._k.weights()
        if matching.complete:
            self._carry()
        else:
            self._unmatched(matching)

    # --- running ----------------------------------------------------------------------------------------------

    def _x(self, axes: str) -> dict[str, Array]:
        takes = self._t.takes()
        x = {str(at): layout.to_torch(value, axes) for at, value in enumerate(self._batch.x)}
        return {**x, **{name: value for name, value in self._batch.others.items() if name in takes}}

    def _run_torch(self) -> None:
        """Run the port on the batch: in float64 or, where it cannot, float32; images with channels first or last."""
        errors = []
        for precision in ("float64", "float32"):
            if precision == "float32":
                self._t.load(self._spec, precision)
            for axes in ("same", "channels"):
                if axes == "channels" and not any(value.ndim >= 3 for value in self._batch.x):
                    continue
                try:
                    self._free: Trace = self._t.forward(self._x(axes), False)
                except UsageError as error:
                    errors.append(error)
                    if "took over" in str(error) or "ended the process" in str(error):
                        raise
                    continue
                self._axes, self._precision = axes, precision
                return
        raise errors[0]

    @property
    def _tolerance(self) -> float:
        return EXACT[self._precision]

    def _unmatched(self, matching: Matching) -> None:
        for layer in matching.keras:
            near = [name for name, fitting in matching.candidates.items() if layer.name in fitting]
            has = f"fits {' or '.join(near)}" if near else "no counterpart with these weights"
            told = Told("missing-layer", f"{layer}: {_weights(layer)}", has, _map_hint(layer.name, near, first=True))
            self._found.findings.append(Finding("match", layer.name, "", told, np.inf, layer.line))
        for layer in matching.torch:
            near = matching.candidates.get(layer.name, [])
            has = f"fits {' or '.join(near)}" if near else "no counterpart with these weights"
            told = Told("missing-layer", has, f"{layer}: {_weights(layer)}", _map_hint(layer.name, near, first=False))
            self._found.findings.append(Finding("match", "", layer.name, told, np.inf, layer.line))

    def _carry(self) -> None:
        """Load Keras's weights into the port, and keep what has no place there."""
        self._carried: dict[str, dict[str, Array]] = {}
        for pair in self._matched:
            carried = carry.to_torch(pair.keras, [self._values[layer.name] for layer in pair.keras], pair.torch)
            self._carried[pair.torch.name] = carry.filled(pair.torch, carried)
            lacking = [name for name in pair.torch.weights if name not in carried]
            extra = [name for name in carried if name not in pair.torch.weights]
            pairs = {name.replace("bias_hh", "bias_ih") for name in extra}
            if (lacking or extra) and not self._statistics(pair, lacking):
                has = ", ".join(sorted(pairs)) or "no such weight"
                told = Told(
                    "bias-missing", has, ", ".join(lacking) or "no such weight",
                    f"{pair.torch.cls}(..., bias={bool(extra)})",
                )  # fmt: skip
                self._add("weights", pair, told, 1.0)
        self._restore()

    def _statistics(self, pair: Pair, lacking: Sequence[str]) -> bool:
        return bool(lacking) and all(name.startswith("running_") for name in lacking)

    def _restore(self) -> None:
        self._k.restore()
        self._t.set_weights(self._carried)

    def _add(
        self, stage: str, pair: Pair | None, told: Told, error: float, line: str | None = None, layer: str = ""
    ) -> None:
        line = told.line or line or (pair.torch.line if pair else None)
        names = (pair.first.name, pair.torch.name) if pair else (layer, "")
        known = {(each.layer, each.cause) for each in self._found.findings}
        if (names[0], told.slug) not in known:
            self._found.findings.append(Finding(stage, *names, told, error, line, code_at(line)))

    # --- passes -----------------------------------------------------------------------------------------------

    def _forced(self, trace: Trace) -> dict[tuple[str, int], Forced]:
        """Return what every matched layer of the port is given and made to return."""
        forced = {}
        for pair in self._matched:
            if pair.torch.name in self._twice(pair):
                continue
            axes = layout.of_kind(pair.first.kind, pair.torch.config, pair.first.config)
            lasts = [trace.of(layer.name) for layer in pair.keras]
            for at, call in enumerate(trace.of(pair.first.name)):
                calls = [each[at] for each in lasts]
                states = [np.concatenate([each.extra[name] for each in calls]) for name in "hc" if name in call.extra]
                masked = call.mask is not None and bool(states)
                output = None if masked else _output(calls[-1])
                forced[pair.torch.name, at] = Forced(self._inputs(pair, call, at), output, axes, states)
        return forced

    def _inputs(self, pair: Pair, call: Call, at: int) -> list[Array]:
        """Return what a layer of the port is to be given: padded where the port pads in front of its convolution."""
        values = _inputs(pair, call)
        padded = local.padded(pair, values[0])
        calls = self._free.of(pair.torch.name)
        if padded is None or at >= len(calls):
            return values
        own = layout.to_keras(
            calls[at].inputs[0][1], layout.of_kind(pair.first.kind, pair.torch.config, pair.first.config) or "same"
        )
        return [padded] if own.shape == padded.shape and own.shape != values[0].shape else values

    def _twice(self, pair: Pair) -> list[str]:
        """Return the port's layer where both sides call theirs another number of times: it cannot be forced."""
        ours = len(self._ktrace.of(pair.first.name))
        return [pair.torch.name] if len(self._free.of(pair.torch.name)) != ours else []

    def _evaluation(self) -> None:
        x = self._x(self._axes)
        self._free = self._t.forward(x, False)
        forced = self._try_forced(self._ktrace, training=False)
        self._judge(self._ktrace, forced, "evaluation")
        for drop in self._t.dropouts(x, False):
            if drop["active"] and drop["rate"] > 0:
                told = Told(
                    "mode-eval-forgotten", "no dropout", f"dropout {drop['rate']:g} is active", line=drop["line"]
                )
                self._add("evaluation", None, told, drop["rate"], layer=drop["kind"])
        self._rows()
        self._outputs("evaluation", self._ktrace, self._free)
        self._found.compared.append("outputs of every layer in evaluation mode")

    def _try_forced(self, trace: Trace, training: bool) -> Trace:
        try:
            found: Trace = self._t.forward(self._x(self._axes), training, self._forced(trace))
        except UsageError as error:
            self._found.notes.append(f"Layers were not separated: the port fails on Keras's own values ({error}).")
            return self._t.forward(self._x(self._axes), training)  # type: ignore[no-any-return]
        return found

    def _judge(self, ktrace: Trace, ttrace: Trace, stage: str) -> None:
        """Judge every layer by itself, what comes before each, and what comes after the last."""
        training = stage == "training"
        self._uncalled = {pair.first.name for pair in self._matched if not ttrace.of(pair.torch.name)}
        for pair in sorted(self._matched, key=lambda pair: _place(ttrace, pair.torch.name)):
            theirs = ttrace.of(pair.torch.name)
            ours = ktrace.of(pair.first.name)
            if ours and not theirs:
                told = Told(
                    "missing-layer", f"runs {pair.first}", f"never calls {pair.torch}", f"call {pair.torch.name}"
                )
                self._add(stage, pair, told, np.inf, self._before_it(pair, ktrace))
                continue
            if len(ours) != len(theirs):
                told = Told("unknown", f"called {len(ours)} times", f"called {len(theirs)} times")
                self._add(stage, pair, told, np.inf)
                continue
            lasts = ktrace.of(pair.keras[-1].name)
            for kcall, tcall, last in zip(ours, theirs, lasts, strict=True):
                self._judge_input(pair, kcall, tcall, ktrace, ttrace, stage)
                self._judge_layer(pair, kcall, tcall, last, stage, training)
        for (number, wanted), (own, found), mask in zip(
            ktrace.outputs, ttrace.outputs, ktrace.masks or [None] * len(ktrace.outputs), strict=False
        ):
            way = layout.aligned(found, wanted)
            error = layout.error(way, wanted, mask)
            if error > self._tolerance:
                gap = self._gap(ktrace, ttrace, number, own, wanted, way, None, last=True)
                reason = between.cause(gap)
                layer, line = (gap.steps[-1].layer if gap.steps else "output"), gap.line
                if reason or not self._found.findings:
                    told = reason or Told("unknown", "its output", "another output")
                    self._add(stage, self._pair_of(told.layer or layer), told, error, line, layer)
        if len(ktrace.outputs) != len(ttrace.outputs):
            has = len(ktrace.outputs), len(ttrace.outputs)
            told = Told("unknown", f"{has[0]} outputs", f"{has[1]} outputs")
            self._add(stage, None, told, np.inf, layer="output")

    def _judge_input(self, pair: Pair, kcall: Call, tcall: Call, ktrace: Trace, ttrace: Trace, stage: str) -> None:
        axes = layout.of_kind(pair.first.kind, pair.torch.config, pair.first.config)
        wanted_of = self._inputs(pair, kcall, tcall.index)
        for at, (own, found) in enumerate(tcall.inputs[: len(wanted_of)]):
            wanted = _as_long(wanted_of[at], found, axes, tcall)
            way = layout.aligned(found, wanted, (axes,) if axes else ("same", "channels", "time"))
            error = layout.error(way, wanted, None if kcall.mask is None else kcall.mask[:, : wanted.shape[1]])
            if error > self._tolerance:
                number = kcall.inputs[min(at, len(kcall.inputs) - 1)][0]
                gap = self._gap(ktrace, ttrace, number, own, wanted, way, tcall.line, last=False)
                if any(step.layer in self._uncalled for step in gap.steps):
                    return
                told = between.cause(gap) or Told(
                    "unknown", _shape_or("its input", wanted), _shape_or("another input", found)
                )
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
        pair = self._pair_of(steps[0].layer) if steps else None
        line = lines[-1] if lines else self._called_at(ttrace, pair) or line
        unmasked = []
        for step in steps:
            masked = [call for call in ktrace.of(step.layer) if call.mask is not None]
            if masked:
                again = self._k.again(step.layer, masked[-1].index, {}, False)
                unmasked += list(again.values())
        stacked = [own.name for own in pair.keras[:-1]] if pair else []
        lower = [call.extra["h"][-1] for name in stacked for call in ktrace.of(name) if "h" in call.extra]
        return between.Gap(steps, calls, wanted, found, self._tolerance, last, line, unmasked, lower)

    def _before_it(self, pair: Pair, trace: Trace) -> str | None:
        """Return the port's line that runs the layer which Keras runs before one that the port never calls."""
        at = self._matched.index(pair)
        return self._called_at(self._free, self._matched[at - 1]) if at else None

    def _called_at(self, trace: Trace, pair: Pair | None) -> str | None:
        called = trace.of(pair.torch.name) if pair else []
        return called[-1].line if called else None

    def _pair_of(self, layer: str) -> Pair | None:
        return next((pair for pair in self._matched if any(own.name == layer for own in pair.keras)), None)

    def _judge_layer(self, pair: Pair, kcall: Call, tcall: Call, last: Call, stage: str, training: bool) -> None:
        axes = layout.of_kind(pair.first.kind, pair.torch.config, pair.first.config)
        ways = (axes,) if axes else ("same", "channels", "time")
        wanted, mask = _output(last), kcall.mask

        def in_keras(value: Array) -> Array:
            return layout.aligned(value, wanted, ways)

        def equal(a: Array, b: Array) -> bool:
            return layout.error(a, b, mask) <= self._tolerance

        found = in_keras(tcall.outputs[0][1])
        if found.ndim == wanted.ndim == 3 and found.shape[1] < wanted.shape[1] and tcall.settings.get("packed"):
            wanted, mask = wanted[:, : found.shape[1]], None if mask is None else mask[:, : found.shape[1]]
        error = layout.error(found, wanted, mask)
        self._alone[pair.first.name] = max(error, self._alone.get(pair.first.name, 0.0))
        if error <= self._tolerance:
            return

        def keras(changes: dict[str, Any], masked: bool = True, training: bool = training) -> Array:
            again: dict[str, Array] = self._k.again(last.layer, last.index, changes, masked, training)
            return again.get("sequence", again.get("before", again["output"]))

        def torch(changes: dict[str, Any], inputs: list[Array] | None = None, masks: str = "") -> Array:
            given = None if inputs is None else [layout.to_torch(each, axes or "same") for each in inputs]
            return in_keras(self._t.again(pair.torch.name, tcall.index, changes, given, masks)[0])

        call = Call(tcall.layer, [(0, each) for each in _inputs(pair, kcall)], [], mask=mask, settings=tcall.settings)
        lab = local.Lab(pair, call, wanted, found, keras, torch, equal, training)
        for told in local.causes(lab) or [Told("unknown", "its output", "another output")]:
            self._add(stage, pair, told, error, pair.torch.line)

    def _rows(self) -> None:
        for pair in self._matched:
            ours, theirs = self._ktrace.of(pair.keras[-1].name), self._free.of(pair.torch.name)
            through = None
            if ours and theirs:
                axes = layout.of_kind(pair.first.kind, pair.torch.config, pair.first.config)
                wanted = _output(ours[-1])
                way = layout.aligned(
                    theirs[-1].outputs[0][1], wanted, (axes,) if axes else ("same", "channels", "time")
                )
                through = layout.error(way, wanted, ours[-1].mask)
            names = " + ".join(layer.name for layer in pair.keras)
            alone = self._alone.get(pair.first.name)
            self._found.rows.append(Row(names, pair.torch.name, pair.first.kind, alone, through, pair.torch.line))

    def _outputs(self, stage: str, ktrace: Trace, ttrace: Trace) -> bool:
        """Return whether the outputs are equal end to end; a difference that no layer explains is a finding."""
        pairs = list(zip(ktrace.outputs, ttrace.outputs, ktrace.masks or [None] * len(ktrace.outputs), strict=False))
        errors = [layout.error(layout.aligned(found, wanted), wanted, mask) for (_, wanted), (_, found), mask in pairs]
        error = max(errors, default=np.inf)
        if error > self._tolerance and not self._found.findings:
            self._add(stage, None, Told("unknown", "its output", "another output"), error, layer="output")
        return error <= self._tolerance


def _run_order(layers: Sequence[Layer], trace: Trace) -> list[Layer]:
    """Return layers in the order of their first call; those never called are left out."""
    first: dict[str, int] = {}
    for at, call in enumerate(trace.calls):
        if not call.is_op:
            first.setdefault(call.layer, at)
    run = [layer for layer in layers if layer.name in first]
    own = [layer for layer in layers if layer.weights and layer.name not in first]
    return sorted(run, key=lambda layer: first[layer.name]) + own


def _place(trace: Trace, layer: str) -> int:
    return next((at for at, call in enumerate(trace.calls) if call.layer == layer and not call.is_op), -1)


def _inputs(pair: Pair, call: Call) -> list[Array]:
    """Return the inputs of a Keras call in torch's order, which has the key before the value."""
    values = [value for _, value in call.inputs]
    if pair.first.kind != "MultiHeadAttention":
        return values[:1]
    query, value, *key = [each for each in values if each.dtype.kind == "f"][:3]
    return [query, key[0] if key else value, value]


def _as_long(wanted: Array, found: Array, axes: str | None, call: Call) -> Array:
    """Return Keras's input cut to the longest row, as packing does."""
    if not call.settings.get("packed"):
        return wanted
    return wanted[:, : layout.to_keras(found, axes or "same").shape[1]]


def _output(call: Call) -> Array:
    """Return what the port's layer is to give: the whole sequence, and values before an activation."""
    if "sequence" in call.extra:
        return call.extra["sequence"]
    return call.extra.get("before", call.outputs[0][1])


def _weights(layer: Layer) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in layer.weights.items())


def _map_hint(name: str, near: Sequence[str], first: bool) -> str:
    if not near:
        return "add the layer to the side that lacks it"
    return f"--map {name}={near[0]}" if first else f"--map {near[0]}={name}"


def _shape_or(words: str, value: Array) -> str:
    return f"{words} {value.shape}"
