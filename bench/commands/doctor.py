"""`bench doctor`: what this machine can run, and why not the rest."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import psutil

from bench.backends.registry import BackendInfo, backend, backends
from bench.cases.catalog import load
from bench.commands import options
from bench.commands.data import described
from bench.commands.terminal import aligned, folded, print_json
from bench.data import sources
from bench.errors import BenchError, StoreError, install
from bench.machine import gpu
from bench.machine.fingerprint import available_memory, container_limits, cores, fingerprint
from bench.machine.noise import noise
from bench.records.store import DEFAULT_PATH, Store
from bench.report.sentences import count
from bench.runner.capabilities import Examined, conform, examine
from bench.runner.run import clustered
from bench.training.conformance import Violation

FAILED = 3
LEAST_FREE = {"cache": 2e9, "store": 1e8}
"""Bytes that a disk should have left: GloVe's download and what is prepared from it; some thousand records."""


@dataclass(frozen=True)
class Check:
    """Something that has to be so; `text` says what was found, with the remedy where it is not."""

    name: str
    ok: bool
    text: str


@click.command()
@click.option("--backend", "name", metavar="NAME", help="Check one backend against the conformance rules instead.")
@click.option(
    "--store",
    "store_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check a store of results instead: whether SQLite and every record can be read.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Check the workers of a Dask scheduler instead.")
@options.as_json("what was found")
def command(name: str | None, store_path: Path | None, scheduler: str | None, as_json: bool) -> int:
    """Say what this machine can run: backends, kernels, devices, data, disk, limits, noise.

    --backend runs the short conformance suite: every rule that a backend must keep, on small models. --scheduler says
    what each worker of a cluster can run, and why not the rest.

    Exits 3 when a check fails.
    """
    if scheduler:
        return _workers(scheduler, as_json=as_json)
    if store_path:
        return _store(store_path, as_json=as_json)
    if name:
        return _conformance(backend(name), as_json=as_json)
    found = _look(quiet=as_json)
    if as_json:
        print_json(**found)
    return 0 if all(check["ok"] for check in found["checks"]) else FAILED


def _store(path: Path, *, as_json: bool) -> int:
    try:
        with Store(path) as store:
            found = store.problems()
            runs = [] if found else store.runs()
    except StoreError as error:
        found = [str(error.__cause__ or error)]
    remedy = f"`bench export --rescue --store {shlex.quote(str(path))} --out FILE` saves what can be read"
    checks = [Check("store", False, f"{path}: {problem}; {remedy}") for problem in found]
    checks = checks or [Check("store", True, f"{path} is sound and holds {count(len(runs), 'run')}")]
    if as_json:
        print_json(checks=[asdict(check) for check in checks])
    else:
        for check in checks:
            click.echo(folded(check.text, "ok: " if check.ok else "failed: "))
    return FAILED if found else 0


def _conformance(info: BackendInfo, *, as_json: bool) -> int:
    lines: list[str] = []
    problem: str | None = None
    try:
        for line in conform(info, cores()):
            lines.append(line)
            click.echo(folded(line, "ok: "), err=as_json)
    except Violation as error:
        problem = str(error)
        click.echo(folded(problem, "failed: "), err=as_json)
    if as_json:
        print_json(backend=info.name, held=lines, violation=problem)
    elif problem is None:
        click.echo(
            folded(f"{info.name} keeps the rules. `bench parity --backend {info.name}` proves what it computes.")
        )
    return FAILED if problem else 0


def _workers(address: str, *, as_json: bool) -> int:
    """Say what the workers of a cluster can run; one that takes no cells, or can train nowhere, is a failed check."""
    found: list[dict[str, Any]] = []
    checks: list[Check] = []
    for worker in clustered().looked_at(address):
        able = [each.backend for each in worker.examined if None in each.devices.values()]
        text = f"can train: {', '.join(able)}" if able else worker.reason or "can train nothing"
        checks.append(Check(worker.address, bool(able), text))
        found.append(asdict(worker))
        if as_json:
            continue
        click.echo(folded(" ".join(["worker", worker.address, *([f"on {worker.host}"] if worker.host else [])])))
        if worker.environment:
            machine = worker.environment
            gpus = ", ".join(card["name"] for card in machine["gpus"]) or "no GPU"
            labels = " and ".join(worker.labels)
            click.echo(folded(f"label {labels}; {machine['cpu']}, {count(machine['cores'], 'core')}; {gpus}", "  "))
        for each in worker.examined:
            for line in _backend(backend(each.backend), each, worker.environment["packages"]):
                click.echo(line)
    if as_json:
        print_json(workers=found, checks=[asdict(check) for check in checks])
    else:
        for check in checks:
            click.echo(folded(f"{check.name}: {check.text}", "ok: " if check.ok else "failed: "))
    return 0 if all(check.ok for check in checks) else FAILED


# --- looking -----------------------------------------------------------------------------------------------------


def _look(*, quiet: bool) -> dict[str, Any]:
    """Return everything that is found, and print each part as soon as it is known unless it is to be `quiet`."""

    def say(*texts: str, lead: str = "") -> None:
        for text in () if quiet else texts:
            click.echo(folded(text, lead))

    threads = cores()
    machine, found, limits = fingerprint(threads), gpu.look(), container_limits()
    say(*_machine_lines(machine, found, limits), "", "backends")
    examined = []
    for info in backends().values():
        examined.append(examine(info, threads))
        for line in () if quiet else _backend(info, examined[-1], machine["packages"]):
            click.echo(line)
    data = [described(source) for source in sources.SOURCES.values()]
    files = [(record["name"], record["path"] or f"missing: {record['how']}") for record in data]
    say("", f"data in {', '.join(map(str, sources.folders()))}")
    for line in () if quiet else aligned(files, lead="  "):
        click.echo(line)
    disks = [_disk("cache", sources.cache_dir()), _disk("store", DEFAULT_PATH.absolute())]
    measured = noise(threads)
    checks = list(_checks(examined, found, disks))
    outcomes = [("ok" if check.ok else "FAILED", check.text) for check in checks]
    warnings = [f"warning: {text}" for text in _warnings(found, examined)]
    say("", measured.sentence, *warnings, "", "checks")
    for line in () if quiet else aligned(outcomes, lead="  "):
        click.echo(line)
    return {
        "machine": machine,
        "limits": limits,
        "gpus": [asdict(card) for card in found.gpus],
        "gpu_problem": found.problem,
        "visible_gpus": [card.index for card in gpu.visible(found.gpus)],
        "backends": [asdict(each) for each in examined],
        "data": data,
        "disks": disks,
        "noise": {"spread": measured.spread, "high": measured.high, "causes": list(measured.causes)},
        "checks": [asdict(check) for check in checks],
    }


def _disk(use: str, path: Path) -> dict[str, Any]:
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    return {"use": use, "path": str(path), "free_bytes": shutil.disk_usage(there).free}


def _checks(examined: list[Examined], found: gpu.Look, disks: list[dict[str, Any]]) -> Iterator[Check]:
    errors = load([]).errors
    yield Check("suites", not errors, "; ".join(map(str, errors)) or "every suite is well-formed")
    able = [each.backend for each in examined if each.devices["cpu"] is None]
    remedy = f"no framework works here; {install('torch,tensorflow')}"
    yield Check("frameworks", bool(able), f"can train on the CPU: {', '.join(able)}" if able else remedy)
    for each in examined:
        reason = each.devices["cpu"]
        if reason is not None and backend(each.backend).missing() is None:
            yield Check("frameworks", False, f"{each.backend} is installed and cannot train: {reason}")
    try:
        gpu.check_visible(found.gpus)
    except BenchError as error:
        yield Check("gpu", False, str(error))
    for disk in disks:
        free, least = disk["free_bytes"], LEAST_FREE[disk["use"]]
        text = f"{free / 1e9:.1f} GB free for the {disk['use']} in {disk['path']}"
        yield Check("disk", free >= least, text if free >= least else f"{text}; make room for {least / 1e9:.1f} GB")


def _warnings(found: gpu.Look, examined: list[Examined]) -> Iterator[str]:
    for card in gpu.visible(found.gpus)[:1]:
        yield from gpu.warnings(card)
        if all(each.devices["cuda"] is not None for each in examined):
            yield f"no backend can use {card}; the reasons stand above"


# --- in words ----------------------------------------------------------------------------------------------------


def _machine_lines(machine: dict[str, Any], found: gpu.Look, limits: dict[str, float | None]) -> Iterator[str]:
    yield f"twinbench {machine['packages'].get('twinbench', 'from its source')}, Python {machine['python']}"
    yield f"{machine['os']}"
    yield f"CPU: {machine['cpu']}; {machine['cores']} cores, as many threads for each framework"
    total, free = machine["memory_bytes"], available_memory()
    yield f"memory: {total / 1e9:.1f} GB, {free / 1e9:.1f} GB free, swap {psutil.swap_memory().total / 1e9:.1f} GB"
    memory, cpus = limits["memory_bytes"], limits["cpus"]
    allowed = [f"{memory / 1e9:.1f} GB"] if memory else []
    allowed += [f"{cpus:g} CPUs"] if cpus else []
    yield f"container: {' and '.join(allowed) or 'no limit'}"
    for card in found.gpus:
        hidden = "" if card in gpu.visible(found.gpus) else f", hidden by {gpu.VARIABLE}"
        yield f"{card}; driver {card.driver}, CUDA up to {'.'.join(map(str, card.cuda))}{hidden}"
    if not found.gpus:
        yield f"GPU: none ({found.problem or 'the driver finds none'})"


def _backend(info: BackendInfo, examined: Examined, packages: dict[str, str]) -> Iterator[str]:
    names = [name for package in info.packages for name in package.split("|") if name in packages]
    versions = ", ".join(f"{name} {packages[name]}" for name in names)
    yield folded(f"{info.name}{f' ({versions})' if versions else ''}", "  ")
    rows: list[tuple[str, str]] = []
    for device, reason in examined.devices.items():
        if reason is not None:
            rows.append((device, f"no: {reason}"))
            continue
        fused = examined.fused[device]
        having = [layer for layer, why_not in fused.items() if why_not is None]
        kernels = f"fused {', '.join(having)}; generic" if having else "generic kernels"
        rows.append((device, f"yes, {kernels}"))
        reasons: dict[str, list[str]] = {}
        for layer, why_not in fused.items():
            if why_not is not None:
                reasons.setdefault(why_not, []).append(layer)
        rows += [("", f"no fused {', '.join(layers)}: {why_not}") for why_not, layers in reasons.items()]
    yield from aligned(rows, lead="    ")
