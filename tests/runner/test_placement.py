"""Which worker takes which cell, in clusters drawn at random: workers end, die and join in any order."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import product

import pytest

from bench.cases.cell import Cell, Measure
from bench.runner.placement import Errand, Node, Placement, errands
from bench.runner.plan import Obstacle, PlannedCell
from bench.spec import Device

CASES, BACKENDS, SEEDS = ("a", "b", "c"), ("keras", "torch"), range(3)


def planned(case: str, backend: str, seed: int, device: Device = "cpu") -> PlannedCell:
    return PlannedCell(Cell("s", case, backend, "none", device, "documented", seed), 0, frozenset(), None, 1.0)


def cells(device: Device = "cpu") -> list[PlannedCell]:
    return [planned(case, backend, seed, device) for seed, case, backend in product(SEEDS, CASES, BACKENDS)]


def node(name: str, host: str, device: Device = "cpu", lacks: str = "") -> Node:
    outlook = {each.cell.configuration: (None, 1.0) for each in cells(device)}
    missing = {name: (Obstacle("not installed", "backend"), 0.0) for name in outlook if lacks and f"@{lacks}," in name}
    return Node(name, name, host, frozenset({device}), {}, {**outlook, **missing})


class Run:
    """Plays a run: `ran` are its cells by worker, each as it ended."""

    def __init__(self, measure: Measure, nodes: list[Node], seed: int, wanted: list[PlannedCell]) -> None:
        known = {each.address: each for each in nodes}
        self.place = Placement(errands(wanted, "documented", measure, nodes), known)
        self.hosts = {each.address: each.host for each in nodes}
        self.chance, self.ran = random.Random(seed), defaultdict[str, list[Cell]](list)
        self.timed = measure != "accuracy"

    def step(self) -> None:
        while self.place.start():
            self.check()
        address = self.chance.choice(sorted(self.place.running))
        self.ran[address] += [each.cell for each in self.place.ended(address).cells]

    def check(self) -> None:
        for address, errand in self.place.running.items():
            others = [other for other in self.place.running if self.hosts[other] == self.hosts[address]]
            assert others == [address] or not self.timed, "a neighbour while something is timed"
            assert all(self.place.nodes[address].can(each.cell) for each in errand.cells)

    def to_the_end(self) -> None:
        while self.place:
            self.step()


@pytest.mark.parametrize("seed", range(10))
def test_times_that_are_compared_are_taken_on_one_worker_with_nothing_beside_them(seed: int) -> None:
    nodes = [node("1", "x"), node("2", "x"), node("3", "y"), node("4", "z", lacks="keras")]
    run = Run("all", nodes, seed, cells())
    run.to_the_end()
    assert sorted(cell for ran in run.ran.values() for cell in ran) == sorted(each.cell for each in cells())
    where = {case: {address for address, ran in run.ran.items() for cell in ran if cell.case == case} for case in CASES}
    assert all(len(workers) == 1 for workers in where.values()), where
    assert "4" not in run.ran, "it can run half of each comparison only"


@pytest.mark.parametrize("seed", range(10))
def test_what_a_dead_worker_leaves_of_a_comparison_goes_to_one_other(seed: int) -> None:
    run = Run("timing", [node("1", "x"), node("2", "y"), node("3", "z")], seed, cells())
    for _ in range(5):
        run.step()
    while run.place.start():
        pass
    dead = run.chance.choice(sorted(run.place.running))
    before = set(run.ran[dead])
    lost = run.place.lost(dead)
    assert lost is not None
    run.place.wait(lost)
    run.to_the_end()
    assert set(run.ran[dead]) == before
    assert sorted(cell for ran in run.ran.values() for cell in ran) == sorted(each.cell for each in cells())
    for case in CASES:
        assert len({address for address, ran in run.ran.items() if address != dead for c in ran if c.case == case}) <= 1


def test_accuracies_go_to_every_worker_with_the_label_as_many_at_once_as_there_are() -> None:
    nodes = [node("1", "x"), node("2", "x"), node("gpu", "x", "cuda"), node("torch", "y", lacks="keras")]
    run = Run("accuracy", nodes, 0, [*cells(), planned("a", "torch", 0, "cuda")])
    while run.place.start():
        run.check()
    assert set(run.place.running) == {"1", "2", "gpu", "torch"}
    run.to_the_end()
    assert [cell.device for cell in run.ran["gpu"]] == ["cuda"]
    assert not nodes[2].can(planned("a", "torch", 0).cell)
    assert {cell.backend for cell in run.ran["torch"]} == {"torch"}
    assert all(cell.device == "cpu" for address, ran in run.ran.items() if address != "gpu" for cell in ran)


def test_where_processes_are_shared_an_errand_is_a_suite_on_workers_that_can_run_all_of_it() -> None:
    nodes = [node("1", "x"), node("2", "y", lacks="keras")]
    glance = errands(cells(), "quick", "glance", nodes)
    assert len(glance) == 2 * len(SEEDS), "what only one worker can run is apart"
    assert {errand.comparison for errand in glance} == {("s", "cpu")}
    accuracy = errands(cells(), "quick", "accuracy", nodes)
    assert all(len({each.cell.backend for each in errand.cells}) == 1 for errand in accuracy)
    assert sum(len(errand.cells) for errand in accuracy) == len(cells())


def test_what_no_worker_can_run_is_stranded_until_one_comes() -> None:
    place = Placement([Errand([planned("a", "keras", 0)])], {})
    assert place.stranded()
    assert place.start() is None
    place.nodes["2"] = node("2", "y", lacks="keras")
    assert place.stranded()
    place.nodes["1"] = node("1", "x")
    assert not place.stranded()
    started = place.start()
    assert started is not None
    assert started[0].address == "1"


def test_what_all_workers_that_are_left_have_tried_may_go_to_them_again() -> None:
    errand = Errand([planned("a", "torch", 0)], tried={"1"})
    place = Placement([errand], {"1": node("1", "x"), "2": node("2", "y")})
    started = place.start()
    assert started is not None
    assert started[0].address == "2"
    place.wait(place.ended("2"))
    errand.tried.add("2")
    place.nodes["3"] = node("3", "z")
    assert errand.tried == {"1", "2"}, "elsewhere first"
    place.lost("3")
    assert not place.stranded()
    again = place.start()
    assert again is not None
    errand.tried.update("12")
    place.wait(place.ended(again[0].address))
    assert place.start() is not None
