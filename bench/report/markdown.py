"""Markdown reports for a terminal as for GitHub: accuracy, timing, parameters, and `README.md` with the answers."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from tabulate import tabulate

from bench.backends.registry import backends
from bench.machine.noise import QUIET
from bench.report import comparisons, tables
from bench.report import kernels as kernel_proofs
from bench.report import timing as timing_passes
from bench.report.answers import answers, crossover
from bench.report.sentences import Answer, Finding, count
from bench.report.tables import CASE, NOT_RUN, Link, Results, Source, on_stand_in
from bench.spec import Case, Suite

if TYPE_CHECKING:
    from bench.report.plots import Plot

NOTHING = "–"

PLOTS = "plots"
"""The folder beside a report in which its plots lie."""
PAGES = ("README.md", "accuracy.md", "timing.md", "kernels.md", "parameters.md")

Cells = Sequence[str]


def write(results: Results, folder: Path) -> list[Path]:
    """Write the files into `folder`, which is made, and return their paths, `README.md` first.

    Plots that lie in the folder and show these results are shown in the `README.md`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pages(results, _plots_in(folder, results)).items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def pages(results: Results, plots: Iterable[Plot] = ()) -> dict[str, str]:
    """Return the text of every file by its name, `README.md` first; it shows `plots`, which lie beside it."""
    tables = zip(PAGES[1:], (accuracy, timing, kernels, parameters), strict=True)
    return {PAGES[0]: index(results, plots), **{name: page(results) for name, page in tables}}


def _plots_in(folder: Path, results: Results) -> list[Plot]:
    if not (folder / PLOTS).is_dir():
        return []
    from bench.report import plots  # loads matplotlib, which tables alone need not

    return [plot for plot in plots.pictures(results) if plots.is_fresh(plot, results, folder)]


# --- escaping ----------------------------------------------------------------------------------------------------

_SPECIAL = re.compile(
    r"""(?P<always>[\\`*|$])            # code, emphasis, table cells, GitHub's formulas
      | <(?=[A-Za-z/!?])                # HTML
      | &(?=\#?\w+;)                    # entities
      | (?<![A-Za-z0-9])_|_(?![A-Za-z0-9])
      | ~(?=~)
      | (?<=\])[(\[]                    # links""",
    re.VERBOSE,
)
_CODE = re.compile(r"(?<!`)(`[^`]+`)(?!`)")
_NUMBERED = re.compile(r"^(\d+)(?=[.)])")
_BLOCK = re.compile(r"^(?=[#>\[]|[-+](\s|$)|[-=]+$)")


def plain(text: object) -> str:
    """Return `text` on one line, every character shown as itself by a Markdown renderer, pipes and HTML included."""
    return _inline(_on_one_line(text))


def prose(text: object) -> str:
    """Return `text` like `plain` at the start of a paragraph or list item, but keep its `code`."""
    return _BLOCK.sub(r"\\", _NUMBERED.sub(r"\1\\", plain_but_code(text)))


def plain_but_code(text: object) -> str:
    """Return `text` like `plain`, but keep its `code`."""
    parts = _CODE.split(_on_one_line(text))
    return "".join(part if place % 2 else _inline(part) for place, part in enumerate(parts))


def _on_one_line(text: object) -> str:
    return " ".join(str(text).split())


def _inline(line: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", line)


def code(text: str) -> str:
    """Return `text` as inline code, whatever backticks it holds."""
    line = _on_one_line(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


# --- tables and notes --------------------------------------------------------------------------------------------


def table(headers: Cells, rows: Sequence[Cells], left: Iterable[int] = (0,)) -> str:
    """Return an aligned GitHub table of texts that are Markdown already; columns not in `left` are right-aligned."""
    aligned_left = set(left)
    sides = ["left" if place in aligned_left else "right" for place in range(len(headers))]
    text = tabulate(rows, headers=list(headers), tablefmt="github", colalign=sides, disable_numparse=True)
    head, rule, *body = text.splitlines()
    # The github format draws a rule without colons, and a renderer would align everything to the left.
    dashes = [
        part[:-1] + (":" if side == "right" else "-")
        for part, side in zip(rule.strip("|").split("|"), sides, strict=True)
    ]
    return "\n".join([head, f"|{'|'.join(dashes)}|", *body])


class Notes:
    """The footnotes of one file: numbered in the order of their first mark, each text once."""

    def __init__(self, results: Results) -> None:
        self._numbers: dict[str, int] = {}
        self._problems = _problems(results)
        self._stand_ins = _stand_ins(results)

    def on_cells(self, row: Mapping[Any, Any], measures: Iterable[str]) -> list[str]:
        """Return the texts on cells of a row's case and variant that did not end ok."""
        key = tuple(str(row[name]) for name in (*CASE, *tables.VARIANT))
        return [note for measure in measures for note in self._problems.get((*key, measure), [])]

    def on_data(self, suite: str, case: str) -> list[str]:
        """Return the texts on stand-ins that a case ran on."""
        return self._stand_ins.get((suite, case), [])

    def mark(self, texts: Iterable[str]) -> str:
        """Return ` [1, 3]` for `texts` (Markdown), the empty string for none."""
        numbers = sorted({self._numbers.setdefault(text, len(self._numbers) + 1) for text in texts})
        return f" [{', '.join(map(str, numbers))}]" if numbers else ""

    def section(self) -> list[str]:
        """Return the section that lists the notes, nothing where there are none."""
        if not self._numbers:
            return []
        return ["## Notes", "\n".join(f"{number}. {text}" for text, number in self._numbers.items())]


def _case_notes(case: Case) -> list[str]:
    ours = [f"Chosen here, not documented: {case.ours}."] if case.ours else []
    return [prose(note) for note in (*case.notes, *ours)]


def _stand_ins(results: Results) -> dict[tuple[str, str], list[str]]:
    """Return the notes on what replaced the documented data or vectors, by suite and case."""
    names: dict[tuple[str, str], set[str]] = {}
    for record in results.records:
        if record.data and record.data.stand_in:
            names.setdefault((record.suite, record.case), set()).add(record.data.stand_in)
    return {key: [prose(on_stand_in(name)) for name in sorted(found)] for key, found in names.items()}


def _problems(results: Results) -> dict[tuple[str, ...], list[str]]:
    """Return the notes on cells that did not end ok, by suite, case, variant and measure."""
    store = f" --store {shlex.quote(str(results.store))}" if results.store else ""
    notes: dict[tuple[str, ...], list[str]] = {}
    for row in tables.rows_of(tables.problems(results)):
        if row["status"] == "unavailable":
            text = prose(f"unavailable: {row['reason']}")
        else:
            cells = " ".join(shlex.quote(name) for name in row["cells"])
            again = code(f"bench run --resume {shlex.quote(row['run'])}{store} {cells}")
            what = f"{row['status']} ({count(len(row['cells']), 'cell')}): {row['reason']}"
            text = f"{prose(what)}; run it again: {again}"
        key = tuple(str(row[name]) for name in (*CASE, *tables.VARIANT, "measure"))
        notes.setdefault(key, []).append(text)
    return notes


# --- figures -----------------------------------------------------------------------------------------------------


def _given(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and pd.isna(value))


def _percent(value: Any, half: Any = None) -> str:
    if not _given(value):
        return NOTHING
    return f"{100 * value:.2f}" + (f" ±{100 * half:.2f}" if _given(half) else "")


def _loss(value: Any) -> str:
    return f"{value:.4f}" if _given(value) else NOTHING


def _integer(value: Any) -> str:
    return f"{int(value):,}" if _given(value) else ""


def _seconds(value: Any) -> str:
    """Return three significant digits, never in scientific notation."""
    if not _given(value):
        return NOTHING
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"


def _range(bounds: Any, factor: float = 1.0) -> str:
    if not _given(bounds):
        return ""
    least, most = (f"{factor * bound:g}" for bound in bounds)
    return least if least == most else f"{least}–{most}"


def _of(row: Mapping[Any, Any]) -> str:
    return f"{int(row['n'])} of {int(row['of'])}"


# --- accuracy.md -------------------------------------------------------------------------------------------------

_HOW_ACCURACY = (
    "Accuracies in per cent. A measured one is the mean over seeds ± its 95 % interval (Student's t); `k of n` says "
    "how many of the planned seeds ended ok. "
    "`set ±` is the uncertainty that the evaluated set alone gives, 1.96 √(a(1-a)/rows), in points."
)
_HOW_JUDGED = (
    "A documented figure is one run: it is `inside` or `outside` the 95 % prediction interval of the measured runs, "
    "judged from 5 seeds on; behind `outside` stands measured minus "
    "documented, in points. `test` and `val` are the scores after the last epoch."
)
_HOW_FIGURES = (
    "In the tables of all figures `train` is evaluated after training, on all rows given to `fit` (the validation "
    "part included where it is split off by fraction); `fit` is what the "
    "last epoch reports while it trains; `best val` belongs to the weights that a checkpoint kept; `epochs` is the "
    "mean (least–most) number run."
)


def accuracy(results: Results) -> str:
    """Return `accuracy.md`: for every suite the judged table, the other figures, and the low-data pairs."""
    frame = tables.accuracy(results)
    pairs = comparisons.main_rows(comparisons.low_data(results))
    others = comparisons.numerics(results)
    notes = Notes(results)
    title = "Accuracy: documented profile" if results.documented else "Accuracy on the embedded corpus (quick profile)"
    parts = [f"# {title}"]
    if not results.documented:
        parts.append(
            "These figures were measured on the embedded corpus, which is generated, after a shortened training: they "
            "compare architectures and backends with one another and say nothing about any document's figures, which "
            "are therefore not shown."
        )
    parts += [_HOW_ACCURACY, *([_HOW_JUDGED] if results.documented else []), _HOW_FIGURES, *_how_twins(results)]
    for suite in results.reported_suites():
        own = frame[frame["suite"] == suite.name]
        parts += [
            _suite_heading(suite),
            *_suite_notes(suite, results),
            _accuracy_table(results, suite, comparisons.main_rows(own), notes),
        ]
        parts += _other_numerics(others[others["suite"] == suite.name])
        parts += ["All figures, means over seeds:", _figures_table(own)]
        parts += _low_data(suite, pairs[pairs["suite"] == suite.name], notes)
    return _document(parts + notes.section())


def _how_twins(results: Results) -> list[str]:
    said = "`twins` says whether [parity](parity.md) has proven that the variants train the same model."
    return [said] if results.twins else []


def _suite_heading(suite: Suite) -> str:
    return f"## {plain(suite.name)}: {plain(suite.title)}"


def _suite_notes(suite: Suite, results: Results) -> list[str]:
    if not results.documented:
        return []
    lines = [f"Document {plain(suite.document)}, Keras {plain(suite.era.keras)}."]
    return [" ".join(lines), *(["\n".join(f"- {prose(note)}" for note in suite.notes)] if suite.notes else [])]


def _accuracy_table(results: Results, suite: Suite, frame: pd.DataFrame, notes: Notes) -> str:
    main = frame[frame["main"].astype(bool)]
    columns = sorted(main["column"].dropna().unique())
    documented = ["documented %"] if results.documented else []
    headers = ["case", "set", *documented, "set ±"]
    left = {0, 1}
    for column in columns:
        left.add(len(headers) + 1)
        headers += [f"{plain(column)} %", "judged" if results.documented else "seeds"]
    rows = []
    for (case_name, figure), group in main.groupby(["case", "figure"], sort=False):
        case = results.case(suite.name, str(case_name))
        # The notes on a case are about its document and the protocol there, which the quick profile does not run.
        case_notes = _case_notes(case) if results.documented else []
        case_notes += notes.on_data(suite.name, str(case_name))
        if "epoch" in str(figure):
            case_notes.append(
                "The document's log breaks off before the last epoch; its figure is compared with the measured one "
                "of the same epoch."
            )
        members = {row["column"]: row for row in tables.rows_of(group)}
        first = next(iter(members.values()))
        own = next((row["own"] for row in members.values() if _given(row["own"])), None)
        row = [plain(case_name) + notes.mark(case_notes), plain(figure)]
        if results.documented:
            row.append(_percent(first["documented"]) if _given(first["documented"]) else "")
        row.append(f"±{100 * own:.2f}" if own is not None else NOTHING)
        for column in columns:
            row += _accuracy_cells(members.get(column), column, frame, notes)
        if results.twins:
            row.append(results.twin_mark(one for one in members.values() if one["status"] == "ok") or NOTHING)
        rows.append(row)
    if results.twins:
        left.add(len(headers))
        headers.append("twins")
    return table(headers, rows, left)


def _other_numerics(frame: pd.DataFrame) -> list[str]:
    """Return the table of what figures under other numerics are beside the documented ones, nothing for none."""
    if frame.empty:
        return []
    rows = []
    for row in tables.rows_of(frame):
        half = f" ±{100 * row['half']:.2f}" if _given(row["half"]) else ""
        source = _source(str(row["backend"]), row["kernel"])
        what = [plain(text) for text in (row["case"], row["figure"], source, row["numerics"])]
        difference = f"{100 * row['difference']:+.2f}{half}"
        rows.append([*what, _percent(row["base"]), _percent(row["mean"]), difference, str(row["n"])])
    lead = (
        "Other numerics: the same cells with other formulas, means over the seeds that both have; the difference (in "
        "points, ± 95 % interval) is paired by seed."
    )
    headers = ["case", "set", "source", "numerics", "documented numerics %", "these %", "difference", "seeds"]
    return [lead, table(headers, rows, left=(0, 1, 2, 3))]


def _accuracy_cells(
    row: Mapping[Any, Any] | None,
    column: str,
    frame: pd.DataFrame,
    notes: Notes,
) -> list[str]:
    if row is None:
        kernels = set(frame.loc[frame["column"] == column, "kernel"])
        return [NOTHING, "" if any(column.endswith(f" {kernel}") for kernel in kernels) else NOT_RUN]
    texts = notes.on_cells(row, ("accuracy", "all"))
    if row["status"] != "ok":
        return [NOTHING, f"{row['status']}, 0 of {int(row['of'])}{notes.mark(texts)}"]
    if not row["n"]:
        return [NOTHING, f"not evaluated{notes.mark(texts)}"]
    verdict = row["verdict"]
    if verdict == "not judged":
        on_other_data = _given(row["stand_in"]) and row["reason"] == on_stand_in(row["stand_in"])
        texts.append(prose(row["reason"] if on_other_data else f"Not judged: {row['reason']}"))
    deviation = f" ({100 * (row['mean'] - row['documented']):+.2f})" if verdict == "outside" else ""
    said = f"{verdict}{deviation}, " if _given(verdict) else ""
    return [_percent(row["mean"], row["half"]), f"{said}{_of(row)}{notes.mark(texts)}"]


def _figures_table(frame: pd.DataFrame) -> str:
    """Return one row for the document and one for every variant of each case, without columns that stay empty."""
    kinds = ["test", "val", "best val", "train", "fit"]
    rows: list[dict[str, str]] = []
    for case, group in frame[frame["status"] == "ok"].groupby("case", sort=False):
        first = group.iloc[0]
        printed = {"case": plain(case), "source": "documented"}
        for figure in tables.rows_of(group.drop_duplicates("figure")):
            kind = str(figure["figure"]).partition(",")[0]
            printed |= _pair(kind, figure["documented"], figure["documented_loss"])
        if _given(first["epochs_documented"]):
            printed["epochs"] = f"{first['epochs_documented']:.0f}"
        if len(printed) > 2:
            rows.append(printed)
        for column, members in group.groupby("column", sort=True):
            one = members.iloc[0]
            measured = {"case": plain(case), "source": plain(_source(str(column), one["kernel"]))}
            for figure in tables.rows_of(members):
                measured |= _pair(str(figure["figure"]).partition(",")[0], figure["mean"], figure["loss"])
            rows.append(measured | {"epochs": _epochs(one)})
    headers = ["case", "source", *(header for kind in kinds for header in (f"{kind} %", f"{kind} loss")), "epochs"]
    shown = [header for header in headers if any(header in row for row in rows)]
    return (
        table(shown, [[row.get(header, "") for header in shown] for row in rows], left=(0, 1))
        if rows
        else "Nothing ended ok."
    )


def _pair(kind: str, accuracy: Any, loss: Any) -> dict[str, str]:
    figures = {f"{kind} %": _percent(accuracy)} if _given(accuracy) else {}
    return figures | ({f"{kind} loss": _loss(loss)} if _given(loss) else {})


def _source(column: str, kernel: str) -> str:
    return column if column.endswith(f" {kernel}") or kernel == "none" else f"{column} {kernel}"


def _epochs(row: Mapping[Any, Any] | pd.Series) -> str:
    if not _given(row["epochs"]):
        return NOTHING
    least, most = int(row["epochs_least"]), int(row["epochs_most"])
    return f"{least}" if least == most else f"{row['epochs']:.1f} ({least}–{most})"


def _low_data(suite: Suite, pairs: pd.DataFrame, notes: Notes) -> list[str]:
    if pairs.empty:
        return []
    columns = sorted(pairs["column"].unique())
    headers = ["rows", "pair"]
    for column in columns:
        headers += [f"{plain(column)} pre-trained %", "learned %", "difference", "seeds"]
    rows = []
    for (size, pretrained, learned), group in pairs.groupby(["rows", "pretrained", "learned"], sort=True):
        marks = notes.mark(note for case in (pretrained, learned) for note in notes.on_data(suite.name, str(case)))
        row = [f"{size:,}", plain(f"{pretrained} / {learned}") + marks]
        members = {str(member["column"]): member for member in tables.rows_of(group)}
        for column in columns:
            member = members.get(column)
            if member is None:
                row += [NOTHING] * 4
            else:
                half = f" ±{100 * member['half']:.2f}" if _given(member["half"]) else ""
                row += [_percent(member["pretrained_mean"]), _percent(member["learned_mean"])]
                row += [f"{100 * member['difference']:+.2f}{half}", str(member["n"])]
        rows.append(row)
    sentences = [
        f"{plain(column)}: {crossover(own.sort_values('rows').to_dict('records'))}."
        for column, own in pairs.groupby("column", sort=True)
    ]
    lead = (
        "Low data: test accuracy with a pre-trained, frozen and with a learned embedding, by the number of training "
        "rows; the difference (in points, ± 95 % interval) is paired by seed. "
    )
    return [lead + " ".join(sentences), table(headers, rows, left=(1,))]


# --- timing.md ---------------------------------------------------------------------------------------------------

_HOW_TIMING = (
    "`ms/step` is a steady training step on a full batch, the device waited for: the slope between windows of w and 2w "
    "steps, so that what a call costs apart does not count; the median over a process's pairs of windows, then over "
    "processes, with the `quartiles` of all `samples`. Where no windows were measured it is `s/epoch` over its steps. "
    "`s/epoch` is the training part of a steady epoch (all but the first), `range` the fastest to the slowest; "
    "`k of n` counts processes. "
    "The last column is `s/epoch` over that of the Keras backend, on the same device and under the same numerics."
)
_HOW_START = (
    "`compile` is what the first calls on both shapes of batch took beyond steady ones, tracing and warm-up included; "
    "`first step` the first training step of the process; `cell` is building, training and evaluation together; all in "
    "seconds. Latency is that of one row, one after another (95 % from 20 samples on, 99 % from 100 on); `rows/s` is "
    "inference on batches of the training's size."
)
_HOW_COST = (
    "`host` and `device` are peaks of training in a pass of its own, all that the process holds included. `input` is "
    "making batches alone, as a share of a step. FLOPs (of matrix products and convolutions) and bytes (the least "
    "traffic with memory) of a step are counted, not measured; `% of peak` is their rate over that of a large matrix "
    "product, `% of copy` over that of a large copy, both measured on this machine before the run."
)
_BESIDE = (
    "From accuracy runs: other work may have run on the machine at the same time, "
    "or the process ran several cells in turn; no ratio is taken of such times."
)


def timing(results: Results) -> str:
    """Return `timing.md`: for every suite the documented times and, below each, those of every variant."""
    frame = tables.timing(results)
    passes = timing_passes.passes(results)
    notes = Notes(results)
    parts = [f"# Timing: {results.profile} profile" + ("" if results.documented else " (embedded corpus)")]
    parts += [_machine(results, passes), _HOW_TIMING, _HOW_START]
    if passes["samples"].notna().any():
        parts.append(_HOW_COST)
    parts += [*_how_numerics(frame), *_how_twins(results)]
    fitted = set(frame.loc[(frame["numerics"] == comparisons.NATIVE) & frame["epoch"].notna(), "backend"])
    findings = _link(results.documentation_on("findings"))
    parts += [
        info.epochs_note.format(findings=findings)
        for info in backends().values()
        if info.name in fitted and info.epochs_note
    ]
    for suite in results.reported_suites():
        own = frame[frame["suite"] == suite.name]
        parts.append(_suite_heading(suite))
        if results.documented and own["documented_epoch"].notna().any():
            parts.append(
                "Documented times were measured on "
                f"{plain(suite.hardware or 'hardware that the document does not name')}."
            )
        parts += _timing_tables(results, own, passes[passes["suite"] == suite.name], notes)
    return _document(parts + notes.section())


def _machine(results: Results, passes: pd.DataFrame) -> str:
    environment = results.timing_environment
    machine = ", ".join(
        f"{name} {_value(environment[name])}" for name in ("cpu", "cores", "threads", "gpus") if environment.get(name)
    )
    noise = passes["noise"].dropna()
    quiet = ""
    if len(noise):
        judged = "noisy: times are worth less" if noise.max() > QUIET else "quiet"
        quiet = (
            f" Before the runs one in twenty equal pieces of work took up to {100 * noise.max():.1f} % longer than "
            f"usual ({judged})."
        )
    return f"Machine: {plain(machine or 'not recorded')}.{quiet}"


def _how_numerics(frame: pd.DataFrame) -> list[str]:
    """Return what is said of numerics: which ones ran, and which rows stand for others."""
    ran = [str(name) for name in frame["numerics"].dropna().unique()]
    if len(ran) < 2:
        return [f"Numerics: {plain(name)}." for name in ran]
    return [
        "A source that names no numerics ran the documented ones. Where a variant was timed under several, the first "
        f"of {', '.join(timing_passes.ORDER)} stands for it, and another stands beside it where its step takes over "
        f"{100 * timing_passes.DIFFERENT:.0f} % more or less."
    ]


def _timing_tables(results: Results, frame: pd.DataFrame, passes: pd.DataFrame, notes: Notes) -> list[str]:
    references = sorted(frame["reference"].dropna().unique())
    measured = {_key(row): row for row in tables.rows_of(passes)}
    headers = ["case", "source", "ms/step", "quartiles", "samples", "s/epoch", "range", "k of n"]
    headers += [f"/ {plain(reference)}" for reference in references]
    rows: list[dict[str, str]] = []
    start: list[dict[str, str]] = []
    cost: list[dict[str, str]] = []
    for case, group in frame.groupby("case", sort=False):
        first = group.iloc[0]
        if _given(first["documented_epoch"]) or _given(first["documented_step"]):
            times = {
                "ms/step": _range(first["documented_step"], 1000),
                "s/epoch": _range(first["documented_epoch"]),
            }
            rows.append({"case": plain(case), "source": "documented"} | times)
        for row in timing_passes.headlines(tables.rows_of(group))[0]:
            found = measured.get(_key(row), {})
            one = _timing_row(row, found, references, notes)
            rows.append(one | {"twins": (results.twin_mark([row]) if row["status"] == "ok" else None) or NOTHING})
            if row["status"] == "ok":
                named = {"case": plain(case), "source": plain(_source(str(row["column"]), row["kernel"]))}
                start.append(named | _start_row(row, found))
                cost.append(named | _cost_row(found))
    shown = [*headers, "twins"] if results.twins else headers
    texts = [table(shown, [[row.get(name, "") for name in shown] for row in rows], left=(0, 1, len(headers)))]
    texts += _filled("What comes once, and inference:", start)
    texts += _filled("Memory, and how near to the machine's limits:", cost)
    return texts


def _key(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in (*CASE, *tables.VARIANT))


def _filled(lead: str, rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a table without columns and rows that stay empty, below its lead; nothing where all are."""
    names = dict.fromkeys(name for row in rows for name, text in row.items() if text)
    if len(names) <= 2:
        return []
    kept = [row for row in rows if len([text for text in row.values() if text]) > 2]
    return [lead, table(list(names), [[row.get(name, "") or NOTHING for name in names] for row in kept], left=(0, 1))]


def _timing_row(
    row: Mapping[Any, Any], passes: Mapping[Any, Any], references: Sequence[str], notes: Notes
) -> dict[str, str]:
    one = {"case": plain(row["case"])}
    dashes = dict.fromkeys(("quartiles", "samples", "s/epoch", "range", "k of n"), NOTHING)
    dashes |= {f"/ {plain(reference)}": NOTHING for reference in references}
    if row["status"] == NOT_RUN:
        return one | dashes | {"ms/step": NOT_RUN}
    texts = notes.on_cells(row, ("timing", "all", "accuracy"))
    if row["headline"] is False:
        texts.append(_BESIDE)
    texts += notes.on_data(str(row["suite"]), str(row["case"]))
    one |= {"source": plain(_source(str(row["column"]), row["kernel"])) + notes.mark(texts)}
    if row["status"] != "ok":
        return one | dashes | {"ms/step": row["status"], "k of n": _of(row)}
    one |= dashes | {
        "ms/step": _seconds(1000 * row["step"]) if _given(row["step"]) else NOTHING,
        "s/epoch": _seconds(row["epoch"]),
        "range": f"{_seconds(row['low'])}–{_seconds(row['high'])}" if _given(row["low"]) else NOTHING,
        "k of n": _of(row),
    }
    if _given(row["reference"]):
        one[f"/ {plain(row['reference'])}"] = f"{row['ratio']:.2f}"
    if _given(passes.get("samples")):
        low, high = (_seconds(1000 * passes[f"step_{side}"]) for side in ("low", "high"))
        one |= {"quartiles": f"{low}–{high}", "samples": _integer(passes["samples"])}
    return one


def _start_row(row: Mapping[Any, Any], passes: Mapping[Any, Any]) -> dict[str, str]:
    def of(value: Any, factor: float = 1.0) -> str:
        return _seconds(factor * value) if _given(value) else ""

    return {
        "compile": of(passes.get("compile")),
        "first step": of(passes.get("first_step")),
        "first epoch": of(row["first_epoch"]),
        "cell": of(row["total"]),
        "latency ms": of(passes.get("p50"), 1000),
        "95 %": of(passes.get("p95"), 1000),
        "99 %": of(passes.get("p99"), 1000),
        "rows/s": _integer(passes.get("throughput")),
    }


def _cost_row(passes: Mapping[Any, Any]) -> dict[str, str]:
    def of(name: str, factor: float, unit: str = "") -> str:
        return f"{_seconds(factor * passes[name])}{unit}" if _given(passes.get(name)) else ""

    def size(name: str) -> str:
        return f"{passes[name] / 1e6:,.0f}" if _given(passes.get(name)) else ""

    return {
        "host MB": size("host_memory"),
        "device MB": size("device_memory"),
        "input": of("input", 100, " %"),
        "MFLOP/step": f"{passes['flops'] / 1e6:,.0f}" if _given(passes.get("flops")) else "",
        "GFLOP/s": of("flops_rate", 1e-9),
        "% of peak": of("flops_share", 100),
        "MB/step": size("bytes"),
        "GB/s": of("bytes_rate", 1e-9),
        "% of copy": of("bytes_share", 100),
    }


# --- kernels.md --------------------------------------------------------------------------------------------------

NAMED_KERNELS = 3
"""Names of a trace that stand in the table; records keep more."""

_HOW_KERNELS = (
    "A cell that is timed trains a few more steps under its framework's profiler, in a pass of its own. `ran` are the "
    "names that tell the kernel, with what took longest inside them (after `>`) and calls per training step. `share` "
    "is that of all recurrences, backward passes included, in the device's time. A claim holds where every recurrent "
    "layer, in both its directions, ran as claimed; a cell whose claim does not hold ends `failed`, and its times are "
    "not used. `speed-up` is the epoch time of the generic kernel over that of the fused one."
)


def kernels(results: Results) -> str:
    """Return `kernels.md`: for every timed variant the kernel that it claims, and the one that ran."""
    found = kernel_proofs.counts(results)
    title = f"# Kernels: {results.profile} profile"
    if not found:
        return _document([title, "Kernel proofs: not run. `bench run --measure timing` makes them."])
    frame = kernel_proofs.proofs(results)
    verdicts = "; ".join(f"{verdict} {number} of {sum(found.values())}" for verdict, number in found.items())
    parts = [title, f"Claims: {verdicts}.", _HOW_KERNELS]
    for suite in results.reported_suites():
        own = tables.rows_of(frame[frame["suite"] == suite.name])
        if own:
            parts += [_suite_heading(suite), _kernel_table(own)]
    reasons: dict[str, list[str]] = {}
    for row in tables.rows_of(frame[frame["reason"].notna()]):
        what = f"{row['suite']}/{row['case']}@{row['backend']},{row['kernel']},{row['device']},{row['numerics']}"
        reasons.setdefault(str(row["reason"]), []).append(what)
    if reasons:
        lines = [f"- {plain(reason)}: {plain(', '.join(cells))}" for reason, cells in reasons.items()]
        parts += ["## Why not", "\n".join(lines)]
    hows = sorted({str(how) for how in frame["how"] if _given(how)})
    if hows:
        parts += ["## Seen by", "\n".join(f"- {plain(how)}" for how in hows)]
    return _document(parts)


def _kernel_table(rows: Sequence[Mapping[Any, Any]]) -> str:
    settings = [name for name in ("device", "numerics") if len({row[name] for row in rows}) > 1]
    left = ["case", "backend", *settings, "claimed", "verdict"]
    lines = []
    for row in rows:
        what = [plain(row[name]) for name in ("case", "backend", *settings, "kernel", "verdict")]
        share = f"{100 * row['share']:.0f} %" if _given(row["share"]) else NOTHING
        step = _seconds(1000 * row["step"]) if _given(row["step"]) else NOTHING
        gain = NOTHING
        if _given(row["speedup"]):
            gain = f"{row['speedup']:.2f} ({row['low']:.2f}–{row['high']:.2f}, {plain(row['spread'])})"
        seen = (row["seen"] if _given(row["seen"]) else [])[:NAMED_KERNELS]
        ran = "; ".join(f"{plain(name)} ×{calls}" for name, calls, _ in seen)
        lines.append([*what, share, step, gain, ran or NOTHING])
    headers = [*left, "share", "ms/step", "speed-up", "ran"]
    return table(headers, lines, (*range(len(left)), len(headers) - 1))


# --- parameters.md -----------------------------------------------------------------------------------------------

_HOW_PARAMETERS = (
    "`layers` are the counts line by line. `stored` is what the framework keeps in memory: a torch LSTM stores a "
    "second, frozen bias that is no parameter of the model. A case is `equal` when "
    "every count that the document prints is the one that was built; layers without parameters do not count line by "
    "line."
)


def parameters(results: Results) -> str:
    """Return `parameters.md`: for every case the documented counts and, below them, those of every variant."""
    frame = tables.parameters(results)
    notes = Notes(results)
    parts = [f"# Parameters: {results.profile} profile", _HOW_PARAMETERS]
    for suite in results.reported_suites():
        rows = []
        for case, group in frame[frame["suite"] == suite.name].groupby("case", sort=False):
            name = plain(case)
            case_notes = _case_notes(results.case(suite.name, str(case)))
            marks = notes.mark(case_notes + notes.on_data(suite.name, str(case)))
            first = group.iloc[0]
            printed = [
                _lines(first["documented_layers"]),
                *(_integer(first[f"documented_{part}"]) for part in ("total", "trainable", "frozen")),
            ]
            rows.append([name + marks, "documented", *printed, "", ""])
            rows += [_parameter_row(name, row, notes) for row in tables.rows_of(group)]
        parts += [
            _suite_heading(suite),
            table(
                ["case", "source", "layers", "total", "trainable", "frozen", "stored", "verdict"],
                rows,
                left=(0, 1, 2, 7),
            ),
        ]
    return _document(parts + notes.section())


def _parameter_row(name: str, row: Mapping[Any, Any], notes: Notes) -> list[str]:
    if row["status"] == NOT_RUN:
        return [name, "", *[""] * 5, NOT_RUN]
    source = plain(_source(str(row["column"]), row["kernel"]))
    if not _given(row["total"]):
        marks = notes.mark(notes.on_cells(row, ("accuracy", "all", "timing")))
        return [name, source, *[""] * 5, f"{row['status']}{marks}"]
    counts = [_integer(row[part]) for part in ("total", "trainable", "frozen", "stored")]
    return [name, source, _lines(row["layers"]), *counts, plain(row["verdict"]) if _given(row["verdict"]) else ""]


def _lines(counts: Any) -> str:
    return " + ".join(map(str, counts)) if _given(counts) else ""


# --- README.md ---------------------------------------------------------------------------------------------------


def index(results: Results, plots: Iterable[Plot] = ()) -> str:
    """Return `README.md`: the answers first, then plots, files, runs, what is missing, environment and data."""
    names = ", ".join(source.name for source in results.sources)
    parts = [f"# Report of {'run' if len(results.sources) == 1 else 'runs'} {plain(names)} ({results.profile} profile)"]
    parts += answered(answers(results))
    for plot in plots:
        parts += [f"## {plain(plot.title)}", picture(plot)]
    parts += [
        "Tables: [accuracy](accuracy.md), [timing](timing.md), [kernels](kernels.md), [parameters](parameters.md)"
        + (", [parity](parity.md)." if results.twins else "."),
        "## Runs",
        "\n".join(map(_run, results.sources)),
        "## Cells by status",
        _frame(tables.statuses(results), left=(0, 1)),
        "## Not run",
        *_not_run(results),
        "## Environment",
        table(
            ["what", "value"],
            [[plain(name), plain(_value(value))] for name, value in _environment(results)],
            left=(0, 1),
        ),
        "## Data",
        _frame(tables.data_used(results), left=(0, 1, 2, 3)),
    ]
    return _document(parts)


def _not_run(results: Results) -> list[str]:
    missing = tables.not_run(results)
    lines = []
    for suite, own in missing.groupby("suite", sort=False):
        cases: dict[str, list[str]] = {}
        for case, rows in own.groupby("case", sort=False):
            what = "; ".join(
                f"{row['missing']:.0f} of {row['planned']} planned measurements under {row['column']}"
                for row in tables.rows_of(rows)
                if _given(row["column"])
            )
            cases.setdefault(what, []).append(str(case))
        for what, names in cases.items():
            listed = ", ".join(names)
            lines.append(f"- {plain(f'{suite}: {listed}')}" + (f" ({plain(what)})" if what else ""))
    return (
        ["\n".join(lines)] if lines else ["Nothing: every case that was asked for has a record of every planned seed."]
    )


def _run(source: Source) -> str:
    threads = source.environment.get("threads")
    facts = [f"started {plain(source.started)}", f"commit {_commit(source.environment)}"]
    facts += [count(threads, "thread")] if threads else []
    return f"- {plain(source.name)}, {', '.join(facts)}: {code(source.command)}"


def _commit(environment: Mapping[str, Any]) -> str:
    git = environment.get("git")
    return plain(f"{git['commit'][:12]}{' (changed)' if git['dirty'] else ''}") if git else NOTHING


def _environment(results: Results) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in results.timing_environment.items() if name not in ("git", "threads")]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_value(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_value, value)) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def answered(found: Iterable[Answer], folder: str = "") -> list[str]:
    """Return questions, each followed by its findings; `folder` is where the pages are that they point to."""
    parts = []
    for answer in found:
        parts.append(f"**{plain(answer.question)}**")
        parts.append(findings(answer.findings, folder))
    return parts


def findings(found: Iterable[Finding], folder: str = "") -> str:
    """Return findings as a list; `folder` is where the pages are that they point to."""
    return "\n".join(f"- {_finding(finding, folder)}" for finding in found)


def picture(plot: Plot, folder: str = "") -> str:
    """Return HTML that shows a plot as the reader's theme wants it; `folder` is that of the report, with a slash."""
    place = f"{folder}{PLOTS}/{plot.name}"
    return "\n".join(
        [
            "<picture>",
            f'  <source media="(prefers-color-scheme: dark)" srcset="{place}-dark.svg">',
            f'  <img alt="{plot.title}: {plot.shows}" src="{place}-light.svg" width="830">',
            "</picture>",
        ]
    )


def _finding(finding: Finding, folder: str) -> str:
    links = ", ".join(_link(link, folder) for link in finding.see)
    text = f": {plain_but_code(finding.text)}" if finding.text else "."
    items = "".join(f"\n  - {prose(item)}" for item in finding.items)
    return f"**{plain(finding.lead)}**{text}" + (f" ({links})" if links else "") + items


def _link(link: Link, folder: str = "") -> str:
    name, place = link
    return f"[{plain(name)}]({posixpath.normpath(folder + place)})" if place else plain(name)


def _frame(frame: pd.DataFrame, left: Iterable[int]) -> str:
    rows = [
        [plain(_value(value)) if _given(value) else "" for value in row]
        for row in frame.astype(object).to_numpy().tolist()
    ]
    return table([plain(name) for name in frame.columns], rows, left) if rows else "None recorded."


def _document(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"
