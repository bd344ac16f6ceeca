"""Why figures deviate: what people found out, kept beside a report in `deviations.md` and cited by its answers."""

from __future__ import annotations

import re
from pathlib import Path

from bench.report.results import Link

FILE = "deviations.md"

_HEADING = re.compile(r"^## (?P<case>[\w-]+/[\w-]+): (?P<reason>.+)$", re.MULTILINE)
_DROPPED = re.compile(r"[^\w\- ]")


def load(folder: Path) -> dict[str, Link]:
    """Return, by `suite/case`, the reason that a heading `## suite/case: reason` gives, and where it stands.

    Empty where the folder holds no `deviations.md`.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    headings = _HEADING.finditer(path.read_text(encoding="utf-8"))
    return {found["case"]: (found["reason"].rstrip("."), f"{FILE}#{_anchor(found[0][3:])}") for found in headings}


def _anchor(heading: str) -> str:
    """Return the name that GitHub gives to a heading: lower case, spaces as hyphens, other punctuation dropped."""
    return _DROPPED.sub("", heading.lower()).replace(" ", "-")
