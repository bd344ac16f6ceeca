"""`parity.md` is a table whatever a backend had to say."""

from __future__ import annotations

from pathlib import Path

from bench.parity.proof import Proof
from bench.report.topics import parity

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
