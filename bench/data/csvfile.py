"""CSV files: columns by their names, and `label,"text"` lines as document 003 reads them."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

from bench.errors import DataError, unknown


def load(path: Path) -> tuple[list[str], list[int]]:
    """Return texts and labels of the lines after the header.

    A line is split at its first comma, quotes stay part of the text (document 003, `load_data`). Raises `DataError`
    with file and line for a label other than 0 or 1, an empty text and bytes that are not UTF-8.
    """
    texts, labels = [], []
    for number, line in enumerate(_lines(path)[1:], start=2):
        label, comma, text = line.partition(",")
        if not comma:
            raise DataError(f"{path}, line {number}: no comma; expected label,text")
        if label not in ("0", "1"):
            raise DataError(f"{path}, line {number}: the label must be 0 or 1, got {label!r}")
        if not text.strip(' \t"'):
            raise DataError(f"{path}, line {number}: the text is empty")
        texts.append(text)
        labels.append(int(label))
    if len(set(labels)) < 2:
        raise DataError(
            f"{path}: {len(labels)} texts and not both labels; there must be texts of label 0 and of label 1"
        )
    return texts, labels


def columns(path: Path, names: Sequence[str]) -> tuple[list[list[str]], list[int]]:
    """Return the named columns, and the line that each row ends at; the first line names the columns (RFC 4180).

    Raises `DataError` with file and line for a row that is longer or shorter than the header, or not quoted well.
    """
    limit = csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(_text(path).removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = next(reader, [])
        for name in names:
            if name not in header:
                raise DataError(f"{path}: {unknown('column', name, header)}")
        places = [header.index(name) for name in names]
        rows, lines = [], []
        for row in filter(None, reader):  # an empty line is no row
            if len(row) != len(header):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(row)} fields, and the header has {len(header)}; "
                    "put a field that holds a comma in quotes"
                )
            rows.append([row[place] for place in places])
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; double a quote that stands in quotes") from error
    finally:
        csv.field_size_limit(limit)
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names], lines


def _lines(path: Path) -> list[str]:
    return [line.removesuffix("\n") for line in io.StringIO(_text(path), newline=None)]


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: not UTF-8 ({content[error.start]:#04x}); save the file as UTF-8"
        ) from error
