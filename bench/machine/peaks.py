"""What the machine gives at most: FLOP/s of a large matrix product, bytes/s of a large copy.

A process of its own measures a CPU with NumPy, under the thread count that frameworks get; a GPU is measured by
`bench.machine.gpu_peaks`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from bench.machine.fingerprint import cores
from bench.machine.processes import command
from bench.spec import Device

CPU_SIZE = 2048
GPU_SIZE = 8192
COPY_BYTES = 1 << 28
"""A copy so large that no cache holds it."""
SECONDS = 0.4


class Peaks(NamedTuple):
    """FLOP/s (float32) and bytes/s (read and written)."""

    flops: float
    bandwidth: float


def limits(device: Device, threads: int, environment: dict[str, str]) -> Peaks | None:
    """Measure the limits of a device in a process of its own, under the variables that fix its thread count.

    None where no installed framework can use the device, or where the process fails.
    """
    module = "bench.machine.peaks" if device == "cpu" else "bench.machine.gpu_peaks"
    try:
        answer = subprocess.run(
            [*command(module), str(threads)],
            env={**os.environ, **environment},
            capture_output=True,
            timeout=120,
            check=True,
        ).stdout
        return Peaks(*json.loads(answer.splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def best(action: Callable[[], object], seconds: float = SECONDS) -> float:
    """Return the fewest seconds of a call of `action`, called again for about `seconds`, after one that warms it."""
    action()
    found: list[float] = []
    while sum(found) < seconds:
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return min(found)


def of_cpu(threads: int, size: int = CPU_SIZE, copy_bytes: int = COPY_BYTES) -> Peaks:
    """Measure this process's CPU: a product of `size` squared matrices, and a copy on `threads` threads at once."""
    left, right = (np.full((size, size), 0.5, np.float32) for _ in range(2))
    product = np.empty_like(left)
    source = np.zeros(copy_bytes, np.uint8)
    target = np.ones_like(source)
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        copy_seconds = best(lambda: list(pool.map(lambda part: np.copyto(part[1], part[0]), parts)))
    product_seconds = best(lambda: np.matmul(left, right, out=product))
    return Peaks(2 * size**3 / product_seconds, 2 * copy_bytes / copy_seconds)


if __name__ == "__main__":
    print(json.dumps(of_cpu(min(int(sys.argv[1]), cores()))))
