"""Sessions: `nox -s bench` shows the tables, `nox -s tests` proves the code. All of them share one environment.

Arguments after `--` go to the session's command: `nox -s tests -- tests/data -k glove`, `nox -s bench -- 'imdb-rnn/*'`.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import re
import shlex
import shutil
import sys
from pathlib import Path

import nox
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

nox.needs_version = ">=2026.7.11"  # the first whose CommandFailed knows the exit code
nox.options.sessions = ["tests", "lint"]

REPORTS = Path("reports/local")
TABLES = ("parameters.md", "timing.md", "accuracy.md")
NOT_ALL_OK = 3  # `bench run` measured, but some cells did not end ok: the tables say which


@nox.session(python=False, tags=["check"])
def tests(session: nox.Session) -> None:
    """Run the tests."""
    session.run(environment(session), "-m", "pytest", *session.posargs)


@nox.session(python=False, tags=["check"])
def lint(session: nox.Session) -> None:
    """Check style, format and types."""
    python = environment(session)
    session.run(python, "-m", "ruff", "check")
    session.run(python, "-m", "ruff", "format", "--check")
    session.run(python, "-m", "mypy", "--strict", "bench")


@nox.session(python=False, tags=["check"])
def docs(session: nox.Session) -> None:
    """Build the documentation site, build/site; a broken link is an error."""
    python = environment(session)
    session.run(python, "docs/assemble.py", "build/docs")
    # The notice is on the end of mkdocs-material's support in May 2027; its successor reads the same file.
    session.run(python, "-m", "mkdocs", "build", "--quiet", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(python=False, tags=["measure"])
def bench(session: nox.Session) -> None:
    """Run the quick profile of every case under Keras and PyTorch, then write and print the tables."""
    run_and_report(session, *session.posargs)


@nox.session(name="bench-gpu", python=False, tags=["measure"])
def bench_gpu(session: nox.Session) -> None:
    """Do the same on a CUDA device."""
    run_and_report(session, "--device", "cuda", *session.posargs)


@nox.session(name="bench-steps", python=False, tags=["measure"])
def bench_steps(session: nox.Session) -> None:
    """Benchmark training steps with pytest-benchmark, backend after backend; patterns and its options after `--`."""
    python = environment(session)
    patterns = [argument for argument in session.posargs if not argument.startswith("-")] or ["*"]
    options = [argument for argument in session.posargs if argument.startswith("-")]
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


def installed_backends(session: nox.Session) -> list[str]:
    """Return the backends whose frameworks are installed; a process holds one Keras engine, so they take turns."""
    code = "from bench.backends.base import backends; print(*(n for n, b in backends().items() if not b.missing()))"
    return str(session.run(environment(session), "-c", code, silent=True)).split()


@nox.session(python=False, tags=["measure"])
def ab(session: nox.Session) -> None:
    """Compare two versions: `nox -s ab -- 'torch==2.12.*' 'torch==2.13.*'`, then patterns and options of `bench ab`."""
    if len(session.posargs) < 2 or any(one.startswith("-") for one in session.posargs[:2]):
        session.error("name base and candidate: nox -s ab -- 'torch==2.12.*' 'torch==2.13.*'")
    named, arguments = session.posargs[:2], session.posargs[2:]
    base, candidate = (environment(session, touched(" ".join(named)), instead=side) for side in named)
    command = [candidate, "-m", "bench", "ab", "--base", base, "--candidate", candidate, *arguments]
    try:
        session.run(*command, interrupt_timeout=30, terminate_timeout=10)
    except nox.command.CommandFailed as failed:
        leave(failed.return_code or 1)


@nox.session(python=False, tags=["measure"])
def report(session: nox.Session) -> None:
    """Write the committed reports, their index and README's tables again; `-- --check` says which are stale."""
    leave(bench_command(session, "report", "--index", "reports", *session.posargs))


def run_and_report(session: nox.Session, *arguments: str) -> None:
    """Run cells, report what ended, print the tables, and leave with the exit code of `bench run`."""
    ran = bench_command(session, "run", *arguments)
    if ran not in (0, NOT_ALL_OK) or {"--dry-run", "--help", "-h"} & set(arguments):
        leave(ran)
        return
    reported = bench_command(session, "report", "--out", str(REPORTS), *for_report(arguments))
    if reported == 0:
        print(*((REPORTS / name).read_text() for name in TABLES), sep="\n")
        session.log(f"the tables and an index, README.md, lie in {REPORTS}")
    leave(reported or ran)


def for_report(arguments: tuple[str, ...]) -> list[str]:
    """Return those arguments of `bench run` that `bench report` needs too: the run gone on with, store, suites."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume")
    parser.add_argument("--store")
    parser.add_argument("--suites", action="append", default=[])
    told, _ = parser.parse_known_args(arguments)
    options = [f"--suites={path}" for path in told.suites]
    if told.store:
        options.append(f"--store={told.store}")
    return [*options, told.resume] if told.resume else options


def bench_command(session: nox.Session, *arguments: str) -> int:
    """Run `bench` with `arguments` and return its exit code; an interrupted run gets time to store what it has."""
    try:
        session.run(environment(session), "-m", "bench", *arguments, interrupt_timeout=30, terminate_timeout=10)
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
    requirements `instead` of pins in constraints.txt it is an environment of their own, without what only developers
    need.
    """
    name = "frameworks" if not instead else "ab-" + re.sub(r"[^\w.]+", "-", f"{instead} {extras}").strip("-")
    home = session.cache_dir.parent / name
    python = str(home / ("Scripts/python.exe" if platform.system() == "Windows" else "bin/python"))
    every, *more = frameworks()
    more = [one for one in more if "tensorflow" in (extras or every)]
    packages = ["--editable", f".[{extras or every + ',dev'}]", *more, *shlex.split(instead)]
    kind = shlex.join([sys.version, *packages])
    pins = [
        line
        for line in Path("constraints.txt").read_text().splitlines()
        if line and not line.startswith("#") and not distributions(line) & distributions(instead)
    ]
    requirements = hashlib.sha256(Path("pyproject.toml").read_bytes() + "\n".join(pins).encode()).hexdigest()
    stamp = home / "installed.txt"
    installed = stamp.read_text().splitlines() if stamp.exists() else []
    if installed != [kind, requirements]:
        stamp.unlink(missing_ok=True)
        if installed[:1] != [kind]:
            session.run_install(sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(home))
        constraints = home / "constraints.txt"
        constraints.write_text("\n".join(pins) + "\n")
        session.run_install(python, "-m", "pip", "install", "--quiet", *packages, "--constraint", str(constraints))
        stamp.write_text(f"{kind}\n{requirements}\n")
    return python


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
        return ("tensorflow,torch", "tensorflow[and-cuda]")
    has_cpu_build = platform.machine() in ("x86_64", "AMD64") and platform.system() in ("Linux", "Windows")
    return ("tensorflow-cpu,torch" if has_cpu_build else "tensorflow,torch",)
