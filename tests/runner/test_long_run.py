"""What a run keeps, reads and asks does not grow with its cells where it need not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bench.backends import registry
from bench.backends.registry import BackendInfo
from bench.cases.catalog import Catalog
from bench.cases.cell import Cell
from bench.machine import guardian
from bench.records import store as records_store
from bench.records.record import DataUsed, Record
from bench.records.store import Store
from bench.runner import run, workers
from bench.runner.options import RunOptions
from bench.runner.plan import PlannedCell, TimeLeft, plan
from tests.making import ENVIRONMENT, case, make_record, suite

SEEDS = 40
CATALOG = Catalog({"demo": suite(case("a"), case("b"))})


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunOptions]:
    """Return the options of a run of every case, by a backend that needs nothing."""
    monkeypatch.setattr("bench.runner.plan.stand_ins_for", lambda *_: None)  # the data of these cases is not there
    monkeypatch.setitem(registry.BACKENDS, "nothing", BackendInfo("nothing", "nowhere", (), "nothing"))
    registry.backends.cache_clear()
    yield RunOptions(
        profile="documented", backends=("nothing",), seeds=SEEDS, measure="accuracy", threads=1, memory=1.0
    )
    registry.backends.cache_clear()


def record_of(planned: PlannedCell, **changes: Any) -> Record:
    return structs.replace(make_record(str(planned.cell), test=0.8, measure="accuracy"), **changes)


def test_a_run_keeps_no_record_that_is_stored(
    options: RunOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cells = plan(CATALOG, options)
    made = [record_of(planned) for planned in cells]
    holders: set[int] = set()

    def worked(*_: Any) -> Iterator[Record]:
        yield from made
        holders.update(map(sys.getrefcount, islice(made, len(made) - 1)))

    monkeypatch.setattr(workers, "run", worked)
    seen: list[Cell] = []
    ended = run.run_cells(cells, options, tmp_path / "s", ["bench"], on_record=lambda record: seen.append(record.cell))
    nobody_else = [make_record(str(cells[0].cell))]
    assert holders == set(map(sys.getrefcount, nobody_else))
    assert seen == [planned.cell for planned in cells]
    assert (ended.statuses, ended.begun, ended.planned) == ({"ok": 2 * SEEDS}, 2 * SEEDS, 2 * SEEDS)


def test_a_configuration_is_looked_at_once_whatever_its_seeds_and_repeats(options: RunOptions) -> None:
    asked: list[Cell] = []
    cells = plan(CATALOG, replace(options, repeats=3), lambda cell: asked.append(cell) or 5.0)
    assert len(cells) == 2 * 3 * SEEDS
    assert {planned.estimate for planned in cells} == {5.0}
    assert [cell.configuration for cell in asked] == list(dict.fromkeys(each.cell.configuration for each in cells))


def test_the_time_left_is_added_up_by_configurations(options: RunOptions) -> None:
    asked: list[str] = []

    class Counting(TimeLeft):
        def expected(self, configuration: str, estimate: float) -> float:
            asked.append(configuration)
            return super().expected(configuration, estimate)

    cells = plan(CATALOG, options, lambda _: 5.0)
    left = Counting(cells)
    for planned in cells[: SEEDS // 2]:
        left.ended(record_of(planned, seconds=10.0))
    assert left.seconds() == pytest.approx(10.0 * (2 * SEEDS - SEEDS // 2))
    assert len(asked) == 2


def test_resuming_decodes_no_record_and_describes_each_case_once(
    options: RunOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cells, path = plan(CATALOG, options), tmp_path / "s"
    definitions = {name: run.definition(*CATALOG.case(f"demo/{name}")) for name in ("a", "b")}
    data = DataUsed(name="imdb", sha256="as before", rows={})
    with Store(path, create=True) as store:
        stored = store.create_run("r", "documented", ENVIRONMENT, [], {})
        with store.transaction():
            for planned in cells[4:]:
                details = {"case": definitions[planned.cell.case]}
                store.add("r", record_of(planned, data=data, details=details), ENVIRONMENT)
            store.add("r", record_of(cells[0], data=data, details={"case": "another one"}), ENVIRONMENT)
            store.add("r", record_of(cells[1], data=data, status="failed", details=details), ENVIRONMENT)
            store.add("r", record_of(cells[2], data=data, measure="steps", details=details), ENVIRONMENT)
            store.add("r", record_of(cells[3], details=details), ENVIRONMENT)
    monkeypatch.setattr(records_store, "decoded", None)
    described = counted(monkeypatch, run, "definition")
    prepared = counted(monkeypatch, run.Preparer, "sha256", "as before")
    left, already = run.cells_left(path, stored, CATALOG, options)
    assert ([each.cell for each in left], already) == ([each.cell for each in cells[:4]], len(cells) - 4)
    assert (len(described), len(prepared)) == (2, 2)


def counted(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, *answer: Any) -> Sequence[Any]:
    """Note every call of a function, which gives `answer` in place of its own if there is one."""
    calls: list[Any] = []
    function = getattr(where, name)

    def call(*arguments: Any) -> Any:
        calls.append(arguments)
        return answer[0] if answer else function(*arguments)

    monkeypatch.setattr(where, name, call)
    return calls


def test_a_run_loads_neither_pandas_nor_scipy_special() -> None:
    script = "import sys, bench.commands.run; print({'pandas', 'scipy.special'} & {*sys.modules})"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.strip()) == (0, "set()")


def test_a_guardian_loads_little_of_python() -> None:
    folder = str(Path(guardian.__file__).parent)
    script = f"import sys; sys.path.append({folder!r}); import guardian; print(HEAVY & {{*sys.modules}})"
    script = f"HEAVY = {{'signal', 'enum', 're', 'contextlib', 'collections', 'typing'}}; {script}"
    ended = subprocess.run([sys.executable, "-IS", "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.strip()) == (0, "set()")
