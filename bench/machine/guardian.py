"""A process between a parent and one that it starts: nothing that was started there outlives either of them (Linux).

`python guardian.py PARENT CORES COMMAND... DESCRIPTOR` runs the command on these cores (`0,1`; an empty text: on any),
becomes the parent of all that its descendants leave behind, and ends as it ended. Before that, and as soon as the
process PARENT has ended or sends SIGTERM, it kills everything: it waits in the kernel alone, so neither a SIGKILL of
the parent nor C code that holds an interpreter keeps it from that. Every cell waits for its start, so it imports
nothing of this package, and of Python little that is not there anyway: `signal`, `contextlib` and `collections` would
take almost as long as the interpreter.
"""

# ruff: noqa: SIM105 (`contextlib.suppress` is what it does without)
from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import ctypes
import os
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
"""Of Linux's `linux/prctl.h`."""


prctl = ctypes.CDLL(None).prctl


def main() -> None:
    """Run the command and end as it did."""
    parent, cores, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if cores:
        os.sched_setaffinity(0, map(int, cores.split(",")))
    stopped = False

    def stop(number: int, _: object) -> None:
        nonlocal stopped
        # Linux tells of the end of the thread that started this process, whose process may live on.
        if number == signal.SIGTERM or os.getppid() != parent:
            stopped = True
            kill_children()

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
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
    end_children()
    end_as(status)


def end_as(status: int) -> NoReturn:
    """End this process as the one ended that `os.wait` gave this status of."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            signal.signal(-code, signal.SIG_DFL)
        except OSError:
            pass
        os.kill(os.getpid(), -code)
    os._exit(code)


def end_children() -> None:
    """Kill all that descends from this process, which has to be the parent of what its descendants leave behind."""
    try:
        while True:
            os.waitpid(-1, os.WNOHANG)
            kill_children()
            os.wait()
    except ChildProcessError:  # none is left
        pass


def kill_children() -> None:
    """Kill every process whose parent is this one; what they leave behind comes to this one."""
    for process in children():
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass


def children() -> list[int]:
    """Return the processes whose parent is this one, by `proc_pid_stat(5)`."""
    me = str(os.getpid()).encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                if stat.read().rpartition(b")")[2].split()[1] == me:
                    found.append(int(name))
        except OSError:  # it has ended
            pass
    return found


if __name__ == "__main__":
    main()
