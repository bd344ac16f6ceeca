"""Put together what the documentation site is built from.

    python docs/assemble.py FOLDER

The pages of docs/, the committed reports, and the reference, which is made from the code. Links between docs/,
reports/ and README.md, which lie apart in the repository, lead to the site's pages. `nox -s docs` copies the reference
into docs/reference/ too, where readers of the repository find it.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import posixpath
import re
import shutil
import sys
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import EllipsisType
from typing import Any

import click
import msgspec

import bench
from bench import spec
from bench.cli import VERBS, cli
from bench.machine.fingerprint import fingerprint
from bench.port.causes import CAUSES
from bench.records import record
from bench.records.metrics import METRICS

ROOT = Path(__file__).resolve().parent.parent


def assemble(folder: Path) -> None:
    """Write the sources of the site into `folder`, in place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(
        [*(ROOT / "docs").glob("*"), *(ROOT / "docs" / "upstream").glob("*"), *(ROOT / "reports").rglob("*")]
    ):
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


def on_config(config: Any) -> Any:
    """Put every page of the reports below `Reports` in the navigation; MkDocs calls it (`hooks` in mkdocs.yml)."""
    root = Path(config.docs_dir)
    for entry in config.nav:
        if isinstance(entry, dict) and "Reports" in entry:
            entry["Reports"] = _navigation(root / "reports", root)
    return config


def _navigation(folder: Path, root: Path) -> list[Any]:
    """Return the pages of a folder, its `README.md` first, then its folders that hold pages."""
    paths = sorted(folder.glob("*.md"), key=lambda path: (path.name != "README.md", path.name))
    found: list[Any] = [path.relative_to(root).as_posix() for path in paths]
    if paths and paths[0].name == "README.md":
        found[0] = {"Overview": found[0]}
    inner = {path.name: _navigation(path, root) for path in sorted(folder.iterdir()) if path.is_dir()}
    return found + [{name: pages} for name, pages in inner.items() if pages]


def pages() -> dict[str, str]:
    """Return the reference: Markdown by file name."""
    return {
        "causes.md": causes_page(),
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


# --- causes ------------------------------------------------------------------------------------------------------


def causes_page() -> str:
    """Return the causes that `bench port` knows."""
    about = (
        "What [`bench port`](../my-port-is-worse.md) names. Each cause is told by an experiment on the port itself, "
        "and planted in a test that sees it named. `...` is what the command prints with the finding."
    )
    rows = [
        (f"`{cause.slug}`", cause.name, plain(cause.told), plain(re.sub(r"{keras(!r)?}", "...", cause.torch)))
        for cause in CAUSES.values()
    ]
    return section(1, "Causes", about, table(("cause", "difference", "told by", "mended by"), rows))


# --- the command -------------------------------------------------------------------------------------------------


def command_page() -> str:
    """Return every verb with its arguments and options."""
    context = click.Context(cli, info_name="bench")
    verbs = [_verb(["bench", name], typing.cast("click.Command", cli.get_command(context, name)), 2) for name in VERBS]
    about = "Every verb with all of its options. `bench VERB --help` prints the same."
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
        "A record holds the results of one cell. `bench export --format json` writes `schema_version` (now "
        f"{record.SCHEMA_VERSION}), `runs`, `environments` and `records`. A part that a cell did not reach is null."
    )
    quantities = table(
        ("quantity", "title", "unit", "better"),
        ([f"`{one.name}`", one.title, one.unit, one.better] for one in METRICS.values()),
    )
    environment = ", ".join(f"`{name}`" for name in fingerprint(1) if name != "precision")
    return "\n\n".join(
        [
            section(1, "Records", about),
            *(_model(model) for model in _models(record.Record, [])),
            section(2, "Quantities", "The figures that comparisons judge and plots draw.", quantities),
            section(2, "Environment", f"The machine of a run: {environment}; on a GPU also `precision`."),
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
    told = dict(zip(parts[1::2], (one.strip().rstrip(".;") for one in parts[2::2]), strict=True))
    return parts[0].strip(), told


def _type(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(map(str, typing.get_args(annotation)))
    text = annotation.__name__ if inspect.isclass(annotation) and not typing.get_args(annotation) else str(annotation)
    text = re.sub(r"typing\.Literal\[([^]]*)\]", lambda found: found[1].replace("'", "").replace(", ", " or "), text)
    return re.sub(r"\b(bench(?:\.[a-z_]+)+|typing|pathlib)\.", "", text).replace(" | None", ", or null")


# --- suites ------------------------------------------------------------------------------------------------------


def suites_page() -> str:
    """Return the classes that a suite is declared with, from `Suite` down, then the types of their fields."""
    about = (
        "A suite file sets `SUITE = Suite(...)`, made of these classes of `bench.spec`. "
        "Start from [a worked example](../add-a-configuration.md)."
    )
    aliases = _aliases()
    names = _reached("Suite", aliases, [])
    classes = [name for name in names if name not in aliases]
    known = {**{name: name.lower() for name in classes}, **dict.fromkeys(aliases, "types")}
    rows = [(f"`{name}`", _spelled(aliases[name][0], known), aliases[name][1]) for name in names if name in aliases]
    return "\n\n".join(
        [
            section(1, "Suites", about),
            *(_declaration(getattr(spec, name), known) for name in classes),
            section(2, "Types", "What the types above stand for.", table(("type", "values", "what"), rows)),
        ]
    )


def _aliases() -> dict[str, tuple[ast.expr, str]]:
    """Return the definition and the docstring of every type that `bench.spec` gives a name to."""
    found = {}
    body = ast.parse(inspect.getsource(spec)).body
    for statement, after in itertools.pairwise(body):
        if isinstance(statement, ast.Assign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[ast.unparse(statement.targets[0])] = statement.value, str(after.value.value)
    return found


def _reached(name: str, aliases: dict[str, tuple[ast.expr, str]], seen: list[str]) -> list[str]:
    """Return `name` and the classes and types that its fields, or its definition, name, in their order."""
    seen.append(name)
    if name in aliases:
        text = ast.unparse(aliases[name][0])
    else:
        text = " ".join(str(field.type) for field in dataclasses.fields(getattr(spec, name)))
    for used in re.findall(r"\b[A-Z]\w+", text):
        if used not in seen and (used in aliases or getattr(vars(spec).get(used), "__module__", "") == spec.__name__):
            _reached(used, aliases, seen)
    return seen


_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most", "pattern": "matching"}


def _spelled(node: ast.expr, known: dict[str, str]) -> str:
    """Return an annotation in words; a class or type of `bench.spec` leads to where this page describes it."""
    match node:
        case ast.Name(name) if name in known:
            return f"[`{name}`](#{known[name]})"
        case ast.BinOp(left, ast.BitOr(), right):
            return f"{_spelled(left, known)} or {_spelled(right, known)}"
        case ast.Subscript(ast.Name("Literal"), values):
            choices = values.elts if isinstance(values, ast.Tuple) else [values]
            return " or ".join(f"`{ast.unparse(choice)}`" for choice in choices)
        case ast.Subscript(ast.Name("Annotated"), ast.Tuple([base, ast.Call(keywords=bounds)])):
            limits = [f"{_BOUNDS[str(bound.arg)]} `{ast.literal_eval(bound.value)}`" for bound in bounds]
            return f"{_spelled(base, known)} {' and '.join(limits)}"
        case ast.Subscript(ast.Name("tuple"), ast.Tuple([inner, ast.Constant(value=EllipsisType())])):
            return f"tuple of {_spelled(inner, known)}"
        case ast.Subscript(ast.Name("tuple"), ast.Tuple(parts)):
            return f"({', '.join(_spelled(part, known) for part in parts)})"
    return f"`{ast.unparse(node)}`"


def _declaration(declared: Any, known: dict[str, str]) -> str:
    fields = dataclasses.fields(declared)
    intro, told = "", {}
    for base in reversed([one for one in declared.__mro__ if dataclasses.is_dataclass(one)]):
        intro, more = described(plain(inspect.cleandoc(base.__doc__ or "")), [field.name for field in fields])
        told |= more
    rows = [
        (
            f"`{one.name}`",
            _spelled(ast.parse(str(one.type), mode="eval").body, known),
            _start(one),
            told.get(one.name, ""),
        )
        for one in fields
    ]
    return section(2, declared.__name__, intro, table(("field", "type", "default", "what"), rows) if rows else "")


def _start(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return "required"
    return f"`{type(field.default).__name__}()`" if dataclasses.is_dataclass(field.default) else f"`{field.default!r}`"


# --- Python ------------------------------------------------------------------------------------------------------


def python_page() -> str:
    """Return the functions of `import bench`."""
    about = (
        "`import bench` offers three functions to scripts and [notebooks](../notebooks.md). Options take the values of "
        "[`bench run`](command.md#bench-run)."
    )
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
        # Quoted as ruff does, which formats code in Markdown too.
        default = json.dumps(str(one.default)) if isinstance(one.default, str | Path) else repr(one.default)
        lines.append(f"    {stars}{one.name}: {one.annotation}" + ("" if one.default is one.empty else f" = {default}"))
    return f"def {name}(\n" + "".join(f"{line},\n" for line in lines) + f") -> {found.return_annotation}: ..."


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
