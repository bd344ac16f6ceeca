"""Speed: every backend beside its reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.report.frames import grouped, main_rows, once
from bench.report.markdown import markdown_table, plain
from bench.report.numbers import seconds, span, times
from bench.report.results import KERNELS, Column, Link, Results
from bench.report.sentences import Finding, count, device, joined, upper, with_kernels
from bench.report.speedups import SAME_SPEED, TIMING, UNTIMED, Outcome, SpeedUp, Times, reference_of, times_of_cases
from bench.report.topic import Topic


@once
def frame(results: Results) -> tuple[SpeedUp, ...]:
    """Return how fast every backend is beside its reference, each with its best kernel: a row per case and variant."""
    rows = []
    for found in times_of_cases(results):
        best = _best_kernels(found)
        for timed in best:
            peers = {peer.variant: peer for peer in best if peer.comparable == timed.comparable}
            reference = reference_of(timed.variant, peers)
            if reference and reference != timed.variant:
                rows.append(SpeedUp.of(peers[reference], timed))
    return tuple(rows)


def _best_kernels(found: Iterable[Times]) -> list[Times]:
    """Return for every backend, device, numerics and kind of record the times of the best kernel that ran."""
    best: dict[tuple[str, str, str, bool], Times] = {}
    for timed in sorted(found, key=lambda timed: KERNELS.index(timed.variant.kernel)):
        variant = timed.variant
        best.setdefault((variant.backend, variant.device, variant.numerics, timed.comparable), timed)
    return list(best.values())


@dataclass(frozen=True)
class Contest:
    """How backends fare against a reference on one kind of layer: `columns` by name, the fastest median first."""

    reference: Column
    columns: Mapping[Column, Sequence[SpeedUp]]

    @classmethod
    def of(cls, rows: Sequence[SpeedUp]) -> Contest:
        """Order rows by column; the reference is that of the longest case."""
        columns = grouped(sorted(rows, key=lambda row: row.column), lambda row: row.column)
        ordered = sorted(columns.items(), key=lambda item: -_median(item[1]))
        return cls(_longest(rows).reference.column, dict(ordered))

    @property
    def cases(self) -> list[list[SpeedUp]]:
        """Return the rows of every case."""
        rows = (row for members in self.columns.values() for row in members)
        return list(grouped(rows, lambda row: row.name).values())

    def leaders(self, rows: Sequence[SpeedUp]) -> set[Column]:
        """Return the backends as fast as the fastest of a case, the reference where none is clearly faster."""
        fastest = max(rows, key=lambda row: row.factor)
        if fastest.outcome == "slower":
            return {self.reference}
        found = {row.column for row in rows if row.factor * SAME_SPEED >= fastest.factor}
        return found if fastest.outcome == "faster" else found | {self.reference}

    def ahead(self) -> list[Column]:
        """Return the backends that beat the reference in every case."""
        won = [{row.column for row in rows if row.outcome == "faster"} for rows in self.cases]
        return [column for column in self.columns if column in set.intersection(*won)]

    def in_words(self) -> str:
        """Return which backends are fastest, in all cases or by case, and which beat the reference in every case."""
        if all(row.outcome == "unclear" for rows in self.cases for row in rows):
            return "not clear from these times"
        leaders, ahead = [self.leaders(rows) for rows in self.cases], self.ahead()
        always = set.intersection(*leaders)
        first = [column for column in (*self.columns, self.reference) if column in (always or set.union(*leaders))]
        text = joined(first, "or") + ("" if len(first) == 1 else " (not told apart)" if always else " by case")
        every = f"faster than {self.reference} in {_all(len(leaders))}"
        if not ahead:
            return text if first == [self.reference] else f"{text}; none is {every}"
        if ahead == first:
            return f"{text}, {'both ' if len(first) == 2 else 'all ' if len(first) > 2 else ''}{every}"
        return f"{text}; {joined(ahead)} {'is' if len(ahead) == 1 else 'are'} {every}"


def answer(results: Results, elsewhere: Mapping[str, Results]) -> list[Finding]:
    """Compare every column with its reference by kind of layer, on times of cells that were alone in their process.

    `elsewhere` are the results of other folders, by name: the answer says where they have timed further backends.
    """
    found = []
    kinds = grouped(main_rows(frame(results)), lambda row: (row.layers, row.variant.device))
    for (layers, place), rows in sorted(kinds.items(), key=lambda item: _by_importance(*item[0])):
        asked = f"{upper(layers)} on a {device(place)}"
        see = (TIMING, *_further(rows, elsewhere))
        comparable = [row for row in rows if row.comparable]
        if not comparable:
            found.append(Finding(f"{asked}: not known", UNTIMED, see))
        elif len({row.column for row in comparable}) == 1:
            found.append(_one_against(asked, comparable, see))
        else:
            found.append(_many_against(asked, comparable, see))
    return found


def _by_importance(layers: str, place: str) -> tuple[int, str, str]:
    order = ["LSTM", "GRU", "SimpleRNN"]
    return order.index(layers) if layers in order else len(order), layers, place


def _further(rows: Sequence[SpeedUp], elsewhere: Mapping[str, Results]) -> Iterator[Link]:
    """Yield where backends that are not among `rows` were timed on the same kind of layer."""
    kind = rows[0].layers, rows[0].variant.device
    here = {row.variant.backend for row in rows} | {row.reference.column for row in rows}
    for folder, results in elsewhere.items():
        there = [row for row in main_rows(frame(results)) if (row.layers, row.variant.device) == kind]
        more = sorted({row.variant.backend for row in there if row.comparable} - here)
        if more:
            yield f"against {joined(more)}: {folder}", f"../{folder}/timing.md"


def _one_against(asked: str, rows: Sequence[SpeedUp], see: tuple[Link, ...]) -> Finding:
    """Return how the only other backend fares against its reference, and the longest case by name."""
    column, reference = rows[0].column, rows[0].reference.column
    winner = _winner(rows)
    lead = f"{asked}: {winner}"
    if winner.endswith(column):
        lead += f", {_span(rows)} times as fast as {reference}"
    outcomes = Counter(row.outcome for row in rows)
    text = f"Faster in {outcomes['faster']} of {count(len(rows), 'case')}"
    text += f", slower in {outcomes['slower']}" if outcomes["slower"] else ""
    text += f", unclear in {outcomes['unclear']}" if outcomes["unclear"] else ""
    text += f", median {times(_median(rows))} times" if len(rows) > 1 else ""
    return Finding(lead, f"{text}; {_case_speed(_longest(rows))}.", see)


def _winner(rows: Sequence[SpeedUp]) -> str:
    """Return which of two backends is clearly faster in every case, or in most, or that it depends on the case."""
    outcomes = Counter(row.outcome for row in rows)
    won = {rows[0].column: outcomes["faster"], rows[0].reference.column: outcomes["slower"]}
    best = max(won, key=lambda column: won[column])
    if not won[best]:
        return "not clear from these times"
    if won[best] == len(rows):
        return best
    return f"mostly {best}" if won[best] > len(rows) / 2 else "it depends on the case"


def _case_speed(row: SpeedUp) -> str:
    kernel = row.variant.kernel
    kernels = "" if kernel == "none" else f", {kernel} against {row.reference.variant.kernel} kernel"
    processes = "1 process each" if row.reference.n == row.n == 1 else f"{row.n} against {row.reference.n} processes"
    return (
        f"on {row.name} an epoch takes {seconds(row.epoch)} against {seconds(row.reference.epoch)}: "
        f"{times(row.factor)} times as fast ({row.spread} {row.bounds}, {processes}{kernels})"
    )


def _many_against(asked: str, rows: Sequence[SpeedUp], see: tuple[Link, ...]) -> Finding:
    """Return what holds of several backends in all cases, and in a list how each fares, the fastest first."""
    contest, longest = Contest.of(rows), _longest(rows)
    reference = with_kernels(contest.reference, (row.reference.variant.kernel for row in rows))
    text = (
        f"Times as fast as {reference}, median over cases (least to most). An epoch of {longest.name} takes "
        f"{contest.reference} {seconds(longest.reference.epoch)}."
    )
    items = []
    for column, members in contest.columns.items():
        item = f"{with_kernels(column, (row.variant.kernel for row in members))} {times(_median(members))}"
        item += f" ({_span(members)})" if len(members) > 1 else ""
        same = [f"; that epoch {seconds(row.epoch)}" for row in members if row.name == longest.name]
        items.append(f"{item}, {_outcomes(members)}{''.join(same)}")
    return Finding(f"{asked}: {contest.in_words()}", text, see, tuple(items))


def _outcomes(rows: Sequence[SpeedUp]) -> str:
    outcomes = Counter(row.outcome for row in rows)
    if len(outcomes) == 1:
        return f"{next(iter(outcomes))} in {_all(len(rows))}"
    order: tuple[Outcome, ...] = ("faster", "slower", "unclear")
    return ", ".join(f"{outcome} in {outcomes[outcome]}" for outcome in order if outcomes[outcome])


def _all(cases: int) -> str:
    return {1: "the one case", 2: "both cases"}.get(cases, f"all {cases} cases")


def _median(rows: Iterable[SpeedUp]) -> float:
    return median(row.factor for row in rows)


def _span(rows: Sequence[SpeedUp]) -> str:
    return span(min(row.factor for row in rows), max(row.factor for row in rows))


def _longest(rows: Iterable[SpeedUp]) -> SpeedUp:
    return max(rows, key=lambda row: row.reference.epoch)


def block(results: Results) -> str:
    """Return how many times as fast as its reference every backend is, by kind of layer."""
    data = [row for row in main_rows(frame(results)) if row.comparable]
    groups = grouped(data, lambda row: (row.layers, row.variant.device, row.column, row.reference.column))
    rows = []
    for (layers, place, column, reference), members in sorted(groups.items()):
        longest, factors = _longest(members), [row.factor for row in members]
        of_all = (str(len(members)), f"{median(factors):.2f}", f"{min(factors):.2f}–{max(factors):.2f}")
        of_longest = (longest.name, f"{longest.factor:.2f}", f"{longest.low:.2f}–{longest.high:.2f}")
        texts = (f"{layers}, {place}", f"{column} over {reference}", *of_all, *of_longest)
        rows.append([plain(text) for text in texts])
    headers = ["layers", "backends", "cases", "times as fast", "least–most", "longest case", "times as fast", "spread"]
    return markdown_table(headers, rows, left=(0, 1, 5)) if rows else "Not run: no cell was timed alone."


TOPIC = Topic(
    "speed", frame=frame, question="Which backend is faster, and by how much?", answer_beside=answer, block=block
)
