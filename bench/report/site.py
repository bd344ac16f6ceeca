"""The committed reports: a folder for every machine, the index over them, and the project README's generated blocks.

All of it is made from the results that were exported into `MACHINE/results/*.json`, and from nothing else.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.errors import UsageError
from bench.report import pages
from bench.report import readme as readme_page
from bench.report.answers import TOPICS, answers
from bench.report.frames import MAIN, NATIVE
from bench.report.markdown import markdown_table, plain, plain_but_code
from bench.report.pages import INDEX, TABLES, answered, said
from bench.report.plots import registry
from bench.report.plots.base import FOLDER, Plot, picture
from bench.report.plots.registry import draw, files, is_fresh
from bench.report.results import Results
from bench.report.sources import RESULTS, committed
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
                path.write_text(self.pages[path], encoding="utf-8")
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


_WORDS = """\
- A **document** is a source whose printed figures are checked, a [**suite**](../docs/design.md#words) its cases, a
  [**case**](../docs/design.md#words) one configuration: network, data, training (`imdb-rnn/lstm`).
- A **backend** trains it: `torch` is PyTorch, a `keras-` backend Keras 3 on the engine that its name ends with.
- A [**kernel**](../docs/method-timing.md#kernels) computes a recurrent layer: `fused` in one piece, `generic` step by
  step.
- A **variant** is a case under a backend and kernel, a [**cell**](../docs/design.md#words) a variant with one seed;
  [**twins**](../docs/parity.md) are variants that train the same model.
- An accuracy is a mean over seeds, **±** its 95 % interval; times are of training
  ([how to read the tables](../docs/read-the-tables.md)).
- What is **unavailable** cannot run on the machine; what is **not run yet** has not been started."""
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")


def index(machines: Mapping[str, Results]) -> str:
    """Return the index over all machines: the answers of each, then what lies where and how it was made."""
    documented = all(results.documentation for results in machines.values())
    words = _WORDS if documented else _LINK.sub(r"\1", _WORDS)
    parts = ["# Reports", "What the stored results say, folder by folder.", words]
    for name, results in machines.items():
        kind = "full trainings" if results.documented else "short trainings on generated text"
        parts += [f"## {plain(name)}: {kind}, {plain(machine(results))}", plain_but_code(_what(name, results))]
        parts += answered(answers(results), f"{name}/")
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
    if not any(device == "cuda" for results in machines.values() for device in _devices(results)):
        parts.append("No machine with a GPU has run the suites yet: there is no folder for one.")
    parts += [
        f"`FOLDER/{RESULTS}/*.json` hold the stored records, one a line. To go on with the runs of a folder where they "
        "stop, and to write every page here again:",
        "\n".join([*(line for named in machines.items() for line in _commands(*named)), "    nox -s report"]),
    ]
    return "\n\n".join(parts) + "\n"


def _what(name: str, results: Results) -> str:
    """Return in a sentence or two what a folder holds: data, protocol, formulas."""
    if results.documented:
        text = f"Profile `{results.profile}`: the documents' data, every epoch and row of their trainings"
    else:
        text = (
            f"Profile `{results.profile}`: the same networks, trained shortly on generated text; no time or accuracy "
            "is that of a full training"
        )
    numerics = {record.numerics for record in results.records}
    if MAIN in numerics:
        return f"{text}. Every backend computes the documents' formulas, unless a line says otherwise."
    native = numerics == {NATIVE}
    formulas = "Each framework computes by its own defaults" if native else f"Numerics: {', '.join(sorted(numerics))}"
    return f"{text}. {formulas}."


def _commands(name: str, results: Results) -> list[str]:
    runs = " ".join(shlex.quote(source.name) for source in results.sources)
    return [
        f"    bench import reports/{name}/{RESULTS}/*.json",
        f"    for run in {runs}; do",
        f"        bench run --resume $run; bench export $run --out reports/{name}/{RESULTS}/$run.json",
        "    done",
    ]


def machine(results: Results) -> str:
    """Return a machine in words: its processor, cores and GPUs."""
    environment = results.timing_environment
    gpus = [gpu["name"] for gpu in environment.get("gpus", [])]
    cores = environment.get("cores")
    parts = [
        environment.get("cpu", "unknown processor"),
        f"{cores} cores" if cores else "",
        ", ".join(gpus) or "no GPU",
    ]
    return ", ".join(part for part in parts if part)


def _devices(results: Results) -> set[str]:
    return {record.device for record in results.records if record.status == "ok"}


def contents(machines: Mapping[str, Results], folder: str) -> dict[str, str]:
    """Return the content of every block that a README may hold, by its name, `MACHINE/TABLE` or `MACHINE/PLOT`.

    `folder` is that of the reports, as the README sees it.
    """
    found: dict[str, str] = {}
    for name, results in machines.items():
        for topic in TOPICS:
            answer = topic.answer(results) if topic.answer else None
            parts = said(answer, f"{folder}{name}/") if answer else []
            found[f"{name}/{topic.name}"] = topic.block(results) if topic.block else "\n\n".join(parts)
        for plot in registry.pictures(results):
            found[f"{name}/plots/{plot.name}"] = picture(plot, f"{folder}{name}/")
    return found
