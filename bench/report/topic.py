"""What a topic of a report is: one file in `topics/` with these functions, as far as it has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.report.frames import CaseRow
from bench.report.results import Link, Results


@dataclass(frozen=True)
class Table:
    """The figures behind a conclusion, all plain text; columns whose number is in `left` hold no figures."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Answer:
    """What results say to a question: a conclusion of at most 20 words, its figures, and where more is said.

    All is plain text; between backquotes stands code. `notes` are sentences below the table: on what the figures rest,
    then what is missing, with the command that mends it.
    """

    conclusion: str
    table: Table | None = None
    see: tuple[Link, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Topic:
    """A topic by its name, which is that of its page, `NAME.md`, and of its README block, `MACHINE/NAME`.

    `frame` gives its rows, the data of everything else. `answer` gives what they say to `question`, None where they
    say nothing. `table` gives the page, `block` what stands in the README, in place of the answer.
    """

    name: str
    frame: Callable[[Results], Sequence[CaseRow]] | None = None
    question: str | None = None
    answer: Callable[[Results], Answer | None] | None = None
    table: Callable[[Results], str] | None = None
    block: Callable[[Results], str] | None = None
