"""The user's code in a worker: loaded by its path, its lines known, its objects changed, its errors in one sentence."""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

from bench.errors import UsageError, unknown

FILES = (".keras", ".h5", ".hdf5")
"""How the names of saved models end."""
_folders: set[str] = set()
"""Where the user's files lie: a line is the user's when its file lies there."""


def _is_users(file: str) -> bool:
    """Return whether a file lies with the user's, and is not installed, of Python itself, or of this package."""
    path = file.replace("\\", "/")
    others = ("<", str(Path(__file__).resolve().parents[1]), f"{sys.base_prefix}/lib/")
    return file.startswith(tuple(_folders)) and "site-packages" not in path and not path.startswith(others)


def user_line(made_by: object = None) -> str | None:
    """Return `file:line` of the innermost line of the user's that is running, None outside of it.

    `made_by`: an object that is being made; the line is then the one outside of its own methods, where there is one.
    """
    frame: FrameType | None = sys._getframe(1)
    inner: str | None = None
    while frame is not None:
        file = frame.f_code.co_filename
        if _is_users(file):
            line = f"{_short(file)}:{frame.f_lineno}"
            if made_by is None or frame.f_locals.get("self") is not made_by:
                return line
            inner = inner or line
        frame = frame.f_back
    return inner


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def code_at(line: str | None) -> str | None:
    """Return the text of a `file:line`."""
    if line is None:
        return None
    file, _, number = line.rpartition(":")
    return linecache.getline(str(Path.cwd() / file), int(number)).strip() or None


def named(spec: str) -> Any:
    """Return what `file.py:name` or `package.module:name` names, and make its folder importable for it.

    Raises `UsageError` for a spec without a name, a missing file and an unknown name.
    """
    where, _, name = spec.rpartition(":")
    if not where:
        raise UsageError(f"{spec!r} names no function; write {spec}:NAME")
    if where.endswith(".py"):
        module = _from_file(Path(where))
    else:
        sys.path.append(str(Path.cwd()))
        _folders.add(str(Path.cwd()))
        try:
            module = importlib.import_module(where)
        except ModuleNotFoundError as error:
            if error.name is None or not where.startswith(error.name):
                raise
            raise UsageError(f"there is no module {error.name!r} here; name a file: path/to/file.py:{name}") from error
        if module.__file__:
            _folders.add(str(Path(module.__file__).resolve().parent))
    if not hasattr(module, name):
        made_there = [own for own, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        raise unknown(f"name in {where}", name, made_there or ["nothing"])
    return getattr(module, name)


def made(spec: str, kind: type, words: str) -> Any:
    """Return the object of a kind that a spec names, or that the function (or class) makes which it names.

    Raises `UsageError` for another kind.
    """
    found = named(spec)
    model = found if isinstance(found, kind) else found()
    if not isinstance(model, kind):
        raise UsageError(f"{spec} returned {type(model).__name__}, not a {words}")
    return model


def _from_file(path: Path) -> Any:
    file = path.resolve()
    if not file.is_file():
        raise UsageError(f"there is no file {path}")
    folder = str(file.parent)
    _folders.add(folder)
    name = f"_bench_port_{file.stem}_{sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # First while it loads, as Python does; last afterwards, for what its functions import when they run.
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(folder)
        sys.path.append(folder)
    return module


@contextmanager
def changed(owners: Sequence[Any], **values: Any) -> Iterator[None]:
    """Give objects other attributes for a while."""
    before = [{name: getattr(owner, name) for name in values} for owner in owners]
    try:
        for owner in owners:
            for name, value in values.items():
                setattr(owner, name, value)
        yield
    finally:
        for owner, old in zip(owners, before, strict=True):
            for name, value in old.items():
                setattr(owner, name, value)


def sentence(error: BaseException) -> str:
    """Return an exception as one sentence, with the user's innermost line where it passed one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}:{error.lineno}: SyntaxError: {error.msg}"
    text = " ".join(str(error).split())
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SystemExit):
        what = f"it called sys.exit({error.code!r})"
    theirs = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f"{_short(theirs[-1].filename)}:{theirs[-1].lineno}: {what}" if theirs else what
