"""Stored proofs give the marks of a report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.parity.proof import Proof, load, store


def test_stored_proofs_give_marks(tmp_path: Path) -> None:
    proofs = [
        Proof(suite="s", case=name, backend="torch", kernel="none", verdict=verdict)  # type: ignore[arg-type]
        for name, verdict in (("a", "proven"), ("b", "not proven"), ("c", "unavailable"), ("d", "not applicable"))
    ]
    path = tmp_path / "parity.json"
    store(path, proofs, {"packages": {}})
    assert load(path) == {
        ("s/a", "torch", "none"): "proven",
        ("s/b", "torch", "none"): "not proven",
        ("s/c", "torch", "none"): "not applicable",
        ("s/d", "torch", "none"): "not applicable",
    }
    broken = json.loads(path.read_text()) | {"schema_version": 99}
    path.write_text(json.dumps(broken))
    with pytest.raises(UsageError, match="schema version 99"):
        load(path)
