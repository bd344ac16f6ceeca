"""Why the losses of both sides differ, where the outputs do not: the port's own loss function, called again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax, logit, softmax

from bench.errors import BenchError
from bench.port.causes import Told
from bench.port.trace import Array

CLOSE = 1e-6
Again = Callable[[str, list[Array], dict[str, Any]], float]


@dataclass(frozen=True)
class Losses:
    """Both losses of one batch: Keras's `wanted`, to which it adds `regularisers`, and the port's `found`.

    `call`: the loss function that the port called, its arrays and settings. `reduced`: of a loss by hand, what it was
    reduced from, and how. `y`: the labels that both were given. `smoothing`: Keras's label_smoothing.
    """

    wanted: float
    found: float
    regularisers: float
    y: Array
    call: dict[str, Any] | None
    reduced: dict[str, Any] | None
    smoothing: float


def cause(both: Losses, again: Again) -> Told | None:
    """Return why the port's loss is not Keras's, None where nothing known explains it; `again` calls its function."""
    if both.regularisers and _close(both.wanted, both.found):
        return Told("regularizer", f"{both.regularisers:.4g} from regularisers", "none")
    if both.call is None:
        return _by_hand(both.wanted, both.reduced) if both.reduced else None
    name, (output, target), settings = both.call["name"], both.call["arrays"], both.call["settings"]
    for told, value, labels, changed in _hypotheses(both, name, output, target, settings):
        try:
            found = again(name, [value, labels], {**settings, **changed})
        except BenchError:  # the function refuses these arrays
            continue
        if _close(found, both.wanted):
            return told
    return _by_size(both.wanted, both.found, (*output.shape, output.size, target.size))


def _by_hand(wanted: float, reduced: dict[str, Any]) -> Told | None:
    """Return why a loss that was written by hand differs: what it was reduced from is known."""
    value, own = reduced["array"], reduced["name"]
    for name, other in (("mean", value.mean()), ("sum", value.sum())):
        if name != own and _close(float(other), wanted):
            return Told("loss-reduction", f"a {name}", f"a {own}", f".{name}()")
    if value.ndim == 2 and value.shape[0] == value.shape[1] and _close(float(np.diagonal(value).mean()), wanted):
        return Told("label-shape", "one label for each output", f"values of shape {value.shape}")
    return _by_size(wanted, float(value.mean()), (len(value),)) if value.size else None


def _close(a: float, b: float) -> bool:
    return bool(np.isclose(a, b, rtol=CLOSE, atol=0))


def _hypotheses(
    both: Losses, name: str, output: Array, target: Array, settings: dict[str, Any]
) -> Iterator[tuple[Told, Array, Array, dict[str, Any]]]:
    """Yield a cause, with the output, labels and settings that would give Keras's loss then."""
    own = settings.get("reduction", "mean")
    for reduction in ("mean", "sum"):
        if reduction != own:
            told = Told("loss-reduction", f"a {reduction}", f"a {own}", f"reduction={reduction!r}")
            yield told, output, target, {"reduction": reduction}
    if target.shape != output.shape and target.size == output.size:
        told = Told("label-shape", f"labels of shape {output.shape}", f"labels of shape {target.shape}")
        yield told, output, target.reshape(output.shape), {}
    function = name if name == "cross_entropy" else "binary_cross_entropy_with_logits"
    remedy = f"no softmax or sigmoid before F.{function}(logits, y)"
    axis = min(1, output.ndim - 1)
    with np.errstate(all="ignore"):
        for has, value in (
            ("probabilities", np.log(output)),
            ("probabilities", logit(output)),
            ("logits", expit(output)),
            ("logits", softmax(output, axis)),
            ("logits", log_softmax(output, axis)),
        ):
            if np.isfinite(value).all():
                told = Told("probabilities-logits", f"{has} through its loss", f"{has} through {name}", remedy)
                yield told, value, target, {}
    for encoding, encoded in _encodings(output, target, both.y):
        yield Told("label-encoding", encoding, "other labels"), output, encoded, {}
    theirs = settings.get("label_smoothing", 0.0)
    if theirs != both.smoothing:
        told = Told("label-encoding", f"label_smoothing={both.smoothing:g}", f"label_smoothing={theirs:g}")
        yield told, output, target, {"label_smoothing": both.smoothing}


def _encodings(output: Array, target: Array, y: Array) -> Iterator[tuple[str, Array]]:
    classes = np.argmax(y, axis=-1) if y.ndim > target.ndim else y
    if classes.size == target.size:
        yield "the labels of the batch", classes.reshape(target.shape).astype(target.dtype)
    yield "labels from 0 on (y - 1)", target - 1
    yield "labels from 1 on (y + 1)", target + 1
    yield "labels 0 and 1 ((y + 1) / 2)", (target + 1) / 2
    yield "labels -1 and 1 (2 y - 1)", 2 * target - 1
    yield "labels 1 and 0 (1 - y)", 1 - target
    if target.ndim == output.ndim and target.ndim > 1:
        yield "class numbers (argmax)", np.argmax(target, axis=-1)
    elif output.ndim > 1 and np.all((target >= 0) & (target < output.shape[-1])):
        yield "one-hot labels", np.eye(output.shape[-1])[target.astype(int)]


def _by_size(wanted: float, found: float, sizes: tuple[int, ...]) -> Told | None:
    """Return a reduction that is told by the losses' ratio: a whole number of rows or elements."""
    if not wanted or not found:
        return None
    ratio = found / wanted
    for size in sorted({size for size in sizes if size > 1}):
        if _close(ratio, size):
            return Told("loss-reduction", f"a mean over {size}", "their sum", "reduction='mean'")
        if _close(1 / ratio, size):
            return Told("loss-reduction", f"the sum of {size}", "their mean", "reduction='sum'")
    return None
