"""What a run shows while it runs: a line for each cell that ended, the cell at work, and the time left."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bench.records.record import Record
from bench.runner.plan import PlannedCell, TimeLeft

LINE_SECONDS = 30.0
REFRESH_SECONDS = 1.0


class Display:
    """What stderr shows: a line for each cell that ended; a live line on a terminal, elsewhere an epoch now and then.

    Nothing is drawn between the cells' own messages, so that it takes no time from what is being measured. Colours
    are left out where `NO_COLOR` is set.
    """

    def __init__(self, cells: list[PlannedCell]) -> None:
        self._time_left = TimeLeft(cells)
        self._done, self._cells = 0, len(cells)
        self._drawn = self._began = time.monotonic()
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
        self._progress = Progress(*columns, console=self._console, auto_refresh=False, transient=True)
        self._task = self._progress.add_task("", total=len(cells))

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def started(self, planned: PlannedCell) -> None:
        """Show the running cell."""
        self._began = time.monotonic()
        self._draw(str(planned.cell))

    def epoch(self, planned: PlannedCell, progress: dict[str, Any]) -> None:
        """Show an epoch, at most one a second on a terminal and one in half a minute elsewhere."""
        live = self._console.is_terminal
        if time.monotonic() - self._drawn < (REFRESH_SECONDS if live else LINE_SECONDS):
            return
        accuracy = f"accuracy {progress['accuracy']:.3f}"
        if progress["val_accuracy"] is not None:
            accuracy += f", validation {progress['val_accuracy']:.3f}"
        text = f"{planned.cell}  epoch {progress['epoch']}/{progress['epochs']}  {accuracy}"
        if live:
            self._draw(text)
        else:
            self._line(f"{' ' * len(self._count())} {text}  ({self._left()})")

    def ended(self, record: Record) -> None:
        """Count a cell and print its line."""
        self._time_left.ended(record)
        self._began = time.monotonic()
        self._done += 1
        self._progress.update(self._task, advance=1)
        self._line(f"{self._count()} {record.cell}  {_outcome(record)}  ({self._left()})")

    def _count(self) -> str:
        width = len(str(self._cells))
        return f"[{self._done:>{width}}/{self._cells}]"

    def _left(self) -> str:
        seconds = self._time_left.seconds()
        if self._done == self._cells or not seconds:
            return "left: none"
        return f"left: about {duration(max(seconds - (time.monotonic() - self._began), 1))}"

    def _draw(self, text: str) -> None:
        if self._console.is_terminal:
            self._drawn = time.monotonic()
            self._progress.update(self._task, description=f"{text}  ({self._left()})")
            self._progress.refresh()

    def _line(self, text: str) -> None:
        self._drawn = time.monotonic()
        self._console.print(text, markup=False)


def _outcome(record: Record) -> str:
    if record.status != "ok":
        return f"{record.status}: {first_line(record.reason)}"
    parts = ["ok"]
    last = record.metrics.last if record.metrics else None
    score = last and (last.test or last.validation)
    if last and score:
        parts.append(f"{'test' if last.test else 'validation'} accuracy {score.accuracy:.4f}")
    parts.append(f"{record.seconds:.1f} s")
    return "  ".join(parts)


def first_line(text: str | None) -> str:
    """Return the first line of a text, the empty string for none."""
    return text.splitlines()[0] if text else ""


def duration(seconds: float) -> str:
    """Return seconds as people say them: `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
