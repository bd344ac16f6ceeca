"""Sessions: `nox -s bench` measures and sums up, `nox -s tests` proves the code. All of them share one environment.

Arguments after `--` go to the session's command: `nox -s tests -- tests/data -k glove`, `nox -s bench -- 'imdb-rnn/*'`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import nox
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

nox.needs_version = ">=2026.7.11"  # the first whose CommandFailed knows the exit code
nox.options.sessions = ["tests", "lint"]

REPORTS = Path("reports/local")
REPRESENTATIVE = (
    "imdb-rnn/birnn",  # both directions, SimpleRNN
    "movie-reviews/gru",  # reset_after=False, Keras 2's hard_sigmoid
    "movie-reviews/modified-lstm",  # dropout of inputs and states, masks per gate
    "text-networks/multi-hot-dense",
    "text-networks/lstm-16",  # fused and generic
    "word-embeddings/embedding-conv1d",
    "word-embeddings/glove-200",  # frozen weights
)
"""Cases that hold every kind of layer, and every difference that `docs/parity.md` lists, between them."""
PROCESSES = min(4, (os.cpu_count() or 1) + 1)
SIDE_BY_SIDE = (f"--numprocesses={PROCESSES}", "--dist=worksteal", "--benchmark-disable")
"""How pytest shares tests out, to one process more than there are cores: a quarter of the tests' time is spent waiting.

pytest-benchmark warns of workers where it may measure.
"""
NOT_ALL_OK = 3  # `bench run` measured, but some cells did not end ok: the tables say which


@nox.session(python=False, tags=["check"])
def tests(session: nox.Session) -> None:
    """Run the tests: all of them side by side, those named after `--` in one process."""
    session.run(environment(session), "-m", "pytest", *(session.posargs or SIDE_BY_SIDE))


@nox.session(python=False, tags=["check"])
def lint(session: nox.Session) -> None:
    """Check style, format, types, and that no package imports against the order of the data."""
    python = environment(session)
    session.run(python, "-m", "ruff", "check")
    session.run(python, "-m", "ruff", "format", "--check")
    session.run(python, "-m", "mypy", "--strict", "bench")
    session.run(str(Path(python).with_name("lint-imports")), "--no-cache")


@nox.session(python=False, tags=["check"])
def parity(session: nox.Session) -> None:
    """Prove in a minute that both frameworks train the same: five steps, a case for every kind of layer."""
    arguments = session.posargs or ["--short", "--out=build/parity", *REPRESENTATIVE]
    leave(bench_command(session, "parity", *arguments))


@nox.session(python=False)
def soak(session: nox.Session) -> None:
    """Let faults fall on 2,000 cells of a stub; count what they cost: ten minutes (docs/reliability.md)."""
    session.run(environment(session), "-m", "tests.faults", *session.posargs)


@nox.session(python=False)
def disk(session: nox.Session) -> None:
    """Let every verb meet full and read-only disks and damaged stores; skipped where nothing can be mounted."""
    session.run(environment(session), "-m", "pytest", "tests/faults/test_disk.py", *session.posargs)


@nox.session(python=False, tags=["check"])
def fuzz(session: nox.Session) -> None:
    """Change good files at random for three minutes and read them; `-- --seconds N`, `-- --hostile` read others."""
    session.run(environment(session), "-m", "tests.fuzz.run", *session.posargs)


@nox.session(python=False, tags=["measure"])
def overhead(session: nox.Session) -> None:
    """Measure what the harness costs, into reports/overhead: an hour; `-- NAME` measures one row again."""
    session.run(environment(session), "-m", "tests.benchmarks", *session.posargs)


@nox.session(python=False, tags=["check"])
def docs(session: nox.Session) -> None:
    """Build the documentation site, build/site, and write docs/reference/; a broken link is an error."""
    python = environment(session)
    session.run(python, "docs/assemble.py", "build/docs")
    shutil.copytree("build/docs/reference", "docs/reference", dirs_exist_ok=True)  # for readers of the repository
    # Not --quiet, which hides warnings from --strict, too: a broken link would pass.
    # The notice is on the end of mkdocs-material's support in May 2027; its successor reads the same file.
    session.run(python, "-m", "mkdocs", "build", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(python=False, tags=["measure"])
def bench(session: nox.Session) -> None:
    """Run the quick profile of every case under Keras and PyTorch, write the report, and print its summary."""
    leave(run_and_report(session, *session.posargs))


@nox.session(name="bench-gpu", python=False, tags=["measure"])
def bench_gpu(session: nox.Session) -> None:
    """Run every installed backend with both kernels on a GPU and report under reports/GPU; exit code 3 without one."""
    found = doctor(session)
    usable = gpu_backends(found)
    if not usable:
        leave(NOT_ALL_OK)
        return
    told = asked_for(session.posargs)
    arguments = ["--device=cuda", *session.posargs]
    arguments += [] if told.backend else [f"--backend={name}" for name in usable]
    arguments += [] if told.kernel else ["--kernel=fused", "--kernel=generic", "--kernel=none"]
    arguments += [] if told.measure else ["--measure=all"]
    run = told.resume or told.name or time.strftime("gpu-%Y-%m-%d-%H%M%S")
    arguments += [] if told.resume or told.name else [f"--name={run}"]
    # Results on the embedded corpus never stand beside documented figures.
    folder = Path("reports", slug(found["machine"]["gpus"][0]["name"]), *(["quick"] if told.profile == "quick" else []))
    ended = run_and_report(session, *arguments, reports=folder)
    if ended in (0, NOT_ALL_OK) and not told.dry_run:
        file = folder / "results" / f"{run}.json"
        store = [f"--store={told.store}"] if told.store else []
        exported = bench_command(session, "export", run, *store, f"--out={file}")
        ended = exported or (ended if any(map(counts, json.loads(file.read_text())["records"])) else 0)
    leave(ended)


def counts(record: dict[str, Any]) -> bool:
    """Return whether a cell should have ended ok: both kernels were asked for, and not every layer has both."""
    has_no_such_kernel = record["status"] == "unavailable" and record["details"].get("obstacle") == "kernel"
    return record["status"] != "ok" and not has_no_such_kernel


def doctor(session: nox.Session) -> dict[str, Any]:
    """Return what `bench doctor` finds: which backends can use the GPU, what each says, what the GPU is called."""
    with TemporaryFile("w+") as answer:
        command = [environment(session), "-m", "bench", "doctor", "--json"]
        # 3: a check failed, a full disk say; the run will say so where it matters.
        session.run(*command, stdout=answer, success_codes=[0, NOT_ALL_OK])
        answer.seek(0)
        found: dict[str, Any] = json.load(answer)
    return found


def gpu_backends(found: dict[str, Any]) -> list[str]:
    """Say how each backend stands with the GPU, and return those that can use it."""
    for one in found["backends"]:
        print(f"{one['backend']}: {one['devices']['cuda'] or 'trains on the GPU'}", file=sys.stderr)
    return [one["backend"] for one in found["backends"] if one["devices"]["cuda"] is None]


def slug(name: str) -> str:
    """Return the name of a folder for a machine: `NVIDIA H100 80GB HBM3` is `nvidia-h100-80gb-hbm3`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "gpu"


@nox.session(name="bench-steps", python=False, tags=["measure"])
def bench_steps(session: nox.Session) -> None:
    """Benchmark training steps with pytest-benchmark, backend after backend; patterns and its options after `--`."""
    python = environment(session)
    patterns = [argument for argument in session.posargs if is_pattern(argument)] or ["*"]
    options = [argument for argument in session.posargs if not is_pattern(argument)]
    worst = 0
    for name in installed_backends(session):
        cells = [f"--bench-cells={pattern}@{name}" for pattern in patterns]
        file = REPORTS / f"steps-{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            session.run(python, "-m", "pytest", *cells, f"--benchmark-json={file}", *options)
        except nox.command.CommandFailed as failed:
            worst = max(worst, failed.return_code or 1)
    leave(worst)


def is_pattern(argument: str) -> bool:
    """Return whether an argument is a pattern of cases: what is not may be an option, or an option's value."""
    return not argument.startswith("-") and ("/" in argument or "*" in argument) and not Path(argument).exists()


def installed_backends(session: nox.Session) -> list[str]:
    """Return the backends whose frameworks are installed; a process holds one Keras engine, so they take turns."""
    code = "from bench.backends.registry import backends; print(*(n for n, b in backends().items() if not b.missing()))"
    return str(session.run(environment(session), "-c", code, silent=True)).split()


@nox.session(python=False, tags=["measure"])
def ab(session: nox.Session) -> None:
    """Compare two versions or checkouts: `nox -s ab -- 'torch==2.12.*' 'torch==2.13.*'`, then what `bench ab` takes."""
    if len(session.posargs) < 2 or any(one.startswith("-") for one in session.posargs[:2]):
        session.error("name base and candidate: nox -s ab -- 'torch==2.12.*' 'torch==2.13.*'")
    named, arguments = session.posargs[:2], session.posargs[2:]
    try:
        extras = frameworks()[0] if any(map(is_checkout, named)) else touched(" ".join(named))
        distributions(" ".join(side for side in named if not is_checkout(side)))
    except InvalidRequirement as error:
        session.error(f"{error}: neither a requirement nor the folder of a checkout")
    base, candidate = (environment(session, extras, instead=side) for side in named)
    command = [candidate, "-m", "bench", "ab", "--base", base, "--candidate", candidate, *arguments]
    try:
        session.run(*command, interrupt_timeout=30, terminate_timeout=10)
    except nox.command.CommandFailed as failed:
        leave(failed.return_code or 1)


@nox.session(python=False, tags=["measure"])
def report(session: nox.Session) -> None:
    """Write the committed reports, their index and README's tables again; `-- --check` says which are stale."""
    leave(bench_command(session, "report", "--index", "reports", *session.posargs))


def run_and_report(session: nox.Session, *arguments: str, reports: Path = REPORTS) -> int:
    """Run cells, report what ended, whose summary comes last, and return the exit code of `bench run`."""
    if {"--dry-run", "--help", "-h", "--json"} & set(arguments):
        return bench_command(session, "run", *arguments)
    with open(os.devnull, "w") as nowhere:  # for the summary of the run: that of the report says the same
        ran = bench_command(session, "run", *arguments, log=False, stdout=nowhere, stderr=None)
    if ran not in (0, NOT_ALL_OK):
        return ran
    return bench_command(session, "report", "--out", str(reports), *for_report(arguments), log=False) or ran


def for_report(arguments: Sequence[str]) -> list[str]:
    """Return those arguments of `bench run` that `bench report` needs too: the run, by its name, store, suites."""
    told = asked_for(arguments)
    options = [f"--suites={path}" for path in told.suites]
    options += [f"--store={told.store}"] if told.store else []
    run = told.resume or told.name
    return [*options, run] if run else options


def asked_for(arguments: Sequence[str]) -> argparse.Namespace:
    """Return those options among arguments of `bench run` that a session has to know of."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--resume", "--name", "--store", "--measure"):
        parser.add_argument(name)
    parser.add_argument("--profile", default="quick")
    for name in ("--suites", "--backend", "--kernel"):
        parser.add_argument(name, action="append", default=[])
    for name in ("--dry-run", "--help", "-h"):
        parser.add_argument(name, action="store_true", dest="dry_run")
    return parser.parse_known_args(arguments)[0]


def bench_command(session: nox.Session, *arguments: str, **options: Any) -> int:
    """Run `bench` with `arguments` and return its exit code; an interrupted run gets time to store what it has."""
    try:
        command = [environment(session), "-m", "bench", *arguments]
        session.run(*command, interrupt_timeout=30, terminate_timeout=10, **options)
    except nox.command.CommandFailed as failed:
        return failed.return_code or 1
    return 0


def leave(exit_code: int) -> None:
    """Hand the exit code of `bench` on: nox itself would make a 1 of any failure."""
    if exit_code:
        sys.exit(exit_code)


def environment(session: nox.Session, extras: str = "", instead: str = "") -> str:
    """Return the Python of the environment that all sessions share; make it, or bring it up to date, when needed.

    A change of Python or of the kind of machine makes it anew; changed requirements are installed into it. With
    requirements `instead` of pins in constraints.txt, or a checkout `instead` of this one, it is an environment of
    their own, without what only developers need.
    """
    checkout, replaced = (Path(instead), "") if is_checkout(instead) else (Path(), instead)
    # `>=2.12` and `==2.12` read alike in a folder's name: the digest tells them apart.
    digest = hashlib.sha256(f"{instead} {extras}".encode()).hexdigest()[:6]
    name = f"ab-{re.sub(r'[^a-z0-9.]+', '-', instead.lower())}-{digest}" if instead else "frameworks"
    home = session.cache_dir.parent / name
    python = str(home / ("Scripts/python.exe" if platform.system() == "Windows" else "bin/python"))
    every, *more = frameworks()
    more = [one for one in more if one.partition("[")[0] in (extras or every)]
    packages = ["--editable", f"{checkout}[{extras or every + ',dev'}]", *more, *shlex.split(replaced)]
    kind = shlex.join([sys.version, *packages])
    pins = [
        line
        for line in (checkout / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#") and not distributions(line) & distributions(replaced)
    ]
    requirements = hashlib.sha256((checkout / "pyproject.toml").read_bytes() + "\n".join(pins).encode()).hexdigest()
    stamp = home / "installed.txt"
    installed = stamp.read_text().splitlines() if stamp.exists() else []
    if installed != [kind, requirements]:
        stamp.unlink(missing_ok=True)
        if installed[:1] != [kind]:
            session.run_install(sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(home))
        constraints = home / "constraints.txt"
        constraints.write_text("\n".join(pins) + "\n")
        install = python, "-m", "pip", "install", "--quiet", "--constraint", str(constraints)
        session.run_install(*install, *packages)
        if "tensorflow" in (extras or every):
            # Keras 2 asks for `tensorflow`, which must not lie beside `tensorflow-cpu`.
            session.run_install(*install, "--no-deps", "tf-keras")
        stamp.write_text(f"{kind}\n{requirements}\n")
    return python


def is_checkout(side: str) -> bool:
    """Return whether a side of a comparison is the folder of a checkout, not requirements."""
    return bool(side) and Path(side, "bench").is_dir()


def distributions(requirements: str) -> set[str]:
    """Return the names in a line of requirements."""
    return {canonicalize_name(Requirement(one).name) for one in shlex.split(requirements)}


def touched(requirements: str) -> str:
    """Return the extras whose frameworks these requirements may change; the others need not be measured."""
    extras = frameworks()[0]
    for extra in extras.split(","):
        if distributions(requirements) <= {extra, *(("keras",) if extra != "torch" else ())}:
            return extra
    return extras


def frameworks() -> tuple[str, ...]:
    """Return the extras that hold this machine's builds of the frameworks, then what they need besides."""
    if shutil.which("nvidia-smi"):
        return ("tensorflow,torch,jax", "tensorflow[and-cuda]", "jax[cuda12]")
    has_cpu_build = platform.machine() in ("x86_64", "AMD64") and platform.system() in ("Linux", "Windows")
    return ("tensorflow-cpu,torch,jax" if has_cpu_build else "tensorflow,torch,jax",)
