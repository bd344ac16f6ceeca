"""Arguments and options that several verbs have; importing them loads neither a framework nor a library of data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bench.records import DEFAULT_PATH
from bench.runner.options import DECLARATIONS, DEFAULTS

_Command = TypeVar("_Command", bound=Callable[..., Any])

patterns = click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
store = click.option(
    "--store",
    "store_path",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    metavar="PATH",
    help="File that holds the results.",
)
dry_run = click.option("--dry-run", is_flag=True, help="Print the cells and the estimated time; run nothing.")
name = click.option("--name", metavar="RUN", show_default="the time", help="Name of the new run.")
resume = click.option("--resume", metavar="RUN", help="Continue a run: skip the cells that ended ok.")


def as_json(what: str) -> Callable[[_Command], _Command]:
    """Return the option that prints `what` as JSON."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON.")


def out_folder(files: str) -> Callable[[_Command], _Command]:
    """Return the option for the folder of a report's `files`."""
    return click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("reports/local"),
        metavar="DIR",
        help=f"Folder {files}.",
    )


def of_run(*names: str, **changes: dict[str, Any]) -> Callable[[_Command], _Command]:
    """Return these options of `RunOptions`, or all of them: what is named in `changes` is declared with those."""

    def declare(function: _Command) -> _Command:
        for name in reversed(names or tuple(DECLARATIONS)):
            declared, default = DECLARATIONS[name], DEFAULTS[name]
            several = default == ()
            made = {"type": declared.type, "help": declared.help, "metavar": declared.metavar, "multiple": several}
            made |= {"is_flag": default is False, "default": None if several else default}
            made |= {"show_default": declared.default} if declared.default else {}
            option = click.option(declared.flag, name, **made | changes.get(name, {}))
            function = (patterns if name == "patterns" else option)(function)
        return function

    return declare


suites = of_run("suites")
