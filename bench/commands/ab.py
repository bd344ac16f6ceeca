"""`bench ab`: measure two environments in alternation on this machine, then judge the difference."""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource
from msgspec import structs

from bench.cases.catalog import load
from bench.cases.cell import Cell, Measure, Profile
from bench.commands.compare import tell
from bench.compare.installations import Side, SideName, concessions, same_installation, side
from bench.compare.paired import DEFAULT_PAIRS, LOOKS, Comparison, Policy, Verdict, judge_pairs
from bench.compare.pairs import (
    LeftOut,
    broken,
    check_data,
    common,
    known_noise,
    margins,
    noise_floors,
    odd_figures,
    one_sided_figures,
    pair_sets,
    representative,
    times,
    trains,
)
from bench.compare.schedule import is_brief, measure, schedule
from bench.errors import Incomparable, SuiteError, UsageError
from bench.machine.fingerprint import available_memory, cores, differences
from bench.records.metrics import METRICS, value
from bench.records.record import Record
from bench.records.store import DEFAULT_PATH, Run, Store
from bench.runner.estimates import TimeLeft
from bench.runner.plan import PlannedCell
from bench.runner.progress import duration
from bench.runner.protocol import Question
from bench.runner.run import SAFE_SHARE_OF_MEMORY, free_name, interruptible
from bench.runner.workers import Limits, Settings, run
from bench.spec import Device

DEFAULT_SEEDS = 5
MARGINS = {"cuda": 0.03, "cpu": 0.05}
SHARED_MARGIN = 0.10
"""The margin of times on a machine that is shared with others: a hosted CI runner, where CI is set."""
SIDES: tuple[SideName, SideName] = ("base", "candidate")


@click.command("ab")
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option("--base", metavar="PYTHON", help="The Python of the base. Default, with --base-path: this one.")
@click.option("--candidate", metavar="PYTHON", help="The Python of the candidate. Default: this one.")
@click.option("--base-path", metavar="DIR", help="A checkout that the base runs.")
@click.option("--candidate-path", metavar="DIR", help="A checkout that the candidate runs.")
@click.option("--noise", is_flag=True, help="Measure the candidate against itself: this machine's noise floor.")
@click.option(
    "--repeats",
    type=click.IntRange(1),
    default=DEFAULT_PAIRS,
    show_default=True,
    metavar="N",
    help="Pairs of timed processes of a cell; as many again where that was inconclusive.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=DEFAULT_SEEDS,
    show_default=True,
    metavar="N",
    help="Pairs of trainings of a cell, for accuracy and loss; as many again where that was inconclusive.",
)
@click.option("--measure", "measured", type=click.Choice(get_args(Measure)), default="all", show_default=True)
@click.option(
    "--margin",
    type=click.FloatRange(0, min_open=True),
    metavar="SHARE",
    help="The slowdown that counts as one. Default: 0.05, 0.03 on a GPU, 0.1 where CI is set.",
)
@click.option("--strict", is_flag=True, help="End with 1 where a verdict is inconclusive, too.")
@click.option("--profile", type=click.Choice(get_args(Profile)), default="quick", show_default=True)
@click.option("--device", type=click.Choice(get_args(Device)), help="Default: cpu.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="S", help="Seconds that a cell may take.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads of each framework. Default: every core.")
@click.option("--suites", multiple=True, metavar="PATH", help="More suite files or folders.")
@click.option(
    "--store", "store_path", type=click.Path(path_type=Path), default=DEFAULT_PATH, metavar="PATH", show_default=True
)
@click.option("--name", metavar="NAME", help="Name of the comparison; its runs are NAME-base and NAME-candidate.")
@click.option("--resume", metavar="NAME", help="Go on with a comparison: finished pairs are not measured again.")
@click.option("--dry-run", is_flag=True, help="Print the cells and the estimated time, measure nothing.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write reports there.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@click.pass_context
def command(context: click.Context, /, **_: Any) -> int:
    """Measure two environments in alternation on this machine, then judge the difference.

    Each side is a Python in whose environment twinbench is installed, or that runs the checkout named by --base-path
    or --candidate-path. Without a PATTERN the cases are compared that the suites mark as representative.
    """
    params = context.params
    with ExitStack() as opened:
        store, runs = _open(context, opened)
        catalog = load([Path(path) for path in params["suites"]])
        if catalog.errors:
            raise SuiteError("\n".join(str(error) for error in catalog.errors))
        params["patterns"] = params["patterns"] or representative(catalog)
        sides = _sides(params)
        if runs:
            _check_unchanged(runs, sides)
        cells, left_out = common(sides["base"], sides["candidate"])
        if store:
            cells = [replace(one, estimate=_seconds(store, one, params["profile"])) for one in cells]
        if params["dry_run"]:
            return _dry_run(params, store, sides, cells)
        store = store or opened.enter_context(Store(params["store_path"], create=True))
        runs = runs or _new_runs(store, context.obj, params, sides)
        session = _Session(params, store, runs, sides, cells)
        noise = {} if params["noise"] else known_noise(store, sides["candidate"].environment)
        policy = Policy(_margin(params), margins(catalog), noise)
        verdicts = session.verdicts(policy)
        if session.interrupted.is_set():
            click.echo(f"bench: interrupted; go on with: {session.again}", err=True)
            return 130
        comparison = _comparison(session, policy, verdicts, left_out, noise=params["noise"])
        code = tell(comparison, params["out"], as_json=params["as_json"], strict=params["strict"])
        all_ok = all(record.status == "ok" for name in SIDES for record in session.records(name))
        return code if all_ok else 3


# --- before ------------------------------------------------------------------------------------------------------

_KEPT = (
    "patterns",
    "base",
    "candidate",
    "base_path",
    "candidate_path",
    "noise",
    "repeats",
    "seeds",
    "measured",
    "margin",
    "profile",
    "device",
    "timeout",
    "threads",
    "suites",
)
"""Options that `--resume` takes from the comparison."""
_MAY_CHANGE = ("repeats", "seeds", "margin", "timeout")

Runs = dict[SideName, Run]


def _open(context: click.Context, opened: ExitStack) -> tuple[Store | None, Runs | None]:
    """Return the store, where there is one yet, and the runs that `--resume` names, their options taken over."""
    params = context.params
    path, resumed = params["store_path"], params["resume"]
    if resumed and params["name"]:
        raise UsageError("--name is for a new comparison, --resume for one that exists; give one of them")
    store = opened.enter_context(Store(path)) if resumed or path.exists() else None
    if not (store and resumed):
        return store, None
    runs: Runs = {name: store.run(f"{resumed}-{name}") for name in SIDES}
    kept = runs["base"].options
    if "comparison" not in kept:
        raise UsageError(f"run {runs['base'].name!r} is no side of a comparison; go on with it by bench run --resume")
    for name in _KEPT:
        given = context.get_parameter_source(name) is not ParameterSource.DEFAULT and params[name] != ()
        if given and name not in _MAY_CHANGE:
            raise UsageError(
                f"comparison {resumed!r} keeps its {name.replace('_', ' ')}; leave that out, or start another one"
            )
        if not given:
            params[name] = kept[name]
    return store, runs


def _sides(params: dict[str, Any]) -> dict[SideName, Side]:
    """Return both sides, introduced; raise `UsageError` when they are wrong, the same, or know no such cell."""
    of_base = [params["base"], params["base_path"]]
    if params["noise"] and any(of_base):
        raise UsageError("--noise measures the candidate against itself; leave out --base and --base-path")
    if params["noise"] and not times(params):
        raise UsageError("--noise is of times and memory; leave out --measure accuracy")
    if not params["noise"] and not any(of_base):
        raise UsageError(
            "what to compare with? --base PYTHON of another environment, --base-path DIR of another checkout, "
            "or --noise to measure this environment against itself"
        )
    question = Question(
        patterns=list(params["patterns"]),
        profile=params["profile"],
        device=params["device"],
        suites=params["suites"],
        threads=params["threads"] or cores(),
    )
    candidate = side("candidate", params["candidate"], _path(params["candidate_path"]), question)
    if params["noise"]:
        base = replace(candidate, name="base")
    else:
        base = side("base", params["base"], _path(params["base_path"]), question)
        if same_installation(base, candidate):
            raise UsageError(
                f"base and candidate are the same: {candidate.python} with {candidate.introduction.package}; "
                "--noise measures an environment against itself"
            )
        changed = differences(base.environment, candidate.environment)
        click.echo(f"bench: from base to candidate: {', '.join(changed) or 'no version or commit differs'}", err=True)
    for text in concessions([candidate] if params["noise"] else [base, candidate]):
        click.echo(f"bench: {text}", err=True)
    for pattern, reason in candidate.introduction.unmatched.items():
        if pattern in base.introduction.unmatched:
            raise UsageError(reason)
    return {"base": base, "candidate": candidate}


def _check_unchanged(runs: Runs, sides: dict[SideName, Side]) -> None:
    """Raise `Incomparable` when a side is no longer what its pairs so far were measured on."""
    for name in SIDES:
        changed = differences(runs[name].environment, sides[name].environment)
        if changed:
            raise Incomparable(
                f"the {name} has changed since run {runs[name].name!r} began: {', '.join(changed)}; "
                "set it back, or start another comparison"
            )


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _new_runs(store: Store, words: Sequence[str], params: dict[str, Any], sides: dict[SideName, Side]) -> Runs:
    taken = {run.name.removesuffix(f"-{name}") for run in store.runs() for name in SIDES}
    name = params["name"] or free_name(taken)
    options = {key: params[key] for key in _KEPT} | {"comparison": name}
    return {
        one: store.create_run(
            f"{name}-{one}",
            params["profile"],
            sides[one].environment,
            ["bench", *words],
            options | {"side": one},
        )
        for one in SIDES
    }


def _margin(params: dict[str, Any]) -> float:
    if params["margin"]:
        margin: float = params["margin"]
        return margin
    own = MARGINS[params["device"] or "cpu"]
    return max(own, SHARED_MARGIN) if os.environ.get("CI") and params["device"] != "cuda" else own


def _seconds(store: Store | None, planned: PlannedCell, profile: Profile, *, brief: bool = False) -> float:
    """Return the seconds of one timed process: those that such a one took before, else the estimate there is."""
    return (store and store.seconds(planned.cell, profile, "timing", brief=brief)) or planned.estimate


def _training_seconds(store: Store | None, planned: PlannedCell, profile: Profile) -> float:
    """Return the seconds of one training for accuracy: those it took before, else half of a timed process."""
    return (store and store.seconds(planned.cell, profile, "accuracy")) or planned.estimate / 2


def _dry_run(
    params: dict[str, Any], store: Store | None, sides: dict[SideName, Side], cells: Sequence[PlannedCell]
) -> int:
    """Print what would be measured and how long that takes."""
    total = 0.0
    brief = [is_brief(repeat, sides.values()) for repeat in range(1, params["repeats"] + 1)]
    for one in cells:
        seconds = 0.0
        if times(params):
            seconds += 2 * sum(_seconds(store, one, params["profile"], brief=each) for each in brief)
        if trains(params):
            seconds += 2 * params["seeds"] * _training_seconds(store, one, params["profile"])
        click.echo(f"{one.cell.configuration}  about {duration(seconds)}")
        total += seconds
    click.echo(f"{len(cells)} cells, about {duration(total)} (an estimate; what is inconclusive takes as long again)")
    return 0


# --- during ------------------------------------------------------------------------------------------------------


class _Session:
    """Measures of a comparison what is not stored yet, stores it at once, and judges it."""

    def __init__(
        self,
        params: dict[str, Any],
        store: Store,
        runs: Runs,
        sides: dict[SideName, Side],
        cells: Sequence[PlannedCell],
    ) -> None:
        self.name: str = runs["base"].options["comparison"]
        self.interrupted = threading.Event()
        self._params, self._store, self._runs, self._cells = params, store, runs, cells
        self.sides = sides
        threads = params["threads"] or cores()
        self._settings = Settings(params["profile"], "timing", threads, tuple(params["suites"]))
        self._limits = Limits(SAFE_SHARE_OF_MEMORY * available_memory(), params["timeout"])

    def verdicts(self, policy: Policy) -> list[Verdict]:
        """Measure and judge; cells that are inconclusive are measured as often again, once. Empty when interrupted."""
        n, seeds = self._params["repeats"], self._params["seeds"]
        timed, trained = self._cells, self._cells
        verdicts: list[Verdict] = []
        with interruptible() as self.interrupted:
            for look in range(1, LOOKS + 1):
                if trains(self._params):
                    self._train(trained, look * seeds)
                if times(self._params):
                    self._time(timed, look * n)
                if self.interrupted.is_set():
                    return []
                records = [self.records(name, look * n, look * seeds) for name in SIDES]
                check_data(*records)
                verdicts = judge_pairs(pair_sets(*records), policy, look)
                open_ = [verdict for verdict in verdicts if verdict.verdict == "inconclusive"]
                scores = {verdict.cell for verdict in open_ if METRICS[verdict.quantity].kind == "score"}
                others = {verdict.cell for verdict in open_ if METRICS[verdict.quantity].kind != "score"}
                timed = [one for one in self._cells if one.cell.configuration in others]
                trained = [one for one in self._cells if one.cell.configuration in scores]
                if not open_:
                    break
                if look < LOOKS:
                    again = f"{len(others | scores)} of {len(self._cells)} cells"
                    click.echo(f"bench: {again} are inconclusive and measured again", err=True)
        return verdicts

    @property
    def again(self) -> str:
        """Return the command that goes on with this comparison."""
        path = self._store.path
        store = "" if path == DEFAULT_PATH else f" --store {shlex.quote(str(path))}"
        return f"bench ab --resume {shlex.quote(self.name)}{store}"

    def records(self, name: SideName, repeats: int | None = None, seeds: int | None = None) -> list[Record]:
        """Return what is stored of one side, up to so many repeats and seeds."""
        return [
            record
            for record in self._store.records(self._runs[name].name)
            if (repeats is None or record.repeat <= repeats) and (seeds is None or record.seed < seeds)
        ]

    def _finished(self, name: SideName) -> set[tuple[Cell, int]]:
        return {(record.cell, record.repeat) for record in self.records(name) if record.status == "ok"}

    def _train(self, cells: Sequence[PlannedCell], seeds: int) -> None:
        """Train `cells` with seeds 0 to `seeds` - 1 on both sides, one after the other: no time is taken."""
        settings = replace(self._settings, measure="accuracy")
        wanted = [replace(one, cell=replace(one.cell, seed=seed)) for seed in range(seeds) for one in cells]
        done = {name: self._finished(name) for name in SIDES}
        left = {name: [one for one in wanted if (one.cell, 0) not in done[name]] for name in SIDES}
        planned = [one for name in SIDES for one in left[name]]
        seconds = {one.cell: _training_seconds(self._store, one, self._settings.profile) for one in planned}
        progress = _Progress([replace(one, estimate=seconds[one.cell]) for one in planned], "trainings")
        for name in SIDES:
            worker, protocol = self.sides[name].worker, self.sides[name].protocol
            for record in run(left[name], settings, self._limits, progress, self.interrupted, worker, protocol):
                self._keep(name, record)
                progress.ended(f"{name}: {record.cell}  {_figure(record, 'accuracy')}", record)

    def _time(self, cells: Sequence[PlannedCell], repeats: int) -> None:
        """Time `cells` in repeats 1 to `repeats`; a pair that lacks a side is measured as a whole."""
        done = self._finished("base") & self._finished("candidate")
        pairs = [
            pair
            for pair in schedule(cells, range(1, repeats + 1), self.name)
            if (pair.planned.cell, pair.planned.repeat) not in done
        ]
        progress = _Progress([self._estimated(pair.planned) for pair in pairs for _ in SIDES], "processes")
        for name, record in measure(pairs, self.sides, self._settings, self._limits, progress, self.interrupted):
            self._keep(name, record)
            progress.ended(f"{name}: {record.cell} repeat {record.repeat}  {_figure(record, 'step')}", record)

    def _estimated(self, planned: PlannedCell) -> PlannedCell:
        brief = is_brief(planned.repeat, self.sides.values())
        return replace(planned, estimate=_seconds(self._store, planned, self._settings.profile, brief=brief))

    def _keep(self, name: SideName, record: Record) -> None:
        details = {**record.details, "side": name}
        run = self._runs[name]
        self._store.add(run.name, structs.replace(record, details=details), self.sides[name].environment)


class _Progress:
    """A line on stderr for every process that ended, with the time that is left; nothing while one measures."""

    def __init__(self, planned: Sequence[PlannedCell], what: str) -> None:
        self._time_left = TimeLeft(planned)
        self._done, self._all = 0, len(planned)
        if planned:
            click.echo(f"bench: {len(planned)} {what}, about {duration(self._time_left.seconds())}", err=True)

    def started(self, planned: PlannedCell) -> None:
        """Say nothing."""

    def epoch(self, planned: PlannedCell, progress: dict[str, Any]) -> None:
        """Say nothing."""

    def ended(self, text: str, record: Record) -> None:
        """Print the line of a process; the time left is estimated by what those before took."""
        self._time_left.ended(record)
        self._done += 1
        left = duration(self._time_left.seconds())
        click.echo(f"[{self._done:>{len(str(self._all))}}/{self._all}] {text}  (left: {left})", err=True)


def _figure(record: Record, name: str) -> str:
    figure = value(record, name)
    if record.status != "ok":
        return f"{record.status}: {(record.reason or '').partition(chr(10))[0]}"
    return "ok" if figure is None else METRICS[name].text(figure)


# --- after -------------------------------------------------------------------------------------------------------


def _comparison(
    session: _Session, policy: Policy, judged: Sequence[Verdict], left_out: Sequence[LeftOut], *, noise: bool
) -> Comparison:
    """Return the verdicts, those on cells that broke or are missing among them, and what must be said beside them."""
    base, candidate = (session.records(name) for name in SIDES)
    pairs = pair_sets(base, candidate)
    failed = [*one_sided_figures(pairs), *broken("candidate", candidate), *broken("base", base)]
    failed += [Verdict(one.cell, "", "failed", reason=one.reason) for one in left_out if one.lacking == ("candidate",)]
    instead = {(verdict.cell, verdict.quantity) for verdict in failed}
    caveats = [f"not compared: {one.cell}: {one.reason}" for one in left_out if "base" in one.lacking]
    caveats += concessions([session.sides[name] for name in SIDES[noise:]])
    caveats += [*odd_figures("base", base), *odd_figures("candidate", candidate)]
    if noise:
        floors = noise_floors(pairs)
        caveats += [f"noise floor of {METRICS[name].title}: {floor:.2%}" for name, floor in floors.items()]
    elif not policy.noise:
        caveats.append("this machine's noise floor is not known; `bench ab --noise` measures it")
    environments = [session.sides[name].environment for name in SIDES]
    return Comparison(
        f"{session.name}-base",
        f"{session.name}-candidate",
        True,
        policy,
        (*failed, *(verdict for verdict in judged if (verdict.cell, verdict.quantity) not in instead)),
        tuple(differences(*environments)),
        tuple(caveats),
    )
