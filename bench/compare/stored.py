"""Two stored sides, judged: advice on times, which were not measured in turn; verdicts on scores and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from bench.backends.registry import backends
from bench.compare.paired import (
    DEFAULT_PAIRS,
    Comparison,
    Policy,
    Verdict,
    as_outcome,
    judge_count,
    judge_scores,
    outcomes,
    too_small,
    unsettled,
)
from bench.compare.sides import Measured
from bench.compare.statistics import LEVEL, welch
from bench.errors import Incomparable, NothingToCompare
from bench.machine.fingerprint import differences
from bench.records.metrics import metric

Part = Literal["cpu", "gpu", "threads", "versions"]
PARTS: tuple[Part, ...] = get_args(Part)
"""What two environments may differ in only where that is the thing compared."""
CRASHED = ("failed", "timeout", "out-of-memory", "unavailable")
MOST_NAMED = 5
ADVISORY = (
    "Times and memory of stored runs were not measured in turn: whatever changed on the machine between the runs is in "
    "their effects, which are advice and no proof (`bench ab` measures in turn). They are tested by Welch's t on "
    "logarithms, over processes (repeats and seeds), with Bonferroni's bound over all of them."
)


def compare(base: Measured, candidate: Measured, policy: Policy, across: Iterable[Part] = ()) -> Comparison:
    """Judge two sides, every quantity of every cell (all its seeds together).

    Raises `Incomparable` for different profiles or data, and for environments that differ in a part not in `across`;
    `NothingToCompare` where no cell ended ok on both sides.
    """
    ended = [set(side.frame.loc[side.frame["status"] == "ok", "cell"].unique()) for side in (base, candidate)]
    common = ended[0] & ended[1]
    if base.profile != candidate.profile:
        raise Incomparable(
            f"{base.name} is of profile {base.profile!r}, {candidate.name} of {candidate.profile!r}, whose figures "
            "never stand side by side; measure both under one"
        )
    if not common:
        raise NothingToCompare(
            f"no cell ended ok in both {base.name} (where {len(ended[0])} did) and {candidate.name} ({len(ended[1])}); "
            "compare runs of the same cells"
        )
    _check_environments(base, candidate, common, set(across))
    _check_data(base.frame, candidate.frame, common)
    verdicts = _unmatched(base, candidate, ended)
    sides = [side.frame[side.frame["cell"].isin(common)] for side in (base, candidate)]
    shared = []
    for name in dict.fromkeys([*base.quantities, *candidate.quantities]):
        cells = [set(side.loc[side[name].notna(), "cell"].unique()) if name in side else set() for side in sides]
        verdicts += [
            Verdict(cell, name, "failed", reason="the candidate has no such figure")
            for cell in sorted(cells[0] - cells[1])
        ]
        verdicts += [
            Verdict(cell, name, "not judged", reason="the base has no such figure")
            for cell in sorted(cells[1] - cells[0])
        ]
        if cells[0] & cells[1]:
            shared.append((name, [side[side["cell"].isin(cells[0] & cells[1])] for side in sides]))
    kinds = {
        kind: [one for one in shared if metric(one[0]).kind == kind] for kind in ("time", "memory", "score", "count")
    }
    verdicts += _judge_ratios(kinds["time"] + kinds["memory"], policy)
    verdicts += _judge_scores(kinds["score"], policy)
    verdicts += _judge_counts(kinds["count"])
    caveats = [ADVISORY] if kinds["time"] or kinds["memory"] else []
    caveats += [f"{side.name}: {side.caveat}" for side in (base, candidate) if side.caveat]
    changed = differences(dict(base.environments[0]), dict(candidate.environments[0]))
    return Comparison(base.name, candidate.name, False, policy, tuple(verdicts), tuple(changed), tuple(caveats))


# --- may they be compared ----------------------------------------------------------------------------------------


def _check_environments(base: Measured, candidate: Measured, cells: Iterable[str], across: set[Part]) -> None:
    settings = {tuple(cell.rpartition("@")[2].split(",")) for cell in cells}
    used = {setting[0] for setting in settings}
    packages = {
        name
        for info in backends().values()
        if info.name in used
        for package in info.packages
        for name in package.split("|")
    }
    on_gpu = any("cuda" in setting for setting in settings)
    found: dict[Part, list[str]] = {}
    for before in base.environments:
        for after in candidate.environments:
            for part in PARTS:
                ours, theirs = (_part(part, one, packages) for one in (before, after))
                if ours != theirs and part not in across and (part != "gpu" or on_gpu):
                    found[part] = [
                        f"{key} {ours.get(key)} → {theirs.get(key)}"
                        for key in {**ours, **theirs}
                        if ours.get(key) != theirs.get(key)
                    ]
    if found:
        told = "; ".join(text for texts in found.values() for text in texts)
        raise Incomparable(
            f"{base.name} and {candidate.name} ran in different environments: {told}; where that is what you compare, "
            f"say so by --across {','.join(found)}"
        )


def _part(part: Part, environment: Mapping[str, Any], packages: Iterable[str]) -> dict[str, Any]:
    """Return what identifies one part of an environment, by what it is called."""
    match part:
        case "cpu":
            return {key: environment.get(key) for key in ("cpu", "cores")}
        case "threads":
            return {"threads": environment.get("threads")}
        case "gpu":
            return {"GPUs": [f"{gpu.get('name')}, driver {gpu.get('driver')}" for gpu in environment.get("gpus") or []]}
        case "versions":
            installed = environment.get("packages") or {}
            return {name: installed.get(name) for name in sorted(packages)}


def _check_data(base: pd.DataFrame, candidate: pd.DataFrame, cells: Iterable[str]) -> None:
    used = [
        side.dropna(subset=["data"]).groupby("cell", observed=True)["data"].agg(frozenset).to_dict()
        for side in (base, candidate)
    ]
    other = sorted(cell for cell in cells if cell in used[0] and cell in used[1] and used[0][cell] != used[1][cell])
    if other:
        more = f" and {len(other) - MOST_NAMED} more" if len(other) > MOST_NAMED else ""
        hashes = " → ".join(" or ".join(sorted(one[:8] for one in side[other[0]])) for side in used)
        raise Incomparable(
            f"{len(other)} cells ran on other data: {', '.join(other[:MOST_NAMED])}{more} (sha256 of the first "
            f"{hashes}); measure both sides on the same data"
        )


# --- cells that only one side has --------------------------------------------------------------------------------


def _unmatched(base: Measured, candidate: Measured, ended: Sequence[set[str]]) -> list[Verdict]:
    """Return verdicts on whole cells: those that crashed or are missing in the candidate, and those that are new."""
    verdicts = []
    crashed = [side.frame[side.frame["status"].isin(CRASHED)] for side in (base, candidate)]
    places = [pd.MultiIndex.from_frame(side[["cell", "seed", "repeat"]]) for side in crashed]
    new = crashed[1][~places[1].isin(places[0])]
    counts = candidate.frame["cell"].value_counts()
    for cell, rows in new[new["cell"].isin(ended[0])].groupby("cell", sort=True, observed=True):
        first = rows.iloc[0]
        reason = " ".join(str(first["reason"] or "").split())
        of = int(counts[cell])
        verdicts.append(
            Verdict(
                str(cell),
                "",
                "failed",
                n=of - len(rows),
                of=of,
                reason=f"{len(rows)} of {of} {first['status']}: {reason}",
            )
        )
    told = {one.cell for one in verdicts}
    for cell in sorted(ended[0] - ended[1] - told):
        verdicts.append(Verdict(cell, "", "failed", reason="missing in the candidate"))
    for cell in sorted(ended[1] - ended[0]):
        verdicts.append(Verdict(cell, "", "not judged", reason="new: the base has no figure of it"))
    return verdicts


# --- verdicts ----------------------------------------------------------------------------------------------------

Shared = tuple[str, Sequence[pd.DataFrame]]
"""A quantity, and the rows of base and candidate of the cells that have a figure on both sides."""


def _of(name: str, sides: Sequence[pd.DataFrame]) -> dict[str, int]:
    """Return how many rows of each cell have a figure or should have had one: those of the side with more."""
    found: Counter[str] = Counter()
    for side in sides:
        rows = side.loc[side[name].notna() | (side["status"] != "ok"), "cell"].value_counts()
        found |= Counter({str(cell): count for cell, count in rows.items()})
    return found


def _judge_ratios(shared: Sequence[Shared], policy: Policy) -> list[Verdict]:
    parts = []
    for name, sides in shared:
        part: dict[str, Any] = {}
        for number, side in enumerate(sides):
            known = side[np.isfinite(side[name])]
            part |= {
                f"known{number}": known.groupby("cell", observed=True).size(),
                f"most{number}": known.groupby("cell", observed=True)[name].max(),
            }
            usable = known[known[name] > 0]
            part[f"median{number}"] = usable.groupby("cell", observed=True)[name].median()
            logs = np.log(usable[name]).groupby(usable["cell"], observed=True)
            part |= {f"n{number}": logs.size(), f"mean{number}": logs.mean(), f"deviation{number}": logs.std()}
        parts.append(pd.DataFrame(part).rename_axis("cell").reset_index().assign(quantity=name))
    if not parts:
        return []
    table = pd.concat(parts, ignore_index=True).fillna({"n0": 0, "n1": 0, "known0": 0, "known1": 0})
    columns = {name: table[name].to_numpy() for name in table}
    n, mean, deviation = ((columns[f"{what}0"], columns[f"{what}1"]) for what in ("n", "mean", "deviation"))
    student, enough = welch(n, mean, deviation), np.minimum(*n) > 1
    effects, half = student.difference, student.half(LEVEL)
    tested = int(enough.sum())
    larger, smaller = (p <= policy.level / max(1, tested) for p in student.p_values())
    judged = [metric(name) for name in columns["quantity"]]
    margins = np.array(
        [policy.margin_of(*one) for one in zip(columns["cell"], judged, columns["median0"], strict=True)]
    )
    falls = np.array([one.better == "higher" for one in judged])
    worse, better = np.where(falls, smaller, larger), np.where(falls, larger, smaller)
    worse_by = np.where(falls, -effects, effects)
    names = outcomes(worse_by, worse_by - half, worse_by + half, worse, better, margins)
    spreads = np.hypot(*deviation)
    of = {name: _of(name, sides) for name, sides in shared}
    verdicts = []
    for place, row in enumerate(table.to_dict("records")):
        verdict = Verdict(
            row["cell"],
            row["quantity"],
            "not judged",
            effect=float(effects[place]),
            n=int(min(row["n0"], row["n1"])),
            of=of[row["quantity"]][row["cell"]],
            base=row["median0"],
            candidate=row["median1"],
            margin=float(margins[place]),
        )
        noisy, most = policy.too_noisy(judged[place]), max(row["most0"], row["most1"])
        if min(row["known0"], row["known1"]) > 1 and most <= judged[place].floor:
            known = int(min(row["known0"], row["known1"]))
            verdict = replace(verdict, verdict="same", n=known, reason=too_small(most, judged[place]))
        elif noisy:
            verdict = replace(verdict, reason=noisy)
        elif not enough[place]:
            few = f"{row['n0']:.0f} and {row['n1']:.0f} processes"
            reason = f"{few}: a verdict takes 2 of each at least, {DEFAULT_PAIRS} as a rule"
            verdict = replace(verdict, needed=DEFAULT_PAIRS, reason=reason)
        else:
            low, high = verdict.effect - float(half[place]), verdict.effect + float(half[place])
            verdict = replace(verdict, verdict=as_outcome(names[place]), low=low, high=high)
            if verdict.verdict == "inconclusive":
                verdict = unsettled(verdict, float(spreads[place]), tested, policy.level, "repeats")
        verdicts.append(verdict)
    return verdicts


def _judge_scores(shared: Sequence[Shared], policy: Policy) -> list[Verdict]:
    parts = []
    for name, sides in shared:
        # A repeat of a seed trains the same again.
        scores = [side.groupby(["cell", "seed"], observed=True)[name].mean() for side in sides]
        pairs = pd.DataFrame({"base": scores[0], "candidate": scores[1]})
        complete = pairs[np.isfinite(pairs["base"]) & np.isfinite(pairs["candidate"])]
        by_cell = complete.assign(difference=complete["candidate"] - complete["base"]).groupby("cell", observed=True)
        part = by_cell.mean().assign(n=by_cell.size(), deviation=by_cell["difference"].std())
        of = pairs.groupby("cell", observed=True).size().rename("of")
        parts.append(part.join(of, how="right").rename_axis("cell").reset_index().assign(quantity=name))
    if not parts:
        return []
    table = pd.concat(parts, ignore_index=True).fillna({"n": 0})
    described = [
        Verdict(
            row["cell"],
            row["quantity"],
            "not judged",
            n=int(row["n"]),
            of=row["of"],
            base=row["base"],
            candidate=row["candidate"],
        )
        for row in table.to_dict("records")
    ]
    return judge_scores(described, table["difference"].to_numpy(), table["deviation"].to_numpy(), policy.level)


def _judge_counts(shared: Sequence[Shared]) -> list[Verdict]:
    verdicts = []
    for name, sides in shared:
        values = [side.dropna(subset=[name]).groupby("cell", observed=True)[name].agg(list).to_dict() for side in sides]
        of = _of(name, sides)
        for cell, base in values[0].items():
            candidate = values[1][cell]
            n = min(len(base), len(candidate))
            verdict = Verdict(
                str(cell), name, "not judged", n=n, of=of[str(cell)], base=median(base), candidate=median(candidate)
            )
            verdicts.append(judge_count(verdict, base, candidate))
    return verdicts
