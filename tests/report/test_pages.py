"""The pages of a report together: the index first, and what every table says alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.report import markdown, pages
from bench.report.answers import answers
from bench.report.pages import PAGES
from bench.report.results import Results
from bench.report.topics import accuracy as accuracy_topic
from bench.report.topics import parameters, timing
from tests.making import Gather, Maker
from tests.report.demo import SUITE, name
from tests.report.reading import notes, only, parsed, said


def test_the_index_answers_first_with_the_figures_of_the_tables(full: Results) -> None:
    text = pages.index(full)
    first = answers(full)[0]
    assert text.index(f"**{first.question}**") < text.index("|"), "the answers stand before any table"
    for answer in answers(full):
        for finding in answer.findings:
            assert f"- **{markdown.plain(finding.lead)}**" in text
    assert "([accuracy](accuracy.md))" in text
    statuses, environment, data = parsed(text)
    assert "- run0, started 2026-01-01T00:00:00+00:00, commit 0123456789ab, 2 threads: `bench run --name run0`" in text
    assert only(statuses, backend="torch", measure="all")["failed"] == "1"
    assert only(environment, what="packages")["value"] == "keras 3.15.1, torch 2.13.0"
    assert data[0]["sha256"] == "ab" * 32
    assert "- demo: idle" in text


def test_a_report_without_any_ok_record_still_says_what_happened(
    record: Maker, results: Gather, tmp_path: Path
) -> None:
    records = [record(name("flat", "torch", 0), status="timeout", reason="took longer than 600 s", data=None)]
    gathered = results([SUITE], records)
    written = pages.write(gathered, tmp_path / "new" / "folder")
    assert [path.name for path in written] == list(PAGES)
    for path in written:
        text = path.read_text(encoding="utf-8")
        parsed(text)
        assert "nan" not in text
        assert "None" not in text.replace("None recorded", "")
    row = only(parsed(accuracy_topic.table(gathered))[0], case="flat")
    assert row["judged"].startswith("timeout, 0 of 1 [")
    index = (tmp_path / "new/folder/README.md").read_text(encoding="utf-8")
    assert "**1 of 1 cell has no result**: 1 timeout, took longer than 600 s." in index


def test_one_backend_alone_is_reported_without_a_ratio(record: Maker, results: Gather) -> None:
    gathered = results([SUITE], [record(name("flat", "torch", 0), test=0.7, epoch_seconds=[3, 2])])
    assert not any(header.startswith("/") for header in parsed(timing.table(gathered))[0][0])
    assert "faster" not in said(gathered)


def test_a_stand_in_is_named_below_every_table(record: Maker, results: Gather) -> None:
    fields = {"test": 0.7, "epoch_seconds": [3, 2], "counts": [400, 0, 81], "stand_in": "50d for 100d"}
    gathered = results([SUITE], [record(name("flat", "torch", 0), **fields)])
    for write in accuracy_topic.table, timing.table, parameters.table:
        assert "Used 50d: 100d is unavailable." in notes(write(gathered)).values()
    assert "50d for 100d" in pages.index(gathered)


def test_the_tables_say_which_twins_are_proven(record: Maker, results: Gather) -> None:
    cells = [
        name("flat", "keras-tensorflow", 0),
        name("flat", "torch", 0),
        name("lstm", "keras-tensorflow", 0, "generic"),
        name("lstm", "torch", 0, "fused"),
    ]
    plain = results([SUITE], [record(cell, test=0.7, measure="all", epoch_seconds=[5, 2, 4]) for cell in cells])
    twins = {
        ("demo/flat", "keras-tensorflow", "none"): "not applicable",
        ("demo/flat", "torch", "none"): "proven",
        ("demo/lstm", "keras-tensorflow", "generic"): "not applicable",
    }
    marked = replace(plain, twins=twins)
    shown = [row["twins"] for table in parsed(accuracy_topic.table(marked)) for row in table if "twins" in row]
    assert shown[:2] == ["proven", "not proven"]
    shown = [
        row["twins"]
        for table in parsed(timing.table(marked))
        for row in table
        if "twins" in row and row["source"][:5] != "docum"
    ]
    assert shown[:4] == ["–", "proven", "–", "not proven"]
    assert "**1 of 1 variants are proven to**" in pages.index(marked)


def test_native_numerics_are_no_twins_on_purpose(record: Maker, results: Gather) -> None:
    native = [name("flat", backend, 0).replace("documented", "native") for backend in ("keras-tensorflow", "torch")]
    documented = [name("flat", "torch", 0), name("flat", "torch", 0).replace("documented", "native")]
    proven = {("demo/flat", "torch", "none"): "proven"}

    def marks(cells: list[str]) -> list[list[str]]:
        made = [record(cell, test=0.7, measure="all", epoch_seconds=[5, 2, 4]) for cell in cells]
        marked = results([SUITE], made, twins=proven)
        pages = [accuracy_topic.table(marked), timing.table(marked)]
        tables = [[table for table in parsed(page) if "twins" in table[0]] for page in pages]
        return [
            [row["twins"] for table in found for row in table if row["case"].startswith("flat")] for found in tables
        ]

    assert marks(native) == [["not applicable"], ["", "not applicable", "not applicable"]]
    assert marks(documented) == [["proven"], ["", "not applicable"]]


def test_without_proofs_no_table_speaks_of_twins(record: Maker, results: Gather) -> None:
    plain = results([SUITE], [record(name("flat", "torch", 0), test=0.7, measure="all", epoch_seconds=[5, 2, 4])])
    assert "twins" not in accuracy_topic.table(plain) + timing.table(plain)
