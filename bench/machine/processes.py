"""How this package starts a Python process of its own, talks to it, and sees it end."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE, PollSelector
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import IO, NamedTuple

import psutil

from bench.backends.registry import backends

LOG_BYTES = 8_000
END_SECONDS = 5.0
GPU_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""GPUs are counted as `nvidia-smi` does; CUDA's default begins with the fastest."""

PACKAGE = Path(__file__).resolve().parents[1]
"""Where this package lies."""


class Code(NamedTuple):
    """The modules of an installation of this package: the folder that they lie in, and a hash of all of them."""

    package: str
    sha256: str


def code() -> Code:
    """Return where this package lies, and what its modules are now."""
    files = ((file, file.stat()) for file in sorted(PACKAGE.rglob("*.py")))
    return Code(str(PACKAGE), _hashed(tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in files)))


@cache
def _hashed(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for file, *_ in files:
        digest.update(f"{file.relative_to(PACKAGE)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


GUARDIAN = (sys.executable, "-IS", str(Path(__file__).with_name("guardian.py")))


def command(module: str) -> tuple[str, ...]:
    """Return the command that runs a module of this package under this Python.

    `python -m` looks in the current folder first, where a `bench.py` or a `random.py` of the user's may lie: -P keeps
    it from that. In the root of a checkout, which need not be installed, the current folder is where the package is.
    """
    in_checkout = Path.cwd() == PACKAGE.parent
    return (sys.executable, *(() if in_checkout else ("-P",)), "-m", module)


def thread_environment(threads: int) -> dict[str, str]:
    """Return the environment variables that give NumPy and every framework `threads` threads."""
    shared = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys([*shared, *(name for info in backends().values() for name in info.threads)], str(threads))


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return all processes below one, parents first, by the kernel's own lists (proc_pid_task(5)).

    Elsewhere among all processes, which takes milliseconds, on a machine with many of them tens.
    """
    if not os.path.exists(f"/proc/{process.pid}/task/{process.pid}/children"):
        return process.children(recursive=True)
    found, family = [], [process.pid]
    for parent in family:  # which grows meanwhile
        with suppress(OSError):  # it has ended
            for task in os.listdir(f"/proc/{parent}/task"):
                family += map(int, Path(f"/proc/{parent}/task/{task}/children").read_text().split())
    for descendant in family[1:]:
        with suppress(psutil.Error):
            found.append(psutil.Process(descendant))
    return found


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    exit_code: int
    output: str
    errors: str


def said(
    words: Sequence[str], seconds: float, environment: Mapping[str, str] = MappingProxyType({}), given: str = ""
) -> Said:
    """Run a command that ends by itself, with `given` on its stdin, and return what it said.

    Raises `OSError` where it cannot be run, `TimeoutError` where it takes longer; its process group is ended then.
    """
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            output, errors = process.communicate(given, seconds)
        except BaseException as error:  # Ctrl-C, too, which does not reach another session
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimeoutError(f"{words[0]} takes longer than {seconds:g} s") from error
            raise
    return Said(process.returncode, output, errors)


def _nameless() -> IO[bytes]:
    """Return a file without a name; raise `OSError` with the place where none can be made."""
    try:
        return TemporaryFile()  # closed with the child
    except OSError:
        tempfile.tempdir = None  # the folder that Python found at first was deleted, or cannot be written any more
    try:
        return TemporaryFile()
    except OSError as error:
        place = error.filename or "the folder of temporary files (TMPDIR)"
        raise OSError(error.errno, os.strerror(error.errno or errno.ENOENT), place) from error


class Child:
    """A process in a session of its own, with a channel to it, its threads, its log and its end; a context manager.

    Its command ends with the descriptor of its end of a stream socket, `channel` is the descriptor of the other end.
    What it prints goes to a file: while it measures, its output does not wake the parent. On Linux a guardian ends with
    it all that it started, and keeps all of it on `cores`, unless these are none; elsewhere a process that left its
    process group outlives it.
    """

    def __init__(
        self,
        words: Sequence[str],
        threads: int,
        environment: Mapping[str, str] = MappingProxyType({}),
        cores: Collection[int] = (),
    ) -> None:
        if shutil.which(words[0]) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), words[0])
        self._guarded = sys.platform == "linux"
        guardian = (*GUARDIAN, str(os.getpid()), ",".join(map(str, sorted(cores)))) if self._guarded else ()
        self._unsent = memoryview(b"")
        self._log = _nameless()
        ours, theirs = socket.socketpair()
        try:
            self.process = subprocess.Popen(
                [*guardian, *words, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={**os.environ, **GPU_ORDER, **thread_environment(threads), **environment},
            )
        except BaseException:
            ours.close()
            self._log.close()
            raise
        finally:
            theirs.close()
        self.channel = ours.detach()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        if not self._log.closed:  # a second exit has nothing to close: the number may be another file's by then
            os.close(self.channel)
            self._log.close()

    def send(self, data: bytes) -> None:
        """Write to its stdin: what does not fit in at once, `ready` writes whenever there is room."""
        assert self.process.stdin
        os.set_blocking(self.process.stdin.fileno(), False)
        self._unsent = memoryview(data)

    def ready(self, seconds: float | None) -> bool:
        """Return whether the channel has something to read, or was closed; wait at most so long, None without end."""
        found, stdin = wait([self], seconds), self.process.stdin
        assert stdin
        if stdin in found:
            try:
                # An empty view would keep all of what was sent.
                self._unsent = self._unsent[os.write(stdin.fileno(), self._unsent) :] or memoryview(b"")
            except BrokenPipeError:
                self._unsent = memoryview(b"")
        return self.channel in found

    @property
    def ended(self) -> bool:
        """Whether the process itself has ended; others may still hold its channel."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """End the process and all that it started, unless it has ended."""
        if self._guarded and not self.ended:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(END_SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ending(self) -> str:
        """Return how the process ended, in words; one that has closed its channel and lives is killed."""
        try:
            code = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"the process closed its channel, lived on for {END_SECONDS:g} s and was killed"
        if code >= 0:
            return f"the process ended with exit code {code} before it had a result"
        hint = "; the system may have run out of memory" if -code == signal.SIGKILL else ""
        name = f" ({signal.Signals(-code).name})" if -code in set(signal.Signals) else ""
        return f"the process was killed by signal {-code}{name}{hint}"

    def last_output(self) -> str:
        """Return the end of what it printed."""
        descriptor = self._log.fileno()
        # The position in the file is the child's, too, which may be printing: it stays where it is.
        printed = os.pread(descriptor, LOG_BYTES, max(0, os.fstat(descriptor).st_size - LOG_BYTES))
        return printed.decode(errors="replace").strip()


def wait(children: Iterable[Child], seconds: float | None) -> list[object]:
    """Wait until a channel of these has something to read, was closed, or there is room for what was not sent yet.

    Waits at most so long, None without end. Returns the channels and the stdins that this is about.
    """
    with PollSelector() as selector:
        for child in children:
            selector.register(child.channel, EVENT_READ)
            if child._unsent and child.process.stdin:
                selector.register(child.process.stdin, EVENT_WRITE)
        return [key.fileobj for key, _ in selector.select(seconds)]
