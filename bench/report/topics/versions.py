"""What each version of Keras changed: the answer, and the section of the page that `bench explain` writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter

from bench.explain.versions import Step, stages, steps
from bench.records.record import Record
from bench.report.figures import Figure, figures
from bench.report.frames import CaseRow, grouped, once
from bench.report.numbers import NOTHING, as_change, as_percent, known
from bench.report.results import Results
from bench.report.topic import Answer, Table, Topic
from bench.spec import Case, Suite

FIRST = "tf-keras"
"""Without a stage of Keras 2 there is no history."""


@dataclass(frozen=True)
class VersionRow(CaseRow):
    """A stage of a case's history; `figure` names the accuracy."""

    figure: str
    step: Step

    @property
    def change(self) -> str:
        """Return the change from the stage before in points with its interval, and the number of pairs."""
        change = self.step.change
        if change is None:
            return NOTHING
        return f"{as_change(change.mean, known(change.ci_half_width), 1)} ({change.n})"


@once
def frame(results: Results) -> tuple[VersionRow, ...]:
    """Return the stages of every case that Keras 2 has run, too."""
    rows: list[VersionRow] = []
    for suite, case in results.cases():
        records = list(chain.from_iterable(results.accuracy_groups.get((suite.name, case.name), {}).values()))
        main = next(figure for figure in figures(case, case.documented) if figure.main)
        rows += rows_of(suite, case, records, main)
    return tuple(rows)


def rows_of(suite: Suite, case: Case, records: Sequence[Record], figure: Figure) -> list[VersionRow]:
    """Return the stages of a case from its records; none where Keras 2, or everything after it, has not run."""
    found = steps(stages(suite, case), _of_one_device(records), figure.measured)
    told = len(found) > 1 and found[0].stage.backend == FIRST
    return [VersionRow(suite.name, case.name, figure.name, step) for step in found] if told else []


def _of_one_device(records: Sequence[Record]) -> list[Record]:
    ((device, _),) = Counter(record.device for record in records).most_common(1) or [("cpu", 0)]
    return [record for record in records if record.device == device]


def answer(results: Results) -> Answer | None:
    """Return the stage that cost most, and every stage of every case."""
    rows = frame(results)
    if not rows:
        return None
    see = results.documentation_on("keras-versions"), results.documentation_on("findings")
    return Answer(conclusion(rows), table(rows), see, (HOW_TO_READ,))


HOW_TO_READ = (
    "Each stage minus the one before, ± 95 % CI (pairs of seeds). Keras 2 is tf_keras, with each version's optimizers "
    "and gates. Stages start from the same weights and order until one leaves them to its framework."
)


def conclusion(rows: Iterable[VersionRow]) -> str:
    """Return which version of Keras cost most in which case, as far as a test tells."""
    ours = [row for row in rows if row.step.stage.backend != "torch"]
    costs = [(row.step.change.mean, row) for row in ours if row.step.change and row.step.verdict == "costs"]
    if not costs:
        return "No version of Keras has a significant cost in accuracy."
    mean, worst = min(costs, key=itemgetter(0))
    return f"{worst.name} loses {-100 * mean:.1f} points to {worst.step.stage.name}: {worst.step.stage.changed}."


def table(rows: Iterable[VersionRow]) -> Table:
    """Return the stages, case by case."""
    lines = []
    for name, members in grouped(rows, lambda row: row.name).items():
        for row in members:
            stage = row.step.stage
            said = row.step.verdict or ""
            lines.append((name, stage.name, stage.changed, as_percent(row.step.mean), row.change, said))
    headers = ("case", "version", "changed", "accuracy %", "change, points (pairs)", "verdict")
    return Table(headers, tuple(lines), left=(0, 1, 2, 5))


TOPIC = Topic("versions", frame=frame, question="What did each version of Keras change?", answer=answer)
