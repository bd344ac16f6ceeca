"""What a terminal is shown: no text from a file, a store or another process steers it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

_MARK = "?"
# Of ESC sequences colours pass, and on stderr what rich draws a live line by. Controls are those of ASCII and Latin-1
# but for line ends and tabs; the last ones turn the direction of writing.
_OTHERS = r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
_STEERING = re.compile(r"(\x1b\[[\d;]*m)|\r(?!\n)|" + _OTHERS)
_STEERING_LIVE = re.compile(r"(\x1b\[(?:[\d;]*m|2K|1A|\?25[lh])|\r)|" + _OTHERS)


def printable(text: str) -> str:
    """Return a text with a question mark for every character that is none but a line end and a tab."""
    return "".join(character if character.isprintable() or character in "\n\t" else _MARK for character in text)


class Shown:
    """A stream of text that a terminal may show, without what would steer it but colours.

    `live`: a live line is drawn there, and what cannot be written (its disk is full, its reader gone) is dropped, and
    ends no run: standard error.
    """

    def __init__(self, stream: Any, live: bool) -> None:
        self._stream, self._live = stream, live

    def write(self, text: str) -> int:
        """Write a text; return its length."""
        steering = _STEERING_LIVE if self._live else _STEERING
        with suppress(*(OSError,) if self._live else ()):
            self._stream.write(steering.sub(lambda found: found[1] or _MARK, text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        with suppress(*(OSError,) if self._live else ()):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
