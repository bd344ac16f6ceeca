"""Files of `label,"text"` lines, read as document 003 reads them."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

from bench.errors import DataError


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


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: not UTF-8 ({content[error.start]:#04x}); save the file as UTF-8"
        ) from error
    return [line.removesuffix("\n") for line in io.StringIO(text, newline=None)]
