"""The user's code in a worker: loaded by its path, its lines remembered, its errors in one sentence."""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import sys
import traceback
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

from bench.errors import UsageError, unknown

_folders: set[str] = set()
"""Where the user's files lie: a line is the user's when its file lies there."""


def is_ours_or_library(file: str) -> bool:
    """Return whether a file is no user's: installed, of Python itself, or of this package."""
    path = file.replace("\\", "/")
    package = str(Path(__file__).resolve().parents[1])
    return "site-packages" in path or path.startswith(("<", package)) or path.startswith(sys.base_prefix + "/lib/")


def user_line(made_by: object = None) -> str | None:
    """Return `file:line` of the innermost line of the user's that is running, None outside of it.

    `made_by`: an object that is being made; the line is then the one outside of its own methods, where there is one.
    """
    frame: FrameType | None = sys._getframe(1)
    inner: str | None = None
    while frame is not None:
        file = frame.f_code.co_filename
        if any(file.startswith(folder) for folder in _folders) and not is_ours_or_library(file):
            inner = inner or f"{_short(file)}:{frame.f_lineno}"
            if made_by is None or frame.f_locals.get("self") is not made_by:
                return f"{_short(file)}:{frame.f_lineno}"
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


def sentence(error: BaseException) -> str:
    """Return an exception as one sentence, with the user's innermost line where it passed one."""
    text = " ".join(str(error).split())
    if isinstance(error, SystemExit):
        what = f"it called sys.exit({error.code!r})"
    else:
        what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}:{error.lineno}: SyntaxError: {error.msg}"
    theirs = [frame for frame in frames if any(frame.filename.startswith(folder) for folder in _folders)]
    theirs = [frame for frame in theirs if not is_ours_or_library(frame.filename)]
    return f"{_short(theirs[-1].filename)}:{theirs[-1].lineno}: {what}" if theirs else what
