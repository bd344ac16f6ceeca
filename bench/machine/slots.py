"""Which cores of this machine each of several processes side by side gets for itself."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

SYSTEM = Path("/sys/devices/system")
"""Where Linux says which cores are siblings (`cpu/cpu0/topology`) and near the same memory (`node/node0`)."""


def slots(count: int, allowed: Collection[int] | None = None, system: Path = SYSTEM) -> tuple[frozenset[int], ...]:
    """Return `count` sets of cores of equal size that share none, of those that this process may use (or `allowed`).

    Hyperthreads of one core stay together and no set reaches over two NUMA nodes where the numbers permit. Empty sets
    stand for all cores: of one process, which is not pinned, and where the system pins none (macOS, Windows).
    Raises `ValueError` where there are fewer cores than sets.
    """
    if allowed is None:
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
        if count == 1 or not allowed:
            return (frozenset(),) * count
    size = len(allowed) // count
    if not size:
        raise ValueError(f"{count} sets of {len(allowed)} cores")
    inside: list[frozenset[int]] = []
    rest: list[int] = []
    for node in _nodes(allowed, system):
        ordered = _siblings_together(node, system)
        whole = len(ordered) // size * size
        inside += _pieces(ordered[:whole], size)
        rest += ordered[whole:]
    if len(inside) < count:
        return (*inside, *_pieces(rest, size))[:count]
    # Spread evenly: where cores are to spare, two sets share a core's hyperthreads, or a node, only when they must.
    return tuple(inside[place * len(inside) // count] for place in range(count))


def _nodes(allowed: Collection[int], system: Path) -> Iterator[list[int]]:
    """Yield the allowed cores of each NUMA node; where nothing is known of nodes, all in one."""
    left = set(allowed)
    for file in sorted(system.glob("node/node[0-9]*/cpulist")):
        if here := _listed(file) & left:
            yield sorted(here)
            left -= here
    if left:
        yield sorted(left)


def _siblings_together(cores: list[int], system: Path) -> list[int]:
    """Return cores in an order that keeps hyperthreads of one core side by side, those with most of them first."""
    siblings: dict[int, list[int]] = defaultdict(list)
    for core in cores:
        near = _listed(system / f"cpu/cpu{core}/topology/thread_siblings_list") & set(cores)
        siblings[min(near, default=core)].append(core)
    return [core for group in sorted(siblings.values(), key=len, reverse=True) for core in group]


def _pieces(cores: list[int], size: int) -> list[frozenset[int]]:
    return [frozenset(cores[start : start + size]) for start in range(0, len(cores) - size + 1, size)]


def _listed(file: Path) -> set[int]:
    """Return the cores that a file of Linux's lists; none where there is no such file."""
    with suppress(OSError, ValueError):
        return listed(file.read_text().strip())
    return set()


def listed(text: str) -> set[int]:
    """Return the cores of a list as Linux and `taskset` write it, `0-3,8`; raise `ValueError` for any other text."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        cores = range(int(first), int(last if dash else first) + 1)
        if not cores:
            raise ValueError(f"{part!r} names no core")
        found.update(cores)
    return found
