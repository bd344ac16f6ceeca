"""CSV files: columns by their names, and `label,"text"` lines as document 003 reads them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from bench.data.packed import BROKEN, Gunzipped, require_memory
from bench.errors import DataError, unknown

_LONGEST = 16_000_000
"""Characters of a line or a field: 1,000 times the longest review of aclImdb."""


def load(path: Path) -> tuple[list[str], list[int]]:
    """Return texts and labels of the lines after the header.

    A line is split at its first comma, quotes stay part of the text (document 003, `load_data`). Raises `DataError`
    with file and line for a label other than 0 or 1, an empty text and bytes that are not UTF-8.
    """
    texts, labels = [], []
    for number, line in enumerate(islice(_lines(path, None), 1, None), start=2):
        label, comma, text = line.removesuffix("\n").partition(",")
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
    limit = csv.field_size_limit(_LONGEST)
    reader = csv.reader(_lines(path, ""), strict=True)
    try:
        header = next(reader, [])
        for name in names:
            if name not in header:
                raise DataError(f"{path}: {unknown('column', name, header)}")
        places = [header.index(name) for name in names]
        columns: list[list[str]] = [[] for _ in names]
        lines: list[int] = []
        for row in filter(None, reader):  # an empty line is no row
            if len(row) != len(header):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(row)} fields, and the header has {len(header)}; "
                    "put a field that holds a comma in quotes"
                )
            for column, place in zip(columns, places, strict=True):
                column.append(row[place])
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; double a quote that stands in quotes") from error
    finally:
        csv.field_size_limit(limit)
    return columns, lines


def _lines(path: Path, newline: str | None) -> Iterator[str]:
    """Yield lines with their ends; `newline` as in `open`."""
    content = _content(path)
    lines = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=newline)
    try:
        for number, line in enumerate(iter(lambda: lines.readline(_LONGEST + 1), ""), start=1):
            if len(line) > _LONGEST:
                raise DataError(f"{path}, line {number}: more than {_LONGEST:,} characters; cut the text")
            yield line
    except UnicodeDecodeError:
        for number, row in enumerate(io.BytesIO(content), start=1):
            try:
                row.decode()
            except UnicodeDecodeError as error:
                what = f"not UTF-8 ({row[error.start]:#04x}); save the file as UTF-8"
                raise DataError(f"{path}, line {number}: {what}") from error


def _content(path: Path) -> bytes:
    try:
        require_memory(path, 2 * path.stat().st_size)
        if path.suffix != ".gz":
            return path.read_bytes()
        with Gunzipped(path) as stream:
            content = stream.read()
        require_memory(path, len(content))  # as much again for its text
        return content
    except BROKEN as error:
        raise DataError(f"{path} cannot be read: {error}") from error
