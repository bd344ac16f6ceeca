"""Which cells a run executes, in which order, and how long that will take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, get_args

from bench.backends.registry import DEFAULT_BACKENDS, BackendInfo, backend, backends, best_kernel, check_kernel, native
from bench.cases.catalog import Catalog
from bench.cases.cell import Cell, Measure, Profile
from bench.cases.model import Model, embedding_of, numerics_differences, resolve
from bench.cases.profiles import apply
from bench.data import stand_ins_for
from bench.errors import Unavailable, UsageError, unknown
from bench.runner.estimates import PASSES_SECONDS, rough_seconds, shares_processes
from bench.spec import Case, Device, Kernel

Part = Literal["case", "backend", "kernel", "device", "numerics"]
"""The part of a cell that a request names, or that keeps the cell from running."""

_OPTIONS = re.compile(
    r"(?P<backend>[^,#]*)(,(?P<kernel>[^,#]*)(,(?P<device>[^,#]*)(,(?P<numerics>[^#]*))?)?)?(#(?P<seed>.*))?"
)


@dataclass(frozen=True)
class Matrix:
    """What was asked for; None leaves the choice to the plan (backends: the installed ones, kernels: the best one)."""

    patterns: tuple[str, ...] = ()
    profile: Profile = "quick"
    measure: Measure = "accuracy"
    backends: tuple[str, ...] | None = None
    kernels: tuple[Kernel, ...] | None = None
    device: Device | None = None
    numerics: str = "documented"
    seeds: int = 1
    repeats: int = 1
    suites: tuple[str, ...] = ()
    stand_ins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Obstacle:
    """Why a cell cannot run here, and which part of it that is about."""

    reason: str
    part: Part


@dataclass(frozen=True)
class PlannedCell:
    """A cell to run: `named` are the parts that the user named, `estimate` is in seconds, process start included."""

    cell: Cell
    repeat: int
    named: frozenset[Part]
    obstacle: Obstacle | None
    estimate: float

    def asked_for(self, part: Part) -> bool:
        """Return whether an obstacle in `part` stands in the way of something that was asked for by name."""
        return part in self.named or "case" in self.named


def plan(catalog: Catalog, matrix: Matrix, measured: Callable[[Cell], float | None] | None = None) -> list[PlannedCell]:
    """Return the cells of `matrix`, seed by seed, so that every case shows a result early.

    Cells that cannot run stay in the plan with their obstacle. `measured` gives the seconds that a cell took before,
    where that is known. Raises `UsageError` for an unknown name, for a pattern that no cell matches (of several, one
    may match none of the kernels asked for) and for a matrix without cells, `Unavailable` when no framework is
    installed and none was named.
    """
    numerics_differences(matrix.numerics)
    asked = {pattern: dict(_cells(catalog, matrix, pattern)) for pattern in matrix.patterns or ("*",)}
    unmatched = [pattern for pattern, found in asked.items() if not found]
    if unmatched and (matrix.kernels is None or len(unmatched) == len(asked)):
        raise UsageError(f"no cell matches {' '.join(unmatched)} under these options; see `bench list --cells`")
    named: dict[Cell, frozenset[Part]] = {}
    for found in asked.values():
        for cell, parts in found.items():
            named[cell] = named.get(cell, frozenset()) | parts
    order = {f"{suite.name}/{case.name}": place for place, (suite, case) in enumerate(catalog.select(["*"]))}
    cells = sorted(named, key=lambda cell: (cell.seed, order[cell.case_name]))
    obstacles_and_seconds = {cell: _outlook(catalog, matrix, cell, measured) for cell in cells}
    repeated = [(cell, repeat) for cell in cells for repeat in range(matrix.repeats)]
    # Sorting is stable: within a seed and a repeat the cells stay in the order of the cases.
    repeated.sort(key=lambda pair: (pair[0].seed, pair[1]))
    return [PlannedCell(cell, repeat, named[cell], *obstacles_and_seconds[cell]) for cell, repeat in repeated]


def _outlook(
    catalog: Catalog, matrix: Matrix, cell: Cell, measured: Callable[[Cell], float | None] | None
) -> tuple[Obstacle | None, float]:
    """Return what keeps a cell from running, and how many seconds it will take."""
    suite, case = catalog.case(cell.case_name)
    case = apply(case, matrix.profile)
    model = resolve(suite, case, cell.numerics)
    obstacle = _obstacle(cell, case, model, matrix.stand_ins)
    if obstacle:
        return obstacle, 0.0
    known = measured(cell) if measured else None
    if known is not None:
        return None, known
    shared = shares_processes(matrix.profile, matrix.measure)
    passes = 0.0 if matrix.measure == "accuracy" else PASSES_SECONDS
    return None, passes + rough_seconds(backend(cell.backend), case, model, shared=shared)


def _cells(catalog: Catalog, matrix: Matrix, pattern: str) -> Iterator[tuple[Cell, frozenset[Part]]]:
    """Yield the cells of one pattern; a part that the pattern names wins over the option, others follow it."""
    case_pattern, _, options = pattern.partition("@")
    match = _OPTIONS.fullmatch(options)
    if match is None:
        raise UsageError(
            f"not a pattern: {pattern!r}; expected suite/case or suite/case@backend,kernel,device,numerics#seed"
        )
    wanted = {name: text or "*" for name, text in match.groupdict().items()}
    named_case = "/" in case_pattern and not _is_glob(case_pattern)
    infos, backend_named = _backends(matrix, wanted["backend"])
    kernels, kernel_named = _kernels(matrix, wanted["kernel"])
    device_named = not _is_glob(wanted["device"]) or matrix.device is not None
    device = _device(matrix, wanted["device"])
    numerics = matrix.numerics if _is_glob(wanted["numerics"]) else wanted["numerics"]
    seeds = _seeds(matrix, wanted["seed"])
    parts: dict[Part, bool] = {
        "case": named_case,
        "backend": backend_named,
        "kernel": kernel_named,
        "device": device_named,
        "numerics": numerics != "documented",
    }
    named = frozenset(part for part, is_named in parts.items() if is_named)
    for suite, case in catalog.select([case_pattern]):
        model = resolve(suite, apply(case, matrix.profile), numerics)
        for info in infos:
            for kernel in _kernels_of(case, model, info, device, kernels, named_case):
                for seed in seeds:
                    yield Cell(suite.name, case.name, info.name, kernel, device, numerics, seed), named


def _backends(matrix: Matrix, wanted: str) -> tuple[list[BackendInfo], bool]:
    if wanted != "*":
        if not _is_glob(wanted):
            return [backend(wanted)], True
        found = [info for name, info in backends().items() if fnmatchcase(name, wanted)]
        if not found:
            raise unknown("backend", wanted, backends())
        return found, False
    if matrix.backends:
        return [backend(name) for name in matrix.backends], True
    return default_backends(), False


def default_backends() -> list[BackendInfo]:
    """Return the backends that run when none is named: those of Keras on TensorFlow and torch that are installed.

    Raises `Unavailable` when neither is.
    """
    installed = [info for info in map(backend, DEFAULT_BACKENDS) if info.missing() is None]
    if not installed:
        raise Unavailable(
            "no framework is installed; pip install 'twinbench[torch]' or 'twinbench[tensorflow]' "
            "(or both: 'twinbench[torch,tensorflow]')"
        )
    return installed


def _kernels(matrix: Matrix, wanted: str) -> tuple[tuple[Kernel, ...] | None, bool]:
    if wanted == "*":
        return matrix.kernels, matrix.kernels is not None
    found: tuple[Kernel, ...] = tuple(kernel for kernel in get_args(Kernel) if fnmatchcase(kernel, wanted))
    if not found:
        raise unknown("kernel", wanted, get_args(Kernel))
    return found, not _is_glob(wanted)


def _device(matrix: Matrix, wanted: str) -> Device:
    if _is_glob(wanted):
        return matrix.device or "cpu"
    for device in get_args(Device):
        if device == wanted:
            found: Device = device
            return found
    raise unknown("device", wanted, get_args(Device))


def _seeds(matrix: Matrix, wanted: str) -> list[int]:
    if wanted.isdecimal():
        return [int(wanted)]
    return [seed for seed in range(matrix.seeds) if fnmatchcase(str(seed), wanted)]


def _kernels_of(
    case: Case, model: Model, info: BackendInfo, device: Device, kernels: tuple[Kernel, ...] | None, named_case: bool
) -> Iterable[Kernel]:
    """Return the kernels to run; those that cannot apply to a case are kept only when it was named with no other."""
    if case.requires:
        own = case.requires.kernel
    elif kernels is None:
        own = best_kernel(info, model, device)
    else:
        fitting = [kernel for kernel in kernels if (kernel == "none") == (not model.recurrent)]
        return kernels if named_case and not fitting else fitting
    return [own] if kernels is None or own in kernels else []


def _obstacle(cell: Cell, case: Case, model: Model, stand_ins: dict[str, str]) -> Obstacle | None:
    info = backend(cell.backend)
    missing = info.missing()
    if missing:
        return Obstacle(missing, "backend")
    if case.requires and case.requires.device != cell.device:
        needed = case.requires.device
        return Obstacle(f"{cell.case_name} is for {needed} only; run it with --device {needed}", "case")
    try:
        native(info, model)
    except Unavailable as error:
        return Obstacle(str(error), "numerics")
    try:
        check_kernel(info, model, cell.kernel, cell.device)
    except Unavailable as error:
        return Obstacle(str(error), "kernel")
    try:
        stand_ins_for(case.data, embedding_of(case), stand_ins)
    except Unavailable as error:
        return Obstacle(str(error), "case")
    return None


def _is_glob(text: str) -> bool:
    return any(character in text for character in "*?[")
