"""The options of a run: one object for the command line, `bench.run`, the plan, and what a store keeps of a run.

An option is a field here, with its declaration for the command line; what uses it reads the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

import click

from bench.backends.registry import DEFAULT_BACKENDS, backend
from bench.cases.cell import Measure, Profile
from bench.errors import UsageError, unknown
from bench.spec import Device, Kernel


class Number(click.ParamType[Any]):
    """A positive number, or one of `words`, on the command line; `what` is how its error calls it."""

    name = "number"

    def __init__(self, kind: type[int] | type[float], what: str, words: tuple[str, ...] = ()) -> None:
        self.kind, self.what, self.words = kind, what, words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number or the word; fail where `value` is none."""
        if value in self.words:
            return value
        try:
            number = self.kind(value)
        except ValueError:
            number = 0
        if not number > 0:
            self.fail(f"expected {' or '.join([f'a number {self.what}', *self.words])}, got {value!r}", param, ctx)
        return number


COUNT, POSITIVE = Number(int, "(whole, 1 or more)"), Number(float, "above 0")
AUTO = "auto"
JOBS = Number(int, COUNT.what, (AUTO,))


@dataclass(frozen=True)
class Declaration:
    """How an option is given on the command line: its flag, what a value must be, its help.

    `default` says what holds where it is not given and the run chooses. `kept`: a store keeps it with the run, for
    `--resume`.
    """

    flag: str
    help: str
    type: click.ParamType[Any] = click.STRING
    metavar: str | None = None
    default: str | None = None
    kept: bool = True

    def checked(self, value: Any) -> Any:
        """Return a value as its type has it; raise `UsageError` that names the option where it is none."""
        try:
            return self.type.convert(str(value), None, None)
        except click.BadParameter as error:
            raise UsageError(f"Invalid value for '{self.flag}': {error.message}") from error


def _option(value: Any, *declared: Any, **more: Any) -> Any:
    """Return a field whose default is `value`, with its declaration."""
    return field(default=value, metadata={"declaration": Declaration(*declared, **more)})


_PROFILE, _MEASURE = click.Choice(get_args(Profile)), click.Choice(get_args(Measure))
_KERNEL, _DEVICE = click.Choice(get_args(Kernel)), click.Choice(get_args(Device))
_PROFILE_HELP = "Generated text in minutes, or the documents' data and epochs."
_INSTALLED = f"{' and '.join(DEFAULT_BACKENDS)}, where installed"
_KERNEL_HELP = "Kernel of recurrent layers (repeatable)."
_NUMERICS_HELP = "Formulas and weights: documented, matched, native, native:DIFFERENCE,... or native:-DIFFERENCE,..."
_MEASURE_HELP = "Scores; scores and brief times (glance); training steps; all times (timing); or all."
_BY_MEASURE = "glance in profile quick, all in documented"
_TIMEOUT_HELP, _BY_ESTIMATE = "Stop a cell after S seconds.", "20 times the estimate, at least 15 min"
_MEMORY_HELP = "Stop a cell that holds more than GB gigabytes."
_BUDGET_HELP = "Start no cell that would end after S seconds."
_JOBS_HELP = "Train N cells side by side, each on cores of its own; auto measures how many. Nothing is timed."
_TF32_HELP = "Let products on a GPU round their factors to TF32 (recorded)."
_CLUSTER_HELP, _SCHEDULER_HELP = "Start N workers here and run on them.", "Run on the workers of a Dask scheduler."
_STAND_IN_HELP = "Use the data OTHER where a case needs NAME (repeatable)."


@dataclass(frozen=True)
class RunOptions:
    """What was asked for; None, or nothing where there may be several, leaves the choice to the run.

    Values are those of the command line, or their words; `stand_ins` may be a mapping. Raises `UsageError` for a wrong
    value.
    """

    patterns: tuple[str, ...] = _option((), "PATTERN", "Globs over case or cell names.")
    profile: Profile = _option("quick", "--profile", _PROFILE_HELP, _PROFILE)
    backends: tuple[str, ...] = _option((), "--backend", "Run on B (repeatable).", metavar="B", default=_INSTALLED)
    kernels: tuple[Kernel, ...] = _option((), "--kernel", _KERNEL_HELP, _KERNEL, default="the best available")
    device: Device | None = _option(None, "--device", "Device to train on.", _DEVICE, default="cpu")
    numerics: str = _option("documented", "--numerics", _NUMERICS_HELP, metavar="N")
    seeds: int = _option(1, "--seeds", "Train with seeds 0 to N-1.", COUNT, "N")
    repeats: int = _option(1, "--repeats", "Measure each cell N times.", COUNT, "N")
    measure: Measure = _option(None, "--measure", _MEASURE_HELP, _MEASURE, default=_BY_MEASURE)
    timeout: float | None = _option(None, "--timeout", _TIMEOUT_HELP, POSITIVE, "S", _BY_ESTIMATE)
    memory: float | None = _option(None, "--memory", _MEMORY_HELP, POSITIVE, "GB", "80 % of what is free")
    # Not kept: a continued run begins its seconds anew.
    budget: float | None = _option(None, "--budget", _BUDGET_HELP, POSITIVE, "S", "no limit", kept=False)
    threads: int | None = _option(None, "--threads", "Threads of each framework.", COUNT, "N", "every core of the job")
    jobs: int | str = _option(1, "--jobs", _JOBS_HELP, JOBS, "N|auto")
    tf32: bool = _option(False, "--tf32", _TF32_HELP, click.BOOL)
    suites: tuple[str, ...] = _option((), "--suites", "More suite files or folders (repeatable).", metavar="PATH")
    stand_ins: tuple[str, ...] = _option((), "--stand-in", _STAND_IN_HELP, metavar="NAME=OTHER")
    # Not kept: where a run is gone on with, it may have another address.
    scheduler: str | None = _option(None, "--scheduler", _SCHEDULER_HELP, metavar="ADDRESS", default="none", kept=False)
    cluster: str | None = _option(None, "--cluster", _CLUSTER_HELP, metavar="local:N", default="none", kept=False)

    def __post_init__(self) -> None:
        for name, declared in DECLARATIONS.items():
            value, default = getattr(self, name), DEFAULTS[name]
            if isinstance(value, Mapping):
                value = [f"{wanted}={other}" for wanted, other in value.items()]
            if default == ():
                several = [value] if isinstance(value, str | Path) else value
                if not isinstance(several, Iterable) or isinstance(value, bytes):
                    raise UsageError(f"Invalid value for '{declared.flag}': {value!r} is neither a text nor several.")
                object.__setattr__(self, name, tuple(map(declared.checked, several)))
            elif value is not None or default is not None:
                object.__setattr__(self, name, declared.checked(value))
        if self.measure is None:
            object.__setattr__(self, "measure", "glance" if self.profile == "quick" else "all")
        if self.jobs != 1 and self.measure != "accuracy":
            raise UsageError(
                f"--jobs {self.jobs} with --measure {self.measure}: what is timed runs alone; give --measure accuracy, "
                "or leave out --jobs"
            )
        for name in self.backends:
            backend(name)
        for text in self.stand_ins:
            wanted, _, other = text.partition("=")
            if not (wanted and other):
                raise UsageError(f"--stand-in {text!r}: expected NAME=OTHER")
        kind, _, number = (self.cluster or "local:1").partition(":")
        if kind != "local" or not number.isdecimal() or int(number) < 1:
            raise UsageError(f"--cluster {self.cluster!r}: expected local:N with a number of workers, as in local:2")

    @property
    def workers(self) -> int:
        """How many workers `cluster` is to have, 0 without one."""
        return int(self.cluster.partition(":")[2]) if self.cluster else 0

    @property
    def replaced(self) -> dict[str, str]:
        """The stand-ins: name of a source to the one in its place."""
        pairs = (text.partition("=") for text in self.stand_ins)
        return {wanted: other for wanted, _, other in pairs}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> RunOptions:
        """Return the options among `values`, which a store may have kept: it lacks some, holds others, or None."""
        return cls(**{name: values[name] for name in DECLARATIONS if values.get(name) is not None})

    def kept(self) -> dict[str, Any]:
        """Return what a store keeps."""
        return {name: getattr(self, name) for name, declared in DECLARATIONS.items() if declared.kept}

    def words(self) -> list[str]:
        """Return the options as `bench run` is given them, without those that are as by default."""
        words = list(self.patterns)
        for name, declared in DECLARATIONS.items():
            value = getattr(self, name)
            if value is True:
                words.append(declared.flag)
            elif name != "patterns" and value != DEFAULTS[name]:
                words += [f"{declared.flag}={each}" for each in (value if isinstance(value, tuple) else [value])]
        return words


DECLARATIONS: dict[str, Declaration] = {option.name: option.metadata["declaration"] for option in fields(RunOptions)}
DEFAULTS: dict[str, Any] = {option.name: option.default for option in fields(RunOptions)}


def named(patterns: Sequence[str], options: Mapping[str, Any]) -> RunOptions:
    """Return the options of these names and values; raise `UsageError` for a name that is none, with the nearest."""
    known = DECLARATIONS.keys() - {"patterns"}
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
    return RunOptions.of({**options, "patterns": patterns})
