"""The time of day as records carry it."""

from __future__ import annotations

import datetime


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
