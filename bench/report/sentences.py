"""What answers are made of: findings, and how their sentences put names and counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.report.results import Column, Link

MOST_NAMED = 6
"""How many cases a sentence names before it says how many more there are."""


@dataclass(frozen=True)
class Finding:
    """The answer in a phrase (`lead`), a sentence or two behind it and a list, all plain text; where more is said."""

    lead: str
    text: str
    see: tuple[Link, ...] = ()
    items: tuple[str, ...] = ()

    @property
    def body(self) -> str:
        """Return text and list as one paragraph, for where no list can be shown."""
        return " ".join(filter(None, (self.text, "; ".join(self.items) + "." if self.items else "")))


@dataclass(frozen=True)
class Answer:
    """A question and what the results say to it, the most important first."""

    question: str
    findings: tuple[Finding, ...]


def count(number: int, noun: str) -> str:
    """Return `1 case`, `2 cases`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def have(number: int) -> str:
    """Return the verb that goes with a number of things."""
    return "has" if number == 1 else "have"


def listed(texts: Sequence[str], separator: str = "; ", most: int = MOST_NAMED) -> str:
    """Return the first texts, and how many more there are."""
    more = len(texts) - most
    return separator.join(texts[:most]) + (f"{separator}and {more} more" if more > 0 else "")


def joined(texts: Sequence[str], word: str = "and") -> str:
    """Return `a, b and c`."""
    *before, last = texts
    return f"{', '.join(before)} {word} {last}" if before else last


def upper(text: str) -> str:
    """Return `text` with a capital first letter."""
    return text[:1].upper() + text[1:]


def device(name: str) -> str:
    """Return a device as sentences call it."""
    return {"cpu": "CPU", "cuda": "GPU"}.get(name, name)


def with_kernels(column: Column, kernels: Iterable[str]) -> str:
    """Return a column with the kernels of its rows, where recurrent layers have any."""
    named = sorted({*kernels} - {"none"})
    return f"{column.setting} ({joined(named, 'or')})" if named else column


def under(columns: Sequence[str], every: Iterable[str]) -> str:
    """Return `under both backends` where `columns` are `every` one that there is, else their names."""
    everything = set(every)
    if len(columns) > 1 and set(columns) == everything:
        return "under both backends" if len(everything) == 2 else f"under all {len(everything)} backends"
    return f"under {joined(columns)}"


def shared(said: Iterable[tuple[str, str]], every: Iterable[str]) -> list[str]:
    """Return `what under column and column` for (column, what) pairs: what is the same of several is said once."""
    everything = set(every)
    columns: dict[str, list[str]] = {}
    for column, what in said:
        columns.setdefault(what, []).append(column)
    return [f"{what} {under(names, everything)}" for what, names in columns.items()]
