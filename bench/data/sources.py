"""Where data files come from: names, urls, sizes, hashes; finding, verifying and fetching them.

A file is looked for in the folder `BENCH_DATA_DIR`, then in the user's cache folder, and is downloaded into the latter
when it has a url. With `BENCH_DATA_DIR` set nothing is downloaded unless `bench data fetch` asks for it. A file whose
size or sha256 is not a known one is refused, and never replaced.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from bench.errors import DataError, Unavailable, UsageError
from bench.files import write_file

DATA_DIR = "BENCH_DATA_DIR"
ENDINGS = (".npz", ".parquet", ".csv", ".csv.gz")
"""How the names of files end that a user may bring under a path."""


@dataclass(frozen=True)
class Content:
    """One accepted content of a file: its size in bytes, its sha256, and what it is."""

    size: int
    sha256: str
    note: str = "official"


@dataclass(frozen=True)
class File:
    """A file by the name under which it is distributed; without `contents` any content is accepted."""

    name: str
    url: str | None = None
    contents: tuple[Content, ...] = ()


@dataclass(frozen=True)
class Source:
    """A thing that data is made of: the files that hold it (any one will do), how to get it, and its terms of use."""

    name: str
    files: tuple[File, ...]
    remedy: str
    licence: str

    @property
    def how(self) -> str:
        """Return the shortest way to get it."""
        return f"bench data fetch {self.name}" if self.remote else self.remedy

    @property
    def remote(self) -> File | None:
        """Return the file that can be downloaded, None where none has a stable address."""
        return next((file for file in self.files if file.url), None)


_IMDB_TERMS = "research use; cite Maas et al., Learning Word Vectors for Sentiment Analysis, ACL 2011"
_GLOVE_TERMS = "PDDL 1.0; cite Pennington, Socher, Manning, GloVe, EMNLP 2014"

# Size: the download that document 001 prints. Sha256: the one that public registries agree on (Julia's Embeddings.jl,
# gluon-nlp, keras examples).
_GLOVE_ZIP = File(
    "glove.6B.zip",
    "https://nlp.stanford.edu/data/glove.6B.zip",
    (Content(862_182_613, "617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb"),),
)
_GLOVE_TEXTS = {
    50: (Content(171_350_079, "d8f717f8dd4b545cb7f418ef9f3d0c3e6e68a6f48b97d32f8b7aae40cb31f96f"),),
    100: (Content(347_116_733, "95dde4dfd627ab26608d33e76d1195ec059734bd29089ea52cadb08d07c64544"),),
}
_GLOVE_TEXT_ZIPS = {
    50: (Content(69_239_732, "d7a077f83d23c830de17de68c5e07e8f1d752edfc82881495fec91563cae46c9", "the text, zipped"),),
}


def _glove(dimension: int) -> Source:
    text = f"glove.6B.{dimension}d.txt"
    return Source(
        f"glove.6B.{dimension}d",
        (
            File(text, contents=_GLOVE_TEXTS.get(dimension, ())),
            File(text + ".zip", contents=_GLOVE_TEXT_ZIPS.get(dimension, ())),
            _GLOVE_ZIP,
        ),
        remedy=f"download {_GLOVE_ZIP.url} (862 MB), or take {text} from it",
        licence=_GLOVE_TERMS,
    )


def _keras(name: str, *contents: Content) -> Source:
    url = f"https://storage.googleapis.com/tensorflow/tf-keras-datasets/{name}"
    return Source(name, (File(name, url, contents),), f"download {url}", _IMDB_TERMS)


_ACL_IMDB_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"

SOURCES = {
    source.name: source
    for source in (
        _keras(
            "imdb.npz",
            Content(17_464_789, "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"),
            Content(
                17_464_789,
                "24f1f98b71f869b946a03787c97a882d5980e5da737aa47fad2dad8dfefc0e4b",
                "rebuilt from the texts and the official word index",
            ),
        ),
        _keras(
            "imdb_word_index.json",
            Content(1_641_221, "027313fe9a320280f3bf0fac5baf58c4a683cf39a7ed9c3d3d3912bde4284cf6"),
        ),
        Source(
            "aclImdb",
            (
                File(
                    "aclImdb_v1.tar.gz",
                    _ACL_IMDB_URL,
                    (
                        Content(84_125_825, "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"),
                        Content(
                            27_791_982,
                            "2846bf6fefb27ad2c713aeff0dcaf90ad405c6e5861882438750948555bfd6fb",
                            "the labelled half, repacked",
                        ),
                    ),
                ),
            ),
            remedy=f"download {_ACL_IMDB_URL} (84 MB)",
            licence=_IMDB_TERMS,
        ),
        *map(_glove, (50, 100, 200, 300)),
        Source(
            "GoogleNews-vectors-negative300",
            (
                File("GoogleNews-vectors-negative300.bin"),
                File(
                    "GoogleNews-vectors-negative300.bin.gz",
                    contents=(
                        Content(1_647_046_227, "21c05ae916a67a4da59b1d006903355cced7de7da1e42bff9f0504198c748da8"),
                    ),
                ),
            ),
            remedy="download it from https://code.google.com/archive/p/word2vec/ (1.6 GB; no stable address)",
            licence="Apache-2.0; cite Mikolov et al., Distributed Representations of Words and Phrases, NIPS 2013",
        ),
        Source(
            "word2vec-imdb",
            (File("word2vec-imdb.bin"),),
            remedy="bench data make word2vec-imdb (minutes; needs aclImdb and gensim)",
            licence=_IMDB_TERMS,
        ),
        Source(
            "movie_reviews.csv",
            (File("movie_reviews.csv"),),
            remedy="ask the authors of the workshop, who publish no address",
            licence="not stated by the document",
        ),
        Source(
            "rt_polarity.csv.gz",
            (
                File(
                    "rt_polarity.csv.gz",
                    contents=(
                        Content(
                            489_076,
                            "485abe80b7df9ff029a9e81e484f981fdade04a151fb312c8a45212423d08a7c",
                            "sentence polarity 1.0 as label,text lines",
                        ),
                    ),
                ),
            ),
            remedy="write https://www.cs.cornell.edu/people/pabo/movie-review-data/ as label,text lines",
            licence="not stated; cite Pang and Lee, Seeing Stars, ACL 2005",
        ),
    )
}


def source(name: str) -> Source:
    """Return the source of that name; a name outside `SOURCES` is a file that the user brings, with any content.

    It lies in the data folder, or is a path from the current one to a file of an ending in `ENDINGS`. Raises
    `UsageError` for any other name.
    """
    if name in SOURCES:
        return SOURCES[name]
    if name in ("", "..") or not (_in_data_folder(name) or name.endswith(ENDINGS)):
        raise UsageError(
            f"data file {name!r}: give a plain file name and put the file in the folder {DATA_DIR}, or give the path "
            f"of a file that ends in {', '.join(ENDINGS)}"
        )
    file = name if _in_data_folder(name) else str(Path(name).absolute())
    return Source(name, (File(file),), remedy="it is a file of yours", licence="yours")


def _in_data_folder(name: str) -> bool:
    return Path(name).name == name


def cache_dir() -> Path:
    """Return the user's cache folder of this project (not created)."""
    return Path(platformdirs.user_cache_dir("twinbench", appauthor=False))


def folders() -> tuple[Path, ...]:
    """Return the folders that are searched, in order."""
    given = os.environ.get(DATA_DIR)
    return ((Path(given),) if given else ()) + (cache_dir() / "files",)


def locate(name: str) -> Path | None:
    """Return where the source `name` is present (unverified), None when it is not."""
    found = _find(source(name))
    return found[0] if found else None


def fetchable(name: str) -> bool:
    """Return whether a missing source `name` would be downloaded when a cell needs it."""
    return source(name).remote is not None and not os.environ.get(DATA_DIR)


def obtain(name: str, download: bool | None = None) -> tuple[Path, str]:
    """Return the verified path and sha256 of the source `name`; `download` None follows this module's rule.

    Raises `Unavailable` when it is missing and `DataError` when the file that is there is not a known one.
    """
    found = _find(source(name))
    if found is None:
        file = source(name).remote
        if file is None or not (fetchable(name) if download is None else download):
            raise missing(name)
        found = _download(name, file), file
    return found[0], _verified(*found)


def verify(name: str) -> tuple[Path, str] | None:
    """Return path and freshly computed sha256 of the source `name`, None when it is not present.

    Raises `DataError` when it is not a known one.
    """
    found = _find(source(name))
    return (found[0], _verified(*found, remembered=False)) if found else None


def missing(name: str) -> Unavailable:
    """Return the error for a source that is not present: which file, where it was looked for, how to get it."""
    wanted = source(name)
    if not _in_data_folder(name):
        return Unavailable(f"{name} is missing: there is no such file from the current folder; correct its path")
    return Unavailable(
        f"{name} is missing: no {' or '.join(file.name for file in wanted.files)} in {' or '.join(_places())}; "
        f"{', or '.join(dict.fromkeys((wanted.how, wanted.remedy)))}; put it into the folder {DATA_DIR}"
    )


def _places() -> Iterator[str]:
    """Yield the folders as they are called on every machine: the message ends up in records and reports."""
    if os.environ.get(DATA_DIR):
        yield f"${DATA_DIR}"
    files = cache_dir() / "files"
    home = Path.home()
    yield f"~/{files.relative_to(home).as_posix()}" if files.is_relative_to(home) else str(files)


def _find(wanted: Source) -> tuple[Path, File] | None:
    for folder in folders():
        for file in wanted.files:
            path = folder / file.name
            if path.is_file():
                return path, file
    return None


# --- verifying ---------------------------------------------------------------------------------------------------


def _verified(path: Path, file: File, remembered: bool = True) -> str:
    status = path.stat()
    known_sizes = {content.size for content in file.contents}
    if known_sizes and status.st_size not in known_sizes:
        raise _refused(path, file, f"{status.st_size:,} bytes")
    stamp: dict[str, Any] = {"path": str(path.resolve()), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    note = cache_dir() / "hashes" / (hashlib.sha256(stamp["path"].encode()).hexdigest() + ".json")
    digest = _noted(note, stamp) if remembered else None
    if digest is None:
        digest = _sha256(path)
        _write_atomically(note, json.dumps({**stamp, "sha256": digest}).encode())
    if file.contents and (status.st_size, digest) not in {(content.size, content.sha256) for content in file.contents}:
        raise _refused(path, file, f"{status.st_size:,} bytes, sha256 {digest}")
    return digest


def _refused(path: Path, file: File, found: str) -> DataError:
    expected = " or ".join(f"{content.size:,} bytes, sha256 {content.sha256}" for content in file.contents)
    return DataError(
        f"{path} is not the known file and was not used: expected {expected}; found {found}; "
        "it may be truncated or altered: replace it (`bench data list` says where from)"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _noted(note: Path, stamp: dict[str, Any]) -> str | None:
    """Return the hash that was noted for a file of this path, size and time of change."""
    try:
        noted = json.loads(note.read_bytes())
        return str(noted["sha256"]) if noted.items() >= stamp.items() else None
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError):  # no note, or a damaged one
        return None


def _write_atomically(path: Path, content: bytes) -> None:
    """Write a file of the cache so that other processes see all of it or nothing; raise `DataError` when that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
    except OSError as error:
        raise unwritable(error) from error


def unwritable(error: OSError) -> DataError:
    """Return the error for a cache folder that cannot be written."""
    return DataError(f"cannot write the cache folder {cache_dir()}: {error}; free space or set XDG_CACHE_HOME")


# --- downloading -------------------------------------------------------------------------------------------------

_TIMEOUT = (5.0, 30.0)  # seconds to connect, and between two packets: an offline machine is told at once


def _download(name: str, file: File) -> Path:
    """Download `file` into the cache; only its official content is given its name, anything else is deleted."""
    import requests

    assert file.url is not None
    path = cache_dir() / "files" / file.name
    part = path.with_name(f"{file.name}.part")
    print(f"fetching {file.url} into {path.parent}", file=sys.stderr, flush=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _continue(file.url, part)
        digest, official = _sha256(part), file.contents[0].sha256
        if digest != official:
            part.unlink()
            raise DataError(
                f"the download of {file.url} was refused and deleted: expected sha256 {official}, found {digest}"
            )
        os.replace(part, path)
    except requests.RequestException as error:
        raise Unavailable(f"{missing(name)}; the download failed: {error}") from error
    except OSError as error:
        raise unwritable(error) from error
    return path


def _continue(url: str, part: Path) -> None:
    """Download `url` to `part`, going on where an earlier attempt stopped."""
    import requests
    from rich.console import Console
    from rich.progress import Progress

    start = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    with requests.get(url, stream=True, timeout=_TIMEOUT, headers=headers) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()
            raise requests.HTTPError(f"{url} cannot go on at byte {start}; try again")
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            start = 0
        length = int(answer.headers.get("Content-Length", 0))
        with part.open("ab" if start else "wb") as stream, Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task(part.stem, total=start + length if length else None, completed=start)
            for chunk in answer.iter_content(1 << 20):
                stream.write(chunk)
                progress.advance(bar, len(chunk))
    if length and part.stat().st_size != start + length:
        raise requests.ConnectionError(
            f"{url} ended after {part.stat().st_size:,} of {start + length:,} bytes; try again"
        )
