"""An A/B comparison: the cells that both sides can run, the pairs that were measured, the machine's own noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, get_args

import numpy as np

from bench.cases.catalog import Catalog
from bench.cases.cell import Cell
from bench.compare.installations import Side, SideName
from bench.compare.paired import LOOKS, Outcome, PairSet, Policy, Verdict
from bench.compare.statistics import Floats, fewest_pairs, hodges_lehmann, noise_floor
from bench.data.randomness import stream
from bench.errors import Incomparable
from bench.machine.fingerprint import MACHINE
from bench.records.metrics import METRICS, has_timed_steps, is_comparable, value
from bench.records.record import Record
from bench.records.store import Store
from bench.runner.plan import PlannedCell

RELABELLINGS = 100
"""Comparisons of a side with itself that one A/A session of a cell gives."""


@dataclass(frozen=True)
class LeftOut:
    """A cell that only one side can run, or none: those that lack it, and why."""

    cell: str
    lacking: tuple[SideName, ...]
    reason: str


def common(base: Side, candidate: Side) -> tuple[list[PlannedCell], list[LeftOut]]:
    """Return the cells that both sides can run, in the candidate's order, and those that one side or both cannot."""
    known = {side.name: {cell.cell: cell for cell in side.introduction.cells} for side in (base, candidate)}
    cells, left_out = [], []
    for name in dict.fromkeys([*known["candidate"], *known["base"]]):
        reasons: dict[SideName, str] = {}
        for side in (base, candidate):
            cell = known[side.name].get(name)
            if cell is None:
                reasons[side.name] = f"the {side.name} has no such cell"
            elif cell.obstacle:
                reasons[side.name] = cell.obstacle
        if reasons:
            left_out.append(
                LeftOut(Cell.parse(name).configuration, tuple(reasons), "; ".join(dict.fromkeys(reasons.values())))
            )
        else:
            estimate = known["candidate"][name].estimate
            cells.append(PlannedCell(Cell.parse(name), 0, frozenset(), None, estimate))
    return cells, left_out


def representative(catalog: Catalog) -> list[str]:
    """Return the cells, as patterns, that the suites mark as representative: what a pull request is compared on."""
    return [f"{suite.name}/{case.name}@{name}" for suite, case in catalog.cases() for name in case.representative]


def times(options: Mapping[str, Any]) -> bool:
    """Return whether a comparison of these options times its cells."""
    return bool(options["measured"] != "accuracy")


def trains(options: Mapping[str, Any]) -> bool:
    """Return whether a comparison of these options trains its cells for accuracy and loss."""
    return options["measured"] != "timing" and not options["noise"]


def margins(catalog: Catalog) -> dict[str, float]:
    """Return the margins that cases declare, by cell name pattern."""
    return {f"{suite.name}/{case.name}@*": case.margin for suite, case in catalog.cases() if case.margin is not None}


def pair_sets(base: Sequence[Record], candidate: Sequence[Record]) -> list[PairSet]:
    """Return the pairs of every quantity that either side measured, cell by cell.

    Times and memory are paired by repeat (from 1: 0 are the accuracy runs), scores by seed. The arrays of all cells
    are of one length; a pair that is not there, or whose figure is not finite, is nan. An older side's step, its share
    of an epoch, is no match for one that was timed for itself, and left out where the other side has that.
    """
    everything = [*base, *candidate]
    blocks = sorted({record.repeat for record in everything if record.measure != "accuracy"})
    seeds = sorted({record.seed for record in everything if record.measure == "accuracy"})
    found = []
    for name in dict.fromkeys(record.cell.configuration for record in everything):
        of_cell = [[record for record in side if record.cell.configuration == name] for side in (base, candidate)]
        for quantity in METRICS.values():
            by_seed = quantity.kind == "score" or (quantity.kind == "count" and not blocks)
            places, place = (seeds, attrgetter("seed")) if by_seed else (blocks, attrgetter("repeat"))
            paired = [[record for record in side if (record.measure == "accuracy") == by_seed] for side in of_cell]
            pairs = len(set(map(place, chain(*paired))))
            if quantity.name == "step" and any(map(has_timed_steps, chain(*paired))):
                paired = [list(filter(has_timed_steps, records)) for records in paired]
            ours, theirs = np.full((2, len(places)), np.nan)
            for row, records in zip((ours, theirs), paired, strict=True):
                for record in records:
                    figure = value(record, quantity.name) if by_seed or is_comparable(record) else None
                    row[places.index(place(record))] = np.nan if figure is None else figure
            if np.isfinite([ours, theirs]).any():
                found.append(PairSet(name, quantity.name, ours, theirs, pairs))
    return found


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
        found.append(Verdict(pair.cell, pair.quantity, outcome, of=pair.of, reason=reason))
    return found


def odd_figures(side: SideName, records: Iterable[Record]) -> list[str]:
    """Return a line for every figure of records that ended ok which is no number: it is left out of its pair."""
    return [
        f"{side}: {quantity.title} of {record.cell}{f' repeat {record.repeat}' if record.repeat else ''} is {figure}"
        for record in records
        for quantity in METRICS.values()
        if (figure := value(record, quantity.name)) is not None and not np.isfinite(figure)
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


def noise_floors(pairs: Iterable[PairSet]) -> dict[str, float]:
    """Return the noise floor of every time and memory in `pairs` of a side with itself, as a relative change.

    Each pair could as well have had its sides exchanged, so a cell's n pairs give many comparisons of the side with
    itself: `RELABELLINGS` of them are drawn, the effect of each is its Hodges-Lehmann estimate, and the floor is the
    95th percentile of their sizes over all cells (`bench.compare.statistics.noise_floor`). It is that of n pairs, as
    are verdicts.
    """
    effects: dict[str, list[Floats]] = {}
    for pair in pairs:
        if METRICS[pair.quantity].kind in ("time", "memory") and pair.complete.any():
            differences = np.log(pair.candidate[pair.complete] / pair.base[pair.complete])
            signs = stream("noise", pair.cell, pair.quantity).choice([-1.0, 1.0], (RELABELLINGS, len(differences)))
            effects.setdefault(pair.quantity, []).append(hodges_lehmann(signs * differences).estimate)
    return {name: noise_floor(np.concatenate(found)) for name, found in effects.items()}


def known_noise(store: Store, environment: dict[str, Any]) -> dict[str, float]:
    """Return the noise floors that `bench ab --noise` measured last on the machine of `environment`; none: empty.

    A cell with fewer pairs than a verdict takes tells none, nor does a comparison of which one side was imported.
    """
    fewest = fewest_pairs(Policy().level / LOOKS)
    runs = store.runs()
    names = {run.name for run in runs}
    for run in reversed(runs):
        same = all(run.environment.get(field) == environment.get(field) for field in MACHINE)
        if same and run.options.get("noise") and run.options["side"] == "base":
            sides = [f"{run.options['comparison']}-{side}" for side in get_args(SideName)]
            if names.issuperset(sides):
                pairs = pair_sets(*(list(store.records(side)) for side in sides))
                enough = [pair for pair in pairs if pair.complete.sum() >= fewest]
                if floors := noise_floors(enough):
                    return floors
    return {}
