"""How this package starts a Python process of its own."""

from __future__ import annotations

import sys
from pathlib import Path


def command(module: str) -> tuple[str, ...]:
    """Return the command that runs a module of this package under this Python.

    `python -m` looks in the current folder first, where a `bench.py` or a `random.py` of the user's may lie: -P keeps
    it from that. In the root of a checkout, which need not be installed, the current folder is where the package is.
    """
    in_checkout = Path.cwd() == Path(__file__).resolve().parent.parent
    return (sys.executable, *(() if in_checkout else ("-P",)), "-m", module)
