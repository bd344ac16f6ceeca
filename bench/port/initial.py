"""Whether a port's fresh weights are drawn as Keras draws them: by their variance, before weights are carried over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.port import carry
from bench.port.causes import Finding, Told
from bench.port.match import Pair
from bench.port.trace import Array, Layer

SIGMAS = 6.0
"""So many standard errors apart, no variance is another by chance; few weights say little."""


def initialisers(pairs: Sequence[Pair], fresh: Mapping[str, Mapping[str, Array]]) -> list[Finding]:
    """Return a finding for each layer whose fresh weights vary otherwise than Keras's initialiser lets them."""
    found = []
    for pair in pairs:
        for layer, own in zip(
            pair.keras, carry.to_keras(pair.keras, pair.torch, fresh[pair.torch.name], summed=True), strict=True
        ):
            parts = []
            for name, value in own.items():
                wanted = _variance(layer, name)
                has = float(np.mean(value.astype(np.float64) ** 2))
                if wanted is not None and not _same(has, wanted, value.size):
                    parts.append((name, wanted**0.5, has**0.5))
            if parts:
                names = ", ".join(f"{name} {wanted:.2g}" for name, wanted, _ in parts)
                theirs = ", ".join(f"{name} {has:.2g}" for name, _, has in parts)
                told = Told("initialisers", f"root mean squares: {names}", theirs, _remedy(layer))
                found.append(Finding("later", layer.name, pair.torch.name, told, 1.0, pair.torch.line))
    return found


def _same(has: float, wanted: float, size: int) -> bool:
    if wanted == 0 or has == 0:
        return has == wanted
    return bool(abs(np.log(has / wanted)) <= SIGMAS * (2 / size) ** 0.5)


def _remedy(layer: Layer) -> str:
    names = [str(value.get("class_name")) for key, value in sorted(layer.config.items()) if _initialiser(key, value)]
    return f"torch.nn.init as Keras: {', '.join(dict.fromkeys(names)) or 'its initialisers'}"


def _initialiser(key: str, value: Any) -> bool:
    return key.endswith("_initializer") and isinstance(value, dict)


def _variance(layer: Layer, name: str) -> float | None:
    """Return the mean square that Keras's initialiser gives a weight, None where its formula is not known here.

    Formulas: `keras/src/initializers/random_initializers.py`, `compute_fans`.
    """
    key = name.split("/")[-1].replace("kernel", "kernel_initializer").replace("bias", "bias_initializer")
    key = {"embeddings": "embeddings_initializer"}.get(key, key)
    declared = layer.config.get(key)
    if not isinstance(declared, dict):
        return None
    kind, config, shape = str(declared.get("class_name")), declared.get("config") or {}, layer.weights[name]
    if kind == "Zeros":
        unit_forget = layer.kind == "LSTM" and name.endswith("bias") and layer.config.get("unit_forget_bias", True)
        return 0.25 if unit_forget else 0.0
    size = int(np.prod(shape[:-2])) if len(shape) > 2 else 1
    fans = (size * shape[-2], size * shape[-1]) if len(shape) > 1 else (1, 1)
    if layer.kind == "MultiHeadAttention":
        return None
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
