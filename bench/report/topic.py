"""What a topic of a report is: one file in `topics/` with these four functions, as far as it has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.report.frames import CaseRow
from bench.report.results import Results
from bench.report.sentences import Finding


@dataclass(frozen=True)
class Topic:
    """A topic by its name, which is that of its page, `NAME.md`, and of its README block, `MACHINE/NAME`.

    `frame` gives its rows, the data of everything else. `answer` gives what they say to `question`, `answer_beside`
    does so knowing the results of other folders of the same machine by name. `table` gives the page, `block` what
    stands in the README, in place of the findings.
    """

    name: str
    frame: Callable[[Results], Sequence[CaseRow]] | None = None
    question: str | None = None
    answer: Callable[[Results], list[Finding]] | None = None
    answer_beside: Callable[[Results, Mapping[str, Results]], list[Finding]] | None = None
    table: Callable[[Results], str] | None = None
    block: Callable[[Results], str] | None = None

    def found(self, results: Results, elsewhere: Mapping[str, Results]) -> list[Finding]:
        """Return the findings of the topic, none where it answers nothing."""
        if self.answer_beside:
            return self.answer_beside(results, elsewhere)
        return self.answer(results) if self.answer else []
