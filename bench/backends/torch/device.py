"""How torch is set up for a device, by every backend that computes with it."""

from __future__ import annotations

import torch

from bench.backends.base import no_gpu, tf32
from bench.spec import Device


def prepare(device: Device, differences: frozenset[str]) -> None:
    """Keep TF32 off unless it was asked for, and flush denormals; raise `Unavailable` when there is no GPU to use.

    TensorFlow and XLA take numbers below 1e-38 for zero. torch computes with them, on a CPU many times slower:
    gradients that vanish over hundreds of steps are such numbers (docs/findings.md). Native `denormals` leaves them.
    """
    torch.set_flush_denormal("denormals" not in differences)
    if device == "cuda":
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:  # an assertion where torch is built for the CPU alone
            raise no_gpu("torch", torch.__version__, torch.version.cuda, error) from None
    torch.backends.cuda.matmul.allow_tf32 = tf32()
    torch.backends.cudnn.allow_tf32 = tf32()


def synchronize() -> None:
    """Wait for the GPU, if it is in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def peak_bytes() -> int:
    """Return the most bytes of tensors on the GPU since the last call."""
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return peak
