"""Which of two results is the later one: by the sequence that a store gave them, whatever the clock said."""

from __future__ import annotations

import datetime
import time

from bench.records.record import Record


def place(record: Record) -> int:
    """Return the place of a record among all: of two results, the one with the larger place is the later one.

    It is the record's sequence; for one of earlier versions, the milliseconds from 1970 to its start.
    """
    if record.sequence is not None:
        return record.sequence
    try:
        started = datetime.datetime.fromisoformat(record.started)
    except ValueError:
        return 0
    return max(0, int(started.replace(tzinfo=started.tzinfo or datetime.UTC).timestamp() * 1000))


def following(last: int) -> int:
    """Return the sequence of what comes now, behind everything up to `last`.

    Milliseconds since 1970, so that stores of several machines can be merged, but never less than one more than `last`:
    a clock that is set back changes no order (hybrid logical clock: Kulkarni et al. 2014, "Logical Physical Clocks").
    """
    return max(time.time_ns() // 1_000_000, last + 1)
