"""Which layer of the port stands for which of Keras's: by order, kind and shape. No framework, no arrays."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.errors import UsageError, unknown
from bench.port import carry
from bench.port.layout import CHANNELS
from bench.port.trace import Layer, shapes

BIASES = ("bias", "in_proj_bias", "out_proj.bias")
SCALES = ("weight", "running_mean", "running_var")


@dataclass(frozen=True)
class Pair:
    """Layers of Keras (several where torch stacks them in one) and the torch layer that stands for them."""

    keras: tuple[Layer, ...]
    torch: Layer

    @property
    def first(self) -> Layer:
        """Return the first of Keras's layers."""
        return self.keras[0]

    @property
    def layout(self) -> str | None:
        """Return the layout that the torch layer insists on, None where any will do."""
        if self.first.kind in CHANNELS:
            keras = self.first.config
            first = keras.get("data_format") == "channels_first" or keras.get("axis") in (1, [1])
            return "same" if first else "channels"
        if "batch_first" in self.torch.config:
            return "same" if self.torch.config["batch_first"] else "time"
        return None


@dataclass(frozen=True)
class Matching:
    """Pairs in Keras's order, layers with weights that have no counterpart, and of each the layers that would fit."""

    pairs: list[Pair]
    keras: list[Layer]
    torch: list[Layer]
    candidates: dict[str, list[str]]

    @property
    def complete(self) -> bool:
        """Return whether every layer with weights has a counterpart."""
        return not self.keras and not self.torch


def match(keras: Sequence[Layer], torch: Sequence[Layer], chosen: Mapping[str, str]) -> Matching:
    """Match layers with weights, each side's in the order that they run in.

    `chosen`: names of torch's layers by Keras's, as the user gave them. Raises `UsageError` for an unknown name, and
    for a choice whose weights do not fit.
    """
    keras, torch = ([layer for layer in side if layer.weights] for side in (keras, torch))
    pairs = [_chosen(keras, torch, *names) for names in chosen.items()]
    ours, theirs = _left(keras, torch, pairs)
    named = {layer.name: layer for layer in ours}
    # A user who gave both the same name meant it.
    same = [(named[layer.name], layer) for layer in theirs if layer.name in named]
    pairs += [Pair((own,), layer) for own, layer in same if fits([own], layer)]
    ours, theirs = _left(keras, torch, pairs)
    pairs += _aligned(ours, theirs)
    ours, theirs = _left(keras, torch, pairs)
    named = {layer.name: layer for layer in ours}
    candidates = {layer.name: [own.name for own in ours if fits([own], layer)] for layer in theirs}
    times = Counter(itertools.chain(*candidates.values()))
    # Branches may run in another order: what fits one layer alone is its counterpart.
    single = [(candidates[layer.name], layer) for layer in theirs if len(candidates[layer.name]) == 1]
    pairs += [Pair((named[own],), layer) for (own,), layer in single if times[own] == 1]
    ours, theirs = _left(keras, torch, pairs)
    place = {layer.name: at for at, layer in enumerate(keras)}
    pairs.sort(key=lambda pair: place[pair.first.name])
    return Matching(pairs, ours, theirs, {layer.name: candidates[layer.name] for layer in theirs})


def _left(keras: Sequence[Layer], torch: Sequence[Layer], pairs: Sequence[Pair]) -> tuple[list[Layer], list[Layer]]:
    """Return the layers of both sides that are in no pair."""
    used = {layer.name for pair in pairs for layer in pair.keras}, {pair.torch.name for pair in pairs}
    return [each for each in keras if each.name not in used[0]], [each for each in torch if each.name not in used[1]]


def _chosen(keras: Sequence[Layer], torch: Sequence[Layer], name: str, other: str) -> Pair:
    ours, theirs = ({layer.name: layer for layer in side} for side in (keras, torch))
    parts = name.split("+")
    for kind, part, known in [*(("Keras", part, ours) for part in parts), ("torch", other, theirs)]:
        if part not in known:
            raise unknown(f"{kind} layer with weights", part, known)
    layers, layer = tuple(ours[part] for part in parts), theirs[other]
    if not fits(layers, layer):
        wanted = carry.shapes(layers, layer)
        raise UsageError(
            f"--map {name}={other}: {layers[0]} has weights {shapes(layers[0].weights)}, "
            f"{layer} has {shapes(layer.weights)}" + (f" where {shapes(wanted)} would fit" if wanted else "")
        )
    return Pair(layers, layer)


def fits(keras: Sequence[Layer], torch: Layer) -> bool:
    """Return whether these layers' weights are those of a torch layer, but for biases that one side alone has."""
    kinds = {carry.DEPTHWISE.get(layer.kind, layer.kind) for layer in keras}
    if kinds != {torch.kind} or len(keras) != (torch.config.get("num_layers", 1) if torch.kind in carry.GATES else 1):
        return False
    if torch.kind in carry.GATES:
        both = bool(torch.config.get("bidirectional"))
        if any((layer.cls == "Bidirectional") != both for layer in keras) or torch.config.get("proj_size"):
            return False
    wanted = carry.shapes(keras, torch)
    if wanted is None:
        return False
    single = {key for key in wanted.keys() ^ torch.weights.keys() if not _optional(key, torch.kind)}
    return not single and all(wanted[key] == torch.weights[key] for key in wanted.keys() & torch.weights.keys())


def _optional(name: str, kind: str) -> bool:
    """Return whether a layer may lack a weight: biases, and what normalisations scale by or remember."""
    return name in BIASES or name.startswith("bias_") or (kind.endswith("Normalization") and name in SCALES)


def _aligned(keras: Sequence[Layer], torch: Sequence[Layer]) -> list[Pair]:
    """Return what both the first and the last of the longest alignments in order have: of the rest nobody knows."""
    known: dict[object, bool] = {}

    def group(at: int, layer: Layer) -> int:
        """Return how many Keras layers from `at` on a torch layer stands for, 0 for none."""
        size = int(layer.config.get("num_layers", 1)) if layer.kind in carry.GATES else 1
        part = keras[at : at + size]
        if len(part) < size or part[0].kind not in (layer.kind, *carry.DEPTHWISE):
            return 0
        config = [layer.config.get(name) for name in ("num_layers", "bidirectional", "proj_size")]
        key = (*config, *((each.kind, each.cls, *each.weights.items()) for each in (*part, layer)))
        if key not in known:
            known[key] = fits(part, layer)
        return size if known[key] else 0

    longest = np.zeros((len(keras) + 1, len(torch) + 1), int)
    sizes = np.zeros_like(longest)
    for i in reversed(range(len(keras))):
        for j in reversed(range(len(torch))):
            size = sizes[i, j] = group(i, torch[j])
            paired = size + 1 + longest[i + size, j + 1] if size else 0
            longest[i, j] = max(paired, longest[i + 1, j], longest[i, j + 1])

    def alignment(late: bool) -> dict[str, Pair]:
        pairs: dict[str, Pair] = {}
        i = j = 0
        while i < len(keras) and j < len(torch):
            size, best = int(sizes[i, j]), longest[i, j]
            if late and longest[i, j + 1] == best:
                j += 1
            elif late and longest[i + 1, j] == best:
                i += 1
            elif size and size + 1 + longest[i + size, j + 1] == best:
                pairs[torch[j].name] = Pair(tuple(keras[i : i + size]), torch[j])
                i, j = i + size, j + 1
            else:
                i, j = (i + 1, j) if longest[i + 1, j] == best else (i, j + 1)
        return pairs

    last = alignment(late=True)
    return [pair for name, pair in alignment(late=False).items() if last.get(name) == pair]
