"""`kernels.md`, read back by a Markdown parser, from records made by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from scipy import stats

from bench.records.record import KernelProof, Record, SeenKernel, Timing
from bench.report.topics import kernels
from bench.spec import GRU, KERAS_2_3, LSTM, Case, Dense, Documented, Embedding, Imdb, KernelSteps, Suite, Training
from tests.making import Gather, Maker, name
from tests.report.asking import case, net, suite
from tests.report.stepping import stepped

PARSER = MarkdownIt("commonmark").enable("table")
DATA = Imdb(num_words=50, maxlen=10)
SUITE = Suite(
    "demo",
    document="9",
    title="Title | with <b>pipe</b>",
    era=KERAS_2_3,
    cases=tuple(
        Case(
            name, data=DATA, layers=(Embedding(50, 8), layer, Dense(1, "sigmoid")), training=Training("adam", epochs=2)
        )
        for name, layer in (("lstm", LSTM(3)), ("gru", GRU(3)))
    ),
)
HOSTILE = 'void k<float, 4>(int) | <img src=x onerror="alert(1)"> `tick'


def timed(
    record: Maker,
    cell: str,
    step: float,
    met: bool | None,
    *names: str,
    share: float = 0.5,
    **more: Any,
) -> Record:
    timing = Timing(build=0.1, steps=10, total=3.0, alone=True, step=step)
    claimed: Any = cell.split(",")[1]
    proof = KernelProof(
        claimed=claimed,
        how="torch.profiler, CPU time",
        seen=[SeenKernel(name=name, calls=2, share=share) for name in names],
        share=share,
        met=met,
        reason=None if met else "kernel claim not met: claimed fused, seen generic (x)",
    )
    failed = {"status": "failed", "reason": proof.reason} if met is False else {"status": "ok"}
    return record(cell, timing=timing, kernel_proof=proof, **(failed | more))


def rows_of(text: str) -> list[list[str]]:
    rows: list[list[str]] = []
    tokens = PARSER.parse(text)
    for before, token in pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif before.type in ("th_open", "td_open"):
            rows[-1].append("".join(child.content for child in token.children or ()))
    return rows


def test_a_row_has_the_worst_verdict_the_median_share_and_the_speed_up(record: Maker, results: Gather) -> None:
    fused, generic = "demo/lstm@torch,fused,cpu,documented#0", "demo/lstm@torch,generic,cpu,documented#0"
    records = [
        timed(record, fused, 0.010, True, "aten::lstm", repeat=0),
        timed(record, fused, 0.011, None, "aten::lstm", repeat=1, share=0.7),
        timed(record, fused, 0.012, True, "aten::lstm", repeat=2, share=0.6),
        *(timed(record, generic, step, True, "_LSTM", repeat=place) for place, step in enumerate((0.03, 0.033, 0.036))),
        timed(record, "demo/lstm@keras-tensorflow,generic,cpu,documented#0", 1.0, True, "While lstm"),
    ]
    gathered = results([SUITE], records)
    rows = {(row.variant.backend, row.variant.kernel): row for row in kernels.proofs(gathered)}
    row = rows["torch", "fused"]
    assert (row.verdict, row.share, row.step) == ("not proven", 0.6, 0.011)
    assert [(kernel.name, kernel.calls, kernel.share) for kernel in row.seen] == [("aten::lstm", 2, 0.7)]
    assert row.gain is not None
    assert row.gain.factor == pytest.approx(3.0)
    assert rows["torch", "generic"].gain is None
    assert rows["keras-tensorflow", "generic"].verdict == "holds"
    assert kernels.counts(gathered) == {"holds": 2, "not proven": 1}
    answer = kernels.claims(gathered)
    assert answer
    assert answer.table
    assert "2 of 3" in answer.conclusion
    assert set(answer.table.rows) == {("keras-tensorflow", "1", "0", "0"), ("torch", "1", "0", "1")}


def test_a_claim_that_does_not_hold_is_shown_and_its_times_are_not_used(record: Maker, results: Gather) -> None:
    records = [
        timed(record, "demo/lstm@torch,fused,cpu,documented#0", 0.010, False, "_LSTM"),
        timed(record, "demo/lstm@torch,generic,cpu,documented#0", 0.030, True, "_LSTM"),
        timed(record, "demo/gru@torch,fused,cpu,documented#0", 0.010, None),
        record("demo/gru@torch,generic,cpu,documented#0", status="unavailable", reason="no | such"),
    ]
    page = kernels.table(results([SUITE], records))
    rows = rows_of(page)
    assert [row[:4] for row in rows[1:]] == [
        ["lstm", "torch", "fused", "not met"],
        ["lstm", "torch", "generic", "holds"],
        ["gru", "torch", "fused", "not proven"],
        ["gru", "torch", "generic", "unavailable"],
    ]
    assert rows[1][5:7] == ["–", "–"]
    assert "holds 1 of 3; not met 1 of 3; not proven 1 of 3" in page
    assert "kernel claim not met: claimed fused, seen generic (x): demo/lstm@torch,fused,cpu,documented" in page
    assert "no \\| such" in page


def test_names_are_shown_as_text(record: Maker, results: Gather) -> None:
    records = [timed(record, "demo/lstm@torch,fused,cpu,documented#0", 0.01, True, HOSTILE)]
    page = kernels.table(results([SUITE], records))
    assert rows_of(page)[1][-1] == f"{HOSTILE} ×2"
    assert "<img" not in PARSER.render(page)


def test_where_nothing_was_traced_it_says_not_run(record: Maker, results: Gather) -> None:
    records = [record("demo/lstm@torch,fused,cpu,documented#0", epoch_seconds=(1, 1))]
    page = kernels.table(results([SUITE], records))
    assert "Kernel proofs: not run." in page
    assert rows_of(page) == []
    traced = timed(record, "demo/gru@torch,fused,cpu,documented#0", 0.01, True, "aten::gru")
    both = kernels.table(results([SUITE], [*records, traced]))
    assert [row[3] for row in rows_of(both)[1:]] == ["not traced", "holds"]


def test_without_a_proof_there_is_no_answer(record: Maker, results: Gather) -> None:
    gathered = results([SUITE], [record("demo/lstm@torch,fused,cpu,documented#0", epoch_seconds=(1, 1))])
    assert kernels.claims(gathered) is None


def both(
    record: Maker, case_name: str, fused: list[float], generic: list[float], numerics: str = "matched"
) -> list[Record]:
    return [
        one
        for kernel, steps in (("fused", fused), ("generic", generic))
        for one in stepped(record, name(case_name, kernel=kernel, numerics=numerics), steps)
    ]


def test_fused_kernels_are_counted_by_what_their_intervals_say(record: Maker, results: Gather) -> None:
    generic = [4.0, 4.1, 4.2]
    fused = {"slow": [8.0, 8.1, 8.2], "fast": [2.0, 2.05, 2.1], "open": [3.0, 4.0, 5.0]}
    records = [one for place, steps in fused.items() for one in both(record, place, steps, generic)]
    declared = suite(*(case(place, net(LSTM(units))) for units, place in enumerate(fused, 4)))
    gathered = results([declared], records)
    assert {row.case: row.outcome for row in kernels.frame(gathered)} == {
        "slow": "slower",
        "fast": "faster",
        "open": "unclear",
    }
    answer = kernels.fused(gathered)
    assert answer
    assert answer.table
    assert "1 of 3 cases" in answer.conclusion
    welch = stats.ttest_ind(np.log(generic), np.log(fused["fast"]), equal_var=False).confidence_interval(0.95)
    assert dict(answer.table.rows)["demo/fast"] == f"2.00 ({np.exp(welch.low):.2f}–{np.exp(welch.high):.2f})"


def test_a_printed_ratio_stands_beside_the_measured_one(record: Maker, results: Gather) -> None:
    printed = Documented(kernels=KernelSteps("torch", fused=80, generic=304))
    declared = suite(replace(case("a", net(LSTM(4))), documented=printed), case("b", net(LSTM(5))))
    records = [one for place in "ab" for one in both(record, place, [1.0, 1.0, 1.0], [2.0, 2.0, 2.0])]
    answer = kernels.fused(results([replace(declared, hardware="a card of 2018")], records))
    assert answer
    assert answer.table
    assert answer.table.headers[-1] == "documented"
    assert "a card of 2018" in answer.notes[-1]
    assert {row[0]: row[-1] for row in answer.table.rows} == {"demo/a": "3.80 (torch)", "demo/b": "–"}


def test_kernels_are_compared_under_one_numerics_and_from_three_processes_on(record: Maker, results: Gather) -> None:
    declared = suite(case("a", net(LSTM(4))))
    few = both(record, "a", [1.0, 1.0], [2.0, 2.0])
    assert kernels.fused(results([declared], few)) is None
    many = both(record, "a", [1.0, 1.0, 1.0], [2.0, 2.0, 2.0])
    documented = both(record, "a", [1.0, 1.0, 1.0], [3.0, 3.0, 3.0], numerics="documented")
    (row,) = kernels.frame(results([declared], [*documented, *many]))
    assert row.factor == pytest.approx(2.0)
