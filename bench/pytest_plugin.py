"""A pytest plugin: `--bench-cells` turns selected cells into benchmarks of pytest-benchmark, a training step each.

    pytest --bench-cells 'imdb-rnn/*@torch,*' --benchmark-min-rounds=20 --benchmark-json=steps.json

Without `--bench-cells` it does nothing and imports no more than this module. Where no file is named on the command
line only the cells are collected, otherwise they follow its tests.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bench.cases.cell import Profile
    from bench.runner.plan import PlannedCell


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that select cells."""
    group = parser.getgroup("twinbench", "benchmarks of training steps (twinbench)")
    group.addoption(
        "--bench-cells",
        action="append",
        metavar="PATTERN",
        help="Benchmark a training step of these cells: a glob as for `bench run`, as in 'imdb-rnn/*@torch,*'.",
    )
    group.addoption(
        "--bench-profile",
        default="quick",
        choices=("quick", "documented"),
        help="The data and batches of those cells: embedded (quick, the default) or documented.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what cannot be measured, and keep to the cells where no test is named."""
    if not config.getoption("bench_cells"):
        return
    if config.getoption("benchmark_min_rounds", None) is None:
        from bench.errors import install

        raise pytest.UsageError(f"--bench-cells needs pytest-benchmark; {install('pytest')}")
    if config.args_source is not config.ArgsSource.ARGS:
        config.args[:] = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add an item for every selected cell."""
    if config.getoption("bench_cells"):
        items += session.genitems(_cells(session, config.getoption("bench_cells"), config.getoption("bench_profile")))


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Say beside pytest-benchmark's own facts which frameworks and how many threads were measured."""
    if config.getoption("bench_cells"):
        from bench.machine.fingerprint import fingerprint
        from bench.records.pytest_benchmark import more_of_machine

        machine_info |= more_of_machine(fingerprint(_threads()))


class Cells(pytest.Collector):
    """The selected cells; as their parent it begins their names, which depend on no folder."""

    planned: Sequence[PlannedCell]
    profile: Profile

    def collect(self) -> Iterator[pytest.Item]:
        """Yield an item for every cell."""
        for planned in self.planned:
            benchmark = _benchmark_of(planned, self.profile)
            item = pytest.Function.from_parent(self, name=str(planned.cell), callobj=benchmark)
            # A framework's warnings are no failures of its cell, whatever the project at hand makes of warnings.
            item.add_marker(pytest.mark.filterwarnings("default"))
            yield item


def _cells(session: pytest.Session, patterns: Sequence[str], profile: Profile) -> Cells:
    from bench.cases.catalog import load
    from bench.errors import BenchError
    from bench.records.pytest_benchmark import group_name
    from bench.runner.options import RunOptions
    from bench.runner.plan import plan

    try:
        planned = plan(load(), RunOptions(patterns=tuple(patterns), profile=profile, measure="timing"))
        _prepare_process(planned)
    except BenchError as error:
        raise pytest.UsageError(str(error)) from error
    name = group_name(profile)
    cells: Cells = Cells.from_parent(session, name=name, nodeid=name)
    cells.planned, cells.profile = planned, profile
    return cells


def _prepare_process(planned: Sequence[PlannedCell]) -> None:
    """Set what frameworks read when they are imported; raise `UsageError` for two of Keras's engines."""
    from bench.backends.registry import backend
    from bench.errors import UsageError
    from bench.machine.processes import thread_environment

    names = sorted({cell.cell.backend for cell in planned})
    settings = {name: dict(backend(name).environment) for name in names}
    engines = {name: setting["KERAS_BACKEND"] for name, setting in settings.items() if "KERAS_BACKEND" in setting}
    if len(set(engines.values())) > 1:
        raise UsageError(
            f"--bench-cells selects cells of {' and '.join(engines)}, but a process holds one Keras engine: name one "
            f"of them, as in 'imdb-rnn/*@{next(iter(engines))},*', or run `nox -s bench-steps`, which takes one after "
            "another"
        )
    keras = sys.modules.get("keras")
    if keras and engines and keras.config.backend() not in engines.values():
        raise UsageError(
            f"Keras was imported with its {keras.config.backend()} engine before cells of {' and '.join(engines)} were "
            "selected: run them without the tests that import it"
        )
    for name in names:
        os.environ.update(settings[name])
    for variable, count in thread_environment(_threads()).items():
        os.environ.setdefault(variable, count)


def _threads() -> int:
    """Return the threads that frameworks get: as OMP_NUM_THREADS says, else one for every core."""
    from bench.machine.fingerprint import cores

    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) else cores()


def _benchmark_of(planned: PlannedCell, profile: Profile) -> Callable[[Any], None]:
    """Return the test function of a cell."""

    def train_step(benchmark: Any) -> None:
        if planned.obstacle:
            pytest.skip(f"unavailable: {planned.obstacle.reason}")
        _measure(planned, profile, benchmark)

    return train_step


def _measure(planned: PlannedCell, profile: Profile, benchmark: Any) -> None:
    from bench.cases.catalog import load
    from bench.errors import Unavailable
    from bench.measure.kernels import observe
    from bench.records.pytest_benchmark import identity
    from bench.training.experiment import loaded, prepared

    cell = planned.cell
    try:
        experiment, build = loaded(prepared(load(), cell, profile, {}), cell)
        network = build()
    except Unavailable as error:
        pytest.skip(f"unavailable: {error}")
    experiment.start(network)
    batch = experiment.first_batch()

    def step() -> None:
        network.train_step(*batch)
        network.synchronize()

    for _ in range(2):
        step()  # the first call compiles, the second is sure to be a steady one
    for name, value in identity(cell).items():
        setattr(benchmark, name, value)
    benchmark.extra_info |= {
        "cell": str(cell),
        "profile": profile,
        "parameters": network.parameters().total,
        "data": experiment.dataset.sha256,
    }
    benchmark(step)
    proof = observe(network, experiment, cell.kernel, cell.device)
    benchmark.extra_info |= {"kernel": cell.kernel, "kernels_seen": [kernel.name for kernel in proof.seen]}
    if proof.met is False:
        benchmark.has_error = True  # its times are not written anywhere
        pytest.fail(str(proof.reason), pytrace=False)
