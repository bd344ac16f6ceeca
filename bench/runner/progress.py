"""What a run shows while it runs: a line for each cell that ended, the cell at work, and the time left."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bench.cases.cell import Cell
from bench.records.metrics import METRICS, value
from bench.records.record import Record
from bench.runner.plan import PlannedCell, TimeLeft
from bench.shown import printable

LINE_SECONDS = 30.0
REFRESH_SECONDS = 1.0
COLUMNS = 100
"""How long a line is where no terminal says it."""


class Display:
    """What stderr shows: a line for each cell that ended; a live line on a terminal, elsewhere an epoch now and then.

    Nothing is drawn between the cells' own messages, so that it takes no time from what is being measured. Colours
    are left out where `NO_COLOR` is set. Cells that are unavailable are only counted: what they lack comes last.
    `jobs` is how many cells work side by side.
    """

    def __init__(self, cells: list[PlannedCell], jobs: int = 1) -> None:
        self._time_left, self._jobs = TimeLeft(cells), jobs
        # The running cells, what is shown of each, and since when it runs.
        self._running: dict[tuple[Cell, int], tuple[str, float]] = {}
        self._done, self._cells, self._name = 0, len(cells), short_names(planned.cell for planned in cells)
        self._drawn = time.monotonic()
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
        """Show the running cells."""
        self._running[planned.cell, planned.repeat] = self._name(planned.cell), time.monotonic()
        self._draw()

    def epoch(self, planned: PlannedCell, progress: dict[str, Any]) -> None:
        """Show an epoch, at most one a second on a terminal and one in half a minute elsewhere."""
        live, place = self._console.is_terminal, (planned.cell, planned.repeat)
        if time.monotonic() - self._drawn < (REFRESH_SECONDS if live else LINE_SECONDS):
            return
        accuracy = f"accuracy {progress['accuracy']:.3f}"
        if progress["val_accuracy"] is not None:
            accuracy += f", validation {progress['val_accuracy']:.3f}"
        text = f"{self._name(planned.cell)}  epoch {progress['epoch']}/{progress['epochs']}  {accuracy}"
        self._running[place] = text, self._running[place][1]
        if live:
            self._draw()
        else:
            self._line(f"{' ' * len(self._count())} {text}", f"  {self._left()}")

    def ended(self, record: Record) -> None:
        """Count a cell and print its line."""
        self._time_left.ended(record)
        self._running.pop((record.cell, record.repeat), None)
        self._done += 1
        self._progress.update(self._task, advance=1)
        text, figures = f"{self._count()} {self._name(record.cell)}", ""
        if record.status == "ok":
            accuracy = value(record, "accuracy")
            figures = "" if accuracy is None else f"  {METRICS['accuracy'].text(accuracy)}"
            figures += f"  {record.seconds:.1f} s"
        else:
            text += f"  {record.status}: {first_line(record.reason)}"
        if record.status != "unavailable":
            self._line(text, f"{figures}  {self._left()}")

    def _count(self) -> str:
        width = len(str(self._cells))
        return f"[{self._done:>{width}}/{self._cells}]"

    def _left(self) -> str:
        seconds = self._time_left.seconds()
        if self._done == self._cells or not seconds:
            return "none left"
        spent = sum(time.monotonic() - began for _, began in self._running.values())
        return f"{duration(max((seconds - spent) / min(self._jobs, self._cells - self._done), 1))} left"

    def _draw(self) -> None:
        if self._console.is_terminal:
            self._drawn = time.monotonic()
            room = max(self._console.width - 60, 40) // len(self._running)
            texts = [text for text, _ in self._running.values()]
            shown = texts[0] if len(texts) == 1 else " | ".join(shortened(text, room) for text in texts)
            self._progress.update(self._task, description=f"{shown}  ({self._left()})")
            self._progress.refresh()

    def _line(self, text: str, end: str) -> None:
        """Print a line, of which `text` is cut where all is too long."""
        self._drawn = time.monotonic()
        live = self._console.is_terminal
        line = f"{shortened(text, (self._console.width if live else COLUMNS) - len(end))}{end}"
        if live:
            self._console.print(line, markup=False)
        else:  # ten times as fast
            print(line, file=self._console.file)


def short_names(cells: Iterable[Cell]) -> Callable[[Cell], str]:
    """Return what names each of the cells without what is the same for all of them, `imdb-rnn/lstm@torch`.

    The kernel is named where a case runs under several in one backend.
    """
    ran, values = set(), defaultdict[str, set[Any]](set)
    for cell in cells:
        ran.add((cell.case_name, cell.backend, cell.kernel))
        for part in ("device", "numerics", "seed"):
            values[part].add(getattr(cell, part))
    kernels = Counter((case, backend) for case, backend, _ in ran)
    varied = {part for part, seen in values.items() if len(seen) > 1}

    def name(cell: Cell) -> str:
        parts = [cell.backend]
        parts += [cell.kernel] if kernels[cell.case_name, cell.backend] > 1 else []
        parts += [getattr(cell, part) for part in ("device", "numerics") if part in varied]
        return f"{cell.case_name}@{','.join(parts)}" + (f"#{cell.seed}" if "seed" in varied else "")

    return name


def shortened(text: str, columns: int) -> str:
    """Return a text cut to so many columns, with a mark where it was longer."""
    return text if len(text) <= columns else f"{text[: max(columns - 1, 0)]}…"


def first_line(text: str | None) -> str:
    """Return the first line of a text as a terminal may be shown it, the empty string for none."""
    return printable(text.splitlines()[0]) if text else ""


def duration(seconds: float) -> str:
    """Return seconds as people say them: `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
