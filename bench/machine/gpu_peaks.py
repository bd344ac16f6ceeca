"""What a GPU gives at most, measured with whichever framework is installed that can use it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from bench.backends.base import tf32
from bench.errors import Unavailable
from bench.machine.peaks import COPY_BYTES, GPU_SIZE, Peaks, best
from bench.spec import Device


class Actions(NamedTuple):
    """A matrix product and a pass over memory (read and written), each done when it returns."""

    product: Callable[[], object]
    copy: Callable[[], object]


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


def measure(device: Device, size: int = GPU_SIZE, copy_bytes: int = COPY_BYTES) -> Peaks:
    """Measure a device with the first framework that has it; raise `Unavailable` when none has."""
    for prepare in (with_torch, with_jax, with_tensorflow):
        with suppress(Exception):
            actions = prepare(device, size, copy_bytes)
            return Peaks(2 * size**3 / best(actions.product), 2 * copy_bytes / best(actions.copy))
    raise Unavailable(f"no installed framework can use {device}")


if __name__ == "__main__":
    print(json.dumps(measure("cuda")))
