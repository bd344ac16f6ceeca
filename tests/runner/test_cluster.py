"""Cells on a Dask cluster, whose scheduler and workers are processes here: what ends there is what ends here."""

from __future__ import annotations

import re

import pytest

from bench.records.record import Record
from bench.records.store import Store
from tests.conftest import Bench
from tests.runner.dask_cluster import Cluster, kill_workers, until

pytest.importorskip("distributed", reason="cells on several machines; pip install 'twinbench[dask]'")


def records_of(bench: Bench, run: str) -> dict[str, Record]:
    with Store(bench.store) as store:
        return {str(record.cell): record for record in store.records(run)}


def test_cells_end_on_a_cluster_as_they_do_here_and_workers_that_do_not_fit_are_refused_by_name(
    fake_bench: Bench,
) -> None:
    patterns = [*(f"fake/{case}@fake#0" for case in ("fine", "raises", "diverges")), "fake/own-file@fake"]
    patterns += ["fake/gpu@fake,*,cuda#0"]
    other = fake_bench.folder / "other"
    other.mkdir()
    (other / "reviews.csv").write_text((fake_bench.folder / "reviews.csv").read_text().replace("good", "fair"))
    with Cluster(fake_bench) as cluster:
        cluster.worker()
        cluster.worker(BENCH_DATA_DIR=str(other))
        stranger = cluster.worker(FAKE_CODE="0123456789abcdef")
        cluster.ready(3)
        there = fake_bench(*patterns, "--seeds", "2", "--name", "there", "--scheduler", cluster.address)
        assert there.returncode == 3, there.stderr
        refused = re.findall(r"worker (\S+) .*takes no cells: .*code 01234567", there.stderr)
        assert len(refused) == 1
        assert stranger.poll() is None, "it may be another run's"
    assert fake_bench(*patterns, "--seeds", "2", "--name", "here").returncode == 3
    here, there_records = records_of(fake_bench, "here"), records_of(fake_bench, "there")
    assert here.keys() == there_records.keys()
    for cell, record in here.items():
        found = there_records[cell]
        assert (found.status, found.parameters) == (record.status, record.parameters), cell
        if record.status != "unavailable":
            assert found.reason == record.reason
        if record.metrics:
            assert found.metrics is not None
            assert [epoch.loss for epoch in found.metrics.epochs] == [epoch.loss for epoch in record.metrics.epochs]
            assert found.metrics.last == record.metrics.last
    used = {record.data.sha256 for cell, record in there_records.items() if "own-file" in cell and record.data}
    assert len(used) == 1, "a worker with other data measures nothing"
    assert "label gpu=1" in str(there_records["fake/gpu@fake,none,cuda,documented#0"].reason)


def test_workers_killed_in_mid_cell_lose_nothing_and_leave_nothing_behind(fake_bench: Bench) -> None:
    found = kill_workers(fake_bench, kills=2, workers=2, seed=0)
    assert found.kills >= 1
    assert (found.lost, found.twice, found.orphans) == (0, 0, 0)
    assert found.statuses == {"ok": found.cells}
    assert 0 < found.again <= found.kills


def test_a_run_whose_scheduler_is_killed_ends_as_interrupted_and_is_gone_on_with(fake_bench: Bench) -> None:
    with Cluster(fake_bench) as cluster:
        cluster.worker(FAKE_HELD="30")
        cluster.ready(1)
        run = fake_bench.start("fake/fine@fake", "fake/slow-0@fake", "--name", "r", "--scheduler", cluster.address)
        until(lambda: len(fake_bench.trainings()) == 2, "the second cell begins")
        cluster.scheduler.kill()
        output, _ = run.communicate()
        assert run.returncode == 130, output
        assert cluster.address in output
        assert fake_bench.statuses("r") == {"fine": "ok", "slow-0": "interrupted"}
    assert fake_bench("--resume", "r", "--cluster", "local:1").returncode == 0
    assert fake_bench.statuses("r") == {"fine": "ok", "slow-0": "ok"}
    assert [training.words for training in fake_bench.trainings()] == [30, 30, 30], "none twice but what was cut short"
