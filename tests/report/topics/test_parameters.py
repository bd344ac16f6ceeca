"""Parameters: verdicts are exact, and the page sets every count below the documented one."""

from __future__ import annotations

from dataclasses import replace

from bench.report.results import Results
from bench.report.topic import Answer
from bench.report.topics import parameters
from bench.spec import (
    Dense,
    Documented,
    Embedding,
    GlobalAveragePooling1D,
    Imdb,
)
from tests.making import Gather, Maker, case, name, suite
from tests.report.reading import only, parsed


def test_parameter_verdicts_are_exact_and_empty_where_nothing_is_printed(record: Maker, results: Gather) -> None:
    declared = suite(
        case("equal", documented=Documented(layers=(2500, 501), total=3001, trainable=3001, frozen=0)),
        case("misprint", documented=Documented(layers=(2500, 0, 501), total=3001, trainable=501, frozen=3)),
        case("silent"),
    )
    records = [
        record(name("equal"), counts=[2500, 0, 501], stored=3010),
        record(name("misprint"), counts=[2500, 0, 501], frozen=2500),
        record(name("silent"), counts=[2500, 0, 501]),
    ]
    rows = parameters.frame(results([declared], records))
    assert {row.case: row.verdict for row in rows} == {"equal": "equal", "misprint": "differs: frozen", "silent": None}
    assert rows[0].built
    assert rows[0].built.stored == 3010
    (off_by_one, *_) = parameters.frame(results([declared], [record(name("equal"), counts=[2500, 0, 502])]))
    assert off_by_one.verdict == "differs: layers, total, trainable"


def test_a_misprint_is_the_documents_only_where_what_was_built_is_as_declared(record: Maker, results: Gather) -> None:
    printed = Documented(layers=(2000, 21), total=2021, frozen=3, misprint="2,000 are frozen")
    layers = (Embedding(100, 20, trainable=False), GlobalAveragePooling1D(), Dense(1, "sigmoid"))
    declared = suite(replace(case("a", documented=printed), data=Imdb(num_words=100, maxlen=5), layers=layers))

    def verdict(counts: list[int], frozen: int) -> str:
        (found,) = parameters.frame(results([declared], [record(name("a"), counts=counts, frozen=frozen)]))
        return str(found.verdict)

    assert verdict([2000, 0, 21], 2000) == "document misprint: frozen"
    assert verdict([2000, 0, 21], 0) == "differs: frozen"
    assert verdict([2000, 0, 22], 2000) == "differs: layers, total, frozen"


def test_a_second_bias_of_native_numerics_is_not_held_against_the_document(record: Maker, results: Gather) -> None:
    declared = suite(case("a", documented=Documented(total=3001)))
    records = [
        record(name("a").replace("documented", numerics), counts=[2500, 0, 501 + extra])
        for numerics, extra in (("native", 16), ("native:bias", 16), ("native:init", 0), ("matched", 1))
    ]
    rows = parameters.frame(results([declared], records))
    expected = {"matched": "differs: total", "native": None, "native:bias": None, "native:init": "equal"}
    assert {row.variant.numerics: row.verdict for row in rows if row.variant} == expected


def test_counts_under_numerics_that_add_a_bias_are_not_held_against_the_document(
    record: Maker, results: Gather
) -> None:
    declared = suite(case("a", documented=Documented(total=3001)))
    kinds = {"native:reset-after": None, "native:-denormals": None, "native:-bias,-reset-after": "differs: total"}
    records = [record(name("a", numerics=kind), counts=[2500, 0, 517], measure="steps") for kind in kinds]
    rows = parameters.frame(results([declared], records))
    assert {row.variant.numerics: row.verdict for row in rows if row.variant} == kinds


def test_the_rule_is_said_first_and_only_exceptions_are_listed(record: Maker, results: Gather) -> None:
    printed = Documented(layers=(2500, 501), total=3001)
    declared = suite(case("a", documented=printed), case("b", documented=printed), case("silent"))

    def answered(*counts: int) -> Answer:
        records = [record(name(one), counts=[2500, count]) for one, count in zip("ab", counts, strict=True)]
        answer = parameters.answer(results([declared], [*records, record(name("silent"), counts=[7])]))
        assert answer is not None
        assert len(answer.conclusion.split()) <= 20
        return answer

    equal = answered(501, 501)
    assert (equal.conclusion, equal.table) == ("Built parameter counts equal the printed ones in all 2 cases.", None)
    differing = answered(501, 502)
    assert "in 1 of 2 cases" in differing.conclusion
    assert differing.table
    assert differing.table.rows == (("demo/b", "differs: layers, total", "torch"),)


def test_cases_and_variants_of_the_same_counts_share_a_line(record: Maker, results: Gather) -> None:
    declared = suite(*(case(one, documented=Documented(total=3001)) for one in "abc"))
    records = [
        record(name(one, backend), counts=[2500, 501 + (one == "c")])
        for one in "abc"
        for backend in ("torch", "keras-tensorflow")
    ]
    rows = parsed(parameters.table(results([declared], records)))[0]
    assert [(row["case"], row["source"], row["total"], row["verdict"]) for row in rows] == [
        ("a, b", "documented", "3,001", ""),
        ("a, b", "keras-tensorflow, torch", "3,001", "equal"),
        ("c", "documented", "3,001", ""),
        ("c", "keras-tensorflow, torch", "3,002", "differs: total"),
    ]


def test_the_parameter_table_sets_every_count_below_the_documented_one(full: Results) -> None:
    rows = parsed(parameters.table(full))[0]
    printed = only(rows, case="flat", source="documented")
    assert (printed["layers"], printed["total"]) == ("400 + 0 + 81", "481")
    assert only(rows, case="flat", source="keras-tensorflow, torch")["verdict"] == "equal"
    silent = only(rows, case="lstm", source="documented")
    assert (silent["total"], silent["layers"]) == ("", "")
    built = only(rows, case="lstm", source="torch fused")
    assert (built["total"], built["stored"], built["verdict"]) == ("613", "629", "")
    assert only(rows, case="idle", source="")["verdict"] == "not run"
