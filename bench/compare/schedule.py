"""Measures two sides in alternation: pair by pair, both sides of a pair one right after the other.

What drifts (heat, neighbours, caches) then touches both sides of a pair alike, and the order within a pair changes
from repeat to repeat, A B, B A, A B, so that whoever comes first gains nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from bench.compare.installations import Side, SideName
from bench.records.record import Record
from bench.runner.plan import PlannedCell
from bench.runner.workers import Limits, Observer, Settings, run

ORDERS: tuple[tuple[SideName, SideName], ...] = (("base", "candidate"), ("candidate", "base"))


@dataclass(frozen=True)
class Pair:
    """One repeat of a cell on both sides, in this order."""

    planned: PlannedCell
    order: tuple[SideName, SideName]


def schedule(cells: Sequence[PlannedCell], repeats: Iterable[int], seed: str) -> list[Pair]:
    """Return the pairs of `cells` in the order in which they are measured: a block holds one pair of every cell.

    Within a block the cells are shuffled; a cell's order A B or B A is drawn once, then alternates from block to block.
    Everything depends on `seed`, cell and repeat alone: a part of the cells, or later repeats, keep their orders.
    """
    pairs = []
    for repeat in repeats:
        block = list(cells)
        Random(f"{seed} block {repeat}").shuffle(block)
        for planned in block:
            first = Random(f"{seed} {planned.cell}").randrange(2)
            pairs.append(Pair(replace(planned, repeat=repeat), ORDERS[(first + repeat) % 2]))
    return pairs


def is_brief(repeat: int, sides: Iterable[Side]) -> bool:
    """Return whether a pair is brief: the first of a cell is not, the others are where both sides can be."""
    return repeat > 1 and all(side.brief for side in sides)


def measure(
    pairs: Sequence[Pair],
    sides: Mapping[SideName, Side],
    settings: Settings,
    limits: Limits,
    observer: Observer,
    interrupted: threading.Event,
) -> Iterator[tuple[SideName, Record]]:
    """Measure `pairs` and yield every record as it ends, each from a process that measured nothing else.

    The first pair of a cell is measured in full, with the proof of its kernel, the others are brief where both sides
    can be. A cell that does not end `ok` on either side is measured no further. Once `interrupted` is set, the running
    cell ends `interrupted` and nothing more starts.
    """
    broken = set()
    for pair in pairs:
        if pair.planned.cell in broken:
            continue
        effort = replace(settings, brief=is_brief(pair.planned.repeat, sides.values()))
        for name in pair.order:
            side = sides[name]
            known = side.worker, side.protocol, side.introduction.code
            for record in run([pair.planned], effort, limits, observer, interrupted, *known):
                if record.status != "ok":
                    broken.add(pair.planned.cell)
                yield name, record
        if interrupted.is_set():
            return
