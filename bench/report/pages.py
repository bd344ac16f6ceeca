"""The files of a report: a page for each topic that has one, and `README.md`, which begins with the answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.files import write_file
from bench.report.answers import TOPICS, answers
from bench.report.frames import MAIN, NATIVE
from bench.report.markdown import as_link, code, document, markdown_table, plain, plain_but_code, plain_table, prose
from bench.report.numbers import NOTHING
from bench.report.plots.base import FOLDER, Plot, picture
from bench.report.results import Results, Source
from bench.report.sentences import count, machine
from bench.report.sources import DEVIATIONS
from bench.report.topic import Answer
from bench.report.topics import gaps
from bench.spec import EmbeddedFeatures

INDEX = "README.md"
TABLES = {f"{topic.name}.md": topic.table for topic in TOPICS if topic.table}
PAGES = (INDEX, *TABLES)


def write(results: Results, folder: Path) -> list[Path]:
    """Write the files into `folder`, which is made, and return their paths, `README.md` first.

    Plots that lie in the folder and show these results are shown in the `README.md`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pages(results, _plots_in(folder, results)).items():
        path = folder / name
        write_file(path, text)
        written.append(path)
    return written


def pages(results: Results, plots: Iterable[Plot] = ()) -> dict[str, str]:
    """Return the text of every file by its name, `README.md` first; it shows `plots`, which lie beside it."""
    return {INDEX: index(results, plots), **{name: table(results) for name, table in TABLES.items()}}


def _plots_in(folder: Path, results: Results) -> list[Plot]:
    if not (folder / FOLDER).is_dir():
        return []
    from bench.report.plots.registry import is_fresh, pictures  # loads matplotlib, which tables alone need not

    return [plot for plot in pictures(results) if is_fresh(plot, results, folder)]


def index(results: Results, plots: Iterable[Plot] = ()) -> str:
    """Return `README.md`: answers, plots, tables, runs, and last what is missing."""
    parts = [f"# Report: {results.profile} profile", f"{about(results)} Tables: {_tables(results)}."]
    parts += answered(answers(results))
    for plot in plots:
        parts += [f"## {plain(plot.title)}", picture(plot)]
    facts = [(name, fact) for name, fact in results.timing_environment.items() if name not in ("git", "threads")]
    parts += [
        "## Runs",
        "\n".join(map(_run, results.sources)),
        "## Environment",
        plain_table(("what", "value"), facts, left=(0, 1)),
        "## Data",
        gaps.data_used(results),
        "## Cells by status",
        gaps.statuses(results),
        "## Not run",
        *gaps.section(results),
    ]
    return document(parts)


def about(results: Results) -> str:
    """Return on what data, for how long, where and by which formulas the results were measured."""
    if results.documented:
        generated = all(isinstance(case.data, EmbeddedFeatures) for _, case in results.cases())
        data = "generated numbers of the documented shape" if generated else "the documents' data"
        trained = f"{'Full trainings' if results.accuracy_records else 'Timed training steps'} on {data}"
    else:
        trained = "Short trainings on generated text: compare the columns, not with documented figures. Measured"
    numerics = {record.numerics for record in results.records}
    if MAIN in numerics:
        formulas = "Every backend computes the document's formulas, unless a table names other numerics."
    elif numerics == {NATIVE}:
        formulas = "Every backend runs its framework's defaults (native numerics)."
    else:
        formulas = f"Numerics: {', '.join(f'`{name}`' for name in sorted(numerics))}."
    return plain_but_code(f"{trained}, on {machine(results.timing_environment)}. {formulas}")


def _tables(results: Results) -> str:
    pages = [*TABLES, *(["parity.md"] if results.twins else []), *({DEVIATIONS} if results.reasons else ())]
    return ", ".join(f"[{Path(page).stem}]({page})" for page in [*pages, *results.explained])


def _run(source: Source) -> str:
    threads = source.environment.get("threads")
    facts = [f"started {plain(source.started[:10])}", f"commit {_commit(source.environment)}"]
    facts += [count(threads, "thread")] if threads else []
    return f"- {plain(source.name)}, {', '.join(facts)}: {code(source.command)}"


def _commit(environment: Mapping[str, Any]) -> str:
    git = environment.get("git")
    return plain(f"{git['commit'][:12]}{' (changed)' if git['dirty'] else ''}") if git else NOTHING


def answered(found: Mapping[str, Answer], folder: str = "", level: int = 2) -> list[str]:
    """Return questions as headings, each above its answer; `folder` is where the pages are that they point to."""
    heading = "#" * level
    return [
        part for question, answer in found.items() for part in (f"{heading} {plain(question)}", *said(answer, folder))
    ]


def said(answer: Answer, folder: str = "") -> list[str]:
    """Return the paragraphs of an answer: its conclusion, its table, its notes."""
    links = ", ".join(as_link(link, folder) for link in answer.see)
    parts = [plain_but_code(answer.conclusion) + (f" ({links})" if links else "")]
    if answer.table:
        rows = [list(map(plain_but_code, row)) for row in answer.table.rows]
        parts.append(markdown_table(list(map(plain, answer.table.headers)), rows, answer.table.left))
    if len(answer.notes) > 1:
        return [*parts, "\n".join(f"- {prose(note)}" for note in answer.notes)]
    return parts + [plain_but_code(note) for note in answer.notes]
