"""Every test has a cache and a data folder of its own; those marked `realdata` read the real files."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

REAL_FOLDER = os.environ.get("BENCH_DATA_DIR")


@pytest.fixture(autouse=True)
def data_folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that `BENCH_DATA_DIR` names: an empty one, or that of the real files."""
    folder = tmp_path / "data"
    folder.mkdir()
    if request.node.get_closest_marker("realdata"):
        if REAL_FOLDER is None:
            pytest.skip("needs the real files; set BENCH_DATA_DIR to their folder")
        folder = Path(REAL_FOLDER).resolve()
    monkeypatch.setenv("BENCH_DATA_DIR", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def write_archive(path: Path, members: dict[str, bytes]) -> Path:
    """Write an archive of texts as aclImdb is distributed."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path
