"""The most memory that an action holds."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PROCESS = Path("/proc/self")
_earlier = 0.0
"""The peak before `host_peak` set it back."""


def process_peak() -> float:
    """Return the most bytes that this process has had resident."""
    return max(_earlier, _counted_peak())


def _counted_peak() -> float:
    """Return the peak that the system counts, since it was set back where that is possible.

    Linux: VmHWM (proc(5)), as ru_maxrss keeps over exec the peak of the process that started this one.
    """
    with suppress(OSError):
        if found := re.search(r"VmHWM:\s*(\d+) kB", (_PROCESS / "status").read_text()):
            return float(found[1]) * 1024
    # macOS gives ru_maxrss in bytes, others in KiB (getrusage(2)).
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def host_peak(action: Callable[[], object]) -> float:
    """Return the most bytes that this process has resident while `action` runs, all that it held before included.

    Linux: writing 5 to clear_refs sets the peak back (proc(5)). Elsewhere, or where that is forbidden, it is the peak
    since the process began.
    """
    global _earlier
    _earlier = process_peak()
    with suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5")
    action()
    return _counted_peak()
