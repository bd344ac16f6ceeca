"""Find suites (ours, installed ones, named paths) and select cases by name patterns.

A suite file is Python that declares `SUITE = Suite(...)`. It is loaded by its path under a private module name, so that
nothing is imported from the current folder by accident. A broken file is reported and hides no other.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from bench import spec
from bench.cases.model import resolve
from bench.cases.parameters import counts, parameters, printed_counts
from bench.errors import BenchError, SuiteError, UsageError, unknown
from bench.spec import Case, Documented, Suite

ENTRY_POINTS = "twinbench.suites"
"""An entry point of this group names a module (a suite file) or a package (a folder of them)."""


@dataclass(frozen=True)
class Catalog:
    """The suites that loaded, by name, where each came from, and the errors of those that did not."""

    suites: dict[str, Suite] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    errors: tuple[SuiteError, ...] = ()

    def cases(self) -> Iterator[tuple[Suite, Case]]:
        """Yield every case with its suite, in the order of declaration."""
        for suite in self.suites.values():
            for case in suite.cases:
                yield suite, case

    def case(self, name: str) -> tuple[Suite, Case]:
        """Return the case `suite/case`; otherwise raise `UsageError` with the nearest names, or the broken files."""
        for suite, case in self.cases():
            if f"{suite.name}/{case.name}" == name:
                return suite, case
        raise self._broken() or unknown("case", name, self._names())

    def select(self, patterns: Sequence[str]) -> list[tuple[Suite, Case]]:
        """Return the cases that a pattern names, all of them without patterns.

        Of a cell pattern the part before `@` counts. For a pattern that no case matches raises `UsageError` with the
        nearest names or, where a suite file is broken, in which the case may be, `SuiteError` with what is wrong there.
        """
        names = self._names()
        for pattern in patterns:
            if not any(matches(name, [pattern]) for name in names):
                raise self._broken() or self._unknown(pattern.partition("@")[0])
        return [(suite, case) for suite, case in self.cases() if matches(f"{suite.name}/{case.name}", patterns)]

    def _unknown(self, pattern: str) -> UsageError:
        suite, slash, _ = pattern.partition("/")
        if not slash:
            return unknown("suite or case", pattern, [*self.suites, *self._names()])
        if not any(fnmatchcase(name, suite) for name in self.suites):
            return unknown("suite", suite, self.suites)
        return unknown("case", pattern, self._names())

    def _broken(self) -> SuiteError | None:
        return SuiteError("\n".join(map(str, self.errors))) if self.errors else None

    def _names(self) -> list[str]:
        return [f"{suite.name}/{case.name}" for suite, case in self.cases()]


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether any pattern matches the name of a case or a cell; no pattern matches everything.

    A pattern is a shell glob over case names (`imdb-rnn/*`), which matches all cells of the case, or over cell names
    (`*/lstm*@torch,*`), which matches a case when its part before `@` does. A suite's bare name stands for its cases,
    and parts left out at the end of a cell pattern match anything (`*/lstm@torch`, `*/lstm@torch#3`).
    """
    return not patterns or any(_matches(name, pattern) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    case_name, _, cell_rest = name.partition("@")
    case_pattern, _, rest_pattern = pattern.partition("@")
    if case_pattern != case_name.partition("/")[0] and not fnmatchcase(case_name, case_pattern):
        return False
    options, _, seed = cell_rest.partition("#")
    wanted, _, wanted_seed = rest_pattern.partition("#")
    if not options:
        return True
    agree = not wanted or fnmatchcase(options, wanted) or fnmatchcase(options, f"{wanted},*")
    return agree and fnmatchcase(seed, wanted_seed or "*")


def load(paths: Sequence[Path] = ()) -> Catalog:
    """Load our suites, those of installed distributions, then those under `paths` (files or folders).

    Raises `UsageError` for a path that does not exist or holds no suite file; what is wrong inside a file goes to
    `Catalog.errors`.
    """
    files = _bundled_files()
    errors: list[SuiteError] = []
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            files += suite_files(_entry_path(entry))
        except (Exception, SystemExit) as error:  # finding a module in a package runs the package
            told = error if isinstance(error, UsageError | ImportError) else f"{type(error).__name__}: {error}"
            errors.append(SuiteError(f"entry point {entry.name!r} = {entry.value!r} of group {ENTRY_POINTS}: {told}"))
    for path in paths:
        files += suite_files(path)

    suites: dict[str, Suite] = {}
    origins: dict[str, Path] = {}
    for file in dict.fromkeys(file.resolve() for file in files):
        try:
            suite = _load_file(file)
            if suite.name in suites:
                raise SuiteError(
                    f"suite name {suite.name!r} is declared by {origins[suite.name]} and by {file}; rename one"
                )
        except SuiteError as error:
            errors.append(error)
        else:
            suites[suite.name], origins[suite.name] = suite, file
    return Catalog(suites, origins, tuple(errors))


def _bundled_files() -> list[Path]:
    package = Path(__file__).resolve().parents[1]
    in_wheel, in_checkout = package / "suites", package.parent / "suites"
    return suite_files(in_wheel if in_wheel.is_dir() else in_checkout)


def _entry_path(entry: EntryPoint) -> Path:
    found = importlib.util.find_spec(entry.module)
    if found is None or (found.origin is None and not found.submodule_search_locations):
        raise UsageError(f"there is no module {entry.module}; reinstall the distribution")
    return Path(next(iter(found.submodule_search_locations or [str(found.origin)])))


def sound(paths: Iterable[str | Path] = ()) -> Catalog:
    """Return what `load` does; raise `SuiteError`, which names every fault, when a suite is broken."""
    catalog = load([Path(path) for path in paths])
    if catalog.errors:
        raise SuiteError("\n".join(map(str, catalog.errors)))
    return catalog


def suite_files(path: Path) -> list[Path]:
    """Return the suite file, or those of a folder; raise `UsageError` where there is none."""
    if path.is_dir():
        files = sorted(file for file in path.glob("*.py") if not file.name.startswith("_"))
        if not files:
            raise UsageError(f"folder {path} holds no suite file (*.py)")
        return files
    if not path.is_file():
        raise UsageError(f"suite path {path} does not exist; name a suite file or a folder of them")
    return [path]


def _load_file(file: Path) -> Suite:
    """Return the suite that a file declares; raise `SuiteError` with file, line, case, field and remedy."""
    name = f"_twinbench_suite_{file.stem}_{sha256(str(file).encode()).hexdigest()[:8]}"
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise SuiteError(f"suite file {file}: not a Python file; name it *.py")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise SuiteError(f"{_place(file, error)}: {_what(error)}") from error
    suite = getattr(module, "SUITE", None)
    if not isinstance(suite, Suite):
        raise SuiteError(f"suite file {file} declares no suite; add SUITE = Suite(...)")
    problems = []
    for case in suite.cases:
        try:
            built = counts(parameters(resolve(suite, case, "documented")))
        except BenchError as error:
            problems.append((case, str(error)))
        else:
            problems += [(case, problem) for problem in _wrong_counts(case.documented, built)]
    if problems:
        raise SuiteError("\n".join(f"{_place_of(file, case)}: {problem}" for case, problem in problems))
    return suite


def _wrong_counts(documented: Documented, built: Mapping[str, Any]) -> list[str]:
    """Return a line for every printed count that the layers do not have, none where the document is said to err."""
    wrong = {name: count for name, count in printed_counts(documented).items() if count != built[name]}
    if not documented.misprint:
        remedy = "correct the case, or say how the document errs: Documented(misprint=...)"
        return [
            f"Documented.{name} is {_said(printed)}, its layers have {_said(built[name])}; {remedy}"
            for name, printed in wrong.items()
        ]
    return [] if wrong else ["Documented.misprint is given, but every count agrees; remove it"]


def _said(count: int | tuple[int, ...]) -> str:
    return f"{count:,}" if isinstance(count, int) else " + ".join(f"{part:,}" for part in count)


# --- where and what, of an error in a suite file -----------------------------------------------------------------


def _place(file: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"suite file {file}, line {error.lineno}"
    lines = [frame.lineno or 0 for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if not lines:
        return f"suite file {file}"
    calls = _case_calls(file)
    for line in reversed(lines):
        for call in calls:
            if call.lineno <= line <= (call.end_lineno or call.lineno):
                return f"suite file {file}, line {lines[-1]}, case {_case_name(call)}"
    return f"suite file {file}, line {lines[-1]}"


def _place_of(file: Path, case: Case) -> str:
    """Return the place of a case that was made; it has no line where its name is not written out in its call."""
    lines = [f", line {call.lineno}" for call in _case_calls(file) if _case_name(call) == repr(case.name)]
    return f"suite file {file}{lines[0] if lines else ''}, case {case.name!r}"


def _case_calls(file: Path) -> list[ast.Call]:
    nodes = ast.walk(ast.parse(file.read_bytes()))
    return [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "Case"]


def _case_name(call: ast.Call) -> str:
    named = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "name")]
    return ast.unparse(named[0]) if named else "without a name"


def _what(error: BaseException) -> str:
    lacking = _LACKING.fullmatch(str(error)) if isinstance(error, ImportError | NameError) else None
    if lacking:
        return f"twinbench has no {lacking[1]}; {_declarable(lacking[1])}"
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    by_field: dict[str, list[Any]] = {}
    for detail in error.errors(include_url=False):
        by_field.setdefault(_field(error.title, detail["loc"]), []).append(detail)
    return "; ".join(_problem(name, details) for name, details in by_field.items())


_LACKING = re.compile(r"(?:cannot import name|name) '([A-Z]\w*)' (?:from 'bench\.spec' .*|is not defined.*)")
"""How Python says that a suite file uses something that `bench.spec` has not (capital letters: it declares classes)."""


def _declarable(name: str) -> str:
    """Return all layers, or the other name of `bench.spec` that is near."""
    layers = [kind.__name__ for kind in get_args(spec.Layer)]
    others = [known for known in vars(spec) if known[0].isupper() and known not in layers]
    near = difflib.get_close_matches(name, others, 1)
    return f"nearest: {near[0]}" if near else f"layers: {', '.join(layers)}"


def _field(title: str, location: Sequence[int | str]) -> str:
    """Return `LSTM.units` or `Case.layers[1]`; pydantic gives a positional argument as its index."""
    if not location:
        return title
    first, *rest = location
    if isinstance(first, int):
        known = _fields(title)
        first = known[first] if first < len(known) else f"argument {first + 1}"
    index = f"[{rest[0]}]" if rest and isinstance(rest[0], int) else ""
    return f"{title}.{first}{index}"


def _fields(title: str) -> list[str]:
    declared = getattr(spec, title, None)
    return [item.name for item in fields(declared)] if declared is not None else []


def _problem(name: str, details: list[Any]) -> str:
    kind, message = details[0]["type"], details[0]["msg"]
    title, _, member = name.partition(".")
    if kind == "value_error":
        return f"{name}: {details[0]['ctx']['error']}"
    if kind == "missing":
        return f"{name} is missing; add {member}=..."
    if kind == "unexpected_keyword_argument":
        return str(unknown(f"field of {title}", member, _fields(title)))
    if kind == "unexpected_positional_argument":
        return f"{title} takes {len(_fields(title))} arguments: {', '.join(_fields(title))}"
    got = f"got {details[0]['input']!r}"
    if kind == "string_pattern_mismatch":
        return f"{name} must be lower-case words and digits joined by hyphens, {got}"
    if kind == "greater_than" and details[0]["ctx"]["gt"] == 0:
        return f"{name} must be positive, {got}"
    classes = ", ".join(detail["ctx"]["class_name"] for detail in details if detail["type"] == "dataclass_type")
    if kind == "dataclass_type":
        return f"{name} must be one of {classes}, {got}"
    return f"{name} {message.replace('Input should be', 'must be')}{f', or one of {classes}' if classes else ''}, {got}"
