"""Reads clocks: the time of day as records carry it, and the seconds that an action takes on its device."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Times actions with their device synchronised at both edges; `timer` gives seconds."""

    synchronize: Callable[[], None]
    timer: Callable[[], float] = time.perf_counter

    def seconds(self, action: Callable[[], object]) -> float:
        """Return the seconds from the call of `action` until its device has done all of it."""
        self.synchronize()
        start = self.timer()
        action()
        self.synchronize()
        return self.timer() - start


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect garbage now, and not again before the end of the block."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
