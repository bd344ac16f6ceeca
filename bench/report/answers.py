"""The answers first: what people ask of a report, answered in sentences whose every figure comes from the frames."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import pandas as pd

from bench.describe import documented_accuracy
from bench.report import comparisons, tables
from bench.report import kernels as kernel_proofs
from bench.report.tables import CASE, Link, Results
from bench.spec import GRU, KERAS_3, LSTM, Bidirectional, Case
from bench.stats import SMALLEST_SAMPLE

MOST_NAMED = 6
"""How many cases a sentence names before it says how many more there are."""
SAME_SPEED = 1.05
"""Epoch times closer than this factor are not called different: 5 % is the margin of a quiet CPU."""
NEAR, CHEAPER = 0.01, 0.8
"""An architecture within a point of the best one is an alternative when it costs at most this share of its time."""


@dataclass(frozen=True)
class Finding:
    """The answer in a phrase (`lead`), a sentence or two behind it, both plain text, and where more is said."""

    lead: str
    text: str
    see: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A question and what the results say to it, the most important first."""

    question: str
    findings: tuple[Finding, ...]


def answers(results: Results) -> list[Answer]:
    """Return every question that the results, or their absence, say something to, in the order in which it is read."""
    asked: list[tuple[str, Callable[[Results], list[Finding]]]] = [
        ("Which architecture is best, and at what cost?", _architectures),
        ("Which backend is faster, and by how much?", _speed),
        ("Do fused kernels pay?", _kernels),
        ("Did the documented figures hold?", _documented if results.documented else _embedded),
        ("Which documented figures could not be measured?", _unmeasured),
        ("What does a pre-trained embedding buy?", _low_data),
        ("What did Keras 3 change?", _keras_3),
        ("What do the frameworks' own defaults change?", _native),
        ("How much of the machine is used?", _limits),
        ("Do the backends train the same model?", _twins),
        ("Did the kernels run that were claimed?", _kernel_claims),
        ("What is missing?", _missing),
    ]
    found = [Answer(question, tuple(answer(results))) for question, answer in asked]
    return [answer for answer in found if answer.findings]


# --- words -------------------------------------------------------------------------------------------------------


def _percent(value: float, half: Any = None) -> str:
    return f"{100 * value:.2f}" + (f" ± {100 * half:.2f}" if half is not None else "") + " %"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 100 else f"{value:.3g} s"


def _times(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1.1 else f"{value:.2f}"


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - MOST_NAMED
    return "; ".join(texts[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _source(row: Mapping[Any, Any]) -> str:
    """Return the column of a row, with the kernel where a recurrent layer has one."""
    column, kernel = str(row["column"]), str(row["kernel"])
    return column if kernel == "none" or column.endswith(f" {kernel}") else f"{column} ({kernel})"


# --- architectures -----------------------------------------------------------------------------------------------


def _architectures(results: Results) -> list[Finding]:
    frame = comparisons.architectures(results)
    found = []
    for suite, rows in frame.groupby("suite", sort=False):
        cases = {str(case): tables.rows_of(own) for case, own in rows.groupby("case", sort=False)}
        if len(cases) < 2:
            continue
        first = rows.iloc[0]
        kind = "test" if first["figure"] == "test" else "validation"
        best = max(cases, key=lambda case: _best(cases[case]))
        own = cases.pop(best)
        text = f"{_reached(own)} ({_count(int(first['rows']), f'{kind} row')})."
        near = [
            case
            for case, others in cases.items()
            if _best(others) >= _best(own) - NEAR and _cost(others) <= CHEAPER * _cost(own)
        ]
        other = min(near, key=lambda case: _cost(cases[case])) if near else max(cases, key=lambda c: _best(cases[c]))
        said = "Within a point of it and cheaper" if near else "Next"
        text += f" {said}: {other}, {_accuracy_and_cost(_cheapest(cases[other]))}."
        found.append(Finding(f"{suite}: {best}", text, (("accuracy", "accuracy.md"),)))
    return found


def _best(rows: Sequence[Mapping[Any, Any]]) -> float:
    return max(float(row["mean"]) for row in rows)


def _cost(rows: Sequence[Mapping[Any, Any]]) -> float:
    return min((row["seconds"] for row in rows if row["seconds"] is not None), default=math.inf)


def _cheapest(rows: Sequence[Mapping[Any, Any]]) -> Mapping[Any, Any]:
    return min(rows, key=lambda row: math.inf if row["seconds"] is None else row["seconds"])


def _reached(rows: Sequence[Mapping[Any, Any]]) -> str:
    """Return accuracy and training time of a case under its fastest backend, then under the others."""
    first = _cheapest(rows)
    others = [row for row in rows if row is not first]
    text = _accuracy_and_cost(first)
    if len(others) == 1:
        text += f"; {_accuracy_and_cost(others[0])}"
    elif others:
        low, high = (pick(row["mean"] for row in others) for pick in (min, max))
        span = f"{100 * low:.2f} to " if f"{low:.4f}" != f"{high:.4f}" else ""
        text += f"; the other {len(others)} variants {span}{_percent(high)}"
        costs = [row["seconds"] for row in others if row["seconds"] is not None]
        text += f" in {_seconds(min(costs))} to {_seconds(max(costs))}" if costs else ""
    return text


def _accuracy_and_cost(row: Mapping[Any, Any]) -> str:
    """Return `80.43 ± 1.38 % (5 seeds) in 6.76 s of training with torch (fused)`."""
    text = f"{_percent(row['mean'], row['half'])} ({_count(int(row['n']), 'seed')})"
    if row["seconds"] is not None:
        text += f" in {_seconds(row['seconds'])} of training" + ("" if row["headline"] else " beside other work")
    return f"{text} with {_source(row)}"


# --- speed -------------------------------------------------------------------------------------------------------


def _speed(results: Results) -> list[Finding]:
    """Compare every column with its reference by kind of layer, on times of cells alone in their process if any."""
    frame = comparisons.main_rows(comparisons.speed(results))
    found = []
    for (layers, device), rows in sorted(frame.groupby(["layers", "device"], sort=True), key=_by_importance):
        headline = rows[rows["headline"].astype(bool)]
        chosen = headline if len(headline) else rows
        columns = {str(column): tables.rows_of(own) for column, own in chosen.groupby("column", sort=True)}
        text = _one_against(next(iter(columns.values()))) if len(columns) == 1 else _many_against(columns)
        if not len(headline):
            text += " (From accuracy runs, beside which other work may have run.)"
        winner = _winner(chosen)
        lead = f"{_upper(str(layers))} on a {_device(str(device))}: {winner}"
        if len(columns) == 1 and winner.endswith(name := next(iter(columns))):
            lead += f", {_factors(columns[name])} as fast as {columns[name][0]['reference']}"
        found.append(Finding(lead, text, (("timing", "timing.md"),)))
    return found


def _by_importance(group: tuple[Any, pd.DataFrame]) -> tuple[int, str, str]:
    layers, device = group[0]
    order = ["LSTM", "GRU", "SimpleRNN"]
    return (order.index(layers) if layers in order else len(order)), str(layers), str(device)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _device(name: str) -> str:
    return {"cpu": "CPU", "cuda": "GPU"}.get(name, name)


def _winner(rows: pd.DataFrame) -> str:
    """Return the backend that is clearly fastest in every case, or in most, or that it depends on the case."""
    won: Counter[str] = Counter()
    cases = [tables.rows_of(own) for _, own in rows.groupby(CASE, sort=False)]
    for own in cases:
        fastest = max(own, key=lambda row: row["speedup"])
        outcomes = {_outcome(row) for row in own}
        if _outcome(fastest) == "faster":
            won[str(fastest["column"])] += 1
        elif outcomes == {"slower"}:
            won[str(fastest["reference"])] += 1
    if not won:
        return "not clear from these times"
    name, count = won.most_common(1)[0]
    if count == len(cases):
        return name
    return f"mostly {name}" if count > len(cases) / 2 else "it depends on the case"


def _factors(rows: Sequence[Mapping[Any, Any]]) -> str:
    factors = [float(row["speedup"]) for row in rows]
    if len(factors) == 1:
        return f"{_times(factors[0])} times"
    return f"{_times(min(factors))} to {_times(max(factors))} times"


def _one_against(rows: Sequence[Mapping[Any, Any]]) -> str:
    """Return how the only other backend fares against its reference, and the longest case by name."""
    text = f"Faster than {rows[0]['reference']} in {_outcomes(rows)}"
    if len(rows) > 1:
        text += f", {_times(median(float(row['speedup']) for row in rows))} times as fast in the median"
    return f"{text}; {_case_speed(max(rows, key=lambda row: row['base_epoch']))}."


def _many_against(columns: Mapping[str, Sequence[Mapping[Any, Any]]]) -> str:
    """Return the factors of every backend, the fastest first, and those of the longest case."""
    middle = {name: median(float(row["speedup"]) for row in rows) for name, rows in columns.items()}
    ordered = sorted(columns, key=lambda name: -middle[name])
    reference = columns[ordered[0]][0]["reference"]
    parts = [
        f"{name} {_times(middle[name])} ({_factors(columns[name])}; {_outcomes(columns[name])})" for name in ordered
    ]
    longest = max((row for rows in columns.values() for row in rows), key=lambda row: row["base_epoch"])
    same = [row for name in ordered for row in columns[name] if (row["suite"], row["case"]) == _case_of(longest)]
    times = ", ".join(f"{row['column']} {_seconds(row['epoch'])} ({_spread(row)})" for row in same)
    return (
        f"Times as fast as {reference} in the median (least to most; faster in): {', '.join(parts)}. "
        f"An epoch of {'/'.join(_case_of(longest))}: {reference} {_seconds(longest['base_epoch'])}, {times}; "
        f"in brackets the {longest['spread']} of the factor."
    )


def _case_of(row: Mapping[Any, Any]) -> tuple[str, str]:
    return str(row["suite"]), str(row["case"])


def _outcomes(rows: Sequence[Mapping[Any, Any]]) -> str:
    outcomes = Counter(_outcome(row) for row in rows)
    text = f"{outcomes['faster']} of {_count(len(rows), 'case')}"
    if outcomes["slower"]:
        text += f", slower in {outcomes['slower']}"
    if outcomes["same"]:
        text += f", not clearly different in {outcomes['same']}"
    return text


def _spread(row: Mapping[Any, Any]) -> str:
    return f"{_times(row['low'])} to {_times(row['high'])}"


def _outcome(row: Mapping[Any, Any]) -> Literal["faster", "slower", "same"]:
    """Return `faster` or `slower` where the spread leaves no other reading and the factor is above 5 %, else `same`."""
    if row["low"] > 1 and row["speedup"] > SAME_SPEED:
        return "faster"
    return "slower" if row["high"] < 1 and row["speedup"] < 1 / SAME_SPEED else "same"


def _case_speed(row: Mapping[Any, Any]) -> str:
    kernel = "" if row["kernel"] == "none" else f", {row['kernel']} against {row['reference_kernel']} kernel"
    processes = "1 process each" if row["base_n"] == row["n"] == 1 else f"{row['n']} against {row['base_n']} processes"
    return (
        f"on {row['suite']}/{row['case']} an epoch takes {_seconds(row['epoch'])} against "
        f"{_seconds(row['base_epoch'])}: {_times(row['speedup'])} times as fast ({row['spread']} {_spread(row)}, "
        f"{processes}{kernel})"
    )


def _kernels(results: Results) -> list[Finding]:
    frame = comparisons.main_rows(comparisons.kernels(results))
    found = []
    for (backend, device), rows in frame.groupby(["backend", "device"], sort=True):
        ordered = sorted(tables.rows_of(rows), key=lambda row: -row["speedup"])
        parts = [
            f"{row['suite']}/{row['case']} {_times(row['speedup'])} times ({_spread(row)}, {row['spread']})"
            for row in ordered
        ]
        lead = f"{backend} on a {_device(str(device))}, fused over generic kernel"
        found.append(Finding(lead, f"{_listed(parts)}.", (("timing", "timing.md"),)))
    return found


# --- documented figures ------------------------------------------------------------------------------------------


def _documented(results: Results) -> list[Finding]:
    frame = comparisons.main_rows(tables.accuracy(results))
    main = frame[frame["main"].astype(bool) & frame["mean"].notna()]
    return [*_judged(main), *_deviations(main, results), *_parameters(tables.parameters(results))]


def _shared(said: Iterable[tuple[str, str]]) -> list[str]:
    """Return `what under column, column` for (column, what) pairs: what is the same of several columns is said once."""
    columns: dict[str, list[str]] = {}
    for column, what in said:
        columns.setdefault(what, []).append(column)
    return [f"{what} under {', '.join(names)}" for what, names in columns.items()]


def _judged(main: pd.DataFrame) -> list[Finding]:
    judged = main[main["verdict"].isin(["inside", "outside"])]
    counts = _shared(
        (str(column), f"{int((rows['verdict'] == 'inside').sum())} of {len(rows)}")
        for column, rows in judged.groupby("column", sort=True)
    )
    few, never = (main[main["verdict"] == verdict] for verdict in ("n too small", "not judged"))
    rest = []
    if len(few):
        rest.append(f"{_figures(few)} measured with fewer than {SMALLEST_SAMPLE} seeds, too few to judge")
    if len(never):
        rest.append(f"{_figures(never)} may not be judged (no printed protocol, or a stand-in for the data)")
    if counts:
        lead = f"Inside the 95 % prediction interval of the measured runs: {', '.join(counts)}"
    else:
        lead = "No figure is judged yet" if rest else "No figure was measured"
    return [Finding(lead, f"{_upper('; '.join(rest))}." if rest else "", (("accuracy", "accuracy.md"),))]


def _figures(rows: pd.DataFrame) -> str:
    return _count(len(rows[[*CASE, "figure"]].drop_duplicates()), "figure")


def _deviations(main: pd.DataFrame, results: Results) -> list[Finding]:
    """Return the figures outside, largest deviation first, each with its reason; then other cases with a reason."""
    judged = main[main["verdict"].isin(["inside", "outside"])]
    outside = judged[judged["verdict"] == "outside"]
    found = sorted(
        (_deviation(tables.rows_of(rows), results) for _, rows in outside.groupby([*CASE, "figure"], sort=False)),
        key=lambda pair: pair[0],
    )
    findings = [finding for _, finding in found]
    if len(judged) and not findings:
        findings = [_least(judged)]
    named = {f"{row['suite']}/{row['case']}" for row in tables.rows_of(outside)}
    return findings + [
        Finding(name, f"{_upper(reason)}.", (("shown", place),))
        for name, (reason, place) in results.reasons.items()
        if name not in named
    ]


def _deviation(rows: Sequence[Mapping[Any, Any]], results: Results) -> tuple[float, Finding]:
    """Return a sort key (largest deviation first) and the sentence on the variants of one documented figure."""
    points = [100 * float(row["mean"] - row["documented"]) for row in rows]
    first = rows[0]
    measured = _shared(
        (
            str(row["column"]),
            f"{_percent(row['mean'], row['half'])} ({value:+.2f} points, {_count(int(row['n']), 'seed')})",
        )
        for value, row in zip(points, rows, strict=True)
    )
    name = f"{first['suite']}/{first['case']}"
    text = f"documented {_percent(first['documented'])} ({first['figure']}), measured {', '.join(measured)}."
    reason, place = results.reasons.get(name, ("why is not known", ""))
    text += f" {_upper(reason)}."
    return -max(map(abs, points)), Finding(f"Outside: {name}", text, (("why", place),) if place else ())


def _least(judged: pd.DataFrame) -> Finding:
    row = max(tables.rows_of(judged), key=lambda row: abs(row["mean"] - row["documented"]))
    points = 100 * (row["mean"] - row["documented"])
    return Finding(
        "No figure is outside",
        f"The largest deviation of a mean is {points:+.2f} points, {row['suite']}/{row['case']} under "
        f"{row['column']} (documented {_percent(row['documented'])}, {row['figure']}).",
    )


def _embedded(results: Results) -> list[Finding]:
    frame = tables.accuracy(results)
    main = frame[frame["main"].astype(bool) & frame["mean"].notna()]
    found = [
        Finding(
            "Not asked",
            "These accuracies were measured on the embedded corpus, which is generated, after a shortened training, "
            "and say nothing about any document's figures.",
        )
    ]
    spreads = [
        (float(group["mean"].max() - group["mean"].min()), "/".join(map(str, key)))
        for key, group in main.groupby(CASE, sort=False)
        if len(group) > 1
    ]
    if spreads:
        spread, name = max(spreads)
        found.append(Finding(f"The backends' means differ by at most {100 * spread:.2f} points", f"Most on {name}."))
    return found + _parameters(tables.parameters(results))


def _parameters(parameters: pd.DataFrame) -> list[Finding]:
    judged = parameters[parameters["verdict"].notna()]
    if judged.empty:
        return []
    differing = judged[judged["verdict"] != "equal"]
    names = sorted({f"{row['suite']}/{row['case']} ({row['verdict']})" for row in tables.rows_of(differing)})
    cases = len(judged[CASE].drop_duplicates())
    equal = cases - len(differing[CASE].drop_duplicates())
    lead = f"Parameter counts are exactly the documented ones in {equal} of {cases} cases"
    return [Finding(lead, f"{_listed(names)}." if names else "", (("parameters", "parameters.md"),))]


# --- what could not be measured ----------------------------------------------------------------------------------


def _unmeasured(results: Results) -> list[Finding]:
    """Return each documented accuracy without a measurement, why, and what was measured in its place; by document."""
    if not results.documented:
        return []
    frame = comparisons.main_rows(tables.accuracy(results))
    frame = frame[frame["main"].astype(bool)]
    rows = sorted(tables.rows_of(frame[frame["mean"].notna()]), key=lambda row: _measured_best(row))
    measured = {(row["suite"], row["case"]): row for row in rows}
    why = {(row["suite"], row["case"]): row["reason"] for row in tables.rows_of(tables.problems(results))}
    found = []
    for suite, case in sorted(results.cases(), key=lambda pair: pair[0].document):
        printed = documented_accuracy(case.documented)
        if printed is None or (suite.name, case.name) in measured:
            continue
        reason = why.get((suite.name, case.name))
        text = f"Whether {_percent(printed[1])} ({printed[0]}) holds is not known: "
        text += f"{_clause(reason)}." if reason else "it has not been run."
        instead = comparisons.learned_twin(suite.cases, case)
        row = measured.get((suite.name, instead.name)) if instead else None
        if instead and row:
            text += (
                f" Run instead: {instead.name}, the same net learning its embedding, "
                f"{_percent(row['mean'], row['half'])} over {_count(int(row['n']), 'seed')} under {row['column']}"
                f"{_beside(instead)}."
            )
        found.append(Finding(f"{suite.name}/{case.name}, document {suite.document}: not run", text))
    return found


def _measured_best(row: Mapping[Any, Any]) -> tuple[int, bool]:
    """Return a sort key that puts last the row with the most seeds, of these the documents' own backend."""
    return int(row["n"]), not tables.reference_order(str(row["backend"]))[0]


def _clause(reason: str) -> str:
    """Return the first clause of a reason: what is missing, without the places where it was looked for."""
    return reason.split(": no ")[0].split("; ")[0].rstrip(".")


def _beside(case: Case) -> str:
    printed = documented_accuracy(case.documented)
    return f" (documented {_percent(printed[1])})" if printed else ""


# --- pre-trained embeddings --------------------------------------------------------------------------------------


def _low_data(results: Results) -> list[Finding]:
    """Return what the smallest sample gains by pre-trained vectors, and from which on it gains nothing."""
    if not results.documented:
        return []
    said: dict[tuple[str, str, tuple[Link, ...]], list[str]] = {}
    for (suite, column), own in comparisons.main_rows(comparisons.low_data(results)).groupby(["suite", "column"]):
        ordered = tables.rows_of(own.sort_values("rows"))
        first = ordered[0]
        half = f" ± {100 * first['half']:.1f}" if first["half"] is not None else ""
        lead = f"At {first['rows']:,} training rows {100 * first['difference']:+.1f}{half} points"
        text = (
            f"{first['pretrained']} reaches {_percent(first['pretrained_mean'])}"
            f"{_beside(results.case(str(suite), first['pretrained']))}, {first['learned']} "
            f"{_percent(first['learned_mean'])} ({_count(int(first['n']), 'paired seed')}); {crossover(ordered)}"
        )
        if first["stand_in"] is not None:
            text += f". {tables.on_stand_in(first['stand_in']).rstrip('.')}"
        said.setdefault((lead, text, (("accuracy", "accuracy.md"),)), []).append(str(column))
    return [Finding(lead, f"Under {', '.join(who)}: {text}.", see) for (lead, text, see), who in said.items()]


def crossover(ordered: Sequence[Mapping[Any, Any]]) -> str:
    """Return from how many training rows on the learned embedding is at least as good; `ordered` are pairs by rows."""
    place = crossing(ordered)
    if place is None:
        return f"pre-trained ahead at the largest measured size, {ordered[-1]['rows']:,} rows"
    return f"learned at least as good from {ordered[place]['rows']:,} rows on"


def crossing(ordered: Sequence[Mapping[Any, Any]]) -> int | None:
    """Return the first pair from which on the learned embedding stays at least as good; None where there is none."""
    behind = [pair["difference"] <= 0 for pair in ordered]
    return next((place for place in range(len(behind)) if all(behind[place:])), None)


# --- formulas and defaults ---------------------------------------------------------------------------------------


def _keras_3(results: Results) -> list[Finding]:
    """Return which formulas changed, and what those of today's Keras do to accuracies."""
    found = _changed_formulas(results) if results.documented else []
    frame = comparisons.numerics(results)
    matched = frame[frame["numerics"] == comparisons.MATCHED]
    if len(matched) and results.documented:
        cases = [tables.rows_of(own) for _, own in matched.groupby(CASE, sort=False)]
        cases.sort(key=lambda rows: -max(abs(row["difference"]) for row in rows))
        found += [_with_keras_3(rows, results) for rows in cases[:MOST_NAMED]]
    elif found:
        found.append(Finding("What that does to accuracies: not run", "`bench run --numerics matched` measures it."))
    return found


def _with_keras_3(rows: Sequence[Mapping[Any, Any]], results: Results) -> Finding:
    """Return what the formulas of today's Keras make of one case under every backend."""
    first = rows[0]
    measured = _shared(
        (
            str(row["backend"]),
            f"{_percent(row['mean'])} where the documents' formulas give {_percent(row['base'])} ({_points(row)}, "
            f"{_count(int(row['n']), 'paired seed')})",
        )
        for row in rows
    )
    printed = f" Documented: {_percent(first['documented'])}." if first["documented"] is not None else ""
    text = f"{'; '.join(measured)}.{printed}"
    see = results.explanation(first["suite"], first["case"]) or (("accuracy", "accuracy.md"),)
    return Finding(f"{_name(first)} with Keras 3's formulas", text, see)


def _native(results: Results) -> list[Finding]:
    """Return what each framework's own ways cost every case that was explained, and what is not told from 0."""
    found = []
    frame = comparisons.differences(results)
    for _, own in frame.groupby([*CASE, "backend", "kernel"], sort=False):
        rows = [row for row in tables.rows_of(own) if row["numerics"] != comparisons.MAIN]
        rows.sort(key=lambda row: (row["numerics"] != comparisons.NATIVE, -abs(row["difference"])))
        if not rows:
            continue
        told = [row for row in rows if row["half"] is not None and abs(row["difference"]) > row["half"]]
        rest = [row["numerics"].partition(":")[2] or "all together" for row in rows if row not in told]
        parts = [f"{row['numerics'].partition(':')[2] or 'all together'} {_points(row)}" for row in told]
        text = f"against matched numerics: {_listed(parts) if parts else 'nothing is told from 0'}"
        text += f"; not told from 0: {', '.join(rest)}" if parts and rest else ""
        seeds = min(int(row["n"]) for row in rows)
        lead = f"{_name(rows[0])} under {rows[0]['backend']}"
        see = results.explanation(rows[0]["suite"], rows[0]["case"]) or (("accuracy", "accuracy.md"),)
        found.append(Finding(lead, f"{text} ({_count(seeds, 'paired seed')} or more).", see))
    return found


def _name(row: Mapping[Any, Any]) -> str:
    return f"{row['suite']}/{row['case']}"


def _points(row: Mapping[Any, Any]) -> str:
    half = f" ± {100 * row['half']:.2f}" if row["half"] is not None else ""
    return f"{100 * row['difference']:+.2f}{half} points"


def _limits(results: Results) -> list[Finding]:
    """Return for every backend and device which share of the machine's limits its training steps reach."""
    found = []
    frame = comparisons.main_rows(comparisons.roofline(results))
    for (column, device), own in frame.groupby(["column", "device"], sort=True):
        rows = tables.rows_of(own)
        most = max(rows, key=lambda row: row["share"])
        middle = median(float(row["share"]) for row in rows)
        lead = f"{column} on a {_device(str(device))}: {100 * middle:.0f} % of what the machine allows, in the median"
        text = f"Most on {_name(most)} ({100 * most['share']:.0f} %), over {_count(len(rows), 'case')}."
        found.append(Finding(lead, text, (("timing", "timing.md"),)))
    return found


def _changed_formulas(results: Results) -> list[Finding]:
    """Return which formulas of the reported documents today's Keras no longer has, with the number of cases."""
    cases = [(suite, case) for suite, case in results.cases() if suite.era != KERAS_3]
    optimizer = sum(
        suite.era.rmsprop_epsilon != KERAS_3.rmsprop_epsilon and case.training.optimizer == "rmsprop"
        for suite, case in cases
    )
    gates = sum(suite.era.gates != KERAS_3.gates and _has_gates(case) for suite, case in cases)
    parts = []
    if optimizer:
        parts.append(f"RMSprop's epsilon moved inside the root ({_count(optimizer, 'case')})")
    if gates:
        parts.append(f"the gates of LSTM and GRU are sigmoids, no longer piecewise linear ({_count(gates, 'case')})")
    if not parts:
        return []
    text = (
        f"{_upper('; '.join(parts))}. The TensorFlow engine besides squares duplicate rows of an embedding gradient "
        "before it sums them. The tables use the documents' formulas on every backend: none of this is in their "
        "figures."
    )
    return [
        Finding("Formulas that the documents ran and Keras 3 does not have", text, (("findings", "/docs/findings.md"),))
    ]


def _has_gates(case: Case) -> bool:
    """Return whether a recurrent layer takes its gate function from the era."""
    inner = [layer.layer if isinstance(layer, Bidirectional) else layer for layer in case.layers]
    return any(isinstance(layer, LSTM | GRU) and layer.recurrent_activation is None for layer in inner)


# --- proofs and gaps ---------------------------------------------------------------------------------------------


def _twins(results: Results) -> list[Finding]:
    marks = [mark for mark in results.twins.values() if mark != "not applicable"]
    if not marks:
        return []
    lead = f"{marks.count('proven')} of {len(marks)} variants are proven to"
    return [Finding(lead, "A variant is a case under a backend and a kernel; references included.", _PARITY)]


def _kernel_claims(results: Results) -> list[Finding]:
    found = kernel_proofs.counts(results)
    if not found:
        return []
    held, every = found.get(kernel_proofs.VERDICTS[True], 0), sum(found.values())
    lead = f"The kernel claimed is the one that ran in {held} of {every} timed variants"
    return [Finding(lead, "A profiler says so, in a pass of its own.", (("kernels", "kernels.md"),))]


_PARITY: tuple[Link, ...] = (("parity", "parity.md"),)


def _missing(results: Results) -> list[Finding]:
    statuses = Counter(record.status for record in results.records if record.status != "ok")
    missing = tables.not_run(results)
    never, partly = missing[missing["column"].isna()], missing[missing["column"].notna()]
    parts = []
    if statuses:
        named = ", ".join(f"{number} {status}" for status, number in statuses.most_common())
        parts.append(f"{statuses.total()} of {_count(len(results.records), 'cell')} did not end ok ({named})")
    if len(never):
        parts.append(f"not run: {len(never)} of {_count(sum(len(s.cases) for s in results.suites.values()), 'case')}")
    if len(partly):
        parts.append(f"without every backend or seed: {_count(len(partly[CASE].drop_duplicates()), 'case')}")
    return [Finding(_upper("; ".join(parts)), "", (("listed", "README.md#not-run"),))] if parts else []
