"""How files are written: whole or not at all, whatever becomes of the process, the disk or another writer."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STREAMS = (Path("/dev"), Path("/dev/fd"))


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file; until all of it is on the disk, what was there before stays as it was.

    What is no file (`/dev/stdout`, a pipe) is written into. Raises `OSError`, which names `path`.
    """
    with replacing(path) as part, _opened(part, os.O_TRUNC) as descriptor:
        _put(descriptor, content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a file beside `path` to write; at the end it takes the place of `path`, unless something failed.

    It gets the permissions of what it replaces. Raises `OSError`, which names `path`.
    """
    target = Path(os.path.realpath(path))  # a link stays one
    part = target.with_name(f".{target.name[:50]}.{os.getpid()}.part")
    with _naming(path):
        if path.parent in _STREAMS or (target.exists() and not target.is_file()):
            yield path
            return
        _sweep(part)
        try:
            yield part
            with _opened(part) as descriptor:
                _sync(descriptor)
                if target.exists():
                    os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)


def append_file(path: Path, text: str) -> None:
    """Add a text to the end of a file, all of it or nothing; raise `OSError`, which names `path`."""
    with _naming(path), _opened(path, os.O_APPEND) as descriptor:
        before = os.fstat(descriptor).st_size
        try:
            _put(descriptor, text)
            _sync(descriptor)
        except OSError:
            if path.is_file():
                os.ftruncate(descriptor, before)
                if not before:
                    path.unlink()
            raise


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # of a write it names no file, of a part the wrong one
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


@contextmanager
def _opened(path: Path, how: int = 0) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _put(descriptor: int, content: str | bytes) -> None:
    left = memoryview(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # as a pipe says
            raise


def _sweep(part: Path) -> None:
    """Delete what killed processes left of earlier attempts at the same file."""
    name = part.name.rsplit(".", 2)[0]
    for left in part.parent.glob(".*.part"):
        begun, process = left.name.removesuffix(".part").rpartition(".")[::2]
        if begun == name and process.isdecimal() and not _runs(int(process)):
            left.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
