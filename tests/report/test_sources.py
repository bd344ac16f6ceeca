"""Reasons are read from the headings of `deviations.md`, and link to them as GitHub names them.

Cells of a run that were measured in several environments are reported apart.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.records.exports import Exported, as_json
from bench.records.store import Run, Store
from bench.report.sources import committed, reasons, stored
from tests.making import ENVIRONMENT, case, make_record, name, suite


def test_headings_that_name_a_case_give_its_reason_and_anchor(tmp_path: Path) -> None:
    (tmp_path / "deviations.md").write_text(
        "# Why\n\n## suite-a/case_1: One reason, with `code` (and more).\n\ntext\n\n## Times\n\n## no-case: here\n"
    )
    expected = "deviations.md#suite-acase_1-one-reason-with-code-and-more"
    assert reasons(tmp_path) == {"suite-a/case_1": ("One reason, with `code` (and more)", expected)}


def test_no_file_means_no_reasons(tmp_path: Path) -> None:
    assert reasons(tmp_path) == {}


def test_no_column_holds_cells_of_two_environments(tmp_path: Path) -> None:
    elsewhere, committed_since = {**ENVIRONMENT, "cpu": "Faster CPU"}, {**ENVIRONMENT, "git": None}
    where = [ENVIRONMENT, elsewhere, committed_since, ENVIRONMENT, elsewhere]
    path = tmp_path / "store.sqlite"
    with Store(path, create=True) as store:
        store.create_run("r", "documented", ENVIRONMENT, [], {"patterns": [], "seeds": 5, "repeats": 1})
        for seed, environment in enumerate(where):
            store.add("r", make_record(name("one", seed=seed), test=0.8), environment)
    reports = stored(path, ["r"], {"demo": suite(case("one"))}, tmp_path)
    seeds = [[record.seed for record in results.records] for results in reports]
    assert [sorted(group) for group in seeds] == [[0, 2, 3], [1, 4]]
    assert [results.sources[0].environment["cpu"] for results in reports] == ["Example CPU", "Faster CPU"]
    with Store(path, create=True) as store:
        store.create_run("s", "documented", ENVIRONMENT, [], {"patterns": [], "seeds": 1, "repeats": 1})
    with pytest.raises(UsageError, match="'r'"):
        stored(path, ["r", "s"], {"demo": suite(case("one"))}, tmp_path)


def test_what_lies_beside_a_report_is_no_part_of_that_of_another_environment(tmp_path: Path) -> None:
    path, folder = tmp_path / "store.sqlite", tmp_path / "reports" / "local"
    folder.mkdir(parents=True)
    (folder / "deviations.md").write_text("## demo/one: a reason\n")
    with Store(path, create=True) as store:
        store.create_run("r", "documented", ENVIRONMENT, [], {"patterns": [], "seeds": 2, "repeats": 1})
        for seed, cpu in enumerate(("Example CPU", "Faster CPU")):
            store.add("r", make_record(name("one", seed=seed), test=0.8), {**ENVIRONMENT, "cpu": cpu})
    reports = stored(path, ["r"], {"demo": suite(case("one"))}, folder)
    assert [len(results.reasons) for results in reports] == [1, 0]


def test_an_exported_run_is_of_the_machine_that_measured_it(tmp_path: Path) -> None:
    options = {"patterns": [], "seeds": 1, "repeats": 1}
    run = Run("r", "documented", "2026-01-01T00:00:00+00:00", [], options, ENVIRONMENT)
    elsewhere = {**ENVIRONMENT, "cpu": "Faster CPU"}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "r.json").write_text(as_json([Exported(run, [(make_record(name("one")), elsewhere)])]))
    assert committed(tmp_path, {"demo": suite(case("one"))}).sources[0].environment["cpu"] == "Faster CPU"
