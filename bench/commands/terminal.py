"""How verbs print text and tables: in lines of the terminal's width, or of 100 columns where no terminal is.

rich is loaded when something is printed, so that `--json` does not pay for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from bench.records.record import SCHEMA_VERSION, json_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

PIPED_COLUMNS = 100
_UNFOLDED = 10_000


def _console(width: int | None) -> Console:
    from rich.console import Console

    return Console(width=width, markup=False, highlight=False, emoji=False)


def print_json(*, indent: int | None = 2, **content: Any) -> None:
    """Print one JSON document of these names, the version of what is stored before them."""
    click.echo(json_text({"schema_version": SCHEMA_VERSION, **content}, indent))


def show(*parts: RenderableType) -> None:
    """Print each part on lines of its own; what is too long is folded."""
    console = _console(None if sys.stdout.isatty() else PIPED_COLUMNS)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def bold(text: str) -> RenderableType:
    """Return a text in bold type."""
    from rich.text import Text

    return Text(text, "bold")


def indented(part: RenderableType, columns: int) -> RenderableType:
    """Return a part that begins so many columns from the left, in all of its lines."""
    from rich.padding import Padding

    return Padding(part, (0, 0, 0, columns))


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Table:
    """Return rows whose columns are aligned, those of the numbers `right` to the right; the last one is folded."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    last = len(rows[0]) - 1
    for number in range(last + 1):
        table.add_column(justify="right" if number in right else "left", no_wrap=number < last, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def lines(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return the line of each row of an aligned table, as long as it is."""
    rendered = _console(_UNFOLDED).render_lines(aligned(rows, right))
    return ["".join(segment.text for segment in line).rstrip() for line in rendered]
