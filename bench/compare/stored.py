"""Two stored sides, judged: advice on times, which were not measured in turn; verdicts on scores and counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import product
from statistics import median
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd

from bench.backends.registry import backends
from bench.compare.sides import Measured
from bench.compare.statistics import LEVEL, welch
from bench.compare.verdicts import (
    FEWEST,
    Comparison,
    Policy,
    Tested,
    Verdict,
    judge_count,
    judge_ratios,
    judge_scores,
    screened,
)
from bench.errors import Incomparable, NothingToCompare
from bench.machine.fingerprint import differences
from bench.records.metrics import metric

Difference = Literal["cpu", "gpu", "threads", "versions"]
PARTS: tuple[Difference, ...] = get_args(Difference)
"""What two environments may differ in only where that is the thing compared."""
CRASHED = ("failed", "timeout", "out-of-memory", "unavailable")
MOST_NAMED = 5
ADVISORY = (
    "Stored runs were not measured in turn, so their times and memory are advice, not proof: a change of the machine "
    "between them looks like a change of the code. Use `bench ab` to decide. Test: Welch's t on the logarithms of "
    "processes, Bonferroni-corrected over all cells."
)


def compare(base: Measured, candidate: Measured, policy: Policy, across: Iterable[Difference] = ()) -> Comparison:
    """Judge two sides, every quantity of every cell (all its seeds together).

    Raises `Incomparable` for different profiles or data, and for environments that differ in a part not in `across`;
    `NothingToCompare` where no cell ended ok on both sides.
    """
    ended = [set(side.frame.loc[side.frame["status"] == "ok", "cell"].unique()) for side in (base, candidate)]
    common = ended[0] & ended[1]
    if base.profile != candidate.profile:
        raise Incomparable(_unlike(base, candidate))
    if not common:
        raise NothingToCompare(
            f"no cell ended ok in both {base.name} (where {len(ended[0])} did) and {candidate.name} ({len(ended[1])}); "
            "compare runs of the same cells"
        )
    _check_environments(base, candidate, common, set(across))
    _check_data(base.frame, candidate.frame, common)
    verdicts = _unmatched(base, candidate, ended)
    frames = [side.frame[side.frame["cell"].isin(common)] for side in (base, candidate)]
    shared: dict[str, list[Shared]] = {"time": [], "memory": [], "score": [], "count": []}
    for name in dict.fromkeys([*base.quantities, *candidate.quantities]):
        before, after = (set(frame["cell"][frame[name].notna()]) if name in frame else set() for frame in frames)
        lost, new = sorted(before - after), sorted(after - before)
        verdicts += [Verdict(cell, name, "failed", reason="the candidate has no such figure") for cell in lost]
        verdicts += [Verdict(cell, name, "not judged", reason="the base has no such figure") for cell in new]
        if both := before & after:
            shared[metric(name).kind].append((name, [frame[frame["cell"].isin(both)] for frame in frames]))
    ratios = [*shared["time"], *shared["memory"]]
    verdicts += [*_judge_ratios(ratios, policy), *_judge_scores(shared["score"], policy)]
    verdicts += _judge_counts(shared["count"])
    caveats = [ADVISORY] if ratios else []
    caveats += [f"{side.name}: {side.caveat}" for side in (base, candidate) if side.caveat]
    changed = differences(dict(base.environments[0]), dict(candidate.environments[0]))
    return Comparison(base.name, candidate.name, False, policy, tuple(verdicts), tuple(changed), tuple(caveats))


# --- may they be compared ----------------------------------------------------------------------------------------


def _unlike(base: Measured, candidate: Measured) -> str:
    for one, other in ((base, candidate), (candidate, base)):
        if one.profile == "pytest-benchmark":
            return (
                f"{one.name} holds results of pytest-benchmark, {other.name} is a run; export the run with "
                f"`bench export {other.name} --format pytest-benchmark --out FILE.json`, then compare the two files"
            )
    return (
        f"{base.name} has profile {base.profile}, {candidate.name} {candidate.profile}; their figures cannot be "
        "compared: measure both under one profile"
    )


def _check_environments(base: Measured, candidate: Measured, cells: Iterable[str], across: set[Difference]) -> None:
    settings = [cell.rpartition("@")[2].split(",") for cell in cells]
    used = [info for info in backends().values() if info.name in {backend for backend, *_ in settings}]
    packages = sorted({name for info in used for package in info.packages for name in package.split("|")})
    on_gpu = any("cuda" in setting for setting in settings)
    counting = [part for part in PARTS if part not in across and (part != "gpu" or on_gpu)]
    found: dict[Difference, list[str]] = {}
    for environments in product(base.environments, candidate.environments):
        for part in counting:
            before, after = (_part(part, environment, packages) for environment in environments)
            changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
            if changed:
                found[part] = [f"{key} {before.get(key)} → {after.get(key)}" for key in changed]
    if found:
        told = "; ".join(text for texts in found.values() for text in texts)
        raise Incomparable(
            f"{base.name} and {candidate.name} ran in different environments: {told}; "
            f"to compare these, add --across {','.join(found)}"
        )


def _part(part: Difference, environment: Mapping[str, Any], packages: Iterable[str]) -> dict[str, Any]:
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
            return {name: installed.get(name) for name in packages}


def _check_data(base: pd.DataFrame, candidate: pd.DataFrame, cells: Iterable[str]) -> None:
    before, after = (
        {
            str(cell): frozenset(used)
            for cell, used in side.dropna(subset=["data"]).groupby("cell", observed=True)["data"]
        }
        for side in (base, candidate)
    )
    other = sorted(cell for cell in before.keys() & after.keys() & set(cells) if before[cell] != after[cell])
    if other:
        more = f" and {len(other) - MOST_NAMED} more" if len(other) > MOST_NAMED else ""
        hashes = " → ".join(" or ".join(sorted(sha[:8] for sha in side[other[0]])) for side in (before, after))
        raise Incomparable(
            f"{len(other)} cells ran on other data: {', '.join(other[:MOST_NAMED])}{more} (sha256 of the first "
            f"{hashes}); measure both sides on the same data"
        )


# --- verdicts ----------------------------------------------------------------------------------------------------

Shared = tuple[str, Sequence[pd.DataFrame]]
"""A quantity, and the rows of base and candidate of the cells that have a figure on both sides."""


def _unmatched(base: Measured, candidate: Measured, ended: Sequence[set[str]]) -> list[Verdict]:
    """Return verdicts on whole cells: those that crashed or are missing in the candidate, and those that are new."""
    crashed = [side.frame[side.frame["status"].isin(CRASHED)] for side in (base, candidate)]
    places = [pd.MultiIndex.from_frame(side[["cell", "seed", "repeat"]]) for side in crashed]
    new = crashed[1][~places[1].isin(places[0])]
    counts = candidate.frame["cell"].value_counts()
    failed = {}
    for cell, rows in new[new["cell"].isin(ended[0])].groupby("cell", sort=True, observed=True):
        first, planned = rows.iloc[0], int(counts[cell])
        reason = f"{len(rows)} of {planned} {first['status']}: {' '.join(str(first['reason'] or '').split())}"
        failed[cell] = Verdict(str(cell), "", "failed", n=planned - len(rows), planned=planned, reason=reason)
    missing = sorted(ended[0] - ended[1] - failed.keys())
    return [
        *failed.values(),
        *(Verdict(cell, "", "failed", reason="missing in the candidate") for cell in missing),
        *(
            Verdict(cell, "", "not judged", reason="new: the base has no figure of it")
            for cell in sorted(ended[1] - ended[0])
        ),
    ]


def _planned(name: str, sides: Sequence[pd.DataFrame]) -> dict[str, int]:
    """Return how many rows of each cell have a figure or should have had one: those of the side with more."""
    counts = [side.loc[side[name].notna() | (side["status"] != "ok"), "cell"].value_counts() for side in sides]
    return {str(cell): int(count) for cell, count in pd.concat(counts, axis=1).max(axis=1).items()}


def _described(tables: Iterable[pd.DataFrame]) -> tuple[pd.DataFrame, list[Verdict]]:
    """Return the tables as one, and a verdict that is still to be given for each row, whose columns are its fields."""
    table = pd.concat(tables, ignore_index=True)
    rows = table[[field.name for field in fields(Verdict) if field.name in table]].to_dict("records")
    return table, [Verdict(verdict="not judged", **row) for row in cast("list[dict[str, Any]]", rows)]


def _judge_ratios(shared: Sequence[Shared], policy: Policy) -> list[Verdict]:
    if not shared:
        return []
    table, verdicts = _described(_ratios(name, sides, policy) for name, sides in shared)
    columns = {name: table[name].to_numpy() for name in table}
    n, mean, deviation = ((columns[f"{what}0"], columns[f"{what}1"]) for what in ("n", "mean", "deviation"))
    for place, (verdict, known, largest) in enumerate(zip(verdicts, table["known"], table["most"], strict=True)):
        few = f"too few to compare: {n[0][place]:.0f} and {n[1][place]:.0f} processes, a verdict takes {FEWEST} of each"
        verdicts[place] = screened(verdict, policy, known, largest, FEWEST, few)
    student = welch(n, mean, deviation)
    half_width = student.half_width(LEVEL)
    cells = max(1, int((table["n"] >= FEWEST).sum()))
    p_values = (np.minimum(1, cells * p) for p in student.p_values())  # Bonferroni
    effects = (student.difference, student.difference - half_width, student.difference + half_width)
    left = np.array([not verdict.reason for verdict in verdicts])
    tested = Tested(
        policy.level, cells, "repeats", *(column[left] for column in (*effects, *p_values, np.hypot(*deviation)))
    )
    judged = iter(judge_ratios([verdict for verdict in verdicts if not verdict.reason], tested))
    return [verdict if verdict.reason else next(judged) for verdict in verdicts]


def _ratios(name: str, sides: Sequence[pd.DataFrame], policy: Policy) -> pd.DataFrame:
    """Return what is known of a time or memory, a row for each cell, of base (0) and candidate (1)."""
    columns: dict[str, pd.Series] = {}
    for number, side in enumerate(sides):
        known = side[np.isfinite(side[name])]
        by_cell = known.groupby("cell", observed=True)[name]
        columns |= {f"known{number}": by_cell.size(), f"most{number}": by_cell.max()}
        usable = known[known[name] > 0]
        logs = np.log(usable[name]).groupby(usable["cell"], observed=True)
        columns |= {f"n{number}": logs.size(), f"mean{number}": logs.mean(), f"deviation{number}": logs.std()}
        # Geometric means, as the test compares means of logarithms: medians could contradict its effect.
        columns[("base", "candidate")[number]] = np.exp(columns[f"mean{number}"])
    table = pd.DataFrame(columns).rename_axis("cell").reset_index()
    table = table.fillna({"n0": 0, "n1": 0, "known0": 0, "known1": 0})
    planned, judged = _planned(name, sides), metric(name)
    n = table[["n0", "n1"]].min(axis=1).astype(int)
    return table.assign(
        quantity=name,
        effect=(table["mean1"] - table["mean0"]).where(n >= FEWEST),
        n=n,
        planned=[planned[cell] for cell in table["cell"]],
        known=table[["known0", "known1"]].min(axis=1).astype(int),
        most=table[["most0", "most1"]].max(axis=1),
        margin=[policy.margin_of(cell, judged, base) for cell, base in zip(table["cell"], table["base"], strict=True)],
    )


def _judge_scores(shared: Sequence[Shared], policy: Policy) -> list[Verdict]:
    if not shared:
        return []
    table, described = _described(_scores(name, sides) for name, sides in shared)
    return judge_scores(described, table["difference"].to_numpy(), table["deviation"].to_numpy(), policy.level)


def _scores(name: str, sides: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return what is tested of a score, a row for each cell: its seeds are the pairs."""
    # A repeat of a seed trains the same again.
    base, candidate = (side.groupby(["cell", "seed"], observed=True)[name].mean() for side in sides)
    pairs = pd.DataFrame({"base": base, "candidate": candidate})
    complete = pairs[np.isfinite(pairs).all(axis=1)]
    by_cell = complete.assign(difference=complete["candidate"] - complete["base"]).groupby("cell", observed=True)
    found = by_cell.mean().assign(n=by_cell.size(), deviation=by_cell["difference"].std())
    planned = pairs.groupby("cell", observed=True).size().rename("planned")
    table = found.join(planned, how="right").rename_axis("cell").reset_index()
    return table.assign(quantity=name, n=table["n"].fillna(0).astype(int))


def _judge_counts(shared: Sequence[Shared]) -> list[Verdict]:
    verdicts = []
    for name, sides in shared:
        planned = _planned(name, sides)
        before, after = (
            side.dropna(subset=[name]).groupby("cell", observed=True)[name].agg(list).to_dict() for side in sides
        )
        for cell, base in before.items():
            candidate = after[cell]
            middles = {"base": median(base), "candidate": median(candidate)}
            n = min(len(base), len(candidate))
            verdict = Verdict(str(cell), name, "not judged", n=n, planned=planned[str(cell)], **middles)
            verdicts.append(judge_count(verdict, base, candidate))
    return verdicts
