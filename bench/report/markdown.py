"""Markdown that every renderer shows alike: escaping, aligned tables, figures as cells show them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from bench.report.numbers import NOTHING
from bench.report.results import Link, Results
from bench.spec import Suite

Cells = Sequence[str]
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
_NUMBERED = re.compile(r"^(\d+)(?=[.)])")
_BLOCK = re.compile(r"^(?=[#>\[]|[-+](\s|$)|[-=]+$)")


def plain(text: object) -> str:
    """Return `text` on one line, every character shown as itself by a Markdown renderer, pipes and HTML included."""
    return _inline(_on_one_line(text))


def prose(text: object) -> str:
    """Return `text` like `plain` at the start of a paragraph or list item, but keep its `code`."""
    return _BLOCK.sub(r"\\", _NUMBERED.sub(r"\1\\", plain_but_code(text)))


def plain_but_code(text: object) -> str:
    """Return `text` like `plain`, but keep its `code`."""
    parts = _CODE.split(_on_one_line(text))
    return "".join(part if place % 2 else _inline(part) for place, part in enumerate(parts))


def _on_one_line(text: object) -> str:
    return " ".join(str(text).split())


def _inline(line: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", line)


def code(text: str) -> str:
    """Return `text` as inline code, whatever backticks it holds."""
    line = _on_one_line(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def markdown_table(headers: Cells, rows: Sequence[Cells], left: Iterable[int] = (0,)) -> str:
    """Return an aligned GitHub table of texts that are Markdown already; columns not in `left` are right-aligned."""
    aligned_left = set(left)
    sides = ["left" if place in aligned_left else "right" for place in range(len(headers))]
    return tabulate(rows, headers=list(headers), tablefmt="pipe", colalign=sides, disable_numparse=True)


def as_text(value: Any) -> str:
    """Return any value of a fingerprint or a frame in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {as_text(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(as_text, value)) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def versions(environment: Mapping[str, Any]) -> str:
    """Return the packages of an environment with their versions, but for this one."""
    packages = environment.get("packages", {})
    return ", ".join(f"{package} {version}" for package, version in packages.items() if package != "twinbench")


def document(parts: Sequence[str]) -> str:
    """Return a file's text from its paragraphs."""
    return "\n\n".join(parts) + "\n"


def filled_table(lead: str, rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a table without columns and rows that stay empty, below its lead; nothing where all are."""
    names = dict.fromkeys(name for row in rows for name, text in row.items() if text)
    if len(names) <= 2:
        return []
    kept = [row for row in rows if len([text for text in row.values() if text]) > 2]
    return [
        lead,
        markdown_table(list(names), [[row.get(name, "") or NOTHING for name in names] for row in kept], left=(0, 1)),
    ]


def plain_table(headers: Sequence[str], rows: Iterable[Sequence[object]], left: Iterable[int]) -> str:
    """Return a table of any values in words, an empty cell for None; columns not in `left` are right-aligned."""
    texts = [["" if value is None else plain(as_text(value)) for value in row] for row in rows]
    return markdown_table(list(map(plain, headers)), texts, left) if texts else "None recorded."


def suite_heading(suite: Suite) -> str:
    """Return the heading of a suite's section."""
    return f"## {plain(suite.name)}: {plain(suite.title)}"


def how_twins(results: Results) -> list[str]:
    """Return what the column `twins` says, nothing where there is none."""
    said = "`twins`: whether [parity](parity.md) has proven that the variants train the same model."
    return [said] if results.twins else []


def as_link(link: Link, folder: str = "") -> str:
    """Return a link as Markdown; `folder` is where the page is that it points to."""
    name, place = link
    return f"[{plain(name)}]({posixpath.normpath(folder + place)})" if place else plain(name)
