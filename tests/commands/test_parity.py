"""`bench parity`: what it proves, writes, prints, and how it exits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.commands import parity
from bench.parity import lanes
from bench.parity.proof import Difference, Proof, load
from tests.conftest import ROOT, call, kill

SUITE = """
from bench.spec import *

DATA = Embedded(num_words=40, maxlen=9, train=120, test=40)

def case(name, *layers, **more):
    return Case(name, data=DATA, layers=(Embedding(40, 5), *layers, Dense(1, "sigmoid")),
                training=Training("adam", epochs=1), **more)

SUITE = Suite("small", document="none", title="Small cases", era=KERAS_2_3, cases=(
    case("rnn", SimpleRNN(4)),
    case("same-rnn", SimpleRNN(4)),
    case("dense", Flatten()),
    case("dropped", LSTM(4, recurrent_dropout=.2)),
    case("gpu", LSTM(4), requires=Requires("fused", "cuda")),
))
"""

Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    (tmp_path / "suite.py").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: str) -> tuple[int, str, str]:
        return call("parity", "--suites", "suite.py", *arguments), *capsys.readouterr()

    return run


def test_the_kernels_of_one_backend_are_proven_against_each_other(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    code, out, _ = bench("small", "--short", "--backend", "torch", "--out", "found")
    out = " ".join(out.split())
    assert code == 0
    assert "small/rnn torch,fused: proven; largest relative error: float64" in out
    assert "small/dropped torch,fused: unavailable (no fused kernel: LSTM with recurrent_dropout 0.2)" in out
    assert "small/gpu torch,fused: unavailable (the case is for cuda only" in out
    assert "(same model and data as small/rnn)" in out
    marks = load(tmp_path / "found" / "parity.json")
    assert marks["small/rnn", "torch", "generic"] == marks["small/same-rnn", "torch", "fused"] == "proven"
    assert marks["small/dense", "torch", "none"] == marks["small/gpu", "torch", "fused"] == "not applicable"
    page = (tmp_path / "found" / "parity.md").read_text()
    assert "Twins proven: 2 of 2" in page
    assert re.search(r"^\| small/rnn \(generated text\) +\| torch, fused +\| 0e\+00 ", page, re.MULTILINE)


def test_nothing_to_compare_exits_3(bench: Bench) -> None:
    pytest.importorskip("torch")
    code, _, err = bench("small/dense", "--short", "--backend", "torch")
    assert code == 3
    assert "nothing to compare" in err


def test_a_failure_exits_3_and_is_told_in_full(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = Difference(
        check="gradient",
        dtype="float64",
        weight="lstm/kernel",
        place="[3, 17]",
        expected="0.25",
        found="0.5",
        error=1.0,
        allowed=1e-9,
    )

    def failing(*_: Any, **__: Any) -> Iterator[Proof]:
        yield Proof(
            suite="small",
            case="rnn",
            backend="torch",
            kernel="generic",
            verdict="not proven",
            reference="keras-tensorflow,generic",
            errors={"gradient": {"float64": 1.0}},
            failures=[failure],
            steps=100,
            profile="documented",
        )

    monkeypatch.setattr(parity, "proofs", failing)
    told = (
        "small/rnn: gradient (float64), lstm/kernel[3, 17]: expected 0.25, found 0.5 "
        "(relative error 1.0e+00, allowed 1.0e-09)"
    )
    code, out, _ = bench()
    assert code == 3
    assert told in " ".join(out.split())
    page = (tmp_path / "reports" / "local" / "parity.md").read_text()
    assert "lstm/kernel[3, 17]: expected 0.25, found 0.5" in page
    assert "**not proven**" in page
    code, out, err = bench("--json")
    assert code == 3
    assert told in " ".join(err.split())
    assert json.loads(out)["records"][0]["failures"][0]["weight"] == "lstm/kernel"


def test_an_unknown_backend_is_named(bench: Bench) -> None:
    code, _, err = bench("--backend", "toch")
    assert code == 2
    assert "unknown backend 'toch'; nearest: torch" in err


def test_a_backend_that_breaks_leaves_the_other_cases_proven(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    plain = lanes._Lane.proofs

    def breaks(lane: lanes._Lane, subject: Any, *rest: Any, **more: Any) -> Iterator[Proof]:
        if subject.case.name == "rnn":
            kill(lane.servers["torch"].child)
        return plain(lane, subject, *rest, **more)

    monkeypatch.setattr(lanes._Lane, "proofs", breaks)
    monkeypatch.setattr(lanes, "LANES", 1)
    (tmp_path / "suite.py").write_text(SUITE.replace('"same-rnn", SimpleRNN(4)', '"other-rnn", SimpleRNN(3)'))
    code, out, _ = bench("small", "--short", "--backend", "torch")
    out = " ".join(out.split())
    assert code == 3
    assert "small/rnn torch,fused: not proven (torch, build: the process was killed by signal 9 (SIGKILL)" in out
    assert "small/other-rnn torch,fused: proven" in out
