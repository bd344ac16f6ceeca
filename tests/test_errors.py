"""What an error says of a name that is unknown."""

from __future__ import annotations

import pytest

from bench.errors import unknown

MANY = [f"suite-{letter}/{case}" for letter in "abcdef" for case in ("lstm", "gru", "simple-rnn", "dense-relu", "cnn")]
FEW = ["html", "md", "plots"]


def listed(name: str, known: list[str]) -> list[str]:
    """Return the known names that the error for `name` holds."""
    _, _, hint = str(unknown("thing", name, known)).partition(": ")
    return hint.split(", ")


@pytest.mark.parametrize("right", MANY)
def test_of_many_names_at_most_five_are_listed_the_right_one_among_them(right: str) -> None:
    for wrong in (right[1:], right[:-1], right.replace("-", "_"), right[:4] + right[5:]):
        names = listed(wrong, MANY)
        assert len(names) <= 5
        assert right in names
        assert set(names) <= set(MANY)


def test_where_none_is_near_few_names_are_listed_whole_and_many_are_not() -> None:
    assert listed("pdf", FEW) == FEW
    assert len(listed("xyz", MANY)) == 5
    assert "none" in str(unknown("thing", "x", []))
