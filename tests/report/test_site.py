"""The committed reports are made from the exported results alone, and one that is stale is found."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from scipy import stats

from bench.cases.catalog import load
from bench.errors import UsageError
from bench.records.exports import Exported, as_json
from bench.records.record import Record
from bench.records.store import Run
from bench.report import pages, site
from bench.report.plots import registry
from bench.report.plots.registry import PLOTS
from bench.report.results import Results
from bench.report.sources import committed as results_of
from bench.report.topic import Answer, Table, Topic
from bench.report.topics import explain, speed
from tests.conftest import call
from tests.making import ENVIRONMENT, make_record
from tests.report.stepping import stepped

BACKENDS = {"keras-tensorflow": 0.0, "torch": 0.001}
"""How much more accurate each backend is made."""
DENSE, LSTM = "text-networks/multi-hot-dense", "text-networks/lstm-16"
MATCHED = [0.86, 0.87, 0.85, 0.865, 0.855]
INIT = [-0.030, -0.034, -0.026, -0.031, -0.028]
"""What initial weights of torch's own change, seed by seed."""


def write(machine: Path, name: str, records: Sequence[Record], *patterns: str) -> Path:
    """Write an exported run into the results of a machine's folder."""
    measure, profile = records[0].measure, records[0].profile
    options = {"patterns": list(patterns), "seeds": 3, "repeats": 1, "measure": measure, "threads": 2}
    run = Run(name, profile, "2026-01-01T00:00:00+00:00", ["bench", "run", "--name", name], options, ENVIRONMENT)
    file = machine / "results" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(as_json([Exported(run, [(record, ENVIRONMENT) for record in records])]))
    return file


def accurate(case: str, accuracy: float, kernel: str = "none") -> list[Record]:
    return [
        make_record(
            f"{case}@{backend},{kernel},cpu,documented#{seed}",
            test=accuracy + better + (seed - 1) / 1000,
            measure="accuracy",
        )
        for backend, better in BACKENDS.items()
        for seed in range(3)
    ]


def timed(case: str, keras: float, torch: float, kernels: Sequence[str], **changes: Any) -> list[Record]:
    steps = zip({"keras-tensorflow": keras, "torch": torch}.items(), kernels, strict=True)
    return [
        record
        for (backend, step), kernel in steps
        for record in stepped(
            make_record, f"{case}@{backend},{kernel},cpu,documented#0", [step, 1.01 * step, 1.02 * step], **changes
        )
    ]


def explanation() -> list[Record]:
    """Return records of every numerics of one case: what is torch's own costs accuracy, Keras's changes little."""
    numerics = ("matched", "documented", "native", "native:init")
    return [
        make_record(
            f"{LSTM}@{backend},{kernel},cpu,{name}#{seed}",
            test=accuracy + (INIT[seed] if backend == "torch" and name in ("native", "native:init") else 0),
            measure="accuracy",
        )
        for backend, kernel, own in (("keras-tensorflow", "generic", ()), ("torch", "fused", ("native:bias",)))
        for name in (*numerics, *own)
        for seed, accuracy in enumerate(MATCHED)
    ]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with one machine's committed results of a few cases, and a README with both blocks.

    Of the plots only one is drawn.
    """
    monkeypatch.setattr(registry, "PLOTS", [plot for plot in PLOTS if plot.name == "accuracy-against-time"])
    box = tmp_path / "reports" / "box"
    absent = [
        structs.replace(
            make_record(f"text-networks/word2vec-300@{backend},none,cpu,documented#0", measure="accuracy"),
            status="unavailable",
            reason="the vectors are missing",
            details={"obstacle": "case"},
        )
        for backend in BACKENDS
    ]
    glove, learned = (
        accurate(f"word-embeddings/{name}", accuracy) for name, accuracy in (("glove-200", 0.57), ("learned-200", 0.52))
    )
    documents = [*accurate(DENSE, 0.8806), *accurate(LSTM, 0.86, "generic"), *absent, *glove, *learned]
    write(box, "documents", documents, "text-networks/*", "word-embeddings/*")
    write(box, "reviews", accurate("movie-reviews/lstm", 0.6, "generic"), "movie-reviews/lstm")
    times = [*timed(DENSE, 1.5, 1.0, ("none", "none")), *timed(LSTM, 9.0, 3.0, ("generic", "fused"))]
    write(box, "timing", times, "text-networks/*")
    names = ("accuracy/conclusion", "accuracy", "speed")
    blocks = [f"<!-- twinbench:box/{one} begin -->\n<!-- twinbench:box/{one} end -->\n" for one in names]
    (tmp_path / "README.md").write_text(f"# Mine\n\n{''.join(blocks)}\nThe end.\n")
    return tmp_path


QUESTIONS = (*(topic.question or "" for topic in site.ASKED_FIRST), "Is it the same model?")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every report answer five questions, and fill two blocks, each with the mean accuracy of its records."""

    def of(results: Results) -> dict[str, Answer]:
        found = [record.metrics.last.test for record in results.records if record.metrics and record.metrics.last]
        mean = f"{100 * np.mean([score.accuracy for score in found if score and score.accuracy]):.3f}"
        table = Table(("case", "%"), (("all", mean),))
        return {one: Answer(f"{one} {mean} %.", table, (("more", "accuracy.md"),)) for one in QUESTIONS}

    topics = tuple(Topic(name, answer=lambda results: of(results)[QUESTIONS[0]]) for name in ("accuracy", "speed"))
    monkeypatch.setattr(site, "TOPICS", topics)
    monkeypatch.setattr(site, "answers", of)
    monkeypatch.setattr(pages, "answers", of)


def run(*arguments: str) -> int:
    return call("report", *arguments)


def test_what_was_written_is_up_to_date_and_a_change_is_named(
    project: Path, answers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = project / "reports"
    assert run("--index", str(reports), "--check") == 1
    assert not (reports / "README.md").exists(), "--check writes nothing"
    assert run("--index", str(reports)) == 0
    capsys.readouterr()
    assert run("--index", str(reports), "--check") == 0
    readme = project / "README.md"
    changed = [readme, reports / "README.md", reports / "box" / "accuracy.md"]
    picture = reports / "box" / "plots" / "accuracy-against-time-dark.svg"
    picture.write_text(picture.read_text().replace("data sha256 ", "data sha256 0"))
    (other := picture.with_name("gone-light.svg")).touch()
    for path in changed:
        good = path.read_text()
        path.write_text(good.replace("| all", "| none") if path == readme else good + "More.\n")
        assert good != path.read_text()
    capsys.readouterr()
    assert run("--index", str(reports), "--check") == 1
    remedy = f"write it again by `nox -s report`, or `bench report --index {reports}`"
    # A picture's other theme goes with it: both show the same results or neither does.
    pictures = [picture, picture.with_name("accuracy-against-time-light.svg"), other]
    expected = [f"stale: {path}; {remedy}" for path in (*changed, *pictures)]
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(expected)
    assert readme.read_text().endswith("The end.\n")


def test_every_process_writes_the_same(project: Path) -> None:
    """Sets come in another order in every process (PYTHONHASHSEED)."""
    command = [sys.executable, "-m", "bench", "report", "--index", str(project / "reports")]
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        assert seed == "1" or said == "every file is up to date\n"


def test_links_of_the_index_lead_somewhere(project: Path) -> None:
    """Write reports where there is no documentation beside them."""
    assert run("--index", str(project / "reports")) == 0
    for page in (project / "reports").rglob("*.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not (page.parent / link).exists()] == []


def measured(project: Path) -> list[dict[str, Any]]:
    """Return the records below a project's machine `box` that have a test score."""
    exports = [json.loads(path.read_text()) for path in sorted((project / "reports/box/results").glob("*.json"))]
    records = [record for export in exports for record in export["records"]]
    return [one for one in records if one["metrics"] and (one["metrics"]["last"] or {}).get("test")]


def test_a_changed_record_changes_the_answer_the_table_and_the_readme(project: Path, answers: None) -> None:
    run("--index", str(project / "reports"))
    before = [(project / page).read_text() for page in ("README.md", "reports/README.md")]
    file = project / "reports" / "box" / "results" / "documents.json"
    export = json.loads(file.read_text())
    for record in export["records"]:
        if record["case"] == "multi-hot-dense":
            record["metrics"]["last"]["test"]["accuracy"] += 0.05
    file.write_text(json.dumps(export))
    assert run("--index", str(project / "reports"), "--check") == 1
    run("--index", str(project / "reports"))
    assert "93.06" in (project / "reports/box/accuracy.md").read_text()
    accuracies = [record["metrics"]["last"]["test"]["accuracy"] for record in measured(project)]
    for page, old in zip(("README.md", "reports/README.md"), before, strict=True):
        assert f"{100 * np.mean(accuracies):.3f} %" in (project / page).read_text()
        assert f"{100 * np.mean(accuracies):.3f} %" not in old


def test_the_cost_of_each_difference_stands_in_points_by_backend(project: Path) -> None:
    box = project / "reports" / "box"
    suites = load([]).suites
    assert explain.answer(results_of(box, suites)) is None
    write(box, "explain-lstm-16", explanation(), f"{LSTM}@*")
    blocks = site.contents({"box": results_of(box, suites)}, "reports/")
    conclusion, table, _ = blocks["box/differences"].split("\n\n")
    assert blocks["box/differences/conclusion"] == conclusion
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    mean = 100 * np.mean(INIT)
    half = 100 * stats.sem(INIT) * stats.t.ppf(0.975, len(INIT) - 1)
    expected = f"{mean:+.1f} ±{half:.1f} ({len(INIT)})"
    assert lines[0] == ["case", "difference", "keras-tensorflow, points", "torch, points"]
    assert {line[1] for line in lines[2:4]} == {"all defaults combined", "initial weights"}, "the largest costs first"
    assert {line[3] for line in lines[2:4]} == {expected}
    assert next(line for line in lines if line[1] == "second bias")[2] == "–", "Keras has one bias"
    for told in (conclusion, blocks["box/port"]):
        assert f"{-mean:.1f} points" in told
        assert "PyTorch's initial weights" in told


def test_the_index_gives_every_conclusion_and_then_four_answers_in_full(project: Path, answers: None) -> None:
    (project / "docs").mkdir()
    (project / "docs" / "findings.md").touch()
    run("--index", str(project / "reports"))
    text = (project / "reports" / "README.md").read_text()
    conclusions, _, full = text[: text.index("\n## Words")].partition("\n### ")
    accuracies = [record["metrics"]["last"]["test"]["accuracy"] for record in measured(project)]
    mean = f"{100 * np.mean(accuracies):.3f}"
    assert [part.partition("\n")[0] for part in full.split("\n### ")] == list(QUESTIONS[:4])
    assert len(re.findall(rf"^\| all +\| +{mean} \|$", full, re.MULTILINE)) == 4, "four tables"
    assert full.count("](box/accuracy.md)") == 4, "links lead into the machine's folder"
    assert all(f"{question} {mean} %." in conclusions for question in QUESTIONS)
    assert f"[{QUESTIONS[4]}](box/README.md#is-it-the-same-model)" in conclusions
    assert f"\n## {QUESTIONS[4]}\n" in (project / "reports" / "box" / "README.md").read_text(), "where that link leads"
    assert "](../docs/read-the-tables.md)" in text, "the documentation is found from the index"


def test_the_index_tells_folders_of_one_machine_apart_and_gives_commands_for_each(project: Path) -> None:
    times = timed(DENSE, 0.5, 0.2, ("none", "none"), profile="quick")
    times.append(structs.replace(times[0], backend="keras-jax"))
    write(project / "reports" / "short", "architectures", times, DENSE)
    suites = load([]).suites
    machines = {name: results_of(project / "reports" / name, suites) for name in ("box", "short")}
    text = site.index(machines)
    full, quick = text.split("\n## ")[1:3]
    assert full.startswith("box\n")
    assert "documents' data" in full
    assert quick.startswith("short\n")
    assert "generated text" in quick
    assert "](short/" not in full
    assert "](box/" not in quick
    for name, results in machines.items():
        assert f"bench import reports/{name}/results/*.json" in text
        assert f"for run in {' '.join(source.name for source in results.sources)}; do" in text


def test_the_index_does_not_ask_a_folder_what_another_has_figures_on(project: Path) -> None:
    once = [record for record in timed(DENSE, 0.5, 0.2, ("none", "none")) if record.repeat == 0]
    write(project / "reports" / "single", "brief", once, DENSE)
    suites = load([]).suites
    machines = {name: results_of(project / "reports" / name, suites) for name in ("box", "single")}
    asked = f"[{speed.TOPIC.question}]("
    assert len(speed.frame(machines["box"])) > len(speed.frame(machines["single"])) == 0, "one process ranks nothing"
    assert [f"{asked}{name}/" in site.index(machines) for name in machines] == [True, False]
    del machines["box"]
    assert f"{asked}single/" in site.index(machines), "nobody else says anything"


def test_several_runs_are_held_against_all_cases_and_one_against_its_own(project: Path) -> None:
    suites = load([]).suites
    box = project / "reports" / "box"
    assert results_of(box, suites).suites == suites
    for file in (box / "results").glob("*.json"):
        if file.stem != "reviews":
            file.unlink()
    assert list(results_of(box, suites).suites) == ["movie-reviews"]


def test_a_folder_without_results_and_runs_of_one_name_are_refused(project: Path, tmp_path: Path) -> None:
    suites = load([]).suites
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no report"):
        site.gather(tmp_path / "empty", suites)
    box = project / "reports" / "box"
    shutil.copy(box / "results" / "timing.json", box / "results" / "twice.json")
    with pytest.raises(UsageError, match=r"twice\.json: run 'timing' is in another file"):
        results_of(box, suites)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--check"], "name it by --index"),
        (["--index", "reports", "--format", "md"], "--index reports the results below its folder"),
        (["--index", "reports", "documents"], "--index reports the results below its folder"),
    ],
)
def test_index_and_check_go_together_and_with_nothing_else(
    arguments: list[str], message: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(project)
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err
