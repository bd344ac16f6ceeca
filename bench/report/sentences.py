"""How sentences put names and counts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

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


def machine(environment: Mapping[str, Any]) -> str:
    """Return a machine: its processor without trade marks and clock, its cores, as far as they were used, its GPUs."""
    processor = re.sub(r"\((R|TM)\)|@.*", " ", str(environment.get("cpu", "unknown processor")), flags=re.IGNORECASE)
    cores, threads = (environment.get(name) for name in ("cores", "threads"))
    used = f"{threads} of " if threads not in (cores, None) else ""
    gpus = ", ".join(gpu["name"] for gpu in environment.get("gpus", ()))
    return ", ".join(
        filter(None, [" ".join(processor.split()), cores and f"{used}{count(cores, 'core')}", gpus or "no GPU"])
    )


def device(name: str) -> str:
    """Return a device as sentences call it."""
    return {"cpu": "CPU", "cuda": "GPU"}.get(name, name)
