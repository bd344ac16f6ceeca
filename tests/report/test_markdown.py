"""The written files, read back by a Markdown parser and compared with figures computed here from the records."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from scipy import stats

from bench.report import markdown, pages
from bench.report.answers import answers
from bench.report.markdown import code, markdown_table, prose
from bench.report.pages import PAGES
from bench.report.results import Results
from bench.report.topics import accuracy as accuracy_topic
from bench.report.topics import low_data, parameters, timing
from bench.spec import (
    KERAS_2_3,
    LSTM,
    Case,
    Dense,
    Documented,
    Embedding,
    Epoch,
    Flatten,
    Imdb,
    LastFraction,
    RandomRows,
    Score,
    Suite,
    Training,
    Word2Vec,
)
from tests.making import Gather, Maker

Row = dict[str, str]

PARSER = MarkdownIt("commonmark").enable("table")
DATA = Imdb(num_words=50, maxlen=10)
HOSTILE = 'a | b\nsecond line <img src=x onerror="alert(1)"> `tick *star* __init__ [text](javascript:x) &lt;'

FLAT = (Embedding(50, 8), Flatten(), Dense(1, "sigmoid"))
TRAINING = Training("adam", epochs=2, validation=LastFraction(0.25))
SUITE = Suite(
    "demo",
    document="9",
    title="Title | with <b>pipe</b>",
    era=KERAS_2_3,
    cases=(
        Case(
            "flat",
            data=DATA,
            layers=FLAT,
            training=TRAINING,
            documented=Documented(
                layers=(400, 0, 81),
                total=481,
                trainable=481,
                frozen=0,
                epochs=(
                    Epoch(0.6, 0.7, 0.5, 0.71, seconds=3, step_ms=4),
                    Epoch(0.5, 0.8, 0.4, 0.72, seconds=5, step_ms=6),
                ),
                test=Score(0.51, 0.7321),
            ),
            notes=(HOSTILE,),
            assumptions="the seed",
        ),
        Case(
            "lstm",
            data=DATA,
            layers=(Embedding(50, 8), LSTM(4), Dense(1, "sigmoid")),
            training=TRAINING,
            documented=Documented(test=Score(None, 0.9), unjudged="epochs not printed"),
            notes=(HOSTILE,),
        ),
        Case("idle", data=DATA, layers=FLAT, training=TRAINING),
    ),
)
ACCURACIES = {
    "keras-tensorflow": [0.7301, 0.7344, 0.7290, 0.7367, 0.7312],
    "torch": [0.8010, 0.8033, 0.7995, 0.8021, 0.8040],
}


def name(case: str, backend: str, seed: int, kernel: str = "none") -> str:
    return f"demo/{case}@{backend},{kernel},cpu,documented#{seed}"


@pytest.fixture
def full(record: Maker, results: Gather) -> Results:
    records = []
    for backend, accuracies in ACCURACIES.items():
        for seed, accuracy in enumerate(accuracies):
            records.append(
                record(
                    name("flat", backend, seed),
                    test=accuracy,
                    loss=0.5 + seed / 100,
                    val=[0.6, 0.7 + seed / 100],
                    epoch_seconds=[9.0, 2.0 + seed if backend == "torch" else 4.0 + seed],
                    counts=[400, 0, 81],
                )
            )
    broken = f"Traceback\nValueError: {HOSTILE}"
    records += [
        record(name("lstm", "torch", 0, "fused"), test=0.85, val=[0.8, 0.8], counts=[400, 208, 5], stored=629),
        record(
            name("lstm", "torch", 1, "fused"),
            status="failed",
            reason=None,
            traceback=broken,
        ),
        record(name("lstm", "keras-tensorflow", 0, "fused"), status="unavailable", reason="no fused kernel | here"),
    ]
    return results([SUITE], records, seeds=5)


# --- reading back ------------------------------------------------------------------------------------------------


def said(results: Results) -> str:
    """Return all answers as one text, a finding a line."""
    return "\n".join(f"{one.lead}: {one.text}" for answer in answers(results) for one in answer.findings)


def parsed(text: str) -> list[list[Row]]:
    """Return the tables as rows by header, where equal headers get ` 2`; raw HTML and foreign links are not allowed."""
    tables: list[list[Row]] = []
    header: list[str] = []
    row: list[str] = []
    for place, token in enumerate(tokens := PARSER.parse(text)):
        assert token.type != "html_block", token.content
        for child in token.children or []:
            assert child.type != "html_inline", child.content
            assert child.type != "link_open" or re.search(r"\.md(#[\w-]+)?$", str(child.attrs["href"])), child.attrs
        if token.type == "table_open":
            tables.append([])
            header = []
        elif token.type == "tr_open":
            row = []
        elif token.type in ("th_open", "td_open"):
            row.append("".join(child.content for child in tokens[place + 1].children or []))
        elif token.type == "tr_close":
            if header:
                tables[-1].append(dict(zip(header, row, strict=True)))
            else:
                header = [f"{text} 2" if text in row[:number] else text for number, text in enumerate(row)]
    return tables


def only(rows: list[Row], **wanted: str) -> Row:
    found = [row for row in rows if all(re.sub(r" \[.*", "", row[key]) == value for key, value in wanted.items())]
    assert len(found) == 1, (wanted, rows)
    return found[0]


def notes(text: str) -> dict[int, str]:
    """Return the rendered text of the numbered footnotes."""
    tokens = PARSER.parse(text[text.index("## Notes") :])
    lines = ["".join(c.content for c in token.children or []) for token in tokens[3:] if token.type == "inline"]
    return dict(enumerate(lines, 1))


def marks(cell: str) -> list[int]:
    found = re.search(r" \[([\d, ]+)\]$", cell)
    return [int(number) for number in found[1].split(",")] if found else []


# --- accuracy.md -------------------------------------------------------------------------------------------------


def test_the_accuracy_table_holds_the_figures_of_the_records(full: Results) -> None:
    row = only(parsed(accuracy_topic.table(full))[0], case="flat")
    for backend, judged in ("keras-tensorflow", "judged"), ("torch", "judged 2"):
        values = np.array(ACCURACIES[backend])
        interval = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
        mean, half = row[f"{backend} %"].split(" ±")
        assert float(mean) == pytest.approx(100 * values.mean(), abs=0.005)
        assert float(half) == pytest.approx(50 * (interval[1] - interval[0]), abs=0.005)
        bound = stats.t.ppf(0.975, 4) * values.std(ddof=1) * np.sqrt(1 + 1 / 5)
        inside = abs(0.7321 - values.mean()) <= bound
        deviation = 100 * (values.mean() - 0.7321)
        assert row[judged] == ("inside, 5 of 5" if inside else f"outside ({deviation:+.2f}), 5 of 5")
    assert (row["documented %"], row["set"]) == ("73.21", "test")
    mean = np.mean(ACCURACIES["keras-tensorflow"])
    assert float(row["set ±"].strip("±")) == pytest.approx(196 * np.sqrt(mean * (1 - mean) / 2000), abs=0.005)


def test_all_figures_stand_below_those_of_the_document(full: Results) -> None:
    rows = parsed(accuracy_topic.table(full))[1]
    printed = only(rows, case="flat", source="documented")
    assert [printed[f] for f in ("test %", "test loss", "val %", "val loss", "fit %", "epochs")] == [
        "73.21", "0.5100", "72.00", "0.4000", "80.00", "2",
    ]  # fmt: skip
    measured = only(rows, case="flat", source="torch")
    assert float(measured["test loss"]) == pytest.approx(np.mean([0.5, 0.51, 0.52, 0.53, 0.54]), abs=5e-5)
    assert float(measured["val %"]) == pytest.approx(np.mean([70, 71, 72, 73, 74]), abs=0.005)
    assert "best val %" not in measured
    assert only(rows, case="lstm", source="torch fused")["test %"] == "85.00"


def test_unjudged_unavailable_failed_and_not_run_cells_say_so_with_a_footnote(full: Results) -> None:
    text = accuracy_topic.table(full)
    rows, found = parsed(text)[0], notes(text)
    lstm = only(rows, case="lstm")
    assert lstm["judged 2"].startswith("not judged, 1 of 5 [")
    said = [found[number] for number in marks(lstm["judged 2"])]
    assert "Not judged: epochs not printed" in said
    failure = next(note for note in said if note.startswith("failed"))
    assert "bench run --resume run0 'demo/lstm@torch,fused,cpu,documented#1'" in failure
    assert '<img src=x onerror="alert(1)">' in failure, "shown as text"
    assert lstm["judged"].startswith("unavailable, 0 of 5 [")
    assert [found[number] for number in marks(lstm["judged"])] == ["unavailable: no fused kernel | here"]
    idle = only(rows, case="idle")
    assert (idle["judged"], idle["torch %"], idle["judged 2"]) == ("not run", "–", "not run")


def test_footnotes_are_numbered_once_and_read_as_they_were_written(full: Results) -> None:
    text = accuracy_topic.table(full)
    found = notes(text)
    assert len(set(found.values())) == len(found)
    rows = parsed(text)[0]
    shown = " ".join(HOSTILE.split())
    flat, lstm = only(rows, case="flat"), only(rows, case="lstm")
    shared = set(marks(flat["case"])) & set(marks(lstm["case"]))
    assert [found[number] for number in shared] == [shown]
    used = {number for row in rows for cell in row.values() for number in marks(cell)}
    assert used == set(found), "every footnote is referred to and every mark has one"


def test_the_quick_profile_says_what_it_measured_on_and_shows_no_documented_accuracy(
    record: Maker, results: Gather
) -> None:
    records = [record(name("flat", "torch", seed), test=0.8 + seed / 100, profile="quick") for seed in range(5)]
    quick = results([SUITE], records, seeds=5)
    text = accuracy_topic.table(quick)
    assert text.startswith(
        "# Accuracy on the embedded corpus (quick profile)\n\nThese figures were measured on the embedded"
    )
    for row in (row for table in parsed(text) for row in table):
        assert not any("documented" in part for part in (*row, *row.values()))
    for figure in ("73.21", "72.00", "0.5100", "inside", "outside"):
        assert figure not in text
    assert "These accuracies were measured on the embedded corpus" in said(quick)
    assert "3–5" not in timing.table(quick), "nor documented seconds"


def test_low_data_pairs_get_their_table_and_the_crossover(record: Maker, results: Gather) -> None:
    def pair(rows: int) -> tuple[Case, Case]:
        training = Training("rmsprop", epochs=1, validation=RandomRows(train=rows))
        vectors = Embedding(50, 300, vectors=Word2Vec(), trainable=False)
        rest = (Flatten(), Dense(1, "sigmoid"))
        return (
            Case(f"ready-{rows}", data=DATA, layers=(vectors, *rest), training=training),
            Case(f"own-{rows}", data=DATA, layers=(Embedding(50, 300), *rest), training=training),
        )

    suite = Suite("demo", document="9", title="t", era=KERAS_2_3, cases=(*pair(20), *pair(400), *pair(1400)))
    values = {"ready-20": 0.7, "own-20": 0.6, "ready-400": 0.72, "own-400": 0.75, "ready-1400": 0.74, "own-1400": 0.8}
    records = [record(name(case, "torch", 0), test=value) for case, value in values.items()]
    gathered = results([suite], records)
    text = accuracy_topic.table(gathered)
    assert "torch: learned at least as good from 400 rows on." in text
    rows = parsed(text)[-1]
    assert [(row["rows"], row["torch pre-trained %"], row["learned %"], row["difference"]) for row in rows] == [
        ("20", "70.00", "60.00", "+10.00"),
        ("400", "72.00", "75.00", "-3.00"),
        ("1,400", "74.00", "80.00", "-6.00"),
    ]
    assert (
        "At 20 training rows +10.00 points: Test accuracy: ready-20 70.00 %, own-20 60.00 % (1 paired seed) under "
        "torch; learned at least as good from 400 rows on (-3.00 points under torch)."
    ) in said(gathered)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([0.1, -0.1, 0.1, -0.1], "learned at least as good from 4 rows on"),
        ([0.1, -0.1, -0.1, -0.1], "learned at least as good from 2 rows on"),
        ([-0.1, -0.1, -0.1, 0.1], "pre-trained ahead at the largest measured size, 4 rows"),
    ],
)
def test_the_crossover_is_where_the_learned_embedding_stays_ahead(differences: list[float], expected: str) -> None:
    assert low_data.crossover([{"rows": n, "difference": value} for n, value in enumerate(differences, 1)]) == expected


# --- timing.md and parameters.md ---------------------------------------------------------------------------------


def test_the_timing_table_holds_documented_and_measured_times_and_their_ratio(full: Results) -> None:
    text = timing.table(full)
    rows = parsed(text)[0]
    printed = only(rows, case="flat", source="documented")
    assert (printed["s/epoch"], printed["ms/step"]) == ("3–5", "4–6")
    keras, torch = (only(rows, case="flat", source=backend) for backend in ("keras-tensorflow", "torch"))
    assert (keras["s/epoch"], keras["range"], keras["k of n"]) == ("6.00", "4.00–8.00", "5 of 5")
    assert only(parsed(text)[1], case="flat", source="keras-tensorflow")["first epoch"] == "9.00"
    assert float(torch["ms/step"]) == pytest.approx(1000 * np.median([2, 3, 4, 5, 6]) / 100)
    assert float(torch["/ keras-tensorflow"]) == pytest.approx(4 / 6, abs=0.005)
    assert "cpu Example CPU, cores 2, threads 2" in text
    assert only(rows, case="lstm", source="keras-tensorflow fused")["ms/step"] == "unavailable"
    assert only(rows, case="idle")["ms/step"] == "not run"


def test_a_stand_in_is_named_below_every_table(record: Maker, results: Gather) -> None:
    fields = {"test": 0.7, "epoch_seconds": [3, 2], "counts": [400, 0, 81], "stand_in": "50d for 100d"}
    gathered = results([SUITE], [record(name("flat", "torch", 0), **fields)])
    for write in accuracy_topic.table, timing.table, parameters.table:
        assert "Ran on a stand-in: 50d for 100d." in notes(write(gathered)).values()
    assert "50d for 100d" in pages.index(gathered)


def test_times_of_accuracy_runs_are_marked(record: Maker, results: Gather) -> None:
    records = [record(name("flat", "torch", 0), test=0.7, measure="accuracy", epoch_seconds=[3, 2])]
    gathered = results([SUITE], records)
    text = timing.table(gathered)
    source = only(parsed(text)[0], case="flat", source="torch")["source"]
    assert [notes(text)[number][:19] for number in marks(source)] == ["From accuracy runs:"]


def test_the_parameter_table_sets_every_count_below_the_documented_one(full: Results) -> None:
    rows = parsed(parameters.table(full))[0]
    printed = only(rows, case="flat", source="documented")
    assert (printed["layers"], printed["total"]) == ("400 + 0 + 81", "481")
    assert only(rows, case="flat", source="torch")["verdict"] == "equal"
    silent = only(rows, case="lstm", source="documented")
    assert (silent["total"], silent["layers"]) == ("", "")
    built = only(rows, case="lstm", source="torch fused")
    assert (built["total"], built["stored"], built["verdict"]) == ("613", "629", "")
    assert only(rows, case="idle", source="")["verdict"] == "not run"


# --- README.md ---------------------------------------------------------------------------------------------------


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


# --- escaping ----------------------------------------------------------------------------------------------------


HOSTILES = [
    HOSTILE, "<script>alert(1)</script>", "```<img src=x>` |", "# heading", "> quote", "- item", "12. item", "===",
    "[a]: http://x",
    "a\\", "~~gone~~", "_it_", "&amp;", "snake_case * 2",
]  # fmt: skip


def inline(source: str) -> tuple[set[str], str]:
    """Return the kinds of the last inline tokens of a Markdown text, and what a reader sees."""
    children = [token for token in PARSER.parse(source) if token.type == "inline"][-1].children or []
    return {child.type for child in children}, "".join(child.content for child in children)


@pytest.mark.parametrize("text", HOSTILES)
def test_text_in_a_footnote_or_a_table_is_shown_as_it_is(text: str) -> None:
    for source in f"1. {prose(text)}", markdown_table(["case"], [[markdown.plain(text)]]):
        kinds, shown = inline(source)
        assert kinds <= {"text", "text_special"}
        assert shown == " ".join(text.split())


@pytest.mark.parametrize("text", ["run `bench list` first", "`<i>` and *", "``<b>`` | `<i>`"])
def test_a_footnote_keeps_its_code_and_nothing_else(text: str) -> None:
    kinds, shown = inline(f"1. {prose(text)}")
    assert kinds == {"text", "text_special", "code_inline"} or kinds == {"text", "code_inline"}
    assert shown.replace("`", "") == text.replace("`", "")


def test_code_survives_backticks_and_pipes() -> None:
    for text in "a `b` c", "`", "x | y":
        for token in PARSER.parse(f"1. {code(text)}"):
            if token.type == "inline":
                assert [(child.type, child.content) for child in token.children or []] == [("code_inline", text)]


def test_tables_are_aligned_in_a_terminal_and_number_columns_to_the_right_when_rendered() -> None:
    text = markdown_table(["case", "n"], [["ä–b", "1"], ["c", "1,000"]])
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert re.fullmatch(r"\|-+\|-+:\|", lines[1])
    cells: list[Any] = [t for t in PARSER.parse(text) if t.type == "td_open"]
    assert [cell.attrs.get("style") for cell in cells] == [None, "text-align:right"] * 2


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


def test_other_numerics_get_a_table_of_their_own_and_no_column(record: Maker, results: Gather) -> None:
    values = {"documented": [0.80, 0.82], "matched": [0.77, 0.78]}
    records = [
        record(name("flat", "torch", seed).replace("documented", numerics), test=value)
        for numerics, own in values.items()
        for seed, value in enumerate(own)
    ]
    tables = parsed(accuracy_topic.table(results([SUITE], records)))
    judged = only(tables[0], case="flat")
    assert judged["torch %"].startswith("81.00")
    assert not any("matched" in header for header in judged)
    assert only(tables[0], case="idle")["judged"] == "not run", "what has not run stays in the table"
    other = only(tables[1], case="flat")
    assert (other["numerics"], other["documented numerics %"], other["these %"]) == ("matched", "81.00", "77.50")
    assert other["difference"].startswith("-3.50 ±")
