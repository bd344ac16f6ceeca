"""One HTML file of a report: tables to sort and filter, plots that follow the filter, the details of every cell.

It holds its data, its libraries (`assets/README.md`) and nothing from elsewhere, and works by being opened. What comes
from results reaches the page as JSON and is shown as text; a policy in its head admits no script but the three that are
written here, by their hashes, and no address at all.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any, Literal

import jinja2
from markupsafe import Markup

from bench.backends.registry import backends
from bench.cases import describe
from bench.cases.describe import recurrence
from bench.compare.statistics import mean_interval
from bench.files import write_file
from bench.records.metrics import METRICS, Format, Metric, is_comparable, value
from bench.records.record import CASE, VARIANT, Record, plain
from bench.report.answers import TOPICS, answers
from bench.report.figures import by_seed
from bench.report.frames import MAIN, grouped, reference_order
from bench.report.notes import one_line
from bench.report.numbers import known
from bench.report.results import KERNELS, Results, Variant, status_of
from bench.report.speedups import ORDER
from bench.report.topics import accuracy, timing
from bench.report.topics.accuracy import AccuracyRow, MeasuredRow
from bench.report.topics.timing import TimingRow

FILE = "page.html"
FACETS = (*CASE, *VARIANT, "status")
"""What the page filters by."""
DIGITS = 6
"""Significant digits of a broken number in the page; whole ones, which count something, have all of theirs."""
LONGEST = 200
"""Numbers of a raw series that the details show; a longer one is shown by its count, least, median and most."""

_SCRIPTS = ("tabulator.min.js", "chart.umd.min.js", "page.js")
_STYLES = ("tabulator_simple.min.css", "page.css")
_LICENCES = ("tabulator.LICENSE", "chart.js.LICENSE")


@dataclass(frozen=True)
class Column:
    """A column of a table: the field of a row, its heading, how its values are written.

    Those with the lowest ranks show at first, as many as fit, those of one rank together; without one it shows on
    demand. `group` is the
    first line of a heading that has two. Beside a value stands half its interval, `FIELD_half` of the row, or its
    range, `FIELD_range`.
    """

    field: str
    title: str
    kind: Format | Literal["text", "points", "ms"] = "text"
    rank: int | None = None
    group: str = ""


def write(results: Results, folder: Path) -> list[Path]:
    """Write the page into `folder`, which is made, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    write_file(path, page(results))
    return [path]


def page(results: Results) -> str:
    """Return the page as HTML."""
    scripts = [_asset(name) for name in _SCRIPTS]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    names = ", ".join(source.name for source in results.sources)
    return environment.from_string(_asset("page.html.jinja")).render(
        title=f"twinbench: {names}",
        hashes=" ".join(f"'sha256-{_hash(script)}'" for script in scripts),
        styles=[Markup(_asset(name)) for name in _STYLES],
        scripts=[Markup(script) for script in scripts],
        licences=[_asset(name) for name in _LICENCES],
        overview=_json(overview(results)),
        details=_json(details(results)),
    )


def _asset(name: str) -> str:
    return (importlib.resources.files("bench.report") / "assets" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _json(content: Any) -> Markup:
    """Return JSON that no HTML parser can leave: `<`, `>` and `&` are written as escapes."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _plain(content: Any) -> Any:
    """Return values as JSON has them: broken numbers of `DIGITS` digits, the undefined by name, no nulls."""
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items() if value is not None}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if isinstance(content, float) and not content.is_integer():
        return float(f"{content:.{DIGITS}g}") if math.isfinite(content) else str(content)
    return content


# --- tables ------------------------------------------------------------------------------------------------------


def overview(results: Results) -> dict[str, Any]:
    """Return what the page shows first: `runs`, `tiles`, `answers`, `pairs`, `views` with their columns and rows.

    `tiles` are the answers that most readers come for, each with the `command` that measures what is missing;
    `answers` the others. `pairs` are what the rows of the first view can set side by side. `colours` are those of the
    backends that have some. Every row has an `id` by which the page and its address name it; where a view has a field
    of `facets`, it is filtered by it.
    """
    pairs = _pairs(results)
    views = (
        ("cases", "Cases", _CASE_COLUMNS, cases(results)),
        ("configurations", "Configurations", _CONFIGURATION_COLUMNS, configurations(results)),
        ("cells", "Cells", _CELL_COLUMNS, cells(results)),
    )
    runs = [
        {name: getattr(source, name) for name in ("name", "profile", "command", "started", "environment", "settings")}
        for source in results.sources
    ]
    questions = {topic.name: topic.question for topic in TOPICS if topic.question}
    said = {question: {"question": question, **asdict(answer)} for question, answer in answers(results).items()}
    tiles = [
        {"title": title, "command": command, **said.pop(questions.get(topic, ""), {})}
        for topic, title, command in _TILES
    ]
    return {
        "tiles": tiles,
        "answers": list(said.values()),
        "colours": {info.name: info.colour for info in backends().values() if info.colour},
        "facets": FACETS,
        "pairs": pairs,
        "runs": _plain(runs),
        "views": [
            {"name": name, "title": title, "columns": _filled(columns, rows), "rows": _plain(rows)}
            for name, title, columns, rows in views
        ],
    }


def _filled(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the columns in which any row has a value; of `_WHERE_DIFFERENT`, none has a rank where rows are alike."""
    filled = {name for row in rows for name, content in row.items() if content is not None}
    same = {name for name in _WHERE_DIFFERENT if len({row.get(name) for row in rows} - {None}) < 2}
    kept = [column for column in columns if column.field in filled]
    return [asdict(column) | ({"rank": None} if column.field in same else {}) for column in kept]


def _metrics(ranks: Mapping[str, int], left_out: Iterable[str] = ()) -> list[Column]:
    return [
        Column(metric.name, metric.title, "ms" if metric.name == "step" else metric.format, ranks.get(metric.name))
        for metric in METRICS.values()
        if metric.name not in ("accuracy", "loss", *left_out)
    ]


_TILES = (
    ("parity", "Same model?", "bench parity"),
    ("speed", "Faster?", "bench run --measure steps --repeats 3"),
    ("accuracy", "Documented figures?", "bench run --profile documented"),
    ("differences", "What does a port lose?", "bench explain CASE"),
)
"""The topics whose answers stand above the tables, what they are called there, and what measures them."""
_SETS = {"test": "test accuracy", "val": "validation accuracy"}
"""The sets that the figure of a case may be of, by its kind: accuracies of two sets never share a column."""
_LOSSES = [Column(f"{kind}_loss", title.replace("accuracy", "loss"), "number") for kind, title in _SETS.items()]
_WHERE_DIFFERENT = ("device", "numerics", "status", "repeat", "measure")
"""Columns that are shown at first only where rows differ in them."""
_CASE_COLUMNS = [
    Column("case", "case", rank=0),
    Column("suite", "suite"),
    Column("layers", "recurrent layers"),
    *(
        column
        for place, (kind, title) in enumerate(_SETS.items())
        for column in (
            Column(f"{kind}_reference", "{reference}", "percent", 4 + place, f"{title}, %"),
            Column(f"{kind}_candidate", "{candidate}", "percent", 4 + place, f"{title}, %"),
            Column(f"{kind}_difference", "paired difference", "points", 1 + place, f"{title.split()[0]}, points"),
        )
    ),
    Column("step_reference", "{reference}", "ms", 6, "ms per step"),
    Column("step_candidate", "{candidate}", "ms", 6, "ms per step"),
    Column("speed", "× as fast", "number", 3, "{candidate} is"),
    *(Column(f"{kind}_documented", "documented", "percent", 7, f"{title}, %") for kind, title in _SETS.items()),
    Column("comparable", "times comparable"),
    Column("timed_under", "numerics of times"),
    Column("twins", "twins"),
    Column("parameters", "parameters", "count", 8),
    Column("stand_in", "stand-in"),
]
_CONFIGURATION_COLUMNS = [
    Column("case", "case", rank=0),
    Column("suite", "suite"),
    Column("backend", "backend", rank=1),
    Column("kernel", "kernel", rank=5),
    Column("device", "device", rank=6),
    Column("numerics", "numerics", rank=4),
    Column("status", "status", rank=7),
    Column("n", "n", "count"),
    *(Column(kind, title, "percent", 2) for kind, title in _SETS.items()),
    *(Column(f"{kind}_documented", f"documented {title}", "percent", 8) for kind, title in _SETS.items()),
    Column("verdict", "verdict", rank=9),
    Column("step", "training step", "ms", 3),
    Column("epoch", "epoch", "seconds", 10),
    Column("comparable", "times comparable"),
    *_LOSSES,
    *_metrics({}, left_out=("step", "epoch")),
    Column("twins", "twins"),
    Column("stand_in", "stand-in"),
]
_CELL_COLUMNS = [
    Column("case", "case", rank=0),
    Column("suite", "suite"),
    Column("backend", "backend", rank=1),
    Column("kernel", "kernel", rank=9),
    Column("device", "device", rank=8),
    Column("numerics", "numerics", rank=7),
    Column("status", "status", rank=4),
    Column("seed", "seed", "count", 5),
    Column("repeat", "repeat", "count", 6),
    Column("measure", "measure", rank=10),
    *(Column(kind, title, "percent", 2) for kind, title in _SETS.items()),
    *_LOSSES,
    *_metrics({"step": 3, "epoch": 11}),
    Column("epochs_run", "epochs", "count"),
    Column("seconds", "whole cell", "seconds"),
    Column("comparable", "times comparable"),
    Column("stand_in", "stand-in"),
    Column("run", "run"),
    Column("reason", "reason", rank=12),
]


def cells(results: Results) -> list[dict[str, Any]]:
    """Return one row per record, in the order of the suites; `twin` is the record of the other framework."""
    names = {_place(record): identity(record) for record in results.records}
    rows = []
    for record in _in_order(results):
        row = {name: getattr(record, name) for name in (*FACETS, "seed", "repeat", "measure", "seconds")}
        row |= {name: value(record, name) for name in METRICS if name not in ("accuracy", "loss")}
        last = record.metrics.last if record.metrics and record.status == "ok" else None
        for kind, score in (("test", last.test), ("val", last.validation)) if last else ():
            row |= {kind: score.accuracy, f"{kind}_loss": score.loss} if score else {}
        place, variants = _place(record), results.groups[record.suite, record.case]
        twins = (names.get((*place[:2], other, *place[3:])) for other in _twins(place[2], variants))
        row |= {
            "id": identity(record),
            "twin": next(filter(None, twins), None),
            "epochs_run": len(record.metrics.epochs) if record.metrics else None,
            "comparable": _yes(is_comparable(record) if record.timing else None),
            "stand_in": record.data.stand_in if record.data else None,
            "run": results.run_of[id(record)],
            "reason": None if record.status == "ok" else one_line(record),
        }
        rows.append(row)
    return rows


def _place(record: Record) -> tuple[str, str, Variant, int, int, str]:
    variant = Variant(record.backend, record.kernel, record.device, record.numerics)
    return record.suite, record.case, variant, record.seed, record.repeat, record.measure


def _twins(variant: Variant, variants: Iterable[Variant]) -> list[Variant]:
    """Return the variants of a case that one can be set against, a twin in the other framework first."""

    def order(other: Variant) -> tuple[Any, ...]:
        place, info = reference_order(other.backend), backends().get(other.backend)
        alike = (place is None) == (reference_order(variant.backend) is None)
        return alike, place or 0, not (info and info.default), other.kernel != variant.kernel, other

    setting = (variant.device, variant.numerics)
    others = (one for one in variants if one.backend != variant.backend and (one.device, one.numerics) == setting)
    return sorted(others, key=order)


def _in_order(results: Results) -> list[Record]:
    places = [(suite.name, case.name) for suite in results.reported_suites() for case in suite.cases]
    order = {place: number for number, place in enumerate(places)}
    return sorted(
        results.records, key=lambda record: (order.get((record.suite, record.case), len(order)), identity(record))
    )


def _yes(fact: bool | None) -> str | None:
    return None if fact is None else "yes" if fact else "no"


def identity(record: Record) -> str:
    """Return the name of a record, unique in a report: the cell's, its repeat unless it is the first, and measure."""
    repeat = f" repeat {record.repeat}" if record.repeat else ""
    return f"{record.cell}{repeat} {record.measure}"


def configurations(results: Results) -> list[dict[str, Any]]:
    """Return one row per case and variant: its times and accuracy beside medians of other metrics.

    A case of a reported suite that has no record has one row, `not run`. One is `ok` where what was measured of it,
    accuracy and timing, both ended ok at least once. `twin` is the row of the other framework.
    """
    reached = _reached(results)
    return [_configuration(results, row, reached.get((row.name, row.variant))) for row in timing.frame(results)]


def _reached(results: Results) -> dict[tuple[str, Variant | None], AccuracyRow]:
    """Return the figure that stands for each case and variant."""
    found: dict[tuple[str, Variant | None], AccuracyRow] = {}
    for row in accuracy.frame(results):
        if row.figure.main:
            found.setdefault((row.name, row.variant), row)
    return found


def _configuration(results: Results, timed: TimingRow, reached: AccuracyRow | None) -> dict[str, Any]:
    variant = timed.variant
    row: dict[str, Any] = {"id": timed.name, "suite": timed.suite, "case": timed.case, "status": timed.status}
    if reached is not None:
        row[f"{reached.figure.kind}_documented"] = reached.documented
    if variant is None:
        return row
    variants = results.groups[timed.suite, timed.case]
    row |= vars(variant)
    row |= {"id": _configured(timed.name, variant), "n": timed.n}
    row |= {"twin": next((_configured(timed.name, other) for other in _twins(variant, variants)), None)}
    row |= {"epoch": timed.epoch, "comparable": _yes(timed.comparable)}
    if reached is not None:
        row |= {"n": reached.n, "stand_in": reached.stand_in}
        row["status"] = timed.status if reached.status == "ok" else reached.status
    if isinstance(reached, MeasuredRow):
        kind = reached.figure.kind
        row |= {kind: reached.mean, f"{kind}_half": reached.ci_half_width, f"{kind}_loss": reached.loss}
        row["verdict"] = reached.verdict
    others = {name: metric for name, metric in METRICS.items() if name not in (*row, "accuracy", "loss")}
    row |= {name: _typical(variants[variant], metric) for name, metric in others.items()}
    row["twins"] = results.twin_mark(timed.suite, timed.case, [variant]) if results.twins else None
    return row


def _configured(name: str, variant: Variant) -> str:
    return f"{name}@{','.join(vars(variant).values())}"


def _typical(records: Sequence[Record], metric: Metric) -> float | None:
    """Return the median over records; of times only those that may be compared, unless there are none."""
    comparable = [record for record in records if is_comparable(record)]
    counted = comparable if metric.kind == "time" and comparable else records
    found = [figure for record in counted if (figure := value(record, metric.name)) is not None]
    return median(found) if found else None


# --- twins side by side ------------------------------------------------------------------------------------------

Sides = tuple[Variant | None, Variant | None]
"""A reference, and what is set against it."""


def _sides(results: Results, suite: str, case: str) -> dict[str, Sides]:
    """Return by column every variant of a case that another one is the reference of, or that can have none."""
    variants = results.groups.get((suite, case), {})
    alive = [variant for variant, records in variants.items() if status_of(records) == "ok"] or [*variants]
    found: dict[str, Sides] = {}
    for variant in variants:
        own = reference_order(variant.backend)
        orders = ((reference_order(other.backend), other) for other in _twins(variant, alive))
        references = [(order, other) for order, other in orders if order is not None and (own is None or order < own)]
        if references or own is None:
            reference = min(references, key=itemgetter(0))[1] if references else None
            found[results.columns[suite, case, variant]] = (reference, variant)
    return found


def _pairs(results: Results) -> list[dict[str, str]]:
    """Return what can be set side by side, by `name`: first what most readers ask for, torch's documented formulas."""
    found: dict[str, tuple[Variant, set[str]]] = {}
    for suite, case in results.cases():
        for name, (reference, variant) in _sides(results, suite.name, case.name).items():
            assert variant is not None
            found.setdefault(name, (variant, set()))[1].update([reference.backend] if reference else [])

    def order(name: str) -> tuple[Any, ...]:
        variant = found[name][0]
        info = backends().get(variant.backend)
        return not (info and info.default), variant.numerics != MAIN, variant.numerics, name

    names = sorted([name for name, (_, references) in found.items() if references] or found, key=order)
    return [{"name": name, "reference": " or ".join(sorted(found[name][1])) or "no reference"} for name in names] or [
        {"name": "", "reference": " or ".join(sorted({record.backend for record in results.records}))}
    ]


def cases(results: Results) -> list[dict[str, Any]]:
    """Return one row per case and pair of `_pairs`: accuracies, times, and what the pair differs by.

    Every case has a row of the first pair, whatever is missing from it.
    """
    pairs, reached = [pair["name"] for pair in _pairs(results)], _reached(results)
    first = pairs[0]
    times = grouped(timing.frame(results), lambda row: row.name)
    rows = []
    for suite, case in results.cases():
        found = _sides(results, suite.name, case.name)
        variants = results.groups.get((suite.name, case.name), {})
        alone = min((one for one in variants if reference_order(one.backend) == 0), key=_main_first, default=None)
        for pair, sides in ({first: (alone, None)} | {name: found[name] for name in pairs if name in found}).items():
            name = f"{suite.name}/{case.name}"
            row = {
                "id": name if pair == first else f"{name} {pair}",
                "suite": suite.name,
                "case": case.name,
                "pair": pair,
                "layers": recurrence(case),
                "parameters": next(filter(None, (_count(results, name, side) for side in sides)), None),
            }
            measured = [reached.get((name, side)) for side in sides]
            for side, variant, figure in zip(("reference", "candidate"), sides, measured, strict=True):
                row |= {side: _configured(name, variant) if variant else None}
                main = figure or reached.get((name, None))
                row |= {f"{main.figure.kind}_{side}_status": figure.status if figure else "not run"} if main else {}
                if isinstance(figure, MeasuredRow):
                    kind = f"{figure.figure.kind}_{side}"
                    row |= {kind: figure.mean, f"{kind}_half": figure.ci_half_width, "stand_in": figure.stand_in}
            for figure in filter(None, [*measured, reached.get((name, None))]):
                row[f"{figure.figure.kind}_documented"] = figure.documented
            row |= _difference(results, measured) | _times(sides, times[name])
            proofs = [side for side in sides if side]
            row["twins"] = results.twin_mark(suite.name, case.name, proofs) if results.twins else None
            rows.append(row)
    return rows


def _main_first(variant: Variant) -> tuple[bool, Variant]:
    return variant.numerics != MAIN, variant


def _count(results: Results, name: str, variant: Variant | None) -> float | None:
    suite, _, case = name.partition("/")
    return _typical(results.groups[suite, case][variant], METRICS["parameters"]) if variant else None


def _difference(results: Results, measured: Sequence[AccuracyRow | None]) -> dict[str, Any]:
    """Return candidate minus reference, a mean over the seeds that both have, with half its 95 % interval."""
    rows = [row for row in measured if isinstance(row, MeasuredRow)]
    if len(rows) < 2:
        return {}
    groups = results.accuracy_groups[rows[0].suite, rows[0].case]
    base, candidate = (by_seed(row.figure.measured, groups[row.variant]) for row in rows)
    change = mean_interval([candidate[seed] - base[seed] for seed in sorted(base.keys() & candidate.keys())])
    kind = f"{rows[0].figure.kind}_difference"
    return {kind: known(change.mean), f"{kind}_half": known(change.ci_half_width)}


def _times(sides: Sides, rows: Iterable[TimingRow]) -> dict[str, Any]:
    """Return the times of a pair: of steps and the relative speed of the candidate, as the answer on speed has it.

    Where documented formulas are set side by side, those times come first that users of the frameworks see. Times that
    cannot be compared give no factor.
    """
    times = {row.variant: row for row in rows if row.variant and row.step is not None}

    def alone(side: Variant, numerics: str) -> Variant | None:
        wanted = (side.backend, side.device, numerics)
        fitting = [
            one for one, row in times.items() if row.comparable and (one.backend, one.device, one.numerics) == wanted
        ]
        return min(fitting, key=lambda one: (one.kernel != side.kernel, KERNELS.index(one.kernel)), default=None)

    reference, candidate = sides
    if reference and candidate:
        orders = ORDER if candidate.numerics == MAIN else (candidate.numerics,)
        pairs = ((alone(reference, numerics), alone(candidate, numerics)) for numerics in orders)
        sides = next((pair for pair in pairs if all(pair)), sides)
    first, second = (times.get(side) if side else None for side in sides)
    timed = [row for row in (first, second) if row]
    comparable = all(row.comparable for row in timed) if timed else None
    row = {
        "step_reference": first and first.step,
        "step_candidate": second and second.step,
        "comparable": _yes(comparable),
    }
    row["timed_under"] = timed[-1].variant.numerics if timed and timed[-1].variant else None
    gain = second.gain if second and comparable else None
    if gain is None or gain.reference.variant != sides[0]:
        return row
    return row | {"speed": gain.factor, "speed_range": (gain.low, gain.high)}


# --- details -----------------------------------------------------------------------------------------------------


def details(results: Results) -> dict[str, Any]:
    """Return what the page shows on demand: `records` by id, and `cases` by name.

    Equal parameter counts are held once, in `parameters`, and named by their place; epochs are held as columns.
    """
    parameters: dict[str, int] = {}
    counts: list[Any] = []
    records = {}
    for record in results.records:
        content = plain(record)
        if record.parameters:
            known = json.dumps(content["parameters"])
            if known not in parameters:
                parameters[known] = len(counts)
                counts.append(content["parameters"])
            content["parameters"] = parameters[known]
        if record.metrics:
            content["metrics"]["epochs"] = _columns(content["metrics"]["epochs"])
        if record.timing:
            content["timing"] = {name: _series(figures) for name, figures in content["timing"].items() if figures != []}
        records[identity(record)] = content
    cases = {
        f"{suite.name}/{case.name}": {
            "document": suite.citation,
            "layers": describe.layers(case),
            "notes": list(case.notes),
            "chosen here": case.assumptions,
        }
        for suite in results.reported_suites()
        for case in suite.cases
    }
    return {"records": _plain(records), "parameters": _plain(counts), "cases": _plain(cases)}


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return rows as columns, those without any value left out."""
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    return {name: values for name, values in columns.items() if any(value is not None for value in values)}


def _series(figures: Any) -> Any:
    if not isinstance(figures, list) or len(figures) <= LONGEST or not isinstance(figures[0], float):
        return figures
    return {"count": len(figures), "least": min(figures), "median": median(figures), "most": max(figures)}
