"""How verbs print text and tables: in lines of the terminal's width, or of 100 columns where no terminal is.

By tabulate and textwrap: rich's tables look the same and take a sixth of a second more, half of what `bench list` may.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from functools import partial
from typing import Any

import click
from tabulate import tabulate

from bench.records.record import SCHEMA_VERSION, json_text

PIPED_COLUMNS = 100


def print_json(*, indent: int | None = 2, **content: Any) -> None:
    """Print one JSON document of these names, the version of what is stored before them."""
    click.echo(json_text({"schema_version": SCHEMA_VERSION, **content}, indent))


def bold(text: str) -> str:
    """Return a text in bold type."""
    return "\n".join(click.style(line, bold=True) for line in folded(text).splitlines())


def folded(text: str, lead: str = "", hang: int | None = None) -> str:
    """Return a text in lines that fit, the first behind `lead`, the others `hang` columns from the left.

    By default they begin where the text does. A word, say a path, is cut only where no line holds it.
    """
    columns = shutil.get_terminal_size((PIPED_COLUMNS, 0)).columns
    indent = " " * (len(lead) if hang is None else hang)
    wrap = partial(textwrap.wrap, width=columns, subsequent_indent=indent, break_on_hyphens=False)
    lines = wrap(text, initial_indent=lead, break_long_words=False)
    return "\n".join(part for line in lines for part in wrap(line)) or lead.rstrip()


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = (), lead: str = "") -> list[str]:
    """Return rows, columns aligned, those of the numbers `right` to the right; the last column is folded."""
    sides = ["right" if number in right else "left" for number in range(len(rows[0]) - 1)]
    table = tabulate([row[:-1] for row in rows], tablefmt="plain", colalign=sides, disable_numparse=True)
    lines = table.split("\n")  # not splitlines: the last one may be empty
    width = max(map(len, lines))
    return [folded(row[-1], f"{lead}{line:<{width}}  ") for row, line in zip(rows, lines, strict=True)]
