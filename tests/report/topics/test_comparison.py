"""A comparison as files: every reader finds what it needs, whatever names and reasons hold."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.compare.verdicts import Comparison, Policy, Verdict
from bench.report.topics import comparison as page

CELL = "imdb-rnn/lstm@torch,fused,cpu,documented"
SLOWER = Verdict(
    CELL, "step", "regressed", math.log(1.1), math.log(1.08), math.log(1.12), 12, 12, 0.01, 0.011, math.log(1.05)
)
LOWER = Verdict(CELL, "accuracy", "not worse", -0.001, -0.004, 0.002, 5, 6, 0.8, 0.799, 0.005)
OPEN = Verdict("s/gru@torch,fused,cpu,documented", "latency", "inconclusive", needed=31, reason="31 pairs would do")
GONE = Verdict("s/cnn@torch,none,cpu,documented", "", "failed", reason="missing in the candidate")
MORE = Verdict("s/rnn@torch,none,cpu,documented", "throughput", "same", 0.0, -0.01, 0.01, 12, 12, 100.0, 100.0, 0.05)


def comparison(*found: Verdict, paired: bool = True, **changes: object) -> Comparison:
    return Comparison("before", "after", paired, Policy(), found, **changes)  # type: ignore[arg-type]


ALL = comparison(MORE, LOWER, OPEN, GONE, SLOWER, changed=("torch 2.12 → 2.13",), caveats=("No proof.",))


def test_every_file_is_written(tmp_path: Path) -> None:
    names = [path.name for path in page.write(ALL, tmp_path / "new")]
    others = ["compare.json", "junit.xml", "smaller-is-better.json", "bigger-is-better.json"]
    assert names == ["compare.md", "comment.md", *others]
    assert all((tmp_path / "new" / name).stat().st_size for name in names)


def test_the_answer_comes_first_then_the_worst() -> None:
    text = page.markdown(ALL)
    answer = text.splitlines()[2]
    assert answer.startswith("after against before: 1 failed, 1 regressed, 1 inconclusive, 1 not worse, 1 same.")
    assert text.index(answer) < text.index("| failed") < text.index("torch 2.12") < text.index("No proof.")
    assert "No proof." in text
    assert "- torch 2.12 → 2.13" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert [row[0].lstrip("| ") for row in rows] == ["failed", "regressed", "inconclusive", "not worse", "same"]
    regressed = "step | 10 ms | 11 ms | +10.0% (+8.0% to +12.0%) | ±5.0% | 12 of 12 |"
    assert regressed in text
    assert (
        "accuracy | 80.00 % | 79.90 % | -0.10 points (-0.40 points to +0.20 points) | ±0.50 points | 5 of 6 |" in text
    )


def test_larger_regressions_stand_above_smaller_ones() -> None:
    effects = [0.06, 0.5, 0.1]
    found = comparison(*(Verdict(f"s/c{effect}@x", "step", "regressed", effect) for effect in effects)).worst_first()
    assert [one.effect for one in found] == [0.5, 0.1, 0.06]


def test_the_summary_stays_below_its_cap_and_says_what_is_left_out() -> None:
    many = comparison(*(Verdict(f"s/{'ü' * 90}{number}@x", "step", "same", 0.001 * number) for number in range(9000)))
    text = page.markdown(many)
    assert page.CAP - 1000 < len(text.encode()) <= page.CAP
    rows = text.count("\n| same |")
    assert f"And {9000 - rows:,} more, none worse than these; compare.json has them all." in text


def test_only_what_regressed_or_failed_is_commented_on(tmp_path: Path) -> None:
    page.write(comparison(MORE, LOWER, OPEN, GONE, SLOWER), tmp_path)
    text = (tmp_path / "comment.md").read_text()
    first, *rest = text.splitlines()
    assert first == "**1 regressed and 1 failed, in 2 of 4 cells.**"
    assert len(first.split()) <= 20
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in rest if line.startswith("| ")][1:]
    assert rows == [
        ["failed", GONE.cell, "whole cell", "", "", "missing in the candidate", ""],
        ["regressed", CELL, "training step", "10 ms", "11 ms", "+10.0% (+8.0% to +12.0%)", "12 of 12"],
    ]
    page.write(comparison(MORE, LOWER, OPEN), tmp_path)
    assert not (tmp_path / "comment.md").exists(), "what regressed earlier is no longer said"
    assert page.comment(comparison(MORE, LOWER, OPEN)) is None


def test_a_comment_stays_short_whatever_it_holds() -> None:
    name = "s/" + "ü" * 5000
    text = page.comment(comparison(*(Verdict(f"{name}{i}", "", "failed", reason="why " * 999) for i in range(3000))))
    assert text is not None
    assert text.count("\n| failed") == page.MOST_COMMENTED
    assert f"And {3000 - page.MOST_COMMENTED:,} more" in text
    assert len(text.encode()) < 20_000


NASTY = 'a|b\n<script>alert("x")</script> `code` \x1b[31m\x00 ::error::&amp; %0A'


def test_markdown_of_nasty_names_keeps_its_table() -> None:
    text = page.markdown(comparison(Verdict(NASTY, "step", "failed", reason=NASTY)))
    (row,) = [line for line in text.splitlines() if line.startswith("| failed")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 10
    assert "<script" not in re.sub(r"\\<", "", row)
    commented = page.comment(comparison(Verdict(NASTY, "step", "failed", reason=NASTY)))
    assert commented is not None
    (row,) = [line for line in commented.splitlines() if line.startswith("| failed")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 8
    assert "<script" not in re.sub(r"\\<", "", row)
    assert "\x1b" not in page.line(Verdict(NASTY, "step", "failed", reason=NASTY))


def test_json_holds_everything_and_no_nan() -> None:
    document = json.loads(page.as_json(ALL), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert document["counts"] == {"failed": 1, "regressed": 1, "inconclusive": 1, "not worse": 1, "same": 1}
    assert (document["base"], document["candidate"], document["paired"]) == ("before", "after", True)
    assert document["policy"]["level"] == 0.01
    failed, regressed, inconclusive, *_ = document["verdicts"]
    assert (failed["cell"], failed["effect"]) == (GONE.cell, None)
    assert regressed["effect"] == SLOWER.effect
    assert inconclusive["needed"] == 31


def test_junit_fails_what_regressed_errs_on_what_crashed_and_skips_what_is_open() -> None:
    suite = ET.fromstring(page.junit(ALL))
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {
        CELL: ["failure"],
        OPEN.cell: ["skipped"],
        GONE.cell: ["error"],
        MORE.cell: ["system-out"],
    }
    skipped = suite.find("testcase/skipped")
    assert skipped is not None
    assert skipped.text is not None
    assert "31 pairs would do" in skipped.text


def test_junit_of_nasty_names_is_still_xml() -> None:
    (case,) = ET.fromstring(page.junit(comparison(Verdict(NASTY, "step", "failed", reason=NASTY))))
    assert "<script>" in (case.get("name") or "")


def test_dashboards_get_each_figure_with_its_direction() -> None:
    smaller = json.loads(page.dashboard(ALL, "lower"))
    assert smaller == [
        {
            "name": f"{CELL} training step",
            "unit": "s",
            "value": 0.011,
            "range": "+10.0% (+8.0% to +12.0%)",
            "extra": "regressed, 12 of 12, base 0.01",
        }
    ]
    bigger = json.loads(page.dashboard(ALL, "higher"))
    assert [(one["value"], one["unit"]) for one in bigger] == [(0.799, "1"), (100.0, "rows/s")]


def test_annotations_name_the_worst_ten_and_escape_what_would_end_them() -> None:
    found = list(page.error_commands(ALL))
    assert found[0].startswith(f"::error title=failed%3A {GONE.cell.replace(',', '%2C')}::failed")
    assert len(found) == 2
    (nasty,) = page.error_commands(comparison(Verdict(NASTY, "step", "failed", reason=NASTY)))
    assert "\n" not in nasty
    assert "%250A" in nasty
    many = comparison(*(Verdict(f"s/{number}@x", "step", "failed") for number in range(30)))
    assert len(list(page.error_commands(many))) == 10
