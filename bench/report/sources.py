"""Where a report's results come from: runs of a store, or the exported files that are committed beside the report."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cases.catalog import matches
from bench.errors import UsageError
from bench.parity import proof
from bench.records import exports
from bench.records.record import Record
from bench.records.store import DEFAULT_PATH, Run, Store
from bench.report.results import Link, Measurement, Results, Source, differing
from bench.spec import Suite

PROOFS = "parity.json"
DEVIATIONS = "deviations.md"
RESULTS = "results"
_HEADING = re.compile(r"^## (?P<case>[\w-]+/[\w-]+): (?P<reason>.+)$", re.MULTILINE)


def chosen(store: Store, names: Sequence[str]) -> list[Run]:
    """Return the named runs, or the latest one; raise `UsageError` for an unknown name and for an empty store."""
    if names:
        return [store.run(name) for name in dict.fromkeys(names)]
    runs = store.runs()
    if not runs:
        raise UsageError(f"{store.path} holds no run; make one with `bench run`")
    return runs[-1:]


def apart(run: Run, measured: Iterable[tuple[Record, Mapping[str, Any]]]) -> list[Source]:
    """Return a run's records by the environment that each was measured in, as reports take them; most come first.

    No figure of one environment stands in a column of another's; environments that may share a table stay together.
    """
    by_environment: dict[int, tuple[Mapping[str, Any], list[Record]]] = {}
    for record, environment in measured:
        by_environment.setdefault(id(environment), (environment, []))[1].append(record)
    parts: list[Source] = []
    for environment, records in by_environment.values():
        found = from_run(replace(run, environment=dict(environment)), records)
        place = next((place for place, part in enumerate(parts) if not differing(part, found)), None)
        if place is None:
            parts.append(found)
        else:
            parts[place] = replace(parts[place], records=(*parts[place].records, *records))
    return sorted(parts, key=lambda part: -len(part.records)) or [from_run(run, ())]


def stored(
    path: Path, names: Sequence[str], suites: Mapping[str, Suite], folder: Path, *, brief: bool = False
) -> list[Results]:
    """Return what reports into `folder`, or `brief` summaries, on runs of a store or its latest one are made of.

    A single run makes one for each environment that its cells were measured in (`folder_of`), where most were first.
    Raises `UsageError` for such a run among several.
    """
    with Store(path) as store:
        chosen_runs = [(run, store.entries(run.name, brief=brief)) for run in chosen(store, names)]
        runs = [apart(run, ((record, where) for _, where, record in entries)) for run, entries in chosen_runs]
    if len(runs) == 1:
        return [gather([part], suites, folder_of(folder, number), path) for number, part in enumerate(runs[0])]
    if several := [parts[0].name for parts in runs if len(parts) > 1]:
        raise UsageError(f"run {several[0]!r} was measured in several environments; report it alone")
    return [gather([part for (part,) in runs], suites, folder, path)]


def folder_of(folder: Path, number: int) -> Path:
    """Return where the report of a run's environment goes, the first being number 0: `folder`, or one below it."""
    return folder / f"machine-{number + 1}" if number else folder


def from_run(run: Run, records: Iterable[Record]) -> Source:
    """Return a run with its records, as reports take it."""
    # A pattern may name single seeds; then the options do not say how many were planned.
    named = any("#" in pattern for pattern in run.options["patterns"])
    return Source(
        run.name,
        run.profile,
        shlex.join(_repeatable(run.command)),
        run.started,
        run.environment,
        tuple(records),
        0 if named else run.options["seeds"],
        run.options["repeats"],
        tuple(run.options["patterns"]),
        _settings(run),
        _plan(run) if "comparison" in run.options else None,
    )


def _plan(run: Run) -> frozenset[Measurement]:
    """Return what `bench ab` measures of each cell before it judges: trainings by seed, timed processes from 1 on."""
    from bench.compare.session import Options  # loads pandas and scipy, 80 MB that the summary of a run does not need

    options = Options.stored(run.options)
    trained = range(options.seeds if options.trains else 0)
    timed = range(1, options.repeats + 1 if options.times else 1)
    return frozenset({("accuracy", seed, 0) for seed in trained} | {("timing", 0, repeat) for repeat in timed})


def gather(
    sources: Sequence[Source],
    suites: Mapping[str, Suite],
    folder: Path,
    store: Path = DEFAULT_PATH,
    *,
    complete: bool = False,
) -> Results:
    """Return what a report into `folder` is made of: `sources`, and proofs, reasons and explanations that lie there.

    It is held against the cases that the runs were asked for, `complete` against all of `suites`.
    """
    if not complete:
        suites = asked(sources, suites)
    proofs = folder / PROOFS
    twins = proof.load(proofs) if proofs.is_file() else {}
    explained = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("explain-*.md")))
    documentation = (folder.resolve().parent.parent / "docs" / "findings.md").is_file()
    return Results(tuple(sources), suites, store, twins, reasons(folder), explained, documentation)


def reasons(folder: Path) -> dict[str, Link]:
    """Return why the figures of a case, `suite/case`, deviate, and where that is shown: in `deviations.md`.

    A heading there, `## suite/case: reason`, gives it. Empty where the folder holds no such file.
    """
    path = folder / DEVIATIONS
    headings = _HEADING.finditer(path.read_text(encoding="utf-8")) if path.is_file() else ()
    return {found["case"]: (found["reason"].rstrip("."), f"{DEVIATIONS}#{anchor(found[0][3:])}") for found in headings}


def anchor(heading: str) -> str:
    """Return the name that GitHub gives to a heading: lower case, spaces as hyphens, other punctuation dropped."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def asked(sources: Iterable[Source], suites: Mapping[str, Suite]) -> dict[str, Suite]:
    """Return the suites with the cases that the patterns of any run name, and those that it holds a record of."""
    sources = list(sources)
    recorded = {(record.suite, record.case) for source in sources for record in source.records}
    found = {}
    for suite in suites.values():
        cases = tuple(
            case
            for case in suite.cases
            if (suite.name, case.name) in recorded
            or any(matches(f"{suite.name}/{case.name}", source.patterns) for source in sources)
        )
        if cases:
            found[suite.name] = replace(suite, cases=cases)
    return found


def committed(folder: Path, suites: Mapping[str, Suite]) -> Results:
    """Return the results that were exported into `folder/results`, runs in the order of the files' names.

    One run is held against what it was asked for; several are what a machine knows of all suites. Raises `UsageError`
    when there is none, when a file is broken, and when two files hold a run of one name.
    """
    files = sorted((folder / RESULTS).glob("*.json"))
    sources: dict[str, Source] = {}
    for file in files:
        for exported in exports.read(file):
            name = exported.run.name
            if name in sources:
                raise UsageError(f"{file}: run {name!r} is in another file of this folder, too; keep one of them")
            sources[name], *others = apart(exported.run, exported.records)
            if others:
                raise UsageError(f"{file}: run {name!r} was measured in several environments, which share no table")
    if not sources:
        raise UsageError(f"{folder / RESULTS} holds no exported run; write one with `bench export --format json`")
    try:
        return gather(list(sources.values()), suites, folder, complete=len(sources) > 1)
    except UsageError as error:
        raise UsageError(f"{folder / RESULTS}: {error}") from error


def _settings(run: Run) -> str:
    options = run.options  # a comparison has no stand-ins, an earlier version not all of these
    words = [f"--profile={run.profile}"]
    words += [f"--threads={options['threads']}"] if options.get("threads") else []
    words += ["--tf32"] if options.get("tf32") else []
    words += [f"--suites={path}" for path in options.get("suites", [])]
    words += [f"--stand-in={text}" for text in options.get("stand_ins", [])]
    return shlex.join(words)


def _repeatable(command: Sequence[str]) -> Iterable[str]:
    """Yield a run's command without the place of its store, which means nothing elsewhere."""
    words = iter(command)
    for word in words:
        if word == "--store":
            next(words, None)
        elif not word.startswith("--store="):
            yield word
