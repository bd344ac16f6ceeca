"""Generated parts of a hand-written Markdown file: what stands between two comments that name it.

`<!-- twinbench:NAME begin -->` and `<!-- twinbench:NAME end -->`, each on a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bench.errors import UsageError, unknown

_MARK = re.compile(r"^<!-- twinbench:(?P<name>\S+) (?P<side>begin|end) -->$", re.MULTILINE)


def fill(text: str, contents: Mapping[str, str], place: str) -> str:
    """Return `text` with the content of every marked block replaced; `place` names the file in errors.

    Raises `UsageError` for a block that is not in `contents`, and for marks that are not in pairs.
    """
    parts: list[str] = []
    opened: re.Match[str] | None = None
    done = 0
    for mark in _MARK.finditer(text):
        name, line = mark["name"], text.count("\n", 0, mark.start()) + 1
        if (mark["side"] == "end") != (opened is not None and opened["name"] == name):
            raise UsageError(
                f"{place}, line {line}: block {name!r} needs a begin and, below it, an end of the same name"
            )
        if opened is None:
            if name not in contents:
                raise UsageError(f"{place}, line {line}: {unknown('block', name, contents)}")
            opened = mark
            parts.append(text[done : mark.end()])
        else:
            parts.append(f"\n\n{contents[name]}\n\n{mark[0]}")
            opened = None
        done = mark.end()
    if opened is not None:
        raise UsageError(f"{place}: block {opened['name']!r} has no end; add <!-- twinbench:{opened['name']} end -->")
    return "".join(parts) + text[done:]
