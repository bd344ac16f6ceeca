"""The answers first: what people ask of a report, answered in sentences whose every figure comes from the frames."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from bench.cases.describe import documented_accuracy
from bench.compare.statistics import SMALLEST_SAMPLE
from bench.records.record import Record
from bench.report import answers_speed, comparisons, tables
from bench.report import kernels as kernel_proofs
from bench.report.sentences import (
    MOST_NAMED,
    Answer,
    Finding,
    count,
    have,
    is_told,
    joined,
    listed,
    name,
    percent,
    points,
    seconds,
    shared,
    under,
    upper,
    with_kernels,
)
from bench.report.tables import CASE, Link, Results
from bench.spec import GRU, KERAS_3, LSTM, Bidirectional, Case

NOT_YET = "not run yet"
NO_FUSED = "no fused kernel"
"""How the reasons of cells begin that ask for a kernel which a backend does not have."""
NEAR, CHEAPER = 0.01, 0.8
"""An architecture within a point of the best one is an alternative when it costs at most this share of its time."""


def answers(results: Results, elsewhere: Mapping[str, Results] | None = None) -> list[Answer]:
    """Return every question that the results, or their absence, say something to, in the order in which it is read.

    `elsewhere` are the results of neighbouring folders of the same machine, by name, to which the answers may refer.
    """
    asked: list[tuple[str, Callable[[Results], list[Finding]]]] = [
        ("Which architecture is best, and at what cost?", _architectures),
        ("Which backend is faster, and by how much?", partial(answers_speed.speed, elsewhere=elsewhere or {})),
        ("Do fused kernels pay?", answers_speed.kernels),
        ("Did the documented figures hold?", _documented if results.documented else _embedded),
        ("Which documented figures could not be measured?", _unmeasured),
        ("What does a pre-trained embedding buy?", _low_data),
        ("What did Keras 3 change?", _keras_3),
        ("What do the frameworks' own defaults change?", _defaults),
        ("How much of the machine is used?", answers_speed.limits),
        ("Do the backends train the same model?", _twins),
        ("Did the kernels run that were claimed?", _kernel_claims),
        ("What is missing?", _missing),
    ]
    found = [Answer(question, tuple(answer(results))) for question, answer in asked]
    return [answer for answer in found if answer.findings]


# --- architectures -----------------------------------------------------------------------------------------------


def _architectures(results: Results) -> list[Finding]:
    frame = comparisons.architectures(results)
    found = []
    for suite, rows in frame.groupby("suite", sort=False):
        cases = {str(case): tables.rows_of(own) for case, own in rows.groupby("case", sort=False)}
        best = max(cases, key=lambda case: _best(cases[case])["mean"])
        own = cases.pop(best)
        # The same network under another protocol is no other architecture.
        network = results.case(str(suite), best).layers
        others = {case: members for case, members in cases.items() if results.case(str(suite), case).layers != network}
        if not others:
            continue
        kind = "test" if own[0]["figure"] == "test" else "validation"
        provisional = {int(row["n"]) for row in tables.rows_of(rows)}
        text = ""
        if 1 in provisional:
            text = (
                "1 seed: no interval, ranking provisional. "
                if provisional == {1}
                else "Ranking provisional: 1 seed has no interval. "
            )
        every = dict.fromkeys(map(str, rows["backend"]))
        text += f"{_reached(own, every)}; {count(int(own[0]['rows']), f'{kind} row')}.{_absent(results, own, every)}"
        text += f" {_runner_up(own, others)}."
        if own[0]["stand_in"]:
            text += f" {tables.on_stand_in(own[0]['stand_in'])}"
        found.append(Finding(f"{suite}: {best}", text, (("accuracy", "accuracy.md"),)))
    return found


def _best(rows: Sequence[Mapping[Any, Any]]) -> Mapping[Any, Any]:
    return max(rows, key=lambda row: float(row["mean"]))


def _cost(row: Mapping[Any, Any]) -> float:
    return math.inf if row["seconds"] is None else float(row["seconds"])


def _cheapest(rows: Sequence[Mapping[Any, Any]]) -> Mapping[Any, Any]:
    return min(rows, key=_cost)


def _runner_up(best: Sequence[Mapping[Any, Any]], others: Mapping[str, Sequence[Mapping[Any, Any]]]) -> str:
    """Return the cheapest other architecture within a point of the best, else the next best one."""
    top, cost = _best(best), _cost(_cheapest(best))
    near = [
        case
        for case, rows in others.items()
        if _best(rows)["mean"] >= top["mean"] - NEAR and _cost(_cheapest(rows)) <= CHEAPER * cost
    ]
    if near:
        other, said = min(near, key=lambda case: _cost(_cheapest(others[case]))), "Within a point of it and cheaper"
    else:
        other, said = max(others, key=lambda case: _best(others[case])["mean"]), "Next"
    second = _best(others[other])
    if None not in (top["half"], second["half"]) and second["mean"] + second["half"] >= top["mean"] - top["half"]:
        said += ", not clearly worse"
    return f"{said}: {other}, {_accuracy_and_cost(_cheapest(others[other]))}"


def _reached(rows: Sequence[Mapping[Any, Any]], every: Mapping[str, None]) -> str:
    """Return accuracy and training time of a case under its fastest backend, then under the others."""
    ordered = sorted(rows, key=_cost)
    columns = [str(row["backend"]) for row in ordered]
    if len(ordered) > 1 and len(set(columns)) == len(columns) and len(set(map(_accuracy, ordered))) == 1:
        return f"{_accuracy(ordered[0])} {under(columns, every)}{_joined_costs(ordered)}"
    first, *others = ordered
    text = _accuracy_and_cost(first)
    if len(others) == 1:
        text += f"; {_accuracy_and_cost(others[0])}"
    elif others:
        low, high = (pick(row["mean"] for row in others) for pick in (min, max))
        span = f"{100 * low:.2f} to " if f"{low:.4f}" != f"{high:.4f}" else ""
        text += f"; the other {len(others)} variants {span}{percent(high)}"
        costs = [row["seconds"] for row in others if row["seconds"] is not None]
        text += f" in {seconds(min(costs))} to {seconds(max(costs))}" if costs else ""
    return text


def _joined_costs(rows: Sequence[Mapping[Any, Any]]) -> str:
    """Return ` in 4 epochs: 1.5 s with torch and 5.24 s with keras-tensorflow` for rows of the same accuracy."""
    epochs = {_epochs(row) for row in rows}
    told = [f"{_seconds(row)} with {_source(row)}" for row in rows if row["seconds"] is not None]
    if len(epochs) > 1:
        told = [f"{_seconds(row)} ({_epochs(row)}) with {_source(row)}" for row in rows if row["seconds"] is not None]
    length = f" in {next(iter(epochs))}" if len(epochs) == 1 and None not in epochs else ""
    return length + (f": {joined(told)}" if told else "")


def _accuracy(row: Mapping[Any, Any]) -> str:
    return f"{percent(row['mean'], row['half'])} ({count(int(row['n']), 'seed')})"


def _accuracy_and_cost(row: Mapping[Any, Any]) -> str:
    """Return `80.43 ± 1.38 % (5 seeds) in 6.76 s (4 epochs) with torch (fused)`."""
    cost = f" in {_seconds(row)} ({_epochs(row)})" if row["seconds"] is not None else ""
    return f"{_accuracy(row)}{cost} with {_source(row)}"


def _epochs(row: Mapping[Any, Any]) -> str | None:
    """Return the epochs that were run, a mean over seeds."""
    if row["epochs"] is None:
        return None
    return f"{row['epochs']:.3g} epoch{'' if row['epochs'] == 1 else 's'}"


def _seconds(row: Mapping[Any, Any]) -> str:
    return seconds(row["seconds"]) + ("" if row["headline"] else " beside other work")


def _source(row: Mapping[Any, Any]) -> str:
    return with_kernels(str(row["column"]), [row])


def _absent(results: Results, rows: Sequence[Mapping[Any, Any]], every: Mapping[str, None]) -> str:
    """Return why backends that other cases of the suite ran under have no figure for this one."""
    first = rows[0]
    here = {str(row["backend"]) for row in rows}
    problems = _problems(results)
    said = []
    for backend in every:
        if backend not in here:
            own = [row for row in problems if (row["suite"], row["case"]) == (first["suite"], first["case"])]
            why = _gap(next((row for row in own if row["backend"] == backend), None))
            said.append(f"{backend}: {why}")
    return f" No figure under {'; '.join(said)}." if said else ""


# --- documented figures ------------------------------------------------------------------------------------------


def _documented(results: Results) -> list[Finding]:
    frame = comparisons.main_rows(tables.accuracy(results))
    main = frame[frame["main"].astype(bool) & frame["mean"].notna()]
    return [*_judged(main), *_deviations(main, results), *_parameters(tables.parameters(results))]


def _judged(main: pd.DataFrame) -> list[Finding]:
    """Return how many figures hold, under all backends that judge them, and what could not be judged."""
    judged = main[main["verdict"].isin(["inside", "outside"])]
    figures = [tables.rows_of(rows) for _, rows in judged.groupby([*CASE, "figure"], sort=False)]
    few, never = (main[main["verdict"] == verdict] for verdict in ("n too small", "not judged"))
    rest = []
    if len(few):
        rest.append(f"{_figures(few)} measured with fewer than {SMALLEST_SAMPLE} seeds, too few to judge")
    if len(never):
        rest.append(f"{_figures(never)} may not be judged (no printed protocol, or a stand-in for the data)")
    text = f"{upper('; '.join(rest))}." if rest else ""
    see: tuple[Link, ...] = (("accuracy", "accuracy.md"),)
    if not figures:
        return [Finding("No figure is judged yet" if rest else "No figure was measured", text, see)]
    held = sum(all(row["verdict"] == "inside" for row in rows) for rows in figures)
    columns = {tuple(sorted(str(row["column"]) for row in rows)) for rows in figures}
    who = under(next(iter(columns)), main["column"]) if len(columns) == 1 else "under every backend that judges them"
    lead = f"Of {count(len(figures), 'judged figure')} {held} {'holds' if held == 1 else 'hold'} {who}"
    holds = "A figure holds where it lies inside the 95 % prediction interval of the measured runs."
    return [Finding(lead, f"{holds} {text}".strip(), see)]


def _figures(rows: pd.DataFrame) -> str:
    return count(len(rows[[*CASE, "figure"]].drop_duplicates()), "figure")


def _deviations(main: pd.DataFrame, results: Results) -> list[Finding]:
    """Return the figures outside, largest deviation first, each with its reason; then other cases with a reason."""
    judged = main[main["verdict"].isin(["inside", "outside"])]
    outside = judged[judged["verdict"] == "outside"]
    every = main["column"]
    found = sorted(
        (
            _deviation(tables.rows_of(rows), every, results)
            for _, rows in outside.groupby([*CASE, "figure"], sort=False)
        ),
        key=lambda pair: pair[0],
    )
    findings = [finding for _, finding in found]
    if len(judged) and not findings:
        findings = [_least(judged)]
    told = set(map(name, tables.rows_of(outside)))
    compared = main[main["documented"].notna() & (main["figure"] != "train")]
    by_case = {name(tables.rows_of(rows)[0]): tables.rows_of(rows) for _, rows in compared.groupby(CASE, sort=False)}
    for case, (reason, place) in results.reasons.items():
        if case not in told:
            rows = by_case.get(case, [])
            text = f"{_against_documented(rows, every)}. " if rows else ""
            findings.append(Finding(case, f"{upper(text)}{upper(reason)}.", (("shown", place),)))
    return findings


def _deviation(rows: Sequence[Mapping[Any, Any]], every: Iterable[str], results: Results) -> tuple[float, Finding]:
    """Return a sort key (largest deviation first) and the sentence on the variants of one documented figure."""
    largest = max(abs(float(row["mean"] - row["documented"])) for row in rows)
    case = name(rows[0])
    reason, place = results.reasons.get(case, ("why is not known", ""))
    text = f"{upper(_against_documented(rows, every))}. {upper(reason)}."
    return -largest, Finding(f"Outside: {case}", text, (("why", place),) if place else ())


def _against_documented(rows: Sequence[Mapping[Any, Any]], every: Iterable[str]) -> str:
    """Return `documented ... (test), measured ...` with each variant's verdict, and how far outside the figure lies."""
    measured = shared(
        ((str(row["column"]), f"{percent(row['mean'], row['half'], 1)} ({_verdict(row)})") for row in rows), every
    )
    return f"documented {percent(rows[0]['documented'])} ({rows[0]['figure']}), measured {', '.join(measured)}"


def _verdict(row: Mapping[Any, Any]) -> str:
    seeds, printed = count(int(row["n"]), "seed"), row["documented"]
    if row["verdict"] not in ("inside", "outside"):
        return f"{seeds}, {'too few to judge' if row['verdict'] == 'n too small' else row['verdict']}"
    interval = f"prediction interval {100 * max(row['low'], 0):.1f} to {percent(min(row['high'], 1), digits=1)}"
    if row["verdict"] == "inside":
        return f"{seeds}, inside the {interval}"
    away, side = (row["low"] - printed, "below") if printed < row["low"] else (printed - row["high"], "above")
    return f"{seeds}; documented is {100 * away:.2f} points {side} the {interval}"


def _least(judged: pd.DataFrame) -> Finding:
    row = max(tables.rows_of(judged), key=lambda row: abs(row["mean"] - row["documented"]))
    points = 100 * (row["mean"] - row["documented"])
    return Finding(
        "No figure is outside",
        f"The largest deviation of a mean is {points:+.2f} points, {row['suite']}/{row['case']} under "
        f"{row['column']} (documented {percent(row['documented'])}, {row['figure']}).",
    )


def _embedded(results: Results) -> list[Finding]:
    frame = tables.accuracy(results)
    main = frame[frame["main"].astype(bool) & frame["mean"].notna()]
    found = [
        Finding(
            "Not asked",
            "These accuracies were measured on the embedded corpus, which is generated, after a shortened training.",
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
    return [Finding(lead, f"{listed(names)}." if names else "", (("parameters", "parameters.md"),))]


# --- what could not be measured ----------------------------------------------------------------------------------


def _unmeasured(results: Results) -> list[Finding]:
    """Return each documented accuracy without a measurement, why, and what was measured in its place; by document."""
    if not results.documented:
        return []
    frame = comparisons.main_rows(tables.accuracy(results))
    frame = frame[frame["main"].astype(bool)]
    rows = sorted(tables.rows_of(frame[frame["mean"].notna()]), key=lambda row: _measured_best(row))
    measured = {(row["suite"], row["case"]): row for row in rows}
    why = {(row["suite"], row["case"]): row for row in _problems(results)}
    found = []
    for suite, case in sorted(results.cases(), key=lambda pair: pair[0].document):
        printed = documented_accuracy(case)
        if printed is None or (suite.name, case.name) in measured:
            continue
        gap = why.get((suite.name, case.name))
        text = f"Whether {percent(printed[1])} ({printed[0]}) holds is not known{f': {_clause(gap)}' if gap else ''}."
        instead = comparisons.learned_twin(suite.cases, case)
        row = measured.get((suite.name, instead.name)) if instead else None
        if instead and row:
            text += (
                f" Run instead: {instead.name}, the same net learning its embedding, "
                f"{percent(row['mean'], row['half'])} over {count(int(row['n']), 'seed')} under {row['column']}"
                f"{_beside(instead)}."
            )
        status = gap["status"] if gap else NOT_YET
        found.append(Finding(f"{suite.name}/{case.name}, document {suite.document}: {status}", text))
    return found


def _measured_best(row: Mapping[Any, Any]) -> tuple[int, bool]:
    """Return a sort key that puts last the row with the most seeds, of these the documents' own backend."""
    return int(row["n"]), tables.reference_order(str(row["backend"])) == 0


def _problems(results: Results) -> list[dict[str, Any]]:
    """Return why cells have no result, by case and variant, but for fused kernels: the generic one does without."""
    rows = tables.rows_of(tables.problems(results))
    return [row for row in rows if not str(row["reason"]).startswith(f"{NO_FUSED}:")]


def _gap(problem: Mapping[Any, Any] | None) -> str:
    """Return what became of cells without a result: their status and why, or that they have not been started."""
    return f"{problem['status']}, {_clause(problem)}" if problem else NOT_YET


def _problem(record: Record) -> dict[str, Any]:
    """Return what `tables.problems` says of a record."""
    return {"suite": record.suite, "case": record.case, "status": record.status, "reason": tables.one_line(record)}


def _clause(problem: Mapping[Any, Any]) -> str:
    """Return the first clause of a reason: what is missing, without the case's name and the places looked in."""
    reason = str(problem["reason"]).removeprefix(f"{name(problem)} is ")
    return reason.split(": no ")[0].split("; ")[0].rstrip(".")


def _beside(case: Case) -> str:
    printed = documented_accuracy(case)
    return f" (documented {percent(printed[1])})" if printed else ""


# --- pre-trained embeddings --------------------------------------------------------------------------------------


def _low_data(results: Results) -> list[Finding]:
    """Return what the smallest sample gains by pre-trained vectors, and from which on it gains nothing."""
    if not results.documented:
        return []
    frame = comparisons.main_rows(comparisons.low_data(results))
    found = []
    for suite, every in frame.groupby("suite", sort=False):
        columns = {str(column): tables.rows_of(own.sort_values("rows")) for column, own in every.groupby("column")}
        said: dict[tuple[str, str, int | None], list[str]] = {}
        for column, ordered in columns.items():
            said.setdefault((*_smallest(results, str(suite), ordered[0]), crossing(ordered)), []).append(column)
        for (lead, text, place), who in said.items():
            text += f" {under(who, columns)}; {crossover(columns[who[0]])}"
            if place is not None:
                at = shared(((column, points(columns[column][place])) for column in who), columns)
                text += f" ({', '.join(at)})"
            found.append(Finding(lead, f"{text}.", (("accuracy", "accuracy.md"),)))
    return found


def _smallest(results: Results, suite: str, pair: Mapping[Any, Any]) -> tuple[str, str]:
    """Return what vectors buy at the least number of rows: a phrase, and sentences that begin with a stand-in."""
    text = ""
    if pair["stand_in"] is not None:
        text = tables.on_stand_in(pair["stand_in"]).rstrip(".") + ". "
        printed = documented_accuracy(results.case(suite, pair["pretrained"]))
        text += f"The document's {percent(printed[1])} ({printed[0]}) used the real vectors. " if printed else ""
    text += (
        f"Test accuracy: {pair['pretrained']} {percent(pair['pretrained_mean'])}, {pair['learned']} "
        f"{percent(pair['learned_mean'])} ({count(int(pair['n']), 'paired seed')})"
    )
    return f"At {pair['rows']:,} training rows {points(pair)}", text


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
    cases = sorted(_matched(results).values(), key=lambda rows: -max(abs(row["difference"]) for row in rows))
    if cases and results.documented:
        found += [_with_keras_3(rows, results) for rows in cases[:MOST_NAMED]]
    elif found:
        found.append(Finding("What that does to accuracies: not run", "`bench run --numerics matched` measures it."))
    return found


def _matched(results: Results) -> dict[Hashable, list[dict[Any, Any]]]:
    """Return by case what the formulas of today's Keras change, a row per backend."""
    frame = comparisons.numerics(results)
    matched = frame[frame["numerics"] == comparisons.MATCHED]
    return {case: tables.rows_of(own) for case, own in matched.groupby(CASE, sort=False)}


def _with_keras_3(rows: Sequence[Mapping[Any, Any]], results: Results) -> Finding:
    """Return what the formulas of today's Keras make of one case under every backend."""
    first = rows[0]
    measured = shared(
        (
            (
                str(row["backend"]),
                f"{percent(row['mean'])} where the documents' formulas give {percent(row['base'])} ({points(row)}, "
                f"{count(int(row['n']), 'paired seed')})",
            )
            for row in rows
        ),
        (str(row["backend"]) for row in rows),
    )
    printed = f" Documented: {percent(first['documented'])}." if first["documented"] is not None else ""
    text = f"{'; '.join(measured)}.{printed}"
    see = results.explanation(first["suite"], first["case"]) or (("accuracy", "accuracy.md"),)
    return Finding(f"{name(first)} with Keras 3's formulas", text, see)


def explained(results: Results) -> list[Finding]:
    """Return a sentence on Keras 3's formulas, and one on each framework's own ways, for every case explained."""
    told = {case for case, _ in comparisons.differences(results).groupby(CASE)}
    formulas = [_with_keras_3(rows, results) for case, rows in _matched(results).items() if case in told]
    return [*formulas, *_own_ways(results)]


def _defaults(results: Results) -> list[Finding]:
    """Return what each framework's own ways cost, and how that is to be read."""
    found = _own_ways(results)
    if found:
        text = "Each is switched on alone, against one set of formulas on every backend, those of today's Keras 3."
        found.append(Finding("The effects do not add up", text))
    return found


def _own_ways(results: Results) -> list[Finding]:
    """Return what each framework's own ways cost every case that was explained, and what is not told from 0."""
    found = []
    frame = comparisons.differences(results)
    for _, own in frame.groupby([*CASE, "backend", "kernel"], sort=False):
        rows = [row for row in tables.rows_of(own) if row["numerics"] != comparisons.MAIN]
        rows.sort(key=lambda row: (row["numerics"] != comparisons.NATIVE, -abs(row["difference"])))
        if not rows:
            continue
        told = [row for row in rows if is_told(row)]
        rest = [IN_WORDS.get(row["numerics"], row["numerics"]) for row in rows if row not in told]
        parts = [f"{IN_WORDS.get(row['numerics'], row['numerics'])} {points(row)}" for row in told]
        if rest:
            parts.append(f"not told from 0: {', '.join(rest)}")
        fewest, most = (pick(int(row["n"]) for row in rows) for pick in (min, max))
        seeds = count(most, "paired seed") if fewest == most else f"{fewest} to {most} paired seeds"
        lead = f"{name(rows[0])} under {rows[0]['backend']}"
        see = results.explanation(rows[0]["suite"], rows[0]["case"]) or (("accuracy", "accuracy.md"),)
        found.append(Finding(lead, f"{'; '.join(parts)} ({seeds}).", see))
    return found


IN_WORDS = {
    comparisons.NATIVE: "all together",
    "native:init": "initial weights",
    "native:order": "order of rows",
    "native:loss": "loss",
    "native:optimizer": "optimizer",
    "native:bias": "second bias",
    "native:embedding-gradient": "embedding gradient",
    "native:denormals": "denormal numbers",
}
"""How sentences call what `bench.cases.model.DIFFERENCES` are."""


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
        parts.append(f"RMSprop adds epsilon inside the square root, not after it ({count(optimizer, 'case')})")
    if gates:
        parts.append(f"the gates of LSTM and GRU are true sigmoids, not piecewise-linear ones ({count(gates, 'case')})")
    if not parts:
        return []
    text = (
        f"{upper('; '.join(parts))}; on TensorFlow only: duplicate rows of an embedding gradient are squared before "
        "they are summed. The tables use the documents' formulas on every backend, so none of this is in their figures."
    )
    return [Finding("Formulas that Keras 3 changed", text, (results.documentation_on("findings"),))]


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
    """Return which cases have no result, why cells have none, and which cases lack a backend or seeds."""
    why = {(row["suite"], row["case"]): str(row["status"]) for row in _problems(results)}
    ended = {(record.suite, record.case) for record in results.records if record.status == "ok"}
    every = [(suite.name, case.name) for suite in results.suites.values() for case in suite.cases]
    without: dict[str, list[str]] = {}
    for case in every:
        if case not in ended:
            without.setdefault(why.get(case, NOT_YET), []).append("/".join(case))
    found = []
    if without:
        number = sum(map(len, without.values()))
        lead = f"{number} of {count(len(every), 'case')} {have(number)} no result"
        named = "; ".join(f"{status}: {listed(cases, ', ', 2 * MOST_NAMED)}" for status, cases in without.items())
        found.append(Finding(lead, f"{upper(named)}."))
    # Which backend has no fused kernel is said in the list.
    cells = Counter(_gap(_problem(record)).split(": ")[0] for record in results.records if record.status != "ok")
    if cells:
        lead = f"{cells.total()} of {count(len(results.records), 'cell')} {have(cells.total())} no result"
        named = "; ".join(f"{number} {gap}" for gap, number in cells.most_common())
        found.append(Finding(lead, f"{named}."))
    partly = tables.not_run(results)
    started = dict.fromkeys(name(row) for row in tables.rows_of(partly[partly["column"].notna()]))
    names = [case for case in started if tuple(case.split("/")) in ended]
    if names:
        lead = (
            f"{count(len(names), 'case')} {'lacks' if len(names) == 1 else 'lack'} a backend or seeds that were planned"
        )
        found.append(Finding(lead, f"Not run yet: {listed(names, ', ')}."))
    return [*found[:-1], replace(found[-1], see=(("listed", "README.md#not-run"),))] if found else []
