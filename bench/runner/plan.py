"""Which cells a run executes, in which order, and how long that will take."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Literal, get_args

from bench.backends.registry import DEFAULT_BACKENDS, BackendInfo, backend, backends, best_kernel, check_kernel, native
from bench.cases.catalog import Catalog
from bench.cases.cell import Cell
from bench.cases.model import Model, embedding_of, numerics_differences, resolve
from bench.cases.profiles import apply
from bench.data import stand_ins_for
from bench.errors import Unavailable, UsageError, install, unknown
from bench.records.record import Record
from bench.runner.estimates import GLANCE_SECONDS, PASSES_SECONDS, rough_seconds, shares_processes
from bench.runner.options import RunOptions
from bench.spec import Case, Device, Kernel

CellPart = Literal["case", "backend", "kernel", "device", "numerics"]
"""The part of a cell that a request names, or that keeps the cell from running."""

_REQUIRED: dict[Device, tuple[str, str]] = {
    "cuda": ("a GPU", "use nox -s bench-gpu or --device cuda"),
    "cpu": ("the CPU", "use --device cpu"),
}
_PARTS = re.compile(
    r"(?P<backend>[^,#]*)(,(?P<kernel>[^,#]*)(,(?P<device>[^,#]*)(,(?P<numerics>[^#]*))?)?)?(#(?P<seed>.*))?"
)


@dataclass(frozen=True)
class Obstacle:
    """Why a cell cannot run here, and which part of it that is about."""

    reason: str
    part: CellPart


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell to run: `named` are the parts that the user named, `estimate` is in seconds, process start included."""

    cell: Cell
    repeat: int
    named: frozenset[CellPart]
    obstacle: Obstacle | None
    estimate: float

    def asked_for(self, part: CellPart) -> bool:
        """Return whether an obstacle in `part` stands in the way of something that was asked for by name."""
        return part in self.named or "case" in self.named


def plan(
    catalog: Catalog, options: RunOptions, measured: Callable[[Cell], float | None] | None = None
) -> list[PlannedCell]:
    """Return the cells of `options`, seed by seed, so that every case shows a result early.

    Cells that cannot run stay in the plan with their obstacle. `measured` gives the seconds that a cell took before,
    where that is known. Raises `UsageError` for an unknown name, for a pattern that no cell matches (of several, one
    may match none of the kernels asked for) and where there is no cell, `Unavailable` when no framework is
    installed and none was named.
    """
    numerics_differences(options.numerics)
    asked = {pattern: dict(_cells(catalog, options, pattern)) for pattern in options.patterns or ("*",)}
    unmatched = [pattern for pattern, found in asked.items() if not found]
    if unmatched and (not options.kernels or len(unmatched) == len(asked)):
        raise UsageError(f"no cell matches {' '.join(unmatched)} under these options; see `bench list --cells`")
    named: dict[Cell, frozenset[CellPart]] = {}
    for found in asked.values():
        for cell, parts in found.items():
            named[cell] = named[cell] | parts if cell in named else parts
    order = {f"{suite.name}/{case.name}": place for place, (suite, case) in enumerate(catalog.select(["*"]))}
    cells = sorted(named, key=lambda cell: (cell.seed, order[cell.case_name]))
    seen = cache(lambda configuration: outlook(catalog, options, configuration, measured))
    repeated = [(cell, repeat) for cell in cells for repeat in range(options.repeats)]
    # Sorting is stable: within a seed and a repeat the cells stay in the order of the cases.
    repeated.sort(key=lambda pair: (pair[0].seed, pair[1]))
    return [PlannedCell(cell, repeat, named[cell], *seen(replace(cell, seed=0))) for cell, repeat in repeated]


def outlook(
    catalog: Catalog, options: RunOptions, cell: Cell, measured: Callable[[Cell], float | None] | None = None
) -> tuple[Obstacle | None, float]:
    """Return what keeps a cell from running, whatever its seed, and how many seconds it will take."""
    suite, case = catalog.case(cell.case_name)
    case = apply(case, options.profile)
    model = resolve(suite, case, cell.numerics)
    obstacle = _obstacle(cell, case, model, options.replaced)
    if obstacle:
        return obstacle, 0.0
    known = measured(cell) if measured else None
    if known is not None:
        return None, known
    shared = shares_processes(options.profile, options.measure)
    info = backend(cell.backend)
    if options.measure == "steps":
        return None, PASSES_SECONDS + info.start[0]
    passes = {"accuracy": 0.0, "glance": GLANCE_SECONDS}.get(options.measure, PASSES_SECONDS)
    return None, passes + rough_seconds(info, case, model, shared=shared)


def _cells(catalog: Catalog, options: RunOptions, pattern: str) -> Iterator[tuple[Cell, frozenset[CellPart]]]:
    """Yield the cells of one pattern; a part that the pattern names wins over the option, others follow it."""
    case_pattern, _, rest = pattern.partition("@")
    match = _PARTS.fullmatch(rest)
    if match is None:
        raise UsageError(
            f"not a pattern: {pattern!r}; expected suite/case or suite/case@backend,kernel,device,numerics#seed"
        )
    wanted = {name: text or "*" for name, text in match.groupdict().items()}
    named_case = "/" in case_pattern and not _is_glob(case_pattern)
    infos, backend_named = _backends(options, wanted["backend"])
    kernels, kernel_named = _kernels(options, wanted["kernel"])
    device_named = not _is_glob(wanted["device"]) or options.device is not None
    device = _device(options, wanted["device"])
    numerics = options.numerics if _is_glob(wanted["numerics"]) else wanted["numerics"]
    seeds = _seeds(options, wanted["seed"])
    parts: dict[CellPart, bool] = {
        "case": named_case,
        "backend": backend_named,
        "kernel": kernel_named,
        "device": device_named,
        "numerics": numerics != "documented",
    }
    named = frozenset(part for part, is_named in parts.items() if is_named)
    for suite, case in catalog.select([case_pattern]):
        model = resolve(suite, apply(case, options.profile), numerics)
        for info in infos:
            for kernel in _kernels_of(case, model, info, device, kernels, named_case):
                for seed in seeds:
                    yield Cell(suite.name, case.name, info.name, kernel, device, numerics, seed), named


def _backends(options: RunOptions, wanted: str) -> tuple[list[BackendInfo], bool]:
    if wanted != "*":
        if not _is_glob(wanted):
            return [backend(wanted)], True
        found = [info for name, info in backends().items() if fnmatchcase(name, wanted)]
        if not found:
            raise unknown("backend", wanted, backends())
        return found, False
    if options.backends:
        return [backend(name) for name in options.backends], True
    # The frameworks of a cluster are those of its workers: here none need be installed.
    return list(map(backend, DEFAULT_BACKENDS)) if options.scheduler else default_backends(), False


def default_backends() -> list[BackendInfo]:
    """Return the backends that run when none is named: those of Keras on TensorFlow and torch that are installed.

    Raises `Unavailable` when neither is.
    """
    installed = [info for info in map(backend, DEFAULT_BACKENDS) if info.missing() is None]
    if not installed:
        raise Unavailable(
            f"no framework is installed; {install('torch')}, or tensorflow, or both: '.[torch,tensorflow]'"
        )
    return installed


def _kernels(options: RunOptions, wanted: str) -> tuple[tuple[Kernel, ...] | None, bool]:
    if wanted == "*":
        return options.kernels or None, bool(options.kernels)
    found: tuple[Kernel, ...] = tuple(kernel for kernel in get_args(Kernel) if fnmatchcase(kernel, wanted))
    if not found:
        raise unknown("kernel", wanted, get_args(Kernel))
    return found, not _is_glob(wanted)


def _device(options: RunOptions, wanted: str) -> Device:
    if _is_glob(wanted):
        return options.device or "cpu"
    for device in get_args(Device):
        if device == wanted:
            found: Device = device
            return found
    raise unknown("device", wanted, get_args(Device))


def _seeds(options: RunOptions, wanted: str) -> list[int]:
    if wanted.isdecimal():
        return [int(wanted)]
    return [seed for seed in range(options.seeds) if fnmatchcase(str(seed), wanted)]


def _kernels_of(
    case: Case, model: Model, info: BackendInfo, device: Device, kernels: tuple[Kernel, ...] | None, named_case: bool
) -> Iterable[Kernel]:
    """Return the kernels to run; those that cannot apply to a case are kept only when it was named with no other."""
    if case.requires:
        only = case.requires.kernel
    elif kernels is None:
        only = best_kernel(info, _as_built(info, model), device)
    else:
        fitting = [kernel for kernel in kernels if (kernel == "none") == (not model.recurrent)]
        return kernels if named_case and not fitting else fitting
    return [only] if kernels is None or only in kernels else []


def _as_built(info: BackendInfo, model: Model) -> Model:
    """Return the model that a backend builds; the declared one where its numerics do not exist: an obstacle."""
    try:
        return native(info, model)
    except Unavailable:
        return model


def _obstacle(cell: Cell, case: Case, model: Model, stand_ins: Mapping[str, str]) -> Obstacle | None:
    info = backend(cell.backend)
    missing = info.missing()
    if missing:
        return Obstacle(missing, "backend")
    if case.requires and case.requires.device != cell.device:
        needed = case.requires.device
        place, how = _REQUIRED[needed]
        return Obstacle(f"requires {place}; {how}", "case")
    try:
        model = native(info, model)
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


class TimeLeft:
    """Foretells what planned cells take: their estimates, times what those that ended took over theirs.

    Where other seeds or repeats of a cell have ended, these alone are looked at. All of them have one estimate, so what
    is kept, and looked through, grows with the configurations and not with the cells.
    """

    def __init__(self, cells: Iterable[PlannedCell]) -> None:
        # How many cells of a configuration are left, and their estimates added up.
        self._left: dict[str, tuple[int, float]] = {}
        for planned in cells:
            number, seconds = self._left.get(planned.cell.configuration, (0, 0.0))
            self._left[planned.cell.configuration] = number + 1, seconds + planned.estimate
        # By configuration, and of all cells under None.
        self._estimated: dict[str | None, float] = defaultdict(float)
        self._taken: dict[str | None, float] = defaultdict(float)

    def ended(self, record: Record) -> None:
        """Take in a cell that ended; one that was unavailable or interrupted tells nothing."""
        configuration = record.cell.configuration
        number, seconds = self._left[configuration]
        self._left[configuration] = number - 1, seconds - seconds / number
        if record.status not in ("unavailable", "interrupted"):
            for key in (None, configuration):
                self._estimated[key] += seconds / number
                self._taken[key] += record.seconds

    def expected(self, configuration: str, estimate: float) -> float:
        """Return the seconds that cells of a configuration will take whose estimate is `estimate`."""
        for key in (configuration, None):
            if self._estimated.get(key):
                return estimate * self._taken[key] / self._estimated[key]
        return estimate

    def seconds(self) -> float:
        """Return the seconds left, those of the running cell included."""
        return sum(self.expected(configuration, seconds) for configuration, (_, seconds) in self._left.items())
