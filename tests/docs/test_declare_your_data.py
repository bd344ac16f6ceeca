"""docs/declare-your-data.md: its data is prepared as told, its suite trained, proven, explained, its errors told."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from bench import spec
from bench.cases.catalog import sound
from bench.cases.profiles import apply
from bench.data import prepare, stand_ins_for
from bench.errors import BenchError
from bench.records.record import Record
from bench.records.store import Store
from bench.spec import Arrays, TextCsv
from bench.training.experiment import dataset_of
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "declare-your-data.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE, re.DOTALL))
CASES = re.findall(r"`((?:Arrays|TextCsv)\([^`]*?\))`", PAGE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that holds the files of the page, and is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    runpy.run_path("make_digits.py", run_name="__main__")
    return tmp_path


def test_the_suites_of_the_page_are_short_and_prepared_as_it_says(folder: Path) -> None:
    digits, reviews = (sound([name]).suites[name.removesuffix(".py")] for name in ("digits.py", "reviews.py"))
    assert all(len(FILES[name].splitlines()) <= 20 for name in ("make_digits.py", "digits.py", "reviews.py"))

    dataset = dataset_of(digits.cases[0], {})
    assert dataset.validation is not None
    assert dataset.test is not None
    parts = (dataset.train, dataset.validation, dataset.test)
    assert [len(part) for part in parts] == [1257, 180, 360]
    rows = np.concatenate([np.asarray(part.x).reshape(-1, 64) for part in parts])
    assert sorted(map(bytes, rows)) == sorted(
        map(bytes, (load_digits().images / 16).astype(np.float32).reshape(-1, 64))
    )
    assert np.mean(dataset.test.y) == pytest.approx(np.mean(load_digits().target % 2), abs=0.01)

    read = dataset_of(reviews.cases[0], {})
    assert read.test is not None
    assert (len(read.train), len(read.test), {*read.train.y.tolist()}) == (3, 3, {0.0, 1.0})
    pd.read_csv("reviews.csv").to_parquet("reviews.parquet")
    in_parquet = prepare(replace(reviews.cases[0].data, file="./reviews.parquet"), None, {})
    np.testing.assert_array_equal(in_parquet.train.x, read.train.x)


def test_every_declaration_that_the_page_mentions_can_be_made() -> None:
    assert len(CASES) >= 7
    for text in CASES:
        if "..." not in text:
            assert eval(text, vars(spec))


# --- errors ------------------------------------------------------------------------------------------------------


def own(**arrays: Any) -> Callable[[], Arrays | TextCsv]:
    """Return what writes `own.npz`, with other arrays than good ones, and declares it as rows of numbers."""

    def write() -> Arrays:
        np.savez("own.npz", **{"x": np.zeros((1797, 8, 8)), "y": np.arange(1797) % 2, **arrays})
        return Arrays("own.npz", shape=(8, 8), test=0.2)

    return write


def ids(values: Any) -> Callable[[], Arrays | TextCsv]:
    def write() -> Arrays:
        np.savez("own.npz", x=values, y=np.arange(len(values)) % 2)
        return Arrays("own.npz", num_words=5000, maxlen=400, test=0.2)

    return write


def table(content: bytes, name: str = "own.csv", **more: Any) -> Callable[[], Arrays | TextCsv]:
    def write() -> TextCsv:
        Path(name).write_bytes(content)
        return TextCsv(name, 10, 5, **{"test": 0.5, **more})

    return write


def null() -> TextCsv:
    pd.DataFrame({"text": ["a", None], "label": [0, 1]}).to_parquet("own.parquet")
    return TextCsv("own.parquet", 10, 5, test=0.5)


def archive() -> Arrays:
    Path("own.npz").write_bytes(b"cut off")
    return Arrays("own.npz", shape=(8, 8), test=0.2)


HOLE = np.zeros((1797, 8, 8))
HOLE[17, 3, 2] = np.nan
WRONG = (
    own(x=np.array([[1], [2, 3]], object)),
    archive,
    own(x=np.zeros((1797, 64))),
    own(y=np.arange(1796) % 2),
    own(x=HOLE),
    ids(np.zeros((9, 400))),
    ids(np.full((9, 400), 5000)),
    ids(np.zeros((9, 300), int)),
    null,
    own(y=np.eye(2)[np.arange(1797) % 2]),
    own(y=np.arange(1797) % 3),
    own(y=np.ones(1797, int)),
    table(b"text,label\na,0\nb,1\n"),
    table(b"text,stars\na,0\n", label="star"),
    table(b"text,label\na, b,0\n"),
    table(b"text,label\ncaf\xe9,0\n"),
    table(b"text,label\na,0\n", "own.parquet"),
    lambda: TextCsv("./nowhere.csv", 10, 5, test=0.5),
)
MESSAGES = re.findall(r"^\| `([^|]+)` \| ", PAGE.partition("## When a file is refused")[2], re.MULTILINE)


@pytest.mark.parametrize(("message", "wrong"), [*zip(MESSAGES, WRONG, strict=True)], ids=MESSAGES)
def test_every_error_of_the_page_is_told_in_its_words(
    message: str, wrong: Callable[[], Arrays | TextCsv], folder: Path
) -> None:
    data = wrong()
    with pytest.raises(BenchError) as told:
        prepare(data, None, stand_ins_for(data, None, {}))
    assert message in str(told.value)


# --- the suite, under both frameworks ----------------------------------------------------------------------------


@pytest.fixture
def bench(folder: Path) -> Callable[..., str]:
    """Return `bench` on the page's suite, which trains one epoch here."""
    for framework in ("torch", "tensorflow"):
        pytest.importorskip(framework)
    (folder / "digits.py").write_text(FILES["digits.py"].replace("epochs=20", "epochs=1"), encoding="utf-8")

    def run(*arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "bench", *arguments, "--suites", "digits.py"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


def records(folder: Path) -> dict[str, Record]:
    with Store(folder / "store.sqlite") as store:
        (run,) = store.runs()
        return {f"{record.case}@{record.backend}": record for record in store.records(run.name)}


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["quick", "documented"])
def test_both_frameworks_train_the_same_on_it(bench: Callable[..., str], folder: Path, profile: str) -> None:
    bench("run", "digits", "--profile", profile, "--measure", "accuracy", "--store", "store.sqlite")

    found = records(folder)
    suite = sound(["digits.py"]).suites["digits"]
    for case in suite.cases:
        keras, torch = (found[f"{case.name}@{backend}"] for backend in ("keras-tensorflow", "torch"))
        assert keras.data == torch.data
        assert keras.data is not None
        assert keras.data.sha256 == dataset_of(apply(case, profile), {}).sha256  # type: ignore[arg-type]
        for metrics in (keras.metrics, torch.metrics):
            assert metrics is not None
            assert metrics.last is not None
            assert metrics.last.test is not None
            assert metrics.last.test.accuracy > 1 / (case.classes or 2) + 0.05
        assert keras.metrics.last.test.loss == pytest.approx(torch.metrics.last.test.loss, rel=1e-3)  # type: ignore[union-attr]


@pytest.mark.slow
def test_its_twins_are_proven(bench: Callable[..., str], folder: Path) -> None:
    bench("parity", "digits", "--backend", "keras-tensorflow", "--backend", "torch", "--out", "found")

    proofs = json.loads((folder / "found" / "parity.json").read_text())["records"]
    proven = {(proof["case"], proof["backend"], proof["kernel"]) for proof in proofs if proof["verdict"] == "proven"}
    assert proven >= {("lstm", "torch", "generic"), ("lstm", "torch", "fused"), ("dense", "torch", "none")}
    assert proven >= {("ten", "torch", "generic"), ("ten", "torch", "fused")}
    assert {proof["profile"] for proof in proofs if proof["verdict"] == "proven"} == {"documented"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "backend", "numerics"),
    [
        ("lstm", "torch", {"matched", "native", "native:order", "native:init:recurrent", "native:bias"}),
        ("dense", "keras-tensorflow", {"matched", "native", "native:order", "native:init", "native:loss"}),
        ("ten", "torch", {"matched", "native", "native:order", "native:optimizer", "native:bias"}),
    ],
)
def test_its_defaults_are_priced(bench: Callable[..., str], case: str, backend: str, numerics: set[str]) -> None:
    options = ("--backend", backend, "--seeds", "2", "--threads", "1", "--store", "store.sqlite", "--json")
    document = json.loads(bench("explain", f"digits/{case}", *options))

    assert {effect["numerics"] for effect in document["effects"]} >= numerics
