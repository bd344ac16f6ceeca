"""What users hand to `bench port` by mistake ends in one sentence that names it, and in exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import call
from tests.port.conftest import Sides

keras = pytest.importorskip("keras")

KERAS = """
import os, sys, time
import keras, numpy
from keras import layers

def model():
    return keras.Sequential([keras.Input((6,)), layers.Dense(4, "relu", name="hidden"), layers.Dense(1, name="head")])

def raises():
    raise ValueError("no luck with keras")

def exits():
    sys.exit(0)

def dies():
    os._exit(0)

def hangs():
    time.sleep(600)

def talks():
    for _ in range(20000):
        print("a line of the user's on stdout")
        print("a line of the user's on stderr", file=sys.stderr)
    return model()

def not_a_model():
    return "a model"

def nan():
    made = model()
    made.set_weights([weight * numpy.nan for weight in made.get_weights()])
    return made

def half():
    hidden = layers.Dense(4, "relu", name="hidden", dtype="float16")
    return keras.Sequential([keras.Input((6,)), hidden, layers.Dense(1, name="head", dtype="float16")])

def stateful():
    return keras.Sequential([keras.Input((10, 6), batch_size=8), layers.LSTM(4, stateful=True, name="keeps")])

def two_inputs():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    hidden = layers.Dense(4, "relu", name="hidden")
    x = layers.Concatenate(name="both")([hidden(a), hidden(b)])
    return keras.Model([a, b], layers.Dense(1, name="head")(x))

def two_outputs():
    inputs = keras.Input((6,))
    x = layers.Dense(4, "relu", name="hidden")(inputs)
    return keras.Model(inputs, [layers.Dense(1, name="left")(x), layers.Dense(2, name="right")(x)])

def two_towers():
    inputs = keras.Input((6,))
    left = layers.Dense(4, "relu", name="left")(inputs)
    right = layers.Dense(4, "tanh", name="right")(inputs)
    return keras.Model(inputs, layers.Dense(1, name="head")(layers.Concatenate()([left, right])))

def deeper():
    hidden = [layers.Dense(4, "relu", name="hidden"), layers.Dense(4, "relu", name="second")]
    return keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(1, name="head")])

def compiled(made):
    made.compile("sgd", "mse")

def compile_raises(made):
    raise RuntimeError("no recipe")

def compiles_nothing(made):
    return None
"""

TORCH = """
import os, sys, time
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        return self.head(torch.relu(self.hidden(x)))

def raises():
    raise KeyError("no luck with torch")

class RaisesForward(Net):
    def forward(self, x):
        raise ValueError("no way forward")

class ExitsForward(Net):
    def forward(self, x):
        sys.exit(0)

class DiesForward(Net):
    def forward(self, x):
        os._exit(0)

class HangsForward(Net):
    def forward(self, x):
        time.sleep(600)

class Talks(Net):
    def forward(self, x):
        for _ in range(20000):
            print("a line of the user's on stdout")
        return super().forward(x)

def not_a_module():
    return 7

def half():
    return Net().half()

class Wider(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 5)
        self.head = nn.Linear(5, 1)

    def forward(self, x):
        return self.head(torch.relu(self.hidden(x)))

class Deeper(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 4)
        self.surplus = nn.Linear(4, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        return self.head(torch.relu(self.surplus(torch.relu(self.hidden(x)))))

class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 4)
        self.head = nn.Linear(8, 1)

    def forward(self, a, b):
        return self.head(torch.cat([torch.relu(self.hidden(a)), torch.relu(self.hidden(b))], 1))

class TwoOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 4)
        self.left = nn.Linear(4, 1)
        self.right = nn.Linear(4, 2)

    def forward(self, x):
        x = torch.relu(self.hidden(x))
        return self.left(x), self.right(x)

class TwoTowers(nn.Module):
    def __init__(self):
        super().__init__()
        self.second = nn.Linear(6, 4)
        self.first = nn.Linear(6, 4)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(torch.cat([torch.relu(self.first(x)), torch.tanh(self.second(x))], 1))

class Rnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 4, batch_first=True)

    def forward(self, x):
        return self.lstm(x)[0][:, -1]

def step(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    def train(x, y):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
        return loss
    return train

def step_raises(net):
    def train(x, y):
        raise RuntimeError("no step forward")
    return train

def step_is_nothing(net):
    return None

def step_returns_text(net):
    return lambda x, y: "a loss"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_sides: Sides) -> Path:
    """Return the current folder: both files, and a good batch."""
    monkeypatch.setattr("bench.commands.port.Side", kept_sides)
    (tmp_path / "k.py").write_text(KERAS)
    (tmp_path / "t.py").write_text(TORCH)
    (tmp_path / "broken.py").write_text("def model(:\n")
    (tmp_path / "needs.py").write_text("import a_module_that_nobody_has\n")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 6)).astype("float32"), rng.normal(size=(8, 1)).astype("float32")
    np.savez(tmp_path / "batch.npz", x=x, y=y)
    np.savez(tmp_path / "objects.npz", x=np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "wide.npz", x=np.zeros((8, 7), "float32"))
    np.savez(tmp_path / "empty.npz", x=np.zeros((0, 6), "float32"))
    np.savez(tmp_path / "nan.npz", x=np.full((8, 6), np.nan, "float32"))
    (tmp_path / "text.npz").write_text("no archive")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def port(*arguments: str) -> int:
    """Return the exit code; the user's files are named from the root, as workers that are kept run elsewhere."""
    files = [
        str(Path.cwd() / each) if each.partition(":")[0].endswith((".py", ".keras")) else each for each in arguments
    ]
    return call("port", *files)


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what is said of arguments that end in exit code 2, on stderr, in a few lines without a traceback."""
    assert port(*arguments) == 2
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert len(printed.err.splitlines()) <= 12
    return printed.err


SHAPE = ("--shape", "8,6")
RECIPES = ("--keras-compile", "k.py:compiled", "--torch-step", "t.py:step")

WRONG: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # Both sides by name.
    "no-keras-file": (("nowhere.keras", "t.py:Net"), ("nowhere.keras",)),
    "no-keras-module": (("nowhere.py:model", "t.py:Net"), ("nowhere.py",)),
    "no-keras-function": (("k.py:modle", "t.py:Net"), ("modle", "model")),
    "no-torch-class": (("k.py:model", "t.py:Nett"), ("Nett", "Net")),
    "no-name": (("k.py", "t.py:Net"), ("k.py",)),
    "syntax": (("broken.py:model", "t.py:Net"), ("broken.py:1",)),
    "import": (("needs.py:model", "t.py:Net"), ("needs.py:1", "a_module_that_nobody_has")),
    "keras-returns": (("k.py:not_a_model", "t.py:Net"), ("not_a_model",)),
    "torch-returns": (("k.py:model", "t.py:not_a_module"), ("not_a_module",)),
    # What the user's code does.
    "keras-raises": (("k.py:raises", "t.py:Net"), ("k.py:10", "no luck with keras")),
    "keras-exits": (("k.py:exits", "t.py:Net"), ("k.py:13", "exit")),
    "keras-dies": (("k.py:dies", "t.py:Net"), ("Keras",)),
    "torch-raises": (("k.py:model", "t.py:raises"), ("t.py:16", "no luck with torch")),
    "torch-forward-raises": (("k.py:model", "t.py:RaisesForward"), ("t.py:20", "no way forward")),
    "torch-forward-exits": (("k.py:model", "t.py:ExitsForward"), ("t.py:24", "exit")),
    "torch-forward-dies": (("k.py:model", "t.py:DiesForward"), ("torch",)),
    "keras-hangs": (("k.py:hangs", "t.py:Net", "--timeout", "15"), ("15",)),
    "torch-hangs": (("k.py:model", "t.py:HangsForward", "--timeout", "25"), ("25",)),
    "compile-raises": (
        ("k.py:model", "t.py:Net", "--keras-compile", "k.py:compile_raises", "--torch-step", "t.py:step"),
        ("k.py:67", "no recipe"),
    ),
    "compiles-nothing": (
        ("k.py:model", "t.py:Net", "--keras-compile", "k.py:compiles_nothing", "--torch-step", "t.py:step"),
        ("compiles_nothing",),
    ),
    "step-raises": (
        ("k.py:model", "t.py:Net", "--keras-compile", "k.py:compiled", "--torch-step", "t.py:step_raises"),
        ("t.py:115", "no step forward"),
    ),
    "step-is-nothing": (
        ("k.py:model", "t.py:Net", "--keras-compile", "k.py:compiled", "--torch-step", "t.py:step_is_nothing"),
        ("step_is_nothing",),
    ),
    "step-returns": (
        ("k.py:model", "t.py:Net", "--keras-compile", "k.py:compiled", "--torch-step", "t.py:step_returns_text"),
        ("step_returns_text",),
    ),
    # The models.
    "nan": (("k.py:nan", "t.py:Net"), ("hidden", "NaN")),
    "keras-half": (("k.py:half", "t.py:Net"), ("hidden", "float16")),
    "torch-half": (("k.py:model", "t.py:half"), ("hidden", "half")),
    "stateful": (("k.py:stateful", "t.py:Rnn", "--shape", "8,10,6"), ("keeps", "stateful")),
    "units": (("k.py:model", "t.py:Wider"), ("hidden", "4", "5")),
    "torch-surplus": (("k.py:model", "t.py:Deeper"), ("surplus",)),
    "keras-surplus": (("k.py:deeper", "t.py:Net"), ("second",)),
    "map-keras": (("k.py:model", "t.py:Net", "--map", "hiden=hidden"), ("hiden", "hidden")),
    "map-torch": (("k.py:model", "t.py:Net", "--map", "hidden=hiden"), ("hiden", "hidden")),
    "map-form": (("k.py:model", "t.py:Net", "--map", "hidden"), ("hidden",)),
    # The batch.
    "no-batch": (("k.py:model", "t.py:Net", "--batch", "nowhere.npz"), ("nowhere.npz",)),
    "objects": (("k.py:model", "t.py:Net", "--batch", "objects.npz"), ("objects.npz",)),
    "wide": (("k.py:model", "t.py:Net", "--batch", "wide.npz"), ("7", "6")),
    "empty": (("k.py:model", "t.py:Net", "--batch", "empty.npz"), ("empty.npz",)),
    "nan-batch": (("k.py:model", "t.py:Net", "--batch", "nan.npz"), ("nan.npz",)),
    "no-archive": (("k.py:model", "t.py:Net", "--batch", "text.npz"), ("text.npz",)),
    "shape": (("k.py:model", "t.py:Net", "--shape", "8,9"), ("9", "6")),
    "shape-form": (("k.py:model", "t.py:Net", "--shape", "8,x"), ("8,x",)),
    "both": (("k.py:model", "t.py:Net", "--shape", "8,6", "--batch", "batch.npz"), ("--shape", "--batch")),
    "half-a-recipe": (("k.py:model", "t.py:Net", *SHAPE, "--torch-step", "t.py:step"), ("--keras-compile",)),
}
"""Arguments, and the words that the answer has to hold: the thing and its place."""


@pytest.mark.parametrize("name", WRONG)
def test_it_is_named_and_the_exit_code_is_2(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    arguments, words = WRONG[name]
    said = refused(capfd, *arguments)
    assert not [word for word in words if word not in said], said


def test_a_lambda_in_a_file_is_not_run(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = keras.Sequential([keras.Input((6,)), keras.layers.Lambda(lambda x: x * 2, name="doubles")])
    made.save(folder / "lambda.keras")
    assert "doubles" in refused(capfd, "lambda.keras", "t.py:Net")


def test_what_the_user_prints_is_no_part_of_the_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert port("k.py:talks", "t.py:Talks", "--json") == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["verdict"] == "equal"


def test_two_outputs_are_compared(capfd: pytest.CaptureFixture[str]) -> None:
    assert port("k.py:two_outputs", "t.py:TwoOutputs", *SHAPE, "--json") == 0
    assert json.loads(capfd.readouterr().out)["verdict"] == "equal"


def test_two_inputs_are_compared(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    np.savez(folder / "two.npz", a=rng.normal(size=(8, 6)), b=rng.normal(size=(8, 6)))
    assert port("k.py:two_inputs", "t.py:TwoInputs", "--batch", "two.npz", "--json") == 0
    assert json.loads(capfd.readouterr().out)["verdict"] == "equal"


def test_layers_that_could_be_either_are_told_apart_by_map(capfd: pytest.CaptureFixture[str]) -> None:
    assert (
        port("k.py:two_towers", "t.py:TwoTowers", *SHAPE, "--map", "left=first", "--map", "right=second", "--json") == 0
    )
    assert json.loads(capfd.readouterr().out)["verdict"] == "equal"
    port("k.py:two_towers", "t.py:TwoTowers", *SHAPE, "--map", "left=second", "--map", "right=first", "--json")
    assert json.loads(capfd.readouterr().out)["verdict"] == "differs"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, when it saves
def test_a_trained_file_is_read(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(4, "relu", name="hidden"), keras.layers.Dense(1, name="head")]
    )
    made.save(folder / "trained.keras")
    assert port("trained.keras", "t.py:Net", *SHAPE, "--json") == 0
    assert json.loads(capfd.readouterr().out)["verdict"] == "equal"


def test_the_recipes_of_a_good_pair_are_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert port("k.py:model", "t.py:Net", "--batch", "batch.npz", *RECIPES, "--json") == 0
    assert json.loads(capfd.readouterr().out)["findings"] == []
