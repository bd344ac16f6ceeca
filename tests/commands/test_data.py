from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from bench.data import sources
from bench.records.record import SCHEMA_VERSION
from tests.conftest import call


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def bench(*arguments: str) -> int:
    """Return the exit code of `bench data`."""
    return call("data", *arguments)


def test_json_list_names_url_size_hash_and_presence(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data_folder / "movie_reviews.csv").touch()

    assert bench("list", "--json") == 0

    records = {record["name"]: record for record in json.loads(capsys.readouterr().out)["records"]}
    (archive,) = records["aclImdb"]["files"]
    assert archive["url"] == "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
    assert archive["contents"][0]["size"] == 84_125_825
    assert archive["contents"][0]["sha256"] == "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"
    assert records["aclImdb"]["present"] is False
    assert records["movie_reviews.csv"]["path"] == str(data_folder / "movie_reviews.csv")


@pytest.mark.parametrize("columns", [80, 100])
def test_list_names_every_source_in_lines_that_fit(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert bench("list") == 0

    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= columns
    assert {line.partition(":")[0] for line in out.splitlines() if not line.startswith(" ")} >= set(sources.SOURCES)
    urls = {file.url for source in sources.SOURCES.values() for file in source.files if file.url}
    assert all(url in out for url in urls), "whole, to be copied"
    assert "imdb.npz: missing" in out
    assert "617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb" in out


def test_verify_refuses_an_altered_file(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data_folder / "imdb.npz").write_bytes(b"not it")
    (data_folder / "movie_reviews.csv").write_bytes(b"anything")

    assert bench("verify") == 2

    captured = capsys.readouterr()
    assert "imdb.npz is not the known file" in captured.err
    assert "movie_reviews.csv" in captured.out  # goes on after a bad one
    assert (data_folder / "imdb.npz").read_bytes() == b"not it"


def test_files_of_a_suite_are_listed_and_their_hashes_told(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(data_folder)
    (data_folder / "own.npz").write_bytes(b"anything")
    (data_folder / "suite.py").write_text(
        """
from bench.spec import *

def case(name, data):
    return Case(name, data, (Flatten(), Dense(1, "sigmoid")), Training("adam", epochs=1))

SUITE = Suite("own", document="none", title="Own", era=KERAS_3, cases=(
    case("a", Arrays("./own.npz", shape=(3, 2), test=0.2)),
    case("b", Arrays("own.parquet", shape=(3, 2), test="held.parquet")),
))
"""
    )

    assert bench("list", "--suites", "suite.py", "--json") == 0
    listed = {record["name"]: record for record in json.loads(capsys.readouterr().out)["records"]}
    assert listed.keys() == {*sources.SOURCES, "reuters.npz", "./own.npz", "own.parquet", "held.parquet"}
    assert listed["./own.npz"]["path"] == str(data_folder / "own.npz")
    assert not listed["held.parquet"]["present"]

    for name in ("own.npz", "./own.npz"):
        assert bench("verify", name, "--json") == 0
        (record,) = json.loads(capsys.readouterr().out)["records"]
        assert record["sha256"] == hashlib.sha256(b"anything").hexdigest()
    assert bench("verify", "owm.npz") == 2
    assert "unknown data source 'owm.npz'" in capsys.readouterr().err


def test_missing_files_matter_when_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("verify") == 0
    assert bench("verify", "glove.6B.100d") == 3
    assert bench("fetch", "movie_reviews.csv") == 3

    assert "movie_reviews.csv is missing" in capsys.readouterr().err


def test_an_unknown_name_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("fetch", "imbd.npz") == 2

    assert "nearest: imdb.npz" in capsys.readouterr().err


def test_verify_and_fetch_print_what_they_found_as_json(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data_folder / "imdb.npz").write_bytes(b"not it")
    (data_folder / "movie_reviews.csv").write_bytes(b"anything")
    sha256 = hashlib.sha256(b"anything").hexdigest()

    assert bench("verify", "--json") == 2
    document = json.loads(capsys.readouterr().out)
    records = {record["name"]: record for record in document["records"]}
    assert document["schema_version"] == SCHEMA_VERSION
    assert records.keys() == sources.SOURCES.keys()
    assert records["imdb.npz"]["status"] == "altered"
    assert "is not the known file" in records["imdb.npz"]["reason"]
    assert records["movie_reviews.csv"] == {
        "name": "movie_reviews.csv",
        "status": "ok",
        "path": str(data_folder / "movie_reviews.csv"),
        "sha256": sha256,
        "reason": None,
    }
    assert records["glove.6B.100d"]["status"] == "missing"

    assert bench("verify", "glove.6B.100d", "--json") == 3
    assert [record["status"] for record in json.loads(capsys.readouterr().out)["records"]] == ["missing"]
    assert bench("fetch", "movie_reviews.csv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["records"][0]["sha256"] == sha256


def test_make_prints_what_is_present_and_refuses_what_is_not_made_here(
    data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = b"1 300\nfilm " + bytes(1200)
    (data_folder / "word2vec-imdb.bin").write_bytes(content)

    assert bench("make", "word2vec-imdb", "--json") == 0

    (record,) = json.loads(capsys.readouterr().out)["records"]
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert bench("make", "imdb.npz") == 2


def test_making_without_gensim_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gensim.models", None)

    assert bench("make", "word2vec-imdb") == 3

    assert "[vectors]" in capsys.readouterr().err
