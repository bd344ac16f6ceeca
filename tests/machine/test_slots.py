"""Processes side by side share no core; hyperthreads and NUMA nodes stay whole where the numbers permit it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.machine.slots import listed, slots


def plant(folder: Path, nodes: list[list[list[int]]]) -> set[int]:
    """Write what Linux says of a machine: for each node its cores, for each core its hyperthreads; return all of them.

    Thread numbers stand in lists and ranges, as they do in /sys.
    """
    for number, node in enumerate(nodes):
        place = folder / f"node/node{number}"
        place.mkdir(parents=True)
        threads = sorted(thread for core in node for thread in core)
        (place / "cpulist").write_text(ranges(threads) + "\n")
        for core in node:
            for thread in core:
                topology = folder / f"cpu/cpu{thread}/topology"
                topology.mkdir(parents=True)
                (topology / "thread_siblings_list").write_text(ranges(sorted(core)) + "\n")
    return {thread for node in nodes for core in node for thread in core}


def ranges(numbers: list[int]) -> str:
    """Return `0-3,8` for these numbers."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


# As Linux counts two sockets of four cores with two threads each: the second threads come after all first ones.
TWO_SOCKETS = [[[core, core + 8] for core in range(first, first + 4)] for first in (0, 4)]


def test_two_sockets_are_divided_along_cores_and_nodes(tmp_path: Path) -> None:
    allowed = plant(tmp_path, TWO_SOCKETS)
    whole = [{0, 8, 1, 9, 2, 10, 3, 11}, {4, 12, 5, 13, 6, 14, 7, 15}]
    assert list(map(set, slots(2, allowed, tmp_path))) == whole
    for found in slots(4, allowed, tmp_path):
        assert any(found < node for node in whole)
        assert {(thread + 8) % 16 for thread in found} == found, "both threads of each core"


def test_with_cores_to_spare_no_two_sets_share_one_more_than_they_must(tmp_path: Path) -> None:
    allowed = plant(tmp_path, [[[core, core + 4] for core in range(4)]])
    assert len({thread % 4 for found in slots(5, allowed, tmp_path) for thread in found}) == 4


def test_what_no_node_holds_is_put_together_of_several(tmp_path: Path) -> None:
    allowed = plant(tmp_path, [[[0], [1], [2]], [[3], [4], [5]]])
    assert sorted(map(sorted, slots(3, allowed, tmp_path))) == [[0, 1], [2, 5], [3, 4]]


@given(
    nodes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 2)), min_size=1, max_size=3),
    kept=st.lists(st.booleans(), min_size=30, max_size=30),
    count=st.integers(2, 12),
)
def test_sets_are_of_equal_size_share_nothing_and_leave_nodes_and_cores_whole(
    nodes: list[tuple[int, int]], kept: list[bool], count: int
) -> None:
    numbers = iter(range(100))
    machine = [[[next(numbers) for _ in range(threads)] for _ in range(cores)] for cores, threads in nodes]
    with TemporaryDirectory() as folder:
        everything = plant(Path(folder), machine)
        allowed = {thread for thread in everything if kept[thread]} | {0}
        size = len(allowed) // count
        if not size:
            with pytest.raises(ValueError, match=f"{count} sets of {len(allowed)} cores"):
                slots(count, allowed, Path(folder))
            return
        found = slots(count, allowed, Path(folder))
    assert [len(each) for each in found] == [size] * count
    together = [thread for each in found for thread in each]
    assert len(set(together)) == len(together)
    assert set(together) <= allowed
    homes = [{thread for core in node for thread in core} & allowed for node in machine]
    assert sum(any(each <= home for home in homes) for each in found) == min(
        count, sum(len(home) // size for home in homes)
    )
    cores = [set(core) & allowed for node in machine for core in node]
    if len({len(core) for core in cores if core}) == 1 and size % max(map(len, cores)) == 0:
        assert all(core <= each or not core & each for core in cores for each in found)


def test_one_process_and_a_machine_that_says_nothing_of_itself(tmp_path: Path) -> None:
    assert slots(1) == (frozenset(),), "alone it is not pinned"
    assert sorted(map(sorted, slots(2, {3, 4, 5, 6}, tmp_path))) == [[3, 4], [5, 6]]


@given(st.sets(st.integers(0, 300), min_size=1))
def test_a_list_of_cores_is_read_as_linux_writes_it(cores: set[int]) -> None:
    assert listed(ranges(sorted(cores))) == cores


@pytest.mark.parametrize("text", ["", "7-0", "0,7-5", "1-", "-1", "1--2", "0,", "a"])
def test_a_list_that_names_no_core_or_half_a_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        listed(text)
