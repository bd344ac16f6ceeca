"""Which layer of the port stands for which of Keras's: by order, kind and shape. No framework, no arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.errors import UsageError, unknown
from bench.port import carry
from bench.port.trace import Layer

BIASES = frozenset({"bias", "beta", "in_proj_bias", "out_proj.bias"})


@dataclass(frozen=True)
class Pair:
    """Layers of Keras (several where torch stacks them in one) and the torch layer that stands for them."""

    keras: tuple[Layer, ...]
    torch: Layer

    @property
    def first(self) -> Layer:
        """Return the first of Keras's layers."""
        return self.keras[0]

    def __str__(self) -> str:
        return f"{' + '.join(layer.name for layer in self.keras)} = {self.torch.name or self.torch.cls}"


@dataclass(frozen=True)
class Matching:
    """Pairs in Keras's order, layers with weights that have no counterpart, and of each the layers that would fit."""

    pairs: list[Pair]
    keras: list[Layer] = field(default_factory=list)
    torch: list[Layer] = field(default_factory=list)
    candidates: dict[str, list[str]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Return whether every layer with weights has a counterpart."""
        return not self.keras and not self.torch


def match(keras: Sequence[Layer], torch: Sequence[Layer], chosen: Mapping[str, str]) -> Matching:
    """Match layers with weights, each side's in the order that they run in.

    `chosen`: names of torch's layers by Keras's, as the user gave them. Raises `UsageError` for an unknown name, and
    for a choice whose weights do not fit.
    """
    theirs = [layer for layer in keras if layer.weights]
    ours = [layer for layer in torch if layer.weights]
    pairs = [_chosen(theirs, ours, name, other) for name, other in chosen.items()]
    taken = {layer.name for pair in pairs for layer in pair.keras}, {pair.torch.name for pair in pairs}
    names = {layer.name for layer in theirs}
    for layer in ours:  # a user who gave both the same name meant it
        same = [own for own in theirs if own.name == layer.name.replace(".", "/") and own.name not in taken[0]]
        if layer.name in names and layer.name not in taken[1] and same and fits(same[:1], layer):
            pairs.append(Pair((same[0],), layer))
            taken[0].add(same[0].name)
            taken[1].add(layer.name)
    theirs = [layer for layer in theirs if layer.name not in taken[0]]
    ours = [layer for layer in ours if layer.name not in taken[1]]
    aligned = _aligned(theirs, ours)
    mirrored = [
        Pair(tuple(reversed(pair.keras)), pair.torch) for pair in _aligned(theirs[::-1], ours[::-1], mirrored=True)
    ]
    unclear = {pair.torch.name for pair in aligned} ^ {pair.torch.name for pair in mirrored}
    other = {pair.torch.name: pair for pair in mirrored}
    unclear |= {pair.torch.name for pair in aligned if other.get(pair.torch.name, pair) != pair}
    pairs += [pair for pair in aligned if pair.torch.name not in unclear]
    left = _left(theirs, pairs), [layer for layer in ours if all(layer != pair.torch for pair in pairs)]
    candidates = {layer.name: [own.name for own in left[0] if fits([own], layer)] for layer in left[1]}
    # Branches may run in another order: what fits one layer alone is its counterpart.
    for layer in list(left[1]):
        names_that_fit = candidates[layer.name]
        rivals = [name for name, fitting in candidates.items() if set(fitting) & set(names_that_fit)]
        if len(names_that_fit) == 1 and rivals == [layer.name]:
            (own,) = (each for each in left[0] if each.name == names_that_fit[0])
            pairs.append(Pair((own,), layer))
            left[0].remove(own)
            left[1].remove(layer)
            del candidates[layer.name]
    place = {layer.name: at for at, layer in enumerate(keras)}
    pairs.sort(key=lambda pair: place[pair.first.name])
    return Matching(pairs, left[0], left[1], {name: fitting for name, fitting in candidates.items() if fitting})


def _left(layers: Sequence[Layer], pairs: Sequence[Pair]) -> list[Layer]:
    used = {layer.name for pair in pairs for layer in pair.keras}
    return [layer for layer in layers if layer.name not in used]


def _chosen(keras: Sequence[Layer], torch: Sequence[Layer], name: str, other: str) -> Pair:
    own = {layer.name: layer for layer in keras}
    theirs = {layer.name: layer for layer in torch}
    parts = name.split("+")
    for part in parts:
        if part not in own:
            raise unknown("Keras layer with weights", part, own)
    if other not in theirs:
        raise unknown("torch layer with weights", other, theirs)
    layers = [own[part] for part in parts]
    if not fits(layers, theirs[other]):
        wanted = carry.shapes(layers, theirs[other])
        raise UsageError(
            f"--map {name}={other}: {layers[0]} has weights {_shapes(layers[0].weights)}, "
            f"{theirs[other]} has {_shapes(theirs[other].weights)}"
            + ("" if wanted is None else f" where {_shapes(wanted)} would fit")
        )
    return Pair(tuple(layers), theirs[other])


def _shapes(weights: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in weights.items())


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
    shared = wanted.keys() & torch.weights.keys()
    single = {key for key in wanted.keys() ^ torch.weights.keys() if not _optional(key, torch.kind)}
    return not single and all(wanted[key] == torch.weights[key] for key in shared)


def _optional(name: str, kind: str) -> bool:
    """Return whether a layer may lack a weight: biases, and what normalisations scale by or remember."""
    normalises = kind.endswith("Normalization")
    return (
        name in BIASES or name.startswith("bias_") or (normalises and name in ("weight", "running_mean", "running_var"))
    )


def _signature(layer: Layer) -> tuple[object, ...]:
    """Return what `fits` looks at."""
    has = (layer.config.get(key) for key in ("num_layers", "bidirectional", "proj_size"))
    return layer.kind, layer.cls, tuple(layer.weights.items()), *has


def _aligned(keras: Sequence[Layer], torch: Sequence[Layer], mirrored: bool = False) -> list[Pair]:
    """Return the longest alignment in order, the first of several."""
    known: dict[object, bool] = {}

    def group(at: int, layer: Layer) -> int:
        """Return how many Keras layers from `at` on a torch layer stands for, 0 for none."""
        size = int(layer.config.get("num_layers", 1)) if layer.kind in carry.GATES else 1
        part = list(keras[at : at + size])
        if len(part) < size or part[0].kind not in (layer.kind, *carry.DEPTHWISE):
            return 0
        key = tuple(_signature(each) for each in (*part, layer))
        if key not in known:
            known[key] = fits(part[::-1] if mirrored else part, layer)
        return size if known[key] else 0

    longest = np.zeros((len(keras) + 1, len(torch) + 1), int)
    sizes = np.zeros_like(longest)
    for i in reversed(range(len(keras))):
        for j in reversed(range(len(torch))):
            size = sizes[i, j] = group(i, torch[j])
            paired = size + 1 + longest[i + size, j + 1] if size else 0
            longest[i, j] = max(paired, longest[i + 1, j], longest[i, j + 1])
    pairs: list[Pair] = []
    i = j = 0
    while i < len(keras) and j < len(torch):
        size = int(sizes[i, j])
        if size and size + 1 + longest[i + size, j + 1] == longest[i, j]:
            pairs.append(Pair(tuple(keras[i : i + size]), torch[j]))
            i, j = i + size, j + 1
        elif longest[i + 1, j] == longest[i, j]:
            i += 1
        else:
            j += 1
    return pairs
