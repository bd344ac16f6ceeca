"""A running comparison: both sides measured in turn, every record stored at once, the verdicts (`bench ab`)."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from msgspec import structs
from rich.console import Console

from bench.cases.catalog import Catalog
from bench.cases.cell import Cell, Measure, Profile
from bench.compare.installations import SIDES, Side, SideName, concessions, same_installation, side
from bench.compare.noise_floor import known_noise, noise_floors, pairs_lacking
from bench.compare.paired import judge_pairs
from bench.compare.pairs import (
    LeftOut,
    broken,
    check_data,
    common,
    margins,
    odd_figures,
    one_sided_figures,
    pair_sets,
)
from bench.compare.schedule import is_brief, measure, schedule
from bench.compare.statistics import SMALLEST_NOISE, fewest_pairs
from bench.compare.verdicts import LOOKS, Comparison, Policy, Verdict
from bench.errors import Incomparable, UsageError
from bench.machine.fingerprint import cores, differences
from bench.records.keeper import Keeper
from bench.records.metrics import METRICS, value
from bench.records.owner import timing_alone
from bench.records.record import Record
from bench.records.store import Run, Store, resuming
from bench.runner.plan import PlannedCell, TimeLeft
from bench.runner.progress import duration, first_line
from bench.runner.protocol import Question
from bench.runner.workers import Limits, Settings, run
from bench.spec import Device

MARGINS = {"cuda": 0.03, "cpu": 0.05}
SHARED_MARGIN = 0.10
"""The margin of times on a machine that is shared with others: a hosted CI runner, where CI is set."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What is compared, and how; both runs of a comparison keep it, so that it can be gone on with."""

    patterns: Sequence[str]
    base: str | None
    candidate: str | None
    base_path: str | None
    candidate_path: str | None
    noise: bool
    repeats: int
    seeds: int
    measured: Measure
    margin: float | None
    profile: Profile
    device: Device | None
    timeout: float | None
    threads: int | None
    suites: Sequence[str]

    @classmethod
    def stored(cls, options: Mapping[str, Any]) -> Options:
        """Return the options that a run of a comparison keeps."""
        kept: dict[str, Any] = {field.name: options.get(field.name) for field in fields(cls)}
        return cls(**kept)

    @property
    def times(self) -> bool:
        """Return whether cells are timed."""
        return self.measured != "accuracy"

    @property
    def trains(self) -> bool:
        """Return whether cells are trained for accuracy and loss."""
        return self.measured != "timing" and not self.noise

    def policy(self, catalog: Catalog, noise: Mapping[str, float]) -> Policy:
        """Return what counts as a change, by these options, the cases and this machine."""
        usual = MARGINS[self.device or "cpu"]
        if os.environ.get("CI") and self.device != "cuda":
            usual = max(usual, SHARED_MARGIN)
        return Policy(self.margin or usual, margins(catalog), noise)


Sides = Mapping[SideName, Side]


def introduced(options: Options) -> Sides:
    """Return both sides, introduced; raise `UsageError` when they are wrong, the same, or know no such cell."""
    of_base = options.base or options.base_path
    if options.noise and of_base:
        raise UsageError("--noise measures the candidate against itself; leave out --base and --base-path")
    if options.noise and not options.times:
        raise UsageError("--noise is of times and memory; leave out --measure accuracy")
    if not options.noise and not of_base:
        raise UsageError(
            "what to compare with? --base PYTHON of another environment, --base-path DIR of another checkout, "
            "or --noise to measure this environment against itself"
        )
    question = Question(
        patterns=list(options.patterns),
        profile=options.profile,
        device=options.device,
        suites=list(options.suites),
        threads=options.threads or cores(),
    )
    candidate = side("candidate", options.candidate, options.candidate_path, question)
    if options.noise:
        base = replace(candidate, name="base")
    else:
        base = side("base", options.base, options.base_path, question)
        if same_installation(base, candidate):
            raise UsageError(
                f"base and candidate are the same: {candidate.python} with {candidate.introduction.package}; "
                "--noise measures an environment against itself"
            )
        changed = differences(base.environment, candidate.environment)
        _log.info("from base to candidate: %s", ", ".join(changed) or "no version or commit differs")
    for text in concessions([candidate] if options.noise else [base, candidate]):
        _log.info("%s", text)
    for pattern, reason in candidate.introduction.unmatched.items():
        if pattern in base.introduction.unmatched:
            raise UsageError(reason)
    return {"base": base, "candidate": candidate}


@dataclass(frozen=True)
class Plan:
    """The cells that both sides can run, and what their processes take: as long as before, where `store` knows."""

    options: Options
    sides: Sides
    cells: Sequence[PlannedCell]
    left_out: Sequence[LeftOut]
    store: Store | None

    @classmethod
    def of(cls, options: Options, sides: Sides, store: Store | None) -> Plan:
        """Return what `options` ask of both sides."""
        cells, left_out = common(sides["base"], sides["candidate"])
        plan = cls(options, sides, cells, left_out, store)
        return replace(plan, cells=[plan._taking(cell, "timing", cell.estimate) for cell in cells])

    def timed(self, planned: PlannedCell) -> PlannedCell:
        """Return a repeat with the seconds of one timed process, which may be brief."""
        brief = is_brief(planned.repeat, self.sides.values())
        return self._taking(planned, "timing", planned.estimate, brief=brief)

    def trained(self, planned: PlannedCell) -> PlannedCell:
        """Return a cell with the seconds of one training for accuracy, by default half of a timed process."""
        return self._taking(planned, "accuracy", planned.estimate / 2)

    def estimates(self) -> Iterator[tuple[Cell, float]]:
        """Yield each cell with the seconds that measuring it takes on both sides, before anything is inconclusive."""
        for planned in self.cells:
            processes = []
            if self.options.times:
                processes += [self.timed(replace(planned, repeat=1 + repeat)) for repeat in range(self.options.repeats)]
            if self.options.trains:
                processes += [self.trained(planned)] * self.options.seeds
            yield planned.cell, len(SIDES) * sum(process.estimate for process in processes)

    def _taking(self, planned: PlannedCell, measured: Measure, otherwise: float, *, brief: bool = False) -> PlannedCell:
        known = self.store and self.store.seconds(planned.cell, self.options.profile, measured, brief=brief)
        return replace(planned, estimate=known or otherwise)


Runs = Mapping[SideName, Run]


def new_runs(store: Store, name: str, command: list[str], options: Options, sides: Sides) -> Runs:
    """Store a run for each side of a comparison of that name."""
    kept = asdict(options) | {"comparison": name}
    return {
        each: store.create_run(
            f"{name}-{each}", options.profile, sides[each].environment, command, kept | {"side": each}
        )
        for each in SIDES
    }


def stored_runs(store: Store, name: str) -> Runs:
    """Return the runs of the comparison of that name; raise `UsageError` when there is none."""
    runs: Runs = {each: store.run(f"{name}-{each}") for each in SIDES}
    base = runs["base"]
    if "comparison" not in base.options:
        raise UsageError(f"run {base.name!r} is no side of a comparison; continue it with bench run --resume")
    return runs


def check_unchanged(runs: Runs, sides: Sides) -> None:
    """Raise `Incomparable` when a side is no longer what its pairs so far were measured on."""
    for name in SIDES:
        changed = differences(runs[name].environment, sides[name].environment)
        if changed:
            raise Incomparable(
                f"the {name} has changed since run {runs[name].name!r} began: {', '.join(changed)}; "
                "set it back, or start another comparison"
            )


class Session:
    """Measures of a comparison what is not stored yet, stores it at once, and judges it."""

    def __init__(self, plan: Plan, store: Store, runs: Runs, limits: Limits, interrupted: threading.Event) -> None:
        self.name: str = runs["base"].options["comparison"]
        self._plan, self._options, self._sides = plan, plan.options, plan.sides
        self._store, self._runs, self._limits, self._interrupted = store, runs, limits, interrupted
        threads = self._options.threads or cores()
        self._settings = Settings(self._options.profile, "timing", threads, tuple(self._options.suites))

    def compare(self, catalog: Catalog) -> Comparison | None:
        """Measure and judge; cells that are inconclusive are measured as often again, once. None when interrupted."""
        noise = {} if self._options.noise else known_noise(self._store, self._sides["candidate"].environment)
        policy = self._options.policy(catalog, noise)
        timed = trained = self._plan.cells
        verdicts: list[Verdict] = []
        for look in range(1, LOOKS + 1):
            repeats, seeds = look * self._options.repeats, look * self._options.seeds
            if self._options.trains:
                self._train(trained, seeds)
            if self._options.times:
                self._time(timed, repeats)
            if self._interrupted.is_set():
                return None
            base, candidate = (
                [record for record in self._records(name) if record.repeat <= repeats and record.seed < seeds]
                for name in SIDES
            )
            check_data(base, candidate)
            verdicts = judge_pairs(pair_sets(base, candidate), policy, look)
            left = [verdict for verdict in verdicts if verdict.verdict == "inconclusive"]
            if not left:
                break
            again = {(verdict.cell, METRICS[verdict.quantity].kind == "score") for verdict in left}
            timed = [planned for planned in self._plan.cells if (planned.cell.configuration, False) in again]
            trained = [planned for planned in self._plan.cells if (planned.cell.configuration, True) in again]
            if look < LOOKS:
                cells = len({cell for cell, _ in again})
                _log.info("%d of %d cells are inconclusive and measured again", cells, len(self._plan.cells))
        return self._comparison(policy, verdicts)

    @property
    def all_ok(self) -> bool:
        """Return whether every stored record ended ok."""
        return all(record.status == "ok" for name in SIDES for record in self._records(name))

    def _records(self, name: SideName) -> list[Record]:
        return list(self._store.records(self._runs[name].name))

    def _finished(self, name: SideName) -> set[tuple[Cell, int]]:
        return {(found.cell, found.repeat) for found in self._store.finished(self._runs[name].name)}

    def _train(self, cells: Sequence[PlannedCell], seeds: int) -> None:
        """Train `cells` with seeds 0 to `seeds` - 1 on both sides, one after the other: no time is taken."""
        settings = replace(self._settings, measure="accuracy")
        wanted = [replace(planned, cell=replace(planned.cell, seed=seed)) for seed in range(seeds) for planned in cells]
        left = {}
        for name in SIDES:
            finished = self._finished(name)
            left[name] = [self._plan.trained(planned) for planned in wanted if (planned.cell, 0) not in finished]
        progress = _Progress([*left["base"], *left["candidate"]], "trainings")
        for name in SIDES:
            side = self._sides[name]
            known = side.worker, side.protocol, side.introduction.code
            for record in run(left[name], settings, self._limits, progress, self._interrupted, *known):
                self._keep(name, record)
                progress.ended(name, record)

    def _time(self, cells: Sequence[PlannedCell], repeats: int) -> None:
        """Time `cells` in repeats 1 to `repeats`; a pair that lacks a side is measured as a whole."""
        finished = self._finished("base") & self._finished("candidate")
        pairs = [
            pair
            for pair in schedule(cells, range(1, repeats + 1), self.name)
            if (pair.planned.cell, pair.planned.repeat) not in finished
        ]
        if not pairs:
            return
        progress = _Progress([self._plan.timed(pair.planned) for pair in pairs for _ in SIDES], "processes")
        with timing_alone(self._interrupted):
            for name, record in measure(pairs, self._sides, self._settings, self._limits, progress, self._interrupted):
                self._keep(name, record)
                progress.ended(name, record)

    def _keep(self, name: SideName, record: Record) -> None:
        record = structs.replace(record, details={**record.details, "side": name})
        again = resuming(self.name, self._store.path, "ab")
        keeper = Keeper(self._store, self._runs[name], self._interrupted, again)
        keeper.add(record, self._sides[name].environment)
        keeper.close()

    def _comparison(self, policy: Policy, judged: Sequence[Verdict]) -> Comparison:
        """Return the verdicts, those on cells that broke or are missing among them, and what must be said beside."""
        base, candidate = (self._records(name) for name in SIDES)
        pairs = pair_sets(base, candidate)
        left_out = self._plan.left_out
        failed = [*one_sided_figures(pairs), *broken("candidate", candidate), *broken("base", base)]
        failed += [
            Verdict(cell.cell, "", "failed", reason=cell.reason) for cell in left_out if cell.lacking == ("candidate",)
        ]
        instead = {(verdict.cell, verdict.quantity) for verdict in failed}
        caveats = [f"not compared: {cell.cell}: {cell.reason}" for cell in left_out if "base" in cell.lacking]
        caveats += concessions([self._sides[name] for name in SIDES[self._options.noise :]])
        caveats += [*odd_figures("base", base), *odd_figures("candidate", candidate)]
        if self._options.noise:
            floors = noise_floors(pairs)
            caveats += [f"noise floor of {METRICS[name].title}: {floor:.2%}" for name, floor in floors.items()]
            if lacking := pairs_lacking(pairs):
                titles = ", ".join(METRICS[name].title for name in lacking)
                repeats = max(fewest_pairs(policy.level / LOOKS), math.ceil(SMALLEST_NOISE / len(self._plan.cells)))
                caveats.append(
                    f"no noise floor of {titles}: {max(lacking.values())} of {SMALLEST_NOISE} pairs are missing; "
                    f"measure them by `bench ab --resume {self.name} --repeats {repeats}`"
                )
        elif not policy.noise:
            caveats.append("this machine's noise floor is not known; `bench ab --noise` measures it")
        return Comparison(
            self._runs["base"].name,
            self._runs["candidate"].name,
            True,
            policy,
            (*failed, *(verdict for verdict in judged if (verdict.cell, verdict.quantity) not in instead)),
            tuple(differences(self._sides["base"].environment, self._sides["candidate"].environment)),
            tuple(caveats),
        )


class _Progress:
    """A line on stderr for every process that ended, with the time that is left; nothing while one measures."""

    def __init__(self, planned: Sequence[PlannedCell], what: str) -> None:
        self._time_left = TimeLeft(planned)
        self._done, self._all = 0, len(planned)
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        if planned:
            _log.info("%d %s, about %s", len(planned), what, duration(self._time_left.seconds()))

    def started(self, planned: PlannedCell) -> None:
        """Say nothing."""

    def epoch(self, planned: PlannedCell, progress: dict[str, Any]) -> None:
        """Say nothing."""

    def ended(self, name: SideName, record: Record) -> None:
        """Print the line of a process; the time left is estimated by what those before took."""
        self._time_left.ended(record)
        self._done += 1
        left = duration(self._time_left.seconds())
        count = f"[{self._done:>{len(str(self._all))}}/{self._all}]"
        repeat = f" repeat {record.repeat}" if record.repeat else ""
        self._console.print(f"{count} {name}: {record.cell}{repeat}  {_outcome(record)}  (left: {left})", markup=False)


def _outcome(record: Record) -> str:
    if record.status != "ok":
        return f"{record.status}: {first_line(record.reason)}"
    metric = METRICS["accuracy" if record.measure == "accuracy" else "step"]
    figure = value(record, metric.name)
    return "ok" if figure is None else metric.text(figure)
