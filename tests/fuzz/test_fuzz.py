"""Hostile files end in our own errors; and the fuzzer, whose short form this is, finds what it should."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import pickled
from bench.errors import BenchError
from bench.records import exports
from bench.runner.protocol import InvalidAnswer, read_answer
from tests.conftest import ROOT
from tests.fuzz.hostile import HOSTILE
from tests.fuzz.readers import READERS

SCRIPT = """
import json, os, signal, sys, threading
from pathlib import Path
from tests.fuzz import run
from tests.fuzz.hostile import HOSTILE
from tests.fuzz.readers import READERS, Reader

def planted(do):
    return Reader(lambda path: do() if len(path.read_bytes()) % 3 == 0 else None, "file", lambda: iter([b"good bytes"]))

def hang():
    while True: pass

PLANTED = {"bug": planted(lambda: {}["key"]), "crash": planted(lambda: os.kill(os.getpid(), signal.SIGSEGV)),
           "hang": planted(hang), "memory": planted(lambda: bytes(10**12)), "fine": planted(lambda: None)}
def all_read():  # in this one child
    found = {}
    for name, reader in READERS.items():
        for content in run.islice(run.inputs(reader, 17), 20):
            path = folder / reader.name
            path.write_bytes(content)
            if (said := run.outcome(reader, path)) not in run.FINE: found[f"{name}: {said}"] = content[:300].hex()
    for name in json.loads(sys.argv[1]):
        reader, make = HOSTILE[name]
        path = folder / READERS[reader].name
        path.write_bytes(make())
        if (said := run.outcome(READERS[reader], path)) not in run.FINE: found[name] = said
    return found

folder = Path(sys.argv[2])
found, code = run.in_child(lambda into: os.write(into, json.dumps(all_read()).encode()), run.MEMORY, 60)
run.SECONDS = 1
_, seen = run.fuzz(PLANTED, 1, iter([0]), 20)
print(json.dumps({"found": found, "code": code, "seen": list(seen)}))
"""
QUICK = [name for name in HOSTILE if not any(word in name for word in (" MB", "bomb", "000,000", "2^27", "4,000"))]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what a process with limits finds in every reader, and in readers with planted faults."""
    folder = tmp_path_factory.mktemp("fuzz")
    command = [sys.executable, "-c", SCRIPT, json.dumps(QUICK), str(folder)]
    environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_no_reader_raises_anything_but_our_own_errors(ended: dict[str, Any]) -> None:
    assert ended["code"] == 0
    assert json.loads(ended["found"]) == {}


def test_planted_bugs_crashes_hangs_and_allocations_are_found(ended: dict[str, Any]) -> None:
    found = dict(line.split(": ", 1) for line in ended["seen"])
    assert set(found) == {"bug", "crash", "hang", "memory"}
    assert found["bug"].startswith("KeyError")
    assert (found["crash"], found["hang"]) == ("the process ended: SIGSEGV", "the process ended: SIGXCPU")
    assert found["memory"].startswith("MemoryError")


PLAIN = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3)
KEYS = st.sampled_from(["a", "cpu", "total"])
JSON = st.recursive(
    PLAIN, lambda part: st.lists(part, max_size=2) | st.dictionaries(KEYS, part, max_size=2), max_leaves=4
)
LINES = [json.loads(content) for name in ("answers", "export") for content in READERS[name].good()]


def places(content: Any) -> list[tuple[Any, ...]]:
    """Return the paths to all values of JSON, from the outermost on."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [(), *((key, *path) for key, value in items for path in places(value))]


@given(place=st.sampled_from([(at, path) for at, line in enumerate(LINES) for path in places(line)]), value=JSON)
def test_any_value_anywhere_in_an_export_or_an_answer_is_read_or_refused(
    place: tuple[int, tuple[Any, ...]], value: Any
) -> None:
    at, path = place
    content = changed = json.loads(json.dumps(LINES[at]))
    for key in path[:-1]:
        changed = changed[key]
    if path:
        changed[path[-1]] = value
    else:
        content = value
    with suppress(InvalidAnswer):
        read_answer(json.dumps(content).encode())
    with suppress(BenchError):
        exports.runs_in(content, Path("run.json"))


@given(
    rows=st.lists(st.lists(st.integers(0, 2**30 - 1), max_size=9) | st.just([1, 300, 70_000] * 400), max_size=4),
    protocol=st.sampled_from([3, 4, 5]),
)
def test_lists_are_decoded_as_pickle_decodes_them(rows: list[list[int]], protocol: int) -> None:
    array = np.empty(len(rows), object)
    array[:] = [list(row) for row in rows]
    found = pickled.lists(pickle.dumps(array, protocol), len(rows))
    assert found.ids.tolist() == list(chain.from_iterable(rows))
    assert np.diff(found.offsets).tolist() == [len(row) for row in rows]


@pytest.mark.parametrize("numbers", [[-1], [2**31], [1.5], ["a"], [True], [[1]], [None], list(repeat(1, 60_000))])
def test_what_is_no_list_of_ranks_is_refused(numbers: list[Any]) -> None:
    array = np.empty(2, object)
    array[:] = [[1, 2], numbers]
    with pytest.raises(ValueError, match="pickle"):
        pickled.lists(pickle.dumps(array, 4), 2)
