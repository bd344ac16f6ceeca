"""What holds of every verb of the command."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest

from bench.cli import VERBS, cli
from bench.errors import UsageError
from bench.records.exports import Exported, as_json
from bench.records.store import Run
from bench.shown import Shown
from tests.conftest import ROOT, call

WITHOUT_JSON = {
    "export": "its result is the JSON: --format json",
    "worker": "takes cells until its scheduler is gone",
    "new suite": "writes a file whose name was given",
    "new backend": "writes a folder whose name was given",
}


def leaves(group: click.Group, names: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*names, name))
        else:
            yield " ".join((*names, name)), command


def test_every_verb_with_a_result_prints_it_as_json_when_asked() -> None:
    options = {name: {text for one in command.params for text in one.opts} for name, command in leaves(cli)}
    assert {name for name, known in options.items() if "--json" not in known} == WITHOUT_JSON.keys()


def described(context: click.Context, command: click.Command) -> Iterator[tuple[click.Option, str]]:
    for option in command.params:
        record = option.get_help_record(context)
        if isinstance(option, click.Option) and record:
            yield option, record[1]


def test_help_says_what_every_option_does_and_its_default() -> None:
    for name, command in leaves(cli):
        context = click.Context(command, parent=click.Context(cli, **cli.context_settings))
        for option, text in described(context, command):
            assert option.help, (name, option.name)
            default = option.get_default(context)
            if not option.is_flag and isinstance(default, str | int | float | Path):
                assert f"default: {default}" in text, (name, option.name)


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("words", [[], ["data"], ["new"], *([*name.split()] for name, _ in leaves(cli))], ids=" ".join)
def test_help_fits(
    columns: int, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert call(*words, "--help") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= columns


def test_a_place_that_cannot_be_written_is_named_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    exported = str(ROOT / "tests" / "commands" / "version_1.json")
    for store, message in (
        (file / "store.sqlite", f"bench: {file}: File exists; name another place\n"),
        (
            tmp_path,
            f"bench: {tmp_path} cannot be used as a store: unable to open database file; name another with --store\n",
        ),
    ):
        code = call("import", exported, "--store", str(store))
        assert (code, capsys.readouterr().err) == (2, message)


@pytest.mark.parametrize("error", [KeyError("x"), OSError("no name"), RecursionError(), MemoryError(), ValueError("y")])
def test_an_unexpected_error_is_no_regression_and_says_where_to_report_it(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "main", fails)
    assert call(next(iter(VERBS))) == 70
    *trace, sentence = capsys.readouterr().err.splitlines()
    assert trace[0].startswith("Traceback")
    assert sentence.startswith(f"bench: unexpected {type(error).__name__}")
    assert "issue" in sentence


STEERING = "\x1b]0;title\x07\x1b[2J\x1b[1A\x9b\u202e"
"""What names a window, clears a screen, goes up a line, and turns the direction of writing."""


def test_no_text_from_a_file_steers_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(
        f"a{STEERING}", "quick", "2026-01-01T00:00:00+00:00", [], {"patterns": [], "seeds": 1, "repeats": 1}, {"cpu": 1}
    )
    file, store = tmp_path / "run.json", str(tmp_path / "s.sqlite")
    file.write_text(as_json([Exported(run, [])]))
    assert call("import", str(file), "--store", store) == 0
    file.write_text(as_json([Exported(replace(run, environment={"cpu": 2}), [])]))
    assert call("import", str(file), "--store", store) == 0
    assert call("export", f"b{STEERING}", "--store", store) == 2
    told = capsys.readouterr()
    assert "is called a" in told.err
    assert "unknown run 'b" in told.err
    assert {mark for mark in told.out + told.err if not mark.isprintable()} == {"\n"}


def test_colours_pass_and_a_live_line_on_stderr_alone() -> None:
    text = "\x1b[1mbold\x1b[0m\tend\r\n"
    live = "\r\x1b[2K\x1b[1A\x1b[?25l"
    for is_live in (True, False):
        stream = io.StringIO(newline="")
        Shown(stream, live=is_live).write(text + live)
        assert stream.getvalue().startswith(text)
        assert (stream.getvalue() == text + live) is is_live


def test_a_current_folder_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(cli, "main", lambda *_, **__: os.getcwd())
    assert call(next(iter(VERBS))) == 2
    assert capsys.readouterr().err == "bench: the current folder: No such file or directory; name another place\n"


def test_no_message_steers_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*_: object, **__: object) -> None:
        logging.getLogger("bench").warning("\x1b[2Jlogged")
        raise UsageError("\x1b]0;owned\x07\x9b31m \u202ewrong\n\tnext")

    monkeypatch.setattr(cli, "main", fails)
    assert call(next(iter(VERBS))) == 2
    assert capsys.readouterr().err == "bench: ?[2Jlogged\nbench: ?]0;owned??31m ?wrong\n\tnext\n"
