"""Every reader of a file that a user or a download brings, with good files of each, and hostile ones that someone made.

A reader may return, or raise a `BenchError`; everything else is a finding.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.compare import sides
from bench.data import arrays, csvfile, imdb, reviews, tables, vectors
from bench.data.prepare import _opened
from bench.parity import proof
from bench.port import batch
from bench.records import exports
from bench.report.sources import from_run
from bench.runner.protocol import InvalidAnswer, read_answer
from bench.spec import Arrays, TextCsv
from tests.making import make_record

WANTED = {"the": 1, "of": 2, "cat": 3}
RECORD = make_record("imdb-rnn/lstm@torch,generic,cpu,documented#0", test=0.75, epoch_seconds=(2.0, 1.0), counts=(3,))
OPTIONS = {"patterns": ["imdb-rnn/lstm"], "seeds": 1, "repeats": 1}


class Reader(NamedTuple):
    """A reader, what its files are called, good files, and what changes the content of a packed one."""

    read: Callable[[Path], object]
    name: str
    good: Callable[[], Iterator[bytes]]
    inside: Callable[[bytes, Callable[[bytes], bytes]], bytes] | None = None


def in_zip(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a zip whose first member is changed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for place, name in enumerate(old.namelist()):
            new.writestr(name, change(old.read(name)) if place == 0 else old.read(name))
    return stream.getvalue()


def in_gzip(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a gzip whose content is changed."""
    return gzip.compress(change(gzip.decompress(content)))


def _npz(**given: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **given)
    return stream.getvalue()


def _lists(*rows: list[int]) -> Any:
    found = np.empty(len(rows), object)
    found[:] = rows
    return found


def _imdb() -> Iterator[bytes]:
    many = _lists(*([[7, 300, 70_000] * 5] * 4), [1] * 1500, [], [9])
    labels = np.zeros(len(many), np.int64)
    yield _npz(x_train=many, y_train=labels, x_test=many, y_test=labels)


def _tar(**changes: Any) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for half in ("train", "test"):
            for label in ("neg", "pos"):
                info = tarfile.TarInfo(f"aclImdb/{half}/{label}/1_1.txt")
                info.size = 9
                for name, value in changes.items():
                    setattr(info, name, value)
                archive.addfile(info, io.BytesIO(b"good film"))
    return stream.getvalue()


def _reviews() -> Iterator[bytes]:
    yield _tar()
    yield _tar(pax_headers={"comment": "caf\xe9", "mtime": "1.5"})


GLOVE = b"the 1 2 3\ncat .5 -1e-3 7\nof 4 5 6\n"


def _glove_zip() -> Iterator[bytes]:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("glove.6B.3d.txt", GLOVE)
    yield stream.getvalue()


WORD2VEC = b"2 3\n" + b"".join(word + b" " + struct.pack("<3f", 1, 2, 3) + b"\n" for word in (b"the", b"cat"))
CSV = b'label,text\n0,a good film\n1,"a ""bad"" film, very"\n0,x\n1,caf\xc3\xa9\n'


def _parquet() -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"text": ["a", "b", "c", "d"], "label": [0, 1, 0, 1], "ids": [[1], [2, 3], [], [4]], "f": [0.5, 1, 2, 3]}
    for how in ({"compression": "none"}, {"compression": "zstd", "use_dictionary": False}, {}):
        stream = io.BytesIO()
        pq.write_table(pa.table(columns), stream, **how)
        yield stream.getvalue()


def _read_parquet(path: Path) -> None:
    _table(path)
    for x in ("ids", ("f", "label")):
        declared = {"num_words": 9, "maxlen": 3} if x == "ids" else {"shape": (2,)}
        arrays.load(Arrays(path.name, x=x, y="label", test=0.5, **declared), {path.name: path})


def _table(path: Path) -> None:
    tables.load(TextCsv(path.name, text="text", label="label", num_words=9, maxlen=3, test=0.5), {path.name: path})


def _read_npz(path: Path) -> None:
    for declared in ({"shape": (3,)}, {"num_words": 9, "maxlen": 3}):
        arrays.load(Arrays(path.name, test=0.5, **declared), {path.name: path})


def _export() -> Iterator[bytes]:
    run = exports.Run("first", "documented", "2026-01-01T00:00:00+00:00", ["bench", "run"], OPTIONS, {"cpu": "one"})
    text = exports.as_json([exports.Exported(run, [(RECORD, {"cpu": "one"}), (RECORD, {"cpu": "two"})])])
    yield text.encode()
    yield json.dumps(json.loads(text)).encode()


def _read_export(path: Path) -> None:
    for export in exports.read(path):
        from_run(export.run, (record for record, _ in export.records))
    sides.measured(str(path), path)


def _pytest_benchmark() -> Iterator[bytes]:
    benchmark = {"fullname": "a", "stats": {"median": 1.0, "data": [1.0, 2.0]}, "extra_info": {"data": "x"}}
    machine = {"cpu": {"brand_raw": "one", "count": 2}, "python_version": "3.11"}
    yield json.dumps({"benchmarks": [benchmark], "machine_info": machine, "commit_info": {"id": "a"}}).encode()


def _answers() -> Iterator[bytes]:
    yield json.dumps(
        {"event": "record", "schema_version": 2, "record": exports.plain(RECORD), "code": ["/p", "a"]}
    ).encode()
    figures = {"epoch": 1, "epochs": 2, "loss": 0.5, "accuracy": 0.5, "val_loss": None, "val_accuracy": None}
    yield json.dumps({"event": "epoch", **figures, "seconds": 1.0}).encode()


def _read_answers(path: Path) -> None:
    for line in path.read_bytes().split(b"\n"):
        with suppress(InvalidAnswer):
            read_answer(line)


def _proofs() -> Iterator[bytes]:
    found = proof.Proof(suite="s", case="c", backend="torch", kernel="none", verdict="proven")
    yield json.dumps({"schema_version": 1, "environment": {}, "records": [exports.plain(found)]}).encode()


def _prepared(path: Path) -> object:
    """Read a folder of the cache in which the file stands in for everything."""
    name = "meta.json" if path.suffix == ".json" else "train.x.npy"
    path.rename(path.with_name(name))
    if name != "meta.json":
        path.with_name("meta.json").write_text('{"check": "", "sha256": ""}')
    return _opened(path.parent)


def _npy() -> Iterator[bytes]:
    for array in (np.zeros((3, 2)), np.zeros(4, "<i4")):
        stream = io.BytesIO()
        np.save(stream, array)
        yield stream.getvalue()


READERS = {
    "imdb.npz": Reader(lambda path: imdb.load(path, 1000), "imdb.npz", _imdb, in_zip),
    "word index": Reader(imdb.word_ranks, "index.json", lambda: iter([b'{"the": 1, "caf\\u00e9": 2}'])),
    "aclImdb": Reader(reviews.load, "a.tar.gz", _reviews, in_gzip),
    "GloVe": Reader(lambda path: vectors.load_glove(path, WANTED, 6, 3), "glove.txt", lambda: iter([GLOVE])),
    "GloVe zip": Reader(lambda path: vectors.load_glove(path, WANTED, 6, 3), "glove.zip", _glove_zip, in_zip),
    "word2vec": Reader(lambda path: vectors.load_word2vec(path, WANTED, 6, 3), "w.bin", lambda: iter([WORD2VEC])),
    "word2vec gz": Reader(
        lambda path: vectors.load_word2vec(path, WANTED, 6, 3),
        "w.bin.gz",
        lambda: iter([gzip.compress(WORD2VEC)]),
        in_gzip,
    ),
    "label,text": Reader(csvfile.load, "t.csv", lambda: iter([CSV])),
    "label,text gz": Reader(csvfile.load, "t.csv.gz", lambda: iter([gzip.compress(CSV)]), in_gzip),
    "CSV": Reader(_table, "t.csv", lambda: iter([CSV])),
    "CSV gz": Reader(_table, "t.csv.gz", lambda: iter([gzip.compress(CSV)]), in_gzip),
    "Parquet": Reader(_read_parquet, "t.parquet", _parquet),
    "npz": Reader(_read_npz, "own.npz", lambda: iter([_npz(x=np.ones((4, 3)), y=np.array([0, 1, 0, 1]))]), in_zip),
    "port batch": Reader(
        lambda path: batch.read(path, [("x", (None, 3), False)], []),
        "b.npz",
        lambda: iter([_npz(x=np.ones((4, 3)))]),
        in_zip,
    ),
    "export": Reader(_read_export, "r.json", _export),
    "rescued": Reader(
        _read_export, "r.jsonl", lambda: iter([json.dumps(json.loads(next(_export()))).encode() + b"\n"])
    ),
    "pytest-benchmark": Reader(lambda path: sides.measured(str(path), path), "b.json", _pytest_benchmark),
    "answers": Reader(_read_answers, "answers", _answers),
    "proofs": Reader(proof.load, "parity.json", _proofs),
    "cache": Reader(_prepared, "x.npy", _npy),
    "cache meta": Reader(_prepared, "x.json", lambda: iter([b'{"check": "a", "sha256": "b", "max_id": 1}'])),
}
