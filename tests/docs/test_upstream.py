"""The reports of docs/upstream/: their reproductions print what they show, and their changes to Keras mend it."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

DUPLICATES, BACKWARD, WAIT = "keras-duplicate-gradient-rows", "keras-jax-backward-lstm", "tensorflow-autotune-wait"


def blocks(report: str, language: str) -> list[str]:
    text = (ROOT / "docs" / "upstream" / f"{report}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(script: str, **environment: str) -> list[list[str]]:
    """Return the words that a script prints in a process of its own, line by line."""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return [line.split() for line in ended.stdout.splitlines()]


@functools.cache
def printed(report: str) -> list[list[str]]:
    """Return what the first reproduction of a report prints."""
    return run(blocks(report, "python")[0])


def shown(report: str) -> list[list[str]]:
    """Return what a report says that its first reproduction prints."""
    return [line.split() for line in blocks(report, "text")[0].splitlines()]


def mended(report: str, folder: Path) -> list[list[str]]:
    """Return what the first reproduction of a report prints with its change to Keras, made to a copy."""
    found = importlib.util.find_spec("keras")
    assert found
    assert found.origin
    shutil.copytree(Path(found.origin).parent, folder / "keras", ignore=shutil.ignore_patterns("__pycache__"))
    (change,) = blocks(report, "diff")
    subprocess.run(["git", "apply", "-"], input=change, text=True, cwd=folder, check=True)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return run(blocks(report, "python")[0], PYTHONPATH=path)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text)]


# --- duplicate rows of an embedding gradient -----------------------------------------------------------------------


def test_optimizers_square_duplicate_rows_before_summing_them() -> None:
    pytest.importorskip("tensorflow")
    assert printed(DUPLICATES) == shown(DUPLICATES)
    for name, sparse, dense in printed(DUPLICATES):
        assert (sparse == dense) == (name == "SGD")


def test_the_change_sums_duplicate_rows(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    found = mended(DUPLICATES, tmp_path)
    assert [(name, dense) for name, _, dense in found] == [(name, dense) for name, _, dense in printed(DUPLICATES)]
    assert all(sparse == dense for _, sparse, dense in found)


@pytest.mark.parametrize("engine", ["tensorflow", "torch", "jax"])
def test_a_model_steps_as_the_table_says(engine: str) -> None:
    pytest.importorskip(engine)
    text = (ROOT / "docs" / "upstream" / f"{DUPLICATES}.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{engine}` \|(.*)\|$", re.sub(r" \(=.*?²\)\)?", "", text), re.MULTILINE)
    found = run(blocks(DUPLICATES, "python")[1], KERAS_BACKEND=engine)
    assert numbers(" ".join(itertools.chain(*found))) == pytest.approx(numbers(row), rel=2e-3)


# --- a backward LSTM on JAX ----------------------------------------------------------------------------------------


def differences(lines: list[list[str]]) -> dict[str, float]:
    return {" ".join(line[:-1]): float(line[-1]) for line in lines}


def test_a_backward_lstm_is_reversed_on_the_cudnn_path_of_jax() -> None:
    pytest.importorskip("jax")
    found = differences(printed(BACKWARD))
    assert found.keys() == differences(shown(BACKWARD)).keys()
    for seen in (found, differences(shown(BACKWARD))):
        wrong = {name for name, difference in seen.items() if difference > 0.1}
        assert wrong == {"backward", "both, dropout"}
        assert all(difference < 1e-6 for name, difference in seen.items() if name not in wrong)


def test_the_change_leaves_the_order_of_a_backward_lstm_to_bidirectional(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    found = differences(mended(BACKWARD, tmp_path))
    assert found.keys() == differences(printed(BACKWARD)).keys()
    assert all(difference < 1e-6 for difference in found.values())


# --- the autotune thread -------------------------------------------------------------------------------------------


def test_the_wait_for_the_autotune_thread_is_reproduced_by_the_same_lines() -> None:
    # Whether an iteration waits is a race, and times are not asserted: the lines must run, and print what is told.
    pytest.importorskip("tensorflow")
    for lines in (printed(WAIT), shown(WAIT)):
        assert [(name, len(seconds)) for name, *seconds in lines] == [("tuned", 8), ("untuned", 8)]
