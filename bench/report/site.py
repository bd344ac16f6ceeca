"""The committed reports: a folder for every machine, the index over them, and the project README's generated blocks.

All of it is made from the results that were exported into `MACHINE/results/*.json`, and from nothing else.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bench.errors import UsageError
from bench.files import write_file
from bench.report import pages
from bench.report import readme as readme_page
from bench.report.answers import TOPICS, answers
from bench.report.markdown import document, markdown_table, plain, plain_but_code
from bench.report.pages import INDEX, TABLES, about, answered, said
from bench.report.plots import registry
from bench.report.plots.base import FOLDER, Plot, picture
from bench.report.plots.registry import draw, files, is_fresh
from bench.report.results import Results
from bench.report.sources import RESULTS, anchor, committed
from bench.report.topic import Answer
from bench.report.topics import accuracy, architectures, explain, speed
from bench.spec import Suite


@dataclass(frozen=True)
class Reports:
    """Everything that is made from the results below `folder`: the machines, and the text of every Markdown file."""

    folder: Path
    machines: Mapping[str, Results]
    pages: Mapping[Path, str]

    @cached_property
    def stale(self) -> list[Path]:
        """Return the files that are missing or not as they would be written, and pictures of what is no more."""
        pages = [path for path, text in self.pages.items() if not path.is_file() or path.read_text("utf-8") != text]
        wanted = set(self._pictures())
        fresh = {path for path, (name, plot) in self._pictures().items() if self._is_fresh(name, plot)}
        there = {path for name in self.machines for path in (self.folder / name / FOLDER).glob("*")}
        return pages + sorted((wanted - fresh) | (there - wanted))

    def write(self) -> None:
        """Write the files that are stale, and delete the pictures that show nothing any more."""
        pictures = self._pictures()
        for path in self.stale:
            if path in self.pages:
                write_file(path, self.pages[path])
            elif path not in pictures:
                path.unlink()
        for name, plot in {pictures[path] for path in self.stale if path in pictures}:
            draw(plot, self.machines[name], self.folder / name, ("svg",))

    def _pictures(self) -> dict[Path, tuple[str, Plot]]:
        """Return machine and plot of every picture by its path."""
        return {
            path: (name, plot)
            for name, results in self.machines.items()
            for plot in registry.pictures(results)
            for path in files(plot, self.folder / name)
        }

    def _is_fresh(self, name: str, plot: Plot) -> bool:
        return is_fresh(plot, self.machines[name], self.folder / name)


def gather(folder: Path, suites: Mapping[str, Suite]) -> Reports:
    """Read the results of every machine below `folder` and make every page from them.

    The pages are those of each machine's folder, the index `folder/README.md`, and the README beside `folder`, where it
    is there. Raises `UsageError` when no folder holds exported results.
    """
    machines = {
        path.parent.name: committed(path.parent, suites)
        for path in sorted(folder.glob(f"*/{RESULTS}"))
        if path.is_dir()
    }
    if not machines:
        raise UsageError(f"{folder} holds no report: no {folder / 'MACHINE' / RESULTS}/*.json with exported results")
    texts = {
        folder / name / page: text
        for name, results in machines.items()
        for page, text in pages.pages(results, registry.pictures(results)).items()
    }
    texts[folder / INDEX] = index(machines)
    readme = folder.parent / INDEX
    if readme.is_file():
        text = readme.read_text(encoding="utf-8")
        texts[readme] = readme_page.fill(text, contents(machines, f"{folder.name}/"), str(readme))
    return Reports(folder, machines, texts)


ASKED_FIRST = (speed.TOPIC, explain.TOPIC, accuracy.TOPIC, architectures.TOPIC)
"""What the index answers in full, below the conclusions on all questions."""
_WORDS = """\
- [**Suite**](../docs/design.md#words): the cases of one document. **Case**: one model with its data and training
  (`imdb-rnn/lstm`). **Cell**: a case under one backend and kernel, with one seed.
- **Backend**: `torch` is PyTorch, `torch-compile` PyTorch compiled, `keras-jax` Keras 3 on JAX, and so on.
- [**Kernel**](../docs/method-timing.md#kernels): `fused` is the framework's own recurrent layer, `generic` goes step by
  step.
- [**Numerics**](../docs/numerics.md): `documented` are the formulas of the document's Keras, `native` each framework's
  defaults.
- [**Twins**](../docs/parity.md): cells of two backends, proven to train the same model.
- **±**: 95 % confidence interval of a mean over seeds ([how to read the tables](../docs/read-the-tables.md)).
- **Unavailable**: cannot run on this machine. **Not run**: has no record yet."""
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")


def index(machines: Mapping[str, Results]) -> str:
    """Return the index over all machines: the answers of each, then words, folders, and how to run what is missing."""
    parts = ["# Reports"]
    told = {
        topic.question: [name for name, results in machines.items() if topic.frame and topic.frame(results)]
        for topic in TOPICS
        if topic.question
    }
    for name, results in machines.items():
        # A question that some folder has figures on is not asked where there are none.
        found = {
            question: answer
            for question, answer in answers(results).items()
            if not told.get(question) or name in told[question]
        }
        rows = [
            [f"[{plain(question)}]({name}/{INDEX}#{anchor(question)})", plain_but_code(answer.conclusion)]
            for question, answer in found.items()
        ]
        parts += [f"## {plain(name)}", about(results), markdown_table(["question", "answer"], rows, left=(0, 1))]
        first = [topic.question for topic in ASKED_FIRST if topic.question in found]
        parts += answered({question: found[question] for question in first}, f"{name}/", level=3)
    documented = all(results.documentation for results in machines.values())
    parts += ["## Words", _WORDS if documented else _LINK.sub(r"\1", _WORDS)]
    rows = [
        [
            f"[{plain(name)}]({name}/{INDEX})",
            plain(results.profile),
            plain(", ".join(source.name for source in results.sources)),
            f"{sum(record.status == 'ok' for record in results.records)} of {len(results.records)}",
            ", ".join(f"[{page.removesuffix('.md')}]({name}/{page})" for page in TABLES),
        ]
        for name, results in machines.items()
    ]
    parts += ["## Folders", markdown_table(["folder", "profile", "runs", "cells ok", "tables"], rows, left=range(5))]
    parts += [
        "## Continue the runs",
        f"`FOLDER/{RESULTS}/*.json` hold the stored records. To run what is missing and write every page anew:",
        "\n".join([*(line for named in machines.items() for line in _commands(*named)), "    nox -s report"]),
    ]
    if not any(device == "cuda" for results in machines.values() for device in _devices(results)):
        parts.append("No GPU has been measured. On a machine that has one: `nox -s bench-gpu`.")
    return document(parts)


def _commands(name: str, results: Results) -> list[str]:
    runs = " ".join(shlex.quote(" ".join(source.name.split())) for source in results.sources)  # one line of code
    return [
        f"    bench import reports/{name}/{RESULTS}/*.json",
        f"    for run in {runs}; do",
        f"        bench run --resume $run; bench export $run --out reports/{name}/{RESULTS}/$run.json",
        "    done",
    ]


def _devices(results: Results) -> set[str]:
    return {record.device for record in results.records if record.status == "ok"}


def contents(machines: Mapping[str, Results], folder: str) -> dict[str, str]:
    """Return the content of every block that a README may hold, by its name.

    `MACHINE/TOPIC` is an answer or a topic's own block, `MACHINE/TOPIC/conclusion` the first line of the answer,
    `MACHINE/plots/PLOT` a picture. `folder` is that of the reports, as the README sees it.
    """
    found: dict[str, str] = {}
    for name, results in machines.items():
        for topic in TOPICS:
            answer = topic.answer(results) if topic.answer else None
            parts = said(_in_short(answer), f"{folder}{name}/") if answer else []
            found[f"{name}/{topic.name}"] = topic.block(results) if topic.block else "\n\n".join(parts)
            if parts:
                found[f"{name}/{topic.name}/conclusion"] = parts[0]
        for plot in registry.pictures(results):
            found[f"{name}/plots/{plot.name}"] = picture(plot, f"{folder}{name}/")
    return found


def _in_short(answer: Answer) -> Answer:
    """Return an answer as a README has it: its notes are one paragraph."""
    return replace(answer, notes=(" ".join(answer.notes),) if answer.notes else ())
