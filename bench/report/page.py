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
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

import jinja2
from markupsafe import Markup

from bench.backends.registry import backends
from bench.cases import describe
from bench.records.metrics import METRICS, Format, Metric, is_comparable, value
from bench.records.record import CASE, VARIANT, Record, plain
from bench.report.answers import answers
from bench.report.notes import one_line
from bench.report.results import Results, Variant
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
    """A column of a table: the field of a row, its heading, how its values are written, whether it shows at first."""

    field: str
    title: str
    kind: Format | Literal["text"] = "text"
    shown: bool = True


def write(results: Results, folder: Path) -> list[Path]:
    """Write the page into `folder`, which is made, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(page(results), encoding="utf-8")
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
    """Return what the page shows first: `runs`, `answers`, `facets`, `colours`, `views` with their columns and rows.

    `colours` are those of the backends that have some. Every row has an `id` by which the page and its address name
    it, and the fields of `FACETS`.
    """
    views = (
        ("configurations", "Configurations", _CONFIGURATION_COLUMNS, configurations(results)),
        ("cells", "Cells", _CELL_COLUMNS, cells(results)),
    )
    runs = [
        {name: getattr(source, name) for name in ("name", "profile", "command", "started", "environment", "settings")}
        for source in results.sources
    ]
    return {
        "answers": [{"question": question, **asdict(answer)} for question, answer in answers(results).items()],
        "colours": {info.name: info.colour for info in backends().values() if info.colour},
        "facets": FACETS,
        "runs": _plain(runs),
        "views": [
            {"name": name, "title": title, "columns": _filled(columns, rows), "rows": _plain(rows)}
            for name, title, columns, rows in views
        ],
    }


def _filled(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the columns in which any row has a value, and those of the filter; shown, too, what tells rows apart."""
    filled = {name for row in rows for name, content in row.items() if content is not None}
    differing = {name for name in _WHERE_DIFFERENT if len({row.get(name) for row in rows} - {None}) > 1}
    return [
        asdict(replace(column, shown=column.shown or column.field in differing))
        for column in columns
        if column.field in filled or column.field in FACETS
    ]


def _metrics(shown: Iterable[str], left_out: Iterable[str] = ()) -> list[Column]:
    return [
        Column(metric.name, metric.title, metric.format, metric.name in shown)
        for metric in METRICS.values()
        if metric.name not in left_out
    ]


_WHERE_DIFFERENT = ("device", "numerics", "repeat", "measure")
"""Columns that show at first only where rows differ in them."""
_IDENTITY = [
    *(Column(name, name) for name in ("case", "suite", "backend", "kernel")),
    *(Column(name, name, shown=False) for name in ("device", "numerics")),
    Column("status", "status"),
]
_CONFIGURATION_COLUMNS = [
    *_IDENTITY,
    Column("n", "n", "count"),
    Column("accuracy", "accuracy", "percent"),
    Column("ci_half_width", "interval ±", "percent"),
    Column("documented", "documented", "percent"),
    Column("verdict", "verdict"),
    Column("epoch", "epoch", "seconds"),
    Column("ratio", "ratio to Keras", "number"),
    Column("comparable", "times comparable"),
    *_metrics(("parameters",), left_out=("accuracy", "epoch")),
    Column("twins", "twins", shown=False),
    Column("stand_in", "stand-in"),
]
_CELL_COLUMNS = [
    *_IDENTITY,
    Column("seed", "seed", "count"),
    Column("repeat", "repeat", "count", shown=False),
    Column("measure", "measure", shown=False),
    *_metrics(("step", "epoch", "accuracy", "loss", "parameters")),
    Column("epochs_run", "epochs", "count"),
    Column("seconds", "whole cell", "seconds", shown=False),
    Column("comparable", "times comparable", shown=False),
    Column("stand_in", "stand-in"),
    Column("run", "run", shown=False),
    Column("reason", "reason"),
]


def cells(results: Results) -> list[dict[str, Any]]:
    """Return one row per record, in the order of the suites."""
    rows = []
    for record in _in_order(results):
        row = {name: getattr(record, name) for name in (*FACETS, "seed", "repeat", "measure", "seconds")}
        row |= {name: value(record, name) for name in METRICS}
        row |= {
            "id": identity(record),
            "epochs_run": len(record.metrics.epochs) if record.metrics else None,
            "comparable": _yes(is_comparable(record) if record.timing else None),
            "stand_in": record.data.stand_in if record.data else None,
            "run": results.run_of[id(record)],
            "reason": None if record.status == "ok" else one_line(record),
        }
        rows.append(row)
    return rows


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
    accuracy and timing, both ended ok at least once.
    """
    accuracies: dict[tuple[str, Variant | None], AccuracyRow] = {}
    for row in accuracy.frame(results):
        if row.figure.main:
            accuracies.setdefault((row.name, row.variant), row)
    return [_configuration(results, row, accuracies.get((row.name, row.variant))) for row in timing.frame(results)]


def _configuration(results: Results, timed: TimingRow, reached: AccuracyRow | None) -> dict[str, Any]:
    variant = timed.variant
    row: dict[str, Any] = {"id": timed.name, "suite": timed.suite, "case": timed.case, "status": timed.status}
    if variant is None:
        return row | {"documented": reached.documented if reached else None}
    row |= vars(variant)
    row |= {"id": f"{timed.name}@{','.join(vars(variant).values())}", "n": timed.n}
    row |= {"epoch": timed.epoch, "ratio": timed.ratio, "comparable": _yes(timed.comparable)}
    if reached is not None:
        row |= {"n": reached.n, "documented": reached.documented, "stand_in": reached.stand_in, "accuracy": None}
        row["status"] = timed.status if reached.status == "ok" else reached.status
    if isinstance(reached, MeasuredRow):
        row |= {name: getattr(reached, name) for name in ("ci_half_width", "verdict")} | {"accuracy": reached.mean}
    records = results.groups[timed.suite, timed.case][variant]
    row |= {name: _typical(records, metric) for name, metric in METRICS.items() if name not in row}
    row["twins"] = results.twin_mark(timed.suite, timed.case, [variant]) if results.twins else None
    return row


def _typical(records: Sequence[Record], metric: Metric) -> float | None:
    """Return the median over records; of times only those that may be compared, unless there are none."""
    comparable = [record for record in records if is_comparable(record)]
    counted = comparable if metric.kind == "time" and comparable else records
    found = [figure for record in counted if (figure := value(record, metric.name)) is not None]
    return median(found) if found else None


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
