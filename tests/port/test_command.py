"""`bench port` on a pair of files: the answer, the exit code, one screen, and a suite of the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cases.catalog import sound
from tests.conftest import call

pytest.importorskip("keras")
pytest.importorskip("torch")

KERAS = """
import keras
from keras import layers

def model():
    return keras.Sequential([
        keras.Input((12,), dtype="int32"),
        layers.Embedding(50, 8),
        layers.LSTM(5),
        layers.Dropout(0.5),
        layers.Dense(4, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ])

def compiled(model):
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
"""
TORCH = """
import torch
from torch import nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.emb = nn.Embedding(50, 8)
        self.lstm = nn.LSTM(8, 5, batch_first=True)
        self.drop = nn.Dropout(0.5)
        self.fc1 = nn.Linear(5, width)
        self.fc2 = nn.Linear(width, 1)

    def forward(self, ids):
        x, _ = self.lstm(self.emb(ids))
        x = self.drop(x[:, -1])
        return torch.sigmoid(self.fc2(F.relu(self.fc1(x))))

class FirstStep(Net):
    def forward(self, ids):
        x, _ = self.lstm(self.emb(ids))
        x = self.drop(x[:, 0])
        return torch.sigmoid(self.fc2(torch.tanh(self.fc1(x))))

def wide():
    return Net(6)

def step(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    def train(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.binary_cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss
    return train
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "k.py").write_text(KERAS)
    (tmp_path / "t.py").write_text(TORCH)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_equal_port_ends_with_0_and_its_model_is_exported(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("port", "k.py:model", "t.py:Net", "--out", "out", "--export", "suite.py") == 0
    printed = capfd.readouterr().out.splitlines()
    assert printed[0].startswith("Equal: ")
    assert len(printed) <= 45
    assert max(map(len, printed)) <= 80
    answer = json.loads((folder / "out" / "port.json").read_text())
    assert (answer["verdict"], answer["findings"]) == ("equal", [])
    assert {each["cause"] for each in answer["will_differ"]} == {"second-bias", "initialisers"}
    assert "| lstm" in (folder / "out" / "port.md").read_text()
    ((_, case),) = [found for found in sound([folder / "suite.py"]).cases() if found[0].name == "k"]
    assert [type(layer).__name__ for layer in case.layers] == ["Embedding", "LSTM", "Dropout", "Dense", "Dense"]
    assert case.layers[2].rate == 0.5


def test_a_suite_is_exported_to_a_python_file_alone(folder: Path) -> None:
    assert call("port", "k.py:model", "t.py:Net", "--export", "suite.pt") == 2
    assert not (folder / "suite.pt").exists()


def test_differences_are_named_in_order_with_their_lines(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("port", "k.py:model", "t.py:FirstStep", "--json") == 1
    findings = json.loads(capfd.readouterr().out)["findings"]
    assert [(each["cause"], each["layer"], each["line"]) for each in findings] == [
        ("last-state", "dense", "t.py:23"),
        ("activation", "dense_1", "t.py:24"),
    ]


def test_a_layer_without_a_counterpart_ends_with_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("port", "k.py:model", "t.py:wide", "--json") == 2
    printed = capfd.readouterr()
    answer = json.loads(printed.out)
    assert answer["verdict"] == "unmatched"
    assert [each["layer"] or each["torch"] for each in answer["findings"]] == ["dense", "dense_1", "fc1", "fc2"]
    assert "dense" in printed.err


def test_training_by_recipes_shows_the_second_bias(capfd: pytest.CaptureFixture[str]) -> None:
    recipes = ("--keras-compile", "k.py:compiled", "--torch-step", "t.py:step")
    assert call("port", "k.py:model", "t.py:Net", *recipes, "--json") == 1
    assert [each["cause"] for each in json.loads(capfd.readouterr().out)["findings"]] == ["second-bias"]
