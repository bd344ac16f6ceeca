"""Put together what the documentation site is built from.

    python docs/assemble.py FOLDER

The pages of docs/, the committed reports, and the reference, which is made from the code. Links between docs/,
reports/ and README.md, which lie apart in the repository, lead to the site's pages.
"""

from __future__ import annotations

import dataclasses
import inspect
import posixpath
import re
import shutil
import sys
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

import bench
from bench import spec
from bench.cli import VERBS, cli
from bench.machine.fingerprint import fingerprint
from bench.records import record
from bench.records.metrics import METRICS

ROOT = Path(__file__).resolve().parent.parent


def assemble(folder: Path) -> None:
    """Write the sources of the site into `folder`, in place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted([*(ROOT / "docs").glob("*"), *(ROOT / "reports").rglob("*")]):
        source = path.relative_to(ROOT).as_posix()
        if path.suffix not in (".md", ".svg", ".png") or source.startswith("reports/local/"):
            continue
        target = folder / source.removeprefix("docs/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            target.write_text(relinked(path.read_text(encoding="utf-8"), source), encoding="utf-8")
        else:
            shutil.copy(path, target)
    (folder / "reference").mkdir()
    for name, text in pages().items():
        (folder / "reference" / name).write_text(text, encoding="utf-8")


def relinked(markdown: str, source: str) -> str:
    """Return a page of the repository, `source`, with its links to other files as the site has them."""
    here = source.removeprefix("docs/")

    def lead(link: re.Match[str]) -> str:
        address, anchor = link[1], link[2] or ""
        target = address[1:] if address.startswith("/") else posixpath.join(posixpath.dirname(source), address)
        target = posixpath.normpath(target)
        target = "index.md" if target == "README.md" else target.removeprefix("docs/")
        return f"]({posixpath.relpath(target, posixpath.dirname(here) or '.')}{anchor})"

    return re.sub(r"\]\((?![a-z]+:)([^)#\s]+)(#[^)\s]*)?\)", lead, markdown)


def pages() -> dict[str, str]:
    """Return the reference: Markdown by file name."""
    return {
        "command.md": command_page(),
        "records.md": records_page(),
        "suites.md": suites_page(),
        "python.md": python_page(),
    }


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table; pipes in a cell are escaped."""
    lines = [list(header)]
    lines += [[" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in rows]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def plain(text: str) -> str:
    """Return text whose stars and angle brackets, outside of `code`, a Markdown renderer shows as they are."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if place % 2 else re.sub(r"[*<]", r"\\\g<0>", part) for place, part in enumerate(parts))


def section(level: int, title: str, *parts: str) -> str:
    """Return a heading and what follows it."""
    return "\n\n".join([f"{'#' * level} {title}", *filter(None, parts)])


# --- the command -------------------------------------------------------------------------------------------------


def command_page() -> str:
    """Return every verb with its arguments and options."""
    context = click.Context(cli, info_name="bench")
    verbs = [_verb(["bench", name], typing.cast("click.Command", cli.get_command(context, name)), 2) for name in VERBS]
    about = "Every verb with all of its options, from the code. `bench VERB --help` prints the same."
    return "\n\n".join([section(1, "The command", about), *verbs])


def _verb(words: list[str], command: click.Command, level: int) -> str:
    context = click.Context(command, info_name=" ".join(words))
    usage = " ".join([*words, *command.collect_usage_pieces(context)])
    parts = [plain(inspect.cleandoc(command.help or "")), f"```text\n{usage}\n```"]
    options = [one for one in command.get_params(context) if isinstance(one, click.Option) and "--help" not in one.opts]
    if options:
        rows = [[f"`{', '.join(one.opts)}`", _values(one), _default(one), plain(one.help or "")] for one in options]
        parts.append(table(("option", "values", "default", "what"), rows))
    text = section(level, f"`{' '.join(words)}`", *parts)
    if isinstance(command, click.Group):
        inner = [_verb([*words, name], one, level + 1) for name, one in command.commands.items()]
        return "\n\n".join([text, *inner])
    return text


def _values(option: click.Option) -> str:
    if option.is_flag:
        return "flag"
    if isinstance(option.type, click.Choice):
        shown = ", ".join(f"`{choice}`" for choice in option.type.choices)
    else:
        shown = f"`{option.make_metavar(click.Context(cli))}`"
    return f"{shown}, repeatable" if option.multiple else shown


def _default(option: click.Option) -> str:
    default = option.default
    named = not option.is_flag and isinstance(default, str | int | float | Path)
    return f"`{default}`" if named else ""


# --- records -----------------------------------------------------------------------------------------------------


def records_page() -> str:
    """Return every field of a record, the named quantities, and the fields of a fingerprint."""
    about = (
        "What is stored, exported and reported of one cell, from the code. `bench export --format json` writes "
        f"`schema_version` (now {record.SCHEMA_VERSION}), `runs`, `environments` and `records`; a part that was not "
        "reached is null."
    )
    quantities = table(
        ("quantity", "title", "unit", "better"),
        ([f"`{one.name}`", one.title, one.unit, one.better] for one in METRICS.values()),
    )
    environment = ", ".join(f"`{name}`" for name in fingerprint(1))
    return "\n\n".join(
        [
            section(1, "Records", about),
            *(_model(model) for model in _models(record.Record, [])),
            section(2, "Quantities", "The figures of a record that are judged and drawn, by name.", quantities),
            section(2, "Environment", f"The fingerprint of the machine that a run executed on: {environment}."),
        ]
    )


def _models(model: type[msgspec.Struct], seen: list[type[msgspec.Struct]]) -> list[type[msgspec.Struct]]:
    """Return a model and those that its fields hold, in the order of the fields."""
    if model not in seen:
        seen.append(model)
        for annotation in typing.get_type_hints(model).values():
            for held in _held(annotation):
                _models(held, seen)
    return seen


def _held(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    if inspect.isclass(annotation) and issubclass(annotation, msgspec.Struct):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _held(argument)


def _model(model: type[msgspec.Struct]) -> str:
    types = {name: kind for name, kind in typing.get_type_hints(model).items() if name in model.__struct_fields__}
    intro, told = described(plain(inspect.getdoc(model) or ""), types)
    rows = [[f"`{name}`", f"`{_type(kind)}`", told.get(name, "")] for name, kind in types.items()]
    return section(2, model.__name__, intro, table(("field", "type", "what"), rows))


def described(text: str, names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Split a docstring into its prose and what it says of each name as "`name`: ..."."""
    parts = re.split(rf"`({'|'.join(names)})`: ", " ".join(text.split()))
    told = dict(zip(parts[1::2], (one.strip().rstrip(";") for one in parts[2::2]), strict=True))
    return parts[0].strip(), told


def _type(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(map(str, typing.get_args(annotation)))
    text = annotation.__name__ if inspect.isclass(annotation) and not typing.get_args(annotation) else str(annotation)
    text = re.sub(r"typing\.Literal\[([^]]*)\]", lambda found: found[1].replace("'", "").replace(", ", " or "), text)
    return re.sub(r"\b(bench(?:\.[a-z_]+)+|typing|pathlib)\.", "", text).replace(" | None", ", or null")


# --- suites ------------------------------------------------------------------------------------------------------


def suites_page() -> str:
    """Return everything that a suite is declared with."""
    about = "What `bench.spec` offers to a suite file, from the code; [a worked example](../add-a-configuration.md)."
    declared = [one for one in vars(spec).values() if inspect.isclass(one) and one.__module__ == spec.__name__]
    return "\n\n".join([section(1, "Suites", about), *(_declaration(one) for one in declared)])


def _declaration(declared: Any) -> str:
    rows = []
    for field in dataclasses.fields(declared):
        default = "" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
        rows.append([f"`{field.name}`", f"`{field.type}`", default])
    fields = table(("field", "type", "default"), rows) if rows else ""
    return section(2, declared.__name__, plain(inspect.getdoc(declared) or ""), fields)


# --- Python ------------------------------------------------------------------------------------------------------


def python_page() -> str:
    """Return the functions of `import bench`."""
    about = "`import bench` loads neither a framework nor pandas; [how to use it](../notebooks.md)."
    functions = []
    for name in bench.__all__:
        function = getattr(bench, name)
        text = f"```python\n{_signature(name, function)}\n```"
        functions.append(section(2, f"bench.{name}", text, plain(inspect.getdoc(function) or "")))
    return "\n\n".join([section(1, "Python", about), *functions])


def _signature(name: str, function: typing.Callable[..., Any]) -> str:
    """Return a signature with an argument on every line, annotations and defaults as they are written."""
    found = inspect.signature(function)
    lines = []
    for one in found.parameters.values():
        stars = "*" if one.kind is one.VAR_POSITIONAL else ""
        default = str(one.default) if isinstance(one.default, Path) else one.default
        lines.append(f"    {stars}{one.name}: {one.annotation}" + ("" if default is one.empty else f" = {default!r}"))
    return f"def {name}(\n" + "".join(f"{line},\n" for line in lines) + f") -> {found.return_annotation}: ..."


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
