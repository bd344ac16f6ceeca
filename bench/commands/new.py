"""`bench new`: a commented starting file for a suite or a backend."""

from __future__ import annotations

import importlib.resources
import keyword
import re
from collections.abc import Container
from pathlib import Path

import click
import jinja2

from bench.backends.registry import backends
from bench.cases.catalog import load
from bench.errors import UsageError
from bench.files import write_file


@click.group()
def command() -> None:
    """Write a working starting file, with comments on what to change. Nothing is overwritten."""


@command.command("suite")
@click.argument("name")
def suite(name: str) -> None:
    """Write a suite of one case into NAME.py. Dashes become underscores."""
    module = _module("suite", name, load().suites)
    file = Path(f"{module}.py")
    title = name.replace("-", " ").capitalize()
    _write({file: _render("suite.py.jinja", name=name, file=file.name, title=title)})
    click.echo(f"Next: bench run --suites {file} {name}", err=True)


@command.command("backend")
@click.argument("name")
def backend(name: str) -> None:
    """Write a backend in NumPy into the folder NAME."""
    module = _module("backend", name, backends())
    folder = Path(name)
    _write(
        {
            folder / f"{module}.py": _render("backend.py.jinja", name=name, module=module),
            folder / "pyproject.toml": _render("pyproject.toml.jinja", name=name, module=module),
        }
    )
    click.echo(f"Next: pip install --no-deps --editable ./{name}", err=True)
    click.echo(f"      bench doctor --backend {name}", err=True)


def _module(kind: str, name: str, taken: Container[str]) -> str:
    """Return the module's name of a new suite or backend; raise `UsageError` for a name that cannot be used."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(f"{kind} name {name!r}: use lower-case words and digits joined by hyphens, a letter first")
    if name in taken:
        raise UsageError(f"{kind} {name!r} already exists; choose another name")
    module = name.replace("-", "_")
    if keyword.iskeyword(module):
        raise UsageError(f"{kind} name {name!r} is a word of Python; choose another name")
    return module


def _render(template: str, **names: str) -> str:
    text = (importlib.resources.files("bench") / "templates" / template).read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(text).render(**names)


def _write(files: dict[Path, str]) -> None:
    for file in files:
        if file.exists():
            raise UsageError(f"{file} exists; remove it first, or choose another name")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, text)
        click.echo(f"wrote {file}")
