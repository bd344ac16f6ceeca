"""Files that someone made to be read badly, in a table: which reader they are for, and how they are made."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.fuzz.readers import GLOVE, READERS

MB = 1_000_000


def good(reader: str) -> bytes:
    return next(READERS[reader].good())


def flagged(content: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """Return a zip with bytes of every header of a kind replaced."""
    parts = content.split(signature)
    changed = [part[: offset - 4] + value + part[offset - 4 + len(value) :] for part in parts[1:]]
    return signature.join([parts[0], *changed])


def central(reader: str, offset: int, value: bytes) -> bytes:
    return flagged(good(reader), b"PK\x01\x02", offset, value)


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def npy(header: str, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    return b"\x93NUMPY" + version + size + header.encode() + content


def array(shape: object, descr: object = "<f8", content: bytes = b"") -> bytes:
    return npy(repr({"descr": descr, "fortran_order": False, "shape": shape}) + "\n", content)


def of_npz(x: bytes, reader: str = "npz") -> bytes:
    """Return a good archive whose first array is `x`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good(reader))) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for place, name in enumerate(old.namelist()):
            new.writestr(name, x if place == 0 else old.read(name))
    return stream.getvalue()


def bomb(size: int, piece: bytes = bytes(1 << 20), wbits: int = 31) -> bytes:
    """Return so many bytes of one piece again and again, deflated: by copying, which takes no time."""
    deflate = zlib.compressobj(9, wbits=wbits)
    if wbits > 0:  # a gzip of many members
        return (deflate.compress(piece) + deflate.flush()) * (size // len(piece))
    return (deflate.compress(piece) + deflate.flush(zlib.Z_FULL_FLUSH)) * (size // len(piece)) + b"\x03\0"


def zip_bomb(names: str, size: int, piece: bytes = bytes(1 << 20)) -> bytes:
    """Return a zip whose members unpack to so many bytes each; their CRC is none."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names.split():
            archive.writestr(name, bomb(size, piece, -15))
    content = flagged(stream.getvalue(), b"PK\x03\x04", 8, b"\x08\0")
    return flagged(flagged(content, b"PK\x01\x02", 10, b"\x08\0"), b"PK\x01\x02", 24, struct.pack("<I", size))


def pickled(opcodes: bytes, rows: int = 1) -> bytes:
    return npy(f"{{'descr': '|O', 'fortran_order': False, 'shape': ({rows},), }}\n", opcodes)


def tar(*members: tuple[bytes, bytes]) -> bytes:
    """Return a tar.gz of headers and what follows each."""
    content = b"".join(head + body + bytes(-len(body) % 512) for head, body in members)
    return gzip.compress(content + bytes(1024))


def header(name: str, size: int, kind: bytes = b"0") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def pax(**records: str) -> tuple[bytes, bytes]:
    lines = b""
    for name, value in records.items():
        body = f" {name.replace('_', '.')}={value}\n".encode()
        size = len(body) + 1
        while size != len(str(size)) + len(body):
            size = len(str(size)) + len(body)
        lines += str(size).encode() + body
    return header("pax", len(lines), b"x"), lines


IMDB = "x_train.npy y_train.npy x_test.npy y_test.npy"
REVIEW = "aclImdb/train/neg/1_1.txt"
TB, PIB = 10**12, 2**50
DEEP = b"[" * 200_000
LONG = b"x" * (100 * MB)
PROTO = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"

HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    # zip
    "imdb.npz: zip version 255": ("imdb.npz", lambda: central("imdb.npz", 6, b"\xff\x00")),
    "imdb.npz: zip method 99": ("imdb.npz", lambda: central("imdb.npz", 10, b"\x63\x00")),
    "imdb.npz: zip encrypted": ("imdb.npz", lambda: central("imdb.npz", 8, b"\x01\x00")),
    "imdb.npz: zip patched data": ("imdb.npz", lambda: central("imdb.npz", 8, b"\x20\x00")),
    "imdb.npz: zip offset 4 GB": ("imdb.npz", lambda: central("imdb.npz", 42, b"\xf0\xff\xff\xff")),
    "imdb.npz: zip size 4 GB": ("imdb.npz", lambda: central("imdb.npz", 24, b"\xf0\xff\xff\xff")),
    "imdb.npz: zip name no UTF-8": (
        "imdb.npz",
        lambda: central("imdb.npz", 8, b"\x00\x08").replace(b"x_train", b"\xff_train"),
    ),
    "npz: zip method 99": ("npz", lambda: central("npz", 10, b"\x63\x00")),
    "npz: zip encrypted": ("npz", lambda: central("npz", 8, b"\x01\x00")),
    "npz: zip offset 4 GB": ("npz", lambda: central("npz", 42, b"\xf0\xff\xff\xff")),
    "npz: lzma": ("npz", lambda: central("npz", 10, b"\x0e\x00")),
    "port batch: zip method 99": ("port batch", lambda: central("port batch", 10, b"\x63\x00")),
    "port batch: zip encrypted": ("port batch", lambda: central("port batch", 8, b"\x01\x00")),
    "GloVe zip: zip version 255": ("GloVe zip", lambda: central("GloVe zip", 6, b"\xff\x00")),
    "GloVe zip: encrypted": ("GloVe zip", lambda: central("GloVe zip", 8, b"\x01\x00")),
    "GloVe zip: offset 4 GB": ("GloVe zip", lambda: central("GloVe zip", 42, b"\xf0\xff\xff\xff")),
    "GloVe zip: offset at the end": (
        "GloVe zip",
        lambda: central("GloVe zip", 42, struct.pack("<I", len(good("GloVe zip")) - 5)),
    ),
    "GloVe zip: name no UTF-8": (
        "GloVe zip",
        lambda: central("GloVe zip", 8, b"\x00\x08").replace(b"glove", b"\xffglov"),
    ),
    # npz
    "npz: shape of a PiB": ("npz", lambda: of_npz(array((PIB,), "<u1"))),
    "npz: negative shape": ("npz", lambda: of_npz(array((-2, -3), "<f8", bytes(48)))),
    "npz: shape of 10,000 axes": ("npz", lambda: of_npz(array((1,) * 3000))),
    "npz: nested header": ("npz", lambda: of_npz(npy("(" * 5000))),
    "npz: minus header": ("npz", lambda: of_npz(npy("{'shape': " + "-" * 9000 + "1}"))),
    "npz: null in the header": ("npz", lambda: of_npz(npy("{'descr': '\0'}"))),
    "npz: half a character in the header": (
        "npz",
        lambda: of_npz(npy("{'descr': '\\ud800', 'fortran_order': False, 'shape': (1,)}\n")),
    ),
    "npz: dtype of 2^31 bytes": ("npz", lambda: of_npz(array((1,), "|V2147483647"))),
    "npz: dtype of 0 bytes": ("npz", lambda: of_npz(array((2**60,), "|V0"))),
    "npz: 2^60 empty rows": ("npz", lambda: of_npz(array((2**60, 0)))),
    "npz: header of 4 GB": ("npz", lambda: of_npz(b"\x93NUMPY\x02\x00\xff\xff\xff\xff")),
    "npz: bomb of 4 GB": ("npz", lambda: zip_bomb("x.npy y.npy", 4000 << 20)),
    "npz: 60 MB, none finite": (
        "npz",
        lambda: of_npz(array((2_500_000, 3), "<f8", np.full(7_500_000, np.nan).tobytes())),
    ),
    "npz: 60 MB of ids, none known": ("npz", lambda: of_npz(array((20_000_000, 3), "|u1", b"\xff" * 60_000_000))),
    "port batch: shape of a PiB": ("port batch", lambda: of_npz(array((PIB,), "<u1"), "port batch")),
    "port batch: minus header": ("port batch", lambda: of_npz(npy("{'shape': " + "-" * 9000 + "1}"), "port batch")),
    "port batch: bomb of 4 GB": ("port batch", lambda: zip_bomb("x.npy", 4000 << 20)),
    "imdb.npz: shape of a PiB": ("imdb.npz", lambda: of_npz(array((PIB,), "<u1"), "imdb.npz")),
    "imdb.npz: bomb of 4 GB": (
        "imdb.npz",
        lambda: zip_bomb(IMDB, 1000 << 20),
    ),
    "cache: shape of a PiB": ("cache", lambda: array((PIB,), "<u1")),
    "cache: nested header": ("cache", lambda: npy("(" * 5000)),
    "cache: minus header": ("cache", lambda: npy("{'shape': " + "-" * 9000 + "1}")),
    "cache: negative shape": ("cache", lambda: array((-2, -3), "<f8", bytes(48))),
    "cache meta: a text": ("cache meta", lambda: b'"a"'),
    "cache meta: deep": ("cache meta", lambda: DEEP),
    # pickles
    "pickle: calls a function": ("imdb.npz", lambda: of_npz(pickled(b"cos\nsystem\n(U\x04truetR."), "imdb.npz")),
    "pickle: memo of 2^31": ("imdb.npz", lambda: of_npz(pickled(b"]r\xff\xff\xff\x7f."), "imdb.npz")),
    "pickle: bytes of 8 EB": (
        "imdb.npz",
        lambda: of_npz(pickled(b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f."), "imdb.npz"),
    ),
    "pickle: long of 2 GB": ("imdb.npz", lambda: of_npz(pickled(b"\x8b\xff\xff\xff\x7f."), "imdb.npz")),
    "pickle: frame of 8 EB": (
        "imdb.npz",
        lambda: of_npz(pickled(b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f."), "imdb.npz"),
    ),
    "pickle: state of a wrong type": (
        "imdb.npz",
        lambda: of_npz(pickled(PROTO + b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87RK\x00]tb."), "imdb.npz"),
    ),
    "pickle: a shape of a PiB": (
        "imdb.npz",
        lambda: of_npz(
            pickled(b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85U\x01btR."),
            "imdb.npz",
        ),
    ),
    "pickle: 100,000 lists in one another": (
        "imdb.npz",
        lambda: of_npz(pickled(b"]" * 100_000 + b"a" * 99_999 + b"."), "imdb.npz"),
    ),
    "pickle: a list within itself": ("imdb.npz", lambda: of_npz(pickled(b"]q\x00h\x00a."), "imdb.npz")),
    "pickle: array without a state": ("imdb.npz", lambda: of_npz(pickled(PROTO + b"."), "imdb.npz")),
    "pickle: 2^30 of one list": (
        "imdb.npz",
        lambda: of_npz(
            pickled(
                b"\x80\x02]q\x00" + b"".join(b"]q%c(%se" % (n, b"h%c" % (n - 1) * 32) for n in range(1, 7)) + b"h\x06a."
            ),
            "imdb.npz",
        ),
    ),
    # tar
    "aclImdb: a member that claims 1 TB": ("aclImdb", lambda: tar((header(REVIEW, TB), b"text"))),
    "aclImdb: pax size 1 TB": ("aclImdb", lambda: tar(pax(size=str(TB)), (header(REVIEW, 4), b"text"))),
    "aclImdb: pax size -1": ("aclImdb", lambda: tar(pax(size="-1"), (header(REVIEW, 4), b"text"))),
    "aclImdb: pax size of 5,000 digits": ("aclImdb", lambda: tar(pax(size="9" * 5000), (header(REVIEW, 4), b"text"))),
    "aclImdb: pax header of 1 TB": ("aclImdb", lambda: tar((header("pax", TB, b"x"), b"9 a=b"))),
    "aclImdb: long name of 1 TB": ("aclImdb", lambda: tar((header("long", TB, b"L"), b"name"))),
    "aclImdb: pax sparse map of words": (
        "aclImdb",
        lambda: tar(pax(GNU_sparse_major="1", GNU_sparse_minor="0"), (header(REVIEW, 512), b"x" * 512)),
    ),
    "aclImdb: pax sparse size of 1 TB": (
        "aclImdb",
        lambda: tar(pax(GNU_sparse_size=str(TB), GNU_sparse_map="0,4"), (header(REVIEW, 4), b"text")),
    ),
    "aclImdb: pax of a strange length": ("aclImdb", lambda: tar((header("pax", 9, b"x"), b"999 a=b\n\n"))),
    "aclImdb: negative size": ("aclImdb", lambda: tar((header(REVIEW, -600), b"text"))),
    "aclImdb: pax of 60 MB of digits": ("aclImdb", lambda: tar((header("pax", 60 * MB, b"x"), b"1" * (60 * MB)))),
    "aclImdb: a review of 4 GB": ("aclImdb", lambda: gzip.compress(header(REVIEW, 4000 << 20)) + bomb(4000 << 20)),
    "aclImdb: 4 GB of nothing": ("aclImdb", lambda: gzip.compress(header("other", 4000 << 20)) + bomb(4000 << 20)),
    # lines
    "GloVe: a line of 100 MB": ("GloVe", lambda: GLOVE + LONG),
    "GloVe: a line of 100 MB of spaces": ("GloVe", lambda: GLOVE + b" " * (100 * MB)),
    "GloVe: a number of 100 MB": ("GloVe", lambda: GLOVE + b"the " + b"1" * (100 * MB) + b" 2 3\n"),
    "GloVe zip: a line of 300 MB": ("GloVe zip", lambda: zip_bomb("glove.6B.3d.txt", 300 << 20)),
    "GloVe zip: bomb of 4 GB": (
        "GloVe zip",
        lambda: zip_bomb("glove.6B.3d.txt", 4000 << 20, piece=b"a 1 2 3\n" * (1 << 17)),
    ),
    "word2vec: a word of 100 MB": ("word2vec", lambda: b"2 3\n" + LONG),
    "word2vec gz: a word of 300 MB": (
        "word2vec gz",
        lambda: gzip.compress(b"2 3\n") + bomb(300 << 20, b"x" * (1 << 20)),
    ),
    "word2vec: 10^4000 words": ("word2vec", lambda: b"1" + b"0" * 90 + b" 3\n"),
    "word2vec gz: bomb of 4 GB": (
        "word2vec gz",
        lambda: gzip.compress(b"%d 3\n" % 2**40) + bomb(4000 << 20, (b"a " + bytes(14)) * 65536),
    ),
    "label,text: a line of 100 MB": ("label,text", lambda: b"label,text\n0," + LONG),
    "label,text gz: bomb of 6 GB": ("label,text gz", lambda: bomb(6000 << 20)),
    "label,text gz: bomb of lines, 2 GB": ("label,text gz", lambda: bomb(2000 << 20, b"0,aaaaaaaaaaaaa\n" * 65536)),
    "CSV: a field of 100 MB": ("CSV", lambda: b'label,text\n0,"' + LONG + b'"\n'),
    "CSV: a header of 100 MB": ("CSV", lambda: LONG),
    "CSV: 50,000,000 columns": ("CSV", lambda: b"label,text" + b"," * 50_000_000),
    "CSV: one wide character in 10 MB": (
        "CSV",
        lambda: b"label,text\n" + b"0,aaaa\n" * 1_400_000 + "0,\U0001f600\n".encode(),
    ),
    "CSV gz: bomb of 6 GB": ("CSV gz", lambda: bomb(6000 << 20)),
    "CSV: a null": ("CSV", lambda: b"label,text\n0,a\0b\n1,c\n"),
    # JSON
    "word index: deep": ("word index", lambda: DEEP),
    "word index: half a character": ("word index", lambda: b'{"\\ud800": 1}'),
    "word index: negative and huge ranks": ("word index", lambda: json.dumps({"a": -7, "b": 2**70}).encode()),
    "word index: 200 MB of lists": ("word index", lambda: b"[" + b"[]," * (66 * MB) + b"1]"),
    "export: deep": ("export", lambda: DEEP),
    "export: rows 2^70": ("export", lambda: good("export").replace(b'"rows": 2000', b'"rows": %d' % 2**70)),
    "export: no patterns": ("export", lambda: good("export").replace(b'"patterns"', b'"other"')),
    "export: a record of 200 MB": (
        "export",
        lambda: good("export").replace(b'"details": {}', b'"details": {"a": [' + b"[]," * (66 * MB) + b"1]}", 1),
    ),
    "export: 200 MB in another layout": ("export", lambda: b'{"records": [' + b"[]," * (66 * MB) + b"1]}"),
    "rescued: a line of 200 MB": ("rescued", lambda: b"[" + b"[]," * (66 * MB) + b"1]"),
    "pytest-benchmark: deep": ("pytest-benchmark", lambda: DEEP),
    "pytest-benchmark: a machine in words": (
        "pytest-benchmark",
        lambda: good("pytest-benchmark").replace(b'{"brand_raw": "one", "count": 2}', b'"fast"'),
    ),
    "pytest-benchmark: 200 MB": ("pytest-benchmark", lambda: b'{"benchmarks": [' + b"[]," * (66 * MB) + b"1]}"),
    "answers: deep": ("answers", lambda: DEEP),
    "answers: 100 MB": ("answers", lambda: LONG),
    "answers: 15 MB of lists": ("answers", lambda: b"[" + b"[]," * (5 * MB) + b"1]"),
    "answers: a half character, deep": ("answers", lambda: b'["\\ud800",' + DEEP),
    "proofs: deep": ("proofs", lambda: DEEP),
    "proofs: a list": ("proofs", lambda: b"[]"),
    "proofs: records of words": ("proofs", lambda: b'{"schema_version": 1, "environment": {}, "records": "a"}'),
    # Parquet
    "Parquet: a text of 1 MB, 4,000 times": ("Parquet", lambda: _texts("x" * MB, 4000)),
    "Parquet: 2^27 times one number": ("Parquet", lambda: _same_numbers(1 << 27)),
    "Parquet: bytes of no text": ("Parquet", lambda: _no_text()),
    "Parquet: 300 MB of zeros": ("Parquet", lambda: _texts("\0" * (300 * MB), 1, compression="zstd")),
}


def _texts(text: str, times: int, **how: Any) -> bytes:
    """Return a Parquet file of one text, so many times; in the file it is there once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    places = pa.array(np.arange(times) * 0, pa.int32())
    texts = pa.DictionaryArray.from_arrays(places, [text])
    pq.write_table(pa.table({"text": texts, "label": np.arange(times) % 2}), stream, store_schema=False, **how)
    return stream.getvalue()


def _same_numbers(rows: int) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    part = pa.table({"f": np.zeros(1 << 24, np.int8), "label": np.zeros(1 << 24, np.int8)})
    with pq.ParquetWriter(stream, part.schema, compression="zstd") as writer:
        for _ in range(rows >> 24):
            writer.write_table(part)
    return stream.getvalue()


def _no_text() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    texts = pa.array([b"\xff\xfe", b"a"]).view(pa.string())
    pq.write_table(pa.table({"text": texts, "label": [0, 1]}), stream)
    return stream.getvalue()
