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
_files_of_parent = 0.0
"""Bytes of files (programs, libraries) that were resident where this process was forked."""


def process_peak() -> float:
    """Return the most bytes that this process has had resident.

    Linux gives a forked process no page of a file before it is used again. What a process of its own would hold since
    its imports counts: the bytes of files that the parent has, where those are more.
    """
    return max(_earlier, _counted_peak()) + max(0.0, _files_of_parent - _file_bytes())


def about_to_fork() -> None:
    """Note in the parent of forked processes what these hold because it does."""
    global _files_of_parent
    _files_of_parent = _file_bytes()


def _file_bytes() -> float:
    return _bytes("RssFile") or 0.0


def _bytes(field: str) -> float | None:
    """Return a field of proc(5)'s status; None where there is none."""
    with suppress(OSError):
        if found := re.search(rf"{field}:\s*(\d+) kB", (_PROCESS / "status").read_text()):
            return float(found[1]) * 1024
    return None


def _counted_peak() -> float:
    """Return the peak that the system counts, since it was set back where that is possible.

    Linux: VmHWM (proc(5)), as ru_maxrss keeps over exec the peak of the process that started this one.
    """
    if peak := _bytes("VmHWM"):
        return peak
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
