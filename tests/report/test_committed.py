"""The committed reports are made from the exported results alone, and one that is stale is found."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.catalog import load
from bench.cli import main
from bench.errors import UsageError
from bench.report import committed, comparisons, plots
from bench.report.sources import committed as results_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with one machine's committed results of a few cases, and a README with both blocks.

    Of the plots only one is drawn.
    """
    monkeypatch.setattr(plots, "PLOTS", [plot for plot in plots.PLOTS if plot.name == "speed"])
    machine = tmp_path / "reports" / "box"
    (machine / "results").mkdir(parents=True)
    for name in ("documents", "reviews", "timing"):
        file = ROOT / "reports" / "cpu-2core" / "results" / f"{name}.json"
        export = json.loads(file.read_text())
        kept = ("multi-hot-dense", "word2vec-300", "embedding-300", "lstm", "glove-200", "learned-200")
        export["records"] = [one for one in export["records"] if one["case"] in kept]
        (machine / "results" / file.name).write_text(json.dumps(export))
    blocks = [
        f"<!-- twinbench:box/{one} begin -->\n<!-- twinbench:box/{one} end -->\n" for one in ("accuracy", "speed")
    ]
    (tmp_path / "README.md").write_text(f"# Mine\n\n{''.join(blocks)}\nThe end.\n")
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["report", *arguments])
    return int(ended.value.code or 0)


def test_what_was_written_is_up_to_date_and_a_change_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = project / "reports"
    assert run("--index", str(reports), "--check") == 1
    assert not (reports / "README.md").exists(), "--check writes nothing"
    assert run("--index", str(reports)) == 0
    capsys.readouterr()
    assert run("--index", str(reports), "--check") == 0
    readme = project / "README.md"
    changed = [readme, reports / "README.md", reports / "box" / "accuracy.md"]
    picture = reports / "box" / "plots" / "speed-dark.svg"
    picture.write_text(picture.read_text().replace("data sha256 ", "data sha256 0"))
    (other := picture.with_name("gone-light.svg")).touch()
    for path in changed:
        good = path.read_text()
        path.write_text(good.replace("88.06", "98.06"))
        assert good != path.read_text()
    capsys.readouterr()
    assert run("--index", str(reports), "--check") == 1
    remedy = f"write it again by `nox -s report`, or `bench report --index {reports}`"
    # A picture's other theme goes with it: both show the same results or neither does.
    pictures = [picture, picture.with_name("speed-light.svg"), other]
    expected = [f"stale: {path}; {remedy}" for path in (*changed, *pictures)]
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(expected)
    assert readme.read_text().endswith("The end.\n")


def test_links_of_the_index_lead_somewhere(project: Path) -> None:
    """Write reports where there is no documentation beside them."""
    assert run("--index", str(project / "reports")) == 0
    for page in (project / "reports").rglob("*.md"):
        links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not (page.parent / link).exists()] == []


def test_a_changed_record_changes_the_answer_the_table_and_the_readme(project: Path) -> None:
    run("--index", str(project / "reports"))
    before = (project / "README.md").read_text()
    file = project / "reports" / "box" / "results" / "documents.json"
    export = json.loads(file.read_text())
    for record in export["records"]:
        if record["case"] == "multi-hot-dense" and record["status"] == "ok":
            record["metrics"]["last"]["test"]["accuracy"] += 0.05
    file.write_text(json.dumps(export))
    assert run("--index", str(project / "reports"), "--check") == 1
    run("--index", str(project / "reports"))
    assert "| text-networks/multi-hot-dense " in before
    for path in "README.md", "reports/README.md", "reports/box/accuracy.md":
        assert "93.06" in (project / path).read_text()


def test_the_cost_of_each_difference_stands_in_points_by_backend(project: Path) -> None:
    box = project / "reports" / "box"
    suites = load([]).suites
    assert committed.differences(results_of(box, suites)) == "Not run: `bench explain CASE` measures it."
    shutil.copy(ROOT / "reports" / "cpu-2core" / "results" / "explain-lstm-16.json", box / "results")
    table = committed.differences(results_of(box, suites))
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    frame = comparisons.differences(results_of(box, suites))
    init = frame[(frame["numerics"] == "native:init") & (frame["backend"] == "torch")].iloc[0]
    expected = f"{100 * init['difference']:+.1f} ±{100 * init['half']:.1f} ({init['n']})"
    assert lines[0] == ["case", "difference", "keras-tensorflow", "torch"]
    assert expected in next(line for line in lines if line[1] == "init")
    assert next(line for line in lines if line[1] == "bias")[2] == "–", "Keras has one bias"
    assert [line[1] for line in lines[2:4]] == ["documents' formulas", "all together"]
    told = committed.contents({"box": results_of(box, suites)}, "reports/")["box/explained"]
    assert f"initial weights {100 * init['difference']:+.2f} ± {100 * init['half']:.2f} points" in told
    assert [line.partition(":")[0] for line in told.splitlines()] == [
        "- **text-networks/lstm-16 with Keras 3's formulas**",
        "- **text-networks/lstm-16 under keras-tensorflow**",
        "- **text-networks/lstm-16 under torch**",
    ]


def test_the_index_answers_what_people_ask(project: Path) -> None:
    """Hold the four questions that a reader has to find answered in `reports/README.md` alone."""
    (project / "docs").mkdir()
    (project / "docs" / "findings.md").touch()
    run("--index", str(project / "reports"))
    text = (project / "reports" / "README.md").read_text()
    assert "**LSTM on a CPU: torch" in text
    assert "text-networks/word2vec-300, document 002" in text
    assert "At 200 training rows" in text
    assert "**What did Keras 3 change?**" in text
    assert "](box/accuracy.md)" in text, "links lead into the machine's folder"
    assert "](../docs/findings.md)" in text, "a page of the documentation is found from the index"


def test_the_index_tells_folders_of_one_machine_apart_and_gives_commands_for_each(project: Path) -> None:
    short = project / "reports" / "short" / "results"
    short.mkdir(parents=True)
    shutil.copy(ROOT / "reports" / "cpu-2core-backends" / "results" / "architectures.json", short)
    suites = load([]).suites
    machines = {name: results_of(project / "reports" / name, suites) for name in ("box", "short")}
    text = committed.index(machines)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[0].startswith("## box: full trainings, ")
    assert headings[1].startswith("## short: short trainings on generated text, ")
    full, quick, _ = text.split("\n## ")[1:]
    assert "the documents' data" in full
    assert "no time or accuracy is that of a full training" in quick
    assert "](short/timing.md)" in full, "where more backends were timed"
    assert "](box/timing.md)" not in quick
    for name, results in machines.items():
        assert f"bench import reports/{name}/results/*.json" in text
        assert f"for run in {' '.join(source.name for source in results.sources)}; do" in text


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
        committed.gather(tmp_path / "empty", suites)
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
