from __future__ import annotations

import hashlib
import http.server
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bench.data import sources
from bench.data.sources import Content, File, Source
from bench.errors import DataError, Unavailable, UsageError

BODY = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; answers "bytes=N-" with the rest of the file, but for urls that end in ?whole."""

    ranges: list[str]

    def __init__(self, *args: object, ranges: list[str], **kwargs: object) -> None:
        self.ranges = ranges
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        if wanted is None or self.path.endswith("?whole"):
            return super().do_GET()
        self.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        body = Path(self.translate_path(self.path)).read_bytes()
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:])
        return None

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def ranges() -> list[str]:
    """The ranges that were asked of the server."""
    return []


@pytest.fixture
def url(tmp_path: Path, ranges: list[str]) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "words.bin").write_bytes(BODY)
    handler = partial(Handler, directory=str(folder), ranges=ranges)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/words.bin"
        server.shutdown()


def declare(monkeypatch: pytest.MonkeyPatch, url: str | None, sha256: str = SHA256, size: int = len(BODY)) -> None:
    file = File("words.bin", url, (Content(size, sha256),))
    monkeypatch.setitem(sources.SOURCES, "words", Source("words", (file,), "ask for it", "free"))


def in_cache() -> list[str]:
    folder = sources.cache_dir() / "files"
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_the_data_folder_comes_before_the_cache(monkeypatch: pytest.MonkeyPatch, data_folder: Path) -> None:
    declare(monkeypatch, None)
    cached = sources.cache_dir() / "files" / "words.bin"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(BODY)
    assert sources.obtain("words") == (cached, SHA256)

    (data_folder / "words.bin").write_bytes(BODY)

    assert sources.obtain("words") == (data_folder / "words.bin", SHA256)


def test_with_a_data_folder_nothing_is_downloaded_unless_asked(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    declare(monkeypatch, url)

    with pytest.raises(Unavailable, match="bench data fetch words"):
        sources.obtain("words")
    assert in_cache() == []

    assert sources.obtain("words", download=True) == (sources.cache_dir() / "files" / "words.bin", SHA256)


def test_without_a_data_folder_a_missing_file_is_downloaded(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    declare(monkeypatch, url)
    monkeypatch.delenv("BENCH_DATA_DIR")

    path, digest = sources.obtain("words")

    assert (path.read_bytes(), digest) == (BODY, SHA256)
    assert in_cache() == ["words.bin"]


def test_a_download_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch, url: str, ranges: list[str]) -> None:
    declare(monkeypatch, url)
    part = sources.cache_dir() / "files" / "words.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(BODY[:1000])

    assert sources.obtain("words", download=True)[1] == SHA256

    assert ranges == ["bytes=1000-"]
    assert in_cache() == ["words.bin"]


def test_a_server_that_knows_no_ranges_begins_again(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    declare(monkeypatch, url + "?whole")
    part = sources.cache_dir() / "files" / "words.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(BODY[:1000])

    assert sources.obtain("words", download=True)[1] == SHA256


def test_a_part_that_is_too_long_is_thrown_away(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    declare(monkeypatch, url)
    part = sources.cache_dir() / "files" / "words.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(BODY + b"more")

    with pytest.raises(Unavailable, match="try again"):
        sources.obtain("words", download=True)

    assert sources.obtain("words", download=True)[1] == SHA256


def test_a_download_of_another_content_is_refused_and_deleted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    declare(monkeypatch, url, sha256="0" * 64)

    with pytest.raises(DataError, match=f"refused(.|\n)*{SHA256}"):
        sources.obtain("words", download=True)

    assert in_cache() == []


def test_an_offline_machine_is_told_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, "http://127.0.0.1:9/words.bin")  # nobody listens on the discard port
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)

    with pytest.raises(Unavailable, match=r"words is missing: no words\.bin in .*ask for it.*the download failed"):
        sources.obtain("words", download=True)

    assert waits == []


def test_a_file_that_does_not_exist_there_is_unavailable(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    declare(monkeypatch, url + ".gone")

    with pytest.raises(Unavailable, match="404"):
        sources.obtain("words", download=True)


@pytest.mark.parametrize("content", [BODY[:-1], BODY[:-1] + b"x"])
def test_an_altered_file_is_refused_and_left_alone(
    monkeypatch: pytest.MonkeyPatch, data_folder: Path, url: str, content: bytes
) -> None:
    declare(monkeypatch, url)
    mine = data_folder / "words.bin"
    mine.write_bytes(content)

    for get in (sources.obtain, partial(sources.obtain, download=True), sources.verify):
        with pytest.raises(DataError) as error:
            get("words")
        assert f"{mine} is not the known file" in str(error.value)
        assert f"expected {len(BODY):,} bytes, sha256 {SHA256}; found {len(content):,} bytes" in str(error.value)

    assert mine.read_bytes() == content
    assert in_cache() == []


def test_a_hash_is_remembered_until_the_file_changes(monkeypatch: pytest.MonkeyPatch, data_folder: Path) -> None:
    path = data_folder / "own.csv"
    path.write_bytes(b"one")
    stamp = path.stat()
    first = sources.obtain("own.csv")[1]
    assert first == hashlib.sha256(b"one").hexdigest()

    path.write_bytes(b"two")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert sources.obtain("own.csv")[1] == first  # same size, same time: the hash was not computed again

    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert sources.obtain("own.csv")[1] == hashlib.sha256(b"two").hexdigest()


def test_verify_does_not_trust_what_is_remembered(data_folder: Path) -> None:
    path = data_folder / "own.csv"
    path.write_bytes(b"one")
    stamp = path.stat()
    sources.obtain("own.csv")

    path.write_bytes(b"two")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    assert sources.verify("own.csv") == (path, hashlib.sha256(b"two").hexdigest())


def test_missing_files_are_described(data_folder: Path) -> None:
    with pytest.raises(Unavailable) as error:
        sources.obtain("glove.6B.100d")

    for part in ("glove.6B.100d.txt", "glove.6B.zip", "$BENCH_DATA_DIR", str(sources.cache_dir()), "862 MB"):
        assert part in str(error.value)


@pytest.mark.parametrize("name", ["", "..", "../imdb", "/etc/passwd", "own.npz/.."])
def test_a_source_is_a_plain_file_name_or_the_path_of_a_data_file(name: str) -> None:
    with pytest.raises(UsageError, match="plain file name"):
        sources.locate(name)


def test_a_path_leads_from_the_current_folder_and_not_into_the_data_folder(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (data_folder / "own.csv").write_bytes(b"in the data folder")
    (tmp_path / "own.csv").write_bytes(b"here")

    assert sources.obtain("own.csv")[0] == data_folder / "own.csv"
    assert sources.obtain("./own.csv")[0] == sources.obtain(str(tmp_path / "own.csv"))[0] == tmp_path / "own.csv"
    with pytest.raises(Unavailable, match=r"sub/own\.npz is missing: there is no such file"):
        sources.obtain("sub/own.npz")


def test_a_cache_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data_folder: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (data_folder / "own.csv").touch()

    with pytest.raises(DataError, match="cannot write the cache folder"):
        sources.obtain("own.csv")


@pytest.mark.realdata
def test_an_altered_imdb_archive_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data_folder: Path) -> None:
    content = bytearray((data_folder / "imdb.npz").read_bytes())
    content[1_000_000] ^= 1
    (tmp_path / "imdb.npz").write_bytes(content)
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))

    with pytest.raises(DataError, match=hashlib.sha256(content).hexdigest()):
        sources.obtain("imdb.npz")
