"""Documented against measured: the table of the front page, read back."""

from __future__ import annotations

from dataclasses import replace

from msgspec import structs

from bench.records.record import Timing
from bench.report.results import Results
from bench.report.topics import documented
from bench.spec import Documented, Epoch, Score
from tests.making import Gather, Maker, case, name, suite
from tests.report import asking
from tests.report.reading import PARSER, Row, parsed

PRINTED = Documented(
    layers=(2500, 501), total=3001, epochs=(Epoch(seconds=25), Epoch(seconds=26)), test=Score(accuracy=0.735)
)


def rows_of(results: Results) -> dict[str, Row]:
    return {row["case"]: row for row in parsed(documented.block(results))[0]}


def test_the_tick_stands_only_where_every_backend_built_what_is_printed(record: Maker, results: Gather) -> None:
    declared = suite(
        case("equal", documented=PRINTED),
        case("off", documented=PRINTED),
        case("silent", documented=Documented(test=Score(accuracy=0.7))),
        case("idle", documented=PRINTED),
        case("other"),
    )
    built = {"equal": (501, 501), "off": (501, 502), "silent": (501, 501), "other": (501, 501)}
    records = [
        record(name(one, backend), test=0.735, counts=[2500, count])
        for one, counts in built.items()
        for backend, count in zip(("torch", "keras-tensorflow"), counts, strict=True)
    ]
    found = rows_of(results([declared], records))
    assert {one: row["parameters"].split() for one, row in found.items() if row["parameters"]} == {
        "equal": ["3,001", "✓"], "off": ["3,001"], "silent": ["3,001"], "idle": ["3,001"],
    }, "a case whose document prints no accuracy has no row"  # fmt: skip
    assert found["idle"]["verdict"] == "not run"


def test_a_row_holds_both_accuracies_comparable_seconds_alone_and_the_verdict(record: Maker, results: Gather) -> None:
    declared = suite(case("a", documented=PRINTED))
    records = [
        record(name("a", backend, seed=seed), test=value, epoch_seconds=[9, 7], measure="accuracy")
        for backend in ("torch", "keras-tensorflow")
        for seed, value in enumerate(asking.MEASURED)
    ]
    alone = Timing(build=0.1, steps=100, total=1.0, alone=True, step=0.02, windows=[(1, 0.02), (2, 0.04)])
    beside = structs.replace(alone, alone=False)
    records.append(record(name("a", numerics="native"), timing=alone, measure="steps"))
    records.append(record(name("a", "keras-tensorflow", numerics="native"), timing=beside, measure="steps"))
    row = rows_of(results([declared], records, seeds=5))["a"]
    assert (row["printed %"], row["Keras %"].split()[0], row["torch %"].split()[0]) == (
        "73.50",
        "73.2",
        "73.2",
    )
    assert (row["printed s"], row["Keras s"], row["torch s"]) == ("25–26", "–", "2.00"), "other work ran beside it"
    assert row["verdict"] == "inside"


def test_documents_are_named_as_people_know_them_and_sets_never_share_a_group(record: Maker, results: Gather) -> None:
    known = {"title": "On | words", "author": "A. Writer", "year": 2017, "link": "https://example.org/words"}
    declared = replace(
        suite(
            case("t", documented=Documented(test=Score(accuracy=0.7))),
            case("v", documented=Documented(validation=Score(accuracy=0.8), train=Score(accuracy=0.9))),
        ),
        **known,
    )
    text = documented.block(results([declared], [record(name("t"), test=0.71), record(name("v"), val=[0.72])]))
    table, _ = text.split("\n\n")
    assert 'href="https://example.org/words"' in PARSER.render(table)
    (rows,) = parsed(table.replace("https://example.org/words", "words.md"))
    assert [(row["case"], row["printed %"]) for row in rows] == [
        ("On | words, A. Writer, 2017 (Keras 2.3-2.10)", "test"), ("t", "70.00"),
        ("On | words", "validation"), ("v", "80.00"),
    ]  # fmt: skip


def test_short_trainings_and_timed_steps_have_no_row(record: Maker, results: Gather) -> None:
    steps = record(name("a"), epoch_seconds=[2, 1], measure="steps", metrics=None)
    for one in record(name("a"), test=0.7, profile="quick"), steps:
        found = results([suite(case("a", documented=PRINTED))], [one])
        assert documented.frame(found) == ()
        assert "73.50" not in documented.block(found)
