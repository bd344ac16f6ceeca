"""What `import bench` offers: suites as objects, runs and results as pandas frames, for notebooks and scripts.

`run` and `results` have the options, defaults, store and errors of `bench run` and `bench export`.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cases import catalog
from bench.errors import SuiteError, unknown
from bench.records import DEFAULT_PATH
from bench.runner.options import DECLARATIONS, RunOptions, named
from bench.spec import Suite

if TYPE_CHECKING:
    import pandas as pd


def load_suite(source: str | Path) -> Suite:
    """Return a suite by its name, or from a `.py` file.

    Suites of installed distributions have names too. Raises `UsageError` for an unknown name or a missing file,
    `SuiteError` for a file that declares no valid suite.
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


def run(*patterns: str, store: str | Path = DEFAULT_PATH, name: str | None = None, **options: Any) -> pd.DataFrame:
    """Run cells, keep their records in the store, and return them: one row per cell, as `results` does.

    `patterns` are globs over case or cell names (`imdb-rnn/*`); without one, every case runs. `store` is the file that
    holds the results, `name` that of the new run (default: the time). Failed cells are rows too; their `status` and
    `reason` say why. Progress goes to stderr, messages to the logger `bench`.

    Raises `UsageError` for an unknown name or a wrong value, `SuiteError` for a broken suite file, and
    `KeyboardInterrupt` when interrupted; finished cells are saved.

    The options are those of `bench run`; a repeatable one takes any iterable, `stand_ins` a mapping too:
    """
    from bench.runner.run import cells_left, run_cells

    store = Path(store)
    wanted = named(patterns, options)
    cells, _ = cells_left(store, None, catalog.sound(wanted.suites), wanted)
    place = [f"--store={store}", *([f"--name={name}"] if name else [])]
    ended = run_cells(cells, wanted, store, ["bench", "run", *wanted.words(), *place], name=name)
    print(*ended.summary(), sep="\n", file=sys.stderr)
    if ended.interrupted:
        raise KeyboardInterrupt(f"finished cells are saved; continue with `bench run --resume {ended.run}`")
    return results(ended.run, store=store)


def _list_options() -> None:
    """Give `run` the signature and the docstring that it would have with its options one by one."""
    signature = inspect.signature(run)
    patterns, store, name, _ = signature.parameters.values()
    _, *options = inspect.signature(RunOptions).parameters.values()
    each = [option.replace(kind=option.KEYWORD_ONLY) for option in options]
    run.__signature__ = signature.replace(parameters=[patterns, *each, store, name])  # type: ignore[attr-defined]
    lines = [f"- `{option.name}`: {DECLARATIONS[option.name].help}" for option in each]
    run.__doc__ = "\n".join([inspect.cleandoc(run.__doc__ or ""), "", *lines])


_list_options()


def results(*runs: str, store: str | Path = DEFAULT_PATH) -> pd.DataFrame:
    """Return the records of the named runs, or of the latest one, as a frame with one row per cell.

    Columns: `run`, then those of `bench export --format csv`: the cell, its status and reason, end scores (accuracies
    from 0 to 1), median times in seconds, parameter counts, and the data. Raises `UsageError` for an unknown run, and
    without a store or a run in it.
    """
    import pandas as pd

    from bench.records.flat import cells
    from bench.records.store import Store
    from bench.report.sources import chosen

    with Store(Path(store)) as opened:
        frames = [(run.name, cells(opened.records(run.name))) for run in chosen(opened, runs)]
    for name, frame in frames:
        frame.insert(0, "run", name)
    return pd.concat([frame for _, frame in frames], ignore_index=True)
