"""Who runs a run, and who times on this machine: one process at a time, by locks that end with their process."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import platform
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from bench.errors import UsageError

_POLL_SECONDS = 0.2
log = logging.getLogger("bench")


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
        raise UsageError(f"run {run!r} of {path} is run by {_owner(lock)}; wait until that ends, or end it")
    try:
        yield
    finally:
        _release(lock, descriptor)


@contextmanager
def timing_alone(given_up: threading.Event | None = None) -> Iterator[None]:
    """Be the only process of this user on this machine that times; wait until another ends, or this is `given_up`.

    Where the lock cannot be made it is said, and nothing is waited for.
    """
    given_up = given_up or threading.Event()
    descriptor = None
    try:
        with warnings.catch_warnings():  # of a fallback to the temporary folder
            warnings.simplefilter("ignore")
            lock = Path(platformdirs.user_runtime_dir("twinbench", appauthor=False)) / "timing.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(lock)
        if descriptor is None:
            log.info("waiting for %s, which times, too: both would disturb each other", _owner(lock))
        while descriptor is None and not given_up.wait(_POLL_SECONDS):
            descriptor = _locked(lock)
    except OSError as error:
        log.warning("timed runs at the same time would go unnoticed: %s", error)
    try:
        yield
    finally:
        if descriptor is not None:
            _release(lock, descriptor)


def _locked(lock: Path) -> int | None:
    """Return the open and locked file, which names this process; None where another process has it."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
                with suppress(OSError):  # on a full disk the lock holds without its owner's name
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner deleted it between the two


def _owner(lock: Path) -> str:
    """Return the process that has a lock, as it named itself."""
    try:
        return lock.read_text(encoding="utf-8", errors="replace") or "another process"
    except FileNotFoundError:  # it has ended meanwhile
        return "another process"


def _release(lock: Path, descriptor: int) -> None:
    lock.unlink(missing_ok=True)
    os.close(descriptor)
