"""Every test has a cache and a data folder of its own; those marked `realdata` read the real files."""

from __future__ import annotations

import os
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
