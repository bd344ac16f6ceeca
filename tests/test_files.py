"""A file is written whole or not at all, and everything in `bench/` writes files that way."""

from __future__ import annotations

import ast
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.figure
import pytest

from bench.files import append_file, replacing, write_file
from bench.report.style import save
from tests.conftest import ROOT

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refuse(*_: object) -> int:
    raise FULL


def half(write: Callable[[int, memoryview], int]) -> Callable[[int, memoryview], int]:
    """Return `os.write` of a disk that has room for half of the first piece."""
    left = [True]

    def put(descriptor: int, content: memoryview) -> int:
        if not left:
            raise FULL
        left.clear()
        return write(descriptor, content[: len(content) // 2])

    return put


FAULTS = {
    "nothing can be written": ("write", refuse),
    "half can be written": ("write", half(os.write)),
    "the disk refuses at the end": ("fsync", refuse),
    "it cannot be moved": ("replace", refuse),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_there_stays_where_the_disk_fails(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.md"
    write_file(path, "before")
    name, failing = FAULTS[fault]
    monkeypatch.setattr(os, name, half(os.write) if fault.startswith("half") else failing)
    with pytest.raises(OSError, match="No space") as caught:
        write_file(path, "after, which is longer")
    assert caught.value.filename == str(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["page.md"]


def test_a_killed_process_leaves_the_file_as_it_was_and_what_it_began_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("before")
    script = """
import os, signal, sys
from pathlib import Path
from bench.files import replacing
with replacing(Path(sys.argv[1])) as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL
    assert (path.read_text(), len(os.listdir(tmp_path))) == ("before", 2)
    (tmp_path / f".page.md.{os.getppid()}.part").write_text("of a process that runs")
    (tmp_path / ".other.md.999999999.part").write_text("of another file")
    write_file(path, "after")
    assert path.read_text() == "after"
    assert set(os.listdir(tmp_path)) == {"page.md", f".page.md.{os.getppid()}.part", ".other.md.999999999.part"}


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "page.md", tmp_path / "link.md"
    write_file(path, "one")
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    link.symlink_to(path)
    write_file(link, b"two")
    assert (link.is_symlink(), path.read_bytes(), path.stat().st_mode & 0o777) == (True, b"two", 0o640)


def test_what_is_no_file_is_written_into() -> None:
    script = "from bench.files import write_file; from pathlib import Path; write_file(Path('/dev/stdout'), 'x\\udc80')"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (ended.stdout, ended.returncode) == ("x\\udc80", 0), ended.stderr
    with pytest.raises(OSError, match="/dev/full"):
        write_file(Path("/dev/full"), "x")


def test_a_picture_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = matplotlib.figure.Figure()
    (path,) = save(figure, tmp_path, "p", "light", ("svg",))
    before = path.read_bytes()
    assert before.startswith(b"<?xml")
    monkeypatch.setattr(figure, "savefig", lambda part, **_: (Path(part).write_text("<sv"), refuse()))
    with pytest.raises(OSError, match="No space"):
        save(figure, tmp_path, "p", "light", ("svg",))
    assert (path.read_bytes(), os.listdir(tmp_path)) == (before, [path.name])


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines"
    append_file(path, "one\n")
    monkeypatch.setattr(os, "write", half(os.write))
    with pytest.raises(OSError, match="No space"):
        append_file(path, "two\n")
    monkeypatch.undo()
    append_file(path, "three\n")
    assert path.read_text() == "one\nthree\n"


def test_an_error_inside_leaves_no_part(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing(tmp_path / "a") as part:
            part.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert os.listdir(tmp_path) == []


# --- nothing else writes -----------------------------------------------------------------------------------------

WRITES = {"write_text", "write_bytes", "savefig", "touch", "NamedTemporaryFile", "mkstemp", "dump", "tofile", "savez",
          "save_word2vec_format", "rename", "symlink_to", "link"}  # fmt: skip
OF_MODULES = {("os", "open"), ("os", "replace"), ("np", "save"), ("sqlite3", "connect")}
ALLOWED = {
    "files.py": {"os.open", "os.replace"},
    "cli.py": {"os.open"},  # the null device
    "records/owner.py": {"os.open"},  # a lock
    "records/store.py": {"sqlite3.connect"},
    "records/rescue.py": {"sqlite3.connect"},
    "data/sources.py": {"open wb", "os.replace"},  # a download is gone on with, then verified, then moved
    "data/prepare.py": {"np.save", "write_text", "os.rename"},  # a folder, moved as a whole
    "data/word2vec.py": {"save_word2vec_format"},  # into a part of `replacing`
    "report/style.py": {"savefig"},  # likewise
    "compare/stored.py": {"rename"},  # of a column
    "measure/memory.py": {"write_text"},  # to the kernel, in /proc
}


def writes(tree: ast.AST) -> Iterator[str]:
    """Yield every call that writes, creates or moves a file."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        attribute = isinstance(call.func, ast.Attribute)
        name = getattr(call.func, "attr" if attribute else "id", "")
        owner = call.func.value.id if attribute and isinstance(call.func.value, ast.Name) else ""
        given = [*call.args, *(known.value for known in call.keywords)]
        constants = [word.value for part in given for word in ast.walk(part) if isinstance(word, ast.Constant)]
        words = [word for word in constants if isinstance(word, str)]
        modes = [
            word for word in words if 0 < len(word) <= 3 and set(word) <= set("rwax+bt") and set(word) & set("wax+")
        ]
        if owner == "shutil" and name.startswith(("copy", "move")):
            yield f"shutil.{name}"
        elif (owner, name) in OF_MODULES or (owner == "os" and name in WRITES):
            yield f"{owner}.{name}"
        elif name in WRITES:
            yield name
        elif name == "open" and modes:
            yield f"open {modes[-1]}"


def test_nothing_else_in_the_package_writes_files() -> None:
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "bench").rglob("*.py")):
        for call in writes(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(path.relative_to(ROOT / "bench").as_posix(), set()).add(call)
    assert found == ALLOWED


@pytest.mark.parametrize(
    "line",
    ["open(p, 'w')", "p.open('ab')", "p.open(mode='x')", "io.open(p, 'r+')", "p.write_text(t)", "os.rename(a, b)",
     "p.rename(q)", "shutil.copyfile(a, b)", "np.save(p, a)", "os.open(p, 1)", "gzip.open(p, 'a' if x else 'wb')"],
)  # fmt: skip
def test_the_search_finds_what_writes(line: str) -> None:
    assert list(writes(ast.parse(line)))
    assert not list(writes(ast.parse("open(p); p.open('rb'); text.replace('w', 'a'); x.copy_(y); open(p, 'rt')")))
