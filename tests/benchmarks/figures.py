"""What a benchmark found, as a line that `nox -s overhead` reads (`tests.benchmarks.__main__`)."""

from __future__ import annotations

import json

MARK = "figures: "
Figures = dict[str, float | list[float]]
"""By name: a number, or a number with its low and high ends."""


def say(**found: float | list[float]) -> None:
    """Print figures."""
    print(f"{MARK}{json.dumps(found)}", flush=True)


def said(output: str) -> Figures:
    """Return all figures that an output has."""
    lines = [line.removeprefix(MARK) for line in output.splitlines() if line.startswith(MARK)]
    return {name: value for line in lines for name, value in json.loads(line).items()}
