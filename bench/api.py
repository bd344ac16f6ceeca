"""What `import bench` offers: suites as objects, runs and results as pandas frames, for notebooks and scripts.

`run` and `results` are `bench run` and `bench export` with the same options, defaults, stores and errors: what one of
them has kept the other finds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cases import catalog
from bench.cases.cell import Measure, Profile
from bench.errors import SuiteError, UsageError, unknown
from bench.spec import Device, Kernel, Suite

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_STORE = Path(".twinbench") / "results.sqlite"
INTERRUPTED = 130


def load_suite(source: str | Path) -> Suite:
    """Return a suite by its name (ours, or an installed distribution's) or from its file.

    Raises `UsageError` for an unknown name or a file that does not exist, `SuiteError` for a file that declares no
    valid suite.
    """
    path = Path(source)
    if path.suffix != ".py":
        found = catalog.load()
        if str(source) not in found.suites:
            raise unknown("suite", str(source), found.suites)
        return found.suites[str(source)]
    found = catalog.load([path])
    resolved = path.resolve()
    for name, file in found.files.items():
        if file == resolved:
            return found.suites[name]
    raise SuiteError("\n".join(str(error) for error in found.errors if str(resolved) in str(error)))


def run(
    *patterns: str,
    profile: Profile = "quick",
    backends: Iterable[str] = (),
    kernels: Iterable[Kernel] = (),
    device: Device | None = None,
    numerics: str = "documented",
    seeds: int = 1,
    repeats: int = 1,
    measure: Measure | None = None,
    timeout: float | None = None,
    memory: float | None = None,
    budget: float | None = None,
    threads: int | None = None,
    suites: Iterable[str | Path] = (),
    stand_ins: Mapping[str, str] | None = None,
    store: str | Path = DEFAULT_STORE,
    name: str | None = None,
) -> pd.DataFrame:
    """Run cells, keep their records in the store, and return them: one row per cell, as `results` does.

    The arguments are the options of `bench run`, `timeout` and `budget` in seconds, `memory` in GB. Cells that did not
    end `ok` are rows like the others; their `status` and `reason` say what became of them. Progress goes to stderr.
    Raises `UsageError` for an unknown name or a wrong value, `SuiteError` for a broken suite file, and
    `KeyboardInterrupt` when interrupted, whenever that is; what has ended is stored.
    """
    import click

    from bench.cli import cli
    from bench.commands.run import free_name
    from bench.records.store import Store

    store = Path(store)
    if name is None:
        name = free_name(())
        if store.is_file():
            with Store(store) as opened:
                name = free_name(run.name for run in opened.runs())
    options: dict[str, Any] = {
        "profile": profile,
        "backend": backends,
        "kernel": kernels,
        "device": device,
        "numerics": numerics,
        "seeds": seeds,
        "repeats": repeats,
        "measure": measure,
        "timeout": timeout,
        "memory": memory,
        "budget": budget,
        "threads": threads,
        "suites": suites,
        "stand-in": [f"{wanted}={other}" for wanted, other in (stand_ins or {}).items()],
        "store": store,
        "name": name,
    }
    words = ["run", *patterns, *_words(options)]
    try:
        with redirect_stdout(sys.stderr):
            ended = cli.main(words, "bench", standalone_mode=False, obj=words)
    except click.ClickException as error:
        raise UsageError(error.format_message()) from error
    except click.Abort as error:  # what click makes of a KeyboardInterrupt
        raise KeyboardInterrupt from error
    if ended == INTERRUPTED:
        raise KeyboardInterrupt(f"what has ended is stored; go on with `bench run --resume {name}`")
    return results(name, store=store)


def _words(options: Mapping[str, Any]) -> list[str]:
    """Return options as a command line has them, those without a value left out."""
    words = []
    for name, given in options.items():
        values = given if isinstance(given, Iterable) and not isinstance(given, str) else [given]
        words += [f"--{name}={value}" for value in values if value is not None]
    return words


def results(*runs: str, store: str | Path = DEFAULT_STORE) -> pd.DataFrame:
    """Return the records of the named runs, or of the latest one, as a frame with one row per cell.

    Columns: `run`, then those of `bench export --format csv`: the cell, its status and reason, end scores (accuracies
    0 to 1), medians of times in seconds, parameter counts, the data it ran on. Raises `UsageError` for an unknown run,
    and where there is no store or no run in it.
    """
    import pandas as pd

    from bench.commands.report import chosen
    from bench.records.flat import cells
    from bench.records.store import Store

    with Store(Path(store)) as opened:
        frames = [(run.name, cells(opened.records(run.name))) for run in chosen(opened, runs)]
    for name, frame in frames:
        frame.insert(0, "run", name)
    return pd.concat([frame for _, frame in frames], ignore_index=True)
