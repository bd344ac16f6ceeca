"""A side is asked who it is before anything is measured; whatever is wrong with it is said with side and remedy."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.compare.installations import Side, same_installation, side
from bench.errors import UsageError
from bench.runner.protocol import PROTOCOL, Question, Request
from tests.conftest import ROOT

QUESTION = Question(patterns=["imdb-rnn/lstm@torch"], profile="quick", device=None, suites=[], threads=1)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder of its own, without the checkout on the path of new processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)


def interpreter(folder: Path, body: str) -> str:
    """Return a program that stands in for a Python; it is called with `-P -m bench.runner.worker introduce`."""
    program = folder / "python"
    program.write_text(f"#!{sys.executable}\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def refused(python: str | None, path: Path | None = None) -> str:
    with pytest.raises(UsageError) as error:
        side("base", python, path, QUESTION)
    return str(error.value)


def test_a_side_says_what_it_is_and_which_cells_it_knows() -> None:
    found = side("base", sys.executable, ROOT, QUESTION)
    assert found.introduction.package == str(ROOT / "bench")
    assert found.environment["threads"] == 1
    assert found.environment["python"] == "{}.{}.{}".format(*sys.version_info[:3])
    (cell,) = found.introduction.cells
    assert cell.cell.startswith("imdb-rnn/lstm@torch,")
    assert found.introduction.unmatched == {}


def test_patterns_that_name_nothing_there_come_back_with_the_reason() -> None:
    question = QUESTION.model_copy(update={"patterns": ["imdb-rnn/lstn", "imdb-rnn/lstm@torch"]})
    found = side("base", None, ROOT, question)
    assert "nearest: imdb-rnn/lstm" in found.introduction.unmatched["imdb-rnn/lstn"]
    assert len(found.introduction.cells) == 1


def test_the_current_folder_is_never_measured_by_accident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").write_text("raise SystemExit('the wrong checkout')")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert side("base", sys.executable, None, QUESTION).introduction.package == str(ROOT / "bench")


def test_an_interpreter_that_is_not_there_or_no_program(tmp_path: Path) -> None:
    assert refused(str(tmp_path / "nowhere")).startswith(f"--base {tmp_path / 'nowhere'}: there is no such program")
    (tmp_path / "text").write_text("hello")
    assert "there is no such program" in refused(str(tmp_path / "text"))
    (tmp_path / "text").chmod(0o755)
    assert "does not run: Exec format error; name another with --base" in refused(str(tmp_path / "text"))


def test_an_interpreter_that_lacks_the_package(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    message = refused(python)
    assert message.startswith(f"the base interpreter {python} lacks twinbench (")
    assert "--base-path" in message
    assert f"{python} -m pip install -e CHECKOUT" in message
    # The checkout alone does not help where its requirements are missing.
    assert "cannot run a twinbench worker: ModuleNotFoundError: No module named" in refused(python, ROOT)


def test_a_folder_that_is_no_checkout(tmp_path: Path) -> None:
    assert refused(None, tmp_path) == (
        f"--base-path {tmp_path}: no checkout of twinbench; name the folder that holds bench/ and suites/"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            # What the worker of protocol 1 makes of its first argument.
            "import sys; int(sys.argv[4])",
            f"speaks worker protocol 1, this twinbench speaks 2 to {PROTOCOL}; bring that side to a twinbench that "
            "speaks 2 or later",
        ),
        (
            """print('{"protocol": 99, "version": "9.0", "news": true}')""",
            f"speaks worker protocol 99 (twinbench 9.0), this twinbench speaks 2 to {PROTOCOL}; "
            "run `bench ab` from that newer twinbench",
        ),
        ("print('Hello')", "answered something else than a twinbench worker: 'Hello"),
        ("raise SystemExit('out of order')", "cannot run a twinbench worker: out of order"),
    ],
)
def test_a_worker_that_cannot_be_spoken_to(body: str, message: str, tmp_path: Path) -> None:
    found = refused(interpreter(tmp_path, body))
    assert found.startswith(f"the base interpreter {tmp_path / 'python'} ")
    assert message in found


def test_records_of_a_later_schema_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    answer = side("base", sys.executable, ROOT, QUESTION).introduction.model_copy(update={"schema_version": 9})
    (tmp_path / "answer").write_text(answer.model_dump_json())
    message = refused(interpreter(tmp_path, f"print(open({str(tmp_path / 'answer')!r}).read())"))
    assert "writes records of schema version 9, this twinbench reads 3 and earlier; run `bench ab` from" in message


def test_a_request_leaves_out_what_an_older_worker_does_not_know_and_never_what_is_asked() -> None:
    words: dict[str, Any] = {"profile": "quick", "measure": "timing", "suites": [], "stand_ins": {}}
    cell = {"cell": "a/b@torch,none,cpu,documented#0", "repeat": 1}
    older = Request(protocol=2, **words, **cell)
    assert json.loads(older.worded()) == {"protocol": 2, "cells": [cell], **words}
    brief = Request(protocol=3, brief=True, **words, **cell).worded()
    assert json.loads(brief) == {"protocol": 3, "brief": True, "cells": [cell], **words}
    with pytest.raises(ValueError, match="protocol 2 cannot be asked for: brief"):
        older.model_copy(update={"brief": True}).worded()
    with pytest.raises(ValueError, match="protocol 2 cannot be asked for: process"):
        older.model_copy(update={"process": "shared"}).worded()
    now = {"brief": False, "process": "own", **cell, **words}
    assert json.loads(Request(protocol=5, **words, **cell).worded()) == {"protocol": 5, **now}


def test_sides_that_are_one_installation_are_known_as_such(tmp_path: Path) -> None:
    one = side("base", None, ROOT, QUESTION)
    assert same_installation(one, side("candidate", sys.executable, ROOT, QUESTION))
    elsewhere = one.introduction.model_copy(update={"prefix": str(tmp_path)})
    assert not same_installation(one, Side("candidate", "python", (), elsewhere))
