"""Every command of README.md and docs/ is executed here, or named below with the place that runs it instead.

The pages of a folder's story share that folder: a file that a page writes is there for its commands. Cells end at once;
everything else that a command does, it does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import inspect
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import typing
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import nox.registry
import pytest
from markdown_it import MarkdownIt

import bench.runner.run
import bench.runner.workers
from bench import spec
from bench.cases.cell import Status
from bench.cli import VERBS, cli, main
from bench.records.record import EpochScore, Metrics, Record, Score, Timing, Weights
from bench.runner.plan import PlannedCell
from bench.runner.workers import Settings
from tests.conftest import ROOT

PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
REFERENCE = ROOT / "docs" / "reference"
SHELL = ("", "console", "bash", "sh", "shell")

BY_HAND = "by hand"
ELSEWHERE = {
    r"pipx run nox -s bench": ("an installation of minutes, every case", BY_HAND),
    r"source \.nox/frameworks/bin/activate": ("needs that installation", BY_HAND),
    r"nox -s tests": ("this test suite", ".ci/run"),
    r"nox -s fuzz( -- .*)?": ("minutes; its short form is a test", "tests/fuzz/test_fuzz.py"),
    r"git show [0-9a-f]+:\S+ > \S+": ("needs the history, which a shallow clone lacks", BY_HAND),
    r"nox -s bench-gpu( -- .*)?": ("needs a GPU", "tests/test_noxfile.py"),
    r"python -m bench run --device cuda .*": ("needs a GPU", BY_HAND),
    r"bench parity --suites digits\.py .*": ("starts three frameworks", "tests/docs/test_declare_your_data.py"),
    r"bench doctor": ("starts every framework", "tests/commands/test_doctor.py"),
    r"nox -s parity": ("starts two frameworks, a minute", ".ci/run"),
    r"pip install -c constraints\.txt -e .*": ("an installation of minutes", ".ci/run"),
    r"pip install --no-deps --editable \./my-backend": ("an installation", "tests/commands/test_new.py"),
    r"bench doctor --backend my-backend": ("needs that installation", "tests/commands/test_new.py"),
    r"bench (run|parity) --backend torch --backend my-backend .*": ("the same", "tests/commands/test_new.py"),
    r"bench data fetch( \S+)+": ("asks the network", "tests/commands/test_data.py"),
    r"bench data make word2vec-imdb": ("minutes of training", "tests/data/test_word2vec.py"),
    r"nox -s ab -- .*": ("builds two environments", "tests/test_noxfile.py"),
    r"git worktree add .*": ("needs the history of a checkout", BY_HAND),
    r"bench ab .*": ("measures two environments, minutes", "tests/commands/test_ab.py"),
    r"cd examples/port": ("its commands are run there", "tests/port/test_example.py"),
    r"bench port .*": ("starts both frameworks, and the example changes in between", "tests/port/test_example.py"),
    r"bench run .* --cluster local:2": ("starts a cluster", "tests/runner/test_cluster.py"),
    r"python -m tests\.runner\.dask_cluster 40 3 0": ("kills workers for minutes", "tests/runner/test_cluster.py"),
    r"bench history .*": ("needs runs of many days", "tests/commands/test_history.py"),
    r"bench parity --out reports/cpu-2core": ("minutes on a quiet machine", BY_HAND),
    r"python tests/benchmarks/\w+\.py.*": ("minutes on a quiet machine", BY_HAND),
}
"""What is not executed here: a pattern, the reason, and the place in the repository that runs it."""


@dataclass(frozen=True)
class Block:
    """A block of code of a page: its language and title, and its text."""

    page: str
    language: str
    title: str | None
    text: str

    @property
    def commands(self) -> list[str]:
        """Return its commands, without prompts and comments, those continued on the next line in one."""
        lines = self.text.replace("\\\n", " ").splitlines()
        bare = [re.sub(r"^\$ ", "", line) for line in lines]
        return [" ".join(shlex.split(line, comments=True)) and _uncommented(line) for line in bare if line.strip()]


def _uncommented(line: str) -> str:
    return re.sub(r"\s+#\s.*$", "", line).strip()


def blocks(page: str) -> list[Block]:
    found = []
    for token in MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block"):
            language, _, rest = token.info.strip().partition(" ")
            title = re.search(r'title="([^"]+)"', rest)
            found.append(Block(page, language, title[1] if title else None, token.content))
    return found


def is_synopsis(block: Block) -> bool:
    """Return whether a block says which options there are, with words that stand for others."""
    return any(re.search(r" \[[A-Z]|\w\|\w", line) for line in block.text.splitlines())


# --- running -----------------------------------------------------------------------------------------------------


def ended(cells: Sequence[PlannedCell], settings: Settings, *_: Any) -> Iterator[Record]:
    """Stand in for `bench.runner.workers.run`: every cell that could run ends ok, at once."""
    for planned in cells:
        status: Status = "unavailable" if planned.obstacle else "ok"
        score = Score(loss=0.5, accuracy=0.8, rows=1000)
        epochs = [EpochScore(loss=0.5, accuracy=0.8, seconds=1.0, steps=10)] * 2
        yield Record(
            **asdict(planned.cell),
            repeat=planned.repeat,
            profile=settings.profile,
            measure=settings.measure,
            status=status,
            reason=planned.obstacle.reason if planned.obstacle else None,
            metrics=None if planned.obstacle else Metrics(epochs=epochs, last=Weights(epoch=2, test=score)),
            timing=None
            if planned.obstacle
            else Timing(build=0.1, first_epoch=1.0, epochs=[1.0], steps=10, total=2.0, alone=True),
            started="2026-01-01T00:00:00+00:00",
            seconds=2.0,
            details={"obstacle": planned.obstacle.part} if planned.obstacle else {},
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is the current one; whatever is kept, cached or looked for lies in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(bench.runner.workers, "run", ended)
    monkeypatch.setattr(bench.runner.run, "survey", lambda *_: lambda record: record)
    monkeypatch.setattr(bench.runner.run.Preparer, "sha256", lambda *_: None)  # preparing would ask the network
    return tmp_path


def execute(command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run one command of a page and return what it printed; fail unless it ends well."""
    words = [found for word in shlex.split(command) for found in (sorted(glob.glob(word)) or [word])]
    if words[0] == "export":
        name, _, value = words[1].partition("=")
        monkeypatch.setenv(name, value)
        return ""
    if words[0] == "python" and Path(words[1]).is_file():  # one that the page wrote
        runpy.run_path(words[1], run_name="__main__")
        return ""
    assert words[0] in ("bench", "twinbench"), f"unknown command {command!r}: run it here, or name it in ELSEWHERE"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as left:
        main(words[1:])
    assert left.value.code == 0, f"{command}: exit code {left.value.code}"
    return printed.getvalue()


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_their_order(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.language in SHELL and not is_synopsis(block):
            printed = []
            for command in block.commands:
                if not any(re.fullmatch(pattern, command) for pattern in ELSEWHERE):
                    printed.append(execute(command, monkeypatch))
        elif block.language == "text" and printed:
            shown = [line.rstrip() for line in printed[-1].splitlines()]
            assert shown == block.text.splitlines(), "the page shows what the last command printed"


@pytest.mark.parametrize("page", [page for page in PAGES if page == "docs/notebooks.md"])
def test_the_python_of_a_page_runs(page: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page):
        assert block.language == "python"
        exec(compile(block.text, page, "exec"), {})
    shown = capsys.readouterr().out
    assert "simple-rnn" in shown
    assert "multi-hot-dense" in shown


def test_what_runs_elsewhere_is_said_once_and_runs_there() -> None:
    commands = [
        command for page in PAGES for block in blocks(page) if block.language in SHELL for command in block.commands
    ]
    for pattern, (reason, place) in ELSEWHERE.items():
        assert reason
        assert place == BY_HAND or (ROOT / place).exists()
        assert any(re.fullmatch(pattern, command) for command in commands), f"no page has {pattern!r} any more"


def test_scripts_and_sessions_that_pages_name_exist() -> None:
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    for script in set(re.findall(r"python (tests/\S+\.py)", text)):
        compile((ROOT / script).read_text(encoding="utf-8"), script, "exec")
    code = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    nox.registry._REGISTRY.clear()
    exec(compile(code, "noxfile.py", "exec"), {"__name__": "noxfile"})
    sessions = set(nox.registry.get())
    assert set(re.findall(r"nox -s ([\w-]+)", text)) <= sessions


def options_of(command: click.Command) -> set[str]:
    named = {name for one in command.params if isinstance(one, click.Option) for name in one.opts}
    return named | {"--help", "-h"}


@pytest.mark.parametrize("page", PAGES)
def test_verbs_and_options_that_a_page_mentions_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    mentions = re.findall(r"`(bench [^`]+)`", text)
    synopses = [block.text for block in blocks(page) if is_synopsis(block) and block.language in SHELL]
    mentions += re.split(r"\n(?=\s*bench )", "\n".join(synopses))
    for mention in mentions:
        words = mention.split()
        if words[:1] != ["bench"] or words[1].startswith("-") or words[1].isupper():
            continue
        assert words[1] in VERBS, f"{page}: {mention!r}"
        verb = cli.get_command(click.Context(cli), words[1])
        assert verb is not None
        known = options_of(verb)
        if isinstance(verb, click.Group):
            known = known.union(*(options_of(inner) for inner in verb.commands.values()))
        assert set(re.findall(r"(?<!\S)--[\w-]+", mention)) <= known, f"{page}: {mention!r}"


# --- links in the repository ---------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """Return the name that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def headings(page: Path) -> set[str]:
    """Return the names of a page's headings; those of a page that has one twice are numbered."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    texts = [
        "".join(child.content for child in tokens[place + 1].children or [])
        for place, token in enumerate(tokens)
        if token.type == "heading_open"
    ]
    names = [slug(text) for text in texts]
    return {f"{name}-{names[:place].count(name)}".removesuffix("-0") for place, name in enumerate(names)}


def links(page: Path) -> list[str]:
    """Return where the links and pictures of a page lead that lead nowhere outside of the repository."""
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        for child in token.children or []:
            address = str(child.attrs.get("href") or child.attrs.get("src") or "")
            if address and not re.match(r"[a-z]+:", address):
                found.append(address)
    return found


UPSTREAM = ROOT / "docs" / "upstream"
REPOSITORY = [*map(ROOT.joinpath, PAGES), ROOT / "CHANGELOG.md", *REFERENCE.glob("*.md"), *UPSTREAM.glob("*.md")]


@pytest.mark.parametrize("page", REPOSITORY, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_to_a_file_and_a_heading_of_the_repository(page: Path) -> None:
    for address in links(page):
        path, _, anchor = address.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {address}"
        assert not anchor or anchor in headings(target), f"{page.name}: {address}"


# --- the site ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the sources of the site were put together."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    subprocess.run([sys.executable, "docs/assemble.py", str(folder)], cwd=ROOT, env=_environment(), check=True)
    return folder


HOOKS = f"hooks: [{ROOT / 'docs' / 'assemble.py'}]\n"
"""Paths in a configuration are those from its own folder."""
TYPES = [
    "Name", "Gates", "Data", "Count", "End", "Encoding", "Fraction", "Layer", "Vectors", "Activation", "Padding",
    "Rate", "Recurrent", "Optimizer", "Positive", "Schedule", "Validation", "Monitor", "Kernel", "Device",
]  # fmt: skip
"""The types that `bench.spec` names, in the order in which fields need them."""


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}


def test_the_reference_has_every_option_and_every_field(sources: Path) -> None:
    command = (sources / "reference" / "command.md").read_text(encoding="utf-8")
    for name in VERBS:
        verb = cli.get_command(click.Context(cli), name)
        assert verb is not None
        part = command[command.index(f"## `bench {name}`") :]
        assert all(option in part for option in options_of(verb) - {"--help", "-h"})
    records = (sources / "reference" / "records.md").read_text(encoding="utf-8")
    assert all(
        f"| `{field}` |" in records
        for field in (*Record.__struct_fields__, *Timing.__struct_fields__, *Score.__struct_fields__)
    )
    python = (sources / "reference" / "python.md").read_text(encoding="utf-8")
    assert 'def run(\n    *patterns: str,\n    profile: Profile = "quick",' in python


def test_the_reference_of_suites_describes_every_field_and_spells_out_every_type(sources: Path) -> None:
    text = (sources / "reference" / "suites.md").read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in text.split("\n## ")[1:]}
    assert next(iter(sections)) == "Suite"
    assert list(sections).index("Case") < list(sections).index("Imdb") < list(sections).index("Training")
    classes = [value for value in vars(spec).values() if dataclasses.is_dataclass(value) and inspect.isclass(value)]
    declared = {one.__name__ for one in classes if one.__module__ == "bench.spec" and one.__name__[0] != "_"}
    assert set(sections) - {"Types"} == declared
    for name, section in sections.items():
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("| `")]
        fields = [field.name for field in dataclasses.fields(getattr(spec, name))] if name != "Types" else list(TYPES)
        assert [row[0].strip(" `") for row in rows] == fields, name
        assert all(cell.strip() for row in rows for cell in row), f"{name}: a cell is empty"
        for cell in (cell for row in rows for cell in row):
            assert "Annotated" not in cell
            assert all(anchor.lower() in map(str.lower, sections) for anchor in re.findall(r"\]\(#(\w+)\)", cell))
    types = {line.split("`")[1]: line for line in sections["Types"].splitlines() if line.startswith("| `")}
    for name in types:
        for member in typing.get_args(getattr(spec, name)):
            if isinstance(member, str):
                assert f"`{member!r}`" in types[name]
            elif inspect.isclass(member) and dataclasses.is_dataclass(member):
                assert f"[`{member.__name__}`]" in types[name] or f"[`{member.__name__}`]" in types["Recurrent"]
    assert "`int` above `0`" in types["Count"]
    assert "`float` at least `0` and below `1`" in types["Rate"]
    assert "| `reset_after` | `bool` | `True` |" in sections["GRU"]


def test_the_reference_in_the_repository_is_that_of_the_site(sources: Path) -> None:
    pages = {path.name: path.read_text(encoding="utf-8") for path in (sources / "reference").glob("*.md")}
    committed = {path.name: path.read_text(encoding="utf-8") for path in REFERENCE.glob("*.md")}
    stale = [name for name in {*pages, *committed} if pages.get(name) != committed.get(name)]
    assert stale == [], "docs/reference/ is stale; write it again by `nox -s docs`"


def test_every_page_of_the_reports_is_in_the_navigation(tmp_path: Path) -> None:
    for page in ("README.md", "box/timing.md", "box/README.md", "box/explain/lstm.md", "gpu/quick/README.md"):
        (tmp_path / "reports" / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "reports" / page).touch()
    (tmp_path / "reports" / "box" / "plots").mkdir()
    config = SimpleNamespace(docs_dir=str(tmp_path), nav=[{"Home": "index.md"}, {"Reports": "reports/README.md"}])
    module = runpy.run_path(str(ROOT / "docs" / "assemble.py"), run_name="assemble")
    assert module["on_config"](config) is config
    box = [
        {"Overview": "reports/box/README.md"},
        "reports/box/timing.md",
        {"explain": ["reports/box/explain/lstm.md"]},
    ]
    gpu = [{"quick": [{"Overview": "reports/gpu/quick/README.md"}]}]
    reports = [{"Overview": "reports/README.md"}, {"box": box}, {"gpu": gpu}]
    assert config.nav == [{"Home": "index.md"}, {"Reports": reports}]


def test_the_site_builds_without_a_broken_link_and_needs_no_network(sources: Path) -> None:
    pytest.importorskip("mkdocs", reason="builds the site; pip install 'twinbench[dev]'")
    site = sources.parent / "site"
    inherited = sources.parent / "mkdocs.yml"
    inherited.write_text(f"INHERIT: {ROOT / 'mkdocs.yml'}\n{HOOKS}docs_dir: {sources}\nsite_dir: {site}\n")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--config-file", str(inherited)],
        env=_environment(),
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    for page in site.rglob("*.html"):
        fetched = re.findall(
            r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=["']?(https?:[^"' >]+)""", page.read_text()
        )
        assert fetched == [], page.name
    start = (site / "start.html").read_text(encoding="utf-8")
    assert "md-footer__link--prev" in start
    assert "md-footer__link--next" in start
    assert re.search(r"""href=["']?reports/index\.html""", start), "the reports are in the navigation"


def test_a_broken_link_fails_the_session_s_own_command(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="builds the site; pip install 'twinbench[dev]'")
    code = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    (options,) = re.findall(r'"-m", "mkdocs", ("build"[^)]*?), env=', code)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Home\n\n[gone](nowhere.md)\n")
    inherited = tmp_path / "mkdocs.yml"
    inherited.write_text(f"INHERIT: {ROOT / 'mkdocs.yml'}\n{HOOKS}docs_dir: docs\nsite_dir: site\nnav: [index.md]\n")
    command = [sys.executable, "-m", "mkdocs", *json.loads(f"[{options}]"), "--config-file", str(inherited)]
    built = subprocess.run(command, env=_environment(), capture_output=True, text=True)
    assert built.returncode == 1
    assert "nowhere.md" in built.stderr
