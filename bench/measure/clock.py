"""Reads clocks: the time of day as records carry it, and the seconds that an action takes on its device."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Times actions with their device synchronised at both edges; `timer` and `cpu_timer` give seconds."""

    synchronize: Callable[[], None]
    timer: Callable[[], float] = time.perf_counter
    cpu_timer: Callable[[], float] = time.process_time

    def both(self, action: Callable[[], object]) -> tuple[float, float]:
        """Return the seconds from the call of `action` until its device has done all of it, and CPU seconds.

        Those are of all threads of this process, whether they compute or wait in a loop; no other program's are in it.
        """
        self.synchronize()
        cpu, start = self.cpu_timer(), self.timer()
        action()
        self.synchronize()
        wall = self.timer() - start
        return wall, self.cpu_timer() - cpu

    def seconds(self, action: Callable[[], object]) -> float:
        """Return the seconds from the call of `action` until its device has done all of it."""
        return self.both(action)[0]


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
