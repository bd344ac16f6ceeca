"""`kernels.md`, read back by a Markdown parser, from records made by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt

from bench.records.record import KernelProof, Record, SeenKernel, Timing
from bench.report.answers import answers
from bench.report.topics import kernels
from bench.spec import GRU, KERAS_2_3, LSTM, Case, Dense, Embedding, Imdb, Suite, Training
from tests.making import Gather, Maker, name
from tests.report.asking import case, found, net, suite

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
    epoch: float = 1.0,
    **more: Any,
) -> Record:
    timing = Timing(build=0.1, first_epoch=1.0, epochs=[epoch], steps=10, total=3.0, alone=True, step=step)
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
    records = [
        timed(record, "demo/lstm@torch,fused,cpu,documented#0", 0.010, True, "aten::lstm", repeat=0),
        timed(record, "demo/lstm@torch,fused,cpu,documented#0", 0.020, None, "aten::lstm", repeat=1, share=0.7),
        timed(record, "demo/lstm@torch,generic,cpu,documented#0", 0.030, True, "_LSTM", epoch=3.0),
        timed(record, "demo/lstm@keras-tensorflow,generic,cpu,documented#0", 1.0, True, "While lstm"),
    ]
    gathered = results([SUITE], records)
    rows = {(row.variant.backend, row.variant.kernel): row for row in kernels.proofs(gathered)}
    fused = rows["torch", "fused"]
    assert (fused.verdict, fused.share, fused.step) == ("not proven", 0.6, 0.015)
    assert [(kernel.name, kernel.calls, kernel.share) for kernel in fused.seen] == [("aten::lstm", 2, 0.7)]
    assert fused.gain is not None
    assert fused.gain.factor == 3.0
    assert rows["torch", "generic"].gain is None
    assert rows["keras-tensorflow", "generic"].verdict == "holds"
    assert kernels.counts(gathered) == {"holds": 2, "not proven": 1}
    assert any("in 2 of 3 timed variants" in str(answer.findings) for answer in answers(gathered))


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


def test_kernels_are_compared_where_both_ran(record: Maker, results: Gather) -> None:
    records = [
        record(name("a", kernel=kernel), measure="timing", epoch_seconds=[99, seconds, seconds])
        for kernel, seconds in (("fused", 2), ("generic", 5))
    ]
    (text,) = found(results([suite(case("a", net(LSTM(4))))], records), "Do fused kernels")
    assert text == (
        "torch on a CPU: yes for 1 of 1 case: Times as fast as the generic kernel (range of epochs): "
        "yes for demo/a 2.5 (2.5 to 2.5)."
    )


def test_kernels_are_ordered_by_verdict(record: Maker, results: Gather) -> None:
    fused = {"slow": [8, 8], "fast": [2, 2], "open": [3, 5]}
    records = [
        record(name(one, kernel=kernel), measure="timing", epoch_seconds=[99, *seconds])
        for one, own in fused.items()
        for kernel, seconds in (("fused", own), ("generic", [4, 4.1]))
    ]
    declared = suite(*(case(one, net(LSTM(units))) for units, one in enumerate(fused, 4)))
    (text,) = found(results([declared], records), "Do fused kernels")
    assert text.startswith("torch on a CPU: yes for 1, no for 1, unclear for 1 of 3 cases: ")
    yes, no, unclear = (text.index(f"{one} for demo/") for one in ("yes", "no", "unclear"))
    assert yes < no < unclear
    assert text.endswith("unclear for demo/open 1.01 (0.80 to 1.4) (the range includes 1).")
