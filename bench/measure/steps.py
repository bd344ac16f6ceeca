"""How long a training step and an inference take: what comes once, windows of steps, single inferences.

The rules are those of docs/method-timing.md. An action given here does a number of steps on its device; what
it takes is read from a `Clock`, so that a test can give another one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

from bench.measure.clock import Clock
from bench.records.metrics import Windows


@dataclass(frozen=True)
class Effort:
    """How much is measured: at most `most` samples, no more than `seconds` once there are `least` of them."""

    most: int
    least: int
    seconds: float


STEPS = Effort(most=11, least=3, seconds=6.0)
LATENCY = Effort(most=200, least=10, seconds=3.0)
THROUGHPUT = Effort(most=20, least=3, seconds=1.5)
INPUT = Effort(most=5, least=1, seconds=0.5)
STEADY = Effort(most=3, least=1, seconds=0.5)


@dataclass(frozen=True)
class Efforts:
    """How much of what takes longest a process measures."""

    steps: Effort
    latency: Effort
    throughput: Effort


FULL = Efforts(STEPS, LATENCY, THROUGHPUT)
BRIEF = Efforts(Effort(most=4, least=2, seconds=1.5), Effort(most=50, least=10, seconds=0.5), Effort(10, 3, 0.3))
"""Where many processes measure the same (`bench ab`): they differ by more than what more windows in each would mend."""
GLANCE = Effort(most=3, least=3, seconds=0.0)
"""Where a process takes many cells, which share its minutes (the first command)."""

WINDOW_SECONDS = 0.25
"""What the longer window of a pair takes longer than the shorter one, at least: so much that a jitter of 2.5 ms, which
two virtual cores show in a window, is one per cent."""
LONGEST_SECONDS = 1.0
"""A window of so many seconds is not made longer."""
MOST_STEPS = 4096
"""The most steps of the shorter window, however quick they are."""


@dataclass(frozen=True)
class Cold:
    """The first calls of a process: seconds of the first step, and what all first calls took beyond steady ones."""

    first_step: float
    compile: float


def cold(shapes: Sequence[Callable[[], object]], clock: Clock, effort: Effort = STEADY) -> Cold:
    """Return what comes once; `shapes` do one step on each shape of batch, the full one first, none called before."""
    firsts = [clock.seconds(step) for step in shapes]
    steady = [median(samples(step, clock, effort)) for step in shapes]
    return Cold(firsts[0], max(0.0, sum(firsts) - sum(steady)))


class Timed(NamedTuple):
    """The same windows by the clock and by the CPU time of this process."""

    wall: Windows
    cpu: Windows


def windows(
    train: Callable[[int], object], clock: Clock, effort: Effort = STEPS, wanted: float = WINDOW_SECONDS
) -> Timed:
    """Return pairs of windows of w and 2w steps; `train(n)` does n steps. w is found first, which also warms up.

    The longer window takes `wanted` seconds more than the shorter one, or a second in all.

    The longer window comes first in every other pair, so that a drift of the machine falls on both alike.
    """
    width = 1
    while width < MOST_STEPS:
        short, long = clock.seconds(partial(train, width)), clock.seconds(partial(train, 2 * width))
        # On a busy machine the difference may be anything; a window of a second is long enough whatever it says.
        if long - short >= wanted or long >= LONGEST_SECONDS:
            break
        growth = wanted / (long - short) if long > short else 2.0
        width = min(MOST_STEPS, math.ceil(width * min(8.0, max(2.0, growth))))
    found = Timed([], [])
    taken = 0.0
    for pair in range(effort.most):
        if pair >= effort.least and taken >= effort.seconds:
            break
        for steps in (width, 2 * width) if pair % 2 == 0 else (2 * width, width):
            wall, cpu = clock.both(partial(train, steps))
            found.wall.append((steps, wall))
            found.cpu.append((steps, cpu))
            taken += wall
    return found


def samples(action: Callable[[], object], clock: Clock, effort: Effort) -> list[float]:
    """Return the seconds of single calls of `action`."""
    found: list[float] = []
    while len(found) < effort.most and (len(found) < effort.least or sum(found) < effort.seconds):
        found.append(clock.seconds(action))
    return found
