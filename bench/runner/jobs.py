"""How many cells of a run work side by side, and with how many threads each (`--jobs`)."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Annotated

import msgspec

from bench.data.sources import cache_dir
from bench.errors import UsageError
from bench.files import write_file
from bench.machine.fingerprint import cores, fingerprint
from bench.machine.slots import slots
from bench.runner import workers
from bench.runner.options import RunOptions
from bench.runner.plan import PlannedCell

LEAST_GAIN = 1.1
"""Cells work side by side where these are at least so many times as many: a probe is good to a few per cent."""
STEADY = 1.25
"""A probe is kept where the two times alone, before and after the processes side by side, differ by less than that."""
WORTH_SECONDS = 60.0
"""A run that is estimated to end earlier is not probed, which takes about 20 s."""
Probed = tuple[Annotated[int, msgspec.Meta(ge=2)], float]
"""So many cells side by side make so many times the steps that one after another does."""
log = logging.getLogger("bench")


@dataclass(frozen=True)
class Jobs:
    """How many cells work side by side, and the threads that each framework gets."""

    count: int
    threads: int

    @property
    def words(self) -> str:
        """Return both in words."""
        cells = "1 cell" if self.count == 1 else f"{self.count} cells"
        return f"{cells} at a time, {self.threads} thread{'' if self.threads == 1 else 's'} each"


def check(options: RunOptions, cells: Collection[PlannedCell]) -> None:
    """Raise `UsageError` where this machine, or these cells, cannot have what `--jobs` and `--threads` ask for."""
    if options.jobs == 1:
        return
    if options.scheduler or options.cluster:
        raise UsageError(f"--jobs {options.jobs}: a cluster runs one cell a worker; leave out --jobs")
    on_gpu = next((planned.cell for planned in cells if planned.cell.device == "cuda"), None)
    if on_gpu:
        raise UsageError(f"--jobs {options.jobs}: {on_gpu} has the GPU to itself; leave out --jobs, or use --scheduler")
    if isinstance(options.jobs, int) and options.jobs * (options.threads or 1) > cores():
        asked = f"--jobs {options.jobs}" + (f" with --threads {options.threads}" if options.threads else "")
        most = {"--jobs": cores() // (options.threads or 1), "--threads": cores() // options.jobs}
        remedies = " or ".join(f"{flag} {number}" for flag, number in most.items() if number)
        raise UsageError(f"{asked}: this process may use {cores()} cores; give at most {remedies}")


def estimate(cells: Sequence[PlannedCell], options: RunOptions) -> float:
    """Return the seconds that cells are estimated to take; with `auto`, as if they ran one after another."""
    count = options.jobs if isinstance(options.jobs, int) else 1
    return sum(planned.estimate for planned in cells) / max(1, min(count, len(cells)))


def chosen(
    cells: Sequence[PlannedCell],
    options: RunOptions,
    limits_of: Callable[[int], workers.Limits],
    interrupted: threading.Event,
) -> Jobs:
    """Return what the options say; for `auto` what a probe measures, or has measured on this machine before.

    The probe times the training steps of one planned cell: alone on every core, in as many processes as there is room
    for side by side, held to `limits_of` their number, in half as many and so on while that makes more steps or the
    processes fail, and alone again. Raises `KeyboardInterrupt` where `interrupted` is set meanwhile.
    """
    if isinstance(options.jobs, int):
        return _side_by_side(options.jobs, options)
    able = [planned for planned in cells if not planned.obstacle]
    most = min(cores() // (options.threads or 1), len(able))
    one = Jobs(1, options.threads or cores())
    if most < 2:
        return one
    typical, file = _typical(able), cache_dir() / "jobs.json"
    known, key = _kept(file), _key(one, most, typical)
    probed, how = known.get(key), f"measured before; kept in {file}"
    if probed is None:
        seconds = sum(planned.estimate for planned in able)
        if seconds < WORTH_SECONDS:
            log.info(
                "--jobs auto: %s: too short to probe (about %.0f s); --jobs %d needs none", one.words, seconds, most
            )
            return one
        log.info("--jobs auto: timing the steps of %s, alone and %d side by side", typical.cell, most)
        probed, drift = _probed(typical, one, most, options, limits_of, interrupted)
        if interrupted.is_set():
            raise KeyboardInterrupt
        if probed is None:
            log.warning("--jobs auto: %s: the probe failed; --jobs %d needs no probe", one.words, most)
            return one
        how = "measured; not kept: other work disturbed it"
        if drift < STEADY:
            how = f"measured; {_keep(file, known | {key: probed})}"
    count, gain = probed
    best = _side_by_side(count, options) if gain >= LEAST_GAIN else one
    told = f"{count} side by side train {gain:.1f} times as much as one after another"
    log.info("--jobs auto: %s: %s, %s", best.words, told, how)
    return best


def _side_by_side(count: int, options: RunOptions) -> Jobs:
    return Jobs(count, options.threads or cores() // count)


def _typical(cells: Sequence[PlannedCell]) -> PlannedCell:
    """Return the cell of median length among those of the backend that takes longest."""
    seconds: dict[str, float] = defaultdict(float)
    for planned in cells:
        seconds[planned.cell.backend] += planned.estimate
    longest = max(seconds, key=seconds.__getitem__)
    able = sorted(
        (planned for planned in cells if planned.cell.backend == longest), key=lambda planned: planned.estimate
    )
    return able[len(able) // 2]


def _probed(
    planned: PlannedCell,
    one: Jobs,
    most: int,
    options: RunOptions,
    limits_of: Callable[[int], workers.Limits],
    interrupted: threading.Event,
) -> tuple[Probed | None, float]:
    """Return what side by side makes most steps, `most` at a time at the most; None: whatever was tried failed.

    Behind it, by how much the times alone, before and after, differ: the greater over the smaller.
    """

    def step(jobs: Jobs) -> float | None:
        settings = workers.Settings(
            options.profile, "steps", jobs.threads, options.suites, options.replaced, slots=slots(jobs.count)
        )
        # Only the first repeat of steps would prove its kernel.
        cells = [replace(planned, repeat=1 + number) for number in range(jobs.count)]
        records = list(workers.run(cells, settings, limits_of(jobs.count), workers.Silent(), interrupted))
        steps = [record.timing.step for record in records if record.status == "ok" and record.timing]
        return None if len(steps) < jobs.count or None in steps else mean(filter(None, steps))

    before, count, best = step(one), most, (0, 0.0)
    while before and count > 1 and not interrupted.is_set():
        beside = step(_side_by_side(count, options))
        rate = count / beside if beside else 0.0
        if rate < best[1]:
            break
        best, count = max(best, (count, rate), key=lambda tried: tried[1]), count // 2
    after = step(one) if best[1] else None
    if not before or not after:
        return None, math.inf
    return (best[0], best[1] * (before + after) / 2), max(before, after) / min(before, after)


def _key(one: Jobs, most: int, planned: PlannedCell) -> str:
    """Return what a figure was measured on: the machine, the versions, the backend, and the most side by side."""
    known = fingerprint(one.threads)
    where = {name: known[name] for name in ("cpu", "cores", "python", "packages")}
    content = [where, one.threads, most, planned.cell.backend]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _kept(file: Path) -> dict[str, Probed]:
    """Return the figures that are kept; none where the file is missing or damaged."""
    with suppress(OSError, ValueError):
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Probed])
    return {}


def _keep(file: Path, figures: dict[str, Probed]) -> str:
    """Keep figures in a file; return where they are, in words."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(figures, indent=2))
    except OSError as error:
        return f"not kept: {error}"
    return f"kept in {file}"
