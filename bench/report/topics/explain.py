"""What each framework default costs: the answer, the README's first screen, `explain-SUITE-CASE.md`."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from bench.cases.describe import recurrence
from bench.cases.profiles import QUICK_MAXLEN
from bench.compare.statistics import Estimate
from bench.explain.effects import REFERENCE, Effect, EffectVerdict, Quantity, ScoreOf, is_single
from bench.records.record import Record
from bench.records.store import Run
from bench.report.figures import by_seed
from bench.report.frames import MATCHED, NATIVE, CaseRow, grouped, once, reference_order
from bench.report.markdown import as_link, code, document, markdown_table, plain, plain_but_code, versions
from bench.report.notes import stand_in_of
from bench.report.numbers import NOTHING, percent
from bench.report.results import KERNELS, Results
from bench.report.sentences import count
from bench.report.topic import Answer, Table, Topic
from bench.report.topics import curves
from bench.report.topics import versions as by_version
from bench.report.topics.curves import Curve
from bench.report.topics.numerics import NumericsRow, against
from bench.report.topics.versions import VersionRow
from bench.runner.progress import first_line
from bench.spec import Arrays, Case, TextCsv


class Words(NamedTuple):
    """How people call numerics, after "PyTorch's" where they are a single difference; and what they mean."""

    name: str
    meaning: str


NUMERICS = {
    "matched": Words("matched", "one set of formulas everywhere, today's Keras 3"),
    "documented": Words(
        "the documents' formulas", "RMSprop's epsilon and the gates of the document's Keras, on every backend"
    ),
    "native": Words("all defaults combined", "the framework as its users write it: all of the following that exist"),
    "native:init": Words("initial weights", "the framework's own initialisers; pretrained vectors stay"),
    "native:init:embedding": Words("initial weights of the embedding", "the same for the embedding alone"),
    "native:init:recurrent": Words("initial weights of recurrent layers", "the same for recurrent layers alone"),
    "native:init:dense": Words("initial weights of dense layers", "the same for Dense and Conv1D alone"),
    "native:optimizer": Words(
        "optimizer constants",
        "torch.optim's own epsilon (1e-8), RMSprop alpha (0.99), AdamW weight decay (0.01) and momentum, at the case's "
        "learning rate",
    ),
    "native:bias": Words("second bias", "torch trains both biases of SimpleRNN and LSTM"),
    "native:reset-after": Words("GRU reset order", "torch resets the state after the product, and has two biases"),
    "native:recurrent-dropout": Words("missing recurrent dropout", "torch's layers drop no states"),
    "native:normalization": Words(
        "normalization",
        "torch's BatchNorm (momentum 0.1, epsilon 1e-5, unbiased moving variance, no masks) and LayerNorm (1e-5)",
    ),
    "native:loss": Words(
        "loss on probabilities", "Keras's cross-entropy on probabilities, torch's `BCELoss` after a sigmoid"
    ),
    "native:embedding-gradient": Words(
        "unsummed embedding gradient",
        "on TensorFlow, Keras 3 squares duplicate embedding gradients before summing them",
    ),
    "native:order": Words(
        "shuffling", "Keras's `fit` after `keras.utils.set_random_seed`, torch's `DataLoader(shuffle=True)`"
    ),
    "native:denormals": Words("denormal numbers", "numbers below 1e-38 are computed, slowly on a CPU, not taken for 0"),
}


def called(numerics: str) -> str:
    """Return how people call numerics: `native:a,b` by both names, `native:-a` by what it leaves out."""
    if numerics in NUMERICS:
        return NUMERICS[numerics].name
    _, _, listed = numerics.partition(":")
    left_out = listed.startswith("-")
    names = [NUMERICS[f"native:{name}"].name for name in listed.removeprefix("-").split(",-" if left_out else ",")]
    return f"all defaults but {', '.join(names)}" if left_out else " and ".join(names)


def framework(backend: str) -> str:
    """Return the framework that a backend's users write."""
    if backend == "tf-keras":
        return "Keras 2"
    return "PyTorch" if backend.startswith("torch") else "Keras" if backend.startswith("keras-") else backend


@once
def frame(results: Results) -> tuple[NumericsRow, ...]:
    """Return what the frameworks' own ways change, combined and one by one, against `matched` numerics.

    Only cases that ran any native numerics.
    """
    rows = against(results, MATCHED)
    explained = {row.name for row in rows if row.variant.numerics.startswith(NATIVE)}
    return tuple(row for row in rows if row.name in explained)


# --- the answer --------------------------------------------------------------------------------------------------


def answer(results: Results) -> Answer | None:
    """Return the largest cost of a single default, and what every difference changes in every explained case."""
    rows = frame(results)
    if not rows:
        return None
    backends = sorted({row.variant.backend for row in rows})
    groups = grouped(rows, lambda row: (row.name, row.variant.numerics))
    lines = []
    for (case, numerics), members in sorted(groups.items(), key=lambda group: min(row.difference for row in group[1])):
        cells = {row.variant.backend: row.points for row in members}
        lines.append((case, called(numerics), *(cells.get(backend, NOTHING) for backend in backends)))
    headers = ("case", "difference", *(f"{backend}, points" for backend in backends))
    worst = _largest_cost(rows)
    if worst is None:
        conclusion = _none_costs(row.verdict for row in rows)
    else:
        conclusion = _loses(worst.name, worst.variant.backend, worst.variant.numerics, -100 * worst.difference)
    see = () if worst is None else results.explanation(worst.suite, worst.case)
    table = Table(headers, tuple(lines), left=(0, 1))
    name, place = results.documentation_on(MEND)
    return Answer(conclusion, table, (*see, (_HOW_TO_MEND if place else name, place)), (_HOW_TO_READ,))


MEND, _HOW_TO_MEND = "mend-a-port", "how to mend a port"
_HOW_TO_READ = (
    "Change of accuracy against matched twins, ± 95 % CI (pairs of seeds); a cost is negative. Each difference is "
    "switched on alone, so changes do not add up."
)


def _largest_cost(rows: Iterable[NumericsRow]) -> NumericsRow | None:
    """Return the single difference that significantly costs most; None where none does."""
    costs = [row for row in rows if is_single(row.variant.numerics) and row.verdict == "costs"]
    return min(costs, key=lambda row: row.difference, default=None)


def _loses(what: str, backend: str, numerics: str, points: float) -> str:
    """Return the conclusion on the largest cost of a single difference."""
    return f"{what} loses {points:.1f} points of accuracy to {framework(backend)}'s {called(numerics)} alone."


def _none_costs(verdicts: Iterable[EffectVerdict]) -> str:
    """Return the conclusion where no single difference significantly costs accuracy."""
    if set(verdicts) <= {"one seed", "changes nothing"}:
        return "One seed gives no interval: nothing can be said of single defaults yet."
    return "No single default has a significant cost in accuracy."


# --- how the points come about -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LearningRow(CaseRow):
    """A point of a learning curve under a backend and numerics: accuracies, mean, least and most of `n` seeds.

    `epoch` is None for the figure that the case is judged by, of the trained weights; `figure` names it.
    """

    curve: Curve
    figure: str
    backend: str
    numerics: str
    epoch: int | None
    mean: float
    low: float
    high: float
    n: int


def learning(
    suite: str, case: str, records: Iterable[Record], figure: str, score: ScoreOf, numerics: Sequence[str]
) -> list[LearningRow]:
    """Return the learning curves of a case under some numerics, each ending in its figure.

    The curves are validation accuracies where they were measured, else the accuracies that `fit` prints.
    """
    ended = [record for record in records if record.numerics in numerics and record.status == "ok" and record.metrics]
    runs = grouped(ended, lambda record: (record.backend, record.numerics))
    lines = [line for record in ended if record.metrics for line in record.metrics.epochs]
    curve: Curve = "val" if any(line.val_accuracy is not None for line in lines) else "fit"
    rows = []
    for backend, name in sorted(runs, key=lambda key: (key[0], numerics.index(key[1]))):
        variants = grouped(runs[backend, name], lambda record: (KERNELS.index(record.kernel), record.device))
        found = [record.metrics for record in variants[min(variants)] if record.metrics]
        place = (suite, case, curve, figure, backend, name)
        rows += [LearningRow(*place, *point) for point in curves.points([metrics.epochs for metrics in found], curve)]
        values = [scored.accuracy for metrics in found if (scored := score(metrics)) is not None]
        if values:
            rows.append(LearningRow(*place, None, fmean(values), min(values), max(values), len(values)))
    return rows


LEARNED = (MATCHED, NATIVE, "native:init")
"""The numerics whose learning curves are shown: with both twins equal, then apart, then apart in the weights alone."""


# --- the first screen of the README ------------------------------------------------------------------------------


@once
def port(results: Results) -> tuple[LearningRow, ...]:
    """Return both twins' learning curves, native and matched, of the case whose port lost most to a single default.

    A port is under a backend that no other is set against; what it is a port of, under the first of those that are.
    """
    worst = _lost(results)
    if worst is None:
        return ()
    explained = {row.variant.backend for row in frame(results) if row.name == worst.name}
    reference = min(filter(_is_reference, explained), key=lambda name: reference_order(name) or 0, default=None)
    twins = (reference, worst.variant.backend)
    records = [
        record
        for members in results.accuracy_groups[worst.suite, worst.case].values()
        for record in members
        if record.backend in twins
    ]
    measured = worst.figure.measured
    rows = learning(worst.suite, worst.case, records, worst.figure.name, measured, (NATIVE, MATCHED))
    ends = {(row.backend, row.numerics) for row in rows if row.epoch is None}
    return tuple(rows) if len(ends) == 4 else ()


def _lost(results: Results) -> NumericsRow | None:
    return _largest_cost(row for row in frame(results) if not _is_reference(row.variant.backend))


def _is_reference(backend: str) -> bool:
    return reference_order(backend) is not None


def title(results: Results, rows: Sequence[LearningRow]) -> str:
    """Return what the case of learning curves is: `LSTM on IMDB, 10 seeds`."""
    case = results.case(rows[0].suite, rows[0].case)
    least, most = (pick(row.n for row in rows if row.epoch is None) for pick in (min, max))
    seeds = count(most, "seed") if least == most else f"{least} to {count(most, 'seed')}"
    return f"{_network(case)} on {_data(case)}, {seeds}"


def _network(case: Case) -> str:
    kinds = recurrence(case)
    return case.name if kinds.startswith("no ") else kinds


def _data(case: Case) -> str:
    if isinstance(case.data, TextCsv | Arrays):
        return Path(case.data.file).name
    return {"Imdb": "IMDB", "ReviewTexts": "IMDB"}.get(type(case.data).__name__, type(case.data).__name__)


def block(results: Results) -> str:
    """Return the case whose port lost most: as users write it, matched, and what the port lost to one default."""
    rows, worst = port(results), _lost(results)
    if worst is None or not rows:
        return "Not run: `bench explain CASE` measures what a port loses."
    reference = next(row.backend for row in rows if _is_reference(row.backend))
    twins = (reference, worst.variant.backend)
    ends = {(row.backend, row.numerics): row.mean for row in rows if row.epoch is None}
    native, equal = ([percent(ends[twin, name], digits=1) for twin in twins] for name in (NATIVE, MATCHED))
    proven = _documentation(results, "parity", "proven twins") if _are_twins(results, worst, twins) else ""
    said = ", ".join(filter(None, (proven, _equal_seeds(results, worst, twins))))
    lost = f"lost to {framework(twins[1])}'s {called(worst.variant.numerics)} alone"
    lines = [
        ["written as its users write it", *native, ""],
        ["same weights, same formulas", *equal, said],
        [lost, "", f"{-100 * worst.difference:.1f} points", _documentation(results, MEND, _HOW_TO_MEND)],
    ]
    headers = [plain(title(results, rows)), *map(framework, twins), ""]
    return markdown_table(headers, lines, left=(0, 3))


def _equal_seeds(results: Results, row: NumericsRow, backends: Iterable[str]) -> str:
    """Return in how many seeds the accuracies of matched backends are equal."""
    groups = results.accuracy_groups[row.suite, row.case]
    found = [
        by_seed(row.figure.measured, records)
        for variant, records in groups.items()
        if variant.numerics == MATCHED and variant.backend in backends
    ]
    seeds = set.intersection(*map(set, found))
    equal = sum(len({accuracies[seed] for accuracies in found}) == 1 for seed in seeds)
    return f"equal in {equal} of {count(len(seeds), 'seed')}"


def _are_twins(results: Results, row: NumericsRow, backends: Iterable[str]) -> bool:
    """Return whether parity has proven that backends train the same model, with every kernel that was run."""
    variants = [variant for variant in results.accuracy_groups[row.suite, row.case] if variant.numerics == MATCHED]
    marks = {
        results.twins.get((row.name, variant.backend, variant.kernel))
        for variant in variants
        if variant.backend in backends
    }
    return marks == {"proven"}


def _documentation(results: Results, topic: str, text: str) -> str:
    """Return a link from the README, which lies two folders above a report, to a page of the documentation."""
    _, place = results.documentation_on(topic)
    return as_link((text, place), "reports/machine/")


# --- the page of `bench explain` ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Explained:
    """What a page is made of: `figure` names the accuracy, `missing` the differences that do not exist, by backend.

    `command` writes the page again, and runs missing seeds. `threads`: those of each framework, of all its cells.
    """

    case: str
    figure: str
    run: Run
    command: str
    seeds: int
    effects: Sequence[Effect]
    missing: Mapping[str, Sequence[str]]
    records: Sequence[Record]
    curves: Sequence[LearningRow]
    versions: Sequence[VersionRow]
    threads: Collection[int] = ()

    @property
    def conclusion(self) -> str:
        """Return the largest cost of a single difference in a sentence."""
        singles = [effect for effect in self.effects if is_single(effect.numerics)]
        costs = [effect for effect in singles if effect.verdict == "costs"]
        if not costs:
            return _none_costs(effect.verdict for effect in singles)
        worst = min(costs, key=_points)
        return _loses(self.case, worst.backend, worst.numerics, -_points(worst))


def _points(effect: Effect) -> float:
    return effect.accuracy.change.mean


def page(explained: Explained) -> str:
    """Return the page: the conclusion, all changes by size, learning curves, then every backend in detail."""
    parts = [f"# What each framework default costs: {plain(explained.case)}", plain(explained.conclusion)]
    parts += [*_by_size(explained), *_learning(explained), *_versions(explained)]
    for backend in dict.fromkeys(effect.backend for effect in explained.effects):
        effects = [effect for effect in explained.effects if effect.backend == backend]
        parts += [f"## {plain(backend)}, kernel {plain(effects[0].kernel)}", _table(effects, explained)]
    parts += ["## How to read this", *_reading(explained)]
    problems = [record for record in explained.records if record.status != "ok"]
    if problems:
        parts += ["## What did not end ok", "\n".join(map(_problem, problems))]
    return document(parts)


def _by_size(explained: Explained) -> Iterator[str]:
    """Yield the table of changes of accuracy by difference and backend, the largest cost first."""
    changes = [effect for effect in explained.effects if effect.numerics != REFERENCE]
    backends = list(dict.fromkeys(effect.backend for effect in changes))
    groups = grouped(changes, lambda effect: effect.numerics)
    rows = []
    for numerics in sorted(groups, key=lambda name: min(map(_points, groups[name]))):
        cells = {effect.backend: _change(effect.accuracy, 2) for effect in groups[numerics]}
        rows.append([plain(called(numerics)), *(cells.get(backend, NOTHING) for backend in backends)])
    if rows:
        headers = [f"{explained.figure} accuracy, change", *(f"{backend}, points" for backend in backends)]
        yield markdown_table(list(map(plain, headers)), rows)


def _learning(explained: Explained) -> Iterator[str]:
    """Yield the table of learning curves, a column for every backend and numerics, the final figure last."""
    rows = explained.curves
    if not rows:
        return
    columns = list(dict.fromkeys((row.backend, row.numerics) for row in rows))
    by_epoch = grouped(rows, lambda row: row.epoch)
    lines = []
    for epoch in sorted(by_epoch, key=lambda epoch: math.inf if epoch is None else epoch):
        cells = {(row.backend, row.numerics): f"{100 * row.mean:.1f}" for row in by_epoch[epoch]}
        name = explained.figure if epoch is None else str(epoch)
        lines.append([plain(name), *(cells.get(column, NOTHING) for column in columns)])
    headers = ["epoch", *(f"{backend}, {called(numerics)}" for backend, numerics in columns)]
    kind = "validation accuracy" if rows[0].curve == "val" else "accuracy while training"
    yield "## How the points come about"
    yield f"Mean {kind} by epoch, in per cent; last, {plain(explained.figure)} accuracy of the trained weights."
    yield markdown_table(list(map(plain, headers)), lines)


def _versions(explained: Explained) -> Iterator[str]:
    """Yield what each version of Keras changed, if Keras 2 has run."""
    if explained.versions:
        table = by_version.table(explained.versions)
        yield "## From version to version"
        yield plain(by_version.conclusion(explained.versions))
        rows = [list(map(plain, row[1:])) for row in table.rows]
        yield markdown_table(list(map(plain, table.headers[1:])), rows, left=(0, 1, 4))
        yield by_version.HOW_TO_READ


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
        reference, name = effect.numerics == REFERENCE, called(effect.numerics)
        rows.append(
            [
                plain(name if effect.kernel == effects[0].kernel else f"{name}, {effect.kernel}"),
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
        "A change is a row minus matched numerics under the same backend, seed by seed: the mean of the pairs ± its "
        "95 % CI (Student's t). It `costs` accuracy where the CI lies below 0, `gains` where it lies above, and has "
        "`no significant effect` where it holds 0. CIs are not adjusted for their number: of twenty differences "
        "without effect, one is expected to look significant. Each difference is switched on alone, so changes need "
        "not add up to native. Seconds are medians of steady epochs, training part only, where a process had one cell; "
        "other work on the machine widens their CIs."
    )
    ran = dict.fromkeys(effect.numerics for effect in explained.effects)
    yield "\n".join(
        f"- {plain(words.name)} ({code(name)}): {plain_but_code(words.meaning)}."
        for name, words in NUMERICS.items()
        if name in ran
    )
    absent = [
        f"- {plain(backend)}: {plain(', '.join(called(f'native:{name}') for name in names))}."
        for backend, names in explained.missing.items()
        if names
    ]
    if absent:
        yield "No difference in this case (the backend's own default is what matched numerics run):"
        yield "\n".join(absent)
    run = explained.run
    data = sorted({record.data.name for record in explained.records if record.data})
    stand_in = stand_in_of(explained.records)
    facts = [f"Run {run.name}, profile {run.profile}, {count(explained.seeds, 'seed')}, started {run.started}"]
    facts += [f"data {', '.join(data)}"] if data else []
    facts += [f"stand-in: {stand_in}"] if stand_in else []
    facts.append(", ".join(filter(None, [versions(run.environment), _threads(explained.threads)])))
    yield f"{plain('; '.join(facts))}. {code(explained.command)} adds missing seeds and writes this page again."
    if run.profile == "quick":
        yield (
            "The quick profile trains on generated text, rows cut to "
            f"{QUICK_MAXLEN} ids: costs there say little about the documented data."
        )


def _threads(threads: Collection[int]) -> str:
    *fewer, most = sorted(threads) or [0]
    return " or ".join([*map(str, fewer), count(most, "thread")]) if most else ""


def _problem(record: Record) -> str:
    return f"- {plain(record.cell)}: {plain(record.status)}: {plain(first_line(record.reason))}"


TOPIC = Topic("differences", frame=frame, question="What does each framework default cost in accuracy?", answer=answer)
PORT = Topic("port", frame=port, block=block)
