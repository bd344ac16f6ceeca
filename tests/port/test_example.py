"""The page "My port is worse" is walked through: its commands print what it shows, its changes mend the example."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT, call
from tests.test_docs import Block, blocks

pytest.importorskip("keras")
pytest.importorskip("torch")

PAGE = "docs/my-port-is-worse.md"


def changed(block: Block, file: Path) -> None:
    """Make the change of a `diff` block, whose lines stand in the file once."""
    lines = block.text.splitlines()
    old, new = ("\n".join(line[1:] for line in lines if line[:1] != sign) for sign in "+-")
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    file.write_text(text.replace(old, new), encoding="utf-8")


def masked(text: str) -> list[str]:
    """Return lines without what differs from machine to machine: times, and errors by their digits."""
    return [re.sub(r"\d[\d.]*e[+-]\d+|\d+\.\d+ s\b", "#", line.rstrip()) for line in text.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(600)  # four comparisons, of which each starts both frameworks
def test_the_page_finds_and_mends_every_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "port"
    shutil.copytree(ROOT / "examples" / "port", folder)
    monkeypatch.chdir(folder)
    codes, printed = [], ""
    for block in blocks(PAGE):
        if block.language == "diff":
            changed(block, folder / str(block.title))
        elif block.language == "text":
            assert masked(block.text) == masked(printed)
        for command in block.commands if block.language == "console" else ():
            if command != "cd examples/port":
                codes.append(call(*command.split()[1:]))
                printed = capfd.readouterr().out
    assert codes == [1, 1, 1, 0]
