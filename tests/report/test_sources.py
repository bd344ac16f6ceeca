"""Reasons are read from the headings of `deviations.md`, and link to them as GitHub names them."""

from __future__ import annotations

from pathlib import Path

from bench.report.sources import reasons


def test_headings_that_name_a_case_give_its_reason_and_anchor(tmp_path: Path) -> None:
    (tmp_path / "deviations.md").write_text(
        "# Why\n\n## suite-a/case_1: One reason, with `code` (and more).\n\ntext\n\n## Times\n\n## no-case: here\n"
    )
    expected = "deviations.md#suite-acase_1-one-reason-with-code-and-more"
    assert reasons(tmp_path) == {"suite-a/case_1": ("One reason, with `code` (and more)", expected)}


def test_no_file_means_no_reasons(tmp_path: Path) -> None:
    assert reasons(tmp_path) == {}
