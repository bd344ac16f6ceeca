"""Who runs a run: one process at a time, by a lock beside the store that ends with the process."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import UsageError


@contextmanager
def owned(path: Path, run: str) -> Iterator[None]:
    """Own a run of the store at `path`; raise `UsageError` with process and host where another process does.

    The kernel lets go of the lock of a process that ended, however it did: what it left is taken over.
    """
    store = Path(os.path.realpath(path))
    store.parent.mkdir(parents=True, exist_ok=True)
    lock = store.with_name(f"{store.name}.{hashlib.sha256(run.encode(errors='replace')).hexdigest()[:12]}.lock")
    descriptor = _locked(lock)
    if descriptor is None:
        owner = lock.read_text(encoding="utf-8", errors="replace") if lock.exists() else ""
        raise UsageError(
            f"run {run!r} of {path} is run by {owner or 'another process'}; wait until that ends, or end it"
        )
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(lock: Path) -> int | None:
    """Return the open and locked file, None where another process has it."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.close(descriptor)  # its owner deleted it between the two
