"""A quantity over the stored runs: one series per configuration and machine, and where its level changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.machine.fingerprint import MACHINE, commit, differences
from bench.records.metrics import Kind, Metric, is_comparable
from bench.records.record import Record
from bench.records.sequence import place

SEGMENT = 3
"""A level holds for at least so many runs: one odd run is no change."""

PENALTY = 2.0
"""A change must lower the sum of absolute deviations by PENALTY x spread x ln(runs).

Simulated with normal noise, 150 series each: at 8, 20 and 60 runs 7, 2 and 1 % of steady series show a change, 3 % of
those with one run 15 spreads off, and a step of 4 spreads is found, to a run, in 92, 97 and 97 %.
"""

FINEST = 1e-3
"""Spreads below a thousandth (0.1 %; a tenth of an accuracy point; a millisecond where times are taken as they are)
count as one: rounding is no noise to scale by.
"""


@dataclass(frozen=True)
class Point:
    """The median of `n` records of one configuration in one run; `started` is when the first of them began."""

    run: str
    started: str
    commit: str
    value: float
    n: int


@dataclass(frozen=True)
class Change:
    """A new level from `points[at]` on, and what changed there in the environment.

    `before` and `after` are the medians of the levels.
    """

    at: int
    before: float
    after: float
    what: tuple[str, ...]


@dataclass(frozen=True)
class Series:
    """One configuration (a cell without its seed) on the same data on one machine, oldest run first."""

    cell: str
    profile: str
    data: str
    machine: str
    points: tuple[Point, ...]
    changes: tuple[Change, ...]


_Place = tuple[str, str, str, str]
"""The fields of a `Series` that tell it from others: cell, profile, data, machine."""
_Moment = tuple[str, str]
"""A run and its environment: a name can stand for two runs where stores of two machines were merged, or one was gone
on with elsewhere.
"""


def series(entries: Iterable[tuple[str, dict[str, Any], Record]], metric: Metric) -> list[Series]:
    """Return the series of a metric in stored `entries` (run name, fingerprint, record).

    Records that do not hold it are passed over, and so are times from processes that were shared. Machines (processor,
    cores, threads, GPUs), profiles and data are never mixed; code and versions are what a series is about.
    """
    groups: dict[_Place, dict[_Moment, list[tuple[Record, float]]]] = {}
    environments: dict[_Moment, dict[str, Any]] = {}
    for run, environment, record in entries:
        value = metric.of(record) if record.status == "ok" else None
        if value is None or not np.isfinite(value) or (metric.kind == "time" and not is_comparable(record)):
            continue
        moment = run, repr(sorted(environment.items()))
        environments[moment] = environment
        data = record.data.sha256 if record.data else ""
        place: _Place = (record.cell.configuration, record.profile, data, machine(environment))
        groups.setdefault(place, {}).setdefault(moment, []).append((record, value))
    found = []
    for place, runs in sorted(groups.items()):
        points = [
            (
                Point(
                    moment[0],
                    min(record.started for record, _ in measured),
                    commit(environments[moment]),
                    median(value for _, value in measured),
                    len(measured),
                ),
                environments[moment],
            )
            for moment, measured in sorted(runs.items(), key=_first_place)
        ]
        found.append(Series(*place, tuple(point for point, _ in points), _changes(points, metric.kind)))
    return found


def _first_place(run: tuple[_Moment, list[tuple[Record, float]]]) -> int:
    return min(place(record) for record, _ in run[1])


def _changes(points: Sequence[tuple[Point, dict[str, Any]]], kind: Kind) -> tuple[Change, ...]:
    """Return where the level of points, each with its environment, changes."""
    values = [point.value for point, _ in points]
    places = change_points(values, kind)
    return tuple(
        Change(
            at,
            median(values[start:at]),
            median(values[at:end]),
            tuple(differences(points[at - 1][1], points[at][1])),
        )
        for at, start, end in zip(places, [0, *places], [*places[1:], len(values)], strict=False)
    )


def machine(environment: dict[str, Any]) -> str:
    """Return the machine of a fingerprint in one line."""
    cpu, cores, threads, gpus = (environment.get(field) for field in MACHINE)
    named = [f"{gpu.get('name')} (driver {gpu.get('driver')})" for gpu in gpus or []]
    return ", ".join([f"{cpu}, {cores} cores, {threads} threads", *named])


def change_points(values: Sequence[float] | NDArray[np.float64], kind: Kind) -> list[int]:
    """Return the places where a new level begins in `values` (n,), oldest first; advisory, none for n < 6.

    Counts change wherever they differ. Scores are taken as they are, times and memory by their logarithm, unless one is
    0, as compilation may be; levels are medians (PELT with the cost of least absolute deviations: Killick, Fearnhead,
    Eckley 2012, by `ruptures`), the spread is that of successive differences, 1.4826 median |d| / sqrt(2).
    """
    array = np.asarray(values, dtype=np.float64)
    if kind == "count":
        return [int(place) + 1 for place in np.flatnonzero(np.diff(array))]
    if len(array) < 2 * SEGMENT:
        return []
    import ruptures  # heavy, and only needed here

    signal = array if kind == "score" or array.min() <= 0 else np.log(array)
    spread = max(FINEST, 1.4826 * float(np.median(np.abs(np.diff(signal)))) / np.sqrt(2))
    found = ruptures.Pelt(model="l1", min_size=SEGMENT, jump=1).fit(signal.reshape(-1, 1))
    ends: list[int] = found.predict(pen=PENALTY * spread * np.log(len(array)))
    return ends[:-1]
