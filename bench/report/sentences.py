"""How sentences put names and counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.report.results import Column

MOST_NAMED = 6
"""How many cases a sentence names before it says how many more there are."""


def count(number: int, noun: str) -> str:
    """Return `1 case`, `2 cases`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
