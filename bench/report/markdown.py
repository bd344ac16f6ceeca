"""Markdown reports: `accuracy.md`, `timing.md`, `parameters.md` and their index `README.md`, for a terminal as for GitHub."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from bench.report import tables
from bench.report.answers import answers, crossover
from bench.report.tables import CASE, NOT_RUN, Results
from bench.spec import Case, Suite

NOTHING = "–"

Cells = Sequence[str]


def write(results: Results, folder: Path) -> list[Path]:
    """Write the four files into `folder`, which is made, and return their paths, the index first."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in (
        ("README.md", index(results)),
        ("accuracy.md", accuracy(results)),
        ("timing.md", timing(results)),
        ("parameters.md", parameters(results)),
    ):
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


# --- escaping ----------------------------------------------------------------------------------------------------

_SPECIAL = re.compile(
    r"""(?P<always>[\\`*|$])            # code, emphasis, table cells, GitHub's formulas
      | <(?=[A-Za-z/!?])                # HTML
      | &(?=\#?\w+;)                    # entities
      | (?<![A-Za-z0-9])_|_(?![A-Za-z0-9])
      | ~(?=~)
      | (?<=\])[(\[]                    # links""",
    re.VERBOSE,
)
_CODE = re.compile(r"(?<!`)(`[^`]+`)(?!`)")


def plain(text: object) -> str:
    """Return `text` on one line, every character shown as itself by a Markdown renderer, pipes and HTML included."""
    line = " ".join(str(text).split())
    return re.sub(r"^(#|[-+>](?=\s)|\[|=+$|-+$|\d+(?=[.)]))", r"\\\1", _SPECIAL.sub(r"\\\g<0>", line)).replace("\\1", "1")


def prose(text: object) -> str:
    """Return `text` like `plain`, but keep its `code`."""
    line = " ".join(str(text).split())
    parts = _CODE.split(line)
    return "".join(part if place % 2 else plain(part) if part.strip() else part for place, part in enumerate(parts))


def code(text: str) -> str:
    """Return `text` as inline code, whatever backticks it holds."""
    line = " ".join(text.split())
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"
