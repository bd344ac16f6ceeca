"""The files of a report: a page for each topic that has one, and `README.md` with the answers first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.report.answers import TOPICS, answers
from bench.report.markdown import as_link, code, document, markdown_table, plain, plain_but_code, plain_table
from bench.report.numbers import NOTHING
from bench.report.plots.base import FOLDER, Plot, picture
from bench.report.results import Results, Source
from bench.report.sentences import count
from bench.report.topic import Answer
from bench.report.topics import gaps

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
        path.write_text(text, encoding="utf-8")
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
    """Return `README.md`: the answers first, then plots, files, runs, what is missing, environment and data."""
    names = ", ".join(source.name for source in results.sources)
    parts = [f"# Report of {'run' if len(results.sources) == 1 else 'runs'} {plain(names)} ({results.profile} profile)"]
    parts += answered(answers(results))
    facts = [(name, fact) for name, fact in results.timing_environment.items() if name not in ("git", "threads")]
    tables = [*TABLES, *(["parity.md"] if results.twins else [])]
    for plot in plots:
        parts += [f"## {plain(plot.title)}", picture(plot)]
    parts += [
        f"Tables: {', '.join(f'[{Path(name).stem}]({name})' for name in tables)}.",
        "## Runs",
        "\n".join(map(_run, results.sources)),
        "## Cells by status",
        gaps.statuses(results),
        "## Not run",
        *gaps.section(results),
        "## Environment",
        plain_table(("what", "value"), facts, left=(0, 1)),
        "## Data",
        gaps.data_used(results),
    ]
    return document(parts)


def _run(source: Source) -> str:
    threads = source.environment.get("threads")
    facts = [f"started {plain(source.started)}", f"commit {_commit(source.environment)}"]
    facts += [count(threads, "thread")] if threads else []
    return f"- {plain(source.name)}, {', '.join(facts)}: {code(source.command)}"


def _commit(environment: Mapping[str, Any]) -> str:
    git = environment.get("git")
    return plain(f"{git['commit'][:12]}{' (changed)' if git['dirty'] else ''}") if git else NOTHING


def answered(found: Mapping[str, Answer], folder: str = "") -> list[str]:
    """Return questions, each followed by its answer; `folder` is where the pages are that they point to."""
    return [part for question, answer in found.items() for part in (f"**{plain(question)}**", *said(answer, folder))]


def said(answer: Answer, folder: str = "") -> list[str]:
    """Return the paragraphs of an answer: its conclusion, its table, its notes."""
    links = ", ".join(as_link(link, folder) for link in answer.see)
    parts = [plain_but_code(answer.conclusion) + (f" ({links})" if links else "")]
    if answer.table:
        rows = [list(map(plain_but_code, row)) for row in answer.table.rows]
        parts.append(markdown_table(list(map(plain, answer.table.headers)), rows, answer.table.left))
    return parts + [plain_but_code(note) for note in answer.notes]
