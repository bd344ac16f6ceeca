"""The errors a user can meet: each names the thing, the place and the remedy, and knows its exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

LONGEST = 20_000
"""Characters of a message, the last output of a process included."""


class BenchError(Exception):
    """Any error whose message is meant for the user; its class decides the exit code."""

    exit_code = 2

    def __str__(self) -> str:
        text = super().__str__()
        half = LONGEST // 2  # it may name what a file holds, however long that is; the remedy comes last
        return text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}"


class UsageError(BenchError):
    """A name, option or file that the user gave is wrong (exit code 2)."""


class SuiteError(BenchError):
    """A suite file does not declare valid cases (exit code 2)."""


class DataError(BenchError):
    """A data file is missing, altered or malformed; the message says which, where and how to mend it."""


class StoreError(BenchError):
    """A store is damaged, locked by another process, or cannot be read or written for another reason (exit code 2)."""


class Unavailable(BenchError):
    """Something that a cell needs (framework, kernel, device, data file) is not available on this machine.

    A cell that meets it ends `unavailable` with this message as its reason (exit code 3).
    """

    exit_code = 3


class NoGpu(Unavailable):
    """A framework sees no GPU; `built_for` is the CUDA version it is built for (`12.8`, `12`), None where it has none.

    `bench.machine.gpu.reason` adds what the driver says.
    """

    def __init__(self, text: str, built_for: str | None) -> None:
        super().__init__(text)
        self.built_for = built_for


class Incomparable(BenchError):
    """Two sides did not measure the same thing: nothing may be said of the difference (exit code 4)."""

    exit_code = 4


class NothingToCompare(BenchError):
    """Two sides have nothing in common that could be judged (exit code 3)."""

    exit_code = 3


class CodeChanged(BenchError):
    """The code of this package changed while cells of one run or comparison were measured (exit code 3)."""

    exit_code = 3


class TrainingDiverged(BenchError):
    """The loss became NaN or infinite; the message names epoch and step (exit code 3)."""

    exit_code = 3


NEAREST = 5
"""Names that an error lists at most of many."""
FEW = 15
"""So many names are listed whole where none is near."""
MOST, LONG = 10_000, 200
"""So many names, and characters of one, are looked at: a file may hold any."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown `name` of some `kind`, with the nearest known names, or all where they are few.

    A name is near from a similarity of 0.6 on (difflib's own limit): below it a hint misleads.
    """
    names = sorted({known_name[:LONG] for known_name in islice(known, MOST)})
    near = difflib.get_close_matches(name, names, NEAREST)
    if not near and len(names) > FEW:
        near = difflib.get_close_matches(name, names, NEAREST, cutoff=0.0)
    hint = f"nearest: {', '.join(near)}" if near else f"known: {', '.join(names) or 'none'}"
    return UsageError(f"unknown {kind} {name!r}; {hint}")


def install(extra: str) -> str:
    """Return the command that adds an extra of twinbench, which has no release: it is installed from its checkout."""
    return f"in the checkout: pip install -c constraints.txt -e '.[{extra}]'"
