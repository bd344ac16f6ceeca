"""An A/B comparison: the cells that both sides can run, and the pairs of figures that were measured of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.cases.catalog import Catalog
from bench.cases.cell import Cell
from bench.compare.installations import SIDES, Side, SideName
from bench.compare.statistics import Floats
from bench.compare.verdicts import Outcome, Verdict
from bench.errors import Incomparable
from bench.records.metrics import METRICS, Metric, has_timed_steps, is_comparable, metric, value
from bench.records.record import Record
from bench.runner.plan import PlannedCell


@dataclass(frozen=True)
class PairSet:
    """One quantity of one cell on both sides: arrays (n,), entries i measured as a pair, nan where one is missing.

    Entry i of a time or memory is repeat i, and entries i of all cells were measured in the same block. Entries of a
    score (accuracy, loss) are seeds, one each. Of this cell `planned` pairs were measured, or begun, on either side:
    fewer than there are entries where only other cells got more.
    """

    cell: str
    quantity: str
    base: Floats
    candidate: Floats
    planned: int

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Return which pairs have a figure on both sides, (n,); one that is compared by its ratio must be positive."""
        least = 0.0 if metric(self.quantity).kind in ("time", "memory") else -math.inf
        return np.isfinite(self.base) & np.isfinite(self.candidate) & (np.minimum(self.base, self.candidate) > least)

    @property
    def logarithms(self) -> Floats:
        """Return ln(candidate / base) of the complete pairs."""
        complete = self.complete
        ratios: Floats = np.log(self.candidate[complete] / self.base[complete])
        return ratios


@dataclass(frozen=True)
class LeftOut:
    """A cell that only one side can run, or none: those that lack it, and why."""

    cell: str
    lacking: tuple[SideName, ...]
    reason: str


def common(base: Side, candidate: Side) -> tuple[list[PlannedCell], list[LeftOut]]:
    """Return the cells that both sides can run, in the candidate's order, and those that one side or both cannot."""
    known = {side.name: {cell.cell: cell for cell in side.introduction.cells} for side in (candidate, base)}
    cells, left_out = [], []
    for name in dict.fromkeys(name for cells_of in known.values() for name in cells_of):
        lacking: dict[SideName, str] = {}
        for side in SIDES:
            cell = known[side].get(name)
            if obstacle := cell.obstacle if cell else f"the {side} has no such cell":
                lacking[side] = obstacle
        if lacking:
            reason = "; ".join(dict.fromkeys(lacking.values()))
            left_out.append(LeftOut(Cell.parse(name).configuration, tuple(lacking), reason))
        else:
            cells.append(PlannedCell(Cell.parse(name), 0, frozenset(), None, known["candidate"][name].estimate))
    return cells, left_out


def representative(catalog: Catalog) -> list[str]:
    """Return the cells, as patterns, that the suites mark as representative: what a pull request is compared on."""
    return [f"{suite.name}/{case.name}@{name}" for suite, case in catalog.cases() for name in case.representative]


def margins(catalog: Catalog) -> dict[str, float]:
    """Return the margins that cases declare, by cell name pattern."""
    return {f"{suite.name}/{case.name}@*": case.margin for suite, case in catalog.cases() if case.margin is not None}


def pair_sets(base: Iterable[Record], candidate: Iterable[Record]) -> list[PairSet]:
    """Return the pairs of every quantity that either side measured, cell by cell.

    Times and memory are paired by repeat (from 1: 0 are the accuracy runs), scores by seed. The arrays of all cells
    are of one length; a pair that is not there, or whose figure is not finite, is nan. An older side's step, its share
    of an epoch, is no match for one that was timed for itself, and left out where the other side has that.
    """
    measured: dict[tuple[str, bool], Sides] = defaultdict(lambda: ({}, {}))
    places: dict[bool, set[int]] = {True: set(), False: set()}
    for side, records in enumerate((base, candidate)):
        for record in records:
            by_seed = record.measure in ("accuracy", "glance")
            place = record.seed if by_seed else record.repeat
            measured[record.cell.configuration, by_seed][side][place] = record
            places[by_seed].add(place)
    columns = {by_seed: sorted(found) for by_seed, found in places.items()}
    pairs = []
    for cell in dict.fromkeys(cell for cell, _ in measured):
        for known in METRICS.values():
            by_seed = known.kind == "score" or (known.kind == "count" and not columns[False])
            sides = measured[cell, by_seed]
            planned = len(sides[0].keys() | sides[1].keys())
            if not by_seed:
                sides = _comparable(sides, known.name)
            figures = np.array([[_figure(side.get(place), known) for place in columns[by_seed]] for side in sides])
            if np.isfinite(figures).any():
                pairs.append(PairSet(cell, known.name, figures[0], figures[1], planned))
    return pairs


Sides = tuple[dict[int, Record], dict[int, Record]]
"""The records of one cell, of base and candidate, by seed or by repeat."""


def _comparable(sides: Sides, name: str) -> Sides:
    """Return the records whose times, or memory, of that name may be compared."""
    steps = name == "step" and any(has_timed_steps(record) for side in sides for record in side.values())
    base, candidate = (
        {
            repeat: record
            for repeat, record in side.items()
            if is_comparable(record) and (has_timed_steps(record) or not steps)
        }
        for side in sides
    )
    return base, candidate


def _figure(record: Record | None, metric: Metric) -> float:
    figure = value(record, metric.name) if record else None
    return math.nan if figure is None else figure


def broken(side: SideName, records: Iterable[Record]) -> list[Verdict]:
    """Return a verdict on each cell that did not end ok: failed where that was the candidate, else not judged."""
    reasons = {
        record.cell.configuration: f"{side}: {record.status}: {record.reason}"
        for record in records
        if record.status != "ok"
    }
    return [
        Verdict(cell, "", "failed" if side == "candidate" else "not judged", reason=reason)
        for cell, reason in reasons.items()
    ]


def one_sided_figures(pairs: Iterable[PairSet]) -> list[Verdict]:
    """Return a verdict on each of `pairs` of which one side has no figure: failed where that is the candidate.

    What the base lacks is not judged: an older base did not measure it yet.
    """
    found = []
    outcome: Outcome
    for pair in pairs:
        if not np.isfinite(pair.candidate).any():
            side, outcome = "candidate", "failed"
        elif not np.isfinite(pair.base).any():
            side, outcome = "base", "not judged"
        else:
            continue
        reason = f"the {side} has no such figure"
        found.append(Verdict(pair.cell, pair.quantity, outcome, planned=pair.planned, reason=reason))
    return found


def odd_figures(side: SideName, records: Iterable[Record]) -> list[str]:
    """Return a line for every figure of records that ended ok which is no number: it is left out of its pair."""
    return [
        f"{side}: {metric.title} of {record.cell}{f' repeat {record.repeat}' if record.repeat else ''} is {figure}"
        for record in records
        for metric in METRICS.values()
        if (figure := value(record, metric.name)) is not None and not math.isfinite(figure)
    ]


def check_data(base: Iterable[Record], candidate: Iterable[Record]) -> None:
    """Raise `Incomparable` when a cell did not run on the same data on both sides."""
    used = {record.cell: record.data.sha256 for record in base if record.data}
    for record in candidate:
        before = used.get(record.cell)
        if before and record.data and record.data.sha256 != before:
            raise Incomparable(
                f"{record.cell} ran on other data than in the base: {record.data.name} {record.data.sha256[:8]}, "
                f"base {before[:8]}; compare code that prepares the same data"
            )
