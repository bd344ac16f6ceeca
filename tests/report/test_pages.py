"""The pages of a report together: the index first, and what every table says alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.report import pages, site
from bench.report.pages import PAGES
from bench.report.results import Results
from bench.report.topic import Answer, Table
from bench.report.topics import accuracy as accuracy_topic
from bench.report.topics import parameters, timing
from tests.making import Gather, Maker
from tests.report.demo import SUITE, name
from tests.report.reading import PARSER, notes, only, parsed


def test_the_index_answers_first_and_says_last_what_is_missing(full: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(("case", "accuracy %", "n"), (("flat | wide", "73.2", "5"), ("*lstm*", "85.0", "1")))
    notes = ("Means of 5 seeds.", "# Not run: `lstm`.")
    answer = Answer("`torch` is <b>faster</b>.", table, (("timing", "timing.md"),), notes)
    monkeypatch.setattr(pages, "answers", lambda results: {"Which is faster, A | B?": answer})
    text = pages.index(full)
    answered, statuses_and_more = text.split("\n## ", 2)[1:]
    assert answered.startswith("Which is faster, A \\| B?\n\n`torch` is \\<b>faster\\</b>. ([timing](timing.md))\n\n")
    assert answered.endswith("\n\n- Means of 5 seeds.\n- \\# Not run: `lstm`.\n")
    assert parsed(answered)[0] == [
        {"case": "flat | wide", "accuracy %": "73.2", "n": "5"},
        {"case": "*lstm*", "accuracy %": "85.0", "n": "1"},
    ]
    environment, data, statuses = parsed(statuses_and_more)
    assert "- run0, started 2026-01-01, commit 0123456789ab, 2 threads: `bench run --name run0`" in text
    assert only(statuses, backend="torch", measure="all")["failed"] == "1"
    assert only(environment, what="packages")["value"] == "keras 3.15.1, torch 2.13.0"
    assert data[0]["sha256"] == "ab" * 32
    assert text.endswith("- demo: idle\n")


def test_the_index_leads_to_every_page_of_the_report(full: Results) -> None:
    reports = {
        "parity.md": replace(full, twins={("demo/flat", "torch", "none"): "proven"}),
        "deviations.md": replace(full, reasons={"demo/flat": ("chance", "deviations.md#demoflat-chance")}),
        "explain/explain-demo-flat.md": replace(full, explained=("explain/explain-demo-flat.md",)),
    }
    assert all(f"]({page})" in pages.index(full) for page in PAGES[1:])
    for page, results in reports.items():
        assert f"]({page})" in pages.index(results)
        assert f"]({page})" not in pages.index(full)


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
    (statuses,) = [table for table in parsed(pages.index(gathered)) if "timeout" in table[0]]
    assert only(statuses, backend="torch")["timeout"] == "1"


def test_one_backend_alone_is_reported_without_a_ratio(record: Maker, results: Gather) -> None:
    gathered = results([SUITE], [record(name("flat", "torch", 0), test=0.7, epoch_seconds=[3, 2])])
    assert not any(header.startswith("/") for header in parsed(timing.table(gathered))[0][0])
    assert "faster" not in pages.index(gathered).partition("## Runs")[0].replace("Which backend is faster", "")


def test_a_stand_in_is_named_below_every_table(record: Maker, results: Gather) -> None:
    fields = {"test": 0.7, "epoch_seconds": [3, 2], "counts": [400, 0, 81], "stand_in": "50d for 100d"}
    gathered = results([SUITE], [record(name("flat", "torch", 0), **fields)])
    for write in accuracy_topic.table, timing.table, parameters.table:
        assert any("50d" in note and "100d" in note for note in notes(write(gathered)).values())
    assert "50d for 100d" in pages.index(gathered).partition("## Data")[2]


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


@pytest.mark.parametrize(
    "name", ["<img src=x>", "`<img src=x>`", "a`b`<img src=x>", "<i>\n\n<img src=x>", "[a](http://x)"]
)
def test_the_name_of_a_run_is_text_wherever_it_stands(name: str, full: Results) -> None:
    environment = {**full.sources[0].environment, "cpu": name, "git": {"commit": name, "dirty": True}}
    runs = (replace(run, name=name, command=name, settings=name, environment=environment) for run in full.sources)
    hostile = replace(full, sources=tuple(runs))
    texts = {**pages.pages(hostile), "reports": site.index({"machine": hostile})}
    texts |= {block: text for block, text in site.contents({"m": hostile}, "").items() if "/plots/" not in block}
    for text in texts.values():
        found = [token.type for part in PARSER.parse(text) for token in (part, *(part.children or ()))]
        assert not {"html_block", "html_inline"} & set(found), text
