"""Keep one comment on a pull request up to date with what the workflow run of this event found.

    python3 -I comment.py ARTIFACT

It runs with the right to comment, after a run of a pull request's own code. So that run's artifact is read as data that
an attacker wrote: nothing of it reaches a disk, a shell or a file name, the pull request that it names must be the one
that the run was started for, and its text loses mentions, links and HTML. Source of the pattern:
https://securitylab.github.com/resources/github-actions-preventing-pwn-requests/
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

MARKER = "<!-- twinbench -->"
AUTHOR = "github-actions[bot]"
"""Who the token comments as: a comment of anyone else that holds the marker is left alone."""
MOST_BYTES = 20_000_000
"""Of an artifact; that of a whole matrix has about a megabyte."""
MOST_CHARACTERS = 20_000
"""Of the text from an artifact; GitHub takes comments of 65,536."""
NOTHING_WIDE = "\u200b"
FENCE = re.compile(r"`{3,}|~{3,}")
ALIVE = re.compile(
    r"""(?<![A-Za-z0-9])@               # a mention; lstm@torch is none, and stays as it can be copied
      | \#(?=\d) | \bGH-(?=\d)         # an issue
      | <(?=[A-Za-z/!?]) | &(?=\#?\w)  # HTML, entities
      | \](?=[(\[:])                   # a link, an image
      | :(?=//) | \bwww(?=\.)          # an address, which GitHub makes a link""",
    re.VERBOSE | re.IGNORECASE,
)
"""What would do something in a comment: with a space of no width behind it, it is text."""


def main(artifact: str) -> int:
    """Create or update the comment; return 1 where the artifact names no pull request of this run."""
    run = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))["workflow_run"]
    repository = f"repos/{os.environ['GITHUB_REPOSITORY']}"
    files = downloaded(repository, int(run["id"]), artifact)
    if files is None:
        print("The run left no comparison: nothing to comment on.")
        return 0
    number = files.get("pull-request", "").strip()
    if not re.fullmatch(r"[1-9][0-9]{0,8}", number, re.ASCII):
        print(f"Refused: the artifact names no pull request, but {number[:40]!a}.", file=sys.stderr)
        return 1
    pull_request = github(f"{repository}/pulls/{number}")
    if not is_of(pull_request, run):
        print(f"Refused: the run was not started for pull request {number}.", file=sys.stderr)
        return 1
    if pull_request["head"]["sha"] != run["head_sha"]:
        print(f"Pull request {number} has moved on: its next run comments.")
        return 0
    text = body(files, run)
    comments = f"{repository}/issues/{number}/comments"
    pages = github(f"{comments}?per_page=100", "--paginate", "--slurp")
    ours = [one["id"] for page in pages for one in page if is_ours(one)]
    if ours:
        github(f"{repository}/issues/comments/{int(ours[0])}", "--method", "PATCH", body=text)
    elif "comment.md" in files:
        github(comments, "--method", "POST", body=text)
    else:
        print("Nothing regressed, and there is no comment to update.")
    return 0


def is_of(pull_request: Any, run: Any) -> bool:
    """Return whether a pull request is open from the branch that the run was of; an artifact could name any other."""
    head = pull_request["head"]
    if not (head["repo"] and run["head_repository"]):  # a fork that was deleted meanwhile
        return False
    same = head["repo"]["full_name"] == run["head_repository"]["full_name"] and head["ref"] == run["head_branch"]
    return pull_request["state"] == "open" and same


def is_ours(comment: Any) -> bool:
    """Return whether a comment is the one to keep up to date."""
    return (comment["user"] or {}).get("login") == AUTHOR and str(comment["body"]).startswith(MARKER)


def body(files: dict[str, str], run: Any) -> str:
    """Return the comment: what the comparison found, for which commit, and where all of it stands."""
    if "comment.md" in files:
        found = harmless(files["comment.md"])
    elif run["conclusion"] == "success":
        found = "**Nothing regressed.**"
    else:
        found = "**No regression found, but the comparison did not pass.**"
    return f"{MARKER}\n{found}\n\nCommit {run['head_sha']}. [All verdicts]({run['html_url']})\n"


def harmless(text: str) -> str:
    """Return untrusted Markdown that mentions nobody, links nowhere and holds no HTML; its tables stay."""
    cut = text[:MOST_CHARACTERS]
    if len(text) > MOST_CHARACTERS:
        cut = cut[: cut.rfind("\n") + 1] + "\nCut off here."
    shown = "".join(mark for mark in cut if mark == "\n" or mark.isprintable())
    return ALIVE.sub(lambda found: found[0] + NOTHING_WIDE, FENCE.sub("", shown)).strip()


def downloaded(repository: str, run: int, artifact: str) -> dict[str, str] | None:
    """Return the files that are needed of a run's newest artifact of that name; None without a whole comparison."""
    listed = github(f"{repository}/actions/runs/{run}/artifacts?per_page=100")["artifacts"]
    usable = [one for one in listed if one["name"] == artifact and not one["expired"]]
    if not usable:
        return None
    newest = max(usable, key=lambda one: int(one["id"]))
    if newest["size_in_bytes"] > MOST_BYTES:
        raise SystemExit(f"Refused: the artifact has {newest['size_in_bytes']:,} bytes.")
    packed = subprocess.run(
        ["gh", "api", f"{repository}/actions/artifacts/{int(newest['id'])}/zip"], check=True, stdout=subprocess.PIPE
    ).stdout
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        names = set(opened.namelist())
        if "compare.json" not in names:
            return None
        files = {}
        for name in {"pull-request", "comment.md"} & names:
            with opened.open(name) as file:  # as far as is shown: it may unpack to far more than it is
                files[name] = file.read(4 * MOST_CHARACTERS + 1).decode("utf-8", "replace")
    return files


def github(place: str, *options: str, body: str | None = None) -> Any:
    """Return what GitHub's API answers at `place`, by `gh`, which knows the token."""
    sent = None if body is None else json.dumps({"body": body})
    words = ["gh", "api", place, *options, *([] if sent is None else ["--input", "-"])]
    return json.loads(subprocess.run(words, check=True, input=sent, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
