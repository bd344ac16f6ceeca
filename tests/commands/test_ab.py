"""`bench ab` from sides whose times are made up: what is measured, in which order, and what the verdicts are."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec import structs

from bench.cases.catalog import load
from bench.compare.noise_floor import known_noise
from bench.records.record import Record
from bench.records.store import Store
from bench.report.results import Results
from bench.report.sources import from_run, gather
from bench.report.topics import accuracy, gaps
from bench.runner.progress import duration
from bench.runner.protocol import PROTOCOL
from tests.conftest import ROOT, call
from tests.records.test_store import make_record
from tests.runner.synthetic_side import CELLS, make

CELL, OTHER = CELLS


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    def verdicts(self, cell: str = CELL) -> dict[str, str]:
        return {one["quantity"]: one["verdict"] for one in self.document["verdicts"] if one["cell"] == cell}


class Comparison:
    """Runs `bench ab` in a folder of its own between a base and a candidate."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.store = folder / "store.sqlite"

    def arguments(self, *arguments: str) -> list[str]:
        sides = [f"--{name}={self.folder / name / 'python'}" for name in ("base", "candidate")]
        return ["ab", "--store", str(self.store), "--threads", "1", *sides, *arguments]

    def __call__(self, *arguments: str, sides: bool = True) -> Ended:
        words = self.arguments(*arguments) if sides else ["ab", "--store", str(self.store), *arguments]
        return Ended(call(*words), *self._capsys.readouterr())

    def sides(self, base: dict[str, Any] | None = None, candidate: dict[str, Any] | None = None) -> None:
        make(self.folder / "base", **(base or {}))
        make(self.folder / "candidate", **{"torch": "2.13.0", **(candidate or {})})

    def log(self, *measures: str) -> list[tuple[str, str, int]]:
        """Return side, case and repeat of every timed process that was begun, in full or briefly."""
        lines = [line.split() for line in (self.folder / "log").read_text().splitlines()]
        wanted = measures or ("timing", "brief")
        return [(side, cell.split("@")[0], int(repeat)) for side, what, cell, repeat in lines if what in wanted]


@pytest.fixture
def comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Comparison:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.chdir(tmp_path)
    return Comparison(tmp_path, capsys)


def test_a_slower_candidate_has_regressed_in_time_and_in_nothing_else(comparison: Comparison) -> None:
    comparison.sides(candidate={"step": 0.112})
    ended = comparison(CELL, "--json", "--name", "c")
    assert ended.code == 1
    assert ended.verdicts() == {
        "step": "regressed",
        "epoch": "regressed",
        "host_memory": "same",
        "accuracy": "same",
        "loss": "same",
        "parameters": "same",
    }
    (step,) = [one for one in ended.document["verdicts"] if one["quantity"] == "step"]
    assert (step["n"], step["planned"]) == (12, 12)
    assert "torch 2.12.0 → 2.13.0" in ended.err
    with Store(comparison.store) as store:
        assert [run.name for run in store.runs()] == ["c-base", "c-candidate"]
        assert [run.environment["packages"]["torch"] for run in store.runs()] == ["2.12.0", "2.13.0"]
        records = list(store.records("c-candidate"))
    assert {record.details["side"] for record in records} == {"candidate"}
    assert sorted(record.repeat for record in records if record.measure == "timing") == list(range(1, 13))
    assert sorted(record.seed for record in records if record.measure == "accuracy") == list(range(5))
    assert len(comparison.log()) == 24  # nothing was inconclusive, so nothing was measured twice


def test_sides_of_a_pair_are_measured_one_after_the_other_in_alternating_order(comparison: Comparison) -> None:
    comparison.sides()
    assert comparison(CELL, OTHER, "--measure", "timing", "--repeats", "5").code == 0
    log = comparison.log()
    assert len(log) == 2 * 2 * 5
    first = {}
    for one, other in zip(log[::2], log[1::2], strict=True):
        assert one[1:] == other[1:]
        assert {one[0], other[0]} == {"base", "candidate"}
        first[one[1:]] = one[0]
    for case in {case for case, _ in first}:
        begins = [first[case, repeat] for repeat in range(1, 6)]
        assert all(one != other for one, other in itertools.pairwise(begins))
    # The first pair of each cell is measured in full.
    assert {repeat for _, _, repeat in comparison.log("timing")} == {1}
    assert {repeat for _, _, repeat in comparison.log("brief")} == set(range(2, 6))


def test_an_older_base_is_spoken_to_in_its_own_protocol_and_both_sides_are_measured_alike(
    comparison: Comparison,
) -> None:
    comparison.sides({"protocol": 2, "schema": 1}, {"step": 0.112})
    ended = comparison(CELL, "--json", "--out", "reports")
    assert ended.code == 1
    # Version 1 had the peak of the whole process under that name, and no steps timed for themselves.
    assert ended.verdicts() == {
        "step": "not judged",
        "epoch": "regressed",
        "host_memory": "not judged",
        "accuracy": "same",
        "loss": "same",
        "parameters": "same",
    }
    lacking = [one["reason"] for one in ended.document["verdicts"] if one["verdict"] == "not judged"]
    assert lacking == ["the base has no such figure"] * 2
    assert comparison.log("brief") == []
    assert len(comparison.log("timing")) == 24
    said = "the base speaks worker protocol 2, which knows no brief processes: every pair is measured in full"
    assert said in ended.err
    assert said in (comparison.folder / "reports" / "compare.md").read_text()
    with Store(comparison.store) as store:
        (before, after) = (next(store.records(run.name)) for run in store.runs())
    assert (before.memory or {}).keys() == {"process_peak_bytes"}
    assert (after.memory or {}).keys() == {"host_peak_bytes"}


def test_what_is_inconclusive_is_measured_as_often_again_once(comparison: Comparison) -> None:
    comparison.sides({"noise": 0.12}, {"noise": 0.12})
    ended = comparison(CELL, "--measure", "timing", "--repeats", "8", "--json")
    assert ended.code == 0
    assert "1 of 1 cells are inconclusive and measured again" in ended.err
    assert len(comparison.log()) == 2 * 16
    (step,) = [one for one in ended.document["verdicts"] if one["quantity"] == "step" and one["cell"] == CELL]
    assert (step["verdict"], step["n"]) == ("inconclusive", 16)
    assert step["reason"]


def test_pairs_that_only_another_cell_was_given_are_not_counted_as_missing(comparison: Comparison) -> None:
    noisy = {"noise": 0.12, "noisy": OTHER.split("@")[0]}
    comparison.sides(noisy, noisy)
    ended = comparison(CELL, OTHER, "--measure", "timing", "--repeats", "8", "--json")
    assert "1 of 2 cells are inconclusive and measured again" in ended.err
    steps = {one["cell"]: one for one in ended.document["verdicts"] if one["quantity"] == "step"}
    assert {cell: (step["n"], step["planned"]) for cell, step in steps.items()} == {CELL: (8, 8), OTHER: (16, 16)}


def test_a_comparison_goes_on_where_it_was_killed(comparison: Comparison) -> None:
    comparison.sides()
    (held := comparison.folder / "held").touch()
    words = [sys.executable, "-m", "bench", *comparison.arguments(CELL, "--measure", "timing", "--name", "c")]
    parent = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert parent.stderr
    for line in parent.stderr:
        if line.startswith("[ 7/24]"):
            break
    parent.kill()
    parent.communicate()
    begun = len(comparison.log())
    assert 7 <= begun <= 9
    held.unlink()
    ended = comparison("--resume", "c", "--json", sides=False)
    assert ended.code == 0
    assert ended.verdicts()["step"] == "same"
    # Whole pairs only: of the one that was cut short, both sides again.
    assert len(comparison.log()) - begun in (24 - 6, 24 - 8)
    again = comparison("--resume", "c", "--json", sides=False)
    assert again.document["verdicts"] == ended.document["verdicts"]
    assert comparison("--resume", "c", "--profile", "documented", sides=False).code == 2
    assert comparison("--resume", "d", sides=False).code == 2


def test_a_comparison_waits_for_another_process_that_times(
    comparison: Comparison, timing_elsewhere: subprocess.Popen[str]
) -> None:
    comparison.sides()
    ended = comparison(CELL, "--measure", "timing", "--repeats", "1", "--json")
    assert f"waiting for process {timing_elsewhere.pid} on" in ended.err
    assert len(comparison.log()) == 2


def test_a_side_that_has_changed_is_not_gone_on_with(comparison: Comparison) -> None:
    comparison.sides()
    assert comparison(CELL, "--measure", "accuracy", "--name", "c").code == 0
    program = comparison.folder / "candidate" / "python"
    program.write_text(program.read_text().replace("2.13.0", "2.14.0"))
    ended = comparison("--resume", "c", "--seeds", "6", sides=False)
    assert ended.code == 4
    assert "the candidate has changed since run 'c-candidate' began: torch 2.13.0 → 2.14.0; set it back" in ended.err


def test_a_cell_that_breaks_on_one_side_is_no_success_and_not_measured_on(comparison: Comparison) -> None:
    comparison.sides(candidate={"breaks": "lstm"})
    ended = comparison(CELL, OTHER, "--measure", "timing", "--repeats", "8", "--json")
    assert ended.code == 3
    assert ended.verdicts()[""] == "failed"
    (broken,) = [one for one in ended.document["verdicts"] if not one["quantity"]]
    assert broken["reason"] == "candidate: failed: the process ended with exit code 1 before it had a result"
    assert ended.verdicts(OTHER)["step"] == "same"
    assert sum(case == "imdb-rnn/lstm" for _, case, _ in comparison.log()) == 2


def test_a_cell_that_only_one_side_knows(comparison: Comparison) -> None:
    comparison.sides({"lacks": "lstm"})
    ended = comparison(CELL, OTHER, "--measure", "accuracy")
    assert ended.code == 0
    assert f"not compared: {CELL}: the base has no such cell" in " ".join(ended.err.split())


def test_a_cell_that_the_candidate_lost_is_no_success(comparison: Comparison) -> None:
    comparison.sides(candidate={"lacks": "lstm"})
    ended = comparison(CELL, OTHER, "--measure", "accuracy")
    assert ended.code == 1
    assert f"failed {CELL} the candidate has no such cell" in " ".join(ended.out.split())


def test_figures_that_must_not_change_are_exact(comparison: Comparison) -> None:
    comparison.sides(candidate={"parameters": 1001, "accuracy": 0.78})
    ended = comparison(CELL, "--measure", "accuracy", "--json")
    assert ended.code == 1
    assert ended.verdicts() == {"accuracy": "regressed", "loss": "same", "parameters": "regressed"}


def test_a_figure_that_is_no_number_is_named(comparison: Comparison) -> None:
    comparison.sides(candidate={"loss": float("nan")})
    ended = comparison(CELL, "--measure", "accuracy")
    assert ended.code == 1
    assert f"failed {CELL} loss:" in " ".join(ended.out.split())
    assert "candidate: loss of imdb-rnn/lstm@torch,generic,cpu,documented#0 is nan" in ended.err


def test_other_data_is_incomparable(comparison: Comparison) -> None:
    comparison.sides(candidate={"data": "e"})
    ended = comparison(CELL, "--measure", "accuracy")
    assert ended.code == 4
    assert "ran on other data than in the base: embedded eeeeeeee, base dddddddd" in ended.err


def test_too_few_pairs_give_no_verdict_and_say_how_many_are_needed(comparison: Comparison) -> None:
    comparison.sides(candidate={"step": 0.2})
    ended = comparison(CELL, "--measure", "timing", "--repeats", "3", "--json")
    assert ended.code == 0
    (step,) = [one for one in ended.document["verdicts"] if one["quantity"] == "step"]
    assert (step["verdict"], step["n"]) == ("not judged", 3)
    assert step["reason"].startswith("3 of 3 pairs: a verdict takes 8 at least")
    name = ended.document["base"].removesuffix("-base")
    assert comparison("--resume", name, "--strict", sides=False).code == 1


def test_reports_are_written_where_they_are_asked_for(comparison: Comparison) -> None:
    comparison.sides(candidate={"parameters": 1001})
    ended = comparison(CELL, "--measure", "accuracy", "--out", "reports", "--name", "c")
    assert ended.code == 1
    assert (comparison.folder / "reports" / "compare.md").read_text().startswith("# c-base → c-candidate")
    assert {path.name for path in (comparison.folder / "reports").iterdir()} >= {"compare.json", "junit.xml"}


def test_noise_is_measured_once_and_then_widens_the_margin(comparison: Comparison) -> None:
    comparison.sides({"noise": 0.08, "step": 0.112}, {"noise": 0.08})
    python = f"--candidate={comparison.folder / 'candidate' / 'python'}"
    noisy = comparison("--noise", python, CELL, OTHER, "--threads", "1", "--repeats", "20", sides=False)
    assert noisy.code == 0
    with Store(comparison.store) as store:
        floor = known_noise(store, store.runs()[0].environment)["step"]
        assert known_noise(store, store.runs()[0].environment | {"threads": 2}) == {}
    assert comparison("--noise", python, CELL, "--threads", "1", "--repeats", "3", sides=False).code == 0
    with Store(comparison.store) as store:
        assert known_noise(store, store.runs()[0].environment)["step"] == floor, "three pairs tell no noise"
    assert f"noise floor of training step: {floor:.2%}" in noisy.err
    assert "no noise floor" not in noisy.err
    assert 0.02 < floor < 0.075
    assert {run for run, _, _ in comparison.log()} == {"candidate"}
    ended = comparison(CELL, "--measure", "timing", "--repeats", "8", "--json")
    (step,) = [one for one in ended.document["verdicts"] if one["quantity"] == "step"]
    assert step["margin"] == pytest.approx(math.log1p(2 * floor))
    assert step["margin"] > 0.05


def test_too_few_pairs_announce_no_noise_floor_and_say_how_many_are_missing(comparison: Comparison) -> None:
    comparison.sides()
    python = f"--candidate={comparison.folder / 'candidate' / 'python'}"
    few = comparison("--noise", python, CELL, "--threads", "1", "--repeats", "8", "--name", "aa", sides=False)
    assert "noise floor of training step:" not in few.err
    assert "32 of 40 pairs are missing" in few.err
    assert "--resume aa --repeats 40" in few.err
    with Store(comparison.store) as store:
        assert known_noise(store, store.runs()[0].environment) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "what to compare with? --base PYTHON"),
        (["--noise", "--base", "python"], "--noise measures the candidate against itself; leave out --base"),
        (["--noise", "--measure", "accuracy"], "--noise is of times and memory; leave out --measure accuracy"),
        (["--base", "nowhere/python"], "--base nowhere/python: there is no such program that can be run"),
        (["--base-path", str(ROOT)], "base and candidate are the same"),
        (["--noise", "imdb-rnn/lstn"], "'imdb-rnn/lstn'; nearest: imdb-rnn/lstm"),
        (["--name", "a", "--resume", "b"], "give one of them"),
    ],
)
def test_wrong_usage_ends_with_2_and_writes_nothing(arguments: list[str], message: str, comparison: Comparison) -> None:
    ended = comparison(*arguments, sides=False)
    assert ended.code == 2
    assert message in ended.err
    assert ended.out == ""
    assert not comparison.store.exists()


def test_a_dry_run_lists_the_representative_cells_and_measures_nothing(comparison: Comparison) -> None:
    ended = comparison("--noise", "--dry-run", sides=False)
    assert ended.code == 0
    *cells, total = ended.out.splitlines()
    assert 1 <= len(cells) <= 6
    assert total.startswith(f"{len(cells)} cells, about ")
    assert not comparison.store.exists()


@pytest.mark.parametrize(("protocol", "seconds"), [(PROTOCOL, 2 * (300 + 4 * 30)), (2, 2 * 5 * 300)])
def test_estimates_tell_full_from_brief_processes(comparison: Comparison, protocol: int, seconds: float) -> None:
    comparison.sides(base={"protocol": protocol})
    record = structs.replace(make_record(seconds=300.0), kernel="generic", measure="timing")
    with Store(comparison.store, create=True) as store:
        store.create_run("r", "quick", {}, [], {})
        store.add("r", record, {})
        store.add("r", structs.replace(record, repeat=1, seconds=30.0, kernel_proof=None), {})
    told = comparison(CELL, "--measure", "timing", "--repeats", "5", "--dry-run").out
    assert told.splitlines()[0] == f"{CELL}  about {duration(seconds)}"


def test_a_report_of_a_side_is_held_against_what_was_compared(comparison: Comparison) -> None:
    """Report a comparison with a cell that was measured twice as often, with and without one of the other's records."""
    noisy = {"noise": 0.12, "noisy": OTHER.split("@")[0]}
    comparison.sides(noisy, noisy)
    assert "1 of 2 cells are inconclusive" in comparison(CELL, OTHER, "--repeats", "8", "--name", "c").err
    with Store(comparison.store) as store:
        run, records = store.run("c-base"), list(store.records("c-base"))
    assert len(records) == 2 * (8 + 5) + 8

    def reported(records: list[Record]) -> Results:
        return gather([from_run(run, records)], load([]).suites, comparison.folder)

    complete = reported(records)
    assert not gaps.frame(complete)
    test = [row for row in accuracy.frame(complete) if row.figure.name == "test"]
    assert [(row.n, row.planned) for row in test] == [(5, 5), (5, 5)]
    (lacking,) = gaps.frame(reported(records[1:]))
    assert (lacking.missing, lacking.planned) == (1, 13)
    trained = [record for record in records if record.measure == "accuracy"]
    assert {row.missing for row in gaps.frame(reported(trained))} == {8}


def test_a_report_of_the_representative_cells_asks_for_no_others(comparison: Comparison) -> None:
    comparison.sides()
    comparison("--measure", "timing", "--repeats", "2", "--name", "c")
    suites = load([]).suites
    with Store(comparison.store) as store:
        results = gather([from_run(store.run("c-base"), store.records("c-base"))], suites, comparison.folder)
    marked = {(suite.name, case.name) for suite in suites.values() for case in suite.cases if case.representative}
    assert {(suite.name, case.name) for suite in results.suites.values() for case in suite.cases} == marked
