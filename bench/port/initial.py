"""Whether a port's fresh weights are drawn as Keras draws them: by their variance, before weights are carried over."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from bench.port.causes import Finding, Told
from bench.port.match import Pair
from bench.port.trace import Array, Layer

SIGMAS = 6.0
"""So many standard errors apart, no variance is another by chance; few weights say little."""


def initialisers(fresh: Iterable[tuple[Pair, Layer, str, Array]]) -> Iterator[Finding]:
    """Yield a finding for each layer whose fresh weights vary otherwise than Keras's initialiser lets them.

    `fresh`: the port's weights as Keras holds them, with the name of each.
    """
    for (pair, layer), weights in itertools.groupby(fresh, key=lambda each: each[:2]):
        wrong = []
        for *_, name, value in weights:
            wanted, has = _variance(layer, name), float(np.mean(value**2))
            if wanted is not None and not _same(has, wanted, value.size):
                wrong.append((f"{name} {wanted**0.5:.2g}", f"{name} {has**0.5:.2g}"))
        if wrong:
            words = [", ".join(side) for side in zip(*wrong, strict=True)]
            told = Told("initialisers", f"root mean squares: {words[0]}", words[1], _remedy(layer))
            yield Finding("later", layer.name, pair.torch.name, told, 1.0, pair.torch.line)


def _same(has: float, wanted: float, size: int) -> bool:
    if wanted == 0 or has == 0:
        return has == wanted
    return bool(abs(np.log(has / wanted)) <= SIGMAS * (2 / size) ** 0.5)


def _remedy(layer: Layer) -> str:
    declared = [value for key, value in sorted(layer.config.items()) if key.endswith("_initializer")]
    names = dict.fromkeys(str(value["class_name"]) for value in declared if isinstance(value, dict))
    return f"torch.nn.init as Keras: {', '.join(names)}"


def _variance(layer: Layer, name: str) -> float | None:
    """Return the mean square that Keras's initialiser gives a weight, None where its formula is not known here.

    Formulas: `keras/src/initializers/random_initializers.py`, `compute_fans`.
    """
    key = name.rpartition("/")[2].replace("recurrent_kernel", "recurrent")
    declared = layer.config.get(f"{key}_initializer")
    if not isinstance(declared, dict) or layer.kind == "MultiHeadAttention":
        return None
    kind, config, shape = str(declared.get("class_name")), declared.get("config") or {}, layer.weights[name]
    if kind == "Zeros":
        unit_forget = layer.kind == "LSTM" and name.endswith("bias") and layer.config.get("unit_forget_bias", True)
        return 0.25 if unit_forget else 0.0
    size = int(np.prod(shape[:-2])) if len(shape) > 2 else 1
    fans = (size * shape[-2], size * shape[-1]) if len(shape) > 1 else (1, 1)
    scaled = {"Glorot": 2 / sum(fans), "He": 2 / fans[0], "Lecun": 1 / fans[0]}
    for word, variance in scaled.items():
        if kind.startswith(word):
            return variance
    if kind == "RandomUniform":
        low, high = float(config["minval"]), float(config["maxval"])
        return (high - low) ** 2 / 12 + ((high + low) / 2) ** 2
    if kind == "RandomNormal":
        return float(config["stddev"]) ** 2 + float(config["mean"]) ** 2
    if kind.startswith("Orthogonal") and len(shape) == 2:
        return float(config.get("gain", 1.0)) ** 2 / max(shape)
    return None
