"""What a device gives at most: FLOP/s of a large matrix product, bytes/s of a large copy.

A process of its own measures a CPU with NumPy, under the thread count that frameworks get, and a GPU with whichever
framework is installed that can use it.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple, get_args

import numpy as np

from bench.backends.base import tf32
from bench.errors import Unavailable
from bench.machine.fingerprint import cores
from bench.machine.processes import command, said, thread_environment
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


def measure_peaks(device: Device, threads: int) -> Peaks | None:
    """Measure a device in a process of its own with so many threads.

    None where no installed framework can use the device, or where the process fails.
    """
    words = [*command("bench.machine.peaks"), device, str(threads)]
    try:
        code, output, _ = said(words, 120, thread_environment(threads))
        return None if code else Peaks(*json.loads(output.splitlines()[-1]))
    except (OSError, TypeError, ValueError, IndexError):
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


class Actions(NamedTuple):
    """A matrix product and a pass over memory (read and written), each done when it returns."""

    product: Callable[[], object]
    copy: Callable[[], object]


def with_numpy(threads: int, size: int, copy_bytes: int) -> Actions:
    """Return NumPy's on this CPU, the copy on `threads` threads at once."""
    left, right = (np.full((size, size), 0.5, np.float32) for _ in range(2))
    product = np.empty_like(left)
    source = np.zeros(copy_bytes, np.uint8)
    target = np.ones_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    pool = ThreadPoolExecutor(threads)
    return Actions(
        lambda: np.matmul(left, right, out=product), lambda: list(pool.map(lambda part: np.copyto(*part), parts))
    )


def with_torch(device: Device, size: int, copy_bytes: int) -> Actions:
    """Return torch's."""
    torch: Any = importlib.import_module("torch")
    torch.backends.cuda.matmul.allow_tf32 = tf32()
    matrix, values = torch.rand(size, size, device=device), torch.rand(copy_bytes // 4, device=device)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    return Actions(lambda: (matrix @ matrix, wait()), lambda: (values + 1, wait()))


def with_jax(device: Device, size: int, copy_bytes: int) -> Actions:
    """Return JAX's."""
    jax: Any = importlib.import_module("jax")
    where = jax.devices(device)[0]
    matrix, values = (jax.device_put(jax.numpy.ones(shape), where) for shape in ((size, size), copy_bytes // 4))
    precision = "tensorfloat32" if tf32() else "highest"
    product = jax.jit(lambda a: jax.numpy.matmul(a, a, precision=precision))
    add = jax.jit(lambda a: a + 1)
    return Actions(lambda: product(matrix).block_until_ready(), lambda: add(values).block_until_ready())


def with_tensorflow(device: Device, size: int, copy_bytes: int) -> Actions:
    """Return TensorFlow's."""
    tf: Any = importlib.import_module("tensorflow")
    tf.config.experimental.enable_tensor_float_32_execution(tf32())
    # Without a GPU TensorFlow would silently do the work on the CPU.
    with tf.device(tf.config.list_logical_devices("GPU" if device == "cuda" else "CPU")[0]):
        matrix, values = tf.ones((size, size)), tf.ones(copy_bytes // 4)

    def waited(action: Callable[[], Any]) -> Callable[[], object]:
        return lambda: (action(), tf.test.experimental.sync_devices())

    return Actions(waited(lambda: matrix @ matrix), waited(lambda: values + 1))


def of(actions: Actions, size: int, copy_bytes: int) -> Peaks:
    """Measure actions of that size."""
    return Peaks(2 * size**3 / best(actions.product), 2 * copy_bytes / best(actions.copy))


def of_framework(device: Device, size: int = GPU_SIZE, copy_bytes: int = COPY_BYTES) -> Peaks:
    """Measure a device with the first framework that has it; raise `Unavailable` when none has."""
    for prepare in (with_torch, with_jax, with_tensorflow):
        with suppress(Exception):
            return of(prepare(device, size, copy_bytes), size, copy_bytes)
    raise Unavailable(f"no installed framework can use {device}")


def of_cpu(threads: int, size: int = CPU_SIZE, copy_bytes: int = COPY_BYTES) -> Peaks:
    """Measure this process's CPU."""
    return of(with_numpy(threads, size, copy_bytes), size, copy_bytes)


if __name__ == "__main__":
    device = next(name for name in get_args(Device) if name == sys.argv[1])
    print(json.dumps(of_cpu(min(int(sys.argv[2]), cores())) if device == "cpu" else of_framework(device)))
