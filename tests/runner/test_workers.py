"""Whatever a cell does, the run goes on, its record says what happened, and `--resume` does only what is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import psutil
import pytest

from bench.cases.cell import Cell, Measure
from bench.machine.processes import thread_environment
from bench.runner.plan import PlannedCell
from bench.runner.workers import Settings, _groups
from tests.conftest import Bench
from tests.runner.fake_bench import FINE, HANGS, SLOW


def test_each_way_to_fail_has_its_status_and_resume_runs_only_those(fake_bench: Bench) -> None:
    cases = ["hangs", "fine", "allocates", "exits"]
    patterns = [f"fake/{case}@fake" for case in cases]
    ended = fake_bench(*patterns[1:], "--name", "r", "--memory", "0.5")
    assert ended.returncode == 3, ended.stderr
    # Three seconds are not enough for it, whether or not its process has come to the training by then.
    hung = fake_bench("--resume", "r", patterns[0], "--timeout", "3", "--memory", "0.5")
    assert hung.returncode == 3, hung.stderr
    found = fake_bench.records("r")
    statuses = {"hangs": "timeout", "fine": "ok", "allocates": "out-of-memory", "exits": "failed"}
    assert fake_bench.statuses("r") == statuses
    assert found["hangs"].reason == "no result within 3 s (--timeout)"
    assert "more than the 0.5 GB allowed (--memory)" in str(found["allocates"].reason)
    assert found["exits"].reason == "the process ended with exit code 7 before it had a result"
    assert found["exits"].failure is not None
    assert "about to leave" in found["exits"].failure.traceback
    for case, status in statuses.items():
        assert (f"{status}: fake/{case}: ".lower() in hung.stdout.lower()) == (status != "ok")
    assert f"bench run --resume r --store {fake_bench.store}" in hung.stdout

    again = fake_bench("--resume", "r", *patterns, "--timeout", "250", FAKE_MENDED="1")
    assert again.returncode == 0, again.stderr
    assert set(fake_bench.statuses("r").values()) == {"ok"}
    begun = Counter(training.width for training in fake_bench.trainings())
    del begun[HANGS]
    assert sorted(begun.values()) == [1, 2, 2]


def test_a_good_cell_brings_every_part_of_its_record(fake_bench: Bench) -> None:
    assert fake_bench("fake/fine@fake", "--name", "r").returncode == 0
    record = fake_bench.records("r")["fine"]
    assert record.timing is not None
    assert record.timing.alone
    assert (len(record.timing.epochs), record.timing.steps) == (2, 3)
    assert record.seconds > record.timing.total > record.timing.first_epoch + sum(record.timing.epochs)
    assert record.metrics is not None
    assert [epoch.loss for epoch in record.metrics.epochs] == [1, 1 / 2, 1 / 3]
    assert record.metrics.last is not None
    assert record.metrics.last.test is not None
    assert record.data is not None
    assert record.data.rows == {"train": 24, "validation": 8, "test": 8}
    assert record.parameters is not None
    assert record.parameters.total == 30 * 2 + 4 * 2 + 1
    assert record.memory is not None
    assert record.memory["process_peak_bytes"] > 1e7


def test_a_timed_cell_is_measured_in_passes_of_their_own_and_trains_as_ever(fake_bench: Bench) -> None:
    assert fake_bench("fake/fine@fake", "--name", "r", "--measure", "all").returncode == 0
    record = fake_bench.records("r")["fine"]
    assert record.timing is not None
    assert record.metrics is not None
    assert [epoch.loss for epoch in record.metrics.epochs] == [1, 1 / 2, 1 / 3]
    timing = record.timing
    assert timing.windows
    assert [steps for steps, _ in timing.cpu_windows] == [steps for steps, _ in timing.windows]
    assert timing.latency
    assert None not in (timing.first_step, timing.compile, timing.step, timing.input, timing.throughput)
    assert timing.noise == 0.01
    assert record.cost is not None
    assert (record.cost.peak_flops, record.cost.bandwidth) == (2e9, 1e9)
    # Embedding of 4 ids by 2, then 8 x 1: forward, and backward for weights and input, on 8 rows.
    assert record.cost.flops == 3 * 2 * 8 * 8
    assert record.memory is not None
    assert record.memory["process_peak_bytes"] >= record.memory["host_peak_bytes"] > 1e7


@pytest.mark.parametrize(
    ("framework", "use", "threads"),
    [
        ("torch", "import torch; torch.ones(500, 500) @ torch.ones(500, 500)", "torch.get_num_threads()"),
        ("jax", "import jax; jax.numpy.ones((500, 500)).sum().block_until_ready()", "named('XLAEigen')"),
        (
            "tensorflow",
            "import tensorflow as tf; tf.function(lambda a: a @ a)(tf.ones((500, 500)))",
            "named('Compute')",
        ),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted by their names in /proc")
def test_every_framework_gets_the_threads_it_is_given(framework: str, use: str, threads: str) -> None:
    if find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    code = f"""
from pathlib import Path
def named(part): return sum(part in (task / "comm").read_text() for task in Path("/proc/self/task").iterdir())
{use}
print({threads})
"""
    environment = {**os.environ, **thread_environment(1)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split()[-1] == "1"


def test_killed_parent_loses_no_finished_cell_leaves_no_child_and_runs_none_twice(fake_bench: Bench) -> None:
    # The second of these would go on for ten minutes.
    parent = fake_bench.start("fake/fine@fake", "fake/hangs@fake", "fake/slow-0@fake", "--name", "r")
    wait_for((fake_bench.folder / "hanging").exists, parent)
    worker = fake_bench.trainings()[1].process
    assert alive(worker)
    parent.kill()
    parent.communicate()
    wait_for(lambda: not alive(worker))
    assert fake_bench.statuses("r") == {"fine": "ok"}

    assert fake_bench("--resume", "r", FAKE_MENDED="1").returncode == 0
    assert fake_bench.statuses("r") == {"fine": "ok", "hangs": "ok", "slow-0": "ok"}
    begun = Counter(training.width for training in fake_bench.trainings())
    assert begun == {FINE: 1, HANGS: 2, SLOW: 1}


def test_killed_child_costs_its_own_cell_only(fake_bench: Bench) -> None:
    parent = fake_bench.start("fake/slow-*@fake", "--name", "r", FAKE_HELD="30")
    wait_for(lambda: len(fake_bench.trainings()) == 1, parent)
    os.kill(fake_bench.trainings()[0].process, signal.SIGKILL)
    output, _ = parent.communicate()
    assert parent.returncode == 3, output
    assert fake_bench.statuses("r") == {"slow-0": "failed", "slow-1": "ok", "slow-2": "ok"}
    reason = fake_bench.records("r")["slow-0"].reason
    assert reason == "the process was killed by signal 9 (SIGKILL); the system may have run out of memory"
    assert fake_bench("--resume", "r").returncode == 0
    assert set(fake_bench.statuses("r").values()) == {"ok"}
    assert len(fake_bench.trainings()) == 4


def test_interrupt_records_the_running_cell_and_leaves_a_store_to_go_on_from(fake_bench: Bench) -> None:
    parent = fake_bench.start("fake/slow-*@fake", "--name", "r", FAKE_HELD="31")
    wait_for(lambda: len(fake_bench.trainings()) == 2, parent)
    parent.send_signal(signal.SIGINT)
    output, _ = parent.communicate()
    assert parent.returncode == 130, output
    assert fake_bench.statuses("r") == {"slow-0": "ok", "slow-1": "interrupted"}
    assert re.search(r"fake/slow-2\b", output)
    assert f"bench run --resume r --store {fake_bench.store}" in output
    assert fake_bench("--resume", "r").returncode == 0
    assert set(fake_bench.statuses("r").values()) == {"ok"}
    assert len(fake_bench.trainings()) == 4


def test_cells_that_share_a_process_survive_those_that_fail(fake_bench: Bench) -> None:
    cases = ["fine", "dies", "talks", "raises", "diverges", "starves", "loops"]
    ended = fake_bench(*(f"fake/{case}@fake" for case in cases), "--name", "r", profile="quick")
    assert ended.returncode == 3, ended.stderr
    found = fake_bench.records("r")
    assert fake_bench.statuses("r") == {
        "fine": "ok",
        "dies": "failed",
        "talks": "ok",
        "raises": "failed",
        "diverges": "failed",
        "starves": "out-of-memory",
        "loops": "ok",
    }
    assert found["diverges"].reason == "fake/diverges: the loss is not finite in epoch 2, step 3"
    assert found["raises"].reason == "ValueError: the second epoch is too much"
    assert found["raises"].failure is not None
    assert "in train_epoch" in found["raises"].failure.traceback
    assert str(found["starves"].reason).startswith("MemoryError: no room; peak so far: 3.0 GB on the GPU, ")
    assert found["starves"].memory is not None
    assert found["starves"].memory["device_peak_bytes"] == 3e9
    # A process ends where a cell killed it, or where memory ran out.
    processes = Counter(training.process for training in fake_bench.trainings())
    assert list(processes.values()) == [3, 3, 1]
    assert found["fine"].timing is not None
    assert not found["fine"].timing.alone


def planned(case: str, backend: str, seed: int = 0) -> PlannedCell:
    suite, _, name = case.partition("/")
    return PlannedCell(Cell(suite, name, backend, "none", "cpu", "documented", seed), 0, frozenset(), None, 1.0)


def test_backends_that_share_processes_take_turns_where_steps_are_timed() -> None:
    cases = ["one/a", "one/b", "two/c", "three/d"]
    cells = [planned(case, backend) for case in cases for backend in ("keras", "torch")]
    names = [[f"{each.cell.backend} {each.cell.case}" for each in group] for group in groups(cells, "glance")]
    turns = [["keras a", "keras b"], ["torch a", "torch b", "torch c"], ["keras c", "keras d"], ["torch d"]]
    assert names == turns
    assert [len(group) for group in groups(cells, "accuracy")] == [4, 4], "a process each costs the least"
    assert groups(cells, "timing") == [cells], "alone, each in its process"
    again = [planned("one/a", backend, seed) for seed in range(3) for backend in ("keras", "torch")]
    assert [[each.cell.seed for each in group] for group in groups(again, "glance")] == [[0], [0, 1], [1, 2], [2]]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_documented_cells_for_accuracy_are_forked_in_turns_and_no_others() -> None:
    cases = ["one/a", "one/b", "two/c"]
    cells = [planned(case, backend) for case in cases for backend in ("keras-torch", "torch")]
    names = [[f"{each.cell.backend} {each.cell.case}" for each in group] for group in groups(cells, "accuracy", False)]
    assert names == [
        ["keras-torch a", "keras-torch b"], ["torch a", "torch b", "torch c"], ["keras-torch c"],
    ]  # fmt: skip
    documented = Settings("documented", "accuracy", threads=1)
    cell = cells[0].cell
    assert documented.process(cell) == "forked"
    for other in (replace(cell, device="cuda"), replace(cell, backend="unknown")):
        assert documented.process(other) == "own"
    for measure in ("glance", "steps", "timing", "all"):
        assert replace(documented, measure=measure).process(cell) == "own"
        assert groups(cells, measure, False) == [cells], "in their order, each in its process"
    assert replace(documented, forks=False).process(cell) == "own"
    assert replace(documented, profile="quick").process(cell) == "shared"


def groups(cells: list[PlannedCell], measure: Measure, quick: bool = True) -> list[list[PlannedCell]]:
    return list(map(list, _groups(cells, Settings("quick" if quick else "documented", measure, threads=1))))


def test_a_cell_that_runs_another_kernel_than_it_claims_fails_and_keeps_what_was_measured(fake_bench: Bench) -> None:
    assert fake_bench("fake/loops@fake", "fake/fine@fake", "--name", "r", "--measure", "timing").returncode == 3
    found = fake_bench.records("r")
    assert found["loops"].status == "failed"
    assert found["loops"].reason == "kernel claim not met: claimed none, seen generic (while lstm)"
    assert found["loops"].kernels_seen == ["while lstm"]
    assert found["loops"].timing is not None
    assert found["fine"].status == "ok"
    assert found["fine"].kernel_proof is not None
    assert found["fine"].kernel_proof.met
    # Accuracy is no claim about kernels: nothing is traced for it.
    assert fake_bench("fake/loops@fake", "--name", "a").returncode == 0
    assert fake_bench.records("a")["loops"].kernel_proof is None


def test_of_two_parents_of_a_run_one_is_refused(fake_bench: Bench) -> None:
    assert fake_bench("fake/fine@fake", "--name", "r").returncode == 0
    parents = [fake_bench.start("--resume", "r", f"fake/slow-{i}@fake") for i in range(2)]
    assert sorted((parent.communicate(), parent.returncode)[1] for parent in parents) == [0, 2]
    assert fake_bench("--resume", "r", "fake/slow-0@fake", "fake/slow-1@fake").returncode == 0
    assert fake_bench.statuses("r") == {"fine": "ok", "slow-0": "ok", "slow-1": "ok"}
    assert len(fake_bench.trainings()) == 3, "none twice"


def test_resume_runs_again_what_rests_on_other_data(fake_bench: Bench) -> None:
    assert fake_bench("fake/own-file@fake", "--name", "r").returncode == 0
    assert "1 of 1 cell ok" in fake_bench("--resume", "r").stdout
    assert len(fake_bench.trainings()) == 1
    reviews = fake_bench.folder / "reviews.csv"
    reviews.write_text(reviews.read_text().replace("good", "bad"))
    assert fake_bench("--resume", "r").returncode == 0
    assert len(fake_bench.trainings()) == 2


def test_data_that_is_prepared_later_than_a_cell_may_take_is_no_reason_to_run_again(fake_bench: Bench) -> None:
    assert fake_bench("fake/fine@fake", "--name", "r").returncode == 0
    again = fake_bench("--resume", "r", "--timeout", "0.001")
    assert (again.returncode, "1 of 1 cell ok" in again.stdout) == (0, True), again.stderr
    assert len(fake_bench.trainings()) == 1


def test_resume_runs_again_a_case_that_was_changed_since(fake_bench: Bench) -> None:
    assert fake_bench("fake/fine@fake", "--name", "r").returncode == 0
    suite = fake_bench.folder / "suite.py"
    changed = suite.read_text().replace('"adam"', '"rmsprop"')
    assert changed != suite.read_text()
    suite.write_text(changed)
    assert fake_bench("--resume", "r").returncode == 0
    assert fake_bench("--resume", "r").returncode == 0
    assert len(fake_bench.trainings()) == 2, "nothing is left to run"


def wait_for(condition: Callable[[], bool], parent: subprocess.Popen[str] | None = None) -> None:
    while not condition():
        assert parent is None or parent.poll() is None, parent.communicate()[0]
        time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
