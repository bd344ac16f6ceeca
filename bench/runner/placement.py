"""Which cells go to which worker of a cluster, and what becomes of those whose worker is gone.

Accuracy cells go to any worker with the label of their device. Timed cells that are compared with one another (the
backends, kernels, seeds and repeats of a case) go to one worker, and run while nothing else of the run does on its
machine: a neighbour costs time.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from bench.cases.cell import Cell, Measure, Profile
from bench.runner.estimates import shares_processes
from bench.runner.plan import Obstacle, PlannedCell
from bench.spec import Device

LABELS: dict[Device, str] = {"cpu": "cpu", "cuda": "gpu"}
"""The resource of a Dask worker that lets it take cells of a device; it has one of it, for one cell at a time."""


def labelled(labels: Collection[str]) -> list[Device]:
    """Return the devices whose cells a worker with these resources takes."""
    return [device for device in LABELS if LABELS[device] in labels]


@dataclass(frozen=True, eq=False)
class Node:
    """A worker: its Dask address, name and machine, the devices that it takes, and its environment.

    `outlook` says of each configuration (`Cell.configuration`) why it cannot run there (None: it can), and how many
    seconds it takes.
    """

    address: str
    name: str
    host: str
    devices: frozenset[Device]
    environment: dict[str, Any]
    outlook: Mapping[str, tuple[Obstacle | None, float]]

    def __str__(self) -> str:
        return f"{self.name} on {self.host}" if self.name == self.address else f"{self.name} ({self.address})"

    def can(self, cell: Cell) -> bool:
        """Return whether a cell can run there, by what is known before it is tried."""
        obstacle, _ = self.outlook.get(cell.configuration, (None, 0.0))
        return cell.device in self.devices and obstacle is None


@dataclass(eq=False)
class Errand:
    """Cells that one worker runs at one go: `lost` counts the workers that were lost over it, `tried` all before it.

    `comparison`: what its times are compared with; None where it takes none.
    """

    cells: Sequence[PlannedCell]
    comparison: Hashable = None
    lost: int = 0
    tried: set[str] = field(default_factory=set)

    @property
    def device(self) -> Device:
        """Return the device of its cells."""
        return self.cells[0].cell.device

    def fits(self, node: Node) -> bool:
        """Return whether a worker can run all of it and has not tried it."""
        return node.address not in self.tried and all(node.can(planned.cell) for planned in self.cells)


def errands(
    cells: Iterable[PlannedCell], profile: Profile, measure: Measure, nodes: Iterable[Node] = ()
) -> list[Errand]:
    """Return the errands of `cells`: one each or, where processes may be shared, what shares one.

    A worker lost costs all of its errand, so those stay within a suite, and within a backend where none is timed. All
    of an errand can run on the same of the `nodes`.
    """
    known = list(nodes)
    timed = measure != "accuracy"
    if not shares_processes(profile, measure):
        return [
            Errand([planned], (planned.cell.case_name, planned.cell.device) if timed else None) for planned in cells
        ]

    def by(planned: PlannedCell) -> tuple[Any, ...]:
        cell = planned.cell
        able = tuple(node.can(cell) for node in known)
        return cell.seed, planned.repeat, cell.suite, cell.device, "" if timed else cell.backend, able

    grouped = [list(members) for _, members in groupby(sorted(cells, key=by), by)]
    return [Errand(group, (group[0].cell.suite, group[0].cell.device) if timed else None) for group in grouped]


class Placement:
    """The errands that wait, and those that run; it decides and starts nothing.

    A worker runs one errand at a time: as many are in flight as there are workers, since one that Dask has assigned
    beyond that would wait for its worker while others idle.
    """

    def __init__(self, waiting: Iterable[Errand], nodes: dict[str, Node]) -> None:
        self.nodes = nodes
        self.running: dict[str, Errand] = {}
        self._busy = Counter[str]()
        self._waiting: dict[Device, deque[Errand]] = defaultdict(deque)
        for errand in waiting:
            self._waiting[errand.device].append(errand)
        self._homes: dict[Hashable, list[str]] = defaultdict(list)

    def __bool__(self) -> bool:
        return bool(self.running) or any(self._waiting.values())

    def waiting(self) -> Iterator[Errand]:
        """Yield what waits."""
        for errands_of in self._waiting.values():
            yield from errands_of

    def start(self) -> tuple[Node, Errand] | None:
        """Take an errand that may run now, with its worker; None where none may."""
        for node in self.nodes.values():
            if node.address not in self.running and (errand := self._next(node)):
                self._waiting[errand.device].remove(errand)
                self.running[node.address] = errand
                self._busy[node.host] += 1
                if errand.comparison and node.address not in self._homes[errand.comparison]:
                    self._homes[errand.comparison].append(node.address)
                return node, errand
        return None

    def ended(self, address: str) -> Errand:
        """Take what ran at a worker away from it."""
        self._busy[self.nodes[address].host] -= 1
        return self.running.pop(address)

    def wait(self, errand: Errand) -> None:
        """Let an errand wait once more, as the next one."""
        self._waiting[errand.device].appendleft(errand)
        self._let_retry()

    def lost(self, address: str) -> Errand | None:
        """Forget a worker that is gone; return what it ran."""
        errand = self.ended(address) if address in self.running else None
        self.nodes.pop(address, None)
        self._let_retry()
        return errand

    def fits(self, errand: Errand) -> bool:
        """Return whether a worker that has not tried an errand can run it."""
        return any(errand.fits(node) for node in self.nodes.values())

    def stranded(self) -> bool:
        """Return whether nothing runs, and what waits fits no worker that is there."""
        return not self.running and not any(map(self.fits, self.waiting()))

    def _let_retry(self) -> None:
        """Let workers that have tried what waits try it again where no other one is left."""
        for errand in self.waiting():
            if errand.tried and not self.fits(errand):
                errand.tried.clear()

    def _next(self, node: Node) -> Errand | None:
        """Return what a worker is to run: first of comparisons that are at home there, then what comes first."""
        neighbours = self._busy[node.host] > 0
        found = None
        for device in sorted(node.devices):
            for errand in self._waiting[device]:
                if (errand.comparison and neighbours) or not errand.fits(node):
                    continue
                if errand.comparison is None:
                    return errand
                home = self._home(errand)
                if home == node.address:
                    return errand
                if home is None and found is None and self._is_fit_home(node, errand):
                    found = errand
        return found

    def _home(self, errand: Errand) -> str | None:
        """Return the worker that an errand's comparison is measured on; None where it has none that can run it."""
        homes = self._homes.get(errand.comparison, ())
        return next((home for home in homes if home in self.nodes and errand.fits(self.nodes[home])), None)

    def _is_fit_home(self, node: Node, errand: Errand) -> bool:
        """Return whether a worker can run all that waits of a comparison, or none can."""
        rest = [other for other in self._waiting[errand.device] if other.comparison == errand.comparison]

        def can(other: Node) -> bool:
            return all(each.fits(other) for each in rest)

        return can(node) or not any(map(can, self.nodes.values()))
