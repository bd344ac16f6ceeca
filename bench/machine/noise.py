"""How evenly this machine works: equal pieces of work, timed one after another, and what may have held them up."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import psutil

from bench.machine.fingerprint import cores

QUIET = 0.05
"""The spread up to which a machine counts as quiet: the margin of a quiet CPU (docs/method-judging.md)."""
SECONDS = 1.5
PIECE_SECONDS = 0.01
LEAST_PIECES = 20

_BLOCK = bytes(1 << 18)
_GOVERNORS = Path("/sys/devices/system/cpu")
_CPU_STAT = (Path("/sys/fs/cgroup/cpu.stat"), Path("/sys/fs/cgroup/cpu/cpu.stat"))
"""Where Linux counts how often a container was held back: control groups version 2, version 1."""


@dataclass(frozen=True)
class Noise:
    """The spread of equal pieces of work: their 95th percentile over their median, minus 1; and what disturbed them."""

    spread: float
    pieces: int
    causes: tuple[str, ...]

    @property
    def high(self) -> bool:
        """Return whether timings taken now are not to be trusted."""
        return self.spread > QUIET

    @property
    def sentence(self) -> str:
        """Return what was found and, where it is too much, the remedy."""
        if not self.high:
            return on_spread(self.spread)
        remedy = "; ".join(self.causes) or "no cause was found: run again later, or on another machine"
        return f"{on_spread(self.spread)} Timings are unreliable. Remedy: {remedy}."


@dataclass(frozen=True)
class Usage:
    """Running totals, in seconds but for `throttled`: work of all programs, of this one, time taken by a host."""

    wall: float
    busy: float
    ours: float
    stolen: float
    throttled: int
    """How often a container's limit held it back."""


def on_spread(spread: float) -> str:
    """Return what a spread means: of all probes, the slowest twentieth ran at least so much longer than the median."""
    percent = f"{100 * spread:.0f} %"
    if spread > QUIET:
        return f"Noisy machine: the slowest 5 % of probes ran at least {percent} longer."
    return f"Quiet machine: 95 % of probes ran at most {percent} longer."


def noise(threads: int | None = None, seconds: float = SECONDS) -> Noise:
    """Time equal pieces of work on as many threads as a framework gets, and look at what else the machine does."""
    workers = threads or cores()
    with ThreadPoolExecutor(workers) as pool:

        def piece(blocks: int) -> float:
            start = time.perf_counter()
            list(pool.map(_work, [blocks] * workers))
            return time.perf_counter() - start

        blocks = calibrate(piece)
        before = _usage()
        samples: list[float] = []
        while len(samples) < LEAST_PIECES or sum(samples) < seconds:
            samples.append(piece(blocks))
        after = _usage()
    return Noise(spread(samples), len(samples), tuple(causes(before, after, governor())))


def _work(blocks: int) -> None:
    # Hashing lets other threads run beside it (hashlib releases the interpreter's lock), and no library threads it.
    digest = hashlib.sha256()
    for _ in range(blocks):
        digest.update(_BLOCK)


def calibrate(piece: Callable[[int], float]) -> int:
    """Return how many blocks of work take about `PIECE_SECONDS`."""
    blocks = 1
    while (taken := min(piece(blocks) for _ in range(3))) < PIECE_SECONDS / 4:
        blocks *= 2
    return max(1, round(blocks * PIECE_SECONDS / taken))


def spread(samples: list[float]) -> float:
    """Return by how much the 95th percentile of samples exceeds their median, as a share of it."""
    return quantiles(samples, n=20)[-1] / median(samples) - 1


def causes(before: Usage, after: Usage, governor: str | None) -> Iterator[str]:
    """Yield what may have disturbed the work between two readings, each with its remedy."""
    wall = max(after.wall - before.wall, 1e-9)
    others = (after.busy - before.busy - (after.ours - before.ours)) / wall
    if others > 0.1:
        yield f"other programs kept {others:.1f} CPUs busy: stop them, or wait for them to end"
    if after.throttled > before.throttled:
        yield "the container reached its CPU limit: raise it, or lower --threads"
    stolen = (after.stolen - before.stolen) / wall
    if stolen > 0.02:
        yield f"the host took {100 * stolen:.0f} % of a CPU from this virtual machine: use a dedicated machine"
    if governor not in (None, "performance"):
        yield (
            f"the CPU changes its frequency (governor {governor}): "
            "run `sudo cpupower frequency-set --governor performance`"
        )


def _usage() -> Usage:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    stolen = getattr(times, "steal", 0.0)
    # Time of guests is counted in `user` already (proc_stat(5)).
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    ours = os.times()
    return Usage(time.monotonic(), sum(times) - idle - stolen - guests, ours.user + ours.system, stolen, _throttled())


def _throttled() -> int:
    for path in _CPU_STAT:
        with suppress(OSError):
            for line in path.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "nr_throttled":
                    return int(count)
    return 0


def governor() -> str | None:
    """Return what governs the frequency of the first CPU that does not simply run at full speed; None: not known."""
    found = []
    for path in sorted(_GOVERNORS.glob("cpu[0-9]*/cpufreq/scaling_governor")):
        with suppress(OSError):
            found.append(path.read_text().strip())
    return next((name for name in found if name != "performance"), found[0] if found else None)
