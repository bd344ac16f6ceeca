"""A process between a parent and one that it starts: nothing that was started there outlives either of them (Linux).

`python guardian.py PARENT COMMAND... DESCRIPTOR` runs the command, becomes the parent of all that its descendants leave
behind, and ends as it ended. Before that, and as soon as the process PARENT has ended or sends SIGTERM, it kills
everything: it waits in the kernel alone, so neither a SIGKILL of the parent nor C code that holds an interpreter keeps
it from that. It imports nothing of this package, to start at once.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
"""Of Linux's `linux/prctl.h`."""


def main() -> None:
    """Run the command and end as it did."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    stopped = False

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal stopped
        # Linux tells of the end of the thread that started this process, whose process may live on.
        if number == signal.SIGTERM or os.getppid() != parent:
            stopped = True
            kill_children()

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGHUP)
    process = os.fork()
    if not process:
        try:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    os.close(0)
    os.close(int(command[-1]))
    if stopped or os.getppid() != parent:
        kill_children()
    ended, status = 0, 0
    while ended != process:
        ended, status = os.wait()
    with suppress(ChildProcessError):  # none is left
        while True:
            os.waitpid(-1, os.WNOHANG)
            kill_children()
            os.wait()
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def kill_children() -> None:
    """Kill every process whose parent is this one; what they leave behind comes to this one."""
    for process in children():
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def children() -> Iterator[int]:
    """Yield the processes whose parent is this one, by `proc_pid_stat(5)`."""
    me = str(os.getpid()).encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
            if stat.read().rpartition(b")")[2].split()[1] == me:
                yield int(name)


if __name__ == "__main__":
    main()
