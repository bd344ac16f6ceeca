"""What a report is made of: runs with their records, grouped by case and variant, and the columns they stand in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Literal, get_args

from bench.cases.catalog import matches
from bench.cases.cell import Measure, Profile, Status
from bench.cases.model import numerics_differences
from bench.cases.profiles import apply
from bench.errors import UsageError
from bench.records import DEFAULT_PATH
from bench.records.record import VARIANT, Record
from bench.records.sequence import place
from bench.spec import Case, Kernel, Suite

NOT_RUN: Final = "not run"
_ACCURACY: tuple[Measure, ...] = ("accuracy", "glance", "all")
_TIMING: tuple[Measure, ...] = ("steps", "timing", "all")
KERNELS = get_args(Kernel)


@dataclass(frozen=True, order=True)
class Variant:
    """How a case was run: the parts of a cell beside case and seed."""

    backend: str
    kernel: Kernel
    device: str
    numerics: str

    @property
    def source(self) -> str:
        """Return the backend with the kernel of its recurrent layers, if it has any."""
        return self.backend if self.kernel == "none" else f"{self.backend} {self.kernel}"


class Column(str):
    """Where a variant stands in every table: its setting, and its kernel where that is not the case's best one."""

    __slots__ = ("kernel", "setting")
    setting: str
    kernel: Kernel | None

    def __new__(cls, setting: str, kernel: Kernel | None = None) -> Column:
        """Return the column, which as a text is its heading."""
        column = super().__new__(cls, f"{setting} {kernel}" if kernel else setting)
        column.setting, column.kernel = setting, kernel
        return column


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

    `store` is the path by which commands find the runs again. `twins` is what `bench parity` found of every
    (`suite/case`, backend, kernel); empty where it was not run. `reasons` says in a sentence why the figures of a case,
    `suite/case`, deviate, and where that is shown (`bench.report.sources.reasons`). `explained` are the pages of
    `bench explain` that lie in the report's folder; `documentation` whether that is a folder of a checkout's reports,
    whose pages may link to those in `docs`. `made` is what `frames.once` keeps. A later record of the same cell,
    repeat and measure replaces an earlier one (`bench.records.sequence.place`). Raises `UsageError` for runs that
    cannot share a table, and for none at all.
    """

    sources: tuple[Source, ...]
    suites: Mapping[str, Suite]
    store: Path = DEFAULT_PATH
    twins: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    reasons: Mapping[str, Link] = field(default_factory=dict)
    explained: tuple[str, ...] = ()
    documentation: bool = False
    made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first = self.sources[0]
        for other in self.sources[1:]:
            if other.profile != first.profile:
                raise UsageError(
                    f"runs {first.name!r} ({first.profile}) and {other.name!r} ({other.profile}) have different "
                    "profiles, whose figures "
                    "never share a table; report them apart"
                )
            parts = differing(first, other)
            if parts:
                raise UsageError(
                    f"runs {first.name!r} and {other.name!r} ran in different environments ({', '.join(parts)}); "
                    "report them apart"
                )
        if not self.records:
            names = ", ".join(source.name for source in self.sources)
            raise UsageError(
                f"run {names} holds no record yet, so there is nothing to report; continue it with `bench run --resume`"
            )

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Return the latest record of every cell, repeat and measure."""
        return tuple(_latest((record for source in self.sources for record in source.records), _recorded))

    @cached_property
    def columns(self) -> dict[tuple[str, str, Variant], Column]:
        """Return the column that each case's variant stands in: its backend, and what sets it apart from another one.

        The best kernel of a case stands under the backend's bare name, another one under the name with the kernel. A
        setting in which nothing ended `ok` gets no column of its own.
        """
        alive = Counter(
            (variant.backend, variant.device, variant.numerics)
            for variants in self.groups.values()
            for variant, records in variants.items()
            if _any_ok(records)
        )
        settings = {setting[1:] for setting in alive}
        places: dict[tuple[str, str, Variant], Column] = {}
        for (suite, case), variants in self.groups.items():
            taken: set[str] = set()
            ordered = [
                (not _any_ok(records), KERNELS.index(known.kernel), known) for known, records in variants.items()
            ]
            for _, _, variant in sorted(ordered):
                setting = (variant.backend, variant.device, variant.numerics)
                if setting not in alive:
                    known_settings = [(count, known) for known, count in alive.items() if known[0] == variant.backend]
                    setting = max(known_settings)[1] if known_settings else setting
                name = _setting_name(setting, settings)
                places[suite, case, variant] = Column(name, variant.kernel if name in taken else None)
                taken.add(places[suite, case, variant])
        return places

    def placed(self, groups: Groups, suite: str, case: str) -> Iterator[tuple[Variant, Column, list[Record]]]:
        """Yield the variants of a case with their columns and their records among `groups`, in order."""
        for variant, records in sorted(groups.get((suite, case), {}).items()):
            yield variant, self.columns[suite, case, variant], records

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
    def planned(self) -> dict[tuple[str, str, str], set[Measurement]]:
        """Return what was to be measured, recorded or not, of each case and numerics with a record."""
        seen: dict[tuple[str, str, str], dict[Literal["accuracy", "timing"], tuple[set[int], set[int]]]] = {}
        planned: dict[tuple[str, str, str], set[Measurement]] = {}
        for source in self.sources:
            seen.clear()
            for suite, name, numerics, measure, seed, repeat in set(map(_measurement, source.records)):
                kinds = seen.setdefault((suite, name, numerics), {})
                for kind in MEASURED[measure] if source.plan is None else ():
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

    def twin_mark(self, suite: str, case: str, variants: Collection[Variant]) -> str | None:
        """Return whether variants of a case are proven to train the same model: None where nothing was compared.

        Native numerics are no twins on purpose: they are `not applicable` where they stand alone, else left out. A
        variant that has no proof of its own is not proven.
        """
        twins = [variant for variant in variants if not numerics_differences(variant.numerics)]
        marks = {
            self.twins.get((f"{suite}/{case}", twin.backend, twin.kernel), "not proven")
            if twin.numerics == "documented" and twin.device == "cpu"
            else "not proven"
            for twin in twins
        }
        if variants and not twins:
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


MEASURED: dict[Measure, tuple[Literal["accuracy", "timing"], ...]] = {
    "accuracy": ("accuracy",), "glance": ("accuracy",), "steps": ("timing",), "timing": ("timing",),
    "all": ("accuracy", "timing"),
}  # fmt: skip


def differing(first: Source, other: Source) -> list[str]:
    """Return the parts of two fingerprints that keep the runs out of one table.

    Another commit is no other environment; the index lists the commits. Nor are other threads, another kernel of the
    system or another size of memory, unless both runs were timed: accuracies depend on them by rounding at most. A fact
    that only one fingerprint holds says nothing, nor does a package that only one had installed: what both had is
    compared.
    """
    ignored = {"git"} if first.timed and other.timed else {"git", "threads", "os", "memory_bytes"}
    names = first.environment.keys() & other.environment.keys() - ignored
    return sorted(name for name in names if not _agree(first.environment[name], other.environment[name]))


def _agree(fact: Any, other: Any) -> bool:
    if isinstance(fact, Mapping) and isinstance(other, Mapping):
        return all(fact[name] == other[name] for name in fact.keys() & other.keys())
    return bool(fact == other)


_cell = attrgetter("suite", "case", *VARIANT, "seed")
"""The fields of a cell's name: a key of records, many times as fast to make as a `Cell`."""
_case, _variant = attrgetter("suite", "case"), attrgetter(*VARIANT)
_measurement = attrgetter("suite", "case", "numerics", "measure", "seed", "repeat")
_process = attrgetter("suite", "case", *VARIANT, "seed", "repeat")
_recorded = attrgetter("suite", "case", *VARIANT, "seed", "repeat", "measure")


def _latest(records: Iterable[Record], key: Callable[[Record], Any]) -> list[Record]:
    ordered = sorted(records, key=place)
    return list(dict(zip(map(key, ordered), ordered, strict=True)).values())


def _of_any_measure(records: Iterable[Record]) -> list[Record]:
    """Return the latest of records that are already the latest of their cell, repeat and measure."""
    known = list(records)
    return known if len({record.measure for record in known}) < 2 else _latest(known, _process)


Groups = dict[tuple[str, str], dict[Variant, list[Record]]]


def by_case(records: Iterable[Record]) -> Groups:
    """Return the records by case and variant."""
    found: dict[Any, dict[Any, list[Record]]] = {}
    for record in records:
        found.setdefault(_case(record), {}).setdefault(_variant(record), []).append(record)
    return {case: {Variant(*key): members for key, members in variants.items()} for case, variants in found.items()}


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


def status_of(records: Sequence[Record]) -> Status:
    """Return `ok` when any record is, else what became of most of them."""
    statuses = Counter(record.status for record in records)
    return "ok" if statuses["ok"] else statuses.most_common(1)[0][0]
