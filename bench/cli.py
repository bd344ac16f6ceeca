"""The command: a group of verbs, each loaded from `bench/commands/` only when it is called."""

from __future__ import annotations

import errno
import importlib
import keyword
import logging
import os
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any

import click

from bench.errors import BenchError, unknown
from bench.shown import Shown, printable

VERBS = {
    "list": "List cases: layers, parameter counts, documented figures.",
    "run": "Run cells and store their results.",
    "worker": "Take cells of runs on a Dask cluster.",
    "report": "Write tables from stored results.",
    "parity": "Prove that backends train the same model.",
    "port": "Compare your Keras model with its PyTorch port, and name what differs.",
    "explain": "Say what each framework default costs in accuracy.",
    "ab": "Measure two environments in turn and judge the difference.",
    "history": "Show a metric over the stored runs, and where its level changed.",
    "compare": "Judge two stored runs or exported files (advisory).",
    "export": "Write stored results as JSON, CSV, Parquet or for pytest-benchmark.",
    "import": "Put exported results into a store.",
    "new": "Write a starting file for a suite or a backend.",
    "doctor": "Say what this machine can run, and why not the rest.",
    "data": "List, fetch, make and verify the data files.",
}


class _Verbs(click.Group):
    """Loads a verb's module when it is called, so that `bench list` never pays for pandas or SQL."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command: click.Command = importlib.import_module(f"bench.commands.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise unknown("verb", args[0], VERBS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="twinbench", prog_name="bench")
def cli() -> None:
    """Train the same documented model under Keras and PyTorch, and report accuracy, timing and parameters."""


class _Messages(logging.Handler):
    """Prints what the library has to say as the command's own messages."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"bench: {printable(record.getMessage())}", err=True)


def main(args: list[str] | None = None) -> None:
    """Run the command; exit with the code of a `BenchError`, with 2 for a file's error, with 70 for any other.

    A verb finds the words that it was called with in its context's `obj`.
    """
    stdout: Any = Shown(sys.stdout, live=False)
    stderr: Any = Shown(sys.stderr, live=True)
    with redirect_stdout(stdout), redirect_stderr(stderr):
        _main(args)


_NAMELESS = {errno.ENOSPC: "standard output", errno.ENOENT: "the current folder"}
"""What an error is about that names no file."""


def _main(args: list[str] | None) -> None:
    log = logging.getLogger("bench")
    log.setLevel(logging.INFO)
    if not log.handlers:
        log.addHandler(_Messages())
    try:
        words = sys.argv[1:] if args is None else args
        colours = False if os.environ.get("NO_COLOR") else None  # None: on a terminal
        outcome: Any = cli.main(words, "bench", standalone_mode=False, obj=words, color=colours)
    except BenchError as error:
        click.echo(f"bench: {printable(str(error))}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and (error.filename is not None or error.errno in _NAMELESS):
            place = printable(str(error.filename or _NAMELESS.get(error.errno or 0)))
            click.echo(f"bench: {place}: {error.strerror}; name another place", err=True)
            if error.filename is None and error.errno == errno.ENOSPC:
                with suppress(OSError):  # else Python tries once more at its end, and fails with another code
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(2)
        traceback.print_exc()
        remedy = "a fault of twinbench or of a plug-in: report it with the lines above, as an issue of its repository"
        click.echo(f"bench: unexpected {type(error).__name__}, {remedy}", err=True)
        sys.exit(os.EX_SOFTWARE)
    sys.exit(outcome if isinstance(outcome, int) else 0)
