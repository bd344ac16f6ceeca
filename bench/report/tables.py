"""The one place that turns records into frames: tidy, numeric, one row per thing measured.

Units: accuracies are 0 to 1, times are seconds. A cell belongs to a case and a variant (backend, kernel, device,
numerics). Every accuracy frame keeps the profile's promise: figures of a document appear only beside the documented
profile.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from itertools import product
from operator import attrgetter
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal, NamedTuple, get_args

import pandas as pd

from bench.backends.registry import backends
from bench.cases.catalog import matches
from bench.cases.cell import Measure, Profile, Status
from bench.cases.describe import at_epoch, documented_validation, log_ends
from bench.cases.model import numerics_differences, resolve
from bench.cases.parameters import counts, printed_counts
from bench.cases.parameters import parameters as declared_parameters
from bench.cases.profiles import apply
from bench.compare.statistics import binomial_half_width, judge, mean_interval
from bench.errors import UsageError
from bench.records import record as stored
from bench.records.record import Cost, Metrics, Record, Timing
from bench.spec import Case, Documented, Embedded, Kernel, LabelledCsv, Score, Suite

CASE = ["suite", "case"]
VARIANT = ["backend", "kernel", "device", "numerics"]
NOT_RUN = "not run"

_ACCURACY: tuple[Measure, ...] = ("accuracy", "all")
_TIMING: tuple[Measure, ...] = ("timing", "all")
KERNELS = get_args(Kernel)


@dataclass(frozen=True, order=True)
class Variant:
    """How a case was run: the parts of a cell beside case and seed."""

    backend: str
    kernel: Kernel
    device: str
    numerics: str


Link = tuple[str, str]
"""The name of a page and where it is, from the folder of the report; nowhere, "", where it is only to be named."""

Measurement = tuple[Literal["accuracy", "timing"], int, int]
"""What is measured of a cell, its seed, and its repeat."""


@dataclass(frozen=True)
class Source:
    """A run that a report draws on: `seeds` and `repeats` are what it planned for each cell (0: unknown).

    `patterns` name the cases that were asked for, every case where there are none. `settings` are the options of
    `bench run` that a cell of it needs to be run alike. `plan` is what was to be measured of each cell where that is
    not every seed as often as another; a cell may have been measured beyond it, which no other cell then lacks.
    """

    name: str
    profile: Profile
    command: str
    started: str
    environment: Mapping[str, Any]
    records: Sequence[Record]
    seeds: int = 0
    repeats: int = 1
    patterns: tuple[str, ...] = ()
    settings: str = ""
    plan: frozenset[Measurement] | None = None

    @cached_property
    def timed(self) -> bool:
        """Return whether the run measured timing, and not accuracy alone."""
        return any(record.measure in _TIMING for record in self.records)


@dataclass(frozen=True)
class Results:
    """What a report is made of: one or more runs of one profile and environment, and the suites they are held against.

    `store` is the path by which commands find the runs again, None where that is the default one. `twins` is what
    `bench parity` found of every (`suite/case`, backend, kernel); empty where it was not run. `reasons` says in a
    sentence why the figures of a case, `suite/case`, deviate, and where that is shown (`bench.report.reasons`).
    `explained` are the pages of `bench explain` that lie in the report's folder; `documentation` whether that is a
    folder of a checkout's reports, whose pages may link to those in `docs`. A record of the same cell, repeat and
    measure that started later replaces an earlier one. Raises `UsageError` for runs that may not share a table, and for
    none at all.
    """

    sources: tuple[Source, ...]
    suites: Mapping[str, Suite]
    store: Path | None = None
    twins: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    reasons: Mapping[str, Link] = field(default_factory=dict)
    explained: tuple[str, ...] = ()
    documentation: bool = False
    _frames: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first = self.sources[0]
        for other in self.sources[1:]:
            if other.profile != first.profile:
                raise UsageError(
                    f"runs {first.name!r} ({first.profile}) and {other.name!r} ({other.profile}) have different "
                    "profiles, whose figures "
                    "never share a table; report them apart"
                )
            differing = _differing(first, other)
            if differing:
                raise UsageError(
                    f"runs {first.name!r} and {other.name!r} ran in different environments ({', '.join(differing)}); "
                    "report them apart"
                )
        if not self.records:
            names = ", ".join(source.name for source in self.sources)
            raise UsageError(
                f"run {names} holds no record yet, so there is nothing to report; go on with it by `bench run --resume`"
            )

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Return the latest record of every cell, repeat and measure."""
        return tuple(_latest((record for source in self.sources for record in source.records), _recorded))

    @cached_property
    def columns(self) -> dict[tuple[str, str, Variant], str]:
        """Return the column that each case's variant stands in, in every table."""
        return columns(self.groups)

    @cached_property
    def groups(self) -> Groups:
        """Return all records by case and variant."""
        return by_case(self.records)

    @cached_property
    def accuracy_groups(self) -> Groups:
        """Return the accuracy records by case and variant."""
        return by_case(self.accuracy_records)

    @cached_property
    def timing_groups(self) -> Groups:
        """Return the timing records by case and variant."""
        return self.groups if len(self.timing_records) == len(self.records) else by_case(self.timing_records)

    @cached_property
    def run_of(self) -> dict[int, str]:
        """Return the name of the run that each record comes from, by the record's `id`."""
        return {id(record): source.name for source in self.sources for record in source.records}

    @cached_property
    def planned(self) -> dict[tuple[str, str], set[Measurement]]:
        """Return what was to be measured of each case with a record, under every variant, recorded or not."""
        seen: dict[tuple[str, str], dict[Literal["accuracy", "timing"], tuple[set[int], set[int]]]] = {}
        planned: dict[tuple[str, str], set[Measurement]] = {}
        for source in self.sources:
            seen.clear()
            for suite, name, measure, seed, repeat in set(map(_measurement, source.records)):
                kinds = seen.setdefault((suite, name), {})
                for kind in _KINDS[measure] if source.plan is None else ():
                    if kind not in kinds:
                        kinds[kind] = {*range(source.seeds)}, {*range(source.repeats)}
                    seeds, repeats = kinds[kind]
                    seeds.add(seed)
                    repeats.add(repeat)
            for case, kinds in seen.items():
                planned.setdefault(case, set()).update(source.plan or ())
                planned[case].update(
                    (kind, *pair) for kind, (seeds, repeats) in kinds.items() for pair in product(seeds, repeats)
                )
        return planned

    def asked(self, suite: str, case: str, variant: Variant) -> bool:
        """Return whether the patterns of any run name cells of the case under a variant, whatever its kernel."""
        cells = [f"{suite}/{case}@{variant.backend},{kernel},{variant.device},{variant.numerics}" for kernel in KERNELS]
        patterns = [[pattern.partition("#")[0] for pattern in source.patterns] for source in self.sources]
        return any(matches(cell, named) for cell in cells for named in patterns)

    def twin_mark(self, variants: Iterable[Mapping[Any, Any]]) -> str | None:
        """Return whether rows of one case are proven to train the same model: None where nothing was compared.

        Native numerics are no twins on purpose: they are `not applicable` where they stand alone, else left out. A
        variant that has no proof of its own is not proven.
        """
        rows = list(variants)
        twins = [row for row in rows if not numerics_differences(row["numerics"])]
        marks = {
            self.twins.get((f"{row['suite']}/{row['case']}", row["backend"], row["kernel"]), "not proven")
            if row["numerics"] == "documented" and row["device"] == "cpu"
            else "not proven"
            for row in twins
        }
        if rows and not twins:
            return "not applicable"
        return next((mark for mark in ("not proven", "proven") if mark in marks), None)

    def explanation(self, suite: str, case: str) -> tuple[Link, ...]:
        """Return the link to the page of `bench explain` on a case, nothing where there is none."""
        name = f"explain-{suite}-{case}.md"
        return tuple(("explained", page) for page in self.explained if page.rpartition("/")[2] == name)

    def documentation_on(self, topic: str) -> Link:
        """Return the link to a page of the documentation; its path in a checkout where the report lies elsewhere."""
        return (topic, f"../../docs/{topic}.md") if self.documentation else (f"docs/{topic}.md", "")

    @property
    def timing_environment(self) -> Mapping[str, Any]:
        """Return the environment of the timed runs; where there are none, that of the first run."""
        return next((source for source in self.sources if source.timed), self.sources[0]).environment

    @property
    def profile(self) -> Profile:
        """Return the profile of all records."""
        return self.sources[0].profile

    @property
    def documented(self) -> bool:
        """Return whether figures may stand beside those of the documents."""
        return self.profile == "documented"

    @cached_property
    def accuracy_records(self) -> list[Record]:
        """Return one record of every cell that measured accuracy.

        A repeat trains the same weights in the same order again, so it adds no seed: the first one that ended ok
        counts.
        """
        latest = _of_any_measure(record for record in self.records if record.measure in _ACCURACY)
        by_cell: dict[Any, Record] = {}
        for record in sorted(latest, key=lambda record: (record.status == "ok", -record.repeat)):
            by_cell[_cell(record)] = record
        return list(by_cell.values())

    @cached_property
    def timing_records(self) -> list[Record]:
        """Return the latest record of every cell and repeat that measured timing."""
        return _of_any_measure(record for record in self.records if record.measure in _TIMING)

    def reported_suites(self) -> list[Suite]:
        """Return the suites that any record belongs to, in the order of the catalog."""
        seen = {suite for suite, _ in self.groups}
        return [suite for name, suite in self.suites.items() if name in seen]

    def once(self, name: str, make: Callable[[Results], pd.DataFrame]) -> pd.DataFrame:
        """Return what `make` makes of these results, made once; `name` is that of the frame. It may not be changed."""
        if name not in self._frames:
            self._frames[name] = make(self)
        return self._frames[name]

    def cases(self) -> Iterator[tuple[Suite, Case]]:
        """Yield the cases of all suites with a record, as they were run."""
        for name, named in self.groups:
            if name not in self.suites:
                self.case(name, named)
        for suite in self.reported_suites():
            for case in suite.cases:
                yield suite, apply(case, self.profile)

    def case(self, suite: str, name: str) -> Case:
        """Return the case as the profile runs it; raise `UsageError` when its suite is not among the given ones."""
        for case in self.suites[suite].cases if suite in self.suites else ():
            if case.name == name:
                return apply(case, self.profile)
        raise UsageError(f"the run holds {suite}/{name}, which no suite declares; give its file with --suites PATH")


def once(make: Callable[[Results], pd.DataFrame]) -> Callable[[Results], pd.DataFrame]:
    """Decorate a function so that its frame is made once for each `Results`; nobody may change it."""

    @wraps(make)
    def made(results: Results) -> pd.DataFrame:
        return results.once(f"{make.__module__}.{make.__name__}", make)

    return made


_KINDS: dict[Measure, tuple[Literal["accuracy", "timing"], ...]] = {
    "accuracy": ("accuracy",), "timing": ("timing",), "all": ("accuracy", "timing"),
}  # fmt: skip


def _differing(one: Source, other: Source) -> list[str]:
    """Return the parts of two fingerprints that keep the runs out of one table.

    Another commit is no other environment; the index lists the commits. Nor are other threads, unless both runs were
    timed: accuracies depend on them by rounding alone. A fact that only one fingerprint holds says nothing, nor does a
    package that only one had installed: what both had is compared.
    """
    ignored = {"git"} if one.timed and other.timed else {"git", "threads"}
    names = one.environment.keys() & other.environment.keys() - ignored
    return sorted(name for name in names if not _agree(one.environment[name], other.environment[name]))


def _agree(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(one[name] == other[name] for name in one.keys() & other.keys())
    return bool(one == other)


_cell = attrgetter("suite", "case", *VARIANT, "seed")
"""The fields of a cell's name: a key of records, many times as fast to make as a `Cell`."""
_case, _variant = attrgetter("suite", "case"), attrgetter(*VARIANT)
_measurement = attrgetter("suite", "case", "measure", "seed", "repeat")
_process = attrgetter("suite", "case", *VARIANT, "seed", "repeat")
_recorded = attrgetter("suite", "case", *VARIANT, "seed", "repeat", "measure")


def _latest(records: Iterable[Record], key: Callable[[Record], Any]) -> list[Record]:
    ordered = sorted(records, key=attrgetter("started"))
    return list(dict(zip(map(key, ordered), ordered, strict=True)).values())


def _of_any_measure(records: Iterable[Record]) -> list[Record]:
    """Return the latest of records that are already the latest of their cell, repeat and measure."""
    known = list(records)
    return known if len({record.measure for record in known}) < 2 else _latest(known, _process)


# --- one row per cell --------------------------------------------------------------------------------------------


def cells(records: Iterable[Record]) -> pd.DataFrame:
    """Return one flat row per record: the cell, what became of it, its end figures, medians of its times; no curves."""
    return pd.DataFrame([_flat(record) for record in records])


_TIMES = (
    "first_epoch", "build", "total", "steps", "alone", "step", "first_step", "compile", "input", "throughput", "noise",
)  # fmt: skip


def _flat(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: getattr(record, name) for name in ("suite", "case", *VARIANT, "seed", "repeat", "profile", "measure")
    }
    row |= {"status": record.status, "reason": record.reason, "started": record.started, "seconds": record.seconds}
    parameters = record.parameters
    for name in ("total", "trainable", "frozen", "stored"):
        row[f"parameters_{name}"] = getattr(parameters, name) if parameters else None
    metrics = record.metrics
    row["epochs_run"] = len(metrics.epochs) if metrics else None
    for which in ("last", "best"):
        weights = getattr(metrics, which) if metrics else None
        row[f"{which}_epoch"] = weights.epoch if weights else None
        for part in ("train", "validation", "test"):
            score = getattr(weights, part) if weights else None
            for figure in ("loss", "accuracy", "rows"):
                row[f"{which}_{part}_{figure}"] = getattr(score, figure) if score else None
    timing = record.timing
    row["epoch_seconds"] = median(timing.epochs) if timing and timing.epochs else None
    for name in _TIMES:
        row[f"timing_{name}"] = getattr(timing, name) if timing else None
    row["timing_latency"] = median(timing.latency) if timing and timing.latency else None
    row |= {f"cost_{name}": getattr(record.cost, name) if record.cost else None for name in Cost.model_fields}
    row |= {f"memory_{name}": value for name, value in (record.memory or {}).items()}
    data = record.data
    row["data"], row["data_sha256"] = (data.name, data.sha256) if data else (None, None)
    row["stand_in"] = data.stand_in if data else None
    row["error"] = record.failure.error if record.failure else None
    return row


# --- groups and their columns ------------------------------------------------------------------------------------

Groups = dict[tuple[str, str], dict[Variant, list[Record]]]


def by_case(records: Iterable[Record]) -> Groups:
    """Return the records by case and variant."""
    found: dict[Any, dict[Any, list[Record]]] = {}
    for record in records:
        found.setdefault(_case(record), {}).setdefault(_variant(record), []).append(record)
    return {case: {Variant(*key): members for key, members in own.items()} for case, own in found.items()}


def columns(groups: Groups) -> dict[tuple[str, str, Variant], str]:
    """Return the column that each case's variant stands in: its backend, and what sets it apart from another column.

    The best kernel of a case stands under the backend's bare name, another one under the name with the kernel. A
    setting in which nothing ended `ok` gets no column of its own.
    """
    alive = Counter(
        (variant.backend, variant.device, variant.numerics)
        for variants in groups.values()
        for variant, records in variants.items()
        if any(record.status == "ok" for record in records)
    )
    settings = {setting[1:] for setting in alive}
    places: dict[tuple[str, str, Variant], str] = {}
    for (suite, case), variants in groups.items():
        taken: set[str] = set()
        for variant in sorted(variants, key=lambda one: (not _any_ok(variants[one]), KERNELS.index(one.kernel), one)):
            setting = (variant.backend, variant.device, variant.numerics)
            if setting not in alive:
                mine = [(count, known) for known, count in alive.items() if known[0] == variant.backend]
                setting = max(mine)[1] if mine else setting
            name = _setting_name(setting, settings)
            if name in taken:
                name += f" {variant.kernel}"
            taken.add(name)
            places[suite, case, variant] = name
    return places


def _any_ok(records: Iterable[Record]) -> bool:
    return any(record.status == "ok" for record in records)


def _setting_name(setting: tuple[str, str, str], settings: set[tuple[str, str]]) -> str:
    """Return the backend, its device where there are several, and numerics that stand beside documented ones."""
    backend, device, numerics = setting
    parts = [backend]
    if len({known[0] for known in settings}) > 1:
        parts.append(device)
    if numerics != "documented" and len({known[1] for known in settings}) > 1:
        parts.append(numerics)
    return " ".join(parts)


def _status(records: Sequence[Record]) -> Status:
    """Return `ok` when any record is, else what became of most of them."""
    statuses = Counter(record.status for record in records)
    return "ok" if statuses["ok"] else statuses.most_common(1)[0][0]


def frame(rows: Sequence[Mapping[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Return rows as a frame of Python objects in which None, and nothing else, stands for a missing value."""
    values = [[None if row.get(name) != row.get(name) else row.get(name) for name in columns] for row in rows]  # nan
    return pd.DataFrame(values, columns=columns, dtype=object)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame by column name: `to_dict("records")`, many times as fast on frames of objects."""
    names = list(frame.columns)
    return [dict(zip(names, row, strict=True)) for row in frame.to_numpy().tolist()]


def reference_order(backend: str) -> int | None:
    """Return a backend's place among those that others are set against, the documents' own first; None without one."""
    info = backends().get(backend)
    return info.reference if info else None


# --- accuracy ----------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """A score that a record holds by parts, as one of its epochs."""

    loss: float
    accuracy: float
    rows: int


@dataclass(frozen=True)
class Figure:
    """A figure of a case: what the document prints, and where a record holds the same thing.

    `main` figures are those that the accuracy table shows and judges, one per case: test accuracy, else validation
    accuracy (and, where there is no test accuracy, the train accuracy that is printed beside it).
    """

    name: str
    score: Score
    measured: Callable[[Metrics], stored.Scored | None]
    main: bool = False

    @property
    def sampled(self) -> bool:
        """Return whether the figure is of rows held out from training, whose number limits what it can say."""
        return self.name.startswith(("test", "val"))


def figures(case: Case, documented: Documented) -> list[Figure]:
    """Return the figures of a case, in the order in which they are shown.

    A printed log that breaks off before the last epoch is compared epoch by epoch: `val, epoch 2` is the measured
    figure after epoch 2. Where training stops early, the last printed line is the end and is compared with the measured
    end.
    """
    printed = documented.epochs
    val, val_at = documented_validation(documented, case.training)
    fit = Score(printed[-1].loss, printed[-1].accuracy) if printed else Score()
    fit_at = None if not printed or log_ends(documented, case.training) else len(printed)

    test, train = documented.test or Score(), documented.train or Score()
    test_is_main = test.accuracy is not None or (val.accuracy is None and not _validates_only(case))
    return [
        Figure("test", test, lambda metrics: _of(metrics, "test"), main=test_is_main),
        Figure(at_epoch("val", val_at), val, lambda metrics: _validation(metrics, val_at), main=not test_is_main),
        Figure("best val", Score(), lambda metrics: metrics.best.validation if metrics.best else None),
        Figure(
            "train",
            train,
            lambda metrics: _of(metrics, "train"),
            main=not test_is_main and train.accuracy is not None,
        ),
        Figure(at_epoch("fit", fit_at), fit, lambda metrics: _fit(metrics, fit_at)),
    ]


def _validates_only(case: Case) -> bool:
    """Return whether the data of a case has no test part, as a labelled CSV, which is only split in two."""
    return isinstance(case.data, LabelledCsv) or (isinstance(case.data, Embedded) and not case.data.test)


def _of(metrics: Metrics, part: str) -> stored.Scored | None:
    score: stored.Scored | None = getattr(metrics.last, part) if metrics.last else None
    return score


def _validation(metrics: Metrics, epoch: int | None) -> stored.Scored | None:
    final = _of(metrics, "validation")
    if epoch is None or final is None or epoch > len(metrics.epochs):
        return final if epoch is None else None
    line = metrics.epochs[epoch - 1]
    if line.val_loss is None or line.val_accuracy is None:
        return None
    return Found(line.val_loss, line.val_accuracy, final.rows)


def _fit(metrics: Metrics, epoch: int | None) -> stored.Scored | None:
    number = len(metrics.epochs) if epoch is None else epoch
    if not 0 < number <= len(metrics.epochs):
        return None
    line = metrics.epochs[number - 1]
    return Found(line.loss, line.accuracy, 0)


@once
def accuracy(results: Results) -> pd.DataFrame:
    """Return one row per case, figure and variant.

    Columns: suite, case, figure, main, documented, documented_loss (None where nothing is printed and in the quick
    profile), column (where the variant stands), backend, kernel, device, numerics, status, mean, half (95 % interval
    over seeds), loss (mean), n of `of` seeds recorded for the case, rows and own (the set's own uncertainty, around the
    mean), verdict, low, high, reason, stand_in, epochs (mean, first to last), epochs_documented. A case without a
    record has one row per figure with status "not run".
    """
    groups = results.accuracy_groups
    places = results.columns
    rows: list[dict[str, Any]] = []
    for suite, case in results.cases():
        documented = case.documented if results.documented else Documented()
        variants = groups.get((suite.name, case.name), {})
        planned = results.planned.get((suite.name, case.name), set())
        seeds = len({seed for kind, seed, _ in planned if kind == "accuracy"})
        for figure in figures(case, documented):
            shared = {
                "suite": suite.name,
                "case": case.name,
                "figure": figure.name,
                "main": figure.main,
                "documented": figure.score.accuracy,
                "documented_loss": figure.score.loss,
                "epochs_documented": _documented_epochs(case, documented),
                "of": seeds,
            }
            for variant, members in sorted(variants.items()):
                rows.append(
                    shared
                    | {
                        "column": places[suite.name, case.name, variant],
                        "backend": variant.backend,
                        "kernel": variant.kernel,
                    }
                    | {"device": variant.device, "numerics": variant.numerics, "status": _status(members)}
                    | _measured(figure, members, documented.unjudged)
                )
                rows[-1]["of"] = max(seeds, rows[-1]["n"])
            if not variants:
                rows.append(shared | {"status": NOT_RUN})
    return frame(rows, _ACCURACY_COLUMNS)


_ACCURACY_COLUMNS = [
    *CASE, "figure", "main", "documented", "documented_loss", "epochs_documented", "column", *VARIANT, "status",
    "mean", "half", "loss", "n", "of", "rows", "own", "verdict", "low", "high", "reason", "stand_in",
    "epochs", "epochs_least", "epochs_most",
]  # fmt: skip


def _measured(figure: Figure, records: Sequence[Record], unjudged: str | None) -> dict[str, Any]:
    ok = [record.metrics for record in records if record.status == "ok" and record.metrics]
    scores = [score for metrics in ok if (score := figure.measured(metrics)) is not None]
    stand_ins = sorted({record.data.stand_in for record in records if record.data and record.data.stand_in})
    row: dict[str, Any] = {"n": len(scores), "stand_in": "; ".join(stand_ins) or None}
    if ok:
        lengths = [len(metrics.epochs) for metrics in ok]
        row |= {"epochs": fmean(lengths), "epochs_least": min(lengths), "epochs_most": max(lengths)}
    if not scores:
        return row
    values = [score.accuracy for score in scores]
    estimate = mean_interval(values)
    set_rows = scores[0].rows if figure.sampled else None
    row |= {
        "mean": estimate.mean,
        "half": estimate.half,
        "loss": fmean(score.loss for score in scores),
        "rows": set_rows,
        "own": binomial_half_width(estimate.mean, set_rows) if set_rows else None,
    }
    if figure.main and figure.score.accuracy is not None:
        if stand_ins and not unjudged:
            unjudged = on_stand_in("; ".join(stand_ins))
        judgement = judge(figure.score.accuracy, values, unjudged)
        row |= {"verdict": judgement.verdict, "low": judgement.low, "high": judgement.high, "reason": judgement.reason}
    return row


def on_stand_in(name: str) -> str:
    """Return the sentence that says on what a case ran in place of the documented data or vectors."""
    return f"Ran on a stand-in: {name}."


def _documented_epochs(case: Case, documented: Documented) -> int | None:
    """Return how many epochs the document ran: its log's length, or its protocol's where the print breaks off."""
    if not documented.epochs:
        return None
    return len(documented.epochs) if case.training.early_stopping else case.training.epochs


def by_seed(measured: Callable[[Metrics], stored.Scored | None], records: Iterable[Record]) -> dict[int, float]:
    """Return the accuracy that `measured` finds in each record that ended ok, by seed."""
    found = {}
    for record in records:
        score = measured(record.metrics) if record.status == "ok" and record.metrics else None
        if score is not None:
            found[record.seed] = score.accuracy
    return found


# --- timing ------------------------------------------------------------------------------------------------------


@once
def timing(results: Results) -> pd.DataFrame:
    """Return one row per case and variant; times in seconds.

    A process's epoch time is the median of its steady epochs (all but the first), the row's is the median over its
    processes; `low` and `high` are the fastest and the slowest steady epoch of all. Columns: suite, case, column,
    backend, kernel, device, numerics, status, headline (from records that measured timing, each alone in its process),
    epoch, low, high, n of `of` processes, epochs (steady ones), step (from windows of steps, where there are none from
    epochs), first_epoch, total, documented_epoch and
    documented_step (each least and most, documented profile only), reference (the backend) and ratio (this epoch time
    over the reference's), both of headlines alone. The reference is the backend of the same case, device and
    numerics that `reference_order` puts first, with its best kernel.
    """
    timed = results.timing_groups
    everything = results.accuracy_groups
    places = results.columns
    rows: list[dict[str, Any]] = []
    for suite, case in results.cases():
        key = (suite.name, case.name)
        documented = case.documented if results.documented else Documented()
        shared = {"suite": suite.name, "case": case.name} | _documented_times(documented)
        variants = sorted({*timed.get(key, {}), *everything.get(key, {})})
        own: list[dict[str, Any]] = []
        for variant in variants:
            members = timed.get(key, {}).get(variant) or everything[key][variant]
            own.append(
                shared
                | {"column": places[*key, variant], "backend": variant.backend, "kernel": variant.kernel}
                | {"device": variant.device, "numerics": variant.numerics, "status": _status(members)}
                | _times(members)
            )
        _add_ratios(own)
        rows += own or [shared | {"status": NOT_RUN}]
    return frame(rows, _TIMING_COLUMNS)


_TIMING_COLUMNS = [
    *CASE, "column", *VARIANT, "status", "headline", "epoch", "low", "high", "n", "of", "epochs", "step",
    "first_epoch", "total", "documented_epoch", "documented_step", "reference", "ratio",
]  # fmt: skip


def _documented_times(documented: Documented) -> dict[str, Any]:
    seconds = [line.seconds for line in documented.epochs if line.seconds is not None]
    steps = [line.step_ms for line in documented.epochs if line.step_ms is not None]
    step = documented.step_ms or ((min(steps), max(steps)) if steps else None)
    return {
        "documented_epoch": (min(seconds), max(seconds)) if seconds else None,
        "documented_step": (step[0] / 1000, step[1] / 1000) if step else None,
    }


def _times(records: Sequence[Record]) -> dict[str, Any]:
    ok = [(record, record.timing) for record in records if record.status == "ok" and record.timing]
    row: dict[str, Any] = {"n": len(ok), "of": len(records), "headline": None}
    if not ok:
        return row
    row["headline"] = all(record.measure in _TIMING and timing.alone for record, timing in ok)
    row["first_epoch"] = median(timing.first_epoch for _, timing in ok)
    row["total"] = median(timing.total for _, timing in ok)
    steady = [timing for _, timing in ok if timing.epochs]
    if steady:
        every = [seconds for timing in steady for seconds in timing.epochs]
        row |= {
            "epoch": median(median(timing.epochs) for timing in steady),
            "low": min(every),
            "high": max(every),
            "epochs": len(every),
            "step": median(_step(timing) for timing in steady),
        }
    return row


def _step(timing: Timing) -> float:
    return timing.step or median(timing.epochs) / timing.steps


def _add_ratios(rows: list[dict[str, Any]]) -> None:
    comparable = [row for row in rows if row["headline"] and row.get("epoch")]
    for row in comparable:
        peers = [
            other
            for other in comparable
            if reference_order(other["backend"]) is not None
            and all(other[name] == row[name] for name in ("device", "numerics"))
        ]
        if peers:
            reference = min(
                peers, key=lambda other: (reference_order(other["backend"]), KERNELS.index(other["kernel"]))
            )
            row |= {"reference": reference["backend"], "ratio": row["epoch"] / reference["epoch"]}


# --- parameters --------------------------------------------------------------------------------------------------


@once
def parameters(results: Results) -> pd.DataFrame:
    """Return one row per case and variant with the counts of what was built (several, should seeds differ).

    Columns: suite, case, column, backend, kernel, device, numerics, status, layers (tuple), total, trainable, frozen,
    stored, then documented_layers, documented_total, documented_trainable, documented_frozen (None where nothing is
    printed) and verdict: "equal", "differs: ...", "document misprint: ..." (what was built is what the case declares)
    or None where the document prints nothing, or where native numerics give torch's layers a bias more. Counts hold
    under both profiles.
    """
    groups = results.groups
    places = results.columns
    rows: list[dict[str, Any]] = []
    for suite, case in results.cases():
        documented = case.documented
        shared = {
            "suite": suite.name,
            "case": case.name,
            "documented_layers": documented.layers or None,
            "documented_total": documented.total,
            "documented_trainable": documented.trainable,
            "documented_frozen": documented.frozen,
        }
        variants = groups.get((suite.name, case.name), {})
        for variant, members in sorted(variants.items()):
            place = {
                "column": places[suite.name, case.name, variant],
                "backend": variant.backend,
                "kernel": variant.kernel,
            }
            place |= {"device": variant.device, "numerics": variant.numerics, "status": _status(members)}
            counts: list[stored.Parameters] = []
            for record in members:
                if record.parameters and record.parameters not in counts:
                    counts.append(record.parameters)
            for built in counts:
                row = shared | place | {"layers": tuple(layer.total for layer in built.layers)}
                row |= {
                    "total": built.total,
                    "trainable": built.trainable,
                    "frozen": built.frozen,
                    "stored": built.stored,
                }
                rows.append(row | {"verdict": _verdict(suite, case, variant.numerics, built)})
            if not counts:
                rows.append(shared | place)
        if not variants:
            rows.append(shared | {"status": NOT_RUN})
    return frame(rows, _PARAMETER_COLUMNS)


_PARAMETER_COLUMNS = [
    *CASE, "column", *VARIANT, "status", "layers", "total", "trainable", "frozen", "stored", "documented_layers",
    "documented_total", "documented_trainable", "documented_frozen", "verdict",
]  # fmt: skip


def _verdict(suite: Suite, case: Case, numerics: str, built: stored.Parameters) -> str | None:
    printed, found = printed_counts(case.documented), counts(built)
    # torch's own recurrent layers train a second bias, which is not the document's model.
    if not printed or "bias" in numerics_differences(numerics):
        return None
    differing = [name for name in printed if found[name] != printed[name]]
    if not differing:
        return "equal"
    declared = counts(declared_parameters(resolve(suite, case, "documented")))
    misprint = case.documented.misprint and all(found[name] == declared[name] for name in differing)
    return f"{'document misprint' if misprint else 'differs'}: {', '.join(differing)}"


# --- what is missing ---------------------------------------------------------------------------------------------


@once
def problems(results: Results) -> pd.DataFrame:
    """Return one row per case, variant and reason that cells did not end `ok`.

    Columns: suite, case, backend, kernel, device, numerics, measure, status, reason (one line), run (the name), cells
    (their names).
    """
    rows: dict[tuple[Any, ...], list[str]] = {}
    for record in results.records:
        if record.status != "ok":
            key = (
                *(getattr(record, name) for name in (*CASE, *VARIANT, "measure", "status")),
                one_line(record),
                results.run_of[id(record)],
            )
            rows.setdefault(key, []).append(str(record.cell))
    listed = [(*key, tuple(dict.fromkeys(names))) for key, names in rows.items()]
    return pd.DataFrame(listed, columns=[*CASE, *VARIANT, "measure", "status", "reason", "run", "cells"]).astype(object)


def one_line(record: Record) -> str:
    """Return the reason of a record, or the last line of its traceback, on one line."""
    text = (
        record.reason or (record.failure.traceback.strip().splitlines() or [""])[-1]
        if record.failure
        else record.reason
    )
    return re.sub(r"\s+", " ", text or "no reason recorded").strip()


@once
def not_run(results: Results) -> pd.DataFrame:
    """Return what no record exists of: suite, case, column (None: under no backend), missing and planned.

    The last two count measurements, (seed, repeat), of the case under that column.
    """
    rows: list[dict[str, Any]] = []
    groups = results.groups
    places = results.columns
    numerics = {variant.numerics for _, _, variant in places}
    main = {
        name: variant
        for (_, _, variant), name in places.items()
        if _is_main_column(name, variant) and (variant.numerics == "documented" or "documented" not in numerics)
    }
    for name, suite in results.suites.items():
        for case in suite.cases:
            variants = groups.get((name, case.name), {})
            planned = results.planned.get((name, case.name), set())
            lacking = {column: planned for column in sorted(main) if results.asked(name, case.name, main[column])}
            for variant, records in variants.items():
                column = places[name, case.name, variant]
                if column not in main and variant.numerics != "documented":
                    continue
                measured = {(kind, record.seed, record.repeat) for record in records for kind in _KINDS[record.measure]}
                lacking[column] = lacking.get(column, planned) - measured
            shared = {"suite": name, "case": case.name, "planned": _processes(planned)}
            if not variants:
                rows.append(shared)
            else:
                missing = {column: _processes(measurements) for column, measurements in lacking.items()}
                rows += [shared | {"column": column, "missing": count} for column, count in missing.items() if count]
    return frame(rows, ["suite", "case", "column", "missing", "planned"])


def _processes(measurements: set[Measurement]) -> int:
    return len({(seed, repeat) for _, seed, repeat in measurements})


def _is_main_column(name: str, variant: Variant) -> bool:
    return not name.endswith(f" {variant.kernel}")


def data_used(results: Results) -> pd.DataFrame:
    """Return one row per data set that the records ran on: name, sha256, rows, stand_in, cases (how many)."""
    rows: dict[tuple[str, str, str, str | None], set[tuple[str, str]]] = {}
    used = {(id(record.data), record.suite, record.case): record.data for record in results.records}
    for (_, suite, case), data in used.items():
        if data:
            parts = ", ".join(f"{name} {count:,}" for name, count in data.rows.items())
            rows.setdefault((data.name, data.sha256, parts, data.stand_in), set()).add((suite, case))
    return pd.DataFrame(
        [(*key, len(cases)) for key, cases in rows.items()], columns=["name", "sha256", "rows", "stand_in", "cases"]
    )


def statuses(results: Results) -> pd.DataFrame:
    """Return the number of cells by measure and backend (rows) and status (columns)."""
    counts = Counter((record.measure, record.backend, record.status) for record in results.records)
    seen = [status for status in get_args(Status) if any(key[2] == status for key in counts)]
    rows = sorted({key[:2] for key in counts})
    return pd.DataFrame(
        [[*row, *(counts[*row, status] for status in seen)] for row in rows], columns=["measure", "backend", *seen]
    )
