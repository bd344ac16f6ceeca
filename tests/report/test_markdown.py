"""Markdown, read back by a parser."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bench.report import markdown
from bench.report.markdown import code, markdown_table, prose
from tests.report.demo import HOSTILE
from tests.report.reading import PARSER

# --- escaping ----------------------------------------------------------------------------------------------------


HOSTILES = [
    HOSTILE, "<script>alert(1)</script>", "```<img src=x>` |", "# heading", "> quote", "- item", "12. item", "===",
    "[a]: http://x",
    "a\\", "~~gone~~", "_it_", "&amp;", "snake_case * 2",
]  # fmt: skip


def inline(source: str) -> tuple[set[str], str]:
    """Return the kinds of the last inline tokens of a Markdown text, and what a reader sees."""
    children = [token for token in PARSER.parse(source) if token.type == "inline"][-1].children or []
    return {child.type for child in children}, "".join(child.content for child in children)


@pytest.mark.parametrize("text", HOSTILES)
def test_text_in_a_footnote_or_a_table_is_shown_as_it_is(text: str) -> None:
    for source in f"1. {prose(text)}", markdown_table(["case"], [[markdown.plain(text)]]):
        kinds, shown = inline(source)
        assert kinds <= {"text", "text_special"}
        assert shown == " ".join(text.split())


@pytest.mark.parametrize("text", ["run `bench list` first", "`<i>` and *", "``<b>`` | `<i>`"])
def test_a_footnote_keeps_its_code_and_nothing_else(text: str) -> None:
    kinds, shown = inline(f"1. {prose(text)}")
    assert kinds == {"text", "text_special", "code_inline"} or kinds == {"text", "code_inline"}
    assert shown.replace("`", "") == text.replace("`", "")


def test_code_survives_backticks_and_pipes() -> None:
    for text in "a `b` c", "`", "x | y":
        for token in PARSER.parse(f"1. {code(text)}"):
            if token.type == "inline":
                assert [(child.type, child.content) for child in token.children or []] == [("code_inline", text)]


def test_tables_are_aligned_in_a_terminal_and_number_columns_to_the_right_when_rendered() -> None:
    text = markdown_table(["case", "n"], [["ä–b", "1"], ["c", "1,000"]])
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert re.fullmatch(r"\|:-+\|-+:\|", lines[1])
    cells: list[Any] = [t for t in PARSER.parse(text) if t.type == "td_open"]
    assert [cell.attrs.get("style") for cell in cells] == ["text-align:left", "text-align:right"] * 2
