"""`parity.md` is a table whatever a backend had to say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.parity.proof import Proof
from bench.report.topics import parity
from tests.making import Gather, Maker, case, name, suite

BROKEN = (
    "torch: gradients failed\nTraceback (most recent call last):\n  File x, line 1\nValueError: a | b <img onerror=x>\n"
)


def test_a_traceback_stays_in_its_cell(tmp_path: Path) -> None:
    common = {"suite": "imdb-rnn", "case": "lstm", "kernel": "fused"}
    proofs = [
        Proof(**common, backend="torch", verdict="not proven", reason=BROKEN),
        Proof(**common, backend="keras-jax", verdict="unavailable", reason="no <b>JAX</b> here"),
    ]
    parity.write(proofs, {}, tmp_path / "parity.md")
    text = (tmp_path / "parity.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| imdb-rnn/lstm")]
    shown = r"**not proven** (torch: gradients failed: ValueError: a \| b \<img onerror=x>)"
    assert row.endswith(f"{shown} |")
    assert r"- keras-jax, fused: no \<b>JAX\</b> here: imdb-rnn/lstm" in text


def test_how_many_variants_are_proven_is_said_by_backend_and_kernel(record: Maker, results: Gather) -> None:
    marks = {
        ("demo/a", "torch", "none"): "proven",
        ("demo/b", "torch", "none"): "proven",
        ("demo/a", "keras-tensorflow", "none"): "proven",
        ("demo/b", "keras-jax", "none"): "not applicable",
    }
    gathered = results([suite(case("a"), case("b"))], [record(name("a"), test=0.7)])
    assert parity.answer(gathered) is None, "nothing was compared"
    every = parity.answer(replace(gathered, twins=marks))
    assert every is not None
    assert every.conclusion == "Yes: proven step by step for all 3 variants."
    some = parity.answer(replace(gathered, twins={**marks, ("demo/b", "torch", "none"): "not proven"}))
    assert some is not None
    assert some.table is not None
    assert some.conclusion == "2 of 3 variants are proven to train the same model, step by step."
    assert some.table.rows == (
        ("keras-tensorflow", "none", "1 of 1", "–"),
        ("torch", "none", "1 of 2", "demo/b"),
    )
