"""The action and its workflows: what may write runs nothing of a pull request; a comment is one, true, harmless."""

from __future__ import annotations

import copy
import io
import json
import math
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from bench.commands.ab import command
from bench.compare.verdicts import Comparison, Policy, Verdict
from bench.report.topics import comparison as page
from tests.conftest import ROOT

yaml = pytest.importorskip("yaml", reason="reads workflows; pip install 'twinbench[dev]'")

WORKFLOWS = ROOT / ".github" / "workflows"
MEASURES, COMMENTS = WORKFLOWS / "regression.yml", WORKFLOWS / "regression-comment.yml"
ACTIONS = [ROOT / "action.yml", ROOT / ".github" / "actions" / "comment" / "action.yml"]


def read(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def triggers(workflow: dict[Any, Any]) -> Any:
    return workflow[True]  # `on` is a truth value of YAML 1.1, which GitHub reads as a word


def every_step(document: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in document["jobs"].values() if "jobs" in document else [document["runs"]]:
        yield from job["steps"]


def rights(workflow: dict[Any, Any]) -> dict[str, str]:
    """Return what the token of a workflow may do, jobs included."""
    assert isinstance(workflow.get("permissions"), dict), "without permissions the token has those of the repository"
    found = dict(workflow["permissions"])
    for job in workflow["jobs"].values():
        found |= job.get("permissions", {})
    return found


def objections(workflow: dict[Any, Any]) -> list[str]:
    """Return why a workflow may not do what it does; none: it is safe for pull requests of forks."""
    found = []
    written = {name for name, right in rights(workflow).items() if right != "read"}
    events = triggers(workflow)
    events = {events} if isinstance(events, str) else set(events)
    if "pull_request_target" in events:
        found.append("pull_request_target runs with secrets")
    if "pull_request" in events and (written or "secrets." in json.dumps(workflow["jobs"])):
        found.append("the code of a pull request has a secret or may write")
    for step in every_step(workflow):
        uses, given = step.get("uses", ""), step.get("with", {})
        if uses and not re.match(r"actions/[\w-]+@v\d+$|\./|OWNER/twinbench[/@]", uses):
            found.append(f"{uses} is of a third party")
        if uses.startswith("actions/checkout"):
            if "workflow_run" in events and given.keys() & {"ref", "repository"}:
                found.append("what may write checks out a pull request")
            if "workflow_run" not in events and written:
                found.append("what may write runs the code of a pull request")
        if "${{" in step.get("run", ""):
            found.append("an expression becomes code")
    if "workflow_run" in events and written != {"pull-requests"}:
        found.append(f"it may write {written}")
    return found


# --- the workflows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.name)
def test_workflows_are_safe_for_pull_requests_of_forks(path: Path) -> None:
    assert objections(read(path)) == []


def _set(*places: Any, to: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for place in places[:-1]:
            document = document[place]
        document[places[-1]] = to

    return change


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (MEASURES, _set("permissions", "pull-requests", to="write")),
        (MEASURES, _set("jobs", "compare", "permissions", to={"issues": "write"})),
        (MEASURES, _set("jobs", "compare", "steps", 2, "env", to={"TOKEN": "${{ secrets.TOKEN }}"})),
        (MEASURES, _set(True, to={"pull_request_target": None})),
        (MEASURES, _set("jobs", "compare", "steps", 2, to={"run": "echo ${{ github.head_ref }}"})),
        (MEASURES, _set("jobs", "compare", "steps", 2, "uses", to="someone/comments@v1")),
        (COMMENTS, _set("jobs", "comment", "steps", 0, "with", "ref", to="${{ github.event.workflow_run.head_sha }}")),
        (COMMENTS, _set("jobs", "comment", "steps", 0, "with", "repository", to="fork/twinbench")),
        (COMMENTS, _set("permissions", "contents", to="write")),
    ],
)
def test_each_way_to_make_a_workflow_unsafe_is_objected_to(path: Path, change: Callable[[Any], None]) -> None:
    workflow = copy.deepcopy(read(path))
    change(workflow)
    assert objections(workflow) != []


def test_a_workflow_without_permissions_is_objected_to() -> None:
    workflow = read(MEASURES)
    del workflow["permissions"]
    with pytest.raises(AssertionError, match="without permissions"):
        objections(workflow)


def test_the_second_workflow_waits_for_the_first_and_only_for_pull_requests() -> None:
    event = triggers(read(COMMENTS))
    assert event == {"workflow_run": {"workflows": [read(MEASURES)["name"]], "types": ["completed"]}}
    (job,) = read(COMMENTS)["jobs"].values()
    assert job["if"] == "github.event.workflow_run.event == 'pull_request'"


# --- the actions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ACTIONS, ids=lambda path: path.parent.name)
def test_inputs_of_an_action_reach_the_shell_as_variables_only(path: Path) -> None:
    action = read(path)
    for step in every_step(action):
        assert "${{" not in step.get("run", "")
        assert re.match(r"(actions/[\w-]+@v\d+)?$", step.get("uses", ""))
        assert step.get("shell", "bash") == "bash"
    used = re.findall(r"inputs\.([\w-]+)", path.read_text(encoding="utf-8"))
    assert set(used) == set(action["inputs"])


def test_workflows_and_pages_give_the_actions_inputs_that_they_have() -> None:
    comment = read(ACTIONS[1])["inputs"].keys()
    pages = (ROOT / "docs" / "compare-environments.md").read_text(encoding="utf-8")
    shown = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", pages, re.DOTALL)]
    assert len(shown) == 2
    assert [objections(workflow) for workflow in shown] == [[], []]
    assert triggers(shown[1])["workflow_run"]["workflows"] == [shown[0]["name"]]
    calls = [step for workflow in [read(MEASURES), read(COMMENTS), *shown] for step in every_step(workflow)]
    ours = [
        (step["uses"], step.get("with", {}))
        for step in calls
        if not step.get("uses", "actions/").startswith("actions/")
    ]
    assert len(ours) == 4
    required = {name for name, one in read(ACTIONS[0])["inputs"].items() if one.get("required")}
    for uses, given in ours:
        if "/actions/comment" in uses:
            assert given.keys() <= comment
        else:
            assert required <= given.keys() <= read(ACTIONS[0])["inputs"].keys()


# --- measuring ---------------------------------------------------------------------------------------------------

NOX = """
import json, os, sys
from pathlib import Path

words = sys.argv[1:]
Path(os.environ["CALLED"]).write_text(json.dumps(words))
out = Path(words[words.index("--out") + 1])
if os.environ.get("COMPARES"):
    (out / "compare.json").write_text("{}")
print("bench: the last line", file=sys.stderr)
if os.environ.get("HANGS"):
    os.execvp("sleep", ["sleep", "120"])
sys.exit(int(os.environ["ENDS"]))
"""


class Measuring:
    """Runs compare.sh in a folder of its own, where nox only notes what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out, self.summary = folder, folder / "out", folder / "summary.md"
        (folder / "nox.py").write_text(NOX)
        self.summary.write_text("# Before\n")

    def __call__(self, ends: int = 0, **variables: str) -> int:
        given = {"BASE": "torch==2.12.*", "CANDIDATE": "torch==2.13.*", "OUT": "out", "ENDS": str(ends)} | variables
        given |= {"NOX": f"{sys.executable} nox.py", "CALLED": str(self.folder / "called")}
        # As the stub of nox is named from here, the script must not have gone elsewhere.
        given |= {"GITHUB_STEP_SUMMARY": str(self.summary), "PATH": os.environ["PATH"]}
        return subprocess.run(["bash", ROOT / ".github/scripts/compare.sh"], cwd=self.folder, env=given).returncode

    @property
    def words(self) -> list[str]:
        found: list[str] = json.loads((self.folder / "called").read_text())
        return found


@pytest.fixture
def measuring(tmp_path: Path) -> Measuring:
    return Measuring(tmp_path)


def test_nox_builds_and_compares_what_the_inputs_name(measuring: Measuring) -> None:
    (measuring.folder / "base").mkdir()
    (measuring.folder / "imdb-rnn").mkdir()
    (measuring.folder / "imdb-rnn" / "lstm@torch").touch()  # as the pattern would find it, were it expanded
    ended = measuring(
        BASE="base",
        PATTERNS="imdb-rnn/*@torch\n  movie-reviews/*",
        REPEATS="8",
        SEEDS="3",
        OPTIONS="--strict --margin 0.08",
        PULL_REQUEST="7",
    )
    assert ended == 0
    folder, out = str(measuring.folder / "base"), str(measuring.out)
    head = ["-f", str(ROOT / "noxfile.py"), "-s", "ab", "--", folder, "torch==2.13.*"]
    assert measuring.words[: len(head)] == head
    params = command.make_context("ab", measuring.words[len(head) :]).params
    assert params["patterns"] == ("imdb-rnn/*@torch", "movie-reviews/*")
    wanted = {"repeats": 8, "seeds": 3, "strict": True, "margin": 0.08, "out": Path(out)}
    assert {name: params[name] for name in wanted} == wanted
    assert (measuring.out / "pull-request").read_text() == "7\n"


@pytest.mark.parametrize("ends", [0, 1, 3, 4])
def test_the_job_ends_as_the_comparison_does_and_its_summary_says_so_where_there_is_none(
    measuring: Measuring, ends: int
) -> None:
    assert measuring(ends, COMPARES="yes") == ends
    assert measuring.summary.read_text() == "# Before\n"
    assert not (measuring.out / "pull-request").exists()
    assert measuring(ends) == ends
    assert re.search(rf"exit code {ends}:.*the last line", measuring.summary.read_text(), re.DOTALL)
    assert not (measuring.out / "compare.json").exists(), "an earlier comparison is none of this one"


def test_a_comparison_over_its_budget_is_given_up(measuring: Measuring) -> None:
    assert measuring(BUDGET="0.02", HANGS="yes") == 124
    assert "budget of 0.02 minutes" in measuring.summary.read_text()


def test_the_shell_scripts_have_no_known_mistake() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck")
    subprocess.run(["shellcheck", *(ROOT / ".github" / "scripts").glob("*.sh")], check=True)


# --- commenting --------------------------------------------------------------------------------------------------

GH = """#!{python}
import json, sys
from pathlib import Path

folder = Path({folder!r})
state = json.loads((folder / "state.json").read_text())
state["asked"].append(sys.argv[2])
verb, place, *options = sys.argv[1:]
assert verb == "api"
_, _, _, kind, *rest = place.partition("?")[0].split("/")
method = options[options.index("--method") + 1] if "--method" in options else "GET"
sent = json.load(sys.stdin)["body"] if "--input" in options else None
if kind == "actions" and rest[-1] == "artifacts":
    print(json.dumps({{"artifacts": state["artifacts"]}}))
elif kind == "actions":
    sys.stdout.buffer.write((folder / f"{{rest[-2]}}.zip").read_bytes())
elif kind == "pulls":
    print(json.dumps(state["pull_request"]))
elif method == "POST":
    user = {{"login": "github-actions[bot]"}}
    state["comments"].append({{"id": 1000 + len(state["comments"]), "user": user, "body": sent}})
    print("{{}}")
elif method == "PATCH":
    (one,) = [one for one in state["comments"] if str(one["id"]) == rest[-1]]
    one["body"] = sent
    print("{{}}")
else:
    print(json.dumps([state["comments"][:1], state["comments"][1:]]))  # page by page
(folder / "state.json").write_text(json.dumps(state))
"""
SHA = "a" * 40
CELL = "imdb-rnn/lstm@torch,fused,cpu,documented"
SLOWER = Verdict(CELL, "step", "regressed", math.log(1.1), math.log(1.08), math.log(1.12), 12, 12, 0.01, 0.011, 0.05)
SAME = Verdict(CELL, "epoch", "same", 0.0, -0.01, 0.01, 12, 12, 1.0, 1.0, 0.05)
HUMAN = {"id": 1, "user": {"login": "someone"}, "body": "<!-- twinbench -->\nNot the bot's"}


class Commenting:
    """Runs comment.py against a GitHub that is a file, after a run that left an artifact."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        head = {"sha": SHA, "ref": "faster", "repo": {"full_name": "fork/twinbench"}}
        self.pull_request = {"state": "open", "head": head}
        self.run = {
            "id": 99,
            "head_sha": SHA,
            "head_branch": "faster",
            "head_repository": {"full_name": "fork/twinbench"},
            "conclusion": "failure",
            "html_url": "https://github.com/owner/twinbench/actions/runs/99",
        }
        self.artifacts: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = [dict(HUMAN)]
        self.asked: list[str] = []
        (folder / "bin").mkdir()
        gh = folder / "bin" / "gh"
        gh.write_text(GH.format(python=sys.executable, folder=str(folder)))
        gh.chmod(gh.stat().st_mode | stat.S_IXUSR)

    def left(self, *verdicts: Verdict, number: str = "7\n", conclusion: str = "failure") -> None:
        """Let the run have left what `bench ab` writes of these verdicts."""
        out = self.folder / "out"
        page.write(Comparison("before", "after", True, Policy(), verdicts), out)
        self.run["conclusion"] = conclusion
        self.artifact({path.name: path.read_bytes() for path in out.iterdir()} | {"pull-request": number.encode()})

    def artifact(self, files: dict[str, bytes]) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in files.items():
                opened.writestr(name, content)
        number = 5 + len(self.artifacts)
        (self.folder / f"{number}.zip").write_bytes(packed.getvalue())
        size = len(packed.getvalue())
        self.artifacts.append({"id": number, "name": "twinbench", "expired": False, "size_in_bytes": size})

    def __call__(self) -> int:
        """Run it, keep what the comments are then, and return the exit code."""
        state: dict[str, Any] = {"pull_request": self.pull_request, "comments": self.comments, "asked": []}
        state["artifacts"] = self.artifacts
        (self.folder / "state.json").write_text(json.dumps(state))
        (self.folder / "event.json").write_text(json.dumps({"workflow_run": self.run}))
        ended = subprocess.run(
            [sys.executable, "-I", ROOT / ".github" / "actions" / "comment" / "comment.py", "twinbench"],
            cwd=self.folder,
            env={
                "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "GITHUB_EVENT_PATH": str(self.folder / "event.json"),
                "GITHUB_REPOSITORY": "owner/twinbench",
            },
        )
        state = json.loads((self.folder / "state.json").read_text())
        self.comments, self.asked = state["comments"], state["asked"]
        return ended.returncode

    @property
    def ours(self) -> list[str]:
        assert self.comments[0] == HUMAN, "comments of others stay as they are"
        return [one["body"] for one in self.comments[1:]]


@pytest.fixture
def commenting(tmp_path: Path) -> Commenting:
    return Commenting(tmp_path)


def test_one_comment_says_what_regressed_is_kept_up_to_date_and_says_when_it_is_over(commenting: Commenting) -> None:
    commenting.left(SAME, SLOWER)
    assert commenting() == 0
    (text,) = commenting.ours
    assert commenting.asked[-1] == "repos/owner/twinbench/issues/7/comments"
    assert CELL in text
    assert "+10.0%" in text
    assert f"Commit {SHA}. [All verdicts](https://github.com/owner/twinbench/actions/runs/99)" in text
    commenting.left(Verdict(CELL, "", "failed", reason="missing in the candidate"))
    assert commenting() == 0
    (text,) = commenting.ours
    assert "missing in the candidate" in text
    assert "+10.0%" not in text
    commenting.left(SAME, conclusion="success")
    assert commenting() == 0
    (text,) = commenting.ours
    assert text.startswith("<!-- twinbench -->\n**Nothing regressed.**")


def test_nothing_is_said_where_nothing_regressed(commenting: Commenting) -> None:
    commenting.left(SAME, Verdict(CELL, "latency", "inconclusive", 0.0), conclusion="success")
    assert commenting() == 0
    assert commenting.ours == []


def test_a_comparison_that_did_not_pass_is_not_called_clean(commenting: Commenting) -> None:
    commenting.left(SLOWER)
    commenting()
    commenting.left(Verdict(CELL, "step", "not judged"), conclusion="failure")
    assert commenting() == 0
    (text,) = commenting.ours
    assert "Nothing regressed" not in text
    assert "did not pass" in text


def test_a_run_without_a_whole_comparison_says_nothing(commenting: Commenting) -> None:
    assert commenting() == 0
    commenting.artifact({"pull-request": b"7", "comment.md": b"half"})
    assert commenting() == 0
    assert commenting.ours == []


# --- a hostile artifact ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["1; rm -rf /", "../7", "7/../8", "0", "-7", "", "7 8", "٧", "$(id)", "9" * 99])
def test_what_is_no_number_of_a_pull_request_is_refused(commenting: Commenting, number: str) -> None:
    commenting.left(SLOWER, number=number)
    assert commenting() == 1
    assert all(place.startswith("repos/owner/twinbench/actions/") for place in commenting.asked)
    assert commenting.ours == []


def test_another_pull_request_cannot_be_commented_on(commenting: Commenting) -> None:
    commenting.left(SLOWER)
    for change in ({"ref": "other"}, {"repo": {"full_name": "victim/twinbench"}}, {"repo": None}):
        commenting.pull_request["head"] = {
            "sha": SHA,
            "ref": "faster",
            "repo": {"full_name": "fork/twinbench"},
            **change,
        }
        assert commenting() == 1
    commenting.pull_request["head"] = {"sha": SHA, "ref": "faster", "repo": {"full_name": "fork/twinbench"}}
    commenting.pull_request["state"] = "closed"
    assert commenting() == 1
    assert commenting.ours == []


def test_a_run_of_an_earlier_commit_says_nothing(commenting: Commenting) -> None:
    commenting.left(SLOWER)
    commenting.run["head_sha"] = "b" * 40
    assert commenting() == 0
    assert commenting.ours == []


HOSTILE = """
@owner **@owner** _@owner_ (@team/all) &#64;owner \\@owner fixes #1, owner/other#2, GH-3
[click](https://evil.example) ![i](https://evil.example/i.png) [a][b] <https://evil.example> www.evil.example

[b]: https://evil.example
<img src=x onerror=alert(1)> <!-- hidden <script>alert(1)</script> &lt;b&gt; \u202e \x1b[31m
```
swallow the rest
"""
WOULD_NOTIFY = re.compile(r"(?<![A-Za-z0-9])@[A-Za-z0-9]|(?<!\w)#\d|\w#\d|\bGH-\d|https?://|\bwww\.", re.IGNORECASE)
"""What GitHub makes a mention, a reference or a link of in rendered text. Source: docs.github.com, basic writing and
formatting syntax, autolinked references; GitHub Flavored Markdown, 6.9 Autolinks (extension)."""


def rendered(text: str) -> tuple[set[str], str]:
    """Return what stands in a comment beside text, by Markdown's own rules, and the text outside code."""
    kinds, texts = set(), []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        kinds.add(token.type)
        for part in token.children or []:
            kinds.add(part.type)
            if part.type == "text":
                texts.append(part.content)
    return kinds, "\n".join(texts)


def test_the_sample_of_hostile_text_does_all_of_it_when_left_alone() -> None:
    kinds, text = rendered(HOSTILE)
    assert {"link_open", "image", "html_inline", "fence"} <= kinds
    assert WOULD_NOTIFY.search(text)


@pytest.mark.parametrize("whole", [True, False], ids=["a file of its own", "names in a comparison"])
def test_text_of_an_artifact_mentions_nobody_links_nowhere_and_is_no_html(commenting: Commenting, whole: bool) -> None:
    if whole:
        commenting.artifact({"pull-request": b"7", "compare.json": b"{}", "comment.md": HOSTILE.encode()})
    else:
        commenting.left(
            Verdict(HOSTILE, "step", "failed", reason=HOSTILE), Verdict(HOSTILE, "", "failed", reason=HOSTILE)
        )
    assert commenting() == 0
    (text,) = commenting.ours
    untrusted, _, ours = text.removeprefix("<!-- twinbench -->").rpartition("\nCommit ")
    assert "[All verdicts](https://github.com/owner/twinbench" in ours
    kinds, shown = rendered(untrusted)
    assert not kinds & {"link_open", "image", "html_block", "html_inline", "fence"}
    assert WOULD_NOTIFY.search(shown) is None
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_names_of_cells_can_still_be_copied_from_a_comment(commenting: Commenting) -> None:
    commenting.left(SLOWER)
    commenting()
    (text,) = commenting.ours
    assert CELL in text
    assert rendered(text)[0] >= {"table_open", "strong_open"}


def test_an_artifact_that_unpacks_to_far_more_than_it_is_stays_a_comment(commenting: Commenting) -> None:
    files = {"pull-request": b"7", "compare.json": b"{}", "comment.md": b"words of no use\n" * 2_000_000}
    commenting.artifact(files)
    assert commenting() == 0
    (text,) = commenting.ours
    assert len(text) < 65_536


def test_nothing_of_an_artifact_is_unpacked_or_followed(commenting: Commenting) -> None:
    secret = commenting.folder / "secret"
    secret.write_text("the token")
    link = zipfile.ZipInfo("comment.md")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    before = sorted(path.name for path in commenting.folder.rglob("*"))
    with zipfile.ZipFile(commenting.folder / "5.zip", "w") as opened:
        opened.writestr("pull-request", "7")
        opened.writestr("compare.json", "{}")
        opened.writestr("../outside", "out")
        opened.writestr(link, str(secret))
    commenting.artifacts.append({"id": 5, "name": "twinbench", "expired": False, "size_in_bytes": 500})
    assert commenting() == 0
    assert not any("the token" in text for text in commenting.ours)
    after = sorted(path.name for path in commenting.folder.rglob("*"))
    assert set(after) - set(before) == {"5.zip", "state.json", "event.json"}
    assert not (commenting.folder.parent / "outside").exists()


def test_an_artifact_too_large_is_not_even_fetched(commenting: Commenting) -> None:
    commenting.left(SLOWER)
    commenting.artifacts[0]["size_in_bytes"] = 10**9
    assert commenting() == 1
    assert commenting.ours == []
