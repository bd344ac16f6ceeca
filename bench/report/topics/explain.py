"""`explain-SUITE-CASE.md`: what each difference between the frameworks costs a case; sentences first, then tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.cases.profiles import QUICK_MAXLEN
from bench.compare.statistics import Estimate
from bench.explain.effects import REFERENCE, Effect, Quantity, conclusions
from bench.records.record import Record
from bench.records.store import Run
from bench.report.frames import MAIN, MATCHED, NATIVE, grouped, once
from bench.report.markdown import code, markdown_table, plain, plain_but_code, versions
from bench.report.notes import stand_in_of
from bench.report.numbers import NOTHING, as_change
from bench.report.results import Results
from bench.report.sentences import count
from bench.report.topic import Topic
from bench.report.topics.numerics import NumericsRow, against


@once
def frame(results: Results) -> tuple[NumericsRow, ...]:
    """Return what the frameworks' own ways change, all together and one by one, against `matched` numerics.

    Only cases that ran any native numerics.
    """
    rows = against(results, MATCHED)
    explained = {row.name for row in rows if row.variant.numerics.startswith(NATIVE)}
    return tuple(row for row in rows if row.name in explained)


def numerics_order(name: str) -> tuple[int, str]:
    """Return a sort key of numerics set against matched ones: documented first, then native, then its parts."""
    return (MAIN, NATIVE).index(name) if name in (MAIN, NATIVE) else 2, name


def called(numerics: str) -> str:
    """Return how a picture or table of differences calls numerics: a single difference by its own name."""
    return {MAIN: "documents' formulas", NATIVE: "all together"}.get(numerics, numerics.partition(":")[2])


IN_WORDS = {
    NATIVE: "all together",
    "native:init": "initial weights",
    "native:order": "order of rows",
    "native:loss": "loss",
    "native:optimizer": "optimizer",
    "native:bias": "second bias",
    "native:embedding-gradient": "embedding gradient",
    "native:denormals": "denormal numbers",
}
"""How sentences call what `bench.cases.model.DIFFERENCES` are."""


def block(results: Results) -> str:
    """Return what each difference between the frameworks changes in every explained case, in points of accuracy."""
    data = frame(results)
    backends = sorted({row.variant.backend for row in data})
    lines = []
    for case, rows in grouped(data, lambda row: row.name).items():
        by_numerics = grouped(rows, lambda row: row.variant.numerics)
        for numerics in sorted(by_numerics, key=numerics_order):
            members = {row.variant.backend: row for row in by_numerics[numerics]}
            texts = [_points(members[backend]) if backend in members else NOTHING for backend in backends]
            lines.append([plain(text) for text in (case, called(numerics), *texts)])
    if not lines:
        return "Not run: `bench explain CASE` measures it."
    return markdown_table(["case", "difference", *map(plain, backends)], lines, left=(0, 1))


def _points(row: NumericsRow) -> str:
    return f"{as_change(row.difference, row.ci_half_width, 1)} ({row.n})"


MEANINGS = {
    "matched": "one set of formulas everywhere, today's Keras 3",
    "documented": "the same with the formulas of the Keras that the document ran",
    "native": "the framework as its users write it: all of the following that exist",
    "native:init": "the framework's own initialisers; pretrained vectors stay",
    "native:optimizer": "torch.optim with torch's epsilon (1e-8) and RMSprop's alpha (0.99), the case's learning rate",
    "native:bias": "torch's second bias is trained, too",
    "native:loss": "binary cross-entropy on probabilities: Keras's, torch's `BCELoss` behind a sigmoid",
    "native:embedding-gradient": "TensorFlow's sparse gradient, whose rows of one word are squared one by one",
    "native:denormals": "numbers below 1e-38 are computed with, slowly on a CPU, not taken for zero",
    "native:order": "the framework shuffles: Keras's `fit` after `keras.utils.set_random_seed`, torch's `DataLoader`",
}


@dataclass(frozen=True)
class Explained:
    """What a page is made of: `figure` names the accuracy, `missing` the differences that do not exist, by backend.

    `command` writes the page again, and goes on where seeds are missing.
    """

    case: str
    figure: str
    run: Run
    command: str
    seeds: int
    effects: Sequence[Effect]
    missing: Mapping[str, Sequence[str]]
    records: Sequence[Record]

    @property
    def sentences(self) -> list[str]:
        """Return the conclusions, with what does not exist to be compared."""
        return [*conclusions(self.effects, self.figure), *self._absences()]

    def _absences(self) -> Iterator[str]:
        for backend, names in self.missing.items():
            if names:
                listed = ", ".join(f"`{name}`" for name in names)
                yield f"{backend}: {listed} cannot differ in this case; its own is what matched numerics run."


def page(explained: Explained) -> str:
    """Return the page."""
    parts = [f"# What each difference costs: {plain(explained.case)}"]
    parts.append("\n".join(f"- {plain_but_code(sentence)}" for sentence in explained.sentences))
    for backend in dict.fromkeys(effect.backend for effect in explained.effects):
        effects = [effect for effect in explained.effects if effect.backend == backend]
        parts += [f"## {plain(backend)}, kernel {plain(effects[0].kernel)}", _table(effects, explained)]
    parts += ["## How to read this", *_reading(explained)]
    problems = [record for record in explained.records if record.status != "ok"]
    if problems:
        parts += ["## What did not end ok", "\n".join(map(_problem, problems))]
    return "\n\n".join(parts) + "\n"


def _table(effects: Sequence[Effect], explained: Explained) -> str:
    headers = [
        "numerics",
        f"{explained.figure} accuracy %",
        "change, points",
        "verdict",
        "loss",
        "change of loss",
        "s an epoch",
        "change, s",
        "pairs",
    ]
    rows = []
    for effect in effects:
        reference = effect.numerics == REFERENCE
        rows.append(
            [
                plain(effect.numerics if effect.kernel == effects[0].kernel else f"{effect.numerics}, {effect.kernel}"),
                _level(effect.accuracy.level, 2),
                "" if reference else _change(effect.accuracy, 2),
                "" if reference else effect.verdict,
                _level(effect.loss.level, 4),
                "" if reference else _change(effect.loss, 4),
                _level(effect.epoch.level, 2),
                "" if reference else _change(effect.epoch, 2),
                f"{effect.accuracy.change.n} of {max(effect.accuracy.change.n, explained.seeds)}",
            ]
        )
    return markdown_table([plain(header) for header in headers], rows, left=(0, 3))


def _level(level: Estimate, digits: int) -> str:
    return f"{level.mean:.{digits}f}" if level.n else NOTHING


def _change(quantity: Quantity, digits: int) -> str:
    change = quantity.change
    if not change.n:
        return NOTHING
    half = f" ±{change.ci_half_width:.{digits}f}" if math.isfinite(change.ci_half_width) else ""
    return f"{round(change.mean, digits) + 0.0:+.{digits}f}{half}"  # + 0.0: never -0.00


def _reading(explained: Explained) -> Iterator[str]:
    yield (
        "Every row is compared with matched numerics under the same backend, seed by seed: `change` is the mean of the "
        "pairs' differences ± its 95 % interval (Student's t over pairs). An accuracy `costs` or `gains` where that "
        "interval leaves out 0. The intervals are not adjusted for their number: of twenty differences without an "
        "effect one is expected to leave out 0 by chance. Single differences are switched on alone, so they need not "
        "add up to native. Seconds are medians of steady epochs, training part only, where a process had one cell; "
        "other work on the machine widens their intervals."
    )
    numerics = dict.fromkeys(effect.numerics for effect in explained.effects)
    yield "\n".join(f"- {code(name)}: {meaning}." for name, meaning in MEANINGS.items() if name in numerics)
    run = explained.run
    data = sorted({record.data.name for record in explained.records if record.data})
    stand_in = stand_in_of(explained.records)
    facts = [f"Run {run.name}, profile {run.profile}, {count(explained.seeds, 'seed')}, started {run.started}"]
    facts += [f"data {', '.join(data)}"] if data else []
    facts += [f"standing in: {stand_in}"] if stand_in else []
    facts.append(_environment(run.environment))
    yield f"{plain('; '.join(facts))}. Written, and gone on with where seeds are missing, by {code(explained.command)}."
    if run.profile == "quick":
        yield (
            "The quick profile trains on the generated corpus, rows cut to "
            f"{QUICK_MAXLEN} ids: what a difference costs there says little about the documented data."
        )


def _environment(environment: Mapping[str, Any]) -> str:
    threads = environment.get("threads")
    return ", ".join(filter(None, [versions(environment), count(threads, "thread") if threads else ""]))


def _problem(record: Record) -> str:
    reason = (record.reason or "").splitlines()
    return f"- {plain(record.cell)}: {plain(record.status)}: {plain(reason[0] if reason else '')}"


TOPIC = Topic("differences", frame=frame, question="What do the frameworks' own defaults change?", block=block)
