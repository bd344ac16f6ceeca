"""The reproductions of docs/findings.md, word for word, against the figures printed below them."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

FINDINGS = ROOT / "docs" / "findings.md"
MARK = "--- next block ---"
JAX = 'os.environ["KERAS_BACKEND"] = "jax"'
TORCH = "import time, torch"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", FINDINGS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """Return what each block prints on TensorFlow, all of them run in one process."""
    pytest.importorskip("tensorflow")
    script = f"\nprint({MARK!r})\n".join(block for block in blocks() if JAX not in block and TORCH not in block)
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return ended.stdout.split(MARK)


def section(words: str) -> str:
    """Return the finding whose heading holds some words."""
    found = FINDINGS.read_text(encoding="utf-8").split("\n## ")
    (text,) = (text for text in found if words in text.partition("\n")[0])
    return text


def numbers(text: str) -> list[float]:
    return [float(word) for word in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)]


def test_duplicate_rows_are_squared_before_they_are_summed(printed: list[str]) -> None:
    (row,) = re.findall(r"\| TensorFlow \| (.*) \|", section("duplicate embedding gradients"))
    squares, step = row.split("|")
    _, first, second, _, _, moved, moved_second, _ = numbers(printed[0])
    assert (first, second) == pytest.approx([0.2, 0.1], rel=1e-5)
    assert squares.startswith("0.2 (")
    assert (moved, moved_second) == pytest.approx(numbers(step), rel=2e-3)


def test_epsilon_inside_the_root_shortens_the_first_step(printed: list[str]) -> None:
    told = [numbers(line) for line in re.findall(r"^\| \de.*", section("epsilon"), re.MULTILINE)]
    found = [numbers(line) for line in printed[1].split("\n") if line]
    assert len(found) == len(told) == 5
    for row, expected in zip(found, told, strict=True):
        assert row == pytest.approx(expected, rel=2e-3)


def test_a_seed_gives_every_epoch_the_same_order(printed: list[str]) -> None:
    (row,) = re.findall(r"\| TensorFlow \| (.*) \|", section("same order"))
    expected = [numbers(epoch) for epoch in row.split("|")]
    assert [numbers(line) for line in printed[2].strip().split("\n")] == expected
    assert expected[0] == expected[1] == expected[2]


def test_the_wait_for_the_tuning_thread_is_reproduced_by_the_same_lines(printed: list[str]) -> None:
    # Whether an epoch waits is a race, and times are not asserted: the lines must run, and print as much as is told.
    told = re.findall(r"^\| (?:yes|no) \| (.*) \|", section("wait for a thread"), re.MULTILINE)
    found = [numbers(line) for line in printed[3].strip().split("\n")]
    assert [len(line) for line in found] == [len(numbers(line)) for line in told] == [8, 8]


def test_the_cost_of_denormal_numbers_is_reproduced_by_the_same_lines() -> None:
    # Times are not asserted: the lines must run, and print as much as is told.
    pytest.importorskip("torch")
    (script,) = (block for block in blocks() if TORCH in block)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["False", "True"]


def test_backward_states_are_turned_round_twice() -> None:
    pytest.importorskip("jax")
    (script,) = (block for block in blocks() if JAX in block)
    # And what the backend makes of it.
    script += """
from bench.backends.keras.network import _layer
from bench.errors import Unavailable
from bench.spec import LSTM, Bidirectional, Embedding
from tests.networks import case, model_of
for dropout in (0.0, 0.1):
    declared = case(Embedding(40, 3), Bidirectional(LSTM(4, return_sequences=True, dropout=dropout)), LSTM(2))
    layers = model_of(declared).layers
    (both,) = (built for built in layers if isinstance(built.layer, Bidirectional))
    try:
        print(type(_layer(both, True)).__name__)
    except Unavailable as error:
        print(error)
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    *rows, without, refused = ended.stdout.strip().split("\n")
    told = [numbers(line) for line in re.findall(r"^\| \d.*", section("backward states"), re.MULTILINE)]
    for (dropout, fused, turned), (dropout_told, *_) in zip(map(numbers, rows), told, strict=True):
        assert dropout == dropout_told
        wrong, right = (fused, turned) if dropout else (turned, fused)
        assert right < 1e-6 < 0.1 < wrong
    assert without == "Bidirectional"
    assert refused.startswith("no fused kernel: Keras's JAX engine returns a Bidirectional layer's backward states")
