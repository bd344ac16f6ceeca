"""docs/keras-versions.md against the installed packages: defaults, formulas, and the lines that its cells cite.

A row is known by the code that its first cell begins with: `Adam(epsilon)` states a default,
`LSTM(1).cell.implementation` a value, `RMSprop` a formula. Each package runs in a process of its own:
the lines of Keras never share one.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "keras-versions.md").read_text(encoding="utf-8")
SOURCES = {"keras": "src", "tf_keras": "src", "tensorflow": "python"}
"""The folder of a package at which paths start."""
CITED = re.compile(r"([\w/]+\.py):(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Cell:
    """A cell in the column of an installable package: what it says in code, of the row named by its first code."""

    package: str
    version: str
    row: str
    codes: tuple[str, ...]

    @property
    def cited(self) -> list[tuple[str, int, int]]:
        """Return file, first and last line of every source."""
        found = [match for code in self.codes if (match := CITED.fullmatch(code))]
        return [(match[1], int(match[2]), int(match[3] or match[2])) for match in found]


def codes(token: Token) -> tuple[str, ...]:
    return tuple(child.content for child in token.children or () if child.type == "code_inline")


def tables() -> Iterator[list[list[Token]]]:
    """Yield the rows of every table, each the contents of its cells."""
    rows: list[list[Token]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(PAGE):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append(token)
        elif token.type == "table_close":
            yield rows
            rows = []


def cells() -> Iterator[Cell]:
    for header, *rows in tables():
        for place, head in enumerate(header):
            if found := re.search(r"\b(tf_keras|keras|tensorflow) ([\d.]*\d)$", head.content.lower()):
                yield from (Cell(found[1], found[2], codes(row[0])[0], codes(row[place])) for row in rows)


CELLS = list(cells())


def folder(package: str) -> Path:
    """Return where a package lies, without importing it; skip where it is missing."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(spec.origin).parent


def test_the_page_has_a_column_for_every_package_and_a_source_in_every_row() -> None:
    assert {cell.package for cell in CELLS} == set(SOURCES)
    assert [cell.row for cell in CELLS if not cell.cited] == []


# --- the lines that cells cite -----------------------------------------------------------------------------------


HOLDS = {
    "RMSprop": r"self\.epsilon",
    "Adam": r"self\.epsilon|epsilon_hat|beta_2_power",
    "g1": r"_deduplicate_sparse_grad|IndexedSlices|def square",
    "m": r"assign_add",
    "binary_crossentropy": r"_keras_logits|_get_logits|epsilon\(\)",
    "binary_accuracy": r"threshold|is_binary",
    "loss": r"sample_weight",
    "hard_sigmoid(x)": r"0\.2|relu6",
    "dropout": r"dp_mask|dropout_mask",
    "recurrent_dropout": r"rec_dp_mask",
    "mask": r"zero_output_for_mask",
    "Bidirectional": r"reverse|flip",
    "bias": r"units \* 4",
    "GlobalAveragePooling1D": r"mask",
    "GlobalMaxPooling1D": r"def call\(self, inputs\):",
    "moving_variance": r"moving_variance",
    "moments": r"mask",
    "glorot_uniform": r"sqrt\(3",
    "recurrent_kernel": r"units \* [34]|ones",
    "orthogonal": r"\bqr\(",
    "load_data": r"RandomState",
    "np.random": r"random.*(normal|shuffle)",
    "validation_split": r"split_at",
    "EarlyStopping": r"self\.wait >= self\.patience",
}
"""What the lines of a row hold; those of other rows hold the names that the row is about."""


def names(row: str) -> str:
    """Return a pattern for the names that a row is about: the arguments of `Adam(epsilon)`, else its last name."""
    call = ast.parse(row, mode="eval").body
    if isinstance(call, ast.Call) and call.args and all(isinstance(word, ast.Name) for word in call.args):
        return "|".join(ast.unparse(word) for word in call.args)
    return re.findall(r"\w+", row)[-1]


@pytest.mark.parametrize("package", SOURCES)
def test_every_cited_line_holds_what_its_row_is_about(package: str) -> None:
    source = folder(package) / SOURCES[package]
    installed = version(packages_distributions()[package][0])
    read = {cell.version for cell in CELLS if cell.package == package}
    if read != {installed}:
        pytest.skip(f"{package} {installed} is installed, the page cites {', '.join(read)}")
    missed = []
    for cell in CELLS:
        if cell.package == package:
            for file, first, last in cell.cited:
                lines = (source / file).read_text(encoding="utf-8").splitlines()[first - 1 : last]
                text = "\n".join(lines)
                if len(lines) != last - first + 1 or not re.search(HOLDS.get(cell.row) or names(cell.row), text, re.I):
                    missed.append(f"{cell.row}: {file}:{first}")
    assert missed == []


def test_every_pattern_belongs_to_a_row() -> None:
    assert set(HOLDS) <= {cell.row for cell in CELLS}


# --- defaults and formulas ---------------------------------------------------------------------------------------


STEPS, GRADIENTS = 2, (1e-2, 1e-6, 3e-8)
"""Gradients on both sides of the square of an epsilon, each given for some steps."""
POINTS = (-4.0, -2.75, -1.0, 0.5, 2.6, 4.0)
"""Where both forms of `hard_sigmoid` bend, and between."""

PROBE = f"""
import ast, importlib, inspect, json, sys, types
import numpy as np, tensorflow as tf
keras = importlib.import_module(sys.argv[1])
parts = keras, keras.callbacks, keras.initializers, keras.optimizers, keras.layers
known = {{name: value for part in parts for name, value in vars(part).items()}}

def value(row):
    call = ast.parse(row, mode="eval").body
    if not (isinstance(call, ast.Call) and call.args and all(isinstance(word, ast.Name) for word in call.args)):
        return eval(row, known)
    asked = eval(ast.unparse(call.func), known)
    found = inspect.signature(asked.__init__ if inspect.isclass(asked) else asked).parameters
    defaults = [found[word.id].default for word in call.args]
    return defaults if len(defaults) > 1 else defaults[0]

def step(name):
    weight = getattr(keras, "Variable", tf.Variable)(np.zeros(3, "float32"))
    optimizer = getattr(keras.optimizers, name)(0.001)
    for _ in range({STEPS}):
        optimizer.apply_gradients([(tf.constant({GRADIENTS}), weight)])
    return np.asarray(weight).tolist()

def squares():
    weight = getattr(keras, "Variable", tf.Variable)(np.zeros((2, 1), "float32"))
    optimizer = keras.optimizers.RMSprop(0.001)
    twice = tf.IndexedSlices(tf.constant([[1.0], [3.0]]), tf.constant([1, 1]), tf.constant([2, 1]))
    optimizer.apply_gradients([(twice, weight)])
    return float(np.asarray(optimizer._velocities[0])[1, 0]) / 0.1

def waited(patience=3):
    stopping, model = keras.callbacks.EarlyStopping(patience=patience, mode="min"), types.SimpleNamespace()
    model.stop_training = False
    stopping.set_model(model)
    stopping.on_train_begin()
    epoch = 0
    stopping.on_epoch_end(epoch, {{"val_loss": 1.0}})
    while not model.stop_training:
        epoch += 1
        stopping.on_epoch_end(epoch, {{"val_loss": 1.0}})
    return epoch

rows = json.load(sys.stdin)
gates = keras.activations.hard_sigmoid(tf.constant({POINTS}))
formulas = {{"RMSprop": step("RMSprop"), "Adam": step("Adam"), "g1": squares(), "EarlyStopping": waited()}}
print(json.dumps([{{row: value(row) for row in rows}}, formulas | {{"hard_sigmoid(x)": np.asarray(gates).tolist()}}]))
"""
FORMULAS = ("RMSprop", "Adam", "g1", "EarlyStopping", "hard_sigmoid(x)")


def is_value(cell: Cell) -> bool:
    """Return whether a cell states the value of its row: a default, or what an expression gives."""
    return "(" in cell.row and cell.row not in FORMULAS


@pytest.fixture(scope="module", params=["keras", "tf_keras"])
def probed(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return a package, the values of the page's rows in it, and what its formulas give."""
    package = request.param
    folder(package)
    folder("tensorflow")
    rows = [cell.row for cell in CELLS if cell.package == package and is_value(cell)]
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, package],
        input=json.dumps(rows),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    values, formulas = json.loads(ended.stdout.splitlines()[-1])
    return package, values, formulas


def stated(package: str, row: str) -> str:
    """Return what the page says first in a row."""
    return next(cell.codes[0] for cell in CELLS if (cell.package, cell.row) == (package, row))


def test_the_values_of_the_page_are_those_of_the_package(probed: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    package, values, _ = probed
    assert len(values) > 15
    for row, found in values.items():
        said = ast.literal_eval(stated(package, row))
        assert (list(said) if isinstance(said, tuple) else said) == found, row


def test_the_formulas_of_the_page_give_what_the_package_computes(
    probed: tuple[str, dict[str, Any], dict[str, Any]],
) -> None:
    package, _, formulas = probed
    said = {row: stated(package, row) for row in FORMULAS}
    gates = [eval(said["hard_sigmoid(x)"], {"clip": np.clip, "x": x}) for x in POINTS]
    assert formulas["hard_sigmoid(x)"] == pytest.approx(gates, abs=1e-6)
    assert formulas["g1"] == pytest.approx(eval(said["g1"], {"g1": 1.0, "g2": 3.0}), rel=1e-5)
    assert formulas["EarlyStopping"] == eval(said["EarlyStopping"], {"patience": 3})
    for row, b1, b2 in (("RMSprop", 0.0, 0.9), ("Adam", 0.9, 0.999)):
        weights = []
        for g in GRADIENTS:
            m = v = w = 0.0
            for t in range(1, STEPS + 1):
                m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
                scope = {"sqrt": math.sqrt, "lr": 1e-3, "e": 1e-7, "g": g, "m": m, "v": v, "t": t, "b1": b1, "b2": b2}
                w -= eval(said[row], scope)
            weights.append(w)
        assert formulas[row] == pytest.approx(weights, rel=1e-3), row
