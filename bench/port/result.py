"""What a comparison finds, and how far values may differ."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from bench.port.causes import Finding
from bench.port.match import Matching
from bench.port.trace import Layer

EXACT = {"float64": 1e-6, "float32": 1e-4}
"""What a relative error may be. In float64 Keras holds constants (the slope of a LeakyReLU, the root of an
attention's key size) in float32, which are off by 6e-8; in float32 a deep model loses as much as that.
"""
TRAINED = {"float64": 2e-5, "float32": 1e-2}
"""The same after steps: Keras's Adam takes 0.999 through float32, which is off by 1.3e-5 of 1 - 0.999."""
SMALL = 1e-6
"""An array whose largest value is smaller than this share of all is measured against that share."""
INHERENT = ("batchnorm-variance", "optimizer-epsilon", "second-bias", "initialisers")
"""What a port trained by its own optimizer has even where outputs and gradients are equal."""


@dataclass(frozen=True)
class Row:
    """A matched pair: largest error by itself, and as it shows at the end of all layers before."""

    keras: str
    torch: str
    kind: str
    alone: float | None
    through: float | None


@dataclass
class Comparison:
    """What a comparison found.

    `layers` are Keras's, `compared` and `left_out` stages, the latter each with its reason.
    """

    matching: Matching
    precision: str
    findings: list[Finding] = field(default_factory=list)
    will_differ: list[Finding] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    compared: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def parameters(self) -> int:
        """Return how many numbers Keras's weights hold."""
        return sum(math.prod(shape) for layer in self.layers for shape in layer.weights.values())

    @property
    def verdict(self) -> str:
        """Return `equal`, `differs` or `unmatched`."""
        if not self.matching.complete:
            return "unmatched"
        return "differs" if self.findings else "equal"
