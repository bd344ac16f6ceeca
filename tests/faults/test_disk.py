"""Full or read-only disks and damaged stores: every verb says so in a sentence, and nothing stored is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cli
from tests.conftest import ROOT
from tests.faults.disk import DAMAGES, DISKS, STORED, VERBS, WITHOUT
from tests.faults.soak import SUITE
from tests.records.test_damage import whole as whole


def test_every_verb_is_there() -> None:
    assert {words[0] for words in VERBS.values()} | WITHOUT == cli.VERBS.keys()


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_every_verb_meets_every_damage(whole: Path, tmp_path: Path) -> None:
    media, suite = tmp_path / "media", tmp_path / "suite.py"
    media.mkdir()
    suite.write_text(SUITE.format(cases=1, epochs=1))
    (tmp_path / "plan.json").write_text("{}")
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "faults" / "stub")))
    folders = {"SUITES": suite, "ELSEWHERE": tmp_path, "FAULTS": tmp_path, "XDG_CACHE_HOME": tmp_path / "cache"}
    ended = subprocess.run(
        ["unshare", "-rm", sys.executable, "-m", "tests.faults.disk", str(media), str(whole)],
        env={**os.environ, "PYTHONPATH": path, **{name: str(at) for name, at in folders.items()}},
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if ended.returncode and ("unshare" in ended.stderr or "mount" in ended.stderr):
        pytest.skip(f"nothing can be mounted here: {ended.stderr.strip().splitlines()[-1]}")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    everything = {(damage, verb) for damage in DAMAGES for verb in VERBS if damage in DISKS or VERBS[verb][0] in STORED}
    assert {(damage, verb) for damage, verb, *_ in found} == everything
    said_wrong = ("Traceback", "standard output")  # which is no disk here
    wrong = [
        each for each in found if each[2] not in (0, 2, 3, 4) or any(word in each[3] for word in said_wrong) or each[4]
    ]
    assert not wrong, "\n".join(map(str, wrong))
    refused = {(damage, verb) for damage, verb, code, *_ in found if code}
    assert {("a full disk", "export, file"), ("empty", "report"), ("a read-only disk", "import")} <= refused
    assert {("a full disk", "export"), ("a read-only disk", "export"), ("no inode left", "export")}.isdisjoint(refused)
