"""The answer first: sentences with figures, generated from the frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import pandas as pd

from bench.report import tables
from bench.report.tables import CASE, Results
from bench.stats import SMALLEST_SAMPLE

MOST_NAMED = 6
"""How many cases a sentence names before it says how many more there are."""
SAME_SPEED = 1.05
"""Epoch times closer than this factor are not called different: 5 % is the margin of a quiet CPU."""


def answers(results: Results) -> list[str]:
    """Return the report's main findings, most important first; every figure comes from the frames."""
    accuracy = tables.accuracy(results)
    main = accuracy[accuracy["main"].astype(bool) & accuracy["mean"].notna()]
    found = (_judged(main) + _deviations(main)) if results.documented else _embedded(main)
    found += _speed(tables.timing(results))
    if results.documented:
        found += _low_data(tables.low_data(results))
    return found + _parameters(tables.parameters(results)) + _twins(results) + _missing(results)


def _twins(results: Results) -> list[str]:
    marks = [mark for mark in results.twins.values() if mark != "not applicable"]
    if not marks:
        return []
    proven = f"{marks.count('proven')} of {len(marks)}"
    return [
        f"Proven to train the same model: {proven} variants (case, backend, kernel), references included (parity.md)."
    ]


def _judged(main: pd.DataFrame) -> list[str]:
    judged = main[main["verdict"].isin(["inside", "outside"])]
    counts = [
        f"{int((rows['verdict'] == 'inside').sum())} of {len(rows)} under {column}"
        for column, rows in judged.groupby("column", sort=True)
    ]
    few, never = (main[main["verdict"] == verdict] for verdict in ("n too small", "not judged"))
    rest = []
    if len(few):
        rest.append(f"{_figures(few)} measured with fewer than {SMALLEST_SAMPLE} seeds, too few to judge")
    if len(never):
        rest.append(f"{_figures(never)} may not be judged")
    if not counts:
        return [
            f"No documented accuracy is judged yet: {'; '.join(rest)}."
            if rest
            else "No documented accuracy was measured."
        ]
    end = f"; {'; '.join(rest)}" if rest else ""
    return [
        f"Documented accuracies inside the 95 % prediction interval of the measured runs: {', '.join(counts)}{end}."
    ]


def _figures(rows: pd.DataFrame) -> str:
    count = len(rows[[*CASE, "figure"]].drop_duplicates())
    return f"{count} {'figure' if count == 1 else 'figures'}"


def _deviations(main: pd.DataFrame) -> list[str]:
    judged = main[main["verdict"].isin(["inside", "outside"])]
    outside = judged[judged["verdict"] == "outside"]
    if len(outside):
        found = [_deviation(rows.to_dict("records")) for _, rows in outside.groupby([*CASE, "figure"], sort=False)]
        return [f"Outside, in points measured minus documented: {_listed([text for _, text in sorted(found)])}."]
    if len(judged):
        found = [_deviation([row]) for row in judged.to_dict("records")]
        return [f"None is outside; the largest deviation of a mean, in points, is {min(found)[1]}."]
    return []


def _deviation(rows: Sequence[Mapping[Any, Any]]) -> tuple[float, str]:
    """Return a sort key (largest deviation first) and the text for the variants of one documented figure."""
    points = [100 * float(row["mean"] - row["documented"]) for row in rows]
    first = rows[0]
    measured = ", ".join(f"{value:+.2f} under {row['column']}" for value, row in zip(points, rows, strict=True))
    name = f"{first['suite']}/{first['case']}"
    return -max(map(abs, points)), f"{name} (documented {first['figure']} {100 * first['documented']:.2f} %) {measured}"


def _listed(texts: list[str]) -> str:
    more = len(texts) - MOST_NAMED
    return "; ".join(texts[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _embedded(main: pd.DataFrame) -> list[str]:
    found = [
        "Measured on the embedded corpus, which is generated, after a shortened training: these accuracies say nothing "
        "about any document's figures."
    ]
    if main.empty:
        return found
    rows = main.to_dict("records")
    best = max(rows, key=lambda row: row["mean"])
    worst = min(rows, key=lambda row: row["mean"])
    found.append(
        f"Best is {best['suite']}/{best['case']} under {best['column']} with {100 * best['mean']:.1f} %, worst "
        f"{worst['suite']}/{worst['case']} under "
        f"{worst['column']} with {100 * worst['mean']:.1f} %."
    )
    spreads = [
        (float(group["mean"].max() - group["mean"].min()), key)
        for key, group in main.groupby(CASE, sort=False)
        if len(group) > 1
    ]
    if spreads:
        spread, key = max(spreads)
        found.append(f"The backends' means differ by at most {100 * spread:.2f} points ({'/'.join(map(str, key))}).")
    return found


def _speed(timing: pd.DataFrame) -> list[str]:
    """Compare every column with the reference, on headline times where there are any."""
    compared = timing[timing["ratio"].notna() & (timing["backend"] != timing["reference"])]
    headline = compared[compared["headline"].astype(bool)]
    chosen = headline if len(headline) else compared
    found = []
    for (column, reference), rows in chosen.groupby(["column", "reference"], sort=True):
        ratios = [(float(row["ratio"]), f"{row['suite']}/{row['case']}") for row in rows.to_dict("records")]
        faster = [(1 / ratio, name) for ratio, name in ratios if ratio < 1 / SAME_SPEED]
        slower = [(ratio, name) for ratio, name in ratios if ratio > SAME_SPEED]
        same = len(ratios) - len(faster) - len(slower)
        parts = [_faster(str(column), faster, len(ratios)), _faster(str(reference), slower, len(ratios))]
        parts.append(f"{column} and {reference} differ by less than 5 % on {same} of {len(ratios)}" if same else "")
        found.append(f"Seconds per epoch: {'; '.join(part for part in parts if part)}.")
    if found and not len(headline):
        found[-1] = (
            found[-1][:-1] + " (from accuracy runs, beside which other work may have run: no timing run has been made)."
        )
    return found


def _faster(name: str, factors: list[tuple[float, str]], of: int) -> str:
    if not factors:
        return ""
    factor, case = max(factors)
    middle = median(value for value, _ in factors)
    return (
        f"{name} is faster on {len(factors)} of {of} cases, {middle:.1f} times in the median and most on {case} "
        f"({factor:.1f} times)"
    )


def _low_data(pairs: pd.DataFrame) -> list[str]:
    found = []
    for suite, rows in pairs.groupby("suite", sort=True):
        parts = []
        for column, own in rows.groupby("column", sort=True):
            ordered = own.sort_values("rows").to_dict("records")
            first = ordered[0]
            parts.append(
                f"{100 * first['difference']:+.1f} points at {first['rows']:,} rows under {column}, "
                f"{crossover(ordered)}"
            )
        found.append(f"Pre-trained minus learned embedding in {suite}: {'; '.join(parts)}.")
    return found


def crossover(ordered: list[dict[Any, Any]]) -> str:
    """Return from how many training rows on the learned embedding is at least as good; `ordered` are pairs by rows."""
    ahead = [pair["difference"] <= 0 for pair in ordered]
    first = next((place for place in range(len(ahead)) if all(ahead[place:])), None)
    if first is None:
        return f"pre-trained ahead at the largest measured size, {ordered[-1]['rows']:,} rows"
    return f"learned at least as good from {ordered[first]['rows']:,} rows on"


def _parameters(parameters: pd.DataFrame) -> list[str]:
    judged = parameters[parameters["verdict"].notna()]
    if judged.empty:
        return []
    differing = judged[judged["verdict"] != "equal"]
    names = sorted({f"{row['suite']}/{row['case']} ({row['verdict']})" for row in differing.to_dict("records")})
    cases = len(judged[CASE].drop_duplicates())
    equal = cases - len(differing[CASE].drop_duplicates())
    end = f"; {_listed(names)}" if names else ""
    return [f"Parameter counts are exactly the documented ones in {equal} of {cases} cases{end}."]


def _missing(results: Results) -> list[str]:
    not_ok = sum(record.status != "ok" for record in results.records)
    missing = tables.not_run(results)
    never, partly = missing[missing["column"].isna()], missing[missing["column"].notna()]
    parts = []
    if not_ok:
        parts.append(f"{not_ok} of {len(results.records)} cells did not end ok")
    if len(never):
        parts.append(f"{len(never)} of {sum(len(suite.cases) for suite in results.suites.values())} cases have not run")
    if len(partly):
        parts.append(f"{len(partly[CASE].drop_duplicates())} more lack a backend or seeds")
    return [f"Missing: {'; '.join(parts)} (listed below)."] if parts else []
