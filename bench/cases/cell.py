"""A cell: one case under one backend, kernel, device, numerics and seed; its name is what users type and read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from bench.errors import UsageError
from bench.spec import Device, Kernel

Profile = Literal["quick", "documented"]
Measure = Literal["accuracy", "glance", "steps", "timing", "all"]
"""`accuracy`: trained and scored. `glance`: the same, then a few windows of steps, in processes that cells share.

`steps`: windows of steps and nothing else. `timing`: steps, epochs, inference, memory. `all`: accuracy and timing.
"""
Status = Literal["ok", "unavailable", "failed", "timeout", "out-of-memory", "interrupted"]

_NAME = re.compile(
    r"(?P<suite>[^/@]+)/(?P<case>[^/@]+)@(?P<backend>[^,]+),(?P<kernel>[^,]+),(?P<device>[^,]+),(?P<numerics>[^#]+)#(?P<seed>\d+)"
)


@dataclass(frozen=True, order=True, slots=True)
class Cell:
    """What is run: `imdb-rnn/lstm@torch,fused,cpu,documented#3`."""

    suite: str
    case: str
    backend: str
    kernel: Kernel
    device: Device
    numerics: str
    seed: int

    @property
    def case_name(self) -> str:
        """Return `suite/case`."""
        return f"{self.suite}/{self.case}"

    @property
    def configuration(self) -> str:
        """Return the name without the seed: what is judged as one."""
        return f"{self.case_name}@{self.backend},{self.kernel},{self.device},{self.numerics}"

    def __str__(self) -> str:
        return f"{self.configuration}#{self.seed}"

    @classmethod
    def parse(cls, name: str) -> Cell:
        """Return the cell of a full name; raise `UsageError` when it is not one."""
        match = _NAME.fullmatch(name)
        if match is None or match["kernel"] not in get_args(Kernel) or match["device"] not in get_args(Device):
            raise UsageError(f"not a cell name: {name!r}; expected suite/case@backend,kernel,device,numerics#seed")
        parts = match.groupdict()
        return cls(**{**parts, "seed": int(parts["seed"])})  # type: ignore[arg-type]
