"""Generated parts of a hand-written file: only what stands between the marks changes."""

from __future__ import annotations

import pytest

from bench.errors import UsageError
from bench.report.readme import fill

TEXT = """before
<!-- twinbench:cpu/one begin -->
old
<!-- twinbench:cpu/one end -->
between `<!-- twinbench:cpu/two begin -->` in a sentence
<!-- twinbench:cpu/two begin -->
<!-- twinbench:cpu/two end -->
after
"""


def test_blocks_are_replaced_and_nothing_else_and_filling_again_changes_nothing() -> None:
    contents = {"cpu/one": r"| 1 \d |", "cpu/two": "two"}
    filled = fill(TEXT, contents, "README.md")
    assert filled == TEXT.replace("\nold\n", "\n\n| 1 \\d |\n\n").replace(
        "two begin -->\n<!-- twinbench:cpu/two end", "two begin -->\n\ntwo\n\n<!-- twinbench:cpu/two end"
    )
    assert fill(filled, contents, "README.md") == filled
    assert fill("no marks", {}, "README.md") == "no marks"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- twinbench:a begin -->\n", "README.md: block 'a' has no end"),
        ("x\n<!-- twinbench:a end -->\n", "README.md, line 2: block 'a' needs a begin"),
        ("<!-- twinbench:a begin -->\n<!-- twinbench:b end -->\n", "line 2: block 'b' needs a begin"),
        ("<!-- twinbench:a begin -->\n<!-- twinbench:a begin -->\n", "line 2: block 'a' needs"),
        ("<!-- twinbench:aa begin -->\n<!-- twinbench:aa end -->\n", "line 1: unknown block 'aa'; nearest: a"),
    ],
)
def test_marks_that_do_not_pair_and_unknown_blocks_are_named_with_their_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fill(text, {"a": "1", "b": "2"}, "README.md")
