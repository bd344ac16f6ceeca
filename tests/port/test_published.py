"""Ports after published descriptions, at their size: weights are carried, and what differs is named.

The files in `published/` name their sources. Only the differences that those ports have are named.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import call
from tests.port.conftest import Sides

HERE = Path(__file__).parent / "published"


def port(capfd: pytest.CaptureFixture[str], keras: str, torch: str, *more: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the answer for two functions of `published/`."""
    code = call("port", f"{HERE}/{keras}", f"{HERE}/{torch}", *more, "--json")
    return code, json.loads(capfd.readouterr().out)


def recipes(name: str) -> tuple[str, ...]:
    return "--keras-compile", f"{HERE}/{name}_keras.py:compiled", "--torch-step", f"{HERE}/{name}_torch.py:step"


def causes(answer: dict[str, Any]) -> set[str]:
    return {finding["cause"] for finding in answer["findings"]}


@pytest.fixture(autouse=True)
def _sides(monkeypatch: pytest.MonkeyPatch, kept_sides: Sides) -> None:
    monkeypatch.setattr("bench.commands.port.Side", kept_sides)


def test_the_outputs_and_gradients_of_the_tagger_are_equal(capfd: pytest.CaptureFixture[str]) -> None:
    """All but the form of its output: the tutorial's module returns logarithms, for `NLLLoss`."""
    code, answer = port(
        capfd, "tagger_keras.py:model", "tagger_torch.py:LSTMTagger", "--shape", "8,20", *recipes("tagger")
    )
    assert (code, causes(answer)) == (1, {"second-bias"})
    assert max(layer["alone"] for layer in answer["layers"]) < 1e-9


def test_the_defaults_of_torch_in_lstm_fcn_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    code, answer = port(
        capfd, "lstm_fcn_keras.py:model", "lstm_fcn_torch.py:LSTMFCN", "--shape", "16,1,128", *recipes("lstm_fcn")
    )
    assert code == 1
    assert answer["findings"][0]["cause"] == "batchnorm-epsilon"
    assert causes(answer) == {"batchnorm-epsilon", "batchnorm-momentum", "optimizer-epsilon", "second-bias"}


def test_a_transformer_encoder_of_two_layers_is_equal_but_for_torchs_defaults(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code, answer = port(capfd, "transformer_keras.py:model", "transformer_torch.py:TransformerClassifier")
    assert code == 1
    assert answer["findings"][0]["cause"] == "layernorm-epsilon"
    assert causes(answer) == {"layernorm-epsilon", "missing-layer"}  # dropouts that the example does not have
    code, answer = port(capfd, "transformer_keras.py:model", "transformer_torch.py:as_keras")
    assert (code, answer["verdict"], answer["findings"]) == (0, "equal", [])


def test_heads_as_wide_as_the_model_have_no_counterpart(capfd: pytest.CaptureFixture[str]) -> None:
    code, answer = port(capfd, "transformer_keras.py:as_printed", "transformer_torch.py:as_keras")
    assert (code, answer["verdict"]) == (2, "unmatched")
    assert any("multi_head_attention" in finding["layer"] for finding in answer["findings"])
