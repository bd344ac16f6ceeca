"""How this package starts a Python process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.backends.registry import backends


def command(module: str) -> tuple[str, ...]:
    """Return the command that runs a module of this package under this Python.

    `python -m` looks in the current folder first, where a `bench.py` or a `random.py` of the user's may lie: -P keeps
    it from that. In the root of a checkout, which need not be installed, the current folder is where the package is.
    """
    in_checkout = Path.cwd() == Path(__file__).resolve().parents[2]
    return (sys.executable, *(() if in_checkout else ("-P",)), "-m", module)


LOG_BYTES = 8_000
GPU_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""GPUs are counted as `nvidia-smi` does; by itself CUDA begins with the fastest."""


def thread_environment(threads: int) -> dict[str, str]:
    """Return the environment variables that give NumPy and every framework `threads` threads."""
    shared = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys([*shared, *(name for info in backends().values() for name in info.threads)], str(threads))
